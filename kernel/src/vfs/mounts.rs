//! What is mounted: the root, and the two trees the kernel serves itself, as `df`, `mount` and `findmnt` ask for it.

use core::fmt;

use super::root_node;
use super::vnode::{DISK_DEV, KERNEL_DEV};

/// A line of what is mounted.
struct Mounted {
    /// `mnt_id` of `statx`.
    id: u64,
    parent: u64,
    dev: u64,
    on: &'static str,
    kind: &'static str,
    /// What the mount says, and what the file system behind it.
    options: [&'static str; 2],
}

/// `mnt_id` of the root.
pub(crate) const DISK_MOUNT: u64 = 1;
/// `mnt_id` of `/proc`, which stands for `/dev` too.
pub(crate) const KERNEL_MOUNT: u64 = 2;
/// The number of `/dev` among the lines.
const DEV_MOUNT: u64 = 3;

impl Mounted {
    const fn kernel(id: u64, on: &'static str, kind: &'static str) -> Self {
        Self { id, parent: DISK_MOUNT, dev: KERNEL_DEV, on, kind, options: ["rw,relatime", "rw"] }
    }
}

/// The lines, and where the root is from.
fn each(mut write: impl FnMut(&dyn fmt::Display, &Mounted) -> fmt::Result) -> fmt::Result {
    if let Some(root) = root_node() {
        let (device, read_only) = (root.fs().medium().device().name(), root.fs().is_read_only());
        let options = if read_only { ["ro,relatime", "ro,dax=always"] } else { ["rw,relatime", "rw,dax=always"] };
        let line = Mounted { id: DISK_MOUNT, parent: 0, dev: DISK_DEV, on: "/", kind: "vitrine", options };
        write(&format_args!("/dev/{device}"), &line)?;
    }
    write(&"proc", &Mounted::kernel(KERNEL_MOUNT, "/proc", "proc"))?;
    write(&"devtmpfs", &Mounted::kernel(DEV_MOUNT, "/dev", "devtmpfs"))
}

/// `/proc/self/mounts`: source, where, kind and options (`fstab(5)`).
///
/// # Errors
/// Those of `text`.
pub(super) fn write_mounts(text: &mut dyn fmt::Write) -> fmt::Result {
    each(|source, line| {
        let [mount, of_fs] = line.options;
        // What both say is said once; the file system's own words follow.
        let own = of_fs.get("rw".len()..).unwrap_or("");
        writeln!(text, "{source} {} {} {mount}{own} 0 0", line.on, line.kind)
    })
}

/// `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).
///
/// # Errors
/// Those of `text`.
pub(super) fn write_mountinfo(text: &mut dyn fmt::Write) -> fmt::Result {
    each(|source, line| {
        let (major, minor) = (line.dev >> 8, line.dev & 0xff);
        let [mount, of_fs] = line.options;
        writeln!(
            text,
            "{} {} {major}:{minor} / {} {mount} - {} {source} {of_fs}",
            line.id, line.parent, line.on, line.kind
        )
    })
}

/// `/proc/filesystems`.
///
/// # Errors
/// Those of `text`.
pub(super) fn write_filesystems(text: &mut dyn fmt::Write) -> fmt::Result {
    text.write_str("nodev\tproc\nnodev\tdevtmpfs\n\tvitrine\n")
}
