//! One object from a source to a target.
//!
//! Owns the order of things: open and pin, plan, begin, chunks (budget, then gate, fetch, put),
//! compare checksums, commit last, clean up on failure. Everything that bounds memory and requests
//! comes together here and nowhere else. It must never know which backend it drives.

mod small;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::budget::BudgetPermit;
use crate::checksum::{Checksum, Sums};
use crate::engine::{Engine, Leftover};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::fetch::{FetchRules, Fetcher, compare};
use crate::handle::{JobContext, TransferHandle};
use crate::hint::Hint;
use crate::lanes;
use crate::ledger::Landed;
use crate::limits::{Order, SourceLimits, TargetLimits};
use crate::parts::intake::Intake;
use crate::parts::{Part, PartReader};
use crate::plan::{self, ChunkPlan, PlanPolicy, StreamPlan};
use crate::pool::SLICE;
use crate::proof::Proof;
use crate::range::{ByteRange, ChunkSpec};
use crate::report::{Report, Verified};
use crate::sink::{Content, Costs, Item, Sink, SinkParts};
use crate::source::{Opened, ReadAt, ReadStream, Source, StreamMeta};
use crate::stall;
use crate::target::{Attributes, Committed, Target, Upload, UploadSpec};
use crate::workers::{self, Queue};
use small::{Ready, Small};

/// How long the operation that makes a result visible may take on a network: stores are silent
/// while they put together thousands of parts.
const COMMIT_DEADLINE: Duration = Duration::from_mins(15);

/// The least that a part of a stream of unknown length may grow to: 10,000 parts then hold 492 GiB,
/// and one of them stays below the 100 MB that haul promises.
const STREAM_PART: u64 = 64 << 20;

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
    /// The length of a stream, when the caller knows it: a hint, but for targets that have to be told
    /// before the first byte.
    pub expected_size: Option<u64>,
    /// Whether the destination keeps the source's time of modification.
    pub keep_times: bool,
}

impl Engine {
    /// Starts to move one object.
    pub fn transfer(
        &self,
        job: Job,
        cancel: &tokio_util::sync::CancellationToken,
    ) -> TransferHandle {
        let engine = self.clone();
        TransferHandle::spawn(cancel, |cx| async move { engine.run(job, cx).await })
    }

    /// Moves one object as part of a job of the caller's.
    pub async fn run(self, job: Job, cx: JobContext) -> Result<Report> {
        let started = Instant::now();
        let mut run = Run {
            from: job.source.location(),
            source_limits: job.source.limits(),
            target_limits: job.target.limits(),
            engine: self,
            job,
            cx,
        };
        let (opened, small) = run.open().await?;
        // What a store can do may have been learned meanwhile.
        (run.source_limits, run.target_limits) = (run.job.source.limits(), run.job.target.limits());
        let outcome = match opened {
            Opened::Ranged(source) => run.ranged(source, small).await?,
            Opened::Stream(source) => {
                drop(small);
                run.stream(source).await?
            }
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

/// What the bytes that arrived are held against.
enum Against<'a> {
    Ranged(&'a dyn ReadAt),
    Stream(&'a StreamMeta),
}

struct Outcome {
    whole: Sums,
    committed: Committed,
    source_verified: Option<Verified>,
    read: Option<Proof>,
}

impl Run {
    fn costs(&self) -> Costs {
        Costs::new(&self.engine, &self.target_limits, self.source_limits.cheap_reread)
    }

    fn policy(&self) -> PlanPolicy {
        let options = self.engine.options();
        let mut policy = options.part;
        if self.target_limits.order == Order::Sequential && !policy.explicit {
            // Twice as many chunks as requests must fit, so that all connections stay busy while
            // chunks wait for their turn.
            let fitting = options.memory / (2 * options.concurrency.max(1) as u64);
            policy.part_size = policy.part_size.min(fitting).max(SLICE as u64);
        }
        policy
    }

    /// S3.10-S3.21: ranges of a known size.
    async fn ranged(&self, source: Arc<dyn ReadAt>, small: Option<Small>) -> Result<Outcome> {
        let meta = source.meta().clone();
        self.started(Some(meta.size));
        let plan = self.plan(meta.size)?;
        let attributes = self.attributes(&meta.attributes, meta.modified);
        let fetcher = Fetcher::new(
            Arc::clone(&source),
            self.source_limits.clone(),
            self.fetch_rules(meta.checksum),
            Arc::clone(&self.cx.meter),
            self.cx.events.clone(),
        );
        let ready = self.ready(small, &plan, &fetcher).await?;
        let upload = self.begin(Some(plan.clone()), attributes, source.proof()).await?;
        let sink = self.sink(Arc::clone(&upload), Some(fetcher));
        let moved = self.put_ranges(&plan, sink, ready).await;
        self.conclude(&*upload, moved, Against::Ranged(&*source)).await
    }

    async fn put_ranges(
        &self,
        plan: &ChunkPlan,
        sink: Sink,
        mut ready: Option<Ready>,
    ) -> Result<Landed> {
        if plan.chunks() == 1 && lanes::current().is_some() {
            return self.put_only_chunk(plan, sink, ready).await;
        }
        let ahead = if sink.order() == Order::Sequential { 2 } else { 1 };
        let workers = self.engine.options().concurrency.max(1) * ahead;
        let workers = workers.min(usize::try_from(plan.chunks()).unwrap_or(usize::MAX));
        let (budget, costs) = (self.engine.budget().clone(), sink.clone());
        let chunks = plan.iter();
        let produce = |queue: Queue<Item>| async move {
            for chunk in chunks {
                let (permit, content) = match ready.take() {
                    Some(ready) => ready,
                    None => (budget.acquire(costs.cost(chunk)).await, None),
                };
                queue.push(Item { chunk, content, permit }).await?;
            }
            Ok(())
        };
        self.work(workers, produce, sink).await
    }

    /// A small object of many: its worker is on a lane already, and needs no others.
    async fn put_only_chunk(
        &self,
        plan: &ChunkPlan,
        sink: Sink,
        mut ready: Option<Ready>,
    ) -> Result<Landed> {
        let landing = async {
            for chunk in plan.iter() {
                let (permit, content) = match ready.take() {
                    Some(ready) => ready,
                    None => (self.engine.budget().acquire(sink.cost(chunk)).await, None),
                };
                sink.land(Item { chunk, content, permit }).await?;
            }
            Ok(sink.landed())
        };
        let landed = self.cx.cancel.run_until_cancelled(Box::pin(landing)).await;
        landed.unwrap_or_else(|| Err(Error::cancelled(Op::Write, self.job.target.location())))
    }

    /// What is read once, in order.
    async fn stream(&self, source: Box<dyn ReadStream>) -> Result<Outcome> {
        let meta = source.meta().clone();
        let size = meta.size.or(self.job.expected_size);
        self.started(size);
        let rules = self.fetch_rules(meta.checksum);
        let limits = self.source_limits.clone();
        let intake = Intake::new(source, &self.from, limits, rules, self.cx.clone());
        if let Some(size) = size.filter(|size| self.passes(*size)) {
            return self.pass(intake.promising(size), &meta, size).await;
        }
        let mut chunks = self.stream_plan(size)?;
        let mut parts = PartReader::new(intake, self.engine.pool().clone());
        let (first, permit) = self.first_part(&mut chunks, &mut parts, &meta).await?;
        let known = meta.size.or_else(|| first.last.then(|| first.len()));
        let plan = known.map(|size| self.plan(size)).transpose()?;
        let attributes = self.attributes(&meta.attributes, meta.modified);
        let upload = self.begin(plan, attributes, None).await?;
        let sink = self.sink(Arc::clone(&upload), None);
        let (budget, from) = (self.engine.budget().clone(), self.from.clone());
        let produce = |queue: Queue<Item>| async move {
            let mut last = first.last;
            queue.push(first.into_item(permit)).await?;
            while !last {
                let Some(spec) = chunks.next() else {
                    if parts.at_end().await? {
                        break;
                    }
                    return Err(too_long(&from, chunks.capacity()));
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
        let workers = self.engine.options().concurrency;
        let moved = self.work(workers, produce, sink).await;
        self.conclude(&*upload, moved, Against::Stream(&meta)).await
    }

    /// Reads the first part of a stream, and whether anything follows it.
    async fn first_part(
        &self,
        chunks: &mut StreamPlan,
        parts: &mut PartReader,
        meta: &StreamMeta,
    ) -> Result<(Part, BudgetPermit)> {
        let first = chunks.next().unwrap_or(ChunkSpec { index: 0, range: ByteRange::new(0, 0) });
        // A short one takes a slice at least.
        let cost = meta.size.map_or(u64::MAX, |size| size.max(SLICE as u64));
        let permit = self.engine.budget().acquire(first.range.len().min(cost)).await;
        let reading = async {
            let mut first = parts.next(first).await?;
            // A stream that fits one part is one request, whichever way its end shows.
            first.last = parts.at_end().await?;
            if first.last {
                // It is the commit as well: compared before the target has it.
                compare(&meta.seen(&self.from, first.len()), &first.sums)?;
            }
            Ok(first)
        };
        let reading = self.cx.cancel.run_until_cancelled(reading).await;
        let first = reading.unwrap_or_else(|| Err(Error::cancelled(Op::Read, &self.from)))?;
        Ok((first, permit))
    }

    /// Whether a stream of this size is sent on as it comes: where it is too much to be held, and
    /// the target takes all of it as one chunk. What can be held can be sent again.
    fn passes(&self, size: u64) -> bool {
        let TargetLimits { max_parts, replays, order, .. } = self.target_limits;
        let one = max_parts == 1 && !replays && order == Order::Any;
        one && size > self.policy().part_size
    }

    /// A stream of known size into a target that takes it in one piece.
    async fn pass(&self, intake: Intake, meta: &StreamMeta, size: u64) -> Result<Outcome> {
        let plan = self.plan(size)?;
        let mut chunks = plan.iter();
        let attributes = self.attributes(&meta.attributes, meta.modified);
        let upload = self.begin(Some(plan), attributes, None).await?;
        let sink = self.sink(Arc::clone(&upload), None);
        let (budget, costs) = (self.engine.budget().clone(), sink.clone());
        let produce = |queue: Queue<Item>| async move {
            let Some(chunk) = chunks.next() else { return Ok(()) };
            let permit = budget.acquire(costs.cost(chunk)).await;
            let content = Some(Content::Passing(Box::new(intake)));
            queue.push(Item { chunk, content, permit }).await
        };
        let moved = self.work(1, produce, sink).await;
        self.conclude(&*upload, moved, Against::Stream(meta)).await
    }

    /// Lands what `produce` brings.
    async fn work<P, PF>(&self, workers: usize, produce: P, sink: Sink) -> Result<Landed>
    where
        P: FnOnce(Queue<Item>) -> PF,
        PF: Future<Output = Result<()>>,
    {
        let landing = sink.clone();
        let work = move |item: Item| {
            let sink = landing.clone();
            async move { sink.land(item).await }
        };
        workers::run(self.engine.crew(workers), &self.cx.cancel, produce, work).await?;
        Ok(sink.landed())
    }

    /// What travels with the bytes: what the caller set, and of the source what it left open.
    fn attributes(&self, theirs: &Attributes, modified: Option<SystemTime>) -> Attributes {
        let mut attributes = self.job.attributes.clone().or(theirs);
        if self.job.keep_times {
            attributes.modified = theirs.modified.or(modified);
        }
        attributes
    }

    fn stream_plan(&self, size: Option<u64>) -> Result<StreamPlan> {
        // A part of a stream is in memory. Two of them fit the budget, one read while one is sent;
        // late in a very long stream they are larger and go one by one.
        let cap = (self.engine.options().memory / 2).max(STREAM_PART);
        StreamPlan::new(&self.target_limits, self.policy(), size, cap)
            .map_err(|e| self.unplannable(&e).with_hint(Hint::AllowMoreMemory))
    }

    fn plan(&self, size: u64) -> Result<ChunkPlan> {
        let (options, ordered) = (self.engine.options(), self.target_limits.order);
        let most = options.memory.max(STREAM_PART);
        if ordered == Order::Sequential && options.part.part_size > most && size > most {
            let what = "chunks that wait for their turn are in memory, and this part size is more";
            return Err(Error::new(ErrorKind::Invalid, Op::Begin, &self.from, what)
                .with_hint(Hint::SmallerParts));
        }
        self.cx.meter.set_total(size);
        plan::plan(size, &self.target_limits, self.policy()).map_err(|e| self.unplannable(&e))
    }

    fn started(&self, size: Option<u64>) {
        if let Some(size) = size {
            self.cx.meter.set_total(size);
        }
        self.cx.started(self.from.as_str(), self.job.target.location(), size);
    }

    fn unplannable(&self, e: &plan::PlanError) -> Error {
        Error::new(ErrorKind::Invalid, Op::Begin, self.job.target.location(), e)
    }

    fn fetch_rules(&self, checksum: Option<Checksum>) -> FetchRules {
        let options = self.engine.options();
        let compare = checksum.map(|c| c.algorithm);
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
        read: Option<Proof>,
    ) -> Result<Arc<dyn Upload>> {
        let overwrite = self.job.overwrite;
        let spec = UploadSpec { plan, attributes, overwrite, read };
        let to = self.job.target.location();
        let begin = || self.job.target.begin(&spec);
        let discard = |upload: Arc<dyn Upload>| async move { upload.abort().await };
        self.engine.beginning(&self.cx, &to, begin, discard).await
    }

    fn sink(&self, upload: Arc<dyn Upload>, fetcher: Option<Fetcher>) -> Sink {
        let parts = SinkParts {
            upload,
            fetcher,
            to: self.job.target.location(),
            limits: self.target_limits.clone(),
            source_is_network: self.source_limits.network,
        };
        Sink::new(&self.engine, &self.cx, parts)
    }

    /// Compares, commits, or cleans up: whatever happened, nothing half-done stays behind.
    async fn conclude(
        &self,
        upload: &dyn Upload,
        moved: Result<Landed>,
        against: Against<'_>,
    ) -> Result<Outcome> {
        let committed = match moved {
            Ok(landed) => self.commit(upload, landed, against).await,
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
        landed: Landed,
        against: Against<'_>,
    ) -> Result<Outcome> {
        let whole = landed.whole();
        let receipts = landed.into_receipts();
        let source_verified = match against {
            Against::Ranged(source) => {
                source.recheck().await?; // once more, now that nothing is in flight
                compare(source.meta(), &whole)?
            }
            Against::Stream(meta) => compare(&meta.seen(&self.from, whole.len()), &whole)?,
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
        let read = match against {
            Against::Ranged(source) => source.proof(),
            Against::Stream(_) => None,
        };
        Ok(Outcome { whole, committed, source_verified, read })
    }

    fn report(&self, outcome: Outcome, started: Instant) -> Report {
        let Outcome { whole, committed, source_verified, read: proof } = outcome;
        // A side without a network needs no proof; a network side without one leaves "size only".
        let read = (self.source_limits.network, source_verified.unwrap_or(Verified::Size));
        let wrote = (self.target_limits.network, committed.verified.unwrap_or(Verified::Size));
        let verified = match (read, wrote) {
            ((true, Verified::Size), _) | (_, (true, Verified::Size)) => Verified::Size,
            (_, (true, v)) | ((true, v), _) => v,
            _ => Verified::Size,
        };
        Report {
            from: self.from.clone().into(),
            to: self.job.target.location().into(),
            bytes: whole.len(),
            elapsed: started.elapsed(),
            retried: self.cx.meter.snapshot().retried,
            verified,
            sums: whole,
            etag: committed.etag,
            version_id: committed.version_id,
            read: proof,
        }
    }
}

fn too_long(from: &str, capacity: u64) -> Error {
    let detail = format!("the stream goes on after {capacity} bytes, all that its parts can hold");
    Error::new(ErrorKind::Invalid, Op::Read, from, detail).with_hint(Hint::TellLengthForParts)
}
