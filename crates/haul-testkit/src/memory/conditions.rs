//! Conditional requests.
//!
//! Owns: when a request is answered 412 or 304. Must never read or change the store.

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, header};
use s3s::dto::{ETagCondition, Timestamp};
use s3s::{S3Error, S3Result, s3_error};

use super::StoredObject;

/// The conditions of a GET, a HEAD or a copy source.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "the names of the headers")]
pub(super) struct ReadConditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

impl ReadConditions {
    /// RFC 9110 13.2.2, in its order. A copy has no 304: both failures are 412 there.
    pub(super) fn check(&self, object: &StoredObject, copy: bool) -> S3Result<()> {
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(wanted), _) if !matches(wanted, &object.etag) => {
                return Err(failed("If-Match"));
            }
            (None, Some(since)) if newer(object, since) => {
                return Err(failed("If-Unmodified-Since"));
            }
            _ => {}
        }
        let unchanged = match (&self.if_none_match, &self.if_modified_since) {
            (Some(known), _) => matches(known, &object.etag),
            (None, Some(since)) => !newer(object, since),
            (None, None) => false,
        };
        match (unchanged, copy) {
            (false, _) => Ok(()),
            (true, true) => Err(failed("If-None-Match")),
            (true, false) => Err(not_modified(object)),
        }
    }
}

/// `If-Match` and `If-None-Match` on a write (S3 user guide, "Conditional requests").
pub(super) fn check_write(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
    current: Option<&StoredObject>,
) -> S3Result<()> {
    match if_none_match {
        Some(ETagCondition::Any) if current.is_some() => return Err(failed("If-None-Match")),
        Some(ETagCondition::ETag(_)) => {
            return Err(s3_error!(
                NotImplemented,
                "A header you provided implies functionality that is not implemented"
            ));
        }
        _ => {}
    }
    match (if_match, current) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
        (Some(wanted), Some(object)) if matches(wanted, &object.etag) => Ok(()),
        (Some(_), Some(_)) => Err(failed("If-Match")),
    }
}

fn matches(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(wanted) => wanted.as_strong() == Some(etag),
    }
}

fn newer(object: &StoredObject, since: &Timestamp) -> bool {
    Timestamp::from(object.modified) > *since
}

fn failed(condition: &str) -> S3Error {
    s3_error!(
        PreconditionFailed,
        "At least one of the pre-conditions you specified did not hold: {condition}"
    )
}

fn not_modified(object: &StoredObject) -> S3Error {
    let mut error = s3_error!(NotModified);
    let mut headers = HeaderMap::new();
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", object.etag)) {
        headers.insert(header::ETAG, etag);
    }
    if let Some(date) = http_date(object.modified) {
        headers.insert(header::LAST_MODIFIED, date);
    }
    error.set_headers(headers);
    error
}

fn http_date(time: SystemTime) -> Option<HeaderValue> {
    let mut text = Vec::new();
    Timestamp::from(time).format(s3s::dto::TimestampFormat::HttpDate, &mut text).ok()?;
    HeaderValue::from_bytes(&text).ok()
}
