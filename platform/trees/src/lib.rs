//! Device trees to test with: of real machines, and how they get damaged.
//!
//! [`SEEDS`] are what QEMU's `virt` board gives (`-machine dumpdtb=`, the padding cut off). A [`Tree`] can be changed
//! at will and made a blob again, also into what no tool would write; [`damage()`] does so at random, the same way for
//! the same number. Blobs are read by dtoolkit and written here: the reader under test has no part in either.
#![forbid(unsafe_code)]

mod damage;
mod random;
mod tree;

pub use damage::{damage, damaged, first_number};
pub use random::Random;
pub use tree::{Node, Tree, cells};

/// Trees of machines that boot, but for the last one, and what they are.
pub const SEEDS: [(&str, &[u8]); 5] = [
    ("entered at EL2, one CPU", include_bytes!("../data/el2.dtb")),
    ("entered at EL1, four CPUs, 2 GiB", include_bytes!("../data/el1-4-cpus.dtb")),
    ("eight CPUs and two NUMA nodes", include_bytes!("../data/numa-8-cpus.dtb")),
    ("64 MiB, with a command line", include_bytes!("../data/small.dtb")),
    ("an older interrupt controller", include_bytes!("../data/gicv2.dtb")),
];
