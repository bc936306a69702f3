//! Tests that need the real machine: one file a room.

mod vfs;
