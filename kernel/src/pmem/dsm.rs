//! NVDIMMs asked by _DSM, without AML: a page with the question, its address written to a doorbell, the answer in the page.
//!
//! The store to the doorbell returns when the answer is there (QEMU's `docs/specs/acpi_nvdimm.txt`). Asked for is the label
//! area alone: its size (4), to read it (5), to write it (6), revision 1, by the handle of the NFIT.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use pmem::label::{AreaError, LabelArea};
use safe_mmio::UniqueMmioPointer;
use safe_mmio::fields::WriteOnly;
use sync::{Mutex, Rank};
use units::{ByteLen, PhysAddr, VirtAddr};

use crate::mmio::{self, MapError};
use crate::paging;

const REVISION: u32 = 1;
const LABEL_SIZE: u32 = 4;
const READ_LABELS: u32 = 5;
const WRITE_LABELS: u32 = 6;
/// Bytes of the page, and of what stands before a question's arguments and before an answer's data.
const PAGE: usize = 4096;
const QUESTION: usize = 12;
const ANSWER: usize = 8;
/// A status of ours: the answer makes no sense, or there is no doorbell.
const NONSENSE: AreaError = AreaError(u32::MAX);

#[repr(C, align(4096))]
struct Page(UnsafeCell<[u8; PAGE]>);

// SAFETY: touched by who holds `BELL`, and by the machine while that waits for it.
unsafe impl Sync for Page {}

static SHARED: Page = Page(UnsafeCell::new([0; PAGE]));

/// The doorbell's register.
struct Bell(NonNull<WriteOnly<u32>>);

// SAFETY: device memory, mapped for ever on every CPU, and used only under the lock.
unsafe impl Send for Bell {}

static BELL: Mutex<Option<Bell>> = Mutex::new(Rank::Device, None);

/// Takes the doorbell at `register` into use; without one nobody has labels.
///
/// # Errors
/// [`MapError`], where the register cannot be mapped, or the page lies further up than the doorbell can say.
pub(super) fn init(register: PhysAddr) -> Result<(), MapError> {
    if u32::try_from(page_address()).is_err() {
        return Err(MapError::NoRoom);
    }
    let bell = mmio::map(register, ByteLen::new(4), "the doorbell of the NVDIMMs")?.cast();
    *BELL.lock() = Some(Bell(bell));
    Ok(())
}

fn page_address() -> u64 {
    paging::image_phys(VirtAddr::new(SHARED.0.get().addr() as u64)).get()
}

/// Asks NVDIMM `handle`; the question's arguments are the words and `bytes`, the data of the answer go to `to`.
fn ask(handle: u32, function: u32, words: &[u32], bytes: &[u8], to: &mut [u8]) -> Result<(), AreaError> {
    let mut bell = BELL.lock();
    let bell = bell.as_mut().ok_or(NONSENSE)?;
    // SAFETY: the lock is held, and the machine looks only when the bell rings.
    let page = unsafe { &mut *SHARED.0.get() };
    page.fill(0);
    let arguments = QUESTION + 4 * words.len();
    if arguments + bytes.len() > PAGE || ANSWER + to.len() > PAGE {
        return Err(NONSENSE);
    }
    for (at, word) in [handle, REVISION, function].iter().chain(words).enumerate() {
        page[4 * at..4 * at + 4].copy_from_slice(&word.to_le_bytes());
    }
    page[arguments..arguments + bytes.len()].copy_from_slice(bytes);
    arch::barrier::dsb_sy();
    // SAFETY: `init` mapped the register; the lock is held.
    let mut register = unsafe { UniqueMmioPointer::new(bell.0) };
    register.write(page_address() as u32);
    arch::barrier::dsb_sy();
    let answer = SHARED.0.get().cast::<u32>();
    // SAFETY: the page is aligned, the answer is there, and the machine is done with it. Volatile, because it was another's
    // store; and its first two words alone, for a volatile load of the whole page is one of each byte.
    let [length, status] = unsafe { [answer, answer.add(1)].map(|word| u32::from_le(word.read_volatile())) };
    let length = length as usize;
    if !(ANSWER..=PAGE).contains(&length) {
        return Err(NONSENSE);
    }
    if status != 0 {
        return Err(AreaError(status));
    }
    if length < ANSWER + to.len() {
        return Err(NONSENSE);
    }
    // SAFETY: as above.
    to.copy_from_slice(unsafe { &(&*SHARED.0.get())[ANSWER..ANSWER + to.len()] });
    Ok(())
}

/// The label area of one NVDIMM.
#[derive(Clone, Copy, Debug)]
pub(super) struct DsmArea {
    handle: u32,
    size: usize,
    /// Bytes moved at once.
    piece: usize,
}

impl DsmArea {
    /// The label area of NVDIMM `handle`; `None` where it has none.
    pub(super) fn of(handle: u32) -> Option<Self> {
        let mut answer = [0; 8];
        ask(handle, LABEL_SIZE, &[], &[], &mut answer).ok()?;
        let [size, piece] = [0, 4].map(|at: usize| {
            u32::from_le_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]]) as usize
        });
        let piece = piece.min(PAGE - QUESTION - 8);
        (size > 0 && piece > 0).then_some(Self { handle, size, piece })
    }
}

impl LabelArea for DsmArea {
    fn size(&self) -> usize {
        self.size
    }

    fn read(&self, at: usize, to: &mut [u8]) -> Result<(), AreaError> {
        for (index, piece) in to.chunks_mut(self.piece).enumerate() {
            let words = [(at + index * self.piece) as u32, piece.len() as u32];
            ask(self.handle, READ_LABELS, &words, &[], piece)?;
        }
        Ok(())
    }

    fn write(&self, at: usize, bytes: &[u8]) -> Result<(), AreaError> {
        for (index, piece) in bytes.chunks(self.piece).enumerate() {
            let words = [(at + index * self.piece) as u32, piece.len() as u32];
            ask(self.handle, WRITE_LABELS, &words, piece, &mut [])?;
        }
        Ok(())
    }
}
