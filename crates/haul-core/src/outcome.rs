//! How the items of a job of many ended.
//!
//! Owns the outcome of one item, the counters over all of them, and the summary. Must never count
//! an item twice, nor one that is not over.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use crate::error::{Error, ErrorKind};
use crate::foreign::Foreign;
use crate::report::{Report, Verified};

/// How one item ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Its bytes, or a folder or link, are at the destination.
    Copied(Box<Report>),
    /// There was nothing to do.
    Skipped(Skip),
    /// It was removed.
    Removed,
    /// A dry run: it would have been changed.
    Would(Change),
    /// A comparison found the same on both sides.
    Same(Verified),
    /// A comparison found a difference.
    Differs(Difference),
    /// A comparison found nothing to tell by whether the contents are the same.
    Unknown,
    /// Its link was made; nothing was moved.
    Linked,
    /// Peers can have it; nothing was moved. Of a file, the BLAKE3 hash of what they get.
    Offered(Option<[u8; 32]>),
    /// It failed; the rest goes on.
    Failed(Error),
}

/// Why there was nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skip {
    /// The destination exists and may not be replaced.
    Exists,
    /// The destination has the same content, as far as the comparison tells.
    Same(Verified),
}

/// What a dry run would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Copy it.
    Copy,
    /// Copy it and remove the source.
    Move,
    /// Remove it.
    Remove,
}

/// How two sides differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The source has it and the destination has not.
    MissingAtDestination,
    /// The destination has it and the source has not.
    MissingAtSource,
    /// The sizes differ.
    Size,
    /// The sizes are the same and the bytes are not.
    Content,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => f.write_str("it exists"),
            Self::Same(Verified::Size) => f.write_str("same size, and not changed since"),
            Self::Same(by) => write!(f, "same content ({by})"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingAtDestination => "missing at the destination",
            Self::MissingAtSource => "missing at the source",
            Self::Size => "the sizes differ",
            Self::Content => "the contents differ",
        })
    }
}

/// A link that may carry a signature: whoever has it has the object. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Link(pub String);

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(***)")
    }
}

/// One item of many that is over.
#[derive(Debug)]
pub struct Settled {
    /// Its number in the job, from 0, in the order of the listing.
    pub item: u64,
    /// The source; what was removed, for removals.
    pub from: Foreign,
    /// The destination, where there is one.
    pub to: Foreign,
    /// Bytes, when known.
    pub size: Option<u64>,
    /// A link to the destination, where one was asked for.
    pub link: Option<Link>,
    /// How it ended.
    pub outcome: Outcome,
    /// Given back when the event is dropped: see [`many`](crate::many).
    pub(crate) credit: Option<OwnedSemaphorePermit>,
}

impl Settled {
    /// An item that is over; its number is filled in by whoever ran it.
    pub fn new(from: impl Into<Foreign>, to: impl Into<Foreign>, outcome: Outcome) -> Self {
        Self {
            item: 0,
            from: from.into(),
            to: to.into(),
            size: None,
            link: None,
            outcome,
            credit: None,
        }
    }

    /// With its size.
    #[must_use]
    pub fn sized(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }
}

/// S0.11: counters over the items of a job, for many threads at once.
#[derive(Debug, Default)]
pub struct Tally {
    found: AtomicU64,
    copied: AtomicU64,
    skipped: AtomicU64,
    removed: AtomicU64,
    same: AtomicU64,
    differing: AtomicU64,
    unknown: AtomicU64,
    missing: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    /// Items that have a number.
    numbered: AtomicU64,
    complete: AtomicBool,
}

/// What a job of many items did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Items found so far.
    pub found: u64,
    /// Copied, or that would be in a dry run, or given a link, or offered to peers.
    pub copied: u64,
    /// Skipped.
    pub skipped: u64,
    /// Removed, or that would be in a dry run.
    pub removed: u64,
    /// The same on both sides.
    pub same: u64,
    /// Different on the two sides.
    pub differing: u64,
    /// On both sides, with nothing to tell by whether they are the same.
    pub unknown: u64,
    /// Not there, where a link was asked for: counted among the failed, too.
    pub missing: u64,
    /// Failed.
    pub failed: u64,
    /// Bytes of what was copied.
    pub bytes: u64,
    /// Tries beyond the first.
    pub retried: u64,
    /// Time in all.
    pub elapsed: Duration,
    /// Whether all items are known.
    pub complete: bool,
}

impl Summary {
    /// Items that are over.
    pub fn settled(&self) -> u64 {
        let compared = self.same + self.differing + self.unknown;
        self.copied + self.skipped + self.removed + compared + self.failed
    }
}

impl Tally {
    /// Counts items that were found.
    pub fn found(&self, items: u64) {
        self.found.fetch_add(items, Ordering::Relaxed);
    }

    /// Numbers for so many items, the first of them: a job that works in several rounds numbers
    /// them through.
    pub(crate) fn number(&self, items: u64) -> u64 {
        self.numbered.fetch_add(items, Ordering::Relaxed)
    }

    /// Says that no more will be found.
    pub fn complete(&self) {
        self.complete.store(true, Ordering::Relaxed);
    }

    /// Counts an item that is over.
    pub fn settle(&self, settled: &Settled) {
        let slot = match &settled.outcome {
            Outcome::Copied(report) => {
                self.bytes.fetch_add(report.bytes, Ordering::Relaxed);
                &self.copied
            }
            Outcome::Would(Change::Remove) | Outcome::Removed => &self.removed,
            Outcome::Would(_) | Outcome::Offered(_) => {
                self.bytes.fetch_add(settled.size.unwrap_or(0), Ordering::Relaxed);
                &self.copied
            }
            Outcome::Linked => &self.copied,
            Outcome::Skipped(_) => &self.skipped,
            Outcome::Same(_) => &self.same,
            Outcome::Differs(_) => &self.differing,
            Outcome::Unknown => &self.unknown,
            Outcome::Failed(e) => {
                if e.kind() == ErrorKind::NotFound {
                    self.missing.fetch_add(1, Ordering::Relaxed);
                }
                &self.failed
            }
        };
        slot.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts many items at once that had nothing to do and are not worth a word each.
    pub fn skip(&self, items: u64) {
        self.found.fetch_add(items, Ordering::Relaxed);
        self.skipped.fetch_add(items, Ordering::Relaxed);
    }

    /// The counters now; time and retries are for the caller to add.
    pub fn snapshot(&self) -> Summary {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Summary {
            found: of(&self.found),
            copied: of(&self.copied),
            skipped: of(&self.skipped),
            removed: of(&self.removed),
            same: of(&self.same),
            differing: of(&self.differing),
            unknown: of(&self.unknown),
            missing: of(&self.missing),
            failed: of(&self.failed),
            bytes: of(&self.bytes),
            complete: self.complete.load(Ordering::Relaxed),
            ..Summary::default()
        }
    }
}

/// Puts items that are over back into the order of the listing. What it holds is bounded by the
/// credits that the items carry; an item that is handed out has given its credit back.
#[derive(Debug, Default)]
pub struct InOrder {
    next: u64,
    waiting: std::collections::BTreeMap<u64, Settled>,
}

impl InOrder {
    /// Takes one item and gives back all whose turn has come.
    pub fn push(&mut self, settled: Settled) -> Vec<Settled> {
        self.waiting.insert(settled.item, settled);
        let mut ready = Vec::new();
        while let Some(settled) = self.waiting.remove(&self.next) {
            self.next += 1;
            ready.push(Settled { credit: None, ..settled });
        }
        ready
    }

    /// What is left when a job was cut short, in order, with gaps.
    pub fn rest(&mut self) -> impl Iterator<Item = Settled> + use<> {
        std::mem::take(&mut self.waiting).into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(item: u64, outcome: Outcome) -> Settled {
        Settled { item, ..Settled::new("a", "b", outcome) }
    }

    #[test]
    fn items_come_out_in_order() {
        let mut order = InOrder::default();
        let mut out = Vec::new();
        for item in [2, 0, 3, 1, 5] {
            out.extend(order.push(settled(item, Outcome::Removed)).iter().map(|s| s.item));
        }
        assert_eq!(out, [0, 1, 2, 3]);
        assert_eq!(order.rest().map(|s| s.item).collect::<Vec<_>>(), [5]);
    }

    /// S0.11, S0.17, X0.3: every result is counted once, successes apart from failures.
    #[test]
    fn counters_add_up_from_many_threads() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..300 {
                        tally.found(1);
                        let failed = Error::new(ErrorKind::Io, crate::Op::Read, "x", "no");
                        tally.settle(&settled(
                            i,
                            match i % 3 {
                                0 => Outcome::Removed,
                                1 => Outcome::Skipped(Skip::Exists),
                                _ => Outcome::Failed(failed),
                            },
                        ));
                    }
                });
            }
        });
        let sum = tally.snapshot();
        assert_eq!((sum.found, sum.settled()), (1200, 1200));
        assert_eq!((sum.removed, sum.skipped, sum.failed), (400, 400, 400));
    }
}
