#!/usr/bin/env bash
# Runs our C programs on Linux and on Vitrine, in the same QEMU, and compares what they count.
#
# `tools/peer/run.sh [PROGRAM...]`, after `make build rootfs test-image`. Linux is Debian's arm64 kernel; its root is ext4
# with DAX on persistent memory, filled from target/rootfs. Nothing of it enters the repository: all lies in target/peer.
# The status is 0 when no check fails on either.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PATH=$PATH:/usr/sbin:/sbin

dir=target/peer
programs=("$@")
((${#programs[@]})) || programs=(signals forks mmcalls features files tty libc fault)
declare -A arguments=([mmcalls]=/data [files]=/tmp [libc]=/data)

command_of() { echo "/bin/$1${arguments[$1]:+ ${arguments[$1]}}"; }

# Nobody types, and nobody says so: input that ends would reach the programs as ^D.
exec {quiet}<> <(:)

# --- Linux -----------------------------------------------------------------------------------------------------------

mkdir -p "$dir"
tools/peer/fetch.sh "$dir"
rm -rf "$dir/initramfs" "$dir/root.img"
mkdir -p "$dir"/initramfs/{dev,proc,root}
"${USER_CC:-aarch64-linux-gnu-gcc}" -O2 -static -Wall -Wextra -Werror -o "$dir/initramfs/init" tools/peer/init.c
cp -r "$dir/modules" "$dir/modules.order" "$dir/initramfs/"
for program in "${programs[@]}"; do command_of "$program"; done >"$dir/initramfs/commands"
(cd "$dir/initramfs" && find . | cpio -o -H newc --quiet) >"$dir/initrd"
mkfs.ext4 -q -F -b 4096 -O ^has_journal -d target/rootfs "$dir/root.img" 256M >/dev/null
./qemu-run.sh --kernel "$dir/vmlinuz" --pmem "$dir/root.img" --carrier dt --mem 1G --el 1 --timeout 600 \
    --append "mem=1024M console=ttyAMA0 quiet loglevel=3 nokaslr arm64.nosve arm64.nosme arm64.nomte" -- -initrd "$dir/initrd" <&"$quiet" |
    tr -d '\r\0' >"$dir/linux.log" || true
rm -f "$dir/root.img" "$dir/initrd"

# --- Vitrine ---------------------------------------------------------------------------------------------------------

for program in "${programs[@]}"; do
    cp --sparse=always target/test.img "$dir/test.img"
    echo "peer: begin $(command_of "$program")"
    ./qemu-run.sh --pmem "$dir/test.img" --timeout 300 --append "init=$(command_of "$program")" <&"$quiet" \
        && status=0 || status=$?
    echo "peer: end $status"
done >"$dir/vitrine.log"
rm -f "$dir/test.img"

# --- Both ------------------------------------------------------------------------------------------------------------

# What PROGRAM said in LOG.
said() { # PROGRAM LOG
    sed -n "\\|^peer: begin /bin/$1\\b|,/^peer: end/p" "$dir/$2.log"
}
counted() { said "$@" | grep -aE '^[0-9]+ passed, [0-9]+ failed$' | tail -n 1 || true; }

bad=0
printf '%-10s %-22s %s\n' program "Linux $(<"$dir/release")" Vitrine
for program in "${programs[@]}"; do
    on_linux=$(counted "$program" linux)
    here=$(counted "$program" vitrine)
    printf '%-10s %-22s %s\n' "$program" "${on_linux:-no count}" "${here:-no count}"
    [[ $on_linux == *' 0 failed' && $here == *' 0 failed' ]] || bad=1
done
for system in linux vitrine; do
    for program in "${programs[@]}"; do
        said "$program" "$system" | grep -a --no-group-separator -A1 'FAILED$' | sed "s/^/$system, $program: /" || true
    done
done
exit "$bad"
