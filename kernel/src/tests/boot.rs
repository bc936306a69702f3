//! What `boot` left behind: its arguments, the system registers, the tables, the guards.

use boot::BootMode;
use mm::desc::{self, Level};
use units::{ByteLen, PAGE_SIZE, PhysAddr, VirtAddr};

use crate::testing::kernel_test;
use crate::{layout, paging};

/// Whether the page at `va` may be written, and whether it may be executed by the kernel.
fn rights(va: VirtAddr) -> Option<(bool, bool)> {
    let leaf = paging::walk(va)?;
    let bits = leaf.desc.bits();
    assert_ne!(bits & desc::UXN, 0, "{va}: a program could execute it");
    assert_eq!(bits & desc::AP_USER, 0, "{va}: a program could read it");
    Some((bits & desc::AP_READ_ONLY == 0, bits & desc::PXN == 0))
}

/// The places of all pointers that `relocate_kernel` moves: the linker's RELR list, read here once more.
fn relocated() -> impl Iterator<Item = VirtAddr> {
    let words = (layout::relr_end().get() - layout::relr_start().get()) / 8;
    let list: *const u64 = core::ptr::with_exposed_provenance(layout::relr_start().get() as usize);
    let mut next = 0;
    (0..words as usize).flat_map(move |index| {
        // SAFETY: the list lies in the image's read-only data.
        let word = unsafe { list.add(index).read() };
        let (first, bits) = if word & 1 == 0 {
            next = word + layout::displacement() + 8;
            (next - 8, 1)
        } else {
            next += 63 * 8;
            (next - 63 * 8, word >> 1)
        };
        (0..63).filter(move |bit| bits >> bit & 1 != 0).map(move |bit| VirtAddr::new(first + 8 * bit))
    })
}

fn pages(start: VirtAddr, end: VirtAddr) -> impl Iterator<Item = VirtAddr> {
    (start.get()..end.get()).step_by(PAGE_SIZE as usize).map(VirtAddr::new)
}

kernel_test! {
    /// The loader's x0 to x3 are kept: x0 is a device tree or 0, the others are 0 in QEMU.
    fn the_loaders_registers_are_kept() {
        let [tree, rest @ ..] = boot::boot_args();
        assert!(PhysAddr::new(tree).is_aligned(8));
        assert_eq!(rest, [0; 3]);
    }

    /// The CPU was entered at EL2 or EL1 and both words of the flag say so.
    fn the_boot_mode_is_known() {
        let mode = boot::boot_mode();
        assert_ne!(mode, BootMode::Mismatched);
        assert_eq!(mode == BootMode::El2, boot::mode_flags()[0] == 0xe12);
    }

    /// SCTLR, TCR and MAIR are what `cpu_setup` promises.
    fn the_system_registers_are_set() {
        let sctlr = arch::cpu::sctlr();
        for (name, bit) in [("M", 0), ("C", 2), ("SA", 3), ("SA0", 4), ("I", 12), ("DZE", 14), ("UCT", 15), ("UCI", 26)] {
            assert_ne!(sctlr >> bit & 1, 0, "SCTLR_EL1.{name}");
        }
        let tcr = arch::cpu::tcr();
        assert_eq!(tcr & desc::TCR_BASE, desc::TCR_BASE);
        let range = arch::cpu::field(arch::cpu::mmfr0(), 0);
        assert!(tcr >> desc::TCR_IPS_SHIFT & 0b111 <= range.min(desc::TCR_IPS_48));
    }

    /// Text is executed and not written, read-only data neither, data written and not executed, page by page, also in
    /// the linear map.
    fn nothing_is_writable_and_executable() {
        let parts = [
            (layout::text_start(), layout::text_end(), (false, true)),
            (layout::rodata_start(), layout::rodata_end(), (false, false)),
            (layout::data_start(), layout::data_end(), (true, false)),
            (layout::boot_stack_start(), layout::boot_stack_end(), (true, false)),
        ];
        for (start, end, wanted) in parts {
            for va in pages(start, end) {
                assert_eq!(rights(va), Some(wanted), "{va}");
                let alias = VirtAddr::new(layout::linear(paging::image_phys(va)) as u64);
                assert_eq!(rights(alias), Some((wanted.0, false)), "{alias}");
            }
        }
    }

    /// The kernel map sends each page of the image to where it was loaded.
    fn the_image_is_mapped_where_it_was_loaded() {
        for va in pages(layout::text_start(), layout::data_end()) {
            let leaf = paging::walk(va).unwrap();
            assert_eq!(leaf.translate(va), paging::image_phys(va));
        }
    }

    /// The kernel runs at its link address or above, at the same place within 2 MiB as it has in memory.
    fn the_displacement_keeps_blocks_possible() {
        let loaded = paging::image().start();
        assert!(loaded.is_aligned(64 << 10));
        assert_eq!(layout::displacement() % units::HUGE_SIZE, loaded.get() % units::HUGE_SIZE);
    }

    /// Every pointer that the linker listed lies in data, read-only or not; those that nobody can have changed since
    /// point into the image.
    fn pointers_are_relocated() {
        let (rodata, data) = (layout::rodata_start()..layout::rodata_end(), layout::data_start()..layout::data_end());
        let image = layout::text_start()..=layout::image_end();
        let (mut fixed, mut all) = (0, 0);
        for place in relocated() {
            all += 1;
            if rodata.contains(&place) {
                fixed += 1;
                let pointer: *const u64 = core::ptr::with_exposed_provenance(place.get() as usize);
                // SAFETY: a word of the image's read-only data.
                let target = VirtAddr::new(unsafe { pointer.read() });
                assert!(image.contains(&target), "{place}: {target}");
            } else {
                assert!(data.contains(&place), "{place} is neither rodata nor data");
            }
        }
        assert!(fixed > 100 && all > fixed, "{fixed} of {all} pointers: the list is not read right");
    }

    /// No program runs: TTBR0 is the empty table, and the identity map with the writable image is gone.
    fn the_identity_map_is_gone() {
        let root = arch::cpu::ttbr0() & desc::ADDRESS_MASK;
        assert_eq!(root, paging::image_phys(layout::reserved_pg_dir()).get());
        for empty in [layout::reserved_pg_dir(), layout::reloc_pg_dir()] {
            let table: *const u64 = layout::linear(paging::image_phys(empty)).cast();
            // SAFETY: a page of the image, in the linear map, that nobody writes.
            assert!((0..desc::ENTRIES).all(|index| unsafe { table.add(index).read() } == 0), "{empty}");
        }
    }

    /// Below every stack nothing is mapped.
    fn stacks_have_guards() {
        let below = |va: VirtAddr| VirtAddr::new(va.get() - PAGE_SIZE);
        assert_eq!(rights(below(layout::boot_stack_start())), None);
        let here = core::ptr::from_ref(&below).addr() as u64;
        let bottom = VirtAddr::new(here & !(crate::task::stack::SIZE - 1));
        assert_eq!(rights(bottom), Some((true, false)));
        assert_eq!(rights(below(bottom)), None);
    }

    /// RAM is seen in the linear map, in blocks where it can be.
    fn the_linear_map_uses_blocks() {
        let ram = crate::start::platform().memory.iter().map(|memory| memory.range);
        let last = ram.max_by_key(|range| range.end().get()).unwrap();
        let middle = PhysAddr::new(last.start().get() + last.len().get() / 2);
        let leaf = paging::walk(VirtAddr::new(layout::linear(middle) as u64)).unwrap();
        assert!(matches!(leaf.level, Level::Pmd | Level::Pud), "{:?}", leaf.level);
    }

    /// Writing kernel text is a fault.
    fn text_is_not_written() dies {
        let text: *mut u32 = core::ptr::with_exposed_provenance_mut(layout::text_start().get() as usize);
        // SAFETY: not safe, which is what the test shows: the store faults and ends the test's task.
        unsafe { text.write_volatile(0) };
    }

    /// Executing data is a fault.
    fn data_is_not_executed() dies {
        static CODE: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0xd65f_03c0); // ret
        // SAFETY: not safe, which is what the test shows: the fetch faults and ends the test's task.
        let function: extern "C" fn() = unsafe { core::mem::transmute(CODE.as_ptr()) };
        function();
    }

    /// A stack that overflows is told as such, on another stack, and ends only its task.
    fn a_stack_overflow_is_caught() dies {
        #[expect(unconditional_recursion, reason = "until the stack is full")]
        fn deeper(depth: &mut [u64; 64]) -> u64 {
            let mut next = core::hint::black_box([depth[0] + 1; 64]);
            deeper(&mut next) + core::hint::black_box(next[1])
        }
        core::hint::black_box(deeper(&mut [0; 64]));
    }

    /// The kernel cannot reach a program's memory but through `uaccess`.
    fn the_null_page_is_not_mapped() dies {
        let null: *const u8 = core::ptr::without_provenance(ByteLen::ZERO.get() as usize + 8);
        // SAFETY: not safe, which is what the test shows: the load faults and ends the test's task.
        core::hint::black_box(unsafe { null.read_volatile() });
    }
}
