//! What the CPUs can do, and what is made of it.
//!
//! Each CPU leaves a snapshot of its identification registers ([`registers`]); what all of them have in common is the
//! machine's ([`Features`]), settled once, before the first program. One table says for every feature how it is seen
//! and what it is used for, or why not. [`hwcap`] is the same for programs. All of this is arithmetic and runs on any
//! host; `machine` reads the registers and keeps the outcome where the rest of the kernel asks: a byte or a word at
//! run time, no patched code.

pub mod hwcap;
#[cfg(target_os = "none")]
pub mod machine;
pub mod registers;
#[cfg(test)]
mod tests;

use registers::{Field, IdRegisters, Register};

#[cfg(target_os = "none")]
pub use machine::{common, has};

/// What becomes of a feature that the machine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// It is used, for this.
    For(&'static str),
    /// It is left alone, because of this.
    NotUsed(&'static str),
}

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The feature.
    pub feature: Feature,
    /// Its short name.
    pub name: &'static str,
    /// The fields that tell, and the least value of each; one of them is enough.
    pub seen_in: &'static [(&'static Field, i64)],
    /// What it is good for.
    pub used: Use,
}

macro_rules! features {
    ($($(#[$doc:meta])* $feature:ident = $name:literal, [$($register:ident[$shift:literal] >= $least:literal),+],
       $used:expr;)*) => {
        /// A feature that the kernel, or a program, may make use of.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Feature {
            $($(#[$doc])* $feature,)*
        }

        /// Every feature, in the order of [`Feature`].
        pub const TABLE: &[Row] = &[
            $(Row {
                feature: Feature::$feature,
                name: $name,
                seen_in: &[$((Field::named(Register::$register, $shift), $least)),+],
                used: $used,
            },)*
        ];
    };
}

use Use::{For, NotUsed};

features! {
    /// Floating point.
    Fp = "FP", [Pfr0[16] >= 0], For("programs; without it the kernel does not start");
    /// Vector registers.
    AdvSimd = "AdvSIMD", [Pfr0[20] >= 0], For("copies of 512 bytes and more, programs; without it the kernel does not start");
    /// Privileged access never.
    Pan = "PAN", [Mmfr1[20] >= 1], For("keeping the kernel out of a program's memory but in its copy routines");
    /// User access override.
    Uao = "UAO", [Mmfr2[4] >= 1], NotUsed("it turns ldtr and sttr into plain accesses; the copy routines have none of these");
    /// Atomic instructions.
    Lse = "LSE", [Isar0[20] >= 2], NotUsed("by the kernel: one built for armv8.0 would call out of line, which is longer; programs use it");
    /// `dc cvap`.
    Dpb = "DPB", [Isar1[0] >= 1], For("stores to pmem, cleaned to the point of persistence (dc cvap)");
    /// `dc cvadp`.
    Dpb2 = "DPB2", [Isar1[0] >= 2], For("stores to pmem, cleaned to the point of deep persistence (dc cvadp)");
    /// The hardware sets the access flag.
    HardwareAccess = "HAF", [Mmfr1[0] >= 1], For("setting access flags without a fault (TCR_EL1.HA)");
    /// The hardware marks pages dirty.
    HardwareDirty = "HDBS", [Mmfr1[0] >= 2], For("making clean pages with DBM writable without a fault (TCR_EL1.HD)");
    /// TLB invalidation by range.
    TlbRange = "TLBIRANGE", [Isar0[56] >= 2], For("up to 8 GiB dropped from the TLBs by at most five operations");
    /// Translations common to the CPUs.
    Cnp = "CnP", [Mmfr2[0] >= 1], For("sharing TLB entries between CPUs, of both halves");
    /// 16-bit address space identifiers.
    Asid16 = "ASID16", [Mmfr0[4] >= 2], For("65535 address spaces at a time instead of 255");
    /// No EL0 access to the kernel's half.
    E0pd = "E0PD", [Mmfr2[60] >= 1], For("refusing programs the kernel's half before any walk (TCR_EL1.E0PD1)");
    /// Break-before-make may be left out for changes of size.
    Bbm2 = "BBM", [Mmfr2[52] >= 2], NotUsed("blocks are split by break-before-make, as on every other CPU");
    /// Level hints of TLB invalidation.
    Ttl = "TTL", [Mmfr2[48] >= 1], NotUsed("a range may hold entries of several levels, and a wrong hint leaves them there");
    /// Speculative store bypass safe.
    Ssbs = "SSBS", [Pfr1[4] >= 1], For("off in the kernel, on in programs (PSTATE.SSBS)");
    /// Pointer authentication of addresses.
    PauthAddress = "PAuth", [Isar1[4] >= 1, Isar1[8] >= 1, Isar2[12] >= 1], For("programs, with keys of their own; stable Rust builds no kernel with it");
    /// Pointer authentication of data.
    PauthGeneric = "PAuth-generic", [Isar1[24] >= 1, Isar1[28] >= 1, Isar2[8] >= 1], For("programs, with a key of their own");
    /// Branch target identification.
    Bti = "BTI", [Pfr1[0] >= 1], For("programs: PROT_BTI and the note of the linker");
    /// CRC-32 instructions.
    Crc32 = "CRC32", [Isar0[16] >= 1], For("the checksums of the file system, programs");
    /// The random number register.
    Rndr = "RNDR", [Isar0[60] >= 1], For("the key of the random generator, programs");
    /// Scalable vectors.
    Sve = "SVE", [Pfr0[32] >= 1], NotUsed("its registers are not saved");
    /// The matrix extension.
    Sme = "SME", [Pfr1[24] >= 1], NotUsed("its registers are not saved");
    /// Memory tags.
    Mte = "MTE", [Pfr1[8] >= 2], NotUsed("pmem has no tags");
}

impl Feature {
    /// Its bit in [`Features`].
    const fn bit(self) -> u64 {
        1 << self as u8
    }

    /// Its row of [`TABLE`].
    pub const fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

/// A set of features.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features(u64);

impl Features {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// What `registers` tell of.
    pub fn of(registers: &IdRegisters) -> Self {
        let seen = |row: &&Row| row.seen_in.iter().any(|(field, least)| registers.field(field) >= *least);
        Self(TABLE.iter().filter(seen).fold(0, |set, row| set | row.feature.bit()))
    }

    /// The set with these bits, as [`bits`](Self::bits) gave them.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The set as a word.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether `feature` is one of them.
    #[inline]
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & feature.bit() != 0
    }

    /// Those of them that `other` lacks.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Their rows.
    pub fn rows(self) -> impl Iterator<Item = &'static Row> {
        TABLE.iter().filter(move |row| self.has(row.feature))
    }
}

const _: () = assert!(TABLE.len() <= 64, "a word holds the set");

/// Bits of a physical address that `registers` promise (ID_AA64MMFR0_EL1.PARange), at most 48.
pub fn physical_bits(registers: &IdRegisters) -> u32 {
    const BITS: [u32; 6] = [32, 36, 40, 42, 44, 48];
    BITS[physical_range(registers) as usize]
}

/// The same in the encoding of TCR_EL1.IPS: 48 bits are the most that a 4 KiB granule without LPA2 has a use for.
pub fn physical_range(registers: &IdRegisters) -> u64 {
    (registers.register(Register::Mmfr0) & 0xf).min(5)
}
