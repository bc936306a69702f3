//! Tests that need the real machine: one file a room.

use mm::space::{Place, Request, What};
use mm::{Prot, VmaFlags};

mod boot;
mod cpus;
mod drivers;
mod features;
mod memory;
mod panics;
mod pmem;
mod regions;
mod sharing;
mod tasks;
mod user;
mod vfs;

/// Memory without a file, to be read and written.
fn anonymous<B>(place: Place, len: u64) -> Request<B> {
    Request { place, len, prot: Prot::RW, flags: VmaFlags::empty(), what: What::Anonymous }
}
