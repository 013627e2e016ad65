//! What a store's answer means.
//!
//! Owns the mapping from SDK errors, status codes and S3 error codes to [`Error`], and with it which
//! failures the engine may retry. The code decides before the status: copies and completions can
//! fail with status 200.

use std::error::Error as StdError;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use haul_core::error::{causes, root_cause};
use haul_core::{Error, ErrorKind, Heard, Hint, Op, Retry};

use crate::document::Document;

/// A failed request, with the S3 error code for callers that decide by it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) code: Option<String>,
    /// Set for an answer that the bucket is in another region.
    pub(crate) redirect: Option<Redirect>,
    /// Set for a refusal that may be about who signed, or when.
    pub(crate) denied: Option<Denied>,
}

/// A refusal that may be about the signature.
#[derive(Debug)]
pub(crate) struct Denied {
    /// When that was, by the store's clock.
    pub(crate) date: Option<SystemTime>,
    /// Whether the key that signed may have been replaced meanwhile.
    pub(crate) stale: bool,
}

/// Where an answer says that a bucket is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    /// The region, as the answer names it: not to be trusted yet.
    pub(crate) region: Option<String>,
    /// Whether it names another address, too, which is never followed.
    pub(crate) elsewhere: bool,
}

impl Failure {
    /// One that no answer tells of.
    pub(crate) fn of(error: Error) -> Self {
        Self { error, code: None, redirect: None, denied: None }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// Understands a failed request that was signed for `region`.
pub(crate) fn failure<E>(
    op: Op,
    location: &str,
    region: &str,
    e: SdkError<E, HttpResponse>,
) -> Failure
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let failure = match &e {
        // It says yes, and what it says makes no sense.
        SdkError::ServiceError(service)
            if service.raw().status().is_success() && e.code().is_none() =>
        {
            Failure::of(senseless(op, location, &e))
        }
        SdkError::ServiceError(service) => {
            let refused = Refused::by(service.raw(), e.code(), e.message());
            refused.understand(op, location, region)
        }
        SdkError::ResponseError(_) => Failure::of(senseless(op, location, &e)),
        _ => Failure::of(undelivered(op, location, &e)),
    };
    Failure { error: failure.error.with_source(e), ..failure }
}

/// An answer that cannot be understood.
fn senseless(op: Op, location: &str, e: &(dyn StdError + 'static)) -> Error {
    let detail = format!("the answer makes no sense: {}", root_cause(e));
    Error::new(ErrorKind::Protocol, op, location, detail).with_retry(Retry::Backoff)
}

/// What the outcome of a request says about the endpoint.
pub(crate) fn heard<T, E>(outcome: &Result<T, SdkError<E, HttpResponse>>) -> Heard
where
    E: ProvideErrorMetadata,
{
    match outcome {
        Ok(_) => Heard::Served,
        Err(e @ SdkError::ServiceError(service)) => {
            let refused = Refused::by(service.raw(), e.code(), None);
            Heard::of::<()>(&Err(refused.understand(Op::Open, "", "").error))
        }
        Err(SdkError::ResponseError(_)) => Heard::Refused,
        Err(_) => Heard::Nothing,
    }
}

/// A request that a store refused.
pub(crate) struct Refused {
    status: u16,
    code: Option<String>,
    message: Option<String>,
    retry_after: Option<u64>,
    /// Where it says that the bucket is.
    region: Option<String>,
    /// Whether it names another address, too.
    elsewhere: bool,
    /// When it was refused, by the store's clock.
    date: Option<SystemTime>,
}

impl Refused {
    /// One that the SDK tells of.
    fn by(raw: &HttpResponse, code: Option<&str>, message: Option<&str>) -> Self {
        Self {
            status: raw.status().as_u16(),
            code: code.map(str::to_owned),
            message: message.map(str::to_owned),
            retry_after: header(raw, "retry-after").and_then(|v| v.parse().ok()),
            region: bucket_region(raw),
            elsewhere: header(raw, "location").is_some(),
            date: header(raw, "date").and_then(date),
        }
    }

    /// The same of an answer to a request that we made.
    pub(crate) fn of(head: &http::response::Parts, document: &[u8]) -> Self {
        let text = |name: &str| head.headers.get(name)?.to_str().ok();
        let said = Document::of(document);
        let nothing = document.is_empty() && head.status == http::StatusCode::NOT_FOUND;
        Self {
            status: head.status.as_u16(),
            code: said.code.or_else(|| nothing.then(|| "NotFound".to_owned())),
            message: said.message,
            retry_after: text("retry-after").and_then(|v| v.parse().ok()),
            region: text("x-amz-bucket-region").map(str::to_owned).or(said.region),
            elsewhere: head.headers.contains_key(http::header::LOCATION),
            date: text("date").and_then(date),
        }
    }

    /// What it means for a request that was signed for `region`.
    pub(crate) fn understand(self, op: Op, location: &str, region: &str) -> Failure {
        let answer = Answer {
            status: self.status,
            code: self.code.as_deref(),
            message: self.message.as_deref(),
            retry_after: self.retry_after,
            // Answers to HEAD name the bucket's region even when that is not what is wrong.
            region: self.region.as_deref().filter(|said| *said != region),
        };
        let error = answer.understand(op, location);
        let redirect = (error.kind() == ErrorKind::WrongRegion).then(|| Redirect {
            region: self.region.as_deref().or(answer.other_region()).map(str::to_owned),
            elsewhere: self.elsewhere,
        });
        let denied = self.is_denied().then(|| Denied { date: self.date, stale: self.is_stale() });
        Failure { error, code: self.code, redirect, denied }
    }

    /// Whether it may be about the signature.
    fn is_denied(&self) -> bool {
        // An answer to HEAD has no code, and is 400 where a session has expired.
        let bare = self.status == 400 && self.code.is_none();
        matches!(self.status, 401 | 403) || bare || self.is_stale()
    }

    /// Whether it may be about a key that has been replaced.
    fn is_stale(&self) -> bool {
        match self.code.as_deref() {
            Some(
                "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" | "InvalidAccessKeyId",
            ) => true,
            code => code.is_none() && matches!(self.status, 400 | 401 | 403),
        }
    }
}

/// The time that a header tells.
fn date(text: &str) -> Option<SystemTime> {
    DateTime::from_str(text, Format::HttpDate).ok()?.try_into().ok()
}

/// Why a store did not do one of many things that a single request asked for.
pub(crate) fn refused_key(
    op: Op,
    location: &str,
    code: Option<&str>,
    message: Option<&str>,
) -> Error {
    // The request itself was answered with 200; the code is all that says what kind of failure it is.
    let status = if code == Some("AccessDenied") { 403 } else { 200 };
    Answer { status, code, message, retry_after: None, region: None }.understand(op, location)
}

/// The bucket's region that an answer names: in a header, or in the error document.
pub(crate) fn bucket_region(response: &HttpResponse) -> Option<String> {
    if let Some(region) = header(response, "x-amz-bucket-region") {
        return Some(region.to_owned());
    }
    let document = std::str::from_utf8(response.body().bytes()?).ok()?;
    let (_, rest) = document.split_once("<Region>")?;
    rest.split_once("</Region>").map(|(region, _)| region.trim().to_owned())
}

fn header<'a>(response: &'a HttpResponse, name: &str) -> Option<&'a str> {
    response.headers().get(name)
}

/// An error answer, reduced to what its meaning depends on.
struct Answer<'a> {
    status: u16,
    code: Option<&'a str>,
    message: Option<&'a str>,
    retry_after: Option<u64>,
    region: Option<&'a str>,
}

impl Answer<'_> {
    fn understand(&self, op: Op, location: &str) -> Error {
        let make = |kind, detail: &str| Error::new(kind, op, location, detail);
        let code = self.code.unwrap_or_default();
        match (code, self.status) {
            ("NoSuchBucket", _) => make(ErrorKind::NotFound, "no such bucket")
                .with_hint(Hint::MakeBucket),
            ("NoSuchUpload", _) => make(ErrorKind::NotFound, "the multipart upload is gone"),
            ("NoSuchKey" | "NoSuchVersion" | "NotFound", _) | ("", 404) => {
                make(ErrorKind::NotFound, "no such object or bucket")
            }
            ("ConditionalRequestConflict", _) => {
                make(ErrorKind::Server, &self.words()).with_retry(Retry::Backoff)
            }
            ("PreconditionFailed", _) | (_, 412) => {
                if matches!(op, Op::Open | Op::Read | Op::Copy) {
                    make(ErrorKind::SourceChanged, "it was replaced while it was being read")
                } else {
                    make(ErrorKind::AlreadyExists, "it exists already")
                }
            }
            ("InvalidRange", _) | (_, 416) => {
                make(ErrorKind::SourceChanged, "it became shorter while it was being read")
            }
            (
                "PermanentRedirect"
                | "TemporaryRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
                _,
            )
            | (_, 301 | 302 | 307 | 308) => self.redirect(op, location),
            ("RequestTimeTooSkewed", _) => {
                make(ErrorKind::AccessDenied, "the clocks of this machine and the store differ")
                    .with_retry(Retry::Backoff)
                    .with_hint(Hint::SetClock)
            }
            (
                "SlowDown"
                | "Throttling"
                | "ThrottlingException"
                | "TooManyRequests"
                | "RequestLimitExceeded",
                _,
            )
            // An answer to HEAD has no words, and 503 is what S3 slows down with.
            | ("", 503)
            | (_, 429) => make(ErrorKind::Throttled, &self.words()).with_retry(self.pause()),
            (
                "BadDigest"
                | "InvalidDigest"
                | "XAmzContentSHA256Mismatch"
                | "XAmzContentChecksumMismatch",
                _,
            ) => make(ErrorKind::Verification, &self.words()).with_retry(Retry::Backoff),
            ("RequestTimeout" | "IncompleteBody", _) | (_, 408) => {
                make(ErrorKind::Stalled, &self.words()).with_retry(Retry::Backoff)
            }
            ("NotImplemented" | "MethodNotAllowed", _) | (_, 501) => {
                make(ErrorKind::Unsupported, &self.words())
            }
            ("InternalError" | "ServiceUnavailable" | "InternalFailure", _) | (_, 500..=599) => {
                make(ErrorKind::Server, &self.words()).with_retry(self.pause())
            }
            ("BucketAlreadyExists" | "BucketAlreadyOwnedByYou", _) => {
                make(ErrorKind::AlreadyExists, "the bucket exists already")
            }
            ("EntityTooLarge", _) => make(ErrorKind::NoSpace, &self.words()),
            (_, 401 | 403)
            | (
                "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken",
                _,
            ) => self.denied(op, location),
            // A HEAD that fails has no body: the header is all that tells of another region.
            ("", 400) if self.region.is_some() => self.redirect(op, location),
            _ => make(ErrorKind::Rejected, &self.words()),
        }
    }

    fn denied(&self, op: Op, location: &str) -> Error {
        let hint = match self.code {
            Some("InvalidAccessKeyId" | "SignatureDoesNotMatch") => Hint::CheckKeys,
            Some("ExpiredToken") => Hint::SignInAgain,
            _ => Hint::CheckCredentials,
        };
        Error::new(ErrorKind::AccessDenied, op, location, self.words()).with_hint(hint)
    }

    /// The region that the bucket is in, as far as the answer tells.
    fn other_region(&self) -> Option<&str> {
        // "... the region 'us-east-1' is wrong; expecting 'eu-west-1'"
        let said = || self.message?.split("expecting '").nth(1)?.split('\'').next();
        self.region.or_else(said)
    }

    fn redirect(&self, op: Op, location: &str) -> Error {
        let hint = match self.other_region() {
            Some(region) => Hint::NameRegion(region.into()),
            None => Hint::FindRegion,
        };
        Error::new(ErrorKind::WrongRegion, op, location, "the bucket is in another region")
            .with_hint(hint)
    }

    fn pause(&self) -> Retry {
        self.retry_after.map_or(Retry::Backoff, |s| Retry::After(Duration::from_secs(s)))
    }

    fn words(&self) -> String {
        let status = self.status;
        match (self.code, self.message) {
            (Some(code), Some(message)) if !message.is_empty() => format!("{code}: {message}"),
            (Some(code), _) if status == 200 => format!("the store refused: {code}"),
            (Some(code), _) => format!("the store answered {status} {code}"),
            (None, _) if matches!(status, 401 | 403) => format!("access denied ({status})"),
            (None, _) => format!("the store answered {status}"),
        }
    }
}

/// Credentials that could not be had: for good, or because the service that hands them out failed.
pub(crate) fn no_credentials(op: Op, location: &str, e: &CredentialsError) -> Error {
    // The machine's role is asked last: a failure there means that nobody had any.
    let last = causes(e).any(|c| c.to_string().contains("IMDS"));
    let passing =
        matches!(e, CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_))
            && !last;
    if passing {
        let detail = format!("credentials could not be had: {}", root_cause(e));
        return Error::new(ErrorKind::AccessDenied, op, location, detail)
            .with_retry(Retry::Backoff)
            .with_hint(Hint::CheckProfile);
    }
    Error::new(ErrorKind::AccessDenied, op, location, "no credentials were found")
        .with_hint(Hint::GiveCredentials)
}

/// A request that got no answer.
pub(crate) fn undelivered(op: Op, location: &str, e: &(dyn StdError + 'static)) -> Error {
    let chain: Vec<String> = causes(e).map(ToString::to_string).collect();
    let says = |what: &str| chain.iter().any(|c| c.contains(what));
    if let Some(e) = causes(e).find_map(|c| c.downcast_ref::<CredentialsError>()) {
        return no_credentials(op, location, e);
    }
    if says("identity") {
        return no_credentials(op, location, &CredentialsError::not_loaded_no_source());
    }
    if says("failed to construct request") {
        return Error::new(ErrorKind::Invalid, op, location, root_cause(e));
    }
    haul_net::undelivered(op, location, e)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, code: Option<&str>, op: Op) -> Error {
        Answer { status, code, message: None, retry_after: Some(7), region: Some("eu-west-1") }
            .understand(op, "s3://b/k")
    }

    /// S3.29, X3.5: only what another try can help is retried.
    #[test]
    fn answers_are_classified() {
        use ErrorKind as K;
        let after = Retry::After(Duration::from_secs(7));
        for (status, code, op, kind, retry) in [
            (404, None, Op::Open, K::NotFound, Retry::Never),
            (404, Some("NoSuchBucket"), Op::Open, K::NotFound, Retry::Never),
            (403, None, Op::Open, K::AccessDenied, Retry::Never),
            (403, Some("SignatureDoesNotMatch"), Op::Open, K::AccessDenied, Retry::Never),
            (403, Some("RequestTimeTooSkewed"), Op::Open, K::AccessDenied, Retry::Backoff),
            (412, Some("PreconditionFailed"), Op::Read, K::SourceChanged, Retry::Never),
            (412, Some("PreconditionFailed"), Op::Commit, K::AlreadyExists, Retry::Never),
            (416, Some("InvalidRange"), Op::Read, K::SourceChanged, Retry::Never),
            (301, None, Op::Open, K::WrongRegion, Retry::Never),
            (503, Some("SlowDown"), Op::Read, K::Throttled, after),
            (429, None, Op::Read, K::Throttled, after),
            (503, None, Op::Stat, K::Throttled, after),
            (500, Some("InternalError"), Op::Read, K::Server, after),
            (200, Some("InternalError"), Op::Commit, K::Server, after),
            (502, None, Op::Read, K::Server, after),
            (501, Some("NotImplemented"), Op::Copy, K::Unsupported, Retry::Never),
            (400, Some("BadDigest"), Op::Write, K::Verification, Retry::Backoff),
            (400, Some("InvalidArgument"), Op::Write, K::Rejected, Retry::Never),
            (411, Some("MissingContentLength"), Op::Copy, K::Rejected, Retry::Never),
            (400, Some("ExpiredToken"), Op::Write, K::AccessDenied, Retry::Never),
            (400, None, Op::Open, K::WrongRegion, Retry::Never),
            (409, Some("ConditionalRequestConflict"), Op::Write, K::Server, Retry::Backoff),
            (400, Some("RequestTimeout"), Op::Write, K::Stalled, Retry::Backoff),
        ] {
            let e = of(status, code, op);
            assert_eq!((e.kind(), e.retry()), (kind, retry), "{status} {code:?} {op:?}");
        }
        let elsewhere = of(301, None, Op::Open);
        assert_eq!(elsewhere.hint(), Some(&Hint::NameRegion("eu-west-1".into())));
    }
}
