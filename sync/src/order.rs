//! The run-time lock-order check of debug builds: the ranks each CPU holds, oldest first.

use crate::Rank;

/// More nesting than this is a mistake in itself.
const DEPTH: usize = 12;

struct Held {
    ranks: [Option<Rank>; DEPTH],
    count: usize,
}

impl Held {
    const NONE: Self = Self { ranks: [None; DEPTH], count: 0 };

    fn highest(&self) -> Option<Rank> {
        self.ranks[..self.count].iter().flatten().max().copied()
    }

    fn push(&mut self, rank: Rank) {
        assert!(self.count < DEPTH, "lock order: {DEPTH} locks held, one more wanted: {rank:?}");
        self.ranks[self.count] = Some(rank);
        self.count += 1;
    }

    fn remove(&mut self, rank: Rank) {
        let at = self.ranks[..self.count].iter().rposition(|&held| held == Some(rank));
        let at = at.unwrap_or_else(|| panic!("lock order: {rank:?} released but not held"));
        self.ranks.copy_within(at + 1..self.count, at);
        self.count -= 1;
    }
}

pub(crate) fn taking(rank: Rank) {
    with(|held| {
        if let Some(highest) = held.highest() {
            assert!(highest < rank, "lock order: {rank:?} wanted while {highest:?} is held");
        }
        held.push(rank);
    });
}

pub(crate) fn taking_second(rank: Rank) {
    with(|held| {
        if let Some(highest) = held.highest() {
            assert!(highest <= rank, "lock order: {rank:?} wanted while {highest:?} is held");
        }
        held.push(rank);
    });
}

pub(crate) fn took_without_waiting(rank: Rank) {
    with(|held| held.push(rank));
}

pub(crate) fn released(rank: Rank) {
    with(|held| held.remove(rank));
}

pub(crate) fn assert_none_held() {
    with(|held| assert!(held.count == 0, "lock order: about to wait while {:?} is held", held.highest()));
}

pub(crate) fn forget_held() {
    with(|held| *held = Held::NONE);
}

#[cfg(not(target_os = "none"))]
fn with<R>(act: impl FnOnce(&mut Held) -> R) -> R {
    use std::cell::RefCell;
    std::thread_local!(static HELD: RefCell<Held> = const { RefCell::new(Held::NONE) });
    // A failed check unwinds through here in tests; the list is per thread and goes with it.
    HELD.with(|held| act(&mut held.borrow_mut()))
}

#[cfg(target_os = "none")]
fn with<R>(act: impl FnOnce(&mut Held) -> R) -> R {
    use core::cell::UnsafeCell;

    struct PerCpu(UnsafeCell<[Held; arch::cpu::MAX_CPUS]>);
    // SAFETY: a CPU touches its own element only, with interrupts masked.
    unsafe impl Sync for PerCpu {}
    static HELD: PerCpu = PerCpu(UnsafeCell::new([const { Held::NONE }; arch::cpu::MAX_CPUS]));

    let irq = arch::irq::save();
    // SAFETY: 1. the element belongs to this CPU, and interrupts are masked, so nothing else on it runs meanwhile.
    // 2. `act` is one of the short closures above and takes no lock.
    let held = unsafe { &mut (*HELD.0.get())[arch::cpu::index()] };
    let answer = act(held);
    arch::irq::restore(irq);
    answer
}
