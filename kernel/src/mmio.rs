//! Device registers: mapped once, never unmapped.

pub(crate) use crate::paging::{MapError, map_device as map};
