//! The features of this machine: snapshots taken by each CPU, and what they have in common.

use core::sync::atomic::{AtomicU64, Ordering};

use super::registers::{IdRegisters, Register};
use super::{Feature, Features};
use crate::cpu::{self, MAX_CPUS};

/// Who a CPU is, and what it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cpu {
    /// MIDR_EL1: who made it. Never zero.
    pub midr: u64,
    /// Its identification registers.
    pub registers: IdRegisters,
}

const REGISTERS: usize = Register::ALL.len();

/// A snapshot in memory that every CPU reads.
struct Kept {
    /// MIDR_EL1, stored last; zero until the CPU came.
    midr: AtomicU64,
    registers: [AtomicU64; REGISTERS],
}

impl Kept {
    const fn new() -> Self {
        Self { midr: AtomicU64::new(0), registers: [const { AtomicU64::new(0) }; REGISTERS] }
    }

    fn keep(&self, cpu: &Cpu) {
        for (slot, register) in self.registers.iter().zip(Register::ALL) {
            slot.store(cpu.registers.register(register), Ordering::Relaxed);
        }
        self.midr.store(cpu.midr, Ordering::Release);
    }

    fn read(&self) -> Option<Cpu> {
        let midr = self.midr.load(Ordering::Acquire);
        let registers = IdRegisters::from_fn(|register| self.registers[register as usize].load(Ordering::Relaxed));
        (midr != 0).then_some(Cpu { midr, registers })
    }
}

static CPUS: [Kept; MAX_CPUS] = [const { Kept::new() }; MAX_CPUS];
/// What they have in common; its MIDR_EL1 is the boot CPU's.
static COMMON: Kept = Kept::new();
/// The features that [`COMMON`] tells of: none until they are settled, which is always safe.
static SETTLED: AtomicU64 = AtomicU64::new(0);

/// The registers of the CPU that runs this.
pub fn this_cpu() -> Cpu {
    let registers = IdRegisters::from_fn(|register| match register {
        Register::Pfr0 => cpu::pfr0(),
        Register::Pfr1 => cpu::pfr1(),
        Register::Isar0 => cpu::isar0(),
        Register::Isar1 => cpu::isar1(),
        Register::Isar2 => cpu::isar2(),
        Register::Mmfr0 => cpu::mmfr0(),
        Register::Mmfr1 => cpu::mmfr1(),
        Register::Mmfr2 => cpu::mmfr2(),
        Register::Ctr => cpu::ctr(),
    });
    Cpu { midr: cpu::midr(), registers }
}

/// Leaves a snapshot of this CPU; once its per-CPU block is installed, and before [`settle`].
pub fn record() {
    CPUS[cpu::index()].keep(&this_cpu());
}

/// The CPUs that left a snapshot, with their numbers.
pub fn recorded() -> impl Iterator<Item = (usize, Cpu)> {
    CPUS.iter().enumerate().filter_map(|(index, kept)| Some((index, kept.read()?)))
}

/// Makes what the recorded CPUs have in common the machine's; by the boot CPU, once, before the first program.
pub fn settle() -> Features {
    let registers = IdRegisters::in_common(recorded().map(|(_, cpu)| cpu.registers));
    COMMON.keep(&Cpu { midr: cpu::midr(), registers });
    let features = Features::of(&registers);
    SETTLED.store(features.bits(), Ordering::Release);
    features
}

/// What all CPUs have; nothing before [`settle`].
#[inline]
pub fn features() -> Features {
    Features::from_bits(SETTLED.load(Ordering::Relaxed))
}

/// Whether all CPUs have `feature`; no before [`settle`].
#[inline]
pub fn has(feature: Feature) -> bool {
    features().has(feature)
}

/// The same as [`common`], but before [`settle`] what this CPU alone has.
pub fn common_or_own() -> IdRegisters {
    COMMON.read().unwrap_or_else(this_cpu).registers
}

/// The identification registers that all CPUs can stand for; zeroes before [`settle`].
pub fn common() -> IdRegisters {
    COMMON.read().map_or(IdRegisters::ZERO, |cpu| cpu.registers)
}
