//! A program's address space in the kernel: the crate `mm` behind a lock, with a number in the TLB.

pub(crate) mod maps;
mod end_page;
mod file_pin;
mod sharing;
mod shown;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use mm::space::{Access, FaultError, Place, Request, What};
use mm::vma::Kind;
use arch::cpu::MAX_CPUS;
use arch::features::{Feature, has};
use mm::{AddressSpace, Asid, Asids, Context, Prot, VmaFlags};
use spin::Once;
use sync::{Mutex, MutexGuard, Rank};
use units::{PAGE_SHIFT, PAGE_SIZE, PhysAddr, VirtAddr, VirtRange};

use crate::heap::{self, OutOfMemory};
use crate::mmu::{KernelFrames, KernelMmu};
use crate::vfs::Program;
use crate::task::{current, sched};
use crate::task::limits::Limits;
use crate::{features, layout, paging};
pub(crate) use file_pin::{FilePin, page_range};
use sharing::Shares;
pub(crate) use sharing::{Shared, SharedFile, sync as sync_stores, sync_all as sync_all_stores};
pub(crate) use shown::{Promise, SharedMemory, Shown, pages_of};

/// Heap that a fault or a call on a space takes at most, in pieces.
const WORST_CASE: usize = 8 << 10;
/// Heap that a mapping takes in a copy of its space.
const VMA: usize = 512;

/// What the VMAs of programs are made of.
pub(crate) type Mappings = AddressSpace<KernelFrames, KernelMmu, Shown>;

static ASIDS: Asids<MAX_CPUS> = Asids::new();

/// Takes all numbers into use that every CPU has; after the features are known, before the first program.
pub(crate) fn init_numbers() {
    ASIDS.set_count(if has(Feature::Asid16) { 1 << 16 } else { 1 << 8 });
}

/// One address space, shared by the threads of a program.
pub(crate) struct Space {
    mappings: Mutex<Mappings>,
    /// The physical address of the level-0 table.
    root: u64,
    /// Where handlers of signals return to; 0 until it is mapped.
    trampoline: AtomicU64,
    /// The space's number in the TLB.
    context: Arc<Context>,
    /// What runs in it (`mm->exe_file`), once that is known.
    program: Once<Arc<Program>>,
    /// Whether files know it whose blocks may have to be taken away from it.
    shares: Shares,
}

impl Drop for Space {
    fn drop(&mut self) {
        if *self.shares.get_mut() {
            sharing::forget(self.mappings.get_mut().id());
        }
    }
}

impl Space {
    /// A space with nothing in it.
    ///
    /// # Errors
    /// [`OutOfMemory`], of frames or of numbers.
    pub(crate) fn new() -> Result<Arc<Self>, OutOfMemory> {
        heap::reserve(WORST_CASE)?;
        let context = Arc::new(Context::new());
        let mappings = AddressSpace::new(KernelFrames, KernelMmu, context.clone());
        Ok(Self::of(mappings.map_err(|mm::OutOfMemory| OutOfMemory)?, context, 0))
    }

    fn of(mappings: Mappings, context: Arc<Context>, trampoline: u64) -> Arc<Self> {
        let root = mappings.root().base().get();
        let trampoline = AtomicU64::new(trampoline);
        let shares = Shares::new(false);
        let (mappings, program) = (Mutex::new(Rank::Space, mappings), Once::new());
        Arc::new(Self { mappings, root, trampoline, context, program, shares })
    }

    /// A copy for a child, page by page as either writes (`dup_mm`).
    ///
    /// # Errors
    /// [`OutOfMemory`], of frames, of heap or of numbers; what was made is given back.
    pub(crate) fn fork(&self) -> Result<Arc<Self>, OutOfMemory> {
        let vmas = self.mappings.lock().map_count();
        heap::reserve(WORST_CASE + vmas * VMA)?;
        let context = Arc::new(Context::new());
        let copy = self.mappings.lock().fork(context.clone()).map_err(|mm::OutOfMemory| OutOfMemory)?;
        let copy = Self::of(copy, context, self.trampoline());
        if let Some(program) = self.program.get() {
            copy.set_program(program.clone());
        }
        if self.shares.load(Ordering::Acquire) {
            copy.begin_sharing()?;
        }
        Ok(copy)
    }

    /// Maps the page that handlers of signals return to.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn map_trampoline(&self) -> Result<(), Errno> {
        let what = What::File { backing: Shown::Trampoline, pgoff: 0 };
        let (prot, flags) = (Prot::READ | Prot::EXEC, VmaFlags::empty());
        let request = Request { place: Place::ANYWHERE, len: PAGE_SIZE, prot, flags, what };
        let mapped = self.lock().map(request).map_err(|_| Errno::ENOMEM)?;
        self.trampoline.store(mapped.at.get(), Ordering::Relaxed);
        Ok(())
    }

    /// Where handlers of signals return to.
    pub(crate) fn trampoline(&self) -> u64 {
        self.trampoline.load(Ordering::Relaxed)
    }

    /// Says, once, what runs in it.
    pub(crate) fn set_program(&self, program: Arc<Program>) {
        self.program.call_once(|| program);
    }

    /// What runs in it.
    pub(crate) fn program(&self) -> Option<&Arc<Program>> {
        self.program.get()
    }

    /// Which word of memory that programs share lies at `va`, if one does: the memory, and the place in it.
    pub(crate) fn shared_word(&self, va: VirtAddr) -> Option<(usize, u64)> {
        let mappings = self.mappings.lock();
        let vma = mappings.find_vma(va).filter(|vma| vma.start() <= va)?;
        match vma.kind() {
            Kind::Shared(shown) => {
                Some((shown.identity()?, (vma.pgoff() << PAGE_SHIFT) + (va.get() - vma.start().get())))
            }
            _ => None,
        }
    }

    /// Makes this the space of the program on this CPU.
    #[inline]
    pub(crate) fn activate(&self) {
        let asid = ASIDS.switch(&self.context, arch::cpu::index(), arch::tlb::invalidate_this_cpu);
        // SAFETY: the root is this space's, which the task that runs in it keeps alive; so is the number, which no
        // other has while this one runs.
        unsafe { arch::cpu::set_ttbr0(ttbr0(self.root, asid)) };
    }

    /// The mappings, locked.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Mappings> {
        self.mappings.lock()
    }

    /// Sets, before anything is mapped, what a new program may have at most and where `mmap` looks for room.
    pub(crate) fn begin(&self, limits: &Limits) {
        let mut mappings = self.mappings.lock();
        mappings.set_limits(limits.of_space());
        mappings.set_search(limits.order(), limits.reach());
    }

    /// What lies behind an address that the program may read.
    ///
    /// # Errors
    /// [`FaultError`] where nothing does.
    pub(crate) fn frame(&self, va: VirtAddr) -> Result<PhysAddr, FaultError> {
        self.fault(va, Access::Read)?;
        self.mappings.lock().frame(va, Access::Read)
    }

    /// Makes an access of the program possible.
    ///
    /// # Errors
    /// [`FaultError`] says which signal it earns.
    #[inline]
    pub(crate) fn fault(&self, va: VirtAddr, access: Access) -> Result<(), FaultError> {
        loop {
            heap::reserve(WORST_CASE).map_err(|OutOfMemory| FaultError::OutOfMemory)?;
            let mut mappings = self.mappings.lock();
            match mappings.fault(va, access) {
                Err(FaultError::Unprepared) => {
                    let unprepared = mappings.unprepared(va);
                    drop(mappings);
                    prepare(unprepared, access)?;
                }
                done => return done,
            }
        }
    }

    /// Makes the pages of `range` as [`mm::AddressSpace::populate`] does, a few at a time: others get the lock between, and
    /// a program that is to end does.
    ///
    /// # Errors
    /// [`FaultError`] of the first page that cannot be had.
    pub(crate) fn populate(&self, range: VirtRange) -> Result<(), FaultError> {
        self.populate_all(range).map_err(|(_, error)| error)
    }

    /// The same for calls that promise nothing: where a page cannot be had, the rest of its VMA is left to faults, and the
    /// next one's turn comes (`mm_populate`).
    pub(crate) fn populate_what_can_be(&self, range: VirtRange) {
        let mut rest = range;
        while let Err((at, _)) = self.populate_all(rest) {
            let Some(behind) = self.lock().find_vma(at).map(|vma| vma.end()) else { return };
            let Some(next) = VirtRange::new(behind, range.end()).filter(|next| !next.is_empty()) else { return };
            rest = next;
        }
    }

    /// The same for the VMAs of `range` that are locked and private.
    pub(crate) fn populate_locked(&self, range: VirtRange) {
        let mut start = range.start();
        while let Some(rest) = VirtRange::new(start, range.end()).filter(|rest| !rest.is_empty()) {
            let part = self.lock().find_vma(start).and_then(|vma| {
                let private = vma.flags().contains(VmaFlags::LOCKED) && !vma.kind().is_shared();
                vma.range().intersection(rest).map(|part| (part, private))
            });
            let Some((part, private)) = part else { return };
            if private {
                self.populate_what_can_be(part);
            }
            start = part.end();
        }
    }

    /// Populates `range`, or says which page could not be had.
    fn populate_all(&self, range: VirtRange) -> Result<(), (VirtAddr, FaultError)> {
        /// Bytes that are made with the lock held.
        const PIECE: u64 = 1 << 20;
        let mut start = range.start();
        while start < range.end() && !current().killed() {
            heap::reserve(WORST_CASE).map_err(|OutOfMemory| (start, FaultError::OutOfMemory))?;
            let mut mappings = self.mappings.lock();
            // Where nothing is mapped, nothing is to be made.
            let Some(first) = mappings.find_vma(start).map(|vma| vma.start().max(start)) else { return Ok(()) };
            let end = VirtAddr::new(range.end().get().min(first.get().saturating_add(PIECE)));
            let Some(piece) = VirtRange::new(first, end) else { return Ok(()) };
            start = match mappings.populate(piece) {
                Ok(()) => {
                    drop(mappings);
                    end
                }
                Err((at, FaultError::Unprepared)) => {
                    let unprepared = mappings.unprepared(at);
                    drop(mappings);
                    prepare(unprepared, Access::Read).map_err(|error| (at, error))?;
                    at
                }
                Err(refused) => return Err(refused),
            };
            sched::resched();
        }
        Ok(())
    }
}

/// Lets what is behind a mapping make the page that a fault has found missing; no lock is held.
fn prepare(page: Option<(Shown, u64)>, access: Access) -> Result<(), FaultError> {
    // Where the mapping has gone meanwhile, the next try finds out.
    let Some((shown, index)) = page else { return Ok(()) };
    shown.prepare(index, access)
}

/// The value of TTBR0_EL1 for tables with their root at `root`, under a number that is theirs on every CPU.
fn ttbr0(root: u64, asid: Asid) -> u64 {
    root | u64::from(asid.get()) << 48 | features::common_not_private()
}

/// Takes whatever program's space away from this CPU: TTBR0 is an empty table.
pub(crate) fn deactivate() {
    let empty = paging::image_phys(layout::reserved_pg_dir());
    // SAFETY: a page of zeroes in the image, the same for every CPU.
    unsafe { arch::cpu::set_ttbr0(ttbr0(empty.get(), Asid::GLOBAL)) };
}
