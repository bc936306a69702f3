//! What the firmware says of the machine: device tree and command line, as plain data.
//!
//! [`fdt`] takes the machine out of the device tree, [`cmdline`] what the person who booted it wants, and [`ram`] decides
//! from both which memory is whose. Nothing here touches a device, so every line also runs on the host; and all of it
//! comes from outside, so every answer may be an error that says what is wrong, and none a panic.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod cmdline;
pub mod fdt;
pub mod ram;
