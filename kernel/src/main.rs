//! EL1: traps, system calls, tasks, drivers, and the glue between the rooms.
//!
//! `boot` calls [`kernel_main`] with the MMU on. Read on with [`start`], which brings the machine up in order; then
//! [`trap`], through which every program comes back; [`syscall`], its table of calls; [`task`], who runs; [`space`]
//! and [`paging`], whose memory; [`vfs`], whose files; [`peek`], what Vitrine is for.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the kernel is for aarch64-unknown-none-softfloat: see `make build`");
    std::process::exit(2);
}

macro_rules! rooms {
    ($($name:ident)*) => {
        $(#[cfg(target_os = "none")] mod $name;)*
    };
}

rooms! {
    bench
    bootchart
    console
    counters
    exec
    exit
    features
    frames
    fw_cfg
    heap
    irq
    kaslr
    kmap
    layout
    log
    mmio
    mmu
    paging
    panic
    peek
    percpu
    pmem
    ram
    regions
    rng
    smp
    space
    start
    syscall
    task
    testing
    tests
    timer
    trap
    uaccess
    vfs
}
