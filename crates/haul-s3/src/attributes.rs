//! Attributes as S3 requests carry them.
//!
//! Owns the translation for the three requests that create an object (PutObject,
//! CreateMultipartUpload, CopyObject), which take the same fields but share no type in the SDK.

use haul_core::Attributes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Unreserved characters of RFC 3986 stay as they are.
const ENCODE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same, with the slashes of a key left alone.
const ENCODE_KEY: &AsciiSet = &ENCODE.remove(b'/');

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

/// User metadata; `None` when there is none.
pub(crate) fn metadata_of(a: &Attributes) -> Option<std::collections::HashMap<String, String>> {
    let pairs = || a.metadata.iter().map(|(k, v)| (k.clone(), v.clone()));
    (!a.metadata.is_empty()).then(|| pairs().collect())
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

/// Reads the attributes back from a HeadObject answer.
pub(crate) fn attributes_of(
    head: &aws_sdk_s3::operation::head_object::HeadObjectOutput,
) -> Attributes {
    let mut a = Attributes::default();
    a.content_type = head.content_type().map(str::to_owned);
    a.cache_control = head.cache_control().map(str::to_owned);
    a.content_encoding = head.content_encoding().map(str::to_owned);
    a.content_disposition = head.content_disposition().map(str::to_owned);
    a.content_language = head.content_language().map(str::to_owned);
    let pairs = head.metadata().into_iter().flatten();
    a.metadata = pairs.map(|(k, v)| (k.clone(), v.clone())).collect();
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectId;

    #[test]
    fn copy_sources_are_encoded() {
        let mut o = ObjectId::new("b", "a b/ü+%?#.txt");
        assert_eq!(copy_source(&o), "b/a%20b/%C3%BC%2B%25%3F%23.txt");
        o.version_id = Some("v+1".into());
        assert!(copy_source(&o).ends_with("?versionId=v%2B1"));
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
