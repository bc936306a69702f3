//! CRC32C, plain and salted: by a table, or by the CPU's own instruction where somebody has plugged that in.

use crc::{CRC_32_ISCSI, Crc, Digest, Table};
use spin::Once;
use zerocopy::IntoBytes;

/// Sixteen bytes a step on the host. In a kernel, whose CPUs have the instruction all but always, a sixteenth of that
/// table is enough: it would be a thirtieth of the whole image.
type Lookup = Table<{ if cfg!(target_os = "none") { 1 } else { 16 } }>;

static CRC: Crc<u32, Lookup> = Crc::<u32, Lookup>::new(&CRC_32_ISCSI);

/// One step of CRC32C over any number of bytes: the register before, and after. Neither end is inverted.
pub type Step = fn(u32, &[u8]) -> u32;

static HARDWARE: Once<Step> = Once::new();

/// Computes checksums by `step` from now on. The first call counts.
pub fn use_step(step: Step) {
    HARDWARE.call_once(|| step);
}

/// A checksum of bytes that come piece by piece.
pub(crate) enum Stream {
    Hardware(Step, u32),
    Table(Digest<'static, u32, Lookup>),
}

impl Stream {
    /// Of no byte yet.
    pub(crate) fn new() -> Self {
        HARDWARE.get().map_or_else(|| Self::Table(CRC.digest()), |&step| Self::Hardware(step, !0))
    }

    /// Takes more bytes in.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Hardware(step, state) => *state = step(*state, bytes),
            Self::Table(digest) => digest.update(bytes),
        }
    }

    /// The checksum of all of them.
    pub(crate) fn finish(self) -> u32 {
        match self {
            Self::Hardware(_, state) => !state,
            Self::Table(digest) => digest.finalize(),
        }
    }
}

/// The checksum of `parts`, one behind the other.
#[inline]
pub(crate) fn plain(parts: &[&[u8]]) -> u32 {
    if let Some(step) = HARDWARE.get() {
        return !parts.iter().fold(!0, |state, part| step(state, part));
    }
    let mut digest = CRC.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

/// The secret of one file system that enters the checksums of its log, so that no file's content is ever taken for
/// a record of it.
#[derive(Clone, Copy)]
pub(crate) struct Salt(pub(crate) u64);

impl Salt {
    /// The checksum of the salt and `bytes`.
    fn crc(self, bytes: &[u8]) -> u32 {
        plain(&[&self.0.to_le_bytes(), bytes])
    }

    /// The checksum of a structure whose own checksum field, taken as zero, lies at bytes 4 to 7.
    #[inline]
    pub(crate) fn crc_of(self, bytes: &[u8]) -> u32 {
        let Some((head, rest)) = bytes.split_first_chunk::<8>() else { return self.crc(bytes) };
        // Sixteen bytes are one step of the table: the short parts go as one, in words that are aligned.
        let [a, b, c, d, ..] = *head;
        let front = [self.0.to_le(), u64::from(u32::from_le_bytes([a, b, c, d])).to_le()];
        plain(&[front.as_bytes(), rest])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_crc32c_comes_out() {
        assert_eq!(plain(&[b"1234", b"56789"]), 0xe306_9283);
    }

    #[test]
    fn the_salt_changes_the_checksum() {
        assert_ne!(Salt(1).crc(b"x"), Salt(2).crc(b"x"));
        assert_eq!(Salt(1).crc_of(b"abcdXXXXef"), Salt(1).crc(b"abcd\0\0\0\0ef"));
        assert_eq!(Salt(1).crc_of(b"abcdXXXXef"), Salt(1).crc_of(b"abcdYYYYef"));
    }
}
