//! Device trees that lie, booted: a message and status 125, or a machine that runs; never a panic, never silence.
//!
//! Each blob is put into memory as it is (QEMU would mend what it is given by `-dtb`), with a few instructions of a loader
//! that hands it over in x0. A healthy machine runs one in-kernel test and says so; it has no medium.

use std::sync::Mutex;
use std::{fs, thread};

use Verdict::{Either, Refuses, Runs};
use machine_tests::{Ended, Image, Machine, built};
use platform_trees::{Node, Random, SEEDS, Tree, cells, damage, first_number};

/// Where the loader lies, the kernel, and the tree.
const LOADER: u64 = 0x4010_0000;
const KERNEL: u64 = 0x4020_0000;
const TREE: u64 = 0x4700_0000;
/// The machine's memory, at 0x4000_0000.
const MEMORY: u32 = 0x0800_0000;

/// What is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// Status 125 and a line with these words.
    Refuses(&'static str),
    /// The damage does no harm.
    Runs,
    /// One of the two.
    Either,
}

/// A case: what it is, its blob, and what is right.
type Case = (String, Vec<u8>, Verdict);

/// The tree that tells the truth about the machine that is booted.
fn good() -> Tree {
    let mut tree = Tree::read(SEEDS[0].1);
    tree.at("/memory@40000000").set("reg", cells(&[0, 0x4000_0000, 0, MEMORY]));
    tree.at("/chosen").set("bootargs", *b"test=boot::the_boot_mode_is_known\0");
    tree
}

/// A case that changes what the tree says.
fn says(name: &str, verdict: Verdict, change: impl FnOnce(&mut Tree)) -> Case {
    let mut tree = good();
    change(&mut tree);
    (name.into(), tree.blob(), verdict)
}

/// A case that sets a property to some cells.
fn sets(path: &str, property: &str, words: &[u32], verdict: Verdict) -> Case {
    says(&format!("{path} {property} {words:x?}"), verdict, |tree| _ = tree.at(path).set(property, cells(words)))
}

/// A case without some nodes below the root.
fn lacks(names: &[&str], verdict: Verdict) -> Case {
    let gone = |node: &Node| names.iter().any(|name| node.name == name.as_bytes());
    says(&format!("without {names:?}"), verdict, |tree| tree.root.children.retain(|node| !gone(node)))
}

/// A case that overwrites words of the blob, whatever they mean.
fn spoils(name: &str, words: &[(usize, u32)], verdict: Verdict) -> Case {
    let mut blob = good().blob();
    for &(at, word) in words {
        blob[at..at + 4].copy_from_slice(&word.to_be_bytes());
    }
    (name.into(), blob, verdict)
}

/// A blob around a structure that no tool would write.
fn raw(structure: &[u8], strings: &[u8]) -> Vec<u8> {
    let len = 56 + structure.len() + strings.len();
    let words = [0xd00d_feed, len, 56, 56 + structure.len(), 40, 17, 16, 0, strings.len(), structure.len()];
    [&cells(&words.map(|word| word as u32)), &[0; 16][..], structure, strings].concat()
}

fn damaged_in_form() -> Vec<Case> {
    let whole = good().blob();
    let mut half = whole[..whole.len() / 2].to_vec();
    half[4..8].copy_from_slice(&(whole.len() as u32 / 2).to_be_bytes());
    let mut noise = whole.clone();
    let mut random = Random::new(1);
    noise[56..4096].iter_mut().for_each(|byte| *byte = random.draw() as u8);
    let deep = [cells(&[1, 0]).repeat(80_000), cells(&[2]).repeat(80_000), cells(&[9])].concat();
    let endless = [cells(&[1, 0]), cells(&[3, 0, 0]).repeat(80_000), cells(&[2, 9])].concat();
    vec![
        spoils("nothing", &[], Runs),
        spoils("another magic number", &[(0, 0xd00d_feee)], Refuses("no device tree here")),
        spoils("no size", &[(4, 0)], Refuses("a size of 0 bytes")),
        spoils("a size of 4 GiB", &[(4, u32::MAX)], Refuses("a size of 4294967295 bytes")),
        spoils("a structure far away", &[(8, 0x7fff_fff0)], Refuses("a block outside")),
        spoils("a structure that is odd", &[(8, 57)], Refuses("damaged")),
        spoils("strings without an end", &[(32, u32::MAX)], Refuses("a block outside")),
        spoils("reservations in the header", &[(16, 0)], Refuses("a block outside")),
        spoils("a version to come", &[(20, 99), (24, 98)], Refuses("version 99")),
        spoils("an end at once", &[(56, 9)], Refuses("a token out of place")),
        spoils("a property longer than the blob", &[(68, u32::MAX)], Refuses("a property that passes the end")),
        spoils("a property with no name", &[(72, 0x00ff_ffff)], Refuses("a property without a name")),
        ("cut in the middle".into(), half, Refuses("a block outside")),
        ("noise".into(), noise, Refuses("damaged")),
        ("nothing but a header".into(), vec![0xd0, 0x0d, 0xfe, 0xed], Refuses("a size of 0 bytes")),
        ("depth".into(), raw(&deep, b""), Refuses("no CPU")),
        ("depth without an end".into(), raw(&deep[..640_000], b""), Refuses("an end inside the tree")),
        ("an endless name".into(), raw(&endless, &[b'x'; 500_000]), Refuses("a property without a name")),
        ("a million NOPs".into(), raw(&cells(&[4]).repeat(262_144), b""), Refuses("an end inside the tree")),
    ]
}

fn devices_that_are_not_there() -> Vec<Case> {
    let hole = 0x0b00_0000;
    let gic = |words: &[u32], verdict| sets("/intc@8000000", "reg", words, verdict);
    let (uart, clock, fw_cfg) = ("/pl011@9000000", "/pl031@9010000", "/fw-cfg@9020000");
    vec![
        lacks(&["pl011@9000000"], Refuses("does not name a pl011")),
        lacks(&["pl011@9000000", "chosen"], Refuses("no pl011")),
        lacks(&["intc@8000000"], Refuses("no gicv3")),
        lacks(&["timer"], Refuses("no generic timer")),
        lacks(&["memory@40000000"], Refuses("no memory")),
        lacks(&["cpus"], Refuses("no cpu")),
        // What is missing then is a medium.
        lacks(&["chosen"], Refuses("pmem")),
        lacks(&["psci", "pl031@9010000", "fw-cfg@9020000"], Runs),
        says("a PSCI method nobody knows", Runs, |tree| _ = tree.at("/psci").set("method", *b"svc\0")),
        says("GICv2", Refuses("gicv2"), |tree| _ = tree.at("/intc@8000000").set("compatible", *b"arm,gic-400\0")),
        sets(uart, "reg", &[0, hole, 0, 0x1000], Refuses("no pl011 answers at 0xb000000")),
        sets(uart, "reg", &[0, 0x1000_0000, 0, 0x1000], Refuses("no pl011 answers at 0x10000000")),
        sets(uart, "reg", &[0, 0, 0, 0x1000], Refuses("no pl011 answers at 0x0")),
        sets(uart, "reg", &[0, 0x0903_0000, 0, 0x1000], Refuses("no pl011 answers at 0x9030000")),
        sets(uart, "reg", &[0, 0x0901_0000, 0, 0x1000], Refuses("those of another device")),
        sets(uart, "reg", &[0x7fff, 0xffff_f000, 0, 0x1000], Refuses("no pl011 answers")),
        sets(uart, "reg", &[u32::MAX, 0xffff_f000, 0, 0xfff], Refuses("bad or missing property reg")),
        sets(uart, "reg", &[0, 0x0900_0000, 0, 0], Refuses("bad or missing property reg")),
        sets(uart, "interrupts", &[1, 1, 4], Refuses("bad or missing property interrupts")),
        sets(uart, "interrupts", &[0, 0x8000_0000, 4], Refuses("bad or missing property interrupts")),
        gic(&[0, hole, 0, 0x1_0000, 0, 0x080a_0000, 0, 0xf6_0000], Refuses("no gicv3 distributor answers")),
        gic(&[0, 0x0800_0000, 0, 0x1_0000, 0, hole, 0, 0x10_0000], Refuses("no redistributor")),
        gic(&[0, 0x0800_0000, 0, 0x1_0000, 0, 0x080a_0000, 0, 0x1000], Refuses("bad or missing property reg")),
        gic(&[0, 0x080a_0000, 0, 0x1_0000, 0, 0x080a_0000, 0, 0xf6_0000], Refuses("those of another device")),
        sets("/intc@8000000", "#interrupt-cells", &[u32::MAX], Refuses("#interrupt-cells")),
        sets("/timer", "interrupts", &[1, 13, 4, 1, 14, 4, 1, 5, 4], Refuses("interrupt 21 does not come")),
        sets("/timer", "interrupts", &[1, 13, 4, 1, 11, 4, 1, 14, 4], Refuses("interrupt 30 does not come")),
        sets("/timer", "interrupts", &[0, 13, 4, 0, 14, 4, 0, 11, 4], Refuses("bad or missing property interrupts")),
        sets(clock, "reg", &[0, hole, 0, 0x1000], Refuses("no pl031 answers")),
        sets(clock, "reg", &[0, 0x0903_0000, 0, 0x1000], Refuses("no pl031 answers")),
        sets(fw_cfg, "reg", &[0, hole, 0, 0x18], Runs),
        sets(fw_cfg, "reg", &[0, 0x0903_0000, 0, 0x18], Runs),
        sets(fw_cfg, "reg", &[0, 0x0902_0004, 0, 0x18], Refuses("bad or missing property reg")),
    ]
}

fn absurd_memory() -> Vec<Case> {
    let reg = |words: &[u32], verdict| sets("/memory@40000000", "reg", words, verdict);
    let reserved =
        |name: &str, start: u64, len: u64, verdict| says(name, verdict, |tree| tree.reservations.push((start, len)));
    let area = |name: &str, kind: &'static str, start: u32, verdict| {
        says(name, verdict, |tree| {
            let mut around = Node::new(if kind == "no-map" { "reserved-memory" } else { "bus" });
            around.set("#address-cells", cells(&[1])).set("#size-cells", cells(&[1])).set("ranges", []);
            let mut inside = Node::new("area");
            inside.set("reg", cells(&[start, 0x20_0000])).set(kind, *b"pmem-region\0");
            around.children.push(inside);
            tree.root.children.push(around);
        })
    };
    let line =
        |name: &str, line: &[u8], verdict| says(name, verdict, |tree| _ = tree.at("/chosen").set("bootargs", line));
    let many: Vec<u32> = (0..20).flat_map(|index| [1, index << 24, 0, 0x1000]).collect();
    vec![
        reg(&[0, 0x4000_0000, 0, 0x0400_0000, 0, 0x4600_0000, 0, 0x0200_0000], Runs),
        reg(&[0, 0x4600_0000, 0, 0x0200_0000, 0, 0, 0, 0, 0, 0x4000_0000, 0, 0x0400_0000], Runs),
        reg(&[0, 0x4000_0123, 0, 0x07ff_f000], Runs),
        reg(&[0, 0x4000_0000, 2, 0], Refuses("not there")),
        reg(&[0, 0x4000_0000, 0, 0x0800_1000], Refuses("not there")),
        reg(&[0, 0x4000_0000, 0x7000_0000, 0], Refuses("cannot be mapped")),
        reg(&[0, 0x4000_0000, 0, MEMORY, 0, 0, 0, 0x0100_0000], Refuses("not there")),
        reg(&[0, 0x4000_0000, 0, MEMORY, 0x8000, 0, 1, 0], Runs),
        reg(&[0, 0x0800_0000, 0, 0x4000_0000], Refuses("overlap memory")),
        reg(&[0, 0x4000_0000, 0, MEMORY, 0, 0x4400_0000, 0, MEMORY], Refuses("overlaps another")),
        reg(&[0, 0x4600_0000, 0, 0x0200_0000], Refuses("the kernel at")),
        reg(&[0, 0x4000_0000, 0, 0x0038_0000], Refuses("the kernel at")),
        reg(&[0, 0x4000_0000, 0, 0x0090_0000], Refuses("too little to run in")),
        reg(&[0, 0x4000_0000, 0, 0], Refuses("no memory")),
        reg(&[u32::MAX, u32::MAX, 0, 2], Refuses("bad or missing property reg")),
        reg(&many, Refuses("too many ranges of memory")),
        sets("/", "#address-cells", &[7], Refuses("#address-cells")),
        sets("/", "#size-cells", &[0], Refuses("bad or missing property reg")),
        sets("/memory@40000000", "numa-node-id", &[5], Runs),
        says("memory on another node", Refuses("too little"), |tree| {
            tree.at("/memory@40000000").set("numa-node-id", cells(&[5]));
            tree.at("/cpus/cpu@0").set("numa-node-id", cells(&[0]));
        }),
        reserved("all of memory reserved", 0x4000_0000, 1 << 40, Refuses("too little")),
        reserved("the kernel reserved", KERNEL, 0x10_0000, Runs),
        reserved("the tree reserved", TREE, 0x1234, Runs),
        reserved("reserved to the end", 1 << 63, 1 << 63, Refuses("passes the end")),
        says("many reserved", Refuses("too many reserved"), |tree| {
            tree.reservations.extend((1..60).map(|at| (at << 20, 4096)));
        }),
        // As on Linux: what runs is mapped already.
        area("the kernel not to be mapped", "no-map", KERNEL as u32, Runs),
        area("the tree not to be mapped", "no-map", TREE as u32, Runs),
        area("the kernel as pmem", "compatible", KERNEL as u32, Refuses("it overlaps the kernel")),
        area("the UART as pmem", "compatible", 0x0900_0000, Refuses("it overlaps the UART")),
        area("pmem where nothing answers", "compatible", 0x0b00_0000, Runs),
        area("the tree as pmem", "compatible", TREE as u32, Refuses("it overlaps the device tree")),
        line(
            "a command line of 3 KiB",
            &[&[b'x'; 3000][..], b"\0"].concat(),
            Refuses("too many bytes of command line"),
        ),
        line("a command line that is no text", b"\xff\xfe\0", Refuses("bad or missing property bootargs")),
        line("a kernel that moves", b"kaslr test=boot::the_boot_mode_is_known\0", Runs),
        line("a kernel that moves too far", b"kaslr=0x8000000000000000 test\0", Refuses("kaslr=0x8000000000000000")),
        line("a command line of nonsense", b"=;= quiet\0", Refuses("\"=;=\"")),
        sets("/cpus/cpu@0", "reg", &[0x0100_0000], Refuses("bad or missing property reg")),
        sets("/cpus/cpu@0", "reg", &[0x907], Runs),
    ]
}

/// Trees that chance has damaged: whatever becomes of them, it is one of the two.
fn chance() -> Vec<Case> {
    let numbers = first_number()..first_number() + 20;
    let case = |number| (format!("chance {number}"), damage(good(), &mut Random::new(number)), Either);
    numbers.map(case).collect()
}

/// Boots with `blob` as the device tree.
fn boot(blob: &[u8]) -> Ended {
    let file = Image::none();
    fs::write(file.path(), blob).expect("a place for the tree");
    // ldr x0, .+16; ldr x9, .+20; br x9; nop; and the two numbers.
    let code = [0x5800_00a9_5800_0080_u64, 0xd503_201f_d61f_0120, TREE, KERNEL];
    let mut machine = Machine::bare()
        .word("--timeout", "30")
        .word("--mem", &format!("{}M", MEMORY >> 20))
        .word("--kernel", &built("vitrine.bin").to_string_lossy())
        .word("--at", &format!("{KERNEL:#x}"));
    for (index, word) in code.iter().enumerate() {
        machine = machine
            .qemu(&["-device", &format!("loader,addr={:#x},data={word:#x},data-len=8", LOADER + 8 * index as u64)]);
    }
    let tree = format!("loader,file={},addr={TREE:#x},force-raw=on", file.path().display());
    machine.qemu(&["-device", &format!("loader,addr={LOADER:#x},cpu-num=0"), "-device", &tree]).run()
}

/// What is wrong with how a machine ended, if something is.
fn wrong((name, blob, verdict): &Case) -> Option<String> {
    let ended = boot(blob);
    let printed = format!("{}{}", ended.output, ended.errors);
    let refused = |words: &str| {
        let clear = |line: &str| line.starts_with("vitrine: ") && line.to_lowercase().contains(&words.to_lowercase());
        ended.status == 125 && printed.lines().any(clear)
    };
    let ran = ended.status == 0 && ended.output.contains("1 passed, 0 failed");
    let right = match verdict {
        Refuses(words) => refused(words),
        Runs => ran,
        // By chance the command line, too, may be another one: then its test does not run, or none.
        Either => refused("") || ended.status == 0,
    };
    (!right || printed.contains("panic"))
        .then(|| format!("{name}: {verdict:?}, and status {}:\n{printed}", ended.status))
}

/// Boots all, two at a time.
#[track_caller]
fn all_end_well(cases: Vec<Case>) {
    let (queue, faults) = (Mutex::new(cases.into_iter()), Mutex::new(Vec::new()));
    let next = || queue.lock().expect("no case panics").next();
    let work = || {
        while let Some(case) = next() {
            faults.lock().expect("no case panics").extend(wrong(&case));
        }
    };
    thread::scope(|scope| [(), ()].map(|()| scope.spawn(work)).map(|thread| thread.join().expect("no case panics")));
    let faults = faults.into_inner().expect("no case panics");
    assert!(faults.is_empty(), "{} of the cases:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn trees_damaged_in_form() {
    all_end_well(damaged_in_form());
}

#[test]
fn trees_that_name_what_is_not_there() {
    all_end_well(devices_that_are_not_there());
}

#[test]
fn trees_with_absurd_memory() {
    all_end_well(absurd_memory());
}

#[test]
fn trees_damaged_by_chance() {
    all_end_well(chance());
}
