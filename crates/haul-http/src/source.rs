//! Opening a URL to read it.
//!
//! Owns the one question that decides how it is read. GET, because a presigned URL allows nothing
//! else, of the first bytes only: the answer tells whether ranges work, how long the whole is and
//! what pins it. With a strong entity tag it is read by range, several at once, and the answer is the
//! first of them; else it is read once, as a stream. Must never read two versions as one.

use std::fmt;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use haul_core::source::StreamMeta;
use haul_core::{ByteRange, Meta, Op, Opened, Result, Source, SourceLimits, Validator};
use haul_net::Incoming;
use http::header::RANGE;
use http::{HeaderMap, HeaderValue, Response};

use crate::address::Address;
use crate::answer::{self, Stamp};
use crate::client::HttpClient;
use crate::error::{nonsense, refusal};
use crate::place::Place;
use crate::ranged::{First, OpenObject};
use crate::stream::OpenStream;

/// What the first request asks for. Enough for most small files, which then take one request; and
/// so little that the connection is free again soon. Were all of a large file asked for, the
/// connection would have to be closed with megabytes on their way.
const FIRST: ByteRange = ByteRange::new(0, 1 << 20);

/// A URL to read.
#[derive(Clone)]
pub struct HttpSource {
    client: HttpClient,
    address: Arc<Address>,
}

impl HttpSource {
    /// `url`, whose user info becomes `Authorization: Basic`. No request is sent yet.
    pub fn new(client: HttpClient, url: url::Url) -> Self {
        Self { client, address: Arc::new(Address::new(url)) }
    }

    async fn begin(&self) -> Result<Opened> {
        let place = Place::new(self.client.clone(), Arc::clone(&self.address));
        let range = FIRST.http_range().and_then(|r| HeaderValue::try_from(r).ok());
        let headers = range.map(|r| (RANGE, r)).into_iter().collect();
        let answer = self.ask(&place, &headers).await?;
        match answer.status().as_u16() {
            200 | 203 => Ok(self.whole(place, answer)),
            206 => {
                let Some((range, size)) = answer::content_range(answer.headers()) else {
                    return self.all_at_once(place).await;
                };
                let fits = range == ByteRange::new(0, FIRST.end.min(size));
                match Stamp::of(answer.headers()) {
                    Stamp::Strong(tag) if fits => Ok(self.by_range(place, tag, size, answer)),
                    stamp if range == ByteRange::new(0, size) => {
                        Ok(self.stream(place, stamp, Some(size), answer))
                    }
                    _ => self.all_at_once(place).await,
                }
            }
            // Of an empty object there is no first byte; AWS does not say how long it is.
            416 => self.all_at_once(place).await,
            _ => Err(refusal(Op::Open, &self.address, answer).await),
        }
    }

    async fn ask(&self, place: &Place, headers: &HeaderMap) -> Result<Response<Incoming>> {
        self.client.asking(Op::Open, &self.address, place.get(Op::Open, headers)).await
    }

    /// GET without a range, where ranges do not work or nothing holds them together.
    async fn all_at_once(&self, place: Place) -> Result<Opened> {
        let answer = self.ask(&place, &HeaderMap::new()).await?;
        match answer.status().as_u16() {
            200 | 203 => Ok(self.whole(place, answer)),
            206 => {
                let what = "asked for all of it, and the answer is a part";
                Err(nonsense(Op::Open, &self.address, what))
            }
            _ => Err(refusal(Op::Open, &self.address, answer).await),
        }
    }

    fn by_range(&self, place: Place, tag: String, size: u64, answer: Response<Incoming>) -> Opened {
        let len = FIRST.end.min(size);
        let mut meta = self.meta(answer.headers(), size);
        meta.validator = Validator::StrongEtag(tag.clone());
        if len < size {
            meta.checksum = None; // a store's checksum of a range may be the range's
        }
        let first = First { body: answer.into_body(), len };
        Opened::Ranged(Arc::new(OpenObject::new(place, meta, tag, first)))
    }

    fn whole(&self, place: Place, answer: Response<Incoming>) -> Opened {
        let headers = answer.headers();
        let len = answer::length(headers);
        if len == Some(0) {
            // Nothing to hold together: the engine learns size and attributes.
            let meta = self.meta(headers, 0);
            return Opened::Ranged(Arc::new(OpenObject::empty(place, meta)));
        }
        if !answer::ends_visibly(headers) {
            tracing::warn!(
                "{} does not say how long it is: if the connection is cut off, nobody notices",
                self.address.shown()
            );
        }
        let stamp = Stamp::of(headers);
        self.stream(place, stamp, len, answer)
    }

    fn stream(
        &self,
        place: Place,
        stamp: Stamp,
        size: Option<u64>,
        answer: Response<Incoming>,
    ) -> Opened {
        let Meta { checksum, modified, attributes, .. } = self.meta(answer.headers(), 0);
        let meta = StreamMeta { size, checksum, modified, attributes };
        Opened::Stream(Box::new(OpenStream::new(place, meta, stamp, answer.into_body())))
    }

    fn meta(&self, headers: &HeaderMap, size: u64) -> Meta {
        Meta {
            location: self.address.shown(),
            size,
            validator: Validator::Unpinned,
            checksum: answer::checksum(headers),
            modified: answer::modified(headers),
            attributes: answer::attributes(headers),
        }
    }
}

impl Source for HttpSource {
    fn location(&self) -> String {
        self.address.shown()
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        self.begin().boxed()
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits { gate: Some(self.client.gate.clone()), network: true, cheap_reread: false }
    }
}

impl fmt::Debug for HttpSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSource").field("url", &self.location()).finish_non_exhaustive()
    }
}
