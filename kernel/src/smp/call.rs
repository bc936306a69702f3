//! Calls from CPU to CPU: a function runs there, the caller waits here (Linux: `smp_call_function_single`).
//!
//! Each CPU has an inbox, a list of requests that lie on their callers' stacks; an interrupt says that there are some.
//! No two CPUs can wait for each other for ever, because:
//! 1. a caller holds no lock and lets interrupts in, so it serves others while it waits;
//! 2. a function that is called runs as an interrupt handler does: masked, with locks of rank `WaitQueue` and later
//!    only, never waiting, never calling on. So it ends.
//!
//! The first rule is checked at every call; the second follows from it, because a handler has interrupts masked.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use arch::cpu::MAX_CPUS;
use arrayvec::ArrayVec;

use super::{is_online, online, send, sgi};

/// The CPU that was to be called does not run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NotOnline;

/// One call under way.
struct Request {
    run: fn(usize),
    argument: usize,
    next: AtomicPtr<Request>,
    done: AtomicBool,
}

impl Request {
    const fn new(run: fn(usize), argument: usize) -> Self {
        Self { run, argument, next: AtomicPtr::new(ptr::null_mut()), done: AtomicBool::new(false) }
    }

    /// Puts the request into the inbox of CPU `cpu`, another than this one, and says so there.
    ///
    /// # Safety
    /// The request stays where it is until [`finish`](Self::finish) has returned.
    unsafe fn post(&self, cpu: usize) {
        let this = ptr::from_ref(self).cast_mut();
        // The one who empties the list does it in one step, so a request is never half in it.
        let put = |head| {
            self.next.store(head, Ordering::Relaxed);
            Some(this)
        };
        let _ = INBOXES[cpu].fetch_update(Ordering::Release, Ordering::Relaxed, put);
        send(sgi::CALL, cpu);
    }

    /// Waits until the function has returned.
    fn finish(&self) {
        while !self.done.load(Ordering::Acquire) {
            arch::cpu::relax();
        }
    }
}

/// The requests that wait for each CPU, newest first.
static INBOXES: [AtomicPtr<Request>; MAX_CPUS] = [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];

/// Runs `run(argument)` on CPU `cpu`, with interrupts masked, and waits for its end. What the caller stored before is
/// seen there, and what is stored there is seen here afterwards.
///
/// # Errors
/// [`NotOnline`].
///
/// # Panics
/// Where the caller holds a lock (in debug builds) or has interrupts masked.
pub(crate) fn call(cpu: usize, run: fn(usize), argument: usize) -> Result<(), NotOnline> {
    assert_may_wait();
    if !is_online(cpu) {
        return Err(NotOnline);
    }
    if cpu == arch::cpu::index() {
        run_here(run, argument);
        return Ok(());
    }
    let request = Request::new(run, argument);
    // SAFETY: it is on this stack until `finish` has returned.
    unsafe { request.post(cpu) };
    request.finish();
    Ok(())
}

/// Runs `run` on every CPU that runs, this one too, all at once, with interrupts masked; waits until the last has ended.
///
/// # Panics
/// As [`call`].
pub(crate) fn on_each(run: fn()) {
    fn enter(run: usize) {
        // SAFETY: the address of the function that `on_each` was given.
        let run = unsafe { core::mem::transmute::<*const (), fn()>(ptr::with_exposed_provenance(run)) };
        run();
    }
    assert_may_wait();
    let argument = (run as *const ()).expose_provenance();
    let here = arch::cpu::index();
    let others: ArrayVec<usize, MAX_CPUS> = online().filter(|&cpu| cpu != here).collect();
    let requests = [const { Request::new(enter, 0) }; MAX_CPUS].map(|request| Request { argument, ..request });
    for (request, &cpu) in requests.iter().zip(&others) {
        // SAFETY: it is on this stack until `finish` has returned, below.
        unsafe { request.post(cpu) };
    }
    run_here(enter, argument);
    requests.iter().zip(&others).for_each(|(request, _)| request.finish());
}

fn assert_may_wait() {
    sync::assert_none_held();
    assert!(!arch::irq::flags().masked(), "a call to another CPU with interrupts masked");
}

fn run_here(run: fn(usize), argument: usize) {
    let flags = arch::irq::save();
    run(argument);
    arch::irq::restore(flags);
}

/// The interrupt handler: serves everything in this CPU's inbox.
pub(super) fn serve() {
    let mut next = INBOXES[arch::cpu::index()].swap(ptr::null_mut(), Ordering::Acquire);
    // SAFETY: a request in the list stays where it is until `done` is set; `next` is read before that.
    while let Some(request) = unsafe { next.as_ref() } {
        next = request.next.load(Ordering::Relaxed);
        (request.run)(request.argument);
        request.done.store(true, Ordering::Release);
    }
}
