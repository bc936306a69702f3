//! Address spaces: which frame answers when a task touches an address.
//!
//! Read upwards: [`desc`] is one descriptor of a translation table.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod desc;
