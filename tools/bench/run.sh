#!/usr/bin/env bash
# Measures a release kernel: `tools/bench/run.sh IMAGE MANY`, an image that holds /bin/first, /bin/bench, /bin/stretch and
# /data, and one with 10,000 files more.
#
# Every figure is in instructions (bytes for the size), repeatable to the digit, and says nothing of caches, TLB
# misses or bandwidth. Prints one table beside the figures of aims.tsv; the raw lines stay in target/bench.tsv.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 1
root=$(cd "$here/../.." && pwd) || exit 1
image=$1 many=$2
figures=$root/target/bench.tsv

# Boots once on a copy of an image. Its stdin never ends, so that no ^D arrives at a time of its own.
boot() { # IMAGE, WORDS OF THE COMMAND LINE...
    local copy status image=$1
    shift
    copy=$(mktemp "${TMPDIR:-/tmp}/vitrine-bench.XXXXXX") || return 1
    cp --sparse=always "$image" "$copy"
    "$root/qemu-run.sh" --icount --timeout 600 --pmem "$copy" --append "$*" <> <(:)
    status=$?
    rm -f "$copy"
    ((status == 0)) || echo "bench: $1 ended with status $status" >&2
    return "$status"
}

measure() { # WORDS OF THE COMMAND LINE...
    boot "$image" "$@"
}

failed=0
measure init=/bin/first | tr -d '\r' >"$figures" || failed=1
# A machine for each case of the table that is the portable program's, and for what else that is told; one for the kernel's.
# What it was told stands behind the figures, where the table has it.
while IFS=$'\t' read -r name told; do
    # shellcheck disable=SC2086 # none, one or several words
    measure init=/bin/bench /data "name=$name" n=15 peek=1024 unpeek=1025 $told | tr -d '\r' |
        awk -F '\t' -v OFS='\t' -v told="$told" 'NF == 5 { $6 = told } 1' >>"$figures" || failed=1
done < <(awk -F '\t' '!/^#/ && $2 != "kernel" && $1 !~ /^(reset_to_init|kernel_text_rodata|mount|stretch_.*)$/ &&
    !seen[$1, $6]++ { print $1 "\t" $6 }' "$here/aims.tsv")
measure bench=map | tr -d '\r' |
    awk -F '\t' -v OFS='\t' 'NF == 3 { print $1, "kernel", $2, $3 }' >>"$figures" || failed=1
measure init=/bin/stretch /data | tr -d '\r' >>"$figures" || failed=1
boot "$many" loglevel=7 init=/bin/first | tr -d '\r' | awk '
    / root file system$/ && match($0, /boot: /) {
        split(substr($0, RSTART + 6), field, " ")
        printf "mount\t10000 files\t1\t%d\n", field[2]
    }' >>"$figures" || failed=1
objdump=$(rustc --print target-libdir)/../bin/llvm-size
"$objdump" -A -d "$root/target/vitrine.elf" | awk '
    $1 ~ /^\.(text|rodata)/ { bytes += $2 }
    END { printf "kernel_text_rodata\t0\t1\t%d\n", bytes }' >>"$figures"

awk -F '\t' '
    function number(value,   text, sign) {
        if (value == "-" || value == "") return "-"
        text = sprintf("%d", value)
        while (match(text, /[0-9][0-9][0-9][0-9]($|,)/)) text = substr(text, 1, RSTART) "," substr(text, RSTART + 1)
        return text
    }
    /^#/ { next }
    FILENAME == ARGV[1] { if ($4 != "") measured[$1, $2, $6] = $4; next }
    FNR == 1 || !head { head = 1; printf "%-28s %14s %14s %10s %14s\n", "case", "Vitrine", "aim", "floor", "Linux" }
    {
        value = ($1, $2, $6) in measured ? measured[$1, $2, $6] : "-"
        verdict = value == "-" ? "not measured" : value + 0 <= $5 + 0 ? "met" : sprintf("%.2f times the aim", value / $5)
        printf "%-28s %14s %14s %10s %14s  %s\n", $1 ($2 ? " " $2 : "") ($6 ? " " $6 : ""), number(value), number($5), number($4), number($3), verdict
    }' "$figures" "$here/aims.tsv"
start=$(date +%s%N)
if "$root/target/release/vitrine" fsck "$many" >/dev/null; then
    took=$(($(date +%s%N) - start))
    echo "fsck of 10,000 files on this host: $((took / 1000000)) ms, $((10000 * 1000000000 / took)) files a second."
else
    failed=1
fi
echo "Instructions under --icount (kernel_text_rodata: bytes); they do not show caches, TLB misses or bandwidth."
exit "$failed"
