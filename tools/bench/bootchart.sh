#!/usr/bin/env bash
# The steps of a boot with their instructions: `tools/bench/bootchart.sh IMAGE`, an image that holds /bin/first.
#
# Boots a release kernel under --icount with a counter of 1 GHz, so that a nanosecond is one instruction, to the
# digit. Prints a line a step and draws the same in target/bootchart.svg.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 1
root=$(cd "$here/../.." && pwd) || exit 1
steps=$root/target/bootchart.tsv
chart=$root/target/bootchart.svg
copy=$(mktemp "${TMPDIR:-/tmp}/vitrine-bootchart.XXXXXX") || exit 1
trap 'rm -f "$copy"' EXIT
cp --sparse=always "$1" "$copy" || exit 1

# Its stdin never ends, so that no ^D arrives at a time of its own.
"$root/qemu-run.sh" --icount --cpu max,pauth-impdef=on,cntfrq=1000000000 --timeout 60 --pmem "$copy" \
    --append "loglevel=7 init=/bin/first" <> <(:) | tr -d '\r' |
    awk -F '\t' '
        match($0, /\] boot: /) { split(substr($0, RSTART + 8), field, " "); name = substr($0, RSTART + 8)
            sub(/^ *[0-9]+ +[0-9]+ /, "", name); printf "%d\t%d\t%s\n", field[1], field[2], name; end = field[1] }
        $1 == "reset_to_init" { found = 1 }
        END { exit !(found && end) }' >"$steps"
status=$?
((status == 0)) || { echo "bootchart: the boot did not reach /bin/first" >&2; exit 1; }

awk -F '\t' '
    function number(value,   text) {
        text = sprintf("%d", value)
        while (match(text, /[0-9][0-9][0-9][0-9]($|,)/)) text = substr(text, 1, RSTART) "," substr(text, RSTART + 1)
        return text
    }
    NR == 1 { printf "%12s %12s  %s\n", "ends at", "takes", "step" }
    { printf "%12s %12s  %s\n", number($1), number($2), $3 }' "$steps"
echo "Instructions from reset, the log lines of these steps not among them; target/bootchart.svg draws them."

awk -F '\t' '
    { end[NR] = $1; takes[NR] = $2; name[NR] = $3 }
    END {
        row = 22; left = 180; width = 700; total = end[NR]
        printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n",
            left + width + 110, (NR + 2) * row
        print "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
        printf "<text x=\"8\" y=\"16\" font-weight=\"bold\">Vitrine from reset: %d instructions</text>\n", total
        for (step = 1; step <= NR; step++) {
            y = (step + 0.5) * row
            x = left + width * (end[step] - takes[step]) / total
            long = width * takes[step] / total
            printf "<text x=\"8\" y=\"%.1f\">%s</text>", y + 15, name[step]
            printf "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%d\" fill=\"#4a7ab5\"/>", x, y + 3, (long > 0.5 ? long : 0.5), row - 6
            printf "<text x=\"%.2f\" y=\"%.1f\" fill=\"#444\">%d</text>\n", x + long + 4, y + 15, takes[step]
        }
        print "</svg>"
    }' "$steps" >"$chart"
