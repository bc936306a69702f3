//! The auxiliary vector: pairs of key and value above the environment on a program's first stack.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One entry; the vector ends with [`NULL`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Entry {
    /// One of this module's keys.
    pub key: u64,
    /// What the key says it is: a number or an address.
    pub value: u64,
}

crate::sizes! { Entry = 16, }

/// `AT_NULL`: the end of the vector.
pub const NULL: u64 = 0;
/// `AT_IGNORE`: an entry to skip.
pub const IGNORE: u64 = 1;
/// `AT_PHDR`: address of the program headers in memory.
pub const PHDR: u64 = 3;
/// `AT_PHENT`: bytes in one program header.
pub const PHENT: u64 = 4;
/// `AT_PHNUM`: how many program headers there are.
pub const PHNUM: u64 = 5;
/// `AT_PAGESZ`: bytes in a page.
pub const PAGESZ: u64 = 6;
/// `AT_BASE`: where the interpreter lies; 0 for a static program.
pub const BASE: u64 = 7;
/// `AT_FLAGS`: always 0.
pub const FLAGS: u64 = 8;
/// `AT_ENTRY`: the program's entry point.
pub const ENTRY: u64 = 9;
/// `AT_UID`: the real user.
pub const UID: u64 = 11;
/// `AT_EUID`: the effective user.
pub const EUID: u64 = 12;
/// `AT_GID`: the real group.
pub const GID: u64 = 13;
/// `AT_EGID`: the effective group.
pub const EGID: u64 = 14;
/// `AT_PLATFORM`: address of the string `aarch64`.
pub const PLATFORM: u64 = 15;
/// `AT_HWCAP`: see [`Hwcap`].
pub const HWCAP: u64 = 16;
/// `AT_CLKTCK`: ticks a second in which `times` counts.
pub const CLKTCK: u64 = 17;
/// `AT_SECURE`: 1 when the program runs with more rights than its caller.
pub const SECURE: u64 = 23;
/// `AT_RANDOM`: address of 16 random bytes.
pub const RANDOM: u64 = 25;
/// `AT_HWCAP2`: see [`Hwcap2`].
pub const HWCAP2: u64 = 26;
/// `AT_EXECFN`: address of the path the program was started by.
pub const EXECFN: u64 = 31;
/// `AT_SYSINFO_EHDR`: address of the vDSO.
pub const SYSINFO_EHDR: u64 = 33;
/// `AT_MINSIGSTKSZ`: the smallest stack a signal can be delivered on, in bytes.
pub const MINSIGSTKSZ: u64 = 51;

bitflags::bitflags! {
    /// `AT_HWCAP`: features of the CPU that programs may use.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Hwcap: u64 {
        /// Floating point.
        const FP = 1 << 0;
        /// Advanced SIMD.
        const ASIMD = 1 << 1;
        /// The generic timer's event stream.
        const EVTSTRM = 1 << 2;
        /// AES instructions.
        const AES = 1 << 3;
        /// 64-bit polynomial multiply.
        const PMULL = 1 << 4;
        /// SHA-1 instructions.
        const SHA1 = 1 << 5;
        /// SHA-256 instructions.
        const SHA2 = 1 << 6;
        /// CRC-32 instructions.
        const CRC32 = 1 << 7;
        /// Large System Extension atomics.
        const ATOMICS = 1 << 8;
        /// Half-precision floating point.
        const FPHP = 1 << 9;
        /// Half-precision SIMD.
        const ASIMDHP = 1 << 10;
        /// ID registers readable through emulation.
        const CPUID = 1 << 11;
        /// Rounding double multiply accumulate.
        const ASIMDRDM = 1 << 12;
        /// JavaScript conversion.
        const JSCVT = 1 << 13;
        /// Complex number arithmetic.
        const FCMA = 1 << 14;
        /// Release-consistent loads (RCpc).
        const LRCPC = 1 << 15;
        /// `dc cvap`: clean to the point of persistence.
        const DCPOP = 1 << 16;
        /// SHA-3 instructions.
        const SHA3 = 1 << 17;
        /// SM3 instructions.
        const SM3 = 1 << 18;
        /// SM4 instructions.
        const SM4 = 1 << 19;
        /// SIMD dot product.
        const ASIMDDP = 1 << 20;
        /// SHA-512 instructions.
        const SHA512 = 1 << 21;
        /// Scalable vectors.
        const SVE = 1 << 22;
        /// Half-precision multiply into single precision.
        const ASIMDFHM = 1 << 23;
        /// Data-independent timing.
        const DIT = 1 << 24;
        /// Unaligned single-copy atomicity.
        const USCAT = 1 << 25;
        /// RCpc with immediate offsets.
        const ILRCPC = 1 << 26;
        /// Flag manipulation.
        const FLAGM = 1 << 27;
        /// Speculative store bypass safe.
        const SSBS = 1 << 28;
        /// Speculation barrier.
        const SB = 1 << 29;
        /// Pointer authentication of addresses.
        const PACA = 1 << 30;
        /// Generic pointer authentication.
        const PACG = 1 << 31;
    }
}

bitflags::bitflags! {
    /// `AT_HWCAP2`: more features of the CPU that programs may use. Vector extensions are left out: no state of theirs
    /// is saved.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Hwcap2: u64 {
        /// `dc cvadp`: clean to the point of deep persistence.
        const DCPODP = 1 << 0;
        /// More flag manipulation.
        const FLAGM2 = 1 << 7;
        /// Rounding to 32 and 64 bit integers.
        const FRINT = 1 << 8;
        /// 8-bit integer matrix multiply.
        const I8MM = 1 << 13;
        /// BFloat16.
        const BF16 = 1 << 14;
        /// Data gathering hint.
        const DGH = 1 << 15;
        /// Random number register.
        const RNG = 1 << 16;
        /// Branch target identification.
        const BTI = 1 << 17;
        /// Memory tagging.
        const MTE = 1 << 18;
        /// Enhanced counter virtualisation.
        const ECV = 1 << 19;
        /// Alternate floating-point behaviour.
        const AFP = 1 << 20;
        /// Increased precision of reciprocal estimates.
        const RPRES = 1 << 21;
        /// `wfet` and `wfit`.
        const WFXT = 1 << 31;
        /// BFloat16 with extended behaviour.
        const EBF16 = 1 << 32;
    }
}
