#!/usr/bin/env bash
# 100,000 hostile media first (CASES says otherwise), then random tests over and over, for MINUTES (10): new seeds on the
# host, power cuts of whole machines. Stops at the first failure; proptest keeps the seed of its failure beside the test.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

[[ ${MINUTES:-10} =~ ^[1-9][0-9]{0,4}$ ]] || {
    echo "soak: MINUTES wants a number, not '$MINUTES'" >&2
    exit 2
}
[[ ${CASES:-100000} =~ ^[1-9][0-9]{0,8}$ ]] || {
    echo "soak: CASES wants a number, not '$CASES'" >&2
    exit 2
}
log=$(mktemp "${TMPDIR:-/tmp}/vitrine-soak.XXXXXX") || exit 1
trap 'rm -f "$log"' EXIT

# A case takes some milliseconds; one that never ends is told by the time-out, and the last line of progress says where.
VITRINE_FUZZ=${CASES:-100000} timeout 3h cargo test --release -p fs --test whole hostile:: -- --nocapture </dev/null 2>&1 |
    tee "$log" | grep --line-buffered '^fuzz, .* of '
((PIPESTATUS[0] == 0)) || { tail -n 40 "$log"; echo 'soak: hostile media'; exit 1; }

end=$((SECONDS + ${MINUTES:-10} * 60))
rounds=0
while ((SECONDS < end)); do
    PROPTEST_CASES=2000 cargo test --release --quiet -p mm -p fs -p pmem -p pmem-sim </dev/null || exit 1
    trees=$RANDOM$RANDOM
    VITRINE_TREES=$trees cargo test --quiet -p platform -p machine-tests --test trees </dev/null ||
        { echo "soak: VITRINE_TREES=$trees"; exit 1; }
    cargo test --quiet -p machine-tests --test persistence -- --test-threads=2 </dev/null || exit 1
    VITRINE_CUTS=100 cargo test --quiet -p machine-tests --test power -- --test-threads=2 </dev/null || exit 1
    model=$RANDOM$RANDOM
    VITRINE_MODEL=$model cargo test --quiet -p machine-tests --test model -- --test-threads=2 </dev/null ||
        { echo "soak: VITRINE_MODEL=$model"; exit 1; }
    rounds=$((rounds + 1))
done
grep -E '^fuzz, .* of heap' "$log"
printf '%-40s %9d\n' 'rounds without a failure' "$rounds" 'power cuts of whole machines' $((100 * rounds))
