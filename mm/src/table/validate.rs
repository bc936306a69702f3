//! What must hold between any two calls, in plain loops.

use units::{Pfn, VirtAddr};

use super::{Leaf, Origin, Tables, load};
use crate::desc::Level;
use crate::seams::{Asid, Frames, Mmu};

impl<F: Frames, U: Mmu> Tables<F, U> {
    /// Panics where an entry has a form its level does not have, a table is on its way out, a count is wrong, or an
    /// empty table was kept.
    pub fn validate(&self) {
        self.each_leaf(&mut |_| {});
    }

    /// Shows every leaf, valid or not, in the order of addresses, and checks the tables on the way. The addresses of
    /// [`Asid::GLOBAL`] are those of the upper half.
    pub fn each_leaf(&self, each: &mut impl FnMut(Leaf)) {
        let base = if self.asid() == Some(Asid::GLOBAL) { 0xffff_0000_0000_0000 } else { 0 };
        let used = self.check_table(self.root, Level::Pgd, base, each);
        if self.origin == Origin::Made {
            assert_eq!(self.root_used.get(), used, "entries in use of the root");
        }
    }

    fn check_table(&self, table: Pfn, level: Level, base: u64, each: &mut impl FnMut(Leaf)) -> u64 {
        let mut used = 0;
        for (n, entry) in self.frames.table(table).iter().enumerate() {
            let desc = load(entry);
            let va = VirtAddr::new(base + ((n as u64) << level.shift()));
            if desc.is_none() {
                continue;
            }
            used += 1;
            assert!(!desc.is_bad(level), "{va}: {desc:?} is no form of {level:?}");
            match level.next() {
                Some(next) if desc.was_table(level) => {
                    assert!(desc.is_valid(), "{va}: a table was broken and not collected");
                    let below = self.check_table(desc.pfn(), next, va.get(), each);
                    if desc.is_counted() {
                        assert_eq!(desc.count(), below, "{va}: entries in use below {level:?}");
                        assert_ne!(below, 0, "{va}: an empty table was kept");
                    }
                }
                _ => {
                    let aligned = desc.pfn().get() & (level.pages().get() - 1) == 0;
                    assert!(aligned, "{va}: a block at {} is not aligned", desc.pfn());
                    each(Leaf { va, level, desc });
                }
            }
        }
        used
    }
}
