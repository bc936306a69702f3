//! Copying a range of one tree into another (`copy_page_range`): what `fork` does.

use units::{PAGE_SHIFT, VirtAddr, VirtRange};

use super::{Changed, Leaf, Tables, count_up, load, store};
use crate::desc::{Desc, ENTRIES, Level, Owner};
use crate::page::{self, Mapping};
use crate::seams::{Frames, Mmu, OutOfMemory};

/// A copy on its way: what it calls the pages it makes, and what it has left to tell the TLBs, entries that lost the right
/// to write.
#[must_use = "a TLB may still allow what the tables do not"]
pub(crate) struct Copying {
    /// Whose the pages are.
    pub(crate) family: Mapping,
    /// Their numbers less their page numbers.
    pub(crate) shift: u64,
    changed: Changed,
}

impl Copying {
    pub(crate) fn new(family: Mapping) -> Self {
        Self { family, shift: 0, changed: Changed::NOTHING }
    }
}

impl<F: Frames, U: Mmu> Tables<F, U> {
    /// Gives `child`, which has nothing in `range`, every leaf of it. A frame of the tree's own is shared: read-only in
    /// both from now on, with a count and a map count more. One without a descriptor, which cannot be counted, is copied.
    ///
    /// Where memory runs out, what was copied so far stays, and is the child's.
    pub(crate) fn copy_range(
        &mut self,
        child: &mut Self,
        range: VirtRange,
        copying: &mut Copying,
    ) -> Result<(), OutOfMemory> {
        child.note_largest(self.largest.get());
        let mut at = range.start();
        while let Some(leaf) = self.next_leaf(at, range.end()) {
            let done = self.copy_run(child, leaf, range.end(), copying)?;
            at = VirtAddr::new(leaf.va.get() + done * leaf.level.size());
        }
        Ok(())
    }

    /// Copies `first` and what follows it in the same table, up to `end`. Answers how many entries it has passed.
    fn copy_run(&self, child: &Self, first: Leaf, end: VirtAddr, copying: &mut Copying) -> Result<u64, OutOfMemory> {
        let slot = child.ensure(first.va, first.level).map_err(|_| OutOfMemory)?;
        let table_of = |tree: &Self, parent: Option<&core::sync::atomic::AtomicU64>| match parent {
            Some(parent) => load(parent).pfn(),
            None => tree.root,
        };
        let own = self.ensure(first.va, first.level).map_err(|_| OutOfMemory)?;
        let from = self.frames.table(table_of(self, own.parent));
        let to = child.frames.table(table_of(child, slot.parent));
        let index = first.level.index(first.va);
        let wanted = ((end.get() - first.va.get()) / first.level.size()).min((ENTRIES - index) as u64);
        let mut made = 0;
        let mut passed = 0;
        let mut done = Ok(());
        for n in 0..wanted {
            let entry = index + n as usize;
            let desc = load(&from[entry]);
            if desc.is_table(first.level) {
                break;
            }
            passed += 1;
            if desc.is_none() {
                continue;
            }
            let leaf = Leaf { va: VirtAddr::new(first.va.get() + n * first.level.size()), level: first.level, desc };
            match self.share(leaf, copying) {
                Ok((kept, copy)) => {
                    if kept != desc {
                        store(&from[entry], kept);
                        copying.changed.note(leaf.va.get(), leaf.va.get() + (leaf.level.size() - 1), leaf.level);
                    }
                    store(&to[entry], copy);
                    made += 1;
                }
                Err(error) => {
                    done = Err(error);
                    break;
                }
            }
        }
        count_up(slot.parent, made);
        done.map(|()| passed)
    }

    /// What stands in the parent and in the child from now on, for one leaf.
    fn share(&self, leaf: Leaf, copying: &Copying) -> Result<(Desc, Desc), OutOfMemory> {
        if leaf.desc.owner() == Owner::Other {
            return Ok((leaf.desc, leaf.desc));
        }
        let counted = match leaf.level {
            Level::Pmd => page::block_mapped(&self.frames, leaf.desc.pfn()),
            _ => self.frames.page(leaf.desc.pfn()).map(page::Page::map).is_some(),
        };
        if counted {
            let read_only = leaf.desc.read_only();
            return Ok((read_only, read_only));
        }
        if leaf.level != Level::Pte {
            return Err(OutOfMemory);
        }
        let frame = self.frames.alloc()?;
        if self.frames.copy(leaf.desc.pfn(), frame).is_err() {
            self.frames.free(frame);
            return Err(OutOfMemory);
        }
        if let Some(page) = self.frames.page(frame) {
            page.born(copying.family, (leaf.va.get() >> PAGE_SHIFT).wrapping_add(copying.shift));
        }
        Ok((leaf.desc, leaf.desc.over(frame)))
    }

    /// Ends a copy: no TLB allows a store to what is shared now, and every walker sees the child's entries.
    pub(crate) fn finish_copy(&mut self, copying: Copying) {
        self.settle(&copying.changed);
        self.mmu.publish();
    }
}
