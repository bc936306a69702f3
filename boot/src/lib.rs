//! Firmware hand-off: x0..x3 kept, EL2 to EL1, first tables, MMU on.
#![no_std]
