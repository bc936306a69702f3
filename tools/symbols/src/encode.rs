//! From places to the bytes of the table; the format is told in the crate `symbols`.

use std::collections::HashMap;
use std::rc::Rc;

use miniz_oxide::deflate::compress_to_vec_zlib;
use symbols::{BLOCK, DEPTH, HEADER, Header, MORE, STEP};

use crate::read::{Call, Place};

/// Functions that get the shortest numbers, of one byte.
const FREQUENT: usize = 128;
/// The compressor's best.
const LEVEL: u8 = 10;

/// A function: its name and its file.
type Function = (Rc<str>, Rc<str>);

/// The table of `places`, which are in order; `text` is the number of bytes they tell of.
pub fn table(places: &[Place], text: u32) -> Vec<u8> {
    let places: Vec<Place> = places.iter().map(shallow).collect();
    let functions = ordered(&places);
    let numbers = functions.iter().enumerate().map(|(number, function)| (function.clone(), number as u32)).collect();
    let rows = row_blocks(&places, &numbers);
    let names = function_blocks(&functions);
    let blocks: Vec<&(u32, Vec<u8>)> = rows.iter().chain(&names).collect();

    let header = HEADER + 8 * blocks.len();
    let len = header + blocks.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    let header_bytes = Header {
        len: len as u32,
        text,
        row_blocks: rows.len() as u32,
        function_blocks: names.len() as u32,
        functions: functions.len() as u32,
    };
    let mut table = Vec::from(header_bytes.to_bytes());
    let mut position = header;
    for (first, bytes) in &blocks {
        table.extend_from_slice(&first.to_le_bytes());
        table.extend_from_slice(&(position as u32).to_le_bytes());
        position += bytes.len();
    }
    blocks.iter().for_each(|(_, bytes)| table.extend_from_slice(bytes));
    table
}

/// The place with as many calls as the reader has room for: the owner of the code, and the innermost.
pub fn shallow(place: &Place) -> Place {
    let mut place = place.clone();
    if place.calls.len() > DEPTH {
        place.calls.drain(1..=place.calls.len() - DEPTH);
    }
    place
}

fn function(call: &Call) -> Function {
    (call.name.clone(), call.file.clone())
}

/// The functions in the order of their numbers. The frequent ones come first; among them, and among the others, those of
/// one file stand together, which compresses well.
fn ordered(places: &[Place]) -> Vec<Function> {
    let mut uses: HashMap<Function, usize> = HashMap::new();
    for call in places.iter().flat_map(|place| &place.calls) {
        *uses.entry(function(call)).or_default() += 1;
    }
    let mut functions: Vec<(usize, Function)> = uses.into_iter().map(|(function, uses)| (uses, function)).collect();
    functions.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let mut functions: Vec<Function> = functions.into_iter().map(|(_, function)| function).collect();
    let by_file = |(name, file): &Function| (file.clone(), name.clone());
    let frequent = FREQUENT.min(functions.len());
    let (frequent, others) = functions.split_at_mut(frequent);
    frequent.sort_unstable_by_key(by_file);
    others.sort_unstable_by_key(by_file);
    functions
}

/// Blocks of rows: the first offset and the compressed bytes of each.
fn row_blocks(places: &[Place], numbers: &HashMap<Function, u32>) -> Vec<(u32, Vec<u8>)> {
    let mut blocks = Blocks::default();
    let mut before: Option<&Place> = None;
    for place in places {
        let bytes = row(before, place, numbers);
        if blocks.has_room(bytes.len()) {
            blocks.add(&bytes);
        } else {
            blocks.open(place.offset, row(None, place, numbers));
        }
        before = Some(place);
    }
    blocks.finish()
}

/// The row that leads from the place `before` to `place`; from none at the beginning of a block.
fn row(before: Option<&Place>, place: &Place, numbers: &HashMap<Function, u32>) -> Vec<u8> {
    let (start, old) = before.map_or((place.offset, &[][..]), |before| (before.offset, before.calls.as_slice()));
    let calls = place.calls.as_slice();
    let advance = (place.offset - start) / STEP;
    let mut kept = old.iter().zip(calls).take_while(|(old, new)| old == new).count();
    // The innermost call may keep its function and change its line, if nothing is pushed above it.
    let mut change = 0_i32;
    if kept + 1 == calls.len() && old.get(kept).is_some_and(|old| function(old) == function(&calls[kept])) {
        change = calls[kept].line.wrapping_sub(old[kept].line) as i32;
        kept += 1;
    }
    let (pops, pushes) = ((old.len() - kept) as u32, (calls.len() - kept) as u32);

    let fields = [(advance, MORE.0), (pops, MORE.1), (pushes, MORE.1)];
    let [high, middle, low] = fields.map(|(value, more)| value.min(more) as u8);
    let mut bytes = vec![high << 4 | middle << 2 | low];
    for (value, more) in fields {
        if value >= more {
            number(&mut bytes, value);
        }
    }
    if pushes == 0 && kept > 0 {
        number(&mut bytes, ((change << 1) ^ (change >> 31)) as u32);
    }
    for call in &calls[kept..] {
        number(&mut bytes, numbers[&function(call)]);
        number(&mut bytes, call.line);
    }
    bytes
}

/// Blocks of functions: the first number and the compressed bytes of each.
fn function_blocks(functions: &[Function]) -> Vec<(u32, Vec<u8>)> {
    let mut blocks = Blocks::default();
    for (index, (name, file)) in functions.iter().enumerate() {
        let mut bytes = Vec::new();
        for text in [name, file] {
            number(&mut bytes, text.len() as u32);
            bytes.extend_from_slice(text.as_bytes());
        }
        if blocks.has_room(bytes.len()) {
            blocks.add(&bytes);
        } else {
            blocks.open(index as u32, bytes);
        }
    }
    blocks.finish()
}

/// Blocks on their way: what each begins with, and its bytes. The last one is open.
#[derive(Default)]
struct Blocks(Vec<(u32, Vec<u8>)>);

impl Blocks {
    /// Whether `len` more bytes fit the open block; no block is open at first.
    fn has_room(&self, len: usize) -> bool {
        self.0.last().is_some_and(|(_, block)| block.len() + len <= BLOCK)
    }

    fn add(&mut self, bytes: &[u8]) {
        if let Some((_, block)) = self.0.last_mut() {
            block.extend_from_slice(bytes);
        }
    }

    fn open(&mut self, first: u32, bytes: Vec<u8>) {
        self.0.push((first, bytes));
    }

    fn finish(self) -> Vec<(u32, Vec<u8>)> {
        self.0.into_iter().map(|(first, bytes)| (first, compress_to_vec_zlib(&bytes, LEVEL))).collect()
    }
}

/// Appends a LEB128 number.
fn number(to: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}
