//! Object bytes: real ones, and synthetic ones that cost no memory.
//!
//! Owns: the pieces an object is made of and how they are read out in small frames. Must never
//! copy a body in order to serve or to assemble it.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use s3s::StdError;
use s3s::dto::StreamingBlob;

/// Largest frame of a served body. Small enough for faults to cut in the middle of an 8 MiB part,
/// large enough not to be seen in a profile.
const FRAME: u64 = 256 * 1024;
/// Synthetic content is laid out in pages of this many bytes, each stamped with its number.
const PAGE: u64 = 4096;
/// Bytes of a page that hold its stamp.
const STAMP: usize = 8;

/// The bytes of an object or of a part.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Where each piece starts, and the piece.
    pieces: Arc<[(u64, Piece)]>,
    len: u64,
}

#[derive(Clone, Debug)]
enum Piece {
    Bytes(Bytes),
    /// Bytes `offset..offset + len` of the endless synthetic stream. Without an offset, the one at
    /// which the piece ends up in the object.
    Synthetic {
        offset: Option<u64>,
        len: u64,
    },
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Synthetic { len, .. } => *len,
        }
    }

    fn cut(&self, from: u64, to: u64) -> Piece {
        match self {
            Self::Bytes(bytes) => Self::Bytes(bytes.slice(from as usize..to as usize)),
            Self::Synthetic { offset, len: _ } => {
                Self::Synthetic { offset: offset.map(|o| o + from), len: to - from }
            }
        }
    }
}

impl Content {
    /// `len` bytes of [`synthetic_bytes`], from its start.
    pub fn synthetic(len: u64) -> Self {
        Self::of([Piece::Synthetic { offset: Some(0), len }])
    }

    /// A body that was read, hashed and let go: served as synthetic bytes.
    pub(super) fn sunk(len: u64) -> Self {
        Self::of([Piece::Synthetic { offset: None, len }])
    }

    /// The contents one after the other.
    pub(super) fn concat<'a>(contents: impl IntoIterator<Item = &'a Content>) -> Self {
        Self::of(contents.into_iter().flat_map(|c| c.pieces.iter().map(|(_, piece)| piece.clone())))
    }

    fn of(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let mut len = 0;
        let mut placed = Vec::new();
        for piece in pieces {
            let start = len;
            len += piece.len();
            placed.push((start, piece));
        }
        Self { pieces: placed.into(), len }
    }

    /// Their number.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether every byte was stored as it came.
    pub(super) fn is_real(&self) -> bool {
        self.pieces.iter().all(|(_, piece)| matches!(piece, Piece::Bytes(_)))
    }

    /// The part of it from `from` up to, not including, `to`.
    pub(super) fn range(&self, from: u64, to: u64) -> Self {
        let mut pieces = Vec::new();
        let mut at = from;
        while at < to {
            let Some(piece) = self.piece_at(at, to - at) else { break };
            at += piece.len();
            pieces.push(piece);
        }
        Self::of(pieces)
    }

    /// All of it in one buffer: for small objects.
    pub fn to_bytes(&self) -> Bytes {
        if let [(_, Piece::Bytes(bytes))] = &*self.pieces {
            return bytes.clone();
        }
        let mut whole = BytesMut::with_capacity(self.len as usize);
        for frame in self.frames() {
            whole.extend_from_slice(&frame);
        }
        whole.freeze()
    }

    /// All of it, in frames of up to 256 KiB.
    pub(super) fn frames(&self) -> impl Iterator<Item = Bytes> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let frame = self.frame_at(at)?;
            at += frame.len() as u64;
            Some(frame)
        })
    }

    pub(super) fn into_stream(self) -> StreamingBlob {
        StreamingBlob::from(s3s::Body::http_body(ContentBody { content: self, at: 0 }))
    }

    fn frame_at(&self, at: u64) -> Option<Bytes> {
        match self.piece_at(at, FRAME)? {
            Piece::Bytes(bytes) => Some(bytes),
            Piece::Synthetic { offset, len } => {
                Some(synthetic_bytes(offset.unwrap_or(at), len as usize))
            }
        }
    }

    /// What one piece holds at `at`, at most `max` bytes of it.
    fn piece_at(&self, at: u64, max: u64) -> Option<Piece> {
        // Pieces may be empty: of those that start here, the last one holds the byte.
        let after = self.pieces.partition_point(|(start, _)| *start <= at);
        let (start, piece) = self.pieces.get(after.checked_sub(1)?)?;
        let from = at - start;
        (from < piece.len()).then(|| {
            let cut = piece.cut(from, piece.len().min(from + max));
            match cut {
                // Content that was sunk is found by where it stands.
                Piece::Synthetic { offset: None, len } => {
                    Piece::Synthetic { offset: Some(at), len }
                }
                cut => cut,
            }
        })
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::of([Piece::Bytes(bytes)])
    }
}

struct ContentBody {
    content: Content,
    at: u64,
}

impl Body for ContentBody {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let frame = self.content.frame_at(self.at);
        self.at += frame.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Poll::Ready(frame.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.content.len
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.len - self.at)
    }
}

/// Bytes `offset..offset + len` of the synthetic stream: a pure function of the offset, in which
/// no two 4 KiB pages are alike, so that any chunk in a wrong place shows.
///
/// ```
/// # use haul_testkit::memory::synthetic_bytes;
/// let whole = synthetic_bytes(0, 10_000);
/// assert_eq!(synthetic_bytes(4_000, 500), whole[4_000..4_500]);
/// ```
pub fn synthetic_bytes(offset: u64, len: usize) -> Bytes {
    let end = offset + len as u64;
    let mut out = BytesMut::with_capacity(len);
    let mut at = offset;
    while at < end {
        let (page, from) = (at / PAGE, (at % PAGE) as usize);
        let to = (end - page * PAGE).min(PAGE) as usize;
        let stamp = mix(page).to_le_bytes();
        if from < STAMP {
            out.extend_from_slice(&stamp[from..to.min(STAMP)]);
        }
        if to > STAMP {
            out.extend_from_slice(&page_body()[from.max(STAMP)..to]);
        }
        at = page * PAGE + to as u64;
    }
    out.freeze()
}

fn page_body() -> &'static [u8] {
    static BODY: OnceLock<Vec<u8>> = OnceLock::new();
    // Far from the page numbers, so that no stamp repeats a word of the body.
    BODY.get_or_init(|| (0..PAGE / 8).flat_map(|i| mix(u64::MAX - i).to_le_bytes()).collect())
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): well mixed and invertible, so stamps are unique.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_is_a_function_of_the_offset() {
        let whole = synthetic_bytes(0, 3 * PAGE as usize + 5);
        for from in [0, 1, 7, 8, 9, 4095, 4096, 4097, 8191, 12288] {
            for len in [0, 1, 8, 4096, 5000] {
                let to = whole.len().min(from + len);
                let got = synthetic_bytes(from as u64, to - from);
                assert_eq!(got, whole[from..to], "{from}+{len}");
            }
        }
    }

    #[test]
    fn ranges_of_pieces_are_ranges_of_the_whole() {
        let pieces = [
            Content::from(Bytes::from_static(b"abc")),
            Content::sunk(5000),
            Content::default(),
            Content::from(Bytes::from_static(b"xyz")),
        ];
        let whole = Content::concat(&pieces);
        let bytes = whole.to_bytes();
        assert_eq!(bytes.len(), 5006);
        assert_eq!(&bytes[5003..], b"xyz");
        assert_eq!(bytes[3..5003], synthetic_bytes(3, 5000));
        for (from, to) in [(0, 0), (0, 1), (2, 4), (3, 5003), (5002, 5006), (0, 5006)] {
            let cut = whole.range(from, to);
            assert_eq!(cut.to_bytes(), bytes[from as usize..to as usize], "{from}..{to}");
        }
    }
}
