//! The pmem file system: format, log, extents, pins.
#![no_std]
