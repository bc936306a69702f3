//! The built tool, run as a person or a script would run it.

mod badblocks;
mod fsck;
mod images;
mod killed;
mod refusals;
mod scratch;
mod trees;
