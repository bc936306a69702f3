//! Random bytes: ChaCha20 keyed from everything the machine offers.
//!
//! Sources are the firmware's `rng-seed`, the RNDR register where the CPU has it, and the counter. Each is stirred in,
//! so a weak one cannot spoil a good one.

use core::arch::asm;

use arch::features::{Feature, has};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use sync::{Mutex, Rank};

/// Bytes of a key.
const KEY: usize = 32;

static GENERATOR: Mutex<Option<ChaCha20Rng>> = Mutex::new(Rank::Device, None);

/// Keys the generator from `seed`, the CPU and the counter.
pub(crate) fn init(seed: &[u8]) {
    let generator = seeded(seed);
    *GENERATOR.lock() = Some(generator);
}

/// Fills `bytes`. Before [`init`] the key is made without the firmware's part.
pub(crate) fn fill(bytes: &mut [u8]) {
    GENERATOR.lock().get_or_insert_with(|| seeded(&[])).fill_bytes(bytes);
}

fn seeded(seed: &[u8]) -> ChaCha20Rng {
    let mut key = [0; KEY];
    let mut stir = |bytes: &[u8]| {
        for (slot, byte) in key.iter_mut().zip(bytes) {
            *slot ^= byte;
        }
        let mut generator = ChaCha20Rng::from_seed(key);
        generator.fill_bytes(&mut key);
    };
    seed.chunks(KEY).for_each(&mut stir);
    if has(Feature::Rndr) {
        let mut words = [0; KEY];
        for (slot, word) in words.chunks_exact_mut(8).zip(core::iter::repeat_with(hardware)) {
            slot.copy_from_slice(&word.unwrap_or(0).to_le_bytes());
        }
        stir(&words);
    }
    stir(&crate::timer::now().as_nanos().to_le_bytes());
    ChaCha20Rng::from_seed(key)
}

/// A word from RNDR, if it has one now.
pub(crate) fn hardware() -> Option<u64> {
    let (word, failed): (u64, u64);
    // SAFETY: RNDR, by its encoding, exists (the caller looked); it clears Z where it delivers. Only flags change.
    unsafe { asm!("mrs {}, s3_3_c2_c4_0", "cset {}, eq", out(reg) word, out(reg) failed, options(nomem, nostack)) };
    (failed == 0).then_some(word)
}
