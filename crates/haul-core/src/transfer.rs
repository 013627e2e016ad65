//! The engine: one object from a source to a target.
//!
//! Owns the order of things: open and pin, plan, begin, chunks (budget, then gate, fetch, put),
//! compare checksums, commit last, clean up on failure. Everything that bounds memory and requests
//! comes together here and nowhere else. It must never know which backend it drives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::budget::Budget;
use crate::checksum::Sums;
use crate::error::{Error, ErrorKind, Op, Result};
use crate::event::Event;
use crate::fetch::{FetchRules, Fetcher, compare};
use crate::handle::{JobContext, TransferHandle};
use crate::lanes::Lanes;
use crate::limits::{Order, SourceLimits, TargetLimits};
use crate::parts::PartReader;
use crate::plan::{self, ChunkPlan, PlanPolicy, StreamPlan};
use crate::pool::{Pool, SLICE};
use crate::range::{ByteRange, ChunkSpec};
use crate::redact;
use crate::report::{Report, Verified};
use crate::retry::RetryPolicy;
use crate::sink::{Item, Sink, SinkParts};
use crate::source::{Meta, Opened, ReadAt, ReadStream, Source};
use crate::stall;
use crate::target::{Attributes, Committed, Receipt, Target, Upload, UploadSpec};
use crate::throttle::Throttle;
use crate::workers::{self, Crew, Queue};

/// How long the operation that makes a result visible may take on a network: stores are silent
/// while they put together thousands of parts.
const COMMIT_DEADLINE: Duration = Duration::from_mins(15);

/// The least that a part of a stream of unknown length may grow to: 10,000 parts then hold 492 GiB,
/// and one of them stays below the 100 MB that haul promises.
const STREAM_PART: u64 = 64 << 20;

/// How long cleaning up after a failure may take, so that Ctrl-C never hangs.
const ABORT_DEADLINE: Duration = Duration::from_secs(5);

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

/// One object to move.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where from.
    pub source: Arc<dyn Source>,
    /// Where to.
    pub target: Arc<dyn Target>,
    /// What travels with the bytes; gaps are filled from the source.
    pub attributes: Attributes,
    /// Whether something that exists may be replaced.
    pub overwrite: bool,
    /// The length of a stream, when the caller knows it.
    pub expected_size: Option<u64>,
}

impl Engine {
    /// An engine with these settings and a budget of its own.
    pub fn new(options: EngineOptions) -> Self {
        let (budget, pool) = (Budget::new(options.memory), Pool::new(options.memory));
        let lanes = Lanes::new(options.lanes);
        Self { options: Arc::new(options), budget, pool, lanes }
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
        Crew { workers, lanes: self.lanes.clone() }
    }

    /// Starts to move one object.
    pub fn transfer(
        &self,
        job: Job,
        cancel: &tokio_util::sync::CancellationToken,
    ) -> TransferHandle {
        let engine = self.clone();
        TransferHandle::spawn(cancel, |cx| async move { engine.run(job, cx).await })
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

    /// The same without an ear for cancellation, for what must not be dropped half-way.
    async fn retrying_to_the_end<T, F, Fut>(
        &self,
        policy: RetryPolicy,
        cx: &JobContext,
        attempt: F,
    ) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let tell = |e: &Error, attempt, wait| {
            cx.meter.add_retry();
            cx.events.send(Event::Retrying { error: e.to_string(), attempt, wait });
        };
        policy.run(attempt, tell).await
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
        let policy = self.options.retry.first_contact();
        let mut beginning = Box::pin(self.retrying_to_the_end(policy, cx, begin));
        if let Some(begun) = cx.cancel.run_until_cancelled(&mut beginning).await {
            return begun;
        }
        if let Ok(Ok(begun)) = tokio::time::timeout(ABORT_DEADLINE, beginning).await {
            let left = Leftover { location: location.to_owned(), id: None };
            self.clean_up(cx, &left, || discard(begun.clone())).await;
        }
        Err(Error::cancelled(Op::Begin, location))
    }

    /// Discards what a failed job left, by the retry policy, for 5 s at most. A failure to clean up
    /// is a warning: the job's own error matters more.
    pub async fn clean_up<F, Fut>(&self, cx: &JobContext, left: &Leftover, attempt: F)
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        let cleaning = Box::pin(self.retrying_to_the_end(self.options.retry, cx, attempt));
        match tokio::time::timeout(ABORT_DEADLINE, cleaning).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!("{e}; {left} may be left behind"),
            Err(_) => tracing::warn!("cleaning up took too long; {left} may be left behind"),
        }
    }

    /// Moves one object as part of a job of the caller's.
    pub async fn run(self, job: Job, cx: JobContext) -> Result<Report> {
        let started = Instant::now();
        let first = self.options.retry.first_contact();
        let from = job.source.location();
        let opened = self.retrying(first, &cx, &from, || job.source.open()).await?;
        let run = Run {
            source_limits: job.source.limits(),
            target_limits: job.target.limits(),
            engine: self,
            job,
            cx,
            from,
        };
        let outcome = match opened {
            Opened::Ranged(source) => run.ranged(source).await?,
            Opened::Stream(source) => run.stream(source).await?,
        };
        Ok(run.report(outcome, started))
    }
}

/// One transfer under way.
struct Run {
    engine: Engine,
    job: Job,
    cx: JobContext,
    from: String,
    source_limits: SourceLimits,
    target_limits: TargetLimits,
}

struct Outcome {
    whole: Sums,
    committed: Committed,
    source_verified: Option<Verified>,
}

impl Run {
    fn policy(&self) -> PlanPolicy {
        let options = self.engine.options();
        let mut policy = options.part;
        if self.target_limits.order == Order::Sequential && !policy.explicit {
            // Twice as many chunks as requests must fit, so that all connections stay busy while
            // chunks wait for their turn; see `with_slack` for the three quarters.
            let fitting = options.memory * 3 / 4 / (2 * options.concurrency.max(1) as u64);
            policy.part_size = policy.part_size.min(fitting).max(SLICE as u64);
        }
        policy
    }

    /// S3.10-S3.21: ranges of a known size.
    async fn ranged(&self, source: Arc<dyn ReadAt>) -> Result<Outcome> {
        let meta = source.meta().clone();
        self.started(Some(meta.size));
        let plan = self.plan(meta.size)?;
        let attributes = self.job.attributes.clone().or(&meta.attributes);
        let fetcher = Fetcher::new(
            Arc::clone(&source),
            self.source_limits.clone(),
            self.fetch_rules(&meta),
            Arc::clone(&self.cx.meter),
            self.cx.events.clone(),
        );
        let upload = self.begin(Some(plan.clone()), attributes).await?;
        let sink = self.sink(Arc::clone(&upload), Some(fetcher), Some(plan.chunks()));
        let moved = self.put_ranges(&plan, sink).await;
        self.conclude(&*upload, moved, Some(&*source)).await
    }

    async fn put_ranges(&self, plan: &ChunkPlan, sink: Sink) -> Result<Vec<Receipt>> {
        let ahead = if sink.order() == Order::Sequential { 2 } else { 1 };
        let workers = self.engine.options().concurrency.max(1) * ahead;
        let workers = workers.min(usize::try_from(plan.chunks()).unwrap_or(usize::MAX));
        let (budget, costs) = (self.engine.budget.clone(), sink.clone());
        let chunks = plan.iter();
        let produce = |queue: Queue<Item>| async move {
            for chunk in chunks {
                let permit = budget.acquire(costs.cost(chunk)).await;
                queue.push(Item { chunk, content: None, permit }).await?;
            }
            Ok(())
        };
        let work = move |item: Item| {
            let sink = sink.clone();
            async move { sink.land(item).await }
        };
        workers::run(self.engine.crew(workers), &self.cx.cancel, produce, work).await
    }

    /// A stream whose length shows only at its end.
    async fn stream(&self, source: Box<dyn ReadStream>) -> Result<Outcome> {
        self.started(self.job.expected_size);
        let mut chunks = self.stream_plan()?;
        let capacity = chunks.capacity();
        let algorithms = self.target_limits.checksum.into_iter().collect();
        let mut parts = PartReader::new(source, algorithms);
        let first = chunks.next().unwrap_or(ChunkSpec { index: 0, range: ByteRange::new(0, 0) });
        let permit = self.engine.budget.acquire(first.range.len()).await;
        let reading = self.cx.cancel.run_until_cancelled(parts.next(first)).await;
        let mut first = reading.unwrap_or_else(|| Err(Error::cancelled(Op::Read, &self.from)))?;
        // A stream that fits one part is one request, whichever way its end shows.
        let ended = self.cx.cancel.run_until_cancelled(parts.at_end()).await;
        first.last = ended.unwrap_or_else(|| Err(Error::cancelled(Op::Read, &self.from)))?;
        let plan = if first.last { Some(self.plan(first.len())?) } else { None };
        let count = plan.as_ref().map(ChunkPlan::chunks);
        let upload = self.begin(plan, self.job.attributes.clone()).await?;
        let sink = self.sink(Arc::clone(&upload), None, count);
        let (budget, from) = (self.engine.budget.clone(), self.from.clone());
        let produce = |queue: Queue<Item>| async move {
            let mut last = first.last;
            queue.push(first.into_item(permit)).await?;
            while !last {
                let Some(spec) = chunks.next() else {
                    if parts.at_end().await? {
                        break;
                    }
                    return Err(too_long(&from, capacity));
                };
                let permit = budget.acquire(spec.range.len()).await;
                let part = parts.next(spec).await?;
                last = part.last;
                if part.len() > 0 {
                    queue.push(part.into_item(permit)).await?;
                }
            }
            Ok(())
        };
        let work = move |item: Item| {
            let sink = sink.clone();
            async move { sink.land(item).await }
        };
        let workers = self.engine.options().concurrency;
        let moved = workers::run(self.engine.crew(workers), &self.cx.cancel, produce, work).await;
        self.conclude(&*upload, moved, None).await
    }

    fn stream_plan(&self) -> Result<StreamPlan> {
        // A part of a stream is in memory. Two of them fit the budget, one read while one is sent;
        // late in a very long stream they are larger and go one by one.
        let cap = (self.engine.options().memory / 2).max(STREAM_PART);
        StreamPlan::new(&self.target_limits, self.policy(), self.job.expected_size, cap).map_err(
            |e| {
                self.unplannable(&e)
                    .with_hint("allow for larger parts with --memory (twice the part size)")
            },
        )
    }

    fn plan(&self, size: u64) -> Result<ChunkPlan> {
        let (options, ordered) = (self.engine.options(), self.target_limits.order);
        let most = options.memory.max(STREAM_PART);
        if ordered == Order::Sequential && options.part.part_size > most && size > most {
            let what = "chunks that wait for their turn are in memory, and this part size is more";
            return Err(Error::new(ErrorKind::Invalid, Op::Begin, &self.from, what)
                .with_hint("a smaller --part-size, or a larger --memory"));
        }
        self.cx.meter.set_total(size);
        plan::plan(size, &self.target_limits, self.policy()).map_err(|e| self.unplannable(&e))
    }

    fn started(&self, size: Option<u64>) {
        if let Some(size) = size {
            self.cx.meter.set_total(size);
        }
        self.cx.started(&self.from, &self.job.target.location(), size);
    }

    fn unplannable(&self, e: &plan::PlanError) -> Error {
        Error::new(ErrorKind::Invalid, Op::Begin, self.job.target.location(), e)
    }

    fn fetch_rules(&self, meta: &Meta) -> FetchRules {
        let options = self.engine.options();
        let compare = meta.checksum.map(|c| c.algorithm);
        FetchRules {
            retry: options.retry,
            stall: options.stall,
            throttle: options.throttle.clone().filter(|_| self.source_limits.network),
            algorithms: compare.into_iter().chain(self.target_limits.checksum).collect(),
        }
    }

    async fn begin(
        &self,
        plan: Option<ChunkPlan>,
        attributes: Attributes,
    ) -> Result<Arc<dyn Upload>> {
        let spec = UploadSpec { plan, attributes, overwrite: self.job.overwrite };
        let to = self.job.target.location();
        let begin = || self.job.target.begin(&spec);
        let discard = |upload: Arc<dyn Upload>| async move { upload.abort().await };
        self.engine.beginning(&self.cx, &to, begin, discard).await
    }

    fn sink(&self, upload: Arc<dyn Upload>, fetcher: Option<Fetcher>, chunks: Option<u64>) -> Sink {
        let retry = self.engine.options().retry;
        // An only chunk may be the first that the target hears of us.
        let retry = if chunks == Some(1) { retry.first_contact() } else { retry };
        let parts = SinkParts {
            upload,
            fetcher,
            to: self.job.target.location(),
            limits: self.target_limits.clone(),
            retry,
            source_is_network: self.source_limits.network,
        };
        Sink::new(&self.engine, &self.cx, parts)
    }

    /// Compares, commits, or cleans up: whatever happened, nothing half-done stays behind.
    async fn conclude(
        &self,
        upload: &dyn Upload,
        moved: Result<Vec<Receipt>>,
        source: Option<&dyn ReadAt>,
    ) -> Result<Outcome> {
        let committed = match moved {
            Ok(receipts) => self.commit(upload, receipts, source).await,
            Err(e) => Err(e),
        };
        if committed.is_err() {
            let left = Leftover { location: self.job.target.location(), id: upload.leftover() };
            self.engine.clean_up(&self.cx, &left, || upload.abort()).await;
        }
        committed
    }

    async fn commit(
        &self,
        upload: &dyn Upload,
        mut receipts: Vec<Receipt>,
        source: Option<&dyn ReadAt>,
    ) -> Result<Outcome> {
        receipts.sort_by_key(|r| r.chunk.index);
        let whole = Sums::combine(receipts.iter().map(|r| &r.sums)).unwrap_or_default();
        let source_verified = match source {
            Some(source) => {
                source.recheck().await?; // once more, now that nothing is in flight
                compare(source.meta(), &whole)?
            }
            None => None,
        };
        let to = self.job.target.location();
        let attempt = || async {
            let commit = upload.commit(&receipts, &whole);
            if !self.target_limits.network {
                return commit.await;
            }
            tokio::time::timeout(COMMIT_DEADLINE, commit)
                .await
                .unwrap_or_else(|_| Err(stall::stalled(Op::Commit, &to, COMMIT_DEADLINE)))
        };
        let policy = self.engine.options().retry;
        let committed = if self.target_limits.network {
            self.engine.retrying(policy, &self.cx, &to, attempt).await?
        } else {
            // An fsync cannot be interrupted, and a rename is done or not: wait for the answer.
            self.engine.retrying_to_the_end(policy, &self.cx, attempt).await?
        };
        Ok(Outcome { whole, committed, source_verified })
    }

    fn report(&self, outcome: Outcome, started: Instant) -> Report {
        let Outcome { whole, committed, source_verified } = outcome;
        // A side without a network needs no proof; a network side without one leaves "size only".
        let read = (self.source_limits.network, source_verified.unwrap_or(Verified::Size));
        let wrote = (self.target_limits.network, committed.verified.unwrap_or(Verified::Size));
        let verified = match (read, wrote) {
            ((true, Verified::Size), _) | (_, (true, Verified::Size)) => Verified::Size,
            (_, (true, v)) | ((true, v), _) => v,
            _ => Verified::Size,
        };
        Report {
            from: self.from.clone(),
            to: self.job.target.location(),
            bytes: whole.len(),
            elapsed: started.elapsed(),
            retried: self.cx.meter.snapshot().retried,
            verified,
            sums: whole,
            etag: committed.etag,
            version_id: committed.version_id,
        }
    }
}

fn too_long(from: &str, capacity: u64) -> Error {
    let detail = format!("the stream goes on after {capacity} bytes, all that its parts can hold");
    Error::new(ErrorKind::Invalid, Op::Read, from, detail).with_hint(
        "say how long it is with --expected-size, and allow for large parts with --memory",
    )
}
