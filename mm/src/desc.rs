//! One descriptor of VMSAv8-64: 4 KiB granule, 48-bit addresses, stage 1.
//!
//! First the raw bits, as `const` numbers that boot assembly takes as operands so that each is written once in the
//! whole house. Then what the bits mean: [`Level`], [`Prot`], [`Attributes`] and [`Desc`] itself. The section numbers
//! are those of the Arm Architecture Reference Manual, D8.3 ("Translation table descriptor formats").

use units::{PAGE_SHIFT, PageCount, Pfn, PhysAddr, VirtAddr};

// Kind of entry, bits 1:0 -------------------------------------------------------------------------------------------

/// Bit 0: the walker follows this entry. Everything else is ignored where it is clear.
pub const VALID: u64 = 1;
/// Bits 1:0 of an entry of levels 0 to 2 that points to the next table.
pub const TABLE: u64 = 0b11;
/// Bits 1:0 of an entry of levels 1 and 2 that maps memory.
pub const BLOCK: u64 = 0b01;
/// Bits 1:0 of an entry of level 3 that maps memory.
pub const PAGE: u64 = 0b11;
/// Bits 1:0, all of them.
pub const KIND_MASK: u64 = 0b11;

// Lower attributes of a block or a page -----------------------------------------------------------------------------

/// Where AttrIndx begins: an index into the bytes of MAIR_EL1.
pub const ATTR_SHIFT: u32 = 2;
/// AttrIndx, all of it.
pub const ATTR_MASK: u64 = 0b111 << ATTR_SHIFT;
/// AttrIndx of Normal memory, inner and outer write-back, read- and write-allocate.
pub const ATTR_NORMAL: u64 = (MAIR_NORMAL as u64) << ATTR_SHIFT;
/// AttrIndx of Device-nGnRE memory.
pub const ATTR_DEVICE: u64 = (MAIR_DEVICE as u64) << ATTR_SHIFT;
/// AttrIndx of Normal memory that no cache keeps.
pub const ATTR_NORMAL_NC: u64 = (MAIR_NORMAL_NC as u64) << ATTR_SHIFT;
/// AP\[1\]: EL0 may access.
pub const AP_USER: u64 = 1 << 6;
/// AP\[2\]: nobody may write.
pub const AP_READ_ONLY: u64 = 1 << 7;
/// Shareability, all of it.
pub const SH_MASK: u64 = 0b11 << 8;
/// Shared by all CPUs of the inner domain.
pub const SH_INNER: u64 = 0b11 << 8;
/// Access flag. Clear, the first touch faults, unless TCR.HA lets the hardware set it.
pub const AF: u64 = 1 << 10;
/// Not global: the entry belongs to one ASID.
pub const NG: u64 = 1 << 11;

// Upper attributes of a block or a page -----------------------------------------------------------------------------

/// Guarded page: indirect branches must land on `bti` (FEAT_BTI).
pub const GP: u64 = 1 << 50;
/// Dirty bit modifier: with TCR.HD the hardware clears [`AP_READ_ONLY`] at the first store.
pub const DBM: u64 = 1 << 51;
/// One of sixteen neighbours that a TLB may keep as one.
pub const CONT: u64 = 1 << 52;
/// EL1 never executes here.
pub const PXN: u64 = 1 << 53;
/// EL0 never executes here.
pub const UXN: u64 = 1 << 54;

// Attributes of a table descriptor: they bind everything below it (unless TCR.HPD) -----------------------------------

/// EL1 executes nothing below.
pub const PXN_TABLE: u64 = 1 << 59;
/// EL0 executes nothing below.
pub const UXN_TABLE: u64 = 1 << 60;
/// APTable\[0\]: EL0 accesses nothing below.
pub const AP_TABLE_NO_USER: u64 = 0b01 << 61;
/// APTable\[1\]: nobody writes below.
pub const AP_TABLE_READ_ONLY: u64 = 0b10 << 61;

// What the hardware leaves to software: 58:55 of any entry, 11:2 of a table descriptor --------------------------------

/// On a leaf: the frame belongs to the tree and is given back when the leaf goes.
pub const SW_OWNED: u64 = 1 << 55;
/// On a table descriptor: the table belongs to the tree, which counts its entries and frees it with the last.
pub const SW_COUNTED: u64 = 1 << 55;
/// Where a counted table descriptor keeps how many entries of its table are in use. The walker ignores 11:2 there.
pub const SW_COUNT_SHIFT: u32 = 2;
/// The ten bits of that count: 0 to 512.
pub const SW_COUNT_MASK: u64 = 0x3ff << SW_COUNT_SHIFT;

/// The output address of a page, or of the next table: bits 47:12.
pub const ADDRESS_MASK: u64 = 0x0000_ffff_ffff_f000;

// MAIR_EL1 ----------------------------------------------------------------------------------------------------------

/// Index of Normal write-back memory in [`MAIR_EL1`].
pub const MAIR_NORMAL: u32 = 0;
/// Index of Device-nGnRE memory in [`MAIR_EL1`].
pub const MAIR_DEVICE: u32 = 1;
/// Index of Normal non-cacheable memory in [`MAIR_EL1`].
pub const MAIR_NORMAL_NC: u32 = 2;
/// The value of MAIR_EL1.
pub const MAIR_EL1: u64 = 0xff << (8 * MAIR_NORMAL) | 0x04 << (8 * MAIR_DEVICE) | 0x44 << (8 * MAIR_NORMAL_NC);

// TCR_EL1 -----------------------------------------------------------------------------------------------------------

/// 64 less the bits of an address in either half.
pub const TCR_TSZ: u64 = 16;
/// T0SZ.
pub const TCR_T0SZ: u64 = TCR_TSZ;
/// T1SZ.
pub const TCR_T1SZ: u64 = TCR_TSZ << 16;
/// IRGN0, ORGN0: the walker of TTBR0 reads through the caches, write-back and write-allocate.
pub const TCR_WBWA0: u64 = 0b01 << 8 | 0b01 << 10;
/// IRGN1, ORGN1: the same for TTBR1.
pub const TCR_WBWA1: u64 = 0b01 << 24 | 0b01 << 26;
/// SH0: table memory under TTBR0 is inner shareable.
pub const TCR_SH0_INNER: u64 = 0b11 << 12;
/// SH1: the same for TTBR1.
pub const TCR_SH1_INNER: u64 = 0b11 << 28;
/// TG0: 4 KiB granule for TTBR0.
pub const TCR_TG0_4K: u64 = 0b00 << 14;
/// TG1: 4 KiB granule for TTBR1. The encoding differs from TG0's.
pub const TCR_TG1_4K: u64 = 0b10 << 30;
/// Every field of TCR_EL1 that does not depend on the CPU.
pub const TCR_BASE: u64 =
    TCR_T0SZ | TCR_T1SZ | TCR_WBWA0 | TCR_WBWA1 | TCR_SH0_INNER | TCR_SH1_INNER | TCR_TG0_4K | TCR_TG1_4K;
/// Where IPS begins: three bits, the encoding of ID_AA64MMFR0_EL1.PARange.
pub const TCR_IPS_SHIFT: u32 = 32;
/// The largest IPS used here: 48 bits.
pub const TCR_IPS_48: u64 = 0b101;
/// EPD0: nothing is walked through TTBR0.
pub const TCR_EPD0: u64 = 1 << 7;
/// AS: ASIDs have 16 bits.
pub const TCR_AS_SHIFT: u32 = 36;
/// TBI0: the top byte of a program's addresses is ignored.
pub const TCR_TBI0: u64 = 1 << 37;
/// HA: the hardware sets the access flag.
pub const TCR_HA_SHIFT: u32 = 39;
/// HD: the hardware clears AP\[2\] where DBM is set.
pub const TCR_HD_SHIFT: u32 = 40;
/// E0PD1: EL0 is refused the upper half before any walk (FEAT_E0PD).
pub const TCR_E0PD1: u64 = 1 << 56;
/// CnP of TTBR0 and TTBR1: a TLB may keep what one CPU walked for all that walk the same tables (FEAT_TTCNP).
pub const TTBR_CNP: u64 = 1;

// Whole leaves for boot assembly: OR in the address. Pages take [`PAGE`], blocks [`BLOCK`]. -----------------------------

/// Attributes every Normal leaf of the kernel has.
const KERNEL_NORMAL: u64 = ATTR_NORMAL | SH_INNER | AF;
/// Kernel text: EL1 reads and executes.
pub const KERNEL_TEXT: u64 = KERNEL_NORMAL | AP_READ_ONLY | UXN;
/// Kernel constants: EL1 reads.
pub const KERNEL_RODATA: u64 = KERNEL_NORMAL | AP_READ_ONLY | PXN | UXN;
/// Kernel data, stacks, heap and the linear map: EL1 reads and writes.
pub const KERNEL_DATA: u64 = KERNEL_NORMAL | PXN | UXN;
/// Device registers: EL1 reads and writes.
pub const KERNEL_DEVICE: u64 = ATTR_DEVICE | AF | PXN | UXN;

// Levels and indices ------------------------------------------------------------------------------------------------

/// Entries in a table.
pub const ENTRIES: usize = 512;
/// log2 of the bytes an entry of level 3 covers.
pub const PTE_SHIFT: u32 = PAGE_SHIFT;
/// log2 of the bytes an entry of level 2 covers: 2 MiB.
pub const PMD_SHIFT: u32 = PTE_SHIFT + 9;
/// log2 of the bytes an entry of level 1 covers: 1 GiB.
pub const PUD_SHIFT: u32 = PMD_SHIFT + 9;
/// log2 of the bytes an entry of level 0 covers: 512 GiB.
pub const PGD_SHIFT: u32 = PUD_SHIFT + 9;

/// The entry of the level-0 table that covers `va`.
pub const fn pgd_index(va: VirtAddr) -> usize {
    Level::Pgd.index(va)
}

/// The entry of its level-1 table that covers `va`.
pub const fn pud_index(va: VirtAddr) -> usize {
    Level::Pud.index(va)
}

/// The entry of its level-2 table that covers `va`.
pub const fn pmd_index(va: VirtAddr) -> usize {
    Level::Pmd.index(va)
}

/// The entry of its level-3 table that covers `va`.
pub const fn pte_index(va: VirtAddr) -> usize {
    Level::Pte.index(va)
}

/// Which table of a walk, by Linux's names for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    /// Level 0, the root.
    Pgd,
    /// Level 1: tables, or blocks of 1 GiB.
    Pud,
    /// Level 2: tables, or blocks of 2 MiB.
    Pmd,
    /// Level 3: pages.
    Pte,
}

impl Level {
    /// log2 of the bytes one entry covers.
    pub const fn shift(self) -> u32 {
        PGD_SHIFT - 9 * self as u32
    }

    /// Bytes one entry covers.
    pub const fn size(self) -> u64 {
        1 << self.shift()
    }

    /// Pages one entry covers.
    pub const fn pages(self) -> PageCount {
        PageCount::new(1 << (self.shift() - PAGE_SHIFT))
    }

    /// The entry of a table of this level that covers `va`.
    pub const fn index(self, va: VirtAddr) -> usize {
        (va.get() >> self.shift()) as usize & (ENTRIES - 1)
    }

    /// The level below, or `None` at pages.
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Pgd => Some(Self::Pud),
            Self::Pud => Some(Self::Pmd),
            Self::Pmd => Some(Self::Pte),
            Self::Pte => None,
        }
    }
}

// Rights and attributes ---------------------------------------------------------------------------------------------

bitflags::bitflags! {
    /// What a program may do with a page: Linux's `PROT_*`, in their bits. None of them is `PROT_NONE`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Prot: u8 {
        /// `PROT_READ`
        const READ = 1;
        /// `PROT_WRITE`
        const WRITE = 2;
        /// `PROT_EXEC`
        const EXEC = 4;
        /// `PROT_BTI`, beside another right: indirect branches must land on `bti`. For CPUs that have it.
        const BTI = 0x10;
    }
}

impl Prot {
    /// `PROT_READ | PROT_WRITE`
    pub const RW: Self = Self::READ.union(Self::WRITE);
    /// `PROT_READ | PROT_EXEC`
    pub const RX: Self = Self::READ.union(Self::EXEC);
}

/// Everything a leaf says besides where it points, how large it is and who owns the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes(u64);

impl Attributes {
    /// Kernel text: EL1 reads and executes.
    pub const KERNEL_TEXT: Self = Self(KERNEL_TEXT);
    /// Kernel constants: EL1 reads.
    pub const KERNEL_RODATA: Self = Self(KERNEL_RODATA);
    /// Kernel data: EL1 reads and writes.
    pub const KERNEL_DATA: Self = Self(KERNEL_DATA);
    /// Device registers: EL1 reads and writes.
    pub const KERNEL_DEVICE: Self = Self(KERNEL_DEVICE);

    const MASK: u64 = ATTR_MASK | AP_USER | AP_READ_ONLY | SH_MASK | AF | NG | GP | DBM | CONT | PXN | UXN;
    /// What may change between two valid states of one entry without break-before-make (D8.16.1): rights, and the
    /// flags beside them. Type, shareability, scope and the contiguous bit may not.
    const IN_PLACE: u64 = AP_USER | AP_READ_ONLY | AF | GP | DBM | PXN | UXN;

    /// A program's page. EL0 can read whatever it can touch: without FEAT_EPAN to execute is to read, and to write is.
    pub const fn user(prot: Prot) -> Self {
        let mut bits = ATTR_NORMAL | SH_INNER | AF | NG | AP_USER | PXN;
        if !prot.contains(Prot::WRITE) {
            bits |= AP_READ_ONLY;
        }
        if !prot.contains(Prot::EXEC) {
            bits |= UXN;
        }
        if prot.contains(Prot::BTI) {
            bits |= GP;
        }
        Self(bits)
    }

    /// A page of a file that a program shares and has stored to: the right to write is DBM, and AP\[2\] clear says dirty.
    pub const fn shared(prot: Prot) -> Self {
        let user = Self::user(prot);
        if prot.contains(Prot::WRITE) { Self(user.0 | DBM) } else { user }
    }

    /// The same, but not dirty: the next store makes it so, by the hardware or by a fault.
    pub const fn clean(self) -> Self {
        Self(self.0 | AP_READ_ONLY)
    }

    /// Whether somebody stored here since it was clean. Only what has DBM can say.
    pub const fn is_dirty(self) -> bool {
        self.0 & DBM != 0 && self.writable()
    }

    /// The same, as one of a run of sixteen that a TLB may keep as one.
    pub(crate) const fn contiguous(self) -> Self {
        Self(self.0 | CONT)
    }

    /// The same, by itself.
    pub const fn single(self) -> Self {
        Self(self.0 & !CONT)
    }

    /// Whether it is one of a run.
    pub const fn is_contiguous(self) -> bool {
        self.0 & CONT != 0
    }

    /// These, with what the hardware has noted in `desc`.
    pub(crate) const fn noted_with(self, desc: Desc) -> Self {
        let noted = Self(self.0 | desc.0 & AF);
        if desc.attributes().is_dirty() { Self(noted.0 & !AP_READ_ONLY) } else { noted }
    }

    /// Whether it was touched since it was made, or made old.
    pub const fn is_young(self) -> bool {
        self.0 & AF != 0
    }

    /// The same, touched.
    pub const fn young(self) -> Self {
        Self(self.0 | AF)
    }

    /// The same, not touched yet: the next access sets the access flag, by the hardware or by a fault.
    pub const fn old(self) -> Self {
        Self(self.0 & !AF)
    }

    /// The bits as they stand in a leaf.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether EL0 or EL1 can fetch instructions.
    pub const fn executable(self) -> bool {
        self.0 & (PXN | UXN) != PXN | UXN
    }

    /// Whether a store succeeds, or would where the hardware clears AP\[2\].
    pub const fn may_store(self) -> bool {
        self.writable() || self.0 & DBM != 0
    }

    /// Whether somebody can write.
    pub const fn writable(self) -> bool {
        self.0 & AP_READ_ONLY == 0
    }
}

/// Who gives the frame behind a leaf back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The tree, when the leaf goes.
    Tree,
    /// Somebody else: a file's block, the shared zero page, a device.
    Other,
}

// The descriptor ----------------------------------------------------------------------------------------------------

/// One entry of a table. Zero is the only form that stands for nothing; an entry that is not [`valid`](Self::is_valid)
/// and not zero maps a page no one may touch (`PROT_NONE`): the walker stops, the tree remembers.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Desc(u64);

impl Desc {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// The entry with these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits of the entry.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// A counted table that is still empty.
    pub const fn table(at: Pfn) -> Self {
        Self(at.base().get() & ADDRESS_MASK | SW_COUNTED | TABLE)
    }

    /// A page, or a block at levels 1 and 2, beginning at `at`. There is no such thing at level 0.
    pub const fn leaf(level: Level, at: Pfn, attributes: Attributes, owner: Owner) -> Self {
        let kind = if matches!(level, Level::Pte) { PAGE } else { BLOCK };
        let owned = if matches!(owner, Owner::Tree) { SW_OWNED } else { 0 };
        Self(at.base().get() & ADDRESS_MASK | attributes.0 | owned | kind)
    }

    /// `pgd_none` and its kin: nothing is here, and nothing is remembered.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether the walker follows this.
    pub const fn is_valid(self) -> bool {
        self.0 & VALID != 0
    }

    /// Whether an entry of `level` is a live table.
    pub const fn is_table(self, level: Level) -> bool {
        self.0 & KIND_MASK == TABLE && !matches!(level, Level::Pte)
    }

    /// Whether an entry of `level` is a table, live or on its way out.
    pub(crate) const fn was_table(self, level: Level) -> bool {
        self.0 & (TABLE & !VALID) != 0 && !matches!(level, Level::Pte)
    }

    /// `pud_huge`, `pmd_huge`: whether an entry of `level` maps a block.
    pub const fn is_block(self, level: Level) -> bool {
        self.0 & KIND_MASK == BLOCK && matches!(level, Level::Pud | Level::Pmd)
    }

    /// `pgd_bad` and its kin: valid, but not a form this level has.
    pub const fn is_bad(self, level: Level) -> bool {
        self.0 & KIND_MASK == BLOCK && matches!(level, Level::Pgd | Level::Pte)
    }

    /// Where it points: the next table, or the first frame of the leaf.
    pub const fn pfn(self) -> Pfn {
        self.address().pfn()
    }

    /// Where it points, as an address.
    pub const fn address(self) -> PhysAddr {
        PhysAddr::new(self.0 & ADDRESS_MASK)
    }

    /// What a leaf allows. For a leaf that is not valid: what it allowed when it last was.
    pub const fn attributes(self) -> Attributes {
        Attributes(self.0 & Attributes::MASK)
    }

    /// Who gives a leaf's frame back.
    pub const fn owner(self) -> Owner {
        if self.0 & SW_OWNED != 0 { Owner::Tree } else { Owner::Other }
    }

    /// The same leaf with other attributes, and valid.
    pub const fn with_attributes(self, attributes: Attributes) -> Self {
        Self(self.0 & !Attributes::MASK | attributes.0 | VALID)
    }

    /// The same leaf, and nobody can store to it: AP\[2\] set, and DBM clear, or the hardware would undo it.
    pub const fn read_only(self) -> Self {
        Self(self.0 & !DBM | AP_READ_ONLY)
    }

    /// The same leaf over another frame.
    pub(crate) const fn over(self, at: Pfn) -> Self {
        Self(self.0 & !ADDRESS_MASK | at.base().get() & ADDRESS_MASK)
    }

    /// The same, but the walker stops here.
    pub const fn without_valid(self) -> Self {
        Self(self.0 & !VALID)
    }

    /// Whether the step from `self` to `new` in a table of `level` needs break-before-make: both valid, and more
    /// than rights differs.
    pub const fn needs_break(self, new: Self, level: Level) -> bool {
        // The count and the owner's mark are the tree's own: the walker ignores them.
        let ignored = if self.is_table(level) { SW_COUNT_MASK } else { Attributes::IN_PLACE };
        self.is_valid() && new.is_valid() && (self.0 ^ new.0) & !(ignored | SW_OWNED) != 0
    }

    /// Entries in use below a counted table descriptor.
    pub(crate) const fn count(self) -> u64 {
        (self.0 & SW_COUNT_MASK) >> SW_COUNT_SHIFT
    }

    /// Whether the table below belongs to the tree, which counts its entries.
    pub(crate) const fn is_counted(self) -> bool {
        self.0 & SW_COUNTED != 0
    }

    /// The same counted table with `count` entries in use.
    pub(crate) const fn with_count(self, count: u64) -> Self {
        Self(self.0 & !SW_COUNT_MASK | count << SW_COUNT_SHIFT & SW_COUNT_MASK)
    }
}

impl core::fmt::Debug for Desc {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "desc:{:#018x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_cut_an_address_as_the_walker_does() {
        let va = VirtAddr::new(0xffff_8000_8000_0000);
        assert_eq!((pgd_index(va), pud_index(va), pmd_index(va), pte_index(va)), (256, 2, 0, 0));
        let last = VirtAddr::new(0x0000_ffff_ffff_f000);
        assert_eq!((pgd_index(last), pud_index(last), pmd_index(last), pte_index(last)), (511, 511, 511, 511));
    }

    #[test]
    fn rights_of_kernel_leaves_are_never_write_and_execute() {
        for leaf in
            [Attributes::KERNEL_TEXT, Attributes::KERNEL_RODATA, Attributes::KERNEL_DATA, Attributes::KERNEL_DEVICE]
        {
            assert!(!(leaf.writable() && leaf.executable()));
            assert_ne!(leaf.bits() & UXN, 0, "a program executes kernel memory");
        }
        assert!(Attributes::KERNEL_TEXT.executable());
    }

    #[test]
    fn user_leaves_keep_el1_from_executing() {
        let text = Attributes::user(Prot::RX);
        assert_eq!(text.bits() & (PXN | UXN | AP_USER | AP_READ_ONLY | NG), PXN | AP_USER | AP_READ_ONLY | NG);
        assert!(Attributes::user(Prot::RW).writable());
        assert!(!Attributes::user(Prot::RW).executable());
        assert_eq!(Attributes::user(Prot::RX.union(Prot::BTI)).bits() ^ text.bits(), GP);
    }

    #[test]
    fn only_rights_change_in_place() {
        let leaf = |pfn, prot| Desc::leaf(Level::Pte, Pfn::new(pfn), Attributes::user(prot), Owner::Tree);
        assert!(!leaf(5, Prot::RW).needs_break(leaf(5, Prot::READ), Level::Pte));
        assert!(leaf(5, Prot::RW).needs_break(leaf(6, Prot::RW), Level::Pte));
        assert!(!leaf(5, Prot::RW).needs_break(Desc::NONE, Level::Pte));
        assert!(!Desc::NONE.needs_break(leaf(5, Prot::RW), Level::Pte));
        let block = Desc::leaf(Level::Pmd, Pfn::new(512), Attributes::user(Prot::RW), Owner::Tree);
        assert!(block.needs_break(Desc::table(Pfn::new(512)), Level::Pmd));
        let table = Desc::table(Pfn::new(7));
        assert!(!table.needs_break(table.with_count(300), Level::Pmd));
        assert!(table.needs_break(Desc::table(Pfn::new(8)), Level::Pmd));
    }

    #[test]
    fn mair_and_tcr_spell_what_the_manual_says() {
        assert_eq!(MAIR_EL1, 0x44_04_ff);
        assert_eq!(TCR_BASE, 0xb510_3510);
    }
}
