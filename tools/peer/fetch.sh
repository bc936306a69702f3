#!/usr/bin/env bash
# Fetches Debian's arm64 kernel into DIR, without root: `tools/peer/fetch.sh DIR`. Quick when it is there.
#
# The mirror is the one this machine's apt uses; lists, status and cache are of their own, in DIR. DIR then has `vmlinuz`,
# `release` (its version) and `modules/`, where the modules for persistent memory lie, and `modules.order`.
set -euo pipefail

dir=$1
[[ ! -e $dir/release ]] || exit 0
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2016 # apt's own words
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' | awk -v suite="$suite" '$2 == suite { print $1; exit }')
[[ -n $mirror ]] || { echo "peer: apt knows no mirror of Debian $suite" >&2; exit 1; }
# The kernel of bookworm itself has no ZONE_DEVICE for arm64, hence no DAX.
[[ $suite != bookworm ]] || suite=bookworm-backports

mkdir -p "$dir"/{lists/partial,cache/archives/partial,sources,root,modules}
dir=$(cd "$dir" && pwd)
touch "$dir/status"
cat >"$dir/sources/debian.sources" <<END
Types: deb
URIs: $mirror
Suites: $suite
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
of_its_own() { # TOOL ARGUMENTS...
    local tool=$1
    shift
    "$tool" -o Dir::State::lists="$dir/lists" -o Dir::State::status="$dir/status" -o Dir::Cache="$dir/cache" \
        -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$dir/sources" -o APT::Default-Release="$suite" \
        -o APT::Architectures::="$(dpkg --print-architecture)" -o APT::Architectures::=arm64 -o APT::Sandbox::User=root "$@"
}
echo "peer: fetching the kernel of Debian $suite for arm64"
of_its_own apt-get -qq update
package=$(of_its_own apt-cache depends linux-image-cloud-arm64:arm64 |
    sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
(cd "$dir/cache" && of_its_own apt-get -qq download "$package" && dpkg -x ./linux-image-*.deb "$dir/root")

kernel=$(echo "$dir"/root/boot/vmlinuz-*)
release=${kernel##*/vmlinuz-}
mv "$kernel" "$dir/vmlinuz"
: >"$dir/modules.order"
# In the order they need each other; what is not found is built in.
for name in crc32c_generic crc16 libcrc32c mbcache jbd2 ext4 libnvdimm nd_btt nd_pmem of_pmem; do
    module=$(find "$dir/root/" -name "$name.ko.xz")
    [[ -n $module ]] || continue
    xz -dc "$module" >"$dir/modules/$name.ko"
    echo "$name" >>"$dir/modules.order"
done
rm -rf "$dir/root" "$dir/cache" "$dir/lists"
echo "$release" >"$dir/release"
