//! What was forecast, beside what is.
//!
//! Owns the comparison. Must never change anything, nor know what a verb means.

use std::collections::BTreeSet;
use std::rc::Rc;

use haul::Difference;

use crate::forecast::{End, Fate, Forecast, Item};
use crate::run::{Did, Said};
use crate::state::{At, State, Tree};
use crate::steps::{Command, Verb};

/// The first thing that is not as it should be.
pub(crate) type Verdict = Result<(), String>;

fn wrong(what: impl Into<String>) -> Verdict {
    Err(what.into())
}

/// The state after a command, and what it said.
pub(crate) fn judge(
    command: &Command,
    forecast: &Forecast,
    (before, after): (&State, &State),
    said: &Said,
) -> Verdict {
    nothing_lost(command, forecast, (before, after))?;
    if forecast.tangled {
        return Ok(());
    }
    states(forecast, (before, after))?;
    match (forecast.end, said.failed) {
        (End::Well, true) => return wrong("it failed, and should not"),
        (End::Badly, false) => return wrong("it said that all went well, and should not"),
        _ => {}
    }
    items(forecast, said)?;
    times(command, forecast, (before, after))
}

/// Every content of a source is somewhere afterwards, whatever else is open.
fn nothing_lost(
    command: &Command,
    forecast: &Forecast,
    (before, after): (&State, &State),
) -> Verdict {
    if command.verb == Verb::Remove || forecast.tangled && command.verb != Verb::Move {
        return Ok(());
    }
    let left: BTreeSet<&Rc<str>> = after.values().filter_map(|n| n.content.as_ref()).collect();
    for item in forecast.items.iter().filter(|i| i.to.is_some()) {
        let content = before.get(&item.from).and_then(|n| n.content.as_ref());
        if let Some(content) = content.filter(|c| !left.contains(c)) {
            return wrong(format!("LOST: {content:?} of {:?} is nowhere", item.from));
        }
    }
    Ok(())
}

/// What is where.
fn states(forecast: &Forecast, (before, after): (&State, &State)) -> Verdict {
    let paths: BTreeSet<&At> = forecast.after.keys().chain(after.keys()).collect();
    for at in paths {
        let content = |state: &State| state.get(at).map(|n| n.content.clone());
        let (want, got) = (content(&forecast.after), content(after));
        if want == got || forecast.open.contains(at) && got == content(before) {
            continue;
        }
        // One of two that want this place wants it to be a folder.
        if at.space.is_disk() && forecast.open.contains(at) && got == Some(None) {
            continue;
        }
        let folder = |c: &Option<Option<Rc<str>>>| matches!(c, None | Some(None));
        if at.space.is_disk() && folder(&want) && folder(&got) && open_folder(forecast, at) {
            continue;
        }
        return wrong(format!(
            "{at:?}: {:?} was to be expected, there is {:?} (it was {:?})",
            forecast.after.get(at),
            after.get(at),
            before.get(at)
        ));
    }
    Ok(())
}

/// Whether a folder with nothing in it may be there or not.
fn open_folder(forecast: &Forecast, at: &At) -> bool {
    forecast.open_folders.iter().any(|open| {
        let (open, at) = (Tree::named(open.space, &open.path), Tree::named(at.space, &at.path));
        open.contains(&at) || at.contains(&open)
    })
}

fn did(fate: Fate) -> Option<Did> {
    Some(match fate {
        Fate::Copied => Did::Copied,
        Fate::Skipped => Did::Skipped,
        Fate::Removed => Did::Removed,
        Fate::Same => Did::Same,
        Fate::Differs(Difference::MissingAtDestination) => Did::MissingAtDestination,
        Fate::Differs(Difference::MissingAtSource) => Did::MissingAtSource,
        Fate::Differs(Difference::Size) => Did::Size,
        Fate::Differs(_) => Did::Content,
        Fate::Failed => Did::Failed,
        Fate::Open => return None,
    })
}

fn shown(item: &Item) -> (String, String) {
    (item.from.shown(), item.to.as_ref().map(At::shown).unwrap_or_default())
}

/// Item by item: what changed or differs was said, and nothing else was.
fn items(forecast: &Forecast, said: &Said) -> Verdict {
    let quiet = |did: Did| matches!(did, Did::Skipped | Did::Same | Did::Failed);
    for item in &forecast.items {
        let Some(did) = did(item.fate).filter(|d| !quiet(*d)) else { continue };
        let (from, to) = shown(item);
        if !said.items.contains(&(did, from.clone(), to.clone())) {
            return wrong(format!(
                "{did:?} {from:?} -> {to:?} was to be expected, and was not said"
            ));
        }
    }
    for (what, from, to) in said.items.iter().filter(|i| !quiet(i.0)) {
        let fits = |i: &Item| {
            shown(i) == (from.clone(), to.clone()) && did(i.fate).is_none_or(|d| d == *what)
        };
        if !forecast.items.iter().any(fits) {
            return wrong(format!("{what:?} {from:?} -> {to:?} was said, and not to be expected"));
        }
    }
    Ok(())
}

/// `mv`, `sync` and `-p` keep times of modification.
fn times(command: &Command, forecast: &Forecast, (before, after): (&State, &State)) -> Verdict {
    let keeps = command.keep_times && command.verb == Verb::Copy;
    if !keeps && !matches!(command.verb, Verb::Move | Verb::Sync) {
        return Ok(());
    }
    for item in forecast.items.iter().filter(|i| i.fate == Fate::Copied) {
        let Some(to) = &item.to else { continue };
        let (Some(source), Some(dest)) = (before.get(&item.from), after.get(to)) else { continue };
        if source.is_folder() {
            continue;
        }
        let want = source.kept.unwrap_or(source.modified);
        let got = match (item.from.space.is_disk(), to.space.is_disk()) {
            (_, true) => dest.modified,
            (true, false) => dest.kept.unwrap_or(dest.modified),
            (false, false) => continue,
        };
        if want != got {
            return wrong(format!("{to:?} has the time {got:?}, and {want:?} was to be expected"));
        }
    }
    Ok(())
}

/// A dry run changed nothing, and said what the real run then did.
pub(crate) fn rehearsed(
    forecast: &Forecast,
    (before, between): (&State, &State),
    (would, did): (&Said, &Said),
) -> Verdict {
    if before != between {
        return wrong("the dry run changed something");
    }
    if forecast.is_open() || forecast.items.iter().any(|i| i.fate == Fate::Failed) {
        return Ok(());
    }
    if would.failed != did.failed || would.changes() != did.changes() {
        return wrong(format!("the dry run said {would:?}, and then it was {did:?}"));
    }
    Ok(())
}
