//! A program's memory as the kernel sees it: pages behind addresses, temporary mappings, copies with their fix-up.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use core::ptr::NonNull;

use mm::page::PageFlags;
use mm::space::{Follow, Followed, LockHow, NoPage, Place, Request, What};
use mm::{Frames, Prot, VmaFlags};
use units::{ByteLen, PAGE_SIZE, Pfn, VirtAddr, VirtRange};

use crate::kmap::{self, Kmap, kmap_atomic, kunmap_atomic};
use crate::mmu::KernelFrames;
use crate::space::{Promise, SharedMemory, Shown, Space};
use crate::testing::kernel_test;
use crate::uaccess::{Fault, UserPtr, copy_from_user, copy_to_user, read_cstr, read_user, write_user};
use crate::{frames, layout, task};

/// Where the tests have their memory: nothing else is in the same entry of the highest table.
const AT: u64 = 0x0000_1000_0000_0000;

/// What the entries of each level of the tables cover.
const LEVELS: [u64; 4] = [PAGE_SIZE, 2 << 20, 1 << 30, 512 << 30];

/// Memory of its own for the test's task, as a program has it.
fn with_space(test: impl FnOnce(&Space)) {
    let space = Space::new().unwrap();
    task::current().replace_space(Some(Arc::clone(&space)));
    test(&space);
    drop(task::current().replace_space(None));
}

fn map(space: &Space, at: u64, pages: u64, prot: Prot) {
    let (place, len) = (Place::Fixed(VirtAddr::new(at)), pages * PAGE_SIZE);
    let request = Request { place, len, prot, flags: VmaFlags::empty(), what: What::Anonymous };
    assert!(space.lock().map(request).is_ok());
}

fn follow(space: &Space, at: u64, flags: Follow) -> Result<Option<Followed<KernelFrames>>, NoPage> {
    space.lock().follow_page(VirtAddr::new(at), flags)
}

fn flags_of(frame: Pfn) -> PageFlags {
    KernelFrames.page(frame).unwrap().flags()
}

const FIRST: &str = "ABCDEFGHIJKL1234567890!@#$%^&*()KKKKKKKKKKKKKKKKKKK";
const SECOND: &str = "AAAAAAAAAAAAAAAAAAABBBBBBBBBBBBCCCCCCCCCCC";

/// A line about the page behind a string of the program's: its descriptor, and the string as the kernel reads it there.
fn page_line(space: &Space, at: u64, len: usize) -> String {
    let found = follow(space, at, Follow::GET | Follow::TOUCH).unwrap().unwrap();
    let page: *const mm::Page = found.page.as_ref().unwrap().page().unwrap();
    let mapped = Kmap::local(found.frame);
    // SAFETY: the string lies inside the page, which the reference holds.
    let text = unsafe { core::slice::from_raw_parts(mapped.as_ptr().add((at % PAGE_SIZE) as usize), len) };
    alloc::format!("page={:016x} ch={}", page.addr(), core::str::from_utf8(text).unwrap())
}

kernel_test! {
    /// The module of this name: the pages behind two strings of a program, found and read from outside of it.
    fn test_start() {
        with_space(|space| {
            map(space, AT, 2, Prot::RW);
            let (first, second) = (AT + 100, AT + PAGE_SIZE);
            copy_to_user(UserPtr::new(first), FIRST.as_bytes()).unwrap();
            copy_to_user(UserPtr::new(second), SECOND.as_bytes()).unwrap();
            let mm: *const Space = space;
            let lines = [
                alloc::format!("test start task->mm={:016x}", mm.addr()),
                page_line(space, first, FIRST.len()),
                page_line(space, second, SECOND.len()),
                String::from("test exit"),
            ];
            let mut said = String::new();
            for line in &lines {
                log::info!("{line}");
                writeln!(said, "{line}").unwrap();
            }
            let word = |line: &str, from: usize| u64::from_str_radix(&line[from..from + 16], 16).unwrap();
            let (mm, one, two) = (word(&lines[0], 20), word(&lines[1], 5), word(&lines[2], 5));
            assert!(mm >> 48 == 0xffff && one >> 48 == 0xffff && one != two);
            let want = alloc::format!(
                "test start task->mm={mm:016x}\npage={one:016x} ch={FIRST}\npage={two:016x} ch={SECOND}\ntest exit\n"
            );
            assert_eq!(said, want);
        });
    }

    /// `follow_page` finds what is there, touches nothing that is not, and obeys each of its flags.
    fn pages_are_found_by_their_address() {
        with_space(|space| {
            map(space, AT, 4, Prot::RW);
            assert!(follow(space, AT, Follow::empty()).unwrap().is_none());
            assert_eq!(follow(space, AT, Follow::DUMP).err(), Some(NoPage));
            write_user(UserPtr::new(AT), &7u64).unwrap();
            assert_eq!(read_user(UserPtr::new(AT + PAGE_SIZE)), Ok(0u64));
            // The page of zeros cannot be stored to, and is not worth a dump.
            assert_eq!(follow(space, AT + PAGE_SIZE, Follow::DUMP).err(), Some(NoPage));
            assert!(follow(space, AT + PAGE_SIZE, Follow::WRITE).unwrap().is_none());
            let found = follow(space, AT, Follow::WRITE | Follow::TOUCH).unwrap().unwrap();
            assert!(flags_of(found.frame).contains(PageFlags::DIRTY | PageFlags::REFERENCED));
            let range = space.lock().lock(VirtAddr::new(AT), PAGE_SIZE, LockHow::Now).unwrap();
            assert_eq!(range.map(VirtRange::start), Some(VirtAddr::new(AT)));
            follow(space, AT, Follow::MLOCK).unwrap().unwrap();
            assert!(flags_of(found.frame).contains(PageFlags::MLOCKED));
            // With a reference the page outlives its mapping.
            let held = follow(space, AT, Follow::GET).unwrap().unwrap();
            drop(space.lock().unmap(VirtAddr::new(AT), PAGE_SIZE).unwrap());
            let (used, mapped) = (frames::usage().0, Kmap::local(held.frame));
            // SAFETY: the reference holds the page.
            assert_eq!(unsafe { mapped.as_ptr().cast::<u64>().read() }, 7);
            drop(mapped);
            drop(held);
            assert_eq!(frames::usage().0.get(), used.get() - 1);
        });
    }

    /// A copy to or from a program fails where a table of any level is missing, and makes the page where a VMA is.
    fn copies_are_fixed_up_at_every_level() {
        with_space(|space| {
            map(space, AT, 1, Prot::RW);
            write_user(UserPtr::new(AT), &1u64).unwrap();
            for step in LEVELS {
                let at = UserPtr::new(AT + step);
                assert_eq!(read_user::<u64>(at), Err(Fault));
                assert_eq!(write_user(at, &2u64), Err(Fault));
                assert!(read_cstr(at, 16).is_err());
                map(space, AT + step, 1, Prot::RW);
                write_user(at, &step).unwrap();
                assert_eq!(read_user::<u64>(at), Ok(step));
            }
            assert_eq!(read_user::<u64>(UserPtr::new(AT)), Ok(1));
        });
    }

    /// Rights count for the kernel's copies as for the program, and a copy that crosses into nothing fails.
    fn copies_keep_to_the_programs_rights() {
        with_space(|space| {
            map(space, AT, 2, Prot::RW);
            let (first, edge) = (UserPtr::new(AT), UserPtr::new(AT + 2 * PAGE_SIZE - 4));
            write_user(first, &1u64).unwrap();
            assert_eq!(write_user(edge, &1u64), Err(Fault));
            assert_eq!(copy_from_user(&mut [0; 8], edge), Err(Fault));
            assert_eq!(copy_from_user(&mut [0; 4], edge), Ok(()));
            let range = VirtRange::with_len(VirtAddr::new(AT), ByteLen::new(PAGE_SIZE)).unwrap();
            space.lock().protect(range, Prot::READ).unwrap();
            assert_eq!((write_user(first, &2u64), read_user(first)), (Err(Fault), Ok(1u64)));
            space.lock().protect(range, Prot::empty()).unwrap();
            assert_eq!(read_user::<u64>(first), Err(Fault));
            space.lock().protect(range, Prot::RW).unwrap();
            assert_eq!(read_user(first), Ok(1u64));
            for foreign in [0, layout::USER_END - 4, layout::USER_END, layout::LINEAR_BASE, u64::MAX - 3] {
                assert_eq!(read_user::<u64>(UserPtr::new(foreign)), Err(Fault));
                assert_eq!(write_user(UserPtr::new(foreign), &0u64), Err(Fault));
            }
        });
    }

    /// Two spaces share memory: each sees the other's stores, a page is made once, and all of it goes with the last.
    fn spaces_share_memory() {
        drop(Space::new().unwrap());
        let before = frames::usage().0;
        let memory = SharedMemory::new(2, Promise::Made).unwrap();
        let map_shared = |space: &Space| {
            let what = What::Shared { backing: Shown::Memory(memory.clone()), pgoff: 0 };
            let (place, len) = (Place::Fixed(VirtAddr::new(AT)), 3 * PAGE_SIZE);
            let request = Request { place, len, prot: Prot::RW, flags: VmaFlags::empty(), what };
            assert!(space.lock().map(request).is_ok());
        };
        let first = Space::new().unwrap();
        map_shared(&first);
        with_space(|second| {
            map_shared(second);
            assert_eq!(read_user(UserPtr::new(AT)), Ok(0u64));
            task::current().replace_space(Some(Arc::clone(&first)));
            write_user(UserPtr::new(AT), &7u64).unwrap();
            assert_eq!(read_user::<u64>(UserPtr::new(AT + 2 * PAGE_SIZE)), Err(Fault));
            let found = follow(&first, AT, Follow::WRITE).unwrap().unwrap();
            assert_eq!(follow(second, AT, Follow::empty()).unwrap().unwrap().frame, found.frame);
            drop(task::current().replace_space(None));
        });
        with_space(|third| {
            map_shared(third);
            assert_eq!(read_user(UserPtr::new(AT)), Ok(7u64));
        });
        drop(first);
        drop(memory);
        assert_eq!(frames::usage().0, before);
    }

    /// Between `kmap_atomic` and its release a copy does not wait for a page, and makes none.
    fn no_fault_is_served_under_an_atomic_mapping() {
        with_space(|space| {
            map(space, AT, 2, Prot::RW);
            write_user(UserPtr::new(AT), &1u64).unwrap();
            let frame = frames::alloc_zeroed().unwrap();
            let outer = Kmap::local(frame);
            assert!(kmap::faults_are_served());
            let page = kmap_atomic(frame);
            assert!(!kmap::faults_are_served());
            assert_eq!(read_user(UserPtr::new(AT)), Ok(1u64));
            assert_eq!(write_user(UserPtr::new(AT + PAGE_SIZE), &2u64), Err(Fault));
            // Any address in the page releases it.
            kunmap_atomic(page.map_addr(|at| at.saturating_add(77)));
            write_user(UserPtr::new(AT + PAGE_SIZE), &2u64).unwrap();
            drop(outer);
            frames::free(frame);
        });
    }

    /// Temporary mappings nest, sixteen deep and of both kinds, and show the page.
    fn kmaps_nest() {
        let frame = frames::alloc_zeroed().unwrap();
        let locals: alloc::vec::Vec<Kmap> = (0..8).map(|_| Kmap::local(frame)).collect();
        let atomics: alloc::vec::Vec<NonNull<u8>> = (0..8).map(|_| kmap_atomic(frame)).collect();
        assert_eq!(kmap::held(), 16);
        // SAFETY: the test's own page, mapped.
        unsafe { locals[0].as_ptr().write(7) };
        // SAFETY: as above.
        assert!(atomics.iter().all(|page| unsafe { page.read() } == 7));
        atomics.into_iter().rev().for_each(kunmap_atomic);
        locals.into_iter().rev().for_each(drop);
        assert_eq!(kmap::held(), 0);
        frames::free(frame);
    }

    /// Temporary mappings released in the wrong order are caught.
    fn kmaps_are_released_newest_first() dies {
        let frame = layout_frame();
        let (first, _second) = (Kmap::local(frame), Kmap::local(Pfn::new(frame.get() + 1)));
        drop(first);
    }

    /// One of each kind, released as the other, is caught.
    fn kmaps_of_two_kinds_are_not_mixed() dies {
        let _first = Kmap::local(layout_frame());
        kunmap_atomic(kmap_page());
    }

    /// A page that is not mapped cannot be released.
    fn kmaps_are_released_once() dies {
        let page = kmap_atomic(layout_frame());
        kunmap_atomic(page);
        kunmap_atomic(page);
    }

    /// A seventeenth is a leak, and is caught.
    fn kmaps_have_an_end() dies {
        let _pages: alloc::vec::Vec<Kmap> = (0..17).map(|_| Kmap::local(layout_frame())).collect();
    }
}

/// A frame that is there: of the image.
fn layout_frame() -> Pfn {
    crate::paging::image_phys(layout::text_start()).pfn()
}

/// Where it is seen.
fn kmap_page() -> NonNull<u8> {
    NonNull::new(layout::linear(layout_frame().base())).unwrap()
}
