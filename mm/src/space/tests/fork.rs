//! Two spaces that share pages: fork, copy-on-write, the reverse maps, and `follow_page`.

use proptest::prelude::*;

use super::*;
use crate::page::{Mapping, PageFlags};
use crate::seams::{Frames, Mapper};
use crate::testing::unload_one;

const AT: VirtAddr = VirtAddr::new(0x5000_0000);

fn page(n: u64) -> VirtAddr {
    VirtAddr::new(AT.get() + pages(n))
}

fn fixed(n: u64, len: u64, prot: Prot) -> Request<TestFile> {
    anonymous(Place::Fixed(page(n)), pages(len), prot)
}

fn forked<'m>(machine: &'m Machine, parent: &mut Space<'m>) -> Space<'m> {
    let child = parent.fork(CHILD).unwrap();
    machine.load(CHILD, child.root());
    parent.validate();
    child.validate();
    machine.settled();
    child
}

fn end_child(machine: &Machine, child: Space<'_>) {
    child.validate();
    machine.settled();
    unload_one(machine, CHILD);
    drop(child);
}

fn frame(space: &Space<'_>, va: VirtAddr) -> units::Pfn {
    space.leaf(va).unwrap().translate(va).pfn()
}

#[test]
fn a_fork_shares_until_one_of_the_two_writes() {
    let machine = Machine::new(64);
    let mut parent = space(&machine);
    map(&mut parent, fixed(0, 4, Prot::RW)).unwrap();
    write(&machine, &mut parent, page(0), 10).unwrap();
    write(&machine, &mut parent, page(1), 11).unwrap();
    let lent = machine.lent();
    let mut child = forked(&machine, &mut parent);
    assert_eq!(machine.lent(), lent + 4, "four tables, no page");
    let shared = frame(&parent, page(0));
    assert_eq!((frame(&child, page(0)), machine.page(shared).unwrap().map_count()), (shared, 2));
    write(&machine, &mut child, page(0), 20).unwrap();
    assert_eq!(read(&machine, &mut parent, page(0)), Ok(10));
    assert_eq!(read(&machine, &mut child, page(0)), Ok(20));
    assert_eq!(machine.page(shared).unwrap().map_count(), 1);
    // Alone again: the parent writes in place.
    let invalidations = machine.invalidations.get();
    write(&machine, &mut parent, page(0), 30).unwrap();
    assert_eq!((frame(&parent, page(0)), machine.invalidations.get()), (shared, invalidations + 1));
    // What nobody touched is nobody's, and zeros in both.
    write(&machine, &mut parent, page(3), 1).unwrap();
    assert_eq!(read(&machine, &mut child, page(3)), Ok(0));
    end_child(&machine, child);
    write(&machine, &mut parent, page(1), 31).unwrap();
    end(&machine, parent);
}

#[test]
fn a_child_has_what_it_should_of_each_kind() {
    let machine = Machine::new(128);
    let mut parent = space(&machine);
    let backing = TestFile::new(0, 20, 0);
    backing.prepare(3);
    map(&mut parent, fixed(0, 1, Prot::RW)).unwrap();
    map(&mut parent, fixed(2, 1, Prot::RW)).unwrap();
    map(&mut parent, fixed(4, 2, Prot::RW)).unwrap();
    let shared = What::Shared { backing: backing.clone(), pgoff: 3 };
    map(&mut parent, Request { what: shared, ..fixed(8, 1, Prot::RW) }).unwrap();
    map(&mut parent, file(Place::Fixed(page(10)), pages(2), Prot::RW, &backing, 5)).unwrap();
    for n in [0, 2, 4, 8, 10] {
        write(&machine, &mut parent, page(n), 100 + n).unwrap();
    }
    read(&machine, &mut parent, page(11)).unwrap();
    parent.advise(page(0), 1, Advice::DontFork).unwrap();
    parent.advise(page(2), 1, Advice::WipeOnFork).unwrap();
    parent.lock(page(4), 1, LockHow::Now).unwrap();
    let peek = parent.peek(backing.clone(), FileOff::new(pages(7)), pages(2)).unwrap();
    let mut child = forked(&machine, &mut parent);
    assert_eq!(child.fault(page(0), Access::Read), Err(FaultError::Unmapped));
    assert_eq!(read(&machine, &mut child, page(2)), Ok(0));
    assert_eq!(read(&machine, &mut child, page(4)), Ok(104));
    assert_eq!((parent.locked_vm().get(), child.locked_vm().get()), (1, 0));
    write(&machine, &mut child, page(8), 7).unwrap();
    assert_eq!(read(&machine, &mut parent, page(8)), Ok(7), "shared is shared");
    assert_eq!(read(&machine, &mut child, page(10)), Ok(110));
    assert_eq!(read(&machine, &mut child, page(11)), Ok(PMEM + 6));
    assert!(child.leaf(peek).is_some(), "a peek never faults in later");
    drop(parent.unpeek(peek).unwrap());
    assert_eq!(read(&machine, &mut child, peek), Ok(PMEM + 7));
    drop(child.unpeek(peek).unwrap());
    linked(&child, std::slice::from_ref(&backing));
    end_child(&machine, child);
    end(&machine, parent);
}

#[test]
fn rights_given_back_do_not_break_what_is_shared() {
    let machine = Machine::new(64);
    let mut parent = space(&machine);
    map(&mut parent, fixed(0, 2, Prot::RW)).unwrap();
    write(&machine, &mut parent, page(0), 1).unwrap();
    let mut child = forked(&machine, &mut parent);
    let range = protect_range(page(0), pages(2)).unwrap().unwrap();
    child.protect(range, Prot::READ).unwrap();
    child.protect(range, Prot::RW).unwrap();
    write(&machine, &mut child, page(0), 2).unwrap();
    assert_eq!(read(&machine, &mut parent, page(0)), Ok(1));
    end_child(&machine, child);
    end(&machine, parent);
}

#[test]
fn a_fork_that_finds_no_memory_leaves_nothing() {
    for allowance in 0..6 {
        let machine = Machine::new(64);
        machine.undescribed.set(u64::MAX);
        let mut parent = space(&machine);
        map(&mut parent, fixed(0, 4, Prot::RW)).unwrap();
        for n in 0..3 {
            write(&machine, &mut parent, page(n), n + 1).unwrap();
        }
        // One page that cannot be counted, and is copied.
        machine.undescribed.set(frame(&parent, page(1)).get());
        machine.allowance.set(Some(allowance));
        let child = parent.fork(CHILD);
        machine.allowance.set(None);
        parent.validate();
        machine.settled();
        match child {
            Ok(child) => {
                assert_ne!(frame(&child, page(1)), frame(&parent, page(1)));
                machine.load(CHILD, child.root());
                end_child(&machine, child);
            }
            Err(OutOfMemory) => assert!(allowance < 5),
        }
        accounted(&parent);
        for n in 0..3 {
            write(&machine, &mut parent, page(n), 9).unwrap();
        }
        end(&machine, parent);
    }
}

#[test]
fn every_mapping_of_a_page_is_found_by_its_number() {
    let machine = Machine::new(64);
    let mut parent = space(&machine);
    map(&mut parent, fixed(0, 4, Prot::RW)).unwrap();
    write(&machine, &mut parent, page(1), 1).unwrap();
    let shared = frame(&parent, page(1));
    let descriptor = machine.page(shared).unwrap();
    assert_eq!((descriptor.mapping(), descriptor.index()), (parent.anon_vma().mapping(), page(1).get() / PAGE_SIZE));
    assert!(matches!(descriptor.mapping(), Mapping::Anon(_)));
    let mut child = forked(&machine, &mut parent);
    // The child moves it, and cuts the VMA it moved.
    let to = remap(&mut child, page(0), pages(3), pages(3), RemapPlace::Fixed(page(40))).unwrap().at;
    drop(child.unmap(to, 1).unwrap());
    let moved = VirtAddr::new(to.get() + pages(1));
    let places = |space: &Space<'_>, frame| {
        let mut found = Vec::new();
        space.each_mapping_of(frame, descriptor.index(), |va| found.push(va));
        found
    };
    let mut family = Vec::new();
    parent.anon_vma().each_space(|space| family.push(space));
    assert_eq!(family, [parent.id(), child.id()]);
    assert_eq!((places(&parent, shared), places(&child, shared)), (vec![page(1)], vec![moved]));
    assert_eq!(descriptor.map_count(), 2);
    // Other pages have come to the old place, with the same numbers.
    map(&mut child, fixed(0, 4, Prot::RW)).unwrap();
    write(&machine, &mut child, page(1), 5).unwrap();
    let fresh = frame(&child, page(1));
    assert_eq!((places(&child, shared), places(&child, fresh)), (vec![moved], vec![page(1)]));
    end_child(&machine, child);
    let mut family = Vec::new();
    parent.anon_vma().each_space(|space| family.push(space));
    assert_eq!(family, [parent.id()]);
    end(&machine, parent);
}

#[test]
fn a_file_takes_back_what_it_showed() {
    let machine = Machine::new(64);
    let mut parent = space(&machine);
    let backing = TestFile::new(0, 20, 0);
    (0..20).for_each(|index| backing.prepare(index));
    let shared = What::Shared { backing: backing.clone(), pgoff: 2 };
    map(&mut parent, Request { what: shared, ..fixed(0, 4, Prot::RW) }).unwrap();
    map(&mut parent, file(Place::Fixed(page(10)), pages(4), Prot::RW, &backing, 2)).unwrap();
    write(&machine, &mut parent, page(1), 1).unwrap();
    read(&machine, &mut parent, page(2)).unwrap();
    write(&machine, &mut parent, page(11), 5).unwrap();
    read(&machine, &mut parent, page(12)).unwrap();
    let mappers: Vec<Mapper> = backing.promise.links.borrow().iter().copied().collect();
    let revoke = |parent: &mut Space<'_>, what| {
        for mapper in &mappers {
            parent.revoke(*mapper, |file| file.same(&backing), 3, 2, what).unwrap();
        }
        parent.validate();
        machine.settled();
    };
    let there =
        |parent: &Space<'_>| [1, 2, 11, 12].map(|n| parent.leaf(page(n)).map(|l| l.desc.attributes().writable()));
    revoke(&mut parent, Revoke::Stores);
    assert_eq!(there(&parent), [Some(false), Some(false), Some(true), Some(false)]);
    revoke(&mut parent, Revoke::Pages);
    assert_eq!(there(&parent), [None, None, Some(true), None], "a program's own copy stays");
    assert_eq!(read(&machine, &mut parent, page(11)), Ok(5));
    read(&machine, &mut parent, page(12)).unwrap();
    revoke(&mut parent, Revoke::Everything);
    assert_eq!(there(&parent), [None; 4]);
    let stale = Mapper { start: page(99), ..mappers[0] };
    parent.revoke(stale, |file| file.same(&backing), 0, 20, Revoke::Everything).unwrap();
    end(&machine, parent);
}

#[test]
fn a_block_that_moves_in_its_file_moves_in_every_mapping() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let backing = TestFile::new(0, 8, 0);
    map(&mut space, file(Place::Fixed(AT), pages(4), Prot::READ, &backing, 0)).unwrap();
    for n in 0..3 {
        read(&machine, &mut space, page(n)).unwrap();
    }
    backing.promise.moved.borrow_mut().insert(1, 500);
    let mapper = *backing.promise.links.borrow().first().unwrap();
    space.revoke(mapper, |file| file.same(&backing), 0, 8, Revoke::OldFrames).unwrap();
    machine.settled();
    assert_eq!([0, 1, 2].map(|n| frame(&space, page(n)).get()), [PMEM, PMEM + 500, PMEM + 2]);
    end(&machine, space);
}

#[test]
fn follow_page_answers_by_each_flag() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    map(&mut space, fixed(0, 8, Prot::RW)).unwrap();
    write(&machine, &mut space, page(0), 1).unwrap();
    read(&machine, &mut space, page(1)).unwrap();
    let follow = |space: &mut Space<'_>, n, flags| space.follow_page(page(n), flags).map(|page| page.map(|p| p.frame));
    let own = frame(&space, page(0));
    assert_eq!(follow(&mut space, 0, Follow::empty()), Ok(Some(own)));
    assert_eq!(follow(&mut space, 2, Follow::empty()), Ok(None), "never touched");
    assert_eq!(follow(&mut space, 99, Follow::DUMP), Ok(None), "not mapped");
    assert_eq!(follow(&mut space, 2, Follow::DUMP), Err(NoPage), "nothing to dump");
    assert_eq!(follow(&mut space, 1, Follow::empty()), Ok(Some(machine.zero_page())), "zeros are a page");
    assert_eq!(follow(&mut space, 1, Follow::DUMP), Err(NoPage));
    assert_eq!(follow(&mut space, 1, Follow::WRITE), Ok(None), "read-only");
    assert_eq!(follow(&mut space, 0, Follow::WRITE), Ok(Some(own)));

    let descriptor = machine.page(own).unwrap();
    assert_eq!(follow(&mut space, 0, Follow::TOUCH), Ok(Some(own)));
    assert_eq!(descriptor.flags() & (PageFlags::REFERENCED | PageFlags::DIRTY), PageFlags::REFERENCED);
    follow(&mut space, 0, Follow::TOUCH | Follow::WRITE).unwrap();
    assert!(descriptor.flags().contains(PageFlags::DIRTY | PageFlags::ACTIVE));
    follow(&mut space, 0, Follow::MLOCK).unwrap();
    assert!(!descriptor.flags().contains(PageFlags::MLOCKED), "its VMA is not locked");
    space.lock(page(0), 1, LockHow::Now).unwrap();
    follow(&mut space, 0, Follow::MLOCK).unwrap();
    assert!(descriptor.flags().contains(PageFlags::MLOCKED));
    space.unlock(page(0), 1).unwrap();

    let held = space.follow_page(page(0), Follow::GET).unwrap().unwrap().page.unwrap();
    drop(space.unmap(page(0), 1).unwrap());
    assert_eq!((held.frame(), held.page().unwrap().count()), (own, 1), "it stays while it is held");
    assert_eq!(machine.word(own), 1);
    drop(held);
    machine.undescribed.set(frame(&space, page(1)).get());
    assert_eq!(follow(&mut space, 1, Follow::empty()), Err(NoPage), "no descriptor");
    end(&machine, space);
}

#[test]
fn follow_page_finds_pages_inside_blocks_and_holds_blocks_of_files() {
    let machine = Machine::new(64);
    let mut space = space(&machine);
    let backing = TestFile::new(0, 1024, 0);
    let peek = space.peek(backing.clone(), FileOff::new(0), HUGE_SIZE).unwrap();
    let inside = VirtAddr::new(peek.get() + pages(9));
    let found = space.follow_page(inside, Follow::GET).unwrap().unwrap();
    assert_eq!((found.frame.get(), found.level), (PMEM + 9, Level::Pmd));
    let descriptor = machine.page(found.frame).unwrap();
    assert_eq!(descriptor.count(), 1, "the file system sees that somebody holds it");
    drop(found);
    assert_eq!(descriptor.count(), 0);
    let split = space.follow_page(inside, Follow::SPLIT).unwrap().unwrap();
    assert_eq!((split.frame.get(), split.level), (PMEM + 9, Level::Pte));
    machine.settled();
    let cached = find_get_page(&machine, &backing, 3).unwrap();
    assert_eq!((cached.frame().get(), cached.page().unwrap().count()), (PMEM + 3, 1));
    drop(cached);
    assert!(find_get_page(&machine, &backing, 5000).is_none());
    drop(split);
    end(&machine, space);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Two spaces write, read, unmap, protect and move what they share; each sees what it wrote itself.
    #[test]
    fn two_spaces_never_see_each_others_stores(
        before in prop::collection::vec((0u64..24, 1u64..100), 0..20),
        steps in prop::collection::vec((any::<bool>(), 0u8..8, 0u64..24, 100u64..1000), 1..50),
    ) {
        let machine = Machine::new(300);
        let mut parent = space(&machine);
        let backing = TestFile::new(0, 64, 5);
        map(&mut parent, fixed(0, 12, Prot::RW)).unwrap();
        map(&mut parent, file(Place::Fixed(page(12)), pages(12), Prot::RW, &backing, 0)).unwrap();
        let start = |n: u64| if n < 12 { 0 } else { backing.word(n - 12).unwrap() };
        let mut models = [(0..24).map(|n| Some(start(n))).collect::<Vec<_>>(), Vec::new()];
        for (n, word) in before {
            write(&machine, &mut parent, page(n), word).unwrap();
            models[0][n as usize] = Some(word);
        }
        let child = forked(&machine, &mut parent);
        models[1] = models[0].clone();
        let mut spaces = [parent, child];
        for (second, act, n, word) in steps {
            let (space, model) = (&mut spaces[usize::from(second)], &mut models[usize::from(second)]);
            let known = model[n as usize];
            match act {
                0..=2 => {
                    let done = write(&machine, space, page(n), word);
                    prop_assert_eq!(done.is_ok(), known.is_some());
                    model[n as usize] = known.map(|_| word);
                }
                3 | 4 => prop_assert_eq!(read(&machine, space, page(n)).ok(), known),
                5 => {
                    drop(space.unmap(page(n), 1).unwrap());
                    model[n as usize] = None;
                }
                6 => {
                    let range = protect_range(page(n), pages(2)).unwrap().unwrap();
                    let _ = space.protect(range, Prot::READ);
                    let _ = space.protect(range, Prot::RW);
                }
                _ => {
                    space.advise(page(n), 1, Advice::DontNeed).ok();
                    model[n as usize] = known.map(|_| start(n));
                }
            }
            spaces.iter().for_each(|space| space.validate());
            machine.settled();
        }
        for (space, model) in spaces.iter_mut().zip(&models) {
            for (n, word) in model.iter().enumerate() {
                prop_assert_eq!(read(&machine, space, page(n as u64)).ok(), *word);
            }
        }
        let [parent, child] = spaces;
        end_child(&machine, child);
        end(&machine, parent);
    }
}
