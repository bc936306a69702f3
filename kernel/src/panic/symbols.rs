//! The names of code: which function, file and line an address of the kernel's text belongs to, inlined calls too.
//!
//! The table is in the image (`tools/symbols` writes it after the link, the crate `symbols` reads it). A kernel without
//! one shows addresses alone, and so does a report of something that went wrong in here.

use core::cell::UnsafeCell;
use core::fmt::{self, Write};

use ::symbols::{BLOCK, Function, Place, Refused, Scratch, Table};
use spin::{Mutex, Once};
use units::VirtAddr;

use crate::layout;

/// What an address in a report is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Code {
    /// The instruction itself.
    Exact,
    /// Where a call returns to: the call is before it.
    Return,
}

#[repr(transparent)]
struct Block(UnsafeCell<[u8; BLOCK]>);

// SAFETY: `init` hands it to one owner, once.
unsafe impl Sync for Block {}

static ROOM: Block = Block(UnsafeCell::new([0; BLOCK]));

/// Tried, never waited for: whoever finds it locked has gone wrong in here.
static SCRATCH: Once<Mutex<Scratch<'static>>> = Once::new();

/// Makes ready what look-ups work in: too large for the stacks that reports may run on. Called once, before anything can
/// go wrong.
pub(crate) fn init() {
    SCRATCH.call_once(|| {
        // SAFETY: nobody else names it, and this is done once.
        Mutex::new(Scratch::new(unsafe { &mut *ROOM.0.get() }))
    });
}

/// The table that the build left in the image.
fn table() -> Result<Table<'static>, Refused> {
    let (start, end) = (layout::symbols_start().get(), layout::symbols_end().get());
    let bytes = core::ptr::with_exposed_provenance(start as usize);
    // SAFETY: the linker keeps this range of read-only data for the table; it is mapped, and nobody writes it.
    Table::open(unsafe { core::slice::from_raw_parts(bytes, (end - start) as usize) })
}

/// Why there will be no names, in words; nothing where there will.
pub(super) fn complaint() -> Option<&'static str> {
    match table() {
        Ok(_) => None,
        Err(Refused::Absent) => Some("(this kernel was built without symbols)"),
        Err(Refused::Damaged) => Some("(the table of symbols is damaged)"),
    }
}

/// Writes one line for `address`, and one more for each function it was inlined into.
pub(super) fn show(out: &mut impl Write, address: u64, code: Code) -> fmt::Result {
    write!(out, "  {address:#018x} ")?;
    let instruction = if code == Code::Return { address.wrapping_sub(1) } else { address };
    if let Some(mut scratch) = SCRATCH.get().and_then(Mutex::try_lock)
        && let Some((table, place)) = find(instruction, &mut scratch)
    {
        return show_calls(out, &table, &place, &mut scratch);
    }
    writeln!(out, "in {}", layout::describe(VirtAddr::new(address)))
}

/// The number of the function that owns the instruction at `address`, where that is known.
pub(super) fn owner(address: u64) -> Option<u32> {
    let mut scratch = SCRATCH.get()?.try_lock()?;
    let (_, place) = find(address, &mut scratch)?;
    place.calls().first().map(|call| call.function)
}

/// The table, and what it knows of the instruction; nothing where it knows nothing.
fn find(instruction: u64, scratch: &mut Scratch<'_>) -> Option<(Table<'static>, Place)> {
    let table = table().ok()?;
    let offset = instruction.checked_sub(layout::text_start().get())?;
    let place = table.find(u32::try_from(offset).ok()?, scratch).ok()?;
    (!place.calls().is_empty()).then_some((table, place))
}

fn show_calls(out: &mut impl Write, table: &Table<'_>, place: &Place, scratch: &mut Scratch<'_>) -> fmt::Result {
    const UNKNOWN: Function<'_> = Function { name: "(the table of symbols is damaged)", file: "" };
    for (index, call) in place.calls().iter().rev().enumerate() {
        let function = table.function(call.function, scratch).unwrap_or(UNKNOWN);
        let relation = if index == 0 { "" } else { "      inlined into " };
        write!(out, "{relation}{}", function.name)?;
        match (function.file, call.line) {
            ("", _) => writeln!(out)?,
            (file, 0) => writeln!(out, " at {file}")?,
            (file, line) => writeln!(out, " at {file}:{line}")?,
        }
    }
    Ok(())
}
