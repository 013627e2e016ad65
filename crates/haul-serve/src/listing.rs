//! Names in listings: percent-encoded if the client asked for that.
//!
//! Owns: `encoding-type=url` and the tokens of pages. Must never change what is listed, or its
//! order.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use s3s::dto::{CommonPrefix, EncodingType, ListObjectsOutput, ListObjectsV2Output, Object};
use s3s::{S3Result, s3_error};

/// What `encoding-type=url` leaves alone: RFC 3986 unreserved characters and the slash.
const LISTED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// Encodes a page of ListObjects, if it is to be encoded.
pub(crate) fn encode(page: &mut ListObjectsOutput) {
    if asked(page.encoding_type.as_ref()) {
        contents(page.contents.as_mut(), page.common_prefixes.as_mut());
        let names = [&mut page.prefix, &mut page.delimiter, &mut page.marker];
        names.into_iter().for_each(name);
        name(&mut page.next_marker);
    }
}

/// Encodes a page of ListObjectsV2, if it is to be encoded. Its tokens are not names.
pub(crate) fn encode_v2(page: &mut ListObjectsV2Output) {
    if asked(page.encoding_type.as_ref()) {
        contents(page.contents.as_mut(), page.common_prefixes.as_mut());
        let names = [&mut page.prefix, &mut page.delimiter, &mut page.start_after];
        names.into_iter().for_each(name);
    }
}

/// The token for the page after `key`. Never the key itself: XML cannot carry every character.
pub(crate) fn token(key: &str) -> String {
    utf8_percent_encode(key, LISTED).to_string()
}

/// The key that [`token`] was made of.
pub(crate) fn key_of(token: &str) -> S3Result<String> {
    let key = percent_decode_str(token).decode_utf8();
    key.map(Cow::into_owned)
        .map_err(|_| s3_error!(InvalidArgument, "the continuation token is not one of ours"))
}

fn asked(encoding: Option<&EncodingType>) -> bool {
    encoding.is_some_and(|e| e.as_str() == EncodingType::URL)
}

fn contents(objects: Option<&mut Vec<Object>>, prefixes: Option<&mut Vec<CommonPrefix>>) {
    objects.into_iter().flatten().for_each(|o| name(&mut o.key));
    prefixes.into_iter().flatten().for_each(|p| name(&mut p.prefix));
}

fn name(text: &mut Option<String>) {
    if let Some(text) = text {
        *text = utf8_percent_encode(text, LISTED).to_string();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_any_key() {
        for key in ["", "a/b", "100%", "%41", "\u{1b}\n&<", "é/ü +"] {
            assert_eq!(key_of(&token(key)).unwrap(), key);
            assert!(token(key).bytes().all(|b| b.is_ascii_graphic()));
        }
        assert!(key_of("%ff").is_err());
    }

    #[test]
    fn names_are_encoded_only_if_asked() {
        let page = |encoding_type| ListObjectsOutput {
            encoding_type,
            prefix: Some("a b/é~+".to_owned()),
            ..ListObjectsOutput::default()
        };
        let mut raw = page(None);
        encode(&mut raw);
        assert_eq!(raw.prefix.as_deref(), Some("a b/é~+"));
        let mut url = page(Some(EncodingType::from_static(EncodingType::URL)));
        encode(&mut url);
        assert_eq!(url.prefix.as_deref(), Some("a%20b/%C3%A9~%2B"));
        assert_eq!(url.marker, None);
    }
}
