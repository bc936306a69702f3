//! The NFIT parser against tables dumped from QEMU 7.2, tables made by hand, and mutations of both.

use pmem::label::set_cookie;
use pmem::nfit::{self, ControlRegion, MapFlags, NfitError, Platform, RangeKind};
use proptest::prelude::*;
use units::{ByteLen, PhysAddr, PhysRange};

/// `etc/acpi/tables` of `virt,nvdimm=on` with one 16 MiB NVDIMM.
const ONE: &[u8] = include_bytes!("data/nvdimm-one.bin");
/// The same with `nvdimm-persistence=mem-ctrl`.
const ONE_ADR: &[u8] = include_bytes!("data/nvdimm-one-adr.bin");
/// 16 MiB with a 128 KiB label area, then 32 MiB with `unarmed=on`; `nvdimm-persistence=cpu`.
const TWO: &[u8] = include_bytes!("data/nvdimm-two-unarmed-eadr.bin");
/// A machine without an NVDIMM.
const NONE: &[u8] = include_bytes!("data/nvdimm-none.bin");

fn range(base: u64, len: u64) -> PhysRange {
    PhysRange::with_len(PhysAddr::new(base), ByteLen::new(len)).unwrap()
}

#[test]
fn one_nvdimm_of_qemu_is_found() {
    let nfit = nfit::parse(ONE).unwrap();
    let ranges: Vec<_> = nfit.ranges().collect();
    assert_eq!(ranges.len(), 1);
    assert!(ranges[0].is_persistent());
    assert_eq!(ranges[0].range, range(0x8000_0000, 16 << 20));
    assert_eq!(ranges[0].attributes, 0x8008);
    assert_eq!(ranges[0].proximity_domain, Some(0));
    let maps: Vec<_> = nfit.maps(ranges[0].index).collect();
    assert_eq!(maps.len(), 1);
    assert_eq!((maps[0].handle, maps[0].size), (1, ByteLen::new(16 << 20)));
    let control =
        ControlRegion { index: 3, vendor: 0x8086, device: 1, serial: 0x0012_3456, format: 0x0301, made: None };
    assert_eq!(nfit.control_region(maps[0].control_index), Some(control));
    // As Linux 6.12 shows it for the same NVDIMM in /sys/bus/nd/devices/region0/set_cookie.
    assert_eq!(set_cookie(&maps[0], Some(control)), 0x00ba_9012_0012_b4dc);
    assert!(!nfit.is_unarmed(&ranges[0]));
    assert_eq!(nfit.platform(), Platform::default());
}

#[test]
fn platform_capabilities_tell_adr_from_eadr() {
    let adr = Platform { memory_controller_flush: true, ..Platform::default() };
    assert_eq!(nfit::parse(ONE_ADR).unwrap().platform(), adr);
    let eadr = Platform { cpu_cache_flush: true, ..adr };
    assert_eq!(nfit::parse(TWO).unwrap().platform(), eadr);
}

#[test]
fn a_label_area_shortens_its_range_and_an_unarmed_device_says_so() {
    let nfit = nfit::parse(TWO).unwrap();
    let ranges: Vec<_> = nfit.ranges().collect();
    assert_eq!(ranges[0].range, range(0x8000_0000, (16 << 20) - (128 << 10)));
    assert_eq!(ranges[1].range, range(0x80fe_0000, 32 << 20));
    assert!(!nfit.is_unarmed(&ranges[0]));
    assert!(nfit.is_unarmed(&ranges[1]));
    assert_eq!(nfit.maps(ranges[1].index).next().unwrap().handle, 2);
}

#[test]
fn the_doorbell_is_found_in_the_aml() {
    assert_eq!(nfit::doorbell(ONE), Some(PhysAddr::new(0x0909_0000)));
    assert_eq!(nfit::doorbell(TWO), Some(PhysAddr::new(0x0909_0000)));
    // It is there whether anything hangs on it or not, with `nvdimm=on`.
    assert_eq!(nfit::doorbell(NONE), Some(PhysAddr::new(0x0909_0000)));
    assert_eq!(nfit::doorbell(&[0; 4096]), None);
    for cut in [0, 7, 8, 12, 15] {
        assert_eq!(nfit::doorbell(&b"\x5b\x80NPIO\x00\x0e12345678"[..cut]), None);
    }
    assert_eq!(nfit::doorbell(b"\x5b\x80NPIO\x00\x0e\x01\0\0\0\x02\0\0\0"), Some(PhysAddr::new(0x2_0000_0001)));
}

#[test]
fn a_machine_without_nvdimm_has_no_nfit() {
    assert_eq!(nfit::parse(NONE).unwrap_err(), NfitError::Missing);
    assert_eq!(nfit::parse(&[]).unwrap_err(), NfitError::Missing);
    assert_eq!(nfit::parse(&[0; 4096]).unwrap_err(), NfitError::Missing);
}

/// An NFIT of the given structures, behind a table of another kind.
fn tables(structures: &[Vec<u8>]) -> Vec<u8> {
    let mut nfit = b"NFIT".to_vec();
    let body: Vec<u8> = structures.concat();
    nfit.extend((40 + body.len() as u32).to_le_bytes());
    nfit.resize(40, 0);
    nfit.extend(body);
    let mut blob = b"FACP".to_vec();
    blob.extend(44u32.to_le_bytes());
    blob.resize(44, 0xee);
    blob.resize(64, 0);
    blob.extend(nfit);
    blob
}

/// A structure of `kind` from (offset, bytes) pairs, `len` long.
fn structure(kind: u16, len: u16, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(len)];
    bytes[..2].copy_from_slice(&kind.to_le_bytes());
    bytes[2..4].copy_from_slice(&len.to_le_bytes());
    for (at, field) in fields {
        bytes[*at..at + field.len()].copy_from_slice(field);
    }
    bytes
}

fn volatile(base: u64, len: u64) -> Vec<u8> {
    let guid = [0x4f, 0x94, 0x05, 0x73, 0xda, 0xfd, 0xe3, 0x44, 0xb1, 0x6c, 0x3f, 0x22, 0xd2, 0x52, 0xe5, 0xd0];
    structure(0, 56, &[(4, &[7, 0]), (16, &guid), (32, &base.to_le_bytes()), (40, &len.to_le_bytes())])
}

#[test]
fn ranges_of_other_kinds_and_unknown_structures_are_told_apart() {
    let other = structure(0, 64, &[(16, &[9; 16])]);
    let unknown = structure(99, 4, &[]);
    let map = |handle| structure(1, 48, &[(4, &[handle]), (12, &[7]), (44, &[0b1000001])]);
    let blob = tables(&[unknown, other, map(5), volatile(0x1000, 0x2000), map(6)]);
    let nfit = nfit::parse(&blob).unwrap();
    let ranges: Vec<_> = nfit.ranges().collect();
    assert_eq!(ranges[0].kind, RangeKind::Other([9; 16]));
    assert!(ranges[1].is_volatile() && !ranges[1].is_persistent());
    assert_eq!(ranges[1].range, range(0x1000, 0x2000));
    assert_eq!(ranges[1].proximity_domain, None);
    assert_eq!(nfit.maps(7).map(|map| map.handle).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(nfit.maps(7).next().unwrap().flags, MapFlags::SAVE_FAILED | MapFlags::NOT_MAPPED);
    // Index 0 stands for 'no range': nothing is behind it.
    assert_eq!(nfit.maps(0).count(), 0);
    assert_eq!(nfit.control_region(1), None);
}

#[test]
fn a_capability_above_the_highest_valid_one_does_not_count() {
    let blob = tables(&[structure(7, 16, &[(4, &[0]), (8, &[0b111])])]);
    let platform = nfit::parse(&blob).unwrap().platform();
    assert_eq!(platform, Platform { cpu_cache_flush: true, ..Platform::default() });
}

#[test]
fn impossible_lengths_and_ranges_are_named_by_their_offset() {
    let at = 64 + 40;
    assert_eq!(nfit::parse(&tables(&[volatile(u64::MAX, 2)])).unwrap_err(), NfitError::BadRange { at });
    for (kind, len) in [(0, 55), (1, 47), (4, 31), (7, 15)] {
        let blob = tables(&[structure(kind, len, &[])]);
        assert_eq!(nfit::parse(&blob).unwrap_err(), NfitError::BadStructure { at }, "type {kind}");
    }
    for len in [0u8, 3, 200] {
        let mut short = tables(&[structure(9, 8, &[])]);
        short[at + 2] = len;
        assert_eq!(nfit::parse(&short).unwrap_err(), NfitError::BadStructure { at }, "length {len}");
    }
    for len in [1u8, 35, 45] {
        let mut blob = tables(&[]);
        blob[64 + 4] = len;
        assert_eq!(nfit::parse(&blob).unwrap_err(), NfitError::BadTable { at: 64 }, "length {len}");
    }
    assert_eq!(nfit::parse(b"NFIT").unwrap_err(), NfitError::BadTable { at: 0 });
}

/// Looks at everything there is.
fn use_all(blob: &[u8]) {
    if let Ok(nfit) = nfit::parse(blob) {
        for spa in nfit.ranges() {
            nfit.is_unarmed(&spa);
            for map in nfit.maps(spa.index) {
                nfit.control_region(map.control_index);
            }
        }
    }
}

#[test]
fn every_cut_of_a_real_blob_is_met_without_a_panic() {
    for len in 0..TWO.len() {
        use_all(&TWO[..len]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Bytes changed anywhere, more often in the NFIT than elsewhere.
    #[test]
    fn mutated_blobs_never_panic(
        whole in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut blob = if whole { TWO.to_vec() } else { TWO[9996..].to_vec() };
        for (at, value) in changes {
            let at = at.index(blob.len());
            blob[at] = value;
        }
        use_all(&blob);
    }
}
