#!/usr/bin/env bash
# Boots a kernel in QEMU. The only place that spells a QEMU line; everything else calls this.
#
# The machine is always `virt` with GICv3 and semihosting, one UART on stdout and stdin, nothing else attached. The
# exit status is QEMU's own, which is what the kernel said by semihosting; 124 is a time-out, 125 a request that
# cannot be carried out. Messages of this script go to stderr and begin with `qemu-run.sh:`.
set -uo pipefail
{ : 3<&0; } 2>/dev/null || exec </dev/null # a caller may have closed it; `<&0` alone would not look

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd) || exit 125

usage() {
    cat <<'TXT'
qemu-run.sh [OPTION]... [-- QEMU ARGS]
  --kernel FILE    what to boot, an ELF file or a flat image (target/vitrine.elf beside this script)
  --at ADDRESS     where a flat image is loaded, a multiple of 64 KiB (0x40200000)
  --pmem FILE      a persistent memory device kept in FILE; may be given several times
  --carrier K      how the devices are attached: nvdimm (default), dt, numa, ivshmem
  --smp N          CPUs (1)
  --mem M          RAM, pmem not counted: 512M, 2G (512M)
  --cpu C          CPU model (max,pauth-impdef=on)
  --el N           exception level of the first instruction: 2 or 1 (2); 3 for QEMU's secure machine
  --icount         time is instructions executed, and every run is the same
  --gdb            wait for gdb on 127.0.0.1:1234 before the first instruction
  --timeout S      stop after S seconds, with status 124
  --append "..."   the kernel's command line
When stdin is a terminal, ^A x stops QEMU, ^A c is its monitor and ^A ^A is ^A. When stdin ends, ^D is sent.
TXT
}

refuse() {
    echo "qemu-run.sh: $*" >&2
    exit 125
}

# --- The words -------------------------------------------------------------------------------------------------------

kernel=$root/target/vitrine.elf
address=
carrier=nvdimm
cpus=1
ram=512M
cpu=max,pauth-impdef=on
level=2
limit=
append=
media=()
deterministic=()
debugger=()
extra=()

while (($#)); do
    case $1 in
    --kernel | --at | --pmem | --carrier | --smp | --mem | --cpu | --el | --timeout | --append)
        (($# > 1)) || refuse "$1 wants a value (see --help)"
        case $1 in
        --kernel) kernel=$2 ;;
        --at) address=$2 ;;
        --pmem) media+=("$2") ;;
        --carrier) carrier=$2 ;;
        --smp) cpus=$2 ;;
        --mem) ram=$2 ;;
        --cpu) cpu=$2 ;;
        --el) level=$2 ;;
        --timeout) limit=$2 ;;
        --append) append=$2 ;;
        esac
        shift 2
        ;;
    --icount)
        deterministic=(-icount "shift=0,sleep=off" -seed 1 -rtc "base=2020-01-01,clock=vm")
        shift
        ;;
    --gdb)
        debugger=(-S -gdb "tcp:127.0.0.1:1234")
        shift
        ;;
    --help | -h)
        usage
        exit 0
        ;;
    --)
        shift
        extra=("$@")
        break
        ;;
    *) refuse "unknown word '$1' (see --help)" ;;
    esac
done

# The guest's end of a serial line does not know how large the window at the other is.
if [[ -t 0 ]] && size=$(stty size 2>/dev/null) && [[ $size =~ ^[1-9][0-9]*\ [1-9][0-9]*$ ]]; then
    append="window=${size/ /x}${append:+ $append}"
fi

# --- Are they possible? ----------------------------------------------------------------------------------------------

[[ $cpus =~ ^[1-9][0-9]{0,2}$ ]] || refuse "--smp wants a number of CPUs, not '$cpus'"
[[ $limit =~ ^([0-9]{1,9}([.][0-9]{1,3})?)?$ && ! $limit =~ ^[0.]+$ ]] ||
    refuse "--timeout wants seconds, not '$limit'"
[[ $ram =~ ^([1-9][0-9]{0,6})([MG]?)$ ]] || refuse "--mem wants a size such as 512M or 2G, not '$ram'"
ram_bytes=$((BASH_REMATCH[1] << 20))
[[ ${BASH_REMATCH[2]} != G ]] || ram_bytes=$((ram_bytes << 10))
[[ -n $cpu ]] || refuse "--cpu wants a CPU model"

case $level in
1) world="virtualization=off" ;;
2) world="virtualization=on" ;;
3) world="virtualization=on,secure=on" ;;
*) refuse "--el wants 2, 1 or 3, not '$level'" ;;
esac

case $carrier in
nvdimm | numa | ivshmem) ;;
dt)
    command -v fdtput >/dev/null ||
        refuse "fdtput is missing, which carrier dt wants: install it (Debian: apt-get install device-tree-compiler)"
    ;;
*) refuse "unknown carrier '$carrier' (nvdimm, dt, numa or ivshmem)" ;;
esac

command -v qemu-system-aarch64 >/dev/null ||
    refuse "qemu-system-aarch64 is missing: install it (Debian: apt-get install qemu-system-arm)"
[[ -f $kernel && -r $kernel ]] || refuse "no kernel at $kernel (make build makes one)"

# A flat image has the arm64 header: `ARM\x64` at byte 56.
flat=
[[ $(dd if="$kernel" bs=1 skip=56 count=4 2>/dev/null | tr '\0' ' ') != ARMd ]] || flat=yes
[[ -z $address || -n $flat ]] || refuse "--at is for a flat image, which $kernel is not"
[[ -z $address || $address =~ ^0x[0-9a-fA-F]{1,12}$ ]] || refuse "--at wants an address such as 0x40210000, not '$address'"
((${address:-0} % 65536 == 0)) || refuse "--at wants a multiple of 64 KiB, not '$address'"
# RAM begins at 1 GiB. An image that hangs over its end could not even say so: what it clears and the tables it makes lie there.
if [[ -n $address ]]; then
    length=$(od -An -tu8 -j16 -N8 "$kernel") || refuse "$kernel cannot be read"
    ((address >= 0x40000000 && address + length <= 0x40000000 + ram_bytes)) ||
        refuse "--at $address: the image's $((length >> 10)) KiB do not lie in RAM, which is $ram at 0x40000000"
fi

# Locks each medium for as long as QEMU, which inherits the descriptors, is alive.
locks=()
sizes=()
take_medium() {
    local file=$1 lock size
    [[ -e $file ]] || refuse "no pmem file $file (make image makes target/root.img)"
    [[ -f $file ]] || refuse "$file is not a file"
    [[ -r $file && -w $file ]] || refuse "$file cannot be read and written"
    size=$(stat -L -c %s -- "$file") || refuse "$file has no size"
    ((size > 0)) || refuse "$file is empty"
    ((size % 4096 == 0)) || refuse "the size of $file, $size bytes, is not a multiple of 4096"
    exec {lock}<>"$file" || refuse "$file cannot be opened"
    if command -v flock >/dev/null; then
        flock -n "$lock" || refuse "$file is in use by another QEMU or by vitrine"
    fi
    locks+=("$lock")
    sizes+=("$size")
}
for file in "${media[@]}"; do take_medium "$file"; done

# --- The machine -----------------------------------------------------------------------------------------------------

machine=virt,$world,gic-version=3
memory=()
devices=()
words=()
load=(-kernel "$kernel")

# QEMU splits option values at commas; a doubled one is a comma.
quoted() { printf '%s' "${1//,/,,}"; }

backend() { # INDEX
    printf 'memory-backend-file,id=pm%d,share=on,mem-path=%s,size=%d' "$1" "$(quoted "${media[$1]}")" "${sizes[$1]}"
}

# The kernel comes in through the loader device, under an empty firmware; `-kernel` is there only because QEMU demands it
# beside `-append`.
load_by_device() {
    local where=
    [[ -z $flat ]] || where=,addr=${address:-0x40200000},force-raw=on
    load=(-bios /dev/null -device "loader,file=$(quoted "$kernel")$where,cpu-num=0" -kernel "${BASH_SOURCE[0]}")
}

# Without firmware QEMU has no ACPI tables, and without those no NVDIMM. An empty one satisfies it.
attach_nvdimms() {
    local i room=$((ram_bytes + (8 << 30))) # and four more that come behind `--`
    machine+=,nvdimm=on
    for i in "${!media[@]}"; do
        devices+=(-object "$(backend "$i")" -device "nvdimm,id=nv$i,memdev=pm$i")
        room=$((room + sizes[i] + (2 << 30)))
    done
    memory=(-m "size=$((ram_bytes >> 20))M,slots=$((${#media[@]} + 4)),maxmem=$(((room >> 30) + 1))G")
    load_by_device
}

# Each medium is the memory of a NUMA node of its own, right behind RAM.
places=()
attach_nodes() {
    local i base=$((0x40000000 + ram_bytes)) all=$ram_bytes
    devices=(-object "memory-backend-ram,id=ram0,size=$ram_bytes" -numa "node,nodeid=0,memdev=ram0,cpus=0-$((cpus - 1))")
    for i in "${!media[@]}"; do
        devices+=(-object "$(backend "$i")" -numa "node,nodeid=$((i + 1)),memdev=pm$i")
        places+=("$base")
        base=$((base + sizes[i]))
        all=$((all + sizes[i]))
    done
    ((all % 8192 == 0)) || refuse "carrier $carrier wants media whose sizes add up to a multiple of 8192"
    memory=(-m "size=${all}B")
}

# Carrier numa: the command line says where the nodes are.
name_nodes() {
    local i
    for i in "${!media[@]}"; do words+=("$(printf 'pmem=0x%x,0x%x' "${places[i]}" "${sizes[i]}")"); done
}

# Carrier dt: the device tree says so. QEMU has no option for such a node, so the tree that it would hand over is dumped,
# completed and handed over instead. QEMU still writes memory and command line into it.
tree=
name_regions() {
    local i node place
    tree=$(mktemp --suffix=.dtb) || refuse "no place for a device tree"
    "${line[@]}" -machine "dumpdtb=$tree" </dev/null >/dev/null 2>&1 || refuse "QEMU gave no device tree"
    for i in "${!media[@]}"; do
        node=$(printf '/pmem@%x' "${places[i]}")
        place=$(printf '0x%x 0x%x 0x%x 0x%x' $((places[i] >> 32)) $((places[i] & 0xffffffff)) \
            $((sizes[i] >> 32)) $((sizes[i] & 0xffffffff)))
        # shellcheck disable=SC2086 # four words
        if ! { fdtput -c "$tree" "$node" && fdtput -t s "$tree" "$node" compatible pmem-region &&
            fdtput -t x "$tree" "$node" reg $place; }; then
            refuse "fdtput cannot complete the device tree"
        fi
    done
    line+=(-dtb "$tree")
}

# Carrier ivshmem: each medium is the memory behind BAR 2 of a PCI device.
attach_ivshmem() {
    local i
    for i in "${!media[@]}"; do
        ((sizes[i] & (sizes[i] - 1))) && refuse "carrier ivshmem wants media whose sizes are powers of two"
        devices+=(-object "$(backend "$i")" -device "ivshmem-plain,id=iv$i,memdev=pm$i")
    done
}

memory=(-m "$((ram_bytes >> 20))M")
[[ -z $address ]] || load_by_device
if ((${#media[@]})); then
    case $carrier in
    nvdimm) attach_nvdimms ;;
    dt) attach_nodes ;;
    numa)
        attach_nodes
        name_nodes
        ;;
    ivshmem) attach_ivshmem ;;
    esac
fi
[[ -z $append ]] || words+=("$append")
((${#words[@]} == 0)) || load+=(-append "${words[*]}")

# With a terminal the monitor shares it behind ^A, and ^C goes to the guest.
if [[ -t 0 ]]; then
    console=(-serial mon:stdio)
else
    console=(-serial stdio -monitor none)
fi

line=(qemu-system-aarch64 -machine "$machine" -cpu "$cpu" -smp "$cpus" "${memory[@]}" "${devices[@]}"
    -nodefaults -nic none -display none "${console[@]}" -semihosting-config "enable=on,target=native"
    "${load[@]}" "${deterministic[@]}" "${debugger[@]}" "${extra[@]}")

# --- The run ---------------------------------------------------------------------------------------------------------

# QEMU must not outlive this script, even when that is killed outright.
tied=()
if command -v setpriv >/dev/null && setpriv --pdeathsig KILL true 2>/dev/null; then
    tied=(setpriv --pdeathsig KILL)
fi
if [[ -n $limit ]]; then
    line=("${tied[@]}" timeout --foreground --kill-after=5 "$limit" "${tied[@]}" "${line[@]}")
else
    line=("${tied[@]}" "${line[@]}")
fi

# Passes stdin on and, when it has ended, keeps saying so: a ^D ends one read, and more than one program may read.
# Ends with this script (`$$` is its process id here too), so that nothing goes on eating the caller's stdin.
feed() {
    local reader idle lock
    for lock in "${locks[@]}"; do exec {lock}>&-; done
    exec 2>/dev/null {idle}<> <(:)
    { "${tied[@]}" cat && echo >&"$idle"; } <&0 &
    reader=$!
    trap 'kill "$reader"; exit' TERM
    # The reader's word only shortens the wait: `read` may lose it to its own time-out. Its status tells.
    until read -rt 1 -u "$idle" || ! kill -0 "$reader"; do
        if ! kill -0 "$$"; then
            kill "$reader"
            exit
        fi
    done
    wait "$reader" || exit
    trap - TERM
    while printf '\004'; do
        read -rt 0.5 -u "$idle"
    done
}

qemu=
feeder=
settings=
# shellcheck disable=SC2317 # called by the traps
finish() {
    trap - EXIT HUP INT TERM
    [[ -z $qemu ]] || kill "$qemu" 2>/dev/null
    [[ -z $feeder ]] || kill "$feeder" 2>/dev/null
    [[ -z $settings ]] || stty "$settings" 2>/dev/null
    [[ -z $tree ]] || rm -f "$tree"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
[[ $carrier != dt || ${#media[@]} -eq 0 ]] || name_regions

if [[ -t 0 ]]; then
    settings=$(stty -g)
    "${line[@]}" <&0 &
    qemu=$!
else
    exec {input}< <(feed)
    feeder=$!
    "${line[@]}" <&"$input" {input}<&- &
    qemu=$!
    exec {input}<&-
fi
{ wait "$qemu"; } 2>/dev/null # bash would tell of a QEMU that was killed; the status says so
status=$?
qemu=
exit "$status"
