//! Cutting a stream into parts.
//!
//! Owns what was read beyond a part's end. Must never hold more than one part and one slice.

use bytes::Bytes;

use crate::budget::BudgetPermit;
use crate::checksum::{Algorithms, Hasher, Sums};
use crate::error::Result;
use crate::range::{ByteRange, ChunkSpec};
use crate::sink::Item;
use crate::source::ReadStream;

/// Cuts a stream into parts.
pub(crate) struct PartReader {
    source: Box<dyn ReadStream>,
    /// What was read beyond the last part.
    rest: Bytes,
    ended: bool,
    algorithms: Algorithms,
}

/// One part of a stream.
pub(crate) struct Part {
    chunk: ChunkSpec,
    segments: Vec<Bytes>,
    sums: Sums,
    /// Whether the stream ended with it.
    pub(crate) last: bool,
}

impl Part {
    pub(crate) fn len(&self) -> u64 {
        self.chunk.range.len()
    }

    pub(crate) fn into_item(self, permit: BudgetPermit) -> Item {
        Item { chunk: self.chunk, content: Some((self.segments, self.sums)), permit }
    }
}

impl PartReader {
    pub(crate) fn new(source: Box<dyn ReadStream>, algorithms: Algorithms) -> Self {
        Self { source, rest: Bytes::new(), ended: false, algorithms }
    }

    /// Whether the stream has ended, after parts that filled up.
    pub(crate) async fn at_end(&mut self) -> Result<bool> {
        if self.rest.is_empty() && !self.ended {
            match self.source.read().await? {
                Some(more) => self.rest = more,
                None => self.ended = true,
            }
        }
        Ok(self.ended && self.rest.is_empty())
    }

    /// Reads the part that `spec` describes, or as much of it as the stream still holds.
    pub(crate) async fn next(&mut self, spec: ChunkSpec) -> Result<Part> {
        let (mut segments, mut have) = (Vec::new(), 0u64);
        let mut hasher = Hasher::new(self.algorithms);
        let len = spec.range.len();
        let mut last = false;
        while have < len {
            let mut bytes = std::mem::take(&mut self.rest);
            if bytes.is_empty() {
                if self.at_end().await? {
                    last = true;
                    break;
                }
                bytes = std::mem::take(&mut self.rest);
            }
            let room = usize::try_from(len - have).unwrap_or(usize::MAX);
            if bytes.len() > room {
                self.rest = bytes.split_off(room);
            }
            hasher.update(&bytes);
            have += bytes.len() as u64;
            segments.push(bytes);
        }
        let range = ByteRange::new(spec.range.start, spec.range.start + have);
        let chunk = ChunkSpec { index: spec.index, range };
        Ok(Part { chunk, segments, sums: hasher.sums(), last })
    }
}
