//! The end of the machine, with a status for who started it.

use core::sync::atomic::{AtomicBool, Ordering};

/// What QEMU's exit status says (docs/DESIGN.md, 'Interfaces that stay').
pub(crate) mod status {
    /// Some in-kernel test failed.
    pub(crate) const TESTS_FAILED: i32 = 1;
    /// The kernel panicked.
    pub(crate) const PANIC: i32 = 101;
    /// No usable medium, a bad command line, or a device tree that says too little.
    pub(crate) const REFUSED: i32 = 125;
    /// `init=` names something that is not a program we can run.
    pub(crate) const NOT_EXECUTABLE: i32 = 126;
    /// `init=` names nothing.
    pub(crate) const NOT_FOUND: i32 = 127;
}

/// Whether [`exit`] has been tried.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Whether the machine is being ended: a fault now is the way out that failed.
pub(crate) fn is_ending() -> bool {
    ENDING.load(Ordering::Relaxed)
}

/// Ends QEMU with `code` through the semihosting call SYS_EXIT; where nobody listens to that, turns the machine off,
/// and where that fails too, sleeps.
pub(crate) fn exit(code: i32) -> ! {
    arch::irq::save();
    // `hlt` without semihosting is an undefined instruction: its trap comes back here.
    if !ENDING.swap(true, Ordering::Relaxed) {
        semihosting::process::exit(code);
    }
    loop {
        arch::irq::wait();
    }
}

/// Says on the console why the machine cannot go on, then ends with `code`.
pub(crate) fn refuse(code: i32, why: core::fmt::Arguments<'_>) -> ! {
    crate::console::say(format_args!("vitrine: {why}\n"));
    exit(code)
}
