//! The identification registers of a CPU, and what several CPUs have in common.
//!
//! A field is known here or it counts as zero. Each says by its [`Rule`] which of two values promises less, so that
//! the combination of any CPUs, in any order, promises nothing that one of them lacks (Linux: `arm64_ftr_bits` in
//! `cpufeature.c`).

/// The registers of which every field of use is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Register {
    /// ID_AA64PFR0_EL1.
    Pfr0,
    /// ID_AA64PFR1_EL1.
    Pfr1,
    /// ID_AA64ISAR0_EL1.
    Isar0,
    /// ID_AA64ISAR1_EL1.
    Isar1,
    /// ID_AA64ISAR2_EL1.
    Isar2,
    /// ID_AA64MMFR0_EL1.
    Mmfr0,
    /// ID_AA64MMFR1_EL1.
    Mmfr1,
    /// ID_AA64MMFR2_EL1.
    Mmfr2,
    /// CTR_EL0: the caches.
    Ctr,
}

impl Register {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Pfr0,
        Self::Pfr1,
        Self::Isar0,
        Self::Isar1,
        Self::Isar2,
        Self::Mmfr0,
        Self::Mmfr1,
        Self::Mmfr2,
        Self::Ctr,
    ];

    /// The register's name in the Arm ARM.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pfr0 => "ID_AA64PFR0_EL1",
            Self::Pfr1 => "ID_AA64PFR1_EL1",
            Self::Isar0 => "ID_AA64ISAR0_EL1",
            Self::Isar1 => "ID_AA64ISAR1_EL1",
            Self::Isar2 => "ID_AA64ISAR2_EL1",
            Self::Mmfr0 => "ID_AA64MMFR0_EL1",
            Self::Mmfr1 => "ID_AA64MMFR1_EL1",
            Self::Mmfr2 => "ID_AA64MMFR2_EL1",
            Self::Ctr => "CTR_EL0",
        }
    }

    /// CRm and op2 of the register, all of whose other operands are those of the identification space (op0 3, op1 0,
    /// CRn 0); none for CTR_EL0, which programs read themselves.
    const fn encoding(self) -> Option<(u32, u32)> {
        match self {
            Self::Pfr0 => Some((4, 0)),
            Self::Pfr1 => Some((4, 1)),
            Self::Isar0 => Some((6, 0)),
            Self::Isar1 => Some((6, 1)),
            Self::Isar2 => Some((6, 2)),
            Self::Mmfr0 => Some((7, 0)),
            Self::Mmfr1 => Some((7, 1)),
            Self::Mmfr2 => Some((7, 2)),
            Self::Ctr => None,
        }
    }
}

/// Which of two values of a field promises less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// The lower one.
    Lower,
    /// The lower one, of numbers with a sign: all ones says that something is missing.
    LowerSigned,
    /// The higher one: a size that must not be taken for less.
    Higher,
    /// The higher one, but zero, which says that nothing is known, before all.
    HigherOrZero,
    /// Neither: they agree, or this holds.
    Same(u64),
}

/// What a program that reads the register sees in the field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sight {
    /// What the machine has.
    Seen,
    /// Always this.
    Hidden(u64),
}

/// A field of an identification register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Where it is.
    pub register: Register,
    /// Its lowest bit.
    pub shift: u32,
    /// Its bits.
    pub width: u32,
    /// Its name in the Arm ARM.
    pub name: &'static str,
    /// How two of them combine.
    pub rule: Rule,
    /// What programs see.
    pub sight: Sight,
}

impl Field {
    const fn mask(&self) -> u64 {
        ((1 << self.width) - 1) << self.shift
    }

    const fn of(&self, register: u64) -> u64 {
        (register & self.mask()) >> self.shift
    }

    /// The value as a number that is larger where more is there.
    const fn signed(&self, value: u64) -> i64 {
        match self.rule {
            Rule::LowerSigned => (value << (64 - self.width)) as i64 >> (64 - self.width),
            _ => value as i64,
        }
    }

    /// The value that promises no more than `a` or `b`.
    const fn weakest(&self, a: u64, b: u64) -> u64 {
        let a_is_lower = self.signed(a) <= self.signed(b);
        match self.rule {
            Rule::Lower | Rule::LowerSigned => {
                if a_is_lower {
                    a
                } else {
                    b
                }
            }
            Rule::HigherOrZero if a == 0 || b == 0 => 0,
            Rule::Higher | Rule::HigherOrZero => {
                if a_is_lower {
                    b
                } else {
                    a
                }
            }
            Rule::Same(safe) => {
                if a == b {
                    a
                } else {
                    safe
                }
            }
        }
    }

    /// The field that begins at bit `shift` of `register`; for constants.
    pub const fn named(register: Register, shift: u32) -> &'static Self {
        let mut index = 0;
        while index < FIELDS.len() {
            if FIELDS[index].register as u8 == register as u8 && FIELDS[index].shift == shift {
                return &FIELDS[index];
            }
            index += 1;
        }
        panic!("no such field is known");
    }
}

/// A field of four bits that programs see; the lower value is the safe one.
const fn seen(register: Register, shift: u32, name: &'static str) -> Field {
    Field { register, shift, width: 4, name, rule: Rule::Lower, sight: Sight::Seen }
}

/// The same, of which programs see nothing.
const fn hidden(register: Register, shift: u32, name: &'static str) -> Field {
    Field { sight: Sight::Hidden(0), ..seen(register, shift, name) }
}

/// A field of the kind that says which algorithm computes pointer authentication codes: they must be the same.
const fn algorithm(register: Register, shift: u32, name: &'static str) -> Field {
    Field { rule: Rule::Same(0), ..seen(register, shift, name) }
}

const fn ruled(rule: Rule, field: Field) -> Field {
    Field { rule, ..field }
}

const fn shown_as(value: u64, field: Field) -> Field {
    Field { sight: Sight::Hidden(value), ..field }
}

const fn wide(width: u32, field: Field) -> Field {
    Field { width, ..field }
}

/// Every field that is known (Arm ARM D19.2). Programs see those that Linux shows them, and never one of an extension
/// whose state is not saved: SVE, SME, MTE.
pub const FIELDS: &[Field] = {
    use Register::*;
    use Rule::{Higher, HigherOrZero, LowerSigned, Same};
    &[
        shown_as(1, hidden(Pfr0, 0, "EL0")),
        shown_as(1, hidden(Pfr0, 4, "EL1")),
        hidden(Pfr0, 8, "EL2"),
        hidden(Pfr0, 12, "EL3"),
        ruled(LowerSigned, seen(Pfr0, 16, "FP")),
        ruled(LowerSigned, seen(Pfr0, 20, "AdvSIMD")),
        hidden(Pfr0, 24, "GIC"),
        hidden(Pfr0, 28, "RAS"),
        hidden(Pfr0, 32, "SVE"),
        hidden(Pfr0, 44, "AMU"),
        seen(Pfr0, 48, "DIT"),
        hidden(Pfr0, 56, "CSV2"),
        hidden(Pfr0, 60, "CSV3"),
        seen(Pfr1, 0, "BT"),
        seen(Pfr1, 4, "SSBS"),
        hidden(Pfr1, 8, "MTE"),
        hidden(Pfr1, 24, "SME"),
        seen(Isar0, 4, "AES"),
        seen(Isar0, 8, "SHA1"),
        seen(Isar0, 12, "SHA2"),
        seen(Isar0, 16, "CRC32"),
        seen(Isar0, 20, "Atomic"),
        seen(Isar0, 28, "RDM"),
        seen(Isar0, 32, "SHA3"),
        seen(Isar0, 36, "SM3"),
        seen(Isar0, 40, "SM4"),
        seen(Isar0, 44, "DP"),
        seen(Isar0, 48, "FHM"),
        seen(Isar0, 52, "TS"),
        hidden(Isar0, 56, "TLB"),
        seen(Isar0, 60, "RNDR"),
        seen(Isar1, 0, "DPB"),
        algorithm(Isar1, 4, "APA"),
        algorithm(Isar1, 8, "API"),
        seen(Isar1, 12, "JSCVT"),
        seen(Isar1, 16, "FCMA"),
        seen(Isar1, 20, "LRCPC"),
        algorithm(Isar1, 24, "GPA"),
        algorithm(Isar1, 28, "GPI"),
        seen(Isar1, 32, "FRINTTS"),
        seen(Isar1, 36, "SB"),
        seen(Isar1, 40, "SPECRES"),
        seen(Isar1, 44, "BF16"),
        seen(Isar1, 48, "DGH"),
        seen(Isar1, 52, "I8MM"),
        seen(Isar2, 0, "WFxT"),
        seen(Isar2, 4, "RPRES"),
        algorithm(Isar2, 8, "GPA3"),
        algorithm(Isar2, 12, "APA3"),
        hidden(Mmfr0, 0, "PARange"),
        hidden(Mmfr0, 4, "ASIDBits"),
        hidden(Mmfr0, 8, "BigEnd"),
        hidden(Mmfr0, 12, "SNSMem"),
        hidden(Mmfr0, 16, "BigEndEL0"),
        hidden(Mmfr0, 20, "TGran16"),
        ruled(LowerSigned, shown_as(0xf, hidden(Mmfr0, 24, "TGran64"))),
        ruled(LowerSigned, shown_as(0xf, hidden(Mmfr0, 28, "TGran4"))),
        seen(Mmfr0, 60, "ECV"),
        hidden(Mmfr1, 0, "HAFDBS"),
        hidden(Mmfr1, 4, "VMIDBits"),
        hidden(Mmfr1, 8, "VH"),
        hidden(Mmfr1, 12, "HPDS"),
        hidden(Mmfr1, 16, "LO"),
        hidden(Mmfr1, 20, "PAN"),
        ruled(Higher, hidden(Mmfr1, 24, "SpecSEI")),
        hidden(Mmfr1, 28, "XNX"),
        seen(Mmfr1, 44, "AFP"),
        hidden(Mmfr2, 0, "CnP"),
        hidden(Mmfr2, 4, "UAO"),
        hidden(Mmfr2, 12, "IESB"),
        seen(Mmfr2, 32, "AT"),
        hidden(Mmfr2, 36, "IDS"),
        hidden(Mmfr2, 40, "FWB"),
        hidden(Mmfr2, 48, "TTL"),
        hidden(Mmfr2, 52, "BBM"),
        hidden(Mmfr2, 60, "E0PD"),
        seen(Ctr, 0, "IminLine"),
        // Differing, it is the kind that asks for the most care: virtually indexed, physically tagged.
        wide(2, ruled(Same(0b10), seen(Ctr, 14, "L1Ip"))),
        seen(Ctr, 16, "DminLine"),
        ruled(HigherOrZero, seen(Ctr, 20, "ERG")),
        ruled(HigherOrZero, seen(Ctr, 24, "CWG")),
        wide(1, seen(Ctr, 28, "IDC")),
        wide(1, seen(Ctr, 29, "DIC")),
    ]
};

/// A snapshot of the identification registers: of one CPU, or of what several have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdRegisters {
    values: [u64; Register::ALL.len()],
}

impl IdRegisters {
    /// A CPU of which nothing is known.
    pub const ZERO: Self = Self { values: [0; Register::ALL.len()] };

    /// The snapshot whose registers `read` gives.
    pub fn from_fn(read: impl FnMut(Register) -> u64) -> Self {
        Self { values: Register::ALL.map(read) }
    }

    /// A whole register.
    pub const fn register(&self, register: Register) -> u64 {
        self.values[register as usize]
    }

    /// A field; one with a sign is below zero where it says that something is missing.
    pub const fn field(&self, field: &Field) -> i64 {
        field.signed(field.of(self.register(field.register)))
    }

    /// What both have, field by field; fields that are not known are zero.
    #[must_use]
    pub fn weakest(&self, other: &Self) -> Self {
        let mut answer = Self::ZERO;
        for field in FIELDS {
            let index = field.register as usize;
            let value = field.weakest(field.of(self.values[index]), field.of(other.values[index]));
            answer.values[index] |= value << field.shift;
        }
        answer
    }

    /// What the CPUs of `all` have in common; nothing where there is none.
    pub fn in_common(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().map(|one| one.weakest(&one)).reduce(|a, b| a.weakest(&b)).unwrap_or(Self::ZERO)
    }

    /// The known fields in which the two differ.
    pub fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'static Field> + 'a {
        FIELDS.iter().filter(move |field| self.field(field) != other.field(field))
    }

    /// What a program that reads the register `CRm`, `op2` of the identification space (op0 3, op1 0, CRn 0) sees;
    /// zero for those without a field of use.
    pub fn seen_by_programs(&self, crm: u32, op2: u32) -> u64 {
        let Some(register) = Register::ALL.into_iter().find(|register| register.encoding() == Some((crm, op2))) else {
            return 0;
        };
        FIELDS.iter().filter(|field| field.register == register).fold(0, |seen, field| {
            let value = match field.sight {
                Sight::Seen => field.of(self.register(register)),
                Sight::Hidden(value) => value,
            };
            seen | value << field.shift
        })
    }
}
