//! The rows of one block, run one after the other.

use crate::{DEPTH, Damaged, MORE, STEP, number};

/// A function in a place, and the line it has reached there.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Call {
    /// Its number in the table.
    pub function: u32,
    /// The line in its source; 0 where none is known.
    pub line: u32,
}

/// What is known of one instruction: the function that owns it, and above it what was inlined there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    calls: [Call; DEPTH],
    depth: usize,
}

impl Place {
    /// Nothing is known.
    pub const fn new() -> Self {
        Self { calls: [Call { function: 0, line: 0 }; DEPTH], depth: 0 }
    }

    /// The calls, outermost first: the owner of the code.
    pub fn calls(&self) -> &[Call] {
        &self.calls[..self.depth]
    }

    fn pop(&mut self, count: u32) -> Result<(), Damaged> {
        self.depth = self.depth.checked_sub(count as usize).ok_or(Damaged)?;
        Ok(())
    }

    fn push(&mut self, call: Call) -> Result<(), Damaged> {
        *self.calls.get_mut(self.depth).ok_or(Damaged)? = call;
        self.depth += 1;
        Ok(())
    }

    fn top(&mut self) -> Option<&mut Call> {
        self.calls[..self.depth].last_mut()
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// The rows of one block.
#[derive(Debug)]
pub struct Rows<'s> {
    bytes: &'s [u8],
    offset: u32,
    place: Place,
}

impl<'s> Rows<'s> {
    pub(crate) fn new(first: u32, bytes: &'s [u8]) -> Self {
        Self { bytes, offset: first, place: Place::new() }
    }

    /// The next row: from which offset on, and what is known of the code up to the row after it.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn next_row(&mut self) -> Result<Option<(u32, &Place)>, Damaged> {
        let Some((&byte, rest)) = self.bytes.split_first() else { return Ok(None) };
        self.bytes = rest;
        let advance = self.field(byte >> 4, MORE.0)?;
        let pops = self.field(byte >> 2 & 3, MORE.1)?;
        let pushes = self.field(byte & 3, MORE.1)?;
        self.offset = advance.checked_mul(STEP).and_then(|step| self.offset.checked_add(step)).ok_or(Damaged)?;
        self.place.pop(pops)?;
        if pushes == 0
            && let Some(call) = self.place.top()
        {
            let change = number(&mut self.bytes)?;
            call.line = call.line.wrapping_add((change >> 1) ^ (change & 1).wrapping_neg());
        }
        for _ in 0..pushes {
            let call = Call { function: number(&mut self.bytes)?, line: number(&mut self.bytes)? };
            self.place.push(call)?;
        }
        Ok(Some((self.offset, &self.place)))
    }

    /// A field of a row's first byte, or the number behind it.
    fn field(&mut self, field: u8, more: u32) -> Result<u32, Damaged> {
        if u32::from(field) == more { number(&mut self.bytes) } else { Ok(u32::from(field)) }
    }
}
