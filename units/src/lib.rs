//! Addresses, page numbers and byte counts that never meet without a conversion that has a name.
//!
//! Every quantity is a newtype over `u64`; arithmetic that can overflow returns `Option`. The difference of two
//! addresses is a [`ByteLen`], never an address.
#![no_std]
#![forbid(unsafe_code)]

/// Bytes in a page, a frame and a file-system block.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// Bytes covered by a level-2 block descriptor, and the alignment of large file runs.
pub const HUGE_SIZE: u64 = 1 << HUGE_SHIFT;
/// log2 of [`HUGE_SIZE`].
pub const HUGE_SHIFT: u32 = 21;
/// Bytes in a sector: the unit bad blocks are counted in.
pub const SECTOR_SIZE: u64 = 512;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $shown:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);

            /// Wraps a bare number.
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// The bare number.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, $shown, self.0)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Debug::fmt(self, f)
            }
        }
    };
}

macro_rules! address {
    ($name:ident) => {
        impl $name {
            /// The address `len` bytes up, or `None` past the end of 64 bits.
            pub const fn checked_add(self, len: ByteLen) -> Option<Self> {
                match self.0.checked_add(len.0) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }

            /// How far `self` lies above `base`, or `None` below it.
            pub const fn checked_sub(self, base: Self) -> Option<ByteLen> {
                match self.0.checked_sub(base.0) {
                    Some(raw) => Some(ByteLen(raw)),
                    None => None,
                }
            }

            /// Whether this is a multiple of `align`, a power of two.
            pub const fn is_aligned(self, align: u64) -> bool {
                self.0 & (align - 1) == 0
            }

            /// The multiple of `align` (a power of two) at or below.
            pub const fn align_down(self, align: u64) -> Self {
                Self(self.0 & !(align - 1))
            }

            /// The multiple of `align` (a power of two) at or above, or `None` past the end of 64 bits.
            pub const fn align_up(self, align: u64) -> Option<Self> {
                match self.0.checked_add(align - 1) {
                    Some(raw) => Some(Self(raw & !(align - 1))),
                    None => None,
                }
            }

            /// Bytes from the start of the page.
            pub const fn page_offset(self) -> u64 {
                self.0 & (PAGE_SIZE - 1)
            }
        }
    };
}

quantity!(
    /// A physical address.
    PhysAddr, "pa:{:#x}");
quantity!(
    /// A virtual address, tag bits included.
    VirtAddr, "va:{:#x}");
quantity!(
    /// A byte offset into one pmem device, `data_offset` not included.
    PmOff, "pm:{:#x}");
quantity!(
    /// A byte offset into a file.
    FileOff, "off:{:#x}");
quantity!(
    /// A page frame number: a physical address over [`PAGE_SIZE`].
    Pfn, "pfn:{:#x}");
quantity!(
    /// A count of pages.
    PageCount, "{} pages");
quantity!(
    /// A count of bytes.
    ByteLen, "{} bytes");
quantity!(
    /// A block of the medium: a pmem offset over [`PAGE_SIZE`].
    BlockNr, "blk:{}");
quantity!(
    /// A block of a file: a file offset over [`PAGE_SIZE`].
    FileBlock, "fblk:{}");
quantity!(
    /// A 512-byte sector of one pmem device.
    Sector, "sector:{}");
quantity!(
    /// An inode number.
    Ino, "ino:{}");

address!(PhysAddr);
address!(VirtAddr);
address!(PmOff);
address!(FileOff);

impl PhysAddr {
    /// The frame this address lies in.
    pub const fn pfn(self) -> Pfn {
        Pfn(self.0 >> PAGE_SHIFT)
    }
}

impl Pfn {
    /// The first address of the frame.
    pub const fn base(self) -> PhysAddr {
        PhysAddr(self.0 << PAGE_SHIFT)
    }

    /// The frame `n` further up.
    pub const fn checked_add(self, n: PageCount) -> Option<Self> {
        match self.0.checked_add(n.0) {
            Some(raw) if raw <= u64::MAX >> PAGE_SHIFT => Some(Self(raw)),
            _ => None,
        }
    }
}

impl PmOff {
    /// The block this offset lies in.
    pub const fn block(self) -> BlockNr {
        BlockNr(self.0 >> PAGE_SHIFT)
    }

    /// The sector this offset lies in.
    pub const fn sector(self) -> Sector {
        Sector(self.0 / SECTOR_SIZE)
    }
}

impl BlockNr {
    /// The first byte of the block.
    pub const fn base(self) -> PmOff {
        PmOff(self.0 << PAGE_SHIFT)
    }
}

impl FileOff {
    /// The file block this offset lies in.
    pub const fn block(self) -> FileBlock {
        FileBlock(self.0 >> PAGE_SHIFT)
    }
}

impl FileBlock {
    /// The first byte of the block.
    pub const fn base(self) -> FileOff {
        FileOff(self.0 << PAGE_SHIFT)
    }
}

impl PageCount {
    /// The bytes these pages hold, or `None` past the end of 64 bits.
    pub const fn bytes(self) -> Option<ByteLen> {
        match self.0.checked_mul(PAGE_SIZE) {
            Some(raw) => Some(ByteLen(raw)),
            None => None,
        }
    }
}

impl ByteLen {
    /// How many pages hold this many bytes, the last one perhaps in part.
    pub const fn pages_up(self) -> PageCount {
        PageCount(self.0.div_ceil(PAGE_SIZE))
    }
}

macro_rules! range {
    ($(#[$doc:meta])* $name:ident, $addr:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name {
            start: $addr,
            end: $addr,
        }

        impl $name {
            /// `start..end`, or `None` where `end` lies below `start`.
            pub const fn new(start: $addr, end: $addr) -> Option<Self> {
                if start.0 <= end.0 { Some(Self { start, end }) } else { None }
            }

            /// `len` bytes from `start`, or `None` where that passes the end of 64 bits.
            pub const fn with_len(start: $addr, len: ByteLen) -> Option<Self> {
                match start.checked_add(len) {
                    Some(end) => Some(Self { start, end }),
                    None => None,
                }
            }

            /// The first address.
            pub const fn start(self) -> $addr {
                self.start
            }

            /// The first address behind.
            pub const fn end(self) -> $addr {
                self.end
            }

            /// Bytes covered.
            pub const fn len(self) -> ByteLen {
                ByteLen(self.end.0 - self.start.0)
            }

            /// Whether nothing is covered.
            pub const fn is_empty(self) -> bool {
                self.start.0 == self.end.0
            }

            /// Whether `at` lies inside.
            pub const fn contains(self, at: $addr) -> bool {
                self.start.0 <= at.0 && at.0 < self.end.0
            }

            /// Whether `other` lies inside as a whole.
            pub const fn covers(self, other: Self) -> bool {
                self.start.0 <= other.start.0 && other.end.0 <= self.end.0
            }

            /// Whether the two share an address.
            pub const fn overlaps(self, other: Self) -> bool {
                self.start.0 < other.end.0 && other.start.0 < self.end.0
            }

            /// What the two share, or `None`.
            pub fn intersection(self, other: Self) -> Option<Self> {
                let (start, end) = (self.start.max(other.start), self.end.min(other.end));
                (start < end).then_some(Self { start, end })
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{:#x}..{:#x}", self.start.0, self.end.0)
            }
        }
    };
}

range!(
    /// A half-open range of physical addresses.
    PhysRange, PhysAddr);
range!(
    /// A half-open range of virtual addresses.
    VirtRange, VirtAddr);
range!(
    /// A half-open range of offsets into a pmem device.
    PmRange, PmOff);
range!(
    /// A half-open range of file offsets.
    FileRange, FileOff);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_rounds_and_refuses_overflow() {
        assert_eq!(VirtAddr::new(0x1fff).align_down(PAGE_SIZE), VirtAddr::new(0x1000));
        assert_eq!(VirtAddr::new(0x1001).align_up(PAGE_SIZE), Some(VirtAddr::new(0x2000)));
        assert_eq!(VirtAddr::new(u64::MAX).align_up(PAGE_SIZE), None);
    }

    #[test]
    fn ranges_share_only_what_lies_in_both() {
        let range = |a, b| VirtRange::new(VirtAddr::new(a), VirtAddr::new(b)).unwrap();
        assert_eq!(range(0, 10).intersection(range(5, 20)), Some(range(5, 10)));
        assert_eq!(range(0, 10).intersection(range(10, 20)), None);
        assert!(range(0, 10).covers(range(3, 10)));
        assert_eq!(VirtRange::new(VirtAddr::new(2), VirtAddr::new(1)), None);
    }

    #[test]
    fn frames_past_the_physical_end_are_refused() {
        assert_eq!(Pfn::new(u64::MAX >> PAGE_SHIFT).checked_add(PageCount::new(1)), None);
        assert_eq!(PageCount::new(u64::MAX).bytes(), None);
    }
}
