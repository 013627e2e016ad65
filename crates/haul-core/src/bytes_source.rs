//! Bytes in memory as a source like any other.
//!
//! Owns the one source of that kind. It must never copy them: what is handed out is theirs.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};

use crate::error::Result;
use crate::limits::SourceLimits;
use crate::pool::SLICE;
use crate::range::ByteRange;
use crate::source::{Body, Meta, Opened, ReadAt, Source, Validator};
use crate::target::Attributes;

/// Bytes in memory, to be read.
#[derive(Clone)]
pub struct BytesSource {
    bytes: Bytes,
    meta: Meta,
    /// The most bytes that are handed out at once.
    piece: usize,
}

impl BytesSource {
    /// `bytes`, which messages call `location`.
    pub fn new(location: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let meta = Meta {
            location: location.into(),
            size: bytes.len() as u64,
            validator: Validator::Unpinned, // they cannot change
            checksum: None,
            modified: None,
            attributes: Attributes::default(),
        };
        Self { bytes, meta, piece: SLICE }
    }

    /// The same, with something to carry along.
    #[must_use]
    pub fn with_attributes(mut self, attributes: Attributes) -> Self {
        self.meta.attributes = attributes;
        self
    }

    /// The same, handed out in pieces of at most `len` bytes.
    #[must_use]
    pub fn in_pieces(mut self, len: usize) -> Self {
        self.piece = len.max(1);
        self
    }
}

impl fmt::Debug for BytesSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Meta { location, size, .. } = &self.meta;
        f.debug_struct("BytesSource")
            .field("location", location)
            .field("size", size)
            .finish_non_exhaustive()
    }
}

impl Source for BytesSource {
    fn location(&self) -> String {
        self.meta.location.clone()
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        std::future::ready(Ok(Opened::Ranged(Arc::new(self.clone())))).boxed()
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits { gate: None, network: false, cheap_reread: true }
    }
}

impl ReadAt for BytesSource {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn read_at(&self, range: ByteRange) -> BoxFuture<'static, Result<Body>> {
        let all = self.bytes.len();
        let at = |offset: u64| usize::try_from(offset).unwrap_or(all).min(all);
        let (mut rest, most) = (self.bytes.slice(at(range.start)..at(range.end)), self.piece);
        let pieces = std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| Ok(rest.split_to(most.min(rest.len()))))
        });
        std::future::ready(Ok(futures::stream::iter(pieces).boxed())).boxed()
    }

    fn recheck(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt as _;

    #[tokio::test]
    async fn any_range_comes_in_pieces_of_no_more_than_was_said() {
        let all: Vec<u8> = (0..100).collect();
        let source = BytesSource::new("memory", all.clone()).in_pieces(7);
        for (start, end) in [(0, 100), (0, 1), (13, 29), (99, 100)] {
            let body = source.read_at(ByteRange::new(start, end)).await.unwrap();
            let pieces: Vec<Bytes> = body.try_collect().await.unwrap();
            assert!(pieces.iter().all(|piece| (1..=7).contains(&piece.len())));
            assert_eq!(pieces.concat(), all[start as usize..end as usize]);
        }
    }
}
