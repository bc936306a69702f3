//! Where the kernel is to run (`kaslr`), and the refusal to run at EL3: Rust that runs before `kernel_main`.
//!
//! Nothing here may leave anything behind in a static: `.bss` is cleared once more, and the pointers in `.data` move.

use core::ptr::NonNull;

use arch::cpu;
use platform::cmdline::{CommandLine, KASLR_END, KASLR_STEP, Kaslr};
use platform::fdt::{self, Platform};
use units::HUGE_SIZE;

use crate::console::early;
use crate::exit::status;
use crate::{layout, paging, rng};

/// How far `primary_switched` is to move the kernel: 0, or a multiple of [`KASLR_STEP`] below [`KASLR_END`]. Where
/// something is wrong the answer is 0, and [`check`] says so when there is a console.
///
/// # Safety
/// `tree` is where `boot` shows the device tree: what lies there is mapped, to the end of a blob if it is one.
#[unsafe(no_mangle)]
unsafe extern "C" fn choose_displacement(tree: *const u8) -> u64 {
    // SAFETY: as the caller says.
    let Some(blob) = (unsafe { blob(tree) }) else { return 0 };
    // Most lines hold no such word, and then this is all that it costs.
    let line = fdt::bootargs(blob).filter(|line| line.contains("kaslr"));
    match line.map(CommandLine::parse) {
        Some(Ok(CommandLine { kaslr: Kaslr::By(offset), .. })) => offset,
        Some(Ok(CommandLine { kaslr: Kaslr::Random, .. })) => random(blob).unwrap_or(0),
        Some(Err(_)) | None => 0,
    }
}

/// A displacement that is not 0, from the firmware's randomness and the CPU's.
fn random(blob: &[u8]) -> Option<u64> {
    let seed = Platform::parse(blob).ok().and_then(|platform| platform.kaslr_seed);
    let word = (cpu::field(cpu::isar0(), 60) >= 1).then(rng::hardware).flatten();
    let chance = match (seed, word) {
        (None, None) => return None,
        (seed, word) => seed.unwrap_or(0) ^ word.unwrap_or(0),
    };
    let steps = KASLR_END / KASLR_STEP - 1;
    let step = 1 + ((u128::from(chance) * u128::from(steps)) >> 64) as u64;
    Some(step * KASLR_STEP)
}

/// Why the kernel is not where the command line wants it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotMoved {
    /// There was nothing to choose a place by.
    NoRandomness,
    /// The first look at the device tree found another line.
    Unread,
}

impl core::fmt::Display for NotMoved {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoRandomness => "neither kaslr-seed in the device tree nor RNDR in the CPU to choose a place by",
            Self::Unread => "the command line was not found in the device tree in time",
        })
    }
}

/// Checks that the kernel runs where the command line wants it.
///
/// # Errors
/// [`NotMoved`].
pub(crate) fn check(wanted: Kaslr) -> Result<(), NotMoved> {
    let moved = layout::displacement() & !(HUGE_SIZE - 1);
    match wanted {
        Kaslr::By(offset) if offset != moved => Err(NotMoved::Unread),
        Kaslr::Random if moved == 0 => Err(NotMoved::NoRandomness),
        _ => Ok(()),
    }
}

/// Says that this is EL3, with the MMU off and the image relocated to where it lies.
///
/// # Safety
/// `tree` is the physical address where the device tree should be.
#[unsafe(no_mangle)]
unsafe extern "C" fn refuse_el3(tree: *const u8) {
    // SAFETY: as the caller says.
    let uart = unsafe { blob(tree) }.and_then(fdt::find_uart);
    if let Some(registers) = uart.and_then(|uart| NonNull::new(uart.start().get() as *mut u8)) {
        // SAFETY: the device tree says that a PL011 is there, and addresses are physical.
        unsafe { early::attach(registers) };
    }
    early::write(b"vitrine: entered at EL3; this kernel starts at EL2 or EL1, behind a secure monitor\n");
    semihosting::process::exit(status::REFUSED);
}

/// The device tree at `tree`, if one begins there.
///
/// # Safety
/// What lies there is mapped, to the end of a blob if it is one, or the MMU is off.
unsafe fn blob<'a>(tree: *const u8) -> Option<&'a [u8]> {
    // SAFETY: as the caller says.
    if !unsafe { paging::answers(tree, fdt::HEADER) } {
        return None;
    }
    // SAFETY: as the caller says, and something is there.
    let header = unsafe { tree.cast::<[u8; fdt::HEADER]>().read() };
    let len = fdt::blob_len(header).ok()?.used;
    // SAFETY: as the caller says; the blob's memory is reserved, so nobody writes it.
    unsafe { paging::answers(tree, len) }.then(|| unsafe { core::slice::from_raw_parts(tree, len) })
}
