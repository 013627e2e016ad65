//! Writing to a URL: one PUT.
//!
//! Owns the upload. A PUT is one request with a known length that is visible as soon as it is answered; so
//! the whole object is one chunk, read from the source while it is sent. Must never send a header
//! that a signature may not allow, unless the caller asked for it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{
    Attributes, ChunkSpec, Committed, Error, ErrorKind, Hint, Op, Order, Payload, Receipt, Result,
    Sums, Target, TargetLimits, Upload, UploadSpec, Verified,
};
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use http::{HeaderMap, HeaderValue, Method};

use crate::address::{Address, Signed};
use crate::client::HttpClient;
use crate::error::refusal;
use haul_net::{PayloadBody, drain};

/// A URL to write.
#[derive(Clone)]
pub struct HttpTarget {
    client: HttpClient,
    address: Arc<Address>,
    asked: Attributes,
}

impl HttpTarget {
    /// `url`, whose user info becomes `Authorization: Basic`. No request is sent yet.
    pub fn new(client: HttpClient, url: url::Url) -> Self {
        Self { client, address: Arc::new(Address::new(url)), asked: Attributes::default() }
    }

    /// The same with attributes that the caller asks for: the five that are headers of HTTP itself
    /// (`Content-*`, `Cache-Control`) are sent whatever kind of URL it is. For the rest a plain PUT
    /// has no place.
    ///
    /// Of what the source brings along the content type alone is sent, as it is harmless, except to
    /// URLs whose signature covers it even where there is none (AWS V2, GCS V2, Alibaba): those would
    /// refuse one. Where a signature names the header the link works with one value only, so that the
    /// source's is as good a guess as none.
    #[must_use]
    pub fn asking(mut self, attributes: Attributes) -> Self {
        self.asked = attributes;
        self
    }

    fn headers(&self, spec: &UploadSpec) -> Result<HeaderMap> {
        let asked = &self.asked;
        let covered = self.address.signed() == Signed::ContentType;
        let theirs = spec.attributes.content_type.as_ref().filter(|_| !covered);
        let all = [
            (CONTENT_TYPE, asked.content_type.as_ref().or(theirs)),
            (CACHE_CONTROL, asked.cache_control.as_ref()),
            (CONTENT_DISPOSITION, asked.content_disposition.as_ref()),
            (CONTENT_ENCODING, asked.content_encoding.as_ref()),
            (CONTENT_LANGUAGE, asked.content_language.as_ref()),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            let Some(value) = value else { continue };
            let valid = HeaderValue::try_from(value).map_err(|_| {
                let what = format!("{value:?} cannot be sent as {name}");
                Error::new(ErrorKind::Invalid, Op::Begin, self.location(), what)
            })?;
            headers.insert(name, valid);
        }
        if !spec.overwrite {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        Ok(headers)
    }

    fn begin_now(&self, spec: &UploadSpec) -> Result<Arc<dyn Upload>> {
        if spec.plan.as_ref().is_none_or(|plan| plan.chunks() != 1) {
            let what = "an upload by HTTP begins with its length, and this stream does not tell it";
            return Err(Error::new(ErrorKind::Unsupported, Op::Begin, self.location(), what)
                .with_hint(Hint::TellLength));
        }
        let put = Put {
            client: self.client.clone(),
            address: Arc::clone(&self.address),
            headers: self.headers(spec)?,
            stored: Mutex::default(),
            tried: AtomicBool::new(false),
        };
        Ok(Arc::new(OnePut(Arc::new(put))))
    }
}

impl Target for HttpTarget {
    fn location(&self) -> String {
        self.address.shown()
    }

    fn limits(&self) -> TargetLimits {
        TargetLimits {
            gate: Some(self.client.gate.clone()),
            network: true,
            // One chunk has no order; asking for one would hold it in memory.
            order: Order::Any,
            part: 1..=u64::MAX,
            max_parts: 1,
            equal_parts: false,
            replays: false, // a retry reads the source again
            checksum: None,
        }
    }

    fn begin<'a>(&'a self, spec: &'a UploadSpec) -> BoxFuture<'a, Result<Arc<dyn Upload>>> {
        std::future::ready(self.begin_now(spec)).boxed()
    }
}

impl fmt::Debug for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTarget").field("url", &self.location()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct OnePut(Arc<Put>);

#[derive(Debug)]
struct Put {
    client: HttpClient,
    address: Arc<Address>,
    headers: HeaderMap,
    stored: Mutex<Option<Committed>>,
    /// Whether a request was sent before: its answer may have been lost.
    tried: AtomicBool,
}

impl Put {
    async fn send(&self, payload: &Payload) -> Result<Committed> {
        let again = self.tried.swap(true, Ordering::SeqCst);
        let mut request = HttpClient::request(Op::Write, &self.address)?
            .method(Method::PUT)
            .header(CONTENT_LENGTH, payload.len());
        if let Some(all) = request.headers_mut() {
            all.extend(self.headers.clone());
        }
        let (body, slot) = PayloadBody::of(payload);
        let request = request
            .body(body)
            .map_err(|e| Error::new(ErrorKind::Invalid, Op::Write, self.address.shown(), e))?;
        let sent = self.client.send(Op::Write, &self.address, request).await;
        let answer = sent.map_err(|e| slot.take().unwrap_or(e))?;
        if !answer.status().is_success() {
            let refused = refusal(Op::Write, &self.address, answer).await;
            if again && refused.kind() == ErrorKind::AlreadyExists {
                return Err(refused.with_hint(Hint::LookAtIt));
            }
            return Err(refused);
        }
        let etag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        // Read, so that the connection can be used again; what it says does not matter.
        drain(answer.into_body()).await;
        Ok(Committed { etag, version_id: None, verified: Some(Verified::Size) })
    }
}

impl Upload for OnePut {
    fn put(&self, chunk: ChunkSpec, payload: Payload) -> BoxFuture<'static, Result<Receipt>> {
        let put = Arc::clone(&self.0);
        async move {
            let committed = put.send(&payload).await?;
            let etag = committed.etag.clone();
            *put.stored.lock().unwrap_or_else(PoisonError::into_inner) = Some(committed);
            Ok(Receipt { chunk, sums: payload.sums_seen(), etag })
        }
        .boxed()
    }

    fn commit<'a>(&'a self, _: &'a [Receipt], _: &'a Sums) -> BoxFuture<'a, Result<Committed>> {
        let stored = self.0.stored.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let committed = stored.ok_or_else(|| {
            Error::new(
                ErrorKind::Protocol,
                Op::Commit,
                self.0.address.shown(),
                "nothing was stored",
            )
        });
        std::future::ready(committed).boxed()
    }

    fn abort(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed() // a PUT is all or nothing
    }
}
