//! `pgd_offset`, `pud_offset`, `pmd_offset`, `pte_offset_map_lock`: a walk step by step, by Linux's names, for a program's
//! tables and for the kernel's (`pgd_offset_k`: the tree of `init_mm`).
//!
//! An [`Offset`] is one entry: the table it stands in, its level, and what it says. Each step takes the entry of the level
//! above. Where a level is *folded*, as with fewer than four levels of tables, its step answers its argument: the entry of
//! the level above is the entry of this level too. The `&Tables` it borrows is the table lock.

use core::marker::PhantomData;

use units::{Pfn, VirtAddr};

use super::{Tables, load};
use crate::desc::{Desc, Level};
use crate::seams::{Frames, Mmu};

/// How many levels of tables there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Levels {
    /// `pmd` and `pte`: `pgd` and `pud` are folded into the `pmd`.
    Two,
    /// `pud` is folded into the `pgd`.
    Three,
    /// None is folded: 48-bit addresses with 4 KiB pages, as all of this kernel has them.
    Four,
}

impl Levels {
    /// Whether tables of this level exist.
    const fn has(self, level: Level) -> bool {
        match level {
            Level::Pgd => matches!(self, Self::Four),
            Level::Pud => !matches!(self, Self::Two),
            Level::Pmd | Level::Pte => true,
        }
    }

    /// The level of the root.
    const fn root(self) -> Level {
        match self {
            Self::Two => Level::Pmd,
            Self::Three => Level::Pud,
            Self::Four => Level::Pgd,
        }
    }
}

/// One entry, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Offset<'t> {
    /// The table.
    pub table: Pfn,
    /// Its level.
    pub level: Level,
    /// The place in it.
    pub index: usize,
    /// What it says.
    pub desc: Desc,
    locked: PhantomData<&'t ()>,
}

impl<F: Frames, U: Mmu> Tables<F, U> {
    /// `pgd_offset`: the entry of the root for `va`. Of the tree of the kernel's half, `pgd_offset_k`.
    pub fn pgd_offset(&self, va: VirtAddr) -> Offset<'_> {
        self.pgd_offset_at(Levels::Four, va)
    }

    /// The same where there are only so many levels.
    pub fn pgd_offset_at(&self, levels: Levels, va: VirtAddr) -> Offset<'_> {
        self.offset(self.root, levels.root(), va)
    }

    /// `pud_offset`: the entry of the level-1 table below `pgd`. `None` where there is no such table.
    pub fn pud_offset(&self, levels: Levels, pgd: Offset<'_>, va: VirtAddr) -> Option<Offset<'_>> {
        self.step(levels, pgd, Level::Pgd, Level::Pud, va)
    }

    /// `pmd_offset`.
    pub fn pmd_offset(&self, levels: Levels, pud: Offset<'_>, va: VirtAddr) -> Option<Offset<'_>> {
        self.step(levels, pud, Level::Pud, Level::Pmd, va)
    }

    /// `pte_offset_map_lock`: mapped it is always, by the linear map, and locked as long as the tables are borrowed.
    pub fn pte_offset_map_lock(&self, levels: Levels, pmd: Offset<'_>, va: VirtAddr) -> Option<Offset<'_>> {
        self.step(levels, pmd, Level::Pmd, Level::Pte, va)
    }

    fn step(&self, levels: Levels, above: Offset<'_>, from: Level, to: Level, va: VirtAddr) -> Option<Offset<'_>> {
        if !levels.has(from) {
            return Some(self.offset(above.table, above.level, va));
        }
        above.desc.is_table(above.level).then(|| self.offset(above.desc.pfn(), to, va))
    }

    fn offset(&self, table: Pfn, level: Level, va: VirtAddr) -> Offset<'_> {
        let index = level.index(va);
        let desc = load(&self.frames.table(table)[index]);
        Offset { table, level, index, desc, locked: PhantomData }
    }
}

impl Offset<'_> {
    /// `pgd_none` and its kin.
    pub fn is_none(&self) -> bool {
        self.desc.is_none()
    }

    /// `pgd_bad` and its kin: a form that this level does not have.
    pub fn is_bad(&self) -> bool {
        self.desc.is_bad(self.level)
    }

    /// `pud_huge`, `pmd_huge`, `pmd_trans_huge`: it maps a block.
    pub fn is_huge(&self) -> bool {
        self.desc.is_block(self.level)
    }
}
