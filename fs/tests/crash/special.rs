//! What a call may meet: the end of a log segment, a checkpoint under way, a medium full or in pieces.

use std::cell::RefCell;
use std::rc::Rc;

use fs::{Error, NewNode, Rename, SetAttr};
use pmem::medium::Medium;
use pmem_sim::SimMedium;
use units::{ByteLen, FileOff};

use crate::calls;
use crate::workloads::{BLOCK, Step, Workload, World, find, now, pattern, put};

/// The workload at the very call that makes the log go on in its next segment.
pub(crate) fn turning(workload: Workload) -> Workload {
    let fs = workload.world();
    workload.set_up(&fs).expect("the set-up succeeds");
    let log = fs.space().log;
    let mut calls = 0;
    while fs.space().log == log {
        (workload.call)(&fs).expect("the call can be repeated");
        calls += 1;
    }
    let name = format!("{}, the {calls}th time", workload.name);
    let before = vec![workload.call.clone(); calls - 1];
    Workload { name, can_turn: false, before, ..workload }
}

/// Fences of a checkpoint until it is under way, and in all.
const BEGUN: u64 = 2;
const WHOLE: u64 = 5;

/// Makes calls until a checkpoint is under way.
fn begin(fs: &World) -> Result<(), Error> {
    while fs.volume().upkeep_fences() % WHOLE != BEGUN {
        let node = fs.root().lookup(b"crowd")?;
        node.set_attr(SetAttr { mode: Some(node.attr().mode ^ 0o111), ..SetAttr::default() }, now())?;
    }
    Ok(())
}

/// The workload while the log is written anew: so many calls after that began.
pub(crate) fn during_a_checkpoint(workload: Workload, calls: usize) -> Workload {
    let name = format!("{}, {calls} calls into a checkpoint", workload.name);
    let more = vec![workload.call.clone(); calls];
    let before = [Rc::new(begin) as Step].into_iter().chain(workload.before.clone()).chain(more);
    Workload { name, medium: ByteLen::new(8 << 20), checkpoints: true, before: before.collect(), ..workload }
}

/// The workload, and behind it the rest of the checkpoint that was under way, which changes nothing.
pub(crate) fn finishing_the_checkpoint(workload: Workload) -> Workload {
    let call = workload.call;
    let both = move |fs: &World| {
        call(fs)?;
        fs.volume().compact()
    };
    Workload { name: format!("{}, and to its end", workload.name), call: Rc::new(both), ..workload }
}

/// The whole of a checkpoint as one call.
pub(crate) fn compacting() -> Workload {
    let compact = |fs: &World| fs.volume().compact();
    Workload { checkpoints: true, may_change_nothing: true, ..Workload::new("compact", compact) }
}

/// A write that finds more free runs than a record has room for, each of one block: its extents go to blocks of their own.
pub(crate) fn overflowing() -> Workload {
    const HOLES: u64 = 1400;
    let file = NewNode::File { mode: 0o600 };
    let fill = move |fs: &World, name: &[u8], left: u64| {
        let room = fs.space().available.saturating_sub(left) as usize;
        put(&fs.root().create(name, file, now())?, 0, &vec![2; room * BLOCK])
    };
    let fragment = move |fs: &World| -> Result<(), Error> {
        let fragmented = fs.root().create(b"fragmented", file, now())?;
        put(&fragmented, 0, &vec![1; 2 * HOLES as usize * BLOCK])?;
        // While it is pinned no replaced block is free; then every second one of the file's only run is.
        let pin = fragmented.pin_all()?;
        for hole in 0..HOLES {
            put(&fragmented, hole * 2 * BLOCK as u64, &[3; BLOCK])?;
        }
        fill(fs, b"filler", 32)?;
        drop(pin);
        Ok(())
    };
    let write = |fs: &World| {
        let file = fs.root().lookup(b"empty")?;
        put(&file, 0, &vec![4; (fs.space().available - 128) as usize * BLOCK])?;
        let (pin, mut runs, mut at) = (file.pin_all()?, 0, FileOff::ZERO);
        while at.get() < pin.size() {
            at = pin.iomap(at).end();
            runs += 1;
        }
        assert!(runs > 1024, "only {runs} runs");
        Ok(())
    };
    let name = "write into fragments".to_owned();
    Workload { name, medium: ByteLen::new(24 << 20), before: vec![Rc::new(fragment)], ..Workload::new("", write) }
}

/// Makes a file of all blocks but so many.
fn fill(fs: &World, left: u64) -> Result<(), Error> {
    let filler = fs.root().create(b"filler", NewNode::File { mode: 0o600 }, now())?;
    let room = fs.space().available.saturating_sub(left) as usize;
    put(&filler, 0, &vec![5; room * BLOCK])
}

/// Writes so many blocks of a file twice, the second time over what is there, where there is room for one of the two: the
/// second write is refused, unless blocks are free that should not be. Nothing tells afterwards, but in such blocks.
fn write_twice(fs: &World, blocks: usize) -> Result<(), Error> {
    let file = find(fs, "empty")?;
    put(&file, 0, &pattern(8, blocks * BLOCK))?;
    let _ = put(&file, 0, &pattern(8, blocks * BLOCK));
    file.set_attr(SetAttr { mtime: Some(now()), ..SetAttr::default() }, now())
}

/// A file made shorter on a medium without room: its last block is replaced by one of the reserve.
pub(crate) fn on_a_full_medium() -> Workload {
    let fill = |fs: &World| {
        fill(fs, 0)?;
        // Refused, unless somebody takes what is kept for what frees.
        let filler = find(fs, "filler")?;
        let _ = put(&filler, filler.attr().size, &[5; 16 * BLOCK]);
        Ok(())
    };
    let name = "truncate in a block, on a full medium";
    Workload::new(name, |fs| find(fs, "a")?.truncate(5000, now())).behind(fill)
}

/// A copy of what a pin sees of a file, when the file has long been written over and something else written since.
pub(crate) fn from_a_pin() -> Workload {
    // More than the reserve.
    const BLOCKS: usize = 64;
    let pinned = Rc::new(RefCell::new(None));
    let pin = pinned.clone();
    let overwrite = move |fs: &World| {
        let a = find(fs, "a")?;
        put(&a, 0, &pattern(6, BLOCKS * BLOCK))?;
        *pin.borrow_mut() = Some(a.pin_all()?);
        fill(fs, 2 * BLOCKS as u64)?;
        put(&a, 0, &pattern(7, BLOCKS * BLOCK))?;
        write_twice(fs, BLOCKS)?;
        fs.root().unlink(b"filler", now())
    };
    let copy = move |fs: &World| {
        let (pinned, mut bytes) = (pinned.borrow(), vec![0; BLOCKS * BLOCK]);
        let pin = pinned.as_ref().ok_or(Error::Invalid)?;
        for (at, block) in (0..).step_by(BLOCK).zip(bytes.chunks_mut(BLOCK)) {
            fs.medium().load(pin.iomap(FileOff::new(at)).addr, block)?;
        }
        put(&find(fs, "dir/c")?, 0, &bytes)
    };
    Workload::new("copy what a pin sees", copy).behind(overwrite)
}

/// A call during a checkpoint, on a medium that had no room for all that was to be written since that began.
pub(crate) fn without_room_in_a_checkpoint() -> Workload {
    const LOG: u64 = 4 * 32;
    let wait = |fs: &World| {
        fill(fs, LOG + 400)?;
        begin(fs)?;
        write_twice(fs, 256)
    };
    let name = "chmod in a checkpoint without room".to_owned();
    Workload { name, medium: ByteLen::new(8 << 20), checkpoints: true, ..calls::chmod() }.behind(wait)
}

/// The log written anew where an earlier checkpoint was cut just before its end.
pub(crate) fn compacting_behind_a_cut() -> Workload {
    // What the new log has first of all, and has to be told again of each time.
    let chmod = Workload::new("chmod", |fs| {
        let crowd = find(fs, "crowd")?;
        crowd.set_attr(SetAttr { mode: Some(crowd.attr().mode ^ 0o111), ..SetAttr::default() }, now())
    });
    // A checkpoint as far as it goes, all of it durable: the call that would end it is not made.
    let cut = |workload: &Workload| {
        let fs = workload.world();
        workload.set_up(&fs).expect("the set-up succeeds");
        let under_way = std::iter::from_fn(|| {
            workload.call(&fs).expect("the call can be repeated");
            (fs.volume().upkeep_fences() % WHOLE == BEGUN).then(|| SimMedium::from_bytes(&fs.medium().bytes()))
        });
        under_way.last().expect("it was under way")
    };
    let start = move || {
        let begun = during_a_checkpoint(chmod.clone(), 0);
        let once = cut(&begun);
        // Space is laid out by each mount alike: the second one is cut where the third will write.
        let again = Workload { start: Some(Rc::new(move || once.cut())), ..begun };
        cut(&again)
    };
    Workload {
        start: Some(Rc::new(start)),
        name: "compact behind a cut".to_owned(),
        checkpoints: false,
        ..compacting()
    }
}

/// The log written anew over and over, so that it lies where earlier ones did.
pub(crate) fn compacting_again() -> Workload {
    let again = |fs: &World| {
        for _ in 0..4 {
            for name in [&b"one"[..], b"two"].repeat(40) {
                fs.root().create(name, NewNode::File { mode: 0 }, now())?;
                fs.root().rename(name, &fs.root(), b"three", Rename::Replace, now())?;
            }
            fs.volume().compact()?;
        }
        Ok(())
    };
    Workload { name: "compact again".to_owned(), ..compacting() }.behind(again)
}
