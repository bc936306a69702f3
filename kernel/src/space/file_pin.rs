//! A file as it was: what a private mapping, a peek and a program show.
//!
//! A pin is of one instant. Where two private mappings of one open file become one VMA, or one grows by `mremap`, what is
//! behind it is of several: each page is as it was when it was mapped.

use abi::Errno;
use alloc::sync::Arc;
use alloc::vec::Vec;

use fs::{Iomap, IomapIter, IomapKind, IomapOp, iomap_iter};
use mm::{Backing, PageOf, Run};
use pmem::dax::{DaxError, DaxMode};
use pmem::medium::Medium;
use units::{ByteLen, FileOff, FileRange, Ino, PAGE_SHIFT, PAGE_SIZE, PageCount};

use super::end_page::EndPage;
use crate::heap::OutOfMemory;
use crate::pmem::PmemMedium;
use crate::vfs::{DenyWrite, File, Program};

/// Of how many instants one VMA shows a file at most. Those that would make it more stay VMAs of their own: what was pinned is
/// kept as long as the VMA it became a part of, so there has to be an end.
const MOST_PINS: usize = 1024;

/// Blocks of a file that a mapping shows, as they were when the pin was taken.
#[derive(Clone)]
pub(crate) enum FilePin {
    /// Of one instant.
    One(Arc<Pinned>),
    /// Of several.
    Several(Arc<Several>),
}

/// What was pinned at one instant.
pub(crate) struct Pinned {
    pin: fs::Pin<PmemMedium>,
    inode: Ino,
    owner: Owner,
    /// What stands for the last page, where its block holds something behind the end of the file.
    end: Option<EndPage>,
}

/// Whose pin it is.
enum Owner {
    /// A peek's.
    Peek,
    /// A private mapping's, of this open file (`vm_file`).
    Mapping(Arc<File>),
    /// A program's. The file is not written while it is mapped (`ETXTBSY`).
    Program { program: Arc<Program>, _text: DenyWrite },
}

/// Pages `first..last` of the file, which `pinned` shows.
#[derive(Clone)]
struct Part {
    first: u64,
    last: u64,
    pinned: Arc<Pinned>,
}

/// A file as it was at several instants.
pub(crate) struct Several {
    parts: Vec<Part>,
    /// Also those that no page shows any more: the last of them is let go of where no lock is held, with the mapping.
    kept: Vec<Arc<Pinned>>,
}

/// Pages of a file: the first, and how many.
type Pages = (u64, u64);

impl FilePin {
    /// A peek.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(crate) fn new(pin: fs::Pin<PmemMedium>, inode: Ino) -> Result<Self, OutOfMemory> {
        Self::make(pin, inode, Owner::Peek)
    }

    /// A mapping of an open file.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(crate) fn of_open(pin: fs::Pin<PmemMedium>, inode: Ino, file: Arc<File>) -> Result<Self, OutOfMemory> {
        Self::make(pin, inode, Owner::Mapping(file))
    }

    /// A mapping of a program.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(crate) fn of_program(
        pin: fs::Pin<PmemMedium>,
        program: Arc<Program>,
        text: DenyWrite,
    ) -> Result<Self, OutOfMemory> {
        let inode = program.node().ino();
        Self::make(pin, inode, Owner::Program { program, _text: text })
    }

    fn make(pin: fs::Pin<PmemMedium>, inode: Ino, owner: Owner) -> Result<Self, OutOfMemory> {
        let end = if pin.is_ragged() { EndPage::of(&pin, inode)? } else { None };
        Ok(Self::One(Arc::new(Pinned { pin, inode, owner, end })))
    }

    /// One of what was pinned, which tells of what is the same for all.
    fn any(&self) -> &Arc<Pinned> {
        match self {
            Self::One(pinned) => pinned,
            Self::Several(several) => &several.kept[0],
        }
    }

    /// The number of the file.
    pub(super) fn inode(&self) -> u64 {
        self.any().inode.get()
    }

    /// What the mapping is of.
    pub(super) fn called(&self) -> Called {
        match &self.any().owner {
            Owner::Peek => Called::Nothing,
            Owner::Mapping(file) => Called::File(file.clone()),
            Owner::Program { program, .. } => Called::Program(program.clone()),
        }
    }

    /// The open file that it maps, privately.
    pub(crate) fn open_file(&self) -> Option<&Arc<File>> {
        match &self.any().owner {
            Owner::Mapping(file) => Some(file),
            Owner::Peek | Owner::Program { .. } => None,
        }
    }

    /// The size of the file when the pin was taken.
    pub(crate) fn size(&self) -> u64 {
        self.any().pin.size()
    }

    /// The parts that show `pages`.
    fn parts(&self, (first, count): Pages, parts: &mut Vec<Part>) {
        let last = first.saturating_add(count);
        match self {
            Self::One(pinned) => parts.push(Part { first, last, pinned: pinned.clone() }),
            Self::Several(several) => parts.extend(several.parts.iter().filter_map(|part| {
                let (first, last) = (part.first.max(first), part.last.min(last));
                (first < last).then(|| Part { first, last, pinned: part.pinned.clone() })
            })),
        }
    }

    fn kept(&self) -> &[Arc<Pinned>] {
        match self {
            Self::One(pinned) => core::slice::from_ref(pinned),
            Self::Several(several) => &several.kept,
        }
    }

    /// How many parts, at most, show any pages.
    fn part_count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Several(several) => several.parts.len(),
        }
    }
}

/// What a mapping of a file is called by.
pub(super) enum Called {
    /// It is not.
    Nothing,
    /// By the file that was open.
    File(Arc<File>),
    /// By the program.
    Program(Arc<Program>),
}

impl Called {
    /// Where it is now; empty for what is not called anything.
    ///
    /// # Errors
    /// As [`File::path`].
    pub(super) fn path(&self) -> Result<Vec<u8>, Errno> {
        match self {
            Self::Nothing => Ok(Vec::new()),
            Self::File(file) => file.path(),
            Self::Program(program) => program.path(),
        }
    }
}

/// The whole pages that hold `len` bytes from `offset` on; `None` past the end of 64 bits.
pub(crate) fn page_range(offset: FileOff, len: u64) -> Option<FileRange> {
    let end = offset.checked_add(units::ByteLen::new(len))?.align_up(PAGE_SIZE)?;
    FileRange::new(offset.align_down(PAGE_SIZE), end)
}

impl FilePin {
    /// Whether every block behind `range` of the file, which was pinned at one instant, can be read, as far as is known.
    pub(crate) fn is_good(&self, range: FileRange) -> bool {
        let Pinned { pin, inode, .. } = &**self.any();
        // Behind the end of the file is nothing that could be bad, and there may be much of it.
        let end = FileOff::new(pin.size()).min(range.end());
        let Some(range) = FileRange::new(range.start(), end) else { return true };
        let mut walk = IomapIter::new(*inode, range.start(), range.len(), IomapOp::DAX, ());
        while let Ok(true) = iomap_iter(&mut walk, pin) {
            let bytes = walk.length();
            let mapped = walk.iomap.kind == IomapKind::Mapped;
            if mapped && pin.fs().medium().check(walk.iomap.addr, ByteLen::new(bytes)).is_err() {
                return false;
            }
            walk.processed = Ok(bytes);
        }
        true
    }
}

/// The pages that `map` begins with, as far as they lie one behind the other and none is bad.
#[inline]
pub(super) fn shown_by(medium: &PmemMedium, map: &Iomap) -> Run {
    let pages = map.length.get().div_ceil(PAGE_SIZE).max(1);
    if map.kind != IomapKind::Mapped {
        return Run { page: PageOf::Zero, count: PageCount::new(pages) };
    }
    let dax = medium.device().dax();
    let access = |count: u64| dax.direct_access(map.addr.block(), PageCount::new(count), DaxMode::Normal);
    let found = access(pages).or_else(|error| match error {
        // As far as the page before the bad one.
        DaxError::Media(bad, ..) => access(bad.at.block().get().saturating_sub(map.addr.block().get())),
        error => Err(error),
    });
    match found {
        Ok((_, frame, count)) => Run { page: PageOf::Frame(frame), count },
        Err(_) => Run { page: PageOf::Poisoned, count: PageCount::new(1) },
    }
}

impl Pinned {
    #[inline]
    fn run(&self, index: u64, max: PageCount) -> Run {
        let pages = self.pin.size().div_ceil(PAGE_SIZE);
        if index >= pages {
            return Run { page: PageOf::Beyond, count: max };
        }
        let mut max = PageCount::new(max.get().min(pages - index));
        if let Some(end) = &self.end {
            match pages - 1 - index {
                0 => return Run { page: PageOf::Frame(end.frame()), count: PageCount::new(1) },
                before => max = max.min(PageCount::new(before)),
            }
        }
        let at = FileOff::new(index << PAGE_SHIFT);
        let len = max.bytes().unwrap_or(ByteLen::ZERO);
        let mut walk = IomapIter::new(self.inode, at, len, IomapOp::FAULT | IomapOp::DAX, ());
        match iomap_iter(&mut walk, &self.pin) {
            Ok(true) => {
                walk.iomap.length = ByteLen::new(walk.length());
                shown_by(self.pin.fs().medium(), &walk.iomap)
            }
            _ => Run { page: PageOf::Poisoned, count: PageCount::new(1) },
        }
    }
}

impl Backing for FilePin {
    fn run(&self, index: u64, max: PageCount) -> Run {
        let several = match self {
            Self::One(pinned) => return pinned.run(index, max),
            Self::Several(several) => several,
        };
        match several.parts.iter().find(|part| (part.first..part.last).contains(&index)) {
            Some(part) => part.pinned.run(index, max.min(PageCount::new(part.last - index))),
            None => Run { page: PageOf::Beyond, count: PageCount::new(1) },
        }
    }

    fn same(&self, other: &Self) -> bool {
        match (self.open_file(), other.open_file()) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => Arc::ptr_eq(self.any(), other.any()),
        }
    }

    fn joined(&self, own: Pages, other: &Self, theirs: Pages) -> Result<Option<Self>, mm::OutOfMemory> {
        match (self, other) {
            (Self::One(one), Self::One(other)) if Arc::ptr_eq(one, other) => return Ok(None),
            (Self::Several(one), Self::Several(other)) if Arc::ptr_eq(one, other) => return Ok(None),
            _ => {}
        }
        let (mut parts, mut kept) = (Vec::new(), Vec::new());
        parts.try_reserve_exact(self.part_count() + other.part_count()).map_err(|_| mm::OutOfMemory)?;
        kept.try_reserve_exact(self.kept().len() + other.kept().len()).map_err(|_| mm::OutOfMemory)?;
        self.parts(own, &mut parts);
        other.parts(theirs, &mut parts);
        kept.extend_from_slice(self.kept());
        for pinned in other.kept() {
            if !kept.iter().any(|kept| Arc::ptr_eq(kept, pinned)) {
                kept.push(pinned.clone());
            }
        }
        if kept.len() > MOST_PINS {
            return Err(mm::OutOfMemory);
        }
        Ok(Some(Self::Several(Arc::new(Several { parts, kept }))))
    }
}
