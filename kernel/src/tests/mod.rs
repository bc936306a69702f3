//! Tests that need the real machine: one file a room.

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
