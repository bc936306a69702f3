//! The kernel's own bugs, each of a kind, put there on purpose (`kernel/src/tests/panics.rs`): the report that each makes,
//! and the status. In both kernels, so that a name or a line is not right by the optimiser's leave.

use std::fs;
use std::process::{Command, Stdio};

use machine_tests::{Ended, Image, Machine, built, root};
use object::{Object, ObjectSection};

/// The source of the bugs.
const SOURCE: &str = "kernel/src/tests/panics.rs";

/// The place in the source that is marked by a comment of this name, as a report shows it.
fn at(mark: &str) -> String {
    let source = fs::read_to_string(root().join(SOURCE)).expect("it is there");
    let comment = format!("// {mark}");
    let line = source.lines().position(|line| line.ends_with(&comment)).unwrap_or_else(|| panic!("no {comment}"));
    format!("{SOURCE}:{}", line + 1)
}

/// A function of the source, as a report shows it.
fn function(name: &str) -> String {
    format!("vitrine_kernel::tests::panics::{name}")
}

/// What is the same in every report, and only once.
#[track_caller]
fn is_whole(ended: &Ended) {
    let number =
        |line: &str, at: usize| line.split(' ').nth(at).and_then(|word| word.parse::<u64>().ok()).expect("a number");
    let own =
        ended.output.lines().find(|line| line.ends_with("of the report's own stack used")).expect("it is measured");
    assert!(number(own, 0) > 1024 && number(own, 0) <= number(own, 2) / 4 * 3, "{own}");
    ended.status(101).says("  spsr 0x").says("EL1h").says("masked: ").says("] memory: ");
    let count = |text: &str| ended.output.matches(text).count();
    for once in ["panic on CPU", "  x0  0x", "  pc   0xffff", "  sp   0xffff", "backtrace:\n", "\nlast log lines:\n"] {
        assert_eq!(count(once), 1, "{once:?} in:\n{}", ended.output);
    }
    assert!(ended.output.ends_with("end of panic report\n"), "it ends in the middle:\n{}", ended.output);
}

/// Has both kernels run into the bug `name`, on a machine of `cpus`.
#[track_caller]
fn reports(name: &str, cpus: &str, check: impl Fn(&Ended)) {
    for kernel in ["vitrine.elf", "vitrine-checked.elf"] {
        let machine = Machine::bare().word("--kernel", &built(kernel).to_string_lossy()).word("--smp", cpus);
        let ended = machine.append(&format!("test=panics::{name}")).run();
        is_whole(&ended);
        check(&ended);
    }
}

/// The lines of a report's backtrace, without the addresses.
fn backtrace(ended: &Ended) -> Vec<&str> {
    let lines = ended.output.lines().skip_while(|line| !line.starts_with("backtrace:")).skip(1);
    lines
        .map_while(|line| line.strip_prefix("  "))
        .map(|line| match line.split_once(' ') {
            Some((address, rest)) if address.starts_with("0x") => rest,
            _ => line.trim_start(),
        })
        .collect()
}

/// Checks that the backtrace has these lines, one behind the other.
#[track_caller]
fn runs(ended: &Ended, want: &[String]) {
    let lines = backtrace(ended);
    let found = lines.windows(want.len()).any(|window| window.iter().zip(want).all(|(line, want)| line == want));
    assert!(found, "{want:#?} is not in {lines:#?}");
}

#[test]
fn a_plain_panic_is_told_from_its_line_on() {
    reports("on_purpose", "1", |ended| {
        ended.says("panic on CPU 0: on purpose, with 1 and two (kernel/src/tests/panics.rs:").says("\nin task ");
        runs(ended, &[format!("{} at {}", function("on_purpose"), at("on_purpose"))]);
        assert!(backtrace(ended)[0].starts_with("core::panicking::panic_fmt at core/src/panicking.rs:"));
        assert!(backtrace(ended).last().unwrap().starts_with("first_run"));
    });
}

#[test]
fn a_bad_pointer_is_told_with_the_function_that_was_inlined() {
    reports("bad_pointer", "1", |ended| {
        ended
            .says("panic on CPU 0: data abort in EL1, read: translation fault at level 0, at 0x0000000000000018: the null page")
            .says("  esr  0x0000000096000004: data abort in EL1, read: translation fault at level 0\n")
            .says("  far  0x0000000000000018: the null page\n")
            .says(": kernel text\n")
            .says(": this task's stack, ");
        let inlined = format!("{} at {}", function("read_at"), at("read_at"));
        assert_eq!(backtrace(ended)[0], inlined);
        runs(ended, &[inlined, format!("inlined into {} at {}", function("bad_pointer"), at("bad_pointer"))]);
    });
}

#[test]
fn a_fault_in_the_allocator_is_told_with_its_lock_held() {
    reports("in_the_allocator", "2", |ended| {
        ended.says("data abort in EL1, read").says("at 0x123456789abcdef0: nothing the kernel has mapped");
        assert!(
            backtrace(ended)
                .iter()
                .any(|line| line.contains("vitrine_kernel::heap::Locked") && line.contains(" at kernel/src/heap.rs:"))
        );
        let caller = format!("{} at {}", function("in_the_allocator"), at("in_the_allocator"));
        assert!(backtrace(ended).iter().any(|line| line.ends_with(&caller)), "{:#?}", backtrace(ended));
    });
}

#[test]
fn running_out_of_memory_says_how_much_was_asked() {
    reports("out_of_memory", "1", |ended| {
        ended.says("panic on CPU 0: memory allocation of 1099511627776 bytes failed (alloc/src/alloc.rs:");
        let caller = format!("{} at {}", function("out_of_memory"), at("out_of_memory"));
        assert!(backtrace(ended).iter().any(|line| line.ends_with(&caller)), "{:#?}", backtrace(ended));
    });
}

#[test]
fn a_fault_in_the_report_is_told_and_the_report_goes_on() {
    reports("in_the_report", "2", |ended| {
        ended.says("panic on CPU 0: about \npanic while a panic was reported (1): data abort in EL1");
        ended.says(&format!("{} at {}\n", function("read_at"), at("read_at"))).says(&at("unshowable"));
        runs(ended, &[format!("{} at {}", function("in_the_report"), at("in_the_report"))]);
    });
}

#[test]
fn a_stack_overflow_is_told_from_both_its_ends() {
    reports("stack_overflow", "1", |ended| {
        ended.says("panic on CPU 0: kernel stack overflow: sp 0xffffa0").says("the guard below this task's stack, ");
        let again = format!("{} at {}", function("recurse"), at("recurse"));
        let lines = backtrace(ended);
        assert!(lines.iter().filter(|&&line| line == again).count() > 30, "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with("... ") && line.ends_with(" more ...")), "{lines:#?}");
        runs(ended, &[again, format!("{} at {}", function("stack_overflow"), at("stack_overflow"))]);
    });
}

#[test]
fn a_bad_stack_pointer_is_told_from_an_overflow() {
    reports("bad_stack_pointer", "1", |ended| {
        ended.says("panic on CPU 0: no kernel stack: sp 0xffffb0000000").says(", nothing the kernel has mapped\n");
        // The vectors faulted too, so the chain of records begins with who called.
        assert!(
            backtrace(ended).iter().any(|line| line.contains("::testing::test_task at ")),
            "{:#?}",
            backtrace(ended)
        );
    });
}

#[test]
fn a_jump_to_nowhere_is_told_with_who_jumped() {
    reports("bad_jump", "1", |ended| {
        ended
            .says("instruction abort in EL1, fetch: translation fault")
            .says("in the linear map, where nothing is mapped\n");
        assert_eq!(backtrace(ended)[1], format!("{} at {}", function("bad_jump"), at("bad_jump")));
    });
}

#[test]
fn a_frame_pointer_that_leads_nowhere_ends_the_backtrace_only() {
    reports("bad_frame_pointer", "1", |ended| {
        ended.says("panic on CPU 0: brk #0x7\n").says("far  0x0000000000000000: not of this exception\n");
        assert_eq!(backtrace(ended)[0], format!("{} at {}", function("bad_frame_pointer"), at("bad_frame_pointer")));
    });
}

#[test]
fn the_log_is_shown_also_where_somebody_was_writing() {
    reports("under_the_logs_lock", "1", |ended| {
        ended.says("panic on CPU 0: with the log locked").says("(somebody was writing here)\n");
        ended.says("] the last thing logged\n");
        runs(
            ended,
            &[format!("{}::{{{{closure}}}} at {}", function("under_the_logs_lock"), at("under_the_logs_lock"))],
        );
    });
}

#[test]
fn a_store_to_text_is_told_as_such() {
    reports("write_to_text", "1", |ended| {
        ended
            .says("data abort in EL1, write: permission fault at level 3")
            .says(": the linear map of kernel text, physical 0x40200000");
        let caller = format!("{} at {}", function("write_to_text"), at("write_to_text"));
        assert!(backtrace(ended).iter().any(|line| line.ends_with(&caller)), "{:#?}", backtrace(ended));
    });
}

#[test]
fn another_cpu_reports_across_the_interrupt_it_served() {
    reports("on_another_cpu", "3", |ended| {
        ended.says("panic on CPU 1: over here (").says("\nin task 0 of process ");
        runs(ended, &[format!("{}::{{{{closure}}}} at {}", function("on_another_cpu"), at("on_another_cpu"))]);
        // The one that called it waits for it, and the one with nothing to do sleeps.
        let stopped = ended.output.split("CPU 0 was stopped:\n").nth(1).expect("it is told");
        let (first, third) = stopped.split_once("CPU 2 was stopped:\n").expect("it is told too");
        assert!(first.contains("vitrine_kernel::smp::call::call at kernel/src/smp/call.rs:"), "{first}");
        assert!(first.contains(&format!("{} at {}", function("on_another_cpu"), at("on_another_cpu"))), "{first}");
        let asleep = "vitrine_kernel::smp::bring_up::idle at kernel/src/smp/bring_up.rs:";
        assert!(third.contains(asleep), "{third}");
        let lines = backtrace(ended);
        let interrupt = lines.iter().position(|line| *line == "el1_irq").expect("it crosses the exception");
        // The instruction that the interrupt found, behind the one that sleeps: the loop's, or still the wait's inlined into it.
        assert!(lines[interrupt + 1..].iter().take(2).any(|line| line.contains(asleep)), "{lines:#?}");
    });
}

/// The kernel with other bytes where its table of symbols is.
fn with_table(image: &Image, change: impl Fn(&mut [u8])) -> Ended {
    let mut elf = fs::read(built("vitrine.elf")).expect("make test builds it");
    let file = object::File::parse(&*elf).expect("an ELF file");
    let (start, len) = file.section_by_name(".symbols").and_then(|section| section.file_range()).expect("bytes");
    change(&mut elf[start as usize..(start + len) as usize]);
    let kernel = image.path().with_file_name("kernel.elf");
    fs::write(&kernel, elf).expect("a file beside the image");
    Machine::bare().word("--kernel", &kernel.to_string_lossy()).append("test=panics::on_purpose").run()
}

#[test]
fn a_damaged_table_of_symbols_costs_the_names_alone() {
    let image = Image::fresh();
    let ended = with_table(&image, |table| table.fill(0));
    ended.status(101).says("backtrace: (this kernel was built without symbols)\n  0x").says(" in kernel text\n");
    let ended = with_table(&image, |table| table.fill(0x5a));
    ended.status(101).says("backtrace: (the table of symbols is damaged)\n  0x").says(" in kernel text\n");
    // Behind a good header, too.
    let ended = with_table(&image, |table| table[32..].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(97)));
    ended.status(101).says("end of panic report\n");
    assert!(!ended.output.contains("while a panic was reported"), "{}", ended.output);
}

#[test]
fn without_semihosting_the_report_is_whole_and_the_machine_does_not_look_as_if_all_was_well() {
    let silent = |line: &str| {
        let machine = Machine::bare().append(line).qemu(&["-semihosting-config", "enable=off"]);
        machine.word("--timeout", "5").run()
    };
    let ended = silent("test=panics::on_purpose");
    ended.status(124).says("end of panic report\n");
    assert!(!ended.output.contains("while a panic was reported"), "{}", ended.output);
    // What ends well is turned off.
    silent("test=panics::addresses_are_told_by_their_owner").status(0).says("1 passed, 0 failed\n");
}

/// Lets gdb do `commands` with the kernel in a machine that waits for it.
fn under_gdb(machine: impl Fn(&[&str]) -> Machine, commands: &[&str]) -> (Ended, String) {
    let image = Image::fresh();
    let socket = image.path().with_file_name("gdb.sock");
    let chardev = format!("socket,path={},server=on,wait=off,id=gdb", socket.display());
    let machine = machine(&["-S", "-chardev", &chardev, "-gdb", "chardev:gdb"]).start();
    machine_tests::wait_for(&socket);
    let mut gdb = Command::new("timeout");
    gdb.args(["60", "gdb-multiarch", "-q", "-batch", "-nx"]).arg(built("vitrine.elf"));
    gdb.args(["-ex", &format!("target remote {}", socket.display())]);
    commands.iter().for_each(|command| _ = gdb.args(["-ex", command]));
    let session = gdb.current_dir(root()).stdin(Stdio::null()).output().expect("gdb-multiarch");
    // Whether the run was good is QEMU's to say: it often ends before gdb has let go.
    (machine.stays_open(), String::from_utf8_lossy(&session.stdout).into_owned())
}

#[test]
fn a_fault_in_a_call_is_told_with_the_program() {
    let image = Image::fresh();
    // The frame of a program's first fault is made to point at nothing, and the fault an unknown instruction (EC 0): those
    // look at the frame.
    let fault = ["break *&trap_user_fault", "continue", "set $x0 = 8", "set $x1 = 0x2000000", "delete"];
    let message =
        ["break vitrine_kernel::panic::report::end", "continue", "set language c", "x/s &VITRINE_PANIC", "detach"];
    let commands: Vec<&str> = fault.into_iter().chain(message).collect();
    let (ended, said) = under_gdb(|words| Machine::with(&image).init("/bin/hello").qemu(words), &commands);
    is_whole(&ended);
    ended.says("panic on CPU 0: data abort").says("the null page").says("  x0  0x0000000000000008");
    ended.says("\nin task 1 of process 1, /bin/hello; at most ").says("\nits program: pc 0x");
    assert!(said.contains("<VITRINE_PANIC>:\t\"data abort in EL1"), "gdb said:\n{said}");
    let handler = |line: &&str| line.contains("trap_user_fault at kernel/src/trap/mod.rs:");
    assert!(backtrace(&ended).iter().any(handler), "{:#?}", backtrace(&ended));
}

#[test]
fn before_there_is_a_console_semihosting_takes_the_report() {
    // The kernel is told that it was loaded where it was not.
    let commands = ["break *&kernel_main", "continue", "set $x1 = 3", "detach"];
    let (ended, _) = under_gdb(|words| Machine::bare().qemu(words), &commands);
    assert_eq!(ended.status, 101, "{ended:#?}");
    for text in ["panic on CPU 0: data abort in EL1, write", "the boot stack, ", "know_machine at kernel/src/start.rs:"]
    {
        assert!(ended.errors.contains(text), "{text:?} is not in:\n{}", ended.errors);
    }
    assert!(ended.errors.contains("before the first task\nlast log lines:\n"), "{}", ended.errors);
    assert!(ended.errors.ends_with("end of panic report\n"), "{}", ended.errors);
}
