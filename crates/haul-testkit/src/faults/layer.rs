//! The layer in front of a service that records its calls and makes them fail.
//!
//! Owns: the order in which the faults of a call happen. Must never know what it stands in front
//! of: it works on heads and bodies alone.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    RETRY_AFTER,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use hyper::service::Service;

use super::shape::{Then, at_mark, drain, flipped};
use super::{Fault, Faults, RuleHandle};
use crate::calls::Calls;
use crate::memory::ServeRange;
use crate::wire::{BoxError, Target, WireBody, wire_body};

/// How long a connection lives on after the last byte before it is closed, so that hyper writes
/// that byte: an error in a body discards what hyper still buffers.
const FLUSH: Duration = Duration::from_millis(25);

/// A service with faults and a record in front of it.
///
/// [`Fault::WrongRange`] and [`Fault::IgnoreRange`] need a service that heeds [`ServeRange`], as
/// the memory store does.
#[derive(Clone, Debug)]
pub struct FaultLayer<S> {
    inner: S,
    faults: Faults,
    calls: Calls,
}

impl<S> FaultLayer<S> {
    /// Puts `faults` and `calls` in front of `inner`.
    pub fn new(inner: S, faults: Faults, calls: Calls) -> Self {
        Self { inner, faults, calls }
    }
}

impl<S, B> Service<Request<B>> for FaultLayer<S>
where
    S: Service<Request<WireBody>, Response = Response<WireBody>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<WireBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let inner = self.inner.clone();
        let next: Next =
            Box::new(move |request| inner.call(request).map(|a| a.map_err(Into::into)).boxed());
        let (head, body) = request.map(wire_body).into_parts();
        let target = Target::of(&head);
        let hits = self.faults.hit_by(&target);
        let in_flight = self.calls.begin(&head, target.clone());
        async move {
            let body = in_flight.count_request(body);
            let exchange = Exchange { target, hits };
            let answer = exchange.run(next, head, body).await?;
            Ok(in_flight.answer(answer))
        }
        .boxed()
    }
}

/// The service behind the layer, for one request. A boxed function: the compiler cannot see that
/// the future of a generic service is `Send` from inside another future.
type Next = Box<
    dyn FnOnce(Request<WireBody>) -> BoxFuture<'static, Result<Response<WireBody>, BoxError>>
        + Send,
>;

/// One request and the rules that hit it.
struct Exchange {
    target: Target,
    hits: Vec<RuleHandle>,
}

impl Exchange {
    async fn run(
        &self,
        next: Next,
        mut head: Parts,
        mut body: WireBody,
    ) -> Result<Response<WireBody>, BoxError> {
        let head_only = head.method == Method::HEAD;
        let mut early = None;
        for (rule, fault) in self.faults() {
            if let Fault::FlipRequestBit(offset) = fault {
                body = flipped(body, *offset);
            }
            early = self.before(rule, fault, &mut head).await?;
            if early.is_some() {
                // An answer to a half-sent request would be lost with the connection.
                drain(&mut body).await?;
                break;
            }
        }
        let mut answer = match early {
            Some(answer) => answer,
            None => next(Request::from_parts(head, body)).await?,
        };
        for (rule, fault) in self.faults() {
            answer = after(rule, fault, answer)?;
        }
        if head_only {
            // Full-length headers, no bytes: nothing to hold or to cut.
            answer = answer.map(|_| empty());
        }
        Ok(answer)
    }

    fn faults(&self) -> impl Iterator<Item = (&RuleHandle, &Fault)> {
        self.hits.iter().flat_map(|rule| rule.rule.faults.iter().map(move |fault| (rule, fault)))
    }

    /// What happens before the request is executed: possibly an answer instead.
    async fn before(
        &self,
        rule: &RuleHandle,
        fault: &Fault,
        head: &mut Parts,
    ) -> Result<Option<Response<WireBody>>, BoxError> {
        match fault {
            Fault::Delay(time) => tokio::time::sleep(*time).await,
            Fault::Hook(hook) => hook(head),
            Fault::Stall => rule.released().await,
            Fault::Reset => return Err("connection reset by a fault".into()),
            Fault::Status { status, code, retry_after } => {
                return Ok(Some(refusal(*status, code, *retry_after)));
            }
            Fault::OkWithError(code) => return Ok(Some(refusal(200, code, None))),
            Fault::Redirect { status, location, region } => {
                return Ok(Some(redirect(*status, location.as_deref(), region.as_deref())));
            }
            Fault::Page { content_type, body } => {
                let mut answer = text(StatusCode::OK, body.clone());
                set(answer.headers_mut(), CONTENT_TYPE, content_type);
                return Ok(Some(answer));
            }
            Fault::IgnoreRange => {
                head.extensions.insert(ServeRange(None));
            }
            Fault::WrongRange(shift) => {
                if let Some((first, last)) = self.target.range_bounds() {
                    let first = first.saturating_add_signed(*shift);
                    let last = last.map(|last| last.saturating_add_signed(*shift).to_string());
                    let other = format!("bytes={first}-{}", last.unwrap_or_default());
                    head.extensions.insert(ServeRange(Some(other)));
                }
            }
            _ => {}
        }
        Ok(None)
    }
}

/// What happens to the answer.
fn after(
    rule: &RuleHandle,
    fault: &Fault,
    mut answer: Response<WireBody>,
) -> Result<Response<WireBody>, BoxError> {
    state_length(&mut answer);
    let length = length(&answer);
    let answer = match fault {
        Fault::LoseAnswer => return Err("answer lost by a fault".into()),
        Fault::DropHeader(name) => {
            answer.headers_mut().remove(name.as_str());
            answer
        }
        Fault::SetHeader(name, value) => {
            let name = HeaderName::try_from(name.as_str())?;
            answer.headers_mut().insert(name, HeaderValue::from_str(value)?);
            answer
        }
        Fault::ResetAfter(mark) => answer.map(|body| at_mark(body, *mark, reset().boxed())),
        Fault::EarlyEnd(by) => {
            let mark = length.saturating_sub(*by);
            answer.map(|body| at_mark(body, mark, reset().boxed()))
        }
        Fault::StallAfter(mark) => {
            let rule = rule.clone();
            let hold = async move {
                rule.released().await;
                Then::GoOn
            };
            answer.map(|body| at_mark(body, *mark, hold.boxed()))
        }
        Fault::FlipBit(offset) => answer.map(|body| flipped(body, *offset)),
        Fault::ShortBody(by) => shortened(answer, length.saturating_sub(*by), true),
        Fault::ShortBodyHidden(by) => shortened(answer, length.saturating_sub(*by), false),
        _ => answer,
    };
    Ok(answer)
}

async fn reset() -> Then {
    tokio::time::sleep(FLUSH).await;
    Then::Fail("connection reset by a fault".into())
}

/// The first `length` bytes of an answer, honestly labelled or not.
fn shortened(mut answer: Response<WireBody>, length: u64, honest: bool) -> Response<WireBody> {
    set(answer.headers_mut(), CONTENT_LENGTH, &length.to_string());
    let range = answer.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let parts = range.and_then(|range| {
        let (span, size) = range.strip_prefix("bytes ")?.split_once('/')?;
        let first: u64 = span.split_once('-')?.0.parse().ok()?;
        Some((first, size.to_owned()))
    });
    if let (true, Some((first, size))) = (honest && length > 0, parts) {
        let range = format!("bytes {first}-{}/{size}", first + length - 1);
        set(answer.headers_mut(), CONTENT_RANGE, &range);
    }
    answer.map(|body| at_mark(body, length, async { Then::End }.boxed()))
}

/// An S3 error document.
fn refusal(status: u16, code: &str, retry_after: Option<u64>) -> Response<WireBody> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = xml(status, &format!("<Code>{code}</Code><Message>a fault</Message>"));
    if let Some(seconds) = retry_after {
        set(answer.headers_mut(), RETRY_AFTER, &seconds.to_string());
    }
    answer
}

fn redirect(status: u16, location: Option<&str>, region: Option<&str>) -> Response<WireBody> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::MOVED_PERMANENTLY);
    let code = if status == StatusCode::TEMPORARY_REDIRECT {
        "TemporaryRedirect"
    } else {
        "PermanentRedirect"
    };
    let endpoint = location.unwrap_or("s3.amazonaws.com");
    let mut answer = xml(
        status,
        &format!("<Code>{code}</Code><Message>elsewhere</Message><Endpoint>{endpoint}</Endpoint>"),
    );
    if let Some(location) = location {
        set(answer.headers_mut(), LOCATION, location);
    }
    if let Some(region) = region {
        set(answer.headers_mut(), HeaderName::from_static("x-amz-bucket-region"), region);
    }
    answer
}

fn xml(status: StatusCode, error: &str) -> Response<WireBody> {
    let document = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error>{error}</Error>");
    let mut answer = text(status, document);
    set(answer.headers_mut(), CONTENT_TYPE, "application/xml");
    answer
}

fn text(status: StatusCode, body: String) -> Response<WireBody> {
    let mut answer = Response::new(wire_body(Full::new(Bytes::from(body))));
    *answer.status_mut() = status;
    state_length(&mut answer);
    answer
}

fn empty() -> WireBody {
    wire_body(http_body_util::Empty::new())
}

/// Says how long an answer is while it still knows: a body that was tampered with does not.
fn state_length(answer: &mut Response<WireBody>) {
    if !answer.headers().contains_key(CONTENT_LENGTH)
        && let Some(length) = answer.body().size_hint().exact()
    {
        set(answer.headers_mut(), CONTENT_LENGTH, &length.to_string());
    }
}

fn length(answer: &Response<WireBody>) -> u64 {
    let stated = answer.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    stated.unwrap_or_default()
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Every value here is ASCII: what a test asks for, or what this file wrote.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
