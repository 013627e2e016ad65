//! Reading by range what has a strong entity tag.
//!
//! Owns the pin: every range is asked for with `If-Match`, and every answer is compared with the
//! tag, the range and the length that were asked for, because servers exist that ignore any of
//! them. Must never mix bytes of two versions.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use haul_core::{Body, ByteRange, Error, ErrorKind, Meta, Op, ReadAt, Result};
use haul_net::Incoming;
use http::header::{IF_MATCH, RANGE};
use http::{HeaderMap, HeaderValue};

use crate::answer::{Stamp, content_range, length};
use crate::body::exactly;
use crate::error::{nonsense, refusal};
use crate::place::Place;

/// An open object that is read by range.
#[derive(Debug)]
pub(crate) struct OpenObject {
    meta: Meta,
    pinned: Arc<Pinned>,
}

/// What every read is held to.
#[derive(Debug)]
struct Pinned {
    place: Place,
    /// A strong entity tag; only an empty object, of which nothing is read, may have none.
    tag: String,
    size: u64,
    /// The answer to the request that opened it, for whoever reads from the beginning.
    first: Mutex<Option<First>>,
}

/// The beginning of the content, asked for and not read yet.
#[derive(Debug)]
pub(crate) struct First {
    /// The answer's body.
    pub(crate) body: Incoming,
    /// Its length.
    pub(crate) len: u64,
}

impl OpenObject {
    /// An object that answered with `first`.
    pub(crate) fn new(place: Place, meta: Meta, tag: String, first: First) -> Self {
        let first = Mutex::new(Some(first));
        let pinned = Pinned { place, tag, size: meta.size, first };
        Self { meta, pinned: Arc::new(pinned) }
    }

    /// An object without bytes.
    pub(crate) fn empty(place: Place, meta: Meta) -> Self {
        let pinned = Pinned { place, tag: String::new(), size: 0, first: Mutex::default() };
        Self { meta, pinned: Arc::new(pinned) }
    }
}

impl ReadAt for OpenObject {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn read_at(&self, range: ByteRange) -> BoxFuture<'static, Result<Body>> {
        let pinned = Arc::clone(&self.pinned);
        async move {
            let first = if range.start == 0 { pinned.take_first() } else { None };
            match first {
                Some(first) => Ok(pinned.go_on(first, range)),
                None => pinned.get(range).await,
            }
        }
        .boxed()
    }

    fn recheck(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed() // every request carried the pin
    }
}

impl Pinned {
    fn take_first(&self) -> Option<First> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the first answer has of `range`, and then the rest of it by another request.
    fn go_on(self: Arc<Self>, first: First, range: ByteRange) -> Body {
        let have = first.len.min(range.end);
        let head = exactly(first.body, have, Arc::clone(&self.place.origin));
        if have == range.end {
            return head;
        }
        let rest = async move { self.get(ByteRange::new(have, range.end)).await };
        let parts = futures::stream::iter([Ok(head)]).chain(rest.into_stream());
        parts.try_flatten().boxed()
    }

    /// GET of `range`, checked to be exactly that range of exactly that content.
    async fn get(&self, range: ByteRange) -> Result<Body> {
        let address = &self.place.origin;
        let asked = range.http_range().and_then(|r| HeaderValue::try_from(r).ok());
        let tag = HeaderValue::try_from(&self.tag).ok();
        let (Some(asked), Some(tag)) = (asked, tag) else {
            let what = format!("bytes {range} cannot be asked for");
            return Err(Error::new(ErrorKind::Invalid, Op::Read, address.shown(), what));
        };
        let headers = HeaderMap::from_iter([(RANGE, asked), (IF_MATCH, tag)]);
        let answer = self.place.get(Op::Read, &headers).await?;
        let status = answer.status().as_u16();
        if !matches!(status, 200 | 206) {
            return Err(refusal(Op::Read, address, answer).await);
        }
        self.check(range, status, answer.headers())?;
        Ok(exactly(answer.into_body(), range.len(), Arc::clone(address)))
    }

    fn check(&self, range: ByteRange, status: u16, headers: &HeaderMap) -> Result<()> {
        let address = &self.place.origin;
        let wrong = |what: String| Err(nonsense(Op::Read, address, what));
        match Stamp::of(headers) {
            Stamp::Strong(tag) if tag == self.tag => {}
            Stamp::Strong(_) => {
                let what = "it was replaced while it was being read";
                return Err(Error::new(ErrorKind::SourceChanged, Op::Read, address.shown(), what));
            }
            _ => {
                return wrong(format!(
                    "asked for bytes {range}, and the answer has no strong ETag"
                ));
            }
        }
        // Some servers answer 200 to "all of it", asked for as a range.
        let all = status == 200 && range == ByteRange::new(0, self.size);
        match content_range(headers) {
            Some(got) if status == 206 && got == (range, self.size) => {}
            None if all => {}
            Some((got, total)) => {
                let what = format!("asked for bytes {range}, and the answer is {got} of {total}");
                return wrong(what);
            }
            None => return wrong(format!("asked for bytes {range}, and the answer is no range")),
        }
        match length(headers) {
            Some(len) if len != range.len() => {
                wrong(format!("asked for {} bytes, and the answer has {len}", range.len()))
            }
            _ => Ok(()), // without a length, the bytes are counted as they come
        }
    }
}
