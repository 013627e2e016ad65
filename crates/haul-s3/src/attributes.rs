//! Attributes as S3 requests carry them.
//!
//! Owns the translation for the three requests that create an object (PutObject,
//! CreateMultipartUpload, CopyObject), which take the same fields but share no type in the SDK.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use haul_core::Attributes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Unreserved characters of RFC 3986 stay as they are.
pub(crate) const ENCODE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same, with the slashes of a key left alone.
pub(crate) const ENCODE_KEY: &AsciiSet = &ENCODE.remove(b'/');

/// Sets every attribute that is there on a request builder.
macro_rules! set_attributes {
    ($request:expr, $attributes:expr) => {{
        let a: &haul_core::Attributes = $attributes;
        $request
            .set_content_type(a.content_type.clone())
            .set_cache_control(a.cache_control.clone())
            .set_content_encoding(a.content_encoding.clone())
            .set_content_disposition(a.content_disposition.clone())
            .set_content_language(a.content_language.clone())
            .set_metadata($crate::attributes::metadata_of(a))
            .set_storage_class(a.storage_class.as_deref().map(Into::into))
            .set_acl(a.acl.as_deref().map(Into::into))
            .set_server_side_encryption(a.encryption.as_deref().map(Into::into))
            .set_ssekms_key_id(a.kms_key_id.clone())
            .set_tagging($crate::attributes::tagging_of(a))
    }};
}
pub(crate) use set_attributes;

/// What the metadata with a file's time is called.
const MTIME: &str = "mtime";

/// User metadata, with the time to keep; `None` when there is none.
pub(crate) fn metadata_of(a: &Attributes) -> Option<HashMap<String, String>> {
    let kept = |name: &str| a.modified.is_none() || !name.eq_ignore_ascii_case(MTIME);
    let pairs = a.metadata.iter().filter(|(k, _)| kept(k));
    let mut all: HashMap<_, _> = pairs.map(|(k, v)| (k.clone(), v.clone())).collect();
    all.extend(a.modified.map(|time| (MTIME.to_owned(), format_mtime(time))));
    (!all.is_empty()).then_some(all)
}

/// The `x-amz-tagging` header: URL query parameters.
pub(crate) fn tagging_of(a: &Attributes) -> Option<String> {
    let encode = |s: &str| utf8_percent_encode(s, ENCODE).to_string();
    let pair = |(k, v): (&String, &String)| format!("{}={}", encode(k), encode(v));
    (!a.tags.is_empty()).then(|| a.tags.iter().map(pair).collect::<Vec<_>>().join("&"))
}

/// `x-amz-copy-source`: bucket and URL-encoded key, with the version (X1.5).
pub(crate) fn copy_source(object: &crate::ObjectId) -> String {
    let key = utf8_percent_encode(&object.key, ENCODE_KEY);
    let version = object
        .version_id
        .as_ref()
        .map(|v| format!("?versionId={}", utf8_percent_encode(v, ENCODE)));
    format!("{}/{key}{}", object.bucket, version.unwrap_or_default())
}

/// The time of a file as rclone keeps it: seconds since 1970 with up to nine decimals.
pub(crate) fn format_mtime(time: SystemTime) -> String {
    let (sign, since) = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => ("", since),
        Err(before) => ("-", before.duration()),
    };
    let (seconds, nanos) = (since.as_secs(), since.subsec_nanos());
    if nanos == 0 {
        return format!("{sign}{seconds}");
    }
    let text = format!("{sign}{seconds}.{nanos:09}");
    text.trim_end_matches('0').to_owned()
}

/// The inverse of [`format_mtime`]; `None` for anything else.
pub(crate) fn parse_mtime(text: &str) -> Option<SystemTime> {
    let (before, number) = match text.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, text),
    };
    let (seconds, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if seconds.is_empty() || !digits(seconds) || !digits(decimals) {
        return None;
    }
    // Finer than a nanosecond is left out.
    let nanos = format!("{decimals:0<9}");
    let since = Duration::new(seconds.parse().ok()?, nanos.get(..9)?.parse().ok()?);
    if before {
        SystemTime::UNIX_EPOCH.checked_sub(since)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectId;

    /// X1.5: every key can be in the header.
    #[test]
    fn copy_sources_are_encoded() {
        let mut o = ObjectId::new("b", "a b/ü+%?#.txt");
        assert_eq!(copy_source(&o), "b/a%20b/%C3%BC%2B%25%3F%23.txt");
        o.version_id = Some("v+1".into());
        assert!(copy_source(&o).ends_with("?versionId=v%2B1"));
    }

    /// As rclone writes and reads it.
    #[test]
    fn times_travel_as_metadata() {
        for (text, seconds, nanos) in [
            ("1500000000.123456789", 1_500_000_000, 123_456_789),
            ("1500000000", 1_500_000_000, 0),
            ("1.5", 1, 500_000_000),
            ("0.000000001", 0, 1),
        ] {
            let since = Duration::new(seconds, nanos);
            let time = SystemTime::UNIX_EPOCH + since;
            assert_eq!((format_mtime(time).as_str(), parse_mtime(text)), (text, Some(time)));
            let before = SystemTime::UNIX_EPOCH - since;
            assert_eq!(parse_mtime(&format!("-{text}")), Some(before));
            assert_eq!(format_mtime(before), format!("-{text}"));
        }
        assert_eq!(parse_mtime("1.0000000019"), parse_mtime("1.000000001"));
        for no in ["", "-", ".5", "x", "1,5", "1.5s", "+1", "1e9", "--1", "99999999999999999999"] {
            assert_eq!(parse_mtime(no), None, "{no:?}");
        }
    }

    #[test]
    fn the_time_to_keep_wins_over_older_metadata() {
        let mut a = Attributes::default();
        a.metadata.insert("Mtime".into(), "1".into());
        a.metadata.insert("x".into(), "y".into());
        assert_eq!(metadata_of(&a).unwrap()["Mtime"], "1");
        a.modified = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(2));
        let all = metadata_of(&a).unwrap();
        assert_eq!((all.len(), all["mtime"].as_str()), (2, "2"));
    }

    #[test]
    fn tags_are_a_query() {
        let mut a = Attributes::default();
        assert_eq!(tagging_of(&a), None);
        a.tags.insert("team".into(), "a&b".into());
        a.tags.insert("x y".into(), String::new());
        assert_eq!(tagging_of(&a).unwrap(), "team=a%26b&x%20y=");
    }
}
