//! What transfers share.
//!
//! Owns the settings, the budget, the buffers and the lanes of all transfers, and how anything is tried,
//! begun and cleaned up. What one transfer does is in [`transfer`](crate::transfer).

use std::sync::Arc;
use std::time::Duration;

use crate::budget::Budget;
use crate::error::{Error, Op, Result, Retry};
use crate::event::Event;
use crate::handle::JobContext;
use crate::lanes::Lanes;
use crate::plan::PlanPolicy;
use crate::pool::Pool;
use crate::redact;
use crate::retry::{Backoff, FORGIVE_AFTER, RetryPolicy};
use crate::throttle::Throttle;
use crate::workers::Crew;

/// How long cleaning up may take after Ctrl-C, which must never hang.
const ABORT_DEADLINE: Duration = Duration::from_secs(5);

/// How long it may take when nobody waits at the keyboard: parts that stay cost money.
const CLEANING: Duration = Duration::from_mins(1);

/// The settings that all transfers of an [`Engine`] share.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Bytes of data in memory at once, over all transfers.
    pub memory: u64,
    /// Chunks of one transfer in work at once.
    pub concurrency: usize,
    /// Part size to aim for.
    pub part: PlanPolicy,
    /// How failures are tried again.
    pub retry: RetryPolicy,
    /// How long a network may be silent.
    pub stall: Duration,
    /// The rate limit, if any.
    pub throttle: Option<Throttle>,
    /// Threads to move bytes on; 0 moves them on the caller's runtime.
    pub lanes: usize,
}

/// Default data in memory at once: with the program itself this stays below 64 MiB.
pub const DEFAULT_MEMORY: u64 = 32 << 20;

/// Default part size: the lower end of AWS's "8-16 MB byte ranges" (S3 performance guidelines).
pub const DEFAULT_PART_SIZE: u64 = 8 << 20;

/// Default stall time-out: the shortest that does not mistake a busy store for a dead one.
pub const DEFAULT_STALL: Duration = Duration::from_secs(20);

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            memory: DEFAULT_MEMORY,
            concurrency: 4,
            part: PlanPolicy { part_size: DEFAULT_PART_SIZE, explicit: false },
            retry: RetryPolicy::default(),
            stall: DEFAULT_STALL,
            throttle: None,
            lanes: 0,
        }
    }
}

/// Moves objects; clones share one budget.
#[derive(Debug, Clone)]
pub struct Engine {
    options: Arc<EngineOptions>,
    budget: Budget,
    pool: Pool,
    lanes: Lanes,
}

/// What stays behind when cleaning up fails.
#[derive(Debug, Clone)]
pub struct Leftover {
    /// The destination.
    pub location: String,
    /// What the store calls the unfinished upload.
    pub id: Option<String>,
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let location = redact::escape_control(&self.location);
        match &self.id {
            Some(id) => write!(f, "upload {} of {location}", redact::escape_control(id)),
            None => write!(f, "an upload of {location}"),
        }
    }
}

impl Engine {
    /// An engine with these settings and a budget of its own.
    pub fn new(options: EngineOptions) -> Self {
        let (budget, pool) = (Budget::new(options.memory), Pool::new(options.memory));
        let lanes = Lanes::new(options.lanes);
        Self { options: Arc::new(options), budget, pool, lanes }
    }

    /// The same settings, buffers and lanes, with a budget of its own: for a job whose caller takes or
    /// brings the bytes. Its share of a common budget would come back at the caller's pace, who may be
    /// waiting for another job that waits for that share.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { budget: Budget::new(self.options.memory), ..self.clone() }
    }

    /// The settings.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The shared byte budget.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The shared read buffers.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A crew of `workers`.
    pub fn crew(&self, workers: usize) -> Crew {
        Crew { workers, lanes: self.lanes.clone(), finishes: false }
    }

    /// Runs `attempt` by the retry policy, telling `cx` about failures, until `cx` is cancelled.
    pub async fn retrying<T, F, Fut>(
        &self,
        policy: RetryPolicy,
        cx: &JobContext,
        location: &str,
        attempt: F,
    ) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        // Boxed: requests are large futures, and callers nest.
        cx.cancel
            .run_until_cancelled(Box::pin(self.retrying_to_the_end(policy, cx, attempt)))
            .await
            .unwrap_or_else(|| Err(Error::cancelled(Op::Open, location)))
    }

    /// Runs `attempt` by the retry policy, for something that goes on where it broke: once another
    /// MiB has moved, as `moved` counts bytes, what failed before is forgotten.
    pub async fn going_on<T, F, Fut>(
        &self,
        cx: &JobContext,
        location: &str,
        moved: impl Fn() -> u64,
        mut attempt: F,
    ) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let (mut backoff, mut forgiven_at) = (self.options.retry.start(), moved());
        let trying = async {
            loop {
                let failed = match attempt().await {
                    Ok(done) => return Ok(done),
                    Err(e) => e,
                };
                if moved().saturating_sub(forgiven_at) >= FORGIVE_AFTER {
                    backoff.reset();
                    forgiven_at = moved();
                }
                self.wait_to_retry(cx, &mut backoff, failed).await?;
            }
        };
        let tried = cx.cancel.run_until_cancelled(Box::pin(trying)).await;
        tried.unwrap_or_else(|| Err(Error::cancelled(Op::Read, location)))
    }

    /// Tells `cx` of a failure and waits until it is time to try again; an error if it is not worth
    /// it.
    pub async fn wait_to_retry(
        &self,
        cx: &JobContext,
        backoff: &mut Backoff,
        failed: Error,
    ) -> Result<()> {
        let (e, attempt, wait) = backoff.after(failed, cx.at_stake())?;
        // At once: the right region, time or key is known by now, and the next try is the first that
        // counts.
        if e.retry() != Retry::After(Duration::ZERO) {
            cx.meter.add_retry();
            cx.events.send(Event::Retrying { error: e.to_string(), attempt, wait });
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// The same without an ear for cancellation, for what must not be dropped half-way.
    pub(crate) async fn retrying_to_the_end<T, F, Fut>(
        &self,
        policy: RetryPolicy,
        cx: &JobContext,
        mut attempt: F,
    ) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let mut backoff = policy.start();
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(failed) => self.wait_to_retry(cx, &mut backoff, failed).await?,
            }
        }
    }

    /// Begins something that must not be dropped half-way, because it might stay in the store: when
    /// the job is cancelled meanwhile, what has begun is discarded.
    pub async fn beginning<T, F, Fut, D, DFut>(
        &self,
        cx: &JobContext,
        location: &str,
        begin: F,
        discard: D,
    ) -> Result<T>
    where
        T: Clone,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
        D: Fn(T) -> DFut,
        DFut: Future<Output = Result<()>>,
    {
        let policy = self.options.retry;
        let mut beginning = Box::pin(self.retrying_to_the_end(policy, cx, begin));
        if let Some(begun) = cx.cancel.run_until_cancelled(&mut beginning).await {
            return begun;
        }
        let left = Leftover { location: location.to_owned(), id: None };
        match tokio::time::timeout(ABORT_DEADLINE, beginning).await {
            Ok(Ok(late)) => self.clean_up(cx, &left, || discard(late.clone())).await,
            Ok(Err(_)) => {}
            Err(_) => tracing::warn!(
                "it was being begun when it was interrupted; {left} may be left behind"
            ),
        }
        Err(Error::cancelled(Op::Begin, location))
    }

    /// Discards what a failed job left, by the retry policy: for a minute at most, and no longer than 5 s
    /// from the moment when the job is cancelled. A failure to clean up is a warning: the job's own
    /// error matters more.
    pub async fn clean_up<F, Fut>(&self, cx: &JobContext, left: &Leftover, attempt: F)
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        let cleaning = Box::pin(self.retrying_to_the_end(self.options.retry, cx, attempt));
        let out_of_time = async {
            let unhurried = tokio::time::sleep(CLEANING);
            if cx.cancel.run_until_cancelled(unhurried).await.is_none() {
                tokio::time::sleep(ABORT_DEADLINE).await;
            }
        };
        tokio::select! {
            biased;
            cleaned = cleaning => match cleaned {
                Ok(()) => {}
                Err(e) => tracing::warn!("{e}; {left} may be left behind"),
            },
            () = out_of_time => {
                tracing::warn!("cleaning up took too long; {left} may be left behind");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::cell::Cell;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    fn left() -> Leftover {
        Leftover { location: "s3://b/k".into(), id: Some("u".into()) }
    }

    /// A.17: what is left in a store costs money: nobody is in a hurry who has not been interrupted.
    #[tokio::test(start_paused = true)]
    async fn cleaning_up_takes_its_time_unless_it_is_interrupted() {
        let engine = Engine::new(EngineOptions::default());
        for (interrupted_after, cleaned) in [(None, true), (Some(0), false), (Some(26), true)] {
            let cx = JobContext::unwatched(CancellationToken::new());
            let done = Cell::new(false);
            let left = left();
            let cleaning = engine.clean_up(&cx, &left, || async {
                tokio::time::sleep(Duration::from_secs(30)).await;
                done.set(true);
                Ok(())
            });
            let interrupting = async {
                if let Some(after) = interrupted_after {
                    tokio::time::sleep(Duration::from_secs(after)).await;
                    cx.cancel.cancel();
                }
            };
            let start = Instant::now();
            futures::join!(cleaning, interrupting);
            assert_eq!(done.get(), cleaned, "{interrupted_after:?}");
            let most = if cleaned { 30 } else { 5 };
            assert_eq!(start.elapsed().as_secs(), most, "{interrupted_after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn cleaning_up_does_not_go_on_for_ever() {
        let engine = Engine::new(EngineOptions::default());
        let cx = JobContext::unwatched(CancellationToken::new());
        let start = Instant::now();
        engine.clean_up(&cx, &left(), std::future::pending).await;
        assert_eq!(start.elapsed(), CLEANING);
    }

    async fn away_for(seconds: u64, kind: ErrorKind, landed: u64) -> Result<Duration> {
        let engine = Engine::new(EngineOptions::default());
        let cx = JobContext::unwatched(CancellationToken::new());
        cx.meter.add_landed(landed);
        let start = Instant::now();
        let attempt = || async {
            if start.elapsed() >= Duration::from_secs(seconds) {
                return Ok(start.elapsed());
            }
            let e = Error::new(kind, Op::Write, "s3://b/k", "away");
            Err(e.with_retry(Retry::Backoff))
        };
        engine.retrying(engine.options().retry, &cx, "s3://b/k", attempt).await
    }

    /// A.20: a store that is away for a minute does not cost the parts that it has; G.6: nor a small
    /// file, where the store is known to be there.
    #[tokio::test(start_paused = true)]
    async fn an_outage_of_a_minute_is_survived() {
        for kind in [ErrorKind::Connect, ErrorKind::Server, ErrorKind::Throttled] {
            assert!(away_for(60, kind, 8 << 20).await.is_ok(), "{kind:?}");
        }
        assert!(away_for(60, ErrorKind::Connect, 0).await.is_ok());
        // Nothing is lost by giving up, and the store does answer.
        assert!(away_for(60, ErrorKind::Server, 0).await.is_err());
        assert!(away_for(600, ErrorKind::Connect, 8 << 20).await.is_err());
    }
}
