//! Temporary mappings of a page in the kernel (Linux: `kmap_local_page`, `kmap_atomic`).
//!
//! Every page there is lies in the linear map, so there is nothing to map, as on any 64-bit Linux. What the interface promises
//! is kept all the same: each CPU has its slots, they are released newest first, and a release that is not finds out. A task
//! does not wait while it holds one ([`held`]). Between [`kmap_atomic`] and [`kunmap_atomic`] no page fault is served: an
//! access to a program's memory that would need one fails instead.

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::NonNull;

use units::{PAGE_SIZE, Pfn};

use crate::{layout, percpu};

/// Nesting that Linux promises per CPU (`KM_MAX_IDX` on 64 bits).
const SLOTS: usize = 16;

/// Whether faults are served while a slot is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Faults {
    Served,
    NotServed,
}

/// A page, and whether faults are served while it is mapped.
type Slot = Option<(NonNull<u8>, Faults)>;

/// The slots of one CPU (`kmap_ctrl`): which page each shows, the newest last.
#[derive(Debug)]
pub(crate) struct Slots {
    used: Cell<usize>,
    pages: [Cell<Slot>; SLOTS],
}

impl Slots {
    /// None in use.
    pub(crate) const fn new() -> Self {
        Self { used: Cell::new(0), pages: [const { Cell::new(None) }; SLOTS] }
    }

    /// `kmap_local_idx_push`.
    fn push(&self, frame: Pfn, faults: Faults) -> NonNull<u8> {
        let used = self.used.get();
        if used >= SLOTS {
            self.forget();
            panic!("kmap: {SLOTS} pages are mapped already");
        }
        let page = NonNull::new(layout::linear(frame.base())).unwrap_or_else(|| unreachable!("the linear map is high"));
        self.pages[used].set(Some((page, faults)));
        self.used.set(used + 1);
        page
    }

    /// `kunmap_local_indexed`, of the page that holds `address`.
    fn pop(&self, address: NonNull<u8>, faults: Faults) {
        let page = address.addr().get() & !(PAGE_SIZE as usize - 1);
        let newest = self.used.get().checked_sub(1).and_then(|index| self.pages[index].take());
        if newest.is_none_or(|(newest, how)| newest.addr().get() != page || how != faults) {
            self.forget();
            panic!("kmap: released out of order");
        }
        self.used.set(self.used.get() - 1);
    }

    /// Before a panic: whose they are is not known any more, and none is left to mislead the next task.
    fn forget(&self) {
        self.used.set(0);
        self.pages.iter().for_each(|slot| slot.set(None));
    }
}

/// A page, seen by the kernel until this is dropped; the newest first.
pub(crate) struct Kmap {
    page: NonNull<u8>,
    /// The slots are a CPU's own, and a task does not move while it holds one.
    _here: PhantomData<*mut u8>,
}

impl Kmap {
    /// `kmap_local_page`: maps the page. Never fails.
    ///
    /// # Panics
    /// Where more than 16 are held: a leak.
    pub(crate) fn local(frame: Pfn) -> Self {
        Self { page: percpu::this().kmap.push(frame, Faults::Served), _here: PhantomData }
    }

    /// The first byte of the page.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.page.as_ptr()
    }
}

impl Drop for Kmap {
    /// `kunmap_local`.
    fn drop(&mut self) {
        percpu::this().kmap.pop(self.page, Faults::Served);
    }
}

/// `kmap_atomic`: maps the page, and serves no page fault on this CPU until it is released. Never fails.
///
/// # Panics
/// As [`Kmap::local`].
pub(crate) fn kmap_atomic(frame: Pfn) -> NonNull<u8> {
    percpu::this().kmap.push(frame, Faults::NotServed)
}

/// `kunmap_atomic`: releases what [`kmap_atomic`] mapped; any address in it will do.
///
/// # Panics
/// Where another page was mapped later, or this one otherwise.
pub(crate) fn kunmap_atomic(address: NonNull<u8>) {
    percpu::this().kmap.pop(address, Faults::NotServed);
}

/// Whether page faults are served on this CPU (Linux: not `pagefault_disabled`).
pub(crate) fn faults_are_served() -> bool {
    let slots = &percpu::this().kmap;
    let not_served = |slot: &Cell<Slot>| matches!(slot.get(), Some((_, Faults::NotServed)));
    !slots.pages[..slots.used.get()].iter().any(not_served)
}

/// How many slots this CPU has in use: none when a task gives the CPU up.
pub(crate) fn held() -> usize {
    percpu::this().kmap.used.get()
}
