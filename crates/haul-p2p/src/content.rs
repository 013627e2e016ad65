//! Contents of this side: open sources, read by the engine's rules, and hashed.
//!
//! Owns how bytes are cut into the pieces that trees are made of. Files are read where they are;
//! nothing is copied.

use std::sync::Arc;

use bao_tree::ChunkNum;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use haul_core::checksum::Algorithms;
use haul_core::fetch::{FetchReader, FetchRules, Fetcher};
use haul_core::handle::JobContext;
use haul_core::meter::ChunkMeter;
use haul_core::pool::Pool;
use haul_core::workers::Crew;
use haul_core::{ByteRange, Engine, Error, ErrorKind, Hint, Meta, Op, Opened, Result, Source};

use tokio_util::task::AbortOnDropHandle;

use crate::outline::{self, Builder, Outline};

/// Files from this size on are hashed by several cores.
const LARGE: u64 = 32 << 20;

/// An open source.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    fetcher: Fetcher,
    pool: Pool,
    crew: Crew,
    /// Whether any range of it can be had at once.
    cheap: bool,
    meta: Meta,
}

impl Content {
    /// Opens `source` and pins it.
    pub(crate) async fn open(
        engine: &Engine,
        source: &Arc<dyn Source>,
        cx: &JobContext,
    ) -> Result<Self> {
        let (location, options) = (source.location(), engine.options());
        let policy = options.retry;
        let Opened::Ranged(read) = engine.retrying(policy, cx, &location, || source.open()).await?
        else {
            let what = "it can be read once only, and every receiver reads it";
            return Err(Error::new(ErrorKind::Unsupported, Op::Share, location, what)
                .with_hint(Hint::SaveToFile));
        };
        let meta = read.meta().clone();
        let rules = FetchRules {
            retry: options.retry,
            stall: options.stall,
            // What a rate limit counts is what goes to peers.
            throttle: None,
            algorithms: Algorithms::default(),
        };
        let (meter, events) = (Arc::clone(&cx.meter), cx.events.clone());
        let fetcher = Fetcher::new(read, source.limits(), rules, meter, events);
        let pool = engine.pool().clone();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (crew, cheap) = (engine.crew(cores), source.limits().cheap_reread);
        Ok(Self { fetcher, pool, crew, cheap, meta })
    }

    /// What was seen at opening.
    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The bytes of `range`.
    pub(crate) async fn read(&self, range: ByteRange) -> Result<Vec<Bytes>> {
        Ok(self.fetcher.read_all(range, &self.pool).await?.0)
    }

    /// Hashes all of it. `progress` hears of every byte.
    pub(crate) async fn outline(&self, progress: &ChunkMeter) -> Result<Outline> {
        if self.cheap && self.meta.size >= LARGE {
            return self.outline_together(progress).await;
        }
        let mut builder = Builder::new(self.meta.size);
        let mut reader = self.fetcher.open(ByteRange::new(0, self.meta.size));
        let mut rest = Bytes::new();
        loop {
            let group = builder.next_group();
            let mut left = group.len() as usize;
            if left == 0 {
                break;
            }
            let mut pieces = Vec::new();
            while left > 0 {
                if rest.is_empty() {
                    rest = next(&mut reader, &self.meta.location).await?;
                }
                let piece = rest.split_to(left.min(rest.len()));
                left -= piece.len();
                pieces.push(piece);
            }
            builder.push(&pieces);
            progress.reach(group.end);
            // On a lane nothing above waits for anybody: others get their turn, and the end is heard.
            tokio::task::yield_now().await;
        }
        // The reader has a last look at the source when all was read; an empty one needs this call.
        if self.meta.size == 0 {
            reader.next().await?;
        }
        Ok(builder.finish())
    }

    /// The same for a large file, a group on each lane: one file alone keeps all cores busy.
    async fn outline_together(&self, progress: &ChunkMeter) -> Result<Outline> {
        let mut builder = Builder::new(self.meta.size);
        let groups = builder.groups().enumerate();
        let mut hashes = futures::stream::iter(groups)
            .map(|(number, group)| {
                let content = self.clone();
                let hashing = async move {
                    let start = ChunkNum(group.start >> 10);
                    let pieces = content.read(group).await?;
                    Ok(outline::subtree(start, &pieces, false))
                };
                AbortOnDropHandle::new(self.crew.lanes.handle(number).spawn(hashing))
            })
            .buffered(self.crew.workers);
        while let Some(hash) = hashes.next().await {
            let crashed = |e| {
                let what = "hashing it crashed";
                Error::new(ErrorKind::Io, Op::Read, &self.meta.location, what).with_source(e)
            };
            let end = builder.next_group().end;
            builder.push_hash(hash.map_err(crashed)??);
            progress.reach(end);
        }
        Ok(builder.finish())
    }
}

async fn next(reader: &mut FetchReader, location: &str) -> Result<Bytes> {
    reader.next().await?.ok_or_else(|| {
        Error::new(ErrorKind::SourceChanged, Op::Read, location, "it became shorter")
    })
}

/// `bytes` in pieces of `size`, the last of which may be shorter. What comes in one piece is not
/// copied.
pub(crate) fn cut(bytes: Vec<Bytes>, size: usize) -> Vec<Bytes> {
    let (mut pieces, mut rest) = (Vec::new(), BytesMut::new());
    for mut bytes in bytes {
        while !bytes.is_empty() {
            if rest.is_empty() && bytes.len() >= size {
                pieces.push(bytes.split_to(size));
                continue;
            }
            let more = (size - rest.len()).min(bytes.len());
            rest.extend_from_slice(&bytes.split_to(more));
            if rest.len() == size {
                pieces.push(rest.split().freeze());
            }
        }
    }
    if !rest.is_empty() {
        pieces.push(rest.freeze());
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pattern, patterned};
    use haul_core::{EngineOptions, Meter};
    use tokio_util::sync::CancellationToken;

    /// A large file has the hash that everybody computes, whoever hashes which part of it.
    #[tokio::test(flavor = "multi_thread")]
    async fn large_files_are_hashed_by_several() {
        for lanes in [0, 2] {
            let size = (LARGE + 12345) as usize;
            let whole = blake3::hash(&pattern(size));
            let source: Arc<dyn Source> = Arc::new(patterned(size, 256 << 10));
            let mut options = EngineOptions::default();
            options.lanes = lanes;
            let cx = JobContext::unwatched(CancellationToken::new());
            let content = Content::open(&Engine::new(options), &source, &cx).await.unwrap();
            let meter = Meter::new();
            let outline = content.outline(&ChunkMeter::new(Arc::clone(&meter))).await.unwrap();
            assert_eq!(outline.root(), whole);
            assert_eq!(meter.snapshot().landed, LARGE + 12345);
        }
    }
}
