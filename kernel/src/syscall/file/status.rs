//! `fstat`, `newfstatat`, `statx`, `statfs`, `fstatfs`.

use super::{Args, Base, PathRoom, fd, int, ptr};
use crate::task::current;
use crate::uaccess::{Fault, write_user};
use crate::vfs::Vnode;
use crate::vfs::mounts::{DISK_MOUNT, KERNEL_MOUNT};
use crate::vfs::path::{Follow, resolve};
use abi::Errno;
use abi::file::{AT_FDCWD, AtFlags, NAME_MAX};
use abi::stat::{Stat, Statfs, StatfsFlags, Statx, StatxAttributes, StatxMask, StatxTimestamp};
use abi::time::Timespec;
use units::PAGE_SIZE;

/// `f_type` of the medium: `VITR`.
const VITRINE_MAGIC: u64 = 0x5649_5452;
/// `f_type` of the kernel's own tree, that of Linux's procfs.
const PROC_MAGIC: u64 = 0x9fa0;

/// How fresh the answer is to be: it always is.
const SYNC_FLAGS: AtFlags = AtFlags::STATX_FORCE_SYNC.union(AtFlags::STATX_DONT_SYNC);
/// What both `newfstatat` and `statx` take.
const KNOWN_FLAGS: AtFlags =
    AtFlags::SYMLINK_NOFOLLOW.union(AtFlags::NO_AUTOMOUNT).union(AtFlags::EMPTY_PATH).union(SYNC_FLAGS);

/// `fstat(fd, to)`.
///
/// # Errors
/// `EBADF`, `EFAULT`.
pub(crate) fn sys_fstat(a: &Args) -> Result<u64, Errno> {
    let stat = current().files.get_raw(fd(a, 0))?.vnode().stat();
    write_user(ptr(a, 1), &stat)?;
    Ok(0)
}

/// `newfstatat(dirfd, path, to, flags)`.
///
/// # Errors
/// `EINVAL`, `EFAULT`, `ENOENT`, `EBADF`, and those of the walk.
pub(crate) fn sys_newfstatat(a: &Args) -> Result<u64, Errno> {
    let flags = AtFlags::from_bits_retain(int(a, 3));
    if !KNOWN_FLAGS.contains(flags) {
        return Err(Errno::EINVAL);
    }
    at(a, flags, |vnode| write_user(ptr(a, 2), &vnode.stat()))
}

/// `statx(dirfd, path, flags, mask, to)`.
///
/// # Errors
/// As for [`sys_newfstatat`].
pub(crate) fn sys_statx(a: &Args) -> Result<u64, Errno> {
    let flags = AtFlags::from_bits_retain(int(a, 2));
    let mask = StatxMask::from_bits_retain(int(a, 3));
    if !KNOWN_FLAGS.contains(flags) || flags.contains(SYNC_FLAGS) || mask.intersects(StatxMask::RESERVED) {
        return Err(Errno::EINVAL);
    }
    at(a, flags, |vnode| write_user(ptr(a, 4), &extended(vnode, mask)))
}

/// Has `tell` tell of the vnode that arguments 0 and 1 name; large answers are so made where they are copied from.
fn at(a: &Args, flags: AtFlags, tell: impl Fn(&Vnode) -> Result<(), Fault>) -> Result<u64, Errno> {
    let empty_allowed = flags.contains(AtFlags::EMPTY_PATH);
    let mut room = PathRoom::new();
    // No path at all is an empty one, where that may be.
    let path = if empty_allowed && a.a[1] == 0 { &[] } else { room.read(ptr(a, 1))? };
    let base = match path.is_empty() {
        true if empty_allowed => Base::of(fd(a, 0))?,
        true => return Err(Errno::ENOENT),
        false => {
            let follow = if flags.contains(AtFlags::SYMLINK_NOFOLLOW) { Follow::No } else { Follow::Yes };
            Base::Vnode(resolve(Base::new(fd(a, 0), path)?.vnode(), path, follow)?)
        }
    };
    tell(base.vnode())?;
    Ok(0)
}

fn extended(vnode: &Vnode, asked: StatxMask) -> Statx {
    let stat: Stat = vnode.stat();
    let mut attributes = StatxAttributes::empty();
    let is_file = matches!(vnode, Vnode::Disk(node) if node.kind() == fs::Kind::File);
    attributes.set(StatxAttributes::DAX, is_file);
    let mut told = StatxMask::BASIC_STATS | StatxMask::MNT_ID;
    told.set(StatxMask::DIOALIGN, is_file && asked.contains(StatxMask::DIOALIGN));
    // Bytes go straight to and from the medium, from anywhere to anywhere.
    let align = u32::from(told.contains(StatxMask::DIOALIGN));
    attributes.set(StatxAttributes::MOUNT_ROOT, vnode.is_root());
    Statx {
        mask: told.bits(),
        blksize: stat.blksize as u32,
        attributes: attributes.bits(),
        nlink: stat.nlink,
        uid: stat.uid,
        gid: stat.gid,
        mode: stat.mode as u16,
        ino: stat.ino,
        size: stat.size as u64,
        blocks: stat.blocks as u64,
        attributes_mask: (StatxAttributes::DAX | StatxAttributes::MOUNT_ROOT).bits(),
        atime: timestamp(stat.atime),
        ctime: timestamp(stat.ctime),
        mtime: timestamp(stat.mtime),
        rdev_major: (stat.rdev >> 8) as u32,
        rdev_minor: (stat.rdev & 0xff) as u32,
        dev_major: (stat.dev >> 8) as u32,
        dev_minor: (stat.dev & 0xff) as u32,
        mnt_id: if matches!(vnode, Vnode::Disk(_)) { DISK_MOUNT } else { KERNEL_MOUNT },
        dio_mem_align: align,
        dio_offset_align: align,
        ..Statx::default()
    }
}

fn timestamp(time: Timespec) -> StatxTimestamp {
    StatxTimestamp { sec: time.sec, nsec: time.nsec as u32, reserved: 0 }
}

/// `statfs(path, to)`.
///
/// # Errors
/// `EFAULT`, and those of the walk.
pub(crate) fn sys_statfs(a: &Args) -> Result<u64, Errno> {
    let mut room = PathRoom::new();
    let path = room.read_some(ptr(a, 0))?;
    let vnode = resolve(Base::new(AT_FDCWD, path)?.vnode(), path, Follow::Yes)?;
    write_user(ptr(a, 1), &space(&vnode))?;
    Ok(0)
}

/// `fstatfs(fd, to)`.
///
/// # Errors
/// `EBADF`, `EFAULT`.
pub(crate) fn sys_fstatfs(a: &Args) -> Result<u64, Errno> {
    let file = current().files.get_raw(fd(a, 0))?;
    write_user(ptr(a, 1), &space(file.vnode()))?;
    Ok(0)
}

/// The file system's name folded in two, so that every machine calls it the same (`uuid_to_fsid`).
fn fsid(uuid: [u8; 16]) -> [i32; 2] {
    let [a, b, c, d]: [i32; 4] = zerocopy::transmute!(uuid);
    [a ^ c, b ^ d]
}

fn space(vnode: &Vnode) -> Statfs {
    const VALID: u64 = StatfsFlags::VALID.union(StatfsFlags::RELATIME).bits();
    let common = Statfs { flags: VALID, bsize: PAGE_SIZE, frsize: PAGE_SIZE, namelen: NAME_MAX as u64, ..Statfs::default() };
    match vnode {
        Vnode::Kernel(_) => Statfs { kind: PROC_MAGIC, ..common },
        Vnode::Disk(node) => {
            let space = node.fs().space();
            Statfs {
                kind: VITRINE_MAGIC,
                blocks: space.blocks,
                bfree: space.free,
                bavail: space.available,
                files: space.inodes,
                fsid: fsid(node.fs().uuid()),
                flags: VALID | if node.fs().is_read_only() { StatfsFlags::RDONLY.bits() } else { 0 },
                ..common
            }
        }
    }
}
