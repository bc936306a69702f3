//! Tests that need the real machine: one file a room.

mod drivers;
mod vfs;
mod words;
