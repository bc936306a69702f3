//! Persistent memory: dax device, bad blocks, the order stores persist in.
//!
//! Read upwards: [`medium`] is what a file system sees of a device, [`order`] the three states of a store.
//! No line here knows the CPU, so all of it runs on the host; the kernel plugs in the stores and the cache.
#![cfg_attr(not(test), no_std)]

pub mod medium;
pub mod nfit;
pub mod order;
