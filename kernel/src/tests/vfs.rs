//! Paths, descriptors, the kernel's own tree, and opening, on the mounted medium where one is needed.

use crate::testing::kernel_test;
use crate::vfs::open::{How, open};
use crate::vfs::path::{self, Follow, resolve};
use crate::vfs::{self, Closing, File, Files, Node, Vnode, Whence};
use abi::Errno;
use abi::file::{Dirent64, OpenFlags};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use fs::{Kind, NewNode};
use zerocopy::FromBytes;

fn opened(base: &Vnode, path: &[u8], flags: OpenFlags) -> Result<Arc<File>, Errno> {
    open(base, path, How::new(flags.bits(), 0o644)?)
}

fn refusal<T>(answer: Result<T, Errno>) -> Option<Errno> {
    answer.err()
}

fn content(file: &File) -> Vec<u8> {
    let mut buffer = vec![0; 8192];
    let len = file.read(buffer.len(), &mut buffer.as_mut_slice()).unwrap();
    buffer.truncate(len);
    buffer
}

/// The names in a directory, gathered in pieces of `room` bytes.
fn names(directory: &File, room: usize) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    loop {
        let mut records = Vec::new();
        let gather = |bytes: &[u8]| {
            records.extend_from_slice(bytes);
            Ok(())
        };
        if directory.list(room, gather).unwrap() == 0 {
            return names;
        }
        let mut rest = records.as_slice();
        while let Ok((head, tail)) = Dirent64::read_from_prefix(rest) {
            let end = tail.iter().position(|&byte| byte == 0).unwrap();
            names.push(tail[..end].to_vec());
            rest = &rest[usize::from(head.reclen)..];
        }
    }
}

fn disk(vnode: &Vnode) -> &Node {
    vnode.disk().unwrap()
}

/// Gives `act` an empty directory of the mounted medium, and removes it and what was left in it.
fn in_directory(name: &str, act: impl FnOnce(&Vnode)) {
    let root = vfs::root();
    let mode = NewNode::Directory { mode: 0o755 };
    let directory = Vnode::Disk(disk(&root).create(name.as_bytes(), mode, vfs::now()).unwrap());
    act(&directory);
    let list = opened(&directory, b".", OpenFlags::DIRECTORY).unwrap();
    for entry in names(&list, 4096) {
        if entry != b"." && entry != b".." {
            disk(&directory).unlink(&entry, vfs::now()).unwrap();
        }
    }
    disk(&root).rmdir(name.as_bytes(), vfs::now()).unwrap();
}

kernel_test! {
    /// Three descriptors begin on the terminal, and a new one is the lowest that is free.
    fn the_lowest_free_descriptor_is_taken() {
        let files = Files::new_console().unwrap();
        assert!((0..3).all(|fd| files.get(fd).unwrap().is_terminal()));
        assert_eq!(files.duplicate(0, 0, false), Ok(3));
        assert_eq!(files.duplicate(0, 100, false), Ok(100));
        files.close(1).unwrap();
        assert_eq!(files.duplicate(0, 0, false), Ok(1));
        assert_eq!(files.duplicate(0, 0, false), Ok(4));
        assert_eq!(refusal(files.close(50)), Some(Errno::EBADF));
        assert_eq!(refusal(files.get(-1)), Some(Errno::EBADF));
        assert_eq!(refusal(files.duplicate(0, 1024, false)), Some(Errno::EINVAL));
    }
}

kernel_test! {
    /// A program has 1024 descriptors and no more; a reserved one is in use but opens nothing.
    fn descriptors_run_out_at_the_limit() {
        let files = Files::new_console().unwrap();
        let reserved = files.reserve(0, false).unwrap();
        assert_eq!(refusal(files.get(3)), Some(Errno::EBADF));
        assert_eq!(refusal(files.duplicate_to(0, 3, false)), Some(Errno::EBUSY));
        for fd in 4..1024 {
            assert_eq!(files.duplicate(0, 0, false), Ok(fd));
        }
        assert_eq!(refusal(files.duplicate(0, 0, false)), Some(Errno::EMFILE));
        assert_eq!(files.copy().unwrap().duplicate(0, 0, false), Ok(3), "a reserved descriptor is not copied");
        drop(reserved);
        assert_eq!(files.duplicate(0, 0, false), Ok(3));
        files.close_range(3, u32::MAX, Closing::Now);
        assert_eq!(files.duplicate(2, 0, false), Ok(3));
    }
}

kernel_test! {
    /// What is marked ends at `execve`, and only in the table that runs it.
    fn marked_descriptors_end_at_exec() {
        let files = Files::new_console().unwrap();
        assert_eq!(files.duplicate(0, 0, true), Ok(3));
        assert_eq!(files.duplicate_to(0, 9, true), Ok(9));
        assert_eq!(files.duplicate(3, 0, false), Ok(4), "a duplicate does not inherit the mark");
        let copy = files.copy().unwrap();
        assert_eq!(copy.is_cloexec(9), Ok(true));
        copy.set_cloexec(9, false).unwrap();
        copy.close_on_exec();
        assert_eq!(refusal(copy.get(3)), Some(Errno::EBADF));
        assert!(copy.get(9).is_ok() && copy.get(4).is_ok() && files.get(3).is_ok());
        files.close_range(0, 2, Closing::OnExec);
        files.close_on_exec();
        let left: Vec<i32> = (0..16).filter(|&fd| files.get(fd).is_ok()).collect();
        assert_eq!(left, [4]);
    }
}

kernel_test! {
    /// `/dev` and `/proc` are found from every side, and refuse to be changed.
    fn the_kernels_own_tree() {
        let root = vfs::root();
        let found = |path: &[u8]| resolve(&root, path, Follow::Yes);
        assert_eq!(found(b"/dev/../proc/./vitrine//counters").unwrap().kind(), Kind::File);
        assert_eq!(refusal(found(b"/dev/null/")), Some(Errno::ENOTDIR));
        assert_eq!(refusal(found(b"/dev/null/x")), Some(Errno::ENOTDIR));
        assert_eq!(refusal(found(b"/proc/nothing")), Some(Errno::ENOENT));
        assert!(found(b"/proc/..").unwrap().is_root());
        assert_eq!(path::of_directory(&found(b"proc/vitrine").unwrap()).unwrap(), b"/proc/vitrine");
        assert_eq!(refusal(opened(&root, b"/proc/x", OpenFlags::CREAT | OpenFlags::WRONLY)), Some(Errno::EROFS));
        let to_text = opened(&root, b"/proc/vitrine/counters", OpenFlags::WRONLY);
        assert_eq!(refusal(to_text), Some(Errno::EACCES));
        let listed = names(&opened(&root, b"/proc/vitrine", OpenFlags::DIRECTORY).unwrap(), 32);
        for name in [b".".as_slice(), b"..", b"counters", b"pmem", b"namespaces", b"badblocks", b"forget", b"stacks", b"features"] {
            assert_eq!(listed.iter().filter(|listed| *listed == name).count(), 1, "{name:?} in {listed:?}");
        }
        let shown = names(&opened(&root, b"/", OpenFlags::RDONLY).unwrap(), 4096);
        for name in [b"dev".as_slice(), b"proc"] {
            assert_eq!(shown.iter().filter(|shown| *shown == name).count(), 1);
        }
    }
}

kernel_test! {
    /// The small devices do what their names say, and the counters are lines of a name and a number.
    fn devices_and_texts() {
        let root = vfs::root();
        let device = |path: &[u8]| opened(&root, path, OpenFlags::RDWR).unwrap();
        assert_eq!(content(&device(b"/dev/null")), b"");
        assert_eq!(device(b"/dev/null").write(&mut b"gone".as_slice()), Ok(4));
        assert!(content(&device(b"/dev/zero")).iter().all(|&byte| byte == 0));
        assert_eq!(device(b"/dev/full").write(&mut b"much".as_slice()), Err(Errno::ENOSPC));
        assert_eq!(content(&device(b"/dev/urandom")).len(), 8192);
        assert_eq!(device(b"/dev/console").seek(0, Whence::Set), Err(Errno::ESPIPE));
        let counters = opened(&root, b"/proc/vitrine/counters", OpenFlags::RDONLY).unwrap();
        let text = content(&counters);
        let lines = core::str::from_utf8(&text).unwrap().lines();
        let good = |line: &str| line.split_once(' ').is_some_and(|(_, value)| value.parse::<u64>().is_ok());
        assert!(!text.is_empty() && lines.clone().all(good));
        assert_eq!(content(&counters), b"", "a second read is at the end");
        assert_eq!(counters.seek(0, Whence::Set), Ok(0));
        assert_eq!(content(&counters).len(), text.len());
    }
}

kernel_test! {
    /// A path is refused for the reasons Linux has, in Linux's order.
    fn paths_are_refused_as_linux_does() {
        let root = vfs::root();
        let found = |path: &[u8]| resolve(&root, path, Follow::Yes);
        assert_eq!(refusal(found(b"")), Some(Errno::ENOENT));
        let long = vec![b'n'; 256];
        assert_eq!(refusal(found(&long)), Some(Errno::ENAMETOOLONG));
        assert_eq!(refusal(found(&[b"missing/", long.as_slice()].concat())), Some(Errno::ENOENT));
        assert!(found(b"///").unwrap().is_root() && found(b"/../..").unwrap().is_root());
        let null = found(b"dev/null").unwrap();
        assert_eq!(refusal(resolve(&null, b"x", Follow::Yes)), Some(Errno::ENOTDIR));
        assert!(resolve(&null, b"/", Follow::Yes).is_ok(), "an absolute path does not look at its base");
    }
}

kernel_test! {
    /// `O_CREAT`, `O_EXCL`, `O_TRUNC`, `O_APPEND`, `O_DIRECTORY` and `O_PATH` on a file of the medium.
    fn opening_makes_cuts_and_appends() {
        in_directory("test-vfs-open", |directory| {
            let open = |path: &[u8], flags| opened(directory, path, flags);
            let make = OpenFlags::CREAT | OpenFlags::RDWR;
            assert_eq!(refusal(open(b"f", OpenFlags::RDWR)), Some(Errno::ENOENT));
            assert_eq!(refusal(open(b"f/", make)), Some(Errno::EISDIR));
            let file = open(b"f", make | OpenFlags::EXCL).unwrap();
            assert_eq!(refusal(open(b"f", make | OpenFlags::EXCL)), Some(Errno::EEXIST));
            assert_eq!(file.write(&mut b"0123456789".as_slice()), Ok(10));
            assert_eq!(file.write_at(2, &mut b"ab".as_slice()), Ok(2));
            assert_eq!((file.seek(0, Whence::Current), content(&file)), (Ok(10), vec![]));
            let appending = open(b"f", OpenFlags::WRONLY | OpenFlags::APPEND).unwrap();
            assert_eq!(appending.write(&mut b"+".as_slice()), Ok(1));
            assert_eq!(appending.seek(0, Whence::Current), Ok(11));
            assert_eq!(refusal(appending.read(1, &mut [0].as_mut_slice())), Some(Errno::EBADF));
            assert_eq!(file.seek(-9, Whence::End), Ok(2));
            assert_eq!(content(&file), b"ab456789+");
            assert_eq!(refusal(open(b"f", OpenFlags::DIRECTORY)), Some(Errno::ENOTDIR));
            assert_eq!(refusal(open(b"f/", OpenFlags::RDONLY)), Some(Errno::ENOTDIR));
            assert_eq!(refusal(open(b".", OpenFlags::RDWR)), Some(Errno::EISDIR));
            assert_eq!(refusal(open(b".", make)), Some(Errno::EISDIR));
            let place = open(b"f", OpenFlags::PATH).unwrap();
            assert!(place.is_path() && place.regular().is_none());
            open(b"f", OpenFlags::WRONLY | OpenFlags::TRUNC).unwrap();
            assert_eq!(file.seek(0, Whence::End), Ok(0));
            assert_eq!(refusal(file.seek(-1, Whence::Set)), Some(Errno::EINVAL));
        });
    }
}

kernel_test! {
    /// Links are followed up to forty deep, by open and by create, and stand for themselves where asked.
    fn symbolic_links() {
        in_directory("test-vfs-links", |directory| {
            let link = |name: &str, target: &str| {
                let new = NewNode::Symlink { target: target.as_bytes() };
                disk(directory).create(name.as_bytes(), new, vfs::now()).unwrap();
            };
            link("loop", "loop");
            link("dangling", "made");
            link("null", "/dev/null");
            link("up", "../test-vfs-links");
            for depth in 1..=40 {
                link(&format!("l{depth}"), &if depth == 1 { "null".into() } else { format!("l{}", depth - 1) });
            }
            let found = |path: &[u8]| resolve(directory, path, Follow::Yes);
            assert_eq!(refusal(found(b"loop")), Some(Errno::ELOOP));
            assert_eq!(found(b"l39").unwrap().stat().rdev, 0x103);
            assert_eq!(refusal(found(b"l40")), Some(Errno::ELOOP), "null is the forty-first");
            assert!(found(b"up/up/up/").unwrap().is_directory());
            assert_eq!(resolve(directory, b"loop", Follow::No).unwrap().kind(), Kind::Symlink);
            assert_eq!(resolve(directory, b"up/", Follow::No).unwrap().kind(), Kind::Directory);
            let open = |path: &[u8], flags| opened(directory, path, flags);
            let make = OpenFlags::CREAT | OpenFlags::WRONLY;
            assert_eq!(refusal(open(b"dangling", OpenFlags::RDONLY)), Some(Errno::ENOENT));
            assert_eq!(refusal(open(b"dangling", make | OpenFlags::EXCL)), Some(Errno::EEXIST));
            assert_eq!(refusal(open(b"dangling", OpenFlags::NOFOLLOW)), Some(Errno::ELOOP));
            open(b"dangling", make).unwrap();
            assert_eq!(found(b"made").unwrap().kind(), Kind::File);
            let place = open(b"dangling", OpenFlags::PATH | OpenFlags::NOFOLLOW).unwrap();
            assert_eq!(place.vnode().read_link().unwrap(), b"made");
            let made = open(b"up/dangling", OpenFlags::RDONLY).unwrap();
            assert_eq!(made.path().unwrap(), b"/test-vfs-links/made");
        });
    }
}

kernel_test! {
    /// An open file knows its path, whatever was done to its name since.
    fn an_open_file_follows_its_name() {
        in_directory("test-vfs-names", |directory| {
            let long = [b'n'; 200];
            let (from, now) = (disk(directory), vfs::now());
            let file = opened(directory, &long, OpenFlags::CREAT | OpenFlags::RDWR).unwrap();
            assert_eq!(file.path().unwrap(), [b"/test-vfs-names/", &long[..]].concat());
            from.rename(&long, from, b"short", fs::Rename::Replace, now).unwrap();
            assert_eq!(file.path().unwrap(), b"/test-vfs-names/short");
            let below = from.create(b"below", NewNode::Directory { mode: 0o755 }, now).unwrap();
            from.rename(b"short", &below, b"there", fs::Rename::Replace, now).unwrap();
            assert_eq!(file.path().unwrap(), b"/test-vfs-names/below/there");
            let again = opened(directory, b"below/there", OpenFlags::RDONLY).unwrap();
            from.rename(b"below", from, b"moved", fs::Rename::Replace, now).unwrap();
            assert_eq!(again.path().unwrap(), b"/test-vfs-names/moved/there");
            opened(directory, b"moved/there", OpenFlags::CREAT | OpenFlags::RDWR).map(drop).unwrap();
            below.unlink(b"there", now).unwrap();
            opened(directory, b"moved/there", OpenFlags::CREAT | OpenFlags::RDWR).map(drop).unwrap();
            assert_eq!(again.path().unwrap(), b"/test-vfs-names/moved/there (deleted)", "another has the name");
            let unnamed = opened(directory, b".", OpenFlags::TMPFILE | OpenFlags::DIRECTORY | OpenFlags::RDWR).unwrap();
            let number = unnamed.vnode().stat().ino;
            assert_eq!(unnamed.path().unwrap(), format!("/test-vfs-names/#{number} (deleted)").as_bytes());
            assert_eq!(opened(directory, b".", OpenFlags::DIRECTORY).unwrap().path().unwrap(), b"/test-vfs-names");
            below.unlink(b"there", now).unwrap();
            from.rmdir(b"moved", now).unwrap();
            assert_eq!(opened(directory, b"/dev/null", OpenFlags::RDWR).unwrap().path().unwrap(), b"/dev/null");
        });
    }

    /// A program needs an execute bit and nobody who writes to it; while it is run, nobody does.
    fn running_programs_are_not_written() {
        in_directory("test-vfs-exec", |directory| {
            let exec = |path: &[u8]| vfs::open_exec_from(directory, path);
            let file = opened(directory, b"f", OpenFlags::CREAT | OpenFlags::RDWR).unwrap();
            assert_eq!(exec(b"f").err(), Some(Errno::EACCES));
            let mode = fs::SetAttr { mode: Some(0o755), ..fs::SetAttr::default() };
            disk(file.vnode()).set_attr(mode, vfs::now()).unwrap();
            assert_eq!(exec(b"f").err(), Some(Errno::ETXTBSY));
            drop(file);
            let running = exec(b"f").unwrap();
            assert_eq!(refusal(opened(directory, b"f", OpenFlags::WRONLY)), Some(Errno::ETXTBSY));
            assert_eq!(refusal(opened(directory, b"f", OpenFlags::TRUNC)), Some(Errno::ETXTBSY));
            assert!(opened(directory, b"f", OpenFlags::RDONLY).is_ok());
            drop(running);
            assert!(opened(directory, b"f", OpenFlags::WRONLY).is_ok());
            assert_eq!(exec(b".").err(), Some(Errno::EACCES));
            assert_eq!(exec(b"missing").err(), Some(Errno::ENOENT));
        });
    }
}
