//! VMAs as pictures, a character a page: `r` read, `W` read and write, `x` read and execute, `-` nothing; `f` and `F`
//! the same file at the page's own index, read and read-write; `.` unmapped. `|` stands between two VMAs that touch.

use units::{ByteLen, PAGE_SIZE, VirtAddr, VirtRange};

use super::*;

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
                _ => '-',
            });
            page += 1;
        }
        drawing
    }
}

fn check(before: &str, act: impl Fn(&mut Drawn<'_>), after: &str) {
    let machine = Machine::new(16);
    let mut mm = drawn(&machine, before);
    act(&mut mm);
    assert_eq!(mm.drawing(), after);
    end(&machine, mm.space);
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
fn rights_given_back_make_one() {
    check("rrWWrr", |mm| mm.protect(2..4, Prot::READ), "rrrrrr");
    check("rrWW..", |mm| mm.protect(2..4, Prot::READ), "rrrr..");
    check("..WWrr", |mm| mm.protect(2..4, Prot::READ), "..rrrr");
}

#[test]
fn a_boundary_moves_up_into_the_next() {
    check("rrWWWW", |mm| mm.protect(2..4, Prot::READ), "rrrr|WW");
}

#[test]
fn a_boundary_moves_down_into_the_one_before() {
    check("WWWWrr", |mm| mm.protect(2..4, Prot::READ), "WW|rrrr");
}

#[test]
fn rights_over_several_vmas_make_one_of_them() {
    check("rWx-rr", |mm| mm.protect(0..5, Prot::RW), "WWWWW|r");
    check("WrxWrr", |mm| mm.protect(1..3, Prot::RW), "WWWW|rr");
}

#[test]
fn a_new_neighbour_becomes_part_of_what_is_alike() {
    check("rr....", |mm| mm.add(2, 'r'), "rrr...");
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
