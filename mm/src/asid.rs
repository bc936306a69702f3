//! Numbers for address spaces in the TLB, of which there are fewer than spaces (Linux: `arch/arm64/mm/context.c`).
//!
//! A space keeps its number as long as it can. When all are given out a new *generation* begins: every number is free
//! again but those of the spaces that run at this moment, and each CPU drops its whole TLB before it runs the next. A
//! space of an older generation gets a new number, its old one where that is still free, when it runs again.
//!
//! A switch to a space of the current generation takes no lock. It says, by one compare-exchange on the CPU's `active`
//! word, that the number runs here; a new generation takes that word away (it leaves 0), and whoever finds 0 goes the
//! long way.

use core::sync::atomic::{AtomicU64, Ordering};

use sync::{Mutex, Rank};

use crate::seams::Asid;

/// Bits of a number, at most.
const BITS: u32 = 16;
/// The number, of what a [`Context`] keeps.
const NUMBER: u64 = (1 << BITS) - 1;
/// The first generation; 0 is none.
const FIRST: u64 = 1 << BITS;
const WORDS: usize = 1 << (BITS - 6);

/// A space's number and the generation it is of.
#[derive(Debug, Default)]
pub struct Context(AtomicU64);

impl Context {
    /// A space that has not run yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The number under which a TLB may know the space; `None` while it has not run. It is right as long as the space runs
    /// somewhere; of one that does not, no TLB is asked before it has been given a new one.
    pub fn asid(&self) -> Option<Asid> {
        let value = self.0.load(Ordering::Acquire);
        (value != 0).then(|| Asid::new((value & NUMBER) as u16))
    }
}

struct State<const CPUS: usize> {
    used: [u64; WORDS],
    /// What ran on each CPU when the generation began: still its own.
    reserved: [u64; CPUS],
    /// CPUs that have to drop their TLB before they run anything.
    stale: [bool; CPUS],
    /// Where the search for a free number goes on.
    next: u64,
    /// Numbers there are, with 0, which is nobody's.
    count: u64,
}

/// The numbers of a machine with so many CPUs at most.
pub struct Asids<const CPUS: usize> {
    generation: AtomicU64,
    /// What runs on each CPU; 0 since a new generation began.
    active: [AtomicU64; CPUS],
    state: Mutex<State<CPUS>>,
}

impl<const CPUS: usize> Default for Asids<CPUS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const CPUS: usize> Asids<CPUS> {
    /// All of them free; eight bits until [`set_count`](Self::set_count) says more.
    pub const fn new() -> Self {
        let state = State { used: [0; WORDS], reserved: [0; CPUS], stale: [false; CPUS], next: 1, count: 1 << 8 };
        Self {
            generation: AtomicU64::new(FIRST),
            active: [const { AtomicU64::new(0) }; CPUS],
            state: Mutex::new(Rank::Asids, state),
        }
    }

    /// Says how many numbers every CPU knows: 256 or 65,536. Before the first space runs.
    pub fn set_count(&self, count: u64) {
        self.state.lock().count = count.clamp(2 + CPUS as u64, 1 << BITS);
    }

    /// `check_and_switch_context`: the number under which the space of `context` runs on `cpu`, the CPU that calls this, from
    /// now on. `drop_tlb` drops everything this CPU's TLB knows of programs; it is called where that has to be.
    pub fn switch(&self, context: &Context, cpu: usize, drop_tlb: impl FnOnce()) -> Asid {
        let value = context.0.load(Ordering::Acquire);
        let active = &self.active[cpu];
        let old = active.load(Ordering::Relaxed);
        let current = (value ^ self.generation.load(Ordering::Relaxed)) >> BITS == 0;
        if old != 0 && current && active.compare_exchange(old, value, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return number(value);
        }
        self.switch_slowly(context, cpu, drop_tlb)
    }

    #[cold]
    fn switch_slowly(&self, context: &Context, cpu: usize, drop_tlb: impl FnOnce()) -> Asid {
        let mut state = self.state.lock();
        let mut value = context.0.load(Ordering::Acquire);
        if (value ^ self.generation.load(Ordering::Relaxed)) >> BITS != 0 {
            value = self.new_context(&mut state, value);
            context.0.store(value, Ordering::Release);
        }
        if core::mem::take(&mut state.stale[cpu]) {
            drop_tlb();
        }
        self.active[cpu].store(value, Ordering::Relaxed);
        number(value)
    }

    /// `new_context`: a number of the current generation for a space that had `old`, or none.
    fn new_context(&self, state: &mut State<CPUS>, old: u64) -> u64 {
        let mut generation = self.generation.load(Ordering::Relaxed);
        if old != 0 {
            let same = generation | old & NUMBER;
            // It ran when the generation began, perhaps on several CPUs: the number is its own already.
            let mut kept = false;
            for reserved in state.reserved.iter_mut().filter(|reserved| **reserved == old) {
                *reserved = same;
                kept = true;
            }
            if kept || state.take(old & NUMBER) {
                return same;
            }
        }
        let free = state.take_next().or_else(|| {
            generation += FIRST;
            self.begin(state, generation);
            state.take_next()
        });
        generation | free.unwrap_or_else(|| unreachable!("there are more numbers than CPUs"))
    }

    /// `flush_context`: the generation that begins when no number is left.
    fn begin(&self, state: &mut State<CPUS>, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
        state.used = [0; WORDS];
        state.next = 1;
        for (cpu, active) in self.active.iter().enumerate() {
            // A CPU that was here before and has run nothing since keeps what it had then.
            let ran = match active.swap(0, Ordering::Relaxed) {
                0 => state.reserved[cpu],
                ran => ran,
            };
            state.reserved[cpu] = ran;
            if ran != 0 {
                state.take(ran & NUMBER);
            }
        }
        state.stale = [true; CPUS];
    }
}

impl<const CPUS: usize> State<CPUS> {
    /// Takes this number; whether it was free.
    fn take(&mut self, number: u64) -> bool {
        let (word, bit) = (&mut self.used[number as usize / 64], 1 << (number % 64));
        let free = *word & bit == 0;
        *word |= bit;
        free
    }

    /// Takes the next free number; none are looked for twice in a generation.
    fn take_next(&mut self) -> Option<u64> {
        while self.next < self.count {
            let number = self.next;
            self.next += 1;
            if self.take(number) {
                return Some(number);
            }
        }
        None
    }
}

fn number(value: u64) -> Asid {
    Asid::new((value & NUMBER) as u16)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const CPUS: usize = 3;

    /// CPUs whose TLBs keep what they met under each number, and which space that was.
    struct Machine {
        asids: Asids<CPUS>,
        spaces: Vec<Context>,
        tlb: [HashMap<u16, usize>; CPUS],
        runs: [Option<usize>; CPUS],
        drops: usize,
    }

    impl Machine {
        fn new(spaces: usize, numbers: u64) -> Self {
            let asids = Asids::new();
            asids.set_count(numbers);
            let spaces = (0..spaces).map(|_| Context::new()).collect();
            Self { asids, spaces, tlb: Default::default(), runs: [None; CPUS], drops: 0 }
        }

        fn run(&mut self, cpu: usize, space: usize) {
            let (tlb, drops) = (&mut self.tlb[cpu], &mut self.drops);
            let asid = self.asids.switch(&self.spaces[space], cpu, || {
                tlb.clear();
                *drops += 1;
            });
            assert_ne!(asid, Asid::GLOBAL);
            assert_eq!(self.spaces[space].asid(), Some(asid));
            let known = self.tlb[cpu].insert(asid.get(), space);
            assert!(known.is_none_or(|known| known == space), "CPU {cpu} knows {asid:?} as another space's");
            self.runs[cpu] = Some(space);
            for other in 0..CPUS {
                if let Some(running) = self.runs[other].filter(|running| *running != space) {
                    assert_ne!(self.spaces[running].asid(), Some(asid), "two spaces run under one number");
                }
            }
        }
    }

    #[test]
    fn a_space_keeps_its_number_while_it_can() {
        let mut machine = Machine::new(5, 8);
        machine.run(0, 0);
        let first = machine.spaces[0].asid();
        machine.run(0, 1);
        machine.run(1, 0);
        assert_eq!((machine.spaces[0].asid(), machine.drops), (first, 0));
        assert_ne!(machine.spaces[1].asid(), first);
        assert_eq!(machine.spaces[2].asid(), None);
    }

    #[test]
    fn a_new_generation_leaves_the_running_ones_alone() {
        let mut machine = Machine::new(20, 8);
        machine.run(1, 0);
        machine.run(2, 0);
        let kept = machine.spaces[0].asid();
        for space in 1..20 {
            machine.run(0, space);
        }
        assert!(machine.drops >= 2, "20 spaces, 7 numbers");
        assert_eq!(machine.spaces[0].asid(), kept);
        machine.run(1, 0);
        machine.run(2, 0);
        assert_eq!(machine.spaces[0].asid(), kept, "on both CPUs");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_tlb_takes_one_space_for_another(steps in prop::collection::vec((0..CPUS, 0usize..30), 1..400)) {
            let mut machine = Machine::new(30, 9);
            for (cpu, space) in steps {
                machine.run(cpu, space);
            }
        }
    }
}
