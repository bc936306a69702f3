//! The refusals of each call, in Linux's order, and what its answers mean.

use super::*;
use crate::commit::Overcommit;

const AT: VirtAddr = VirtAddr::new(0x5000_0000);

fn page(n: u64) -> VirtAddr {
    VirtAddr::new(AT.get() + pages(n))
}

fn fixed(n: u64, len: u64, prot: Prot) -> Request<TestFile> {
    anonymous(Place::Fixed(page(n)), pages(len), prot)
}

fn shared(n: u64, len: u64, prot: Prot, backing: &TestFile, pgoff: u64) -> Request<TestFile> {
    Request { what: What::Shared { backing: backing.clone(), pgoff }, ..fixed(n, len, prot) }
}

#[test]
fn mremap_refuses_as_linux_does() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    map(&mut space, fixed(0, 4, Prot::RW)).unwrap();
    map(&mut space, fixed(4, 4, Prot::READ)).unwrap();
    use RemapPlace::{Anywhere, Fixed, Here};
    let mut refuse = |start: VirtAddr, old, new, place| remap(&mut space, start, old, new, place).err().unwrap();
    assert_eq!(refuse(VirtAddr::new(AT.get() + 1), 1, 1, Here), RemapError::Invalid);
    assert_eq!(refuse(AT, pages(1), 0, Here), RemapError::Invalid);
    assert_eq!(refuse(page(9), pages(1), pages(1), Here), RemapError::Fault, "nothing is there");
    assert_eq!(refuse(AT, pages(5), pages(6), Anywhere), RemapError::Fault, "two VMAs");
    assert_eq!(refuse(AT, 0, pages(1), Anywhere), RemapError::Invalid, "a copy of private memory");
    assert_eq!(refuse(AT, pages(4), pages(5), Here), RemapError::OutOfMemory, "somebody is behind it");
    assert_eq!(refuse(AT, pages(1), pages(1), Fixed(VirtAddr::new(1))), RemapError::Invalid);
    assert_eq!(refuse(AT, pages(4), pages(4), Fixed(page(2))), RemapError::Invalid, "the places overlap");
    assert_eq!(refuse(AT, pages(1), pages(1), Fixed(VirtAddr::new(TASK_SIZE))), RemapError::Invalid);
    assert_eq!(refuse(AT, pages(1), pages(1), Fixed(VirtAddr::new(0x1000))), RemapError::TooLow);
    let peek = space.peek(TestFile::new(0, 9, 0), FileOff::new(0), pages(2)).unwrap();
    assert_eq!(
        remap(&mut space, peek, pages(2), pages(3), Anywhere).err(),
        Some(RemapError::Fault),
        "a peek never grows"
    );
    end(&machine, space);
}

#[test]
fn what_mremap_moves_keeps_its_pages() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    map(&mut space, fixed(0, 4, Prot::RW)).unwrap();
    for n in 0..3 {
        write(&machine, &mut space, page(n), 100 + n).unwrap();
    }
    let frame = space.leaf(page(1)).unwrap().desc.pfn();
    let moved = remap(&mut space, page(1), pages(2), pages(4), RemapPlace::Anywhere).unwrap().at;
    space.validate();
    machine.settled();
    assert_eq!(space.leaf(moved).unwrap().desc.pfn(), frame, "moved, not copied");
    assert_eq!(read(&machine, &mut space, moved), Ok(101));
    assert_eq!(read(&machine, &mut space, VirtAddr::new(moved.get() + pages(3))), Ok(0));
    assert_eq!(space.fault(page(1), Access::Read), Err(FaultError::Unmapped));
    assert_eq!(read(&machine, &mut space, page(0)), Ok(100));
    // Its number among anonymous pages is where it was first mapped, so that it is found again.
    assert_eq!(space.find_vma(moved).unwrap().pgoff(), page(1).get() / PAGE_SIZE);
    end(&machine, space);
}

#[test]
fn the_twin_of_dontunmap_takes_the_pages_and_leaves_the_addresses() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    map(&mut space, fixed(0, 2, Prot::RW)).unwrap();
    write(&machine, &mut space, AT, 7).unwrap();
    let before = space.total_vm();
    let twin = remap(&mut space, AT, pages(2), pages(2), RemapPlace::Twin(VirtAddr::ZERO)).unwrap().at;
    assert_eq!(space.total_vm().get(), before.get() + 2);
    assert_eq!(read(&machine, &mut space, twin), Ok(7));
    assert_eq!(read(&machine, &mut space, AT), Ok(0));
    let hint = |to| RemapPlace::Twin(to);
    assert_eq!(
        remap(&mut space, AT, pages(2), pages(2), hint(page(1))).err(),
        Some(RemapError::Invalid),
        "they overlap"
    );
    assert_eq!(remap(&mut space, AT, pages(2), pages(2), hint(page(20))).unwrap().at, page(20), "there is room");
    assert_ne!(remap(&mut space, AT, pages(2), pages(2), hint(page(21))).unwrap().at, page(21), "something is there");
    end(&machine, space);
}

#[test]
fn a_moved_part_of_a_peek_is_a_peek_of_its_own() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let file = TestFile::new(0, 9, 0);
    let first = space.peek(file, FileOff::new(0), pages(6)).unwrap();
    let part = VirtAddr::new(first.get() + pages(2));
    let moved = remap(&mut space, part, pages(2), pages(2), RemapPlace::Fixed(page(0))).unwrap().at;
    space.validate();
    assert_eq!(read(&machine, &mut space, moved), Ok(PMEM + 2));
    drop(space.unpeek(first).unwrap());
    assert_eq!(read(&machine, &mut space, moved), Ok(PMEM + 2), "the other peek is still there");
    drop(space.unpeek(moved).unwrap());
    assert_eq!(space.map_count(), 0);
    end(&machine, space);
}

#[test]
fn a_block_moves_whole_where_it_fits_and_in_pages_where_not() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let file = TestFile::new(0, 1024, 0);
    let peek = space.peek(file, FileOff::new(0), HUGE_SIZE).unwrap();
    let to = VirtAddr::new(0x8000_0000);
    drop(remap(&mut space, peek, HUGE_SIZE, HUGE_SIZE, RemapPlace::Fixed(to)).unwrap());
    assert_eq!(space.leaf(to).unwrap().level, Level::Pmd);
    let odd = VirtAddr::new(0x9000_0000 + pages(3));
    drop(remap(&mut space, to, HUGE_SIZE, HUGE_SIZE, RemapPlace::Fixed(odd)).unwrap());
    space.validate();
    machine.settled();
    assert_eq!(space.leaf(odd).unwrap().level, Level::Pte);
    assert_eq!(read(&machine, &mut space, VirtAddr::new(odd.get() + pages(511))), Ok(PMEM + 511));
    end(&machine, space);
}

#[test]
fn a_move_that_finds_no_memory_changes_nothing() {
    for allowance in 0..4 {
        let machine = Machine::new(64);
        let mut space = space(&machine);
        map(&mut space, fixed(0, 6, Prot::RW)).unwrap();
        write(&machine, &mut space, page(2), 5).unwrap();
        machine.allowance.set(Some(allowance));
        let far = RemapPlace::Fixed(VirtAddr::new(0x7000_0000_0000));
        let moved = remap(&mut space, page(1), pages(3), pages(4), far).map(|moved| moved.at);
        machine.allowance.set(None);
        space.validate();
        accounted(&space);
        let at = match moved {
            Ok(at) => VirtAddr::new(at.get() + pages(1)),
            Err(error) => {
                assert_eq!((error, space.map_count()), (RemapError::OutOfMemory, 1));
                page(2)
            }
        };
        assert_eq!(read(&machine, &mut space, at), Ok(5));
        end(&machine, space);
    }
}

#[test]
fn a_shared_mapping_can_be_seen_twice() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let file = TestFile::new(0, 9, 0);
    map(&mut space, shared(0, 3, Prot::RW, &file, 2)).unwrap();
    assert_eq!(space.fault(AT, Access::Write), Err(FaultError::Unprepared));
    let (backing, index) = space.unprepared(AT).unwrap();
    assert_eq!(index, 2);
    backing.prepare(index);
    write(&machine, &mut space, AT, 77).unwrap();
    let second = remap(&mut space, AT, 0, pages(2), RemapPlace::Anywhere).unwrap().at;
    assert_eq!(read(&machine, &mut space, second), Ok(77));
    assert_eq!(space.fault(page(1), Access::Write), Err(FaultError::Unprepared), "page by page");
    drop(backing);
    end(&machine, space);
}

#[test]
fn a_file_opened_for_reading_is_never_written() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let file = TestFile::new(0, 9, 0);
    let request = Request { flags: VmaFlags::NEVER_WRITE, ..shared(0, 2, Prot::READ, &file, 0) };
    map(&mut space, request).unwrap();
    let range = protect_range(AT, 1).unwrap().unwrap();
    assert_eq!(space.protect(range, Prot::RW), Err(ProtectError::Denied));
    assert_eq!(space.protect(range, Prot::RX), Ok(()));
    end(&machine, space);
}

#[test]
fn locked_memory_has_a_limit_and_the_calls_their_errors() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    map(&mut space, fixed(0, 8, Prot::RW)).unwrap();
    space.set_limits(Limits { locked: 0, ..Limits::default() });
    assert_eq!(space.lock(AT, 1, LockHow::Now), Err(LockError::Forbidden));
    assert_eq!(space.lock_all(LockAll::Both, LockHow::Now), Err(LockError::Forbidden));
    let locked = Request { flags: VmaFlags::LOCKED, ..fixed(20, 1, Prot::RW) };
    assert_eq!(map(&mut space, locked.clone()), Err(MapError::LockForbidden));
    space.set_limits(Limits { locked: pages(4), ..Limits::default() });
    assert_eq!(space.lock(AT, pages(5), LockHow::Now), Err(LockError::Limit));
    assert_eq!(space.lock(AT, u64::MAX, LockHow::Now), Ok(None));
    assert_eq!(space.lock(VirtAddr::new(u64::MAX - 4095), pages(2), LockHow::Now), Err(LockError::Invalid));
    assert_eq!(space.lock(page(9), 1, LockHow::Now), Err(LockError::Unmapped));
    let range = space.lock(VirtAddr::new(AT.get() + 5), pages(3) - 5, LockHow::Now).unwrap().unwrap();
    assert_eq!(range.len().get(), pages(3));
    space.populate(range).unwrap();
    let mut copies = None;
    space.protect_noting(range, Prot::READ, &mut copies).unwrap();
    assert_eq!(copies, None);
    space.protect_noting(range, Prot::RW, &mut copies).unwrap();
    assert_eq!(copies, Some(range), "locked memory that became writable is populated anew");
    assert!(space.leaf(page(2)).is_some() && space.leaf(page(3)).is_none());
    assert_eq!(space.lock(AT, pages(4), LockHow::Now).map(|_| space.locked_vm().get()), Ok(4), "not counted twice");
    assert_eq!(map(&mut space, locked.clone()), Err(MapError::LockLimit));
    assert_eq!(space.lock_all(LockAll::Current, LockHow::Now), Err(LockError::Limit));
    assert_eq!(remap(&mut space, AT, pages(4), pages(5), RemapPlace::Anywhere).err(), Some(RemapError::LockLimit));
    assert_eq!(space.advise(AT, 1, Advice::DontNeed), Err(AdviseError::Invalid));
    assert_eq!(space.advise(AT, 1, Advice::DontNeedLocked), Ok(()));
    space.unlock(AT, pages(8)).unwrap();
    // Pages of its own keep one apart from the other.
    assert_eq!((space.locked_vm().get(), space.map_count()), (0, 2));
    space.set_limits(Limits::default());
    assert!(space.lock_all(LockAll::Both, LockHow::OnFault).unwrap().is_some());
    map(&mut space, fixed(20, 2, Prot::RW)).unwrap();
    assert_eq!(space.locked_vm().get(), 10, "what comes later is locked too");
    space.unlock_all();
    map(&mut space, fixed(40, 2, Prot::RW)).unwrap();
    assert_eq!(space.locked_vm().get(), 0);
    end(&machine, space);
}

#[test]
fn memory_is_promised_once_and_strictly_where_asked() {
    let machine = Machine::new(64);
    machine.commit.set_total(units::PageCount::new(100));
    machine.commit.set_mode(Overcommit::Strict);
    let mut space = space(&machine);
    map(&mut space, fixed(0, 40, Prot::RW)).unwrap();
    assert_eq!(map(&mut space, fixed(100, 11, Prot::RW)), Err(MapError::OutOfMemory));
    let none = Request { flags: VmaFlags::NO_RESERVE, ..fixed(100, 11, Prot::RW) };
    assert_eq!(map(&mut space, none.clone()), Err(MapError::OutOfMemory), "not heard in strict mode");
    map(&mut space, fixed(100, 11, Prot::READ)).unwrap();
    let range = protect_range(page(100), pages(11)).unwrap().unwrap();
    assert_eq!(space.protect(range, Prot::RW), Err(ProtectError::OutOfMemory));
    assert_eq!(space.find_vma(page(100)).unwrap().prot(), Prot::READ);
    assert_eq!(remap(&mut space, AT, pages(40), pages(51), RemapPlace::Here).err(), Some(RemapError::OutOfMemory));
    drop(space.unmap(page(10), pages(20)).unwrap());
    accounted(&space);
    space.protect(range, Prot::RW).unwrap();
    assert_eq!(machine.commit.committed().get(), 31);
    // Written pages keep their promise when they become read-only; others need none.
    write(&machine, &mut space, page(100), 1).unwrap();
    space.protect(range, Prot::READ).unwrap();
    assert_eq!(machine.commit.committed().get(), 31);
    let rest = protect_range(page(30), pages(10)).unwrap().unwrap();
    space.protect(rest, Prot::READ).unwrap();
    assert_eq!(machine.commit.committed().get(), 21);
    machine.commit.set_mode(Overcommit::Heuristic);
    map(&mut space, Request { flags: VmaFlags::NO_RESERVE, ..fixed(1000, 200, Prot::RW) }).unwrap();
    assert_eq!(machine.commit.committed().get(), 21);
    assert_eq!(map(&mut space, fixed(2000, 101, Prot::RW)), Err(MapError::OutOfMemory), "more than there is");
    end(&machine, space);
}

#[test]
fn addresses_have_a_limit() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    space.set_limits(Limits { addresses: pages(10), ..Limits::default() });
    map(&mut space, fixed(0, 8, Prot::RW)).unwrap();
    assert_eq!(map(&mut space, anonymous(Place::ANYWHERE, pages(3), Prot::RW)), Err(MapError::OutOfMemory));
    map(&mut space, fixed(6, 4, Prot::RW)).unwrap();
    assert_eq!(space.total_vm().get(), 10);
    assert_eq!(remap(&mut space, AT, pages(10), pages(11), RemapPlace::Here).err(), Some(RemapError::OutOfMemory));
    assert_eq!(space.peek(TestFile::new(0, 9, 0), FileOff::new(0), 1), Err(PeekError::OutOfMemory));
    end(&machine, space);
}

#[test]
fn below_4_gib_on_request_and_upwards_on_request() {
    let machine = Machine::new(16);
    let mut space = space(&machine);
    space.set_search(Order::TopDown, AddressLimit::Low);
    let low = map(&mut space, anonymous(Place::ANYWHERE, 1, Prot::READ)).unwrap();
    assert_eq!(low.get(), TASK_SIZE_32 - (128 << 20) - PAGE_SIZE);
    assert_eq!(space.mmap_base(), space.layout().low.top);
    let over = anonymous(Place::Hint(VirtAddr::new(TASK_SIZE_32)), 1, Prot::READ);
    assert!(map(&mut space, over).unwrap().get() < TASK_SIZE_32, "a hint above the limit is not taken");
    assert_eq!(map(&mut space, anonymous(Place::ANYWHERE, TASK_SIZE_32, Prot::READ)), Err(MapError::OutOfMemory));
    space.set_search(Order::BottomUp, AddressLimit::Low);
    let first = map(&mut space, anonymous(Place::ANYWHERE, 1, Prot::READ)).unwrap();
    assert_eq!(first.get(), TASK_SIZE_32 / 4);
    space.set_search(Order::BottomUp, AddressLimit::Full);
    let first = map(&mut space, anonymous(Place::ANYWHERE, 1, Prot::RW)).unwrap();
    assert_eq!(first, space.layout().full.legacy);
    assert_eq!(space.highest_vm_end(), VirtAddr::new(first.get() + PAGE_SIZE));
    end(&machine, space);
}

#[test]
fn a_stack_without_limit_turns_the_search_around() {
    let machine = Machine::new(16);
    let mut space = space(&machine);
    space.set_limits(Limits { stack: u64::MAX, ..Limits::default() });
    assert_eq!(space.layout().order, Order::BottomUp);
    space.set_limits(Limits { stack: 1 << 30, ..Limits::default() });
    assert_eq!(
        (space.layout().order, space.mmap_base().get()),
        (Order::TopDown, TASK_SIZE - (1 << 30) - STACK_GUARD_GAP)
    );
    end(&machine, space);
}

#[test]
fn mincore_and_msync_answer_as_linux_does() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let file = TestFile::new(0, 2, 0);
    map(&mut space, fixed(0, 2, Prot::RW)).unwrap();
    map(&mut space, shared(2, 3, Prot::READ, &file, 0)).unwrap();
    write(&machine, &mut space, page(1), 1).unwrap();
    let mut seen = Vec::new();
    space.residence(AT, pages(5) - 9, |there| seen.push(there)).unwrap();
    assert_eq!(seen, [false, true, true, true, false]);
    assert_eq!(space.residence(VirtAddr::new(1), 1, |_| {}), Err(ResidenceError::Invalid));
    assert_eq!(space.residence(AT, pages(6), |_| {}), Err(ResidenceError::Unmapped));
    assert_eq!(space.residence(AT, TASK_SIZE, |_| {}), Err(ResidenceError::Unmapped));
    assert_eq!(sync_range(VirtAddr::new(1), 1), Err(SyncError::Invalid));
    assert_eq!(sync_range(AT, u64::MAX - 5), Ok(None));
    assert_eq!(sync_range(AT, u64::MAX - pages(1)), Err(SyncError::Unmapped));
    assert_eq!(sync_range(AT, 0), Ok(None));
    let range = sync_range(page(1), pages(9)).unwrap().unwrap();
    let part = space.sync_part(range, Cached::Keep).unwrap().unwrap();
    assert!(part.file.is_none() && part.range.start() == page(1) && !part.after_hole);
    let rest = VirtRange::new(part.range.end(), range.end()).unwrap();
    let part = space.sync_part(rest, Cached::Keep).unwrap().unwrap();
    assert_eq!(part.file.map(|(_, first)| first), Some(0));
    let rest = VirtRange::new(part.range.end(), range.end()).unwrap();
    assert!(space.sync_part(rest, Cached::Keep).unwrap().is_none());
    space.lock(AT, 1, LockHow::OnFault).unwrap();
    let first = sync_range(AT, 1).unwrap().unwrap();
    assert_eq!(space.sync_part(first, Cached::Invalidate).err(), Some(SyncError::Locked));
    end(&machine, space);
}

#[test]
fn remap_file_pages_is_split_vmas() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let file = TestFile::new(0, 20, 0);
    map(&mut space, shared(0, 4, Prot::READ, &file, 0)).unwrap();
    map(&mut space, fixed(4, 4, Prot::READ)).unwrap();
    let refuse = |space: &mut Space<'_>, at, size, pgoff| space.remap_file_pages(at, size, pgoff).err();
    assert_eq!(refuse(&mut space, AT, 100, 0), Some(NonlinearError::Invalid), "no whole page");
    assert_eq!(refuse(&mut space, page(4), pages(1), 0), Some(NonlinearError::Invalid), "not a shared file");
    assert_eq!(refuse(&mut space, page(3), pages(2), 0), Some(NonlinearError::Invalid), "not all of it");
    assert_eq!(refuse(&mut space, AT, pages(1), u64::MAX), Some(NonlinearError::Invalid));
    drop(space.remap_file_pages(page(1), pages(2), 10).unwrap());
    let offsets: Vec<_> = space.vmas().filter(|vma| vma.backing().is_some()).map(|vma| vma.pgoff()).collect();
    assert_eq!(offsets, [0, 10, 3]);
    assert_eq!(read(&machine, &mut space, page(2)), Ok(PMEM + 11));
    drop(space.remap_file_pages(page(0), pages(4), 0).unwrap_or_else(|_| panic!("one file all along")));
    assert_eq!(space.vmas().filter(|vma| vma.backing().is_some()).count(), 1);
    end(&machine, space);
}

#[test]
fn advice_that_does_not_fit_is_refused() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let file = TestFile::new(0, 4, 0);
    map(&mut space, fixed(0, 2, Prot::READ)).unwrap();
    map(&mut space, shared(2, 6, Prot::RW, &file, 0)).unwrap();
    assert_eq!(space.advise(page(2), 1, Advice::WipeOnFork), Err(AdviseError::Invalid));
    let removal = |from, to| space.removal(VirtRange::new(page(from), page(to)).unwrap());
    assert_eq!(removal(0, 2).err(), Some(AdviseError::Invalid), "no file");
    let removed = removal(3, 9).unwrap().unwrap();
    assert_eq!((removed.range, removed.index), (VirtRange::new(page(3), page(8)).unwrap(), 1));
    assert!(removal(8, 9).unwrap().is_none(), "nothing is there");
    assert_eq!(space.populate_for(VirtAddr::new(1), 1, Access::Read), Err(PopulateError::Invalid));
    assert_eq!(space.populate_for(AT, 1, Access::Write), Err(PopulateError::Invalid), "no right");
    assert_eq!(space.populate_for(page(9), 1, Access::Read), Err(PopulateError::Unmapped));
    let unprepared = PopulateError::Fault(page(2), FaultError::Unprepared);
    assert_eq!(space.populate_for(page(2), 1, Access::Write), Err(unprepared));
    let beyond = PopulateError::Fault(page(6), FaultError::Beyond);
    assert_eq!(space.populate_for(AT, pages(8), Access::Read), Err(beyond));
    assert!(space.leaf(page(5)).is_some());
    end(&machine, space);
}

#[test]
fn growing_down_is_for_anonymous_memory() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let file = TestFile::new(0, 4, 0);
    let request = Request { flags: VmaFlags::GROWS_DOWN, ..shared(0, 1, Prot::RW, &file, 0) };
    assert_eq!(map(&mut space, request), Err(MapError::Invalid));
    map(&mut space, Request { flags: VmaFlags::GROWS_DOWN, ..fixed(0, 4, Prot::RW) }).unwrap();
    map(&mut space, fixed(600, 4, Prot::RW)).unwrap();
    let one = |n| protect_range(page(n), 1).unwrap().unwrap();
    assert_eq!(space.grows_down_range(one(2)).map(|range| range.start()), Ok(AT));
    assert_eq!(space.grows_down_range(one(601)), Err(ProtectError::Invalid));
    assert_eq!(space.grows_down_range(one(700)), Err(ProtectError::Unmapped));
    end(&machine, space);
}

#[test]
fn insert_refuses_what_overlaps_and_what_cannot_be_promised() {
    let machine = Machine::new(64);
    machine.commit.set_total(units::PageCount::new(8));
    let mut space = space(&machine);
    let range = |n, len| VirtRange::new(page(n), page(n + len)).unwrap();
    space.insert_vm_struct(range(0, 4), Prot::RW, VmaFlags::ACCOUNT).unwrap();
    for overlapping in [range(0, 1), range(3, 2), range(1, 1)] {
        assert!(space.insert_vm_struct(overlapping, Prot::RW, VmaFlags::empty()).is_err());
    }
    assert!(space.insert_vm_struct(range(10, 9), Prot::RW, VmaFlags::ACCOUNT).is_err());
    space.insert_vm_struct(range(5, 1), Prot::READ, VmaFlags::empty()).unwrap();
    assert_eq!(space.find_vma(page(5)).unwrap().pgoff(), page(5).get() / PAGE_SIZE);
    assert!(space.find_vma_prepare(range(4, 1)).is_ok_and(|behind| behind.is_some()));
    end(&machine, space);
}

#[test]
fn every_space_has_a_name_of_its_own() {
    let machine = Machine::new(16);
    let new = || Space::new(&machine, &machine, ASID).unwrap().id();
    let (one, other): (SpaceId, SpaceId) = (new(), new());
    assert!(other > one);
}
