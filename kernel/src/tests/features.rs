//! What the CPU was told to do with its features, and that it does.

use alloc::vec;
use alloc::vec::Vec;
use core::arch::asm;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use arch::cpu::Control;
use arch::features::{Feature, Features, TABLE, common, has, machine};
use arch::tlb;
use mm::desc::{self, Attributes, Desc, Level, Owner};
use mm::space::Place;
use mm::{Asid, Frames, Mmu, Prot, Reach, Tables};
use units::{ByteLen, PAGE_SIZE, PageCount, Pfn, VirtAddr, VirtRange};

use super::anonymous;
use crate::exec::property::{Landings, landings};
use crate::mmu::{KernelFrames, KernelMmu};
use crate::space::Space;
use crate::testing::kernel_test;
use crate::uaccess::{UserPtr, copy_to_user, read_user};
use crate::{layout, task};

/// The machine's, but for the invalidations that the test does itself.
struct Quiet {
    quiet: Cell<bool>,
}

impl Quiet {
    const fn new() -> Self {
        Self { quiet: Cell::new(true) }
    }
}

impl Mmu for Quiet {
    fn publish(&self) {
        KernelMmu.publish();
    }

    fn invalidate(&self, asid: Asid, range: VirtRange, smallest: Level, reach: Reach) {
        if !self.quiet.get() {
            KernelMmu.invalidate(asid, range, smallest, reach);
        }
    }

    fn invalidate_asid(&self, asid: Asid) {
        KernelMmu.invalidate_asid(asid);
    }

    fn sync_icache(&self, _: Pfn, _: PageCount) {}
}

/// A number that only the test uses: spaces take the lowest ones.
const NUMBER: Asid = Asid::new(255);

/// Two frames that hold different words.
fn two_frames() -> [Pfn; 2] {
    [1u64, 2].map(|word| {
        let frame = KernelFrames.alloc_zeroed().unwrap();
        // SAFETY: a frame of RAM in the linear map, the test's own.
        unsafe { layout::linear(frame.base()).cast::<u64>().write(word) };
        frame
    })
}

fn pages(start: VirtAddr, count: u64) -> VirtRange {
    VirtRange::with_len(start, ByteLen::new(count * PAGE_SIZE)).unwrap()
}

fn page(start: VirtAddr, n: u64) -> VirtAddr {
    VirtAddr::new(start.get() + n * PAGE_SIZE)
}

/// Maps `count` pages and one more at `start` to the first of two frames, reads them with `read`, maps the `count` to the
/// second frame, has `invalidate` forget the first, and reads again: the second must be seen everywhere.
fn a_change_is_seen(
    tables: &mut Tables<KernelFrames, Quiet>,
    start: VirtAddr,
    attributes: Attributes,
    count: u64,
    read: impl Fn(VirtAddr) -> u64,
    invalidate: impl Fn(VirtRange),
) {
    let frames = two_frames();
    // The page behind keeps the tables, so that nothing but leaves changes.
    let kept = pages(page(start, count), 1);
    tables.map(kept, frames[0].base(), attributes, Owner::Other, Level::Pte).unwrap();
    for (frame, word) in frames.into_iter().zip([1, 2]) {
        for n in 0..count {
            let at = pages(page(start, n), 1);
            tables.map(at, frame.base(), attributes, Owner::Other, Level::Pte).unwrap();
        }
        if word == 2 {
            invalidate(pages(start, count));
        }
        for n in 0..=count {
            assert_eq!(read(page(start, n)), if n < count { word } else { 1 }, "page {n} of {count}");
        }
        tables.unmap(pages(start, count)).unwrap().flush();
    }
    tables.mmu().quiet.set(false);
    tables.unmap(kept).unwrap().flush();
    tables.mmu().quiet.set(true);
    invalidate(pages(start, count));
    frames.into_iter().for_each(|frame| KernelFrames.free(frame));
}

/// Runs `act` with a page at the address it is given, whose leaf has `attributes`, in a tree that nobody else edits; what
/// it answers, and the leaf afterwards.
fn with_leaf(attributes: u64, act: impl Fn(UserPtr) -> bool) -> (bool, u64) {
    let mut tables = Tables::new(KernelFrames, Quiet::new(), NUMBER).unwrap();
    let (start, frames) = (VirtAddr::new(0x1234_5670_0000), two_frames());
    tables.map(pages(start, 1), frames[0].base(), Attributes::user(Prot::RW), Owner::Other, Level::Pte).unwrap();
    let mut table = tables.root();
    for level in [Level::Pgd, Level::Pud, Level::Pmd] {
        let entry = KernelFrames.table(table)[level.index(start)].load(Ordering::Relaxed);
        table = Desc::from_bits(entry).pfn();
    }
    let entry = &KernelFrames.table(table)[Level::Pte.index(start)];
    entry.store(frames[0].base().get() | attributes | desc::PAGE, Ordering::Release);
    KernelMmu.publish();
    let done = in_tree(tables.root(), || act(UserPtr::new(start.get())));
    let after = entry.load(Ordering::Acquire);
    drop(tables);
    frames.into_iter().for_each(|frame| KernelFrames.free(frame));
    (done, after)
}

/// Runs `act` with TTBR0 on a tree of the test's own, which stands at `root` and outlives this call.
fn in_tree<T>(root: Pfn, act: impl FnOnce() -> T) -> T {
    let before = arch::cpu::ttbr0();
    // SAFETY: the tree outlives this call, say the callers, and nobody switches tasks meanwhile: the test waits for nothing.
    unsafe { arch::cpu::set_ttbr0(root.base().get() | u64::from(NUMBER.get()) << 48) };
    let answer = act();
    // SAFETY: as it was.
    unsafe { arch::cpu::set_ttbr0(before) };
    answer
}

/// How many pages are tried: one operation, a few, ranges of one and of two sizes, odd and even.
const COUNTS: [u64; 8] = [1, 2, 3, 31, 64, 65, 130, 511];

/// A space of the task that runs here, with a page of memory at the address in the answer.
fn space_with_a_page() -> VirtAddr {
    let space = Space::new().unwrap();
    let at = space.lock().map(anonymous(Place::ANYWHERE, PAGE_SIZE)).ok().unwrap().at;
    task::current().replace_space(Some(space));
    copy_to_user(UserPtr::new(at.get()), b"a program's").unwrap();
    at
}

/// A note of one property of `kind`, as the linker writes it.
fn note(kind: u32, data: &[u8]) -> Vec<u8> {
    let size = 8 + data.len().next_multiple_of(8) as u32;
    let mut note: Vec<u8> = [4, size, 5].iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
    note.extend(b"GNU\0");
    note.extend([kind, data.len() as u32].iter().flat_map(|word| word.to_le_bytes()));
    note.extend(data);
    note.resize(16 + size as usize, 0);
    note
}

kernel_test! {
    /// What was settled, this CPU has, field by field; and it was recorded.
    fn this_cpu_has_what_was_settled() {
        let this = machine::this_cpu();
        let features = machine::features();
        assert_eq!(features, Features::of(&common()));
        assert_eq!(features.without(Features::of(&this.registers)), Features::NONE);
        assert_eq!(common(), common().weakest(&this.registers));
        assert!(machine::recorded().any(|(index, cpu)| index == arch::cpu::index() && cpu == this));
        assert!(has(Feature::Fp) && has(Feature::AdvSimd));
    }

    /// Every bit of SCTLR, TCR and TTBR that a feature decides is as the table says.
    fn the_control_registers_agree_with_the_table() {
        let (sctlr, tcr) = (arch::cpu::sctlr(), arch::cpu::tcr());
        let bit = |register: u64, bit: u32| register >> bit & 1 != 0;
        assert_eq!(bit(tcr, desc::TCR_HA_SHIFT), has(Feature::HardwareAccess), "TCR_EL1.HA");
        assert_eq!(bit(tcr, desc::TCR_HD_SHIFT), has(Feature::HardwareDirty), "TCR_EL1.HD");
        assert_eq!(bit(tcr, desc::TCR_AS_SHIFT), has(Feature::Asid16), "TCR_EL1.AS");
        assert_eq!(tcr & desc::TCR_E0PD1 != 0, has(Feature::E0pd), "TCR_EL1.E0PD1");
        assert_ne!(tcr & desc::TCR_TBI0, 0, "TCR_EL1.TBI0");
        for (name, shift) in [("EnIA", 31), ("EnIB", 30), ("EnDA", 27), ("EnDB", 13)] {
            assert_eq!(bit(sctlr, shift), has(Feature::PauthAddress), "SCTLR_EL1.{name}");
        }
        assert_eq!(bit(sctlr, 35), has(Feature::Bti), "SCTLR_EL1.BT0");
        assert!(!bit(sctlr, 44) && !bit(sctlr, 23), "SCTLR_EL1.DSSBS, SPAN");
        for (name, ttbr) in [("TTBR0", arch::cpu::ttbr0()), ("TTBR1", arch::cpu::ttbr1())] {
            assert_eq!(ttbr & desc::TTBR_CNP != 0, has(Feature::Cnp), "{name}_EL1.CnP");
        }
    }

    /// All CPUs run under the same control registers.
    fn every_cpu_is_set_up_alike() {
        static SEEN: [[AtomicU64; 3]; arch::cpu::MAX_CPUS] =
            [const { [const { AtomicU64::new(0) }; 3] }; arch::cpu::MAX_CPUS];
        fn look() {
            let control = Control::read();
            for (slot, value) in SEEN[arch::cpu::index()].iter().zip([control.sctlr, control.tcr, control.ttbr1]) {
                slot.store(value, Ordering::Release);
            }
        }
        crate::smp::on_each(look);
        let control = Control::read();
        for (index, _) in machine::recorded() {
            let seen = SEEN[index].each_ref().map(|slot| slot.load(Ordering::Acquire));
            assert_eq!(seen, [control.sctlr, control.tcr, control.ttbr1], "CPU {index}");
        }
    }

    /// The table has a line for each feature, and names what each is used for.
    fn the_table_is_printed() {
        let mut text = alloc::string::String::new();
        crate::features::write_table(&mut text).unwrap();
        assert_eq!(text.lines().count(), TABLE.len());
        for (row, line) in TABLE.iter().zip(text.lines()) {
            let mut words = line.split_whitespace();
            assert_eq!(words.next(), Some(row.name));
            assert_eq!(words.next(), Some(if has(row.feature) { "yes" } else { "no" }), "{line}");
            assert!(matches!(words.next(), Some("used" | "not")), "{line}");
        }
    }

    /// Invalidated leaves of a program are walked for again, each of them, by pages and by ranges.
    fn a_programs_new_translation_is_seen() {
        let mut tables = Tables::new(KernelFrames, Quiet::new(), NUMBER).unwrap();
        let start = VirtAddr::new(0x1234_5670_0000);
        let root = tables.root();
        let read = |va: VirtAddr| read_user::<u64>(UserPtr::new(va.get())).unwrap();
        let attributes = Attributes::user(Prot::RW);
        in_tree(root, || {
            for (level, count) in [tlb::Level::Last, tlb::Level::All].iter().flat_map(|l| COUNTS.map(|n| (*l, n))) {
                a_change_is_seen(&mut tables, start, attributes, count, read, |range| {
                    tlb::invalidate(NUMBER.get(), range, 1, level);
                });
            }
        });
    }

    /// The same for the kernel's half.
    fn a_new_translation_of_the_kernel_is_seen() {
        let start = VirtAddr::new(0xffff_b000_0000_0000);
        assert_eq!(layout::describe(start), "nothing the kernel has mapped");
        let root = crate::paging::image_phys(layout::init_pg_dir()).pfn();
        let mut tables = Tables::adopt(KernelFrames, Quiet::new(), Asid::GLOBAL, root);
        let read = |va: VirtAddr| {
            let at: *const u64 = core::ptr::with_exposed_provenance(va.get() as usize);
            // SAFETY: the test has mapped a frame of its own there.
            unsafe { at.read_volatile() }
        };
        for level in [tlb::Level::Last, tlb::Level::All] {
            for count in COUNTS {
                a_change_is_seen(&mut tables, start, Attributes::KERNEL_DATA, count, read, |range| {
                    tlb::invalidate_kernel(range, 1, level);
                });
            }
        }
    }

    /// A leaf without the access flag gets it from the walker, and is a fault where the walker does not do that.
    fn the_walker_sets_access_flags() {
        let old = Attributes::user(Prot::RW).bits() & !desc::AF;
        let (done, new) = with_leaf(old, |at| read_user::<u64>(at).is_ok());
        assert_eq!(done, has(Feature::HardwareAccess));
        assert_eq!(new & desc::AF != 0, done);
    }

    /// A clean leaf with DBM becomes a writable one at the first store; a read-only one without it does not.
    fn the_walker_marks_pages_dirty() {
        let clean = Attributes::user(Prot::READ).bits() | desc::DBM;
        let (done, new) = with_leaf(clean, |at| copy_to_user(at, b"dirty").is_ok());
        assert_eq!(done, has(Feature::HardwareDirty));
        assert_eq!(new & desc::AP_READ_ONLY == 0, done);
        let read_only = Attributes::user(Prot::READ).bits();
        let (done, new) = with_leaf(read_only, |at| copy_to_user(at, b"dirty").is_ok());
        assert!(!done && new & desc::AP_READ_ONLY != 0);
    }

    /// The kernel's own loads do not reach a program's memory, where there is PAN.
    fn a_programs_memory_is_out_of_reach() dies {
        let at = space_with_a_page();
        assert!(has(Feature::Pan), "a CPU without PAN has nothing to show");
        let at: *const u8 = core::ptr::with_exposed_provenance(at.get() as usize);
        // SAFETY: not safe, which is what the test shows: the load faults and ends the test's task.
        core::hint::black_box(unsafe { at.read_volatile() });
    }

    /// And its copy routines do.
    fn a_programs_memory_is_copied() {
        let at = space_with_a_page();
        assert_eq!(read_user::<[u8; 11]>(UserPtr::new(at.get())), Ok(*b"a program's"));
        drop(task::current().replace_space(None));
    }

    /// A program's look at kernel text ends before the walk where there is E0PD, and at the entry's rights elsewhere.
    fn kernel_addresses_are_refused_without_a_walk() {
        let text = layout::text_start().get();
        let par: u64;
        // SAFETY: asks for a translation as EL0 would; nothing is accessed.
        unsafe {
            asm!("at s1e0r, {}", "isb", "mrs {}, par_el1", in(reg) text, out(reg) par, options(nostack, preserves_flags));
        }
        assert_eq!(par & 1, 1, "a program could read kernel text");
        let translation_at_level_0 = par >> 1 & 0x3f == 0b000100;
        assert_eq!(translation_at_level_0, has(Feature::E0pd), "PAR_EL1 {par:#x}");
    }

    /// The note of a linker is understood, and what no linker writes is refused as Linux does.
    fn property_notes_are_read() {
        const AND: u32 = 0xc000_0000;
        assert_eq!(landings(&note(AND, &1u32.to_le_bytes())), Ok(Landings::Marked));
        assert_eq!(landings(&note(AND, &3u32.to_le_bytes())), Ok(Landings::Marked));
        assert_eq!(landings(&note(AND, &2u32.to_le_bytes())), Ok(Landings::Any));
        assert_eq!(landings(&note(AND + 1, &1u32.to_le_bytes())), Ok(Landings::Any));
        assert_eq!(landings(&note(AND, &[1; 8])), Err(Errno::ENOEXEC), "of another size");
        assert_eq!(landings(&[]), Err(Errno::EIO));
        let good = note(AND, &1u32.to_le_bytes());
        for len in 0..good.len() {
            assert!(landings(&good[..len]).is_err(), "cut to {len} bytes");
        }
        for (at, value) in [(0, 5), (4, 0xff), (8, 1), (12, b'X'), (20, 0xff), (22, 0xff)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(landings(&bad), Err(Errno::ENOEXEC), "byte {at}");
        }
        let mut twice = vec![0; 16];
        twice.copy_from_slice(&good[..16]);
        twice[4] *= 2;
        twice.extend_from_slice(&good[16..]);
        twice.extend_from_slice(&good[16..]);
        assert_eq!(landings(&twice), Err(Errno::ENOEXEC), "kinds rise");
    }
}
