//! A running job, as its caller sees it.
//!
//! Owns the job's task: awaiting the handle gives the result, dropping it leaves no task behind. A
//! caller that awaits it without having taken its events gets none: they are dropped on the way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Op, Result};
use crate::event::{Event, EventSender};
use crate::foreign::Foreign;
use crate::meter::Meter;
use crate::outcome::Tally;
use crate::report::Report;

/// What a job gets to run with.
#[derive(Debug, Clone)]
pub struct JobContext {
    /// Fires when the caller wants the job to stop.
    pub cancel: CancellationToken,
    /// The job's counters of bytes.
    pub meter: Arc<Meter>,
    /// Where the job tells what happens.
    pub events: EventSender,
    /// The job's counters of items, for jobs of many.
    pub tally: Arc<Tally>,
    /// The number of the item that this is the context of.
    item: u64,
    started: Arc<AtomicBool>,
}

impl JobContext {
    /// A context for work that nobody watches.
    pub fn unwatched(cancel: CancellationToken) -> Self {
        Self::watched(cancel, EventSender::void())
    }

    /// A context whose events go to `events`.
    pub fn watched(cancel: CancellationToken, events: EventSender) -> Self {
        Self {
            cancel,
            meter: Meter::new(),
            events,
            tally: Arc::default(),
            item: 0,
            started: Arc::default(),
        }
    }

    /// The context of one item of this job: its bytes count for the job as well.
    #[must_use]
    pub fn of_item(&self, item: u64) -> Self {
        let meter = Meter::part_of(Arc::clone(&self.meter));
        Self { meter, item, started: Arc::default(), ..self.clone() }
    }

    /// Whether giving up would throw away bytes that were moved.
    pub fn at_stake(&self) -> bool {
        self.meter.snapshot().landed > 0
    }

    /// Says that the item begins, once: a detour is the same item.
    pub fn started(&self, from: impl Into<Foreign>, to: impl Into<Foreign>, size: Option<u64>) {
        if !self.started.swap(true, Ordering::Relaxed) {
            let (item, meter) = (self.item, Arc::clone(&self.meter));
            let (from, to) = (from.into(), to.into());
            self.events.send(Event::ItemStarted { item, from, to, size, meter });
        }
    }
}

/// A running job: a future of its result, a source of [`Event`]s, a [`Meter`] and a [`Tally`] to
/// poll. Dropping it ends the job where it is: an upload in parts then stays in the store, unfinished.
/// Whoever wants it discarded calls [`TransferHandle::cancel`] and awaits the handle.
#[derive(Debug)]
pub struct TransferHandle<T = Report> {
    task: JoinHandle<Result<T>>,
    cancel: CancellationToken,
    meter: Arc<Meter>,
    tally: Arc<Tally>,
    events: Option<UnboundedReceiver<Event>>,
}

impl<T: Send + 'static> TransferHandle<T> {
    /// Starts `job` on the current runtime. `cancel` is the caller's; the job stops when it fires.
    pub fn start<F, Fut>(cancel: &CancellationToken, job: F) -> Self
    where
        F: FnOnce(JobContext) -> Fut,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        let (sender, events) = EventSender::channel();
        let cancel = cancel.child_token();
        let cx = JobContext::watched(cancel.clone(), sender);
        let (meter, tally) = (Arc::clone(&cx.meter), Arc::clone(&cx.tally));
        let task = tokio::spawn(job(cx));
        Self { task, cancel, meter, tally, events: Some(events) }
    }
}

impl TransferHandle {
    /// Starts a job of one item, whose end is an event.
    pub fn spawn<F, Fut>(cancel: &CancellationToken, job: F) -> Self
    where
        F: FnOnce(JobContext) -> Fut,
        Fut: Future<Output = Result<Report>> + Send + 'static,
    {
        Self::start(cancel, |cx| {
            let events = cx.events.clone();
            let work = job(cx);
            async move {
                let report = work.await?;
                events.send(Event::ItemDone { report: Box::new(report.clone()) });
                Ok(report)
            }
        })
    }
}

impl<T> TransferHandle<T> {
    /// The counters of bytes, to poll.
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// The counters of items, to poll; all zero for a job of one.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// The events, once.
    pub fn take_events(&mut self) -> Option<UnboundedReceiver<Event>> {
        self.events.take()
    }

    /// Asks the job to stop and to clean up; await the handle to see it done.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

impl<T> Future for TransferHandle<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Events that nobody wants hold the job up no longer: items are bounded by what is unread.
        while let Some(events) = &mut self.events {
            match events.poll_recv(cx) {
                Poll::Ready(Some(_unread)) => {}
                Poll::Ready(None) => self.events = None,
                Poll::Pending => break,
            }
        }
        Poll::Ready(ready!(Pin::new(&mut self.task).poll(cx)).unwrap_or_else(|e| {
            Err(Error::new(ErrorKind::Io, Op::Write, "the job", "it crashed").with_source(e))
        }))
    }
}

impl<T> Drop for TransferHandle<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::many::Item;
    use crate::outcome::{Outcome, Settled};
    use crate::{Engine, EngineOptions};

    /// A.14: an embedder that awaits a job of many without a look at its events gets its end, however
    /// many items there are.
    #[tokio::test]
    async fn a_handle_that_is_awaited_without_its_events_ends() {
        let job = |cx: JobContext| async move {
            let engine = Engine::new(EngineOptions::default());
            let items = futures::stream::iter((0..10_000_u64).map(|i| Item::one(0, i)));
            let done = |_, _| async { vec![Settled::new("", "", Outcome::Removed)] };
            engine.many(4, &cx, items, done).await?;
            Ok(cx.tally.snapshot().removed)
        };
        let handle = TransferHandle::start(&CancellationToken::new(), job);
        let hang = std::time::Duration::from_mins(1);
        assert_eq!(tokio::time::timeout(hang, handle).await.unwrap().unwrap(), 10_000);
    }

    /// Events that were taken are the caller's, and still hold the job up.
    #[tokio::test]
    async fn taken_events_are_not_dropped() {
        let mut handle = TransferHandle::start(&CancellationToken::new(), |cx| async move {
            cx.events.send(Event::note("hello"));
            Ok(())
        });
        let mut events = handle.take_events().unwrap();
        handle.await.unwrap();
        assert!(matches!(events.recv().await, Some(Event::Note { .. })));
    }
}
