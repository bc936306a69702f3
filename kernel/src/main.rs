//! EL1.
fn main() {}
