//! Reads of identification registers by a program (`mrs x0, id_aa64isar0_el1`), answered with what all CPUs can stand
//! for, and nothing of what is not saved (Linux: `emulate_mrs`; AT_HWCAP says it by CPUID).

use arch::features::common;
use arch::frame::TrapFrame;

use crate::uaccess::{UserPtr, read_user};

/// MPIDR_EL1 as every program sees it: bit 31 alone, which reads as one.
const MPIDR: u64 = 1 << 31;
/// SPSR_EL1.BTYPE: of the branch that led to an instruction; none behind one that is done.
const BTYPE: u64 = 0b11 << 10;

/// A read of a system register, taken apart (Arm ARM C6.2.240).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mrs {
    op0: u32,
    op1: u32,
    crn: u32,
    crm: u32,
    op2: u32,
    rt: usize,
}

impl Mrs {
    fn decode(instruction: u32) -> Option<Self> {
        let field = |shift: u32, bits: u32| instruction >> shift & ((1 << bits) - 1);
        (instruction & 0xfff0_0000 == 0xd530_0000).then(|| Self {
            op0: 2 + field(19, 1),
            op1: field(16, 3),
            crn: field(12, 4),
            crm: field(8, 4),
            op2: field(5, 3),
            rt: field(0, 5) as usize,
        })
    }

    /// What the program sees, if the register is of the identification space.
    fn value(self) -> Option<u64> {
        if (self.op0, self.op1, self.crn) != (3, 0, 0) {
            return None;
        }
        match (self.crm, self.op2) {
            (0, 0) => Some(arch::cpu::midr()),
            (0, 5) => Some(MPIDR),
            (0, 6) => Some(0), // REVIDR_EL1
            (2..=7, _) => Some(common().seen_by_programs(self.crm, self.op2)),
            _ => None,
        }
    }
}

/// Serves the instruction at the frame's program counter, if it reads an identification register; says whether it did.
pub(super) fn identification(frame: &mut TrapFrame) -> bool {
    let Ok(instruction) = read_user::<u32>(UserPtr::new(frame.elr)) else { return false };
    let Some(mrs) = Mrs::decode(instruction) else { return false };
    let Some(value) = mrs.value() else { return false };
    // Register 31 is the one that keeps nothing.
    if let Some(register) = frame.x.get_mut(mrs.rt) {
        *register = value;
    }
    frame.elr += 4;
    frame.spsr &= !BTYPE;
    true
}
