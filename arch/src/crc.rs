//! CRC32C by the CPU's own instruction (FEAT_CRC32), eight bytes a step.

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
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = __crc32cd(state, u64::from_le_bytes(*word));
    }
    for byte in rest {
        state = __crc32cb(state, *byte);
    }
    state
}
