//! Answers as bodies.
//!
//! Owns the way from an answer to a stream of its bytes, and the words for one that breaks off.

use futures::stream::StreamExt as _;
use haul_core::{Body, Error, ErrorKind, Op, Retry};
use haul_net::{Incoming, next_bytes};

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
