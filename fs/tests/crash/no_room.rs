//! Media without room: a call is done or refused, and one that is refused has changed nothing.
//!
//! Each call meets media with too few blocks for data, from none to one less than it needs, and one whose log is full. What
//! frees works on all of them.

use fs::{Error, Fs, NewNode, SetAttr, Space};
use fs_explore::Tree;

use crate::calls::workloads;
use crate::workloads::{BLOCK, Workload, World, find, now, put};

/// Calls that free, or change a name for another: they work however full the medium is.
const FREEING: [&str; 20] = [
    "unlink a file",
    "unlink one of two names",
    "unlink a symlink",
    "unlink in a directory",
    "unlink an open file",
    "rmdir",
    "rmdir in a directory",
    "rename over a file",
    "rename over one of two names",
    "rename over a symlink",
    "rename a directory over an empty one",
    "truncate to nothing",
    "truncate to a block",
    "truncate in a block",
    "truncate in a hole",
    "punch whole blocks",
    "punch inside a block",
    "punch across blocks",
    "punch everything",
    "punch allocated blocks",
];

fn frees(workload: &Workload) -> bool {
    FREEING.contains(&workload.name.as_str())
}

/// Everything that a refused call must leave as it was.
#[derive(PartialEq)]
struct State {
    tree: Tree,
    space: Space,
    reloaded: Tree,
}

impl State {
    fn of(fs: &World) -> Self {
        let report = Fs::check(fs.medium());
        assert!(report.is_clean(), "{:?} {:?}", report.refused, report.findings);
        // A power cut shows what is on the medium.
        let cut = Fs::mount(fs.medium().cut(), fs::Mount::default()).expect("it can be mounted");
        let reloaded = Tree::of(&cut).expect("it can be read");
        Self { tree: Tree::of(fs).expect("it can be read"), space: fs.space(), reloaded }
    }
}

/// Makes the call; answers whether there was room. Where there was not, nothing has changed.
fn refused_or_done(workload: &Workload, fs: &World) -> bool {
    let before = State::of(fs);
    let result = workload.call(fs);
    let after = State::of(fs);
    assert!(after.tree == after.reloaded, "{}: {}", workload.name, after.reloaded.difference(&after.tree));
    match result {
        Ok(()) => assert!(workload.may_change_nothing || before.tree != after.tree, "{}", workload.name),
        Err(Error::NoSpace) => {
            assert!(before.tree == after.tree, "{}: {}", workload.name, before.tree.difference(&after.tree));
            assert_eq!(before.space, after.space, "{}", workload.name);
        }
        Err(other) => panic!("{}: {other}", workload.name),
    }
    result.is_ok()
}

/// Makes a file of all blocks that data can have.
fn fill(fs: &World) -> Result<(), Error> {
    let filler = fs.root().create(b"filler", NewNode::File { mode: 0o600 }, now())?;
    put(&filler, 0, &vec![5; fs.space().available as usize * BLOCK])
}

#[test]
fn every_call_has_the_blocks_it_needs_or_changes_nothing() {
    for workload in workloads() {
        let fs = workload.world();
        workload.set_up(&fs).and_then(|()| fill(&fs)).expect("the set-up succeeds");
        assert_eq!(fs.space().available, 0);
        let mut blocks = 0;
        // One block short of what it needs at last.
        while !refused_or_done(&workload, &fs) {
            blocks += 1;
            let filler = find(&fs, "filler").expect("it is there");
            filler.truncate(filler.attr().size - BLOCK as u64, now()).expect("what frees works");
            assert_eq!(fs.space().available, blocks, "{}", workload.name);
        }
        println!("{}: {blocks} blocks", workload.name);
        assert!(blocks == 0 || !frees(&workload), "{}: refused, though it frees", workload.name);
        assert!(blocks <= 16, "{}: {blocks} blocks are more than it writes", workload.name);
    }
}

/// Fills the log until it takes nothing that does not free.
fn fill_the_log(fs: &World) {
    let root = fs.root();
    let mut number = 0;
    for len in [4000, 250, 1] {
        let link = |name: u64| {
            let name = format!("filler {name}");
            root.create(name.as_bytes(), NewNode::Symlink { target: &vec![b'f'; len] }, now()).map(drop)
        };
        while link(number).is_ok() {
            number += 1;
        }
    }
    let chmod = |mode| root.set_attr(SetAttr { mode: Some(mode), ..SetAttr::default() }, now());
    assert!((0..1000).any(|mode| chmod(mode) == Err(Error::NoSpace)), "the log takes more and more");
}

/// What frees, where data has no block and where the log has no room.
pub(crate) fn freeing_on_full_media() -> Vec<Workload> {
    let on = |workload: Workload, what: &str, prepare: fn(&World) -> Result<(), Error>| {
        let name = format!("{}, on a medium full of {what}", workload.name);
        Workload { name, ..workload.behind(prepare) }
    };
    let with_full_log = |fs: &World| {
        fill(fs)?;
        fill_the_log(fs);
        Ok(())
    };
    let freeing = workloads().into_iter().filter(frees);
    freeing
        .flat_map(|workload| [on(workload.clone(), "data", fill), on(workload, "records too", with_full_log)])
        .collect()
}

#[test]
fn every_call_has_room_in_the_log_or_changes_nothing() {
    let (mut done, mut refused) = (0, 0);
    for workload in workloads() {
        // With blocks for data, and without any.
        for prepare in [|_: &World| Ok(()), fill] {
            let fs = workload.world();
            workload.set_up(&fs).and_then(|()| prepare(&fs)).expect("the set-up succeeds");
            fill_the_log(&fs);
            match refused_or_done(&workload, &fs) {
                true => done += 1,
                false if frees(&workload) => panic!("{}: refused, though it frees", workload.name),
                false => refused += 1,
            }
        }
    }
    println!("the log is full: {done} done, {refused} refused");
    assert!(refused > 80, "only {refused} are refused: the log is not full");
}
