#!/usr/bin/env bash
# Makes sure that what a make target needs is there: `tools/setup.sh rust cc cross qemu gdb lint`, any of them.
#
# Quick when all is there (no package manager is asked). What is missing is installed: Rust by rustup, the rest as
# Debian packages by apt-get. On other systems one line says what to install.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

have() { command -v "$1" >/dev/null; }
fail() {
    echo "setup: $*" >&2
    exit 1
}

packages=()
programs=()
# Marks PACKAGE as wanted unless the program is there.
want() { # PROGRAM PACKAGE...
    have "$1" && return
    programs+=("$1")
    packages+=("${@:2}")
}

rust=no
for need in "$@"; do
    case $need in
    rust) rust=yes ;;
    cc) want cc gcc libc6-dev ;;
    cross)
        want aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
        if have aarch64-linux-gnu-gcc && [[ $(aarch64-linux-gnu-gcc -print-file-name=libc.a) != /* ]]; then
            programs+=("the static C library of aarch64")
            packages+=(libc6-dev-arm64-cross)
        fi
        ;;
    qemu)
        want qemu-system-aarch64 qemu-system-arm
        want fdtput device-tree-compiler
        ;;
    gdb) want gdb-multiarch gdb-multiarch ;;
    lint) want shellcheck shellcheck ;;
    peer)
        want cpio cpio
        want xz xz-utils
        PATH=$PATH:/usr/sbin:/sbin want mkfs.ext4 e2fsprogs
        ;;
    *) fail "unknown need '$need'" ;;
    esac
done

if ((${#packages[@]})); then
    have apt-get || fail "missing: ${programs[*]}. Install what your system calls ${packages[*]} (Debian's names)."
    as_root=()
    if ((EUID != 0)); then
        have sudo || fail "missing: ${programs[*]}. As root: apt-get install ${packages[*]}"
        as_root=(sudo)
    fi
    echo "setup: installing ${packages[*]}"
    install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends
        "${packages[@]}")
    "${install[@]}" </dev/null >/dev/null 2>&1 ||
        { "${as_root[@]}" apt-get update -q </dev/null && "${install[@]}" </dev/null; } ||
        fail "apt-get could not install ${packages[*]}"
fi

# The toolchain is the one rust-toolchain.toml names; rustup reads that file, and so do the lines below.
install_rust() {
    local channel targets components
    listed() { sed -n "s/^$1 *= *//p" rust-toolchain.toml | tr -d '"[],'; }
    read -r channel < <(listed channel)
    read -ra targets < <(listed targets)
    read -ra components < <(listed components)

    local library name missing=no
    library=$(rustc --print target-libdir 2>/dev/null) && library=${library%/*/lib} || missing=yes
    for name in "${targets[@]}"; do [[ -d $library/$name/lib ]] || missing=yes; done
    have cargo && cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || missing=yes
    [[ $missing == yes ]] || return 0
    have rustup || fail "Rust $channel with the targets ${targets[*]} is wanted: install rustup first"
    echo "setup: installing Rust $channel"
    rustup toolchain install "$channel" --profile minimal --no-self-update \
        "${targets[@]/#/--target=}" "${components[@]/#/--component=}" >/dev/null ||
        fail "rustup could not install Rust $channel"
}
if [[ $rust == yes ]]; then
    PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    install_rust
fi
