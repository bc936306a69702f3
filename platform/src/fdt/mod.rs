//! What the device tree says about the machine, as plain data.
//!
//! [`blob_len`] bounds the blob before it is read, and [`Platform::parse`] takes out what the kernel uses, in one walk
//! over the tree. Nothing is assumed: what the kernel cannot do without and the tree does not name is an error that says
//! so. [`blob`] is the flattened form, [`nodes`] follows nodes through their buses, [`read`] turns properties into numbers.
//!
//! The reader is our own because of what it costs, not of what it can: dtoolkit, which looks for each property and
//! each path from the beginning and had every name checked letter by letter, took 700,000 of the 1,600,000
//! instructions from reset to the first program. It stays the judge in the tests, which hold this reader against it.

mod blob;
mod first;
mod nodes;
mod read;
#[cfg(test)]
mod tests;

use core::fmt;

use arrayvec::{ArrayString, ArrayVec};
use units::{PhysAddr, PhysRange};

use blob::Blob;
pub use blob::{Extent, HEADER, MAX_BLOB, blob_len};
pub use first::bootargs;

/// CPUs taken from the tree; more are counted in [`Platform::cpus_left_out`].
pub const MAX_CPUS: usize = 8;
/// The end of physical addresses: 48 bits, the most that the kernel's tables can show.
pub const PHYS_END: u64 = 1 << 48;

/// A range of memory and where it sits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// The addresses.
    pub range: PhysRange,
    /// The NUMA node, where the tree names one.
    pub node: Option<u32>,
}

/// A CPU that the tree names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cpu {
    /// The affinity fields of its MPIDR_EL1.
    pub mpidr: u64,
    /// How it is started.
    pub enable: EnableMethod,
    /// The NUMA node, where the tree names one.
    pub node: Option<u32>,
}

/// How a CPU that waits in firmware is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EnableMethod {
    /// By PSCI's `CPU_ON`.
    Psci,
    /// By writing its entry point to this address.
    SpinTable(PhysAddr),
    /// The tree does not say, or says what this kernel does not know.
    Unknown,
}

/// How PSCI is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PsciMethod {
    /// By `smc`.
    Smc,
    /// By `hvc`.
    Hvc,
}

/// An interrupt line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interrupt {
    /// The number the interrupt controller gives it: 16 to 31 private to a CPU, 32 and up shared.
    pub id: u32,
    /// What makes it fire.
    pub trigger: Trigger,
}

/// What makes an interrupt fire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// A change of the line.
    Edge,
    /// The line's level.
    Level,
}

/// The PL011 that is the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uart {
    /// Its registers.
    pub registers: PhysRange,
    /// Its interrupt.
    pub interrupt: Interrupt,
}

/// The GICv3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gic {
    /// The distributor's registers.
    pub distributor: PhysRange,
    /// The redistributors' registers, in the tree's order.
    pub redistributors: ArrayVec<PhysRange, 4>,
}

/// The interrupts of the generic timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timer {
    /// Of the EL1 physical timer.
    pub physical: Interrupt,
    /// Of the virtual timer.
    pub virt: Interrupt,
}

/// A range that must not be used as RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reserved {
    /// The addresses.
    pub range: PhysRange,
    /// Whether it may not even be mapped.
    pub no_map: bool,
}

/// A PCI host bridge whose configuration space is memory (ECAM).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PciHost {
    /// The configuration space: 32 KiB for each device, from bus 0 on.
    pub ecam: PhysRange,
    /// Where devices' memory can be put.
    pub windows: ArrayVec<PciWindow, 4>,
}

/// Addresses of the bus that the CPU sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PciWindow {
    /// Where the CPU sees them.
    pub range: PhysRange,
    /// Where they begin on the bus.
    pub bus: u64,
    /// How wide an address of theirs is.
    pub space: PciSpace,
}

/// How wide an address on the bus is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PciSpace {
    /// Below 4 GiB.
    Memory32,
    /// Anywhere.
    Memory64,
}

/// Persistent memory that the tree names (`pmem-region`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PmemRegion {
    /// The addresses.
    pub range: PhysRange,
    /// Whether its content is lost with the power after all.
    pub volatile: bool,
    /// The NUMA node, where the tree names one.
    pub node: Option<u32>,
}

/// The machine, as its device tree describes it.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Memory, in rising order of address, without overlap.
    pub memory: ArrayVec<Memory, 16>,
    /// What of it is spoken for: `/memreserve/`, `/reserved-memory`, the initial RAM disk.
    pub reserved: ArrayVec<Reserved, 32>,
    /// The CPUs, in the tree's order.
    pub cpus: ArrayVec<Cpu, MAX_CPUS>,
    /// How many CPUs the tree names beyond [`MAX_CPUS`].
    pub cpus_left_out: usize,
    /// How PSCI is called, where there is one.
    pub psci: Option<PsciMethod>,
    /// The console.
    pub uart: Uart,
    /// The interrupt controller.
    pub gic: Gic,
    /// The generic timer.
    pub timer: Timer,
    /// QEMU's fw_cfg, where there is one.
    pub fw_cfg: Option<PhysRange>,
    /// The PL031 clock, where there is one.
    pub rtc: Option<PhysRange>,
    /// The PCI host bridge whose configuration space is memory, where there is one.
    pub pci: Option<PciHost>,
    /// `pmem-region` nodes, in the tree's order.
    pub pmem_regions: ArrayVec<PmemRegion, 8>,
    /// The kernel command line.
    pub bootargs: ArrayString<2048>,
    /// Randomness from the firmware; empty where it gave none.
    pub rng_seed: ArrayVec<u8, 64>,
    /// Randomness for the kernel's own placement.
    pub kaslr_seed: Option<u64>,
}

impl Platform {
    /// Takes the machine out of a device tree blob, of which there are at least the bytes that [`Extent::used`] says.
    ///
    /// # Errors
    /// [`FdtError`], naming what is wrong or missing.
    pub fn parse(blob: &[u8]) -> Result<Self, FdtError> {
        read::platform(&Blob::new(blob)?)
    }

    /// The registers that the tree names, and whose they are.
    pub fn registers(&self) -> impl Iterator<Item = (&'static str, PhysRange)> + '_ {
        registers(&self.uart, &self.gic, self.fw_cfg, self.rtc)
    }

    /// The NUMA node of the boot CPU, where the tree names one: memory of other nodes is not used as RAM.
    pub fn boot_node(&self, mpidr: u64) -> Option<u32> {
        self.cpus.iter().find(|cpu| cpu.mpidr == mpidr & AFFINITY).and_then(|cpu| cpu.node)
    }
}

/// The registers of these devices, and whose they are.
fn registers(
    uart: &Uart,
    gic: &Gic,
    fw_cfg: Option<PhysRange>,
    rtc: Option<PhysRange>,
) -> impl Iterator<Item = (&'static str, PhysRange)> + Clone {
    let always = [("the UART", uart.registers), ("the interrupt controller", gic.distributor)];
    let redistributors = gic.redistributors.iter().map(|&range| ("the interrupt controller", range));
    let perhaps = [("fw_cfg", fw_cfg), ("the clock", rtc)].into_iter();
    let perhaps = perhaps.filter_map(|(whose, range)| range.map(|range| (whose, range)));
    always.into_iter().chain(redistributors).chain(perhaps)
}

/// The machine in a line, for the log.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory: u64 = self.memory.iter().map(|memory| memory.range.len().get()).sum();
        write!(f, "{} CPUs, {} MiB in {} ranges", self.cpus.len(), memory >> 20, self.memory.len())?;
        if self.cpus_left_out > 0 {
            write!(f, ", {} more CPUs than there is room for", self.cpus_left_out)?;
        }
        match self.psci {
            Some(PsciMethod::Smc) => write!(f, ", PSCI by smc")?,
            Some(PsciMethod::Hvc) => write!(f, ", PSCI by hvc")?,
            None => write!(f, ", no PSCI that could be called")?,
        }
        let seeds = (self.rng_seed.is_empty(), self.kaslr_seed.is_none());
        if seeds != (false, false) { write!(f, ", the firmware gave no randomness") } else { Ok(()) }
    }
}

/// The affinity fields of MPIDR_EL1.
pub const AFFINITY: u64 = 0xff_00ff_ffff;

/// The console of a tree that [`Platform::parse`] refuses, if it can be made out: for the message that says so.
pub fn find_uart(blob: &[u8]) -> Option<PhysRange> {
    read::console_registers(&Blob::new(blob).ok()?)
}

/// The name of a node, cut where it is too long to be shown.
pub type NodeName = ArrayString<32>;

/// Why a device tree is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FdtError {
    /// It does not begin with the magic number but with this.
    Magic(u32),
    /// It says that it is this long.
    Size(u32),
    /// It is in a version of the format that is not read here.
    Version(u32),
    /// It is damaged.
    Damaged {
        /// What is there.
        what: &'static str,
        /// Bytes from the beginning of the blob.
        at: usize,
    },
    /// The kernel cannot do without this, and the tree has none.
    Missing(&'static str),
    /// A property that the kernel needs is missing, has the wrong length, or makes no sense.
    Property {
        /// The node.
        node: NodeName,
        /// The property.
        property: &'static str,
    },
    /// More of these than the kernel has room for.
    TooMany(&'static str),
    /// The tree describes hardware that this kernel does not drive.
    Unsupported(&'static str),
    /// A range of memory overlaps another, or passes the end of the address space.
    MemoryRange(u64),
    /// Registers overlap memory, or those of another device.
    Registers(u64),
}

impl fmt::Display for FdtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device tree: ")?;
        match self {
            Self::Magic(found) => write!(f, "no device tree here: it begins with {found:#010x}"),
            Self::Size(size) => write!(f, "a size of {size} bytes cannot be right"),
            Self::Version(version) => write!(f, "version {version} of the format is not known"),
            Self::Damaged { what, at } => write!(f, "damaged: {what}, at byte {at}"),
            Self::Missing(what) => write!(f, "no {what}"),
            Self::Property { node, property } => write!(f, "node {node}: bad or missing property {property}"),
            Self::TooMany(what) => write!(f, "too many {what}"),
            Self::Unsupported(what) => write!(f, "{what}"),
            Self::MemoryRange(at) => write!(f, "the memory range at {at:#x} overlaps another or passes the end"),
            Self::Registers(at) => write!(f, "the registers at {at:#x} overlap memory, or those of another device"),
        }
    }
}
