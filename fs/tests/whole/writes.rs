//! Writes whose bytes come slowly, or not at all: what others do meanwhile is not lost, and nothing is half done.

use fs::{Error, WriteAt};
use pmem::medium::{BadAddress, Sink, Source, Taken};
use units::FileOff;

use crate::common::*;

/// Bytes that do something else before they come, once.
struct Slow<'a, F: FnMut()> {
    bytes: &'a [u8],
    meanwhile: Option<F>,
}

impl<F: FnMut()> Source for Slow<'_, F> {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    unsafe fn copy_to(&mut self, to: *mut u8, len: usize) -> Result<(), BadAddress> {
        if let Some(mut meanwhile) = self.meanwhile.take() {
            meanwhile();
        }
        // SAFETY: passed on as it came.
        unsafe { self.bytes.copy_to(to, len) }
    }
}

/// So many good bytes, and an address that is not there.
struct Ending {
    promised: usize,
    good: usize,
}

impl Source for Ending {
    fn remaining(&self) -> usize {
        self.promised
    }

    unsafe fn copy_to(&mut self, _to: *mut u8, len: usize) -> Result<(), BadAddress> {
        self.good = self.good.checked_sub(len).ok_or(BadAddress)?;
        self.promised -= len;
        Ok(())
    }
}

/// Room for so many bytes, and an address that is not there.
struct Narrow(usize);

impl Sink for Narrow {
    unsafe fn copy_from(&mut self, _from: *const u8, len: usize) -> Result<(), Taken> {
        match self.0.checked_sub(len) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(Taken(std::mem::take(&mut self.0))),
        }
    }
}

#[test]
fn appends_that_meet_are_both_there_one_behind_the_other() {
    // Into the same block, out of step with it, by whole blocks; the file may have anything before.
    for (before, first, second) in
        [(0, 10, 20), (100, 5000, 4096), (4096, 4096, 8192), (5000, 3000, 9), (9000, 1, 40_000), (4095, 2, 4097)]
    {
        let fs = fresh(1024);
        let node = file(&fs, "log");
        put(&node, 0, &pattern(1, before)).expect("there is room");
        let (quick, slow) = (pattern(2, first), pattern(3, second));
        let meanwhile = || {
            node.write(WriteAt::End, &mut &quick[..], now(3)).map(drop).expect("nobody holds a lock");
        };
        let mut source = Slow { bytes: &slow, meanwhile: Some(meanwhile) };
        let written = node.write(WriteAt::End, &mut source, now(4)).expect("there is room");
        assert_eq!((written.len, written.end.get()), (second, (before + first + second) as u64));
        let expected = [pattern(1, before), quick.clone(), slow.clone()].concat();
        assert!(get(&node, 0, 1 << 20).expect("no block is bad") == expected, "{before} {first} {second}");
        assert_space_exact(&fs, &[], &[]);
        drop(node);
        let fs = remount(fs);
        let node = fs.root().lookup(b"log").expect("it is there");
        assert!(get(&node, 0, 1 << 20).expect("no block is bad") == expected);
    }
}

#[test]
fn a_file_that_changes_while_the_bytes_come_keeps_the_rest() {
    let fs = fresh(1024);
    let node = file(&fs, "f");
    put(&node, 0, &pattern(1, 9000)).expect("there is room");
    // Shorter meanwhile: what lies between is zero, not what was.
    let bytes = pattern(2, 300);
    let mut source = Slow { bytes: &bytes, meanwhile: Some(|| node.truncate(4100, now(3)).expect("it can be cut")) };
    node.write(WriteAt::Offset(FileOff::new(8300)), &mut source, now(4)).map(drop).expect("there is room");
    let mut expected = pattern(1, 4100);
    expected.resize(8300, 0);
    expected.extend_from_slice(&bytes);
    assert!(get(&node, 0, 1 << 20).expect("no block is bad") == expected);
    // Without a name meanwhile: the handle still reads what it wrote.
    let gone = || fs.root().unlink(b"f", now(5)).expect("it is there");
    let mut source = Slow { bytes: &bytes, meanwhile: Some(gone) };
    node.write(WriteAt::Offset(FileOff::ZERO), &mut source, now(6)).map(drop).expect("there is room");
    expected[..300].copy_from_slice(&bytes);
    assert!(get(&node, 0, 1 << 20).expect("no block is bad") == expected);
    assert_space_exact(&fs, std::slice::from_ref(&node), &[]);
    drop(node);
    assert_space_exact(&fs, &[], &[]);
}

#[test]
fn a_byte_that_is_not_there_stops_a_write_as_if_it_never_began() {
    let fs = fresh(1024);
    let node = file(&fs, "f");
    put(&node, 0, &pattern(1, 20_000)).expect("there is room");
    let (attr, space) = (node.attr(), fs.space());
    for (promised, good) in [(1, 0), (5000, 4999), (100_000, 70_000)] {
        for place in [WriteAt::Offset(FileOff::new(3000)), WriteAt::End] {
            let refused = node.write(place, &mut Ending { promised, good }, now(9)).map(drop);
            assert_eq!(refused, Err(Error::BadAddress));
        }
    }
    assert_eq!((node.attr(), fs.space()), (attr, space));
    assert!(get(&node, 0, 1 << 20).expect("no block is bad") == pattern(1, 20_000));
}

#[test]
fn a_read_into_too_little_memory_says_how_far_it_came() {
    let fs = fresh(1024);
    let node = file(&fs, "f");
    // A hole, data, a hole, data.
    for at in [1, 3] {
        put(&node, at * 2 * BLOCK, &pattern(at, 2 * BLOCK as usize)).expect("there is room");
    }
    let read = |room: usize| node.read(FileOff::new(100), 1 << 20, &mut Narrow(room));
    assert_eq!(read(1 << 20), Ok(8 * BLOCK as usize - 100));
    for room in [1, 4000, 8092, 8093, 12_000, 20_000, 30_000] {
        assert_eq!(read(room), Ok(room));
    }
    assert_eq!(read(0), Err(Error::BadAddress));
    assert_eq!(fs.space().pinned, 0);
}
