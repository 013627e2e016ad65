//! Listing buckets, page by page.
//!
//! Owns the walk over pages: which listing is asked, where the next page begins, and that a walk comes
//! to its end. Must never hold more than a page, nor trust a store to move forward.

mod entries;
mod pages;
mod sheet;

use std::sync::atomic::Ordering;

use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{Entry, Error, ErrorKind, Lister, Op, Page, Result};

use crate::ObjectId;
use crate::client::S3Client;
use crate::provider::ListVersion;
use entries::Found;

pub(crate) use entries::decode_listed;

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListSpec {
    /// Bucket.
    pub bucket: String,
    /// What keys begin with; entries are named by what follows it.
    pub prefix: String,
    /// Whether to list one level: what is below a further slash becomes one entry of kind
    /// [`Prefix`](haul_core::EntryKind::Prefix), whose path ends in `/`.
    pub delimiter: bool,
    /// Whether to list all versions, newest first within a key, with delete markers.
    pub versions: bool,
    /// Whether keys that do not come in the order of their bytes are an error. Whoever merges two
    /// listings relies on it; whoever shows one does not.
    pub require_order: bool,
}

impl ListSpec {
    /// Everything in `bucket` whose key begins with `prefix`.
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self { bucket: bucket.into(), prefix: prefix.into(), ..Self::default() }
    }
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Position {
    /// At the first key.
    Start,
    /// Where ListObjectsV2 said.
    Token(String),
    /// Behind this key or common prefix.
    Marker(String),
    /// Behind this version of this key; without a version, behind all of the key.
    Version(String, Option<String>),
    /// There is none.
    End,
}

/// Lists a bucket.
#[derive(Debug)]
pub struct S3Lister {
    client: S3Client,
    spec: ListSpec,
    location: ObjectId,
    next: Position,
    guard: Guard,
}

impl S3Lister {
    /// Ready to list. No request is sent yet.
    pub fn new(client: S3Client, spec: ListSpec) -> Self {
        let location = ObjectId::new(&spec.bucket, &spec.prefix);
        Self { client, spec, location, next: Position::Start, guard: Guard::default() }
    }

    async fn page(&mut self) -> Result<Option<Page>> {
        if self.next == Position::End {
            return Ok(None);
        }
        let Found { entries, problems, next } = self.ask().await?;
        self.guard.check(&self.next, &next, &entries).map_err(|what| self.nonsense(&what))?;
        if self.spec.require_order {
            let equal = self.spec.versions;
            self.guard.order(&entries, equal).map_err(|what| self.nonsense(&what))?;
        }
        self.guard.passed(&next, entries.last());
        self.next = next;
        Ok(Some(Page { entries, problems, ..Page::default() }))
    }

    /// One page, from the listing that the store knows.
    async fn ask(&self) -> Result<Found> {
        if self.spec.versions {
            return self.versions_page().await;
        }
        let old = self.client.quirks().list == ListVersion::V1
            || self.client.learned.no_list_v2.load(Ordering::Relaxed);
        if old || matches!(self.next, Position::Marker(_)) {
            return self.v1_page().await;
        }
        match self.v2_page().await {
            Err(e) if e.kind() == ErrorKind::Unsupported && self.next == Position::Start => {
                tracing::info!("this store has no ListObjectsV2: going on with version 1");
                self.client.learned.no_list_v2.store(true, Ordering::Relaxed);
                self.v1_page().await
            }
            page => page,
        }
    }

    fn nonsense(&self, what: &str) -> Error {
        Error::new(ErrorKind::Protocol, Op::List, &self.location, what)
    }
}

impl Lister for S3Lister {
    fn location(&self) -> String {
        self.location.to_string()
    }

    fn next_page(&mut self) -> BoxFuture<'_, Result<Option<Page>>> {
        self.page().boxed()
    }
}

/// Sees to it that a walk ends.
#[derive(Debug, Default)]
struct Guard {
    /// The last entry that was listed.
    last: Option<String>,
    /// A position that was passed, compared with every later one: as it is replaced at growing
    /// intervals, every circle is found (Brent's algorithm).
    passed: Option<Position>,
    steps: u64,
    interval: u64,
    /// Pages without an entry, one after the other.
    empty: u32,
}

/// How many pages in a row may be empty. Some are where much was deleted; a store that sends nothing
/// else must not keep us.
const MOST_EMPTY: u32 = 100_000;

impl Guard {
    /// Whether `next` leads on from `sent`.
    fn check(&self, sent: &Position, next: &Position, entries: &[Entry]) -> Result<(), String> {
        if *next == Position::End {
            return Ok(());
        }
        if next == sent || Some(next) == self.passed.as_ref() {
            return Err("the store sends the same page again and again".to_owned());
        }
        if entries.is_empty() && self.empty >= MOST_EMPTY {
            return Err("the store sends empty pages without end".to_owned());
        }
        // A version of the same key may follow; the same key as an end of two pages otherwise not.
        let last = entries.last().and_then(|e| e.path.to_str());
        if last.is_some() && last == self.last.as_deref() && !matches!(next, Position::Version(..))
        {
            return Err("the store sends the same page again and again".to_owned());
        }
        Ok(())
    }

    /// Whether entries come in the order of their bytes, within the page and after the last one.
    fn order(&self, entries: &[Entry], equal: bool) -> Result<(), String> {
        let mut before = self.last.as_deref();
        for entry in entries {
            let path = entry.path.to_str();
            let ahead = before.is_none() || path > before || (equal && path == before);
            if !ahead {
                let path = path.unwrap_or_default();
                return Err(format!(
                    "the store lists {path:?} after {:?}, which is no order to rely on",
                    before.unwrap_or_default()
                ));
            }
            before = path;
        }
        Ok(())
    }

    fn passed(&mut self, next: &Position, last: Option<&Entry>) {
        self.empty = if last.is_none() { self.empty + 1 } else { 0 };
        if let Some(last) = last.and_then(|e| e.path.to_str()) {
            self.last = Some(last.to_owned());
        }
        self.steps += 1;
        if self.steps >= self.interval {
            self.passed = Some(next.clone());
            (self.steps, self.interval) = (0, (self.interval * 2).max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(i: usize) -> Position {
        Position::Token(format!("t{i}"))
    }

    /// Walks tokens that go round in a circle of `length`, after `lead` others.
    fn walk(lead: usize, length: usize) -> usize {
        let mut guard = Guard::default();
        let mut sent = Position::Start;
        for step in 0.. {
            let next = token(if step < lead { step } else { lead + (step - lead) % length });
            if guard.check(&sent, &next, &[]).is_err() {
                return step;
            }
            assert!(step < 10_000, "no end");
            guard.passed(&next, None);
            sent = next;
        }
        unreachable!()
    }

    #[test]
    fn every_circle_of_tokens_ends() {
        for (lead, length) in [(0, 1), (0, 2), (1, 2), (5, 3), (17, 10), (100, 1)] {
            let steps = walk(lead, length);
            assert!(steps <= 4 * (lead + length) + 4, "{lead} {length}: {steps}");
        }
    }

    #[test]
    fn order_is_that_of_bytes() {
        let entries = |keys: &[&str]| keys.iter().map(|k| Entry::file(*k, 1)).collect::<Vec<_>>();
        let guard = Guard { last: Some("b".into()), ..Guard::default() };
        assert!(guard.order(&entries(&["b!", "b/", "ba", "é"]), false).is_ok());
        assert!(guard.order(&entries(&["b"]), false).is_err());
        assert!(guard.order(&entries(&["b"]), true).is_ok());
        assert!(guard.order(&entries(&["c", "a"]), true).is_err());
        assert!(guard.order(&entries(&["a"]), true).is_err());
    }
}
