//! Media that fail: bad blocks wherever there can be one, and what fsck makes of images that contradict themselves.
//!
//! [`anywhere`] loses every block of a medium in turn; [`victim`] is that medium, with something of every kind on it, and what
//! can be seen of it. [`repair`] makes each kind of damage on purpose and has it put right, [`mutate`] any; [`spoil`] is how.

mod anywhere;
mod mutate;
mod repair;
mod spoil;
mod victim;
