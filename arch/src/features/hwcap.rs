//! What programs are told: AT_HWCAP, AT_HWCAP2, and the words of `/proc/cpuinfo`.
//!
//! Instructions on registers that are saved, and that every CPU has; SVE, SME and MTE never. The list is Linux's
//! `arm64_elf_hwcaps`.

use abi::auxv::{Hwcap, Hwcap2};

use super::registers::{Field, IdRegisters, Register};

/// What the auxiliary vector says of the CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// AT_HWCAP.
    pub first: Hwcap,
    /// AT_HWCAP2.
    pub second: Hwcap2,
}

/// A bit, a field that tells of it, and the field's least value. A bit may have several.
type Row<C> = (C, &'static Field, i64);

macro_rules! rows {
    ($kind:ident: $($cap:ident = $register:ident[$shift:literal] >= $least:literal,)*) => {
        &[$(($kind::$cap, Field::named(Register::$register, $shift), $least)),*]
    };
}

const FIRST: &[Row<Hwcap>] = rows! { Hwcap:
    FP = Pfr0[16] >= 0,
    ASIMD = Pfr0[20] >= 0,
    AES = Isar0[4] >= 1,
    PMULL = Isar0[4] >= 2,
    SHA1 = Isar0[8] >= 1,
    SHA2 = Isar0[12] >= 1,
    CRC32 = Isar0[16] >= 1,
    ATOMICS = Isar0[20] >= 2,
    FPHP = Pfr0[16] >= 1,
    ASIMDHP = Pfr0[20] >= 1,
    ASIMDRDM = Isar0[28] >= 1,
    JSCVT = Isar1[12] >= 1,
    FCMA = Isar1[16] >= 1,
    LRCPC = Isar1[20] >= 1,
    DCPOP = Isar1[0] >= 1,
    SHA3 = Isar0[32] >= 1,
    SM3 = Isar0[36] >= 1,
    SM4 = Isar0[40] >= 1,
    ASIMDDP = Isar0[44] >= 1,
    SHA512 = Isar0[12] >= 2,
    ASIMDFHM = Isar0[48] >= 1,
    DIT = Pfr0[48] >= 1,
    USCAT = Mmfr2[32] >= 1,
    ILRCPC = Isar1[20] >= 2,
    FLAGM = Isar0[52] >= 1,
    SSBS = Pfr1[4] >= 2,
    SB = Isar1[36] >= 1,
    PACA = Isar1[4] >= 1,
    PACA = Isar1[8] >= 1,
    PACA = Isar2[12] >= 1,
    PACG = Isar1[24] >= 1,
    PACG = Isar1[28] >= 1,
    PACG = Isar2[8] >= 1,
};

const SECOND: &[Row<Hwcap2>] = rows! { Hwcap2:
    DCPODP = Isar1[0] >= 2,
    FLAGM2 = Isar0[52] >= 2,
    FRINT = Isar1[32] >= 1,
    I8MM = Isar1[52] >= 1,
    BF16 = Isar1[44] >= 1,
    DGH = Isar1[48] >= 1,
    RNG = Isar0[60] >= 1,
    BTI = Pfr1[0] >= 1,
    ECV = Mmfr0[60] >= 1,
    AFP = Mmfr1[44] >= 1,
    RPRES = Isar2[4] >= 1,
    WFXT = Isar2[0] >= 2,
    EBF16 = Isar1[44] >= 2,
};

impl Capabilities {
    /// What `registers` allow.
    pub fn of(registers: &IdRegisters) -> Self {
        Self { first: granted(FIRST, registers) | Hwcap::CPUID, second: granted(SECOND, registers) }
    }

    /// Linux's words for them, in the order of their bits.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        self.first.iter_names().map(|(name, _)| name).chain(self.second.iter_names().map(|(name, _)| name))
    }
}

fn granted<C: bitflags::Flags + Copy>(rows: &[Row<C>], registers: &IdRegisters) -> C {
    let mut set = C::empty();
    for (cap, field, least) in rows {
        if registers.field(field) >= *least {
            set.insert(*cap);
        }
    }
    set
}
