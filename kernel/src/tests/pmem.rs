//! Persistent memory on the devices of the machine that runs: bad blocks, recovery, and holes that really abort.
//!
//! Each test works on the last page of each device that may be written, and puts back what was there.

use alloc::vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use pmem::device::DeviceFlags;
use pmem::guarded::Zeros;
use pmem::medium::{MediaError, Medium};
use units::{BlockNr, ByteLen, PAGE_SIZE, PageCount, PhysAddr, PmOff, SECTOR_SIZE};

use crate::mmu::KernelFrames;
use crate::pmem::{Device, PmemMedium, devices, poison};
use crate::smp;
use crate::testing::kernel_test;

const PAGE: usize = PAGE_SIZE as usize;

/// Runs `test` on the last page of every device that may be written; the page holds sevens then.
fn on_last_pages(test: impl Fn(&'static Device, &PmemMedium, PmOff)) {
    for device in devices().iter().filter(|device| !device.dax().ops().flags().contains(DeviceFlags::READ_ONLY)) {
        let medium = PmemMedium::new(device);
        let at = PmOff::new(medium.len().get() - PAGE_SIZE);
        let mut before = vec![0; PAGE];
        medium.load(at, &mut before).unwrap();
        medium.store(at, &[7; PAGE]);
        test(device, &medium, at);
        assert_eq!(medium.check(at, ByteLen::new(PAGE_SIZE)), Ok(()), "a test leaves nothing bad behind");
        medium.store(at, &before);
        medium.clean(at, ByteLen::new(PAGE_SIZE));
        medium.fence();
    }
}

fn page_of(device: &Device, at: PmOff) -> PhysAddr {
    device.dax().ops().phys_of(at).unwrap()
}

fn byte(medium: &PmemMedium, at: PmOff) -> Result<u8, MediaError> {
    let mut byte = [0];
    medium.load(at, &mut byte).map(|()| byte[0])
}

kernel_test! {
    /// A device with a file system keeps its list of bad blocks on the medium, and knows it is kept.
    fn a_list_of_bad_blocks_is_kept_on_the_medium() {
        on_last_pages(|device, medium, at| {
            let memory = device.dax().ops().memory();
            let kept = memory.set_bad(at.sector(), 3).unwrap();
            let listed = || fs::badlist::read(memory.cells()).iter().any(|range| range.start == at.sector());
            assert_eq!(listed(), kept);
            let mut magic = [0; 8];
            medium.load(PmOff::ZERO, &mut magic).unwrap();
            assert!(kept || &magic != b"VITRINE\0");
            memory.clear_bad(at.sector(), 3).unwrap();
            assert!(!listed());
        });
    }

    /// A recovery write of a whole page heals it, one of less does not, and a page range is zeroed and healed.
    fn a_recovery_write_heals() {
        on_last_pages(|device, medium, at| {
            let memory = device.dax().ops().memory();
            memory.set_bad(at.sector(), 1).unwrap();
            assert_eq!(medium.recovery_write(at, 512, &mut Zeros(512)), 0);
            assert_eq!(byte(medium, at), Err(MediaError { at }));
            assert_eq!(medium.recovery_write(at, PAGE, &mut &[9; PAGE][..]), PAGE);
            assert_eq!(byte(medium, at), Ok(9));
            memory.set_bad(at.sector(), 1).unwrap();
            device.dax().zero_page_range(BlockNr::new(at.block().get()), PageCount::new(1)).unwrap();
            assert_eq!(byte(medium, at), Ok(0));
        });
    }

    /// With `poison`, a hole aborts: a load says where, its page is bad from then on, and a recovery write heals it.
    fn a_hole_is_met_and_healed() {
        if !poison::is_on() {
            return;
        }
        on_last_pages(|device, medium, at| {
            assert!(poison::hole(page_of(device, at)));
            let into = PmOff::new(at.get() + 1000);
            assert_eq!(medium.check(at, ByteLen::new(PAGE_SIZE)), Ok(()), "nobody knows yet");
            assert_eq!(byte(medium, into), Err(MediaError { at: into }));
            assert_eq!(medium.check(at, ByteLen::new(1)), Err(MediaError { at }));
            let last = PmOff::new(at.get() + PAGE_SIZE - SECTOR_SIZE);
            assert_eq!(medium.check(last, ByteLen::new(1)), Err(MediaError { at: last }));
            // A clean of what is not there is passed over.
            medium.clean(at, ByteLen::new(PAGE_SIZE));
            medium.fence();
            let frame = medium.pfn(at).unwrap();
            let other = crate::frames::alloc().unwrap();
            assert!(mm::Frames::copy(&KernelFrames, frame, other).is_err(), "a page of a program cannot be made of it");
            crate::frames::free(other);
            assert_eq!(medium.recovery_write(at, PAGE, &mut &[9; PAGE][..]), PAGE);
            assert_eq!(byte(medium, into), Ok(9));
        });
    }

    /// With `poison`, a hole is one for every CPU, though it came up before the hole did; healed, it is one for none.
    fn a_hole_is_one_on_every_cpu() {
        if !poison::is_on() {
            return;
        }
        static FAILED: AtomicUsize = AtomicUsize::new(0);
        /// Counts the CPUs that cannot read the byte at an address of the linear map.
        fn look(address: usize) {
            let mut byte = 0_u8;
            // SAFETY: a byte of our own, and an address of a device, which may be a hole: the copy ends there.
            let left = unsafe { arch::user::copy(&raw mut byte, core::ptr::with_exposed_provenance(address), 1) };
            FAILED.fetch_add(left, Ordering::Relaxed);
        }
        on_last_pages(|device, _, at| {
            let page = page_of(device, at);
            let address = crate::layout::linear(page).expose_provenance();
            let all = || {
                FAILED.store(0, Ordering::Relaxed);
                smp::online().for_each(|cpu| smp::call(cpu, look, address).unwrap());
                FAILED.load(Ordering::Relaxed)
            };
            assert_eq!(all(), 0);
            assert!(poison::hole(page));
            assert_eq!(all(), smp::online().count());
            poison::heal(page);
            assert_eq!(all(), 0);
        });
    }

    /// With `poison`, copies of every length end at the very byte, and stores recover the page they meet.
    fn copies_end_at_the_hole() {
        if !poison::is_on() {
            return;
        }
        on_last_pages(|device, medium, at| {
            let memory = device.dax().ops().memory();
            for before in [1_usize, 7, 31, 64, 511, 512, 1000, 4000] {
                assert!(poison::hole(page_of(device, at)));
                let from = PmOff::new(at.get() - before as u64);
                let mut bytes = vec![0; before + 500];
                let mut sink = crate::vfs::copy::KernelSink::new(&mut bytes);
                assert_eq!(medium.load_to(from, before + 500, &mut sink), Ok(before));
                assert!(memory.check(at, ByteLen::new(1)).is_err());
                memory.clear_bad(at.sector(), 8).unwrap();
                // The kernel's own store: the rest of the page is gone, which it was before.
                medium.store(PmOff::new(at.get() + 100), &[5; 300]);
                assert_eq!(byte(medium, PmOff::new(at.get() + 399)), Ok(5));
                assert_eq!(byte(medium, at), Ok(0));
                poison::hole(page_of(device, at));
                medium.zero(PmOff::new(at.get() + 8), ByteLen::new(80));
                assert_eq!(byte(medium, PmOff::new(at.get() + 300)), Ok(0));
            }
        });
    }
}
