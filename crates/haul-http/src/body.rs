//! Bodies on the wire, in both directions.
//!
//! Owns the bridge from a [`Payload`] to a request and from an answer to exactly so many bytes. A
//! failure of the source is kept aside, because the HTTP stack turns it into "user error". Must
//! never yield a byte beyond the range, or end before it without an error.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use haul_core::{Body, Error, Op, Payload, Result};
use haul_net::next_bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use crate::address::Address;
use crate::error::{broken, nonsense};

/// Where a request body leaves the reason of its failure.
#[derive(Debug, Clone, Default)]
pub(crate) struct FailureSlot(Arc<Mutex<Option<Error>>>);

impl FailureSlot {
    /// The source's own error, if it was the source that failed.
    pub(crate) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, e: Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
    }
}

/// The body of a request.
pub(crate) enum RequestBody {
    /// A GET has none.
    None,
    /// A chunk, as it is read.
    Chunk {
        /// The bytes.
        stream: BoxStream<'static, Result<Bytes>>,
        /// How many are still to come.
        left: u64,
        /// Who wants to know why it failed.
        failure: FailureSlot,
    },
}

impl RequestBody {
    /// One pass over a payload; the slot tells afterwards whether the source failed.
    pub(crate) fn of(payload: &Payload) -> (Self, FailureSlot) {
        let failure = FailureSlot::default();
        let stream = payload.open().into_stream();
        (Self::Chunk { stream, left: payload.len(), failure: failure.clone() }, failure)
    }

    fn left(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Chunk { left, .. } => *left,
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self::Chunk { stream, left, failure } = &mut *self else { return Poll::Ready(None) };
        let next = ready!(stream.as_mut().poll_next(cx));
        Poll::Ready(next.map(|item| match item {
            Ok(bytes) => {
                *left = left.saturating_sub(bytes.len() as u64);
                Ok(Frame::data(bytes))
            }
            Err(e) => {
                failure.put(e);
                Err(std::io::Error::other("the source failed"))
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

/// The first `len` bytes of an answer: no fewer. What follows them is not read.
pub(crate) fn exactly(body: Incoming, len: u64, address: Arc<Address>) -> Body {
    futures::stream::try_unfold((body, len), move |(mut body, left)| {
        let address = Arc::clone(&address);
        async move {
            if left == 0 {
                return Ok(None);
            }
            let mut bytes = match next_bytes(&mut body).await {
                Some(Ok(bytes)) => bytes,
                Some(Err(e)) => return Err(broken(Op::Read, &address, e)),
                None => {
                    let what = format!("the answer ended {left} bytes early");
                    return Err(nonsense(Op::Read, &address, what));
                }
            };
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - bytes.len() as u64;
            Ok(Some((bytes, (body, left))))
        }
    })
    .boxed()
}
