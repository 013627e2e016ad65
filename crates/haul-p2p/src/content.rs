//! Contents of this side: open sources, read by the engine's rules, and hashed.
//!
//! Owns how bytes are cut into the pieces that trees are made of. Files are read where they are;
//! nothing is copied.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use haul_core::checksum::Algorithms;
use haul_core::fetch::{FetchReader, FetchRules, Fetcher};
use haul_core::handle::JobContext;
use haul_core::meter::ChunkMeter;
use haul_core::pool::Pool;
use haul_core::{
    Budget, BudgetPermit, ByteRange, Engine, Error, ErrorKind, Meta, Op, Opened, Result, Source,
};

use crate::outline::{Builder, Outline};

/// An open source.
#[derive(Debug)]
pub(crate) struct Content {
    fetcher: Fetcher,
    pool: Pool,
    budget: Budget,
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
        let policy = options.retry.first_contact();
        let Opened::Ranged(read) = engine.retrying(policy, cx, &location, || source.open()).await?
        else {
            let what = "it can be read once only, and every receiver reads it";
            return Err(Error::new(ErrorKind::Unsupported, Op::Share, location, what)
                .with_hint("save it to a file first"));
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
        let (pool, budget) = (engine.pool().clone(), engine.budget().clone());
        Ok(Self { fetcher, pool, budget, meta })
    }

    /// What was seen at opening.
    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Waits for room for so many bytes, among all who hold some.
    pub(crate) async fn room(&self, bytes: u64) -> BudgetPermit {
        self.budget.acquire(bytes).await
    }

    /// The bytes of `range`.
    pub(crate) async fn read(&self, range: ByteRange) -> Result<Vec<Bytes>> {
        Ok(self.fetcher.read_all(range, &self.pool).await?.0)
    }

    /// Hashes all of it. `progress` hears of every byte.
    pub(crate) async fn outline(&self, progress: &ChunkMeter) -> Result<Outline> {
        let mut builder = Builder::new(self.meta.size);
        let mut reader = self.fetcher.open(ByteRange::new(0, self.meta.size));
        let (mut rest, mut hashed) = (Bytes::new(), 0);
        loop {
            let group = builder.next_group();
            let mut left = (group.end - group.start) as usize;
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
            hashed = group.end;
            progress.reach(hashed);
            // On a lane nothing above waits for anybody: others get their turn, and the end is heard.
            tokio::task::yield_now().await;
        }
        debug_assert_eq!(hashed, self.meta.size);
        // The reader has a last look at the source when all was read; an empty one needs this call.
        if self.meta.size == 0 {
            reader.next().await?;
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
