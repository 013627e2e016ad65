//! Two listings side by side.
//!
//! Owns the merge of two ordered listings: two pages in memory, however large the trees are. Both
//! sides must come in the order of bytes; a store that breaks it is an error, because a merge would
//! take what is there for missing.

use std::collections::VecDeque;

use haul_core::{Entry, EntryKind, Error, Filter, Listing, Page, RelPath, Result, Shard};

use crate::sync::Veil;

/// One side of a merge.
pub(crate) struct Side {
    listing: Listing,
    ready: VecDeque<Entry>,
    problems: Vec<Error>,
    /// A folder that does not exist yet is an empty one.
    may_be_missing: bool,
    /// What of it was not seen.
    veil: Veil,
}

/// What a merge found next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Only the source has it.
    Source(Entry),
    /// The same, and what the destination has next begins with this name: perhaps it has a folder of
    /// that name.
    SourceNear(Entry),
    /// Only the destination has it.
    Dest(Entry),
    /// Both have it.
    Both(Entry, Entry),
    /// A folder with nothing in it at the source, and with something in it at the destination.
    BothFull(Entry),
    /// A part of the source cannot be listed; the rest goes on.
    Unlisted(Error),
    /// A part of the destination cannot be listed; the rest goes on.
    Hidden(Error),
}

impl Step {
    /// What it is about, where that is known.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Source(e)
            | Self::SourceNear(e)
            | Self::Dest(e)
            | Self::Both(e, _)
            | Self::BothFull(e) => Some(e),
            Self::Unlisted(_) | Self::Hidden(_) => None,
        }
    }
}

/// Two listings side by side.
pub(crate) struct Join {
    source: Side,
    dest: Side,
    filter: Filter,
    shard: Option<Shard>,
}

impl Side {
    /// A listing, and where what of it could not be seen is told.
    pub(crate) fn new(listing: Listing, may_be_missing: bool, veil: Veil) -> Self {
        let (ready, problems) = (VecDeque::new(), Vec::new());
        Self { listing, ready, problems, may_be_missing, veil }
    }

    /// Fills up; false at the end.
    async fn fill(&mut self, filter: &Filter, keep: impl Fn(&Entry) -> bool) -> Result<bool> {
        while self.ready.is_empty() {
            match self.listing.next().await {
                None => return Ok(false),
                Some(Ok(page)) => {
                    let Page { entries, problems, unseen, vanished } = page;
                    for path in &vanished {
                        self.veil.doubt(path);
                    }
                    self.ready.extend(entries.into_iter().filter(|e| keep(e)));
                    self.veil(problems, &unseen, filter);
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

    /// Takes in what was not seen. A name that is left out does not exist, whatever it is; of what is
    /// below a folder that could not be opened nobody knows.
    fn veil(&mut self, problems: Vec<Error>, unseen: &[RelPath], filter: &Filter) {
        if unseen.len() < problems.len() {
            self.veil.hide_everything();
            return self.problems.extend(problems);
        }
        for (problem, path) in problems.into_iter().zip(unseen) {
            if path.as_bytes().ends_with(b"/") || filter.admits_name(path) {
                self.veil.hide(path);
                self.problems.push(problem);
            }
        }
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
            let (source, dest) =
                (self.source.fill(filter, keep).await?, self.dest.fill(filter, keep).await?);
            if let Some(problem) = self.source.problems.pop() {
                return Ok(Some(Step::Unlisted(problem)));
            }
            if let Some(problem) = self.dest.problems.pop() {
                return Ok(Some(Step::Hidden(problem)));
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
                    return Ok(Some(Step::BothFull(s)));
                }
                (None, Some(d)) if stands(&d, self.source.ready.front()) => {}
                (Some(s), Some(d)) => return Ok(Some(Step::Both(s, d))),
                (Some(s), None) if begins(self.dest.ready.front(), &s) => {
                    return Ok(Some(Step::SourceNear(s)));
                }
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
    entry.kind == EntryKind::Folder && begins(next, entry)
}

/// Whether the name of what comes next begins with that of an entry.
fn begins(next: Option<&Entry>, entry: &Entry) -> bool {
    next.is_some_and(|e| e.path.as_bytes().starts_with(entry.path.as_bytes()))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::BoxFuture;
    use haul_core::handle::JobContext;
    use haul_core::{Engine, EngineOptions, Lister};

    use super::*;

    #[derive(Debug)]
    struct OnePage(Option<Page>);

    impl Lister for OnePage {
        fn location(&self) -> String {
            "here".to_owned()
        }

        fn next_page(&mut self) -> BoxFuture<'_, Result<Option<Page>>> {
            std::future::ready(Ok(self.0.take())).boxed()
        }
    }

    /// R.3: a merge hides what vanished, and fails nothing for it.
    #[tokio::test]
    async fn what_vanished_is_hidden_behind_the_veil() {
        let engine = Engine::new(EngineOptions::default());
        let cx = JobContext::unwatched(tokio_util::sync::CancellationToken::new());
        let side = |page, veil: &Veil| {
            let listing = engine.listing(Box::new(OnePage(Some(page))), &cx);
            Side::new(listing, false, veil.clone())
        };
        let vanished = vec![RelPath::new("a")];
        let (of_source, of_dest) = (Veil::default(), Veil::default());
        let source = side(Page { vanished, ..Page::default() }, &of_source);
        let entries = vec![Entry::file("a/x", 1), Entry::file("b", 1)];
        let dest = side(Page { entries, ..Page::default() }, &of_dest);
        let mut join = Join::new(source, dest, Filter::default(), None);
        let mut hidden = Vec::new();
        while let Some(step) = join.next().await.unwrap() {
            let Step::Dest(e) = step else { panic!("{step:?}") };
            hidden.push(of_source.hides(&e.path));
        }
        assert_eq!(hidden, [true, false]);
        assert!(of_source.is_open());
    }
}
