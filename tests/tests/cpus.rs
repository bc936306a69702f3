//! Machines of several CPUs: all of them come, or it is told which does not and why, and the rest go on.

use machine_tests::{Ended, Image, Machine, vitrine};
use platform_trees::{SEEDS, Tree, cells};

const HELLO: &str = "Hello from EL0\n";

/// Boots four CPUs at EL1, with `change` made to their device tree, and gives what was printed before the program's line.
#[track_caller]
fn told_about(change: impl FnOnce(&mut Tree)) -> Vec<String> {
    let image = Image::fresh();
    let mut tree = Tree::read(SEEDS.iter().find(|(what, _)| what.contains("EL1, four CPUs")).expect("a seed").1);
    change(&mut tree);
    let blob = image.path().with_file_name("changed.dtb");
    std::fs::write(&blob, tree.blob()).expect("a place for the tree");
    let machine = Machine::with(&image).word("--smp", "4").word("--el", "1").word("--mem", "2G");
    let ended = machine.init("/bin/hello").qemu(&["-dtb", &blob.to_string_lossy()]).run();
    let lines = ended.status(0).output.strip_suffix(HELLO).expect("the program's line comes last");
    let told = lines.lines().map(|line| line.split_once("] ").expect("a line of the log").1.to_owned());
    told.collect()
}

#[test]
fn the_changed_tree_boots_without_a_change() {
    assert!(told_about(|_| ()).is_empty());
}

#[test]
fn cpus_that_nobody_can_start_are_told() {
    let told = told_about(|tree| {
        tree.at("/cpus/cpu@1").remove("enable-method");
        tree.at("/cpus/cpu@2").set("enable-method", *b"spin-table\0").set("cpu-release-addr", cells(&[0, 0x4000_0000]));
        tree.at("/cpus/cpu@3").set("enable-method", *b"brownie\0");
    });
    let reasons = ["no enable-method that", "it waits in a spin table", "no enable-method that"];
    for (number, (line, reason)) in told.iter().zip(reasons).enumerate() {
        let number = number + 1;
        assert!(line.starts_with(&format!("CPU {number} (affinity {number:#x}) is not used: {reason}")), "{line}");
    }
    assert_eq!(told.len(), 3);
}

#[test]
fn a_cpu_that_the_firmware_refuses_is_told_and_the_rest_go_on() {
    let told = told_about(|tree| _ = tree.at("/cpus/cpu@2").set("reg", cells(&[0x907])));
    assert_eq!(told, ["CPU 2 (affinity 0x907) is not used: the firmware refused: Invalid parameters to PSCI call"]);
}

/// As Linux's `smp_init_cpus`: the first node of a CPU counts, and the boot CPU has one.
#[test]
fn a_cpu_node_that_repeats_another_is_told() {
    let told = told_about(|tree| {
        tree.at("/cpus/cpu@1").set("reg", cells(&[0]));
        tree.at("/cpus/cpu@3").set("reg", cells(&[2]));
    });
    let reason = "its device tree node repeats the reg of another";
    assert_eq!(told, [1, 3].map(|number| format!("CPU {number} (affinity {:#x}) is not used: {reason}", number - 1)));
}

/// Boots two CPUs at EL1, with bytes of their device tree changed in memory, because QEMU makes the node of the firmware
/// itself: `pattern` is looked for, and each byte at an offset from there set.
#[track_caller]
fn told_about_firmware(pattern: &str, bytes: &[(usize, char)]) -> String {
    let image = Image::fresh();
    let find = format!("find /1b 0x40000000, +0x4000, {pattern}");
    let set: Vec<_> =
        bytes.iter().map(|(offset, byte)| format!("set {{char}}($place + {offset}) = '{byte}'")).collect();
    let mut commands = vec![&find[..], "set $place = $_"];
    commands.extend(set.iter().map(String::as_str));
    commands.push("detach");
    let machine = Machine::with(&image).word("--smp", "2").word("--el", "1").init("/bin/hello");
    let (ended, _) = machine.debugged(&image, &commands);
    let line = ended.status(0).output.strip_suffix(HELLO).expect("the program's line comes last");
    line.trim_end().split_once("] ").expect("a line of the log").1.to_owned()
}

/// At EL1 the board's firmware answers to `hvc`; `smc` is an undefined instruction.
#[test]
fn firmware_that_is_called_the_wrong_way_is_told() {
    let told = told_about_firmware("'h', 'v', 'c', 0", &[(0, 's'), (1, 'm')]);
    assert_eq!(told, "CPU 1 (affinity 0x1) is not used: the firmware refused: PSCI call not supported");
}

#[test]
fn a_tree_without_firmware_is_told() {
    // "arm,psci-1.0", "arm,psci-0.2", "arm,psci": each becomes something else.
    let told = told_about_firmware("'a', 'r', 'm', ',', 'p', 's', 'c', 'i'", &[(4, 'x'), (17, 'x'), (30, 'x')]);
    assert_eq!(told, "CPU 1 (affinity 0x1) is not used: its enable-method is PSCI, and the device tree has no PSCI");
}

#[test]
fn a_cpu_without_a_redistributor_is_told() {
    let told = told_about(|tree| {
        let three = cells(&[0, 0x0800_0000, 0, 0x1_0000, 0, 0x080a_0000, 0, 0x6_0000]);
        tree.at("/intc@8000000").set("reg", three);
    });
    assert_eq!(told, ["CPU 3 (affinity 0x3) is not used: no redistributor for the CPU with affinity 0x3"]);
}

/// Where a routine of `boot` runs before the MMU is on: linked high, loaded at 0x4020_0000.
fn loaded(symbol: &str) -> String {
    format!("((unsigned long)&{symbol} - 0xffff800080000000 + 0x40200000)")
}

#[track_caller]
fn boots_with(cpus: &str, level: &str) {
    let image = Image::fresh();
    let machine = Machine::with(&image).word("--smp", cpus).word("--el", level);
    machine.init("/bin/hello").run().status(0).prints(HELLO);
}

#[test]
fn eight_cpus_come_by_smc() {
    boots_with("8", "2");
}

#[test]
fn eight_cpus_come_by_hvc() {
    boots_with("8", "1");
}

#[test]
fn more_than_eight_cpus_are_told() {
    let image = Image::fresh();
    let ended = Machine::with(&image).word("--smp", "11").init("/bin/hello").run();
    ended.status(0).says("] 3 more CPUs are not used: there is room for 8\n").says(HELLO);
    assert_eq!(ended.output.lines().count(), 2);
}

#[test]
fn two_runs_with_four_cpus_are_the_same_under_icount() {
    let image = Image::fresh();
    let run = || Machine::with(&image).flag("--icount").word("--smp", "4").init("/bin/first").start().stays_open();
    let first = run();
    first.status(0).says("reset_to_init\t0\t1\t");
    assert_eq!(first.output, run().output);
}

/// The road of the second CPU, label by label: where each runs, at which level, with the MMU on or off.
#[test]
fn gdb_follows_a_secondary_from_its_entry_to_rust() {
    const ROAD: [(&str, &str, &str); 7] = [
        ("el2_setup", "2", "off"),
        ("set_cpu_boot_mode_flag", "1", "off"),
        ("cpu_setup", "1", "off"),
        ("secondary_switch", "1", "off"),
        ("enable_mmu", "1", "off"),
        ("secondary_switched", "1", "on"),
        ("secondary_main", "1", "on"),
    ];
    let image = Image::fresh();
    let mut commands = vec![format!("tbreak *{}", loaded("secondary_entry")), "continue".into()];
    for (label, _, mmu) in ROAD {
        let place = if mmu == "on" { format!("((unsigned long)&{label})") } else { loaded(label) };
        commands.push(format!("tbreak *{place}"));
        commands.push("continue".into());
        let checks = format!("$_thread, $pc == {place}, ($cpsr >> 2) & 3, $SCTLR & 1");
        commands.push(format!("printf \"{label}: CPU %d, there %d, EL%d, MMU %d\\n\", {checks}"));
    }
    commands.push("detach".into());
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let (ended, said) = Machine::with(&image).word("--smp", "2").init("/bin/hello").debugged(&image, &commands);
    ended.status(0).prints(HELLO);
    for (label, level, mmu) in ROAD {
        let line = format!("{label}: CPU 2, there 1, EL{level}, MMU {}", u8::from(mmu == "on"));
        assert!(said.contains(&line), "no line {line:?} in what gdb said:\n{said}");
    }
}

/// `set_cpu_boot_mode_flag` is met by each CPU on its way; the second is made to say EL1.
#[test]
fn a_cpu_entered_at_another_level_is_told() {
    let image = Image::fresh();
    let place = format!("break *{}", loaded("set_cpu_boot_mode_flag"));
    let (ended, _) = Machine::with(&image)
        .word("--smp", "3")
        .init("/bin/hello")
        .debugged(&image, &[&place, "continue", "continue", "set $x20 = 0xe11", "delete", "detach"]);
    ended
        .status(0)
        .says("] CPU 1 (affinity 0x1) is not used: it was entered at EL1, unlike the boot CPU\n")
        .says("] some CPUs were entered at EL2 and some at EL1\n")
        .says(HELLO);
    assert_eq!(ended.output.lines().count(), 3, "CPU 2 comes without a word");
}

/// Boots three CPUs. The second is given a wrong number, so it waits for ever; when the first program runs it is sent on
/// its way again. The debugger says `look` where it enters Rust, too late, and the machine goes on.
fn comes_late(line: &str, image: &Image, look: &[&str]) -> (Ended, String) {
    let entry = loaded("secondary_entry");
    let (first, again) = (format!("break *{entry}"), format!("set $pc = {entry}"));
    let mut commands = vec![&*first, "continue", "set $x0 = 99", "delete", "break *&trap_user_fault", "continue"];
    commands.extend(["delete", "thread 2", "set scheduler-locking on", &again, "set $x0 = 1"]);
    commands.extend(["break *&secondary_main", "continue"]);
    commands.extend(look);
    commands.extend(["set scheduler-locking off", "delete", "detach"]);
    Machine::with(image).word("--smp", "3").append(line).debugged(image, &commands)
}

#[test]
fn a_cpu_that_does_not_come_is_told_and_a_late_one_goes_away() {
    let (ended, said) = comes_late("init=/bin/hello", &Image::fresh(), &[]);
    ended.status(0).says("] CPU 1 (affinity 0x1) is not used: it did not come within 5 seconds\n").says(HELLO);
    assert_eq!(ended.output.lines().count(), 2, "CPU 2 comes without a word");
    assert!(said.contains("secondary_main"), "CPU 1 did not come late:\n{said}");
}

/// `poison` turned stage 2 on while it waited: it has the same, and a hole is one for it too. (The medium begins at
/// 0x8000_0000; the page behind the hole is read to show that the debugger reads what the CPU would.)
#[test]
fn a_late_cpu_meets_the_holes_that_were_made_before() {
    let image = Image::fresh();
    let sector = ((64 << 20) / 512).to_string();
    assert!(vitrine(&["badblock", "add", &image.path().to_string_lossy(), &sector]).status.success());
    let registers = "printf \"stage 2: %d %lx %lx\\n\", $HCR_EL2 & 1, $VTCR_EL2, $VTTBR_EL2";
    // `x/b` of a hole would end the session.
    let read = "python\ntry:\n  gdb.selected_inferior().read_memory(0xffff000084000000, 1)\n\
        except gdb.MemoryError:\n  print('a hole')";
    let behind = "x/xb 0xffff000084001000";
    let look = [registers, read, behind, "thread 1", registers, read, behind];
    let (ended, said) = comes_late("poison init=/bin/hello", &image, &look);
    ended.status(0).says(HELLO);
    let stage2: Vec<_> = said.lines().filter(|line| line.starts_with("stage 2: 1 ")).collect();
    assert!(stage2.len() == 2 && stage2[0] == stage2[1], "CPU 1 and CPU 0 translate unlike:\n{said}");
    assert_eq!(said.matches("a hole").count(), 2, "the hole is none for both:\n{said}");
    assert_eq!(said.matches("0xffff000084001000:").count(), 2, "all is holes:\n{said}");
}

/// Runs an in-kernel test that ends a machine of four CPUs with the report of a panic.
#[track_caller]
fn report_of(test: &str) -> Ended {
    let ended = Machine::bare().word("--smp", "4").append(&format!("test=cpus::{test}")).run();
    ended.status(101).says("end of panic report\n");
    assert_eq!(ended.output.matches("panic on CPU ").count(), 1, "{}", ended.output);
    assert_eq!(ended.output.matches("panic while").count(), 0, "{}", ended.output);
    ended
}

#[test]
fn a_panic_on_a_secondary_is_reported() {
    let ended = report_of("a_panic_on_another_cpu");
    ended.says("panic on CPU 3: far from home");
    assert!(!ended.output.contains("does not stop"), "{}", ended.output);
}

#[test]
fn a_stack_overflow_on_a_secondary_is_told_as_such() {
    let ended = report_of("a_stack_overflow_on_another_cpu");
    ended.says("panic on CPU 3: kernel stack overflow: sp 0xffffa000").says(", the guard below this task's stack, ");
}

#[test]
fn where_all_cpus_panic_at_once_one_reports() {
    report_of("a_panic_on_every_cpu").says(": all together");
}

#[test]
fn a_cpu_that_does_not_stop_is_named_in_the_report() {
    report_of("a_panic_while_another_cpu_is_deaf").says("CPU 3 does not stop\n").says("panic on CPU 0: nobody listens");
}
