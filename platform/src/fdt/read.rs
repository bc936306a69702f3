//! From nodes and properties to the fields of [`Platform`].

use arrayvec::{ArrayString, ArrayVec};
use units::{PhysAddr, PhysRange};

use super::blob::{Blob, Event};
use super::nodes::{MAX_DEPTH, Name, Node, Nodes, bad, walk};
use super::{
    AFFINITY, Cpu, EnableMethod, FdtError, Gic, Interrupt, MAX_CPUS, Memory, PHYS_END, PciHost, Platform, PmemRegion,
    PsciMethod, Reserved, Timer, Trigger, Uart, registers,
};

/// Bytes of registers that a device of each kind has at least, and what its address is a multiple of.
mod kinds {
    pub(super) const PL011: (u64, u64) = (0x1000, 0x1000);
    pub(super) const PL031: (u64, u64) = (0x1000, 0x1000);
    pub(super) const FW_CFG: (u64, u64) = (0x18, 8);
    pub(super) const DISTRIBUTOR: (u64, u64) = (0x1_0000, 0x1000);
    pub(super) const REDISTRIBUTORS: (u64, u64) = (0x2_0000, 0x1000);
}

/// A PL011, before it is known whether it is the console. Only of the one that is do mistakes matter.
struct Candidate<'a> {
    path: ArrayVec<&'a [u8], MAX_DEPTH>,
    registers: Option<PhysRange>,
    lines: Lines<'a>,
}

/// The interrupts of a device, as yet unread: how wide an entry is the interrupt controller's node says.
#[derive(Clone, Copy)]
struct Lines<'a> {
    device: &'a [u8],
    value: Option<&'a [u8]>,
}

/// What the walk over the tree finds.
#[derive(Default)]
pub(super) struct Found<'a> {
    chosen: Option<Node<'a>>,
    memory: ArrayVec<Memory, 16>,
    reserved: ArrayVec<Reserved, 32>,
    cpus: ArrayVec<Cpu, MAX_CPUS>,
    cpus_left_out: usize,
    psci: Option<Option<PsciMethod>>,
    /// The first ones: who has more names the console.
    pl011s: ArrayVec<Candidate<'a>, 4>,
    gic: Option<Gic>,
    /// Cells of an interrupt at the GIC.
    cells: usize,
    has_gic_v2: bool,
    timer: Option<Lines<'a>>,
    fw_cfg: Option<PhysRange>,
    rtc: Option<PhysRange>,
    pci: Option<PciHost>,
    pmem_regions: ArrayVec<PmemRegion, 8>,
}

/// Everything at once.
pub(super) fn platform(blob: &Blob<'_>) -> Result<Platform, FdtError> {
    let mut found = Found::default();
    walk(blob, &mut |nodes| found.note(nodes))?;
    found.reserve_the_rest(blob)?;
    found.platform(blob)
}

/// The registers of the console, as far as they can be made out.
pub(super) fn console_registers(blob: &Blob<'_>) -> Option<PhysRange> {
    let mut found = Found::default();
    // Whatever else is wrong is said already.
    let _ = walk(blob, &mut |nodes| found.note(nodes).or(Ok(())));
    let named = found.stdout(blob).ok().flatten().and_then(|candidate| candidate.registers);
    named.or_else(|| found.pl011s.iter().find_map(|candidate| candidate.registers))
}

impl<'a> Found<'a> {
    /// Notes what one node says.
    fn note(&mut self, nodes: &Nodes<'a>) -> Result<(), FdtError> {
        let node = nodes.node();
        if nodes.is_at(b"chosen") {
            self.chosen.get_or_insert(*node);
            return Ok(());
        }
        // The status `disabled` of a CPU only says that it waits to be started.
        if nodes.is_below(&[b"cpus"]) && node.is(Name::DeviceType, b"cpu") {
            return if is_broken(node) { Ok(()) } else { self.note_cpu(nodes) };
        }
        if !nodes.is_on() {
            return Ok(());
        }
        // A node without `reg` asks for memory at any address, for a driver this kernel does not have.
        if nodes.is_below(&[b"reserved-memory"]) && node.get(Name::Reg).is_some() {
            let no_map = node.get(Name::NoMap).is_some();
            return nodes.registers()?.try_for_each(|range| self.reserve(range?, no_map));
        }
        if node.is(Name::DeviceType, b"memory") {
            return self.note_memory(nodes);
        }
        node.compatible().try_for_each(|kind| self.note_device(kind, nodes))
    }

    /// Notes a device that goes by the name `kind`, among others; of all but memory and UARTs the first counts.
    fn note_device(&mut self, kind: &[u8], nodes: &Nodes<'a>) -> Result<(), FdtError> {
        match kind {
            b"arm,psci-0.2" | b"arm,psci-1.0" if self.psci.is_none() => {
                // Version 0.1, whose function numbers differ, is not known here.
                self.psci = Some(psci_method(nodes.node())?);
            }
            b"arm,pl011" => self.note_pl011(nodes),
            b"arm,gic-v3" if self.gic.is_none() => {
                self.gic = Some(gic(nodes)?);
                self.cells = interrupt_cells(nodes.node())?;
            }
            b"arm,cortex-a15-gic" | b"arm,gic-400" => self.has_gic_v2 = true,
            b"arm,armv8-timer" => drop(self.timer.get_or_insert(Lines::of(nodes.node()))),
            b"qemu,fw-cfg-mmio" if self.fw_cfg.is_none() => self.fw_cfg = Some(first(nodes, kinds::FW_CFG)?),
            b"arm,pl031" if self.rtc.is_none() => self.rtc = Some(first(nodes, kinds::PL031)?),
            // A bridge that cannot be understood is one that is not there: nothing needs it.
            b"pci-host-ecam-generic" if self.pci.is_none() => self.pci = nodes.pci_host().ok(),
            b"pmem-region" => return self.note_pmem_region(nodes),
            _ => {}
        }
        Ok(())
    }

    fn note_pl011(&mut self, nodes: &Nodes<'a>) {
        let registers = first(nodes, kinds::PL011).ok();
        let lines = Lines::of(nodes.node());
        // Where there is no room the walk goes on: the console is among the first, or the tree is refused.
        let _ = self.pl011s.try_push(Candidate { path: nodes.path().collect(), registers, lines });
    }

    /// Notes the ranges of a node that describes memory; empty ones are left out.
    fn note_memory(&mut self, nodes: &Nodes<'a>) -> Result<(), FdtError> {
        let node = nodes.node().number(Name::NumaNodeId)?;
        for range in nodes.registers()? {
            let range = range?;
            if !range.is_empty() {
                self.memory.try_push(Memory { range, node }).map_err(|_| FdtError::TooMany("ranges of memory"))?;
            }
        }
        Ok(())
    }

    fn note_pmem_region(&mut self, nodes: &Nodes<'a>) -> Result<(), FdtError> {
        let volatile = nodes.node().get(Name::Volatile).is_some();
        let node = nodes.node().number(Name::NumaNodeId)?;
        for range in nodes.registers()? {
            let region = PmemRegion { range: range?, volatile, node };
            self.pmem_regions.try_push(region).map_err(|_| FdtError::TooMany("pmem regions"))?;
        }
        Ok(())
    }

    fn note_cpu(&mut self, nodes: &Nodes<'a>) -> Result<(), FdtError> {
        let node = nodes.node();
        let mpidr = nodes.first_address().ok().filter(|mpidr| mpidr & !AFFINITY == 0);
        let mpidr = mpidr.ok_or_else(|| node.bad(Name::Reg))?;
        let enable = match node.text(Name::EnableMethod)? {
            Some("psci") => EnableMethod::Psci,
            // One that does not say where it waits cannot be started; the others go on without it.
            Some("spin-table") => {
                let at = node.wide(Name::CpuReleaseAddr).ok().flatten();
                at.map_or(EnableMethod::Unknown, |at| EnableMethod::SpinTable(PhysAddr::new(at)))
            }
            _ => EnableMethod::Unknown,
        };
        let cpu = Cpu { mpidr, enable, node: node.number(Name::NumaNodeId)? };
        self.cpus_left_out += usize::from(self.cpus.try_push(cpu).is_err());
        Ok(())
    }

    fn reserve(&mut self, range: PhysRange, no_map: bool) -> Result<(), FdtError> {
        self.reserved.try_push(Reserved { range, no_map }).map_err(|_| FdtError::TooMany("reserved ranges"))
    }

    /// Notes what is reserved elsewhere than in nodes: `/memreserve/`, and the initial RAM disk.
    fn reserve_the_rest(&mut self, blob: &Blob<'_>) -> Result<(), FdtError> {
        for range in blob.reservations() {
            self.reserve(range?, false)?;
        }
        if let Some(node) = &self.chosen
            && let (Some(start), Some(end)) = (node.wide(Name::InitrdStart)?, node.wide(Name::InitrdEnd)?)
        {
            let disk = PhysRange::new(PhysAddr::new(start), PhysAddr::new(end));
            self.reserve(disk.ok_or(FdtError::MemoryRange(start))?, false)?;
        }
        Ok(())
    }

    /// Puts together what the walk found. Never inlined: what it builds is large, and the boot stack is not, so it must not
    /// lie there beside what the walk needs.
    #[inline(never)]
    fn platform(&self, blob: &Blob<'_>) -> Result<Platform, FdtError> {
        if self.cpus.is_empty() {
            return Err(FdtError::Missing("CPU in /cpus"));
        }
        let uart = self.uart(blob)?;
        let timer = self.timer()?;
        let gic = self.gic.clone().ok_or(FdtError::Missing("GICv3 interrupt controller"))?;
        let memory = sorted(self.memory.clone())?;
        apart(registers(&uart, &gic, self.fw_cfg, self.rtc), &memory)?;
        let chosen = self.chosen.as_ref();
        let seed = chosen.and_then(|node| node.get(Name::RngSeed)).unwrap_or_default();
        let line = chosen.map_or(Ok(None), |node| node.text(Name::Bootargs))?.unwrap_or("");
        let mut platform = Platform {
            memory,
            reserved: self.reserved.clone(),
            cpus: self.cpus.clone(),
            cpus_left_out: self.cpus_left_out,
            psci: self.psci.flatten(),
            uart,
            gic,
            timer,
            fw_cfg: self.fw_cfg,
            rtc: self.rtc,
            pci: self.pci.clone(),
            pmem_regions: self.pmem_regions.clone(),
            bootargs: ArrayString::new(),
            rng_seed: seed.iter().copied().take(64).collect(),
            kaslr_seed: chosen.map(|node| node.wide(Name::KaslrSeed)).transpose()?.flatten(),
        };
        let fits = platform.bootargs.try_push_str(line);
        fits.map_err(|_| FdtError::TooMany("bytes of command line (2048 at most)"))?;
        Ok(platform)
    }

    /// The PL011 that `/chosen/stdout-path` names, else the first one.
    fn uart(&self, blob: &Blob<'_>) -> Result<Uart, FdtError> {
        let first = || self.pl011s.first().ok_or(FdtError::Missing("PL011 for the console"));
        let console = self.stdout(blob)?.map_or_else(first, Ok)?;
        let interrupt = self.interrupts(console.lines)?.first().copied().filter(|line| line.id >= 32);
        let interrupt = interrupt.ok_or_else(|| console.lines.bad())?;
        let registers = console.registers.ok_or_else(|| bad(console.lines.device, Name::Reg))?;
        Ok(Uart { registers, interrupt })
    }

    /// The PL011 that `/chosen/stdout-path` names, by a path or by an alias, perhaps with a speed behind a colon.
    fn stdout(&self, blob: &Blob<'_>) -> Result<Option<&Candidate<'a>>, FdtError> {
        let Some(chosen) = &self.chosen else { return Ok(None) };
        let Some(value) = chosen.text(Name::StdoutPath)? else { return Ok(None) };
        let name = value.split(':').next().unwrap_or(value).as_bytes();
        let path = if name.starts_with(b"/") { Some(name) } else { alias(blob, name)? };
        let path = path.ok_or_else(|| chosen.bad(Name::StdoutPath))?;
        let named = self.pl011s.iter().find(|candidate| leads(path, &candidate.path));
        named.map(Some).ok_or(FdtError::Unsupported("/chosen/stdout-path does not name a PL011"))
    }

    /// The timer's interrupts: secure physical, physical, virtual, and hypervisor, in this order.
    fn timer(&self) -> Result<Timer, FdtError> {
        let lines = self.timer.ok_or(FdtError::Missing("generic timer"))?;
        match self.interrupts(lines)?.as_slice() {
            [_, physical, virt, ..] if physical.id < 32 && virt.id < 32 && physical.id != virt.id => {
                Ok(Timer { physical: *physical, virt: *virt })
            }
            _ => Err(lines.bad()),
        }
    }

    /// The interrupts of a device whose controller is the GIC (its binding: type, number, flags).
    fn interrupts(&self, lines: Lines<'_>) -> Result<ArrayVec<Interrupt, 8>, FdtError> {
        if self.gic.is_none() {
            return Err(self.no_gic());
        }
        let (words, rest) = lines.value.ok_or_else(|| lines.bad())?.as_chunks::<4>();
        if !rest.is_empty() || words.len() % self.cells != 0 {
            return Err(lines.bad());
        }
        words.chunks_exact(self.cells).take(8).map(|line| interrupt(line).ok_or_else(|| lines.bad())).collect()
    }

    fn no_gic(&self) -> FdtError {
        match self.has_gic_v2 {
            true => FdtError::Unsupported("the interrupt controller is a GICv2; GICv3 is wanted"),
            false => FdtError::Missing("GICv3 interrupt controller"),
        }
    }
}

impl<'a> Lines<'a> {
    fn of(node: &Node<'a>) -> Self {
        Self { device: node.name(), value: node.get(Name::Interrupts) }
    }

    fn bad(&self) -> FdtError {
        bad(self.device, Name::Interrupts)
    }
}

/// The ranges of memory, sorted.
fn sorted(mut all: ArrayVec<Memory, 16>) -> Result<ArrayVec<Memory, 16>, FdtError> {
    all.sort_unstable_by_key(|memory| memory.range.start());
    match all.windows(2).find(|pair| pair[0].range.overlaps(pair[1].range)) {
        Some(pair) => Err(FdtError::MemoryRange(pair[1].range.start().get())),
        None if all.is_empty() => Err(FdtError::Missing("memory")),
        None => Ok(all),
    }
}

/// Makes sure that no register is memory, or another device's.
fn apart(devices: impl Iterator<Item = (&'static str, PhysRange)> + Clone, memory: &[Memory]) -> Result<(), FdtError> {
    for (index, (_, device)) in devices.clone().enumerate() {
        let of_another = devices.clone().take(index).any(|(_, other)| other.overlaps(device));
        if of_another || memory.iter().any(|ram| ram.range.overlaps(device)) {
            return Err(FdtError::Registers(device.start().get()));
        }
    }
    Ok(())
}

/// The first register range, where it can be that of a device of at least `least` bytes at a multiple of `align`.
fn first(nodes: &Nodes<'_>, kind: (u64, u64)) -> Result<PhysRange, FdtError> {
    let range = nodes.registers()?.next().unwrap_or_else(|| Err(nodes.node().bad(Name::Reg)))?;
    fitting(range, kind).ok_or_else(|| nodes.node().bad(Name::Reg))
}

fn fitting(range: PhysRange, (least, align): (u64, u64)) -> Option<PhysRange> {
    let possible = range.start().is_aligned(align) && range.end().get() <= PHYS_END;
    (possible && range.len().get() >= least).then_some(range)
}

fn gic(nodes: &Nodes<'_>) -> Result<Gic, FdtError> {
    let bad = || nodes.node().bad(Name::Reg);
    let regions = nodes.node().number(Name::RedistributorRegions)?.unwrap_or(1) as usize;
    let mut ranges = nodes.registers()?;
    let distributor = ranges.next().unwrap_or_else(|| Err(bad()))?;
    let distributor = fitting(distributor, kinds::DISTRIBUTOR).ok_or_else(bad)?;
    let mut redistributors = ArrayVec::new();
    for range in ranges.take(regions) {
        let range = fitting(range?, kinds::REDISTRIBUTORS).ok_or_else(bad)?;
        redistributors.try_push(range).map_err(|_| FdtError::TooMany("redistributor regions"))?;
    }
    match redistributors.len() {
        0 => Err(bad()),
        found if found != regions => Err(nodes.node().bad(Name::RedistributorRegions)),
        _ => Ok(Gic { distributor, redistributors }),
    }
}

/// How many cells an interrupt has at the controller.
fn interrupt_cells(gic: &Node<'_>) -> Result<usize, FdtError> {
    match gic.number(Name::InterruptCells)? {
        Some(cells @ 3..=8) => Ok(cells as usize),
        _ => Err(gic.bad(Name::InterruptCells)),
    }
}

/// How PSCI is called; `None` where in a way this kernel does not know: no other CPU can be started then.
fn psci_method(node: &Node<'_>) -> Result<Option<PsciMethod>, FdtError> {
    match node.text(Name::Method)? {
        Some("smc") => Ok(Some(PsciMethod::Smc)),
        Some("hvc") => Ok(Some(PsciMethod::Hvc)),
        Some(_) => Ok(None),
        None => Err(node.bad(Name::Method)),
    }
}

fn interrupt(line: &[[u8; 4]]) -> Option<Interrupt> {
    let id = match (u32::from_be_bytes(line[0]), u32::from_be_bytes(line[1])) {
        (0, number @ 0..988) => 32 + number,
        (1, number @ 0..16) => 16 + number,
        _ => return None,
    };
    // Flags 1 and 2 are the edges, 4 and 8 the levels.
    let trigger = if u32::from_be_bytes(line[2]) & 0b0011 != 0 { Trigger::Edge } else { Trigger::Level };
    Some(Interrupt { id, trigger })
}

/// The path that `/aliases` has for `name`. A second walk, for the trees that name the console so.
fn alias<'a>(blob: &Blob<'a>, name: &[u8]) -> Result<Option<&'a [u8]>, FdtError> {
    let (mut events, mut depth, mut inside) = (blob.events(), 0_usize, false);
    while let Some(event) = events.next()? {
        match event {
            Event::Open(node) => {
                depth += 1;
                inside = depth == 2 && node == b"aliases";
            }
            Event::Property(at, value) if inside && blob.name(at)? == name => return Ok(value.strip_suffix(b"\0")),
            Event::Property(..) => {}
            Event::Close => {
                depth -= 1;
                inside = false;
            }
        }
    }
    Ok(None)
}

/// Whether `path` leads to the node with these names; a unit address may be left out.
fn leads(path: &[u8], names: &[&[u8]]) -> bool {
    let mut words = path.split(|&byte| byte == b'/').filter(|word| !word.is_empty());
    let same =
        |word: &[u8], name: &[u8]| name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest[0] == b'@');
    names.iter().all(|name| words.next().is_some_and(|word| same(word, name))) && words.next().is_none()
}

/// Whether a CPU's status rules it out.
fn is_broken(node: &Node<'_>) -> bool {
    node.get(Name::Status).is_some_and(|status| status.starts_with(b"fail"))
}
