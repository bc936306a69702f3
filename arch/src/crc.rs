//! CRC32C by the CPU's own instruction (FEAT_CRC32), eight bytes a step where they are aligned.

use core::arch::aarch64::{__crc32cb, __crc32cd};

use crate::features::{self, Feature};

/// The instruction's step over `bytes`, if every CPU has it.
pub fn step() -> Option<fn(u32, &[u8]) -> u32> {
    fn checked(state: u32, bytes: &[u8]) -> u32 {
        // SAFETY: `step` gives this function out only where the CPU has the instruction.
        unsafe { update(state, bytes) }
    }
    features::has(Feature::Crc32).then_some(checked as fn(u32, &[u8]) -> u32)
}

/// # Safety
/// The CPU has FEAT_CRC32.
#[target_feature(enable = "crc")]
unsafe fn update(mut state: u32, bytes: &[u8]) -> u32 {
    // SAFETY: any eight bytes are a number.
    let (front, words, rest) = unsafe { bytes.align_to::<u64>() };
    state = front.iter().fold(state, |state, &byte| __crc32cb(state, byte));
    // Aligned words, for the kernel is built never to load others in one piece; several a round, whose cost is the loop.
    let (rounds, last) = words.as_chunks::<8>();
    for round in rounds {
        state = round.iter().fold(state, |state, word| __crc32cd(state, word.to_le()));
    }
    state = last.iter().fold(state, |state, word| __crc32cd(state, word.to_le()));
    rest.iter().fold(state, |state, &byte| __crc32cb(state, byte))
}
