//! Crash exploration, whoever made the stores: what a power cut may leave is mounted, checked, compared and used.
//!
//! [`cuts`] takes the states at every fence of a call and judges them, [`mod@verify`] looks at one of them, and [`tree`] is
//! what is compared. The stores come from the file system on the simulated medium (`fs/tests/crash/`).

mod cuts;
mod tree;
mod verify;

pub use cuts::{Cut, Effort, Moment, Numbers, Violation, cut_at_fences, fresh, fresh_with, judge};
pub use tree::Tree;
pub use verify::{Depth, verify};
