//! Steps towards persistence left out on purpose: `/proc/vitrine/forget`, so that a test can show that it is noticed.
//!
//! A written line is one of `clean N`, `line N` (of that clean the last line) and `fence N`: the Nth from now is left out,
//! the next being 0. Only a kernel with its checks on forgets; the other has no code for it.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;

/// A step that can be left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The whole of one clean.
    Clean,
    /// The last line of one clean.
    LastLine,
    /// One fence.
    Fence,
}

/// Nothing will be left out.
const NEVER: u64 = u64::MAX;

/// For each step, how many more are taken before one is left out.
static LEFT: [AtomicU64; 3] = [const { AtomicU64::new(NEVER) }; 3];

const NAMES: [(&str, Step); 3] = [("clean", Step::Clean), ("line", Step::LastLine), ("fence", Step::Fence)];

/// Whether this is the one to be left out; counts it.
#[inline]
pub(super) fn forgets(step: Step) -> bool {
    if !cfg!(debug_assertions) {
        return false;
    }
    let count = |left: u64| (left != NEVER).then(|| left.checked_sub(1).unwrap_or(NEVER));
    LEFT[step as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) == Ok(0)
}

/// The text of `/proc/vitrine/forget`: a line a step that will be left out.
///
/// # Errors
/// Those of `out`.
pub(crate) fn describe_forgotten(out: &mut dyn fmt::Write) -> fmt::Result {
    NAMES.iter().try_for_each(|&(name, step)| match LEFT[step as usize].load(Ordering::Relaxed) {
        NEVER => Ok(()),
        left => writeln!(out, "{name} {left}"),
    })
}

/// Does what a written line says.
///
/// # Errors
/// `EINVAL` for a line that is none of them; `EOPNOTSUPP` in a kernel without checks.
pub(crate) fn forget(line: &[u8]) -> Result<(), Errno> {
    let line = core::str::from_utf8(line).map_err(|_| Errno::EINVAL)?;
    let (name, number) = line.split_once(' ').ok_or(Errno::EINVAL)?;
    let (_, step) = NAMES.iter().find(|(known, _)| *known == name).ok_or(Errno::EINVAL)?;
    let number = number.parse().ok().filter(|&number: &u64| number != NEVER).ok_or(Errno::EINVAL)?;
    if !cfg!(debug_assertions) {
        return Err(Errno::EOPNOTSUPP);
    }
    LEFT[*step as usize].store(number, Ordering::Relaxed);
    Ok(())
}
