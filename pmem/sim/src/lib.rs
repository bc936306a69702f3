//! A medium whose plug can be pulled.
//!
//! [`SimMedium`] is memory behind a cache, as persistent memory is. It knows of each 8-byte word what is durable and
//! which values were stored since, and of each 64-byte line which of them are on their way. [`SimMedium::crash_states`]
//! gives the media a power cut could leave at this moment, and [`SimMedium::on_fence`] calls back at every moment worth
//! asking. [`SimMedium::inject`] puts in the faults that an exploration has to find.
//!
//! What a cut may leave: every aligned 8-byte word, whatever line it lies in, holds what was durable or any value stored
//! since, on its own. A word is durable with the value it had when its line was cleaned, once a fence came behind that,
//! of the same CPU ([`SimMedium::on_cpu`]).
//! Between two fences the choice only grows, so the moment before a fence stands for all moments since the last one.
//! Poison is the medium's own: a sector that cannot be read ([`SimMedium::set_bad`]) stays so across a cut, a store does
//! not heal it, and a recovery write does. [`SimCells`] is the same medium without a list of what is bad.
//!
//! Read on: [`cells`] is the memory itself, [`image`] memory that is cheap to copy, [`pending`] what is not durable, [`crash`] the choices of a cut.

mod cells;
mod crash;
mod image;
mod pending;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pmem::badblocks::{BadRange, Badblocks, BadblocksError};
use pmem::medium::{BadAddress, CopyError, MediaError, Medium, Sink, Source};
use units::{ByteLen, PAGE_SIZE, Pfn, PmOff, SECTOR_SIZE, Sector};

pub use cells::SimCells;
pub use crash::CrashStates;
use image::{Image, each_word};
use pending::Pending;

/// Bytes in a cache line: the unit that is cleaned.
pub const LINE_SIZE: u64 = 64;
/// Bytes that reach the medium together or not at all.
pub const WORD_SIZE: u64 = 8;

/// A persistence step to leave out, counted from the moment of [`SimMedium::inject`]; 0 is the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The whole of one clean.
    DropClean(u64),
    /// One line of the cleans: an unaligned edge forgotten.
    DropLine(u64),
    /// One fence.
    DropFence(u64),
}

/// What has been done to a medium since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Calls of `store`, `store_from` and `zero`.
    pub stores: u64,
    /// Calls of `clean`.
    pub cleans: u64,
    /// Lines cleaned.
    pub lines_cleaned: u64,
    /// Calls of `fence`.
    pub fences: u64,
}

/// What is called before a fence takes effect: the medium, and how many fences were before.
type Hook = Box<dyn FnMut(&SimMedium, u64) + Send>;

/// A handle on a simulated medium; a clone is the same medium.
#[derive(Clone)]
pub struct SimMedium {
    shared: Arc<Mutex<State>>,
    len: ByteLen,
    /// Who cleans and fences by this handle.
    cpu: u32,
}

struct State {
    /// What the CPU sees.
    now: Image,
    pending: Pending,
    counts: Counts,
    faults: Vec<Fault>,
    badblocks: Badblocks,
    hook: Option<Hook>,
}

impl SimMedium {
    /// A medium of zeros, all durable.
    ///
    /// # Panics
    /// Where `len` is no multiple of the page size.
    pub fn new(len: ByteLen) -> Self {
        Self::from_image(Image::new(len))
    }

    /// A medium that durably holds `bytes`, filled up with zeros to a whole page.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut image = Image::new(ByteLen::new((bytes.len() as u64).next_multiple_of(PAGE_SIZE)));
        image.write(0, bytes);
        Self::from_image(image)
    }

    fn from_image(image: Image) -> Self {
        let len = image.len();
        let state = State {
            pending: Pending::new(image.clone()),
            now: image,
            counts: Counts::default(),
            faults: Vec::new(),
            badblocks: Badblocks::new(len.get() / SECTOR_SIZE),
            hook: None,
        };
        Self { shared: Arc::new(Mutex::new(state)), len, cpu: 0 }
    }

    /// The same medium as `cpu` uses it: a fence completes the cleans of its own CPU alone. Other handles are CPU 0's.
    #[must_use]
    pub fn on_cpu(&self, cpu: u32) -> Self {
        Self { cpu, ..self.clone() }
    }

    /// Whether a fence by this handle would make anything durable.
    pub fn is_fence_due(&self) -> bool {
        self.state().pending.is_fence_due(self.cpu)
    }

    /// The medium as it is when all that was stored has made it.
    pub fn settled(&self) -> Self {
        let state = self.state();
        Self::from_image(state.now.clone()).with_bad(state.badblocks.clone())
    }

    /// Another medium in the same state, pending stores included; hook, faults and counts stay behind.
    pub fn fork(&self) -> Self {
        let state = self.state();
        let copy = Self::from_image(state.now.clone());
        {
            let mut other = copy.state();
            other.pending = state.pending.clone();
            other.badblocks = state.badblocks.clone();
        }
        copy
    }

    /// Every byte as the CPU sees it.
    pub fn bytes(&self) -> Vec<u8> {
        self.state().now.to_vec()
    }

    /// Every byte as the worst power cut leaves it: only what is durable for certain.
    pub fn durable_bytes(&self) -> Vec<u8> {
        self.state().pending.durable().to_vec()
    }

    /// A number that tells content from other content: the CPU's view of every byte goes into it.
    pub fn content_hash(&self) -> u64 {
        self.state().now.hash()
    }

    /// Overwrites bytes behind everybody's back, durably at once: a rotten bit, a foreign tool.
    pub fn corrupt(&self, at: PmOff, bytes: &[u8]) {
        let mut state = self.state();
        state.now.write(at.get(), bytes);
        state.pending.overwrite(at.get(), bytes);
    }

    /// Makes sectors unreadable.
    ///
    /// # Errors
    /// [`BadblocksError`] where they do not lie on the medium.
    pub fn set_bad(&self, start: Sector, count: u64) -> Result<(), BadblocksError> {
        self.state().badblocks.set(start, count, true)
    }

    /// Makes sectors readable again; they hold what was stored last.
    ///
    /// # Errors
    /// [`BadblocksError`] where they do not lie on the medium.
    pub fn clear_bad(&self, start: Sector, count: u64) -> Result<(), BadblocksError> {
        self.state().badblocks.clear(start, count)
    }

    /// Leaves out a persistence step from now on, once.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Whether every injected fault has struck.
    pub fn faults_struck(&self) -> bool {
        self.state().faults.is_empty()
    }

    /// What has been done so far.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Calls `hook` before each fence takes effect, until another hook or [`SimMedium::no_hook`] replaces it. Fences
    /// that the hook itself causes on this medium do not call it.
    pub fn on_fence(&self, hook: impl FnMut(&SimMedium, u64) + Send + 'static) {
        self.state().hook = Some(Box::new(hook));
    }

    /// Forgets the hook.
    pub fn no_hook(&self) {
        self.state().hook = None;
    }

    /// The media a power cut at this moment could leave: all of them where there are at most `limit`, else `limit`
    /// different ones, first the telling ones (nothing, everything, all but one line, prefixes …), then by chance as
    /// `seed` has it. [`CrashStates::is_exhaustive`] says which.
    pub fn crash_states(&self, limit: usize, seed: u64) -> CrashStates {
        let state = self.state();
        CrashStates::new(&state.pending, state.badblocks.clone(), limit, seed)
    }

    /// The medium as a power cut at this moment leaves it where none of what is not durable made it.
    pub fn cut(&self) -> Self {
        let state = self.state();
        Self::from_image(state.pending.durable().clone()).with_bad(state.badblocks.clone())
    }

    /// This medium with other bad sectors.
    fn with_bad(self, badblocks: Badblocks) -> Self {
        self.state().badblocks = badblocks;
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panics in its hook may have poisoned the lock; the bytes are whole all the same.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Panics where a caller left the medium: an offset from the medium was followed unchecked.
    fn bound(&self, at: PmOff, len: u64) {
        let end = at.get().checked_add(len);
        assert!(end.is_some_and(|end| end <= self.len.get()), "access of {len} bytes at {at}, {} there", self.len);
    }
}

impl State {
    fn store(&mut self, at: PmOff, bytes: &[u8]) {
        let Self { now, pending, .. } = self;
        each_word(at.get(), bytes, |word, mask, value| {
            let was = now.word(word);
            let value = was & !mask | value & mask;
            if value != was {
                pending.store(word, value);
                now.set_word(word, value);
            }
        });
    }

    /// Counts the faults of one kind down and tells whether one strikes now.
    fn strikes(&mut self, left: impl Fn(&mut Fault) -> Option<&mut u64>) -> bool {
        let mut struck = false;
        self.faults.retain_mut(|fault| match left(fault) {
            Some(0) => {
                struck = true;
                false
            }
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        });
        struck
    }
}

impl Medium for SimMedium {
    fn len(&self) -> ByteLen {
        self.len
    }

    fn load(&self, at: PmOff, to: &mut [u8]) -> Result<(), MediaError> {
        self.bound(at, to.len() as u64);
        let state = self.state();
        state.badblocks.first_bad(at, ByteLen::new(to.len() as u64))?;
        state.now.read(at.get(), to);
        Ok(())
    }

    fn load_to<S: Sink>(&self, at: PmOff, len: usize, sink: &mut S) -> Result<usize, CopyError> {
        self.bound(at, len as u64);
        let mut done = 0;
        while done < len {
            let mut page = [0; PAGE_SIZE as usize];
            let chunk = &mut page[..(len - done).min(PAGE_SIZE as usize)];
            let from = PmOff::new(at.get() + done as u64);
            match self.load(from, chunk) {
                Ok(()) => {}
                Err(bad) if done == 0 && bad.at == at => return Err(bad.into()),
                // The good bytes before the bad one still count.
                Err(bad) => {
                    let good = (bad.at.get() - from.get()) as usize;
                    return match good {
                        0 => Ok(done),
                        good => self.load_to(from, good, sink).map(|more| done + more),
                    };
                }
            }
            // SAFETY: `chunk` is readable for its length, and private.
            match unsafe { sink.copy_from(chunk.as_ptr(), chunk.len()) } {
                Ok(()) => done += chunk.len(),
                Err(taken) if done + taken.0 == 0 => return Err(BadAddress.into()),
                Err(taken) => return Ok(done + taken.0),
            }
        }
        Ok(done)
    }

    fn store(&self, at: PmOff, bytes: &[u8]) {
        self.bound(at, bytes.len() as u64);
        let mut state = self.state();
        state.counts.stores += 1;
        state.store(at, bytes);
    }

    fn store_from<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> Result<(), CopyError> {
        self.bound(at, len as u64);
        let mut bytes = vec![0; len];
        // SAFETY: `bytes` is writable for `len` bytes and nobody else knows it; the caller bounds `len` by the source.
        unsafe { source.copy_to(bytes.as_mut_ptr(), len) }?;
        self.store(at, &bytes);
        Ok(())
    }

    fn zero(&self, at: PmOff, len: ByteLen) {
        self.bound(at, len.get());
        let mut state = self.state();
        state.counts.stores += 1;
        let zeros = [0; PAGE_SIZE as usize];
        for from in (0..len.get()).step_by(PAGE_SIZE as usize) {
            let chunk = &zeros[..(len.get() - from).min(PAGE_SIZE) as usize];
            state.store(PmOff::new(at.get() + from), chunk);
        }
    }

    fn clean(&self, at: PmOff, len: ByteLen) {
        self.bound(at, len.get());
        if len == ByteLen::ZERO {
            return;
        }
        let mut state = self.state();
        state.counts.cleans += 1;
        if state.strikes(|fault| if let Fault::DropClean(left) = fault { Some(left) } else { None }) {
            return;
        }
        for line in at.get() / LINE_SIZE..=(at.get() + len.get() - 1) / LINE_SIZE {
            if !state.strikes(|fault| if let Fault::DropLine(left) = fault { Some(left) } else { None }) {
                state.pending.clean(self.cpu, line);
                state.counts.lines_cleaned += 1;
            }
        }
    }

    fn fence(&self) {
        let mut state = self.state();
        if state.strikes(|fault| if let Fault::DropFence(left) = fault { Some(left) } else { None }) {
            return;
        }
        let before = state.counts.fences;
        if let Some(mut hook) = state.hook.take() {
            // Without the lock: the hook looks at this medium.
            drop(state);
            hook(self, before);
            state = self.state();
            state.hook.get_or_insert(hook);
        }
        state.pending.fence(self.cpu);
        state.counts.fences += 1;
    }

    fn check(&self, at: PmOff, len: ByteLen) -> Result<(), MediaError> {
        self.state().badblocks.first_bad(at, len)
    }

    fn each_bad(&self, each: &mut dyn FnMut(&BadRange)) {
        // Without the lock: who looks may ask more.
        let ranges = self.state().badblocks.ranges().to_vec();
        ranges.iter().for_each(each);
    }

    fn recovery_write<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> usize {
        let bytes = ByteLen::new(len as u64);
        let whole = at.is_aligned(PAGE_SIZE) && bytes.get().is_multiple_of(PAGE_SIZE);
        if self.check(at, bytes).is_err() && !whole || self.store_from(at, len, source).is_err() {
            return 0;
        }
        self.clean(at, bytes);
        self.fence();
        // The bound was checked by the store.
        let _ = self.clear_bad(at.sector(), bytes.get() / SECTOR_SIZE);
        len
    }

    fn pfn(&self, _at: PmOff) -> Option<Pfn> {
        None
    }
}
