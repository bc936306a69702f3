//! What a process may have at most (`struct rlimit`), and how its addresses are handed out (`personality`).

use abi::task::{Rlimit64, rlimit};
use mm::space::{self, AddressLimit, Order};

/// The limits of a process and its personality; a child begins with the same, and `execve` keeps them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    stack: Rlimit64,
    locked: Rlimit64,
    addresses: Rlimit64,
    file_size: Rlimit64,
    /// The word of `personality`.
    pub(crate) personality: u32,
}

/// Linux's `MLOCK_LIMIT`.
const LOCKED: u64 = 8 << 20;

impl Default for Limits {
    /// What Linux gives its first process.
    fn default() -> Self {
        let same = |value| Rlimit64 { cur: value, max: value };
        Self {
            stack: Rlimit64 { cur: space::DEFAULT_STACK_LIMIT, max: rlimit::INFINITY },
            locked: same(LOCKED),
            addresses: same(rlimit::INFINITY),
            file_size: same(rlimit::INFINITY),
            personality: 0,
        }
    }
}

impl Limits {
    /// The limit of a resource that a program may change, to be read or written: `RLIMIT_STACK`, `RLIMIT_MEMLOCK`, `RLIMIT_AS`,
    /// `RLIMIT_FSIZE`.
    pub(crate) fn resource(&mut self, resource: u32) -> Option<&mut Rlimit64> {
        match resource {
            rlimit::STACK => Some(&mut self.stack),
            rlimit::MEMLOCK => Some(&mut self.locked),
            rlimit::AS => Some(&mut self.addresses),
            rlimit::FSIZE => Some(&mut self.file_size),
            _ => None,
        }
    }

    /// What they are to an address space. Every program is root, which has `CAP_IPC_LOCK`: it may lock what it likes.
    pub(crate) fn of_space(&self) -> space::Limits {
        space::Limits { stack: self.stack.cur, locked: u64::MAX, addresses: self.addresses.cur }
    }

    /// The byte of a file at which writing ends: `RLIMIT_FSIZE`, or the largest file there is.
    pub(crate) fn file_end(&self) -> u64 {
        self.file_size.cur.min(fs::MAX_FILE_SIZE)
    }

    /// How far the addresses reach that `mmap` hands out.
    pub(crate) fn reach(&self) -> AddressLimit {
        if self.personality & abi::task::persona::ADDR_LIMIT_32BIT == 0 { AddressLimit::Full } else { AddressLimit::Low }
    }

    /// In which order a new program's `mmap` looks for room (`mmap_is_legacy`).
    pub(crate) fn order(&self) -> Order {
        let legacy = self.personality & abi::task::persona::ADDR_COMPAT_LAYOUT != 0;
        if legacy || self.stack.cur == rlimit::INFINITY { Order::BottomUp } else { Order::TopDown }
    }
}
