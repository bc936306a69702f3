//! ESR_EL1 in words (Arm ARM D19.2.37): what kind of exception, and for aborts which access went wrong how.
//!
//! Plain arithmetic, so the tests run on any host.

use core::fmt;

/// An exception syndrome, as ESR_EL1 held it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Esr(u64);

/// What kind of exception it was: the field EC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// An instruction that is not defined, or not at this level.
    Unknown,
    /// A trapped `wfi` or `wfe`.
    WaitTrapped,
    /// Floating point or vectors while they are switched off.
    FloatTrapped,
    /// A pointer authentication instruction while trapped.
    PointerAuthTrapped,
    /// A landing at a place without a `bti`.
    BranchTarget,
    /// An illegal execution state.
    IllegalState,
    /// `svc` from AArch64.
    Svc,
    /// `hvc`.
    Hvc,
    /// `smc`.
    Smc,
    /// A system register access that is trapped or not allowed.
    SystemRegister,
    /// SVE while it is switched off.
    SveTrapped,
    /// A failed pointer authentication.
    PointerAuthFailed,
    /// An instruction could not be fetched, by EL0.
    InstructionAbortLower,
    /// An instruction could not be fetched, by the kernel itself.
    InstructionAbortSame,
    /// The program counter is not aligned.
    PcAlignment,
    /// A load or store went wrong, in EL0.
    DataAbortLower,
    /// A load or store went wrong, in the kernel itself.
    DataAbortSame,
    /// The stack pointer is not aligned.
    SpAlignment,
    /// A trapped floating point exception.
    FloatingPoint,
    /// An asynchronous error.
    SError,
    /// A breakpoint.
    Breakpoint,
    /// A single step.
    SoftwareStep,
    /// A watchpoint.
    Watchpoint,
    /// `brk`.
    Brk,
    /// Something AArch64 code at this level does not raise: the number of the class.
    Other(u8),
}

/// What went wrong with an access: the fields DFSC and IFSC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The address is larger than the tables can translate.
    AddressSize(u8),
    /// No valid descriptor at this level.
    Translation(u8),
    /// The access flag of the descriptor at this level is clear.
    AccessFlag(u8),
    /// The descriptor at this level does not permit it.
    Permission(u8),
    /// An external abort on the access itself.
    External,
    /// An external abort on the table walk at this level.
    ExternalOnWalk(u8),
    /// A memory tag did not match.
    TagCheck,
    /// A parity or ECC error on the access itself.
    Parity,
    /// A parity or ECC error on the table walk at this level.
    ParityOnWalk(u8),
    /// The address is not aligned as the access needs it.
    Alignment,
    /// Two entries of the TLB contradict each other.
    TlbConflict,
    /// The hardware could not update a descriptor's flags.
    FlagUpdate,
    /// An exclusive or atomic access to memory that cannot do it.
    UnsupportedAtomic,
    /// Another code.
    Other(u8),
}

/// What the access did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// It loaded.
    Read,
    /// It stored.
    Write,
    /// It fetched an instruction.
    Execute,
}

/// An abort taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abort {
    /// What went wrong.
    pub fault: Fault,
    /// What the access did. A cache maintenance instruction counts as a store (`cache`).
    pub access: Access,
    /// Whether it was cache maintenance or address translation by instruction.
    pub cache: bool,
    /// Whether FAR_EL1 holds the address.
    pub address_valid: bool,
    /// Whether it was a walk of stage 1 tables that went wrong in stage 2.
    pub in_stage2_walk: bool,
}

impl Esr {
    /// The syndrome in a value of ESR_EL1.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The value of ESR_EL1.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The number of the class: bits 31 to 26.
    pub const fn class_number(self) -> u8 {
        (self.0 >> 26 & 0x3f) as u8
    }

    /// The syndrome of the class: bits 24 to 0.
    pub const fn specific(self) -> u32 {
        (self.0 & 0x1ff_ffff) as u32
    }

    /// The class.
    pub const fn class(self) -> Class {
        match self.class_number() {
            0x00 => Class::Unknown,
            0x01 => Class::WaitTrapped,
            0x07 => Class::FloatTrapped,
            0x09 => Class::PointerAuthTrapped,
            0x0d => Class::BranchTarget,
            0x0e => Class::IllegalState,
            0x15 => Class::Svc,
            0x16 => Class::Hvc,
            0x17 => Class::Smc,
            0x18 => Class::SystemRegister,
            0x19 => Class::SveTrapped,
            0x1c => Class::PointerAuthFailed,
            0x20 => Class::InstructionAbortLower,
            0x21 => Class::InstructionAbortSame,
            0x22 => Class::PcAlignment,
            0x24 => Class::DataAbortLower,
            0x25 => Class::DataAbortSame,
            0x26 => Class::SpAlignment,
            0x2c => Class::FloatingPoint,
            0x2f => Class::SError,
            0x30 | 0x31 => Class::Breakpoint,
            0x32 | 0x33 => Class::SoftwareStep,
            0x34 | 0x35 => Class::Watchpoint,
            0x3c => Class::Brk,
            other => Class::Other(other),
        }
    }

    /// What was tried, where it was the tables that did not let it happen: no valid descriptor, one that does not permit the
    /// access, or one whose access flag is clear. `None` for every other exception. [`abort`](Self::abort) says the same and
    /// more; every fault that an address space serves comes by here.
    #[inline]
    pub const fn table_fault(self) -> Option<Access> {
        /// WnR. Cache maintenance counts as a store, as the CPU says it.
        const WRITE: u32 = 1 << 6;
        // Translation, access flag and permission faults, of four levels each.
        if !matches!(self.specific() & 0x3f, 0x04..=0x0f) {
            return None;
        }
        match self.class_number() {
            0x20 | 0x21 => Some(Access::Execute),
            0x24 | 0x25 if self.specific() & WRITE != 0 => Some(Access::Write),
            0x24 | 0x25 => Some(Access::Read),
            _ => None,
        }
    }

    /// Whether the address of the access was not aligned as it must be.
    pub const fn is_alignment_fault(self) -> bool {
        matches!(self.abort(), Some(Abort { fault: Fault::Alignment, .. }))
    }

    /// Whether the memory itself answered with an error: what bad pmem does.
    pub const fn is_external_abort(self) -> bool {
        matches!(self.abort(), Some(Abort { fault: Fault::External | Fault::Parity, .. }))
    }

    /// The abort, where the class is one.
    pub const fn abort(self) -> Option<Abort> {
        const FAR_NOT_VALID: u32 = 1 << 10;
        const CACHE: u32 = 1 << 8;
        const STAGE2_WALK: u32 = 1 << 7;
        const WRITE: u32 = 1 << 6;
        let specific = self.specific();
        let fetch = match self.class() {
            Class::InstructionAbortLower | Class::InstructionAbortSame => true,
            Class::DataAbortLower | Class::DataAbortSame => false,
            _ => return None,
        };
        let fault = fault((specific & 0x3f) as u8);
        Some(Abort {
            fault,
            access: match fetch {
                true => Access::Execute,
                false if specific & WRITE != 0 => Access::Write,
                false => Access::Read,
            },
            cache: !fetch && specific & CACHE != 0,
            // The bit means something for external aborts only; every other abort has its address.
            address_valid: !matches!(fault, Fault::External) || specific & FAR_NOT_VALID == 0,
            in_stage2_walk: specific & STAGE2_WALK != 0,
        })
    }
}

const fn fault(code: u8) -> Fault {
    let level = code & 3;
    match code {
        0x00..=0x03 => Fault::AddressSize(level),
        0x04..=0x07 => Fault::Translation(level),
        0x08..=0x0b => Fault::AccessFlag(level),
        0x0c..=0x0f => Fault::Permission(level),
        0x10 => Fault::External,
        0x11 => Fault::TagCheck,
        0x14..=0x17 => Fault::ExternalOnWalk(level),
        0x18 => Fault::Parity,
        0x1c..=0x1f => Fault::ParityOnWalk(level),
        0x21 => Fault::Alignment,
        0x30 => Fault::TlbConflict,
        0x31 => Fault::FlagUpdate,
        0x35 => Fault::UnsupportedAtomic,
        other => Fault::Other(other),
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "undefined instruction",
            Self::WaitTrapped => "trapped wfi or wfe",
            Self::FloatTrapped => "floating point or vectors while switched off",
            Self::PointerAuthTrapped => "trapped pointer authentication",
            Self::BranchTarget => "branch to a place without bti",
            Self::IllegalState => "illegal execution state",
            Self::Svc => "svc",
            Self::Hvc => "hvc",
            Self::Smc => "smc",
            Self::SystemRegister => "trapped or forbidden system register access",
            Self::SveTrapped => "SVE while switched off",
            Self::PointerAuthFailed => "failed pointer authentication",
            Self::InstructionAbortLower => "instruction abort in EL0",
            Self::InstructionAbortSame => "instruction abort in EL1",
            Self::PcAlignment => "misaligned program counter",
            Self::DataAbortLower => "data abort in EL0",
            Self::DataAbortSame => "data abort in EL1",
            Self::SpAlignment => "misaligned stack pointer",
            Self::FloatingPoint => "floating point exception",
            Self::SError => "SError (asynchronous error)",
            Self::Breakpoint => "breakpoint",
            Self::SoftwareStep => "single step",
            Self::Watchpoint => "watchpoint",
            Self::Brk => "brk",
            Self::Other(number) => return write!(f, "exception class {number:#04x}"),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressSize(level) => write!(f, "address size fault at level {level}"),
            Self::Translation(level) => write!(f, "translation fault at level {level}"),
            Self::AccessFlag(level) => write!(f, "access flag fault at level {level}"),
            Self::Permission(level) => write!(f, "permission fault at level {level}"),
            Self::External => write!(f, "synchronous external abort"),
            Self::ExternalOnWalk(level) => write!(f, "synchronous external abort on the table walk at level {level}"),
            Self::TagCheck => write!(f, "tag check fault"),
            Self::Parity => write!(f, "parity or ECC error"),
            Self::ParityOnWalk(level) => write!(f, "parity or ECC error on the table walk at level {level}"),
            Self::Alignment => write!(f, "alignment fault"),
            Self::TlbConflict => write!(f, "TLB conflict"),
            Self::FlagUpdate => write!(f, "hardware update of a descriptor failed"),
            Self::UnsupportedAtomic => write!(f, "exclusive or atomic access to memory that cannot do it"),
            Self::Other(code) => write!(f, "fault code {code:#04x}"),
        }
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            _ if self.cache => "cache maintenance",
            Access::Read => "read",
            Access::Write => "write",
            Access::Execute => "fetch",
        };
        write!(f, "{access}: {}", self.fault)?;
        if self.in_stage2_walk {
            write!(f, ", on the stage 2 translation of a table walk")?;
        }
        Ok(())
    }
}

impl fmt::Display for Esr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.class())?;
        match (self.class(), self.abort()) {
            (_, Some(abort)) => write!(f, ", {abort}"),
            (Class::Svc | Class::Hvc | Class::Smc | Class::Brk, _) => write!(f, " #{:#x}", self.specific() & 0xffff),
            (Class::SystemRegister, _) => write!(f, ", {}", RegisterAccess(self.specific())),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Esr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} ({self})", self.0)
    }
}

/// The access that a [`Class::SystemRegister`] syndrome describes.
struct RegisterAccess(u32);

impl fmt::Display for RegisterAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = |shift: u32, bits: u32| self.0 >> shift & ((1 << bits) - 1);
        let (op0, op1, crn, crm, op2) = (field(20, 2), field(14, 3), field(10, 4), field(1, 4), field(17, 3));
        let direction = if field(0, 1) == 1 { "read" } else { "write" };
        write!(f, "{direction} of s{op0}_{op1}_c{crn}_c{crm}_{op2} with x{}", field(5, 5))
    }
}

/// SPSR_EL1 in words: where the exception came from, and what was masked there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SavedState(pub u64);

impl fmt::Display for SavedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 & 0x1f {
            0b00000 => "EL0",
            0b00100 => "EL1t",
            0b00101 => "EL1h",
            0b01000 => "EL2t",
            0b01001 => "EL2h",
            mode if mode & 0x10 != 0 => "AArch32",
            _ => "unknown mode",
        })?;
        let set = |at: u32| self.0 >> at & 1 != 0;
        let flags = [(31, 'N'), (30, 'Z'), (29, 'C'), (28, 'V')];
        f.write_str(", ")?;
        for (at, flag) in flags {
            write!(f, "{}", if set(at) { flag } else { '-' })?;
        }
        let masks = [(9, "debug"), (8, "SError"), (7, "IRQ"), (6, "FIQ")];
        self.list(f, ", nothing masked", ", masked:", &masks)?;
        let others = [
            (20, "illegal state"),
            (21, "single step"),
            (22, "PAN"),
            (23, "UAO"),
            (24, "DIT"),
            (25, "TCO"),
            (12, "SSBS"),
        ];
        self.list(f, "", ",", &others)
    }
}

impl SavedState {
    /// The names of the bits that are set, behind `some`; `none` where none is.
    fn list(self, f: &mut fmt::Formatter<'_>, none: &str, some: &str, bits: &[(u32, &str)]) -> fmt::Result {
        let mut set = bits.iter().filter(|(at, _)| self.0 >> at & 1 != 0).peekable();
        f.write_str(if set.peek().is_some() { some } else { none })?;
        set.try_for_each(|(_, name)| write!(f, " {name}"))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    fn words(esr: u64) -> std::string::String {
        Esr(esr).to_string()
    }

    #[test]
    fn faults_of_programs_and_of_the_kernel_are_told_apart() {
        assert_eq!(words(0x9200_0046), "data abort in EL0, write: translation fault at level 2");
        assert_eq!(words(0x9600_000f), "data abort in EL1, read: permission fault at level 3");
        assert_eq!(words(0x8200_0007), "instruction abort in EL0, fetch: translation fault at level 3");
    }

    #[test]
    fn a_media_error_is_an_external_abort() {
        let abort = Esr(0x9600_0010).abort().unwrap();
        assert_eq!((abort.fault, abort.access, abort.address_valid), (Fault::External, Access::Read, true));
        assert!(!Esr(0x9600_0410).abort().unwrap().address_valid);
    }

    #[test]
    fn the_faults_of_tables_are_those_of_their_three_kinds() {
        for esr in (0..1 << 11).flat_map(|specific| (0..64).map(move |class| class << 26 | specific)).map(Esr) {
            let of_tables = esr.abort().filter(|abort| {
                matches!(abort.fault, Fault::Translation(_) | Fault::AccessFlag(_) | Fault::Permission(_))
            });
            assert_eq!(esr.table_fault(), of_tables.map(|abort| abort.access), "{esr:?}");
        }
    }

    #[test]
    fn cleaning_a_line_that_is_not_mapped_says_so() {
        assert_eq!(words(0x9600_0147), "data abort in EL1, cache maintenance: translation fault at level 3");
    }

    #[test]
    fn immediates_and_registers_are_named() {
        assert_eq!(words(0x5600_0000), "svc #0x0");
        assert_eq!(words(0xf200_0001), "brk #0x1");
        // mrs x3, s3_3_c14_c0_2: CNTVCT_EL0.
        let specific = 3 << 20 | 2 << 17 | 3 << 14 | 14 << 10 | 3 << 5 | 1;
        let esr = 0x18 << 26 | 1 << 25 | specific;
        assert_eq!(words(esr), "trapped or forbidden system register access, read of s3_3_c14_c0_2 with x3");
    }

    #[test]
    fn every_syndrome_has_words() {
        for class in 0..64u64 {
            for specific in [0, 0x3f, 0x1ff_ffff] {
                assert!(!words(class << 26 | specific).is_empty());
            }
        }
        assert_eq!(words(0), "undefined instruction");
        assert_eq!(words(0xbf00_0042), "SError (asynchronous error)");
    }

    #[test]
    fn saved_states_name_the_level_and_the_mask() {
        assert_eq!(SavedState(0x6000_03c5).to_string(), "EL1h, -ZC-, masked: debug SError IRQ FIQ");
        assert_eq!(SavedState(0).to_string(), "EL0, ----, nothing masked");
    }
}
