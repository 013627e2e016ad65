//! Answers that are documents, kept as the store sent them.
//!
//! Owns the way past the SDK's own reader, which takes a document that was cut off for a short one: the
//! bytes of an answer that says yes go to [`Kept`], up to a bound, and are read by [`Xml`] alone; the SDK
//! finds an empty document in their place. Must never keep what an error has to say from the SDK.
//!
//! [`Xml`]: crate::xml::Xml

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use haul_core::{Error, ErrorKind, Op, Result, Retry};
use http_body::{Body, Frame};

use crate::document::Document;
use crate::error::refused_key;
use crate::xml::Parsed;

/// Most bytes of a document. A page has up to 1,000 keys of 1,024 bytes, each of which may take six in
/// XML, and an owner and an ETag with each: below 8 MiB, and twice that is no page.
const MOST: usize = 16 << 20;

/// The document of one answer. Clones share it: one goes with the request.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    root: &'static str,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Kept {
    /// Ready for a document whose root is `root`.
    pub(crate) fn new(root: &'static str) -> Self {
        Self { root, bytes: Arc::default() }
    }

    /// Reads the document, once the request was answered with yes. `read` gets its bytes and the name
    /// that its root has to have.
    pub(crate) fn read<T>(
        &self,
        op: Op,
        location: &str,
        read: impl FnOnce(&[u8], &'static str) -> Parsed<T>,
    ) -> Result<T> {
        let bytes = std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner));
        read(&bytes, self.root).map_err(|wrong| {
            let said = Document::of(&bytes);
            if let Some(code) = said.code {
                return refused_key(op, location, Some(&code), said.message.as_deref());
            }
            let what = format!("the answer is no {}: {wrong}", self.root);
            Error::new(ErrorKind::Protocol, op, location, what).with_retry(Retry::Backoff)
        })
    }
}

impl Intercept for Kept {
    fn name(&self) -> &'static str {
        "haul::Kept"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        if response.status().is_success() {
            self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clear();
            let body = std::mem::replace(response.body_mut(), SdkBody::taken());
            let stand_in = Some(Bytes::from(format!("<{}/>", self.root)));
            let keeping = Keeping { body, bytes: Arc::clone(&self.bytes), stand_in };
            *response.body_mut() = SdkBody::from_body_1_x(keeping);
        }
        Ok(())
    }
}

/// A body whose bytes are kept, and which ends with a document that says nothing.
struct Keeping {
    body: SdkBody,
    bytes: Arc<Mutex<Vec<u8>>>,
    /// `None` once it was handed over.
    stand_in: Option<Bytes>,
}

impl Keeping {
    fn keep(&self, data: &[u8]) -> Result<(), BoxError> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() + data.len() > MOST {
            *bytes = Vec::new();
            return Err(format!("it is longer than {} MiB", MOST >> 20).into());
        }
        bytes.extend_from_slice(data);
        Ok(())
    }
}

impl Body for Keeping {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while self.stand_in.is_some() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue }; // trailers say nothing here
                    if let Err(e) = self.keep(&data) {
                        return Poll::Ready(Some(Err(e)));
                    }
                }
                Some(Err(e)) => return Poll::Ready(Some(Err(e))),
                None => return Poll::Ready(self.stand_in.take().map(|all| Ok(Frame::data(all)))),
            }
        }
        Poll::Ready(None)
    }
}
