//! Every mapping of the live tables, against the list of regions: nothing is writable and executable, nothing nameless.

use alloc::vec;
use core::sync::atomic::{AtomicU64, Ordering};

use arch::cpu::MAX_CPUS;
use mm::desc::{self, Attributes};
use mm::space::{Access, Place, Request, What};
use mm::table::Leaf;
use mm::{Asid, Prot, Tables, VmaFlags};
use units::{ByteLen, PAGE_SIZE, PhysAddr, PhysRange, VirtAddr, VirtRange};

use crate::mmu::{KernelFrames, KernelMmu};
use crate::regions::{self, Region};
use crate::space::Space;
use crate::task::{self, stack};
use crate::testing::kernel_test;
use crate::{layout, paging, smp};

/// What is wrong with a leaf of the kernel's tables, if anything.
fn complaint(leaf: &Leaf) -> Option<&'static str> {
    let (bits, attributes) = (leaf.desc.bits(), leaf.desc.attributes().single());
    let last = VirtAddr::new(leaf.va.get() + (leaf.level.size() - 1));
    let Some(region) = regions::find(leaf.va) else { return Some("belongs to no region") };
    match () {
        () if !leaf.desc.is_valid() => Some("is not valid, and not nothing"),
        () if attributes.writable() && attributes.executable() => Some("is writable and executable"),
        () if bits & desc::UXN == 0 => Some("is executable for programs"),
        () if bits & desc::AP_USER != 0 => Some("is readable for programs"),
        () if bits & desc::NG != 0 => Some("is not global"),
        () if !region.range.contains(last) => Some("ends outside its region"),
        () if attributes != region.attributes => Some("is not what its region is"),
        () if attributes.executable() && !layout::text().contains(leaf.va) => Some("is executable, and not text"),
        () => None,
    }
}

/// The tables that a CPU walks from `root`, an address in a TTBR, for the lower half.
fn lower_half(root: u64) -> Tables<KernelFrames, KernelMmu> {
    let root = PhysAddr::new(root & desc::ADDRESS_MASK).pfn();
    Tables::adopt(KernelFrames, KernelMmu, Asid::new(1), root)
}

/// Every leaf below one of `boot`'s roots, by its address in the kernel's map.
fn leaves_below(root: VirtAddr) -> vec::Vec<Leaf> {
    let mut leaves = vec![];
    lower_half(paging::image_phys(root).get()).each_leaf(&mut |leaf| leaves.push(leaf));
    leaves
}

kernel_test! {
    /// Each leaf of the tables this CPU walks belongs to a region and is what the region is; none is writable and
    /// executable.
    fn every_mapping_belongs_to_a_region() {
        assert_eq!(arch::cpu::ttbr1() & desc::ADDRESS_MASK, paging::root().base().get());
        let (mut leaves, mut bad) = (0, None::<(Leaf, &str)>);
        // No assertion under the lock of the tables.
        paging::each_leaf(|leaf| {
            leaves += 1;
            bad = bad.or(complaint(&leaf).map(|complaint| (leaf, complaint)));
        });
        assert!(bad.is_none(), "{bad:x?}");
        assert!(leaves > 100);
    }

    /// Each region is mapped from end to end, and no two overlap.
    fn every_region_is_mapped() {
        let all: vec::Vec<Region> = regions::all().filter(|region| !region.range.is_empty()).collect();
        let mut mapped = vec![0; all.len()];
        paging::each_leaf(|leaf| {
            if let Some(at) = all.iter().position(|region| region.range.contains(leaf.va)) {
                mapped[at] += leaf.level.size();
            }
        });
        for (region, mapped) in all.iter().zip(mapped) {
            assert_eq!(mapped, region.range.len().get(), "{region:x?}");
            assert!(all.iter().all(|other| other == region || !other.range.overlaps(region.range)), "{region:x?}");
        }
        for name in ["kernel text", "RAM", "the registers of the UART", "a CPU's stack for overflows", "a kernel stack"] {
            assert!(all.iter().any(|region| region.name == name), "{name}");
        }
    }

    /// Text and constants are read-only by every name they have.
    fn text_is_written_under_no_name() {
        let read_only = [layout::text(), layout::rodata()].map(paging::image_part);
        let (mut pages, mut bad) = (0, None::<Leaf>);
        paging::each_leaf(|leaf| {
            let shown = PhysRange::with_len(leaf.desc.address(), ByteLen::new(leaf.level.size()));
            if read_only.iter().any(|part| shown.is_some_and(|shown| shown.overlaps(*part))) {
                pages += leaf.pages().get();
                bad = bad.or(leaf.desc.attributes().writable().then_some(leaf));
            }
        });
        assert!(bad.is_none(), "{bad:x?}");
        // Each page is there twice: where it runs, and in the linear map.
        assert_eq!(pages, 2 * read_only.iter().map(|part| part.len().pages_up().get()).sum::<u64>());
    }

    /// Below every stack lies a guard as large as a stack.
    fn every_stack_has_a_guard() {
        let mut count = 0;
        for range in stack::overflow_stacks().chain(stack::task_stacks()).chain([layout::boot_stack()]) {
            count += 1;
            assert!(paging::walk(range.start()).is_some());
            for below in (range.start().get() - stack::SIZE..range.start().get()).step_by(PAGE_SIZE as usize) {
                let below = VirtAddr::new(below);
                assert!(paging::walk(below).is_none(), "{below} lies below {range:?}");
                assert!(layout::describe(below).contains("guard"), "{below}: {}", layout::describe(below));
            }
            // So one bit tells an overflow.
            assert_eq!(range.start().get() & stack::SIZE, stack::SIZE);
            assert_eq!((range.end().get() - 1) & stack::SIZE, stack::SIZE);
        }
        assert_eq!(count, smp::online().count() + stack::task_stacks().count() + 1);
    }

    /// What a program has in its half is executable for nobody else, and for it only where it asked; the tables are those
    /// of the TTBR0 that the program would run with.
    fn a_program_has_what_it_asked_for() {
        let space = Space::new().unwrap();
        let mut asked = vec![];
        for prot in (1..8).filter_map(Prot::from_bits) {
            let len = 3 * PAGE_SIZE;
            let request = Request { place: Place::ANYWHERE, len, prot, flags: VmaFlags::empty(), what: What::Anonymous };
            let at = space.lock().map(request).ok().unwrap().at;
            asked.push((VirtRange::with_len(at, ByteLen::new(len)).unwrap(), prot));
            let ways = [(Prot::READ, Access::Read), (Prot::WRITE, Access::Write), (Prot::EXEC, Access::Exec)];
            for (_, access) in ways.into_iter().filter(|(right, _)| prot.contains(*right)) {
                space.fault(at, access).unwrap();
            }
        }
        task::current().replace_space(Some(space));
        let mut leaves = 0;
        lower_half(arch::cpu::ttbr0()).each_leaf(&mut |leaf| {
            leaves += 1;
            let (_, prot) = asked.iter().find(|(range, _)| range.contains(leaf.va)).unwrap();
            let (bits, attributes) = (leaf.desc.bits(), leaf.desc.attributes());
            assert_eq!(bits & (desc::PXN | desc::NG | desc::AP_USER), desc::PXN | desc::NG | desc::AP_USER, "{leaf:x?}");
            assert!(!attributes.executable() || prot.contains(Prot::EXEC), "{leaf:x?}");
            assert!(!attributes.writable() || prot.contains(Prot::WRITE), "{leaf:x?}");
        });
        task::current().replace_space(None);
        assert_eq!(leaves, asked.len());
    }

    /// The tables of TTBR0 are empty while no program runs, on every CPU; the identity map is one read-only page of
    /// text that no CPU walks, and of the map for relocating nothing is left.
    fn no_identity_map_is_live() {
        static ROOTS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
        smp::on_each(|| ROOTS[arch::cpu::index()].store(arch::cpu::ttbr0(), Ordering::Relaxed));
        for cpu in smp::online() {
            let mut leaves = 0;
            lower_half(ROOTS[cpu].load(Ordering::Relaxed)).each_leaf(&mut |_| leaves += 1);
            assert_eq!(leaves, 0, "CPU {cpu}");
        }
        assert!(leaves_below(layout::reserved_pg_dir()).is_empty());
        assert!(leaves_below(layout::reloc_pg_dir()).is_empty());
        let [page] = leaves_below(layout::idmap_pg_dir())[..] else { panic!("not one page") };
        assert_eq!(page.va.get(), page.desc.address().get());
        assert_eq!(page.desc.attributes(), Attributes::KERNEL_TEXT);
        assert!(paging::image_part(layout::text()).contains(page.desc.address()));
    }
}
