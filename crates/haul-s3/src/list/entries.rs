//! From the SDK's listings to entries.
//!
//! Owns what a key becomes: decoded, without the prefix, of a kind. Moves strings out of what the SDK
//! made; must never copy one that can be moved, as there are millions.

use std::borrow::Cow;
use std::cmp::Ordering;

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    CommonPrefix, DeleteMarkerEntry, EncodingType, Object, ObjectStorageClass, ObjectVersion,
    ObjectVersionStorageClass,
};
use haul_core::{Entry, EntryKind, Error, ErrorKind, Op, RelPath, Result};
use percent_encoding::percent_decode_str;

use super::Position;
use crate::ObjectId;

/// One page as the store sent it.
pub(super) struct Found {
    pub(super) entries: Vec<Entry>,
    pub(super) problems: Vec<Error>,
    pub(super) next: Position,
}

/// Turns one page's answer into entries.
pub(super) struct Reader<'a> {
    prefix: &'a str,
    location: &'a ObjectId,
    /// Whether the answer says that it encoded keys, as it was asked to.
    encoded: bool,
    entries: Vec<Entry>,
    problems: Vec<Error>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        prefix: &'a str,
        location: &'a ObjectId,
        encoding: Option<&EncodingType>,
    ) -> Self {
        let encoded = encoding == Some(&EncodingType::Url);
        Self { prefix, location, encoded, entries: Vec::new(), problems: Vec::new() }
    }

    /// A key as the store has it. `None` is no key at all: reported, and left out.
    pub(super) fn decode(&mut self, text: String) -> Option<String> {
        if !self.encoded || !text.contains(['%', '+']) {
            return Some(text);
        }
        let decoded = decode_listed(&text, true);
        if decoded.is_none() {
            self.problem(&text, "its key is not UTF-8, and S3 keys are");
        }
        decoded
    }

    fn problem(&mut self, key: &str, what: &str) {
        let object = ObjectId::new(&self.location.bucket, key);
        self.problems.push(Error::new(ErrorKind::Invalid, Op::List, object, what));
    }

    /// Adds an entry, unless it has no key.
    fn push(&mut self, key: Option<String>, rest: impl FnOnce(&str) -> Entry) -> Result<()> {
        let Some(key) = key else { return Ok(()) };
        let Some(mut key) = self.decode(key) else { return Ok(()) };
        if !key.starts_with(self.prefix) {
            let what = "the store lists keys outside of what was asked for";
            return Err(Error::new(ErrorKind::Protocol, Op::List, self.location, what));
        }
        let mut entry = rest(&key);
        key.drain(..self.prefix.len());
        entry.path = RelPath::new(key);
        self.entries.push(entry);
        Ok(())
    }

    pub(super) fn objects(&mut self, objects: Option<Vec<Object>>) -> Result<()> {
        let objects = objects.unwrap_or_default();
        self.entries.reserve(objects.len());
        for object in objects {
            let Object { key, size, e_tag, last_modified, storage_class, .. } = object;
            let size = size_of(size);
            self.push(key, |key| Entry {
                kind: kind_of(key, size),
                modified: time(last_modified),
                etag: e_tag.and_then(bare),
                storage_class: class(storage_class.as_ref().map(ObjectStorageClass::as_str)),
                ..Entry::file("", size)
            })?;
        }
        Ok(())
    }

    pub(super) fn prefixes(&mut self, prefixes: Option<Vec<CommonPrefix>>) -> Result<()> {
        for CommonPrefix { prefix, .. } in prefixes.unwrap_or_default() {
            self.push(prefix, |_| Entry { kind: EntryKind::Prefix, ..Entry::file("", 0) })?;
        }
        Ok(())
    }

    pub(super) fn versions(&mut self, versions: Option<Vec<ObjectVersion>>) -> Result<()> {
        let versions = versions.unwrap_or_default();
        self.entries.reserve(versions.len());
        for version in versions {
            let ObjectVersion { key, size, e_tag, last_modified, storage_class, .. } = version;
            let (version_id, latest) = (version.version_id, version.is_latest);
            let size = size_of(size);
            self.push(key, |key| Entry {
                kind: kind_of(key, size),
                modified: time(last_modified),
                etag: e_tag.and_then(bare),
                version_id,
                latest: latest.unwrap_or(false),
                storage_class: class(storage_class.as_ref().map(ObjectVersionStorageClass::as_str)),
                ..Entry::file("", size)
            })?;
        }
        Ok(())
    }

    pub(super) fn markers(&mut self, markers: Option<Vec<DeleteMarkerEntry>>) -> Result<()> {
        for marker in markers.unwrap_or_default() {
            let DeleteMarkerEntry { key, version_id, is_latest, last_modified, .. } = marker;
            self.push(key, |_| Entry {
                kind: EntryKind::DeleteMarker,
                modified: time(last_modified),
                version_id,
                latest: is_latest.unwrap_or(false),
                ..Entry::file("", 0)
            })?;
        }
        Ok(())
    }

    /// How many entries there are so far: where a further run begins.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The last of all keys and prefixes, in full.
    pub(super) fn last_key(&self) -> Option<String> {
        let last = self.entries.iter().filter_map(|e| e.path.to_str()).max()?;
        Some(format!("{}{last}", self.prefix))
    }

    /// The page, with its runs merged: objects, delete markers and prefixes come in lists of their own,
    /// which begin at `starts`. A run that is not in order is left as it came, for the caller to find.
    pub(super) fn finish(mut self, starts: &[usize], next: Position) -> Found {
        let (mut runs, mut rest, mut sorted) = (0, self.entries.as_slice(), true);
        for start in starts.iter().rev() {
            let (before, run) = rest.split_at(*start);
            runs += usize::from(!run.is_empty());
            sorted &= run.is_sorted_by(|a, b| a.path <= b.path);
            rest = before;
        }
        runs += usize::from(!rest.is_empty());
        sorted &= rest.is_sorted_by(|a, b| a.path <= b.path);
        if runs > 1 && sorted {
            self.entries.sort_by(order); // runs in order are merged, not sorted anew
        }
        Found { entries: self.entries, problems: self.problems, next }
    }
}

/// A key from a listing. Stores encode as forms do: a plus is a space.
pub(crate) fn decode_listed(text: &str, encoded: bool) -> Option<String> {
    if !encoded {
        return Some(text.to_owned());
    }
    let spaced =
        if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::from(text) };
    percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned).ok()
}

/// Keys by bytes, and the newest version first, as far as a listing tells: versions and delete markers
/// of one second come in lists of their own.
fn order(a: &Entry, b: &Entry) -> Ordering {
    a.path
        .cmp(&b.path)
        .then_with(|| b.latest.cmp(&a.latest))
        .then_with(|| b.modified.cmp(&a.modified))
}

fn kind_of(key: &str, size: u64) -> EntryKind {
    if size == 0 && key.ends_with('/') { EntryKind::Folder } else { EntryKind::File }
}

fn size_of(size: Option<i64>) -> u64 {
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default()
}

fn time(time: Option<DateTime>) -> Option<std::time::SystemTime> {
    time.and_then(|t| t.try_into().ok())
}

/// An ETag without its quotes; an empty one is none.
fn bare(mut etag: String) -> Option<String> {
    if etag.len() >= 2 && etag.starts_with('"') && etag.ends_with('"') {
        etag.pop();
        etag.remove(0);
    }
    (!etag.is_empty()).then_some(etag)
}

/// The storage class, where it is not the standard one: HEAD leaves that out, too, and a string for
/// each of a million objects costs.
fn class(class: Option<&str>) -> Option<String> {
    class.filter(|c| !matches!(*c, "STANDARD" | "")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_only_where_the_answer_says_so() {
        let location = ObjectId::new("b", "");
        let mut plain = Reader::new("", &location, None);
        assert_eq!(plain.decode("a%20b+c".into()).unwrap(), "a%20b+c");
        let mut url = Reader::new("", &location, Some(&EncodingType::Url));
        assert_eq!(url.decode("a%20b+c%2Bd%0A".into()).unwrap(), "a b c+d\n");
        assert_eq!(url.decode("%ff".into()), None);
        assert_eq!(url.problems.len(), 1);
    }

    #[test]
    fn etags_lose_their_quotes() {
        assert_eq!(bare("\"abc\"".into()).unwrap(), "abc");
        assert_eq!(bare("abc".into()).unwrap(), "abc");
        assert_eq!(bare("\"".into()).unwrap(), "\"");
        assert_eq!(bare("\"\"".into()), None);
    }
}
