//! Checksums that can be combined.
//!
//! Owns the CRCs that travel with chunks and prove the whole: each chunk is hashed once as it
//! passes, and the values are combined in plan order without reading a byte twice. Must never be
//! taken for protection against a forger: CRCs find accidents.

use std::fmt;

use crc_fast::{CrcAlgorithm, Digest};

/// A linear checksum, so that checksums of parts combine to that of the whole.
///
/// Names and polynomials as in the S3 API's "full object" checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// CRC-64/NVME, the S3 default since 2024.
    Crc64Nvme,
    /// CRC-32C (iSCSI).
    Crc32c,
    /// CRC-32 (ISO-HDLC, the zlib one).
    Crc32,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Crc64Nvme, Self::Crc32c, Self::Crc32];

    const fn crc(self) -> CrcAlgorithm {
        match self {
            Self::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
            Self::Crc32c => CrcAlgorithm::Crc32Iscsi,
            Self::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// The generator polynomial in reflected form, the top coefficient left out (CRC catalogue).
    const fn polynomial(self) -> u64 {
        match self {
            Self::Crc64Nvme => 0x9a6c_9329_ac4b_c9b5,
            Self::Crc32c => 0x82f6_3b78,
            Self::Crc32 => 0xedb8_8320,
        }
    }

    /// The polynomial 1 in reflected form: the highest bit.
    const fn one(self) -> u64 {
        1 << (self.width() * 8 - 1)
    }

    /// The product of two polynomials modulo the generator, bit by bit.
    fn multiply(self, a: u64, mut b: u64) -> u64 {
        let (generator, mut product, mut bit) = (self.polynomial(), 0, self.one());
        while bit != 0 {
            if a & bit != 0 {
                product ^= b;
            }
            b = (b >> 1) ^ if b & 1 == 1 { generator } else { 0 };
            bit >>= 1;
        }
        product
    }

    /// What `crc` contributes to the checksum of its bytes followed by `len` others: `crc` times
    /// x^(8 len) modulo the generator, by repeated squaring. The constants before and after a CRC
    /// cancel out, as they are the same for all of these. Some 3 µs; `crc_fast`'s combination
    /// builds matrices and took 150 µs, a twentieth of a whole upload's CPU time.
    fn append_zeros(self, crc: u64, len: u64) -> u64 {
        let (mut result, mut left) = (crc, len);
        let mut power = self.one() >> 8; // x^8: one byte
        while left != 0 {
            if left & 1 == 1 {
                result = self.multiply(power, result);
            }
            power = self.multiply(power, power);
            left >>= 1;
        }
        result
    }

    /// Bytes in a value.
    pub const fn width(self) -> usize {
        match self {
            Self::Crc64Nvme => 8,
            Self::Crc32c | Self::Crc32 => 4,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crc64Nvme => "CRC64NVME",
            Self::Crc32c => "CRC32C",
            Self::Crc32 => "CRC32",
        })
    }
}

/// A value with the algorithm that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The value; 32-bit checksums use the low half.
    pub value: u64,
}

impl Checksum {
    /// The value as S3 writes it before base64: big-endian, as wide as the algorithm.
    pub fn to_be_bytes(self) -> Vec<u8> {
        self.value.to_be_bytes()[8 - self.algorithm.width()..].to_vec()
    }

    /// The inverse of [`Checksum::to_be_bytes`]; `None` when the width does not fit.
    pub fn from_be_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == algorithm.width()).then(|| Self {
            algorithm,
            value: bytes.iter().fold(0, |acc, b| acc << 8 | u64::from(*b)),
        })
    }
}

/// A small set of algorithms to compute side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Algorithms(u8);

impl Algorithms {
    /// The set with `algorithm` added.
    #[must_use]
    pub const fn with(self, algorithm: Algorithm) -> Self {
        Self(self.0 | algorithm.bit())
    }

    /// Whether `algorithm` is in the set.
    pub const fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & algorithm.bit() != 0
    }

    fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(move |a| self.contains(*a))
    }
}

impl FromIterator<Algorithm> for Algorithms {
    fn from_iter<T: IntoIterator<Item = Algorithm>>(iter: T) -> Self {
        iter.into_iter().fold(Self::default(), Self::with)
    }
}

/// Hashes bytes as they pass, with every algorithm of a set.
#[derive(Debug)]
pub struct Hasher {
    digests: Vec<(Algorithm, Digest)>,
    len: u64,
}

impl Hasher {
    /// Starts with nothing seen.
    pub fn new(algorithms: Algorithms) -> Self {
        let digests = algorithms.iter().map(|a| (a, Digest::new(a.crc()))).collect();
        Self { digests, len: 0 }
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for (_, digest) in &mut self.digests {
            digest.update(bytes);
        }
        self.len += bytes.len() as u64;
    }

    /// The sums of all bytes seen so far.
    pub fn sums(&self) -> Sums {
        let values = self
            .digests
            .iter()
            .map(|(algorithm, d)| Checksum { algorithm: *algorithm, value: d.finalize() })
            .collect();
        Sums { len: self.len, values }
    }
}

/// Checksums of a run of bytes together with its length, which combining needs.
///
/// ```
/// use haul_core::checksum::{Algorithm, Algorithms, Hasher};
/// let set = Algorithms::default().with(Algorithm::Crc64Nvme);
/// let sums = |b: &[u8]| { let mut h = Hasher::new(set); h.update(b); h.sums() };
/// assert_eq!(sums(b"hello ").then(&sums(b"world")), sums(b"hello world"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sums {
    len: u64,
    values: Vec<Checksum>,
}

impl Sums {
    /// Bytes covered.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether they cover no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value for `algorithm`, if it was computed.
    pub fn get(&self, algorithm: Algorithm) -> Option<Checksum> {
        self.values.iter().copied().find(|c| c.algorithm == algorithm)
    }

    /// The sums of these bytes followed by those of `next`. Algorithms missing on either side are
    /// dropped.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let values = self
            .values
            .iter()
            .filter_map(|a| {
                let b = next.get(a.algorithm)?;
                let value = a.algorithm.append_zeros(a.value, next.len) ^ b.value;
                Some(Checksum { algorithm: a.algorithm, value })
            })
            .collect();
        Self { len: self.len + next.len, values }
    }

    /// The sums of consecutive runs; `None` when there are none.
    pub fn combine<'a>(runs: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        runs.into_iter().fold(None, |whole: Option<Self>, run| {
            Some(whole.map_or_else(|| run.clone(), |w| w.then(run)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check values of the CRC catalogue (reveng) for "123456789".
    #[test]
    fn known_values() {
        let mut h = Hasher::new(Algorithm::ALL.into_iter().collect());
        h.update(b"123456789");
        let sums = h.sums();
        assert_eq!(sums.get(Algorithm::Crc64Nvme).unwrap().value, 0xae8b_1486_0a79_9888);
        assert_eq!(sums.get(Algorithm::Crc32c).unwrap().value, 0xe306_9283);
        assert_eq!(sums.get(Algorithm::Crc32).unwrap().value, 0xcbf4_3926);
        let c = sums.get(Algorithm::Crc32).unwrap();
        assert_eq!(Checksum::from_be_bytes(Algorithm::Crc32, &c.to_be_bytes()), Some(c));
        assert_eq!(Checksum::from_be_bytes(Algorithm::Crc64Nvme, &c.to_be_bytes()), None);
    }

    proptest::proptest! {
        #[test]
        fn combining_equals_hashing_the_whole(
            data in proptest::collection::vec(proptest::num::u8::ANY, 0..4000),
            cuts in proptest::collection::vec(0usize..4000, 0..6),
        ) {
            let set: Algorithms = Algorithm::ALL.into_iter().collect();
            let sums = |b: &[u8]| { let mut h = Hasher::new(set); h.update(b); h.sums() };
            let mut cuts: Vec<_> = cuts.into_iter().filter(|c| *c <= data.len()).collect();
            cuts.extend([0, data.len()]);
            cuts.sort_unstable();
            let runs: Vec<_> = cuts.windows(2).map(|w| sums(&data[w[0]..w[1]])).collect();
            proptest::prop_assert_eq!(Sums::combine(&runs).unwrap(), sums(&data));
        }
    }
}
