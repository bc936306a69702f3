//! The division of memory against the plainest model there is: an array with an entry for each page.

use arrayvec::{ArrayString, ArrayVec};
use platform::cmdline::Ram;
use platform::fdt::{Cpu, EnableMethod, Gic, Interrupt, Memory, Platform, Reserved, Timer, Trigger, Uart};
use platform::ram::{self, Held, Plan, RamError};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use units::{ByteLen, PAGE_SIZE, PhysAddr, PhysRange};

/// Pages of the model: 256 MiB.
const PAGES: u64 = 1 << 16;

fn range(start: u64, len: u64) -> PhysRange {
    PhysRange::with_len(PhysAddr::new(start), ByteLen::new(len)).unwrap()
}

fn pages(start: u64, count: u64) -> PhysRange {
    range(start * PAGE_SIZE, count * PAGE_SIZE)
}

fn machine(memory: &[(PhysRange, Option<u32>)], reserved: &[(PhysRange, bool)]) -> Platform {
    let line = |id| Interrupt { id, trigger: Trigger::Level };
    Platform {
        memory: memory.iter().map(|&(range, node)| Memory { range, node }).collect(),
        reserved: reserved.iter().map(|&(range, no_map)| Reserved { range, no_map }).collect(),
        cpus: [Cpu { mpidr: 0, enable: EnableMethod::Unknown, node: Some(0) }].into_iter().collect(),
        cpus_left_out: 0,
        psci: None,
        uart: Uart { registers: range(1 << 40, 4096), interrupt: line(33) },
        gic: Gic { distributor: range(2 << 40, 1 << 16), redistributors: ArrayVec::new() },
        timer: Timer { physical: line(30), virt: line(27) },
        fw_cfg: None,
        rtc: None,
        pci: None,
        pmem_regions: ArrayVec::new(),
        bootargs: ArrayString::new(),
        rng_seed: ArrayVec::new(),
        kaslr_seed: None,
    }
}

fn plan(platform: &Platform, ram: Ram, image: PhysRange, others: &[PhysRange]) -> Result<Plan, RamError> {
    ram::plan(platform, ram, 0, Held { image, others, reach: PhysAddr::new(PAGES * PAGE_SIZE) })
}

/// Whether a page lies in one of some ranges as a whole, or touches one.
fn covered(page: u64, ranges: impl IntoIterator<Item = PhysRange>) -> bool {
    ranges.into_iter().any(|range| range.covers(pages(page, 1)))
}

fn touched(page: u64, ranges: impl IntoIterator<Item = PhysRange>) -> bool {
    ranges.into_iter().any(|range| !range.is_empty() && range.overlaps(pages(page, 1)))
}

/// Ranges of bytes, not pages, below the model's end and a little beyond.
fn ranges(count: impl Into<prop::collection::SizeRange>, longest: u64) -> impl Strategy<Value = Vec<PhysRange>> {
    let one = (0..PAGES + 64, 0..longest, 0..3_u64, 0..3_u64);
    let one = one.prop_map(|(start, len, low, high)| range(start * PAGE_SIZE + 7 * low, len * PAGE_SIZE + 9 * high));
    prop::collection::vec(one, count)
}

/// Memory as the tree gives it: sorted, without overlap.
fn memory() -> impl Strategy<Value = Vec<(PhysRange, Option<u32>)>> {
    let node = prop_oneof![Just(None), Just(Some(0)), Just(Some(1))];
    (ranges(0..8_usize, 20_000), prop::collection::vec(node, 8)).prop_map(|(mut all, nodes)| {
        all.push(pages(0x200, 0x4000));
        all.sort_by_key(|range| range.start());
        let mut kept: Vec<PhysRange> = Vec::new();
        for range in all {
            if !range.is_empty() && kept.iter().all(|other| !other.overlaps(range)) {
                kept.push(range);
            }
        }
        kept.into_iter().zip(nodes).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, rng_seed: RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_page_is_where_the_model_has_it(
        memory in memory(),
        reserved in ranges(0..20_usize, 600),
        no_map in prop::collection::vec(any::<bool>(), 20),
        others in ranges(0..6_usize, 600),
        everything in any::<bool>(),
    ) {
        let reserved: Vec<_> = reserved.into_iter().zip(no_map).collect();
        let ram = if everything { Ram::All } else { Ram::BootNode };
        let image = pages(memory[0].0.start().align_up(PAGE_SIZE).unwrap().get() / PAGE_SIZE, 2);
        let platform = machine(&memory, &reserved);
        let outcome = plan(&platform, ram, image, &others);

        let ours = |page| covered(page, memory.iter().filter(|(_, node)| everything || node != &Some(1)).map(|m| m.0));
        let hidden = |page| touched(page, reserved.iter().filter(|area| area.1).map(|area| area.0));
        let held = |page| touched(page, others.iter().copied());
        let taken = |page| touched(page, reserved.iter().map(|area| area.0)) || touched(page, [image]);
        match outcome {
            Ok(plan) => {
                let handed_out = || plan.free.iter().copied().chain([plan.heap]);
                for page in 0..PAGES {
                    let shown = ours(page) && !hidden(page) && !held(page);
                    prop_assert_eq!(covered(page, plan.mapped.iter().copied()), shown, "page {:#x}", page);
                    let free = ours(page) && !held(page) && !taken(page);
                    prop_assert_eq!(touched(page, handed_out()), free, "page {:#x}", page);
                    prop_assert_eq!(handed_out().filter(|part| part.overlaps(pages(page, 1))).count(), usize::from(free));
                }
                prop_assert!(handed_out().all(|part| part.end().get() <= PAGES * PAGE_SIZE));
                prop_assert!(plan.heap.len().get() >= 4 << 20);
            }
            Err(RamError::TooLittle(free)) => prop_assert!(free.get() < 8 << 20),
            Err(RamError::Outside(range)) => prop_assert!(!(0..PAGES).filter(|&page| image.overlaps(pages(page, 1)))
                .all(|page| covered(page, memory.iter().map(|m| m.0))), "{:?}", range),
            Err(RamError::TooManyPieces) => prop_assert!(false, "so few holes leave few pieces"),
        }
    }
}

#[test]
fn memory_out_of_reach_is_left_alone() {
    let far = machine(&[(pages(0, 0x4000), None), (pages(PAGES - 1, 3), None), (pages(1 << 40, 5), None)], &[]);
    let plan = plan(&far, Ram::All, pages(0x200, 2), &[]).unwrap();
    assert_eq!(plan.beyond, ByteLen::new(7 * PAGE_SIZE));
    assert_eq!(plan.mapped.as_slice(), [pages(0, 0x4000), pages(PAGES - 1, 1)]);
}

#[test]
fn a_kernel_outside_the_memory_is_refused() {
    let machine =
        machine(&[(pages(0, 0x1000), None), (pages(0x1000, 0x1000), None), (pages(0x3000, 0x1000), None)], &[]);
    let lies = |image| plan(&machine, Ram::All, image, &[]).is_ok();
    assert!(lies(pages(0xfff, 2)), "memory in two pieces without a gap is memory");
    for outside in [pages(0x2000, 1), pages(0x1fff, 2), pages(0x2fff, 2), pages(0x5000, 4)] {
        assert!(!lies(outside), "{outside:?}");
    }
}

#[test]
fn too_little_is_said_with_figures() {
    let small = machine(&[(pages(0, 0x600), None)], &[]);
    let error = plan(&small, Ram::All, pages(0, 0x200), &[]).unwrap_err();
    assert_eq!(error.to_string(), "memory: too little to run in: 4096 KiB are free in one piece, of 8192 needed");
    let enough = machine(&[(pages(0, 0xa00), None)], &[]);
    let plan = plan(&enough, Ram::All, pages(0, 0x200), &[]).unwrap();
    assert_eq!((plan.heap, plan.free.as_slice()), (pages(0x600, 0x400), &[pages(0x200, 0x400)][..]));
}

#[test]
fn the_heap_is_a_sixteenth_within_bounds() {
    let heap = |count| plan(&machine(&[(pages(0, count), None)], &[]), Ram::All, pages(0, 1), &[]).unwrap().heap.len();
    assert_eq!(heap(PAGES).get(), (PAGES - 1).div_ceil(16) * PAGE_SIZE);
    let pieces: Vec<_> = (0..16).map(|piece| (pages(piece * 0x1000, 0x800), None)).collect();
    let small = plan(&machine(&pieces, &[]), Ram::All, pages(0, 1), &[]).unwrap();
    assert_eq!(small.heap.len().get(), 4 << 20, "half of the largest piece");
}

#[test]
fn too_many_pieces_are_refused() {
    let line: Vec<_> = (0..16).map(|piece| (pages(piece * 0x1000, 0x1000), None)).collect();
    let holes: Vec<_> = (0..32).map(|hole| (range(hole * 0x100_0000 / 4 + 0x8_0000, 1), false)).collect();
    let others: Vec<_> = (0..60).map(|hole| range(hole * 0x10_0000 + 0x2000, 1)).collect();
    assert_eq!(plan(&machine(&line, &holes), Ram::All, pages(0, 1), &others), Err(RamError::TooManyPieces));
}
