//! The end of the machine, with a status for who started it.

use spin::Once;

use crate::smp::{self, psci};

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

/// Whether [`exit`] has been tried, and with which status.
static ENDING: Once<i32> = Once::new();

/// Ends QEMU with `code` through the semihosting call SYS_EXIT. Where nobody listens to that, a machine that has done what
/// it was asked is turned off; one that has not must not look as if it had, and sleeps.
pub(crate) fn exit(code: i32) -> ! {
    arch::irq::save();
    ENDING.call_once(|| code);
    semihosting::process::exit(code)
}

/// Called where something went wrong: `hlt` without semihosting is an undefined instruction, and its trap comes here. Does
/// not return then.
pub(crate) fn try_without_semihosting() {
    match ENDING.get() {
        None => {}
        Some(0) => {
            psci::system_off();
            smp::park()
        }
        Some(_) => smp::park(),
    }
}

/// Says on the console why the machine cannot go on, then ends with `code`.
pub(crate) fn refuse(code: i32, why: core::fmt::Arguments<'_>) -> ! {
    crate::console::say(format_args!("vitrine: {why}\n"));
    exit(code)
}
