//! From nodes and properties to the fields of [`Platform`].

use arrayvec::{ArrayString, ArrayVec};
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::standard::NodeStandard;
use dtoolkit::{Node, Property};
use units::{ByteLen, PhysAddr, PhysRange};

use super::walk::{Place, bad, copied, number, text};
use super::{
    AFFINITY, Cpu, EnableMethod, FdtError, Gic, Interrupt, Memory, Platform, PmemRegion, PsciMethod, Reserved, Timer,
    Trigger, Uart,
};

/// The first node of each kind that the kernel has a use for, and all that describe memory: what one walk over the
/// tree finds. Looking at every node once for all kinds is most of what is saved at boot.
#[derive(Default)]
struct Found<'a> {
    psci: Option<Place<'a>>,
    pl011: Option<Place<'a>>,
    gic: Option<Place<'a>>,
    timer: Option<Place<'a>>,
    fw_cfg: Option<Place<'a>>,
    rtc: Option<Place<'a>>,
    memory: ArrayVec<Memory, 16>,
    pmem_regions: ArrayVec<PmemRegion, 8>,
}

impl<'a> Found<'a> {
    fn look(tree: Fdt<'a>) -> Result<Self, FdtError> {
        let mut found = Self::default();
        let mut answer = Ok(());
        Place::root(tree).visit(&mut |place| {
            answer = found.note(place);
            answer.is_ok()
        });
        answer.map(|()| found)
    }

    fn note(&mut self, place: &Place<'a>) -> Result<(), FdtError> {
        let node = place.node();
        if is_type(&node, "memory") {
            return self.note_memory(place);
        }
        let Some(compatible) = node.property("compatible") else { return Ok(()) };
        for name in compatible.value().split(|&byte| byte == 0) {
            let first = match name {
                b"arm,psci-0.2" | b"arm,psci-1.0" => &mut self.psci,
                b"arm,pl011" => &mut self.pl011,
                b"arm,gic-v3" => &mut self.gic,
                b"arm,armv8-timer" => &mut self.timer,
                b"qemu,fw-cfg-mmio" => &mut self.fw_cfg,
                b"arm,pl031" => &mut self.rtc,
                b"pmem-region" => return self.note_pmem_region(place),
                _ => continue,
            };
            first.get_or_insert_with(|| place.clone());
        }
        Ok(())
    }

    /// Notes the ranges of a node that describes memory; empty ones are left out.
    fn note_memory(&mut self, place: &Place<'a>) -> Result<(), FdtError> {
        let node = number(&place.node(), "numa-node-id")?;
        for range in place.registers()? {
            let range = range?;
            if !range.is_empty() {
                self.memory.try_push(Memory { range, node }).map_err(|_| FdtError::TooMany("ranges of memory"))?;
            }
        }
        Ok(())
    }

    fn note_pmem_region(&mut self, place: &Place<'a>) -> Result<(), FdtError> {
        let volatile = place.node().property("volatile").is_some();
        let node = number(&place.node(), "numa-node-id")?;
        for range in place.registers()? {
            let region = PmemRegion { range: range?, volatile, node };
            self.pmem_regions.try_push(region).map_err(|_| FdtError::TooMany("pmem regions"))?;
        }
        Ok(())
    }
}

/// Everything at once.
pub(super) fn platform(tree: Fdt<'_>) -> Result<Platform, FdtError> {
    let chosen = tree.find_node("/chosen");
    let found = Found::look(tree)?;
    let (cpus, cpus_left_out) = cpus(tree)?;
    Ok(Platform {
        memory: memory(&found)?,
        reserved: reserved(tree, chosen)?,
        cpus,
        cpus_left_out,
        psci: psci(&found)?,
        uart: console_of(tree, &found)?,
        gic: gic(&found)?,
        timer: timer(&found)?,
        fw_cfg: found.fw_cfg.as_ref().map(Place::first_registers).transpose()?,
        rtc: found.rtc.as_ref().map(Place::first_registers).transpose()?,
        pmem_regions: found.pmem_regions.clone(),
        bootargs: chosen.map_or_else(|| Ok(ArrayString::new()), |node| copied(&node, "bootargs"))?,
        rng_seed: chosen.map(|node| seed(&node)).unwrap_or_default(),
        kaslr_seed: chosen.map(|node| wide(&node, "kaslr-seed")).transpose()?.flatten(),
    })
}

/// The ranges of memory, sorted.
fn memory(found: &Found<'_>) -> Result<ArrayVec<Memory, 16>, FdtError> {
    let mut all = found.memory.clone();
    all.sort_unstable_by_key(|memory| memory.range.start());
    match all.windows(2).find(|pair| pair[0].range.overlaps(pair[1].range)) {
        Some(pair) => Err(FdtError::MemoryRange(pair[1].range.start().get())),
        None if all.is_empty() => Err(FdtError::Missing("memory")),
        None => Ok(all),
    }
}

/// `/memreserve/` entries, the fixed ranges of `/reserved-memory`, and the initial RAM disk.
fn reserved(tree: Fdt<'_>, chosen: Option<FdtNode<'_>>) -> Result<ArrayVec<Reserved, 32>, FdtError> {
    let mut all = ArrayVec::<Reserved, 32>::new();
    let mut add = |range: Option<PhysRange>, no_map, at| {
        let range = range.ok_or(FdtError::MemoryRange(at))?;
        all.try_push(Reserved { range, no_map }).map_err(|_| FdtError::TooMany("reserved ranges"))
    };
    for entry in tree.memory_reservations() {
        let at = entry.address();
        add(PhysRange::with_len(PhysAddr::new(at), ByteLen::new(entry.size())), false, at)?;
    }
    // A node without `reg` asks for memory at any address, for a driver this kernel does not have.
    let mut answer = Ok(());
    if let Some(place) = Place::at_path(tree, "/reserved-memory") {
        place.visit(&mut |place| {
            if place.node().property("reg").is_some() {
                let no_map = place.node().property("no-map").is_some();
                answer = place
                    .registers()
                    .and_then(|mut all| all.try_for_each(|range| range.and_then(|range| add(Some(range), no_map, 0))));
            }
            answer.is_ok()
        });
    }
    answer?;
    if let Some(node) = chosen
        && let (Some(start), Some(end)) = (wide(&node, "linux,initrd-start")?, wide(&node, "linux,initrd-end")?)
    {
        add(PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)), false, start)?;
    }
    Ok(all)
}

/// The CPUs, and how many there was no room for.
fn cpus(tree: Fdt<'_>) -> Result<(ArrayVec<Cpu, { super::MAX_CPUS }>, usize), FdtError> {
    let parent = tree.find_node("/cpus").ok_or(FdtError::Missing("node /cpus"))?;
    let (mut all, mut left_out) = (ArrayVec::new(), 0);
    for node in parent.children().filter(|node| is_type(node, "cpu") && !is_broken(node)) {
        match all.try_push(cpu(&node)?) {
            Ok(()) => {}
            Err(_) => left_out += 1,
        }
    }
    if all.is_empty() { Err(FdtError::Missing("CPU")) } else { Ok((all, left_out)) }
}

fn cpu(node: &FdtNode<'_>) -> Result<Cpu, FdtError> {
    let reg = node.reg().map_err(|_| bad(node, "reg"))?.and_then(|mut all| all.next());
    let mpidr = reg.and_then(|reg| reg.address::<u64>().ok()).filter(|mpidr| mpidr & !AFFINITY == 0);
    let enable = match text(node, "enable-method")? {
        Some("psci") => EnableMethod::Psci,
        Some("spin-table") => match wide(node, "cpu-release-addr")? {
            Some(at) => EnableMethod::SpinTable(PhysAddr::new(at)),
            None => return Err(bad(node, "cpu-release-addr")),
        },
        _ => EnableMethod::Unknown,
    };
    Ok(Cpu { mpidr: mpidr.ok_or_else(|| bad(node, "reg"))?, enable, node: number(node, "numa-node-id")? })
}

/// How PSCI is called; version 0.1, whose function numbers differ, is not known here.
fn psci(found: &Found<'_>) -> Result<Option<PsciMethod>, FdtError> {
    let Some(place) = &found.psci else { return Ok(None) };
    match text(&place.node(), "method")? {
        Some("smc") => Ok(Some(PsciMethod::Smc)),
        Some("hvc") => Ok(Some(PsciMethod::Hvc)),
        Some(_) => Err(FdtError::Unsupported("the PSCI method is neither smc nor hvc")),
        None => Err(bad(&place.node(), "method")),
    }
}

/// The PL011 that `/chosen/stdout-path` names, else the first one.
pub(super) fn console(tree: Fdt<'_>) -> Result<Uart, FdtError> {
    console_of(tree, &Found::look(tree)?)
}

fn console_of(tree: Fdt<'_>, found: &Found<'_>) -> Result<Uart, FdtError> {
    let place = match stdout(tree)? {
        Some(place) if place.node().is_compatible("arm,pl011") => place,
        Some(_) => return Err(FdtError::Unsupported("/chosen/stdout-path does not name a PL011")),
        None => found.pl011.clone().ok_or(FdtError::Missing("PL011 for the console"))?,
    };
    let interrupt = *interrupts(found, &place.node())?.first().ok_or_else(|| bad(&place.node(), "interrupts"))?;
    Ok(Uart { registers: place.first_registers()?, interrupt })
}

/// The node `/chosen/stdout-path` names, by a path or by an alias, perhaps with a speed behind a colon.
fn stdout<'a>(tree: Fdt<'a>) -> Result<Option<Place<'a>>, FdtError> {
    let Some(chosen) = tree.find_node("/chosen") else { return Ok(None) };
    let Some(value) = text(&chosen, "stdout-path")? else { return Ok(None) };
    let name = value.split(':').next().unwrap_or(value);
    let path = if name.starts_with('/') {
        Some(name)
    } else {
        tree.find_node("/aliases")
            .and_then(|aliases| aliases.properties().find(|alias| alias.name() == name))
            .and_then(|alias| alias.value_as::<&str>().ok())
    };
    path.and_then(|path| Place::at_path(tree, path)).map(Some).ok_or_else(|| bad(&chosen, "stdout-path"))
}

fn gic(found: &Found<'_>) -> Result<Gic, FdtError> {
    let place = found.gic.as_ref().ok_or(FdtError::Missing("GICv3 interrupt controller"))?;
    let regions = number(&place.node(), "#redistributor-regions")?.unwrap_or(1) as usize;
    let mut ranges = place.registers()?;
    let distributor = ranges.next().unwrap_or_else(|| Err(bad(&place.node(), "reg")))?;
    let mut redistributors = ArrayVec::new();
    for range in ranges.take(regions) {
        redistributors.try_push(range?).map_err(|_| FdtError::TooMany("redistributor regions"))?;
    }
    match redistributors.len() {
        0 => Err(bad(&place.node(), "reg")),
        found if found != regions => Err(bad(&place.node(), "#redistributor-regions")),
        _ => Ok(Gic { distributor, redistributors }),
    }
}

/// The timer's interrupts: secure physical, physical, virtual, and hypervisor, in this order.
fn timer(found: &Found<'_>) -> Result<Timer, FdtError> {
    let place = found.timer.as_ref().ok_or(FdtError::Missing("generic timer"))?;
    match interrupts(found, &place.node())?.as_slice() {
        [_, physical, virt, ..] => Ok(Timer { physical: *physical, virt: *virt }),
        _ => Err(bad(&place.node(), "interrupts")),
    }
}

/// The interrupts of a device whose controller is the GIC (its binding: type, number, flags).
fn interrupts(found: &Found<'_>, node: &FdtNode<'_>) -> Result<ArrayVec<Interrupt, 8>, FdtError> {
    let wrong = || bad(node, "interrupts");
    let gic = found.gic.as_ref().ok_or(FdtError::Missing("GICv3 interrupt controller"))?.node();
    let cells = number(&gic, "#interrupt-cells")?.unwrap_or(0) as usize;
    if !(3..=8).contains(&cells) {
        return Err(bad(&gic, "#interrupt-cells"));
    }
    let property = node.property("interrupts").ok_or_else(wrong)?;
    let (words, rest) = property.value().as_chunks::<4>();
    if !rest.is_empty() || words.len() % cells != 0 {
        return Err(wrong());
    }
    words.chunks_exact(cells).take(8).map(|line| interrupt(line).ok_or_else(wrong)).collect()
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

/// What the firmware gives as randomness, as much as there is room for.
fn seed(chosen: &FdtNode<'_>) -> ArrayVec<u8, 64> {
    let property = chosen.property("rng-seed");
    property.iter().flat_map(|property| property.value().iter().copied()).take(64).collect()
}

/// A property that is one number of one or two cells; `None` where it is absent.
fn wide(node: &FdtNode<'_>, name: &'static str) -> Result<Option<u64>, FdtError> {
    let Some(property) = node.property(name) else { return Ok(None) };
    let value = match property.value().len() {
        4 => property.value_as::<u32>().map(u64::from),
        _ => property.value_as::<u64>(),
    };
    value.map(Some).map_err(|_| bad(node, name))
}

fn is_type(node: &FdtNode<'_>, wanted: &str) -> bool {
    matches!(text(node, "device_type"), Ok(Some(found)) if found == wanted)
}

/// Whether a CPU's status rules it out; `disabled` only says that it waits to be started.
fn is_broken(node: &FdtNode<'_>) -> bool {
    matches!(text(node, "status"), Ok(Some(status)) if status.starts_with("fail"))
}
