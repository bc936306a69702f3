//! Firmware hand-off: x0..x3 kept, EL2 to EL1, first tables, MMU on.
//!
//! The order, and each step's name, are those of Linux's arm64 `head.S`; where Linux's name begins with `__`, that
//! name is an alias at the same address. `head.s` is the road from `_start` to `kernel_main`, `secondary.s` that
//! of the other CPUs, through the same routines, from `secondary_entry` to `secondary_main`; `el2.s` is what stays
//! at EL2, `el3.s` the end for whoever comes at EL3. Numbers of descriptors come from `mm::desc`, so none of them lives twice.
#![no_std]

/// Where the linear map begins: physical address 0 is seen here.
pub const LINEAR_BASE: u64 = 0xffff_0000_0000_0000;

#[cfg(target_os = "none")]
mod el2;
#[cfg(target_os = "none")]
mod head;
#[cfg(target_os = "none")]
mod secondary;

#[cfg(target_os = "none")]
pub use el2::{El2, Stage2};
#[cfg(target_os = "none")]
pub use head::{BootMode, STEPS, boot_args, boot_mode, is_hyp_mode_mismatched, link_base, marks, mode_flags};
#[cfg(target_os = "none")]
pub use secondary::place_secondary;
