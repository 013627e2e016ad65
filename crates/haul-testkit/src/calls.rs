//! A record of every request: "this copy makes 1 HEAD and 4 GETs" is a test.
//!
//! Owns: the list of calls and the gauges of calls in flight. Must never keep a body, nor a
//! signature. A call is in flight from its head until the last byte of its answer is handed over,
//! or its connection is gone.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;

use crate::wire::{BoxError, Op, Target, WireBody, wire_body};

/// Headers that are secret, or change with every run.
const NOT_KEPT: [&str; 2] = ["authorization", "x-amz-security-token"];

/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which operation, bucket, key, query and range.
    pub target: Target,
    /// Its method.
    pub method: Method,
    /// Its headers, names in lower case, without the signature.
    pub headers: BTreeMap<String, String>,
    /// The status it was answered with; `None` if it was not, or not yet.
    pub status: Option<u16>,
    /// Bytes of its body that arrived, as sent (`aws-chunked` framing included).
    pub request_bytes: u64,
    /// Bytes of the answer's body that were handed over.
    pub response_bytes: u64,
}

impl Call {
    /// The operation.
    pub fn op(&self) -> Op {
        self.target.op
    }

    /// The key.
    pub fn key(&self) -> Option<&str> {
        self.target.key.as_deref()
    }

    /// The range asked for.
    pub fn range(&self) -> Option<&str> {
        self.target.range.as_deref()
    }

    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// The record. Clones share it.
#[derive(Clone, Debug)]
pub struct Calls {
    list: Arc<Mutex<Vec<Arc<Mutex<Call>>>>>,
    gauges: Arc<watch::Sender<Gauges>>,
}

#[derive(Clone, Debug, Default)]
struct Gauges {
    now: BTreeMap<Op, usize>,
    peak: BTreeMap<Op, usize>,
}

impl Gauges {
    /// The gauge over all operations is kept under [`Op::Any`].
    fn enter(&mut self, op: Op) {
        for op in [op, Op::Any] {
            let now = self.now.entry(op).or_default();
            *now += 1;
            let peak = self.peak.entry(op).or_default();
            *peak = (*peak).max(*now);
        }
    }

    fn leave(&mut self, op: Op) {
        for op in [op, Op::Any] {
            if let Some(now) = self.now.get_mut(&op) {
                *now -= 1;
            }
        }
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self { list: Arc::default(), gauges: Arc::new(watch::Sender::new(Gauges::default())) }
    }
}

impl Calls {
    /// How many requests of this operation came; [`Op::Any`] counts all.
    pub fn count(&self, op: Op) -> usize {
        self.list().iter().filter(|call| op == Op::Any || call.op() == op).count()
    }

    /// How many requests came, by operation.
    pub fn summary(&self) -> BTreeMap<Op, usize> {
        let mut summary = BTreeMap::new();
        for call in self.list() {
            *summary.entry(call.op()).or_default() += 1;
        }
        summary
    }

    /// All requests, in the order of their arrival.
    pub fn list(&self) -> Vec<Call> {
        lock(&self.list).iter().map(|call| lock(call).clone()).collect()
    }

    /// Those of one operation.
    pub fn of(&self, op: Op) -> Vec<Call> {
        self.list().into_iter().filter(|call| call.op() == op).collect()
    }

    /// Forgets the calls, and the peaks with them.
    pub fn clear(&self) {
        lock(&self.list).clear();
        self.gauges.send_modify(|gauges| gauges.peak = gauges.now.clone());
    }

    /// Requests in flight now.
    pub fn in_flight(&self) -> usize {
        self.gauges.borrow().now.get(&Op::Any).copied().unwrap_or_default()
    }

    /// The most requests that were in flight at once.
    pub fn peak_in_flight(&self) -> usize {
        self.peak_of(Op::Any)
    }

    /// The most requests of one operation that were in flight at once.
    pub fn peak_of(&self, op: Op) -> usize {
        self.gauges.borrow().peak.get(&op).copied().unwrap_or_default()
    }

    /// Waits until `count` requests of this operation are in flight at once.
    pub async fn wait_in_flight(&self, op: Op, count: usize) {
        self.wait(|gauges| gauges.now.get(&op).copied().unwrap_or_default() >= count).await;
    }

    /// Waits until nothing is in flight.
    pub async fn wait_idle(&self) {
        self.wait(|gauges| gauges.now.get(&Op::Any).copied().unwrap_or_default() == 0).await;
    }

    async fn wait(&self, reached: impl FnMut(&Gauges) -> bool) {
        // An error means that the sender is gone, and `self` holds one.
        drop(self.gauges.subscribe().wait_for(reached).await);
    }

    /// Records a request that arrives.
    pub(crate) fn begin(&self, head: &Parts, target: Target) -> InFlight {
        let op = target.op;
        let headers = head.headers.iter().filter(|(name, _)| !NOT_KEPT.contains(&name.as_str()));
        let call = Arc::new(Mutex::new(Call {
            target,
            method: head.method.clone(),
            headers: headers
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect(),
            status: None,
            request_bytes: 0,
            response_bytes: 0,
        }));
        lock(&self.list).push(Arc::clone(&call));
        self.gauges.send_modify(|gauges| gauges.enter(op));
        InFlight { op, head_only: head.method == Method::HEAD, call, gauges: self.gauges.clone() }
    }
}

/// A call in flight; dropping it ends it.
#[derive(Debug)]
pub(crate) struct InFlight {
    op: Op,
    head_only: bool,
    call: Arc<Mutex<Call>>,
    gauges: Arc<watch::Sender<Gauges>>,
}

impl InFlight {
    /// Counts the bytes of the request.
    pub(crate) fn count_request(&self, body: WireBody) -> WireBody {
        let call = Arc::clone(&self.call);
        let count = move |bytes| lock(&call).request_bytes += bytes;
        wire_body(Counted { inner: body, count, guard: None, left: None })
    }

    /// Records the answer, and stays with its body to the end.
    pub(crate) fn answer(self, answer: Response<WireBody>) -> Response<WireBody> {
        lock(&self.call).status = Some(answer.status().as_u16());
        let length = answer.headers().get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        let call = Arc::clone(&self.call);
        // Nobody reads the body of an answer to HEAD, or an empty one.
        let over = self.head_only || answer.body().is_end_stream() || length == Some(0);
        let guard = (!over).then_some(self);
        let count = move |bytes| lock(&call).response_bytes += bytes;
        answer.map(|inner| wire_body(Counted { inner, count, guard, left: length }))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gauges.send_modify(|gauges| gauges.leave(self.op));
    }
}

/// A body that counts. The call ends *before* its last frame is handed over: a client that sends
/// its next request on the last byte must not be counted twice.
struct Counted<F> {
    inner: WireBody,
    count: F,
    guard: Option<InFlight>,
    left: Option<u64>,
}

impl<F: FnMut(u64) + Unpin> Body for Counted<F> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        let Poll::Ready(frame) = &polled else { return Poll::Pending };
        match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                (self.count)(bytes);
                self.left = self.left.map(|left| left.saturating_sub(bytes));
                if self.left == Some(0) || self.inner.is_end_stream() {
                    self.guard = None;
                }
            }
            Some(Err(_)) | None => self.guard = None,
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
