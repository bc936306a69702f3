//! What really happened, in numbers: `/proc/vitrine/counters`.

use core::sync::atomic::{AtomicU64, Ordering};

/// One number that only grows, but for the gauges that say so.
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Plain load and store: a count lost between two CPUs is cheaper than an exclusive access on each copy.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The number now.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $shown:literal,)*) => {
        $($(#[$doc])* pub(crate) static $name: Counter = Counter(AtomicU64::new(0));)*

        /// Calls `act` with each name and number, those that other rooms keep among them.
        pub(crate) fn each(mut act: impl FnMut(&str, u64)) {
            $(act($shown, $name.get());)*
            let upkeep = crate::vfs::root_node().map_or(0, |root| root.fs().upkeep_fences());
            act("frames_used", crate::frames::usage().0.get());
            act("fences", FENCES.get() - upkeep.min(FENCES.get()));
            act("checkpoint_fences", upkeep);
            act("descriptors", mm::table::descriptors_written());
            act("pinned_blocks", crate::vfs::root_node().map_or(0, |root| root.fs().space().pinned));
        }
    };
}

/// Persistence fences, those of checkpoints and repairs among them: these are shown apart.
pub(crate) static FENCES: Counter = Counter(AtomicU64::new(0));

counters! {
    /// Bytes of files that were copied between a program and the medium.
    BYTES_COPIED = "bytes_copied",
    /// TLB invalidations.
    TLBI = "tlbi",
    /// Cache lines cleaned to persistence.
    LINES_CLEANED = "lines_cleaned",
    /// Faults of programs served or refused.
    FAULTS = "faults",
    /// Context switches.
    SWITCHES = "switches",
    /// Times that the UART had more bytes than it could keep, each with at least one lost.
    CONSOLE_OVERRUNS = "console_overruns",
    /// System calls nobody knows.
    UNKNOWN_CALLS = "unknown_calls",
}
