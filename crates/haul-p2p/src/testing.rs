//! What the tests of this crate send.
//!
//! Owns bytes that differ from place to place. It must never ship.

use bytes::Bytes;
use haul_core::BytesSource;

/// `size` bytes that differ from place to place.
pub(crate) fn pattern(size: usize) -> Bytes {
    (0..size).map(|i| (i * 31 + i / 251) as u8).collect::<Vec<u8>>().into()
}

/// The same as a source that hands them out in pieces of `piece`.
pub(crate) fn patterned(size: usize, piece: usize) -> BytesSource {
    BytesSource::new("memory", pattern(size)).in_pieces(piece)
}
