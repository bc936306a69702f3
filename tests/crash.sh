#!/usr/bin/env bash
# The whole crash exploration of the file system: every call, every pair, every seeded bug; then a table of the numbers.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export CARGO_TERM_COLOR=never VITRINE_CRASH=full

log=$(mktemp "${TMPDIR:-/tmp}/vitrine-crash.XXXXXX") || exit 1
trap 'rm -f "$log"' EXIT
begun=$SECONDS
cargo test --release -p fs --features seeded-bugs --test crash -- --nocapture </dev/null 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

echo
printf '%-24s %9s %9s %9s %9s %9s\n' '' workloads moments states different 'cut twice'
sed -nE 's/^(test .* \.\.\. )?([a-z][a-z ]*): ([0-9]+) workloads, ([0-9]+) moments.*\), ([0-9]+) states, ([0-9]+) distinct, ([0-9]+) cut twice$/\2|\3|\4|\5|\6|\7/p' "$log" |
    while IFS='|' read -r title numbers; do
        IFS='|' read -ra columns <<<"$numbers"
        printf '%-24s %9d %9d %9d %9d %9d\n' "$title" "${columns[@]}"
    done
printf '%-24s %9d found\n' 'seeded bugs' "$(grep -cE '\| (Always|Call)\(' "$log")"
printf '%-24s %9d found\n' 'steps left out, by name' "$(grep -cE '\| Left\(' "$log")"
printf '%-24s %9d\n' minutes $(((SECONDS - begun) / 60))
grep -E '^test result' "$log"
exit "$status"
