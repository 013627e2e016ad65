//! Reading once, in order.
//!
//! Owns what joins the pieces when the connection breaks in the middle: where a validator and a
//! range allow it, another request goes on with the byte where it broke. When to do that, and how
//! long a server may be silent, is the engine's. Must never yield bytes of two versions, nor end
//! early.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use haul_core::source::StreamMeta;
use haul_core::{ByteRange, Error, ErrorKind, Op, ReadStream, Result};
use haul_net::{Incoming, next_bytes};
use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Response};

use crate::address::Address;
use crate::answer::{self, Stamp};
use crate::error::{broken, nonsense, refusal};
use crate::place::Place;

/// An answer that is read once.
#[derive(Debug)]
pub(crate) struct OpenStream {
    place: Place,
    meta: StreamMeta,
    stamp: Stamp,
    /// The length of the whole, once it is known.
    total: Option<u64>,
    body: Incoming,
    at: u64,
}

impl OpenStream {
    pub(crate) fn new(place: Place, meta: StreamMeta, stamp: Stamp, body: Incoming) -> Self {
        let total = meta.size;
        Self { place, meta, stamp, total, body, at: 0 }
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        let address = &self.place.origin;
        let next = next_bytes(&mut self.body).await.transpose();
        let Some(bytes) = next.map_err(|e| broken(Op::Read, address, e))? else {
            let early = self.total.is_some_and(|total| total != self.at);
            let what = "the connection ended early";
            return if early { Err(nonsense(Op::Read, address, what)) } else { Ok(None) };
        };
        self.at += bytes.len() as u64;
        if self.total.is_some_and(|total| self.at > total) {
            let what = "more bytes came than were announced";
            return Err(Error::new(ErrorKind::Protocol, Op::Read, address.shown(), what));
        }
        Ok(Some(bytes))
    }

    /// Whether what has come can be joined to what another request brings.
    fn continues(&self) -> bool {
        match self.stamp {
            _ if self.at == 0 => true,
            Stamp::Strong(_) => true,
            // The same length must come with it.
            Stamp::Date(_) => self.total.is_some(),
            // A weak tag stands for the same meaning, not for the same bytes (RFC 9110, 8.8.1).
            Stamp::Weak(_) | Stamp::Nothing => false,
        }
    }

    async fn go_on(&mut self) -> Result<()> {
        let address = Arc::clone(&self.place.origin);
        let mut headers = HeaderMap::new();
        if self.at > 0 {
            headers.insert(RANGE, header(&address, &format!("bytes={}-", self.at))?);
            if let Some(text) = self.stamp.if_range() {
                headers.insert(IF_RANGE, header(&address, text)?);
            }
        }
        let answer = self.place.get(Op::Read, &headers).await?;
        self.body = match answer.status().as_u16() {
            200 | 203 if self.at == 0 => self.begin_again(answer)?,
            206 if self.at > 0 => self.join(answer)?,
            200 | 203 if self.stamp.is_that_of(answer.headers()) => {
                let what = "the connection broke, and the server cannot go on from there";
                return Err(Error::new(ErrorKind::Protocol, Op::Read, address.shown(), what));
            }
            200 | 203 => return Err(changed(&address)),
            _ => return Err(refusal(Op::Read, &address, answer).await),
        };
        Ok(())
    }

    /// Checks that an answer is what was announced, of which nothing has come yet.
    fn begin_again(&mut self, answer: Response<Incoming>) -> Result<Incoming> {
        let headers = answer.headers();
        let same = self.stamp == Stamp::Nothing || self.stamp.is_that_of(headers);
        let total = answer::length(headers).or(self.total);
        if !same || self.total.is_some_and(|known| total != Some(known)) {
            return Err(changed(&self.place.origin));
        }
        self.total = total;
        Ok(answer.into_body())
    }

    /// Checks that an answer is the rest of what was begun.
    fn join(&mut self, answer: Response<Incoming>) -> Result<Incoming> {
        let address = &self.place.origin;
        if !self.stamp.is_that_of(answer.headers()) {
            return Err(changed(address));
        }
        let Some((range, total)) = answer::content_range(answer.headers()) else {
            return Err(nonsense(
                Op::Read,
                address,
                "asked for the rest, and the answer is no range",
            ));
        };
        if self.total.is_some_and(|known| known != total) {
            return Err(changed(address));
        }
        if range != ByteRange::new(self.at, total) {
            let what = format!("asked for bytes {}.., and the answer is {range}", self.at);
            return Err(nonsense(Op::Read, address, what));
        }
        self.total = Some(total);
        Ok(answer.into_body())
    }
}

fn changed(address: &Address) -> Error {
    let what = "it was replaced while it was being read";
    Error::new(ErrorKind::SourceChanged, Op::Read, address.shown(), what)
}

fn header(address: &Address, text: &str) -> Result<HeaderValue> {
    HeaderValue::try_from(text)
        .map_err(|e| Error::new(ErrorKind::Protocol, Op::Read, address.shown(), e))
}

impl ReadStream for OpenStream {
    fn meta(&self) -> &StreamMeta {
        &self.meta
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>> {
        self.next().boxed()
    }

    fn resume(&mut self) -> Option<BoxFuture<'_, Result<()>>> {
        self.continues().then(|| self.go_on().boxed())
    }
}
