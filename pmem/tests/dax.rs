//! Direct access, case by case as Linux's `__pmem_direct_access` answers, and `dax_direct_access` by property.

use pmem::badblocks::BadRange;
use pmem::dax::ZeroError;
use pmem::dax::{DaxDevice, DaxError, DaxMode, DaxOperations};
use pmem::device::{DeviceFlags, Geometry, GeometryError, PmemDevice};
use pmem::medium::{MediaError, Medium};
use pmem_sim::{SimCells, SimMedium};
use proptest::prelude::*;
use units::{BlockNr, ByteLen, PAGE_SIZE, PageCount, PhysAddr, PmOff, Sector, VirtAddr};

const PHYS: u64 = 0x8000_0000;
const VIRT: u64 = 0xffff_0000_8000_0000;

fn geometry(pages: u64, data_offset: u64, pfn_pad: u64) -> Geometry {
    Geometry {
        phys_addr: PhysAddr::new(PHYS),
        virt_addr: VirtAddr::new(VIRT),
        size: ByteLen::new(pages * PAGE_SIZE),
        data_offset: ByteLen::new(data_offset * PAGE_SIZE),
        pfn_pad: ByteLen::new(pfn_pad * PAGE_SIZE),
    }
}

/// 100 pages of which 2 before and 3 behind are not data.
fn device(bad: &[(u64, u64)]) -> PmemDevice<SimCells> {
    flagged(bad, DeviceFlags::empty())
}

/// The same, of this kind. Its bad blocks are as bad as can be: they do not answer.
fn flagged(bad: &[(u64, u64)], flags: DeviceFlags) -> PmemDevice<SimCells> {
    let medium = SimMedium::new(ByteLen::new(95 * PAGE_SIZE));
    let range = |&(start, count)| BadRange { start: Sector::new(start), count, acknowledged: false };
    let known: Vec<BadRange> = bad.iter().map(range).collect();
    known.iter().for_each(|range| medium.set_bad(range.start, range.count).unwrap());
    PmemDevice::new(geometry(100, 2, 3), flags, SimCells::new(medium), &known).unwrap()
}

#[test]
fn pmem_direct_access_answers_every_case_as_linux_does() {
    use DaxMode::{Normal, RecoveryWrite};
    struct Case {
        shows: &'static str,
        bad: &'static [(u64, u64)],
        asked: (u64, u64),
        mode: DaxMode,
        /// Usable pages, or the bad sector.
        answer: Result<u64, u64>,
    }
    let case = |shows, bad, asked, mode, answer| Case { shows, bad, asked, mode, answer };
    let cases = [
        case("no bad block: everything to the end less the pad", &[], (0, 1), Normal, Ok(95)),
        case("the same from the middle", &[], (40, 4), Normal, Ok(55)),
        case("the same in recovery mode", &[], (40, 4), RecoveryWrite, Ok(55)),
        case("the last page", &[], (94, 1), Normal, Ok(1)),
        case("bad blocks behind: what was asked", &[(400, 1)], (0, 4), Normal, Ok(4)),
        case("bad blocks before: what was asked", &[(0, 1)], (1, 4), Normal, Ok(4)),
        case("bad blocks elsewhere, recovery mode", &[(400, 1)], (0, 4), RecoveryWrite, Ok(4)),
        case("the sector just behind the range", &[(32, 1)], (0, 4), Normal, Ok(4)),
        case("a bad block inside: EIO", &[(9, 1)], (0, 4), Normal, Err(9)),
        case("a bad block in the last sector: EIO", &[(31, 1)], (0, 4), Normal, Err(31)),
        case("a bad range from before: EIO at the first sector", &[(4, 20)], (1, 4), Normal, Err(8)),
        case("recovery: the page with the bad sector is included", &[(9, 1)], (0, 4), RecoveryWrite, Ok(2)),
        case("recovery: unless the sector opens it", &[(16, 1)], (0, 4), RecoveryWrite, Ok(2)),
        case("recovery: the last sector of page 2", &[(23, 1)], (0, 4), RecoveryWrite, Ok(3)),
        case("recovery: the first sector itself is bad: 1", &[(8, 1)], (1, 4), RecoveryWrite, Ok(1)),
        case("recovery: the second sector is bad: 1", &[(9, 1)], (1, 4), RecoveryWrite, Ok(1)),
        case("recovery: bad from before the range: 1", &[(0, 20)], (1, 4), RecoveryWrite, Ok(1)),
        case("recovery: the first of two bad ranges counts", &[(17, 1), (25, 4)], (0, 8), RecoveryWrite, Ok(3)),
    ];
    for Case { shows, bad, asked: (pgoff, pages), mode, answer } in cases {
        let access = device(bad).direct_access(BlockNr::new(pgoff), PageCount::new(pages), mode);
        // The addresses include the data offset, and are there also with an error; the sector does not.
        assert_eq!(access.kaddr, VirtAddr::new(VIRT + (pgoff + 2) * PAGE_SIZE), "{shows}");
        assert_eq!(access.pfn, PhysAddr::new(PHYS + (pgoff + 2) * PAGE_SIZE).pfn(), "{shows}");
        let want = answer.map(PageCount::new).map_err(|sector| MediaError { at: PmOff::new(sector * 512) });
        assert_eq!(access.pages, want, "{shows}");
    }
}

#[test]
fn dax_direct_access_bounds_offset_and_answer() {
    let dax = DaxDevice::new(device(&[]));
    let ask = |pgoff, pages| dax.direct_access(BlockNr::new(pgoff), PageCount::new(pages), DaxMode::Normal);
    assert_eq!(ask(0, 7).unwrap().2, PageCount::new(7));
    assert_eq!(ask(90, 7).unwrap().2, PageCount::new(5));
    assert_eq!(ask(90, u64::MAX).unwrap().2, PageCount::new(5));
    assert_eq!(ask(95, 1), Err(DaxError::Range));
    assert_eq!(ask(u64::MAX, 1), Err(DaxError::Range));
    assert_eq!(ask(0, 0), Err(DaxError::Invalid));
    let bad = DaxDevice::new(device(&[(8, 1)]));
    let found = bad.direct_access(BlockNr::new(1), PageCount::new(1), DaxMode::Normal);
    let at = MediaError { at: PmOff::new(4096) };
    assert_eq!(found, Err(DaxError::Media(at, VirtAddr::new(VIRT + 0x3000), PhysAddr::new(PHYS + 0x3000).pfn())));
}

#[test]
fn dax_is_supported_where_both_ends_answer() {
    let dax = DaxDevice::new(device(&[(94 * 8, 1)]));
    assert!(dax.dax_supported(PmOff::new(0), PageCount::new(94)));
    assert!(!dax.dax_supported(PmOff::new(0), PageCount::new(95)));
    assert!(!dax.dax_supported(PmOff::new(512), PageCount::new(1)));
    assert!(!dax.dax_supported(PmOff::new(0), PageCount::new(96)));
    assert!(!dax.dax_supported(PmOff::new(0), PageCount::ZERO));
    assert!(!dax.dax_supported(PmOff::new(4096), PageCount::new(u64::MAX)));
}

#[test]
fn a_read_learns_the_first_bad_byte() {
    let device = device(&[(3, 2)]);
    let (all, device) = (&device, device.memory());
    assert_eq!(device.check(PmOff::new(0), ByteLen::new(1536)), Ok(()));
    assert_eq!(device.check(PmOff::new(0), ByteLen::new(1537)), Err(MediaError { at: PmOff::new(1536) }));
    assert_eq!(device.check(PmOff::new(2000), ByteLen::new(1)), Err(MediaError { at: PmOff::new(2000) }));
    assert_eq!(device.check(PmOff::new(2560), ByteLen::new(4096)), Ok(()));
    assert_eq!(device.check(PmOff::new(2000), ByteLen::ZERO), Ok(()));
    device.clear_bad(Sector::new(3), 2).unwrap();
    assert_eq!(device.check(PmOff::new(0), ByteLen::new(8192)), Ok(()));
    assert_eq!(all.kaddr(PmOff::new(5)), Some(VirtAddr::new(VIRT + 0x2005)));
    assert_eq!(all.kaddr(PmOff::new(all.len().get())), None);
    assert_eq!(all.offset_of(PhysAddr::new(PHYS + 0x2005)), Some(PmOff::new(5)));
    assert_eq!(all.offset_of(PhysAddr::new(PHYS + 0x1fff)), None);
    assert_eq!(all.offset_of(PhysAddr::new(PHYS + 97 * PAGE_SIZE)), None);
}

#[test]
fn impossible_geometries_are_refused() {
    let new = |geometry: Geometry| geometry.pages().map(PageCount::get);
    assert_eq!(new(geometry(10, 2, 3)), Ok(5));
    assert_eq!(new(geometry(5, 2, 3)), Err(GeometryError::Empty));
    assert_eq!(new(geometry(4, 2, 3)), Err(GeometryError::Empty));
    let mut odd = geometry(10, 0, 0);
    odd.data_offset = ByteLen::new(512);
    assert_eq!(new(odd), Err(GeometryError::Unaligned));
    let mut far = geometry(10, 0, 0);
    far.phys_addr = PhysAddr::new(u64::MAX - 4095);
    assert_eq!(new(far), Err(GeometryError::Wraps));
}

/// What page `page` of data holds, without the list's say.
fn content(device: &PmemDevice<SimCells>, page: u64) -> Vec<u8> {
    let all = device.memory().cells().medium().bytes();
    all[(page * PAGE_SIZE) as usize..][..PAGE_SIZE as usize].to_vec()
}

#[test]
fn a_page_range_is_zeroed_and_healed() {
    let dax = DaxDevice::new(device(&[(17, 3)]));
    let memory = dax.ops().memory();
    memory.store(PmOff::new(PAGE_SIZE), &[7; 4 * PAGE_SIZE as usize]);
    memory.set_bad(Sector::new(33), 1).unwrap();
    assert_eq!(dax.zero_page_range(BlockNr::new(2), PageCount::new(2)), Ok(()));
    assert_eq!((content(dax.ops(), 1)[0], content(dax.ops(), 4)[0]), (7, 7));
    for page in 2..4 {
        assert_eq!(content(dax.ops(), page), [0; PAGE_SIZE as usize]);
        assert_eq!(memory.check(BlockNr::new(page).base(), ByteLen::new(PAGE_SIZE)), Ok(()));
    }
    assert!(memory.check(BlockNr::new(4).base(), ByteLen::new(PAGE_SIZE)).is_err(), "behind the range");
    let durable = memory.cells().medium().durable_bytes();
    assert!(durable[2 * PAGE_SIZE as usize..][..2 * PAGE_SIZE as usize].iter().all(|&byte| byte == 0));
    assert_eq!(dax.zero_page_range(BlockNr::new(94), PageCount::new(2)), Err(ZeroError::Range));
    assert_eq!(dax.zero_page_range(BlockNr::new(u64::MAX), PageCount::new(2)), Err(ZeroError::Range));
}

#[test]
fn a_recovery_write_heals_whole_pages_and_nothing_less() {
    const PAGE: usize = PAGE_SIZE as usize;
    let dax = DaxDevice::new(device(&[(9, 1), (16, 8)]));
    let write = |at: u64, len: usize| {
        let bytes = vec![5; len];
        dax.recovery_write(PmOff::new(at), len, &mut bytes.as_slice())
    };
    assert_eq!(write(4096 + 512, 512), 0, "an end that is no page's");
    assert_eq!(write(4096, 1024), 0, "a length that is no page's");
    assert_eq!(write(24, 100), 100, "where nothing is bad, anything goes");
    assert_eq!(write(4096, PAGE), PAGE);
    let bad = |page: u64| dax.ops().memory().check(BlockNr::new(page).base(), ByteLen::new(PAGE_SIZE)).is_err();
    assert_eq!((bad(1), bad(2)), (false, true));
    assert_eq!(write(0, 3 * PAGE), 3 * PAGE);
    assert!(!bad(2));
    assert_eq!(content(dax.ops(), 2), [5; PAGE]);
    let medium = dax.ops().memory().cells().medium();
    assert!(medium.durable_bytes() == medium.bytes());
    assert_eq!(write(95 * PAGE_SIZE, PAGE), 0, "past the end");
    assert_eq!(dax.recovery_write(PmOff::ZERO, PAGE, &mut &[0_u8; 8][..]), 0, "less than that to write");
}

#[test]
fn what_cannot_be_cleared_is_not_written() {
    const PAGE: usize = PAGE_SIZE as usize;
    let stubborn = DaxDevice::new(device(&[(9, 1)]));
    stubborn.ops().memory().cells().clear_nothing();
    let bytes = [5; 3 * PAGE];
    assert_eq!(stubborn.recovery_write(PmOff::new(PAGE_SIZE), PAGE, &mut &bytes[..]), 0);
    assert_eq!(stubborn.recovery_write(PmOff::ZERO, 3 * PAGE, &mut &bytes[..]), PAGE, "up to there");
    let at = MediaError { at: PmOff::new(PAGE_SIZE) };
    assert_eq!(stubborn.zero_page_range(BlockNr::new(1), PageCount::new(1)), Err(ZeroError::Media(at)));
    let sealed = DaxDevice::new(flagged(&[(9, 1)], DeviceFlags::READ_ONLY));
    assert_eq!(sealed.recovery_write(PmOff::new(PAGE_SIZE), PAGE, &mut &bytes[..]), 0);
}

proptest! {
    /// Whatever is bad and whatever is asked: a usable page is on the device, was asked for, and is good.
    #[test]
    fn an_answer_stays_inside_question_and_device(
        bad in prop::collection::vec((0u64..760, 1u64..40), 0..4),
        pgoff in 0u64..110,
        pages in 0u64..120,
        recovery in any::<bool>(),
    ) {
        let bad: Vec<_> = bad.into_iter().map(|(start, count)| (start, count.min(760 - start))).collect();
        let is_bad = |page: u64| bad.iter().any(|&(start, count)| start < (page + 1) * 8 && page * 8 < start + count);
        let dax = DaxDevice::new(device(&bad));
        let mode = if recovery { DaxMode::RecoveryWrite } else { DaxMode::Normal };
        match dax.direct_access(BlockNr::new(pgoff), PageCount::new(pages), mode) {
            Ok((kaddr, pfn, usable)) => {
                prop_assert_eq!(kaddr, VirtAddr::new(VIRT + (pgoff + 2) * PAGE_SIZE));
                prop_assert_eq!(pfn, PhysAddr::new(PHYS + (pgoff + 2) * PAGE_SIZE).pfn());
                prop_assert!(usable.get() >= 1 && usable.get() <= pages && pgoff + usable.get() <= 95);
                // In recovery only the last page may be bad, and then it is the one that ends the answer.
                let good = if recovery { usable.get() - 1 } else { usable.get() };
                prop_assert!((pgoff..pgoff + good).all(|page| !is_bad(page)));
            }
            Err(DaxError::Invalid) => prop_assert_eq!(pages, 0),
            Err(DaxError::Range) => prop_assert!(pgoff >= 95),
            Err(DaxError::Media(bad, ..)) => {
                prop_assert!(!recovery);
                prop_assert!(is_bad(bad.at.block().get()));
            }
        }
    }
}
