//! A medium that has been in use for long still has room in one piece for what is large.

use fs::{Fallocate, IomapIter, IomapKind, IomapOp, iomap_iter};
use units::{ByteLen, FileOff, FileRange};

use crate::common::*;

/// Blocks in 2 MiB.
const HUGE: u64 = 512;

/// Numbers that look random, the same in each run (xorshift).
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Gives `node` blocks for `blocks` of its blocks, from `first` on, without a byte written.
fn allocate(node: &Node, first: u64, blocks: u64) {
    let range = FileRange::with_len(FileOff::new(first * BLOCK), ByteLen::new(blocks * BLOCK)).expect("small numbers");
    node.fallocate(Fallocate::Allocate, range, now(3)).expect("there is room");
}

/// How many of the file's 2 MiB lie in one aligned piece of the medium, so that one entry maps them.
fn aligned(node: &Node) -> u64 {
    let pin = node.pin_all().expect("a file can be pinned");
    let mut walk = IomapIter::new(node.ino(), FileOff::ZERO, ByteLen::new(pin.size()), IomapOp::REPORT, ());
    let mut count = 0;
    while iomap_iter(&mut walk, &pin).expect("nothing goes wrong") {
        let (file, start) = (walk.pos.get() / BLOCK, walk.iomap.addr.get() / BLOCK);
        if walk.iomap.kind != IomapKind::Hole && file % HUGE == start % HUGE {
            let end = file + walk.length() / BLOCK;
            count += (end / HUGE).saturating_sub(file.div_ceil(HUGE));
        }
        walk.processed = Ok(walk.length());
    }
    count
}

/// Files that come, grow and go, large and small, with 80 to 90 of a hundred blocks in use.
fn age(fs: &World, draw: &mut Draw, steps: u64) {
    let blocks = fs.space().blocks;
    let mut files: Vec<(String, Node, u64)> = Vec::new();
    for step in 0..steps {
        let used = 100 - 100 * fs.space().free / blocks;
        let grows = used < 80 || (used < 90 && draw.below(2) == 0);
        if !grows {
            let (name, ..) = files.swap_remove(draw.below(files.len() as u64) as usize);
            fs.root().unlink(name.as_bytes(), now(4)).expect("it is there");
            continue;
        }
        let wanted = match draw.below(100) {
            0..70 => 1 + draw.below(16),
            70..96 => 17 + draw.below(180),
            _ => HUGE + draw.below(3 * HUGE),
        };
        if draw.below(3) == 0 && !files.is_empty() {
            let at = draw.below(files.len() as u64) as usize;
            let (_, node, size) = &mut files[at];
            allocate(node, *size, wanted.min(16));
            *size += wanted.min(16);
        } else {
            let name = format!("{step}");
            let node = file(fs, &name);
            allocate(&node, 0, wanted);
            files.push((name, node, wanted));
        }
    }
}

#[test]
fn a_large_file_finds_aligned_room_on_an_aged_medium() {
    let (mut possible, mut found) = (0, 0);
    for seed in 1..5u64 {
        let fs = fresh(128 * HUGE);
        age(&fs, &mut Draw(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed)), 20_000);
        let (node, most) = (file(&fs, "large"), fs.space().available / HUGE);
        allocate(&node, 0, most * HUGE);
        println!("of {most} times 2 MiB that are free {} are aligned", aligned(&node));
        (possible, found) = (possible + most, found + aligned(&node));
        assert_space_exact(&fs, &[], &[]);
    }
    // A third, about; a tenth where blocks are given by the length of their runs alone.
    assert!(5 * found >= possible, "{found} of {possible}");
}

/// How many of the file's blocks agree with the medium's modulo 2 MiB.
fn in_step(node: &Node) -> u64 {
    let pin = node.pin_all().expect("a file can be pinned");
    let blocks =
        (0..pin.size() / BLOCK).map(|block| (block, pin.iomap(FileOff::new(block * BLOCK)).addr.get() / BLOCK));
    blocks.filter(|(file, start)| file % HUGE == start % HUGE).count() as u64
}

#[test]
fn a_large_file_that_is_written_over_comes_back_to_its_places() {
    const CHUNKS: u64 = 8;
    let (fs, chunk) = (fresh(32 * HUGE), pattern(1, (HUGE * BLOCK) as usize));
    let node = file(&fs, "large");
    let rewrite = |step: u64| {
        for at in (0..CHUNKS * HUGE).step_by(step as usize) {
            put(&node, at * BLOCK, &chunk[..(step * BLOCK) as usize]).expect("there is room");
        }
    };
    rewrite(HUGE);
    assert_eq!((aligned(&node), in_step(&node)), (CHUNKS, CHUNKS * HUGE));

    // Each block four times, about, wherever it lies in the file.
    let draw = &mut Draw(7);
    for _ in 0..4 * CHUNKS * HUGE {
        put(&node, draw.below(CHUNKS * HUGE) * BLOCK, &chunk[..BLOCK as usize]).expect("there is room");
    }
    let scattered = in_step(&node);
    println!("after random writes {scattered} of {} blocks are in step", CHUNKS * HUGE);
    assert!(5 * scattered >= 2 * CHUNKS * HUGE, "only {scattered}");

    // Written over in order, block by block or as a whole, it is in one piece again.
    rewrite(1);
    println!("after writes in order {} of {CHUNKS} times 2 MiB are aligned", aligned(&node));
    assert_eq!(aligned(&node), CHUNKS);
    rewrite(HUGE);
    assert_eq!(aligned(&node), CHUNKS);
    assert_space_exact(&fs, &[], &[]);
}
