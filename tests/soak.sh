#!/usr/bin/env bash
# Random tests over and over, for MINUTES (10): new seeds on the host, power cuts of whole machines. Stops at the
# first failure; proptest keeps the seed of its failure beside the test.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

[[ ${MINUTES:-10} =~ ^[1-9][0-9]{0,4}$ ]] || {
    echo "soak: MINUTES wants a number, not '$MINUTES'" >&2
    exit 2
}
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
echo "$rounds rounds without a failure"
