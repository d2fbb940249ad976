//! Sizes of memory as people write them.

use std::str::FromStr;

/// Bytes, written as `8G`, `1.5GiB`, `512M` or a plain number; K, M, G and T are powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let power = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 1,
            "m" | "mb" | "mib" => 2,
            "g" | "gb" | "gib" => 3,
            "t" | "tb" | "tib" => 4,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let bytes = number * 1024f64.powi(power);
        // Every number of bytes below is exact.
        if !(1.0..=(1u64 << 53) as f64).contains(&bytes) {
            return Err(wrong());
        }
        Ok(Self(bytes as u64))
    }
}

fn wrong() -> String {
    "expected a size such as 8G or 512M".to_owned()
}

#[cfg(test)]
mod tests {
    use super::ByteSize;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("8G", 8 << 30),
            ("8g", 8 << 30),
            ("8GB", 8 << 30),
            ("8 GiB", 8 << 30),
            ("1.5G", 3 << 29),
            ("512M", 512 << 20),
            ("64k", 64 << 10),
            ("2T", 2 << 40),
            ("1048576", 1 << 20),
            ("100B", 100),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "G", "-8G", "8X", "8GG", "0", "0G", "nan", "inf", "1e9", "1.2.3G", "99999999T"]
        {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
