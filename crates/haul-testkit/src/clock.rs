//! A store whose clock is another than this machine's.
//!
//! Owns what a store makes of the time that a request was signed for: 15 minutes are allowed, as on AWS.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, DATE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::service::Service;

use crate::wire::{BoxError, WireBody, wire_body};

/// What AWS allows.
const ALLOWED: Duration = Duration::from_mins(15);

/// A service that looks at the time of requests, and dates its answers.
#[derive(Clone, Debug)]
pub(crate) struct Clocked<S> {
    pub(crate) inner: S,
    /// How many seconds its clock is ahead of this machine's.
    pub(crate) ahead: i64,
}

impl<S> Clocked<S> {
    fn now(&self) -> SystemTime {
        let by = Duration::from_secs(self.ahead.unsigned_abs());
        if self.ahead < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
    }

    /// Whether a request was signed for a time that is not now.
    fn is_skewed(&self, head: &http::HeaderMap) -> bool {
        let signed = head.get("x-amz-date").and_then(|v| time_of(v.to_str().ok()?));
        signed.is_some_and(|signed| {
            let now = self.now();
            let apart = now.duration_since(signed).or_else(|_| signed.duration_since(now));
            apart.is_ok_and(|apart| apart > ALLOWED)
        })
    }
}

/// A time as signatures have it, `20130524T000000Z`.
fn time_of(text: &str) -> Option<SystemTime> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hours, minutes, seconds) = (number(9..11)?, number(11..13)?, number(13..15)?);
    // Days since 1970, counted from the first of March (Hinnant, "chrono-compatible low-level date
    // algorithms").
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = (365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1) - 719_468;
    let seconds = ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn refusal() -> Response<WireBody> {
    let document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>RequestTimeTooSkewed</Code>\
        <Message>the times are too far apart</Message></Error>";
    let mut answer = Response::new(wire_body(Full::new(Bytes::from(document))));
    *answer.status_mut() = StatusCode::FORBIDDEN;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}

impl<S> Service<Request<WireBody>> for Clocked<S>
where
    S: Service<Request<WireBody>, Response = Response<WireBody>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    type Response = Response<WireBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn call(&self, request: Request<WireBody>) -> Self::Future {
        let (now, skewed, inner) =
            (self.now(), self.is_skewed(request.headers()), self.inner.clone());
        // A boxed function, as in front of the faults: the compiler cannot see that the future of a
        // generic service is `Send` from inside another future.
        let next: Next =
            Box::new(move |request| inner.call(request).map(|a| a.map_err(Into::into)).boxed());
        async move {
            let mut answer = if skewed {
                // An answer to a half-sent request would be lost with the connection.
                drop(request.into_body().collect().await);
                refusal()
            } else {
                next(request).await?
            };
            if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(now)) {
                answer.headers_mut().insert(DATE, date);
            }
            Ok(answer)
        }
        .boxed()
    }
}

type Next = Box<
    dyn FnOnce(Request<WireBody>) -> BoxFuture<'static, Result<Response<WireBody>, BoxError>>
        + Send,
>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_signatures() {
        for (text, date) in [
            ("20130524T000000Z", "Fri, 24 May 2013 00:00:00 GMT"),
            ("20240229T235959Z", "Thu, 29 Feb 2024 23:59:59 GMT"),
            ("20000101T010203Z", "Sat, 01 Jan 2000 01:02:03 GMT"),
        ] {
            assert_eq!(httpdate::fmt_http_date(time_of(text).unwrap()), date);
        }
        assert_eq!(time_of("now"), None);
    }
}
