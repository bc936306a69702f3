//! Temporary mappings of a page in the kernel (Linux: `kmap_local_page`).
//!
//! Every page there is lies in the linear map, so a mapping costs nothing; the order of releases is checked all the
//! same, because the interface promises it to machines where it does cost something.

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::NonNull;

use units::Pfn;

use crate::{layout, percpu};

/// Nesting that Linux promises per CPU (`KM_MAX_IDX` on 64 bits).
const SLOTS: u32 = 16;

/// A page, seen by the kernel until this is dropped; the newest first.
pub(crate) struct Kmap {
    page: NonNull<u8>,
    depth: u32,
    /// The slots are a CPU's own, and a task does not move while it holds one.
    _here: PhantomData<*mut u8>,
}

/// How many slots this CPU has in use.
#[derive(Debug)]
pub(crate) struct Depth(Cell<u32>);

impl Depth {
    /// None.
    pub(crate) const fn new() -> Self {
        Self(Cell::new(0))
    }
}

impl Kmap {
    /// Maps the page. Never fails.
    ///
    /// # Panics
    /// Where more than 16 are held: a leak.
    pub(crate) fn local(frame: Pfn) -> Self {
        let depth = &percpu::this().kmap.0;
        assert!(depth.get() < SLOTS, "kmap: {SLOTS} pages are mapped already");
        depth.set(depth.get() + 1);
        let page = NonNull::new(layout::linear(frame.base())).unwrap_or_else(|| unreachable!("the linear map is high"));
        Self { page, depth: depth.get(), _here: PhantomData }
    }

    /// The first byte of the page.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.page.as_ptr()
    }
}

impl Drop for Kmap {
    fn drop(&mut self) {
        let depth = &percpu::this().kmap.0;
        let newest = depth.replace(self.depth - 1);
        assert!(newest == self.depth, "kmap: released out of order");
    }
}
