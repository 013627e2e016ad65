//! Cutting a stream into parts.
//!
//! Owns what was read beyond a part's end. Must never hold more than one part and one slice, nor a
//! piece of a network stack's buffer, which would hold all of it.

pub(crate) mod intake;
pub(crate) mod once;

use bytes::Bytes;
use intake::Intake;

use crate::budget::BudgetPermit;
use crate::checksum::{Hasher, Sums};
use crate::error::Result;
use crate::pool::{Pool, SLICE};
use crate::range::{ByteRange, ChunkSpec};
use crate::sink::{Content, Item};

/// Cuts a stream into parts.
pub(crate) struct PartReader {
    intake: Intake,
    pool: Pool,
    /// What came over the network and is not in a slice yet.
    piece: Bytes,
    /// What was read beyond the last part.
    rest: Bytes,
    ended: bool,
}

/// One part of a stream.
pub(crate) struct Part {
    chunk: ChunkSpec,
    segments: Vec<Bytes>,
    pub(crate) sums: Sums,
    /// Whether the stream ended with it.
    pub(crate) last: bool,
}

impl Part {
    pub(crate) fn len(&self) -> u64 {
        self.chunk.range.len()
    }

    pub(crate) fn into_item(self, permit: BudgetPermit) -> Item {
        let content = Content::Held(self.segments, self.sums);
        Item { chunk: self.chunk, content: Some(content), permit }
    }
}

impl PartReader {
    pub(crate) fn new(intake: Intake, pool: Pool) -> Self {
        Self { intake, pool, piece: Bytes::new(), rest: Bytes::new(), ended: false }
    }

    /// Whether the stream has ended, after parts that filled up.
    pub(crate) async fn at_end(&mut self) -> Result<bool> {
        if self.rest.is_empty() && !self.ended {
            match self.more().await? {
                Some(more) => self.rest = more,
                None => self.ended = true,
            }
        }
        Ok(self.ended && self.rest.is_empty())
    }

    /// Reads the part that `spec` describes, or as much of it as the stream still holds.
    pub(crate) async fn next(&mut self, spec: ChunkSpec) -> Result<Part> {
        let (mut segments, mut have) = (Vec::new(), 0u64);
        let mut hasher = Hasher::new(self.intake.algorithms());
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

    /// The next bytes, fit to be held: what comes over a network is copied into whole slices.
    async fn more(&mut self) -> Result<Option<Bytes>> {
        if !self.intake.is_network() {
            return self.intake.next().await;
        }
        let (mut slice, mut filled) = (None, 0);
        while filled < SLICE {
            if self.piece.is_empty() {
                let Some(piece) = self.intake.next().await? else { break };
                self.piece = piece;
            }
            let some = self.piece.split_to(self.piece.len().min(SLICE - filled));
            let slice = slice.get_or_insert_with(|| self.pool.take());
            slice.buffer()[filled..filled + some.len()].copy_from_slice(&some);
            filled += some.len();
        }
        Ok(slice.map(|slice| slice.freeze(filled)))
    }
}
