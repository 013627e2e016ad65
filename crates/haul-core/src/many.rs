//! Many items at once.
//!
//! Owns the order in which items are started and the bound on how far the first one that is not
//! over may fall behind: every item takes a credit when it is found and gives it back when the event
//! that it is over has been dropped. So the listing, the items in flight, the events that nobody has
//! read yet and the results that wait for an earlier one are bounded by one number.
//!
//! A failure of one item must never stop another (S0.16).

use std::collections::{BinaryHeap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::FutureExt as _;
use futures::stream::{Stream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Op, Result};
use crate::event::Event;
use crate::handle::JobContext;
use crate::hint::Hint;
use crate::outcome::{Outcome, Settled};
use crate::workers::{self, Crew, Queue};

/// Items between the listing and the listener: a few hundred bytes each.
const CREDITS: usize = 4096;

/// Items to choose the next from: about a page.
const WINDOW: usize = 1024;

/// One task to work on.
#[derive(Debug)]
pub struct Item<T> {
    /// Bytes, to order by; 0 where nothing is moved.
    pub size: u64,
    /// Items that the task is about: 1, or more where one request serves many; at most
    /// [`MOST_AT_ONCE`].
    pub count: u32,
    /// What to do.
    pub task: T,
}

impl<T> Item<T> {
    /// A task about one item.
    pub fn one(size: u64, task: T) -> Self {
        Self { size, count: 1, task }
    }
}

/// The most items that one task may be about: a batch of removals.
pub const MOST_AT_ONCE: u32 = 1000;

/// An item on its way, with what bounds it.
struct Numbered<T> {
    number: u64,
    size: u64,
    task: T,
    credit: OwnedSemaphorePermit,
    /// Held by large items, of which only so many run at once while small ones wait.
    large: Option<OwnedSemaphorePermit>,
}

impl Engine {
    /// Works on `items`, `jobs` at once, until they end, the caller cancels, or the destination
    /// turns out not to be there at all. `work` gives back as many settled items as the task was
    /// about; each is reported by an [`Event::Settled`] and counted.
    ///
    /// Within a window large items go first, on half of the workers while small ones wait, so that
    /// none of them is left alone at the end; small ones are packed around them.
    pub async fn many<T, S, W, WF>(
        &self,
        jobs: usize,
        cx: &JobContext,
        items: S,
        work: W,
    ) -> Result<()>
    where
        T: Send + 'static,
        S: Stream<Item = Item<T>>,
        W: Fn(T, JobContext) -> WF + Clone + Send + Sync + 'static,
        WF: Future<Output = Vec<Settled>> + Send,
    {
        let jobs = jobs.max(1);
        let large_at = self.options().part.part_size;
        let unreachable = Unreachable { limit: 2 * jobs as u64, ..Unreachable::default() };
        let unreachable = Arc::new(unreachable);
        let run = {
            let (cx, unreachable) = (cx.clone(), Arc::clone(&unreachable));
            move |item: Numbered<T>| {
                let (cx, work, unreachable) = (cx.clone(), work.clone(), Arc::clone(&unreachable));
                async move {
                    let Numbered { number, size, task, mut credit, large } = item;
                    let own = cx.of_item(number);
                    let all = work(task, own.clone()).await;
                    cx.meter.forgo(size.saturating_sub(own.meter.snapshot().landed));
                    drop(large);
                    let mut verdict = Ok(());
                    for (number, mut settled) in (number..).zip(all) {
                        verdict = verdict.and(unreachable.judge(&settled.outcome));
                        settled.item = number;
                        settled.credit = credit.split(1);
                        let cancelled = ErrorKind::Cancelled;
                        if !matches!(&settled.outcome, Outcome::Failed(e) if e.kind() == cancelled)
                        {
                            cx.tally.settle(&settled);
                            cx.events.send(Event::Settled(Box::new(settled)));
                        }
                    }
                    verdict
                }
            }
        };
        let produce = |queue| dispatch(items, queue, Window::new(jobs, large_at), cx);
        // An item that has begun ends by itself when the job is cancelled: it cleans up.
        let crew = Crew { finishes: true, ..self.crew(jobs) };
        workers::run(crew, &cx.cancel, produce, run).await?;
        Ok(())
    }
}

/// Feeds the workers.
async fn dispatch<T, S: Stream<Item = Item<T>>>(
    items: S,
    queue: Queue<Numbered<T>>,
    mut window: Window<T>,
    cx: &JobContext,
) -> Result<()> {
    let mut items = std::pin::pin!(items.fuse());
    let credits = Arc::new(Semaphore::new(CREDITS));
    let (mut ended, mut found) = (false, None);
    loop {
        // Fills the window with what is at hand; waits only when there is nothing to do meanwhile.
        while !ended && window.len() < WINDOW {
            let idle = window.is_empty();
            if found.is_none() {
                match if idle { Some(items.next().await) } else { items.next().now_or_never() } {
                    None => break,
                    Some(None) => ended = true,
                    Some(item) => found = item,
                }
            }
            let Some(Item { size, count, task }) = found.take() else { continue };
            let count = count.clamp(1, MOST_AT_ONCE);
            let credit = Arc::clone(&credits).acquire_many_owned(count);
            let credit = if idle { Some(credit.await) } else { credit.now_or_never() };
            let Some(Ok(credit)) = credit else {
                found = Some(Item { size, count, task });
                break;
            };
            cx.tally.found(u64::from(count));
            let number = cx.tally.number(u64::from(count));
            window.push(Numbered { number, size, task, credit, large: None });
        }
        if ended {
            cx.tally.complete();
        }
        match window.next() {
            Some(item) => queue.push(item).await?,
            None => return Ok(()),
        }
    }
}

/// Items to choose the next from.
struct Window<T> {
    small: VecDeque<Numbered<T>>,
    large: BinaryHeap<Large<T>>,
    large_at: u64,
    large_running: Arc<Semaphore>,
}

impl<T> Window<T> {
    fn new(jobs: usize, large_at: u64) -> Self {
        let large_running = Arc::new(Semaphore::new((jobs / 2).max(1)));
        Self { small: VecDeque::new(), large: BinaryHeap::new(), large_at, large_running }
    }

    fn len(&self) -> usize {
        self.small.len() + self.large.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&mut self, item: Numbered<T>) {
        if item.size > self.large_at {
            self.large.push(Large(item));
        } else {
            self.small.push_back(item);
        }
    }

    fn next(&mut self) -> Option<Numbered<T>> {
        if self.large.is_empty() {
            return self.small.pop_front();
        }
        let permit = match Arc::clone(&self.large_running).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) if !self.small.is_empty() => return self.small.pop_front(),
            Err(_) => None, // nothing else is there: large items may have all workers
        };
        self.large.pop().map(|Large(item)| Numbered { large: permit, ..item })
    }
}

/// Ordered by size, and by the order of the listing among equals.
struct Large<T>(Numbered<T>);

impl<T> Large<T> {
    fn rank(&self) -> (u64, std::cmp::Reverse<u64>) {
        (self.0.size, std::cmp::Reverse(self.0.number))
    }
}

impl<T> PartialEq for Large<T> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl<T> Eq for Large<T> {}

impl<T> PartialOrd for Large<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Large<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// Whether anything has ever been reached: a million items need not find out one by one that the
/// endpoint is not there.
#[derive(Debug, Default)]
struct Unreachable {
    limit: u64,
    in_a_row: AtomicU64,
}

impl Unreachable {
    fn judge(&self, outcome: &Outcome) -> Result<()> {
        match outcome {
            Outcome::Failed(e) if e.kind() == ErrorKind::Connect => {
                let failed = self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
                if failed < self.limit {
                    return Ok(());
                }
                let what = format!("{failed} items in a row found no connection: giving up");
                Err(Error::new(ErrorKind::Connect, Op::Open, "the store", what)
                    .with_hint(e.hint().cloned().unwrap_or(Hint::CheckServer)))
            }
            _ => {
                self.in_a_row.store(0, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EngineOptions;
    use crate::event::EventSender;
    use crate::outcome::InOrder;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;
    use tokio_util::sync::CancellationToken;

    fn engine() -> Engine {
        Engine::new(EngineOptions::default())
    }

    fn done(i: u64) -> Vec<Settled> {
        vec![Settled::new(i.to_string(), "", Outcome::Removed)]
    }

    async fn run<WF: Future<Output = Vec<Settled>> + Send>(
        sizes: Vec<u64>,
        jobs: usize,
        work: impl Fn(u64, JobContext) -> WF + Clone + Send + Sync + 'static,
    ) -> (Result<()>, Vec<Settled>, crate::Summary) {
        let (events, mut heard) = EventSender::channel();
        let cx = JobContext::watched(CancellationToken::new(), events);
        let items = sizes.into_iter().enumerate();
        let items = items.map(|(i, size)| Item::one(size, i as u64));
        let engine = engine();
        let tally = Arc::clone(&cx.tally);
        let listen = async {
            let (mut order, mut out) = (InOrder::default(), Vec::new());
            while let Some(event) = heard.recv().await {
                if let Event::Settled(settled) = event {
                    out.extend(
                        order.push(*settled).into_iter().map(|s| Settled { credit: None, ..s }),
                    );
                }
            }
            out
        };
        let running = async {
            let result = engine.many(jobs, &cx, futures::stream::iter(items), work).await;
            drop(cx);
            result
        };
        let (result, out) = futures::join!(running, listen);
        (result, out, tally.snapshot())
    }

    /// S0.1, S0.4, S0.5, S0.6, S0.7, S0.8: a bounded queue and N workers; S0.27: at various
    /// levels.
    #[tokio::test]
    async fn all_items_run_so_many_at_once_and_come_out_in_order() {
        for jobs in [1, 4, 8, 16] {
            let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let seen = Arc::clone(&peak);
            let (result, out, sum) = run(vec![1; 10_000], jobs, move |i, _| {
                let (now, peak) = (Arc::clone(&now), Arc::clone(&seen));
                async move {
                    peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    done(i)
                }
            })
            .await;
            result.unwrap();
            assert_eq!(peak.load(Ordering::SeqCst), jobs);
            assert_eq!((sum.found, sum.removed, sum.complete), (10_000, 10_000, true));
            assert!(out.iter().enumerate().all(|(i, s)| s.item == i as u64));
            assert_eq!(out.len(), 10_000);
        }
    }

    /// S0.16, S0.17: a failure stops nothing.
    #[tokio::test]
    async fn failures_are_counted_and_stop_nothing() {
        let (result, out, sum) = run(vec![1; 100], 4, |i, _| async move {
            let e = Error::new(ErrorKind::AccessDenied, Op::Read, "x", "no");
            if i % 10 == 0 { vec![Settled::new("", "", Outcome::Failed(e))] } else { done(i) }
        })
        .await;
        result.unwrap();
        assert_eq!((out.len(), sum.failed, sum.removed), (100, 10, 90));
    }

    /// S0.20, S4.36: large items first, on half of the workers; small ones around them.
    #[tokio::test]
    async fn large_items_go_first_within_the_window() {
        let part = EngineOptions::default().part.part_size;
        let order = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&order);
        let mut sizes = vec![1; 20];
        (sizes[5], sizes[9], sizes[13]) = (part + 1, part + 3, part + 2);
        let (result, ..) = run(sizes, 1, move |i, _| {
            seen.lock().unwrap().push(i);
            async move { done(i) }
        })
        .await;
        result.unwrap();
        let order = order.lock().unwrap();
        let at = |i: u64| order.iter().position(|o| *o == i).unwrap();
        assert!(at(9) < at(13) && at(13) < at(5), "{order:?}");
        let small: Vec<_> = order.iter().filter(|i| ![5, 9, 13].contains(*i)).collect();
        assert!(small.is_sorted(), "{order:?}");
    }

    /// One request may serve many items: each is settled by itself.
    #[tokio::test]
    async fn batches_are_settled_item_by_item() {
        let (events, mut heard) = EventSender::channel();
        let cx = JobContext::watched(CancellationToken::new(), events);
        let batch = |i| Item { size: 0, count: MOST_AT_ONCE, task: i };
        let items = futures::stream::iter((0..20_u64).map(batch));
        let work = |_, _| async { (0..MOST_AT_ONCE).flat_map(|i| done(u64::from(i))).collect() };
        let engine = engine();
        let listen = async {
            let mut order = InOrder::default();
            let mut count = 0;
            while count < 20_000 {
                if let Some(Event::Settled(settled)) = heard.recv().await {
                    count += order.push(*settled).len();
                }
            }
        };
        let (result, ()) = futures::join!(engine.many(4, &cx, items, work), listen);
        result.unwrap();
        assert_eq!(cx.tally.snapshot().removed, 20_000);
    }

    /// S0.4, S0.5, X0.5: a listener that does not listen holds the job up instead of letting memory
    /// grow. S0.19: what is found and what is settled can be watched meanwhile.
    #[tokio::test]
    async fn results_that_nobody_reads_hold_the_job_up() {
        let (events, mut heard) = EventSender::channel();
        let cx = JobContext::watched(CancellationToken::new(), events);
        let engine = engine();
        let items = futures::stream::iter((0..u64::MAX).map(|i| Item::one(0, i)));
        let running = engine.many(4, &cx, items, |i, _| async move { done(i) });
        let mut running = std::pin::pin!(running);
        for _ in 0..100_000 {
            assert!(futures::poll!(&mut running).is_pending());
            tokio::task::yield_now().await;
            if cx.tally.snapshot().settled() == CREDITS as u64 {
                break;
            }
        }
        assert_eq!(cx.tally.snapshot().settled(), CREDITS as u64);
        for _ in 0..10 {
            assert!(futures::poll!(&mut running).is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(cx.tally.snapshot().found, CREDITS as u64);
        drop(heard.try_recv());
        for _ in 0..100 {
            assert!(futures::poll!(&mut running).is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(cx.tally.snapshot().found, CREDITS as u64 + 1);
    }

    #[tokio::test]
    async fn an_endpoint_that_is_not_there_ends_the_job() {
        let (result, out, _) = run(vec![1; 1000], 2, |_, _| async {
            let e = Error::new(ErrorKind::Connect, Op::Open, "s3://b/k", "connection refused");
            vec![Settled::new("", "", Outcome::Failed(e))]
        })
        .await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Connect);
        assert!(out.len() < 10);
    }
}
