//! The kernel's address map: where each window lies, and whose an address is. `docs/MEMORY.md` draws it.

use units::{ByteLen, PhysAddr, PhysRange, VirtAddr, VirtRange};

use crate::task::stack;

/// Linear map of RAM and pmem: this plus the physical address.
pub(crate) use boot::LINEAR_BASE;
/// The end of the linear map: 47 bits of physical address.
pub(crate) const LINEAR_END: u64 = 0xffff_8000_0000_0000;
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
    rodata_start = __rodata_start;
    rodata_end = __rodata_end;
    data_start = __data_start;
    data_end = __data_end;
    boot_stack_start = __stack_start;
    boot_stack_end = __stack_end;
    image_end = _end;
    relr_start = __relr_start;
    relr_end = __relr_end;
    init_pg_dir = init_pg_dir;
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

/// The physical range of `[start, end)`, two of the linker's symbols, in an image loaded with `_text` at `loaded`.
pub(crate) fn image_range(start: VirtAddr, end: VirtAddr, loaded: PhysAddr) -> PhysRange {
    let phys = |va: VirtAddr| PhysAddr::new(va.get() - text_start().get() + loaded.get());
    PhysRange::new(phys(start), phys(end)).unwrap_or_else(|| unreachable!("the linker's symbols rise"))
}

/// What `va` belongs to, in words.
pub(crate) fn describe(va: VirtAddr) -> &'static str {
    let within = |start: u64, len: u64| va.get().wrapping_sub(start) < len;
    let between = |start: VirtAddr, end: VirtAddr| start <= va && va < end;
    match va.get() {
        0..0x1000 => "the null page",
        0x1000..USER_END => "a program's memory",
        LINEAR_BASE..LINEAR_END => "the linear map",
        _ if between(text_start(), text_end()) => "kernel text",
        _ if between(rodata_start(), rodata_end()) => "kernel read-only data",
        _ if between(data_start(), data_end()) => "kernel data",
        _ if between(boot_stack_start(), boot_stack_end()) => "the boot stack",
        _ if between(data_end(), boot_stack_start()) => "the guard below the boot stack",
        _ if within(MMIO_BASE, MMIO_SIZE) => "device registers",
        _ if within(STACKS_BASE, STACKS_SIZE) && va.get() & stack::SIZE == 0 => "a guard below a kernel stack",
        _ if within(STACKS_BASE, stack::OVERFLOW_SLOTS * stack::SLOT) => "a CPU's stack for overflows",
        _ if within(STACKS_BASE, STACKS_SIZE) => "a kernel stack",
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
