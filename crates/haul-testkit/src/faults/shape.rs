//! Bodies that are cut, held or damaged.
//!
//! Owns: what happens at one byte of a body. Must never read ahead of its consumer.

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::{Stream, unfold};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use crate::wire::{BoxError, WireBody};

/// What a body does once it reached its mark.
pub(super) enum Then {
    GoOn,
    End,
    Fail(BoxError),
}

struct Marked {
    body: WireBody,
    left: u64,
    held: Option<Bytes>,
    then: Option<BoxFuture<'static, Then>>,
}

/// A body that waits for `then` after `mark` bytes, and does what it says.
pub(super) fn at_mark(body: WireBody, mark: u64, then: BoxFuture<'static, Then>) -> WireBody {
    let state = Marked { body, left: mark, held: None, then: Some(then) };
    boxed(unfold(Some(state), |state| async move {
        let mut state = state?;
        match state.next().await {
            Some(Ok(bytes)) => Some((Ok(Frame::data(bytes)), Some(state))),
            Some(Err(error)) => Some((Err(error), None)),
            None => None,
        }
    }))
}

impl Marked {
    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        loop {
            if self.left == 0 {
                self.left = u64::MAX;
                if let Some(then) = self.then.take() {
                    match then.await {
                        Then::GoOn => {}
                        Then::End => return None,
                        Then::Fail(error) => return Some(Err(error)),
                    }
                }
            }
            let mut bytes = match self.held.take() {
                Some(held) => held,
                None => match data(&mut self.body).await? {
                    Ok(bytes) => bytes,
                    Err(error) => return Some(Err(error)),
                },
            };
            if bytes.len() as u64 > self.left {
                self.held = Some(bytes.split_off(self.left as usize));
            }
            if self.then.is_some() {
                self.left -= bytes.len() as u64;
            }
            if !bytes.is_empty() {
                return Some(Ok(bytes));
            }
        }
    }
}

/// A body in which the lowest bit of the byte at `offset` is flipped.
pub(super) fn flipped(body: WireBody, offset: u64) -> WireBody {
    boxed(unfold((body, 0u64), move |(mut body, at)| async move {
        let frame = data(&mut body).await?;
        let Ok(bytes) = frame else { return Some((frame.map(Frame::data), (body, at))) };
        let end = at + bytes.len() as u64;
        let bytes = if (at..end).contains(&offset) {
            let mut damaged = BytesMut::from(bytes);
            damaged[(offset - at) as usize] ^= 1;
            damaged.freeze()
        } else {
            bytes
        };
        Some((Ok(Frame::data(bytes)), (body, end)))
    }))
}

/// Reads a body to its end and lets it go.
pub(super) async fn drain(body: &mut WireBody) -> Result<(), BoxError> {
    while let Some(frame) = data(body).await {
        frame?;
    }
    Ok(())
}

async fn data(body: &mut WireBody) -> Option<Result<Bytes, BoxError>> {
    loop {
        match body.frame().await? {
            Ok(frame) => {
                // Trailers have no meaning to S3 outside `aws-chunked`, which is data here.
                if let Ok(bytes) = frame.into_data() {
                    return Some(Ok(bytes));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}

fn boxed(stream: impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static) -> WireBody {
    WireBody::new(StreamBody::new(stream))
}
