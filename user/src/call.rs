//! The one `svc` instruction: number in `x8`, arguments in `x0` to `x5`, result or negated error in `x0`.

use abi::Errno;

/// Makes system call `number` with up to six arguments.
///
/// # Errors
/// What the call refused with.
///
/// # Safety
/// The arguments keep the promises this call asks for: addresses in them are of memory the kernel may read or write
/// as the call does, and no memory that Rust knows is unmapped or changed behind its back.
pub unsafe fn call<const N: usize>(number: u64, arguments: [u64; N]) -> Result<u64, Errno> {
    const { assert!(N <= 6) };
    let mut six = [0; 6];
    six[..N].copy_from_slice(&arguments);
    // SAFETY: the caller's promise.
    Errno::from_return(unsafe { svc(number, six) })
}

/// # Safety
/// As for [`call`].
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
unsafe fn svc(number: u64, [a0, a1, a2, a3, a4, a5]: [u64; 6]) -> u64 {
    let result;
    // SAFETY: the kernel keeps every register but x0, and touches only the memory the caller vouches for.
    unsafe {
        core::arch::asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") a0 => result,
            in("x1") a1,
            in("x2") a2,
            in("x3") a3,
            in("x4") a4,
            in("x5") a5,
            options(nostack),
        );
    }
    result
}

/// # Safety
/// None is needed: there is no such kernel under a host.
#[cfg(not(all(target_arch = "aarch64", target_os = "none")))]
unsafe fn svc(_number: u64, _arguments: [u64; 6]) -> u64 {
    Errno::ENOSYS.to_return()
}
