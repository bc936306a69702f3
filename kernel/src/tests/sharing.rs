//! Files that programs share, from the kernel's side: descriptors of blocks, who holds them, and stores seen by two spaces.

use alloc::sync::Arc;
use alloc::vec;

use abi::file::OpenFlags;
use mm::page::{Mapping, PageFlags};
use mm::space::{Follow, Followed, Place, Request, What, find_get_page};
use mm::{Backing, Frames, Prot, VmaFlags};
use units::{ByteLen, FileOff, FileRange, PAGE_SIZE, VirtAddr};

use crate::mmu::KernelFrames;
use crate::space::{FilePin, SharedFile, Shown, Space, sync_stores};
use crate::testing::kernel_test;
use crate::uaccess::{UserPtr, read_user, write_user};
use crate::vfs::open::{How, open};
use crate::vfs::{self, File, Node};
use crate::{counters, task};

/// Where the tests have their memory: nothing else is in the same entry of the highest table.
const AT: u64 = 0x0000_1000_0000_0000;
/// Pages of the file.
const PAGES: u64 = 4;

/// A file without a name, open, whose page n holds bytes n + 1, shared by a space of the test's task.
fn with_file(test: impl FnOnce(&Arc<Space>, &SharedFile, &Node)) {
    let flags = OpenFlags::TMPFILE | OpenFlags::DIRECTORY | OpenFlags::RDWR;
    let file = open(&vfs::root(), b"/tmp", How::new(flags.bits(), 0o600).unwrap()).unwrap();
    let bytes: vec::Vec<u8> = (0..PAGES * PAGE_SIZE).map(|at| (at / PAGE_SIZE) as u8 + 1).collect();
    File::write(&file, &mut bytes.as_slice()).unwrap();
    let node = file.regular().unwrap().clone();
    let space = Space::new().unwrap();
    space.begin_sharing().unwrap();
    task::current().replace_space(Some(Arc::clone(&space)));
    let shared = SharedFile::new(&file).unwrap();
    drop(file);
    map(&space, AT, &shared);
    test(&space, &shared, &node);
    drop(shared);
    drop(task::current().replace_space(None));
}

fn map(space: &Space, at: u64, shared: &SharedFile) {
    let (place, len) = (Place::Fixed(VirtAddr::new(at)), PAGES * PAGE_SIZE);
    let what = What::Shared { backing: Shown::from(shared.clone()), pgoff: 0 };
    assert!(space.lock().map(Request { place, len, prot: Prot::RW, flags: VmaFlags::empty(), what }).is_ok());
}

fn follow(space: &Space, at: u64, flags: Follow) -> Option<Followed<KernelFrames>> {
    space.lock().follow_page(VirtAddr::new(at), flags).unwrap()
}

fn free_blocks(node: &Node) -> u64 {
    node.fs().space().free
}

fn whole() -> FileRange {
    FileRange::with_len(FileOff::ZERO, ByteLen::new(PAGES * PAGE_SIZE)).unwrap()
}

kernel_test! {
    /// A block of a file has a descriptor, found by address and by its place in the file; whoever holds it keeps the block,
    /// whatever becomes of the file.
    fn a_held_block_is_not_used_again() {
        with_file(|space, shared, node| {
            let second = AT + PAGE_SIZE;
            assert!(follow(space, second, Follow::GET).is_none());
            write_user(UserPtr::new(second), &0x0706_0504u32).unwrap();
            let held = follow(space, second, Follow::GET | Follow::WRITE | Follow::TOUCH).unwrap().page.unwrap();
            let page = held.page().unwrap();
            assert_eq!((page.mapping(), page.index()), (Mapping::File(node.ino().get()), 1));
            assert!(page.flags().contains(PageFlags::DIRTY | PageFlags::REFERENCED));
            let by_place = find_get_page(KernelFrames, &Shown::from(shared.clone()), 1).unwrap();
            assert_eq!((by_place.frame(), page.count()), (held.frame(), 2));
            drop(by_place);
            assert!(find_get_page(KernelFrames, shared, PAGES).is_none(), "past the end");

            let free = free_blocks(node);
            node.truncate(PAGE_SIZE, vfs::now()).unwrap();
            assert_eq!((free_blocks(node), node.fs().space().pinned), (free + PAGES - 2, 1));
            let root = vfs::root();
            let filler = open(&root, b"/tmp", How::new((OpenFlags::TMPFILE | OpenFlags::DIRECTORY | OpenFlags::RDWR).bits(), 0o600).unwrap()).unwrap();
            filler.write(&mut vec![0xeeu8; 64 << 10].as_slice()).unwrap();
            // SAFETY: a block of the medium in the linear map, which the reference holds.
            let word = unsafe { crate::layout::linear(held.frame().base()).cast::<u32>().read() };
            assert_eq!(word, 0x0706_0504, "somebody else has got the block");
            drop(filler);
            drop(held);
            // The next change finds that nobody holds it.
            node.truncate(PAGE_SIZE - 1, vfs::now()).unwrap();
            assert_eq!(free_blocks(node), free + PAGES - 1);
        });
    }

    /// Two spaces see each other's stores; a store after a peek goes elsewhere, in both.
    fn spaces_share_and_a_pin_stays() {
        with_file(|space, shared, node| {
            map(space, AT + (1 << 30), shared);
            let other = space.fork().unwrap();
            write_user(UserPtr::new(AT + 8), &1u64).unwrap();
            assert_eq!(read_user(UserPtr::new(AT + (1 << 30) + 8)), Ok(1u64));
            drop(task::current().replace_space(Some(Arc::clone(&other))));
            assert_eq!(read_user(UserPtr::new(AT + 8)), Ok(1u64));
            write_user(UserPtr::new(AT + 16), &2u64).unwrap();
            let pin = FilePin::new(node.pin(whole()).unwrap(), node.ino()).unwrap();
            let mm::PageOf::Frame(kept) = pin.page(0) else { panic!("a hole") };
            // SAFETY: a block of the medium in the linear map, which the pin keeps.
            let seen = || unsafe { crate::layout::linear(kept.base()).cast::<u64>().add(2).read_volatile() };
            assert_eq!(seen(), 2);
            write_user(UserPtr::new(AT + 16), &3u64).unwrap();
            drop(task::current().replace_space(Some(Arc::clone(space))));
            assert_eq!(read_user(UserPtr::new(AT + 16)), Ok(3u64));
            write_user(UserPtr::new(AT + (1 << 30) + 16), &4u64).unwrap();
            assert_eq!(seen(), 2, "what a pin keeps has changed");
            assert_eq!(node.fs().space().pinned, 1);
            drop(pin);
            assert_eq!(node.fs().space().pinned, 0);
            drop(other);
        });
    }

    /// What was stored to is made durable once, and is known after the mapping has gone.
    fn stores_are_cleaned_once() {
        with_file(|space, _, node| {
            let cleaned = |act: &dyn Fn()| {
                let before = counters::LINES_CLEANED.get();
                act();
                counters::LINES_CLEANED.get() - before
            };
            let sync = || sync_stores(node, (0, u64::MAX)).unwrap();
            write_user(UserPtr::new(AT), &1u8).unwrap();
            let one = cleaned(&sync);
            assert!(one >= 64, "{one} lines");
            assert_eq!(cleaned(&sync), 0);
            assert_eq!(read_user(UserPtr::new(AT + PAGE_SIZE)), Ok(2u8));
            assert_eq!(cleaned(&sync), 0, "a load is no store");
            for page in 0..3 {
                write_user(UserPtr::new(AT + page * PAGE_SIZE), &9u8).unwrap();
            }
            drop(space.lock().unmap(VirtAddr::new(AT), PAGES * PAGE_SIZE).unwrap());
            let three = cleaned(&sync);
            assert!(three >= 3 * 64, "{three} lines");
            assert_eq!(cleaned(&sync), 0);
            assert!(KernelFrames.page(units::Pfn::new(u64::MAX >> 12)).is_none());
        });
    }
}
