//! Byte ranges and numbered chunks.
//!
//! Owns the half-open convention: `start..end`, end exclusive. Must never hold bytes.

use std::fmt;

/// A half-open range of bytes, `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte; never below `start`.
    pub end: u64,
}

impl ByteRange {
    /// `start..end`. An `end` below `start` becomes an empty range at `start`.
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end: if end < start { start } else { end } }
    }

    /// Number of bytes.
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether it holds no byte.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The value of an HTTP `Range` header (RFC 9110, 14.1.2), whose end is inclusive. `None` for
    /// an empty range, which HTTP cannot express.
    ///
    /// ```
    /// use haul_core::ByteRange;
    /// assert_eq!(ByteRange::new(0, 10).http_range().as_deref(), Some("bytes=0-9"));
    /// assert_eq!(ByteRange::new(5, 5).http_range(), None);
    /// ```
    pub fn http_range(self) -> Option<String> {
        (!self.is_empty()).then(|| format!("bytes={}-{}", self.start, self.end - 1))
    }

    /// Whether a `Content-Range` header (RFC 9110, 14.4) names exactly this range of a
    /// representation of `total` bytes.
    pub fn matches_content_range(self, header: &str, total: u64) -> bool {
        parse_content_range(header) == Some((self, Some(total)))
    }
}

/// `bytes 0-9/100` as a range and the total; `None` when it is anything else. The total is `None`
/// for `*`.
pub fn parse_content_range(header: &str) -> Option<(ByteRange, Option<u64>)> {
    let (range, total) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let first: u64 = digits(first)?;
    let end = digits(last)?.checked_add(1)?;
    let total = if total == "*" { None } else { Some(digits(total)?) };
    (first < end && total.is_none_or(|t| end <= t)).then_some((ByteRange::new(first, end), total))
}

/// Plain digits only: `u64::from_str` would take a `+`.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// One chunk of a plan: its place in the order and the bytes it covers. Both travel together,
/// because a part store needs the index and a file needs the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkSpec {
    /// 0-based place in the plan.
    pub index: u64,
    /// The bytes of the whole that it covers.
    pub range: ByteRange,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_range_is_read_strictly() {
        let r = ByteRange::new(5, 10);
        assert!(r.matches_content_range("bytes 5-9/20", 20));
        for bad in [
            "bytes 5-9/21",
            "bytes 5-8/20",
            "bytes 6-10/20",
            "bytes */20",
            "5-9/20",
            "bytes 5-9",
            "bytes +5-9/20",
            "bytes 9-5/20",
            "bytes 5-9/*",
            "",
            "bytes 5-18446744073709551615/20",
        ] {
            assert!(!r.matches_content_range(bad, 20), "{bad}");
        }
    }
}
