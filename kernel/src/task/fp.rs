//! A program's vector registers, kept while it does not run. The kernel itself has no use for them.

/// q0..q31, FPSR, FPCR.
#[repr(C, align(16))]
#[derive(Clone)]
pub(crate) struct VectorState {
    registers: [[u64; 2]; 32],
    fpsr: u64,
    fpcr: u64,
}

const _: () = assert!(core::mem::offset_of!(VectorState, fpsr) == 512);

impl VectorState {
    /// What a new program finds: zeroes everywhere.
    pub(crate) const ZERO: Self = Self { registers: [[0; 2]; 32], fpsr: 0, fpcr: 0 };

    /// Of its parts.
    pub(super) const fn of(registers: [[u64; 2]; 32], fpsr: u32, fpcr: u32) -> Self {
        Self { registers, fpsr: fpsr as u64, fpcr: fpcr as u64 }
    }

    /// q0..q31, FPSR, FPCR.
    pub(super) const fn parts(&self) -> (&[[u64; 2]; 32], u64, u64) {
        (&self.registers, self.fpsr, self.fpcr)
    }

    /// Takes the registers of this CPU.
    pub(crate) fn save(&mut self) {
        unsafe extern "C" {
            fn save_vector_state(to: *mut VectorState);
        }
        // SAFETY: the layout is the routine's, and CPACR_EL1 lets EL1 use the registers.
        unsafe { save_vector_state(self) };
    }

    /// Gives the registers to this CPU.
    pub(crate) fn restore(&self) {
        unsafe extern "C" {
            fn restore_vector_state(from: *const VectorState);
        }
        // SAFETY: as in `save`.
        unsafe { restore_vector_state(self) };
    }
}
