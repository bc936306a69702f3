//! Tasks: who runs, who waits, and for how long.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use units::{ByteLen, VirtAddr, VirtRange};

use crate::task::wait::{Completion, Ended, WaitQueue, sleep_until};
use crate::task::{self, exit, sched, stack};
use crate::testing::kernel_test;
use crate::timer;

type Job = Box<dyn FnOnce() + Send>;

extern "C" fn run_job(argument: usize) -> ! {
    arch::irq::enable();
    // SAFETY: the address that `spawn` took out of a box, once.
    let job = unsafe { Box::from_raw(core::ptr::with_exposed_provenance_mut::<Job>(argument)) };
    job();
    exit::end_kernel_task()
}

fn spawn(job: impl FnOnce() + Send + 'static) {
    let job: Job = Box::new(job);
    let argument = Box::into_raw(Box::new(job)).expose_provenance();
    task::spawn_kernel(run_job, argument).unwrap();
}

kernel_test! {
    /// After all that the other tests did, every stack still has a quarter that nobody touched.
    fn a_quarter_of_every_stack_is_untouched() last {
        let deepest = stack::deepest();
        // Less would mean that it is not measured.
        assert!(deepest > 1024, "{deepest} bytes used at most");
        assert!(deepest <= stack::SIZE / 4 * 3, "{deepest} of {} bytes used", stack::SIZE);
    }

    /// How much of a stack was used is told to the word.
    fn the_use_of_a_stack_is_measured() {
        let mut words = [0_u64; 512];
        let start = VirtAddr::new(words.as_ptr().expose_provenance() as u64);
        let range = VirtRange::with_len(start, ByteLen::new(4096)).unwrap();
        assert_eq!(stack::used(range), 0);
        for (lowest, used) in [(511, 8), (300, 212 * 8), (400, 212 * 8), (0, 4096)] {
            core::hint::black_box(&mut words)[lowest] = 1;
            assert_eq!(stack::used(range), used);
        }
        let here = task::current().stack();
        assert!((4096..=stack::SIZE).contains(&stack::used(here)), "{} bytes", stack::used(here));
    }

    /// Tasks that give way take turns.
    fn tasks_take_turns() {
        static TURNS: AtomicU32 = AtomicU32::new(0);
        let done = Arc::new(Completion::new());
        let other = done.clone();
        spawn(move || {
            for _ in 0..100 {
                TURNS.fetch_add(1, Ordering::Relaxed);
                sched::yield_now();
            }
            other.complete();
        });
        while TURNS.load(Ordering::Relaxed) < 100 {
            sched::yield_now();
        }
        done.wait().unwrap();
    }

    /// Who waits is woken by who makes it true.
    fn a_wait_ends_when_the_condition_holds() {
        static QUEUE: WaitQueue = WaitQueue::new();
        static VALUE: AtomicU32 = AtomicU32::new(0);
        spawn(|| {
            for value in 1..=5 {
                VALUE.store(value, Ordering::Release);
                QUEUE.wake_all();
                sched::yield_now();
            }
        });
        let value = QUEUE.wait_until(|| Some(VALUE.load(Ordering::Acquire)).filter(|value| *value == 5));
        assert_eq!(value, Ok(5));
    }

    /// A wait with a deadline ends by it.
    fn a_wait_ends_at_its_deadline() {
        let queue = WaitQueue::new();
        let deadline = timer::now() + Duration::from_millis(3);
        assert_eq!(queue.wait_until_deadline(Some(deadline), || None::<()>), Err(Ended::TimedOut));
        assert!(timer::now() >= deadline);
    }

    /// Sleepers wake in the order of their times, not of their calls.
    fn sleepers_wake_in_order() {
        static ORDER: AtomicU32 = AtomicU32::new(0);
        let done: [Arc<Completion>; 3] = core::array::from_fn(|_| Arc::new(Completion::new()));
        let start = timer::now();
        for (index, millis) in [(0u32, 9u64), (1, 3), (2, 6)] {
            let done = done[index as usize].clone();
            spawn(move || {
                sleep_until(start + Duration::from_millis(millis)).unwrap();
                ORDER.store(ORDER.load(Ordering::Relaxed) * 10 + index + 1, Ordering::Relaxed);
                done.complete();
            });
        }
        done.iter().for_each(|done| done.wait().unwrap());
        assert_eq!(ORDER.load(Ordering::Relaxed), 231);
    }

    /// Stacks of tasks that ended are used again: many tasks take no more memory than a few.
    fn ended_tasks_give_their_memory_back() {
        let round = || {
            let done = Arc::new(Completion::new());
            for left in (0..8).rev() {
                let done = done.clone();
                spawn(move || if left == 0 { done.complete() });
            }
            done.wait().unwrap();
            // The last ones end on the way to the next task.
            sleep_until(timer::now() + Duration::from_millis(1)).unwrap();
        };
        round();
        let before = (crate::frames::usage().0, crate::heap::usage().0);
        (0..20).for_each(|_| round());
        assert_eq!((crate::frames::usage().0, crate::heap::usage().0), before);
    }

    /// A lock that is held when a task waits is caught.
    fn waiting_with_a_lock_held_is_caught() dies {
        static LOCK: sync::Mutex<()> = sync::Mutex::new(sync::Rank::Files, ());
        let _held = LOCK.lock();
        if cfg!(debug_assertions) {
            sched::yield_now();
        }
        panic!("only builds with checks look");
    }
}
