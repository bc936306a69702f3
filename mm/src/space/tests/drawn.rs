//! VMAs as pictures, a character a page: `r` read, `W` read and write, `x` read and execute, `-` nothing; `f`, `F` and
//! `e` the same file at the page's own index, read, read-write, read and execute; `.` unmapped. `|` stands between two VMAs that touch.

use units::{ByteLen, PAGE_SIZE, VirtAddr, VirtRange};

use super::*;
use crate::space::adjust::{Adjusted, MergeCase};

const BASE: u64 = 0x4000_0000;

struct Drawn<'m> {
    space: Space<'m>,
    backing: TestFile,
    len: u64,
}

fn at(page: u64) -> VirtAddr {
    VirtAddr::new(BASE + pages(page))
}

fn range(pages: std::ops::Range<u64>) -> VirtRange {
    VirtRange::with_len(at(pages.start), ByteLen::new((pages.end - pages.start) * PAGE_SIZE)).unwrap()
}

fn drawn<'m>(machine: &'m Machine, picture: &str) -> Drawn<'m> {
    let mut mm = Drawn { space: space(machine), backing: TestFile::new(0, 1000, 0), len: picture.len() as u64 };
    for (page, sort) in picture.chars().enumerate() {
        if sort != '.' {
            mm.add(page as u64, sort);
        }
    }
    assert_eq!(mm.drawing().replace('|', ""), picture);
    mm
}

impl Drawn<'_> {
    fn add(&mut self, page: u64, sort: char) {
        let place = Place::Fixed(at(page));
        let anon = |prot| anonymous(place, PAGE_SIZE, prot);
        let request = match sort {
            'r' => anon(Prot::READ),
            'W' => anon(Prot::RW),
            'x' => anon(Prot::RX),
            '-' => anon(Prot::empty()),
            'f' => file(place, PAGE_SIZE, Prot::READ, &self.backing, page),
            'F' => file(place, PAGE_SIZE, Prot::RW, &self.backing, page),
            'e' => file(place, PAGE_SIZE, Prot::RX, &self.backing, page),
            other => panic!("no such page: {other}"),
        };
        map(&mut self.space, request).unwrap();
    }

    fn protect(&mut self, pages: std::ops::Range<u64>, prot: Prot) {
        self.space.protect(range(pages), prot).unwrap();
        self.space.validate();
    }

    fn unmap(&mut self, part: std::ops::Range<u64>) {
        drop(self.space.unmap(at(part.start), pages(part.end - part.start)).unwrap());
        self.space.validate();
    }

    fn drawing(&self) -> String {
        let mut drawing = String::new();
        let mut page = 0;
        while page < self.len {
            let found = self.space.find_vma(at(page)).filter(|vma| vma.range().contains(at(page)));
            let Some(vma) = found else {
                drawing.push('.');
                page += 1;
                continue;
            };
            if vma.start() == at(page) && page > 0 && !drawing.ends_with('.') {
                drawing.push('|');
            }
            drawing.push(match (vma.prot(), vma.backing().is_some()) {
                (Prot::READ, false) => 'r',
                (Prot::RW, false) => 'W',
                (Prot::RX, false) => 'x',
                (Prot::READ, true) => 'f',
                (Prot::RW, true) => 'F',
                (Prot::RX, true) => 'e',
                _ => '-',
            });
            page += 1;
        }
        drawing
    }
}

fn check(before: &str, act: impl Fn(&mut Drawn<'_>), after: &str) {
    check_all(before, act, after, |_| {});
}

fn check_all(before: &str, act: impl Fn(&mut Drawn<'_>), after: &str, also: impl Fn(&Space<'_>)) {
    let machine = Machine::new(16);
    let mut mm = drawn(&machine, before);
    mm.space.merged.clear();
    mm.space.adjusted.clear();
    act(&mut mm);
    assert_eq!(mm.drawing(), after);
    also(&mm.space);
    linked(&mm.space, std::slice::from_ref(&mm.backing));
    accounted(&mm.space);
    end(&machine, mm.space);
}

/// One act is one merge of this name, by this adjustment.
fn check_case(before: &str, act: impl Fn(&mut Drawn<'_>), after: &str, case: MergeCase, adjusted: Adjusted) {
    check_all(before, act, after, |space| {
        assert_eq!((&space.merged[..], &space.adjusted[..]), (&[case][..], &[adjusted][..]));
    });
}

#[test]
fn case_1_a_hole_is_filled() {
    check_case("rr.rr.", |mm| mm.add(2, 'r'), "rrrrr.", MergeCase::Case1, Adjusted::RemovedNext);
    check_case("ff.ff.", |mm| mm.add(2, 'f'), "fffff.", MergeCase::Case1, Adjusted::RemovedNext);
}

#[test]
fn case_2_more_behind_the_one_before() {
    check_case("rr....", |mm| mm.add(2, 'r'), "rrr...", MergeCase::Case2, Adjusted::Alone);
    check_case("rr.WW.", |mm| mm.add(2, 'r'), "rrr|WW.", MergeCase::Case2, Adjusted::Alone);
    check_case("FF....", |mm| mm.add(2, 'F'), "FFF...", MergeCase::Case2, Adjusted::Alone);
}

#[test]
fn case_3_more_before_the_next() {
    check_case("...rr.", |mm| mm.add(2, 'r'), "..rrr.", MergeCase::Case3, Adjusted::Alone);
    check_case("rr.WW.", |mm| mm.add(2, 'W'), "rr|WWW.", MergeCase::Case3, Adjusted::Alone);
    check_case("...ff.", |mm| mm.add(2, 'f'), "..fff.", MergeCase::Case3, Adjusted::Alone);
}

#[test]
fn case_4_the_boundary_moves_down() {
    check_case("WWWWrr", |mm| mm.protect(2..4, Prot::READ), "WW|rrrr", MergeCase::Case4, Adjusted::BoundaryDown);
    check_case("eeeeff", |mm| mm.protect(3..4, Prot::READ), "eee|fff", MergeCase::Case4, Adjusted::BoundaryDown);
}

#[test]
fn case_5_the_boundary_moves_up() {
    check_case("rrWWWW", |mm| mm.protect(2..4, Prot::READ), "rrrr|WW", MergeCase::Case5, Adjusted::BoundaryUp);
    check_case("ffeeee", |mm| mm.protect(2..3, Prot::READ), "fff|eee", MergeCase::Case5, Adjusted::BoundaryUp);
}

#[test]
fn case_6_both_neighbours_and_what_was_between() {
    check_case("rrWWrr", |mm| mm.protect(2..4, Prot::READ), "rrrrrr", MergeCase::Case6, Adjusted::RemovedTwo);
    check_case("ffeeff", |mm| mm.protect(2..4, Prot::READ), "ffffff", MergeCase::Case6, Adjusted::RemovedTwo);
}

#[test]
fn a_private_file_that_was_writable_keeps_its_promise_and_stays_apart() {
    check("FFFFff", |mm| mm.protect(3..4, Prot::READ), "FFF|f|ff");
    check("WWWWrr", |mm| mm.protect(3..4, Prot::READ), "WWW|rrr");
}

#[test]
fn case_7_all_of_one_goes_to_the_one_before() {
    check_case("rrWW..", |mm| mm.protect(2..4, Prot::READ), "rrrr..", MergeCase::Case7, Adjusted::RemovedNext);
    check_case("rrWWxx", |mm| mm.protect(2..4, Prot::READ), "rrrr|xx", MergeCase::Case7, Adjusted::RemovedNext);
}

#[test]
fn case_8_all_of_one_goes_to_the_next() {
    check_case("..WWrr", |mm| mm.protect(2..4, Prot::READ), "..rrrr", MergeCase::Case8, Adjusted::RemovedSelf);
    check_case("xxWWrr", |mm| mm.protect(2..4, Prot::READ), "xx|rrrr", MergeCase::Case8, Adjusted::RemovedSelf);
}

#[test]
fn what_is_locked_or_advised_is_a_vma_of_its_own() {
    check("rrrrrr", |mm| assert!(mm.space.lock(at(2), pages(2), LockHow::OnFault).is_ok()), "rr|rr|rr");
    check_case(
        "rrrr..",
        |mm| {
            mm.space.lock(at(2), pages(2), LockHow::OnFault).unwrap();
            mm.space.unlock(at(2), pages(2)).unwrap();
        },
        "rrrr..",
        MergeCase::Case7,
        Adjusted::RemovedNext,
    );
    check("ffffff", |mm| mm.space.advise(at(0), pages(3), Advice::Random).unwrap(), "fff|fff");
}

#[test]
fn a_mapping_moves_and_joins_where_it_goes() {
    let moved = |from: u64, len: u64, to: u64| {
        move |mm: &mut Drawn<'_>| {
            drop(remap(&mut mm.space, at(from), pages(len), pages(len), RemapPlace::Fixed(at(to))).unwrap());
            mm.space.validate();
        }
    };
    check("rrrr......", moved(1, 2, 6), "r..r..rr..");
    check("rrrr..rr..", moved(1, 2, 8), "r..r..rrrr");
    check("rrWW..rr..", moved(0, 2, 4), "..WW|rrrr..");
    check("rr....WW..", moved(0, 2, 6), "......rr..");
    // A file goes on only where its pages do.
    check("ff..ff....", moved(0, 2, 6), "....ff|ff..");
    check("ff........", moved(0, 2, 2), "..ff......");
}

#[test]
fn a_mapping_grows_and_shrinks_where_it_is() {
    let sized = |from: u64, old: u64, new: u64| {
        move |mm: &mut Drawn<'_>| {
            drop(remap(&mut mm.space, at(from), pages(old), pages(new), RemapPlace::Here).unwrap());
            mm.space.validate();
        }
    };
    check("rrrr......", sized(0, 4, 2), "rr........");
    check("rr..WW....", sized(0, 2, 4), "rrrr|WW....");
    check_case("rr..rr....", sized(0, 2, 4), "rrrrrr....", MergeCase::Case1, Adjusted::RemovedNext);
    check("ff........", sized(1, 1, 3), "ffff......");
}

#[test]
fn rights_in_the_middle_make_three() {
    check("rrrrrr", |mm| mm.protect(2..4, Prot::RW), "rr|WW|rr");
}

#[test]
fn rights_at_an_end_make_two() {
    check("rrrrrr", |mm| mm.protect(0..4, Prot::RW), "WWWW|rr");
    check("rrrrrr", |mm| mm.protect(2..6, Prot::RW), "rr|WWWW");
}

#[test]
fn rights_over_several_vmas_make_one_of_them() {
    check("rWx-rr", |mm| mm.protect(0..5, Prot::RW), "WWWWW|r");
    check("WrxWrr", |mm| mm.protect(1..3, Prot::RW), "WWWW|rr");
}

#[test]
fn a_new_neighbour_becomes_part_of_what_is_alike() {
    check("...rr.", |mm| mm.add(2, 'r'), "..rrr.");
    check("rr.rr.", |mm| mm.add(2, 'r'), "rrrrr.");
    check("rr.WW.", |mm| mm.add(2, 'r'), "rrr|WW.");
    check("rr.WW.", |mm| mm.add(2, 'W'), "rr|WWW.");
    check("rr.rr.", |mm| mm.add(2, 'W'), "rr|W|rr.");
}

#[test]
fn a_file_merges_where_it_goes_on_without_a_jump() {
    check("ff.ff.", |mm| mm.add(2, 'f'), "fffff.");
    check("ff.FF.", |mm| mm.add(2, 'f'), "fff|FF.");
    check("rr.ff.", |mm| mm.add(2, 'r'), "rrr|ff.");
    let jump = |mm: &mut Drawn<'_>| {
        let request = file(Place::Fixed(at(2)), PAGE_SIZE, Prot::READ, &mm.backing, 7);
        map(&mut mm.space, request).unwrap();
    };
    check("ff.ff.", jump, "ff|f|ff.");
    let other = |mm: &mut Drawn<'_>| {
        let request = file(Place::Fixed(at(2)), PAGE_SIZE, Prot::READ, &TestFile::new(0, 1000, 0), 2);
        map(&mut mm.space, request).unwrap();
    };
    check("ff.ff.", other, "ff|f|ff.");
}

#[test]
fn a_file_split_and_joined_shows_the_same_pages() {
    let machine = Machine::new(16);
    let mut mm = drawn(&machine, "ffffff");
    mm.protect(2..4, Prot::RW);
    assert_eq!(mm.drawing(), "ff|FF|ff");
    assert_eq!(mm.space.vmas().map(|vma| vma.pgoff()).collect::<Vec<_>>(), [0, 2, 4]);
    mm.unmap(1..3);
    assert_eq!(mm.drawing(), "f..F|ff");
    assert_eq!(mm.space.vmas().map(|vma| vma.pgoff()).collect::<Vec<_>>(), [0, 3, 4]);
    assert_eq!(read(&machine, &mut mm.space, at(3)), Ok(PMEM + 3));
    end(&machine, mm.space);
}

#[test]
fn a_hole_and_what_is_left_around_it() {
    check("rrrrrr", |mm| mm.unmap(2..4), "rr..rr");
    check("rrrrrr", |mm| mm.unmap(0..4), "....rr");
    check("rrrrrr", |mm| mm.unmap(4..6), "rrrr..");
    check("rWfFx-", |mm| mm.unmap(0..6), "......");
    check("rrWWrr", |mm| mm.unmap(1..5), "r....r");
    check("rr..rr", |mm| mm.unmap(2..4), "rr..rr");
}

#[test]
fn fixed_replaces_and_may_join_both_sides() {
    check("rrWWrr", |mm| mm.add(2, 'r'), "rrr|W|rr");
    check("rrWrr.", |mm| mm.add(2, 'r'), "rrrrr.");
    check("rrrrr.", |mm| mm.add(2, 'r'), "rrrrr.");
    check("rrrrr.", |mm| mm.add(2, 'x'), "rr|x|rr.");
}
