#!/usr/bin/env bash
# shellcheck disable=SC2016 # backticks are what is looked for
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

# docs/LOCKS.md lists the ranks in the order of the enum.
ranks=$(sed -n '/^ranks! {/,/^}/s/^    \([A-Z][A-Za-z]*\),$/\1/p' sync/src/lib.rs)
listed=$(sed -n 's/^| `\([A-Za-z]*\)` |.*/\1/p' docs/LOCKS.md)
[[ $ranks == "$listed" ]] || complain "docs/LOCKS.md and sync::Rank do not list the same: $(diff <(echo "$ranks") <(echo "$listed"))"

# Seeded bugs are for the file system's own tests: nobody else turns the feature on, and its default does not.
seeded=$(git grep -n 'seeded-bugs' -- '*.toml')
[[ $seeded == fs/Cargo.toml:*:'seeded-bugs = []' ]] || complain "only fs/Cargo.toml may name the feature seeded-bugs, once: $seeded"

# The tour leads to places that exist.
while IFS= read -r path; do
    [[ -e $path ]] || complain "docs/TOUR.md leads to $path, which is not there"
done < <(grep -oE '`[a-z]+/[A-Za-z0-9_./-]+`' docs/TOUR.md | tr -d '`' | grep -v '^target/')
exit "$bad"
