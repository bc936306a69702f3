//! Tasks: what runs, and what it runs on behalf of.
//!
//! A [`Task`] is a thread: a kernel stack, registers, an address space it shares. A [`process::Process`] is a thread
//! group, with the parent it reports to. [`sched`] picks who runs, [`wait`] is how a task waits, [`clone`] makes
//! tasks, [`exit`] ends them, [`usage`] counts what they use, [`exec`](crate::exec) gives one a new program. [`kill`] sends signals, [`deliver`] takes them,
//! [`restart`] says how an interrupted call goes on. The kernel is not preempted: a task runs until
//! it waits, or until it is about to return to its program.

pub(crate) mod clone;
mod deliver;
pub(crate) mod exit;
mod fp;
pub(crate) mod futex;
pub(crate) mod group;
pub(crate) mod keys;
pub(crate) mod kill;
pub(crate) mod limits;
mod pending;
pub(crate) mod process;
pub(crate) mod reap;
pub(crate) mod restart;
pub(crate) mod robust;
pub(crate) mod sched;
mod sigframe;
pub(crate) mod signal;
pub(crate) mod stack;
pub(crate) mod stretch;
pub(crate) mod usage;
pub(crate) mod wait;

use alloc::sync::Arc;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::signal::Sigset;
use arch::pauth::{KeySet, Keys};
use sync::{Mutex, Rank};
use units::{VirtAddr, VirtRange};

use crate::heap::OutOfMemory;
use crate::percpu;
use crate::space::Space;
use crate::trap::TrapFrame;
use crate::vfs::{Files, Place};
use fp::VectorState;
use pending::{NO_STACK, Own};
use process::Process;
use restart::{Interrupted, Remainder};
use sched::Schedule;
use stack::KernelStack;
use usage::Usage;
use wait::Completion;

/// Bits of [`Task::flags`]: what is to be done before the task returns to its program.
pub(crate) mod flag {
    /// Others wait for the CPU, and this task's time is up.
    pub(crate) const RESCHEDULE: u32 = 1 << 0;
    /// The task is to end instead.
    pub(crate) const KILLED: u32 = 1 << 1;
    /// The call under way wrote the program's registers: all of them are to be loaded.
    pub(crate) const REGISTERS: u32 = 1 << 2;
    /// A signal may wait, or a call was cut short (`TIF_SIGPENDING`).
    pub(crate) const SIGNAL: u32 = 1 << 3;
    /// The task has not run yet, and its program wants its number stored (`CLONE_CHILD_SETTID`).
    pub(crate) const NEW: u32 = 1 << 4;
    /// How long the task keeps the CPU in the kernel is measured (`stretch`).
    pub(crate) const WATCHED: u32 = 1 << 5;
}

/// Callee-saved registers of a task that does not run; `switch_context` knows the layout.
#[repr(C)]
#[derive(Default)]
struct Context {
    x19_to_x30: [u64; 12],
    sp: u64,
}

/// A thread.
#[repr(C)]
pub(crate) struct Task {
    /// [`flag`] bits; the vectors read them on the way out, at offset 0.
    flags: AtomicU32,
    /// The thread's number, unique among those that live.
    pub(crate) tid: u32,
    /// The thread group.
    pub(crate) process: Arc<Process>,
    /// The table of descriptors.
    pub(crate) files: Arc<Files>,
    /// Working directory and umask.
    pub(crate) place: Arc<Place>,
    /// Where to store 0 and wake a futex when the thread ends (`set_tid_address`), or 0.
    pub(crate) clear_child_tid: AtomicU64,
    /// Where the task stores its own number before anything else (`CLONE_CHILD_SETTID`), while [`flag::NEW`] is set.
    set_child_tid: AtomicU64,
    /// Where its list of robust futexes begins, or 0.
    robust_list: AtomicU64,
    /// What it blocks, its alternate stack, and the signals that wait for it alone.
    signals: Mutex<Own>,
    /// The call that was cut short, and what `restart_syscall` would go on with.
    interrupted: Cell<Option<Interrupted>>,
    remainder: Cell<Option<Remainder>>,
    /// Its last fault, for a handler to find.
    fault: Cell<Fault>,
    /// Who waits for this task to run another program or to end (`CLONE_VFORK`).
    vfork: Mutex<Option<Arc<Completion>>>,
    schedule: Schedule,
    usage: Usage,
    space: UnsafeCell<Option<Arc<Space>>>,
    context: UnsafeCell<Context>,
    vectors: UnsafeCell<VectorState>,
    tls: Cell<u64>,
    keys: Cell<Keys>,
    stack: KernelStack,
}

const _: () = assert!(core::mem::offset_of!(Task, flags) == 0);

/// What a handler finds of a fault, beside the signal (`thread.fault_address`, `fault_code`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    /// The address that could not be touched, or 0.
    pub(crate) address: u64,
    /// ESR_EL1 as a program may see it, or 0.
    pub(crate) syndrome: u64,
}

impl Fault {
    /// None so far.
    pub(crate) const NONE: Self = Self { address: 0, syndrome: 0 };
}

// SAFETY: `space`, `context`, `vectors`, `tls`, `keys`, `interrupted`, `remainder` and `fault` are touched by the task itself, or by the scheduler on the CPU that
// switches to or from it, with interrupts masked; never by two at a time. All else is `Sync`.
unsafe impl Sync for Task {}
// SAFETY: nothing in a task is bound to the CPU that made it.
unsafe impl Send for Task {}

/// What a new task takes from its maker.
pub(crate) struct Parts {
    /// The thread group it joins.
    pub(crate) process: Arc<Process>,
    /// Its descriptors.
    pub(crate) files: Arc<Files>,
    /// Its working directory.
    pub(crate) place: Arc<Place>,
    /// Its address space; none for a thread of the kernel.
    pub(crate) space: Option<Arc<Space>>,
}

/// How a new task begins.
pub(crate) enum Start<'a> {
    /// In its program, with these registers.
    Program(&'a TrapFrame, Tls),
    /// In the kernel.
    Kernel(extern "C" fn(usize) -> !, usize),
}

/// `TPIDR_EL0`: where a program keeps its thread-local storage.
#[derive(Clone, Copy)]
pub(crate) struct Tls(pub(crate) u64);

/// Who it is, for the panic report: no lock is waited for.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} of process {}", self.tid, self.process.pid)?;
        self.process.show_exe(f)
    }
}

unsafe extern "C" {
    fn first_run();
}

impl Task {
    /// A task that has not run yet.
    ///
    /// # Errors
    /// [`OutOfMemory`], for the stack or the task itself.
    pub(crate) fn new(tid: u32, parts: Parts, start: Start<'_>) -> Result<Arc<Self>, OutOfMemory> {
        crate::heap::reserve(2 * size_of::<Self>())?;
        let stack = KernelStack::new()?;
        let mut context = Context { sp: stack.top().get(), ..Context::default() };
        context.x19_to_x30[11] = first_run as *const () as u64;
        let mut tls = 0;
        match start {
            Start::Kernel(function, argument) => {
                context.x19_to_x30[0] = function as *const () as u64;
                context.x19_to_x30[1] = argument as u64;
            }
            Start::Program(frame, Tls(value)) => {
                tls = value;
                context.sp -= TrapFrame::SIZE as u64;
                let at: *mut TrapFrame = core::ptr::with_exposed_provenance_mut(context.sp as usize);
                // SAFETY: the top of a fresh stack, mapped and aligned, that nobody uses yet.
                unsafe { at.write(*frame) };
            }
        }
        let (mut vectors, mut keys) = (VectorState::ZERO, Keys::ZERO);
        if matches!(start, Start::Program(..)) {
            vectors.save();
            // Threads share their keys with who made them, and so do processes: pointers are signed already.
            keys = current().keys.get();
        }
        Ok(Arc::new(Self {
            flags: AtomicU32::new(0),
            tid,
            process: parts.process,
            files: parts.files,
            place: parts.place,
            clear_child_tid: AtomicU64::new(0),
            set_child_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            signals: Mutex::new(Rank::Signals, Own::new(Sigset::EMPTY, NO_STACK)),
            interrupted: Cell::new(None),
            remainder: Cell::new(None),
            fault: Cell::new(Fault::NONE),
            vfork: Mutex::new(Rank::Process, None),
            schedule: Schedule::new(),
            usage: Usage::new(),
            space: UnsafeCell::new(parts.space),
            context: UnsafeCell::new(context),
            vectors: UnsafeCell::new(vectors),
            tls: Cell::new(tls),
            keys: Cell::new(keys),
            stack,
        }))
    }

    /// The address space; none for a thread of the kernel. For the task itself.
    #[inline]
    pub(crate) fn space(&self) -> Option<&Arc<Space>> {
        // SAFETY: only the task itself replaces it, in `replace_space`, and the borrow does not outlive its call: the
        // callers are system calls and faults of the task.
        unsafe { (*self.space.get()).as_ref() }
    }

    /// Gives the task, which is the current one, another address space, and answers the old one.
    pub(crate) fn replace_space(&self, new: Option<Arc<Space>>) -> Option<Arc<Space>> {
        debug_assert!(core::ptr::eq(self, current()));
        match &new {
            Some(space) => space.activate(),
            None => crate::space::deactivate(),
        }
        // SAFETY: the task itself, and no borrow from `space()` is live across this call.
        unsafe { core::mem::replace(&mut *self.space.get(), new) }
    }

    /// The registers of the program at its last exception.
    ///
    /// # Safety
    /// The task is the current one, runs a program, and no other reference to its frame is used meanwhile.
    pub(crate) unsafe fn program_frame(&self) -> *mut TrapFrame {
        core::ptr::with_exposed_provenance_mut(self.stack.top().get() as usize - TrapFrame::SIZE)
    }

    /// The address behind the kernel stack.
    pub(crate) fn stack_top(&self) -> VirtAddr {
        self.stack.top()
    }

    /// All of the kernel stack.
    pub(crate) fn stack(&self) -> VirtRange {
        self.stack.range()
    }

    /// Sets bits of [`flag`].
    pub(crate) fn raise(&self, bits: u32) {
        self.flags.fetch_or(bits, Ordering::Release);
    }

    /// Clears bits of [`flag`].
    fn lower(&self, bits: u32) {
        self.flags.fetch_and(!bits, Ordering::Relaxed);
    }

    /// Whether any of these bits of [`flag`] is set.
    fn has(&self, bits: u32) -> bool {
        self.flags.load(Ordering::Acquire) & bits != 0
    }

    /// What the thread blocks.
    pub(crate) fn blocked(&self) -> Sigset {
        self.signals.lock().blocked
    }

    /// It had a fault; for the task itself.
    #[inline]
    pub(crate) fn count_fault(&self) {
        self.usage.fault();
    }

    /// Gives up what belonged to the old program: handlers, the alternate stack, and what a call could go on with.
    pub(crate) fn reset_signals(&self) {
        self.process.signals.lock().reset();
        self.signals.lock().stack = NO_STACK;
        self.remainder.set(None);
        self.fault.set(Fault::NONE);
    }

    /// Whether the task is to end.
    #[inline]
    pub(crate) fn killed(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & flag::KILLED != 0
    }

    /// Tells who waits in `vfork` that the borrowed address space is free.
    pub(crate) fn finish_vfork(&self) {
        let waiting = self.vfork.lock().take();
        if let Some(completion) = waiting {
            completion.complete();
        }
    }

    /// Forgets the program's registers: a new program finds zeroes, and keys that nobody knows.
    pub(crate) fn reset_registers(&self) {
        VectorState::ZERO.restore();
        self.tls.set(0);
        set_tls(0);
        self.renew_keys(KeySet::all());
    }
}

/// Makes a task of the kernel and lets it run; answers its number.
///
/// # Errors
/// [`OutOfMemory`].
pub(crate) fn spawn_kernel(function: extern "C" fn(usize) -> !, argument: usize) -> Result<u32, OutOfMemory> {
    crate::heap::reserve(16 << 10)?;
    sched::admit()?;
    let this = current();
    let tid = process::fresh_id()?;
    let parts =
        Parts { process: this.process.clone(), files: this.files.clone(), place: this.place.clone(), space: None };
    let task = Task::new(tid, parts, Start::Kernel(function, argument)).inspect_err(|_| sched::dismiss())?;
    // The scheduler holds it from here on.
    sched::wake(&task);
    Ok(tid)
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} of process {}", self.tid, self.process.pid)
    }
}

fn set_tls(value: u64) {
    // SAFETY: TPIDR_EL0 belongs to the program.
    unsafe { core::arch::asm!("msr tpidr_el0, {}", in(reg) value, options(nomem, nostack, preserves_flags)) };
}

fn tls() -> u64 {
    let value;
    // SAFETY: a read.
    unsafe { core::arch::asm!("mrs {}, tpidr_el0", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// The task that runs here.
#[inline(always)]
pub(crate) fn current() -> &'static Task {
    // SAFETY: set before the first task runs; a task is kept alive by the scheduler while it is current, and what
    // holds the answer is the task's own call.
    unsafe { &*percpu::this().current.get() }
}

/// The task that runs here, counted.
pub(crate) fn current_arc() -> Arc<Task> {
    let task: *const Task = current();
    // SAFETY: every task was made by `Task::new` in an `Arc`, and the scheduler holds one count of the current one.
    unsafe {
        Arc::increment_strong_count(task);
        Arc::from_raw(task)
    }
}

/// Work on the way back to a program, with interrupts masked (Linux: `do_notify_resume`).
pub(crate) fn before_user(frame: &mut TrapFrame) {
    let task = current();
    loop {
        let flags = task.flags.load(Ordering::Acquire);
        if flags & flag::WATCHED != 0 {
            stretch::point();
        }
        if flags & flag::KILLED != 0 {
            arch::irq::enable();
            exit::exit_killed();
        }
        task.lower(flag::RESCHEDULE | flag::REGISTERS | flag::SIGNAL | flag::NEW);
        if flags & flag::RESCHEDULE != 0 {
            sched::schedule();
        }
        if flags & (flag::SIGNAL | flag::NEW) != 0 {
            arch::irq::enable();
            if flags & flag::NEW != 0 {
                clone::store_own_number(task);
            }
            if flags & flag::SIGNAL != 0 {
                deliver::deliver(frame);
            }
            arch::irq::save();
        }
        if flags & (flag::RESCHEDULE | flag::SIGNAL | flag::NEW) == 0 {
            return;
        }
    }
}
