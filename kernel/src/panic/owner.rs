//! Whose an address is, in words and numbers.

use core::fmt;

use units::{PhysAddr, VirtAddr, VirtRange};

use crate::layout::{self, LINEAR_BASE, LINEAR_END, STACKS_BASE, STACKS_SIZE, USER_END};
use crate::task::stack::{self, SLOT};
use crate::{percpu, pmem, regions};

/// An address, to be shown as what it belongs to.
pub(super) struct Owner(VirtAddr);

/// Whose `va` is.
pub(super) fn of(va: VirtAddr) -> Owner {
    Owner(va)
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let va = self.0;
        if let Some(range) = stack_around(va) {
            return stack(f, va, range);
        }
        f.write_str(layout::describe(va))?;
        // SAFETY: null, or the task that runs here.
        let task = unsafe { percpu::current_or_null().as_ref() };
        if let (0x1000..USER_END, Some(task)) = (va.get(), task) {
            return write!(f, ", in {task}");
        }
        let Some(region) = regions::find(va) else { return Ok(()) };
        if (LINEAR_BASE..LINEAR_END).contains(&va.get()) {
            return physical(f, PhysAddr::new(va.get() - LINEAR_BASE));
        }
        if !layout::image().contains(va) {
            write!(f, ", byte {:#x} of {:#x}", va.get() - region.range.start().get(), region.range.len().get())?;
        }
        Ok(())
    }
}

/// An address of the linear map: where it is, and in which pmem device.
fn physical(f: &mut fmt::Formatter<'_>, pa: PhysAddr) -> fmt::Result {
    write!(f, ", physical {:#x}", pa.get())?;
    for device in pmem::devices() {
        if let Some(offset) = device.offset_of(pa) {
            write!(f, ", {} byte {:#x}, sector {}", device.name(), offset.get(), offset.get() / 512)?;
        }
    }
    Ok(())
}

/// The slot of a stack that `va` lies in, or the boot stack's: guard and stack.
fn stack_around(va: VirtAddr) -> Option<VirtRange> {
    let boot = layout::boot_stack();
    let slot = match va.get() {
        at if (STACKS_BASE..STACKS_BASE + STACKS_SIZE).contains(&at) => at - at % SLOT,
        at if (boot.start().get() - stack::SIZE..boot.end().get()).contains(&at) => boot.start().get() - stack::SIZE,
        _ => return None,
    };
    VirtRange::new(VirtAddr::new(slot), VirtAddr::new(slot + SLOT))
}

/// Whether `va` is in the guard below some stack.
pub(super) fn is_guard(va: VirtAddr) -> bool {
    stack_around(va).is_some_and(|slot| va.get() - slot.start().get() < stack::SIZE)
}

/// Which stack it is, and how far from its top.
fn stack(f: &mut fmt::Formatter<'_>, va: VirtAddr, slot: VirtRange) -> fmt::Result {
    let guard = is_guard(va);
    if guard {
        f.write_str("the guard below ")?;
    }
    // SAFETY: null, or the task that runs here.
    let task = unsafe { percpu::current_or_null().as_ref() };
    let number = slot.start().get().wrapping_sub(STACKS_BASE) / SLOT;
    let top = match number {
        _ if task.is_some_and(|task| slot.end() == task.stack_top()) => {
            f.write_str("this task's stack")?;
            slot.end().get()
        }
        _ if slot.contains(layout::boot_stack().start()) => {
            f.write_str("the boot stack")?;
            slot.end().get()
        }
        0..stack::OVERFLOW_SLOTS => {
            write!(f, "the stack of CPU {number} for overflows")?;
            slot.start().get() + stack::SIZE + stack::OVERFLOW_SIZE
        }
        _ => {
            write!(f, "the kernel stack in slot {number}")?;
            slot.end().get()
        }
    };
    if guard {
        write!(f, ", {} bytes beyond its end", slot.start().get() + stack::SIZE - va.get())
    } else {
        write!(f, ", {} bytes below its top", top.wrapping_sub(va.get()))
    }
}
