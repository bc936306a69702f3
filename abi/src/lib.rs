//! What kernel and user agree on: system call numbers, errno, shared structures.
#![no_std]
