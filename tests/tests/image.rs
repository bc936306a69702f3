//! Where the kernel may lie, and at which exception level it may be entered.
//!
//! A place is shown by the in-kernel tests of `boot`: they walk the tables and every pointer that was moved, and the log
//! says where the kernel runs.

use std::fs;
use std::path::PathBuf;

use machine_tests::{Ended, Image, Machine, built};

/// Where the kernel is linked.
const LINKED: u64 = 0xffff_8000_8000_0000;
const BLOCK: u64 = 2 << 20;
/// Images begin at multiples of this.
const STEP: u64 = 64 << 10;
/// Where `virt` has its RAM, behind the device tree that lies there.
const LOWEST: u64 = 0x4010_0000;
/// The end of RAM of 512 MiB.
const TOP: u64 = 0x6000_0000;

fn flat() -> PathBuf {
    built("vitrine.bin")
}

/// A flat image at `at`.
fn placed(at: u64) -> Machine {
    Machine::bare().word("--kernel", &flat().to_string_lossy()).word("--at", &format!("{at:#x}"))
}

/// The memory that the image takes, as its header says.
fn image_size() -> u64 {
    let bytes = fs::read(flat()).expect("make build leaves it");
    u64::from_le_bytes(bytes[16..24].try_into().expect("eight bytes"))
}

/// Runs the in-kernel tests of `boot` with `words` before them on the command line.
#[track_caller]
fn tests_pass(machine: Machine, words: &str) -> Ended {
    let ended = machine.append(&format!("loglevel=7 {words} test=boot::")).run();
    ended.all_pass();
    ended
}

/// Where the log says that the kernel runs.
#[track_caller]
fn runs_at(ended: &Ended) -> u64 {
    let (_, behind) = ended.output.split_once(", runs at 0x").expect("the log says where");
    let digits = behind.split_whitespace().next().expect("a number");
    u64::from_str_radix(digits, 16).expect("a hexadecimal number")
}

/// At the lowest and the highest place in RAM, across a block's end, above 4 GiB; not moved, moved to where tables of
/// every level change, as far as can be.
#[test]
fn a_flat_image_runs_at_any_multiple_of_64_kib() {
    let highest = (TOP - image_size()) / STEP * STEP;
    let places = [
        (LOWEST, "2", "max", 0),
        (LOWEST + STEP, "1", "cortex-a72", BLOCK),
        (0x401f_0000, "2", "cortex-a72", 0),
        (0x4033_0000, "1", "max", (510 << 30) - BLOCK),
        (0x403f_0000, "2", "max", (1 << 30) - BLOCK),
        (highest, "2", "cortex-a72", (8 << 40) - BLOCK),
        (highest, "1", "max", 0),
    ];
    for (at, level, cpu, moved) in places {
        let machine = placed(at).word("--el", level).word("--cpu", cpu);
        let ended = tests_pass(machine, &format!("kaslr={moved:#x}"));
        ended.says(&format!("kernel: loaded at {at:#x}, "));
        assert_eq!(runs_at(&ended), LINKED + at % BLOCK + moved, "at {at:#x}, moved by {moved:#x}");
    }
    let above = 0x1_0001_0000;
    assert_eq!(runs_at(&tests_pass(placed(above).word("--mem", "4G"), "")), LINKED + above % BLOCK);
}

/// QEMU reads the header, and hands the device tree over in x0.
#[test]
fn a_flat_image_boots_by_kernel() {
    for level in ["2", "1"] {
        let machine = Machine::bare().word("--kernel", &flat().to_string_lossy()).word("--el", level);
        tests_pass(machine, "").says("kernel: loaded at 0x40200000, runs at 0xffff800080000000\n");
    }
}

/// A program runs, from an NVDIMM, in a kernel that lies at an odd place and was moved.
#[test]
fn a_moved_kernel_runs_programs() {
    let image = Image::fresh();
    let machine = Machine::with(&image).word("--kernel", &flat().to_string_lossy()).word("--at", "0x47ff0000");
    machine.append("kaslr init=/bin/hello").run().status(0).prints("Hello from EL0\n");
}

#[test]
fn an_elf_file_is_moved_by_kaslr() {
    assert_eq!(runs_at(&tests_pass(Machine::bare(), "kaslr=1G")), LINKED + (1 << 30));
}

/// A report names functions and lines wherever the kernel runs.
#[test]
fn backtraces_are_named_in_a_moved_kernel() {
    let machine = placed(0x47ff_0000).append("kaslr=1G test=panics::bad_pointer");
    let ended = machine.run();
    ended
        .status(101)
        .says("  pc   0xffff8000c0")
        .says(" bytes above its link address\n")
        .says("::tests::panics::bad_pointer at kernel/src/tests/panics.rs:");
    let caller = |line: &str| line.starts_with("  0xffff8000c0") && line.contains("::testing::test_task at ");
    assert!(ended.output.lines().any(caller), "the caller has no name:\n{}", ended.output);
}

/// Two boots run at two places (equal by chance once in four million), each a multiple of 2 MiB away.
#[test]
fn kaslr_alone_is_chance() {
    let places = [0, 1].map(|_| runs_at(&tests_pass(Machine::bare(), "kaslr")));
    assert!(places.iter().all(|place| *place > LINKED && place % BLOCK == 0), "{places:x?}");
    assert_ne!(places[0], places[1]);
}

/// Where the device tree has no seed, RNDR will do; where neither is, the kernel says so.
#[test]
fn kaslr_needs_a_source_of_chance() {
    let machine = || Machine::bare().qemu(&["-M", "dtb-randomness=off"]);
    assert_ne!(runs_at(&tests_pass(machine(), "kaslr")), LINKED);
    machine().word("--cpu", "cortex-a72").append("kaslr").run().refuses(125, &["kaslr-seed", "rndr"]);
}

#[test]
fn kaslr_is_a_multiple_of_2_mib_below_8_tib() {
    for offset in ["0x100000", "8192G", "", "far"] {
        Machine::bare().append(&format!("kaslr={offset}")).run().refuses(125, &["kaslr=", "multiple of 2m"]);
    }
}

/// Entered at EL3, wherever the image lies and however many CPUs come, it says so once and stops.
#[test]
fn el3_is_refused_in_one_line() {
    let elf = Machine::bare();
    for machine in [elf.clone(), elf.word("--smp", "2"), placed(0x4123_0000).word("--cpu", "cortex-a72")] {
        let ended = machine.word("--el", "3").run();
        ended
            .status(125)
            .prints("vitrine: entered at EL3; this kernel starts at EL2 or EL1, behind a secure monitor\n");
    }
}

/// Instructions of a loader, which QEMU runs first, with two numbers behind them that they may load.
struct Loader {
    image: Image,
}

impl Loader {
    fn new(code: &[u32], numbers: [u64; 2]) -> Self {
        let mut bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        let image = Image::none();
        fs::write(image.path(), bytes).expect("a file of the test's own");
        Self { image }
    }

    /// The machine that begins with it.
    fn before(&self, machine: Machine) -> Machine {
        let file = self.image.path().display();
        machine.qemu(&["-device", &format!("loader,file={file},addr=0x48000000,force-raw=on,cpu-num=0")])
    }
}

/// A loader that ran as a VHE host leaves E2H, TGE, TSC and VM set in HCR_EL2; `el2_setup` clears them.
#[test]
fn a_vhe_loader_leaves_nothing_behind() {
    let at = 0x4020_0000;
    let code = [
        0xd280_0029, // mov  x9, #1
        0xf2b1_0109, // movk x9, #0x8808, lsl #16
        0xf2c0_0089, // movk x9, #4, lsl #32
        0xd51c_1109, // msr  hcr_el2, x9
        0xd503_3fdf, // isb
        0x5800_0049, // ldr  x9, .+8
        0xd61f_0120, // br   x9
    ];
    let loader = Loader::new(&code, [at, 0]);
    assert_eq!(runs_at(&tests_pass(loader.before(placed(at)), "")), LINKED);
}

/// x0 may be any number: where no device tree begins, where nothing answers, where no memory can be.
#[test]
fn a_device_tree_that_is_not_there_is_refused() {
    let at = 0x4021_0000;
    let code = [
        0x5800_0080, // ldr  x0, .+16
        0x5800_00a9, // ldr  x9, .+20
        0xd61f_0120, // br   x9
        0xd503_201f, // nop
    ];
    let trees = [
        (0x4810_1234, "begins with"),
        (0x4000_0004, "begins with"),
        (0x0bad_0000, "nothing answers"),
        (TOP - 4, "nothing answers"),
        (0x8000_0000_0000, "nothing answers"),
        (1 << 52, "outside"),
        (u64::MAX, "outside"),
    ];
    for cpu in ["max", "cortex-a72"] {
        for (tree, why) in trees {
            let loader = Loader::new(&code, [tree, at]);
            let ended = loader.before(placed(at).word("--cpu", cpu)).run();
            // No UART is known yet: semihosting takes the message.
            ended.status(125).complains("vitrine: device tree: ").complains(why);
        }
    }
}
