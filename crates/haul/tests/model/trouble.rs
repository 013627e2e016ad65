//! What goes wrong on the way: requests that fail, answers that are lost or cut, sources that somebody
//! edits meanwhile.
//!
//! Owns the choice of trouble, how it is made, and the weaker rule that holds then: what fails says so,
//! nothing is lost, and no place shows anything but what was there or what was to come. Must never be
//! in force longer than one command.

use std::collections::BTreeSet;
use std::rc::Rc;

use haul_testkit::{Fault, Op, Rule, RuleHandle};

use crate::forecast::{Fate, Forecast};
use crate::genes::Reader;
use crate::judge::Verdict;
use crate::run::{Did, Said};
use crate::state::{At, Space, State};
use crate::steps::{Command, Verb};
use crate::world::World;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    what: What,
    /// At requests of this kind, from this one on, so many times.
    op: Op,
    nth: u32,
    times: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Refused(u16),
    Lost,
    Reset,
    /// The connection ends so many bytes early.
    Cut(u64),
    /// The answer is well framed, and ends early.
    Short(u64),
    FlipAnswer(u64),
    FlipRequest(u64),
    /// Something that is to be read is written by somebody else: a number of one of the items.
    Edit(usize),
}

const OPS: [Op; 8] = [
    Op::ListObjects,
    Op::GetObject,
    Op::HeadObject,
    Op::PutObject,
    Op::CopyObject,
    Op::DeleteObject,
    Op::DeleteObjects,
    Op::Any,
];

impl Trouble {
    pub(crate) fn choose(genes: &mut Reader<'_>) -> Self {
        let whats = [
            (40, What::Refused(500)),
            (20, What::Refused(503)),
            (20, What::Refused(403)),
            (40, What::Lost),
            (20, What::Reset),
            (20, What::Cut(2)),
            (20, What::Short(30)),
            (8, What::FlipAnswer(1)),
            (8, What::FlipRequest(1)),
        ];
        let edit = genes.chance(90);
        let index = genes.weighed(&std::array::from_fn::<_, 9, _>(|i| (whats[i].0, i)));
        let op = genes.one_of(&OPS);
        let nth = genes.below(4) as u32 + 1;
        if edit {
            // What is removed is looked at just before: an edit within that request is not seen by
            // stores without conditions.
            let deletes = matches!(op, Op::DeleteObject | Op::DeleteObjects | Op::Any);
            let op = if deletes { Op::HeadObject } else { op };
            return Self { what: What::Edit(genes.below(64)), op, nth, times: 1 };
        }
        let times = if genes.chance(100) { u32::MAX } else { 1 };
        Self { what: whats[index].1.clone(), op, nth, times }
    }

    /// What kind it is.
    pub(crate) fn name(&self) -> String {
        let text = format!("{:?}", self.what);
        text.split('(').next().unwrap_or_default().to_owned()
    }

    /// What is edited, if anything is.
    pub(crate) fn edits(
        &self,
        command: &Command,
        forecast: &Forecast,
        before: &State,
    ) -> Option<At> {
        let What::Edit(index) = self.what else { return None };
        let removes = command.verb == Verb::Remove;
        let has_content = |at: &At| before.get(at).is_some_and(|node| node.content.is_some());
        let file = |at: &&At| !removes && !at.path.ends_with('/') && has_content(at);
        // What was written before it is listed is what was listed: if it is to go, it goes. So it does
        // after the look just before the removal, where the store does not compare by itself.
        let looked_at = matches!(self.op, Op::ListObjects | Op::HeadObject);
        let items = forecast.items.iter().filter(|item| !looked_at || item.to.is_some());
        let all: Vec<_> = items.map(|i| &i.from).filter(file).collect();
        all.get(index % all.len().max(1)).map(|at| (*at).clone())
    }

    /// Puts it in force at both stores.
    pub(crate) fn begin(&self, world: &World, edit: Option<(&At, &str)>) -> Vec<RuleHandle> {
        let fault = match (&self.what, edit) {
            (What::Refused(status), _) => Fault::status(*status),
            (What::Lost, _) => Fault::LoseAnswer,
            (What::Reset, _) => Fault::Reset,
            (What::Cut(by), _) => Fault::EarlyEnd(*by),
            (What::Short(by), _) => Fault::ShortBody(*by),
            (What::FlipAnswer(at), _) => Fault::FlipBit(*at),
            (What::FlipRequest(at), _) => Fault::FlipRequestBit(*at),
            (What::Edit(_), Some((at, content))) => world.editing(at, content),
            (What::Edit(_), None) => return Vec::new(),
        };
        let rule = Rule::on(self.op).nth(self.nth).times(self.times).then(fault);
        world.servers.iter().map(|s| s.faults().add(rule.clone())).collect()
    }
}

/// The rule that holds when something went wrong.
pub(crate) fn judge(
    command: &Command,
    forecast: &Forecast,
    (before, after): (&State, &State),
    said: &Said,
    edit: Option<(&At, &Rc<str>)>,
) -> Verdict {
    let content = |state: &State, at: &At| state.get(at).map(|n| n.content.clone());
    let edited = |at: &At| {
        let copy = |i: &crate::forecast::Item| {
            Some(&i.from) == edit.map(|e| e.0) && i.to.as_ref() == Some(at)
        };
        edit.filter(|e| e.0 == at || forecast.items.iter().any(copy)).map(|e| Rc::clone(e.1))
    };
    let paths: BTreeSet<&At> =
        forecast.after.keys().chain(after.keys()).chain(before.keys()).collect();
    let mut as_forecast = true;
    for at in paths {
        let (was, want, got) =
            (content(before, at), content(&forecast.after, at), content(after, at));
        let folder = |c: &Option<Option<Rc<str>>>| matches!(c, None | Some(None));
        if folder(&want) && folder(&got) && (at.space.is_disk() || want == got) {
            continue;
        }
        let changed = edited(at).map(Some);
        let new = changed.is_some() && got == changed;
        let loose = forecast.open.contains(at) || new || changed.is_some() && got == was;
        as_forecast &= want == got || loose;
        if got != was && got != want && !new && !(at.space.is_disk() && folder(&got) && loose) {
            return Err(format!(
                "{at:?}: {got:?} is neither what was there ({was:?}) nor what was to come ({want:?})"
            ));
        }
    }
    if !said.failed && !as_forecast {
        return Err("it said that all went well, and not everything is as it should be".to_owned());
    }
    nothing_lost(command, forecast, (before, after), edit)?;
    told(forecast, after, said, edit.map(|e| e.0))?;
    all_or_nothing(command, forecast, (before, after))
}

/// Sources, and what somebody wrote meanwhile, are somewhere.
fn nothing_lost(
    command: &Command,
    forecast: &Forecast,
    (before, after): (&State, &State),
    edit: Option<(&At, &Rc<str>)>,
) -> Verdict {
    if command.verb == Verb::Remove {
        return Ok(());
    }
    let left: BTreeSet<&Rc<str>> = after.values().filter_map(|n| n.content.as_ref()).collect();
    if let Some((at, content)) = edit.filter(|e| !left.contains(e.1)) {
        return Err(format!(
            "LOST: {content:?}, which was written to {at:?} meanwhile, is nowhere"
        ));
    }
    let sources =
        forecast.items.iter().filter(|i| i.to.is_some() && Some(&i.from) != edit.map(|e| e.0));
    for item in sources {
        let content = before.get(&item.from).and_then(|n| n.content.as_ref());
        if let Some(content) = content.filter(|c| !left.contains(c)) {
            return Err(format!("LOST: {content:?} of {:?} is nowhere", item.from));
        }
    }
    Ok(())
}

/// A place as the state has it: folders on a disk have no slash there.
fn bare(at: &At) -> At {
    match at.space {
        Space::Disk => At::new(Space::Disk, at.path.trim_end_matches('/')),
        Space::Bucket(_) => at.clone(),
    }
}

/// What was said of an item is so.
fn told(forecast: &Forecast, after: &State, said: &Said, edit: Option<&At>) -> Verdict {
    for (did, from, to) in &said.items {
        let this = |i: &&crate::forecast::Item| {
            i.from.shown() == *from && i.to.as_ref().map(At::shown).unwrap_or_default() == *to
        };
        let items: Vec<_> = forecast.items.iter().filter(this).collect();
        if items.is_empty() && *did != Did::Failed {
            return Err(format!("{did:?} {from:?} -> {to:?} was said, and not to be expected"));
        }
        // Two stores may have a bucket of one name, and two entries one name that is shown.
        let [item] = items[..] else { continue };
        if Some(&item.from) == edit {
            continue;
        }
        let to_bare = item.to.as_ref().map(bare);
        let want = to_bare.as_ref().and_then(|to| forecast.after.get(to)).map(|n| &n.content);
        let got = to_bare.as_ref().and_then(|to| after.get(to)).map(|n| &n.content);
        let lie = match did {
            Did::Copied => got.is_none() || want != got && item.fate == Fate::Copied,
            // Something else may have taken its place.
            Did::Removed => {
                let taken = forecast.after.contains_key(&item.from);
                after.contains_key(&item.from) && !taken && item.fate == Fate::Removed
            }
            Did::Same => matches!(item.fate, Fate::Differs(_)),
            Did::MissingAtDestination | Did::MissingAtSource | Did::Size | Did::Content => {
                item.fate == Fate::Same
            }
            _ => false,
        };
        if lie {
            return Err(format!("{did:?} {from:?} -> {to:?} was said, and it is not so"));
        }
    }
    Ok(())
}

/// sync removes nothing after anything failed.
fn all_or_nothing(
    command: &Command,
    forecast: &Forecast,
    (before, after): (&State, &State),
) -> Verdict {
    if command.verb != Verb::Sync {
        return Ok(());
    }
    let removed = |i: &&crate::forecast::Item| {
        i.fate == Fate::Removed && before.contains_key(&i.from) && !after.contains_key(&i.from)
    };
    let Some(first) = forecast.items.iter().find(removed) else { return Ok(()) };
    for item in forecast.items.iter().filter(|i| i.fate == Fate::Copied) {
        let Some(to) = &item.to else { continue };
        // What waits for a removal comes after it.
        let waits = to.space == Space::Disk && crate::forecast::at_odds(to, &first.from);
        if !waits && !after.contains_key(&bare(to)) {
            return Err(format!("{:?} was removed, although {to:?} was not copied", first.from));
        }
    }
    Ok(())
}
