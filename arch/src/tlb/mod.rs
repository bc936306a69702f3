//! TLB invalidation, written once: store the descriptor, `dsb ishst`, invalidate, `dsb ish`, and `isb` where this CPU
//! may have fetched through the old translation (Arm ARM D8.14).
//!
//! The callers are the `Mmu` of the kernel; nobody else changes a live descriptor. [`plan`] says which operations a
//! range takes, by page or, where every CPU has FEAT_TLBIRANGE, by range.

pub mod plan;

#[cfg(target_os = "none")]
mod operations;

#[cfg(target_os = "none")]
pub use operations::{invalidate, invalidate_asid, invalidate_kernel, invalidate_this_cpu};

/// Which cached steps of a walk must go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// The last level only: a leaf changed.
    Last,
    /// Table descriptors too: a table was unlinked.
    All,
}
