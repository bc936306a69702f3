//! Sizes as people write them: `4096`, `64M`, `1G`.

use std::fmt;
use std::str::FromStr;

use units::{ByteLen, PAGE_SIZE};

/// A size that an image can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Size(pub(crate) ByteLen);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
            "" | "B" => 0,
            "K" | "KB" | "KIB" => 10,
            "M" | "MB" | "MIB" => 20,
            "G" | "GB" | "GIB" => 30,
            "T" | "TB" | "TIB" => 40,
            unit => return Err(format!("unknown unit '{unit}': use K, M, G or T")),
        };
        let number: u64 = digits.parse().map_err(|_| "not a number, such as 256M or 1G".to_owned())?;
        // The offset of a host file is signed.
        let bytes = number.checked_mul(1 << shift).filter(|&bytes| bytes <= i64::MAX as u64);
        let bytes = bytes.ok_or("larger than a file can be")?;
        if bytes == 0 || !bytes.is_multiple_of(PAGE_SIZE) {
            return Err(format!("{bytes} bytes are no multiple of {PAGE_SIZE}"));
        }
        Ok(Self(ByteLen::new(bytes)))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&human(self.0.get()))
    }
}

/// A byte count in the largest unit that keeps it readable: `256 MiB`, `1.5 GiB`.
pub(crate) fn human(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|&(_, unit)| bytes >= unit) {
        None => format!("{bytes} bytes"),
        Some((name, unit)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units_and_refused_with_a_reason() {
        let read = |text: &str| text.parse::<Size>().map(|size| size.0.get());
        assert_eq!(read("4096"), Ok(4096));
        assert_eq!(read("64M"), Ok(64 << 20));
        assert_eq!(read("64mib"), Ok(64 << 20));
        assert_eq!(read("1G"), Ok(1 << 30));
        for bad in ["", "M", "-4K", "4X", "5000", "0", "1.5G", "9999999999999T", "8388608T"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_are_shown_in_their_largest_unit() {
        assert_eq!(human(100), "100 bytes");
        assert_eq!(human(256 << 20), "256 MiB");
        assert_eq!(human(3 << 29), "1.5 GiB");
    }
}
