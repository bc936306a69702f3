//! What a program finds on its stack (Linux: `create_elf_tables`): from the top down the strings, sixteen random bytes,
//! the auxiliary vector, the environment, the arguments and their number, at a 16-byte boundary.

use abi::Errno;
use abi::auxv::{self, Entry};
use alloc::vec::Vec;
use arch::features::{self, hwcap::Capabilities};
use mm::space::{Place, Request, TASK_SIZE, What};
use mm::{Prot, VmaFlags};
use units::{PAGE_SIZE, VirtAddr};
use zerocopy::IntoBytes;

use super::Image;
use crate::space::Space;
use crate::uaccess::{UserPtr, copy_to_user};
use crate::{heap, rng};

/// Bytes of the stack that are mapped from the start; the rest grows by faults (Linux: `stack_expand` in
/// `setup_arg_pages`).
const FIRST: u64 = 128 << 10;
/// What strings and tables may take at most: more than `execve` admits.
const MOST: u64 = 512 << 10;
/// Ticks a second of `times`.
const CLOCK_TICKS: u64 = 100;
/// A signal frame with FP state (Linux without SVE).
const MIN_SIGNAL_STACK: u64 = 4720;

/// What `execve` was given.
pub(super) struct Strings {
    /// The path as it was given (`AT_EXECFN`).
    pub(super) path: Vec<u8>,
    /// `argv`.
    pub(super) arguments: Vec<Vec<u8>>,
    /// `envp`.
    pub(super) environment: Vec<Vec<u8>>,
}

/// Maps the stack at the top of `space`.
///
/// # Errors
/// `ENOMEM`.
pub(super) fn map(space: &Space) -> Result<(), Errno> {
    let request = Request {
        place: Place::Fixed(VirtAddr::new(TASK_SIZE - FIRST - PAGE_SIZE)),
        len: FIRST,
        prot: Prot::RW,
        flags: VmaFlags::GROWS_DOWN,
        what: What::Anonymous,
    };
    space.lock().map(request).map(drop).map_err(|_| Errno::ENOMEM)
}

/// Writes downwards from the top of the stack.
struct Pusher {
    at: u64,
}

impl Pusher {
    fn bytes(&mut self, bytes: &[u8]) -> Result<u64, Errno> {
        self.at -= bytes.len() as u64;
        copy_to_user(UserPtr::new(self.at), bytes)?;
        Ok(self.at)
    }

    fn string(&mut self, string: &[u8]) -> Result<u64, Errno> {
        self.bytes(&[0])?;
        self.bytes(string)
    }

    /// Strings in such an order that the first lies lowest; answers their addresses.
    fn strings(&mut self, strings: &[Vec<u8>]) -> Result<Vec<u64>, Errno> {
        heap::reserve(size_of_val(strings))?;
        let mut pointers = Vec::with_capacity(strings.len());
        for string in strings.iter().rev() {
            pointers.push(self.string(string)?);
        }
        pointers.reverse();
        Ok(pointers)
    }
}

/// Fills the stack of the current space; answers the stack pointer the program begins with.
///
/// # Errors
/// `EFAULT`, which here means that memory is out, and `ENOMEM`.
pub(super) fn fill(image: &Image, strings: &Strings) -> Result<u64, Errno> {
    let top = TASK_SIZE - PAGE_SIZE;
    let mut push = Pusher { at: top };
    // Eight zero bytes end the stack, as on Linux.
    push.bytes(&[0; 8])?;
    let path = push.string(&strings.path)?;
    let environment = push.strings(&strings.environment)?;
    let arguments = push.strings(&strings.arguments)?;
    let platform = push.string(b"aarch64")?;
    let mut seed = [0; 16];
    rng::fill(&mut seed);
    let random = push.bytes(&seed)?;
    debug_assert!(top - push.at < MOST);

    heap::reserve(8 * (arguments.len() + environment.len() + 64))?;
    let mut words: Vec<u64> = Vec::with_capacity(arguments.len() + environment.len() + 64);
    words.push(arguments.len() as u64);
    words.extend_from_slice(&arguments);
    words.push(0);
    words.extend_from_slice(&environment);
    words.push(0);
    for entry in vector(image, path, platform, random) {
        words.extend_from_slice(&[entry.key, entry.value]);
    }
    push.at = (push.at - 8 * words.len() as u64) & !15;
    copy_to_user(UserPtr::new(push.at), words.as_bytes())?;
    Ok(push.at)
}

/// The auxiliary vector.
fn vector(image: &Image, path: u64, platform: u64, random: u64) -> [Entry; 20] {
    let caps = Capabilities::of(&features::common());
    let entry = |key, value| Entry { key, value };
    [
        entry(auxv::HWCAP, caps.first.bits()),
        entry(auxv::HWCAP2, caps.second.bits()),
        entry(auxv::PAGESZ, PAGE_SIZE),
        entry(auxv::CLKTCK, CLOCK_TICKS),
        entry(auxv::PHDR, image.headers),
        entry(auxv::PHENT, super::image::PHENT as u64),
        entry(auxv::PHNUM, image.header_count),
        entry(auxv::BASE, 0),
        entry(auxv::FLAGS, 0),
        entry(auxv::ENTRY, image.entry),
        entry(auxv::UID, 0),
        entry(auxv::EUID, 0),
        entry(auxv::GID, 0),
        entry(auxv::EGID, 0),
        entry(auxv::SECURE, 0),
        entry(auxv::RANDOM, random),
        entry(auxv::EXECFN, path),
        entry(auxv::PLATFORM, platform),
        entry(auxv::MINSIGSTKSZ, MIN_SIGNAL_STACK),
        entry(auxv::NULL, 0),
    ]
}
