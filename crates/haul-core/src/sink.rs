//! Where chunks land.
//!
//! Owns the last leg of a chunk: hold it or read it in passing, wait for its turn, put it by the
//! retry policy, and only then give its share of the budget back.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::budget::BudgetPermit;
use crate::checksum::Sums;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Op, Result, Retry};
use crate::fetch::Fetcher;
use crate::gate;
use crate::handle::JobContext;
use crate::hint::Hint;
use crate::ledger::{Landed, Ledger};
use crate::limits::{Order, TargetLimits};
use crate::meter::ChunkMeter;
use crate::parts::intake::Intake;
use crate::payload::{Payload, Tracker};
use crate::pool::SLICE;
use crate::range::ChunkSpec;
use crate::sequencer::Sequencer;
use crate::stall::{self, Pulse};
use crate::target::{Receipt, Upload};

/// What a chunk that is not held in memory counts for: the slices and network buffers between a
/// source and a target.
const IN_PASSING: u64 = 8 * SLICE as u64;

/// What chunks take of the budget.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Costs {
    /// The longest that are held, if any are.
    held: Option<u64>,
}

impl Costs {
    pub(crate) fn new(engine: &Engine, limits: &TargetLimits, cheap_reread: bool) -> Self {
        let concurrency = engine.options().concurrency.max(1) as u64;
        let sharers = if cheap_reread { concurrency } else { 2 };
        let fitting = engine.budget().total() / sharers;
        let held = match limits.order {
            Order::Sequential => Some(u64::MAX),
            Order::Any => limits.replays.then_some(fitting),
        };
        Self { held }
    }

    /// Whether a chunk of `len` bytes is read into memory before it is put: when it has to wait for its
    /// turn, or when the target may need it twice. A source that is cheap to read again is read twice
    /// instead where the budget does not hold a chunk for every worker; that costs a quarter more
    /// CPU time on uploads, and lets parts be of any size.
    pub(crate) fn holds(self, len: u64) -> bool {
        self.held.is_some_and(|most| len <= most)
    }

    /// What a chunk of `len` bytes takes.
    pub(crate) fn of(self, len: u64) -> u64 {
        if self.holds(len) { len } else { len.min(IN_PASSING) }
    }
}

/// A chunk with its share of the budget, which it keeps until it has landed.
pub(crate) struct Item {
    pub(crate) chunk: ChunkSpec,
    /// The bytes, where they come with it (streams).
    pub(crate) content: Option<Content>,
    pub(crate) permit: BudgetPermit,
}

/// The bytes of a stream.
pub(crate) enum Content {
    /// A part, which had to be read to be cut off.
    Held(Vec<Bytes>, Sums),
    /// All of it, to be sent on as it comes.
    Passing(Box<Intake>),
}

/// Where chunks land: shared by the workers.
#[derive(Clone)]
pub(crate) struct Sink(Arc<SinkInner>);

struct SinkInner {
    upload: Arc<dyn Upload>,
    fetcher: Option<Fetcher>,
    engine: Engine,
    cx: JobContext,
    to: String,
    limits: TargetLimits,
    costs: Costs,
    /// Whether bytes count when they leave, because they did not when they came.
    counts_wire: bool,
    turns: Option<Sequencer>,
    ledger: Ledger,
}

/// What a sink is made of.
pub(crate) struct SinkParts {
    pub(crate) upload: Arc<dyn Upload>,
    /// Where ranges are read; `None` when the producer brings the bytes.
    pub(crate) fetcher: Option<Fetcher>,
    pub(crate) to: String,
    pub(crate) limits: TargetLimits,
    /// Whether the source already counts bytes that cross the network.
    pub(crate) source_is_network: bool,
}

impl Sink {
    pub(crate) fn new(engine: &Engine, cx: &JobContext, parts: SinkParts) -> Self {
        let SinkParts { upload, fetcher, to, limits, source_is_network } = parts;
        let reread = fetcher.as_ref().is_some_and(Fetcher::cheap_reread);
        Self(Arc::new(SinkInner {
            costs: Costs::new(engine, &limits, reread),
            ledger: Ledger::new(upload.wants_receipts()),
            upload,
            fetcher,
            engine: engine.clone(),
            cx: cx.clone(),
            to,
            counts_wire: limits.network && !source_is_network,
            turns: (limits.order == Order::Sequential).then(Sequencer::new),
            limits,
        }))
    }

    pub(crate) fn order(&self) -> Order {
        self.0.limits.order
    }

    /// What the chunk takes of the budget.
    pub(crate) fn cost(&self, chunk: ChunkSpec) -> u64 {
        self.0.costs.of(chunk.range.len())
    }

    /// Brings one chunk home.
    pub(crate) async fn land(&self, item: Item) -> Result<()> {
        let sink = &*self.0;
        let Item { chunk, content, permit } = item;
        let tracker = Arc::new(Tracker {
            chunk: ChunkMeter::new(Arc::clone(&sink.cx.meter)),
            pulse: Pulse::default(),
            wire: sink.counts_wire.then(|| Arc::clone(&sink.cx.meter)),
            throttle: sink.engine.options().throttle.clone().filter(|_| sink.counts_wire),
            sums: Mutex::default(),
        });
        let payload = match (content, &sink.fetcher) {
            (Some(Content::Held(segments, sums)), _) => {
                Payload::memory(chunk, segments, sums, Arc::clone(&tracker))
            }
            (Some(Content::Passing(intake)), _) => {
                Payload::once(chunk, *intake, Arc::clone(&tracker))
            }
            (None, Some(fetcher)) if !sink.costs.holds(chunk.range.len()) => {
                let payload = Payload::range(chunk, fetcher.clone(), Arc::clone(&tracker));
                if sink.limits.checksum.is_some() { payload.sum_up().await? } else { payload }
            }
            (None, Some(fetcher)) => {
                let (segments, sums) = fetcher.read_all(chunk.range, sink.engine.pool()).await?;
                Payload::memory(chunk, segments, sums, Arc::clone(&tracker))
            }
            (None, None) => {
                return Err(Error::new(
                    ErrorKind::Io,
                    Op::Write,
                    &sink.to,
                    "a chunk without bytes",
                ));
            }
        };
        if let (Some(fetcher), Some(sums)) = (&sink.fetcher, payload.sums_ahead()) {
            // Putting all of it is the commit as well, with some targets: compared before they have it.
            fetcher.prove_whole(chunk.range, sums)?;
        }
        if let Some(turns) = &sink.turns {
            turns.turn(chunk.index).await;
        }
        let receipt = self.put(chunk, payload, &tracker).await?;
        if let Some(turns) = &sink.turns {
            turns.done(chunk.index);
        }
        tracker.chunk.reach(chunk.range.len());
        sink.ledger.enter(receipt);
        drop(permit); // only now: the bytes have landed
        Ok(())
    }

    /// What has landed.
    pub(crate) fn landed(&self) -> Landed {
        self.0.ledger.take()
    }

    async fn put(&self, chunk: ChunkSpec, payload: Payload, tracker: &Tracker) -> Result<Receipt> {
        let sink = &*self.0;
        let options = sink.engine.options();
        let attempt = || {
            gate::pass(sink.limits.gate.as_ref(), async {
                tracker.pulse.reset();
                let put = sink.upload.put(chunk, payload.clone());
                let done = if sink.limits.network {
                    let on_stall = || stall::stalled(Op::Write, &sink.to, options.stall);
                    stall::watch(options.stall, &tracker.pulse, on_stall, put).await
                } else {
                    put.await
                };
                done.map_err(|e| if payload.is_spent() { final_of(e) } else { e })
            })
        };
        let receipt = sink.engine.retrying(options.retry, &sink.cx, &sink.to, attempt).await?;
        if receipt.sums.len() != chunk.range.len() {
            let what = format!("{} of {} bytes were taken", receipt.sums.len(), chunk.range.len());
            return Err(Error::new(ErrorKind::Verification, Op::Write, &sink.to, what));
        }
        Ok(receipt)
    }
}

/// What would be tried again, had it not been a stream that is gone now.
fn final_of(e: Error) -> Error {
    if e.retry() == Retry::Never {
        return e;
    }
    e.with_retry(Retry::Never).with_hint(Hint::SendFile)
}
