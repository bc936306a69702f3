//! The ELF file: what is mapped where (Linux: `load_elf_binary`).

use abi::Errno;
use alloc::sync::Arc;
use arch::features::{Feature, has};
use arrayvec::ArrayVec;
use elf::abi::{EM_AARCH64, ET_DYN, ET_EXEC, PF_R, PF_W, PF_X, PT_GNU_PROPERTY, PT_INTERP, PT_LOAD, PT_PHDR};
use elf::endian::LittleEndian;
use elf::file::{Class, FileHeader, parse_ident};
use elf::segment::{ProgramHeader, SegmentTable};
use mm::space::{MapError, Place, Request, What};
use mm::{Prot, VmaFlags};
use units::{ByteLen, FileOff, PAGE_SHIFT, PAGE_SIZE, VirtAddr};

use super::property::{self, Landings};
use crate::layout::USER_END;
use crate::space::{FilePin, Shown, Space};
use crate::uaccess::{UserPtr, clear_user};
use crate::vfs::{self, DenyWrite, Node, Program};

/// Where a position-independent program is put: two thirds up (Linux: `ELF_ET_DYN_BASE`).
const PIE_BASE: u64 = 0xaaaa_aaaa_a000;
/// Bytes of an ELF header.
const HEADER: usize = 64;
const IDENT: usize = 16;
/// Bytes of a program header.
pub(super) const PHENT: usize = 56;
/// More program headers than this no linker makes (Linux: a page of them); they are read on the kernel stack.
const MAX_HEADERS: usize = 32;

/// A mapped program.
pub(super) struct Image {
    /// The first instruction.
    pub(super) entry: u64,
    /// Where the program headers are seen, or 0.
    pub(super) headers: u64,
    /// How many there are.
    pub(super) header_count: u64,
    /// What lies behind the file's bytes in the last page of each segment, and must be zero: start and length.
    tails: ArrayVec<(u64, usize), MAX_HEADERS>,
}

/// The parts of the ELF header that count, checked.
struct Header {
    entry: u64,
    headers_at: u64,
    base: u64,
    /// A right that its executable segments have beside what they ask for: [`Prot::BTI`] or none.
    with_exec: Prot,
    segments: ArrayVec<ProgramHeader, MAX_HEADERS>,
}

impl Image {
    /// Maps `program` into `space`, which is empty. `text` is held for as long as any of it stays mapped.
    ///
    /// # Errors
    /// `ENOEXEC` for anything but a whole static aarch64 program; `ENOMEM`; `EIO`.
    pub(super) fn map(program: &Arc<Program>, text: DenyWrite, space: &Space) -> Result<Self, Errno> {
        let node = program.node();
        let header = Header::read(node)?;
        let backing = FilePin::of_program(node.pin_all().map_err(vfs::error::errno)?, program.clone(), text)?;
        let size = backing.size();
        let mut image = Self {
            entry: header.base.checked_add(header.entry).ok_or(Errno::ENOEXEC)?,
            headers: 0,
            header_count: header.segments.len() as u64,
            tails: ArrayVec::new(),
        };
        let mut end = 0;
        for segment in header.segments.iter().filter(|segment| segment.p_type == PT_LOAD && segment.p_memsz > 0) {
            let last = image.map_segment(segment, &header, &backing, size, space)?;
            end = end.max(last);
            image.note_headers(segment, &header);
        }
        if let Some(segment) = header.segments.iter().find(|segment| segment.p_type == PT_PHDR) {
            image.headers = header.base.wrapping_add(segment.p_vaddr);
        }
        if end == 0 || image.entry >= USER_END {
            return Err(Errno::ENOEXEC);
        }
        space.lock().set_brk(VirtAddr::new(end.next_multiple_of(PAGE_SIZE)));
        Ok(image)
    }

    /// Maps one segment: the pages of the file, privately, and zeros behind them. Answers its end.
    fn map_segment(
        &mut self,
        segment: &ProgramHeader,
        header: &Header,
        backing: &FilePin,
        size: u64,
        space: &Space,
    ) -> Result<u64, Errno> {
        let start = header.base.checked_add(segment.p_vaddr).ok_or(Errno::ENOEXEC)?;
        let end = start.checked_add(segment.p_memsz).filter(|end| *end <= USER_END).ok_or(Errno::ENOEXEC)?;
        let file_end = segment.p_offset.checked_add(segment.p_filesz).ok_or(Errno::ENOEXEC)?;
        let congruent = start % PAGE_SIZE == segment.p_offset % PAGE_SIZE;
        if segment.p_filesz > segment.p_memsz || file_end > size || !congruent {
            return Err(Errno::ENOEXEC);
        }
        let prot = header.protection(segment.p_flags);
        let first = VirtAddr::new(start).align_down(PAGE_SIZE);
        let bytes_end = start + segment.p_filesz;
        let shown = bytes_end.next_multiple_of(PAGE_SIZE).min(end.next_multiple_of(PAGE_SIZE));
        if segment.p_filesz > 0 {
            let pgoff = segment.p_offset >> PAGE_SHIFT;
            let what = What::File { backing: backing.clone().into(), pgoff };
            map(space, first.get(), shown - first.get(), prot, what)?;
            let tail = (end.min(shown) - bytes_end) as usize;
            if tail > 0 && prot.contains(Prot::WRITE) {
                // To the end of the page, as Linux's `padzero`.
                self.tails.push((bytes_end, (shown - bytes_end) as usize));
            }
        }
        let zeros = if segment.p_filesz > 0 { shown } else { first.get() };
        if zeros < end {
            map(space, zeros, end.next_multiple_of(PAGE_SIZE) - zeros, prot, What::Anonymous)?;
        }
        Ok(end)
    }

    /// Notes where the program headers are seen, if `segment` shows them.
    fn note_headers(&mut self, segment: &ProgramHeader, header: &Header) {
        let shown = segment.p_offset..segment.p_offset + segment.p_filesz;
        if shown.contains(&header.headers_at) {
            self.headers = header.base + segment.p_vaddr + (header.headers_at - segment.p_offset);
        }
    }

    /// Zeroes what lies behind the file's bytes in writable segments; the program's space is the current one.
    ///
    /// # Errors
    /// `ENOMEM`, as `EFAULT`: a page could not be copied.
    pub(super) fn clear_tails(&self) -> Result<(), Errno> {
        for &(start, len) in &self.tails {
            clear_user(UserPtr::new(start), len)?;
        }
        Ok(())
    }
}

fn map(space: &Space, at: u64, len: u64, prot: Prot, what: What<Shown>) -> Result<(), Errno> {
    // Overlapping segments are no program's; the last one would win silently with `Fixed`.
    let place = Place::FixedNoReplace(VirtAddr::new(at));
    let request = Request { place, len, prot, flags: VmaFlags::empty(), what };
    match space.lock().map(request) {
        Ok(_) => Ok(()),
        Err(MapError::OutOfMemory) => Err(Errno::ENOMEM),
        Err(_) => Err(Errno::ENOEXEC),
    }
}

impl Header {
    /// Reads and checks the ELF header and the program headers.
    fn read(node: &Node) -> Result<Self, Errno> {
        let mut bytes = [0; HEADER];
        read_exactly(node, 0, &mut bytes)?;
        let ident = parse_ident::<LittleEndian>(&bytes).map_err(|_| Errno::ENOEXEC)?;
        let header = FileHeader::parse_tail(ident, &bytes[IDENT..]).map_err(|_| Errno::ENOEXEC)?;
        let ours = header.class == Class::ELF64 && header.e_machine == EM_AARCH64;
        let static_program = matches!(header.e_type, ET_EXEC | ET_DYN);
        let count = usize::from(header.e_phnum);
        if !ours || !static_program || usize::from(header.e_phentsize) != PHENT || !(1..=MAX_HEADERS).contains(&count) {
            return Err(Errno::ENOEXEC);
        }
        let mut table = [0; PHENT * MAX_HEADERS];
        let table = &mut table[..PHENT * count];
        read_exactly(node, header.e_phoff, table)?;
        let segments: ArrayVec<_, MAX_HEADERS> = SegmentTable::new(LittleEndian, Class::ELF64, table).iter().collect();
        if segments.iter().any(|segment| segment.p_type == PT_INTERP) {
            log::warn!("a dynamic program; only static ones run");
            return Err(Errno::ENOEXEC);
        }
        let base = if header.e_type == ET_DYN { PIE_BASE } else { 0 };
        let with_exec = read_property(node, &segments)?;
        Ok(Self { entry: header.e_entry, headers_at: header.e_phoff, base, with_exec, segments })
    }

    /// The rights of a segment with these flags.
    fn protection(&self, flags: u32) -> Prot {
        let mut prot = Prot::empty();
        for (flag, given) in [(PF_R, Prot::READ), (PF_W, Prot::WRITE), (PF_X, Prot::EXEC | self.with_exec)] {
            if flags & flag != 0 {
                prot |= given;
            }
        }
        prot
    }
}

/// What the program's note adds to its executable segments, on a CPU with BTI (Linux: `arch_parse_elf_property`).
fn read_property(node: &Node, segments: &[ProgramHeader]) -> Result<Prot, Errno> {
    let Some(segment) = segments.iter().find(|segment| segment.p_type == PT_GNU_PROPERTY) else {
        return Ok(Prot::empty());
    };
    let mut note = [0; property::MOST];
    let size = usize::try_from(segment.p_filesz).ok().filter(|size| *size <= note.len()).ok_or(Errno::ENOEXEC)?;
    read_exactly(node, segment.p_offset, &mut note[..size])?;
    Ok(match property::landings(&note[..size])? {
        Landings::Marked if has(Feature::Bti) => Prot::BTI,
        Landings::Marked | Landings::Any => Prot::empty(),
    })
}

/// Fills `to` from the file, or refuses the file.
fn read_exactly(node: &Node, at: u64, to: &mut [u8]) -> Result<(), Errno> {
    let end = FileOff::new(at).checked_add(ByteLen::new(to.len() as u64)).ok_or(Errno::ENOEXEC)?;
    if i64::try_from(end.get()).is_err() {
        return Err(Errno::ENOEXEC);
    }
    let len = to.len();
    let mut sink = vfs::copy::KernelSink::new(to);
    let got = node.read(FileOff::new(at), len, &mut sink).map_err(vfs::error::errno)?;
    if got == len { Ok(()) } else { Err(Errno::ENOEXEC) }
}
