//! Ways to go wrong, each of which ends the machine: what their reports must say is in `tests/tests/panic.rs`, which finds
//! the lines by the comments that end in a name.

use alloc::alloc::{Layout, alloc, dealloc};
use alloc::vec::Vec;
use core::arch::asm;
use core::fmt;
use core::hint::black_box;

use crate::layout;
use crate::testing::kernel_test;

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

    /// A jump to where no code is.
    fn bad_jump() ends {
        // SAFETY: none: that it faults is the point.
        let nowhere: extern "C" fn() = unsafe { core::mem::transmute(layout::LINEAR_BASE as usize) };
        nowhere(); // bad_jump
    }

    /// The chain of frame records leads nowhere.
    fn bad_frame_pointer() ends {
        // SAFETY: none: that it faults is the point.
        unsafe { asm!("mov x29, {}", "brk #7", in(reg) layout::STACKS_BASE + 8, options(noreturn)) } // bad_frame_pointer
    }

    /// Under the lock of the log, which the report wants to show.
    fn under_the_logs_lock() ends {
        log::info!("the last thing logged");
        crate::log::last_lines(1, &mut |_| panic!("with the log locked")); // under_the_logs_lock
    }
}
