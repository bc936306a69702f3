//! The file system as a whole, on a medium in memory: against a model, with pins, full, damaged and hostile.
//!
//! [`model`] runs any calls against the plain maps of [`world`]; [`pins`], [`writes`], [`full`] and [`replay`] look at one
//! promise each; [`hostile`] mounts what nobody wrote, and [`heap`] counts what that takes. [`image`] knows the format by its numbers alone, as
//! `docs/FORMAT.md` gives them, [`example`] is that page's own, and [`common`] has what all share.

mod ageing;
mod common;
mod example;
mod full;
mod heap;
mod hostile;
mod image;
mod model;
mod pins;
mod replay;
mod world;
mod writes;
