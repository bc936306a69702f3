//! Benches inside the kernel: what an operation costs without a system call around it.
//!
//! Under `-icount shift=0` the clock advances one nanosecond an instruction, so the figures are instructions and
//! repeat to the digit; without it they are wall time and mean little. `make bench` runs these beside the portable
//! program `bench`.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use linkme::distributed_slice;
use mm::space::{Access, Place, Request, What};
use mm::{Prot, VmaFlags};
use platform::cmdline::Filter;
use ::pmem::dax::DaxMode;
use ::pmem::medium::Medium;
use units::{BlockNr, ByteLen, HUGE_SIZE, PAGE_SIZE, PageCount, PmOff, SECTOR_SIZE, Sector, VirtAddr};

use crate::console::say;
use crate::pmem::{PmemMedium, devices};
use crate::space::Space;
use crate::task::sched;
use crate::{frames, pmem, timer};

/// One bench.
pub(crate) struct KernelBench {
    /// What is measured.
    name: &'static str,
    /// Does it so many times.
    run: fn(u32),
}

/// Every bench of the kernel.
#[distributed_slice]
pub(crate) static KERNEL_BENCHES: [KernelBench];

macro_rules! kernel_bench {
    ($($(#[$doc:meta])* fn $name:ident($times:ident) $body:block)*) => {
        $(
            $(#[$doc])*
            fn $name($times: u32) $body

            const _: () = {
                #[distributed_slice(KERNEL_BENCHES)]
                static BENCH: KernelBench = KernelBench { name: stringify!($name), run: $name };
            };
        )*
    };
}

/// How often each is done; the first round warms the caches and is not counted.
const TIMES: u32 = 1000;

/// Runs the benches that `filter` takes, a line each: name, times, nanoseconds for one.
pub(crate) fn run(filter: Filter<'_>) {
    for bench in KERNEL_BENCHES {
        if !filter.takes(bench.name) {
            continue;
        }
        (bench.run)(TIMES / 10);
        let start = timer::now();
        (bench.run)(TIMES);
        let whole = (timer::now() - start).as_nanos();
        let all = match MEASURED.swap(0, Ordering::Relaxed) {
            0 => whole,
            measured => u128::from(measured),
        };
        let one = all / u128::from(TIMES);
        say(format_args!("{}\t{TIMES}\t{one}\n", bench.name));
    }
}

/// Cleans `len` bytes, at most 2 MiB, at the end of the first device, whose content stays.
fn clean(times: u32, len: u64) {
    let Some(device) = devices().first() else { return };
    let medium = PmemMedium::new(device);
    let Some(at) = medium.len().get().checked_sub(HUGE_SIZE).map(PmOff::new) else { return };
    for _ in 0..times {
        medium.clean(at, ByteLen::new(len));
        medium.fence();
    }
}

/// Loads a page of the first device, through the list of its bad blocks.
fn load(times: u32) {
    let Some(device) = devices().first() else { return };
    let (medium, mut page) = (PmemMedium::new(device), alloc::vec![0; PAGE_SIZE as usize]);
    for _ in 0..times {
        let _ = core::hint::black_box(medium.load(PmOff::ZERO, &mut page));
    }
}

/// Where the pages of the benches of mapping lie.
const FIRST: u64 = 1 << 30;

fn page_at<B>(place: Place) -> Request<B> {
    Request { place, len: PAGE_SIZE, prot: Prot::RW, flags: VmaFlags::empty(), what: What::Anonymous }
}

/// Maps and unmaps a page in a space with so many VMAs, every second page, so that none is part of another.
fn map_unmap_among(count: u64, times: u32) {
    let Ok(space) = Space::new() else { return };
    for n in 0..count {
        let place = Place::Fixed(VirtAddr::new(FIRST + 2 * n * PAGE_SIZE));
        if crate::heap::reserve(1 << 16).is_err() || space.lock().map(page_at(place)).is_err() {
            return;
        }
    }
    let start = timer::now();
    for _ in 0..times {
        let Ok(mapped) = space.lock().map(page_at(Place::ANYWHERE)) else { return };
        drop(space.lock().unmap(mapped.at, PAGE_SIZE));
    }
    MEASURED.store((timer::now() - start).as_nanos() as u64, Ordering::Relaxed);
}

/// What a bench has measured itself, without what it needed before, in nanoseconds; 0: nothing.
static MEASURED: AtomicU64 = AtomicU64::new(0);

kernel_bench! {
    /// The loop and the call around everything else.
    fn nothing(times) {
        for time in 0..times {
            let _ = core::hint::black_box(time);
        }
    }

    /// A frame taken and given back.
    fn frame(times) {
        for _ in 0..times {
            if let Ok(frame) = frames::alloc() {
                frames::free(core::hint::black_box(frame));
            }
        }
    }

    /// A frame taken, zeroed and given back.
    fn zeroed_frame(times) {
        for _ in 0..times {
            if let Ok(frame) = frames::alloc_zeroed() {
                frames::free(core::hint::black_box(frame));
            }
        }
    }

    /// 64 bytes of heap taken and given back.
    fn heap_64(times) {
        for _ in 0..times {
            drop(core::hint::black_box(Vec::<u8>::with_capacity(64)));
        }
    }

    /// The scheduler asked, with nobody else ready.
    fn yield_alone(times) {
        (0..times).for_each(|_| sched::yield_now());
    }

    /// A page mapped, touched by a write fault, and unmapped.
    fn map_fault_unmap(times) {
        let Ok(space) = Space::new() else { return };
        for _ in 0..times {
            let Ok(mapped) = space.lock().map(page_at(Place::ANYWHERE)) else { return };
            let _ = core::hint::black_box(space.fault(mapped.at, Access::Write));
            drop(space.lock().unmap(mapped.at, PAGE_SIZE));
        }
    }

    /// A page mapped and unmapped among ten VMAs.
    fn map_unmap_among_10(times) {
        map_unmap_among(10, times);
    }

    /// The same among 65,000.
    fn map_unmap_among_65000(times) {
        map_unmap_among(65_000, times);
    }

    /// A page mapped behind another that is alike, so that the two are one VMA, and unmapped.
    fn map_merge_unmap(times) {
        let Ok(space) = Space::new() else { return };
        let first = VirtAddr::new(FIRST);
        let second = VirtAddr::new(FIRST + PAGE_SIZE);
        let _ = space.lock().map(page_at(Place::Fixed(first)));
        for _ in 0..times {
            let _ = core::hint::black_box(space.lock().map(page_at(Place::FixedNoReplace(second))).is_ok());
            drop(space.lock().unmap(second, PAGE_SIZE));
        }
    }

    /// A line cleaned to persistence, and a fence.
    fn persist_64(times) {
        clean(times, 64);
    }

    /// A page cleaned to persistence, and a fence.
    fn persist_4k(times) {
        clean(times, PAGE_SIZE);
    }

    /// 2 MiB cleaned to persistence, and a fence.
    fn persist_2m(times) {
        clean(times, HUGE_SIZE);
    }

    /// A page of a device found by direct access.
    fn direct_access(times) {
        let Some(device) = devices().first() else { return };
        for time in 0..times {
            let (at, pages) = (BlockNr::new((time % 64).into()), PageCount::new(16));
            let _ = core::hint::black_box(device.dax().direct_access(at, pages, DaxMode::Normal));
        }
    }

    /// A page copied from one frame to another by `memcpy`, which panics where memory does not answer.
    fn copy_4k(times) {
        let (from, mut to) = (alloc::vec![1_u8; PAGE_SIZE as usize], alloc::vec![0_u8; PAGE_SIZE as usize]);
        for _ in 0..times {
            core::hint::black_box(&mut to).copy_from_slice(core::hint::black_box(&from));
        }
    }

    /// A page loaded from a device that has no bad block: the same, by the copy that ends where memory does not answer.
    fn load_4k(times) {
        load(times);
    }

    /// The same with a bad block elsewhere on the device: the list is asked.
    fn load_4k_bad_elsewhere(times) {
        let Some(memory) = devices().first().map(|device| device.dax().ops().memory()) else { return };
        let last = Sector::new(memory.len().get() / SECTOR_SIZE - 1);
        if memory.set_bad(last, 1).is_ok() {
            load(times);
            let _ = memory.clear_bad(last, 1);
        }
    }

    /// What it takes to find the NVDIMMs: the ACPI tables read and the NFIT taken apart, less the mapping of devices.
    fn nvdimm_discovery(times) {
        for _ in 0..times {
            let _ = core::hint::black_box(pmem::look_for_nvdimms());
        }
    }
}
