//! Numbers as people write them: sizes, rates, concurrency.
//!
//! Owns their parsing and printing.

use std::fmt;
use std::str::FromStr;

use bytesize::ByteSize;

/// A number of bytes: `8MiB`, `50MB`, `4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a size (bytes, or with kB, MB, GB, KiB, MiB, GiB)");
        if text.trim_start().starts_with(['-', '+']) {
            return Err(bad());
        }
        let bytes: ByteSize = text.parse().map_err(|_| bad())?;
        if bytes.0 == 0 { Err("a size of 0".to_owned()) } else { Ok(Self(bytes.0)) }
    }
}

/// A number of bytes that may be 0, for bounds: `--max-size 0` means empty files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" { Ok(Self(0)) } else { text.parse().map(|Size(bytes)| Self(bytes)) }
    }
}

/// Bytes a second: `50MB/s` or `50MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) u64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_suffix("/s").unwrap_or(text);
        bare.parse().map(|Size(bytes)| Self(bytes))
    }
}

/// Requests in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Concurrency {
    /// By the sizes of the files.
    Auto,
    /// So many.
    Fixed(usize),
}

/// S0.14: the most requests in flight to one endpoint.
const MOST: usize = 16;

/// S0.15: requests in flight where many files are small.
const MANY_SMALL: usize = 8;

/// S0.13 and S0.15: requests in flight otherwise. It fills a link that has no large latency and
/// leaves the store room for others.
const USUAL: usize = 4;

impl Concurrency {
    /// Requests in flight for one file.
    pub(crate) fn for_one(self) -> usize {
        match self {
            Self::Auto => USUAL,
            Self::Fixed(n) => n,
        }
    }

    /// Requests in flight for many files, of which the library lets fewer run where they are large.
    pub(crate) fn for_many(self) -> usize {
        match self {
            Self::Auto => MANY_SMALL,
            Self::Fixed(n) => n,
        }
    }
}

impl FromStr for Concurrency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match text.parse() {
            Ok(n @ 1..=MOST) => Ok(Self::Fixed(n)),
            _ => Err(format!("write a number from 1 to {MOST}, or auto")),
        }
    }
}

/// Bytes for people: `512.0 MiB`.
pub(crate) fn human(bytes: u64) -> impl fmt::Display {
    ByteSize(bytes).display().iec()
}

/// A number for people: `1,000`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate for people: `430.1 MiB/s`.
pub(crate) fn human_rate(bytes: u64, elapsed: std::time::Duration) -> String {
    let rate = bytes as f64 / elapsed.as_secs_f64().max(0.001);
    format!("{}/s", human(rate as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        let of = [0, 7, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(of, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
        assert_eq!("0".parse::<Bytes>(), Ok(Bytes(0)));
        assert_eq!("1KiB".parse::<Bytes>(), Ok(Bytes(1024)));
    }

    /// S3.4, X3.7: bytes and kB/KiB suffixes; 0 is rejected.
    #[test]
    fn sizes() {
        let of = |t: &str| t.parse::<Size>().map(|s| s.0);
        assert_eq!(of("4096"), Ok(4096));
        assert_eq!(of("8MiB"), Ok(8 << 20));
        assert_eq!(of("16MB"), Ok(16_000_000));
        assert_eq!(of("1.5 GiB"), Ok(3 << 29));
        for bad in ["", "0", "-1", "8 apples", "MiB", "NaN"] {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert_eq!("50MB/s".parse::<Rate>(), Ok(Rate(50_000_000)));
    }

    /// S0.14, S0.15, X0.6, X0.8.
    #[test]
    fn concurrency_is_1_to_16_or_auto() {
        let auto = "auto".parse::<Concurrency>().unwrap();
        assert_eq!((auto.for_one(), auto.for_many()), (4, 8));
        assert_eq!("16".parse(), Ok(Concurrency::Fixed(16)));
        for bad in ["0", "17", "-1", "many"] {
            assert!(bad.parse::<Concurrency>().is_err(), "{bad}");
        }
    }
}
