//! From the pages of listings to entries.
//!
//! Owns what a key becomes: decoded, without the prefix, of a kind. Moves strings out of the page; must
//! never copy one that can be moved, as there are millions.

use std::borrow::Cow;
use std::cmp::Ordering;

use haul_core::{Entry, EntryKind, Error, ErrorKind, Op, RelPath, Result};
use percent_encoding::percent_decode_str;

use super::Position;
use super::sheet::Item;
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
    pub(super) fn new(prefix: &'a str, location: &'a ObjectId, encoded: bool) -> Self {
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

    /// Adds an entry, unless its key is none.
    fn push(&mut self, key: String, rest: impl FnOnce(&str) -> Entry) -> Result<()> {
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

    /// Objects of a listing without versions, each of which is the latest of its key.
    pub(super) fn objects(&mut self, objects: Vec<Item>) -> Result<()> {
        self.items(objects, true, kind_of)
    }

    pub(super) fn versions(&mut self, versions: Vec<Item>) -> Result<()> {
        self.items(versions, false, kind_of)
    }

    pub(super) fn markers(&mut self, markers: Vec<Item>) -> Result<()> {
        self.items(markers, false, |_, _| EntryKind::DeleteMarker)
    }

    fn items(
        &mut self,
        items: Vec<Item>,
        latest: bool,
        kind: impl Fn(&str, u64) -> EntryKind,
    ) -> Result<()> {
        self.entries.reserve(items.len());
        for item in items {
            let Item { key, size, etag, modified, class, version_id, .. } = item;
            self.push(key, |key| Entry {
                kind: kind(key, size),
                modified,
                etag,
                version_id,
                latest: item.latest.unwrap_or(latest),
                storage_class: class,
                ..Entry::file("", size)
            })?;
        }
        Ok(())
    }

    pub(super) fn prefixes(&mut self, prefixes: Vec<String>) -> Result<()> {
        for prefix in prefixes {
            self.push(prefix, |_| Entry { kind: EntryKind::Prefix, ..Entry::file("", 0) })?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_only_where_the_answer_says_so() {
        let location = ObjectId::new("b", "");
        let mut plain = Reader::new("", &location, false);
        assert_eq!(plain.decode("a%20b+c".into()).unwrap(), "a%20b+c");
        let mut url = Reader::new("", &location, true);
        assert_eq!(url.decode("a%20b+c%2Bd%0A".into()).unwrap(), "a b c+d\n");
        assert_eq!(url.decode("%ff".into()), None);
        assert_eq!(url.problems.len(), 1);
    }
}
