//! sync and check, as docs/sync.md tells them.
//!
//! Owns: what counts as the same, what is removed, and when nothing is. Must never ask haul.

use std::time::{Duration, SystemTime};

use haul::Difference;

use crate::forecast::{End, Fate, Forecast, Item, at_odds, copied, fate, in_shard, is_meant};
use crate::state::{At, Entry, Node, State, Tree};
use crate::steps::{Command, Evidence};
use crate::trees::blocked;

/// Both sides, as far as they are meant.
struct Sides {
    from: Tree,
    to: Tree,
    source: Vec<Entry>,
    dest: Vec<Entry>,
}

fn sides(before: &State, command: &Command) -> Sides {
    let from = &command.sources[0];
    let (from, to) =
        (Tree::named(from.space, &from.path), Tree::named(command.to.space, &command.to.path));
    let folders = to.space.is_disk() || command.empty_folders;
    let list = |tree: &Tree| {
        let mut all = tree.list(before);
        all.retain(|e| is_meant(command, &e.rel) && in_shard(command, &e.rel));
        all.retain(|e| folders || !e.is_folder());
        all
    };
    let (source, dest) = (list(&from), list(&to));
    Sides { from, to, source, dest }
}

/// Whether a folder of one side is on the other, with something in it.
fn stands(entry: &Entry, other: &[Entry]) -> bool {
    entry.is_folder() && other.iter().any(|o| o.rel.starts_with(&entry.rel) && o.rel != entry.rel)
}

fn exists(before: &State, tree: &Tree) -> bool {
    let here = At::new(tree.space, tree.bare());
    !tree.space.is_disk() || before.get(&here).is_some_and(Node::is_folder)
}

pub(crate) fn sync(before: &State, command: &Command) -> Forecast {
    let Sides { from, to, source, dest } = sides(before, command);
    if from.contains(&to) || to.contains(&from) || blocked(before, &command.to) {
        let mut refused = Forecast::refused(before);
        if !exists(before, &from) {
            refused.open_folders.push(At::new(to.space, to.bare()));
        }
        return refused;
    }
    let mut forecast = Forecast::new(before);
    if to.space.is_disk() {
        forecast.put(&At::new(to.space, to.bare()), &crate::state::folder());
    }
    if !exists(before, &from) {
        forecast.open_folders.push(At::new(to.space, to.bare()));
        forecast.fails();
        return forecast;
    }
    let gone = if command.delete { gone(&source, &dest) } else { Vec::new() };
    let mut waiting = Vec::new();
    for entry in &source {
        let target = to.at(&entry.rel);
        let end = match dest.iter().find(|d| d.rel == entry.rel) {
            Some(there) => pair(command, entry, there),
            // In a store, what is in it goes, and then nothing but a marker shows it: that comes first.
            None if stands(entry, &dest) && (to.space.is_disk() || !command.delete) => {
                Fate::Skipped
            }
            None => Fate::Copied,
        };
        if end != Fate::Skipped
            && fate(before, entry, &target, true) == Fate::Failed
            && in_the_way(&gone, entry)
        {
            waiting.push(entry);
            continue;
        }
        settle(before, (entry, target, end), &mut forecast, &source, &to);
    }
    forecast.settle_end();
    let refused = !gone.is_empty() && refuses(command, &source, (&gone, &forecast));
    if refused {
        forecast.fails();
    } else {
        delete(&to, &source, &gone, &mut forecast);
    }
    let between = forecast.after.clone();
    for entry in waiting {
        let end = if forecast.end == End::Open { Fate::Open } else { Fate::Copied };
        settle(&between, (entry, to.at(&entry.rel), end), &mut forecast, &source, &to);
    }
    forecast.settle_end();
    if forecast.end != End::Well {
        forecast.open_folders.push(At::new(to.space, to.bare()));
    }
    if from.is_called_like(&to) {
        forecast.may_be_refused(before);
    }
    forecast
}

/// What becomes of an entry that is to be brought over, and what that makes of its place.
fn settle(
    before: &State,
    (entry, target, mut end): (&Entry, At, Fate),
    forecast: &mut Forecast,
    source: &[Entry],
    to: &Tree,
) {
    if end != Fate::Skipped {
        if source.iter().any(|o| at_odds(&to.at(&o.rel), &target)) {
            end = Fate::Open;
        } else if end == Fate::Copied && fate(before, entry, &target, true) == Fate::Failed {
            end = Fate::Failed;
        }
    }
    if matches!(end, Fate::Copied | Fate::Open) {
        forecast.put(&target, &copied(entry));
    }
    if end == Fate::Open {
        forecast.open.insert(At::new(to.space, target.path.trim_end_matches('/')));
        forecast.open.insert(target.clone());
    }
    forecast.items.push(Item { from: entry.at.clone(), to: Some(target), fate: end });
}

/// What only the destination has.
fn gone<'a>(source: &[Entry], dest: &'a [Entry]) -> Vec<&'a Entry> {
    let kept = |d: &Entry| source.iter().any(|s| s.rel == d.rel) || stands(d, source);
    dest.iter().filter(|d| !kept(d)).collect()
}

/// Whether something that goes is where an entry has to be: a file where its folder is, or a folder.
fn in_the_way(gone: &[&Entry], entry: &Entry) -> bool {
    gone.iter().any(|g| {
        let (g, e) = (g.rel.trim_end_matches('/'), entry.rel.trim_end_matches('/'));
        g == e
            || e.strip_prefix(g).is_some_and(|r| r.starts_with('/'))
            || g.strip_prefix(e).is_some_and(|r| r.starts_with('/'))
    })
}

/// docs/sync.md, "Deleting": why nothing is removed.
fn refuses(command: &Command, source: &[Entry], (gone, so_far): (&[&Entry], &Forecast)) -> bool {
    let found = source.iter().any(|e| !e.is_folder());
    so_far.end == End::Badly
        || !found && command.max_delete.is_none()
        || command.max_delete.is_some_and(|most| gone.len() as u64 > most)
}

fn delete(to: &Tree, source: &[Entry], gone: &[&Entry], forecast: &mut Forecast) {
    // Whether something that is open fails decides about all of them.
    let open = forecast.end == End::Open;
    for entry in gone {
        let bare = At::new(entry.at.space, entry.at.path.trim_end_matches('/'));
        let at = if to.space.is_disk() { bare } else { entry.at.clone() };
        forecast.after.remove(&at);
        if to.space.is_disk() {
            forecast.remove_empty_above(&at, to.bare());
        }
        if open {
            forecast.open.insert(at);
        }
        if source.iter().any(|s| s.is_folder() && entry.rel.starts_with(&s.rel)) {
            forecast.open_folders.push(At::new(to.space, to.bare()));
        }
        let fate = if open { Fate::Open } else { Fate::Removed };
        forecast.items.push(Item { from: to.at(&entry.rel), to: None, fate });
    }
}

pub(crate) fn check(before: &State, command: &Command) -> Forecast {
    let Sides { from, to, source, dest } = sides(before, command);
    if !exists(before, &from) || blocked(before, &command.to) {
        return Forecast::refused(before);
    }
    let mut forecast = Forecast::new(before);
    for entry in &source {
        let there = dest.iter().find(|d| d.rel == entry.rel);
        let fate = match there {
            None if stands(entry, &dest) => Fate::Same,
            None => Fate::Differs(Difference::MissingAtDestination),
            Some(there) if entry.node.len() != there.node.len() => Fate::Differs(Difference::Size),
            Some(there)
                if command.evidence != Evidence::Size
                    && entry.node.content != there.node.content =>
            {
                Fate::Differs(Difference::Content)
            }
            Some(_) => Fate::Same,
        };
        forecast.items.push(Item { from: entry.at.clone(), to: Some(to.at(&entry.rel)), fate });
    }
    let only =
        dest.iter().filter(|d| !source.iter().any(|s| s.rel == d.rel) && !stands(d, &source));
    for entry in only.filter(|_| !command.one_way) {
        let fate = Fate::Differs(Difference::MissingAtSource);
        let item = Item { from: from.at(&entry.rel), to: Some(to.at(&entry.rel)), fate };
        forecast.items.push(item);
    }
    forecast
}

/// What becomes of a pair: docs/sync.md, "What counts as the same".
fn pair(command: &Command, source: &Entry, dest: &Entry) -> Fate {
    let (s, d) = (&source.node, &dest.node);
    let same = |yes: bool| if yes { Fate::Skipped } else { Fate::Copied };
    if source.is_folder() {
        return Fate::Skipped;
    }
    if s.len() != d.len() {
        return Fate::Copied;
    }
    match command.evidence {
        Evidence::Size => Fate::Skipped,
        Evidence::Content => same(s.content == d.content),
        Evidence::Times => {
            let (from, to) = (source.at.space.is_disk(), dest.at.space.is_disk());
            let equal = coarser(s.modified, d.modified) == coarser(d.modified, s.modified);
            // A file keeps more than an object's second, unless it has it from there.
            let exact = coarser(s.modified, d.modified) == d.modified;
            match (from, to) {
                // The same second, and one side has no more than seconds.
                (true, true) if equal && s.modified != d.modified => Fate::Open,
                (true, true) => same(equal),
                (true, false) => {
                    let (edited, changed) =
                        (coarser(s.modified, d.modified), coarser(s.changed, d.modified));
                    let newer = d.modified > edited && d.modified >= changed;
                    remembered(newer, d.kept, (s, d), s.modified)
                }
                (false, true) if d.origin && s.content == d.content && !exact => Fate::Open,
                (false, true) => remembered(exact, s.kept, (s, d), d.modified),
                // All of one part, so the ETags tell.
                (false, false) => same(s.content == d.content),
            }
        }
    }
}

/// Of a file and an object: by the time that the object carries, where times do not tell.
fn remembered(
    told: bool,
    kept: Option<SystemTime>,
    (s, d): (&Node, &Node),
    file: SystemTime,
) -> Fate {
    match kept {
        _ if told => Fate::Skipped,
        Some(kept) if coarser(kept, file) == coarser(file, kept) => Fate::Skipped,
        // Written within one second, and nobody kept a time: nothing tells.
        None if coarser(s.modified, d.modified) == coarser(d.modified, s.modified) => Fate::Open,
        _ => Fate::Copied,
    }
}

/// A time in the resolution of another.
fn coarser(time: SystemTime, other: SystemTime) -> SystemTime {
    let since = |t: SystemTime| t.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    if since(other).subsec_nanos() == 0 {
        return SystemTime::UNIX_EPOCH + Duration::from_secs(since(time).as_secs());
    }
    time
}
