//! The order stores persist in: `Dirty`, `Cleaned`, `Durable`, and no way around.
//!
//! The recipe: store; clean every line of what was stored; one fence for all that was cleaned. A commit asks for
//! `Store<Durable>`, which only [`fence`] mints.

use core::marker::PhantomData;

use crate::medium::{CopyError, Medium, Source};
use units::{ByteLen, PmOff};

mod sealed {
    pub trait State {}
}

/// Lost if the power goes now.
#[derive(Debug)]
pub enum Dirty {}
/// On its way: a later store may still overtake it.
#[derive(Debug)]
pub enum Cleaned {}
/// Outlives the power.
#[derive(Debug)]
pub enum Durable {}

impl sealed::State for Dirty {}
impl sealed::State for Cleaned {}
impl sealed::State for Durable {}

/// Bytes stored on a medium, and how far they have got.
#[must_use = "not durable yet"]
#[derive(Debug)]
pub struct Store<S: sealed::State> {
    at: PmOff,
    len: ByteLen,
    _reached: PhantomData<S>,
}

impl<S: sealed::State> Store<S> {
    fn mint(at: PmOff, len: ByteLen) -> Self {
        Self { at, len, _reached: PhantomData }
    }

    /// The first byte stored.
    pub fn at(&self) -> PmOff {
        self.at
    }

    /// Bytes stored.
    pub fn len(&self) -> ByteLen {
        self.len
    }

    /// Whether nothing was stored.
    pub fn is_empty(&self) -> bool {
        self.len == ByteLen::ZERO
    }
}

/// Stores `bytes` at `at`.
#[inline]
pub fn store(medium: &impl Medium, at: PmOff, bytes: &[u8]) -> Store<Dirty> {
    medium.store(at, bytes);
    Store::mint(at, ByteLen::new(bytes.len() as u64))
}

/// Stores `len` bytes of `source` at `at`.
///
/// # Errors
/// [`CopyError`] where the source cannot be read, or the medium not be stored to.
pub fn store_from(
    medium: &impl Medium,
    at: PmOff,
    len: usize,
    source: &mut impl Source,
) -> Result<Store<Dirty>, CopyError> {
    medium.store_from(at, len, source)?;
    Ok(Store::mint(at, ByteLen::new(len as u64)))
}

/// Stores `len` zero bytes at `at`.
pub fn zero(medium: &impl Medium, at: PmOff, len: ByteLen) -> Store<Dirty> {
    medium.zero(at, len);
    Store::mint(at, len)
}

/// What somebody else stored at `at`: a program, by a mapping of its own.
pub fn stored(at: PmOff, len: ByteLen) -> Store<Dirty> {
    Store::mint(at, len)
}

impl Store<Dirty> {
    /// Starts the write-back of every line.
    #[inline]
    pub fn clean(self, medium: &impl Medium) -> Store<Cleaned> {
        medium.clean(self.at, self.len);
        Store::mint(self.at, self.len)
    }
}

/// Waits for everything in `stores`; all of it is durable from here on.
pub fn fence<const N: usize>(medium: &impl Medium, stores: [Store<Cleaned>; N]) -> [Store<Durable>; N] {
    medium.fence();
    stores.map(|store| Store::mint(store.at, store.len))
}

/// Any number of stores that have got equally far.
#[must_use = "not durable yet"]
#[derive(Debug)]
pub struct Batch<S: sealed::State> {
    stores: usize,
    _reached: PhantomData<S>,
}

impl Batch<Cleaned> {
    /// No store yet.
    pub fn new() -> Self {
        Self { stores: 0, _reached: PhantomData }
    }

    /// Takes a store in.
    pub fn add(&mut self, _store: Store<Cleaned>) {
        self.stores += 1;
    }

    /// Waits for every store taken in; where there is none, there is nothing to wait for.
    pub fn fence(self, medium: &impl Medium) -> Batch<Durable> {
        if self.stores != 0 {
            medium.fence();
        }
        Batch { stores: self.stores, _reached: PhantomData }
    }
}

impl Default for Batch<Cleaned> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: sealed::State> Batch<S> {
    /// How many stores there are.
    pub fn len(&self) -> usize {
        self.stores
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.stores == 0
    }
}
