//! A running job, as its caller sees it.
//!
//! Owns the job's task: awaiting the handle gives the result, dropping it leaves no task behind.

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
use crate::meter::Meter;
use crate::report::Report;

/// What a job gets to run with.
#[derive(Debug, Clone)]
pub struct JobContext {
    /// Fires when the caller wants the job to stop.
    pub cancel: CancellationToken,
    /// The job's counters.
    pub meter: Arc<Meter>,
    /// Where the job tells what happens.
    pub events: EventSender,
    started: Arc<AtomicBool>,
}

impl JobContext {
    /// A context for work that nobody watches.
    pub fn unwatched(cancel: CancellationToken) -> Self {
        Self { cancel, meter: Meter::new(), events: EventSender::void(), started: Arc::default() }
    }

    /// Says that the item begins, once: a detour is the same item.
    pub fn started(&self, from: &str, to: &str, size: Option<u64>) {
        if !self.started.swap(true, Ordering::Relaxed) {
            let (from, to) = (from.to_owned(), to.to_owned());
            self.events.send(Event::ItemStarted { from, to, size });
        }
    }
}

/// A running job: a future of its [`Report`], a source of [`Event`]s and a [`Meter`] to poll.
#[derive(Debug)]
pub struct TransferHandle {
    task: JoinHandle<Result<Report>>,
    cancel: CancellationToken,
    meter: Arc<Meter>,
    events: Option<UnboundedReceiver<Event>>,
}

impl TransferHandle {
    /// Starts `job` on the current runtime. `cancel` is the caller's; the job stops when it fires.
    pub fn spawn<F, Fut>(cancel: &CancellationToken, job: F) -> Self
    where
        F: FnOnce(JobContext) -> Fut,
        Fut: Future<Output = Result<Report>> + Send + 'static,
    {
        let (sender, events) = EventSender::channel();
        let (cancel, meter) = (cancel.child_token(), Meter::new());
        let cx = JobContext {
            cancel: cancel.clone(),
            meter: Arc::clone(&meter),
            events: sender.clone(),
            started: Arc::default(),
        };
        let work = job(cx);
        let task = tokio::spawn(async move {
            let report = work.await?;
            sender.send(Event::ItemDone { report: report.clone() });
            Ok(report)
        });
        Self { task, cancel, meter, events: Some(events) }
    }

    /// The counters, to poll.
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
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

impl Future for TransferHandle {
    type Output = Result<Report>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(Pin::new(&mut self.task).poll(cx)).unwrap_or_else(|e| {
            Err(Error::new(ErrorKind::Io, Op::Write, "the job", "it crashed").with_source(e))
        }))
    }
}

impl Drop for TransferHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}
