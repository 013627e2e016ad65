//! One page of a listing, as its document has it.
//!
//! Owns what a page has to say to be believed: whether there is more, and as many keys as it counts.
//! Must never make something up for what is missing.

use std::time::SystemTime;

use crate::xml::{Malformed, Parsed, Xml};

/// What a page says. Keys and markers may be encoded.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    /// Objects, or versions of them.
    pub(super) objects: Vec<Item>,
    /// Delete markers.
    pub(super) markers: Vec<Item>,
    pub(super) prefixes: Vec<String>,
    /// Whether the page says that it encoded keys, as it was asked to.
    pub(super) encoded: bool,
    /// Whether there is more.
    pub(super) truncated: bool,
    /// `NextContinuationToken`
    pub(super) token: Option<String>,
    /// `NextMarker` or `NextKeyMarker`
    pub(super) marker: Option<String>,
    /// `NextVersionIdMarker`
    pub(super) version_marker: Option<String>,
}

/// An object, a version or a delete marker.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) key: String,
    pub(super) size: u64,
    /// Without its quotes.
    pub(super) etag: Option<String>,
    pub(super) modified: Option<SystemTime>,
    /// Unless it is the standard one.
    pub(super) class: Option<String>,
    pub(super) version_id: Option<String>,
    pub(super) latest: Option<bool>,
}

impl Sheet {
    /// Reads a page, of any of the three listings.
    pub(super) fn read(text: &[u8], root: &'static str) -> Parsed<Self> {
        let (mut sheet, mut truncated, mut count) = (Self::default(), None, 0);
        Xml::document(text, root, |xml, name| {
            match name {
                b"Contents" | b"Version" => sheet.objects.push(Item::read(xml, true)?),
                b"DeleteMarker" => sheet.markers.push(Item::read(xml, false)?),
                b"CommonPrefixes" => sheet.prefixes.push(prefix(xml)?),
                b"IsTruncated" => truncated = Some(xml.flag()?),
                b"KeyCount" => count = xml.number()?,
                b"EncodingType" => sheet.encoded = xml.text()?.trim() == "url",
                b"NextContinuationToken" => sheet.token = xml.some_text()?,
                b"NextMarker" | b"NextKeyMarker" => sheet.marker = xml.some_text()?,
                b"NextVersionIdMarker" => sheet.version_marker = xml.some_text()?,
                _ => {}
            }
            Ok(())
        })?;
        sheet.truncated =
            truncated.ok_or_else(|| Malformed::new("it does not say whether there is more"))?;
        // Some stores leave common prefixes out of the count, so that there may be more.
        let there = sheet.objects.len() + sheet.prefixes.len();
        if (there as u64) < count {
            return Err(Malformed::new(format!("it counts {count} keys, and {there} are there")));
        }
        Ok(sheet)
    }
}

impl Item {
    fn read(xml: &mut Xml<'_>, sized: bool) -> Parsed<Self> {
        let (mut item, mut key, mut size) = (Self::default(), None, None);
        xml.children(|xml, name| {
            match name {
                b"Key" => key = Some(xml.text()?.into_owned()),
                b"Size" => size = Some(xml.number()?),
                b"ETag" => item.etag = bare(&xml.text()?),
                b"LastModified" => item.modified = xml.time()?,
                b"StorageClass" => item.class = class(&xml.text()?),
                b"VersionId" => item.version_id = xml.some_text()?,
                b"IsLatest" => item.latest = Some(xml.flag()?),
                _ => {}
            }
            Ok(())
        })?;
        item.key = key.ok_or_else(|| Malformed::new("it lists something without a key"))?;
        item.size = match size {
            None if sized => {
                return Err(Malformed::new(format!("{:?} is listed without a size", item.key)));
            }
            size => size.unwrap_or_default(),
        };
        Ok(item)
    }
}

fn prefix(xml: &mut Xml<'_>) -> Parsed<String> {
    let mut prefix = None;
    xml.children(|xml, name| {
        if name == b"Prefix" {
            prefix = Some(xml.text()?.into_owned());
        }
        Ok(())
    })?;
    prefix.ok_or_else(|| Malformed::new("it lists a common prefix without its name"))
}

/// An ETag without its quotes; an empty one is none.
fn bare(etag: &str) -> Option<String> {
    let inner = etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"'));
    let etag = inner.unwrap_or(etag);
    (!etag.is_empty()).then(|| etag.to_owned())
}

/// The storage class, where it is not the standard one: HEAD leaves that out, too, and a string for
/// each of a million objects costs.
fn class(class: &str) -> Option<String> {
    (!matches!(class, "STANDARD" | "")).then(|| class.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOT: &str = "ListBucketResult";

    fn object(key: &str) -> String {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2020-01-01T00:00:00.000Z</LastModified>\
             <ETag>&quot;9dd4e461268c8034f5c8564e155c67a6&quot;</ETag><Size>1</Size><Owner><ID>o</ID>\
             </Owner><StorageClass>STANDARD</StorageClass></Contents>"
        )
    }

    fn page(keys: &[String], count: usize) -> String {
        let objects: String = keys.iter().map(|key| object(key)).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><{ROOT} xmlns=\"http://s3.amazonaws.com/doc/\
             2006-03-01/\"><Name>b</Name><KeyCount>{count}</KeyCount><IsTruncated>false</IsTruncated>\
             {objects}<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></{ROOT}>"
        )
    }

    /// A.7
    #[test]
    fn a_page_says_all_that_it_has_to() {
        let whole = page(&["a".into(), "b &amp; c".into()], 3);
        let sheet = Sheet::read(whole.as_bytes(), ROOT).unwrap();
        let keys: Vec<_> = sheet.objects.iter().map(|item| item.key.as_str()).collect();
        assert_eq!((keys, sheet.prefixes.len()), (vec!["a", "b & c"], 1));
        let item = &sheet.objects[0];
        assert_eq!(item.etag.as_deref(), Some("9dd4e461268c8034f5c8564e155c67a6"));
        assert_eq!((item.size, item.class.as_deref(), sheet.truncated), (1, None, false));
        for (from, to) in [
            ("<IsTruncated>false</IsTruncated>", ""),
            ("<IsTruncated>false", "<IsTruncated>"),
            ("<KeyCount>3", "<KeyCount>4"),
            ("<KeyCount>3", "<KeyCount>three"),
            ("<Size>1</Size>", ""),
            ("<Size>1", "<Size>-1"),
            ("<Key>a</Key>", ""),
            ("<Prefix>p/</Prefix>", ""),
            ("2020-01-01T", "2020-01-"),
            ("</ListBucketResult>", ""),
        ] {
            assert!(whole.contains(from), "{from}");
            let other = whole.replace(from, to);
            assert!(Sheet::read(other.as_bytes(), ROOT).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn etags_lose_their_quotes() {
        assert_eq!(bare("\"abc\"").unwrap(), "abc");
        assert_eq!(bare("abc").unwrap(), "abc");
        assert_eq!(bare("\"").unwrap(), "\"");
        assert_eq!(bare("\"\""), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A.7, F.6: wherever a page is cut, it is no page.
        #[test]
        fn every_cut_of_a_page_is_an_error(keys in prop::collection::vec("[a-z/%.]{1,9}", 0..4)) {
            let whole = page(&keys, keys.len() + 1);
            prop_assert!(Sheet::read(whole.as_bytes(), ROOT).is_ok());
            for end in 0..whole.len() {
                prop_assert!(Sheet::read(&whole.as_bytes()[..end], ROOT).is_err(), "{}", end);
            }
        }

        #[test]
        fn nothing_that_a_store_sends_is_a_panic(
            noise in prop::collection::vec(any::<u8>(), 0..300),
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "<", ">", "/", "&", ";", "\"", "=", "<ListBucketResult>", "</ListBucketResult>",
                    "<Contents>", "</Contents>", "<Key>", "</Key>", "<Size>", "<!--", "-->", "<![CDATA[",
                    "]]>", "<?", "?>", "<!DOCTYPE", "&#x110000;", "&#0;", "&amp;", "<IsTruncated/>", "x",
                ]),
                0..60,
            ),
            at in 0..400_usize,
        ) {
            let text = pieces.concat();
            let mut page = page(&["k".into()], 1).into_bytes();
            let at = at.min(page.len());
            page.splice(at..at, noise.iter().copied());
            for text in [text.as_bytes(), &noise, &page] {
                // Whatever it is: an answer, and no panic.
                drop(Sheet::read(text, ROOT));
                drop(crate::document::Document::of(text));
            }
        }
    }
}
