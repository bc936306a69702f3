//! Ways to go wrong, each of which ends the machine: what their reports must say is in `tests/tests/panic.rs`, which finds
//! the lines by the comments that end in a name.

use alloc::alloc::{Layout, alloc, dealloc};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::arch::asm;
use core::fmt;
use core::hint::black_box;


use units::{ByteLen, PhysAddr, VirtAddr};

use crate::testing::kernel_test;
use crate::{layout, paging, panic, pmem, smp, task};

/// Reads at `address`, whatever is there.
#[inline(always)]
fn read_at(address: u64) -> u64 {
    let value;
    // SAFETY: none: that it faults is the point, and the machine ends with it.
    unsafe { asm!("ldr {}, [{}]", out(reg) value, in(reg) address) }; // read_at
    value
}

/// Uses up the stack, a little more in each call.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 32]);
    let below = if depth == u64::MAX { 0 } else { recurse(depth + 1) }; // recurse
    room[depth as usize % 32] + below
}

/// Text that cannot be shown.
struct Unshowable;

impl fmt::Display for Unshowable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", read_at(layout::LINEAR_END - 8)) // unshowable
    }
}

kernel_test! {
    /// An address is told by whose it is, with where in it.
    fn addresses_are_told_by_their_owner() {
        let told = |address: u64| panic::owner_of(VirtAddr::new(address)).to_string();
        let top = task::current().stack_top().get();
        assert_eq!(told(8), "the null page");
        assert_eq!(told(0x1234_5678), format!("a program's memory, in {}", task::current()));
        assert_eq!(told(layout::text_start().get()), "kernel text");
        assert_eq!(told(top - 16), "this task's stack, 16 bytes below its top");
        assert_eq!(told(top - 0x8001), "the guard below this task's stack, 1 bytes beyond its end");
        assert_eq!(told(layout::boot_stack_end().get() - 8), "the boot stack, 8 bytes below its top");
        assert_eq!(told(layout::STACKS_BASE), "the guard below the stack of CPU 0 for overflows, 32768 bytes beyond its end");
        let text = paging::image_phys(layout::text_start());
        let alias = layout::LINEAR_BASE + text.get();
        assert_eq!(told(alias), format!("the linear map of kernel text, physical {:#x}", text.get()));
        assert_eq!(told(layout::LINEAR_END - 8), "the linear map, where nothing is mapped");
        assert!(told(layout::MMIO_BASE).contains(", byte 0x0 of 0x"), "{}", told(layout::MMIO_BASE));
        for device in pmem::devices() {
            let base = device.dax().ops().geometry().phys_addr;
            let at = base.checked_add(ByteLen::new(0x3210)).map_or(0, PhysAddr::get);
            let want = format!("physical {at:#x}, {} byte 0x3210, sector 25", device.name());
            assert!(told(layout::LINEAR_BASE + at).ends_with(&want), "{}", told(layout::LINEAR_BASE + at));
        }
    }

    /// A plain panic.
    fn on_purpose() ends {
        panic!("on purpose, with {} and {}", 1, "two"); // on_purpose
    }

    /// A pointer that is wrong, followed in an inlined function.
    fn bad_pointer() ends {
        black_box(read_at(0x18)); // bad_pointer
    }

    /// The allocator follows a pointer that somebody wrote into freed memory, with its lock held.
    fn in_the_allocator() ends {
        let layout = Layout::new::<[u64; 100]>();
        // SAFETY: none for the write to freed memory: that it is found is the point.
        unsafe {
            let object = black_box(alloc(layout)).cast::<u64>();
            dealloc(object.cast(), layout);
            black_box(object).write(0x1234_5678_9abc_def0);
            let _ = black_box(alloc(layout));
            let _ = black_box(alloc(layout)); // in_the_allocator
        }
    }

    /// More memory than there is.
    fn out_of_memory() ends {
        let bytes = Vec::<u8>::with_capacity(1 << 40); // out_of_memory
        assert!(bytes.is_empty());
    }

    /// The report itself goes wrong.
    fn in_the_report() ends {
        panic!("about {Unshowable}"); // in_the_report
    }

    /// A kernel stack is used up.
    fn stack_overflow() ends {
        let sum = recurse(0); // stack_overflow
        assert_ne!(sum, 0);
    }

    /// The stack pointer leads to nothing.
    fn bad_stack_pointer() ends {
        // SAFETY: none: that it faults is the point.
        unsafe { asm!("mov sp, {}", "str xzr, [sp]", in(reg) 0xffff_b000_0000_f000_u64, options(noreturn)) }
    }

    /// A jump to where no code is.
    fn bad_jump() ends {
        // SAFETY: none: that it faults is the point.
        let nowhere: extern "C" fn() = unsafe { core::mem::transmute(layout::LINEAR_BASE as usize) };
        nowhere(); // bad_jump
        black_box(nowhere); // and not a tail call
    }

    /// A store to text, by the name that it has in the linear map.
    fn write_to_text() ends {
        let text = layout::linear(paging::image_phys(layout::text_start()));
        // SAFETY: none: that it faults is the point.
        unsafe { text.write_volatile(0) }; // write_to_text
    }

    /// Another CPU, while it serves an interrupt.
    fn on_another_cpu() ends {
        let answer = smp::call(1, |_| panic!("over here"), 0); // on_another_cpu
        black_box(answer).unwrap();
    }

    /// The chain of frame records leads nowhere.
    fn bad_frame_pointer() ends {
        // SAFETY: none: that it faults is the point.
        unsafe { asm!("mov x29, {}", "brk #7", in(reg) layout::STACKS_BASE + 8, options(noreturn)) } // bad_frame_pointer
    }

    /// Under the lock of the log, which the report wants to show.
    fn under_the_logs_lock() ends {
        log::info!("the last thing logged");
        let _ = crate::log::last_lines(1, &mut |_| panic!("with the log locked")); // under_the_logs_lock
    }
}
