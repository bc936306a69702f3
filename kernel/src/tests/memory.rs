//! Frames, heap, temporary mappings, bulk copies, address spaces.

use alloc::vec;
use alloc::vec::Vec;

use mm::space::{Access, FaultError, Place};
use units::{ByteLen, PAGE_SIZE, PageCount, Pfn, VirtAddr};

use super::anonymous;
use crate::heap::{self, OutOfMemory};
use crate::space::Space;
use crate::testing::kernel_test;
use crate::{frames, layout};

fn bytes(frame: Pfn) -> *mut u8 {
    layout::linear(frame.base())
}

kernel_test! {
    /// A frame is one's own until it is given back; then all are free again.
    fn frames_come_back() {
        let (before, total) = frames::usage();
        assert!(before < total);
        let mut taken: Vec<Pfn> = (0..300).map(|_| frames::alloc().unwrap()).collect();
        taken.sort_unstable_by_key(|frame| frame.get());
        assert!(taken.windows(2).all(|pair| pair[0] != pair[1]), "a frame was handed out twice");
        assert_eq!(frames::usage().0.get(), before.get() + 300);
        taken.into_iter().for_each(frames::free);
        assert_eq!(frames::usage().0, before);
    }

    /// A zeroed frame is zero also where it was used before.
    fn zeroed_frames_are_zero() {
        let frame = frames::alloc().unwrap();
        // SAFETY: a frame of RAM in the linear map, the test's own.
        unsafe { bytes(frame).write_bytes(0xa5, PAGE_SIZE as usize) };
        frames::free(frame);
        let again = frames::alloc_zeroed().unwrap();
        // SAFETY: as above.
        let content = unsafe { core::slice::from_raw_parts(bytes(again), PAGE_SIZE as usize) };
        assert!(content.iter().all(|&byte| byte == 0));
        frames::free(again);
    }

    /// Running out of frames is a value, and what was there comes back.
    fn running_out_of_frames_is_an_error() {
        let before = frames::usage().0;
        // The frames themselves hold the list: each begins with the number of the one before.
        let mut last = u64::MAX;
        let mut count = 0u64;
        while let Ok(frame) = frames::alloc() {
            // SAFETY: a frame of RAM in the linear map, the test's own.
            unsafe { bytes(frame).cast::<u64>().write(last) };
            last = frame.get();
            count += 1;
        }
        assert!(count > 1000);
        assert_eq!(Space::new().map(drop), Err(OutOfMemory));
        while last != u64::MAX {
            let frame = Pfn::new(last);
            // SAFETY: as above, written by the loop before.
            last = unsafe { bytes(frame).cast::<u64>().read() };
            frames::free(frame);
        }
        assert_eq!(frames::usage().0, before);
    }

    /// Head-room is asked for first: more than there is, is refused.
    fn running_out_of_heap_is_an_error() {
        let (used, limit) = heap::usage();
        assert_eq!(heap::reserve(4096), Ok(()));
        assert_eq!(heap::reserve(limit), Err(OutOfMemory));
        let held = vec![1u8; (limit - used) / 2];
        assert_eq!(heap::reserve((limit - used) / 4 + 4096), Err(OutOfMemory));
        drop(held);
        assert_eq!(heap::usage().0, used);
    }

    /// The heap takes back what it gave, in any order, of any size and alignment.
    fn the_heap_takes_everything_back() {
        let (before, limit) = heap::usage();
        // About 1,300 live at once, each rounded up to a power of two: half of a small machine's heap holds them.
        let most = ((limit - before) / 4 / 1400).min(9000);
        let mut held: Vec<Vec<u8>> = Vec::new();
        for round in 0..2000usize {
            let size = round * 7919 % most;
            held.push(vec![round as u8; size]);
            if round % 3 == 0 {
                let victim = held.swap_remove(round * 31 % held.len());
                assert!(victim.windows(2).all(|pair| pair[0] == pair[1]), "somebody else wrote here");
            }
        }
        drop(held);
        assert_eq!(heap::usage().0, before);
    }

    /// `memcpy`, `memmove`, `memset` and `memcmp` at every small length and alignment, and at large ones.
    fn memory_routines_move_every_byte() {
        let lens = (0..300).chain([511, 512, 513, 767, 768, 1000, 4096, 8191]);
        let pattern: Vec<u8> = (0..9000u32).map(|index| ((index * 131) >> 3) as u8).collect();
        let mut to = vec![0u8; 9000];
        for len in lens {
            for (from_at, to_at) in [(0, 0), (1, 0), (3, 8), (7, 5)] {
                to.fill(0xee);
                to[to_at..to_at + len].copy_from_slice(&pattern[from_at..from_at + len]);
                assert!(to[to_at..to_at + len] == pattern[from_at..from_at + len]);
                assert!(to[..to_at].iter().chain(&to[to_at + len..]).all(|&byte| byte == 0xee), "{len} {to_at}");
                to.copy_within(to_at..to_at + len, to_at + 13);
                assert!(to[to_at + 13..to_at + 13 + len] == pattern[from_at..from_at + len]);
                to.copy_within(to_at + 13..to_at + 13 + len, to_at + 2);
                assert!(to[to_at + 2..to_at + 2 + len] == pattern[from_at..from_at + len]);
            }
        }
        assert!(b"abcdefghi"[..] < b"abcdefghj"[..] && b"zbcdefgh"[..] > b"abcdefgz"[..]);
    }

    /// A space gives back every frame and its number; a page costs nothing until it is touched.
    fn a_space_gives_everything_back() {
        // Kernel tables for the first stack or heap slab are made before the count.
        drop(Space::new().unwrap());
        let before = frames::usage().0;
        let space = Space::new().unwrap();
        let at = space.lock().map(anonymous(Place::ANYWHERE, 1 << 20)).ok().unwrap().at;
        let mapped = frames::usage().0;
        for page in [0, 1, 255] {
            let va = at.checked_add(ByteLen::new(page * PAGE_SIZE)).unwrap();
            space.fault(va, Access::Write).unwrap();
        }
        let touched = frames::usage().0.get() - mapped.get();
        assert!((3..=3 + 4).contains(&touched), "three pages and their tables took {touched} frames");
        assert_eq!(space.fault(VirtAddr::new(at.get() - PAGE_SIZE), Access::Read), Err(FaultError::Unmapped));
        assert_eq!(space.fault(at, Access::Exec), Err(FaultError::Denied));
        drop(space);
        assert_eq!(frames::usage().0, before);
    }

    /// More spaces than an 8-bit machine has numbers come and go.
    fn numbers_of_spaces_are_used_again() {
        for _ in 0..600 {
            drop(Space::new().unwrap());
        }
        let held: Vec<_> = (0..32).map(|_| Space::new().unwrap()).collect();
        assert_eq!(held.len(), 32);
    }

    /// The CPU's CRC32C is the file system's: the check value of the polynomial comes out, at any length.
    fn the_cpu_computes_crc32c() {
        let Some(step) = arch::crc::step() else { return };
        assert_eq!(!step(!0, b"123456789"), 0xe306_9283);
        let bytes: Vec<u8> = (0..100u8).collect();
        for cut in 0..bytes.len() {
            assert_eq!(step(step(!0, &bytes[..cut]), &bytes[cut..]), step(!0, &bytes));
        }
    }

    /// Large blocks of frames come aligned.
    fn blocks_of_frames_are_aligned() {
        let count = PageCount::new(512);
        let block = frames::alloc_block(count).unwrap();
        assert_eq!(block.get() % 512, 0);
        frames::free_block(block, count);
    }
}

/// Takes frames until none is left; each holds the number of the one taken before it.
fn take_all_frames() -> Option<Pfn> {
    let mut last = None;
    while let Ok(frame) = frames::alloc() {
        // SAFETY: the frame was free, so it is RAM in the linear map that nobody uses.
        unsafe { layout::linear(frame.base()).cast::<Option<Pfn>>().write(last) };
        last = Some(frame);
    }
    last
}

/// Gives the last of them back; answers the one before.
fn give_frame(last: Option<Pfn>) -> Option<Pfn> {
    let frame = last?;
    // SAFETY: `take_all_frames` wrote it, and nobody else has the frame.
    let before = unsafe { layout::linear(frame.base()).cast::<Option<Pfn>>().read() };
    frames::free(frame);
    before
}

kernel_test! {
    /// A copy of an address space that runs out of frames anywhere gives all of them back.
    fn a_fork_without_memory_leaves_nothing_behind() {
        let parent = Space::new().unwrap();
        for at in [0x40_0000, 0x7000_0000, 0x55_0000_0000] {
            let place = Place::Fixed(VirtAddr::new(at));
            parent.lock().map(anonymous(place, 8 * PAGE_SIZE)).map(drop).unwrap_or_else(|_| panic!("not mapped"));
            (0..8).for_each(|page| parent.fault(VirtAddr::new(at + page * PAGE_SIZE), Access::Write).unwrap());
        }
        let mut taken = take_all_frames();
        let mut refused = 0;
        loop {
            let before = frames::usage().0;
            let outcome = parent.fork();
            let done = outcome.is_ok();
            drop(outcome);
            assert_eq!(frames::usage().0, before);
            if done {
                break;
            }
            refused += 1;
            taken = give_frame(taken);
        }
        while taken.is_some() {
            taken = give_frame(taken);
        }
        // At least a table of each level had to be made.
        assert!(refused >= 4, "{refused}");
    }
}
