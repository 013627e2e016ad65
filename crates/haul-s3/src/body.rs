//! Bodies, in both directions.
//!
//! Owns the bridge from a [`Payload`] to HTTP: exact length first, no re-chunking, no buffering.
//! The SDK's own file body reads 4 KiB at a time. A failure of the source is kept aside, because
//! the HTTP stack turns it into "user error". And that from an answer to a stream of its bytes.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use haul_core::{Body, Error, ErrorKind, Op, Payload, PayloadReader, Result, Retry};
use haul_net::{Incoming, next_bytes};
use http_body::{Frame, SizeHint};

/// Where a body leaves the reason of its failure.
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

/// The body of one request.
struct PayloadBody {
    // A mutex only because the SDK wants bodies to be `Sync`; it is never locked.
    stream: Mutex<BoxStream<'static, Result<Bytes>>>,
    left: u64,
    failure: FailureSlot,
}

/// Turns a payload into a body; the slot tells afterwards whether the source failed.
pub(crate) fn body_of(payload: &Payload) -> (SdkBody, FailureSlot) {
    let failure = FailureSlot::default();
    let body = PayloadBody {
        stream: Mutex::new(PayloadReader::into_stream(payload.open())),
        left: payload.len(),
        failure: failure.clone(),
    };
    (SdkBody::from_body_1_x(body), failure)
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

/// The bytes of an answer.
pub(crate) fn stream_of(body: Incoming, location: String) -> Body {
    futures::stream::unfold((body, location), |(mut body, location)| async move {
        let item = next_bytes(&mut body).await?.map_err(|e| broken(&location, e));
        Some((item, (body, location)))
    })
    .boxed()
}

/// An answer that breaks off.
pub(crate) fn broken(location: &str, e: impl std::error::Error + Send + Sync + 'static) -> Error {
    let what = "the connection broke in the middle of the answer";
    Error::new(ErrorKind::Protocol, Op::Read, location, what)
        .with_retry(Retry::Backoff)
        .with_source(e)
}
