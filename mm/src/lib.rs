//! Address spaces: descriptors, tables, VMAs, faults.
#![no_std]
