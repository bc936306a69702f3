//! Keys of pointer authentication (FEAT_PAuth, Arm ARM D8.9). They are the programs' alone: the kernel authenticates
//! nothing.

use core::arch::asm;

use crate::features::{self, Feature};

/// The five keys, two words each: IA, IB, DA, DB, GA.
#[derive(Clone, Copy)]
pub struct Keys([u64; 10]);

impl Keys {
    /// Keys that everybody knows.
    pub const ZERO: Self = Self([0; 10]);

    /// Bytes of all keys together.
    pub const SIZE: usize = 80;

    /// The same keys, but for those of `which`, which are made of random bytes.
    #[must_use]
    pub fn renewed(mut self, which: KeySet, random: &[u8; Self::SIZE]) -> Self {
        let (words, _) = random.as_chunks();
        for (index, (half, word)) in self.0.iter_mut().zip(words).enumerate() {
            if which.bits() >> (index / 2) & 1 != 0 {
                *half = u64::from_ne_bytes(*word);
            }
        }
        self
    }

    /// Makes them the keys of this CPU, as far as every CPU has them. They are in use after the next exception return.
    #[inline]
    pub fn load(&self) {
        let (features, key) = (features::machine::features(), &self.0);
        if features.has(Feature::PauthAddress) {
            // SAFETY: the registers, by their encodings, exist; EL1 is built without an instruction that uses them.
            unsafe {
                asm!(
                    "msr s3_0_c2_c1_0, {ia0}", // APIAKeyLo_EL1
                    "msr s3_0_c2_c1_1, {ia1}",
                    "msr s3_0_c2_c1_2, {ib0}", // APIBKeyLo_EL1
                    "msr s3_0_c2_c1_3, {ib1}",
                    "msr s3_0_c2_c2_0, {da0}", // APDAKeyLo_EL1
                    "msr s3_0_c2_c2_1, {da1}",
                    "msr s3_0_c2_c2_2, {db0}", // APDBKeyLo_EL1
                    "msr s3_0_c2_c2_3, {db1}",
                    ia0 = in(reg) key[0], ia1 = in(reg) key[1], ib0 = in(reg) key[2], ib1 = in(reg) key[3],
                    da0 = in(reg) key[4], da1 = in(reg) key[5], db0 = in(reg) key[6], db1 = in(reg) key[7],
                    options(nomem, nostack, preserves_flags),
                );
            }
        }
        if features.has(Feature::PauthGeneric) {
            // SAFETY: as above.
            unsafe {
                asm!(
                    "msr s3_0_c2_c3_0, {ga0}", // APGAKeyLo_EL1
                    "msr s3_0_c2_c3_1, {ga1}",
                    ga0 = in(reg) key[8], ga1 = in(reg) key[9],
                    options(nomem, nostack, preserves_flags),
                );
            }
        }
    }
}

bitflags::bitflags! {
    /// Some of the keys, in the bits that `prctl(PR_PAC_RESET_KEYS)` gives them and in the order of [`Keys`].
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct KeySet: u64 {
        /// For code, A.
        const IA = 1 << 0;
        /// For code, B.
        const IB = 1 << 1;
        /// For data, A.
        const DA = 1 << 2;
        /// For data, B.
        const DB = 1 << 3;
        /// For anything (`pacga`).
        const GA = 1 << 4;
        /// All that sign addresses.
        const ADDRESS = 0b1111;
    }
}

/// Whether there is any use for keys.
#[inline]
pub fn wanted() -> bool {
    let features = features::machine::features();
    features.has(Feature::PauthAddress) || features.has(Feature::PauthGeneric)
}
