//! Starting the other CPUs, one after another, and what each does first.
//!
//! A CPU finds everything made for it: an idle task with a guarded stack, a stack for telling of an overflow, a per-CPU
//! block. One that comes too late finds that nobody waits any more, and goes away again; what was made for it stays its
//! own, so that it can do no harm meanwhile.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use boot::BootMode;
use platform::fdt::{AFFINITY, Cpu, EnableMethod, MAX_CPUS, Platform, PsciMethod};
use smccc::psci::Error;
use spin::Once;
use sync::{Mutex, Rank};
use units::VirtAddr;

use super::{listen, psci, register, set_online, stop};
use crate::heap::{self, OutOfMemory};
use crate::irq::{self, IrqError};
use crate::task::{Parts, Start, Task, process, stack};
use crate::vfs::{Files, Place};
use crate::{features, paging, percpu, start, timer};

/// How long a CPU may take to come (Linux: 5 seconds).
const PATIENCE: Duration = Duration::from_secs(5);
/// Heap for what the idle tasks share, and for each of them.
const WORST_CASE: usize = 16 << 10;

const _: () = assert!(MAX_CPUS == arch::cpu::MAX_CPUS, "the tree has as many CPUs as there are per-CPU blocks");

/// Why a CPU is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NotUp {
    /// The tree does not say how to start it, or in a way this kernel does not know.
    EnableMethod,
    /// It waits in a spin table.
    SpinTable,
    /// Another node before its own names the same CPU.
    Repeated,
    /// The tree says PSCI, and names none.
    NoPsci,
    /// The firmware refused.
    Psci(Error),
    /// No frames or no heap for its stack.
    OutOfMemory,
    /// It was started, and did nothing that we saw.
    TimedOut,
    /// It was entered at another exception level than the boot CPU.
    Mode(BootMode),
    /// Its part of the interrupt controller is not there.
    Irq(IrqError),
}

impl fmt::Display for NotUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnableMethod => write!(f, "no enable-method that this kernel knows"),
            Self::SpinTable => write!(f, "it waits in a spin table, and this kernel starts CPUs by PSCI"),
            Self::Repeated => write!(f, "its device tree node repeats the reg of another"),
            Self::NoPsci => write!(f, "its enable-method is PSCI, and the device tree has no PSCI"),
            Self::Psci(error) => write!(f, "the firmware refused: {error}"),
            Self::OutOfMemory => write!(f, "out of memory"),
            Self::TimedOut => write!(f, "it did not come within {} seconds", PATIENCE.as_secs()),
            Self::Mode(mode) => write!(f, "it was entered at {mode}, unlike the boot CPU"),
            Self::Irq(error) => write!(f, "{error}"),
        }
    }
}

impl From<OutOfMemory> for NotUp {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<IrqError> for NotUp {
    fn from(error: IrqError) -> Self {
        Self::Irq(error)
    }
}

/// Whom the boot CPU waits for: a CPU's number, or one of the words below.
static AWAITED: AtomicUsize = AtomicUsize::new(NOBODY);
/// Nobody: whoever comes is too late.
const NOBODY: usize = usize::MAX;
/// The CPU that was awaited is here, and about to say how it went.
const HERE: usize = usize::MAX - 1;
/// It has said.
const TOLD: usize = usize::MAX - 2;

/// How it went, between [`HERE`] and the boot CPU's look.
static OUTCOME: Mutex<Result<(), NotUp>> = Mutex::new(Rank::Device, Ok(()));
/// The mode that the boot CPU was entered in.
static BOOT_MODE: Once<BootMode> = Once::new();

/// Starts every CPU that the tree names; one that does not come is told of in the log, and the rest go on. Waits, so
/// it is for a task with no lock held.
pub(crate) fn bring_up(platform: &Platform) {
    let boot = arch::cpu::mpidr() & AFFINITY;
    set_online(0, boot);
    let own = platform.cpus.iter().position(|cpu| cpu.mpidr == boot);
    let mut others = platform.cpus.iter().enumerate().filter(|(place, _)| Some(*place) != own).peekable();
    if others.peek().is_none() {
        return;
    }
    BOOT_MODE.call_once(boot::boot_mode);
    let parts = match prepare_all() {
        Ok(parts) => parts,
        Err(reason) => return log::error!("no CPU but the first is used: {reason}"),
    };
    for (number, (place, cpu)) in (1..MAX_CPUS).zip(others.by_ref()) {
        let repeated = platform.cpus.iter().take(place).any(|before| before.mpidr == cpu.mpidr);
        let started = if repeated { Err(NotUp::Repeated) } else { start(number, cpu, platform.psci, &parts) };
        if let Err(reason) = started {
            log::error!("CPU {number} (affinity {:#x}) is not used: {reason}", cpu.mpidr);
        }
    }
    let left_out = platform.cpus_left_out + others.count();
    if left_out > 0 {
        log::error!("{left_out} more CPUs are not used: there is room for {MAX_CPUS}");
    }
    if boot::is_hyp_mode_mismatched() {
        log::error!("some CPUs were entered at EL2 and some at EL1");
    }
}

/// The boot CPU's side of the interrupts between CPUs, and what the idle tasks share.
fn prepare_all() -> Result<Parts, NotUp> {
    heap::reserve(WORST_CASE)?;
    register()?;
    listen()?;
    let files = Files::new_console().map_err(|_| NotUp::OutOfMemory)?;
    Ok(Parts { process: process::idle(), files: Arc::new(files), place: Arc::new(Place::new()), space: None })
}

/// Starts one CPU and waits for it.
fn start(number: usize, cpu: &Cpu, psci: Option<PsciMethod>, parts: &Parts) -> Result<(), NotUp> {
    let method = match cpu.enable {
        EnableMethod::Psci => psci.ok_or(NotUp::NoPsci)?,
        EnableMethod::SpinTable(_) => return Err(NotUp::SpinTable),
        EnableMethod::Unknown => return Err(NotUp::EnableMethod),
    };
    let entry = prepare(number, parts)?;
    AWAITED.store(number, Ordering::Release);
    if let Err(error) = psci::cpu_on(method, cpu.mpidr, paging::image_phys(entry), number as u64) {
        AWAITED.store(NOBODY, Ordering::Relaxed);
        return Err(NotUp::Psci(error));
    }
    wait_for(number)?;
    set_online(number, cpu.mpidr);
    Ok(())
}

/// Makes what CPU `number` will find; answers where it is to begin.
fn prepare(number: usize, parts: &Parts) -> Result<VirtAddr, NotUp> {
    heap::reserve(WORST_CASE)?;
    let overflow_stack = stack::map_overflow_stack(number)?;
    let parts = Parts {
        process: parts.process.clone(),
        files: parts.files.clone(),
        place: parts.place.clone(),
        space: None,
    };
    // Linux gives every idle task the number 0, which no call can name.
    let idle = Task::new(0, parts, Start::Kernel(never, 0))?;
    let stack = idle.stack_top();
    // SAFETY: the CPU is off, and nobody has this task, which is never dropped.
    let block = unsafe { percpu::prepare(number, Arc::into_raw(idle), overflow_stack) };
    // SAFETY: both are this CPU's for ever, also where it never comes.
    Ok(VirtAddr::new(unsafe { boot::place_secondary(number, block, stack.get()) }))
}

/// The idle task of a CPU begins with the CPU.
extern "C" fn never(_: usize) -> ! {
    unreachable!("an idle task was scheduled")
}

/// Waits until CPU `number` has said how it went.
fn wait_for(number: usize) -> Result<(), NotUp> {
    let begin = timer::now();
    loop {
        match AWAITED.load(Ordering::Acquire) {
            TOLD => {
                AWAITED.store(NOBODY, Ordering::Relaxed);
                return *OUTCOME.lock();
            }
            HERE => {}
            _ if timer::now().saturating_sub(begin) < PATIENCE => {}
            // It may come this very moment: who is first, decides.
            _ => {
                let given_up = AWAITED.compare_exchange(number, NOBODY, Ordering::Relaxed, Ordering::Relaxed);
                if given_up.is_ok() {
                    return Err(NotUp::TimedOut);
                }
            }
        }
        arch::cpu::relax();
    }
}

/// Where `boot` leaves every CPU but the first: on its own stack, with its own block, interrupts masked.
#[unsafe(no_mangle)]
extern "C" fn secondary_main(number: u64, mode: u32) -> ! {
    let number = number as usize;
    let outcome = set_up(BootMode::of_cpu(mode));
    if AWAITED.compare_exchange(number, HERE, Ordering::Acquire, Ordering::Relaxed).is_err() {
        retire();
    }
    if outcome.is_ok() {
        features::record_cpu();
    }
    *OUTCOME.lock() = outcome;
    AWAITED.store(TOLD, Ordering::Release);
    if outcome.is_err() {
        retire();
    }
    idle()
}

/// What each CPU has to do for itself.
fn set_up(mode: BootMode) -> Result<(), NotUp> {
    if BOOT_MODE.get() != Some(&mode) {
        return Err(NotUp::Mode(mode));
    }
    irq::init_cpu()?;
    listen()?;
    Ok(timer::init_cpu(&start::platform().timer)?)
}

/// What a CPU does from then on: everything by interrupts.
fn idle() -> ! {
    arch::irq::enable();
    loop {
        arch::irq::wait();
    }
}

/// This CPU is not used.
fn retire() -> ! {
    if let Some(method) = start::platform().psci {
        // Where the firmware keeps it, it sleeps here.
        let _ = psci::cpu_off(method);
    }
    stop::park()
}
