//! Reading a range so that it really arrives.
//!
//! Owns everything between "give me this range" and a complete run of bytes: the gate around each
//! request, the stall timer, retries that go on from the byte where a body broke, the exact length,
//! the checksum, and the last look at the source. Must never yield a byte twice or a byte of other
//! content.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;

use crate::checksum::{Algorithms, Hasher, Sums};
use crate::error::{Error, ErrorKind, Op, Result, Retry};
use crate::event::{Event, EventSender};
use crate::gate::{self, GatePermit};
use crate::limits::SourceLimits;
use crate::meter::Meter;
use crate::pool::{Pool, PoolSlice, SLICE};
use crate::range::ByteRange;
use crate::report::Verified;
use crate::retry::{Backoff, FORGIVE_AFTER, RetryPolicy};
use crate::source::{Body, Meta, ReadAt};
use crate::stall;
use crate::throttle::Throttle;

/// Reads ranges of one open source.
#[derive(Debug, Clone)]
pub struct Fetcher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Arc<dyn ReadAt>,
    limits: SourceLimits,
    rules: FetchRules,
    meter: Arc<Meter>,
    events: EventSender,
    begun: Begun,
}

/// The body of the request that opened the source, for whoever reads all of it first.
#[derive(Default)]
struct Begun(Mutex<Option<Body>>);

impl Begun {
    fn put(&self, body: Option<Body>) -> Option<Body> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), body)
    }
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Begun")
    }
}

/// How ranges are read.
#[derive(Debug, Clone)]
pub struct FetchRules {
    /// How failures are tried again.
    pub retry: RetryPolicy,
    /// How long a network source may be silent.
    pub stall: Duration,
    /// The rate limit, if bytes of this source count against it.
    pub throttle: Option<Throttle>,
    /// What to compute on the way.
    pub algorithms: Algorithms,
}

impl Fetcher {
    /// Reads `source` by `rules`.
    pub fn new(
        source: Arc<dyn ReadAt>,
        limits: SourceLimits,
        rules: FetchRules,
        meter: Arc<Meter>,
        events: EventSender,
    ) -> Self {
        let begun = Begun::default();
        Self(Arc::new(Inner { source, limits, rules, meter, events, begun }))
    }

    /// Takes the body that opening the source began: the first to read all of it goes on with that. It
    /// has a permit of the gate already.
    pub(crate) fn go_on_with(&self, body: Body) {
        drop(self.0.begun.put(Some(body)));
    }

    /// Whether reading a range twice is cheap.
    pub fn cheap_reread(&self) -> bool {
        self.0.limits.cheap_reread
    }

    /// Compares the sums of `range` with what the source says it holds, if that is all of it.
    pub(crate) fn prove_whole(&self, range: ByteRange, sums: &Sums) -> Result<()> {
        let meta = self.0.source.meta();
        if range == ByteRange::new(0, meta.size) {
            compare(meta, sums)?;
        }
        Ok(())
    }

    /// A reader of `range`. Nothing happens until it is polled.
    pub fn open(&self, range: ByteRange) -> FetchReader {
        FetchReader {
            inner: Arc::clone(&self.0),
            range,
            at: range.start,
            body: None,
            backoff: self.0.rules.retry.start(),
            hasher: Hasher::new(self.0.rules.algorithms),
            forgiven_at: range.start,
            rechecked: false,
        }
    }

    /// Reads all of `range` into memory.
    ///
    /// What comes from a network is copied into slices of `pool`: an HTTP stack hands out pieces of
    /// larger buffers, and a piece that is held keeps all of its buffer. Without the copy, chunks
    /// held twice what the budget knew of.
    pub async fn read_all(&self, range: ByteRange, pool: &Pool) -> Result<(Vec<Bytes>, Sums)> {
        let mut reader = self.open(range);
        let mut gathered = Gather::new(pool.clone());
        while let Some(bytes) = reader.next().await? {
            if self.0.limits.network {
                gathered.copy(&bytes);
            } else {
                gathered.segments.push(bytes);
            }
        }
        Ok((gathered.finish(), reader.sums()))
    }
}

/// Fills slices one after the other.
struct Gather {
    pool: Pool,
    slice: Option<(PoolSlice, usize)>,
    segments: Vec<Bytes>,
}

impl Gather {
    fn new(pool: Pool) -> Self {
        Self { pool, slice: None, segments: Vec::new() }
    }

    fn copy(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (mut slice, filled) = self.slice.take().unwrap_or_else(|| (self.pool.take(), 0));
            let room = &mut slice.buffer()[filled..];
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            (bytes, self.slice) = (later, Some((slice, filled + now.len())));
            if filled + now.len() == SLICE {
                self.seal();
            }
        }
    }

    fn seal(&mut self) {
        let sealed = self.slice.take().map(|(slice, filled)| slice.freeze(filled));
        self.segments.extend(sealed);
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.seal();
        self.segments
    }
}

/// One pass over a range.
pub struct FetchReader {
    inner: Arc<Inner>,
    range: ByteRange,
    at: u64,
    body: Option<(Body, Option<GatePermit>)>,
    backoff: Backoff,
    hasher: Hasher,
    forgiven_at: u64,
    rechecked: bool,
}

impl std::fmt::Debug for FetchReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchReader")
            .field("range", &self.range)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl FetchReader {
    /// The next bytes; `None` after the last of exactly the range's length. An error is final:
    /// what could be retried has been.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.at < self.range.end {
            match self.attempt().await {
                Ok(bytes) => {
                    if let Some(throttle) = &self.inner.rules.throttle {
                        throttle.take(bytes.len(), |_| ()).await;
                    }
                    return Ok(Some(bytes));
                }
                Err(e) => {
                    self.body = None; // gives the gate back before the wait
                    let at_stake =
                        self.at > self.range.start || self.inner.meter.snapshot().landed > 0;
                    let (e, attempt, wait) = self.backoff.after(e, at_stake)?;
                    self.inner.meter.add_retry();
                    let error = e.to_string();
                    self.inner.events.send(Event::Retrying { error, attempt, wait });
                    tokio::time::sleep(wait).await;
                }
            }
        }
        self.recheck().await?; // an empty range read nothing yet
        Ok(None)
    }

    /// The sums of everything yielded so far.
    pub fn sums(&self) -> Sums {
        self.hasher.sums()
    }

    async fn attempt(&mut self) -> Result<Bytes> {
        let rest = ByteRange::new(self.at, self.range.end);
        let stall = self.inner.limits.network.then_some(self.inner.rules.stall);
        if self.body.is_none() {
            let begun = self.inner.begun.put(None);
            let whole = rest == ByteRange::new(0, self.inner.source.meta().size);
            self.body = if let Some(body) = begun.filter(|_| whole) {
                Some((body, None))
            } else {
                let inner = Arc::clone(&self.inner);
                let opening = async move {
                    let opened = timed(stall, inner.source.read_at(rest)).await;
                    let stalled =
                        |limit| stall::stalled(Op::Read, &inner.source.meta().location, limit);
                    opened.map_err(stalled).flatten()
                };
                Some(gate::pass_keeping(self.inner.limits.gate.as_ref(), opening).await?)
            };
        }
        let Some((body, _)) = &mut self.body else {
            return Err(self.short(rest));
        };
        let next = timed(stall, body.next()).await.map_err(|limit| self.stalled(limit))?;
        let bytes = next.ok_or_else(|| self.short(rest))??;
        if bytes.len() as u64 > rest.len() {
            return Err(self.broken("more bytes than were asked for"));
        }
        self.take_in(&bytes).await?;
        Ok(bytes)
    }

    async fn take_in(&mut self, bytes: &Bytes) -> Result<()> {
        let last = self.at + bytes.len() as u64 == self.range.end;
        self.hasher.update(bytes);
        if last {
            self.body = None; // the request is over: let the next one in
            self.recheck().await?;
            if self.range == ByteRange::new(0, self.inner.source.meta().size) {
                // All of the source in one range: compared before the target has all of it.
                compare(self.inner.source.meta(), &self.sums())?;
            }
        }
        self.at += bytes.len() as u64;
        if self.inner.limits.network {
            self.inner.meter.add_wire(bytes.len() as u64);
        }
        if self.at - self.forgiven_at >= FORGIVE_AFTER {
            self.forgiven_at = self.at;
            self.backoff.reset();
        }
        Ok(())
    }

    async fn recheck(&mut self) -> Result<()> {
        if !self.rechecked {
            self.inner.source.recheck().await?;
            self.rechecked = true;
        }
        Ok(())
    }

    fn stalled(&self, limit: Duration) -> Error {
        stall::stalled(Op::Read, &self.inner.source.meta().location, limit)
    }

    fn short(&self, rest: ByteRange) -> Error {
        self.broken(&format!("the connection ended {} bytes early", rest.len()))
    }

    fn broken(&self, what: &str) -> Error {
        Error::new(ErrorKind::Protocol, Op::Read, &self.inner.source.meta().location, what)
            .with_retry(Retry::Backoff)
    }
}

/// Compares the bytes that came with what the source says it holds. `None`: it does not say.
pub(crate) fn compare(meta: &Meta, whole: &Sums) -> Result<Option<Verified>> {
    let wrong =
        |what: String| Err(Error::new(ErrorKind::Verification, Op::Verify, &meta.location, what));
    if whole.len() != meta.size {
        return wrong(format!("{} bytes arrived instead of {}", whole.len(), meta.size));
    }
    let Some(expected) = meta.checksum else { return Ok(None) };
    match whole.get(expected.algorithm) {
        Some(actual) if actual == expected => Ok(Some(Verified::Checksum(expected.algorithm))),
        Some(_) => wrong(format!(
            "the {} of the bytes that arrived is not the one that the store keeps",
            expected.algorithm
        )),
        None => Ok(None),
    }
}

/// Waits for `work`, at most `limit`; the error is the limit that was passed.
async fn timed<F: Future>(limit: Option<Duration>, work: F) -> Result<F::Output, Duration> {
    match limit {
        Some(limit) => stall::within(limit, work).await.ok_or(limit),
        None => Ok(work.await),
    }
}
