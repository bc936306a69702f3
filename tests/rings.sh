#!/usr/bin/env bash
# Runs rings of tests and adds them up: `tests/rings.sh [host] [kernel] [machine]`, after what they need is built.
#
# T selects by a part of the name, CPU takes one CPU model for the in-kernel ring instead of all. The last line is
# `N passed, N failed` over all rings; a ring that breaks off, or whose status and count disagree, counts as a failure.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export CARGO_TERM_COLOR=never

filter=${T:-}
passed=0
failed=0
log=$(mktemp "${TMPDIR:-/tmp}/vitrine-rings.XXXXXX") || exit 1
image=$log.img
trap 'rm -f "$log" "$image"' EXIT

# Adds up what cargo said. $1 is its exit status.
count_cargo() {
    local ok bad
    read -r ok bad < <(awk '/^test result: / { for (i = 1; i < NF; i++) {
        if ($(i + 1) == "passed;") ok += $i; if ($(i + 1) == "failed;") bad += $i } } END { print ok + 0, bad + 0 }' "$log")
    if (($1 != 0 && bad == 0)); then
        echo "cargo test ended with status $1 and named no failed test"
        bad=1
    fi
    passed=$((passed + ok))
    failed=$((failed + bad))
}

cargo_ring() { # CARGO ARGUMENTS... -- HARNESS ARGUMENTS...
    cargo test --no-fail-fast "$@" ${filter:+"$filter"} </dev/null 2>&1 | tee "$log"
    count_cargo "${PIPESTATUS[0]}"
}

# One boot with `test` on the command line: a line a test, and a closing line that must agree with their number and
# with the status. (A failing test prints its reason between `...` and `FAILED`.)
kernel_ring() { # CPU CPUS
    local ok=0 bad=0 status lines closing
    cp --sparse=always target/test.img "$image" || { failed=$((failed + 1)); return; }
    ./qemu-run.sh --kernel target/vitrine-checked.elf --pmem "$image" --cpu "$1" --smp "$2" --timeout 300 \
        --append "test${filter:+=$filter}" </dev/null 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    lines=$(grep -c '^test .* \.\.\. ' "$log")
    closing=$(grep -aE '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    [[ -z $closing ]] || read -r ok _ bad _ <<<"$closing"
    if [[ -z $closing || $lines != $((ok + bad)) || $status != $((bad > 0)) ]]; then
        echo "in-kernel tests on $1: status $status, closing line '$closing', $lines tests begun"
        bad=$((bad + 1))
    fi
    passed=$((passed + ok))
    failed=$((failed + bad))
}

for ring in "$@"; do
    echo
    echo "=== $ring tests"
    case $ring in
    host)
        cargo_ring --workspace --exclude kernel --exclude boot --exclude machine-tests --
        # Built once more, with its switches: bugs put in on purpose.
        [[ -n $filter && $filter != *seeded* ]] ||
            filter=${filter:-seeded::} cargo_ring -p fs --features seeded-bugs --test crash --
        ;;
    kernel)
        for cpu in ${CPU:-max,pauth-impdef=on cortex-a72 cortex-a76 neoverse-n1}; do
            # A machine of one CPU must do as well as one of several.
            case $cpu in max*) cpus=4 ;; *) cpus=1 ;; esac
            echo "--- in the kernel, on $cpu, $cpus CPUs"
            kernel_ring "$cpu" "$cpus"
        done
        ;;
    machine) cargo_ring -p machine-tests -- --test-threads=2 ;;
    *)
        echo "rings: unknown ring '$ring'" >&2
        exit 2
        ;;
    esac
done

if ((passed + failed == 0)); then
    echo "no test has '$filter' in its name"
    failed=1
fi
echo
echo "$passed passed, $failed failed"
((failed == 0))
