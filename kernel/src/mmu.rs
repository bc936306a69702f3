//! What the crate `mm` is plugged into: real frames, real barriers, real TLBs.

use abi::nr;
use arch::features::{Feature, has};
use mm::desc::Level;
use mm::{Asid, Commit, Frames, Mmu, Page, Poisoned, Reach, TableMemory};
use spin::Once;
use units::{HUGE_SIZE, PAGE_SHIFT, PAGE_SIZE, PageCount, Pfn, PhysAddr, VirtRange};

use crate::{counters, frames, layout, pmem};

/// The kernel's frame allocator, as `mm` sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelFrames;

static ZERO_PAGE: Once<Pfn> = Once::new();
static TRAMPOLINE: Once<Pfn> = Once::new();
/// `mov x8, #139; svc #0`: `rt_sigreturn`, in the very words by which debuggers and unwinders know it.
const SIGRETURN: [u32; 2] = [0xd280_0000 | (nr::RT_SIGRETURN as u32) << 5 | 8, 0xd400_0001];
/// What programs are promised of the frames.
static COMMIT: Commit = Commit::new();

/// Sets the frame of zeros aside, and that of the signal trampoline; before the first program.
///
/// # Errors
/// [`crate::heap::OutOfMemory`].
pub(crate) fn init() -> Result<(), crate::heap::OutOfMemory> {
    let frame = frames::alloc_zeroed()?;
    ZERO_PAGE.call_once(|| frame);
    let frame = frames::alloc_zeroed()?;
    // SAFETY: the frame was free, so it is RAM in the linear map that nobody uses.
    unsafe { layout::linear(frame.base()).cast::<[u32; 2]>().write(SIGRETURN) };
    TRAMPOLINE.call_once(|| frame);
    COMMIT.set_total(frames::usage().1);
    Ok(())
}

/// The frame that handlers of signals return to.
pub(crate) fn trampoline() -> Pfn {
    *TRAMPOLINE.get().unwrap_or_else(|| unreachable!("mmu::init comes before every address space"))
}

impl Frames for KernelFrames {
    #[inline]
    fn alloc_zeroed(&self) -> Result<Pfn, mm::OutOfMemory> {
        frames::alloc_zeroed().map_err(|_| mm::OutOfMemory)
    }

    #[inline]
    fn alloc(&self) -> Result<Pfn, mm::OutOfMemory> {
        frames::alloc().map_err(|_| mm::OutOfMemory)
    }

    #[inline]
    fn free(&self, frame: Pfn) {
        frames::free(frame);
    }

    fn alloc_huge(&self) -> Result<Pfn, mm::OutOfMemory> {
        let first = frames::alloc_block(Level::Pmd.pages()).map_err(|_| mm::OutOfMemory)?;
        // SAFETY: the frames were free, so they are RAM in the linear map that nobody uses.
        unsafe { arch::memory::zero_pages(layout::linear(first.base()), HUGE_SIZE as usize) };
        Ok(first)
    }

    fn free_huge(&self, first: Pfn) {
        frames::free_block(first, Level::Pmd.pages());
    }

    fn zero_page(&self) -> Pfn {
        *ZERO_PAGE.get().unwrap_or_else(|| unreachable!("mmu::init comes before every address space"))
    }

    fn copy(&self, from: Pfn, to: Pfn) -> Result<(), Poisoned> {
        if !pmem::page_is_good(from.base()) {
            return Err(Poisoned);
        }
        // SAFETY: both are in the linear map; `to` is nobody else's. `from` may be written meanwhile through a shared
        // mapping, which tears at most what a copy by the program itself would tear; or be bad, which ends the copy.
        match unsafe { arch::user::copy(layout::linear(to.base()), layout::linear(from.base()), PAGE_SIZE as usize) } {
            0 => Ok(()),
            left => {
                pmem::note(PhysAddr::new(from.base().get() + PAGE_SIZE - left as u64));
                Err(Poisoned)
            }
        }
    }

    #[inline]
    fn page(&self, frame: Pfn) -> Option<&Page> {
        frames::page(frame).or_else(|| pmem::page(frame))
    }

    fn pages(&self, first: Pfn, count: PageCount) -> Option<&[Page]> {
        frames::pages(first, count)
    }

    fn commit(&self) -> &Commit {
        &COMMIT
    }

    fn table(&self, frame: Pfn) -> &TableMemory {
        // SAFETY: a table's frame is in the linear map while the table lives, and is used through atomics alone. The
        // tables of `boot` lie in the image, which is RAM like any other.
        unsafe { &*layout::linear(frame.base()).cast() }
    }
}

/// This machine's barriers and TLBs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelMmu;

/// All stores to tables are seen by every walker, and by this CPU's next instruction.
pub(crate) fn publish() {
    arch::barrier::dsb_ishst();
    arch::barrier::isb();
}

impl Mmu for KernelMmu {
    fn publish(&self) {
        publish();
    }

    #[inline]
    fn invalidate(&self, asid: Asid, range: VirtRange, smallest: Level, reach: Reach) {
        counters::TLBI.add(1);
        let stride = smallest.size() >> PAGE_SHIFT;
        let level = match reach {
            Reach::Leaves => arch::tlb::Level::Last,
            Reach::Tables => arch::tlb::Level::All,
        };
        if asid == Asid::GLOBAL {
            arch::tlb::invalidate_kernel(range, stride, level);
        } else {
            arch::tlb::invalidate(asid.get(), range, stride, level);
        }
    }

    fn invalidate_asid(&self, asid: Asid) {
        counters::TLBI.add(1);
        arch::tlb::invalidate_asid(asid.get());
    }

    fn pause(&self) {
        crate::task::sched::resched();
    }

    fn sets_access_flag(&self) -> bool {
        has(Feature::HardwareAccess)
    }

    fn sync_icache(&self, first: Pfn, count: PageCount) {
        let bytes = (count.get() << PAGE_SHIFT) as usize;
        // SAFETY: frames that become executable are RAM or pmem, all of which the linear map shows.
        unsafe { arch::cache::sync_instructions(layout::linear(first.base()), bytes) };
    }
}
