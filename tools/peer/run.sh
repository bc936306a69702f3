#!/usr/bin/env bash
# Runs our C programs on Linux and on Vitrine, in the same QEMU, and compares what they count, or else all they say.
#
# `tools/peer/run.sh ['PROGRAM ARGUMENTS'...]`, after `make build rootfs test-image`. Linux is Debian's arm64 kernel; its root is ext4
# with DAX on persistent memory, filled from target/rootfs. Nothing of it enters the repository: all lies in target/peer.
# The status is 0 when no check fails on either.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PATH=$PATH:/usr/sbin:/sbin

dir=target/peer
commands=("$@")
((${#commands[@]})) || commands=(signals sigwaits sigfaults forks usage robust mmcalls overcommit features files locks tty libc fault 'memcalls 1 5000')
declare -A usual=([mmcalls]=' /data' [files]=' /tmp' [locks]=' /tmp' [odd]=' /tmp' [libc]=' /data')
for i in "${!commands[@]}"; do commands[i]=/bin/${commands[i]}${usual[${commands[i]}]:-}; done

# Nobody types, and nobody says so: input that ends would reach the programs as ^D.
exec {quiet}<> <(:)

# --- Linux -----------------------------------------------------------------------------------------------------------

mkdir -p "$dir"
tools/peer/fetch.sh "$dir"
rm -rf "$dir/initramfs" "$dir/root.img"
mkdir -p "$dir"/initramfs/{dev,proc,root}
"${USER_CC:-aarch64-linux-gnu-gcc}" -O2 -static -Wall -Wextra -Werror -o "$dir/initramfs/init" tools/peer/init.c
cp -r "$dir/modules" "$dir/modules.order" "$dir/initramfs/"
printf '%s\n' "${commands[@]}" >"$dir/initramfs/commands"
(cd "$dir/initramfs" && find . | cpio -o -H newc --quiet) >"$dir/initrd"
mkfs.ext4 -q -F -b 4096 -O ^has_journal -d target/rootfs "$dir/root.img" 256M >/dev/null
./qemu-run.sh --kernel "$dir/vmlinuz" --pmem "$dir/root.img" --carrier dt --mem 1G --el 1 --timeout 600 \
    --append "mem=1024M console=ttyAMA0 quiet loglevel=3 nokaslr arm64.nosve arm64.nosme arm64.nomte" -- -initrd "$dir/initrd" <&"$quiet" |
    tr -d '\r\0' >"$dir/linux.log" || true
rm -f "$dir/root.img" "$dir/initrd"

# --- Vitrine ---------------------------------------------------------------------------------------------------------

for command in "${commands[@]}"; do
    cp --sparse=always target/test.img "$dir/test.img"
    echo "peer: begin $command"
    ./qemu-run.sh --pmem "$dir/test.img" --timeout 300 --append "init=$command" <&"$quiet" && status=0 || status=$?
    echo "peer: end $status"
done | tr -d '\0' >"$dir/vitrine.log"
rm -f "$dir/test.img"

# --- Both ------------------------------------------------------------------------------------------------------------

# What COMMAND said in LOG.
said() { # COMMAND LOG
    awk -v begin="peer: begin $1" '/^peer: end/ { on = 0 } on; $0 == begin { on = 1 }' "$dir/$2.log"
}
counted() { said "$@" | grep -aE '^[0-9]+ passed, [0-9]+ failed$' | tail -n 1 || true; }

bad=0
printf '%-24s %-24s %s\n' program "Linux $(<"$dir/release")" Vitrine
for command in "${commands[@]}"; do
    on_linux=$(counted "$command" linux)
    here=$(counted "$command" vitrine)
    if [[ -n $on_linux$here ]]; then
        [[ $on_linux == *' 0 failed' && $here == *' 0 failed' ]] || bad=1
    elif diff -q <(said "$command" linux) <(said "$command" vitrine) >/dev/null; then
        on_linux="$(said "$command" linux | wc -l) lines"
        here='the same'
    else
        here=differs
        bad=1
    fi
    printf '%-24s %-24s %s\n' "${command#/bin/}" "${on_linux:-no count}" "${here:-no count}"
done
for system in linux vitrine; do
    for command in "${commands[@]}"; do
        said "$command" "$system" | grep -a --no-group-separator -A1 'FAILED$' | sed "s|^|$system, $command: |" || true
    done
done
exit "$bad"
