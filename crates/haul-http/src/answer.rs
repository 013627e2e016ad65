//! What an answer's head says about the content.
//!
//! Owns the reading of validators, lengths and attributes (RFC 9110). Strictly: what is malformed
//! is not there. Must never take a weak validator for a strong one.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haul_core::{Algorithm, Attributes, ByteRange, Checksum, range};
use http::HeaderMap;
use http::header::{
    CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, DATE, ETAG, HeaderName, LAST_MODIFIED, TRANSFER_ENCODING,
};

/// What tells one version of the content from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// A strong entity tag: the same tag, the same bytes.
    Strong(String),
    /// A weak entity tag: the same tag, the same meaning.
    Weak(String),
    /// A time of modification that is strong in the sense of RFC 9110, 8.8.2.2: older than the
    /// answer by a second at least, so that a later change shows.
    Date(String),
    /// Nothing that could be relied on.
    Nothing,
}

impl Stamp {
    /// The stamp of an answer.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let quoted = |tag: &str| tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"');
        match text(headers, &ETAG) {
            Some(tag) if quoted(tag) => Self::Strong(tag.to_owned()),
            Some(tag) if tag.strip_prefix("W/").is_some_and(quoted) => Self::Weak(tag.to_owned()),
            // A client must not compare dates of what has a tag, but this is none.
            _ => settled_date(headers).map_or(Self::Nothing, |date| Self::Date(date.to_owned())),
        }
    }

    /// What goes into `If-Range`; weak tags must not.
    pub(crate) fn if_range(&self) -> Option<&str> {
        match self {
            Self::Strong(text) | Self::Date(text) => Some(text),
            Self::Weak(_) | Self::Nothing => None,
        }
    }

    /// Whether an answer is about the same version.
    pub(crate) fn is_that_of(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Strong(tag) | Self::Weak(tag) => text(headers, &ETAG) == Some(tag),
            // A range may leave the date out when it was asked for with `If-Range` (RFC 9110, 15.3.7).
            Self::Date(date) => text(headers, &LAST_MODIFIED).is_none_or(|other| other == date),
            Self::Nothing => false,
        }
    }
}

fn settled_date(headers: &HeaderMap) -> Option<&str> {
    let date = text(headers, &LAST_MODIFIED)?;
    let modified = httpdate::parse_http_date(date).ok()?;
    let answered = httpdate::parse_http_date(text(headers, &DATE)?).ok()?;
    (answered.duration_since(modified).ok()? >= Duration::from_secs(1)).then_some(date)
}

/// `Content-Length`, if there is one.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_LENGTH)?.parse().ok()
}

/// Whether the end of the body will show: by its length or by its last chunk.
pub(crate) fn ends_visibly(headers: &HeaderMap) -> bool {
    length(headers).is_some() || headers.contains_key(TRANSFER_ENCODING)
}

/// `Content-Range` with a total.
pub(crate) fn content_range(headers: &HeaderMap) -> Option<(ByteRange, u64)> {
    let (range, total) = range::parse_content_range(text(headers, &CONTENT_RANGE)?)?;
    Some((range, total?))
}

/// `Last-Modified`.
pub(crate) fn modified(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, &LAST_MODIFIED)?).ok()
}

/// What travels with the bytes.
pub(crate) fn attributes(headers: &HeaderMap) -> Attributes {
    let owned = |name| text(headers, name).map(str::to_owned);
    let mut attributes = Attributes::default();
    attributes.content_type = owned(&CONTENT_TYPE);
    attributes.content_encoding = owned(&CONTENT_ENCODING);
    attributes.content_disposition = owned(&CONTENT_DISPOSITION);
    attributes.content_language = owned(&CONTENT_LANGUAGE);
    attributes
}

/// The checksum over all of the answer's bytes that a store sends along. That of a multipart upload
/// may be one of its parts' checksums, which says nothing about bytes.
pub(crate) fn checksum(headers: &HeaderMap) -> Option<Checksum> {
    const KIND: HeaderName = HeaderName::from_static("x-amz-checksum-type");
    const VALUE: HeaderName = HeaderName::from_static("x-amz-checksum-crc64nvme");
    if text(headers, &KIND).is_some_and(|kind| kind.eq_ignore_ascii_case("COMPOSITE")) {
        return None;
    }
    let bytes = STANDARD.decode(text(headers, &VALUE)?).ok()?;
    Checksum::from_be_bytes(Algorithm::Crc64Nvme, &bytes)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
    const NEW: &str = "Wed, 21 Oct 2015 07:28:01 GMT";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap()));
        pairs.collect()
    }

    #[test]
    fn weak_is_never_strong() {
        let stamp = |pairs: &[(&'static str, &'static str)]| Stamp::of(&headers(pairs));
        assert_eq!(stamp(&[("etag", "\"a\"")]), Stamp::Strong("\"a\"".into()));
        assert_eq!(stamp(&[("etag", "\"\"")]), Stamp::Strong("\"\"".into()));
        assert_eq!(stamp(&[("etag", "W/\"a\"")]), Stamp::Weak("W/\"a\"".into()));
        for malformed in ["a", "\"a", "\"", "w/\"a\"", ""] {
            assert_eq!(stamp(&[("etag", malformed)]), Stamp::Nothing, "{malformed}");
        }
        assert_eq!(stamp(&[("last-modified", OLD), ("date", NEW)]), Stamp::Date(OLD.into()));
        assert_eq!(stamp(&[("last-modified", OLD), ("date", OLD)]), Stamp::Nothing);
        assert_eq!(stamp(&[("last-modified", NEW), ("date", OLD)]), Stamp::Nothing);
        assert_eq!(stamp(&[("last-modified", OLD)]), Stamp::Nothing);
        assert_eq!(Stamp::Weak("W/\"a\"".into()).if_range(), None);
        assert!(!Stamp::Nothing.is_that_of(&headers(&[])));
    }

    #[test]
    fn composite_checksums_are_left_alone() {
        let value = ("x-amz-checksum-crc64nvme", "rosUhgp5mIg=");
        let known = Checksum { algorithm: Algorithm::Crc64Nvme, value: 0xae8b_1486_0a79_9888 };
        assert_eq!(checksum(&headers(&[value])), Some(known));
        assert_eq!(
            checksum(&headers(&[value, ("x-amz-checksum-type", "FULL_OBJECT")])),
            Some(known)
        );
        assert_eq!(checksum(&headers(&[value, ("x-amz-checksum-type", "COMPOSITE")])), None);
        assert_eq!(checksum(&headers(&[("x-amz-checksum-crc64nvme", "rosUhgp5mIg=-3")])), None);
    }

    #[test]
    fn ranges_need_a_total() {
        let of = |value| content_range(&headers(&[("content-range", value)]));
        assert_eq!(of("bytes 0-9/20"), Some((ByteRange::new(0, 10), 20)));
        assert_eq!(of("bytes 0-9/*"), None);
        assert_eq!(of("bytes 0--1/0"), None);
    }
}
