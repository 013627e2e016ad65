//! What the documents say comes of a command.
//!
//! Owns the form of a forecast, and what verbs have in common: which names are meant, and what
//! becomes of one thing at its place. Must never ask haul.

use std::collections::BTreeSet;

use haul::Difference;

use crate::state::{At, Entry, Node, State, ancestors, folder, make_parents, name_of};
use crate::steps::Command;

/// How one item ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Copied,
    Skipped,
    Removed,
    Same,
    Differs(Difference),
    Failed,
    /// The documents leave it open: two things want one place, or nothing tells which is newer. It is
    /// done or not, and nothing between.
    Open,
}

#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) from: At,
    pub(crate) to: Option<At>,
    pub(crate) fate: Fate,
}

/// Whether a job says that it went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Well,
    /// An item failed, or the whole was refused.
    Badly,
    Open,
}

/// What comes of a command.
#[derive(Debug, Clone)]
pub(crate) struct Forecast {
    pub(crate) items: Vec<Item>,
    pub(crate) end: End,
    pub(crate) after: State,
    /// What may be as it was before, instead.
    pub(crate) open: BTreeSet<At>,
    /// Folders with nothing in them may be there or not, below these.
    pub(crate) open_folders: Vec<At>,
    /// Sources are destinations, too: what goes where depends on the order. Nothing may be lost.
    pub(crate) tangled: bool,
}

impl Forecast {
    pub(crate) fn new(before: &State) -> Self {
        Self {
            items: Vec::new(),
            end: End::Well,
            after: before.clone(),
            open: BTreeSet::new(),
            open_folders: Vec::new(),
            tangled: false,
        }
    }

    /// Nothing changes, and the job says so.
    pub(crate) fn refused(before: &State) -> Self {
        Self { end: End::Badly, ..Self::new(before) }
    }

    pub(crate) fn fails(&mut self) {
        self.end = End::Badly;
    }

    /// How it ends by what became of the items so far.
    pub(crate) fn settle_end(&mut self) {
        let any = |fate| self.items.iter().any(|i| i.fate == fate);
        if any(Fate::Failed) {
            self.end = End::Badly;
        } else if self.end == End::Well && any(Fate::Open) {
            self.end = End::Open;
        }
    }

    /// Whether anything is left open.
    pub(crate) fn is_open(&self) -> bool {
        self.tangled || self.end == End::Open || self.items.iter().any(|i| i.fate == Fate::Open)
    }

    /// Puts a thing at its place in the state after.
    pub(crate) fn put(&mut self, to: &At, node: &Node) {
        if to.space.is_disk() {
            let path = to.path.trim_end_matches('/').to_owned();
            make_parents(&mut self.after, &path);
            let to = At::new(to.space, path);
            if !(node.is_folder() && self.after.contains_key(&to)) {
                self.after.insert(to, node.clone());
            }
        } else {
            self.after.insert(to.clone(), node.clone());
        }
    }

    /// Two stores that show the same names, ETags and times may be taken for one: then it is refused, in
    /// whole or in part.
    pub(crate) fn may_be_refused(&mut self, before: &State) {
        let all: BTreeSet<&At> = self.after.keys().chain(before.keys()).collect();
        self.open.extend(all.into_iter().cloned().collect::<Vec<_>>());
        for item in &mut self.items {
            item.fate = Fate::Open;
        }
        self.end = if self.end == End::Badly { End::Badly } else { End::Open };
        self.open_folders.push(At::new(crate::state::Space::Disk, ""));
    }

    /// Removes the folders that a path was in as far as nothing is in them, down to `stop`.
    pub(crate) fn remove_empty_above(&mut self, at: &At, stop: &str) {
        for above in ancestors(&at.path).map(str::to_owned).collect::<Vec<_>>() {
            let above = At::new(at.space, above);
            let inside = format!("{}/", above.path);
            let used =
                self.after.keys().any(|k| k.space == at.space && k.path.starts_with(&inside));
            if used || above.path.len() <= stop.len() {
                break;
            }
            self.after.remove(&above);
        }
    }
}

/// What becomes of an entry that goes to `to`, as the place is before.
pub(crate) fn fate(before: &State, entry: &Entry, to: &At, overwrite: bool) -> Fate {
    if !to.space.is_disk() {
        return if before.contains_key(to) && !overwrite { Fate::Skipped } else { Fate::Copied };
    }
    let path = to.path.trim_end_matches('/');
    let file = |path: &str| before.get(&At::new(to.space, path)).map(|n| !n.is_folder());
    if ancestors(path).any(|above| file(above) == Some(true)) {
        return Fate::Failed;
    }
    match (file(path), entry.is_folder()) {
        // Whether a folder is "something that exists" is not told.
        (Some(false), false) if !overwrite => Fate::Open,
        (Some(true), false) if !overwrite => Fate::Skipped,
        (Some(true), true) | (Some(false), false) => Fate::Failed,
        _ => Fate::Copied,
    }
}

/// What an entry becomes at its place.
pub(crate) fn copied(entry: &Entry) -> Node {
    if entry.is_folder() { folder() } else { entry.node.clone() }
}

/// Pairs of places on a disk of which one would have to be a file and a folder.
pub(crate) fn at_odds(a: &At, b: &At) -> bool {
    let bare = |at: &At| at.path.trim_end_matches('/').to_owned();
    let (x, y) = (bare(a), bare(b));
    let folder = |at: &At| at.path.ends_with('/');
    if !a.space.is_disk() || !b.space.is_disk() || a == b {
        return false;
    }
    let above = |x: &str, y: &str| y.strip_prefix(x).is_some_and(|r| r.starts_with('/'));
    x == y || above(&x, &y) && !folder(a) || above(&y, &x) && !folder(b)
}

/// `*` stands for anything, slashes included.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|text| {
            let cuts = text.char_indices().map(|(i, _)| i).chain([text.len()]);
            cuts.into_iter().any(|i| glob(rest, &text[i..]))
        }),
    }
}

/// docs/copy.md, "Filters" and docs/scaling.md.
pub(crate) fn is_meant(command: &Command, path: &str) -> bool {
    let bare = path.trim_end_matches('/');
    let lines = || std::iter::once(bare).chain(ancestors(bare)).filter(|p| !p.is_empty());
    let matches = |pattern: &str| {
        lines().any(|p| glob(pattern, p) || !pattern.contains('/') && glob(pattern, name_of(p)))
    };
    let decided = command.filter.iter().rev().find(|(_, pattern)| matches(pattern));
    decided
        .map_or_else(|| !command.filter.first().is_some_and(|(i, _)| *i), |(include, _)| *include)
}

/// The share of a path: FNV-1a of 64 bits, folded.
pub(crate) fn in_shard(command: &Command, path: &str) -> bool {
    let hash = path.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    command.shard.is_none_or(|(index, count)| (hash ^ (hash >> 32)) % count == index)
}
