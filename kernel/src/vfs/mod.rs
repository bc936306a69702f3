//! Files as a program sees them: paths, open files, descriptors, and the two trees the kernel serves itself.
//!
//! Read upwards: [`error`] turns what the file system refused into an errno; [`special`] is `/proc` and `/dev`;
//! [`vnode`] is anything a path can name; [`path`] walks one; [`open`] makes a [`File`], the open file description,
//! of what it found; [`mounts`] tells what lies under which path; [`Files`] are a program's descriptors and [`Place`] its working directory and umask.
//! The file system itself is the crate `fs`; the system calls are in `crate::syscall::file`.

pub(crate) mod copy;
pub(crate) mod error;
mod file;
mod files;
pub(crate) mod mounts;
mod name;
pub(crate) mod open;
pub(crate) mod path;
mod place;
mod position;
mod proc;
pub(crate) mod special;
mod vnode;

pub(crate) use file::{Append, File, LockKind, Record, Span, Wait, Waits, Whence, check_span, truncate};
pub(crate) use files::{Closing, Files};
pub(crate) use name::Program;
pub(crate) use place::Place;
pub(crate) use vnode::Vnode;

use abi::Errno;
use alloc::sync::Arc;
use spin::Once;

/// A file, directory or symbolic link of the mounted file system.
pub(crate) type Node = fs::Node<crate::pmem::PmemMedium>;
/// The same, without keeping it.
pub(crate) type WeakNode = fs::WeakNode<crate::pmem::PmemMedium>;
/// Proof that a program's file is not open for writing, and will not be while this lives.
pub(crate) type DenyWrite = fs::DenyWrite<crate::pmem::PmemMedium>;
/// Held by an open file that may write; a file so held is not executed.
pub(crate) type WriteAccess = fs::WriteAccess<crate::pmem::PmemMedium>;

static ROOT: Once<Node> = Once::new();

/// Makes `node`, a root directory, what `/` names from here on. The first call counts: there is one root.
pub(crate) fn mount_root(node: Node) {
    ROOT.call_once(|| node);
}

/// The mounted root directory, if there is one.
pub(crate) fn root_node() -> Option<&'static Node> {
    ROOT.get()
}

/// What `/` names: the mounted root, or, before there is one, a directory that holds `/proc` and `/dev` alone.
pub(crate) fn root() -> Vnode {
    match root_node() {
        Some(node) => Vnode::Disk(node.clone()),
        None => Vnode::Kernel(special::Special::Root),
    }
}

/// Finds a program for `execve`, from the caller's working directory if `path` is relative.
///
/// # Errors
/// What resolving the path gives; `EACCES` for anything but a regular file with an execute bit; `ETXTBSY` while
/// somebody has it open for writing.
pub(crate) fn open_exec(path: &[u8]) -> Result<(Arc<Program>, DenyWrite), Errno> {
    open_exec_from(&start_of(path), path)
}

/// [`open_exec`] with relative paths beginning at `base`: for the first program, which has no place yet.
///
/// # Errors
/// As for [`open_exec`].
pub(crate) fn open_exec_from(base: &Vnode, path: &[u8]) -> Result<(Arc<Program>, DenyWrite), Errno> {
    let (Vnode::Disk(node), Some(name)) = path::resolve_named(base, path)? else { return Err(Errno::EACCES) };
    if node.kind() != fs::Kind::File || node.attr().mode & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    let deny = node.deny_write().map_err(error::errno)?;
    Ok((Arc::new(Program::new(node, name)), deny))
}

/// The time of day, as the medium keeps it.
pub(crate) fn now() -> fs::Time {
    crate::timer::wall_clock()
}

/// Where the caller's `path` begins.
fn start_of(path: &[u8]) -> Vnode {
    if path.first() == Some(&b'/') { root() } else { crate::task::current().place.cwd() }
}
