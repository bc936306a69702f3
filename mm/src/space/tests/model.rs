//! Random sequences of calls against an array of pages so plain that it is right.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Pages before and behind a border of every kind of table.
const BASE: u64 = (1 << 30) - pages(24);
const SPAN: u64 = 48;
const HEAP: u64 = BASE + pages(100);

#[derive(Clone, Debug)]
struct Page {
    prot: Prot,
    shows: Shows,
    /// What the program wrote here.
    written: Option<u64>,
    locked: bool,
}

impl Page {
    fn new(prot: Prot, shows: Shows) -> Self {
        Self { prot, shows, written: None, locked: false }
    }
}

#[derive(Clone, Debug)]
enum Shows {
    Zeros,
    /// A file and the page of it.
    File(usize, u64),
    Peek(usize, u64),
    /// A file and the page of it; stores reach it.
    Shared(usize, u64),
}

impl Shows {
    /// What is shown `by` pages further on.
    fn further(&self, by: u64) -> Self {
        match *self {
            Self::Zeros => Self::Zeros,
            Self::File(file, index) => Self::File(file, index + by),
            Self::Peek(file, index) => Self::Peek(file, index + by),
            Self::Shared(file, index) => Self::Shared(file, index + by),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Map { at: u64, len: u64, prot: u8, file: Option<(usize, u64)>, how: u8 },
    Share { at: u64, len: u64, prot: u8, index: u64 },
    Remap { at: u64, old: u64, new: u64, to: u64, how: u8 },
    Lock { at: u64, len: u64, on: bool },
    Advise { at: u64, len: u64, advice: Advice },
    Exchange { at: u64, len: u64, index: u64 },
    Clean { at: u64, len: u64 },
    Age { at: u64, len: u64 },
    Unmap { at: u64, len: u64 },
    Protect { at: u64, len: u64, prot: u8 },
    DontNeed { at: u64, len: u64 },
    Brk { to: u64 },
    Peek { file: usize, offset: u64, len: u64 },
    Unpeek { nth: usize },
    Access { at: u64, sort: u8, word: u64 },
    AccessFar { nth: usize, sort: u8, word: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let at = || prop_oneof![6 => 0..SPAN, 1 => 98..112u64];
    let len = || 1u64..12;
    let file = || prop::option::of((0usize..3, 0u64..20));
    prop_oneof![
        4 => (at(), len(), 0u8..5, file(), 0u8..4)
            .prop_map(|(at, len, prot, file, how)| Step::Map { at, len, prot, file, how }),
        2 => (at(), len()).prop_map(|(at, len)| Step::Unmap { at, len }),
        2 => (at(), len(), 0u8..3, 0u64..12).prop_map(|(at, len, prot, index)| Step::Share { at, len, prot, index }),
        3 => (at(), 0u64..12, 0u64..14, at(), 0u8..5)
            .prop_map(|(at, old, new, to, how)| Step::Remap { at, old, new, to, how }),
        1 => (at(), len(), any::<bool>()).prop_map(|(at, len, on)| Step::Lock { at, len, on }),
        2 => (at(), len(), advice()).prop_map(|(at, len, advice)| Step::Advise { at, len, advice }),
        1 => (at(), len(), 0u64..12).prop_map(|(at, len, index)| Step::Exchange { at, len, index }),
        1 => (at(), len()).prop_map(|(at, len)| Step::Clean { at, len }),
        1 => (at(), len()).prop_map(|(at, len)| Step::Age { at, len }),
        3 => (at(), len(), 0u8..5).prop_map(|(at, len, prot)| Step::Protect { at, len, prot }),
        1 => (at(), len()).prop_map(|(at, len)| Step::DontNeed { at, len }),
        1 => (0..pages(10)).prop_map(|to| Step::Brk { to }),
        1 => (0usize..3, 0..pages(20), 1..pages(8)).prop_map(|(file, offset, len)| Step::Peek { file, offset, len }),
        1 => (0usize..4).prop_map(|nth| Step::Unpeek { nth }),
        6 => (at(), 0u8..3, 1u64..1000).prop_map(|(at, sort, word)| Step::Access { at, sort, word }),
        2 => (0usize..40, 0u8..3, 1u64..1000).prop_map(|(nth, sort, word)| Step::AccessFar { nth, sort, word }),
    ]
}

/// Advice that changes what a VMA is and nothing that a program sees.
fn advice() -> impl Strategy<Value = Advice> {
    prop_oneof![
        Just(Advice::Random),
        Just(Advice::Sequential),
        Just(Advice::Normal),
        Just(Advice::DontFork),
        Just(Advice::DoFork),
        Just(Advice::DontDump),
        Just(Advice::DoDump),
        Just(Advice::HugePage),
        Just(Advice::NoHugePage),
        Just(Advice::WillNeed),
    ]
}

const PROTS: [Prot; 5] = [Prot::empty(), Prot::READ, Prot::RW, Prot::RX, Prot::all()];

/// The model and the space, side by side.
struct Both<'m> {
    machine: &'m Machine,
    space: Space<'m>,
    files: Vec<TestFile>,
    model: BTreeMap<u64, Page>,
    brk: u64,
    peeks: Vec<(VirtAddr, VirtAddr)>,
    /// What shared mappings stored to file 0, by page.
    stored: BTreeMap<u64, u64>,
    /// Where that was, since the pages were clean.
    dirty: std::collections::BTreeSet<u64>,
}

fn va(page: u64) -> VirtAddr {
    VirtAddr::new(page * PAGE_SIZE)
}

impl Both<'_> {
    fn apply(&mut self, step: &Step) {
        let page = |at: u64| BASE / PAGE_SIZE + at;
        match *step {
            Step::Map { at, len, prot, file, how } => self.map(page(at), len, PROTS[prot as usize], file, how),
            Step::Share { at, len, prot, index } => self.share(page(at), len, PROTS[prot as usize], index),
            Step::Remap { at, old, new, to, how } => self.remap(page(at), old, new, page(to), how),
            Step::Lock { at, len, on } => self.lock(page(at), len, on),
            Step::Advise { at, len, advice } => self.advise(page(at), len, advice),
            Step::Exchange { at, len, index } => self.exchange(page(at), len, index),
            Step::Clean { at, len } => self.clean(page(at), len),
            Step::Age { at, len } => {
                let range = VirtRange::new(va(page(at)), va(page(at) + len)).unwrap();
                self.space.age(range, |_, _| {}).unwrap();
                // An old page is no touched one.
                assert_eq!(self.space.counts(range).referenced, self.unaged(range));
            }
            Step::Unmap { at, len } => {
                drop(self.space.unmap(va(page(at)), pages(len)).unwrap());
                self.forget(page(at), len);
            }
            Step::Protect { at, len, prot } => self.protect(page(at), len, PROTS[prot as usize]),
            Step::DontNeed { at, len } => self.dont_need(page(at), len),
            Step::Brk { to } => self.brk(HEAP + to),
            Step::Peek { file, offset, len } => self.peek(file, offset, len),
            Step::Unpeek { nth } => self.unpeek(nth),
            Step::Access { at, sort, word } => self.access(page(at), sort, word),
            Step::AccessFar { nth, sort, word } => {
                if let Some(page) = self.model.keys().nth(nth).copied() {
                    self.access(page, sort, word);
                }
            }
        }
    }

    fn forget(&mut self, page: u64, len: u64) {
        self.model.retain(|at, _| !(page..page + len).contains(at));
        // What was dirty there is on the pages' own descriptors.
        self.dirty.retain(|at| !(page..page + len).contains(at));
    }

    fn map(&mut self, page: u64, len: u64, prot: Prot, shown: Option<(usize, u64)>, how: u8) {
        let place = match how {
            0 => Place::Fixed(va(page)),
            1 => Place::FixedNoReplace(va(page)),
            2 => Place::Hint(va(page)),
            _ => Place::ANYWHERE,
        };
        let request = match shown {
            None => anonymous(place, pages(len), prot),
            Some((n, pgoff)) => file(place, pages(len), prot, &self.files[n], pgoff),
        };
        let taken = self.model.range(page..page + len).next().is_some();
        let answer = map(&mut self.space, request);
        if how == 1 && taken {
            assert_eq!(answer, Err(MapError::Exists));
            return;
        }
        let at = answer.unwrap().get() / PAGE_SIZE;
        match how {
            0 | 1 => assert_eq!(at, page),
            _ => assert!(self.model.range(at..at + len).next().is_none(), "lies over something"),
        }
        self.forget(at, len);
        self.model.extend((0..len).map(|n| {
            let shows = shown.map_or(Shows::Zeros, |(file, pgoff)| Shows::File(file, pgoff + n));
            (at + n, Page::new(prot, shows))
        }));
    }

    /// Shared mappings are of file 0, which has no holes.
    fn share(&mut self, page: u64, len: u64, prot: Prot, index: u64) {
        let what = What::Shared { backing: self.files[0].clone(), pgoff: index };
        let request = Request { what, ..anonymous(Place::Fixed(va(page)), pages(len), prot) };
        assert_eq!(map(&mut self.space, request), Ok(va(page)));
        self.forget(page, len);
        self.model.extend((0..len).map(|n| (page + n, Page::new(prot, Shows::Shared(0, index + n)))));
    }

    /// `mremap` of pages that one VMA has; anything else must be refused and change nothing.
    fn remap(&mut self, page: u64, old: u64, new: u64, to: u64, how: u8) {
        let place = match how {
            0 => RemapPlace::Here,
            1 => RemapPlace::Anywhere,
            2 => RemapPlace::Fixed(va(to)),
            3 => RemapPlace::Twin(va(to)),
            _ => RemapPlace::FixedTwin(va(to)),
        };
        let twin = matches!(place, RemapPlace::Twin(_) | RemapPlace::FixedTwin(_));
        let old = if twin { new } else { old };
        let vma = self.space.find_vma(va(page)).filter(|vma| vma.start() <= va(page));
        let room = vma.map_or(0, |vma| (vma.end().get() / PAGE_SIZE) - page);
        let grows = vma.is_some_and(|vma| vma.kind().is_peek()) && new > old;
        let copies = old == 0 && !vma.is_some_and(|vma| vma.kind().is_shared());
        let fixed = matches!(place, RemapPlace::Fixed(_) | RemapPlace::FixedTwin(_));
        let overlap = (fixed || twin) && page < to + new && to < page + old;
        if new == 0 || room == 0 || old.min(new) > room || grows || copies || overlap || (fixed && old > room) {
            let shrinks = old >= new && new > 0 && room > 0;
            if !fixed && !shrinks {
                let refused = remap(&mut self.space, va(page), pages(old), pages(new), place);
                assert!(refused.is_err(), "{page:#x}: {old} to {new} pages of {room}, {place:?}");
            }
            return;
        }
        let moved = match remap(&mut self.space, va(page), pages(old), pages(new), place) {
            Ok(remapped) => remapped.at.get() / PAGE_SIZE,
            Err(error) => {
                assert_eq!((error, how), (RemapError::OutOfMemory, 0), "only who may not move is refused");
                let next = self.model.range(page + old..).next().map_or(0, |(at, _)| *at);
                assert!(old < room || next < page + new, "there was room to grow");
                return;
            }
        };
        self.remapped(page, old, new, moved, twin);
        if fixed {
            assert_eq!(moved, to);
        }
    }

    /// What the pages are after `old` pages from `page` on became `new` pages from `to` on.
    fn remapped(&mut self, page: u64, old: u64, new: u64, to: u64, twin: bool) {
        let first = self.model[&page].clone();
        let kept: Vec<Page> = (0..old.min(new)).map(|n| self.model[&(page + n)].clone()).collect();
        let dirty: Vec<u64> = (0..old.min(new)).filter(|n| self.dirty.contains(&(page + n))).collect();
        self.dirty.retain(|at| !(page..page + old).contains(at));
        if to != page {
            self.forget(to, new);
        }
        if !twin {
            self.forget(page, old);
        } else {
            for n in 0..old {
                let left = self.model.get_mut(&(page + n)).unwrap();
                (left.written, left.locked) = (None, false);
            }
        }
        for n in 0..new {
            let grown = Page { shows: first.shows.further(n), written: None, ..first.clone() };
            self.model.insert(to + n, kept.get(n as usize).cloned().unwrap_or(grown));
        }
        self.dirty.extend(dirty.iter().map(|n| to + n));
    }

    fn lock(&mut self, page: u64, len: u64, on: bool) {
        let mut whole = true;
        for at in page..page + len {
            match self.model.get_mut(&at) {
                Some(known) if whole => known.locked = on && !matches!(known.shows, Shows::Peek(..)),
                Some(_) => {}
                None => whole = false,
            }
        }
        let done = match on {
            true => self.space.lock(va(page), pages(len), LockHow::OnFault).map(drop),
            false => self.space.unlock(va(page), pages(len)),
        };
        assert_eq!(done, if whole { Ok(()) } else { Err(LockError::Unmapped) });
        let locked = self.model.values().filter(|page| page.locked).count() as u64;
        assert_eq!(self.space.locked_vm().get(), locked);
    }

    fn advise(&mut self, page: u64, len: u64, advice: Advice) {
        let whole = (page..page + len).all(|at| self.model.contains_key(&at));
        let done = self.space.advise(va(page), pages(len), advice);
        assert_eq!(done, if whole { Ok(()) } else { Err(AdviseError::Unmapped) });
    }

    /// `remap_file_pages`.
    fn exchange(&mut self, page: u64, len: u64, index: u64) {
        let known = |at: u64| self.model.get(&at).cloned();
        let shared = |page: &Page| matches!(page.shows, Shows::Shared(..));
        let done = self.space.remap_file_pages(va(page), pages(len), index).map(|mapped| mapped.at);
        let Ok(at) = done else {
            let refused = (page..page + len).any(|at| !known(at).is_some_and(|page| shared(&page)));
            let ends = |at| self.space.find_vma(va(at)).is_none_or(|vma| vma.end() < va(page + len));
            let looks = (page..page + len).any(ends);
            assert!(refused || looks, "one shared file, refused");
            return;
        };
        assert_eq!(at, va(page));
        for n in 0..len {
            let old = self.model.get_mut(&(page + n)).unwrap();
            assert!(shared(old));
            (old.shows, old.written) = (Shows::Shared(0, index + n), None);
            self.dirty.remove(&(page + n));
        }
    }

    /// Pages of peeks and pages nobody may touch stay as young as they are.
    fn unaged(&self, range: VirtRange) -> u64 {
        let vmas = self.space.vmas().filter(|vma| vma.kind().is_peek() || vma.prot().is_empty());
        let parts = vmas.filter_map(|vma| vma.range().intersection(range));
        parts.map(|part| self.space.counts(part).referenced).sum()
    }

    /// Every page that was stored to since it was clean is told, by the tables or by the page's own descriptor.
    fn clean(&mut self, page: u64, len: u64) {
        let range = VirtRange::new(va(page), va(page + len)).unwrap();
        let mut told = std::collections::BTreeSet::new();
        self.space.clean(range, |_, index, count| told.extend(index..index + count)).unwrap();
        assert!(told.iter().all(|index| self.stored.contains_key(index)), "clean pages told as dirty");
        for at in page..page + len {
            let Some(Page { shows: Shows::Shared(_, index), .. }) = self.model.get(&at) else { continue };
            if self.dirty.remove(&at) {
                let block = crate::seams::Frames::page(&self.machine, units::Pfn::new(PMEM + index)).unwrap();
                let noted = block.flags().contains(crate::page::PageFlags::DIRTY);
                assert!(noted || told.contains(index), "{at:#x} was stored to, and nobody says so");
            }
        }
    }

    fn protect(&mut self, page: u64, len: u64, prot: Prot) {
        let range = protect_range(va(page), pages(len)).unwrap().unwrap();
        let mut expected = Ok(());
        for at in page..page + len {
            match self.model.get_mut(&at) {
                None => expected = Err(ProtectError::Unmapped),
                Some(Page { shows: Shows::Peek(..), .. }) if prot.intersects(Prot::WRITE | Prot::EXEC) => {
                    expected = Err(ProtectError::Denied);
                }
                Some(known) => known.prot = prot,
            }
            if expected.is_err() {
                break;
            }
        }
        assert_eq!(self.space.protect(range, prot), expected);
    }

    fn dont_need(&mut self, page: u64, len: u64) {
        let mut expected = Ok(());
        for at in page..page + len {
            match self.model.get_mut(&at) {
                None => expected = Err(AdviseError::Unmapped),
                Some(Page { shows: Shows::Peek(..), .. } | Page { locked: true, .. }) => {
                    expected = Err(AdviseError::Invalid);
                    break;
                }
                Some(known) => known.written = None,
            }
        }
        assert_eq!(self.space.advise(va(page), pages(len), Advice::DontNeed), expected);
    }

    fn brk(&mut self, to: u64) {
        let (old, new) = (self.brk.div_ceil(PAGE_SIZE), to.div_ceil(PAGE_SIZE));
        let room = new <= old || self.model.range(old..new + 1).next().is_none();
        let (at, _released) = self.space.brk(VirtAddr::new(to));
        if room {
            self.brk = to;
            self.forget(new, old.saturating_sub(new));
            let zeros = Page::new(Prot::RW, Shows::Zeros);
            self.model.extend((old..new).map(|page| (page, zeros.clone())));
        }
        assert_eq!(at.get(), self.brk);
    }

    fn peek(&mut self, file: usize, offset: u64, len: u64) {
        let pointer = self.space.peek(self.files[file].clone(), FileOff::new(offset), len).unwrap();
        let (first, from) = (pointer.get() / PAGE_SIZE, offset / PAGE_SIZE);
        let count = (offset + len).div_ceil(PAGE_SIZE) - from;
        assert!(self.model.range(first..=first + count).next().is_none(), "lies over something, or has no guard");
        self.model.extend((0..count).map(|n| {
            let shows = Shows::Peek(file, from + n);
            (first + n, Page::new(Prot::READ, shows))
        }));
        self.peeks.push((pointer, va(first + count)));
    }

    fn unpeek(&mut self, nth: usize) {
        if nth < self.peeks.len() {
            let (pointer, end) = self.peeks.remove(nth);
            // Nothing of these sequences lands on a peek where it was made, so all of it is still there.
            assert_eq!(self.space.unpeek(pointer).unwrap().len(), 1);
            let first = pointer.get() / PAGE_SIZE;
            self.forget(first, end.get() / PAGE_SIZE - first);
        }
    }

    fn access(&mut self, page: u64, sort: u8, word: u64) {
        let expected = self.expect(page, sort);
        let at = VirtAddr::new(page * PAGE_SIZE + 8);
        let found = match sort {
            0 => read(self.machine, &mut self.space, at).map(Some),
            1 => self.store(at, word).map(|()| None),
            _ => self.space.fault(at, Access::Exec).map(|()| None),
        };
        if found.is_ok() && sort == 1 {
            match self.model.get_mut(&page).unwrap() {
                Page { shows: Shows::Shared(_, index), .. } => {
                    self.stored.insert(*index, word);
                    self.dirty.insert(page);
                }
                known => known.written = Some(word),
            }
        }
        assert_eq!(found, expected, "page {page:#x}, access {sort}");
    }

    /// A store, for which the file is asked where it has to be.
    fn store(&mut self, at: VirtAddr, word: u64) -> Result<(), FaultError> {
        if self.machine.access(self.space.asid().unwrap(), at, Access::Write) {
            return write(self.machine, &mut self.space, at, word);
        }
        match self.space.fault(at, Access::Write) {
            Err(FaultError::Unprepared) => {
                let (file, index) = self.space.unprepared(at).unwrap();
                file.prepare(index);
            }
            other => other?,
        }
        write(self.machine, &mut self.space, at, word)
    }

    fn file_word(&self, file: usize, index: u64) -> Option<u64> {
        let stored = self.stored.get(&index).filter(|_| file == 0).copied();
        stored.or_else(|| self.files[file].word(index))
    }

    /// What an access must come to: the word it reads, if it is a load.
    fn expect(&self, page: u64, sort: u8) -> Result<Option<u64>, FaultError> {
        let known = self.model.get(&page).ok_or(FaultError::Unmapped)?;
        let needed = [Prot::all(), Prot::WRITE, Prot::EXEC][sort as usize];
        if !known.prot.intersects(needed) {
            return Err(FaultError::Denied);
        }
        let word = match (known.written, &known.shows) {
            (Some(word), _) => word,
            (None, Shows::Zeros) => 0,
            (None, Shows::File(file, index) | Shows::Peek(file, index) | Shows::Shared(file, index)) => {
                self.file_word(*file, *index).ok_or(FaultError::Beyond)?
            }
        };
        Ok((sort == 0).then_some(word))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_calls_agree_with_an_array_of_pages(
        steps in prop::collection::vec(step(), 1..60),
        hardware: bool,
    ) {
        let machine = Machine::new(400);
        machine.hardware.set(hardware);
        let files = vec![TestFile::new(0, 16, 0), TestFile::new(700, 12, 3), TestFile::new(9000, 4, 1)];
        let mut space = space(&machine);
        space.set_brk(VirtAddr::new(HEAP));
        let model = BTreeMap::new();
        let (peeks, stored) = (Vec::new(), BTreeMap::new());
        let dirty = std::collections::BTreeSet::new();
        let mut both = Both { machine: &machine, space, files, model, brk: HEAP, peeks, stored, dirty };
        for step in &steps {
            both.apply(step);
            both.space.validate();
            machine.settled();
            let mapped = both.space.vmas().map(|vma| vma.range().len().get() / PAGE_SIZE).sum::<u64>();
            prop_assert_eq!(mapped, both.model.len() as u64);
            accounted(&both.space);
            linked(&both.space, &both.files);
        }
        for page in both.model.keys().copied().collect::<Vec<_>>() {
            both.access(page, 0, 0);
        }
        let Both { space, files, .. } = both;
        end(&machine, space);
        for file in files {
            prop_assert_eq!(std::rc::Rc::strong_count(&file.promise), 1, "a promise outlived the space");
        }
    }
}
