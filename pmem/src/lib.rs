//! Persistent memory: dax device, bad blocks, the order stores persist in.
//!
//! Read upwards: [`medium`] is what a file system sees of a device, [`order`] the three states of a store. [`cells`] is
//! the memory itself, which may answer with an error, and [`guarded`] that memory behind the list of its [`badblocks`].
//! [`nfit`] and [`pci`] find devices, [`label`] says which parts of one are namespaces, [`device`] is one of them, and [`dax`] the way to its pages.
//! No line here knows the CPU, so all of it runs on the host; the kernel plugs in the stores and the cache.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod badblocks;
pub mod cells;
pub mod dax;
pub mod device;
pub mod guarded;
pub mod label;
pub mod medium;
pub mod nfit;
pub mod order;
pub mod pci;
