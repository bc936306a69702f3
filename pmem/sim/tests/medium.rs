//! What a power cut may leave, on examples small enough to write all states down, and the faults it must show.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use pmem::medium::{CopyError, MediaError, Medium};
use pmem::order;
use pmem_sim::{Fault, SimMedium};
use units::{ByteLen, PmOff, Sector};

const A: PmOff = PmOff::new(0);
const B: PmOff = PmOff::new(4096);

fn medium() -> SimMedium {
    SimMedium::new(ByteLen::new(8192))
}

fn word(medium: &SimMedium, at: PmOff) -> u64 {
    let mut bytes = [0; 8];
    medium.load(at, &mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

fn store(medium: &SimMedium, at: PmOff, value: u64) {
    medium.store(at, &value.to_le_bytes());
}

fn persist(medium: &SimMedium, at: PmOff) {
    medium.clean(at, ByteLen::new(8));
    medium.fence();
}

/// All pairs of words at `A` and `B` that a cut can leave now.
fn pairs(medium: &SimMedium) -> HashSet<(u64, u64)> {
    let states = medium.crash_states(1000, 0);
    assert!(states.is_exhaustive());
    states.map(|state| (word(&state, A), word(&state, B))).collect()
}

#[test]
fn a_store_is_in_doubt_until_cleaned_and_fenced() {
    let medium = medium();
    store(&medium, A, 1);
    assert_eq!(word(&medium, A), 1);
    assert_eq!(pairs(&medium), [(0, 0), (1, 0)].into());
    medium.fence();
    assert_eq!(pairs(&medium), [(0, 0), (1, 0)].into(), "a fence without a clean holds nothing");
    medium.clean(A, ByteLen::new(1));
    assert_eq!(pairs(&medium), [(0, 0), (1, 0)].into(), "a clean without a fence holds nothing");
    medium.fence();
    assert_eq!(pairs(&medium), [(1, 0)].into());
}

#[test]
fn stores_between_two_fences_persist_in_any_order() {
    let medium = medium();
    store(&medium, A, 1);
    store(&medium, B, 2);
    assert_eq!(pairs(&medium), [(0, 0), (1, 0), (0, 2), (1, 2)].into());
}

#[test]
fn a_store_behind_the_clean_is_not_covered_by_its_fence() {
    let medium = medium();
    store(&medium, A, 1);
    medium.clean(A, ByteLen::new(8));
    store(&medium, A, 2);
    assert_eq!(pairs(&medium), [(0, 0), (1, 0), (2, 0)].into());
    medium.fence();
    assert_eq!(pairs(&medium), [(1, 0), (2, 0)].into());
    persist(&medium, A);
    assert_eq!(pairs(&medium), [(2, 0)].into());
}

#[test]
fn every_value_stored_since_may_be_the_one_that_stays() {
    let medium = medium();
    store(&medium, A, 7);
    persist(&medium, A);
    for value in [8, 9, 7, 8] {
        store(&medium, A, value);
    }
    assert_eq!(pairs(&medium), [(7, 0), (8, 0), (9, 0)].into());
}

#[test]
fn a_line_tears_at_eight_bytes_and_not_below() {
    let medium = medium();
    medium.store(PmOff::new(6), &[0xff; 4]);
    let states: HashSet<_> = medium.crash_states(100, 0).map(|state| state.bytes()[..16].to_vec()).collect();
    let with = |a: &[usize]| (0..16).map(|i| if a.contains(&i) { 0xff } else { 0 }).collect::<Vec<u8>>();
    assert_eq!(states, [with(&[]), with(&[6, 7]), with(&[8, 9]), with(&[6, 7, 8, 9])].into());
}

#[test]
fn too_many_states_are_sampled_repeatably_with_the_extremes_among_them() {
    let medium = medium();
    medium.store(A, &[0x11; 4096]);
    let sample = |seed| {
        let states = medium.crash_states(300, seed);
        assert!(!states.is_exhaustive() && states.total() == u128::MAX);
        states.map(|state| state.content_hash()).collect::<Vec<_>>()
    };
    let states = sample(1);
    assert_eq!(states.len(), 300);
    assert_eq!(states.iter().collect::<HashSet<_>>().len(), 300);
    assert!(states == sample(1));
    assert!(states != sample(2));
    assert!(states.contains(&medium.cut().content_hash()) && states.contains(&medium.content_hash()));
}

/// A value, then a flag that says it is whole: the smallest protocol there is. Returns whether some crash state
/// shows the flag without the value, or has lost the flag after the end.
fn flag_before_value(fault: Option<Fault>) -> bool {
    let medium = medium();
    if let Some(fault) = fault {
        medium.inject(fault);
    }
    let violated = Arc::new(Mutex::new(false));
    let seen = violated.clone();
    medium.on_fence(move |medium, _| {
        *seen.lock().unwrap() |= pairs(medium).iter().any(|&(value, flag)| flag == 1 && value != 42);
    });
    let value = order::store(&medium, A, &42_u64.to_le_bytes()).clean(&medium);
    let [_value] = order::fence(&medium, [value]);
    let flag = order::store(&medium, B, &1_u64.to_le_bytes()).clean(&medium);
    let [_flag] = order::fence(&medium, [flag]);
    medium.no_hook();
    assert!(medium.faults_struck());
    let lost = pairs(&medium).iter().any(|&pair| pair != (42, 1));
    lost || *violated.lock().unwrap()
}

#[test]
fn a_forgotten_clean_or_fence_shows_in_some_crash_state() {
    assert!(!flag_before_value(None));
    for fault in [Fault::DropClean(0), Fault::DropClean(1), Fault::DropFence(0), Fault::DropFence(1)] {
        assert!(flag_before_value(Some(fault)), "{fault:?}");
    }
    for fault in [Fault::DropLine(0), Fault::DropLine(1)] {
        assert!(flag_before_value(Some(fault)), "{fault:?}");
    }
}

#[test]
fn the_hook_sees_the_moment_before_each_fence() {
    let medium = medium();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    medium.on_fence(move |medium, n| log.lock().unwrap().push((n, pairs(medium).len())));
    store(&medium, A, 1);
    persist(&medium, A);
    store(&medium, A, 2);
    store(&medium, B, 2);
    persist(&medium, B);
    assert_eq!(*seen.lock().unwrap(), [(0, 2), (1, 4)]);
    assert_eq!(medium.counts().fences, 2);
    assert_eq!(medium.counts().lines_cleaned, 2);
}

#[test]
fn a_cut_medium_and_a_fork_go_their_own_ways() {
    let medium = medium();
    store(&medium, A, 1);
    let fork = medium.fork();
    let cut = medium.cut();
    assert_eq!((word(&fork, A), word(&cut, A)), (1, 0));
    assert_eq!(pairs(&fork), pairs(&medium));
    store(&cut, A, 9);
    persist(&fork, A);
    assert_eq!(pairs(&medium), [(0, 0), (1, 0)].into());
    assert_eq!(pairs(&fork), [(1, 0)].into());
}

#[test]
fn equal_content_hashes_equal_whatever_way_it_came() {
    let (one, two) = (medium(), medium());
    store(&one, A, 1);
    store(&one, B, 2);
    store(&two, B, 9);
    store(&two, B, 2);
    two.corrupt(A, &[1]);
    assert_eq!(one.bytes(), two.bytes());
    assert_eq!(one.content_hash(), two.content_hash());
    assert_eq!(two.durable_bytes()[0], 1);
    assert_ne!(one.content_hash(), medium().content_hash());
    assert_eq!(SimMedium::from_bytes(&one.bytes()).content_hash(), one.content_hash());
}

#[test]
fn a_bad_sector_stops_a_load_and_shortens_a_copy() {
    let medium = medium();
    medium.store(A, &[5; 8192]);
    medium.set_bad(Sector::new(9), 1).unwrap();
    let bad = MediaError { at: PmOff::new(9 * 512) };
    let mut bytes = [0; 8192];
    assert_eq!(medium.load(A, &mut bytes), Err(bad));
    assert_eq!(medium.load(A, &mut bytes[..9 * 512]), Ok(()));
    assert_eq!(medium.load_to(A, 8192, &mut &mut bytes[..]), Ok(9 * 512));
    assert_eq!(medium.load_to(bad.at, 8, &mut &mut bytes[..]), Err(CopyError::Media(bad)));
    medium.clear_bad(Sector::new(9), 1).unwrap();
    assert_eq!(medium.load_to(A, 8192, &mut &mut bytes[..]), Ok(8192));
    assert_eq!(medium.load_to(A, 100, &mut &mut bytes[..60]), Ok(60));
    assert_eq!(bytes, [5; 8192]);
}

#[test]
fn a_fence_completes_the_cleans_of_its_own_cpu_alone() {
    let medium = medium();
    let (one, two) = (medium.on_cpu(1), medium.on_cpu(2));
    let len = ByteLen::new(8);
    store(&one, A, 1);
    one.clean(A, len);
    assert_eq!((one.is_fence_due(), two.is_fence_due()), (true, false));
    two.fence();
    assert_eq!(pairs(&medium), [(0, 0), (1, 0)].into());
    // What the other CPU stores and cleans behind it waits for the other's fence.
    store(&two, A, 2);
    two.clean(A, len);
    one.fence();
    assert_eq!(pairs(&medium), [(1, 0), (2, 0)].into());
    two.fence();
    assert_eq!(pairs(&medium), [(2, 0)].into());
}

#[test]
fn a_settled_medium_holds_what_the_cpu_sees() {
    let medium = medium();
    store(&medium, A, 1);
    let settled = medium.settled();
    assert_eq!(pairs(&settled), [(1, 0)].into());
    assert_eq!(pairs(&medium), [(0, 0), (1, 0)].into());
}
