//! Files that are fetched piece by piece.
//!
//! Owns the file under construction: proven bytes in their place, and behind them the nodes of the
//! tree that prove them, so that another process can find out what of it is good without any other
//! record. What a power cut left half-written is found out in the same way.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bao_tree::{BaoTree, ChunkNum, ChunkRanges};
use bytes::Bytes;
use futures::future::join_all;
use haul_core::handle::JobContext;
use haul_core::{Error, Op, Result};
use haul_local::{CommitSpec, Partial, PartialSpec};
use tokio_util::sync::CancellationToken;

use crate::checking;
use crate::old;
use crate::outline::{self, GROUP};
use crate::reading::{Named, Piece};
use crate::receive::File;
use crate::take::{Place, Taker};
use crate::width::Another;

/// Requests for one file at once, at most: with the window of a stream, what a single file has on its
/// way.
pub(crate) const WIDTH: usize = 4;

/// Chunks of one request: 16 MiB. The nodes above it are sent again with each, a few hundred bytes.
const STRETCH: u64 = 16 << 10;

/// Bytes that are gathered before they are written.
const BATCH: usize = GROUP as usize;

/// What a receive leaves of a file is found by the file's name, whatever it was to hold: so that what a
/// sender has changed meanwhile takes the place of what it was, and uses what it can of it.
const TOKEN: &[u8; 32] = b"haul: what a receive left behind";

/// How long bytes are gathered at most.
const GATHER: Duration = Duration::from_secs(1);

/// Fetches `file` to its place, going on where an earlier process stopped.
pub(crate) async fn fetch(
    taker: &Taker,
    file: &File,
    place: &Place,
    cx: &JobContext,
) -> Result<()> {
    let named = file.named;
    let spec = PartialSpec {
        token: *TOKEN,
        size: named.size,
        extra: outline::outline_size(named.size),
        overwrite: place.overwrite,
        durable: taker.durability.syncs(),
        mode: file.mode,
    };
    let partial = Partial::open(Arc::clone(&taker.root), place.path.clone(), spec).await?;
    let mut there = if partial.found() {
        let looking = cx.cancel.run_until_cancelled(Box::pin(good(taker, &partial, named, cx)));
        looking.await.unwrap_or_else(|| Err(Error::cancelled(Op::Read, place.path.shown())))?
    } else {
        ChunkRanges::empty()
    };
    if place.overwrite && bytes_of(&there, named.size) < named.size {
        let comparing = old::take_over(taker, (&place.path, &partial), named, &there, cx);
        let compared = cx.cancel.run_until_cancelled(Box::pin(comparing)).await;
        there |= compared.unwrap_or_else(|| Err(Error::cancelled(Op::Read, place.path.shown())))?;
    }
    cx.meter.add_resumed(bytes_of(&there, named.size));
    let (moved, there) = (AtomicU64::new(0), Mutex::new(there));
    let filling = Filling { taker, partial: &partial, named, cx, moved, there };
    let moved = || filling.moved.load(Ordering::Relaxed);
    let attempt = || filling.fill();
    taker.session.engine.going_on(cx, &taker.session.peer, moved, attempt).await?;
    drop(filling);
    let spec = CommitSpec { modified: file.modified, hash: Some(named.hash) };
    partial.commit(spec, &taker.durability).await
}

/// What of a file under construction is good: by the nodes behind it, or, if it was to be another
/// version of the file, by those that the sender has.
async fn good(
    taker: &Taker,
    partial: &Partial,
    named: Named,
    cx: &JobContext,
) -> Result<ChunkRanges> {
    let hashes = checking::groups(&taker.session.engine, &partial.reader(), named.size, cx).await;
    let group = |range: Range<u64>, _| *hashes.get(usize::try_from(range.start / GROUP).ok()?)?;
    let by = |pairs: &Bytes| {
        let pair = |at: u64| outline::pair_from(pairs.get(usize::try_from(at).ok()?..)?);
        outline::valid(named.size, named.hash.into(), pair, group)
    };
    let len = usize::try_from(outline::outline_size(named.size)).unwrap_or(usize::MAX);
    let there = by(&partial.read_or_short(named.size, len).await?);
    if !there.is_empty() || hashes.iter().all(Option::is_none) {
        return Ok(there);
    }
    let Some(pairs) = old::ask(taker, named).await else { return Ok(there) };
    let there = by(&pairs);
    // They prove it to a process that goes on later.
    partial.write_all_at(vec![pairs], named.size).await?;
    Ok(there)
}

/// Bytes in `ranges` of a content of `size` bytes.
fn bytes_of(ranges: &ChunkRanges, size: u64) -> u64 {
    let bounds = ranges.boundaries();
    let at = |chunk: &ChunkNum| chunk.to_bytes().min(size);
    bounds.chunks(2).map(|pair| pair.get(1).map_or(size, at) - at(&pair[0])).sum()
}

/// What is missing, in stretches of whole groups that are asked for one by one.
fn stretches(size: u64, there: &ChunkRanges) -> Vec<ChunkRanges> {
    let chunks = size.div_ceil(1024);
    let all = (0..chunks).step_by(STRETCH as usize);
    let whole = all.map(|at| ChunkRanges::from(ChunkNum(at)..ChunkNum(chunks.min(at + STRETCH))));
    whole.map(|stretch| &stretch - there).filter(|missing| !missing.is_empty()).collect()
}

/// A file that is being filled.
struct Filling<'a> {
    taker: &'a Taker,
    partial: &'a Partial,
    named: Named,
    cx: &'a JobContext,
    moved: AtomicU64,
    there: Mutex<ChunkRanges>,
}

impl Filling<'_> {
    fn there(&self) -> MutexGuard<'_, ChunkRanges> {
        self.there.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for what is not there, in one request or several at once, and writes it as it comes. After
    /// an error nothing more is asked for, and what is on its way comes to its end.
    async fn fill(&self) -> Result<()> {
        let missing = Queue::new(stretches(self.named.size, &self.there()));
        let first = async {
            while let Some(stretch) = missing.next() {
                missing.ended(self.fetch(stretch, None).await);
            }
        };
        let others = join_all((1..WIDTH).map(|_| self.fill_beside(&missing)));
        tokio::join!(first, others);
        missing.result()
    }

    /// The same as long as the line has room for more than one request.
    async fn fill_beside(&self, missing: &Queue) {
        let width = &self.taker.session.width;
        loop {
            let place = missing.over.run_until_cancelled(width.another()).await.flatten();
            let Some(place) = place else { return };
            let Some(stretch) = missing.next() else { return };
            missing.ended(self.fetch(stretch, Some(&place)).await);
        }
    }

    async fn fetch(&self, missing: ChunkRanges, place: Option<&Another<'_>>) -> Result<()> {
        let mut speed = self.taker.session.width.pace(place);
        let line = self.taker.session.line().await?;
        let mut reading = line.ask(self.named, missing).await?;
        let groups = outline::groups_of(self.named.size);
        let mut batch = Batch::default();
        loop {
            let piece = match reading.next().await {
                Ok(Some(piece)) => piece,
                // What has come is good, whatever comes after it.
                ended => {
                    self.write(&mut batch).await?;
                    return ended.map(drop);
                }
            };
            match piece {
                Piece::Node(node, pair) => self.note(&groups, node, &pair).await?,
                Piece::Bytes(offset, bytes) => {
                    self.cx.meter.add_wire(bytes.len() as u64);
                    if let Some(throttle) = &self.taker.session.engine.options().throttle {
                        throttle.take(bytes.len(), |_| ()).await;
                    }
                    speed.came(bytes.len() as u64);
                    if batch.end() != offset || batch.is_due() {
                        self.write(&mut batch).await?;
                        batch.start = offset;
                    }
                    batch.push(bytes);
                }
            }
        }
    }

    /// Keeps a node, if it is one of those that prove groups.
    async fn note(
        &self,
        groups: &BaoTree,
        node: bao_tree::TreeNode,
        pair: &(blake3::Hash, blake3::Hash),
    ) -> Result<()> {
        let Some(at) = outline::offset_of(groups, node) else { return Ok(()) };
        let bytes = Bytes::copy_from_slice(&outline::pair_bytes(pair));
        self.partial.write_all_at(vec![bytes], self.named.size + at).await
    }

    async fn write(&self, batch: &mut Batch) -> Result<()> {
        let Batch { start, pieces, len, .. } = std::mem::take(batch);
        if len == 0 {
            return Ok(());
        }
        self.partial.write_all_at(pieces, start).await?;
        let end = start + len as u64;
        *self.there() |= ChunkRanges::from(ChunkNum(start >> 10)..ChunkNum(end.div_ceil(1024)));
        self.cx.meter.add_landed(len as u64);
        self.moved.fetch_add(len as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Stretches that nobody has asked for yet.
struct Queue {
    rest: Mutex<VecDeque<ChunkRanges>>,
    failure: OnceLock<Error>,
    /// Set when nothing more is to be asked for.
    over: CancellationToken,
}

impl Queue {
    fn new(stretches: Vec<ChunkRanges>) -> Self {
        let (rest, failure) = (Mutex::new(stretches.into()), OnceLock::new());
        Self { rest, failure, over: CancellationToken::new() }
    }

    fn next(&self) -> Option<ChunkRanges> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let next = rest.pop_front();
        if rest.is_empty() {
            self.over.cancel();
        }
        next
    }

    /// Takes note of how a request ended.
    fn ended(&self, how: Result<()>) {
        if let Err(e) = how {
            self.rest.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.over.cancel();
            // The first one is the cause.
            let _later = self.failure.set(e);
        }
    }

    fn result(self) -> Result<()> {
        self.failure.into_inner().map_or(Ok(()), Err)
    }
}

/// Bytes in a row.
struct Batch {
    start: u64,
    pieces: Vec<Bytes>,
    len: usize,
    since: Instant,
}

impl Default for Batch {
    fn default() -> Self {
        Self { start: 0, pieces: Vec::new(), len: 0, since: Instant::now() }
    }
}

impl Batch {
    fn end(&self) -> u64 {
        self.start + self.len as u64
    }

    /// Whether it is time to write it: what is not written is lost with this process.
    fn is_due(&self) -> bool {
        self.len >= BATCH || self.since.elapsed() >= GATHER
    }

    fn push(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        self.pieces.push(bytes);
    }
}
