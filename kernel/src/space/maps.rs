//! What `/proc/self` tells of an address space: `maps`, `smaps`, `statm` and the `Vm` lines of `status`, as Linux spells them.
//!
//! The lock is held for one VMA at a time, so that a long list keeps nobody out; what changes meanwhile is shown as it
//! is when its turn comes, as on Linux.

use arrayvec::ArrayString;
use core::fmt::{self, Write};

use mm::desc::Owner;
use mm::space::TASK_SIZE;
use mm::vma::Kind;
use mm::{Frames, Prot, Vma, VmaFlags};
use units::{PAGE_SHIFT, PAGE_SIZE, VirtAddr};

use super::{Mappings, Shown, Space};

/// Where the name begins in a line of `maps`.
const NAME_AT: usize = 73;

/// The device of the medium, and that of memory without a name, as `maps` shows them.
const DISK: &str = "103:00";
const MEMORY: &str = "00:01";

/// Shows `each` all VMAs in turn.
fn each_vma(space: &Space, mut each: impl FnMut(&Mappings, &Vma<Shown>) -> fmt::Result) -> fmt::Result {
    let mut from = VirtAddr::ZERO;
    loop {
        let mappings = space.lock();
        let Some(vma) = mappings.find_vma(from) else { return Ok(()) };
        from = vma.end();
        each(&mappings, vma)?;
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
            if leaf.desc.owner() == Owner::Tree {
                let maps = mm::page::mappers(tables.frames(), frame);
                *(if maps > 1 { &mut self.shared } else { &mut self.private }) += pages;
                self.proportional += (pages << PAGE_SHIFT) / u64::from(maps);
            } else if frame != tables.frames().zero_page() {
                let memory = matches!(vma.backing(), Some(Shown::Memory(_)));
                *(if memory { &mut self.memory } else { &mut self.file }) += pages;
                self.proportional += pages << PAGE_SHIFT;
            }
        }
    }
}

/// The line of `maps`.
fn write_line(to: &mut dyn Write, mappings: &Mappings, vma: &Vma<Shown>, exe: &[u8]) -> fmt::Result {
    let right = |right, letter| if vma.prot().contains(right) { letter } else { '-' };
    let (r, w, x) = (right(Prot::READ, 'r'), right(Prot::WRITE, 'w'), right(Prot::EXEC, 'x'));
    let shared = if vma.kind().is_shared() { 's' } else { 'p' };
    let (start, end) = (vma.start().get(), vma.end().get());
    let (offset, device, inode) = match vma.backing() {
        Some(shown @ (Shown::File(_) | Shown::Shared(_))) => (vma.pgoff() << PAGE_SHIFT, DISK, shown.inode()),
        Some(shown @ Shown::Memory(_)) => (vma.pgoff() << PAGE_SHIFT, MEMORY, shown.inode()),
        Some(Shown::Trampoline) | None => (0, "00:00", 0),
    };
    let mut line = ArrayString::<128>::new();
    write!(line, "{start:08x}-{end:08x} {r}{w}{x}{shared} {offset:08x} {device} {inode} ")?;
    let is_program = matches!(vma.backing(), Some(Shown::File(file)) if file.is_program());
    let name = match vma.kind() {
        Kind::Peek(..) => "[peek]",
        Kind::Shared(Shown::Memory(_)) => "/dev/zero (deleted)",
        Kind::File(Shown::Trampoline) => "[sigpage]",
        Kind::Anonymous if vma.end().get() == TASK_SIZE && vma.flags().contains(VmaFlags::GROWS_DOWN) => "[stack]",
        Kind::Anonymous if vma.range().overlaps(mappings.heap()) => "[heap]",
        _ => "",
    };
    if is_program && !vma.kind().is_peek() {
        return writeln!(to, "{line:<NAME_AT$}{}", exe.escape_ascii());
    }
    if name.is_empty() { writeln!(to, "{line}") } else { writeln!(to, "{line:<NAME_AT$}{name}") }
}

/// The lines of `smaps` that follow the line of `maps`.
fn write_counts(to: &mut dyn Write, mappings: &Mappings, vma: &Vma<Shown>) -> fmt::Result {
    let mut count = Count::default();
    count.add(mappings, vma);
    let locked = if vma.flags().contains(VmaFlags::LOCKED) { count.proportional } else { 0 };
    let pages = |pages: u64| pages << PAGE_SHIFT;
    let shared_dirty = count.shared + count.memory;
    let dirty = count.private + shared_dirty;
    let rows = [
        ("Size", vma.range().len().get()),
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
        ("LazyFree", 0),
        ("Swap", 0),
        ("SwapPss", 0),
        ("Locked", locked),
    ];
    for (name, bytes) in rows {
        write_kib(to, name, bytes >> 10)?;
    }
    write_flags(to, vma)
}

fn write_kib(to: &mut dyn Write, name: &str, kib: u64) -> fmt::Result {
    let mut label = ArrayString::<32>::new();
    write!(label, "{name}:")?;
    writeln!(to, "{label:<15} {kib:>8} kB")
}

/// `VmFlags`, by Linux's two letters and in its order.
fn write_flags(to: &mut dyn Write, vma: &Vma<Shown>) -> fmt::Result {
    let (prot, flags, peek) = (vma.prot(), vma.flags(), vma.kind().is_peek());
    let shared = vma.kind().is_shared();
    let never = flags.contains(VmaFlags::NEVER_WRITE) || peek;
    let rows = [
        ("rd", prot.contains(Prot::READ)),
        ("wr", prot.contains(Prot::WRITE)),
        ("ex", prot.contains(Prot::EXEC)),
        ("sh", shared),
        ("mr", true),
        ("mw", !never),
        ("me", !peek),
        ("ms", shared),
        ("gd", flags.contains(VmaFlags::GROWS_DOWN)),
        ("lo", flags.contains(VmaFlags::LOCKED)),
        ("sr", flags.contains(VmaFlags::SEQUENTIAL)),
        ("rr", flags.contains(VmaFlags::RANDOM)),
        ("dc", flags.contains(VmaFlags::DONT_FORK)),
        ("lf", flags.contains(VmaFlags::LOCK_ON_FAULT)),
        ("ac", flags.contains(VmaFlags::ACCOUNT)),
        ("nr", flags.contains(VmaFlags::NO_RESERVE)),
        ("sf", flags.contains(VmaFlags::SYNC)),
        ("bt", prot.contains(Prot::BTI)),
        ("wf", flags.contains(VmaFlags::WIPE_ON_FORK)),
        ("dd", flags.contains(VmaFlags::DONT_DUMP)),
        ("hg", flags.contains(VmaFlags::HUGE_PAGE)),
        ("nh", flags.contains(VmaFlags::NO_HUGE_PAGE)),
    ];
    to.write_str("VmFlags:")?;
    rows.into_iter().filter(|(_, set)| *set).try_for_each(|(name, _)| write!(to, " {name}"))?;
    to.write_str(" \n")
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
    let _ = each_vma(space, |mappings, vma| {
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
        Ok(())
    });
    sizes
}

impl Space {
    /// Writes `/proc/self/maps`; `exe` is the path of the program.
    pub(crate) fn write_maps(&self, to: &mut dyn Write, exe: &[u8]) -> fmt::Result {
        each_vma(self, |mappings, vma| write_line(to, mappings, vma, exe))
    }

    /// Writes `/proc/self/smaps`. Pages of a file count as clean and shared, whoever else maps them.
    pub(crate) fn write_smaps(&self, to: &mut dyn Write, exe: &[u8]) -> fmt::Result {
        each_vma(self, |mappings, vma| {
            write_line(to, mappings, vma, exe)?;
            write_counts(to, mappings, vma)
        })
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
