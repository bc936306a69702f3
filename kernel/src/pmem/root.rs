//! The root file system: which device holds it, and what to say when none does.

use alloc::sync::Arc;
use core::fmt;

use fs::{Access, Fs, Mount, MountError};
use pmem::device::DeviceFlags;

use super::{Device, Name, PmemMedium, devices};

/// Why there is no root file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoRoot {
    /// The machine has no pmem device.
    NoDevice,
    /// `root=` names a device that is not there.
    NoSuchDevice(usize),
    /// The device cannot be mounted.
    Mount(Name, MountError),
}

impl fmt::Display for NoRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice => write!(f, "no pmem device found"),
            Self::NoSuchDevice(number) => write!(f, "root=pmem{number}: no such device, there are {}", devices().len()),
            Self::Mount(name, error) => write!(f, "{name}: {error}"),
        }
    }
}

/// Mounts the device that `root=` names, else the first that has a file system.
///
/// # Errors
/// [`NoRoot`]. A device whose file system cannot be mounted is not passed over for the next one.
pub(crate) fn mount_root(wanted: Option<usize>) -> Result<Arc<Fs<PmemMedium>>, NoRoot> {
    if let Some(number) = wanted {
        let device = devices().get(number).ok_or(NoRoot::NoSuchDevice(number))?;
        return mount(device).map_err(|error| NoRoot::Mount(device.name(), error));
    }
    let mut none = NoRoot::NoDevice;
    for device in devices() {
        match mount(device) {
            Err(MountError::Foreign) if none == NoRoot::NoDevice => {
                none = NoRoot::Mount(device.name(), MountError::Foreign);
            }
            Err(MountError::Foreign) => {}
            answer => return answer.map_err(|error| NoRoot::Mount(device.name(), error)),
        }
    }
    Err(none)
}

fn mount(device: &'static Device) -> Result<Arc<Fs<PmemMedium>>, MountError> {
    let flags = device.dax().ops().flags();
    let access = if flags.contains(DeviceFlags::READ_ONLY) { Access::ReadOnly } else { Access::ReadWrite };
    let root = Fs::mount(PmemMedium::new(device), Mount { access, ..Mount::default() })?;
    if flags.contains(DeviceFlags::VOLATILE) {
        log::error!("{}: the root is on a volatile region, which keeps nothing when the power goes", device.name());
    }
    Ok(root)
}
