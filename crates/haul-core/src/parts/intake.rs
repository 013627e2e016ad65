//! Reading a stream so that it really arrives.
//!
//! Owns everything between "the next bytes" and bytes: the stall timer, retries that go on where
//! the stream broke, the gate around the request that does, the rate limit, the count of what
//! crossed the network, and the length. Must never yield a byte twice, nor end early without an
//! error. A source without a network may be silent as long as it likes: a pipe does that for hours.

use std::time::Duration;

use bytes::Bytes;

use crate::checksum::{Algorithms, Sums};
use crate::error::{Error, ErrorKind, Op, Result, Retry};
use crate::event::Event;
use crate::fetch::{FetchRules, compare};
use crate::gate;
use crate::handle::JobContext;
use crate::hint::Hint;
use crate::limits::SourceLimits;
use crate::retry::Backoff;
use crate::source::ReadStream;
use crate::stall;

/// Progress after which earlier failures are forgotten: as for ranges.
const FORGIVE_AFTER: u64 = 1 << 20;

/// A stream on its way in.
#[derive(Debug)]
pub(crate) struct Intake {
    stream: Box<dyn ReadStream>,
    location: String,
    limits: SourceLimits,
    rules: FetchRules,
    cx: JobContext,
    /// The length that the caller has promised, where the source does not know it.
    promised: Option<u64>,
    at: u64,
    ended: bool,
    /// Whether the stream has to be resumed before it is read.
    broken: bool,
    backoff: Backoff,
    forgiven_at: u64,
}

impl Intake {
    /// Reads `stream`, which is called `location`, by `rules`.
    pub(crate) fn new(
        stream: Box<dyn ReadStream>,
        location: &str,
        limits: SourceLimits,
        rules: FetchRules,
        cx: JobContext,
    ) -> Self {
        let backoff = rules.retry.start();
        Self {
            stream,
            location: location.to_owned(),
            limits,
            rules,
            cx,
            promised: None,
            at: 0,
            ended: false,
            broken: false,
            backoff,
            forgiven_at: 0,
        }
    }

    /// The same, held to a length that the caller has given.
    pub(crate) fn promising(mut self, size: u64) -> Self {
        self.promised = Some(size);
        self
    }

    /// Whether bytes come over a network.
    pub(crate) fn is_network(&self) -> bool {
        self.limits.network
    }

    /// How long the source may be silent.
    pub(crate) fn patience(&self) -> Duration {
        self.rules.stall
    }

    /// What is to be computed on the way.
    pub(crate) fn algorithms(&self) -> Algorithms {
        self.rules.algorithms
    }

    /// Bytes that have come.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The next bytes; `None` at the end. An error is final: what could be retried has been.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.ended {
            match self.attempt().await {
                Ok(Some(bytes)) => {
                    if let Some(throttle) = &self.rules.throttle {
                        throttle.take(bytes.len(), |_| ()).await;
                    }
                    return Ok(Some(bytes));
                }
                Ok(None) => self.ended = true,
                Err(e) => self.pause(e).await?,
            }
        }
        Ok(None)
    }

    /// Sees that nothing follows, and that the bytes with these sums are the right ones: asked
    /// before the last of them are used.
    pub(crate) async fn finish(&mut self, sums: &Sums) -> Result<()> {
        while self.next().await?.is_some() {} // what is too much is an error
        compare(&self.stream.meta().seen(&self.location, sums.len()), sums).map(drop)
    }

    async fn attempt(&mut self) -> Result<Option<Bytes>> {
        let limit = self.limits.network.then_some(self.rules.stall);
        let stalled = |limit| stall::stalled(Op::Read, &self.location, limit);
        if self.broken {
            let location = &self.location;
            if let Some(resuming) = self.stream.resume() {
                gate::pass(self.limits.gate.as_ref(), async {
                    let stalled = |limit| stall::stalled(Op::Read, location, limit);
                    timed(limit, resuming).await.map_err(stalled).flatten()
                })
                .await?;
            }
            self.broken = false;
        }
        match timed(limit, self.stream.read()).await.map_err(stalled)?? {
            Some(bytes) => {
                self.take_in(bytes.len() as u64)?;
                Ok(Some(bytes))
            }
            None => self.end().map(|()| None),
        }
    }

    fn take_in(&mut self, bytes: u64) -> Result<()> {
        self.at += bytes;
        if self.limits.network {
            self.cx.meter.add_wire(bytes);
        }
        if self.at - self.forgiven_at >= FORGIVE_AFTER {
            self.forgiven_at = self.at;
            self.backoff.reset();
        }
        let announced = self.stream.meta().size;
        if announced.is_some_and(|size| self.at > size) {
            let what = "more bytes came than were announced";
            return Err(Error::new(ErrorKind::Protocol, Op::Read, &self.location, what));
        }
        match self.promised {
            Some(size) if self.at > size => {
                Err(self.unkept(format!("the stream goes on after {size} bytes")))
            }
            _ => Ok(()),
        }
    }

    fn end(&self) -> Result<()> {
        if let Some(size) = self.stream.meta().size.filter(|size| *size != self.at) {
            let what = format!("it ended {} bytes early", size - self.at);
            return Err(Error::new(ErrorKind::Protocol, Op::Read, &self.location, what)
                .with_retry(Retry::Backoff));
        }
        match self.promised {
            Some(size) if self.at != size => {
                Err(self.unkept(format!("the stream ended after {} of {size} bytes", self.at)))
            }
            _ => Ok(()),
        }
    }

    /// A stream that is not as long as the caller said.
    fn unkept(&self, what: String) -> Error {
        Error::new(ErrorKind::Invalid, Op::Read, &self.location, what).with_hint(Hint::ExactLength)
    }

    /// Waits before the stream is resumed, if it can be.
    async fn pause(&mut self, e: Error) -> Result<()> {
        if e.retry() == Retry::Never {
            return Err(e);
        }
        if self.stream.resume().is_none() {
            return Err(self.lost(e));
        }
        let (e, attempt, wait) = self.backoff.after(e, self.at > 0)?;
        self.broken = true;
        self.cx.meter.add_retry();
        self.cx.events.send(Event::Retrying { error: e.to_string(), attempt, wait });
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// A failure that is final, because there is no way to go on.
    fn lost(&self, e: Error) -> Error {
        let size = self.stream.meta().size;
        let of = size.map_or(String::new(), |size| format!(" of {size}"));
        let what = format!("{} after {} bytes{of}", e.detail(), self.at);
        Error::new(e.kind(), Op::Read, &self.location, what)
            .with_hint(Hint::BeginAgain)
            .with_source(e)
    }
}

/// Waits for `work`, at most `limit`; the error is the limit that was passed.
async fn timed<F: Future>(limit: Option<Duration>, work: F) -> Result<F::Output, Duration> {
    match limit {
        Some(limit) => stall::within(limit, work).await.ok_or(limit),
        None => Ok(work.await),
    }
}
