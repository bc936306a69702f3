//! The kernel's address map: where each window lies, and whose an address is. `docs/MEMORY.md` draws it.

use units::{ByteLen, PhysAddr, PhysRange, VirtAddr, VirtRange};

use crate::regions;
use crate::task::stack;

/// Linear map of RAM and pmem: this plus the physical address.
pub(crate) use boot::LINEAR_BASE;
/// The end of the linear map: 47 bits of physical address.
pub(crate) const LINEAR_END: u64 = 0xffff_8000_0000_0000;
/// The physical address that the linear map ends before.
pub(crate) const LINEAR_REACH: PhysAddr = PhysAddr::new(LINEAR_END - LINEAR_BASE);
/// Device registers.
pub(crate) const MMIO_BASE: u64 = 0xffff_9000_0000_0000;
/// Bytes of the window of device registers.
pub(crate) const MMIO_SIZE: u64 = 1 << 30;
/// Kernel stacks of CPUs and tasks, each in a slot of its own with an unmapped half below.
pub(crate) const STACKS_BASE: u64 = 0xffff_a000_0000_0000;
/// Bytes of the window of kernel stacks.
pub(crate) const STACKS_SIZE: u64 = 1 << 30;
/// The end of user addresses (Linux: `TASK_SIZE`).
pub(crate) const USER_END: u64 = 1 << 48;

macro_rules! linker_symbols {
    ($($name:ident = $symbol:ident;)*) => {
        $(
            #[doc = concat!("The address of the linker's `", stringify!($symbol), "`.")]
            pub(crate) fn $name() -> VirtAddr {
                unsafe extern "C" {
                    static $symbol: [u8; 0];
                }
                VirtAddr::new((&raw const $symbol).addr() as u64)
            }
        )*
    };
}

linker_symbols! {
    text_start = __text_start;
    text_end = __text_end;
    vectors_start = __vectors_start;
    vectors_end = __vectors_end;
    rodata_start = __rodata_start;
    rodata_end = __rodata_end;
    data_start = __data_start;
    data_end = __data_end;
    boot_stack_start = __stack_start;
    boot_stack_end = __stack_end;
    image_end = _end;
    symbols_start = __symbols_start;
    symbols_end = __symbols_end;
    relr_start = __relr_start;
    relr_end = __relr_end;
    init_pg_dir = init_pg_dir;
    idmap_pg_dir = idmap_pg_dir;
    reloc_pg_dir = reloc_pg_dir;
    reserved_pg_dir = reserved_pg_dir;
}

/// How far above its link address the kernel runs: what a symbol of its ELF file lacks of the address it is found at.
pub(crate) fn displacement() -> u64 {
    text_start().get() - boot::link_base()
}

/// Where RAM or pmem at `pa` is seen in the linear map.
#[inline]
pub(crate) fn linear(pa: PhysAddr) -> *mut u8 {
    debug_assert!(pa.get() < LINEAR_END - LINEAR_BASE);
    core::ptr::with_exposed_provenance_mut((LINEAR_BASE + pa.get()) as usize)
}

/// The range of the linear map that shows `range`.
pub(crate) fn linear_range(range: PhysRange) -> VirtRange {
    let at = |pa: PhysAddr| VirtAddr::new(LINEAR_BASE + pa.get());
    VirtRange::new(at(range.start()), at(range.end())).unwrap_or_else(|| unreachable!("the ends keep their order"))
}

/// The whole image, from text to the boot stack.
pub(crate) fn image() -> VirtRange {
    part(text_start(), image_end())
}

/// Text, which is executed and not written.
pub(crate) fn text() -> VirtRange {
    part(text_start(), text_end())
}

/// Constants.
pub(crate) fn rodata() -> VirtRange {
    part(rodata_start(), rodata_end())
}

/// What is written, tables of `boot` included.
pub(crate) fn data() -> VirtRange {
    part(data_start(), data_end())
}

/// The stack of the first CPU until its first program runs.
pub(crate) fn boot_stack() -> VirtRange {
    part(boot_stack_start(), boot_stack_end())
}

fn part(start: VirtAddr, end: VirtAddr) -> VirtRange {
    VirtRange::new(start, end).unwrap_or_else(|| unreachable!("the linker's symbols rise"))
}

/// What `va` belongs to, in words.
pub(crate) fn describe(va: VirtAddr) -> &'static str {
    if let Some(region) = regions::find(va) {
        return region.name;
    }
    let within = |start: u64, len: u64| va.get().wrapping_sub(start) < len;
    match va.get() {
        0..0x1000 => "the null page",
        0x1000..USER_END => "a program's memory",
        LINEAR_BASE..LINEAR_END => "the linear map, where nothing is mapped",
        _ if data_end() <= va && va < boot_stack_start() => "the guard below the boot stack",
        _ if within(STACKS_BASE, STACKS_SIZE) && va.get() & stack::SIZE == 0 => "a guard below a kernel stack",
        _ => "nothing the kernel has mapped",
    }
}

/// A program's address without the tag in its top byte, which the CPU ignores (TCR_EL1.TBI0); the kernel's stay
/// (Linux: `untagged_addr`).
pub(crate) const fn untagged(address: u64) -> u64 {
    address & ((address << 8) as i64 >> 8) as u64
}

/// A range of `len` bytes at `start`, where it lies below the end of user addresses.
pub(crate) fn user_range(start: u64, len: u64) -> Option<VirtRange> {
    let range = VirtRange::with_len(VirtAddr::new(start), ByteLen::new(len))?;
    (range.end().get() <= USER_END).then_some(range)
}
