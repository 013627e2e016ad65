//! A bounded queue and the workers that empty it.
//!
//! Owns the tasks of one job: they are awaited before [`run`] returns, and dropping its future
//! aborts them. The first failure stops the rest. A plain semaphore with a task per chunk would be
//! shorter, but it would spawn as many tasks as there are chunks; tokio's own channel has a single
//! consumer (X0.1, X0.2, X3.1).

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Op, Result};
use crate::lanes::Lanes;

/// Where the producer puts items.
#[derive(Debug)]
pub struct Queue<T>(async_channel::Sender<T>);

impl<T> Queue<T> {
    /// Waits for room and adds an item. When the workers have stopped it waits for ever: [`run`]
    /// ends the producer then, and the reason is theirs to tell.
    pub async fn push(&self, item: T) -> Result<()> {
        match self.0.send(item).await {
            Ok(()) => Ok(()),
            Err(_) => std::future::pending().await,
        }
    }
}

/// Who works: how many, and on which threads.
#[derive(Debug, Clone)]
pub struct Crew {
    /// Workers, at least 1.
    pub workers: usize,
    /// Where they run.
    pub lanes: Lanes,
    /// Whether work that has begun is left to end by itself on cancellation, and not dropped where it
    /// is: it must listen for the cancellation then.
    pub finishes: bool,
}

/// Runs `produce` and a crew's copies of `work` until the queue is empty, something fails or
/// `cancel` fires. The queue holds as many items as there are workers. Results come in no order.
pub async fn run<T, R, P, PF, W, WF>(
    crew: Crew,
    cancel: &CancellationToken,
    produce: P,
    work: W,
) -> Result<Vec<R>>
where
    T: Send + 'static,
    R: Send + 'static,
    P: FnOnce(Queue<T>) -> PF,
    PF: Future<Output = Result<()>>,
    W: Fn(T) -> WF + Clone + Send + Sync + 'static,
    WF: Future<Output = Result<R>> + Send,
{
    let workers = crew.workers.max(1);
    let stop = cancel.child_token();
    let first_failure: Arc<Mutex<Option<Error>>> = Arc::default();
    let (tx, rx) = async_channel::bounded::<T>(workers);
    let mut tasks = JoinSet::new();
    for worker in 0..workers {
        let (rx, work, stop) = (rx.clone(), work.clone(), stop.clone());
        let first_failure = Arc::clone(&first_failure);
        let finishes = crew.finishes;
        let runs = async move {
            let mut results = Vec::new();
            // A worker that panics must stop the rest, who may wait for it.
            let crashed = stop.clone().drop_guard();
            let all = async {
                while let Some(Ok(item)) = stop.run_until_cancelled(rx.recv()).await {
                    results.push(work(item).await?);
                }
                Ok(())
            };
            let ended =
                if finishes { Some(all.await) } else { stop.run_until_cancelled(all).await };
            if let Some(Err(e)) = ended {
                keep_first(&first_failure, e);
                stop.cancel();
            }
            crashed.disarm();
            results
        };
        tasks.spawn_on(runs, &crew.lanes.handle(worker));
    }
    drop(rx);
    if let Some(Err(e)) = stop.run_until_cancelled(produce(Queue(tx))).await {
        keep_first(&first_failure, e);
        stop.cancel();
    }
    let mut results = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(part) => results.extend(part),
            Err(e) => {
                stop.cancel();
                let e =
                    Error::new(ErrorKind::Io, Op::Write, "a worker", "it crashed").with_source(e);
                keep_first(&first_failure, e);
            }
        }
    }
    if cancel.is_cancelled() {
        return Err(Error::cancelled(Op::Write, "the destination"));
    }
    match first_failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(e) => Err(e),
        None => Ok(results),
    }
}

fn keep_first(slot: &Mutex<Option<Error>>, e: Error) {
    slot.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn four() -> Crew {
        Crew { workers: 4, lanes: Lanes::none(), finishes: false }
    }

    async fn numbers(queue: Queue<u64>) -> Result<()> {
        for i in 0..100 {
            queue.push(i).await?;
        }
        Ok(())
    }

    /// X0.1, X3.1: a queue with many consumers.
    #[tokio::test]
    async fn all_items_are_worked_on_by_so_many_at_once() {
        let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&peak);
        let work = move |i: u64| {
            let (now, peak) = (Arc::clone(&now), Arc::clone(&seen));
            async move {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(i)
            }
        };
        let mut out = run(four(), &CancellationToken::new(), numbers, work).await.unwrap();
        out.sort_unstable();
        assert_eq!(out, (0..100).collect::<Vec<_>>());
        assert_eq!(peak.load(Ordering::SeqCst), 4);
    }

    /// S0.4, S0.5, S3.11, S3.12: the queue holds as many as there are workers, and each of those has
    /// one in hand: a producer that is faster waits.
    #[tokio::test]
    async fn the_producer_is_so_far_ahead_and_no_further() {
        let pushed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&pushed);
        let produce = |queue: Queue<u64>| async move {
            for i in 0..100 {
                queue.push(i).await?;
                count.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        };
        let cancel = CancellationToken::new();
        let work = |_: u64| std::future::pending::<Result<u64>>();
        let running = run(four(), &cancel, produce, work);
        let looking = async {
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            assert_eq!(pushed.load(Ordering::SeqCst), 4 + 4);
            cancel.cancel();
        };
        let (result, ()) = futures::join!(running, looking);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    }

    /// U3.4: the first failure ends the rest.
    #[tokio::test]
    async fn the_first_failure_stops_the_rest() {
        let work = |i: u64| async move {
            if i == 3 {
                return Err(Error::new(ErrorKind::Io, Op::Write, "x", "three"));
            }
            std::future::pending::<Result<u64>>().await
        };
        let e = run(four(), &CancellationToken::new(), numbers, work).await.unwrap_err();
        assert_eq!(e.detail(), "three");
    }

    /// X0.7: an error, and no panic of the producer.
    #[tokio::test]
    async fn a_worker_that_panics_stops_the_rest() {
        for workers in [1, 4] {
            let work = move |i: u64| async move {
                assert!(i != 3, "three");
                if workers == 1 { Ok(i) } else { std::future::pending::<Result<u64>>().await }
            };
            let crew = Crew { workers, lanes: Lanes::none(), finishes: false };
            let e = run(crew, &CancellationToken::new(), numbers, work).await.unwrap_err();
            assert_eq!(e.detail(), "it crashed");
        }
    }

    #[tokio::test]
    async fn cancelling_ends_every_wait() {
        let cancel = CancellationToken::new();
        let work = |_: u64| std::future::pending::<Result<u64>>();
        let running = run(four(), &cancel, numbers, work);
        let (result, ()) = futures::join!(running, async {
            tokio::task::yield_now().await;
            cancel.cancel();
        });
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}
