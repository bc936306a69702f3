//! CRC32C, plain and salted.

use crc::{CRC_32_ISCSI, Crc, Digest, Table};

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// The checksum of `parts`, one behind the other.
pub(crate) fn plain(parts: &[&[u8]]) -> u32 {
    finish(CRC.digest(), parts)
}

/// The secret of one file system that enters the checksums of its log, so that no file's content is ever taken for
/// a record of it.
#[derive(Clone, Copy)]
pub(crate) struct Salt(pub(crate) u64);

impl Salt {
    /// The checksum of the salt and `parts`, one behind the other.
    pub(crate) fn crc(self, parts: &[&[u8]]) -> u32 {
        let mut digest = CRC.digest();
        digest.update(&self.0.to_le_bytes());
        finish(digest, parts)
    }

    /// The checksum of a structure whose own checksum field, taken as zero, lies at bytes 4 to 7.
    pub(crate) fn crc_of(self, bytes: &[u8]) -> u32 {
        let Some((head, rest)) = bytes.split_first_chunk::<8>() else { return self.crc(&[bytes]) };
        // Sixteen bytes are one step of the table: the short parts go as one.
        let mut front = [0; 16];
        front[..8].copy_from_slice(&self.0.to_le_bytes());
        front[8..12].copy_from_slice(&head[..4]);
        plain(&[&front, rest])
    }
}

fn finish<'a>(mut digest: Digest<'a, u32, Table<16>>, parts: &[&[u8]]) -> u32 {
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
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
        assert_ne!(Salt(1).crc(&[b"x"]), Salt(2).crc(&[b"x"]));
        assert_eq!(Salt(1).crc_of(b"abcdXXXXef"), Salt(1).crc(&[b"abcd\0\0\0\0ef"]));
        assert_eq!(Salt(1).crc_of(b"abcdXXXXef"), Salt(1).crc_of(b"abcdYYYYef"));
    }
}
