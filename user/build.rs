//! Tells the linker where programs lie: at a fixed address, each segment on pages of its own in memory and in the
//! file, so that the kernel can map the text where it lies in persistent memory.

/// Where Linux's static programs begin; page 0 and what follows stay unmapped.
const IMAGE_BASE: &str = "--image-base=0x400000";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // On the host the programs are only checked and their parsers tested: those link as any program of the host.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        for argument in ["--no-pie", IMAGE_BASE, "-z", "max-page-size=4096", "-z", "separate-loadable-segments"] {
            println!("cargo:rustc-link-arg-bins={argument}");
        }
    }
}
