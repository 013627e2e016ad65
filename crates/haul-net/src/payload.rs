//! Chunks on their way out.
//!
//! Owns the bridge from a [`Payload`] to the body of a request: exact length first, no re-chunking, no
//! buffering. A failure of the source is kept aside, because the HTTP stack turns it into "user
//! error". Must never yield a byte that is not the chunk's.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use haul_core::{Error, Payload, Result};
use http_body::{Frame, SizeHint};

/// Where a body leaves the reason of its failure.
#[derive(Debug, Clone, Default)]
pub struct FailureSlot(Arc<Mutex<Option<Error>>>);

impl FailureSlot {
    /// The source's own error, if it was the source that failed.
    pub fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, e: Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
    }
}

/// The body of one request.
pub struct PayloadBody {
    // A mutex only because the SDK wants bodies to be `Sync`; it is never locked.
    stream: Mutex<BoxStream<'static, Result<Bytes>>>,
    left: u64,
    failure: FailureSlot,
}

impl PayloadBody {
    /// One pass over a payload; the slot tells afterwards whether the source failed.
    pub fn of(payload: &Payload) -> (Self, FailureSlot) {
        let failure = FailureSlot::default();
        let stream = Mutex::new(payload.open().into_stream());
        (Self { stream, left: payload.len(), failure: failure.clone() }, failure)
    }

    /// No body at all, as a GET has none.
    pub fn none() -> Self {
        let stream = Mutex::new(futures::stream::empty().boxed());
        Self { stream, left: 0, failure: FailureSlot::default() }
    }
}

impl fmt::Debug for PayloadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadBody").field("left", &self.left).finish_non_exhaustive()
    }
}

impl http_body::Body for PayloadBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let stream = this.stream.get_mut().unwrap_or_else(PoisonError::into_inner);
        let next = ready!(stream.as_mut().poll_next(cx));
        Poll::Ready(next.map(|item| match item {
            Ok(bytes) => {
                this.left = this.left.saturating_sub(bytes.len() as u64);
                Ok(Frame::data(bytes))
            }
            Err(e) => {
                this.failure.put(e);
                Err(std::io::Error::other("the source failed"))
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
