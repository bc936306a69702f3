//! What `/proc/self` tells of an address space: `maps`, `smaps`, `statm` and the `Vm` lines of `status`, as Linux spells them.
//!
//! The lock is held for one VMA at a time, so that a long list keeps nobody out; what changes meanwhile is shown as it
//! is when its turn comes, as on Linux.

use arrayvec::ArrayString;
use core::fmt::{self, Write};

use mm::desc::{Level, Owner};
use mm::vma::Kind;
use mm::{Frames, Prot, Vma, VmaFlags};
use units::{PAGE_SHIFT, PAGE_SIZE, VirtAddr};

use super::file_pin::Called;
use super::{Mappings, Shown, Space};

/// The column before the name in a line of `maps` (`seq_setwidth`).
const PREFIX: usize = 72;

/// The device of the medium, and that of memory without a name, as `maps` shows them.
const DISK: &str = "103:00";
const MEMORY: &str = "00:01";

/// Shows `each` all VMAs in turn, and what is made of one `then`, with nothing locked.
fn each_vma<T>(
    space: &Space,
    mut each: impl FnMut(&Mappings, &Vma<Shown>) -> T,
    mut then: impl FnMut(T) -> fmt::Result,
) -> fmt::Result {
    let mut from = VirtAddr::ZERO;
    loop {
        let made = {
            let mappings = space.lock();
            let Some(vma) = mappings.find_vma(from) else { return Ok(()) };
            from = vma.end();
            each(&mappings, vma)
        };
        then(made)?;
    }
}

/// Pages of a VMA, or of several, by what they are.
#[derive(Clone, Copy, Default)]
struct Count {
    /// The program's own, in no other program.
    private: u64,
    /// The program's own, in other programs too until one of them writes.
    shared: u64,
    /// Pages of a file.
    file: u64,
    /// Pages of memory that programs share.
    memory: u64,
    /// Of the program's own, those that are mapped in blocks.
    own_blocks: u64,
    /// The same of the file's.
    file_blocks: u64,
    /// Bytes, each page of the program's own divided by how many programs have it.
    proportional: u64,
}

impl Count {
    fn resident(&self) -> u64 {
        self.private + self.shared + self.file + self.memory
    }

    /// The pages that are there; the page of zeros is nobody's.
    fn add(&mut self, mappings: &Mappings, vma: &Vma<Shown>) {
        let (tables, mut at) = (mappings.tables(), vma.start());
        while let Some(leaf) = tables.next_leaf(at, vma.end()) {
            let first = leaf.va.max(at);
            let Some(end) = leaf.va.checked_add(units::ByteLen::new(leaf.pages().get() << PAGE_SHIFT)) else { return };
            at = end.min(vma.end());
            let pages = (at.get() - first.get()) >> PAGE_SHIFT;
            let frame = leaf.translate(first).pfn();
            let in_blocks = if leaf.level == Level::Pte { 0 } else { pages };
            if leaf.desc.owner() == Owner::Tree {
                let maps = mm::page::mappers(tables.frames(), frame);
                *(if maps > 1 { &mut self.shared } else { &mut self.private }) += pages;
                self.proportional += (pages << PAGE_SHIFT) / u64::from(maps);
                self.own_blocks += in_blocks;
            } else if frame != tables.frames().zero_page() {
                let memory = matches!(vma.backing(), Some(Shown::Memory(_)));
                *(if memory { &mut self.memory } else { &mut self.file }) += pages;
                self.proportional += pages << PAGE_SHIFT;
                self.file_blocks += if memory { 0 } else { in_blocks };
            }
        }
    }
}

/// A line of `maps` but for the path, and what has one.
struct Line {
    text: ArrayString<128>,
    name: Name,
}

/// What stands at the end of a line.
enum Name {
    None,
    Of(&'static str),
    File(Called),
}

impl Line {
    /// `show_map_vma`.
    fn of(mappings: &Mappings, vma: &Vma<Shown>) -> Self {
        let right = |right, letter| if vma.prot().contains(right) { letter } else { '-' };
        let (r, w, x) = (right(Prot::READ, 'r'), right(Prot::WRITE, 'w'), right(Prot::EXEC, 'x'));
        let shared = if vma.kind().is_shared() { 's' } else { 'p' };
        let (start, end) = (vma.start().get(), vma.end().get());
        let (offset, device, inode) = match vma.backing() {
            Some(shown @ (Shown::File(_) | Shown::Shared(_))) => (vma.pgoff() << PAGE_SHIFT, DISK, shown.inode()),
            Some(shown @ Shown::Memory(_)) => (vma.pgoff() << PAGE_SHIFT, MEMORY, shown.inode()),
            Some(Shown::Trampoline) | None => (0, "00:00", 0),
        };
        let mut text = ArrayString::new();
        // 125 bytes at most.
        let _ = write!(text, "{start:08x}-{end:08x} {r}{w}{x}{shared} {offset:08x} {device} {inode} ");
        Self { text, name: Name::new(mappings, vma) }
    }

    /// Writes it, with the path as it is now. No lock is held.
    fn write(&self, to: &mut dyn Write) -> fmt::Result {
        let text = &self.text;
        let path = match &self.name {
            Name::None => return writeln!(to, "{text}"),
            Name::Of(name) => return writeln!(to, "{text:<PREFIX$} {name}"),
            Name::File(called) => called.path().map_err(|_| fmt::Error)?,
        };
        write!(to, "{text:<PREFIX$} ")?;
        write_path(to, &path)?;
        to.write_str("\n")
    }
}

impl Name {
    /// `get_vma_name`.
    fn new(mappings: &Mappings, vma: &Vma<Shown>) -> Self {
        match vma.kind() {
            Kind::Peek(..) => Self::Of("[peek]"),
            Kind::Shared(Shown::Memory(_)) => Self::Of("/dev/zero (deleted)"),
            Kind::File(Shown::Trampoline) => Self::Of("[sigpage]"),
            Kind::File(Shown::File(file)) => Self::File(file.called()),
            Kind::Shared(Shown::Shared(file)) => Self::File(Called::File(file.open_file().clone())),
            Kind::Anonymous if is_heap(mappings, vma) => Self::Of("[heap]"),
            Kind::Anonymous if vma.range().contains(mappings.stack_start()) => Self::Of("[stack]"),
            Kind::Anonymous | Kind::File(_) | Kind::Shared(_) => Self::None,
        }
    }
}

/// `vma_is_initial_heap`.
fn is_heap(mappings: &Mappings, vma: &Vma<Shown>) -> bool {
    let heap = mappings.heap();
    vma.start() < heap.end() && vma.end() > heap.start()
}

/// `seq_path`: a path is bytes, of which one alone would end the line.
fn write_path(to: &mut dyn Write, path: &[u8]) -> fmt::Result {
    for piece in path.split_inclusive(|&byte| byte == b'\n') {
        let (text, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
        for chunk in text.utf8_chunks() {
            to.write_str(chunk.valid())?;
            chunk.invalid().iter().try_for_each(|byte| write!(to, "\\{byte:03o}"))?;
        }
        if ends {
            to.write_str("\\012")?;
        }
    }
    Ok(())
}

/// What `smaps` tells of a VMA beside its line.
struct Details {
    line: Line,
    count: Count,
    size: u64,
    locked: bool,
    /// Whether a block could ever be mapped (`THPeligible`).
    eligible: bool,
    flags: Flags,
}

impl Details {
    fn of(mappings: &Mappings, vma: &Vma<Shown>) -> Self {
        let mut count = Count::default();
        count.add(mappings, vma);
        let (size, locked) = (vma.range().len().get(), vma.flags().contains(VmaFlags::LOCKED));
        let (line, flags) = (Line::of(mappings, vma), Flags::of(vma));
        Self { line, count, size, locked, eligible: vma.may_have_blocks(), flags }
    }

    /// `show_smap`.
    fn write(&self, to: &mut dyn Write) -> fmt::Result {
        self.line.write(to)?;
        let count = &self.count;
        let locked = if self.locked { count.proportional } else { 0 };
        let pages = |pages: u64| pages << PAGE_SHIFT;
        let shared_dirty = count.shared + count.memory;
        let dirty = count.private + shared_dirty;
        let rows = [
            ("Size", self.size),
            ("KernelPageSize", PAGE_SIZE),
            ("MMUPageSize", PAGE_SIZE),
            ("Rss", pages(count.resident())),
            ("Pss", count.proportional),
            ("Pss_Dirty", count.proportional.saturating_sub(pages(count.file)).min(pages(dirty))),
            ("Shared_Clean", pages(count.file)),
            ("Shared_Dirty", pages(shared_dirty)),
            ("Private_Clean", 0),
            ("Private_Dirty", pages(count.private)),
            ("Referenced", pages(count.resident())),
            ("Anonymous", pages(count.private + count.shared)),
            ("KSM", 0),
            ("LazyFree", 0),
            ("AnonHugePages", pages(count.own_blocks)),
            ("ShmemPmdMapped", 0),
            ("FilePmdMapped", pages(count.file_blocks)),
            ("Shared_Hugetlb", 0),
            ("Private_Hugetlb", 0),
            ("Swap", 0),
            ("SwapPss", 0),
            ("Locked", locked),
        ];
        for (name, bytes) in rows {
            write_kib(to, name, bytes >> 10)?;
        }
        writeln!(to, "THPeligible:    {:>8}", u8::from(self.eligible))?;
        self.flags.write(to)
    }
}

fn write_kib(to: &mut dyn Write, name: &str, kib: u64) -> fmt::Result {
    let mut label = ArrayString::<32>::new();
    write!(label, "{name}:")?;
    writeln!(to, "{label:<15} {kib:>8} kB")
}

/// `VmFlags`, by Linux's two letters and in its order; a bit for each.
struct Flags(u32);

impl Flags {
    const NAMES: [&str; 22] = [
        "rd", "wr", "ex", "sh", "mr", "mw", "me", "ms", "gd", "lo", "sr", "rr", "dc", "lf", "ac", "nr", "sf", "bt", "wf",
        "dd", "hg", "nh",
    ];

    fn of(vma: &Vma<Shown>) -> Self {
        let (prot, flags, peek) = (vma.prot(), vma.flags(), vma.kind().is_peek());
        let shared = vma.kind().is_shared();
        let never = flags.contains(VmaFlags::NEVER_WRITE) || peek;
        let set = [
            prot.contains(Prot::READ),
            prot.contains(Prot::WRITE),
            prot.contains(Prot::EXEC),
            shared,
            true,
            !never,
            !peek,
            shared,
            flags.contains(VmaFlags::GROWS_DOWN),
            flags.contains(VmaFlags::LOCKED),
            flags.contains(VmaFlags::SEQUENTIAL),
            flags.contains(VmaFlags::RANDOM),
            flags.contains(VmaFlags::DONT_FORK),
            flags.contains(VmaFlags::LOCK_ON_FAULT),
            flags.contains(VmaFlags::ACCOUNT),
            flags.contains(VmaFlags::NO_RESERVE),
            flags.contains(VmaFlags::SYNC),
            prot.contains(Prot::BTI),
            flags.contains(VmaFlags::WIPE_ON_FORK),
            flags.contains(VmaFlags::DONT_DUMP),
            flags.contains(VmaFlags::HUGE_PAGE),
            flags.contains(VmaFlags::NO_HUGE_PAGE),
        ];
        Self(set.into_iter().enumerate().fold(0, |bits, (at, set)| bits | u32::from(set) << at))
    }

    fn write(&self, to: &mut dyn Write) -> fmt::Result {
        to.write_str("VmFlags:")?;
        let set = Self::NAMES.into_iter().enumerate().filter(|(at, _)| self.0 >> at & 1 != 0);
        set.into_iter().try_for_each(|(_, name)| write!(to, " {name}"))?;
        to.write_str(" \n")
    }
}

/// Pages of a whole space, by what their VMAs are.
#[derive(Default)]
struct Sizes {
    count: Count,
    data: u64,
    stack: u64,
    text: u64,
}

fn sizes(space: &Space) -> Sizes {
    let mut sizes = Sizes::default();
    let add = |mappings: &Mappings, vma: &Vma<Shown>| {
        sizes.count.add(mappings, vma);
        let pages = vma.pages().get();
        let writable = vma.prot().contains(Prot::WRITE);
        if vma.flags().contains(VmaFlags::GROWS_DOWN) {
            sizes.stack += pages;
        } else if writable && !vma.kind().is_shared() {
            sizes.data += pages;
        } else if vma.prot().contains(Prot::EXEC) {
            sizes.text += pages;
        }
    };
    let _ = each_vma(space, add, |()| Ok(()));
    sizes
}

impl Space {
    /// Writes `/proc/self/maps`.
    pub(crate) fn write_maps(&self, to: &mut dyn Write) -> fmt::Result {
        each_vma(self, Line::of, |line| line.write(to))
    }

    /// Writes `/proc/self/smaps`. Pages of a file count as clean and shared, whoever else maps them.
    pub(crate) fn write_smaps(&self, to: &mut dyn Write) -> fmt::Result {
        each_vma(self, Details::of, |details| details.write(to))
    }

    /// Writes `/proc/self/statm`: pages mapped, there, there and shared, of text, of libraries, of data and stack.
    pub(crate) fn write_statm(&self, to: &mut dyn Write) -> fmt::Result {
        let total = self.lock().total_vm().get();
        let Sizes { count, data, stack, text } = sizes(self);
        let shared = count.file + count.memory;
        writeln!(to, "{total} {} {shared} {text} 0 {} 0", count.resident(), data + stack)
    }

    /// Writes the lines of `/proc/self/status` that are about memory.
    pub(crate) fn write_status(&self, to: &mut dyn Write) -> fmt::Result {
        let (total, locked) = {
            let mappings = self.lock();
            (mappings.total_vm().get(), mappings.locked_vm().get())
        };
        let Sizes { count, data, stack, text } = sizes(self);
        let rows = [
            ("VmSize", total),
            ("VmLck", locked),
            ("VmPin", 0),
            ("VmRSS", count.resident()),
            ("RssAnon", count.private + count.shared),
            ("RssFile", count.file),
            ("RssShmem", count.memory),
            ("VmData", data),
            ("VmStk", stack),
            ("VmExe", text),
            ("VmLib", 0),
            ("VmSwap", 0),
        ];
        rows.into_iter().try_for_each(|(name, pages)| writeln!(to, "{name}:\t{:>8} kB", pages << (PAGE_SHIFT - 10)))
    }
}
