//! What the boot CPU leaves for the others: where they go on with the MMU on, and what each finds there.

use core::sync::atomic::{AtomicU64, Ordering};

use arch::cache::{self, CleanTo};
use arch::cpu::MAX_CPUS;

/// What a CPU finds when its MMU is on; `secondary_switched` knows the layout.
#[repr(C)]
pub(crate) struct Place {
    /// Its per-CPU block, for TPIDR_EL1.
    block: AtomicU64,
    /// The address behind its stack.
    stack: AtomicU64,
}

const _: () = assert!(size_of::<Place>() == 16, "secondary_switched shifts by 4");

/// By the number of the CPU.
pub(crate) static PLACES: [Place; MAX_CPUS] =
    [const { Place { block: AtomicU64::new(0), stack: AtomicU64::new(0) } }; MAX_CPUS];

/// Where `secondary_switched` runs: the one word a CPU reads before its MMU is on.
pub(crate) static SECONDARY_SWITCHED: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    fn secondary_entry();
    fn secondary_switched();
}

/// Puts in place what CPU `index` finds: its per-CPU block, and the address behind its stack. Answers where
/// `secondary_entry` lies in the kernel's map; the firmware is to enter it by its physical address, with `index` in x0.
///
/// # Panics
/// Where `index` is not below [`MAX_CPUS`].
///
/// # Safety
/// Both are that CPU's alone for ever, the block as [`arch::cpu::set_block`] wants it.
pub unsafe fn place_secondary<T>(index: usize, block: *const T, stack: u64) -> u64 {
    PLACES[index].block.store(block.expose_provenance() as u64, Ordering::Relaxed);
    PLACES[index].stack.store(stack, Ordering::Relaxed);
    SECONDARY_SWITCHED.store(secondary_switched as *const () as u64, Ordering::Release);
    let word = (&raw const SECONDARY_SWITCHED).cast();
    // SAFETY: a static of the kernel, which is mapped.
    unsafe { cache::clean(word, size_of::<AtomicU64>(), cache::data_line(), CleanTo::Coherency) };
    arch::barrier::dsb_sy();
    secondary_entry as *const () as u64
}
