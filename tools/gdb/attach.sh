#!/usr/bin/env bash
# An interactive session of gdb at the first instruction; `make gdb` calls it. PMEM and INIT as for `make run`,
# PROGRAM is the one whose main gets a breakpoint. The UART goes to target/gdb-uart.log.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

log=target/gdb-uart.log
append=()
[[ -z ${INIT:-} ]] || append=(--append "init=$INIT")
machine=()
for pair in smp:SMP mem:MEM cpu:CPU carrier:CARRIER el:EL; do
    value=${pair#*:}
    [[ -z ${!value:-} ]] || machine+=("--${pair%:*}" "${!value}")
done

# Its stdin never ends: nobody types into this machine. In a session of its own, so that gdb alone hears ^C.
setsid ./qemu-run.sh --gdb --pmem "${PMEM:-target/root.img}" "${machine[@]}" "${append[@]}" <> <(:) >"$log" 2>&1 &
qemu=$!
trap 'kill "$qemu" 2>/dev/null' EXIT
echo "The machine waits at its first instruction; what it prints goes to $log."

gdb-multiarch -q -nx -x tools/gdb/vitrine.py \
    -ex "python kernel.load('target/vitrine.elf')" \
    -ex 'set architecture aarch64' \
    -ex 'set tcp connect-timeout 10' \
    -ex 'target remote 127.0.0.1:1234' \
    -ex "program ${PROGRAM:-init}" \
    -ex 'break *kernel_main' \
    -ex 'echo \nstepi walks from here; continue goes to kernel_main, then to main; el says where you are.\n'
