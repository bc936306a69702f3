//! `execve`: a new program in the place of the old one.
//!
//! [`image`] reads the ELF file and says what goes where; [`stack`] lays out what the program finds on its stack. A
//! program is executed in place: its text is the file's own blocks, mapped, and the file cannot be written meanwhile.
//! Everything that may be refused is refused before the old program is gone.

mod image;
pub(crate) mod property;
mod stack;

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::signal;
use abi::task::WaitStatus;

use crate::{features, heap};
use crate::space::Space;
use crate::syscall::Args;
use crate::task::{self, exit, flag, process};
use crate::trap::TrapFrame;
use crate::uaccess::{CstrError, UserPtr, read_cstr, read_user};
use crate::vfs;
use units::VirtAddr;
use image::Image;
use stack::Strings;

/// Bytes of arguments and environment together, their NULs included (Linux: a quarter of the stack's limit).
const MAX_STRINGS: usize = 256 << 10;
/// Bytes of one argument, its NUL included (Linux: `MAX_ARG_STRLEN`).
const MAX_STRING: usize = 128 << 10;
/// Heap that loading takes at most beside the strings.
const WORST_CASE: usize = 32 << 10;

/// A program ready to run, and the space it will run in.
struct Loaded {
    space: Arc<Space>,
    image: Image,
    exe: Arc<[u8]>,
}

/// `execve(path, argv, envp)`.
pub(crate) fn sys_execve(a: &Args) -> Result<u64, Errno> {
    let path = read_cstr(UserPtr::new(a.a[0]), abi::file::PATH_MAX).map_err(|error| match error {
        CstrError::Fault => Errno::EFAULT,
        CstrError::TooLong => Errno::ENAMETOOLONG,
        CstrError::OutOfMemory => Errno::ENOMEM,
    })?;
    let mut room = MAX_STRINGS;
    let arguments = read_strings(UserPtr::new(a.a[1]), &mut room)?;
    let environment = read_strings(UserPtr::new(a.a[2]), &mut room)?;
    let strings = Strings { path, arguments, environment };
    let loaded = load(&strings.path)?;
    replace(loaded, strings)
}

/// Makes the calling task of the kernel the first program.
///
/// # Errors
/// Why the program cannot be run; nothing has changed then.
pub(crate) fn run_init(path: &[u8], arguments: Vec<Vec<u8>>, environment: Vec<Vec<u8>>) -> Result<(), Errno> {
    let strings = Strings { path: path.to_vec(), arguments, environment };
    let loaded = load(&strings.path)?;
    replace(loaded, strings).map(drop)
}

/// Reads a null-ended array of strings, charging `room` for each.
fn read_strings(array: UserPtr, room: &mut usize) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    if array.is_null() {
        return Ok(strings);
    }
    loop {
        let pointer: u64 = read_user(array.add(8 * strings.len() as u64))?;
        if pointer == 0 {
            return Ok(strings);
        }
        heap::reserve(size_of::<Vec<u8>>() * 2 * (strings.len() + 1))?;
        let most = MAX_STRING.min(*room);
        let string = read_cstr(UserPtr::new(pointer), most).map_err(|error| match error {
            CstrError::Fault => Errno::EFAULT,
            CstrError::TooLong => Errno::E2BIG,
            CstrError::OutOfMemory => Errno::ENOMEM,
        })?;
        // The string, its NUL, and the pointer to it.
        *room = room.checked_sub(string.len() + 1 + 8).ok_or(Errno::E2BIG)?;
        strings.push(string);
    }
}

/// Maps the program `path` names into a space of its own.
fn load(path: &[u8]) -> Result<Loaded, Errno> {
    heap::reserve(WORST_CASE)?;
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let (program, text) = vfs::open_exec(path)?;
    let exe: Arc<[u8]> = program.path()?.into();
    let space = Space::new()?;
    space.begin(&task::current().process.limits.lock());
    let image = Image::map(&program, text, &space)?;
    space.set_program(program);
    stack::map(&space)?;
    space.map_trampoline()?;
    Ok(Loaded { space, image, exe })
}

/// The point of no return: the calling task becomes the program. Answers what goes to x0, or never.
fn replace(loaded: Loaded, strings: Strings) -> Result<u64, Errno> {
    let task = task::current();
    process::become_single(task)?;
    let Loaded { space, image, exe } = loaded;
    task::robust::release(task);
    let old = task.replace_space(Some(space));
    task.finish_vfork();
    drop(old);
    task.files.close_on_exec();
    task.clear_child_tid.store(0, core::sync::atomic::Ordering::Relaxed);
    task.process.set_exe(exe);
    task.process.set_executed();
    task.reset_signals();
    let Ok(sp) = image.clear_tails().and_then(|()| stack::fill(&image, &strings)) else {
        // The old program is gone, so there is nobody to tell (Linux: `force_sigsegv` in `bprm_execve`).
        drop((image, strings));
        exit::end_process(WaitStatus::signaled(signal::SIGKILL));
    };
    if let Some(space) = task.space() {
        space.lock().set_stack_start(VirtAddr::new(sp));
    }
    task.reset_registers();
    let frame = TrapFrame { sp, elr: image.entry, spsr: features::first_state(), ..TrapFrame::ZERO };
    // SAFETY: the task is the current one, and no reference to its frame is used after this: a system call's answer
    // goes to x0, where it belongs; a task of the kernel goes to `enter_program` next.
    unsafe { task.program_frame().write(frame) };
    task.raise(flag::REGISTERS);
    Ok(0)
}

/// Leaves the kernel for the program that [`run_init`] prepared.
pub(crate) fn enter_program() -> ! {
    let task = task::current();
    // SAFETY: `run_init` wrote the frame; the stack below it is given up, and nothing on it needs dropping.
    unsafe {
        core::arch::asm!("mov sp, {frame}", "b return_to_user", frame = in(reg) task.program_frame(), options(noreturn));
    }
}
