//! ListObjectsV2, ListObjects and ListObjectVersions.
//!
//! Owns: order, prefixes, delimiters and pages. Must never walk more keys than it lists: a page of
//! a bucket of a million keys costs a page.

use std::ops::Bound;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    CommonPrefix, DeleteMarkerEntry, ETag, EncodingType, ListObjectVersionsInput,
    ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectStorageClass, ObjectVersion, ObjectVersionStorageClass,
    Owner, StorageClass, Timestamp,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::state::{Bucket, Version};
use super::{MemoryS3, StoreRules, StoredObject};

/// What `encoding-type=url` leaves alone: RFC 3986 unreserved characters and the slash.
const LISTED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
/// Who owns everything here.
const OWNER: &str = "haul-testkit";

/// Whether a listing percent-encodes keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Raw,
    Url,
}

impl Encoding {
    pub(super) fn of(asked: Option<&EncodingType>) -> Self {
        let url = asked.is_some_and(|e| e.as_str() == EncodingType::URL);
        if url { Self::Url } else { Self::Raw }
    }

    pub(super) fn apply(self, text: &str) -> String {
        match self {
            Self::Raw => text.to_owned(),
            Self::Url => utf8_percent_encode(text, LISTED).to_string(),
        }
    }
}

/// What to list.
struct Query<'a> {
    prefix: &'a str,
    delimiter: &'a str,
    /// The last key or common prefix that was already listed.
    after: &'a str,
    /// Whether `after` is a common prefix, with everything under it.
    after_prefix: bool,
    max: usize,
}

/// One page.
struct Page<'a, T> {
    items: Vec<T>,
    prefixes: Vec<&'a str>,
    /// The last thing listed and whether it is a common prefix, if there is more.
    next: Option<(String, bool)>,
}

impl MemoryS3 {
    pub(super) fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        if !self.rules().list_v2 {
            return Err(s3_error!(NotImplemented, "ListObjectsV2 is not implemented"));
        }
        let encoding_type = self.applied(input.encoding_type);
        let encoding = Encoding::of(encoding_type.as_ref());
        let max = page_size(self.rules(), input.max_keys)?;
        let token = input.continuation_token.as_deref().map(read_token).transpose()?;
        let token = token.filter(|_| !self.rules().repeat_page);
        let start = input.start_after.clone().unwrap_or_default();
        let (after, after_prefix) = token.unwrap_or((start, false));
        let state = self.lock();
        let bucket = state.bucket(&input.bucket)?;
        let query = Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref().unwrap_or_default(),
            after: &after,
            after_prefix,
            max,
        };
        let owner = input.fetch_owner.unwrap_or(false);
        let mut page = page(bucket, &query, |key| listed(bucket, key, encoding, owner));
        self.disorder(&mut page.items);
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket.clone()),
            prefix: Some(encoding.apply(query.prefix)),
            max_keys: Some(max as i32),
            key_count: Some((page.items.len() + page.prefixes.len()) as i32),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.map(|next| write_token(&next)),
            continuation_token: input.continuation_token.clone(),
            contents: Some(page.items),
            common_prefixes: Some(shown_prefixes(&page.prefixes, encoding)),
            delimiter: input.delimiter.as_deref().map(|d| encoding.apply(d)),
            encoding_type,
            start_after: input.start_after.as_deref().map(|s| encoding.apply(s)),
            ..ListObjectsV2Output::default()
        }))
    }

    pub(super) fn list_objects(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = req.input;
        let encoding_type = self.applied(input.encoding_type);
        let encoding = Encoding::of(encoding_type.as_ref());
        let max = page_size(self.rules(), input.max_keys)?;
        let (marker, delimiter) =
            (input.marker.as_deref().unwrap_or_default(), input.delimiter.as_deref());
        let state = self.lock();
        let bucket = state.bucket(&input.bucket)?;
        let query = Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: delimiter.unwrap_or_default(),
            after: marker,
            // A marker that is a common prefix came from NextMarker, and covers what is under it. It
            // is longer than the prefix of the listing, which may be a key of its own.
            after_prefix: delimiter.is_some_and(|d| !d.is_empty() && marker.ends_with(d))
                && input.prefix.as_deref() != Some(marker),
            max,
        };
        let mut page = page(bucket, &query, |key| listed(bucket, key, encoding, true));
        self.disorder(&mut page.items);
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket.clone()),
            prefix: Some(encoding.apply(query.prefix)),
            marker: Some(encoding.apply(marker)),
            max_keys: Some(max as i32),
            is_truncated: Some(page.next.is_some()),
            // Only with a delimiter; otherwise the client takes the last key (API reference).
            next_marker: page
                .next
                .filter(|_| delimiter.is_some())
                .map(|(last, _)| encoding.apply(&last)),
            contents: Some(page.items),
            common_prefixes: Some(shown_prefixes(&page.prefixes, encoding)),
            delimiter: delimiter.map(|d| encoding.apply(d)),
            encoding_type,
            ..ListObjectsOutput::default()
        }))
    }

    pub(super) fn list_object_versions(
        &self,
        req: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let input = req.input;
        let encoding_type = self.applied(input.encoding_type);
        let encoding = Encoding::of(encoding_type.as_ref());
        let max = page_size(self.rules(), input.max_keys)?;
        let marker = input.key_marker.as_deref().unwrap_or_default();
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let delimiter = input.delimiter.as_deref().unwrap_or_default();
        let state = self.lock();
        let bucket = state.bucket(&input.bucket)?;
        let (mut out, mut count) = (ListObjectVersionsOutput::default(), 0);
        let (mut versions, mut markers) = (Vec::new(), Vec::new());
        let mut prefixes: Vec<&str> = Vec::new();
        let mut last = (marker.to_owned(), input.version_id_marker.clone());
        for (key, version, latest) in history(bucket, prefix, &last.clone()) {
            let common = common_prefix(key, prefix, delimiter);
            if common.is_some_and(|c| prefixes.last() == Some(&c) || marker == c) {
                continue;
            }
            if count == max {
                out.is_truncated = Some(true);
                (out.next_key_marker, out.next_version_id_marker) =
                    (Some(encoding.apply(&last.0)), last.1);
                break;
            }
            count += 1;
            last =
                (common.unwrap_or(key).to_owned(), common.is_none().then(|| version.id().into()));
            match (common, version) {
                (Some(common), _) => prefixes.push(common),
                (None, Version::Object(object)) => {
                    versions.push(listed_version(&encoding.apply(key), object, latest));
                }
                (None, Version::Marker { id, modified }) => markers.push(DeleteMarkerEntry {
                    is_latest: Some(latest),
                    key: Some(encoding.apply(key)),
                    last_modified: Some(Timestamp::from(*modified)),
                    owner: Some(owner()),
                    version_id: Some(id.clone()),
                }),
            }
        }
        out.is_truncated.get_or_insert(false);
        out.name = Some(input.bucket.clone());
        out.prefix = Some(encoding.apply(prefix));
        out.delimiter = input.delimiter.as_deref().map(|d| encoding.apply(d));
        out.key_marker = Some(encoding.apply(marker));
        out.version_id_marker.clone_from(&input.version_id_marker);
        out.max_keys = Some(max as i32);
        out.encoding_type = encoding_type;
        out.common_prefixes = Some(shown_prefixes(&prefixes, encoding));
        (out.versions, out.delete_markers) = (Some(versions), Some(markers));
        Ok(S3Response::new(out))
    }

    /// The encoding that the rules allow.
    fn applied(&self, asked: Option<EncodingType>) -> Option<EncodingType> {
        asked.filter(|_| self.rules().url_encoding)
    }

    /// Spoils the order of a page, where the rules say so.
    fn disorder<T>(&self, items: &mut [T]) {
        if self.rules().unordered {
            items.reverse();
        }
    }
}

/// The page of `query`; `item` makes an entry of a key, or nothing of one that is not visible.
fn page<'a, T>(
    bucket: &'a Bucket,
    query: &Query<'_>,
    item: impl Fn(&str) -> Option<T>,
) -> Page<'a, T> {
    let mut page = Page { items: Vec::new(), prefixes: Vec::new(), next: None };
    if query.max == 0 {
        return page;
    }
    let mut last: Option<(&str, bool)> = None;
    let mut from = if query.after_prefix {
        past(query.after)
    } else if query.after >= query.prefix && !query.after.is_empty() {
        Bound::Excluded(query.after.to_owned())
    } else {
        Bound::Included(query.prefix.to_owned())
    };
    loop {
        let next = bucket.objects.range((from, Bound::Unbounded)).next();
        let Some((key, _)) = next else { break };
        if !key.starts_with(query.prefix) {
            // Only keys before the prefix may be skipped: the range starts there.
            if key.as_str() > query.prefix {
                break;
            }
            from = Bound::Included(query.prefix.to_owned());
            continue;
        }
        from = Bound::Excluded(key.clone());
        let Some(entry) = item(key) else { continue };
        let common = common_prefix(key, query.prefix, query.delimiter);
        if page.items.len() + page.prefixes.len() == query.max {
            page.next = last.map(|(text, prefix)| (text.to_owned(), prefix));
            break;
        }
        if let Some(common) = common {
            page.prefixes.push(common);
            last = Some((common, true));
            from = past(common);
        } else {
            page.items.push(entry);
            last = Some((key, false));
        }
    }
    page
}

/// Everything behind the keys that start with `prefix`.
fn past(prefix: &str) -> Bound<String> {
    // The next string of the same length: its last character raised by one.
    let mut next = prefix.to_owned();
    while let Some(last) = next.pop() {
        if let Some(raised) = ((last as u32 + 1)..=0xE000).find_map(char::from_u32) {
            next.push(raised);
            return Bound::Included(next);
        }
        if let Some(raised) = char::from_u32(last as u32 + 1) {
            next.push(raised);
            return Bound::Included(next);
        }
    }
    Bound::Excluded(char::MAX.to_string())
}

/// Versions in listing order, newest first within a key, from behind the markers.
fn history<'a>(
    bucket: &'a Bucket,
    prefix: &'a str,
    (key_marker, version_marker): &(String, Option<String>),
) -> impl Iterator<Item = (&'a str, &'a Version, bool)> {
    let start = if key_marker.as_str() > prefix { key_marker.clone() } else { prefix.to_owned() };
    let (key_marker, version_marker) = (key_marker.clone(), version_marker.clone());
    bucket.objects.range(start..).take_while(move |(key, _)| key.starts_with(prefix)).flat_map(
        move |(key, history)| {
            let newest = history.len() - 1;
            // Of the marker's own key, only what is older than the marked version is left.
            let left = match &version_marker {
                _ if *key != key_marker || key.is_empty() => history.len(),
                Some(id) => history.iter().position(|v| v.id() == id).unwrap_or(0),
                None => 0,
            };
            history[..left]
                .iter()
                .enumerate()
                .rev()
                .map(move |(i, version)| (key.as_str(), version, i == newest))
        },
    )
}

/// The part of a key up to the first delimiter behind the prefix.
pub(super) fn common_prefix<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    if delimiter.is_empty() {
        return None;
    }
    let rest = key.get(prefix.len()..)?;
    rest.find(delimiter).map(|at| &key[..prefix.len() + at + delimiter.len()])
}

/// How many entries a page may have.
pub(super) fn page_size(rules: &StoreRules, asked: Option<i32>) -> S3Result<usize> {
    match asked {
        Some(asked) if asked < 0 => Err(s3_error!(
            InvalidArgument,
            "Argument maxKeys must be an integer between 0 and 2147483647"
        )),
        Some(asked) => Ok((asked as usize).min(rules.max_keys as usize)),
        None => Ok(rules.max_keys as usize),
    }
}

fn listed(bucket: &Bucket, key: &str, encoding: Encoding, with_owner: bool) -> Option<Object> {
    let object = bucket.current(key)?;
    Some(Object {
        key: Some(encoding.apply(key)),
        size: Some(object.size() as i64),
        e_tag: Some(ETag::Strong(object.etag.clone())),
        last_modified: Some(Timestamp::from(object.modified)),
        storage_class: Some(ObjectStorageClass::from(class(object))),
        checksum_algorithm: object.checksums.algorithms(),
        checksum_type: object.checksums.kind(),
        owner: with_owner.then(owner),
        ..Object::default()
    })
}

fn listed_version(key: &str, object: &StoredObject, latest: bool) -> ObjectVersion {
    ObjectVersion {
        key: Some(key.to_owned()),
        version_id: Some(object.version_id.clone()),
        is_latest: Some(latest),
        size: Some(object.size() as i64),
        e_tag: Some(ETag::Strong(object.etag.clone())),
        last_modified: Some(Timestamp::from(object.modified)),
        storage_class: Some(ObjectVersionStorageClass::from(class(object))),
        checksum_algorithm: object.checksums.algorithms(),
        checksum_type: object.checksums.kind(),
        owner: Some(owner()),
        ..ObjectVersion::default()
    }
}

fn class(object: &StoredObject) -> String {
    object.attributes.storage_class.clone().unwrap_or_else(|| StorageClass::STANDARD.to_owned())
}

pub(super) fn owner() -> Owner {
    Owner { display_name: Some(OWNER.to_owned()), id: Some(OWNER.to_owned()) }
}

fn shown_prefixes(prefixes: &[&str], encoding: Encoding) -> Vec<CommonPrefix> {
    prefixes.iter().map(|p| CommonPrefix { prefix: Some(encoding.apply(p)) }).collect()
}

fn write_token((last, prefix): &(String, bool)) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}{last}", if *prefix { 'p' } else { 'k' }))
}

fn read_token(token: &str) -> S3Result<(String, bool)> {
    let invalid = || s3_error!(InvalidArgument, "The continuation token provided is incorrect");
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|raw| String::from_utf8(raw).ok());
    let text = text.ok_or_else(invalid)?;
    match text.split_at_checked(1) {
        Some(("p", last)) => Ok((last.to_owned(), true)),
        Some(("k", last)) => Ok((last.to_owned(), false)),
        _ => Err(invalid()),
    }
}
