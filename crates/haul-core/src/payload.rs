//! The bytes of one chunk on their way into a target.
//!
//! Owns how a target reads a chunk, as often as it has to: from memory, or by reading the source's
//! range again; a stream that is sent on as it comes is the one chunk that is read once. Counts what is handed over, so that bars move and stalls are seen. Must never
//! yield anything but the chunk's bytes, complete, or an error.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};

use crate::checksum::Sums;
use crate::error::Result;
use crate::fetch::{FetchReader, Fetcher};
use crate::meter::{ChunkMeter, Meter};
use crate::parts::intake::Intake;
use crate::parts::once::{Once, Pass};
use crate::range::ChunkSpec;
use crate::stall::Pulse;
use crate::throttle::Throttle;

/// The bytes of one chunk; clones read the same bytes.
#[derive(Debug, Clone)]
pub struct Payload {
    chunk: ChunkSpec,
    content: Content,
    tracker: Arc<Tracker>,
}

#[derive(Debug, Clone)]
enum Content {
    Memory { segments: Arc<[Bytes]>, sums: Sums },
    Range { fetcher: Fetcher, ahead: Option<Sums> },
    Once(Once),
}

/// Who wants to know about bytes that are handed over.
#[derive(Debug)]
pub struct Tracker {
    /// Progress of the chunk.
    pub chunk: ChunkMeter,
    /// For the stall timer.
    pub pulse: Pulse,
    /// Where bytes that leave over a network are counted.
    pub wire: Option<Arc<Meter>>,
    /// The rate limit, if bytes of this target count against it.
    pub throttle: Option<Throttle>,
    /// The sums of the last complete pass.
    pub sums: Mutex<Option<Sums>>,
}

impl Payload {
    /// A chunk that is in memory.
    pub fn memory(
        chunk: ChunkSpec,
        segments: Vec<Bytes>,
        sums: Sums,
        tracker: Arc<Tracker>,
    ) -> Self {
        Self { chunk, content: Content::Memory { segments: segments.into(), sums }, tracker }
    }

    /// A chunk that is read from the source as it is needed.
    pub fn range(chunk: ChunkSpec, fetcher: Fetcher, tracker: Arc<Tracker>) -> Self {
        Self { chunk, content: Content::Range { fetcher, ahead: None }, tracker }
    }

    /// A chunk that is a whole stream, sent on as it comes.
    pub(crate) fn once(chunk: ChunkSpec, intake: Intake, tracker: Arc<Tracker>) -> Self {
        Self { chunk, content: Content::Once(Once::new(intake)), tracker }
    }

    /// Whether the chunk cannot be read again: it is a stream, and somebody has begun to.
    pub(crate) fn is_spent(&self) -> bool {
        matches!(&self.content, Content::Once(once) if once.is_spent())
    }

    /// Reads the chunk once for its checksums, where it is not in memory and reading it again is
    /// cheap.
    pub async fn sum_up(mut self) -> Result<Self> {
        if let Content::Range { fetcher, ahead } = &mut self.content
            && fetcher.cheap_reread()
        {
            let mut reader = fetcher.open(self.chunk.range);
            while reader.next().await?.is_some() {}
            *ahead = Some(reader.sums());
        }
        Ok(self)
    }

    /// Bytes in the chunk.
    pub fn len(&self) -> u64 {
        self.chunk.range.len()
    }

    /// Whether the chunk has no bytes (an empty object has one such chunk).
    pub fn is_empty(&self) -> bool {
        self.chunk.range.is_empty()
    }

    /// The checksums before the first byte is handed over: known when the chunk is in memory or
    /// was summed up.
    pub fn sums_ahead(&self) -> Option<&Sums> {
        match &self.content {
            Content::Memory { sums, .. } => Some(sums),
            Content::Range { ahead, .. } => ahead.as_ref(),
            Content::Once(_) => None,
        }
    }

    /// The sums of what was handed over, after a complete pass.
    pub fn sums_seen(&self) -> Sums {
        if self.is_empty() {
            return self.open().sums();
        }
        self.tracker.sums.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    /// Starts a pass over the bytes.
    pub fn open(&self) -> PayloadReader {
        let feed = match &self.content {
            Content::Memory { segments, sums } => {
                Feed::Memory { segments: Arc::clone(segments), next: 0, sums: sums.clone() }
            }
            Content::Range { fetcher, .. } => Feed::Range(Box::new(fetcher.open(self.chunk.range))),
            Content::Once(once) => Feed::Once(Box::new(once.open(self.len()))),
        };
        PayloadReader { feed, done: 0, len: self.len(), tracker: Arc::clone(&self.tracker) }
    }
}

/// One pass over a chunk's bytes.
#[derive(Debug)]
pub struct PayloadReader {
    feed: Feed,
    done: u64,
    len: u64,
    tracker: Arc<Tracker>,
}

#[derive(Debug)]
enum Feed {
    Memory { segments: Arc<[Bytes]>, next: usize, sums: Sums },
    Range(Box<FetchReader>),
    Once(Box<Pass>),
}

impl PayloadReader {
    /// The next bytes; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let bytes = match &mut self.feed {
            Feed::Memory { segments, next, .. } => {
                let bytes = segments.get(*next).cloned();
                *next += 1;
                bytes
            }
            Feed::Range(reader) => reader.next().await?,
            Feed::Once(pass) => pass.next(&self.tracker.pulse).await?,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        if let Some(throttle) = &self.tracker.throttle {
            throttle.take(bytes.len(), |n| self.tracker.pulse.beat(n)).await;
        }
        self.done += bytes.len() as u64;
        self.tracker.chunk.reach(self.done);
        self.tracker.pulse.beat(bytes.len());
        if let Some(wire) = &self.tracker.wire {
            wire.add_wire(bytes.len() as u64);
        }
        if self.done == self.len {
            self.tracker.pulse.handed_over();
            let mut sums = self.tracker.sums.lock().unwrap_or_else(PoisonError::into_inner);
            *sums = Some(self.sums());
        }
        Ok(Some(bytes))
    }

    /// The sums of the bytes, once the pass is over.
    pub fn sums(&self) -> Sums {
        match &self.feed {
            Feed::Memory { sums, .. } => sums.clone(),
            Feed::Range(reader) => reader.sums(),
            Feed::Once(pass) => pass.sums(),
        }
    }

    /// The pass as a stream.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes>> {
        futures::stream::try_unfold(self, |mut reader| async move {
            Ok(reader.next().await?.map(|bytes| (bytes, reader)))
        })
        .boxed()
    }
}
