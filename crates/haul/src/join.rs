//! Two listings side by side.
//!
//! Owns the merge of two ordered listings: two pages in memory, however large the trees are. Both
//! sides must come in the order of bytes; a store that breaks it is an error, because a merge would
//! take what is there for missing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haul_core::{Entry, EntryKind, Error, Filter, Listing, Result, Shard};

/// One side of a merge.
pub(crate) struct Side {
    listing: Listing,
    ready: VecDeque<Entry>,
    problems: Vec<Error>,
    /// A folder that does not exist yet is an empty one.
    may_be_missing: bool,
    /// Set when anything is there, meant or not.
    anything: Arc<AtomicBool>,
}

/// What a merge found next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Only the source has it.
    Source(Entry),
    /// Only the destination has it.
    Dest(Entry),
    /// Both have it.
    Both(Entry, Entry),
    /// A part of the source cannot be listed; the rest goes on.
    Unlisted(Error),
}

/// Two listings side by side.
pub(crate) struct Join {
    source: Side,
    dest: Side,
    filter: Filter,
    shard: Option<Shard>,
}

impl Side {
    pub(crate) fn new(listing: Listing, may_be_missing: bool) -> Self {
        let (ready, problems, anything) = (VecDeque::new(), Vec::new(), Arc::default());
        Self { listing, ready, problems, may_be_missing, anything }
    }

    /// Sets `anything` as soon as the side turns out not to be empty.
    pub(crate) fn telling(self, anything: Arc<AtomicBool>) -> Self {
        Self { anything, ..self }
    }

    /// Fills up; false at the end.
    async fn fill(&mut self, keep: impl Fn(&Entry) -> bool) -> Result<bool> {
        while self.ready.is_empty() {
            match self.listing.next().await {
                None => return Ok(false),
                Some(Ok(page)) => {
                    if !page.entries.is_empty() {
                        self.anything.store(true, Ordering::Relaxed);
                    }
                    self.ready.extend(page.entries.into_iter().filter(|e| keep(e)));
                    self.problems.extend(page.problems);
                    if !self.problems.is_empty() {
                        return Ok(true);
                    }
                }
                Some(Err(e))
                    if self.may_be_missing && e.kind() == haul_core::ErrorKind::NotFound =>
                {
                    return Ok(false);
                }
                Some(Err(e)) => return Err(e),
            }
        }
        Ok(true)
    }
}

impl Join {
    pub(crate) fn new(source: Side, dest: Side, filter: Filter, shard: Option<Shard>) -> Self {
        Self { source, dest, filter, shard }
    }

    /// What comes next. Names that the filter leaves out do not exist on either side; files that it
    /// leaves out for their size or age are neither copied nor taken for missing, nor removed.
    pub(crate) async fn next(&mut self) -> Result<Option<Step>> {
        loop {
            let (filter, shard) = (&self.filter, self.shard);
            let keep = |e: &Entry| {
                crate::listers::is_content(e)
                    && filter.admits_name(&e.path)
                    && shard.is_none_or(|s| s.holds(&e.path))
            };
            let (source, dest) = (self.source.fill(keep).await?, self.dest.fill(keep).await?);
            if let Some(problem) = self.source.problems.pop() {
                return Ok(Some(Step::Unlisted(problem)));
            }
            if let Some(problem) = self.dest.problems.pop() {
                // What is there cannot be told from what is missing.
                return Err(problem);
            }
            if !source && !dest {
                return Ok(None);
            }
            let order = match (self.source.ready.front(), self.dest.ready.front()) {
                (Some(s), Some(d)) => s.path.cmp(&d.path),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, _) => std::cmp::Ordering::Greater,
            };
            let theirs = if order.is_le() { self.source.ready.pop_front() } else { None };
            let ours = if order.is_ge() { self.dest.ready.pop_front() } else { None };
            match (theirs, ours) {
                (Some(e), _) | (None, Some(e)) if !self.filter.admits(&e) => {}
                (Some(s), None) if stands(&s, self.dest.ready.front()) => {
                    return Ok(Some(Step::Both(s.clone(), s)));
                }
                (None, Some(d)) if stands(&d, self.source.ready.front()) => {}
                (Some(s), Some(d)) => return Ok(Some(Step::Both(s, d))),
                (Some(s), None) => return Ok(Some(Step::Source(s))),
                (None, Some(d)) => return Ok(Some(Step::Dest(d))),
                (None, None) => return Ok(None),
            }
        }
    }
}

/// Whether a folder of one side is on the other, with something in it: what comes next there is below
/// it.
fn stands(entry: &Entry, next: Option<&Entry>) -> bool {
    let below = |e: &Entry| e.path.as_bytes().starts_with(entry.path.as_bytes());
    entry.kind == EntryKind::Folder && next.is_some_and(below)
}
