//! What the device tree says about the machine, as plain data.
//!
//! [`blob_len`] bounds the blob before it is read, dtoolkit validates the whole of it, and [`Platform::parse`] takes
//! out what the kernel uses. Nothing is assumed: what the kernel cannot do without and the tree does not name is an
//! error that says so. [`walk`] follows nodes through their buses; [`read`] turns properties into numbers.

mod first;
mod read;
mod walk;

use core::fmt;

use arrayvec::{ArrayString, ArrayVec};
use dtoolkit::error::FdtParseError;
use dtoolkit::fdt::Fdt;
use units::{PhysAddr, PhysRange};

pub use first::bootargs;

/// CPUs taken from the tree; more are counted in [`Platform::cpus_left_out`].
pub const MAX_CPUS: usize = 8;
/// The largest blob that is accepted (the bound of the arm64 boot protocol).
pub const MAX_BLOB: usize = 2 << 20;
/// Bytes of the header that say how long the blob is.
pub const HEADER: usize = 8;

const MAGIC: u32 = 0xd00d_feed;

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
    /// Takes the machine out of a device tree blob of exactly the length that [`blob_len`] gives.
    ///
    /// # Errors
    /// [`FdtError`], naming what is wrong or missing.
    pub fn parse(blob: &[u8]) -> Result<Self, FdtError> {
        let tree = Fdt::new(blob).map_err(FdtError::Blob)?;
        read::platform(tree)
    }

    /// The NUMA node of the boot CPU, where the tree names one: memory of other nodes is not used as RAM.
    pub fn boot_node(&self, mpidr: u64) -> Option<u32> {
        self.cpus.iter().find(|cpu| cpu.mpidr == mpidr & AFFINITY).and_then(|cpu| cpu.node)
    }
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
            None => write!(f, ", no PSCI")?,
        }
        let seeds = (self.rng_seed.is_empty(), self.kaslr_seed.is_none());
        if seeds != (false, false) { write!(f, ", the firmware gave no randomness") } else { Ok(()) }
    }
}

/// The affinity fields of MPIDR_EL1.
pub const AFFINITY: u64 = 0xff_00ff_ffff;

/// How long the blob is that begins with `header`.
///
/// # Errors
/// [`FdtError::Magic`] and [`FdtError::Size`].
pub fn blob_len(header: [u8; HEADER]) -> Result<usize, FdtError> {
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if word(0) != MAGIC {
        return Err(FdtError::Magic(word(0)));
    }
    match usize::try_from(word(4)) {
        Ok(len @ HEADER..=MAX_BLOB) => Ok(len),
        _ => Err(FdtError::Size(word(4))),
    }
}

/// The console of a tree that [`Platform::parse`] refuses, if it can be made out: for the message that says so.
pub fn find_uart(blob: &[u8]) -> Option<PhysRange> {
    read::console(Fdt::new(blob).ok()?).ok().map(|uart| uart.registers)
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
    /// Its structure is damaged.
    Blob(FdtParseError),
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
    /// Two ranges of memory overlap, or one passes the end of the address space.
    MemoryRange(u64),
}

impl fmt::Display for FdtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device tree: ")?;
        match self {
            Self::Magic(found) => write!(f, "no device tree here: it begins with {found:#010x}"),
            Self::Size(size) => write!(f, "a size of {size} bytes cannot be right"),
            Self::Blob(error) => write!(f, "{error}"),
            Self::Missing(what) => write!(f, "no {what}"),
            Self::Property { node, property } => write!(f, "node {node}: bad or missing property {property}"),
            Self::TooMany(what) => write!(f, "too many {what}"),
            Self::Unsupported(what) => write!(f, "{what}"),
            Self::MemoryRange(at) => write!(f, "memory range at {at:#x} overlaps another or passes the end"),
        }
    }
}
