//! Hands the linker script to the linker; flags in the environment would drop it from the configuration.
//!
//! The kernel is a position-independent executable that relocates itself: every pointer in its data is listed in the
//! compact RELR form, and holds its linked value until then.

fn main() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    println!("cargo::rerun-if-changed={root}/linker.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo::rustc-link-arg-bins=-T{root}/linker.ld");
        println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
        println!("cargo::rustc-link-arg-bins=--no-eh-frame-hdr");
        println!("cargo::rustc-link-arg-bins=-pie");
        println!("cargo::rustc-link-arg-bins=--no-dynamic-linker");
        println!("cargo::rustc-link-arg-bins=--pack-dyn-relocs=relr");
        // Pointers in read-only data are relocated through the identity map; the linker may leave them there.
        println!("cargo::rustc-link-arg-bins=-znotext");
        println!("cargo::rustc-link-arg-bins=-znorelro");
    }
}
