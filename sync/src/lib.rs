//! Locks: interrupts masked while held, and an order that debug builds check.
//!
//! [`Mutex`] is a spin lock for sections that never wait. Each has a [`Rank`]; a CPU takes locks in rising rank only.
//! Builds with `debug_assertions` keep the ranks a CPU holds and panic on the first lock taken out of order, whether
//! or not that run would have come to a deadlock. `docs/LOCKS.md` is the list with the reasons.
#![cfg_attr(target_os = "none", no_std)]

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

#[cfg(debug_assertions)]
mod order;

macro_rules! ranks {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Where a lock stands in the one order; later ones are taken while earlier ones are held, never the reverse.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum Rank { $($(#[$doc])* $name,)* }
    };
}

ranks! {
    /// The tree of tasks: parents, children, exit status.
    Tasks,
    /// What a process or thread keeps for itself: signal handlers and masks, the program's name.
    Process,
    /// What a thread blocks, and the signals that wait for it alone.
    Signals,
    /// A program's open files.
    Files,
    /// A program's working directory.
    WorkingDirectory,
    /// Every change of a file system, from its checks to its effect, the tail of the record log with it.
    FsCommit,
    /// Which address spaces share files.
    Spaces,
    /// One address space: a fault asks the file behind a mapping, and no file system call touches user memory locked.
    Space,
    /// Which spaces may share pages after a fork.
    AnonVma,
    /// The pages of memory that programs share.
    SharedMemory,
    /// Who shows which pages of a file that programs share.
    IMmap,
    /// A directory; only who holds `FsCommit` takes a second one, so their order is free.
    FsDirectory,
    /// A file's extents, size and pins.
    FsNode,
    /// The table of inodes in memory.
    FsNodes,
    /// Free blocks.
    FsSpace,
    /// A device's bad blocks.
    BadBlocks,
    /// Kernel stacks; making one maps it.
    Stacks,
    /// The kernel's own page tables.
    KernelSpace,
    /// One futex hash bucket.
    Futex,
    /// Who has which file, or which part of one, locked.
    FileLocks,
    /// A queue of waiting tasks.
    WaitQueue,
    /// Runnable tasks.
    RunQueue,
    /// The numbers of address spaces in the TLB.
    Asids,
    /// The terminal's line discipline.
    Terminal,
    /// A device's registers, and what was received from it.
    Device,
    /// Free frames; freeing one may take heap.
    Frames,
    /// The kernel heap.
    Heap,
    /// The log: a record is kept and printed as a whole, whichever CPU it comes from.
    Log,
    /// The console's UART.
    Console,
}

/// A spin lock that masks interrupts on its CPU while held.
pub struct Mutex<T: ?Sized> {
    rank: Rank,
    inner: spin::Mutex<T>,
}

/// Proof that the lock is held; dropping it releases the lock, then restores the interrupt mask.
pub struct MutexGuard<'a, T: ?Sized> {
    inner: ManuallyDrop<spin::MutexGuard<'a, T>>,
    #[cfg_attr(not(debug_assertions), expect(dead_code, reason = "only the order check of debug builds reads it"))]
    rank: Rank,
    irq: Irq,
}

impl<T> Mutex<T> {
    /// An open lock around `value`.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self { rank, inner: spin::Mutex::new(value) }
    }

    /// Takes the value out of a lock nobody else can hold.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock, waiting for another CPU to let go of it.
    ///
    /// # Panics
    /// In debug builds, where a lock of the same or a later rank is held by this CPU.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let irq = Irq::mask();
        #[cfg(debug_assertions)]
        order::taking(self.rank);
        self.guard(irq)
    }

    /// Takes a second lock of the same rank while `_first` is held. The caller states the order the two are taken in
    /// (by inode number, by address) beside the call.
    ///
    /// # Panics
    /// In debug builds, where a lock of a later rank is held by this CPU.
    pub fn lock_second<U: ?Sized>(&self, _first: &MutexGuard<'_, U>) -> MutexGuard<'_, T> {
        let irq = Irq::mask();
        #[cfg(debug_assertions)]
        order::taking_second(self.rank);
        self.guard(irq)
    }

    /// The way in without anybody before us. A thousand places have it, so the waiting is not among them.
    #[inline]
    fn guard(&self, irq: Irq) -> MutexGuard<'_, T> {
        let inner = self.inner.try_lock().unwrap_or_else(|| self.wait());
        MutexGuard { inner: ManuallyDrop::new(inner), rank: self.rank, irq }
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) -> spin::MutexGuard<'_, T> {
        self.inner.lock()
    }

    /// Takes the lock if nobody holds it. Allowed in any order, because it never waits.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let irq = Irq::mask();
        match self.inner.try_lock() {
            Some(inner) => {
                #[cfg(debug_assertions)]
                order::took_without_waiting(self.rank);
                Some(MutexGuard { inner: ManuallyDrop::new(inner), rank: self.rank, irq })
            }
            None => {
                irq.restore();
                None
            }
        }
    }

    /// The value, where `&mut` already proves that nobody holds the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    /// Opens a lock whose holder is gone.
    ///
    /// # Safety
    /// The holder never runs again: only the panic path may say so.
    pub unsafe fn force_unlock(&self) {
        // SAFETY: the caller says that no guard of this lock will be used or dropped.
        unsafe { self.inner.force_unlock() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: dropped once, here; nothing touches `inner` afterwards.
        unsafe { ManuallyDrop::drop(&mut self.inner) };
        #[cfg(debug_assertions)]
        order::released(self.rank);
        self.irq.restore();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mutex({:?})", self.rank)
    }
}

/// How the interrupt mask stood before a lock was taken.
#[derive(Clone, Copy)]
struct Irq(#[cfg(target_os = "none")] arch::irq::Flags);

impl Irq {
    #[cfg(target_os = "none")]
    fn mask() -> Self {
        Self(arch::irq::save())
    }

    #[cfg(target_os = "none")]
    fn restore(self) {
        arch::irq::restore(self.0);
    }

    #[cfg(not(target_os = "none"))]
    fn mask() -> Self {
        Self()
    }

    #[cfg(not(target_os = "none"))]
    fn restore(self) {}
}

/// Panics in debug builds where this CPU holds any lock: for places that may wait.
#[inline]
pub fn assert_none_held() {
    #[cfg(debug_assertions)]
    order::assert_none_held();
}

/// Forgets every rank this CPU holds.
///
/// # Safety
/// Nobody releases those locks any more: the panic path, and a test task that panicked.
pub unsafe fn forget_held() {
    #[cfg(debug_assertions)]
    order::forget_held();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rising_ranks_pass() {
        let (first, second) = (Mutex::new(Rank::Files, 1), Mutex::new(Rank::Heap, 2));
        let held = first.lock();
        assert_eq!(*held + *second.lock(), 3);
        drop(held);
        assert_none_held();
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn falling_ranks_panic() {
        let (first, second) = (Mutex::new(Rank::Files, ()), Mutex::new(Rank::Heap, ()));
        let _held = second.lock();
        let _wrong = first.lock();
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn the_same_rank_twice_panics() {
        let (first, second) = (Mutex::new(Rank::FsNode, ()), Mutex::new(Rank::FsNode, ()));
        let _held = first.lock();
        let _wrong = second.lock();
    }

    #[test]
    fn a_stated_second_of_the_same_rank_passes() {
        let (first, second) = (Mutex::new(Rank::FsDirectory, ()), Mutex::new(Rank::FsDirectory, ()));
        let held = first.lock();
        drop(second.lock_second(&held));
        drop(held);
        assert_none_held();
    }

    #[test]
    fn out_of_order_release_is_fine() {
        let (first, second) = (Mutex::new(Rank::Files, ()), Mutex::new(Rank::Heap, ()));
        let (a, b) = (first.lock(), second.lock());
        drop(a);
        drop(b);
        assert_none_held();
    }
}
