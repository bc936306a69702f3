//! The CPU as functions: system registers, barriers, TLB and cache maintenance, trap frame; no policy.
//!
//! [`esr`], most of [`features`] and [`tlb::plan`] are plain arithmetic and run anywhere; everything else is for AArch64 alone.
#![no_std]

#[cfg(target_os = "none")]
pub mod barrier;
#[cfg(target_os = "none")]
pub mod cache;
#[cfg(target_os = "none")]
pub mod cpu;
#[cfg(target_os = "none")]
pub mod crc;
#[cfg(target_os = "none")]
pub mod device;
pub mod esr;
pub mod features;
pub mod frame;
#[cfg(target_os = "none")]
pub mod irq;
#[cfg(target_os = "none")]
pub mod memory;
#[cfg(target_os = "none")]
pub mod pauth;
pub mod tlb;
#[cfg(target_os = "none")]
pub mod user;
