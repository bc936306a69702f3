//! The power fails while a program writes: what was acknowledged is there, and of the call under way all or nothing.
//!
//! The program says what it has done on the console, call by call. A run under `--icount` is the same every time, so one
//! that is left alone says what each call leaves behind. Then the machine is killed, by SIGKILL behind some line, or by
//! the recorder behind some store; `VITRINE_CUTS` says how often.

use std::fs::read;
use std::hash::{BuildHasher, RandomState};

use fs::{Fs, Mount};
use fs_explore::Tree;
use machine_tests::{Image, Kind, Machine, Omission, Recording, host_listing, sorted_listing};
use pmem_sim::SimMedium;

/// The program, which says each call it has done.
const WRITER: &str = "record init=/bin/cuts acks";

/// What a run that is left alone does.
struct Whole {
    /// The medium as every run finds it.
    image: Image,
    /// The tree before the first call, behind the first, and so on.
    trees: Vec<Tree>,
    /// What it says, a line a call.
    said: Vec<String>,
    /// Stores before the first call, and up to the end of the last.
    stores: (usize, usize),
}

fn writer(image: &Image) -> Machine {
    Machine::with(image).append(WRITER)
}

impl Whole {
    fn run() -> Self {
        let image = Image::small("8M", &["cuts", "tree"]);
        let (medium, used) = (bytes(&image), image.copy());
        let (recording, output) = Recording::of(writer(&used), &used);
        let first = recording.parts().next().map_or(0, |part| part.stores());
        let mut whole = Self { image, trees: vec![tree(&medium)], said: Vec::new(), stores: (first, first) };
        let mut stores = 0;
        for part in recording.parts() {
            part.play(&medium, Omission::Nothing, |_| {});
            stores += part.stores();
            if part.kind() != Kind::Between {
                whole.trees.push(tree(&medium));
                whole.stores.1 = stores;
            }
        }
        whole.said = output.lines().map(str::to_owned).collect();
        assert_eq!(whole.said.len() + 1, whole.trees.len(), "a line a call");
        whole
    }

    /// Looks at what a cut machine left on `image`, which had said `output`.
    #[track_caller]
    fn check(&self, image: &Image, output: &str, how: &str) {
        // The last line may have been cut off: then nobody has read it.
        let whole_lines = output.rfind('\n').map_or("", |end| &output[..end]);
        let acknowledged: Vec<_> = whole_lines.lines().collect();
        let count = acknowledged.len();
        assert_eq!(acknowledged, self.said[..count], "{how}: it said other things");
        let report = Fs::check(&bytes(image));
        assert!(report.is_sound(), "{how}: {:?} {:?}", report.refused, report.findings);
        image.tool("fsck", &[]);
        let found = tree(&bytes(image));
        let next = self.trees.get(count + 1);
        assert!(
            found == self.trees[count] || Some(&found) == next,
            "{how}, behind {count} calls: {}",
            found.difference(&self.trees[count])
        );
        let listed = host_listing(&read(image.path()).expect("the image can be read"), "data");
        let ended = Machine::with(image).init("/bin/tree /data").run();
        assert_eq!(sorted_listing(&ended.status(0).output), listed, "{how}: the kernel sees something else");
        image.tool("fsck", &[]);
    }
}

fn bytes(image: &Image) -> SimMedium {
    SimMedium::from_bytes(&read(image.path()).expect("the image can be read"))
}

fn tree(medium: &SimMedium) -> Tree {
    let fs = Fs::mount(medium.settled(), Mount::default()).expect("what a machine left can be mounted");
    Tree::of(&fs).expect("and read")
}

/// How many cuts each test makes, and where from `from` to `to` they are: spread evenly where there are few, by chance
/// where the environment asks for more.
fn moments(from: usize, to: usize) -> Vec<usize> {
    let asked =
        std::env::var("VITRINE_CUTS").ok().map(|count| count.parse::<usize>().expect("VITRINE_CUTS is a number"));
    let span = to - from;
    match asked {
        None => (0..4).map(|nth| from + span * (2 * nth + 1) / 8).collect(),
        Some(count) => {
            let chance = RandomState::new();
            (0..count.div_ceil(2)).map(|nth| from + (chance.hash_one(nth) % span as u64) as usize).collect()
        }
    }
}

#[test]
fn nothing_is_lost_behind_any_store() {
    let whole = Whole::run();
    for store in moments(whole.stores.0 + 1, whole.stores.1) {
        let image = whole.image.copy();
        let ended = writer(&image).recorder(&image, &format!("cut={store}")).start().stays_open();
        ended.status(137);
        whole.check(&image, &ended.output, &format!("cut={store}"));
    }
}

#[test]
fn nothing_is_lost_by_sigkill() {
    let whole = Whole::run();
    for line in moments(0, whole.said.len() - 1) {
        let image = whole.image.copy();
        let mut machine = writer(&image).flag("--icount").start();
        for said in &whole.said[..=line] {
            machine.expect(&format!("{said}\n"));
        }
        let ended = machine.cut();
        assert!([0, 137].contains(&ended.status), "neither killed nor over before: status {}", ended.status);
        whole.check(&image, &ended.output, &format!("SIGKILL behind line {line}"));
    }
}
