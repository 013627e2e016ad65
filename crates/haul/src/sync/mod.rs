//! Making one tree like another, and telling how they differ: `sync` and `check`.
//!
//! Owns the decision for each pair. Nothing is removed before everything else is done, but for what
//! stands in the way: that is removed first, under the same rules. What was not seen must never be taken
//! for gone.

mod evidence;
mod exchange;
mod leftover;
mod veil;

use std::sync::Arc;
use std::time::Instant;

use futures::stream::{self, Stream, StreamExt as _};
use haul_core::handle::JobContext;
use haul_core::many::Item;
use haul_core::{
    Engine, Entry, EntryKind, Error, ErrorKind, Event, Foreign, Location, Op, Outcome, Result,
    Settled, Skip, Summary, TransferHandle,
};
use haul_local::{Symlinks, WalkOptions};

use self::evidence::Glance;
use self::leftover::Plan;
pub(crate) use self::veil::Veil;
use crate::compare::Verdict;
use crate::identity::Relation;
use crate::join::{Join, Side, Step};
use crate::mover::{How, Mover};
use crate::picks::{Pick, Rules};
use crate::place::Place;
use crate::tree::{JobCount, Task, counted, done, summary};
use crate::{Compare, Haul, Selection, SyncRequest};

/// One pair to work on.
#[derive(Debug)]
pub(crate) struct Pair {
    source: Entry,
    dest: Option<Entry>,
}

#[derive(Clone)]
struct Pairs(Arc<PairsInner>);

struct PairsInner {
    from: Place,
    compare: Compare,
    /// Moves what differs. It knows the other side, and whether this is a dry run.
    mover: Mover,
}

impl Haul {
    /// Starts to make one tree like another.
    ///
    /// # Errors
    ///
    /// From the call: `Invalid` where one tree is inside of the other, or a side cannot be a tree.
    /// From the handle: where nothing was removed although it was asked for, `Invalid` if more
    /// would have had to go than may, or all of it, and `Io` if something failed or could not be
    /// listed; and what [requests and disks](crate#errors) may end with where that ends the job.
    /// What goes wrong with one file is an event.
    pub async fn sync(&self, request: SyncRequest) -> Result<TransferHandle<Summary>> {
        let this = self.begin();
        let to = request.to.clone();
        refuse_overlap(this.relation(&request.from, &to).await?, &request.from, &to)?;
        let pairs = this.pairs(&request).await?;
        let jobs = this.jobs(request.jobs, matches!(to, Location::Local(_)));
        let engine = this.engine.clone();
        Ok(TransferHandle::start(&this.stop.token(), |cx| async move {
            let started = Instant::now();
            let plan = Arc::new(Plan::new(request.delete));
            let job = SyncJob { engine, pairs, request, jobs };
            job.round(&cx, &plan, |_| true).await?;
            let removed = job.pairs.remove(&plan, &job.request, &cx).await;
            let blocked = plan.blocked();
            if !blocked.is_empty() {
                // What was in the way is gone; or it is not, and then each says so.
                let plan = Arc::new(Plan::new(false));
                let meant = |step: &Step| {
                    let source = !matches!(step, Step::Dest(_));
                    step.entry().is_some_and(|e| blocked.holds(&e.path, source))
                };
                job.round(&cx, &plan, meant).await?;
            }
            removed?;
            blocked.all_met(&job.pairs.0.from)?;
            Ok(summary(&cx, started))
        }))
    }

    /// Starts to compare two trees by content. Nothing is changed.
    ///
    /// # Errors
    ///
    /// From the call: `Invalid` where a side cannot be a tree. From the handle: what [requests and
    /// disks](crate#errors) may end with where that ends the job. What goes wrong with one file is
    /// an event.
    pub async fn check(&self, request: SyncRequest) -> Result<TransferHandle<Summary>> {
        let this = self.begin();
        let request = SyncRequest { dry_run: true, ..request };
        let pairs = this.pairs(&request).await?;
        let jobs = this.jobs(request.jobs, false);
        let engine = this.engine.clone();
        Ok(TransferHandle::start(&this.stop.token(), |cx| async move {
            let started = Instant::now();
            let one_way = request.one_way;
            let (source, dest) = (Veil::default(), Veil::default());
            let steps = pairs.steps(&cx, &request, (source.clone(), dest.clone()));
            let items = steps.filter_map(move |step| {
                std::future::ready(match step {
                    Ok(Step::Unlisted(e) | Step::Hidden(e)) | Err(e) => {
                        Some(Item::one(0, Task::Failed(e)))
                    }
                    // Nobody knows whether it is missing.
                    Ok(Step::Source(e) | Step::SourceNear(e)) if dest.hides(&e.path) => None,
                    Ok(Step::Dest(e)) if one_way || source.hides(&e.path) => None,
                    Ok(step) => Some(Item::one(0, Task::Do(step))),
                })
            });
            let (items, jobs) = jobs.settle(items).await;
            let work = move |task, cx| {
                let pairs = pairs.clone();
                async move { vec![done(task, |step| pairs.check(step, cx)).await] }
            };
            engine.many(jobs, &cx, items, work).await?;
            Ok(summary(&cx, started))
        }))
    }

    async fn pairs(&self, request: &SyncRequest) -> Result<Pairs> {
        let store = matches!(request.from, Location::S3 { .. });
        let source = if store { Some(self.source_client().await?) } else { None };
        let place = self.place(request.to.clone()).await?;
        let from = Place::of(&request.from, source.clone()).ok_or_else(|| {
            let what = "it cannot be listed: a folder, a bucket or a prefix is needed";
            Error::new(ErrorKind::Invalid, Op::List, &request.from, what)
        })?;
        let dedupe = self.dedupe(request.dedupe.as_deref(), &place);
        let how = How {
            attributes: request.attributes.clone(),
            overwrite: true,
            keep_times: true,
            remove_source: false,
            multipart_copy_above: request.multipart_copy_above,
            dry_run: request.dry_run,
        };
        let select = Selection { symlinks: request.symlinks, ..Selection::default() };
        let rules = Rules::new(&select, true, source.clone());
        let folder = match &from {
            Place::Disk(path, _) => Some(path.as_path()),
            Place::Store { .. } => None,
        };
        let shared = self.shared(&rules, place, how, dedupe);
        let shared = shared.reading(folder.into_iter(), request.symlinks).await?;
        let mover = Mover(Arc::new(shared.opened().await?));
        Ok(Pairs(Arc::new(PairsInner { from, compare: request.compare, mover })))
    }
}

/// Trees that overlap cannot be made alike.
fn refuse_overlap(relation: Relation, from: &Location, to: &Location) -> Result<()> {
    let what = match relation {
        Relation::Apart => return Ok(()),
        Relation::Same => format!("{to} is the same place"),
        Relation::DestInside => format!("{to} is inside it"),
        Relation::SourceInside => format!("it is inside {to}"),
    };
    Err(Error::new(ErrorKind::Invalid, Op::Compare, from, what))
}

/// A sync under way.
struct SyncJob {
    engine: Engine,
    pairs: Pairs,
    request: SyncRequest,
    jobs: JobCount,
}

impl SyncJob {
    /// Merges both sides once, and brings over what is `meant` and has to be.
    async fn round(
        &self,
        cx: &JobContext,
        plan: &Arc<Plan>,
        meant: impl Fn(&Step) -> bool + Send + Sync,
    ) -> Result<()> {
        let veils = (plan.source.clone(), plan.dest.clone());
        let steps = self.pairs.steps(cx, &self.request, veils);
        let steps = steps.filter(|step| std::future::ready(step.as_ref().map_or(true, &meant)));
        let items =
            steps.filter_map(|step| self.pairs.clone().decide(step, Arc::clone(plan), cx.clone()));
        let (items, jobs) = self.jobs.settle(counted(items, cx)).await;
        let work = {
            let pairs = self.pairs.clone();
            move |task, cx| {
                let pairs = pairs.clone();
                async move { vec![done(task, |pair| pairs.settle(pair, cx)).await] }
            }
        };
        self.engine.many(jobs, cx, items, work).await
    }
}

impl PairsInner {
    fn to(&self) -> &Place {
        &self.mover.0.to
    }

    fn engine(&self) -> &Engine {
        &self.mover.0.engine
    }
}

impl Pairs {
    /// The merged listings.
    fn steps(
        &self,
        cx: &JobContext,
        request: &SyncRequest,
        (of_source, of_dest): (Veil, Veil),
    ) -> impl Stream<Item = Result<Step>> + Send + use<> {
        let inner = &*self.0;
        let to_disk = matches!(inner.to(), Place::Disk(..));
        let walk = |symlinks| {
            let empty_folders = to_disk || request.empty_folders;
            let mut walk = WalkOptions { symlinks, empty_folders, ..WalkOptions::default() };
            if !request.filter.rules.is_empty() {
                let filter = request.filter.clone();
                walk.prune = Some(Arc::new(move |folder| filter.prunes(folder)));
            }
            walk
        };
        let from = inner.from.listing(inner.engine(), cx, walk(request.symlinks));
        let from = Side::new(from, false, of_source);
        // Links at the destination are what they are: never a way out of it.
        let dest = inner.to().listing(inner.engine(), cx, walk(Symlinks::Keep));
        let dest = Side::new(dest, to_disk, of_dest);
        let join = Join::new(from, dest, request.filter.clone(), request.shard);
        let folders = to_disk || request.empty_folders;
        let steps = stream::unfold(Some(join), |join| async move {
            let mut join = join?;
            match join.next().await {
                Ok(None) => None,
                Ok(Some(step)) => Some((Ok(step), Some(join))),
                Err(e) => Some((Err(e), None)),
            }
        });
        steps.filter(move |step| {
            let marker = |e: &Entry| e.kind == EntryKind::Folder && !folders;
            std::future::ready(!step.as_ref().is_ok_and(|step| step.entry().is_some_and(marker)))
        })
    }

    /// What is to be done about one step of the merge.
    async fn decide(
        self,
        step: Result<Step>,
        plan: Arc<Plan>,
        cx: JobContext,
    ) -> Option<Item<Task<Pair>>> {
        let failed = |e| Some(Item::one(0, Task::Failed(e)));
        if let Ok(Step::Source(e) | Step::SourceNear(e) | Step::Both(e, _)) = &step {
            plan.found(e);
        }
        let pair = match step {
            Ok(Step::Source(source) | Step::SourceNear(source))
                if plan.delete && self.to_disk() && plan.waits(&source) =>
            {
                return failed(self.prove_readable(&source, &cx).await.err()?);
            }
            Ok(Step::SourceNear(source))
                if plan.delete && self.folder_in_the_way(&source).await =>
            {
                plan.block(&source);
                return failed(self.prove_readable(&source, &cx).await.err()?);
            }
            Ok(Step::Source(source) | Step::SourceNear(source)) => Pair { source, dest: None },
            // What is in it goes: then it is a marker that stays, in a store.
            Ok(Step::BothFull(source)) if plan.delete && !self.to_disk() => {
                Pair { source, dest: None }
            }
            Ok(Step::BothFull(source)) => {
                plan.keep(&source);
                cx.tally.skip(1);
                return None;
            }
            Ok(Step::Both(source, dest)) => match self.glance(&source, &dest) {
                Glance::Same => {
                    cx.tally.skip(1);
                    return None;
                }
                Glance::Differs => Pair { source, dest: None },
                Glance::Look => Pair { source, dest: Some(dest) },
            },
            Ok(Step::Dest(dest)) if plan.delete => return failed(plan.doom(&dest).err()?),
            Ok(Step::Dest(_)) => return None,
            // What is there cannot be removed, so the two will not be alike; otherwise nothing depends
            // on it.
            Ok(Step::Hidden(e)) if plan.delete => return failed(e),
            Ok(Step::Hidden(e)) => {
                cx.events.send(Event::note(e.to_string()));
                return None;
            }
            Ok(Step::Unlisted(e)) => return failed(e),
            Err(e) => {
                plan.cut_short();
                return failed(e);
            }
        };
        Some(Item::one(pair.source.size, Task::Do(pair)))
    }

    fn to_disk(&self) -> bool {
        matches!(self.0.to(), Place::Disk(..))
    }

    /// Works on one pair.
    async fn settle(self, pair: Pair, cx: JobContext) -> Settled {
        let Pair { source, dest } = pair;
        let inner = &*self.0;
        let pick = Pick {
            from: inner.from.origin(&source.path),
            to: source.path.clone(),
            seen: true,
            entry: source,
        };
        if let Some(dest) = dest {
            let looked = match inner.compare {
                Compare::Content => self.same_content(&pick, &cx).await,
                _ => self.same_times(&pick, &dest, &cx).await,
            };
            let outcome = match looked {
                Ok(Verdict::Same(by)) => Some(Outcome::Skipped(Skip::Same(by))),
                // What is not shown to be the same is copied.
                Ok(Verdict::Differs(_) | Verdict::Unknown) => None,
                Err(e) => Some(Outcome::Failed(e)),
            };
            if let Some(outcome) = outcome {
                let (from, to) = (Foreign::from(&pick.from), inner.to().name(&pick.to));
                return Settled::new(from, to, outcome).sized(pick.entry.size);
            }
        }
        inner.mover.clone().settle(pick, cx).await
    }
}
