//! What a job did.
//!
//! Owns the figures of the summary. Must never claim a verification that did not happen.

use std::fmt;
use std::time::Duration;

use crate::checksum::Algorithm;
use crate::foreign::Foreign;
use crate::proof::Proof;

/// How the destination's bytes were shown to be the source's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// A checksum over the whole was compared with one that the other side stores or computed.
    Checksum(Algorithm),
    /// Every piece was checked against the BLAKE3 hash that names the whole, as it came.
    Blake3,
    /// Both were read, and every byte is the same.
    Bytes,
    /// The ETags are the same, and they are made of MD5s of the content.
    Etag,
    /// The copy was made and checked by the store itself.
    Server,
    /// Every range and every length was checked, but the other side has no checksum to compare.
    Size,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum(a) => write!(f, "{a}"),
            Self::Blake3 => f.write_str("BLAKE3"),
            Self::Bytes => f.write_str("every byte"),
            Self::Etag => f.write_str("ETag"),
            Self::Server => f.write_str("by the store"),
            Self::Size => f.write_str("size only"),
        }
    }
}

/// What one item's transfer did.
#[derive(Debug, Clone)]
pub struct Report {
    /// The source, redacted.
    pub from: Foreign,
    /// The destination, redacted.
    pub to: Foreign,
    /// Bytes that landed.
    pub bytes: u64,
    /// Time from the first request to the commit.
    pub elapsed: Duration,
    /// Tries beyond the first.
    pub retried: u64,
    /// How the bytes were verified.
    pub verified: Verified,
    /// The checksums of the whole that were computed on the way.
    pub sums: crate::checksum::Sums,
    /// The destination's ETag, where it has one.
    pub etag: Option<String>,
    /// The destination's version id, where it has one.
    pub version_id: Option<String>,
    /// What the source was when it was read, where that can be told.
    pub read: Option<Proof>,
}

impl Report {
    /// The report on something that came to its place without a transfer: a rename, a folder, a
    /// link.
    pub fn of_placement(from: impl Into<Foreign>, to: impl Into<Foreign>, bytes: u64) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            bytes,
            elapsed: Duration::ZERO,
            retried: 0,
            verified: Verified::Size,
            sums: crate::checksum::Sums::default(),
            etag: None,
            version_id: None,
            read: None,
        }
    }
}
