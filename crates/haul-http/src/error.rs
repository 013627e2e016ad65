//! What a failed request means.
//!
//! Owns the mapping from status codes to [`Error`], and with it which failures the engine may retry;
//! what a broken connection means is in [`haul_net`]. A server's own words are taken from S3-like error documents only:
//! HTML pages are no messages. Must never quote a URL that it was not given as an [`Address`].

use std::error::Error as StdError;
use std::time::Duration;

use haul_core::{Error, ErrorKind, Hint, Op, Retry};
use haul_net::{Incoming, drain};
use http::header::{DATE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};

use crate::address::{Address, Signed};

/// Understands an answer that is not the one that was hoped for.
pub(crate) async fn refusal(op: Op, address: &Address, answer: Response<Incoming>) -> Error {
    let (head, body) = answer.into_parts();
    let document = String::from_utf8_lossy(&drain(body).await).into_owned();
    let refused = Refusal {
        status: head.status,
        code: element(&document, "Code"),
        message: element(&document, "Message"),
        pause: retry_after(&head.headers),
    };
    refused.understand(op, address, &head.headers)
}

/// The text of an XML element without markup in it.
fn element<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let rest = document.split_once(&format!("<{name}>"))?.1;
    let text = rest.split_once('<')?.0.trim();
    (!text.is_empty() && text.len() <= 300).then_some(text)
}

/// `Retry-After`: seconds, or a date, which is compared with the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default())
}

/// An answer, reduced to what its meaning depends on.
struct Refusal<'a> {
    status: StatusCode,
    code: Option<&'a str>,
    message: Option<&'a str>,
    pause: Option<Duration>,
}

impl Refusal<'_> {
    fn understand(&self, op: Op, address: &Address, headers: &HeaderMap) -> Error {
        let make = |kind, detail: &str| Error::new(kind, op, address.shown(), detail);
        let writing = op == Op::Write;
        let slow = matches!(self.code, Some("SlowDown" | "Throttling" | "TooManyRequests"));
        match self.status.as_u16() {
            _ if self.code == Some("ConditionalRequestConflict") => {
                make(ErrorKind::Server, &self.words()).with_retry(Retry::Backoff)
            }
            404 | 410 => {
                make(ErrorKind::NotFound, &format!("there is nothing ({})", self.number()))
            }
            401 | 403 => self.denied(op, address),
            407 => make(ErrorKind::AccessDenied, "the proxy wants a user and a password")
                .with_hint(Hint::ProxyCredentials),
            400 if matches!(self.code, Some("ExpiredToken" | "InvalidToken")) => {
                self.denied(op, address)
            }
            408 => make(ErrorKind::Stalled, &self.words()).with_retry(Retry::Backoff),
            409 if writing => make(ErrorKind::Rejected, &self.words()).with_hint(Hint::CheckFolder),
            412 if writing => make(ErrorKind::AlreadyExists, "it exists already"),
            412 => make(ErrorKind::SourceChanged, "it was replaced while it was being read"),
            416 => make(ErrorKind::SourceChanged, "it became shorter while it was being read"),
            413 | 507 => make(ErrorKind::NoSpace, &self.words()),
            429 => make(ErrorKind::Throttled, &self.words()).with_retry(self.retry()),
            405 | 501 | 505 => make(ErrorKind::Unsupported, &self.words()),
            503 if slow => make(ErrorKind::Throttled, &self.words()).with_retry(self.retry()),
            500..=599 => make(ErrorKind::Server, &self.words()).with_retry(self.retry()),
            300..=399 => redirected(op, address, self.status, headers),
            200..=299 => make(ErrorKind::Protocol, &format!("an answer of {}", self.number())),
            _ => make(ErrorKind::Rejected, &self.words()),
        }
    }

    fn denied(&self, op: Op, address: &Address) -> Error {
        let denied = Error::new(ErrorKind::AccessDenied, op, address.shown(), self.words());
        if op == Op::Write && address.signs("content-type") {
            return denied.with_hint(Hint::GiveContentType);
        }
        if address.signed() != Signed::No {
            return denied.with_hint(Hint::CheckLink);
        }
        if address.authorization.is_none() && self.status == StatusCode::UNAUTHORIZED {
            return denied.with_hint(Hint::UrlCredentials);
        }
        denied
    }

    fn retry(&self) -> Retry {
        self.pause.map_or(Retry::Backoff, Retry::After)
    }

    fn number(&self) -> String {
        match self.status.canonical_reason() {
            Some(reason) => format!("{} {reason}", self.status.as_u16()),
            None => self.status.as_u16().to_string(),
        }
    }

    fn words(&self) -> String {
        match (self.code, self.message) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => format!("the server answered {} {code}", self.status.as_u16()),
            _ => format!("the server answered {}", self.number()),
        }
    }
}

/// A redirect that is not followed: an upload's, or one without a destination.
fn redirected(op: Op, address: &Address, status: StatusCode, headers: &HeaderMap) -> Error {
    let location = headers.get(LOCATION).and_then(|l| l.to_str().ok());
    let next = location.and_then(|l| address.redirected(op, l).ok());
    let to = next.map_or("nowhere".to_owned(), |next| next.origin());
    let what = format!("it redirects to {to} ({})", status.as_u16());
    let error = Error::new(ErrorKind::Rejected, op, address.shown(), what);
    if op == Op::Write { error.with_hint(Hint::GiveFinalUrl) } else { error }
}

/// An answer that makes no sense, for now.
pub(crate) fn nonsense(op: Op, address: &Address, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Protocol, op, address.shown(), what).with_retry(Retry::Backoff)
}

/// A request that got no answer, or a body that broke off.
pub(crate) fn broken(op: Op, address: &Address, e: impl StdError + Send + Sync + 'static) -> Error {
    let understood = haul_net::undelivered(op, &address.shown(), &e);
    let understood = match (understood.kind(), understood.hint()) {
        (ErrorKind::Connect, None) => understood.with_hint(Hint::CheckServer),
        _ => understood,
    };
    understood.with_source(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::new(url::Url::parse(url).unwrap())
    }

    fn of(status: u16, code: Option<&str>, op: Op) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        let pause = Some(Duration::from_secs(7));
        Refusal { status, code, message: None, pause }.understand(
            op,
            &address("https://h/k"),
            &HeaderMap::new(),
        )
    }

    /// Only what another try can help is retried.
    #[test]
    fn answers_are_classified() {
        use ErrorKind as K;
        let after = Retry::After(Duration::from_secs(7));
        for (status, code, op, kind, retry) in [
            (404, None, Op::Open, K::NotFound, Retry::Never),
            (410, None, Op::Open, K::NotFound, Retry::Never),
            (401, None, Op::Open, K::AccessDenied, Retry::Never),
            (403, Some("AccessDenied"), Op::Open, K::AccessDenied, Retry::Never),
            (407, None, Op::Open, K::AccessDenied, Retry::Never),
            (400, Some("ExpiredToken"), Op::Write, K::AccessDenied, Retry::Never),
            (400, None, Op::Open, K::Rejected, Retry::Never),
            (405, None, Op::Write, K::Unsupported, Retry::Never),
            (408, None, Op::Write, K::Stalled, Retry::Backoff),
            (409, None, Op::Write, K::Rejected, Retry::Never),
            (409, Some("ConditionalRequestConflict"), Op::Write, K::Server, Retry::Backoff),
            (412, None, Op::Read, K::SourceChanged, Retry::Never),
            (412, None, Op::Write, K::AlreadyExists, Retry::Never),
            (413, Some("EntityTooLarge"), Op::Write, K::NoSpace, Retry::Never),
            (416, None, Op::Read, K::SourceChanged, Retry::Never),
            (418, None, Op::Read, K::Rejected, Retry::Never),
            (429, None, Op::Read, K::Throttled, after),
            (500, None, Op::Read, K::Server, after),
            (503, None, Op::Read, K::Server, after),
            (503, Some("SlowDown"), Op::Read, K::Throttled, after),
            (501, None, Op::Write, K::Unsupported, Retry::Never),
            (204, None, Op::Open, K::Protocol, Retry::Never),
            (302, None, Op::Write, K::Rejected, Retry::Never),
        ] {
            let e = of(status, code, op);
            assert_eq!((e.kind(), e.retry()), (kind, retry), "{status} {code:?} {op:?}");
        }
    }

    #[test]
    fn hints_fit_the_url() {
        let denied = |url: &str, status| {
            let status = StatusCode::from_u16(status).unwrap();
            let e = Refusal { status, code: None, message: None, pause: None }.understand(
                Op::Open,
                &address(url),
                &HeaderMap::new(),
            );
            assert_eq!(e.kind(), ErrorKind::AccessDenied);
            e.hint().cloned()
        };
        let signed = "https://h/k?X-Amz-Expires=1&X-Amz-Signature=s";
        assert_eq!(denied(signed, 403), Some(Hint::CheckLink));
        assert_eq!(denied("https://h/k", 401), Some(Hint::UrlCredentials));
        assert_eq!(denied("https://me:pw@h/k", 401), None);
        assert_eq!(denied("https://h/k", 403), None);
    }

    #[test]
    fn the_pause_is_in_seconds_or_until_a_date() {
        let pause = |after: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, after.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            retry_after(&headers)
        };
        let (then, now) = ("Wed, 21 Oct 2015 07:28:30 GMT", "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(pause("12", None), Some(Duration::from_secs(12)));
        assert_eq!(pause(then, Some(now)), Some(Duration::from_secs(30)));
        assert_eq!(pause(now, Some(then)), Some(Duration::ZERO));
        assert_eq!(pause(then, None), None);
        assert_eq!(pause("soon", Some(now)), None);
    }

    #[test]
    fn the_servers_words_come_from_its_document() {
        let document = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message>";
        assert_eq!(element(document, "Code"), Some("AccessDenied"));
        assert_eq!(element(document, "Message"), Some("Request has expired"));
        assert_eq!(element("<html><body>no</body>", "Code"), None);
        assert_eq!(element("<Code>cut", "Code"), None);
    }
}
