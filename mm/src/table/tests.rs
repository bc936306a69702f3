//! The tree of tables against a plain map, on a machine that refuses what the architecture forbids.

use std::collections::BTreeMap;

use proptest::prelude::*;
use units::{PAGE_SIZE, Pfn, PhysAddr, VirtAddr, VirtRange};

use super::{Levels, TableError, Tables};
use crate::desc::{self, Attributes, Level, Owner, Prot};
use crate::testing::{ASID, Machine, PMEM, pages, unload};

/// Just below 2 GiB, so that a short range crosses tables of every level but the root's.
const BASE: u64 = (2 << 30) - pages(1024);

fn va(page: u64) -> VirtAddr {
    VirtAddr::new(BASE + pages(page))
}

fn range(start: u64, end: u64) -> VirtRange {
    VirtRange::new(va(start), va(end)).unwrap()
}

fn tables(machine: &Machine) -> Tables<&Machine, &Machine> {
    let tables = Tables::new(machine, machine, ASID).unwrap();
    machine.load_root(tables.root());
    tables
}

fn end(machine: &Machine, tables: Tables<&Machine, &Machine>) {
    tables.validate();
    machine.settled();
    unload(machine);
    drop(tables);
    assert_eq!(machine.lent(), 0, "frames were lost");
}

const READ: Attributes = Attributes::user(Prot::READ);
const WRITE: Attributes = Attributes::user(Prot::RW);

fn block(page: u64) -> PhysAddr {
    Pfn::new(PMEM + page).base()
}

#[test]
fn the_largest_entries_that_alignment_allows_are_used() {
    let machine = Machine::new(16);
    let mut tables = tables(&machine);
    // Congruent modulo 2 MiB: 3 pages, two blocks, 5 pages.
    let mapped = range(512 - 3, 512 * 3 + 5);
    tables.map(mapped, block(512 - 3), READ, Owner::Other, Level::Pud).unwrap();
    let level = |page| tables.walk(va(page)).unwrap().level;
    assert_eq!([509, 511, 512, 1023, 1024, 1535, 1536, 1540].map(level), {
        use Level::{Pmd, Pte};
        [Pte, Pte, Pmd, Pmd, Pmd, Pmd, Pte, Pte]
    });
    for page in 509..1541 {
        assert_eq!(tables.walk(va(page)).unwrap().translate(va(page)), block(page));
    }
    assert_eq!(tables.walk(va(508)), None);
    assert_eq!(tables.walk(va(1541)), None);
    tables.unmap(mapped).unwrap().flush();
    assert_eq!(machine.lent(), 2, "the root and the spare table");
    end(&machine, tables);
}

#[test]
fn a_gigabyte_is_one_entry_and_is_split_only_as_far_as_needed() {
    let machine = Machine::new(16);
    let mut tables = tables(&machine);
    let whole = VirtRange::new(VirtAddr::new(1 << 30), VirtAddr::new(2 << 30)).unwrap();
    tables.map(whole, PhysAddr::new(3 << 30), WRITE, Owner::Other, Level::Pud).unwrap();
    assert_eq!(tables.walk(VirtAddr::new(0x5000_0000)).unwrap().level, Level::Pud);
    tables.protect(range(0, 1), |_, _| Some(READ)).unwrap();
    tables.validate();
    assert_eq!(tables.walk(va(0)).unwrap().desc.attributes(), READ);
    assert_eq!(tables.walk(va(1)).unwrap().level, Level::Pte);
    assert_eq!(tables.walk(va(512)).unwrap().level, Level::Pmd);
    assert_eq!(tables.walk(va(1023)).unwrap().translate(va(1023)), PhysAddr::new((4 << 30) - PAGE_SIZE));
    end(&machine, tables);
}

#[test]
fn one_barrier_publishes_a_whole_range() {
    let machine = Machine::new(16);
    let mut tables = tables(&machine);
    tables.map(range(0, 900), block(0), READ, Owner::Other, Level::Pte).unwrap();
    assert_eq!((machine.publishes.get(), machine.invalidations.get()), (1, 0));
    tables.protect(range(0, 900), |_, _| Some(WRITE)).unwrap();
    assert_eq!((machine.publishes.get(), machine.invalidations.get()), (2, 1));
    tables.unmap(range(0, 900)).unwrap().flush();
    assert_eq!((machine.publishes.get(), machine.invalidations.get()), (3, 2));
    tables.unmap(range(0, 900)).unwrap().flush();
    assert_eq!((machine.publishes.get(), machine.invalidations.get()), (3, 2), "nothing was there");
    end(&machine, tables);
}

#[test]
fn map_never_replaces_and_undoes_itself() {
    let machine = Machine::new(16);
    let mut tables = tables(&machine);
    tables.map(range(5, 6), block(1), READ, Owner::Other, Level::Pte).unwrap();
    let refused = tables.map(range(0, 9), block(8), READ, Owner::Other, Level::Pte);
    assert_eq!(refused, Err(TableError::Occupied(va(5))));
    assert_eq!(tables.walk(va(4)), None);
    assert_eq!(tables.walk(va(5)).unwrap().desc.address(), block(1));
    tables.map(range(512, 1024), block(512), READ, Owner::Other, Level::Pmd).unwrap();
    let refused = tables.map(range(511, 514), block(2), READ, Owner::Other, Level::Pmd);
    assert_eq!(refused, Err(TableError::Occupied(va(512))));
    let unaligned = VirtRange::new(VirtAddr::new(BASE + 1), va(1)).unwrap();
    assert_eq!(tables.map(unaligned, block(0), READ, Owner::Other, Level::Pte), Err(TableError::Unaligned));
    end(&machine, tables);
}

#[test]
fn out_of_memory_anywhere_leaves_nothing_behind() {
    for allowance in 0..8 {
        let machine = Machine::new(32);
        let mut tables = tables(&machine);
        let lent = machine.lent();
        machine.allowance.set(Some(allowance));
        let result = tables.map(range(1000, 1600), block(3), READ, Owner::Other, Level::Pud);
        machine.allowance.set(None);
        tables.validate();
        if result.is_err() {
            assert_eq!(result, Err(TableError::OutOfMemory));
            let spare = 1;
            assert!(machine.lent() <= lent + spare);
        }
        end(&machine, tables);
    }
}

#[test]
fn a_block_that_cannot_be_split_stays_whole() {
    let machine = Machine::new(16);
    let mut tables = tables(&machine);
    tables.map(range(512, 1024), block(512), WRITE, Owner::Other, Level::Pmd).unwrap();
    machine.allowance.set(Some(0));
    assert!(tables.unmap(range(600, 700)).is_err());
    assert!(tables.protect(range(600, 700), |_, _| Some(READ)).is_err());
    assert_eq!(tables.walk(va(650)).unwrap().level, Level::Pmd);
    end(&machine, tables);
}

#[test]
fn pages_without_rights_are_remembered_and_owned_frames_given_back() {
    let machine = Machine::new(16);
    let mut tables = tables(&machine);
    let frame = machine_frame(&machine);
    tables.map(range(3, 4), frame.base(), WRITE, Owner::Tree, Level::Pte).unwrap();
    tables.protect(range(0, 9), |_, _| None).unwrap();
    assert!(!tables.walk(va(3)).unwrap().desc.is_valid());
    machine.settled();
    tables.protect(range(0, 9), |_, _| Some(READ)).unwrap();
    assert_eq!(tables.walk(va(3)).unwrap().desc.pfn(), frame);
    let mut seen = Vec::new();
    tables.unmap(range(0, 9)).unwrap().flush_with(|leaf| seen.push((leaf.va, leaf.desc.pfn(), leaf.desc.owner())));
    assert_eq!(seen, [(va(3), frame, Owner::Tree)]);
    crate::seams::Frames::free(&machine, frame);
    end(&machine, tables);
}

fn machine_frame(machine: &Machine) -> Pfn {
    crate::seams::Frames::alloc_zeroed(machine).unwrap()
}

#[test]
fn tables_of_pages_nobody_may_touch_are_forgotten_by_every_walker() {
    let machine = Machine::new(16);
    let mut tables = tables(&machine);
    // The end of one table and the beginning of the next, so that no step from the first page meets the second table.
    let mapped = range(511, 514);
    tables.map(mapped, block(0), READ, Owner::Other, Level::Pte).unwrap();
    tables.protect(mapped, |_, _| None).unwrap();
    tables.unmap(mapped).unwrap().flush();
    assert_eq!(machine.lent(), 2, "the root and the spare table");
    end(&machine, tables);
}

#[test]
#[should_panic(expected = "without break-before-make")]
fn the_machine_sees_a_frame_exchanged_in_place() {
    let machine = Machine::new(16);
    let mut tables = tables(&machine);
    tables.map(range(3, 4), block(1), READ, Owner::Other, Level::Pte).unwrap();
    // The known fault: a second store to a live entry.
    let slot = tables.ensure(va(3), Level::Pte).unwrap_or_else(|_| panic!("mapped above"));
    super::store(slot.entry, crate::desc::Desc::leaf(Level::Pte, Pfn::new(PMEM), READ, Owner::Other));
    machine.settled();
}

#[test]
#[should_panic(expected = "freed while a TLB maps it")]
fn the_machine_sees_a_frame_freed_before_the_invalidation() {
    let machine = Machine::new(16);
    let mut tables = tables(&machine);
    let frame = machine_frame(&machine);
    tables.map(range(3, 4), frame.base(), READ, Owner::Other, Level::Pte).unwrap();
    crate::seams::Frames::free(&machine, frame);
}

#[test]
fn each_step_of_a_walk_answers_the_entry_and_a_folded_one_its_argument() {
    let machine = Machine::new(16);
    let mut tables = tables(&machine);
    tables.map(range(3, 4), block(9), READ, Owner::Other, Level::Pte).unwrap();
    tables.map(range(512, 1024), block(512), READ, Owner::Other, Level::Pmd).unwrap();
    let at = va(3);
    let pgd = tables.pgd_offset(at);
    let pud = tables.pud_offset(Levels::Four, pgd, at).unwrap();
    let pmd = tables.pmd_offset(Levels::Four, pud, at).unwrap();
    let pte = tables.pte_offset_map_lock(Levels::Four, pmd, at).unwrap();
    assert_eq!(
        [pgd.index, pud.index, pmd.index, pte.index],
        [desc::pgd_index(at), desc::pud_index(at), desc::pmd_index(at), desc::pte_index(at)]
    );
    assert_eq!((pgd.table, pte.desc), (tables.root(), tables.walk(at).unwrap().desc));
    assert!(!pte.is_none() && !pte.is_bad() && !pmd.is_huge());
    let huge = tables.pmd_offset(Levels::Four, pud, va(600)).unwrap();
    assert!(huge.is_huge() && tables.pte_offset_map_lock(Levels::Four, huge, va(600)).is_none());
    assert!(tables.pgd_offset(VirtAddr::new(1 << 46)).is_none());

    // The same memory through a tree whose root is the level-1 table, and one whose root is the level-2 table.
    for (levels, root, folded) in [(Levels::Three, pud.table, 1), (Levels::Two, pmd.table, 2)] {
        let part = Tables::adopt(&machine, &machine, ASID, root);
        let pgd = part.pgd_offset_at(levels, at);
        let pud = part.pud_offset(levels, pgd, at).unwrap();
        let pmd = part.pmd_offset(levels, pud, at).unwrap();
        assert_eq!((pud.table, pud.index, pud.level), (pgd.table, pgd.index, pgd.level), "folded into the one above");
        assert_eq!((pmd.table == pud.table, folded), (folded == 2, folded));
        assert_eq!(part.pte_offset_map_lock(levels, pmd, at).unwrap().desc, pte.desc);
    }
    end(&machine, tables);
}

#[test]
fn pages_that_lie_like_a_block_become_one() {
    let machine = Machine::new(16);
    let mut tables = tables(&machine);
    tables.map(range(512, 1024), block(512), WRITE, Owner::Other, Level::Pte).unwrap();
    tables.map(range(0, 512), block(5), WRITE, Owner::Other, Level::Pte).unwrap();
    let lent = machine.lent();
    assert!(!tables.collapse(va(7)), "the frames lie otherwise");
    tables.protect(range(600, 601), |_, _| Some(READ)).unwrap();
    assert!(!tables.collapse(va(600)), "one differs");
    tables.protect(range(600, 601), |_, _| Some(WRITE)).unwrap();
    assert!(tables.collapse(va(600)));
    assert_eq!((tables.walk(va(600)).unwrap().level, machine.lent()), (Level::Pmd, lent));
    assert_eq!(tables.walk(va(1023)).unwrap().translate(va(1023)), block(1023));
    assert!(!tables.collapse(va(600)), "it is one");
    tables.validate();
    machine.settled();
    // And back.
    tables.protect(range(600, 601), |_, _| Some(READ)).unwrap();
    assert_eq!(tables.walk(va(600)).unwrap().level, Level::Pte);
    end(&machine, tables);
}

#[test]
fn what_is_mapped_for_good_lies_in_runs_where_it_can() {
    let machine = Machine::new(16);
    let mut tables = tables(&machine);
    let mapped = range(5, 512 + 512 * 17);
    tables.map_for_good(mapped, block(512 * 14 + 5), READ, Level::Pmd).unwrap();
    let run = |page: u64| tables.walk(va(page)).unwrap().desc.attributes().is_contiguous();
    assert_eq!([5, 15, 16, 511].map(run), [false, false, true, true], "the first run is cut");
    // Blocks: the run begins at a multiple of 32 MiB.
    let level = |page: u64| tables.walk(va(page)).unwrap().level;
    assert_eq!((level(512), run(512), run(512 * 2)), (Level::Pmd, false, true));
    machine.settled();
    // Frames that lie otherwise make no runs.
    tables.map_for_good(range(512 * 40, 512 * 40 + 32), block(3), READ, Level::Pmd).unwrap();
    assert!(!tables.walk(va(512 * 40 + 16)).unwrap().desc.attributes().is_contiguous());
    end(&machine, tables);
}

#[test]
#[should_panic(expected = "mapped for good")]
fn a_run_is_never_changed() {
    let machine = Machine::new(16);
    let mut tables = tables(&machine);
    tables.map_for_good(range(0, 64), block(0), READ, Level::Pmd).unwrap();
    tables.protect(range(20, 21), |_, _| Some(WRITE)).unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Map(u64, u64, u64, bool),
    Unmap(u64, u64),
    Protect(u64, u64, u8),
    Replace(u64),
}

fn step() -> impl Strategy<Value = Step> {
    // Sizes near those of blocks, and small ones.
    let place = || (prop_oneof![0u64..1600, Just(512), Just(1024)], prop_oneof![1u64..20, 500u64..520, Just(512)]);
    prop_oneof![
        (place(), prop_oneof![Just(0u64), 0u64..9], any::<bool>())
            .prop_map(|((at, n), skew, w)| Step::Map(at, n, skew, w)),
        place().prop_map(|(at, n)| Step::Unmap(at, n)),
        (place(), 0u8..4).prop_map(|((at, n), prot)| Step::Protect(at, n, prot)),
        (0u64..1600).prop_map(Step::Replace),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_changes_agree_with_a_plain_map(steps in prop::collection::vec(step(), 1..40)) {
        let machine = Machine::new(64);
        let mut tables = tables(&machine);
        let mut model: BTreeMap<u64, (u64, Option<Prot>)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Map(at, n, skew, write) => {
                    let prot = if write { Prot::RW } else { Prot::RX };
                    let wanted = range(at, at + n);
                    let done = tables.map(wanted, block(at + skew), Attributes::user(prot), Owner::Other, Level::Pud);
                    match model.range(at..at + n).next() {
                        Some(_) => prop_assert!(matches!(done, Err(TableError::Occupied(_)))),
                        None => {
                            prop_assert_eq!(done, Ok(()));
                            model.extend((at..at + n).map(|page| (page, (page + skew, Some(prot)))));
                        }
                    }
                }
                Step::Unmap(at, n) => {
                    tables.unmap(range(at, at + n)).unwrap().flush();
                    model.retain(|page, _| !(at..at + n).contains(page));
                }
                Step::Protect(at, n, prot) => {
                    let prot = [None, Some(Prot::READ), Some(Prot::RW), Some(Prot::RX)][prot as usize];
                    tables.protect(range(at, at + n), |_, _| prot.map(Attributes::user)).unwrap();
                    model.range_mut(at..at + n).for_each(|(_, page)| page.1 = prot);
                }
                Step::Replace(at) => {
                    let old = tables.replace_page(va(at), Pfn::new(PMEM + 5000 + at), WRITE, Owner::Other).unwrap();
                    let was = model.insert(at, (5000 + at, Some(Prot::RW)));
                    prop_assert_eq!(old.map(|leaf| leaf.desc.address()), was.map(|(pa, _)| block(pa)));
                }
            }
            tables.validate();
            machine.settled();
            for page in 0..2200 {
                let leaf = tables.walk(va(page));
                let found = leaf.map(|leaf| {
                    let prot = leaf.desc.is_valid().then(|| leaf.desc.attributes());
                    (leaf.translate(va(page)), prot)
                });
                let expected = model.get(&page).map(|(pa, prot)| (block(*pa), prot.map(Attributes::user)));
                prop_assert_eq!(found, expected, "page {}", page);
            }
        }
        tables.unmap(range(0, 4096)).unwrap().flush();
        prop_assert!(machine.lent() <= 2, "more than the root and the spare table");
        end(&machine, tables);
    }
}
