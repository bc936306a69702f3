//! All CPUs of the machine: each is there, has what is its own, and does what it is asked.

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use arch::cpu::MAX_CPUS;
use boot::BootMode;
use platform::fdt::{AFFINITY, Interrupt, Trigger};

use crate::smp::{self, NotOnline};
use crate::task::wait::WaitQueue;
use crate::task::{self, stack};
use crate::testing::kernel_test;
use crate::{irq, layout, percpu, start, timer};

/// How long anything here may take, at most: for a machine that hangs, not for one that is slow.
const LIMIT: Duration = Duration::from_secs(60);

/// What every CPU says of itself, by its number.
type Answers = [AtomicU64; MAX_CPUS];

/// Has every CPU answer `question`, and gives the answers with the CPUs' numbers.
fn ask(question: fn() -> u64) -> impl Iterator<Item = (usize, u64)> {
    static QUESTION: AtomicUsize = AtomicUsize::new(0);
    static ANSWERS: Answers = [const { AtomicU64::new(0) }; MAX_CPUS];
    QUESTION.store((question as *const ()).expose_provenance(), Ordering::Relaxed);
    smp::on_each(|| {
        let question = core::ptr::with_exposed_provenance::<()>(QUESTION.load(Ordering::Relaxed));
        // SAFETY: the function stored above.
        let question = unsafe { core::mem::transmute::<*const (), fn() -> u64>(question) };
        ANSWERS[arch::cpu::index()].store(question(), Ordering::Relaxed);
    });
    smp::online().map(|cpu| (cpu, ANSWERS[cpu].load(Ordering::Relaxed)))
}

/// Waits until `condition` holds.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = timer::now();
    while !condition() {
        assert!(timer::now() - start < LIMIT, "{what}");
        arch::cpu::relax();
    }
}

kernel_test! {
    /// Every CPU that the tree names runs, and the first is the one that booted.
    fn all_cpus_of_the_tree_run() {
        let platform = start::platform();
        assert_eq!(smp::online().count(), platform.cpus.len());
        assert!(smp::online().all(|cpu| platform.cpus.iter().any(|one| Some(one.mpidr) == smp::affinity(cpu))));
        assert!(!smp::is_online(MAX_CPUS));
    }

    /// Each CPU knows its number and sits where the tree says.
    fn each_cpu_is_the_one_it_takes_itself_for() {
        assert!(ask(|| arch::cpu::index() as u64).all(|(cpu, index)| index == cpu as u64));
        assert!(ask(|| arch::cpu::mpidr() & AFFINITY).all(|(cpu, affinity)| Some(affinity) == smp::affinity(cpu)));
    }

    /// Each CPU has a block, a stack and an overflow stack that no other has, the stacks mapped down to a guard.
    fn each_cpu_has_its_own_block_and_stacks() {
        let block = || arch::cpu::block::<u8>().addr() as u64;
        fn stack_here() -> u64 {
            let local = core::hint::black_box(0_u8);
            (core::ptr::from_ref(&local).addr() as u64 - 1) / stack::SLOT
        }
        for question in [block as fn() -> u64, stack_here, || percpu::this().overflow_stack.get() / stack::SLOT] {
            let answers: alloc::vec::Vec<_> = ask(question).collect();
            for (cpu, answer) in &answers {
                assert_ne!(*answer, 0);
                assert!(answers.iter().all(|(other, same)| other == cpu || same != answer), "CPU {cpu}");
            }
        }
    }

    /// Each CPU has a redistributor that no other has, among the GIC's registers.
    fn each_cpu_has_its_own_redistributor() {
        let all: alloc::vec::Vec<_> = smp::online().map(|cpu| irq::redistributor_of(cpu).unwrap()).collect();
        for (index, &registers) in all.iter().enumerate() {
            assert!(!all[..index].contains(&registers));
            assert_eq!(layout::describe(registers), "the registers of the GIC's redistributors");
        }
        let absent = (0..=MAX_CPUS).find(|&cpu| !smp::is_online(cpu));
        assert!(absent.is_some_and(|cpu| irq::redistributor_of(cpu).is_none()));
    }

    /// `current()` holds everywhere: the others run idle tasks of their own.
    fn each_cpu_has_a_task() {
        let here = arch::cpu::index();
        for (cpu, tid) in ask(|| u64::from(task::current().tid)) {
            assert_eq!(tid == 0, cpu != here, "CPU {cpu} runs task {tid}");
        }
    }

    /// The system registers are the same on every CPU.
    fn every_cpu_is_set_up_alike() {
        let empty = crate::paging::image_phys(layout::reserved_pg_dir()).get();
        for question in [arch::cpu::sctlr as fn() -> u64, arch::cpu::tcr, arch::cpu::ttbr1, || arch::cpu::ttbr0()] {
            let mut answers = ask(question);
            let (_, first) = answers.next().unwrap();
            assert!(answers.all(|(_, answer)| answer == first));
        }
        assert!(ask(arch::cpu::ttbr0).all(|(_, root)| root & mm::desc::ADDRESS_MASK == empty), "the identity map is live");
    }

    /// All were entered at the same level; flags that say otherwise are seen.
    fn the_boot_modes_agree() {
        assert!(!boot::is_hyp_mode_mismatched());
        let (el1, el2) = (0xe11, 0xe12);
        assert_eq!((BootMode::of([el1; 2]), BootMode::of([el2; 2])), (BootMode::El1, BootMode::El2));
        // As they begin, when CPUs of both kinds came, and what nobody writes.
        for flags in [[el2, el1], [el1, el2], [0, 0]] {
            assert_eq!(BootMode::of(flags), BootMode::Mismatched);
        }
    }

    /// A call runs where it is sent, and is over when it returns.
    fn a_call_runs_on_the_cpu_that_is_meant() {
        static SEEN: AtomicUsize = AtomicUsize::new(0);
        for round in 0..200 {
            for cpu in smp::online() {
                let run = |argument| SEEN.store(argument * MAX_CPUS + arch::cpu::index(), Ordering::Relaxed);
                assert_eq!(smp::call(cpu, run, round), Ok(()));
                assert_eq!(SEEN.load(Ordering::Relaxed), round * MAX_CPUS + cpu);
            }
        }
        assert_eq!(smp::call(MAX_CPUS, |_| (), 0), Err(NotOnline));
        let absent = (0..MAX_CPUS).find(|&cpu| !smp::is_online(cpu));
        assert!(absent.is_none_or(|cpu| smp::call(cpu, |_| unreachable!("nobody is there"), 0) == Err(NotOnline)));
    }

    /// `on_each` runs once on every CPU.
    fn a_call_to_all_reaches_each_once() {
        static COUNTS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];
        for _ in 0..200 {
            smp::on_each(|| _ = COUNTS[arch::cpu::index()].fetch_add(1, Ordering::Relaxed));
        }
        for (cpu, count) in COUNTS.iter().enumerate() {
            assert_eq!(count.load(Ordering::Relaxed), if smp::is_online(cpu) { 200 } else { 0 });
        }
    }

    /// The timer of each CPU goes off there.
    fn the_timer_fires_on_each_cpu() {
        let others = || smp::online().filter(|&cpu| cpu != arch::cpu::index());
        for cpu in others() {
            let before = percpu::timer_interrupts(cpu);
            smp::call(cpu, |_| timer::set_deadline(Some(timer::now())), 0).unwrap();
            wait_until("the timer did not fire", || percpu::timer_interrupts(cpu) > before);
            assert_eq!(percpu::timer_interrupts(cpu), before + 1);
        }
    }

    /// A task that waits is woken from any CPU.
    fn any_cpu_wakes_a_task() {
        const ID: u32 = 13;
        static QUEUE: WaitQueue = WaitQueue::new();
        static SAID: AtomicUsize = AtomicUsize::new(usize::MAX);
        fn handler() {
            // Meanwhile the task begins to wait, and its CPU sleeps.
            let start = timer::now();
            while timer::now() - start < Duration::from_millis(3) {}
            SAID.store(arch::cpu::index(), Ordering::Release);
            QUEUE.wake_all();
        }
        irq::register(Interrupt { id: ID, trigger: Trigger::Edge }, handler).unwrap();
        for cpu in smp::online().filter(|&cpu| cpu != arch::cpu::index()) {
            // Sent to oneself, it is taken when the call has ended.
            let run = |_| irq::enable(ID).and_then(|()| irq::send(ID, arch::cpu::mpidr() & AFFINITY)).unwrap();
            smp::call(cpu, run, 0).unwrap();
            let said = QUEUE.wait_until(|| Some(SAID.load(Ordering::Acquire)).filter(|&said| said == cpu));
            assert_eq!(said, Ok(cpu));
        }
    }

    /// A panic on another CPU than the first, in a function that is called there.
    fn a_panic_on_another_cpu() ends {
        let last = smp::online().last().unwrap();
        let answer = smp::call(last, |_| panic!("far from home"), 0);
        unreachable!("{answer:?}");
    }

    /// All CPUs panic at once.
    fn a_panic_on_every_cpu() ends {
        smp::on_each(|| panic!("all together"));
    }

    /// The stack of another CPU is used up.
    fn a_stack_overflow_on_another_cpu() ends {
        #[expect(unconditional_recursion, reason = "until the stack is full")]
        fn deeper(depth: &mut [u64; 64]) -> u64 {
            let mut next = core::hint::black_box([depth[0] + 1; 64]);
            deeper(&mut next) + core::hint::black_box(next[1])
        }
        let last = smp::online().last().unwrap();
        let run = |_| _ = core::hint::black_box(deeper(&mut [0; 64]));
        let answer = smp::call(last, run, 0);
        unreachable!("{answer:?}");
    }

    /// A CPU that lets no interrupt in does not stop, and the report comes all the same.
    fn a_panic_while_another_cpu_is_deaf() ends {
        static DEAF: AtomicU32 = AtomicU32::new(0);
        const ID: u32 = 12;
        fn handler() {
            DEAF.store(1, Ordering::Release);
            loop {
                arch::cpu::relax();
            }
        }
        irq::register(Interrupt { id: ID, trigger: Trigger::Edge }, handler).unwrap();
        let last = smp::online().last().unwrap();
        smp::call(last, |_| irq::enable(ID).and_then(|()| irq::send(ID, arch::cpu::mpidr() & AFFINITY)).unwrap(), 0)
            .unwrap();
        wait_until("the other CPU is not deaf", || DEAF.load(Ordering::Acquire) != 0);
        panic!("nobody listens");
    }

    /// A call with a lock held is caught, before it can wait for ever.
    fn a_call_with_a_lock_held_is_caught() dies {
        static LOCK: sync::Mutex<()> = sync::Mutex::new(sync::Rank::Files, ());
        let _held = LOCK.lock();
        smp::on_each(|| ());
    }
}
