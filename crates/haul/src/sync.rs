//! Making one tree like another, and telling how they differ: `sync` and `check`.
//!
//! Owns the decision for each pair. Nothing is removed before everything else is done, nor when the
//! source could not be listed to its end: what was not seen must never be taken for gone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use futures::stream::{self, Stream, StreamExt as _};
use haul_core::handle::JobContext;
use haul_core::many::Item;
use haul_core::{
    Difference, Engine, Entry, EntryKind, Error, ErrorKind, Location, Op, Outcome, RelPath, Result,
    Settled, Skip, Summary, TransferHandle, Verified,
};
use haul_local::{Symlinks, WalkOptions, Walker, recall};
use haul_s3::{ListSpec, ObjectId, S3Client, S3Lister};

use crate::compare::{self, Verdict};
use crate::join::{Join, Side, Step};
use crate::mover::{How, Mover, Place};
use crate::picks::{Origin, Pick, Rules};
use crate::remove::{Removal, Remover};
use crate::spill::Spill;
use crate::tree::{Task, contains, counted, done, summary};
use crate::{Compare, Haul, Selection, SyncRequest};

/// A tree that can be listed.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    Disk(PathBuf),
    Store { client: S3Client, bucket: String, prefix: String },
}

impl Tree {
    fn of(location: Location, client: Option<S3Client>) -> Result<Self> {
        match (location, client) {
            (Location::Local(path), _) => Ok(Self::Disk(path)),
            (Location::S3 { bucket, key }, Some(client)) => {
                let prefix = if key.is_empty() || key.ends_with('/') { key } else { key + "/" };
                Ok(Self::Store { client, bucket, prefix })
            }
            (location, _) => {
                let what = "it cannot be listed: a folder, a bucket or a prefix is needed";
                Err(Error::new(ErrorKind::Invalid, Op::List, location, what))
            }
        }
    }

    fn side(&self, engine: &Engine, cx: &JobContext, walk: WalkOptions, dest: bool) -> Side {
        let listing = match self {
            Self::Disk(path) => engine.listing(Box::new(Walker::new(path.clone(), walk)), cx),
            Self::Store { client, bucket, prefix } => {
                let mut spec = ListSpec::new(bucket.clone(), prefix.clone());
                spec.require_order = true;
                engine.listing(Box::new(S3Lister::new(client.clone(), spec)), cx)
            }
        };
        Side::new(listing, dest && matches!(self, Self::Disk(_)))
    }

    fn origin(&self, path: &RelPath) -> Origin {
        match self {
            Self::Disk(root) => Origin::File(root.join(path.as_os_str())),
            Self::Store { bucket, prefix, .. } => {
                Origin::Object(ObjectId::new(bucket, format!("{prefix}{path}")))
            }
        }
    }
}

/// One pair to work on.
#[derive(Debug)]
pub(crate) struct Pair {
    source: Entry,
    dest: Option<Entry>,
}

/// What the listings alone tell about a pair.
enum Glance {
    Same,
    Differs,
    /// A closer look is needed.
    Look,
}

#[derive(Clone)]
struct Pairs(Arc<PairsInner>);

struct PairsInner {
    engine: Engine,
    from: Tree,
    to: Tree,
    compare: Compare,
    mover: Mover,
    dry_run: bool,
}

impl Haul {
    /// Starts to make one tree like another.
    pub async fn sync(&self, request: SyncRequest) -> Result<TransferHandle<Summary>> {
        let to = request.to.clone();
        for (a, b) in [(&request.from, &to), (&to, &request.from)] {
            // In two stores, what has the same name is something else.
            if self.same_space(a) && contains(a, b) {
                let what = format!("{b} is inside of it, or is it");
                return Err(Error::new(ErrorKind::Invalid, Op::Compare, a, what));
            }
        }
        let pairs = self.pairs(&request).await?;
        let jobs = self.jobs(request.jobs, matches!(to, Location::Local(_)));
        let engine = self.engine.clone();
        Ok(TransferHandle::start(&self.cancel, |cx| async move {
            let started = Instant::now();
            let plan = Arc::new(Plan::new(&request)?);
            let steps = pairs.steps(&cx, &request);
            let items = {
                let (pairs, plan, cx) = (pairs.clone(), Arc::clone(&plan), cx.clone());
                steps.filter_map(move |step| std::future::ready(pairs.decide(step, &plan, &cx)))
            };
            let (items, jobs) = jobs.settle(counted(items, &cx)).await;
            let work = {
                let pairs = pairs.clone();
                move |task, cx| {
                    let pairs = pairs.clone();
                    async move { vec![done(task, |pair| pairs.settle(pair, cx)).await] }
                }
            };
            engine.many(jobs, &cx, items, work).await?;
            pairs.remove(&plan, &request, &cx).await?;
            Ok(summary(&cx, started))
        }))
    }

    /// Starts to compare two trees by content. Nothing is changed.
    pub async fn check(&self, request: SyncRequest) -> Result<TransferHandle<Summary>> {
        let request = SyncRequest { dry_run: true, ..request };
        let pairs = self.pairs(&request).await?;
        let jobs = self.jobs(request.jobs, false);
        let engine = self.engine.clone();
        Ok(TransferHandle::start(&self.cancel, |cx| async move {
            let started = Instant::now();
            let one_way = request.one_way;
            let items = pairs.steps(&cx, &request).filter_map(move |step| {
                std::future::ready(match step {
                    Ok(Step::Unlisted(e)) | Err(e) => Some(Item::one(0, Task::Failed(e))),
                    Ok(Step::Dest(_)) if one_way => None,
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
        let store = |l: &Location| matches!(l, Location::S3 { .. });
        let source = if store(&request.from) { Some(self.source_client().await?) } else { None };
        let dest = if store(&request.to) { Some(self.dest_client().await?) } else { None };
        let place = self.place(request.to.clone()).await?;
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
        let mover = Mover(Arc::new(self.shared(&rules, place, how, dedupe).opened().await?));
        Ok(Pairs(Arc::new(PairsInner {
            engine: self.engine.clone(),
            from: Tree::of(request.from.clone(), source)?,
            to: Tree::of(request.to.clone(), dest)?,
            compare: request.compare,
            mover,
            dry_run: request.dry_run,
        })))
    }
}

/// What is to be removed at the end, and whether it may be.
struct Plan {
    delete: bool,
    removals: std::sync::Mutex<Spill>,
    count: AtomicU64,
    /// Whether a part of either side was not seen.
    unseen: AtomicBool,
}

impl Plan {
    fn new(request: &SyncRequest) -> Result<Self> {
        Ok(Self {
            delete: request.delete,
            removals: std::sync::Mutex::new(Spill::new()),
            count: AtomicU64::new(0),
            unseen: AtomicBool::new(false),
        })
    }
}

impl Pairs {
    /// The merged listings.
    fn steps(
        &self,
        cx: &JobContext,
        request: &SyncRequest,
    ) -> impl Stream<Item = Result<Step>> + Send + use<> {
        let inner = &*self.0;
        let to_disk = matches!(inner.to, Tree::Disk(_));
        let walk = |symlinks| {
            let mut walk = WalkOptions::default();
            walk.symlinks = symlinks;
            walk.empty_folders = to_disk || request.empty_folders;
            if !request.filter.rules.is_empty() {
                let filter = request.filter.clone();
                walk.prune = Some(Arc::new(move |folder| filter.prunes(folder)));
            }
            walk
        };
        let from = inner.from.side(&inner.engine, cx, walk(request.symlinks), false);
        // Links at the destination are what they are: never a way out of it.
        let dest = inner.to.side(&inner.engine, cx, walk(Symlinks::Keep), true);
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
            std::future::ready(match step {
                Ok(Step::Source(e) | Step::Dest(e) | Step::Both(e, _)) => !marker(e),
                _ => true,
            })
        })
    }

    /// What is to be done about one step of the merge.
    fn decide(&self, step: Result<Step>, plan: &Plan, cx: &JobContext) -> Option<Item<Task<Pair>>> {
        let pair = match step {
            Ok(Step::Source(source)) => Pair { source, dest: None },
            Ok(Step::Both(source, dest)) => match self.glance(&source, &dest) {
                Glance::Same => {
                    cx.tally.skip(1);
                    return None;
                }
                Glance::Differs => Pair { source, dest: None },
                Glance::Look => Pair { source, dest: Some(dest) },
            },
            Ok(Step::Dest(dest)) => {
                if plan.delete {
                    plan.count.fetch_add(1, Ordering::Relaxed);
                    let kept = plan.removals.lock().map(|mut spill| spill.push(&dest.path));
                    if !matches!(kept, Ok(Ok(()))) {
                        plan.unseen.store(true, Ordering::Relaxed);
                        let what = "what is to be removed cannot be written down";
                        let e = Error::new(ErrorKind::Io, Op::Remove, &dest.path, what);
                        return Some(Item::one(0, Task::Failed(e)));
                    }
                }
                return None;
            }
            Ok(Step::Unlisted(e)) | Err(e) => {
                plan.unseen.store(true, Ordering::Relaxed);
                return Some(Item::one(0, Task::Failed(e)));
            }
        };
        Some(Item::one(pair.source.size, Task::Do(pair)))
    }

    /// What the listings alone tell.
    fn glance(&self, source: &Entry, dest: &Entry) -> Glance {
        let inner = &*self.0;
        match (&source.kind, &dest.kind) {
            (EntryKind::Folder, EntryKind::Folder) => return Glance::Same,
            (EntryKind::File, EntryKind::File) => {}
            (a, b) if a == b => return Glance::Same,
            _ => return Glance::Differs,
        }
        if source.size != dest.size {
            return Glance::Differs;
        }
        match inner.compare {
            Compare::Size => Glance::Same,
            Compare::Content => Glance::Look,
            Compare::Times => self.glance_at_times(source, dest),
        }
    }

    fn glance_at_times(&self, source: &Entry, dest: &Entry) -> Glance {
        let inner = &*self.0;
        let not_older = match (source.modified, dest.modified) {
            (Some(source), Some(dest)) => dest >= truncated(source, dest),
            _ => false,
        };
        match (&inner.from, &inner.to) {
            _ if not_older => Glance::Same,
            (Tree::Store { .. }, Tree::Store { .. }) => {
                let verdict = compare::etags(source.etag.as_deref(), dest.etag.as_deref());
                match verdict {
                    Some(Verdict::Same(_)) => Glance::Same,
                    _ => Glance::Differs,
                }
            }
            // The object may carry the file's own time, older than the upload.
            (Tree::Disk(_), Tree::Store { .. }) | (Tree::Store { .. }, Tree::Disk(_)) => {
                Glance::Look
            }
            (Tree::Disk(_), Tree::Disk(_)) => Glance::Differs,
        }
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
                Ok(Verdict::Differs(_)) => None,
                Err(e) => Some(Outcome::Failed(e)),
            };
            if let Some(outcome) = outcome {
                let (from, to) = (pick.from.to_string(), inner.mover.0.to.name(&pick.to));
                cx.meter.add_landed(pick.entry.size);
                return Settled::new(from, to, outcome).sized(pick.entry.size);
            }
        }
        inner.mover.clone().settle(pick, cx).await
    }

    /// Whether a file and an object of one size are of one time, as far as either remembers.
    async fn same_times(&self, pick: &Pick, dest: &Entry, cx: &JobContext) -> Result<Verdict> {
        let inner = &*self.0;
        let differs = Verdict::Differs(Difference::Content);
        let same = Verdict::Same(Verified::Size);
        let (client, object, file_time) = match (&pick.from, &inner.to) {
            (Origin::File(_), Tree::Store { client, bucket, prefix }) => {
                let key = format!("{prefix}{}", pick.to);
                (client, ObjectId::new(bucket, key), pick.entry.modified)
            }
            (Origin::Object(object), Tree::Disk(root)) => {
                let path = root.join(pick.to.as_os_str());
                if recall(&path).is_some_and(|etag| pick.entry.etag.as_ref() == Some(&etag)) {
                    return Ok(same);
                }
                let Some(client) = &inner.mover.0.source else { return Ok(differs) };
                (client, object.clone(), dest.modified)
            }
            _ => return Ok(differs),
        };
        let info = compare::look(&inner.engine, cx, client, &object).await?;
        let kept = info.kept_modified();
        let equal = info.size == pick.entry.size && kept.is_some() && equal_times(kept, file_time);
        Ok(if equal { same } else { differs })
    }

    async fn same_content(&self, pick: &Pick, cx: &JobContext) -> Result<Verdict> {
        let inner = &*self.0;
        match (&pick.from, &inner.to) {
            (Origin::File(a), Tree::Disk(root)) => {
                compare::files(cx, a, &root.join(pick.to.as_os_str())).await
            }
            (Origin::File(path), Tree::Store { client, .. }) => {
                let object = inner.mover.0.to.object(&pick.to)?;
                let info = compare::look(&inner.engine, cx, client, &object).await?;
                compare::file_with_object(&inner.engine, cx, path, (client, &object, &info)).await
            }
            (Origin::Object(object), to) => {
                let Some(client) = &inner.mover.0.source else {
                    return Ok(Verdict::Differs(Difference::Content));
                };
                let info = compare::look(&inner.engine, cx, client, object).await?;
                match to {
                    Tree::Disk(root) => {
                        let path = root.join(pick.to.as_os_str());
                        let theirs = (client, object, &info);
                        compare::file_with_object(&inner.engine, cx, &path, theirs).await
                    }
                    Tree::Store { client, .. } => {
                        let other = inner.mover.0.to.object(&pick.to)?;
                        let other = compare::look(&inner.engine, cx, client, &other).await?;
                        Ok(compare::objects(&info, &other))
                    }
                }
            }
            (Origin::Url(_), _) => Ok(Verdict::Differs(Difference::Content)),
        }
    }

    /// One pair of a comparison.
    async fn check(self, step: Step, cx: JobContext) -> Settled {
        let inner = &*self.0;
        let path = match &step {
            Step::Source(e) | Step::Dest(e) | Step::Both(e, _) => e.path.clone(),
            Step::Unlisted(e) => RelPath::new(e.location()),
        };
        let (from, to) = (inner.from.origin(&path).to_string(), inner.mover.0.to.name(&path));
        let outcome = match step {
            Step::Source(_) => Outcome::Differs(Difference::MissingAtDestination),
            Step::Dest(_) => Outcome::Differs(Difference::MissingAtSource),
            Step::Unlisted(e) => Outcome::Failed(e),
            Step::Both(source, dest) => match self.check_both(source, &dest, &cx).await {
                Ok(Verdict::Same(by)) => Outcome::Same(by),
                Ok(Verdict::Differs(how)) => Outcome::Differs(how),
                Err(e) => Outcome::Failed(e),
            },
        };
        Settled::new(from, to, outcome)
    }

    async fn check_both(&self, source: Entry, dest: &Entry, cx: &JobContext) -> Result<Verdict> {
        let inner = &*self.0;
        if source.kind != dest.kind {
            return Ok(Verdict::Differs(Difference::Content));
        }
        if source.kind != EntryKind::File {
            return Ok(Verdict::Same(Verified::Size));
        }
        if source.size != dest.size {
            return Ok(Verdict::Differs(Difference::Size));
        }
        if inner.compare == Compare::Size || source.size == 0 {
            return Ok(Verdict::Same(Verified::Size));
        }
        if let Some(verdict) = compare::etags(source.etag.as_deref(), dest.etag.as_deref()) {
            return Ok(verdict);
        }
        let pick = Pick {
            from: inner.from.origin(&source.path),
            to: source.path.clone(),
            seen: true,
            entry: source,
        };
        self.same_content(&pick, cx).await
    }

    /// Removes what only the destination has, once everything else is done.
    async fn remove(&self, plan: &Plan, request: &SyncRequest, cx: &JobContext) -> Result<()> {
        let count = plan.count.load(Ordering::Relaxed);
        if !plan.delete || count == 0 {
            return Ok(());
        }
        let refuse = |kind, what: String, hint: &str| {
            Err(Error::new(kind, Op::Remove, &request.to, what).with_hint(hint))
        };
        if plan.unseen.load(Ordering::Relaxed) {
            let what = "nothing was removed, because not everything could be listed".to_owned();
            return refuse(ErrorKind::Io, what, "what was not seen might be taken for gone");
        }
        if request.max_delete.is_some_and(|most| count > most) {
            let what = format!("nothing was removed: {count} would have to go");
            return refuse(ErrorKind::Invalid, what, "look with --dry-run, or raise --max-delete");
        }
        let removals = {
            let mut spill = plan.removals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::replace(&mut *spill, Spill::new())
        };
        let inner = &*self.0;
        let target = match (&inner.to, &inner.mover.0.to) {
            (Tree::Store { client, bucket, prefix }, _) => Removal::Keys {
                client: client.clone(),
                bucket: bucket.clone(),
                prefix: prefix.clone(),
            },
            (Tree::Disk(path), Place::Disk(_, root)) => {
                Removal::Files { folder: path.clone(), root: root.clone() }
            }
            _ => return Ok(()),
        };
        let remover = Remover::new(&inner.engine, target, inner.dry_run);
        remover.run(removals.into_stream()?, cx).await
    }
}

/// The source's time in the resolution of the destination's: file systems and stores that keep whole
/// seconds must not look older for it.
fn truncated(source: SystemTime, dest: SystemTime) -> SystemTime {
    let since = |t: SystemTime| t.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if since(dest).subsec_nanos() == 0 {
        return SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since(source).as_secs());
    }
    source
}

/// Whether two times are the same, in the resolution of the coarser one.
fn equal_times(a: Option<SystemTime>, b: Option<SystemTime>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    truncated(a, b) == truncated(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_compared_in_the_coarser_resolution() {
        let at = |s, n| SystemTime::UNIX_EPOCH + Duration::new(s, n);
        assert!(at(5, 0) >= truncated(at(5, 900), at(5, 0)));
        assert!(at(5, 100) < truncated(at(5, 900), at(5, 100)));
        assert!(equal_times(Some(at(5, 0)), Some(at(5, 7))));
        assert!(!equal_times(Some(at(5, 1)), Some(at(5, 7))));
        assert!(!equal_times(None, Some(at(5, 7))));
    }
}
