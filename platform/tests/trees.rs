//! Device trees, good and bad: what is accepted makes sense, what is refused says why in a line, and nothing panics.

use platform::cmdline::{CommandLine, Ram};
use platform::fdt::{
    AFFINITY, EnableMethod, FdtError, HEADER, Interrupt, PHYS_END, PciSpace, Platform, PsciMethod, Trigger, blob_len,
    bootargs, find_uart,
};
use platform::ram::{self, Held};
use platform_trees::{Node, SEEDS, Tree, cells, damaged, first_number};
use units::{ByteLen, PhysAddr, PhysRange};

fn range(start: u64, len: u64) -> PhysRange {
    PhysRange::with_len(PhysAddr::new(start), ByteLen::new(len)).unwrap()
}

/// A tree that boots, to be changed.
fn good() -> Tree {
    Tree::read(SEEDS[0].1)
}

/// What becomes of a machine as the kernel would read it: the header first.
fn parse(blob: &[u8]) -> Result<Platform, FdtError> {
    let Some(header) = blob.first_chunk::<HEADER>() else { return Platform::parse(blob) };
    let extent = blob_len(*header)?;
    assert!(extent.used <= extent.total);
    // The kernel maps what is used; of a cut blob there is less.
    Platform::parse(&blob[..extent.used.min(blob.len())])
}

/// What is said of a good tree after a change.
fn after(change: impl FnOnce(&mut Tree)) -> Result<Platform, String> {
    let mut tree = good();
    change(&mut tree);
    parse(&tree.blob()).map_err(|error| error.to_string())
}

/// Sets a property of the node at `path`.
fn set(path: &'static str, name: &'static str, value: impl Into<Vec<u8>>) -> impl FnOnce(&mut Tree) {
    let value = value.into();
    move |tree| {
        tree.at(path).set(name, value);
    }
}

#[track_caller]
fn refused(want: &str, change: impl FnOnce(&mut Tree)) {
    assert_eq!(after(change).map(drop), Err(format!("device tree: {want}")));
}

/// What every platform keeps to, wherever it comes from.
fn validate(platform: &Platform) {
    assert!(!platform.memory.is_empty() && !platform.cpus.is_empty());
    assert!(platform.memory.iter().all(|memory| !memory.range.is_empty()));
    assert!(platform.memory.windows(2).all(|pair| pair[0].range.end() <= pair[1].range.start()));
    assert!(platform.cpus.iter().all(|cpu| cpu.mpidr & !AFFINITY == 0));
    assert!(!platform.gic.redistributors.is_empty());
    for (index, (_, device)) in platform.registers().enumerate() {
        assert!(platform.registers().take(index).all(|(_, other)| !other.overlaps(device)));
        assert!(device.start().is_aligned(8) && device.len().get() >= 0x18 && device.end().get() <= PHYS_END);
        assert!(platform.memory.iter().all(|memory| !memory.range.overlaps(device)));
    }
    assert!((32..1020).contains(&platform.uart.interrupt.id));
    let timer = platform.timer;
    assert!((16..32).contains(&timer.virt.id) && (16..32).contains(&timer.physical.id));
    assert_ne!(timer.virt.id, timer.physical.id);
    assert!(!platform.to_string().is_empty());
}

/// What every division of memory keeps to.
fn validate_plan(platform: &Platform, image: PhysRange, others: &[PhysRange]) -> bool {
    let Ok(plan) = ram::plan(platform, Ram::All, 0, Held { image, others, reach: PhysAddr::new(1 << 47) }) else {
        return false;
    };
    for free in &plan.free {
        assert!(plan.mapped.iter().any(|mapped| mapped.covers(*free)));
        assert!(!free.overlaps(image) && !free.overlaps(plan.heap) && !others.iter().any(|held| held.overlaps(*free)));
        assert!(!platform.reserved.iter().any(|reserved| reserved.range.overlaps(*free)));
        assert!(free.start().is_aligned(4096) && free.end().is_aligned(4096));
    }
    assert!(plan.mapped.iter().any(|mapped| mapped.covers(plan.heap)));
    true
}

#[test]
fn twenty_thousand_damaged_trees() {
    let (image, tree) = (range(0x4020_0000, 2 << 20), range(0x4000_0000, 1 << 20));
    let (mut accepted, mut planned, mut first_looks, mut said) = (0, 0, 0, std::collections::BTreeSet::new());
    for number in first_number()..first_number() + 20_000 {
        let blob = damaged(number);
        match parse(&blob) {
            Ok(platform) => {
                accepted += 1;
                validate(&platform);
                assert_eq!(find_uart(&blob), Some(platform.uart.registers), "blob {number}");
                // The first look finds the same line.
                assert_eq!(bootargs(&blob).unwrap_or(""), &*platform.bootargs, "blob {number}");
                planned += u32::from(validate_plan(&platform, image, &[tree]));
                let _ = CommandLine::parse(&platform.bootargs).map_err(|bad| bad.to_string());
                // What the kernel finds at its first look, before it can say anything, is no other line.
                if let Some(line) = bootargs(&blob) {
                    assert_eq!(line, &*platform.bootargs, "blob {number}");
                    first_looks += 1;
                }
            }
            Err(error) => {
                let line = error.to_string();
                assert!(
                    line.len() < 160 && line.bytes().all(|byte| (b' '..0x7f).contains(&byte)),
                    "{number}: {line:?}"
                );
                let _ = (find_uart(&blob), bootargs(&blob));
                said.insert(line.chars().filter(|char| !char.is_ascii_digit()).take(30).collect::<String>());
            }
        }
    }
    assert!(accepted > 3000 && planned > 1000, "{accepted} accepted, {planned} with a plan: too few to show anything");
    assert!(first_looks > 500, "{first_looks} first looks found a line: too few to show anything");
    assert!(said.len() > 25, "only these reasons were given: {said:#?}");
}

#[test]
fn the_seeds_are_understood() {
    let one = parse(SEEDS[0].1).unwrap();
    assert_eq!((one.psci, one.cpus.len(), one.cpus_left_out), (Some(PsciMethod::Smc), 1, 0));
    assert_eq!(one.memory[0].range, range(0x4000_0000, 512 << 20));
    assert_eq!(one.uart.registers, range(0x0900_0000, 0x1000));
    assert_eq!(one.uart.interrupt, Interrupt { id: 33, trigger: Trigger::Level });
    assert_eq!((one.timer.physical.id, one.timer.virt.id), (30, 27));
    assert_eq!(one.gic.distributor, range(0x0800_0000, 0x1_0000));
    assert_eq!(one.gic.redistributors.as_slice(), [range(0x080a_0000, 0xf6_0000)]);
    let pci = one.pci.as_ref().expect("QEMU's board has a bridge");
    assert_eq!(pci.ecam, range(0x40_1000_0000, 256 << 20));
    let windows: Vec<_> = pci.windows.iter().map(|window| (window.range, window.bus, window.space)).collect();
    let low = (range(0x1000_0000, 0x2eff_0000), 0x1000_0000, PciSpace::Memory32);
    assert_eq!(windows, [low, (range(0x80_0000_0000, 512 << 30), 0x80_0000_0000, PciSpace::Memory64)]);
    assert_eq!((one.fw_cfg, one.rtc), (Some(range(0x0902_0000, 0x18)), Some(range(0x0901_0000, 0x1000))));
    assert!(one.kaslr_seed.is_some() && one.rng_seed.len() == 32 && one.bootargs.is_empty());

    let four = parse(SEEDS[1].1).unwrap();
    assert_eq!((four.psci, four.cpus.len()), (Some(PsciMethod::Hvc), 4));
    assert!(four.cpus.iter().all(|cpu| cpu.enable == EnableMethod::Psci));

    let nodes = parse(SEEDS[2].1).unwrap();
    let memory: Vec<_> = nodes.memory.iter().map(|memory| (memory.range.start().get(), memory.node)).collect();
    assert_eq!(memory, [(0x4000_0000, Some(0)), (0x6000_0000, Some(1))]);
    assert_eq!((nodes.cpus.len(), nodes.boot_node(7)), (8, Some(0)));

    assert_eq!(&*parse(SEEDS[3].1).unwrap().bootargs, "test=boot loglevel=7");
    let error = parse(SEEDS[4].1).unwrap_err();
    assert_eq!(error, FdtError::Unsupported("the interrupt controller is a GICv2; GICv3 is wanted"));
    [one, four, nodes].iter().for_each(validate);
}

#[test]
fn what_cannot_be_done_without_is_missed() {
    let without =
        |name: &'static str| move |tree: &mut Tree| tree.root.children.retain(|node| node.name != name.as_bytes());
    refused("no CPU in /cpus", without("cpus"));
    refused("no memory", without("memory@40000000"));
    refused("no GICv3 interrupt controller", without("intc@8000000"));
    refused("no generic timer", without("timer"));
    refused("/chosen/stdout-path does not name a PL011", without("pl011@9000000"));
    refused("no PL011 for the console", |tree| {
        without("pl011@9000000")(tree);
        without("chosen")(tree);
    });
}

#[test]
fn what_can_be_done_without_is_not_missed() {
    for name in ["chosen", "psci", "pl031@9010000", "fw-cfg@9020000", "aliases", "pcie@10000000"] {
        let platform = after(|tree| tree.root.children.retain(|node| node.name != name.as_bytes())).unwrap();
        validate(&platform);
        assert_eq!(platform.psci.is_none(), name == "psci");
        assert_eq!(platform.rtc.is_none(), name == "pl031@9010000");
    }
}

#[test]
fn a_psci_method_nobody_knows_leaves_one_cpu() {
    let platform = after(set("/psci", "method", *b"svc\0")).unwrap();
    assert_eq!(platform.psci, None);
    assert!(platform.to_string().contains("no PSCI"));
    refused("node psci: bad or missing property method", |tree| {
        tree.at("/psci").remove("method");
    });
}

#[test]
fn the_console_is_the_one_that_is_named() {
    let second = |tree: &mut Tree| {
        let mut uart = tree.at("/pl011@9000000").clone();
        uart.name = b"pl011@9040000".into();
        uart.set("reg", cells(&[0, 0x0904_0000, 0, 0x1000])).set("interrupts", cells(&[0, 8, 4]));
        tree.root.children.push(uart);
    };
    for name in ["/pl011@9040000", "/pl011@9040000:115200n8", "serial1", "serial1:9600"] {
        let platform = after(|tree| {
            second(tree);
            let mut aliases = Node::new("aliases");
            tree.root.children.push(aliases.set("serial1", *b"/pl011@9040000\0").clone());
            tree.at("/chosen").set("stdout-path", [name.as_bytes(), b"\0"].concat());
        });
        let uart = platform.unwrap().uart;
        assert_eq!((uart.registers.start().get(), uart.interrupt.id), (0x0904_0000, 40), "{name}");
    }
    let first = after(|tree| {
        second(tree);
        tree.at("/chosen").remove("stdout-path");
    });
    assert_eq!(first.unwrap().uart.registers.start().get(), 0x0900_0000);
    refused("node chosen: bad or missing property stdout-path", |tree| {
        tree.at("/chosen").set("stdout-path", *b"serial9\0");
    });
    refused("/chosen/stdout-path does not name a PL011", |tree| {
        tree.at("/chosen").set("stdout-path", *b"/psci\0");
    });
}

#[test]
fn a_bus_moves_the_addresses_of_what_hangs_on_it() {
    let on_a_bus = |ranges: &[u32]| {
        let mut bus = Node::new("bus");
        bus.set("#address-cells", cells(&[1])).set("#size-cells", cells(&[1])).set("ranges", cells(ranges));
        let mut tree = good();
        let at = tree.root.children.iter().position(|node| node.name == b"pl011@9000000").unwrap();
        let mut uart = tree.root.children.remove(at);
        uart.set("reg", cells(&[0x1_0000, 0x1000]));
        bus.children.push(uart);
        tree.root.children.push(bus);
        tree.at("/chosen").set("stdout-path", *b"/bus/pl011\0");
        parse(&tree.blob()).map(|platform| platform.uart.registers.start().get())
    };
    assert_eq!(on_a_bus(&[0, 0, 0x0b00_0000, 0x10_0000]), Ok(0x0b01_0000));
    assert_eq!(on_a_bus(&[0x8000, 8, 0, 0x1000, 0x1_0000, 7, 0, 0x1000]), Ok(0x7_0000_0000));
    for outside in
        [&[0, 0, 0x0900_0000, 0x8000][..], &[0, 0, 0x0900_0000], &[0x1_0000, 0xffff_ffff, 0xffff_f000, 0x2000]]
    {
        let error = on_a_bus(outside).unwrap_err().to_string();
        assert_eq!(error, "device tree: node pl011@9000000: bad or missing property reg", "{outside:?}");
    }
}

#[test]
fn a_node_that_is_switched_off_is_not_there() {
    let off = |path| set(path, "status", *b"disabled\0");
    assert_eq!(after(off("/pl031@9010000")).unwrap().rtc, None);
    refused("no memory", off("/memory@40000000"));
    // Of a CPU it only says that it waits.
    assert_eq!(after(off("/cpus/cpu@0")).unwrap().cpus.len(), 1);
    refused("no CPU in /cpus", set("/cpus/cpu@0", "status", *b"fail-burnt\0"));
}

#[test]
fn absurd_memory_is_told_apart() {
    let reg = |words: &[u32]| set("/memory@40000000", "reg", cells(words));
    let ranges = |platform: Platform| platform.memory.iter().map(|memory| memory.range).collect::<Vec<_>>();
    // Unsorted, with a hole, an empty one between.
    let two = after(reg(&[0, 0x8000_0000, 0, 0x1000_0000, 5, 0, 0, 0, 0, 0x4000_0000, 0, 0x0800_0000])).unwrap();
    validate(&two);
    assert_eq!(ranges(two), [range(0x4000_0000, 0x0800_0000), range(0x8000_0000, 0x1000_0000)]);
    let touching = after(reg(&[0, 0x4000_0000, 0, 0x0800_0000, 0, 0x4800_0000, 0, 0x0800_0000])).unwrap();
    assert_eq!(ranges(touching).len(), 2);
    refused("no memory", reg(&[0, 0x4000_0000, 0, 0]));
    let clash = "overlaps another or passes the end";
    refused(
        &format!("the memory range at 0x47fff000 {clash}"),
        reg(&[0, 0x4000_0000, 0, 0x0800_0000, 0, 0x47ff_f000, 0, 0x1000]),
    );
    let shared = "overlap memory, or those of another device";
    refused(&format!("the registers at 0x9000000 {shared}"), reg(&[0, 0x0900_0000, 0, 0x4000_0000]));
    refused(
        &format!("the registers at 0x9000000 {shared}"),
        set("/pl031@9010000", "reg", cells(&[0, 0x0900_0000, 0, 0x1000])),
    );
    refused("node memory@40000000: bad or missing property reg", reg(&[0xffff_ffff, 0xffff_f000, 0, 0x2000]));
    refused("node memory@40000000: bad or missing property reg", reg(&[0, 0x4000_0000, 0]));
    refused("node /: bad or missing property #size-cells", set("/", "#size-cells", cells(&[5])));
    let many: Vec<u32> = (0..17).flat_map(|index| [1, index << 24, 0, 0x1000]).collect();
    refused("too many ranges of memory", set("/memory@40000000", "reg", cells(&many)));
}

#[test]
fn reserved_memory_is_noted() {
    let platform = after(|tree| {
        tree.reservations.push((0x4400_0000, 0x1234));
        let mut area = Node::new("reserved-memory");
        area.set("#address-cells", cells(&[2])).set("#size-cells", cells(&[2])).set("ranges", []);
        let mut fixed = Node::new("secret@48000000");
        area.children.push(fixed.set("reg", cells(&[0, 0x4800_0000, 0, 0x1000])).set("no-map", []).clone());
        area.children.push(Node::new("anywhere").set("size", cells(&[0, 0x10_0000])).clone());
        tree.root.children.push(area);
        tree.at("/chosen")
            .set("linux,initrd-start", cells(&[0x4900_0000]))
            .set("linux,initrd-end", cells(&[0, 0x4910_0000]));
    });
    let reserved: Vec<_> = platform.unwrap().reserved.iter().map(|area| (area.range, area.no_map)).collect();
    let want = [(0x4800_0000, 0x1000, true), (0x4400_0000, 0x1234, false), (0x4900_0000, 0x10_0000, false)];
    assert_eq!(reserved, want.map(|(start, len, no_map)| (range(start, len), no_map)));
    refused("too many reserved ranges", |tree| tree.reservations.extend((1..40).map(|at| (at << 20, 4096))));
    refused("the memory range at 0xfffffffffffff000 overlaps another or passes the end", |tree| {
        tree.reservations.push((0xffff_ffff_ffff_f000, 0x2000));
    });
}

#[test]
fn a_command_line_is_taken_whole_or_not_at_all() {
    let line = |bytes: Vec<u8>| after(set("/chosen", "bootargs", bytes));
    assert_eq!(line([&[b'x'; 2048][..], b"\0"].concat()).unwrap().bootargs.len(), 2048);
    let long = line([&[b'x'; 2049][..], b"\0"].concat()).unwrap_err();
    assert_eq!(long, "device tree: too many bytes of command line (2048 at most)");
    for bad in [&b"no end"[..], b"\xff\xfe\0", b"two\0lines\0", b""] {
        assert_eq!(line(bad.into()).unwrap_err(), "device tree: node chosen: bad or missing property bootargs");
    }
}

#[test]
fn cpus_are_told_apart() {
    refused("node cpu@0: bad or missing property reg", |tree| {
        tree.at("/cpus/cpu@0").set("reg", cells(&[0x0100_0000]));
    });
    let many = after(|tree| {
        let cpu = tree.at("/cpus/cpu@0").clone();
        tree.at("/cpus").children.extend((1..20).map(|number| cpu.clone().set("reg", cells(&[number])).clone()));
    });
    let many = many.unwrap();
    assert_eq!((many.cpus.len(), many.cpus_left_out), (8, 12));
}

#[test]
fn the_padding_of_a_blob_is_not_read() {
    let mut blob = SEEDS[0].1.to_vec();
    let used = blob_len(*blob.first_chunk().unwrap()).unwrap().used;
    blob.resize(1 << 20, 0xaa);
    blob[4..8].copy_from_slice(&(1_u32 << 20).to_be_bytes());
    let extent = blob_len(*blob.first_chunk().unwrap()).unwrap();
    assert_eq!((extent.total, extent.used), (1 << 20, used));
    assert!(used < 8000 && Platform::parse(&blob[..used]).is_ok());
    assert!(matches!(Platform::parse(&blob[..used - 1]), Err(FdtError::Damaged { .. })));
}
