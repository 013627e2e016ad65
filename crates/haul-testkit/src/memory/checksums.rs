//! The checksums S3 knows, as header values.
//!
//! Owns: the algorithms, their names on the wire, and the two ways to make one checksum of many
//! parts. Must never see an object's bytes twice: hashing is done while a body is read.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, checksum_combine};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::dto;

/// A checksum algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// CRC-64/NVME, what S3 computes when nobody asks.
    Crc64Nvme,
    /// CRC-32 (ISO-HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// SHA-256.
    Sha256,
    /// SHA-1.
    Sha1,
}

impl Algorithm {
    pub(super) const ALL: [Self; 5] =
        [Self::Crc64Nvme, Self::Crc32, Self::Crc32c, Self::Sha256, Self::Sha1];

    /// Its name in `x-amz-checksum-algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "CRC64NVME",
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Sha256 => "SHA256",
            Self::Sha1 => "SHA1",
        }
    }

    /// The algorithm of that name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name))
    }

    /// Its header, lower case.
    pub fn header(self) -> String {
        format!("x-amz-checksum-{}", self.name().to_ascii_lowercase())
    }

    /// The checksum of `bytes` as a header value.
    pub fn of(self, bytes: &[u8]) -> String {
        let mut hasher = hasher(&[self]);
        hasher.update(bytes);
        Checksums::from(hasher.finalize()).get(self).unwrap_or_default().to_owned()
    }

    /// Only CRCs can be combined; S3 allows FULL_OBJECT for no other ("Checking object integrity").
    pub(super) fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Sha256 | Self::Sha1 => None,
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Crc64Nvme => 8,
            Self::Crc32 | Self::Crc32c => 4,
            Self::Sha256 => 32,
            Self::Sha1 => 20,
        }
    }

    /// Whether `value` has the shape of such a checksum.
    pub(super) fn accepts(self, value: &str) -> bool {
        STANDARD.decode(value).is_ok_and(|raw| raw.len() == self.width())
    }

    /// The checksum of the whole from those of consecutive parts and their lengths.
    pub(super) fn full_object(self, parts: &[(String, u64)]) -> Option<String> {
        let crc = self.crc()?;
        let mut whole: Option<u64> = None;
        for (value, len) in parts {
            let raw = STANDARD.decode(value).ok()?;
            let part = raw.iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
            whole = Some(whole.map_or(part, |sum| checksum_combine(crc, sum, part, *len)));
        }
        let bytes = whole?.to_be_bytes();
        Some(STANDARD.encode(&bytes[bytes.len() - self.width()..]))
    }

    /// The checksum of the parts' checksums, with their number.
    pub(super) fn composite(self, parts: &[(String, u64)]) -> Option<String> {
        let mut raw = Vec::new();
        for (value, _) in parts {
            raw.extend(STANDARD.decode(value).ok()?);
        }
        Some(format!("{}-{}", self.of(&raw), parts.len()))
    }
}

/// A hasher for `algorithms`.
pub(super) fn hasher(algorithms: &[Algorithm]) -> ChecksumHasher {
    let mut hasher = ChecksumHasher::default();
    for algorithm in algorithms {
        match algorithm {
            Algorithm::Crc64Nvme => hasher.crc64nvme = Some(Crc64Nvme::new()),
            Algorithm::Crc32 => hasher.crc32 = Some(Crc32::new()),
            Algorithm::Crc32c => hasher.crc32c = Some(Crc32c::new()),
            Algorithm::Sha256 => hasher.sha256 = Some(Sha256::new()),
            Algorithm::Sha1 => hasher.sha1 = Some(Sha1::new()),
        }
    }
    hasher
}

/// Checksums by algorithm. A stored object has one at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    values: BTreeMap<Algorithm, String>,
    /// A checksum of checksums (`ChecksumType: COMPOSITE`) rather than of all bytes.
    pub composite: bool,
}

impl Checksums {
    /// The value as S3 sends it: base64, with `-N` when composite.
    pub fn get(&self, algorithm: Algorithm) -> Option<&str> {
        self.values.get(&algorithm).map(String::as_str)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Algorithm, &str)> {
        self.values.iter().map(|(a, v)| (*a, v.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn insert(&mut self, algorithm: Algorithm, value: Option<String>) {
        if let Some(value) = value {
            self.values.insert(algorithm, value);
        }
    }

    pub(super) fn keep(mut self, algorithms: &[Algorithm]) -> Self {
        self.values.retain(|a, _| algorithms.contains(a));
        self
    }

    pub(super) fn kind(&self) -> Option<dto::ChecksumType> {
        let kind = if self.composite {
            dto::ChecksumType::COMPOSITE
        } else {
            dto::ChecksumType::FULL_OBJECT
        };
        (!self.is_empty()).then(|| dto::ChecksumType::from_static(kind))
    }

    /// Their algorithms, as a listing shows them.
    pub(super) fn algorithms(&self) -> Option<Vec<dto::ChecksumAlgorithm>> {
        let names = self.values.keys().map(|a| dto::ChecksumAlgorithm::from_static(a.name()));
        (!self.is_empty()).then(|| names.collect())
    }
}

impl From<dto::Checksum> for Checksums {
    fn from(sums: dto::Checksum) -> Self {
        read_checksums!(sums)
    }
}

/// The checksum fields that requests and answers share, as [`Checksums`].
macro_rules! read_checksums {
    ($from:expr) => {{
        use $crate::memory::checksums::{Algorithm, Checksums};
        let mut sums = Checksums::default();
        sums.insert(Algorithm::Crc64Nvme, $from.checksum_crc64nvme.clone());
        sums.insert(Algorithm::Crc32, $from.checksum_crc32.clone());
        sums.insert(Algorithm::Crc32c, $from.checksum_crc32c.clone());
        sums.insert(Algorithm::Sha256, $from.checksum_sha256.clone());
        sums.insert(Algorithm::Sha1, $from.checksum_sha1.clone());
        sums
    }};
}
pub(super) use read_checksums;

/// The reverse of [`read_checksums`].
macro_rules! write_checksums {
    ($to:expr, $sums:expr) => {{
        use $crate::memory::checksums::Algorithm;
        let sums: &$crate::memory::Checksums = $sums;
        $to.checksum_crc64nvme = sums.get(Algorithm::Crc64Nvme).map(str::to_owned);
        $to.checksum_crc32 = sums.get(Algorithm::Crc32).map(str::to_owned);
        $to.checksum_crc32c = sums.get(Algorithm::Crc32c).map(str::to_owned);
        $to.checksum_sha256 = sums.get(Algorithm::Sha256).map(str::to_owned);
        $to.checksum_sha1 = sums.get(Algorithm::Sha1).map(str::to_owned);
    }};
}
pub(super) use write_checksums;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_combine_to_the_whole() {
        let (a, b, c) = (vec![1u8; 1000], vec![2u8; 77], vec![3u8; 4096]);
        let whole = [a.clone(), b.clone(), c.clone()].concat();
        for algorithm in [Algorithm::Crc64Nvme, Algorithm::Crc32, Algorithm::Crc32c] {
            let parts: Vec<_> =
                [&a, &b, &c].map(|part| (algorithm.of(part), part.len() as u64)).to_vec();
            assert_eq!(algorithm.full_object(&parts), Some(algorithm.of(&whole)));
        }
        assert_eq!(Algorithm::Sha1.full_object(&[(String::new(), 0)]), None);
    }

    #[test]
    fn values_are_what_aws_documents() {
        // "123456789" is the check input of the CRC catalogue.
        assert_eq!(
            Algorithm::Crc32.of(b"123456789"),
            STANDARD.encode(0xcbf4_3926u32.to_be_bytes())
        );
        assert_eq!(
            Algorithm::Crc64Nvme.of(b"123456789"),
            STANDARD.encode(0xae8b_1486_0a79_9888u64.to_be_bytes())
        );
        assert!(Algorithm::Crc32.accepts(&Algorithm::Crc32.of(b"")));
        assert!(!Algorithm::Crc32.accepts("not base64"));
        assert_eq!(Algorithm::parse("crc64nvme"), Some(Algorithm::Crc64Nvme));
    }
}
