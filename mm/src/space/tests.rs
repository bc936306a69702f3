//! Address spaces on a machine that knows the rules. `drawn` shows VMAs as pictures, `model` plays random sequences
//! against a page array, and this file holds what needs words.

mod calls;
mod drawn;
mod fork;
mod memory;
mod model;

use units::{FileOff, HUGE_SIZE, PAGE_SIZE, VirtAddr, VirtRange};

use super::*;
use crate::desc::{Level, Owner, Prot};
use crate::seams::{Backing, SpaceId};
use crate::testing::{ASID, BAD, CHILD, Machine, PMEM, TestFile, pages, unload};
use crate::vma::{STACK_GUARD_GAP, VmaFlags};

type Space<'m> = AddressSpace<&'m Machine, &'m Machine, TestFile>;

fn space(machine: &Machine) -> Space<'_> {
    let space = AddressSpace::new(machine, machine, ASID).unwrap();
    machine.load_root(space.root());
    space
}

fn end(machine: &Machine, space: Space<'_>) {
    space.validate();
    machine.settled();
    unload(machine);
    drop(space);
    assert_eq!(machine.lent(), 0, "frames were lost");
    assert_eq!(machine.commit.committed().get(), 0, "a promise was not taken back");
}

/// What is promised is the length of the VMAs that say so, where there is no other space.
fn accounted(space: &Space<'_>) {
    let vmas = space.vmas().filter(|vma| vma.flags().contains(VmaFlags::ACCOUNT));
    assert_eq!(vmas.map(|vma| vma.pages().get()).sum::<u64>(), space.tables().frames().commit.committed().get());
}

/// The files know exactly the VMAs that show them.
fn linked(space: &Space<'_>, files: &[TestFile]) {
    for file in files {
        let shows = |vma: &&Vma<TestFile>| vma.backing().is_some_and(|backing| backing.same(file));
        let vmas: std::collections::BTreeSet<_> = space.vmas().filter(shows).map(|vma| space.mapper(vma)).collect();
        let links: std::collections::BTreeSet<_> =
            file.promise.links.borrow().iter().filter(|link| link.space == space.id()).copied().collect();
        assert_eq!(links, vmas);
    }
}

fn anonymous(place: Place, len: u64, prot: Prot) -> Request<TestFile> {
    Request { place, len, prot, flags: VmaFlags::empty(), what: What::Anonymous }
}

fn file(place: Place, len: u64, prot: Prot, backing: &TestFile, pgoff: u64) -> Request<TestFile> {
    let what = What::File { backing: backing.clone(), pgoff };
    Request { place, len, prot, flags: VmaFlags::empty(), what }
}

fn map(space: &mut Space<'_>, request: Request<TestFile>) -> Result<VirtAddr, MapError> {
    space.map(request).map(|mapped| mapped.at)
}

/// `mremap`; what ended where it went to is let go of.
fn remap(
    space: &mut Space<'_>,
    start: VirtAddr,
    old_len: u64,
    new_len: u64,
    place: RemapPlace,
) -> Result<Remapped<TestFile>, RemapError> {
    space.remap(start, old_len, new_len, place, &mut Released::none())
}

/// A program's load from the page at `va`: the TLB first, then a fault, which must do.
fn read(machine: &Machine, space: &mut Space<'_>, va: VirtAddr) -> Result<u64, FaultError> {
    reach(machine, space, va, Access::Read)?;
    Ok(machine.word(space.leaf(va).unwrap().translate(va).pfn()))
}

/// A program's store to the page at `va`.
fn write(machine: &Machine, space: &mut Space<'_>, va: VirtAddr, word: u64) -> Result<(), FaultError> {
    reach(machine, space, va, Access::Write)?;
    machine.set_word(space.leaf(va).unwrap().translate(va).pfn(), word);
    Ok(())
}

fn reach(machine: &Machine, space: &mut Space<'_>, va: VirtAddr, access: Access) -> Result<(), FaultError> {
    if !machine.access(space.asid().unwrap(), va, access) {
        space.fault(va, access)?;
        assert!(
            machine.access(space.asid().unwrap(), va, access),
            "{va}: a fault was handled, and the next {access:?} faults again"
        );
    }
    Ok(())
}

const MIB: u64 = 1 << 20;

#[test]
fn refusals_of_mmap_come_in_linux_order() {
    let machine = Machine::new(16);
    let mut space = space(&machine);
    let at = |n| Place::Fixed(VirtAddr::new(n));
    let mut refuse = |place, len| map(&mut space, anonymous(place, len, Prot::READ)).unwrap_err();
    assert_eq!(refuse(at(1), 0), MapError::Invalid);
    assert_eq!(refuse(at(1), u64::MAX), MapError::OutOfMemory);
    assert_eq!(refuse(Place::ANYWHERE, TASK_SIZE), MapError::OutOfMemory);
    assert_eq!(refuse(at(TASK_SIZE - 1), PAGE_SIZE), MapError::OutOfMemory);
    assert_eq!(refuse(at(0x20001), PAGE_SIZE), MapError::Invalid);
    assert_eq!(refuse(at(0x1000), PAGE_SIZE), MapError::TooLow);
    assert_eq!(refuse(at(0), PAGE_SIZE), MapError::TooLow);
    let far = TestFile::new(0, 1, 0);
    assert_eq!(map(&mut space, file(Place::ANYWHERE, PAGE_SIZE, Prot::READ, &far, u64::MAX)), Err(MapError::Overflow));
    let there = map(&mut space, anonymous(at(0x20000), PAGE_SIZE, Prot::READ)).unwrap();
    let no_replace = anonymous(Place::FixedNoReplace(there), PAGE_SIZE, Prot::READ);
    assert_eq!(map(&mut space, no_replace), Err(MapError::Exists));
    end(&machine, space);
}

#[test]
fn mappings_are_stacked_downwards_from_below_the_stack() {
    let machine = Machine::new(16);
    let mut space = space(&machine);
    assert_eq!(space.mmap_base(), VirtAddr::new(0xffff_f800_0000));
    let first = map(&mut space, anonymous(Place::ANYWHERE, 1, Prot::READ)).unwrap();
    let second = map(&mut space, anonymous(Place::ANYWHERE, pages(3), Prot::RW)).unwrap();
    assert_eq!((first.get(), second.get()), (0xffff_f7ff_f000, 0xffff_f7ff_c000));
    let aligned = Place::Anywhere { align: HUGE_SIZE, offset: pages(3) };
    let third = map(&mut space, anonymous(aligned, pages(1), Prot::RW)).unwrap();
    assert_eq!(third.get() % HUGE_SIZE, pages(3));
    end(&machine, space);
}

#[test]
fn a_hint_is_taken_where_there_is_room_and_guards_are_kept() {
    let machine = Machine::new(16);
    let mut space = space(&machine);
    let hint = |n| Place::Hint(VirtAddr::new(n));
    assert_eq!(map(&mut space, anonymous(hint(0x5000_0123), 1, Prot::READ)).unwrap().get(), 0x5000_0000);
    assert_ne!(map(&mut space, anonymous(hint(0x5000_0000), 1, Prot::READ)).unwrap().get(), 0x5000_0000);
    assert_eq!(map(&mut space, anonymous(hint(1 << 12), 1, Prot::READ)).unwrap().get(), MMAP_MIN_ADDR);
    let base = space.mmap_base();
    assert!(map(&mut space, anonymous(hint(TASK_SIZE - PAGE_SIZE), pages(2), Prot::READ)).unwrap() < base);
    let stack =
        Request { flags: VmaFlags::GROWS_DOWN, ..anonymous(Place::Fixed(VirtAddr::new(0x9000_0000)), 1, Prot::RW) };
    map(&mut space, stack).unwrap();
    let close = 0x9000_0000 - STACK_GUARD_GAP;
    assert_ne!(map(&mut space, anonymous(hint(close), 1, Prot::READ)).unwrap().get(), close);
    let free = close - PAGE_SIZE;
    assert_eq!(map(&mut space, anonymous(hint(free), 1, Prot::READ)).unwrap().get(), free);
    end(&machine, space);
}

#[test]
fn memory_costs_nothing_until_touched_and_zeros_are_shared() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let at = map(&mut space, anonymous(Place::ANYWHERE, 1 << 40, Prot::RW)).unwrap();
    assert_eq!(machine.lent(), 1);
    assert_eq!(read(&machine, &mut space, at), Ok(0));
    assert_eq!(machine.lent(), 4, "three tables; the page is the shared one");
    write(&machine, &mut space, at, 9).unwrap();
    assert_eq!(machine.lent(), 5);
    assert_eq!(read(&machine, &mut space, at), Ok(9));
    assert_eq!(read(&machine, &mut space, VirtAddr::new(at.get() + PAGE_SIZE)), Ok(0));
    assert!(space.unmap(at, 1 << 40).unwrap().is_empty());
    assert_eq!(machine.lent(), 2, "the root and the spare table");
    end(&machine, space);
}

#[test]
fn a_private_file_is_the_files_own_page_until_written() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let backing = TestFile::new(100, 4, 4);
    let at = map(&mut space, file(Place::ANYWHERE, pages(5), Prot::RW, &backing, 0)).unwrap();
    let page = |n| VirtAddr::new(at.get() + pages(n));
    assert_eq!(read(&machine, &mut space, page(1)), Ok(PMEM + 101));
    assert_eq!(space.leaf(page(1)).unwrap().desc.pfn().get(), PMEM + 101);
    write(&machine, &mut space, page(1), 5).unwrap();
    write(&machine, &mut space, page(2), 6).unwrap();
    assert_eq!(read(&machine, &mut space, page(1)), Ok(5));
    assert_eq!(read(&machine, &mut space, page(3)), Ok(0), "a hole");
    write(&machine, &mut space, page(3), 7).unwrap();
    assert_eq!(read(&machine, &mut space, page(4)), Err(FaultError::Beyond));
    assert_eq!(write(&machine, &mut space, page(4), 1), Err(FaultError::Beyond));
    space.advise(at, pages(5), Advice::DontNeed).unwrap();
    assert_eq!(read(&machine, &mut space, page(1)), Ok(PMEM + 101), "the file again");
    drop(backing);
    let mut released = space.unmap(at, pages(5)).unwrap();
    assert_eq!(released.len(), 1);
    assert_eq!(std::rc::Rc::strong_count(&released.first.take().unwrap().promise), 1);
    end(&machine, space);
}

#[test]
fn bad_media_under_a_copy_is_told_apart() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let backing = TestFile::new(BAD, 1, 0);
    let at = map(&mut space, file(Place::ANYWHERE, pages(1), Prot::RW, &backing, 0)).unwrap();
    let lent = machine.lent();
    assert_eq!(write(&machine, &mut space, at, 1), Err(FaultError::Poisoned));
    assert!(machine.lent() <= lent + 1, "nothing but a spare table");
    end(&machine, space);
}

#[test]
fn rights_decide_what_a_fault_is() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let at = map(&mut space, anonymous(Place::ANYWHERE, pages(1), Prot::READ)).unwrap();
    assert_eq!(space.fault(at, Access::Write), Err(FaultError::Denied));
    assert_eq!(space.fault(at, Access::Exec), Err(FaultError::Denied));
    assert_eq!(space.fault(VirtAddr::new(at.get() + PAGE_SIZE), Access::Read), Err(FaultError::Unmapped));
    assert_eq!(space.fault(VirtAddr::new(at.get() - 1), Access::Read), Err(FaultError::Unmapped));
    assert_eq!(space.fault(VirtAddr::new(u64::MAX), Access::Read), Err(FaultError::Unmapped));
    let range = protect_range(at, 1).unwrap().unwrap();
    space.protect(range, Prot::empty()).unwrap();
    assert_eq!(space.fault(at, Access::Read), Err(FaultError::Denied));
    space.protect(range, Prot::EXEC).unwrap();
    assert_eq!(read(&machine, &mut space, at), Ok(0), "what can be executed can be read");
    end(&machine, space);
}

#[test]
fn a_stack_grows_to_its_limit_and_keeps_its_guard() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let top = TASK_SIZE - PAGE_SIZE;
    let stack = Request { flags: VmaFlags::GROWS_DOWN, ..anonymous(Place::Fixed(VirtAddr::new(top)), 1, Prot::RW) };
    map(&mut space, stack).unwrap();
    write(&machine, &mut space, VirtAddr::new(top - MIB), 1).unwrap();
    assert_eq!(space.find_vma(VirtAddr::new(top)).unwrap().start().get(), top - MIB);
    let limit = TASK_SIZE - DEFAULT_STACK_LIMIT;
    assert_eq!(space.fault(VirtAddr::new(limit - 1), Access::Write), Err(FaultError::Unmapped));
    // A neighbour that can be accessed keeps the guard gap free, one that cannot does not.
    let below = limit + pages(8);
    map(&mut space, anonymous(Place::Fixed(VirtAddr::new(below - PAGE_SIZE)), 1, Prot::READ)).unwrap();
    let guarded = VirtAddr::new(below + STACK_GUARD_GAP - PAGE_SIZE);
    assert_eq!(space.fault(guarded, Access::Write), Err(FaultError::Unmapped));
    space.validate();
    let range = protect_range(VirtAddr::new(below - PAGE_SIZE), 1).unwrap().unwrap();
    space.protect(range, Prot::empty()).unwrap();
    write(&machine, &mut space, guarded, 1).unwrap();
    write(&machine, &mut space, VirtAddr::new(below), 1).unwrap();
    end(&machine, space);
}

#[test]
fn peek_is_complete_at_the_call_and_in_blocks_where_they_fit() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    // Frames congruent to the file modulo 2 MiB from page 512 on.
    let backing = TestFile::new(512 * 6, 512 * 3 + 7, 0);
    let offset = FileOff::new(pages(300) + 77);
    let len = pages(512 * 3) - pages(300);
    let pointer = space.peek(backing.clone(), offset, len).unwrap();
    assert_eq!(pointer.get() % HUGE_SIZE, offset.get() % HUGE_SIZE);
    let page = |n: u64| VirtAddr::new(pointer.get() - offset.get() + pages(n));
    let levels = [300, 511, 512, 1535, 1536].map(|n| space.leaf(page(n)).unwrap().level);
    assert_eq!(levels, [Level::Pte, Level::Pte, Level::Pmd, Level::Pmd, Level::Pte]);
    assert_eq!(space.leaf(page(1537)), None);
    for n in [300, 511, 512, 1000, 1536] {
        assert_eq!(space.leaf(page(n)).unwrap().translate(page(n)).pfn().get(), PMEM + 512 * 6 + n);
    }
    assert_eq!(space.fault(page(700), Access::Write), Err(FaultError::Denied));
    let range = protect_range(page(512), HUGE_SIZE).unwrap().unwrap();
    for prot in [Prot::RW, Prot::RX, Prot::WRITE] {
        assert_eq!(space.protect(range, prot), Err(ProtectError::Denied));
    }
    for advice in [Advice::DontNeed, Advice::Free] {
        assert_eq!(space.advise(page(512), HUGE_SIZE, advice), Err(AdviseError::Invalid));
    }
    assert_eq!(space.removal(range).err(), Some(AdviseError::Invalid));
    space.protect(range, Prot::empty()).unwrap();
    space.validate();
    assert_eq!(space.fault(page(600), Access::Read), Err(FaultError::Denied));
    assert!(space.unmap(page(520), pages(10)).unwrap().is_empty(), "a part goes, the promise stays");
    space.validate();
    space.protect(protect_range(page(512), pages(8)).unwrap().unwrap(), Prot::READ).unwrap();
    assert_eq!(read(&machine, &mut space, page(515)), Ok(PMEM + 512 * 6 + 515));
    assert_eq!(space.unpeek(VirtAddr::new(pointer.get() + 1)).err(), Some(NotPeeked));
    drop(backing);
    let released = space.unpeek(pointer).unwrap();
    assert_eq!(std::rc::Rc::strong_count(&released.first.as_ref().unwrap().promise), 1);
    assert_eq!((space.map_count(), space.unpeek(pointer).err()), (0, Some(NotPeeked)));
    end(&machine, space);
}

#[test]
fn past_the_end_of_what_was_peeked_is_a_bus_error_and_behind_it_a_guard() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let backing = TestFile::new(0, 2, 2);
    let first = space.peek(backing.clone(), FileOff::new(0), pages(3)).unwrap();
    assert_eq!(read(&machine, &mut space, VirtAddr::new(first.get() + pages(1))), Ok(0), "a hole");
    assert_eq!(space.fault(VirtAddr::new(first.get() + pages(2)), Access::Read), Err(FaultError::Beyond));
    assert_eq!(first, VirtAddr::new(space.mmap_base().get() - pages(4)));
    let second = space.peek(backing, FileOff::new(0), 1).unwrap();
    assert_eq!(second, VirtAddr::new(first.get() - pages(2)));
    let hint = Place::Hint(VirtAddr::new(second.get() + pages(1)));
    assert_ne!(map(&mut space, anonymous(hint, 1, Prot::READ)), Ok(VirtAddr::new(second.get() + pages(1))));
    assert_eq!(space.peek(TestFile::new(0, 1, 0), FileOff::new(0), 0), Err(PeekError::Invalid));
    assert_eq!(space.peek(TestFile::new(0, 1, 0), FileOff::new(u64::MAX), 9), Err(PeekError::Invalid));
    end(&machine, space);
}

#[test]
fn unpeek_ends_what_is_left_and_nothing_that_came_since() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let backing = TestFile::new(0, 9, 0);
    let pointer = space.peek(backing.clone(), FileOff::new(5), pages(5)).unwrap();
    let page = |n: u64| VirtAddr::new(pointer.get() - 5 + pages(n));
    let over = map(&mut space, file(Place::Fixed(page(2)), pages(1), Prot::READ, &backing, 0)).unwrap();
    assert!(space.unpeek(pointer).is_ok());
    assert_eq!(space.vmas().map(|vma| vma.start()).collect::<Vec<_>>(), [over]);
    // The first page gone, the pointer names nothing.
    let pointer = space.peek(backing, FileOff::new(0), pages(3)).unwrap();
    drop(space.unmap(pointer, 1).unwrap());
    assert_eq!(space.unpeek(pointer).err(), Some(NotPeeked));
    end(&machine, space);
}

#[test]
fn unpeek_leaves_another_peek_in_its_hole_alone() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let first = space.peek(TestFile::new(0, 9, 0), FileOff::new(0), pages(8)).unwrap();
    drop(space.unmap(VirtAddr::new(first.get() + pages(1)), pages(6)).unwrap());
    let second = space.peek(TestFile::new(50, 9, 0), FileOff::new(0), pages(1)).unwrap();
    assert!(first < second && second.get() < first.get() + pages(7));
    drop(space.unpeek(first).unwrap());
    assert_eq!(space.vmas().map(|vma| vma.start()).collect::<Vec<_>>(), [second]);
    assert_eq!(read(&machine, &mut space, second), Ok(PMEM + 50));
    end(&machine, space);
}

#[test]
fn a_fault_that_another_cpu_was_faster_to_handle_changes_nothing() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let at = map(&mut space, file(Place::ANYWHERE, pages(1), Prot::all(), &TestFile::new(5, 1, 0), 0)).unwrap();
    for access in [Access::Read, Access::Exec, Access::Write, Access::Write, Access::Read] {
        let _first = space.fault(at, access);
        let leaf = space.leaf(at);
        assert_eq!((space.fault(at, access), space.leaf(at)), (Ok(()), leaf));
        let owner = if matches!(access, Access::Write) || leaf.unwrap().desc.attributes().writable() {
            Owner::Tree
        } else {
            Owner::Other
        };
        assert_eq!(leaf.unwrap().desc.owner(), owner);
    }
    end(&machine, space);
}

#[test]
fn out_of_memory_in_a_peek_maps_nothing() {
    for allowance in 0..6 {
        let machine = Machine::new(64);
        let mut space = space(&machine);
        machine.allowance.set(Some(allowance));
        let peek = space.peek(TestFile::new(0, 2000, 3), FileOff::new(0), pages(2000));
        machine.allowance.set(None);
        assert_eq!(peek.is_err(), space.map_count() == 0);
        end(&machine, space);
    }
}

#[test]
fn out_of_memory_in_a_fault_leaves_no_table_behind() {
    for allowance in 0..4 {
        let machine = Machine::new(64);
        let mut space = space(&machine);
        let at = map(&mut space, anonymous(Place::ANYWHERE, 1, Prot::RW)).unwrap();
        machine.allowance.set(Some(allowance));
        assert_eq!(space.fault(at, Access::Write), Err(FaultError::OutOfMemory));
        space.validate();
        machine.allowance.set(None);
        write(&machine, &mut space, at, 3).unwrap();
        end(&machine, space);
    }
}

#[test]
fn the_heap_moves_between_its_start_and_what_is_in_the_way() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let start = 0x40_0000;
    let brk = |space: &mut Space<'_>, to: u64| space.brk(VirtAddr::new(to)).0.get();
    space.set_brk(VirtAddr::new(start));
    assert_eq!(brk(&mut space, 0), start);
    assert_eq!(brk(&mut space, start + 10), start + 10);
    write(&machine, &mut space, VirtAddr::new(start), 1).unwrap();
    assert_eq!(brk(&mut space, start + pages(4)), start + pages(4));
    assert_eq!(space.map_count(), 1, "the heap is one VMA");
    map(&mut space, anonymous(Place::Fixed(VirtAddr::new(start + pages(8))), 1, Prot::READ)).unwrap();
    assert_eq!(brk(&mut space, start + pages(8)), start + pages(4), "a page must stay free behind the heap");
    assert_eq!(brk(&mut space, start + pages(7)), start + pages(7));
    assert_eq!(brk(&mut space, start - 1), start + pages(7));
    assert_eq!(brk(&mut space, TASK_SIZE + 1), start + pages(7));
    assert_eq!(brk(&mut space, start + 1), start + 1);
    assert_eq!(read(&machine, &mut space, VirtAddr::new(start)), Ok(1));
    assert_eq!(brk(&mut space, start), start);
    assert_eq!((space.map_count(), space.heap().is_empty()), (1, true));
    end(&machine, space);
}

#[test]
fn refusals_of_munmap_mprotect_and_madvise() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let va = VirtAddr::new;
    for (start, len) in [(1, 1), (0x20000, 0), (TASK_SIZE + PAGE_SIZE, 1), (0x20000, TASK_SIZE)] {
        assert_eq!(space.unmap(va(start), len).err(), Some(UnmapError::Invalid));
    }
    assert!(space.unmap(va(0), TASK_SIZE).unwrap().is_empty());
    assert_eq!(protect_range(va(1), 0), Err(ProtectError::Invalid));
    assert_eq!(protect_range(va(0x20000), 0), Ok(None));
    assert_eq!(protect_range(va(0x20000), u64::MAX), Err(ProtectError::Unmapped));
    let at = map(&mut space, anonymous(Place::ANYWHERE, pages(2), Prot::READ)).unwrap();
    let range = VirtRange::new(at, va(at.get() + pages(3))).unwrap();
    assert_eq!(space.protect(range, Prot::RW), Err(ProtectError::Unmapped));
    assert_eq!(space.find_vma(at).unwrap().prot(), Prot::RW, "what lies before the hole has changed");
    assert_eq!(space.advise(va(1), 1, Advice::Hint), Err(AdviseError::Invalid));
    assert_eq!(space.advise(at, u64::MAX, Advice::Hint), Err(AdviseError::Invalid));
    assert_eq!(space.advise(at, 0, Advice::DontNeed), Ok(()));
    write(&machine, &mut space, at, 4).unwrap();
    assert_eq!(space.advise(va(at.get() - pages(1)), pages(4), Advice::DontNeed), Err(AdviseError::Unmapped));
    assert_eq!(read(&machine, &mut space, at), Ok(0));
    assert_eq!(space.advise(at, 1, Advice::Free), Ok(()));
    let text = map(&mut space, file(Place::ANYWHERE, 1, Prot::RX, &TestFile::new(0, 1, 0), 0)).unwrap();
    let one = VirtRange::new(text, va(text.get() + pages(1))).unwrap();
    assert_eq!(space.removal(one).err(), Some(AdviseError::Denied));
    assert_eq!(space.advise(text, 1, Advice::Free), Err(AdviseError::Invalid));
    space.fault(text, Access::Exec).unwrap();
    end(&machine, space);
}

#[test]
fn sixty_five_thousand_vmas_and_no_more() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    // Every second page, so that none merges.
    let page = |n: u64| VirtAddr::new(0x1000_0000 + pages(2 * n));
    let limit = MAX_MAP_COUNT as u64;
    for n in 0..=limit {
        map(&mut space, anonymous(Place::Fixed(page(n)), 1, Prot::READ)).unwrap();
    }
    assert_eq!(map(&mut space, anonymous(Place::ANYWHERE, 1, Prot::READ)), Err(MapError::OutOfMemory));
    space.vmas.validate();
    drop(space.unmap(page(5), 1).unwrap());
    drop(space.unmap(page(6), 1).unwrap());
    let at = map(&mut space, anonymous(Place::ANYWHERE, pages(3), Prot::RW)).unwrap();
    assert_eq!(space.map_count(), MAX_MAP_COUNT);
    let middle = VirtAddr::new(at.get() + PAGE_SIZE);
    assert_eq!(space.unmap(middle, 1).err(), Some(UnmapError::OutOfMemory), "a hole needs one VMA more");
    let range = protect_range(middle, 1).unwrap().unwrap();
    assert_eq!(space.protect(range, Prot::READ), Err(ProtectError::OutOfMemory));
    assert!(space.unmap(at, 1).is_ok(), "an end does not");
    end(&machine, space);
}

#[test]
fn populate_touches_what_may_be_touched() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let at = map(&mut space, anonymous(Place::ANYWHERE, pages(6), Prot::RW)).unwrap();
    let page = |n| VirtAddr::new(at.get() + pages(n));
    space.protect(protect_range(page(2), pages(1)).unwrap().unwrap(), Prot::empty()).unwrap();
    space.protect(protect_range(page(3), pages(1)).unwrap().unwrap(), Prot::READ).unwrap();
    let range = |first, end| VirtRange::new(page(first), page(end)).unwrap();
    assert_eq!(space.populate(range(0, 5)), Err((page(2), FaultError::Denied)));
    space.populate(range(3, 5)).unwrap();
    let owner = |n| space.leaf(page(n)).map(|leaf| leaf.desc.attributes().writable());
    assert_eq!([0, 1, 2, 3, 4, 5].map(owner), [Some(true), Some(true), None, Some(false), Some(true), None]);
    end(&machine, space);
}
