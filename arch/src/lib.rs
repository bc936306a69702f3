//! The CPU as functions: system registers, barriers, TLB and cache maintenance, trap frame; no policy.
#![no_std]
#![cfg(target_arch = "aarch64")]

pub mod cpu;
pub mod irq;
