//! Which CPU this is, and what it can do.

use core::arch::asm;

/// CPUs the kernel has room for.
pub const MAX_CPUS: usize = 8;

/// The number of this CPU, below [`MAX_CPUS`]; the boot CPU is 0.
///
/// It lies in `TPIDRRO_EL0`'s kernel twin, `TPIDR_EL1`, as the first word of the per-CPU block (see `kernel::percpu`),
/// which is null until that is set up: CPU 0.
#[inline]
pub fn index() -> usize {
    let block: *const u64;
    // SAFETY: a read of TPIDR_EL1.
    unsafe { asm!("mrs {}, tpidr_el1", out(reg) block, options(nomem, nostack, preserves_flags)) };
    if block.is_null() {
        return 0;
    }
    // SAFETY: not null, so it is the per-CPU block, whose first word is the index and never changes.
    let index = unsafe { *block } as usize;
    index % MAX_CPUS
}
