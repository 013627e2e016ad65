//! Running commands for real, and what they said.
//!
//! Owns the way from a [`Command`] to the facade of haul. Must never judge.

use std::time::Duration;

use haul::{
    Attributes, Change, Compare, Difference, Event, Filter, FilterRule, Jobs, LinkStyle, Outcome,
    PublishRequest, RemoveRequest, Result, Settled, Shard, Summary, SyncRequest, TransferHandle,
    TreeRequest,
};

use crate::steps::{Command, Evidence, Verb};
use crate::world::World;

/// A hang must end as a failure: far beyond what any command takes.
const HANG: Duration = Duration::from_mins(1);

/// What became of one item, as it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Did {
    Copied,
    Skipped,
    Removed,
    Same,
    MissingAtDestination,
    MissingAtSource,
    Size,
    Content,
    Failed,
}

/// What a job said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// How it ended, from, to: in order of these.
    pub(crate) items: Vec<(Did, String, String)>,
    /// Whether it said that something is wrong.
    pub(crate) failed: bool,
    /// In words.
    pub(crate) errors: Vec<String>,
}

impl Said {
    /// What changed, or would have.
    pub(crate) fn changes(&self) -> Vec<(Did, String, String)> {
        let changed = |i: &&(Did, String, String)| matches!(i.0, Did::Copied | Did::Removed);
        self.items.iter().filter(changed).cloned().collect()
    }
}

/// Runs a command to its end.
pub(crate) async fn run(world: &World, command: &Command, dry_run: bool) -> Said {
    let work = Box::pin(async {
        match start(world, command, dry_run).await {
            Ok(handle) => listen(world, handle).await,
            Err(e) => refused(&e),
        }
    });
    match tokio::time::timeout(HANG, work).await {
        Ok(said) => said,
        Err(_) => unreachable!("it hangs: {command:?}"),
    }
}

fn refused(e: &haul::Error) -> Said {
    Said { failed: true, errors: vec![e.to_string()], ..Said::default() }
}

async fn listen(world: &World, mut handle: TransferHandle<Summary>) -> Said {
    let mut events = handle.take_events().unwrap();
    let listening = async {
        let mut said = Said::default();
        while let Some(event) = events.recv().await {
            if let Event::Settled(settled) = event {
                note(world, &settled, &mut said);
            }
        }
        said
    };
    let (result, mut said) = futures::join!(handle, listening);
    match result {
        Ok(summary) => said.failed |= summary.failed > 0,
        Err(e) => {
            said.failed = true;
            said.errors.push(e.to_string());
        }
    }
    said.items.sort();
    said
}

fn note(world: &World, settled: &Settled, said: &mut Said) {
    let did = match &settled.outcome {
        Outcome::Copied(_) | Outcome::Would(Change::Copy | Change::Move) => Did::Copied,
        Outcome::Removed | Outcome::Would(Change::Remove) => Did::Removed,
        Outcome::Skipped(_) => Did::Skipped,
        Outcome::Same(_) => Did::Same,
        Outcome::Differs(Difference::MissingAtDestination) => Did::MissingAtDestination,
        Outcome::Differs(Difference::MissingAtSource) => Did::MissingAtSource,
        Outcome::Differs(Difference::Size) => Did::Size,
        Outcome::Differs(_) => Did::Content,
        outcome => {
            if let Outcome::Failed(e) = outcome {
                said.errors.push(e.to_string());
            }
            Did::Failed
        }
    };
    let (from, to) = (world.shown(&settled.from.exact()), world.shown(&settled.to.exact()));
    said.items.push((did, from, to));
}

async fn start(world: &World, command: &Command, dry_run: bool) -> Result<TransferHandle<Summary>> {
    let haul = world.between(&command.sources[0], &command.to);
    let to = world.location(&command.to);
    let sources: Vec<_> = command.sources.iter().map(|s| world.location(s)).collect();
    let shard = command.shard.and_then(|(index, count)| Shard::new(index, count));
    let jobs = command.jobs.map_or(Jobs::Requests, Jobs::Fixed);
    let dedupe = command.dedupe.then(|| world.index());
    let mut attributes = Attributes::default();
    if command.attributes {
        attributes.content_type = Some("text/x-model".to_owned());
    }
    let mut filter = Filter::default();
    let rules = command.filter.iter().map(|(i, pattern)| FilterRule::new(*i, pattern).unwrap());
    filter.rules = rules.collect();
    match command.verb {
        Verb::Copy | Verb::Move => {
            let mut r = TreeRequest::new(sources, to);
            r.select.recursive = command.recursive;
            (r.select.filter, r.select.shard) = (filter, shard);
            r.select.empty_folders = command.empty_folders;
            (r.flatten, r.overwrite) = (command.flatten, command.overwrite);
            (r.attributes, r.dedupe) = (attributes, dedupe);
            (r.keep_times, r.remove_source) = (command.keep_times, command.verb == Verb::Move);
            (r.dry_run, r.jobs) = (dry_run, jobs);
            Box::pin(haul.copy_tree(r)).await
        }
        Verb::Sync | Verb::Check => {
            let from = sources.into_iter().next().unwrap();
            let mut r = SyncRequest::new(from, to);
            (r.filter, r.shard, r.empty_folders) = (filter, shard, command.empty_folders);
            r.compare = match command.evidence {
                Evidence::Times => Compare::Times,
                Evidence::Size => Compare::Size,
                Evidence::Content => Compare::Content,
            };
            (r.delete, r.max_delete) = (command.delete, command.max_delete);
            (r.attributes, r.dedupe, r.one_way) = (attributes, dedupe, command.one_way);
            (r.dry_run, r.jobs) = (dry_run, jobs);
            if command.verb == Verb::Sync {
                Box::pin(haul.sync(r)).await
            } else {
                Box::pin(haul.check(r)).await
            }
        }
        Verb::Remove => {
            let store = world.store(&command.sources[0]).unwrap_or_default();
            let haul = world.haul.with_stores(store.clone(), store);
            let mut r = RemoveRequest::new(sources);
            r.select.recursive = command.recursive;
            (r.select.filter, r.select.shard, r.dry_run) = (filter, shard, dry_run);
            Box::pin(haul.remove_tree(r)).await
        }
        Verb::Publish => {
            let mut r = PublishRequest::new(sources, to);
            (r.select.filter, r.select.shard, r.flatten) = (filter, shard, command.flatten);
            r.link = LinkStyle::Below("https://example.org".to_owned());
            (r.attributes, r.dedupe) = (attributes, dedupe);
            (r.dry_run, r.jobs) = (dry_run, jobs);
            Box::pin(haul.publish(r)).await
        }
    }
}
