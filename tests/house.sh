#!/usr/bin/env bash
# The habits of the house that no lint knows: how a file opens, how long it is, what is left at the door.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

bad=0
complain() {
    echo "house: $*"
    bad=1
}
while IFS= read -r file; do
    [[ -f $file ]] || continue
    head -n 3 "$file" | grep -q '^//!' || complain "$file does not say in its first line what it is for"
    lines=$(wc -l <"$file")
    ((lines <= 700)) || complain "$file has $lines lines; a concept to a file"
    if grep -nE '\b(todo|unimplemented)!|\b(TODO|FIXME|XXX)\b|#\[allow\(' "$file"; then
        complain "$file has an unfinished mark or a silenced lint"
    fi
done < <(git ls-files --cached --others --exclude-standard '*.rs')
exit "$bad"
