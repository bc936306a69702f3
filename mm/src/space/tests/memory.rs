//! What lies behind the pages: blocks, pages made around a fault, and what the hardware notes in descriptors.

use super::*;
use crate::seams::Frames;
use crate::testing::unload_one;

const AT: VirtAddr = VirtAddr::new(0x5000_0000);

fn page(n: u64) -> VirtAddr {
    VirtAddr::new(AT.get() + pages(n))
}

fn fixed(n: u64, len: u64, prot: Prot) -> Request<TestFile> {
    anonymous(Place::Fixed(page(n)), pages(len), prot)
}

fn shared(n: u64, len: u64, backing: &TestFile) -> Request<TestFile> {
    Request { what: What::Shared { backing: backing.clone(), pgoff: 0 }, ..fixed(n, len, Prot::RW) }
}

fn level(space: &Space<'_>, va: VirtAddr) -> Option<Level> {
    space.leaf(va).map(|leaf| leaf.level)
}

#[test]
fn a_store_where_a_block_fits_gets_one() {
    let machine = Machine::new(1600);
    let mut space = space(&machine);
    map(&mut space, fixed(0, 1024, Prot::RW)).unwrap();
    read(&machine, &mut space, page(3)).unwrap();
    assert_eq!(level(&space, page(3)), Some(Level::Pte), "zeros are one page");
    write(&machine, &mut space, page(700), 7).unwrap();
    assert_eq!(level(&space, page(512)), Some(Level::Pmd));
    assert_eq!(read(&machine, &mut space, page(512)), Ok(0));
    assert_eq!(space.counts(VirtRange::new(AT, page(1024)).unwrap()).huge, 512);
    // A hole splits it, and what is left stays what it was.
    drop(space.unmap(page(600), pages(10)).unwrap());
    space.validate();
    machine.settled();
    assert_eq!(read(&machine, &mut space, page(700)), Ok(7));
    end(&machine, space);
}

#[test]
fn blocks_are_not_made_where_they_are_not_wanted_or_not_to_be_had() {
    let machine = Machine::new(1600);
    let mut space = space(&machine);
    map(&mut space, fixed(0, 1024, Prot::RW)).unwrap();
    space.advise(page(0), HUGE_SIZE, Advice::NoHugePage).unwrap();
    write(&machine, &mut space, page(1), 1).unwrap();
    assert_eq!(level(&space, page(1)), Some(Level::Pte));
    map(&mut space, fixed(2000, 700, Prot::RW)).unwrap();
    write(&machine, &mut space, page(2001), 1).unwrap();
    assert_eq!(level(&space, page(2001)), Some(Level::Pte), "it reaches out of the VMA");
    let held: Vec<_> = std::iter::from_fn(|| machine.alloc().ok()).take(900).collect();
    write(&machine, &mut space, page(512), 1).unwrap();
    assert_eq!(level(&space, page(512)), Some(Level::Pte), "no block was free");
    held.into_iter().for_each(|frame| machine.free(frame));
    end(&machine, space);
}

#[test]
fn a_forked_block_is_copied_page_by_page_and_written_whole_when_alone() {
    let machine = Machine::new(2200);
    let mut parent = space(&machine);
    map(&mut parent, fixed(0, 512, Prot::RW)).unwrap();
    write(&machine, &mut parent, page(5), 5).unwrap();
    let mut child = parent.fork(CHILD).unwrap();
    machine.load(CHILD, child.root());
    assert_eq!((level(&parent, AT), level(&child, AT)), (Some(Level::Pmd), Some(Level::Pmd)));
    write(&machine, &mut child, page(5), 6).unwrap();
    assert_eq!((level(&parent, AT), level(&child, AT)), (Some(Level::Pmd), Some(Level::Pte)));
    assert_eq!(read(&machine, &mut parent, page(5)), Ok(5));
    assert_eq!(parent.counts(VirtRange::new(AT, page(512)).unwrap()).shared, 511);
    parent.validate();
    child.validate();
    machine.settled();
    unload_one(&machine, CHILD);
    drop(child);
    write(&machine, &mut parent, page(9), 9).unwrap();
    assert_eq!(level(&parent, AT), Some(Level::Pmd), "nobody else has a page of it");
    end(&machine, parent);
}

#[test]
fn a_file_that_lies_in_blocks_is_read_in_blocks() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let backing = TestFile::new(512 * 3, 1024, 0);
    map(&mut space, file(Place::Fixed(AT), 2 * HUGE_SIZE, Prot::RW, &backing, 0)).unwrap();
    assert_eq!(read(&machine, &mut space, page(600)), Ok(PMEM + 512 * 3 + 600));
    assert_eq!((level(&space, page(512)), level(&space, page(0))), (Some(Level::Pmd), None));
    write(&machine, &mut space, page(600), 8).unwrap();
    assert_eq!(level(&space, page(512)), Some(Level::Pte));
    assert_eq!(read(&machine, &mut space, page(601)), Ok(PMEM + 512 * 3 + 601));
    end(&machine, space);
}

#[test]
fn a_read_makes_the_pages_around_it_too() {
    for hardware in [false, true] {
        let machine = Machine::new(64);
        machine.hardware.set(hardware);
        let mut space = space(&machine);
        let backing = TestFile::new(0, 40, 4);
        map(&mut space, file(Place::Fixed(AT), pages(30), Prot::RW, &backing, 0)).unwrap();
        read(&machine, &mut space, page(18)).unwrap();
        let there: Vec<_> = (0..30).filter(|n| space.leaf(page(*n)).is_some()).collect();
        let expected: Vec<u64> = (16..30).filter(|n| n % 4 != 3).collect();
        assert_eq!(there, expected, "up to the end of the VMA; holes are left");
        let young = |n| space.leaf(page(n)).unwrap().desc.attributes().is_young();
        assert_eq!((young(18), young(20)), (true, !hardware));
        read(&machine, &mut space, page(20)).unwrap();
        assert!(space.leaf(page(20)).unwrap().desc.attributes().is_young());
        space.advise(page(0), pages(8), Advice::Random).unwrap();
        read(&machine, &mut space, page(1)).unwrap();
        assert_eq!((0..16).filter(|n| space.leaf(page(*n)).is_some()).count(), 1);
        end(&machine, space);
    }
}

#[test]
fn stores_to_shared_pages_are_seen_with_and_without_hardware() {
    for hardware in [false, true] {
        let machine = Machine::new(64);
        machine.hardware.set(hardware);
        let mut space = space(&machine);
        let backing = TestFile::new(0, 40, 0);
        (0..40).for_each(|index| backing.prepare(index));
        map(&mut space, shared(0, 8, &backing)).unwrap();
        let all = VirtRange::new(AT, page(8)).unwrap();
        let dirty = |space: &mut Space<'_>| {
            let mut told = Vec::new();
            space.clean(all, |_, index, count| told.push((index, count))).unwrap();
            machine.settled();
            told
        };
        write(&machine, &mut space, page(2), 1).unwrap();
        read(&machine, &mut space, page(3)).unwrap();
        assert_eq!(space.counts(all).file_dirty, 1);
        assert_eq!(dirty(&mut space), [(2, 1)]);
        assert_eq!(dirty(&mut space), []);
        let stores = machine.access(space.asid().unwrap(), page(2), Access::Write);
        assert_eq!(stores, hardware, "the right to write stays; without hardware the store faults");
        write(&machine, &mut space, page(2), 2).unwrap();
        assert_eq!(dirty(&mut space), [(2, 1)]);
        // What goes leaves its dirt on the page.
        write(&machine, &mut space, page(2), 3).unwrap();
        let block = machine.page(units::Pfn::new(PMEM + 2)).unwrap();
        assert!(block.clear_page_dirty(), "what was clean in the tables is the file's to clear");
        drop(space.unmap(AT, pages(8)).unwrap());
        assert!(block.clear_page_dirty());
        end(&machine, space);
    }
}

#[test]
fn a_store_of_another_cpu_during_a_move_is_not_forgotten() {
    let machine = Machine::new(64);
    machine.hardware.set(true);
    let mut space = space(&machine);
    let backing = TestFile::new(0, 40, 0);
    (0..40).for_each(|index| backing.prepare(index));
    // Two pages on both sides of a border of tables, where they are and where they go.
    map(&mut space, Request { place: Place::Fixed(page(511)), ..shared(0, 2, &backing) }).unwrap();
    for n in [511, 512] {
        write(&machine, &mut space, page(n), 1).unwrap();
    }
    let all = VirtRange::new(page(511), page(513)).unwrap();
    space.clean(all, |_, _, _| {}).unwrap();
    let to = VirtAddr::new(0x70_0000_0000 + pages(511));
    // The first new place has its tables by then (two), the second needs one.
    machine.racing_from.set(machine.lent() + 1);
    machine.racing.set(Some(page(511)));
    drop(remap(&mut space, page(511), pages(2), pages(2), RemapPlace::Fixed(to)).unwrap());
    assert_eq!(machine.racing.get(), None, "nobody raced");
    let mut told = Vec::new();
    let moved = VirtRange::new(to, VirtAddr::new(to.get() + pages(2))).unwrap();
    space.clean(moved, |_, index, _| told.push(index)).unwrap();
    assert_eq!(told, [0]);
    end(&machine, space);
}

#[test]
fn pages_grow_old_and_young_again() {
    for hardware in [false, true] {
        let machine = Machine::new(64);
        machine.hardware.set(hardware);
        let mut space = space(&machine);
        map(&mut space, fixed(0, 4, Prot::RW)).unwrap();
        write(&machine, &mut space, page(0), 1).unwrap();
        write(&machine, &mut space, page(1), 2).unwrap();
        let all = VirtRange::new(AT, page(4)).unwrap();
        let mut seen = Vec::new();
        space.age(all, |page, young| seen.push((page, young))).unwrap();
        machine.settled();
        assert_eq!(seen.iter().map(|(_, young)| *young).collect::<Vec<_>>(), [true, true]);
        assert_eq!(space.counts(all).referenced, 0);
        assert_eq!(machine.access(space.asid().unwrap(), page(1), Access::Read), hardware);
        assert_eq!(read(&machine, &mut space, page(1)), Ok(2));
        assert_eq!(space.counts(all).referenced, 1);
        end(&machine, space);
    }
}

#[test]
fn counts_say_what_the_pages_are() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let backing = TestFile::new(0, 4, 0);
    map(&mut space, fixed(0, 10, Prot::RW)).unwrap();
    map(&mut space, file(Place::Fixed(page(10)), pages(4), Prot::RX, &backing, 0)).unwrap();
    write(&machine, &mut space, page(0), 1).unwrap();
    read(&machine, &mut space, page(1)).unwrap();
    read(&machine, &mut space, page(11)).unwrap();
    space.lock(page(8), pages(2), LockHow::OnFault).unwrap();
    let all = VirtRange::new(AT, page(14)).unwrap();
    let expected = Counts {
        size: 14,
        rss: 2,
        referenced: 2,
        anonymous: 1,
        file: 1,
        locked: 2,
        proportional: 1 << Counts::FRACTION,
        ..Counts::default()
    };
    assert_eq!(space.counts(all), expected);
    let child = space.fork(CHILD).unwrap();
    assert_eq!(space.counts(all).proportional, 1 << (Counts::FRACTION - 1));
    drop(child);
    end(&machine, space);
}

#[test]
fn a_shared_file_that_lies_in_blocks_is_stored_to_in_blocks_where_it_allows_that() {
    for loaded_first in [false, true] {
        let machine = Machine::new(64);
        let mut space = space(&machine);
        let backing = TestFile::new(512 * 3, 1024, 0);
        map(&mut space, shared(0, 1024, &backing)).unwrap();
        (512..1024).for_each(|index| backing.prepare(index));
        if loaded_first {
            read(&machine, &mut space, page(700)).unwrap();
            assert!(!space.leaf(page(700)).unwrap().desc.attributes().writable());
        }
        write(&machine, &mut space, page(600), 8).unwrap();
        let leaf = space.leaf(page(600)).unwrap();
        assert_eq!((leaf.level, leaf.desc.attributes().is_dirty()), (Level::Pmd, true));
        assert_eq!(space.counts(VirtRange::new(AT, page(1024)).unwrap()).huge, 512);
        // Of this one a page is not to be stored to.
        (0..511).for_each(|index| backing.prepare(index));
        if loaded_first {
            read(&machine, &mut space, page(3)).unwrap();
        }
        write(&machine, &mut space, page(5), 9).unwrap();
        assert_eq!(level(&space, page(5)), Some(Level::Pte));
        assert_eq!(write(&machine, &mut space, page(511), 1), Err(FaultError::Unprepared));
        machine.settled();
        end(&machine, space);
    }
}

#[test]
fn a_block_that_cannot_be_split_is_taken_away_as_a_whole() {
    for what in [Revoke::Pages, Revoke::Stores, Revoke::Dirt] {
        let machine = Machine::new(64);
        let mut space = space(&machine);
        let backing = TestFile::new(512 * 3, 1024, 0);
        (0..1024).for_each(|index| backing.prepare(index));
        map(&mut space, shared(0, 1024, &backing)).unwrap();
        write(&machine, &mut space, page(600), 8).unwrap();
        let mapper = *backing.promise.links.borrow().first().unwrap();
        machine.allowance.set(Some(0));
        space.revoke(mapper, |file| file.same(&backing), 700, 1, what).unwrap();
        machine.settled();
        machine.allowance.set(None);
        let left = space.leaf(page(600)).map(|leaf| leaf.desc.attributes());
        match what {
            Revoke::Pages => assert_eq!(left, None),
            Revoke::Dirt => assert!(left.is_some_and(|left| left.may_store() && !left.is_dirty())),
            _ => assert!(left.is_some_and(|left| !left.may_store())),
        }
        write(&machine, &mut space, page(700), 9).unwrap();
        space.revoke_everywhere(|file| file.same(&backing), 0, 1024, Revoke::Pages).unwrap();
        assert_eq!(space.leaf(page(700)), None);
        end(&machine, space);
    }
}

/// How many leaves map the first page of the block at `va`, and how many references it has.
fn counts_of(machine: &Machine, space: &Space<'_>, va: VirtAddr) -> (u32, u32) {
    let frame = space.leaf(va).unwrap().translate(va).pfn();
    (crate::page::mappers(&machine, frame), machine.page(frame).unwrap().count())
}

#[test]
fn a_fork_shares_a_block_by_one_count() {
    let machine = Machine::new(1600);
    let mut parent = space(&machine);
    map(&mut parent, fixed(0, 512, Prot::RW)).unwrap();
    write(&machine, &mut parent, page(7), 7).unwrap();
    let lent = machine.lent();
    let mut child = parent.fork(CHILD).unwrap();
    machine.load(CHILD, child.root());
    assert_eq!((machine.lent() - lent, level(&child, page(0))), (3, Some(Level::Pmd)));
    assert_eq!(
        (counts_of(&machine, &parent, page(9)), parent.counts(VirtRange::new(AT, page(512)).unwrap()).shared),
        ((2, 1), 512)
    );
    // A store copies one page; the others are shared page by page in the child, as a block in the parent.
    write(&machine, &mut child, page(7), 8).unwrap();
    assert_eq!((level(&child, page(9)), level(&parent, page(9))), (Some(Level::Pte), Some(Level::Pmd)));
    assert_eq!((counts_of(&machine, &parent, page(7)), counts_of(&machine, &parent, page(9))), ((1, 1), (2, 2)));
    assert_eq!((read(&machine, &mut parent, page(7)), read(&machine, &mut child, page(7))), (Ok(7), Ok(8)));
    // Alone again, the parent stores to the block in place.
    child.validate();
    unload_one(&machine, CHILD);
    drop(child);
    assert_eq!(machine.lent(), lent);
    write(&machine, &mut parent, page(9), 9).unwrap();
    assert_eq!((level(&parent, page(9)), counts_of(&machine, &parent, page(9))), (Some(Level::Pmd), (1, 1)));
    end(&machine, parent);
}

#[test]
fn a_block_outlives_whoever_made_it() {
    for split in [false, true] {
        let machine = Machine::new(1600);
        let mut parent = space(&machine);
        map(&mut parent, fixed(0, 512, Prot::RW)).unwrap();
        write(&machine, &mut parent, page(7), 7).unwrap();
        let mut child = parent.fork(CHILD).unwrap();
        machine.load(CHILD, child.root());
        if split {
            drop(parent.unmap(page(100), PAGE_SIZE).unwrap());
        }
        drop(parent.unmap(page(0), pages(512)).unwrap());
        assert_eq!((counts_of(&machine, &child, page(100)), counts_of(&machine, &child, page(7))), ((1, 1), (1, 1)));
        assert_eq!(read(&machine, &mut child, page(7)), Ok(7));
        write(&machine, &mut child, page(8), 8).unwrap();
        assert_eq!(level(&child, page(8)), Some(Level::Pmd));
        child.validate();
        machine.settled();
        unload_one(&machine, CHILD);
        drop(child);
        end(&machine, parent);
    }
}

/// Ends the mappings of pages `first..end` in pieces; answers where each began.
fn unmap_in_pieces(machine: &Machine, space: &mut Space<'_>, first: u64, end: u64) -> Vec<u64> {
    let mut begun = Vec::new();
    let mut left = Some(unmap_range(page(first), pages(end - first)).unwrap());
    while let Some(range) = left {
        begun.push((range.start().get() - AT.get()) / PAGE_SIZE);
        let rest = space.unmap_piece(range, &mut Released::none()).unwrap();
        assert!(rest.is_none_or(|rest| rest.start() > range.start() && rest.end() == range.end()));
        let gone = VirtRange::new(range.start(), rest.map_or(range.end(), |rest| rest.start())).unwrap();
        assert!(space.find_vma(range.start()).is_none_or(|vma| vma.start() >= gone.end()));
        space.validate();
        machine.settled();
        left = rest;
    }
    begun
}

#[test]
fn much_is_unmapped_in_pieces() {
    const BLOCKS: u64 = 18;
    for (first, end) in [(0, 512 * BLOCKS), (100, 512 * BLOCKS), (0, 512 * BLOCKS - 100), (100, 512 * BLOCKS - 100)] {
        let machine = Machine::new(512 * (BLOCKS + 2));
        let mut space = space(&machine);
        map(&mut space, fixed(0, 512 * BLOCKS, Prot::RW)).unwrap();
        (0..BLOCKS).for_each(|n| write(&machine, &mut space, page(512 * n), n).unwrap());
        let begun = unmap_in_pieces(&machine, &mut space, first, end);
        // A block that was split has 512 pages, of which those that go count.
        assert!(
            begun.len() == 2 && begun[1].is_multiple_of(512) && (512 * 8..=512 * 16).contains(&begun[1]),
            "{begun:?}"
        );
        let left: Vec<_> = space.vmas().map(|vma| vma.range().len().get() / PAGE_SIZE).collect();
        let kept: Vec<_> = [first, 512 * BLOCKS - end].into_iter().filter(|kept| *kept > 0).collect();
        assert_eq!(left, kept);
        if first > 0 {
            assert_eq!(read(&machine, &mut space, page(0)), Ok(0));
        }
        super::end(&machine, space);
    }
}

#[test]
fn many_vmas_are_unmapped_in_pieces() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    for n in 0..100 {
        map(&mut space, fixed(40 * n, 20, Prot::RW)).unwrap();
    }
    assert_eq!(unmap_in_pieces(&machine, &mut space, 10, 4000), [10, 40 * 64]);
    assert_eq!((space.map_count(), space.total_vm().get()), (1, 10));
    end(&machine, space);
}

#[test]
fn much_is_given_up_in_pieces() {
    const BLOCKS: u64 = 18;
    let machine = Machine::new(512 * (BLOCKS + 2));
    let mut space = space(&machine);
    map(&mut space, fixed(0, 512 * BLOCKS, Prot::RW)).unwrap();
    (0..BLOCKS).for_each(|n| write(&machine, &mut space, page(512 * n), n + 1).unwrap());
    let range = advise_range(page(0), pages(512 * BLOCKS + 1)).unwrap().unwrap();
    let mut holes = Holes::None;
    let left = space.advise_piece(range, Advice::DontNeed, &mut holes).unwrap().unwrap();
    assert_eq!((left.start(), left.end(), holes), (page(512 * 16), range.end(), Holes::None));
    assert_eq!((level(&space, page(512 * 15)), level(&space, page(512 * 16))), (None, Some(Level::Pmd)));
    let left = space.advise_piece(left, Advice::DontNeed, &mut holes).unwrap().unwrap();
    assert_eq!((left.start(), level(&space, page(512 * 17))), (page(512 * BLOCKS), None));
    assert_eq!(space.advise_piece(left, Advice::DontNeed, &mut holes), Ok(None));
    assert_eq!(holes.refused(), Err(AdviseError::Unmapped));
    assert_eq!(read(&machine, &mut space, page(0)), Ok(0));
    end(&machine, space);
}
