//! Tests and benches inside the kernel: collected by the linker, each in a task of its own.
//!
//! A test that panics or faults ends its task and counts as failed; the next one runs. What it locked stays locked, so
//! a test that shows a fault holds nothing while it does.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use linkme::distributed_slice;
use platform::cmdline::Filter;

use crate::console::say;
use crate::task;
use crate::task::wait::Completion;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// One test.
pub(crate) struct KernelTest {
    /// `room::what it shows`.
    pub(crate) name: &'static str,
    /// The test itself.
    pub(crate) run: fn(),
    /// How it ends when all is well.
    pub(crate) end: End,
}

/// How a test ends when all is well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It returns.
    Returns,
    /// The same, and it runs after all others: it is about what they left.
    ReturnsLast,
    /// Its task dies: a panic or a fault is what is expected, and is not reported.
    Dies,
    /// The machine does, with the report of a panic, for a test of the whole machine to read. It runs only where the command
    /// line gives its full name, and alone.
    Machine,
}

/// Every test of the kernel.
#[distributed_slice]
pub(crate) static KERNEL_TESTS: [KernelTest];

/// Adds tests: `kernel_test! { /// what it shows \n fn name() { .. } }`; `fn name() dies { .. }` for one that shows a
/// fault or a panic, `fn name() ends { .. }` for one that ends the machine, `fn name() last { .. }` for one that runs last.
macro_rules! kernel_test {
    (@end) => { $crate::testing::End::Returns };
    (@end last) => { $crate::testing::End::ReturnsLast };
    (@end dies) => { $crate::testing::End::Dies };
    (@end ends) => { $crate::testing::End::Machine };
    ($($(#[$doc:meta])* fn $name:ident() $($end:ident)? $body:block)*) => {
        $(
            $(#[$doc])*
            fn $name() $body

            const _: () = {
                #[linkme::distributed_slice($crate::testing::KERNEL_TESTS)]
                static TEST: $crate::testing::KernelTest = $crate::testing::KernelTest {
                    name: concat!(module_path!(), "::", stringify!($name)),
                    run: $name,
                    end: $crate::testing::kernel_test!(@end $($end)?),
                };
            };
        )*
    };
}
pub(crate) use kernel_test;

/// The outcome of the test whose task this is; where a task has none, a panic is the kernel's.
struct Running {
    tid: AtomicU32,
    died: AtomicBool,
    dies: AtomicBool,
}

static RUNNING: Running =
    Running { tid: AtomicU32::new(0), died: AtomicBool::new(false), dies: AtomicBool::new(false) };

/// Runs the tests that `filter` takes, one line each, and the closing line; answers how many failed.
pub(crate) fn run(filter: Filter<'_>) -> usize {
    let (mut passed, mut failed) = (0, 0);
    let (last, others): (Vec<_>, Vec<_>) = KERNEL_TESTS.iter().partition(|test| test.end == End::ReturnsLast);
    for test in others.into_iter().chain(last) {
        let name = test.name.strip_prefix("vitrine_kernel::tests::").unwrap_or(test.name);
        if !filter.takes(name) || test.end == End::Machine && !filter.is(name) {
            continue;
        }
        say(format_args!("test {name} ... "));
        if run_one(test) {
            passed += 1;
            say(format_args!("ok\n"));
        } else {
            failed += 1;
            say(format_args!("FAILED\n"));
        }
    }
    say(format_args!("{passed} passed, {failed} failed\n"));
    failed
}

struct Job {
    run: fn(),
    done: Arc<Completion>,
}

fn run_one(test: &KernelTest) -> bool {
    RUNNING.died.store(false, Ordering::Relaxed);
    RUNNING.dies.store(test.end == End::Dies, Ordering::Relaxed);
    let done = Arc::new(Completion::new());
    let job = alloc::boxed::Box::new(Job { run: test.run, done: done.clone() });
    let argument = alloc::boxed::Box::into_raw(job).addr();
    match task::spawn_kernel(test_task, argument) {
        // The panic of a test that ends the machine is the kernel's.
        Ok(_) if test.end == End::Machine => {}
        Ok(tid) => RUNNING.tid.store(tid, Ordering::Relaxed),
        Err(error) => {
            say(format_args!("no task: {error:?} "));
            return false;
        }
    }
    *DONE.lock() = Some(done.clone());
    let waited = done.wait();
    RUNNING.tid.store(0, Ordering::Relaxed);
    waited.is_ok() && RUNNING.died.load(Ordering::Relaxed) == (test.end == End::Dies)
}

/// The completion of the running test, for the panic that ends it early.
static DONE: sync::Mutex<Option<Arc<Completion>>> = sync::Mutex::new(sync::Rank::Process, None);

extern "C" fn test_task(argument: usize) -> ! {
    arch::irq::enable();
    // SAFETY: the address `run_one` took out of a box, once.
    let job = unsafe { alloc::boxed::Box::from_raw(core::ptr::with_exposed_provenance_mut::<Job>(argument)) };
    (job.run)();
    finish(job.done.clone());
    drop(job);
    task::exit::end_kernel_task()
}

fn finish(done: Arc<Completion>) {
    done.complete();
}

/// Whether the task that runs here is the running test's.
pub(crate) fn in_test() -> bool {
    // SAFETY: null, or the task that runs here.
    let task = unsafe { crate::percpu::current_or_null().as_ref() };
    let tid = RUNNING.tid.load(Ordering::Relaxed);
    tid != 0 && task.is_some_and(|task| task.tid == tid)
}

/// Whether a panic here is what a test is about, and needs no report.
pub(crate) fn expects_death() -> bool {
    in_test() && RUNNING.dies.load(Ordering::Relaxed)
}

/// Called by the panic handler: where a test's task panicked, ends the task and never returns.
pub(crate) fn fail_running_test() {
    if !in_test() {
        return;
    }
    RUNNING.died.store(true, Ordering::Relaxed);
    // SAFETY: the task's guards are never dropped: it does not return from here.
    unsafe { sync::forget_held() };
    arch::irq::enable();
    let done = DONE.lock().take();
    if let Some(done) = done {
        finish(done);
    }
    task::exit::end_kernel_task()
}
