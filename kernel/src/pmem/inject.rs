//! Bad blocks by hand: `/proc/vitrine/badblocks`, which lists them when it is read and makes them when it is written.
//!
//! A written line is one of `add DEVICE SECTOR[+N]` (the sectors are on the list; with `poison` their pages are holes
//! too), `poison DEVICE SECTOR[+N]` (the pages are holes, and nobody knows yet: only with `poison`), and `clear DEVICE
//! SECTOR[+N]` (the sectors are good, with whatever they hold).

use core::fmt;

use abi::Errno;
use pmem::badblocks::{BadRange, BadblocksError};
use pmem::guarded::Guarded;
use pmem::medium::Medium;
use units::{ByteLen, PAGE_SIZE, PmOff, SECTOR_SIZE, Sector};

use super::cells::LinearCells;
use super::{Device, devices, poison};
use crate::{heap, vfs};

/// Heap that a change of a list takes at most, in pieces: a list of as many ranges as people make.
const WORST_CASE: usize = 64 << 10;

/// The text of `/proc/vitrine/badblocks`: a line a range, on the device of the root also whose it is.
///
/// # Errors
/// Those of `out`; where there is no memory to find out whose a range is.
pub(crate) fn describe_bad(out: &mut dyn fmt::Write) -> fmt::Result {
    let mut outcome = Ok(());
    let root = vfs::root_node().map(|root| root.fs());
    for device in devices() {
        if let Some(volume) = root.filter(|volume| core::ptr::eq(volume.medium().device(), device)) {
            let hurt = volume.hurt().map_err(|_| fmt::Error)?;
            hurt.iter().try_for_each(|hurt| line(out, device, &hurt.range, format_args!(" {}", hurt.holder)))?;
            continue;
        }
        // Copied range by range: the text may need heap, whose lock comes later than the list's, so that is no knot.
        memory(device).each_bad(&mut |range| {
            outcome = outcome.and_then(|()| line(out, device, range, format_args!("")));
        });
    }
    outcome
}

fn line(out: &mut dyn fmt::Write, device: &Device, range: &BadRange, whose: fmt::Arguments<'_>) -> fmt::Result {
    let kept = if range.acknowledged { "kept" } else { "not kept" };
    let (name, start, count) = (device.name(), range.start.get(), range.count);
    writeln!(out, "{name} {start}+{count} {kept}{whose}")
}

fn memory(device: &Device) -> &Guarded<LinearCells> {
    device.dax().ops().memory()
}

/// Does what a written line says.
///
/// # Errors
/// `EINVAL` for a line that is none of the three; `ENODEV`; `EOPNOTSUPP` for a hole without `poison`; `ERANGE` for sectors
/// past the end; `ENOMEM`.
pub(crate) fn inject(line: &[u8]) -> Result<(), Errno> {
    let line = core::str::from_utf8(line).map_err(|_| Errno::EINVAL)?;
    let mut words = line.split_ascii_whitespace();
    let (Some(verb), Some(name), Some(sectors), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(Errno::EINVAL);
    };
    let (start, count) = sector_run(sectors).ok_or(Errno::EINVAL)?;
    let number = name.strip_prefix("pmem").and_then(|number| number.parse::<usize>().ok()).ok_or(Errno::EINVAL)?;
    let device = devices().get(number).ok_or(Errno::ENODEV)?;
    let sectors = memory(device).len().get() / SECTOR_SIZE;
    start.checked_add(count).filter(|&end| end <= sectors).ok_or(Errno::ERANGE)?;
    heap::reserve(WORST_CASE)?;
    let outcome = match verb {
        "add" => memory(device).set_bad(Sector::new(start), count).map(|_| {
            if poison::is_on() {
                each_page(device, start, count, poison::hole);
            }
        }),
        "clear" => {
            each_page(device, start, count, |page| {
                poison::heal(page);
                true
            });
            memory(device).clear_bad(Sector::new(start), count).map(drop)
        }
        "poison" if poison::is_on() => {
            each_page(device, start, count, poison::hole);
            Ok(())
        }
        "poison" => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    };
    outcome.map_err(|error| match error {
        BadblocksError::PastEnd => Errno::ERANGE,
        BadblocksError::OutOfMemory => Errno::ENOMEM,
    })
}

/// Shows `each` the pages that hold the sectors.
fn each_page(device: &Device, start: u64, count: u64, mut each: impl FnMut(units::PhysAddr) -> bool) {
    let first = PmOff::new(start * SECTOR_SIZE).align_down(PAGE_SIZE).get();
    let end = (start + count) * SECTOR_SIZE;
    for at in (first..end).step_by(PAGE_SIZE as usize) {
        if let Some(page) = device.dax().ops().phys_of(PmOff::new(at)) {
            each(page);
        }
    }
}

/// `SECTOR` or `SECTOR+N`, decimal.
fn sector_run(text: &str) -> Option<(u64, u64)> {
    let (start, count) = text.split_once('+').unwrap_or((text, "1"));
    let number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok());
    let (start, count) = (number(start)??, number(count)??);
    let end = start.checked_add(count).and_then(|end| end.checked_mul(SECTOR_SIZE)).map(ByteLen::new);
    (count > 0 && end.is_some()).then_some((start, count))
}
