//! From the first line of Rust to the first program.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use abi::Errno;
use abi::tty::Winsize;
use arrayvec::ArrayVec;
use platform::cmdline::{CommandLine, Init, Poison, Recorder, Window};
use platform::fdt::{self, Platform, PsciMethod};
use spin::Once;
use units::{ByteLen, PhysAddr, PhysRange};

use crate::exit::{exit, refuse, status};
use crate::task::{Parts, Start, Task, kill, process, sched};
use crate::vfs::{self, Files, Place};
use crate::bootchart::{self, mark};
use crate::{
    bench, console, exec, features, heap, irq, kaslr, layout, log, mmu, paging, panic, percpu, pmem, ram, rng, smp, space, testing, timer,
};

/// Heap that the first tasks take.
const WORST_CASE: usize = 64 << 10;

static PLATFORM: Once<Platform> = Once::new();
static LINE: Once<CommandLine<'static>> = Once::new();

/// The machine, as its device tree describes it.
pub(crate) fn platform() -> &'static Platform {
    PLATFORM.get().unwrap_or_else(|| unreachable!("kernel_main parses the device tree first"))
}

/// How to ask the firmware for something, where the device tree has been read and says so.
pub(crate) fn psci_method() -> Option<PsciMethod> {
    PLATFORM.get()?.psci
}

/// Ends the machine where it cannot be brought up, with the reason.
fn must<T, E: fmt::Display>(what: &str, outcome: Result<T, E>) -> T {
    outcome.unwrap_or_else(|error| refuse(status::REFUSED, format_args!("{what}{error}")))
}

/// Where `boot` ends: the MMU is on, the stack is the boot stack, interrupts are masked. `tree` is the device tree's
/// physical address, `loaded` that of `_text`.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(tree: u64, loaded: u64) -> ! {
    bring_up(know_machine(PhysAddr::new(tree), PhysAddr::new(loaded)));
    let line = LINE.get().unwrap_or_else(|| unreachable!("bring_up parses the command line"));
    run(line)
}

/// Everything up to what the device tree says; answers where that lies. A function of its own, and never inlined: what it
/// keeps on the boot stack, the parsed device tree among it, is gone before the rest begins.
#[inline(never)]
fn know_machine(tree: PhysAddr, loaded: PhysAddr) -> PhysRange {
    percpu::init();
    panic::init();
    features::record_cpu();
    paging::init(loaded);
    if percpu::init_overflow_stack().is_err() {
        refuse(status::REFUSED, format_args!("memory: too little to run in"));
    }
    mark("paging");
    let blob = read_platform(tree);
    mark("device tree");
    blob
}

/// Everything up to the first task, with the device tree in `blob`. Never inlined, as [`know_machine`] is not: the first
/// program is loaded on the same stack.
#[inline(never)]
fn bring_up(blob: PhysRange) {
    let platform = platform();
    must("console: ", console::init(&platform.uart));
    mark("console");
    let line = must("command line: ", CommandLine::parse(&platform.bootargs));
    must("kaslr: ", kaslr::check(line.kaslr));
    log::init(line.log_level);
    mark("command line");
    let claims = must("pmem: ", pmem::claim(platform, &line, paging::image(), blob));
    mark("pmem claims");

    let mut held: ArrayVec<PhysRange, 32> = claims.iter().copied().collect();
    held.push(blob);
    must("", ram::init(platform, line.ram, &held));
    fs::use_head_room(|bytes| heap::reserve(bytes).is_ok());
    if mmu::init().is_err() {
        refuse(status::REFUSED, format_args!("memory: too little to run in"));
    }
    mark("memory");
    must("interrupts: ", irq::init(&platform.gic));
    mark("interrupts");
    must("timer: ", timer::init(&platform.timer));
    if let Some(rtc) = platform.rtc {
        must("clock: ", timer::init_wall_clock(rtc));
    }
    mark("clocks");
    if become_task().is_err() {
        refuse(status::REFUSED, format_args!("memory: too little to run in"));
    }
    must("console: ", console::enable_input(&platform.uart));
    if let Some(Window { rows, columns }) = line.window {
        console::terminal::TERMINAL.resize(Winsize { rows, cols: columns, ..Winsize::default() });
    }
    arch::irq::enable();
    fs::use_pause(sched::resched);
    mark("first task");
    smp::bring_up(platform);
    mark("other CPUs");
    features::settle();
    smp::on_each(features::enable_cpu);
    if line.recorder == Recorder::Watching {
        smp::on_each(features::forbid_zeroing);
    }
    space::init_numbers();
    mark("features");
    rng::init(&platform.rng_seed);
    mark("random numbers");
    pmem::discover(platform, &line, &claims);
    if line.poison == Poison::Real {
        must("poison: ", pmem::poison::enable(platform));
    }
    mark("pmem devices");
    LINE.call_once(|| line);
}

/// Parses the device tree at `tree` and keeps what it says; answers where it lies.
fn read_platform(tree: PhysAddr) -> PhysRange {
    let header = must("device tree: ", paging::map_blob(tree, ByteLen::new(fdt::HEADER as u64), "the device tree's header"));
    let mut first = [0; fdt::HEADER];
    first.copy_from_slice(header);
    let extent = must("", fdt::blob_len(first));
    let used = ByteLen::new(extent.used as u64);
    let blob = must("device tree: ", paging::map_blob(tree, used, "the device tree"));
    match Platform::parse(blob) {
        Ok(platform) => PLATFORM.call_once(|| platform),
        Err(error) => {
            if let Some(uart) = fdt::find_uart(blob) {
                // Where even that fails, semihosting takes the message.
                let _ = console::early_init(uart);
            }
            refuse(status::REFUSED, format_args!("{error}"))
        }
    };
    let len = ByteLen::new(extent.total as u64);
    must("device tree: ", PhysRange::with_len(tree, len).ok_or("at the end of the address space"))
}

/// Gives the code that runs since reset a task, so that it can wait, and later become the first program.
fn become_task() -> Result<(), heap::OutOfMemory> {
    heap::reserve(WORST_CASE)?;
    let pid = process::fresh_id()?;
    let process = process::create_first(pid);
    let files = Arc::new(Files::new_console().map_err(|_| heap::OutOfMemory)?);
    let parts = Parts { process, files, place: Arc::new(Place::new()), space: None };
    sched::admit()?;
    let task = Task::new(pid, parts, Start::Kernel(never, 0))?;
    process::join(&task)?;
    sched::adopt(task);
    Ok(())
}

/// The first task is running already.
extern "C" fn never(_: usize) -> ! {
    unreachable!("the first task was started a second time")
}

/// Tests, benches, or the first program.
fn run(line: &CommandLine<'_>) -> ! {
    let ((frames_used, frames), (_, heap)) = (crate::frames::usage(), heap::usage());
    ::log::info!("kernel: loaded at {:#x}, runs at {:#x}", paging::image().start().get(), layout::text_start().get());
    ::log::info!("memory: {frames}, {frames_used} in use; heap of {heap} bytes; {} pmem devices", pmem::devices().len());
    if let Some(filter) = line.test {
        let root = pmem::mount_root(line.root);
        if let Ok(root) = &root {
            vfs::mount_root(root.root());
        }
        let failed = testing::run(filter);
        exit(if failed == 0 { 0 } else { status::TESTS_FAILED });
    }
    if let Some(filter) = line.bench {
        bench::run(filter);
        exit(0);
    }
    let root = must("", pmem::mount_root(line.root));
    if let Some(damage) = root.damage() {
        console::say(format_args!("vitrine: mounted read-only: {damage}\n"));
    }
    vfs::mount_root(root.root());
    mark("root file system");
    match &line.init {
        Some(init) => run_named(init),
        None => run_default(),
    }
}

/// The environment that the first program finds.
const ENVIRONMENT: [&str; 3] = ["PATH=/bin", "HOME=/", "TERM=vt100"];

fn environment() -> Vec<Vec<u8>> {
    ENVIRONMENT.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Runs `init=PATH ARGS...`, or says why not.
fn run_named(init: &Init<'_>) -> ! {
    let path = init.path();
    let arguments = core::iter::once(path).chain(init.arguments()).map(|text| text.as_bytes().to_vec()).collect();
    match exec::run_init(path.as_bytes(), arguments, environment()) {
        Ok(()) => enter(),
        Err(error @ (Errno::ENOENT | Errno::ENOTDIR)) => {
            refuse(status::NOT_FOUND, format_args!("init={path}: {error}"))
        }
        Err(error) => refuse(status::NOT_EXECUTABLE, format_args!("init={path}: {error}")),
    }
}

/// Leaves for the first program, which is ready.
fn enter() -> ! {
    mark("first program");
    bootchart::log();
    exec::enter_program()
}

/// Runs /bin/init, else /bin/sh.
fn run_default() -> ! {
    kill::spare_first_program();
    for path in ["/bin/init", "/bin/sh"] {
        match exec::run_init(path.as_bytes(), Vec::from([path.as_bytes().to_vec()]), environment()) {
            Ok(()) => enter(),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(error) => refuse(status::NOT_EXECUTABLE, format_args!("{path}: {error}")),
        }
    }
    refuse(status::NOT_FOUND, format_args!("neither /bin/init nor /bin/sh is there, and init= names nothing"))
}
