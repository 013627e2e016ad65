//! Many files to one place: `cp -r`, `mv`.
//!
//! Owns what a destination means for many, and the job that feeds picks to the mover.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::future::FutureExt as _;
use futures::stream::{self, Stream, StreamExt as _};
use haul_core::handle::JobContext;
use haul_core::many::Item;
use haul_core::{
    Attributes, Engine, Error, ErrorKind, Hint, Location, Op, Outcome, RelPath, Result, Settled,
    Summary, TransferHandle,
};
use haul_local::{DestinationRoot, Durability, FsyncPolicy, Symlinks};

use crate::identity::{PlaceId, Relation, Side, onto_itself};
use crate::mover::{How, Mover, Shared};
use crate::picks::{Pick, Picked, Rules, picks, refuse_collisions};
use crate::place::Place;
use crate::roots::{Kind, Root, ends_in_slash};
use crate::{Haul, Jobs, TreeRequest};

/// What a worker gets.
pub(crate) enum Task<T> {
    /// Work.
    Do(T),
    /// Something that has failed before it could be worked on.
    Failed(Error),
}

impl Haul {
    /// Starts to copy or move many files. Errors before the start (a destination that makes no
    /// sense) come from this call, those of single items as events, and later ones from the handle.
    ///
    /// # Errors
    ///
    /// From the call: `Invalid` where the destination makes no sense for these sources, or is
    /// inside of one; `Unsupported` where a source cannot be removed and was to be moved. From the
    /// handle: `Invalid` where two sources would get one name, and what [requests and
    /// disks](crate#errors) may end with where that ends the job. What goes wrong with one file is
    /// an event.
    pub async fn copy_tree(&self, mut request: TreeRequest) -> Result<TransferHandle<Summary>> {
        let this = self.begin();
        let url = request.select.sources.iter().find(|s| matches!(s, Location::Http(_)));
        if let (Some(url), true) = (url, request.remove_source) {
            let what = "what is behind a URL cannot be removed";
            return Err(Error::new(ErrorKind::Unsupported, Op::Move, url, what)
                .with_hint(Hint::CopyInstead));
        }
        if request.remove_source && request.select.symlinks == Symlinks::Follow {
            // What a link leads to is not the source's to remove.
            request.select.symlinks = Symlinks::Keep;
        }
        let roots = this.roots(&request.select, goes_into(&request)).await?;
        let (to, rename) = destination(&request, &roots)?;
        let sources = Box::pin(this.refuse_overlap(&request, &roots, &to)).await?;
        let how = How {
            attributes: request.attributes.clone(),
            overwrite: request.overwrite,
            keep_times: request.keep_times || request.remove_source,
            remove_source: request.remove_source,
            multipart_copy_above: request.multipart_copy_above,
            dry_run: request.dry_run,
        };
        let disk = matches!(to, Location::Local(_));
        let client = if has_objects(&roots) { Some(this.source_client().await?) } else { None };
        let folders = disk || request.select.empty_folders;
        let mut rules = Rules::new(&request.select, folders, client);
        (rules.flatten, rules.rename) = (request.flatten, rename);
        let place = this.place(to).await?;
        let dedupe = this.dedupe(request.dedupe.as_deref(), &place);
        let mut shared = this.shared(&rules, place, how, dedupe);
        shared.leaves = moved_folders(&roots, &shared.how);
        shared.sources_inside = sources;
        let (engine, jobs) = (this.engine.clone(), this.jobs(request.jobs, disk));
        Ok(TransferHandle::start(&this.stop.token(), |cx| async move {
            let started = Instant::now();
            refuse_collisions(&engine, &cx, &roots, &rules).await?;
            let folders = roots.iter().filter_map(|root| root.kind.folder());
            let shared = shared.reading(folders, rules.walk.symlinks).await?.opened().await?;
            let mover = Mover(Arc::new(shared));
            let (items, jobs) = jobs.settle(tasks(&engine, &cx, roots, rules)).await;
            let shared = Arc::clone(&mover.0);
            let work = move |task: Task<Box<Pick>>, cx| {
                let mover = mover.clone();
                async move { vec![done(task, |pick| mover.settle(*pick, cx)).await] }
            };
            engine.many(jobs, &cx, items, work).await?;
            shared.flush().await?;
            Ok(summary(&cx, started))
        }))
    }

    /// A tree that is copied into itself would never end, and one that is moved onto itself would be
    /// gone. Returns where below the destination sources are.
    async fn refuse_overlap(
        &self,
        request: &TreeRequest,
        roots: &[Root],
        to: &Location,
    ) -> Result<Vec<RelPath>> {
        let mut inside = Vec::new();
        let op = if request.remove_source { Op::Move } else { Op::Copy };
        // Objects that get other attributes where they are.
        let in_place = !request.remove_source
            && !request.flatten
            && !self.options.two_endpoints()
            && request.attributes != Attributes::default();
        if request.remove_source {
            self.refuse_nested(roots).await?;
        }
        for root in roots {
            if let Some(top) = root.kind.top() {
                let source = self.place_id(&top, Side::Source).await?;
                inside.extend(source.below(&self.place_id(to, Side::Dest).await?));
            }
            let Some(from) = root.kind.tree() else { continue };
            match self.relation(&from, &below(to, &root.base)).await? {
                Relation::Apart | Relation::SourceInside => {}
                Relation::Same if in_place && matches!(to, Location::S3 { .. }) => {
                    inside.push(root.base.clone());
                }
                Relation::Same => return Err(onto_itself(op, from, "place", &request.attributes)),
                Relation::DestInside => {
                    let what = "the destination is inside of the source";
                    return Err(Error::new(ErrorKind::Invalid, op, from, what));
                }
            }
        }
        Ok(inside)
    }

    /// What is in two sources at once can be moved only once.
    async fn refuse_nested(&self, roots: &[Root]) -> Result<()> {
        let mut seen: Vec<PlaceId> = Vec::new();
        for tree in roots.iter().filter_map(|root| root.kind.tree()) {
            let id = self.place_id(&tree, Side::Source).await?;
            if seen.iter().any(|other| other.relation(&id) != Relation::Apart) {
                let what = "it is inside of another source, or holds it";
                return Err(Error::new(ErrorKind::Invalid, Op::Move, tree, what));
            }
            seen.push(id);
        }
        Ok(())
    }

    /// The place that a location names, not opened yet.
    pub(crate) async fn place(&self, to: Location) -> Result<Place> {
        let store = matches!(to, Location::S3 { .. });
        let client = if store { Some(self.dest_client().await?) } else { None };
        Place::of(&to, client).ok_or_else(|| {
            let what = "many files need a folder, a bucket or a prefix to go to";
            Error::new(ErrorKind::Invalid, Op::Open, to, what)
        })
    }

    /// What the items of a job share.
    pub(crate) fn shared(
        &self,
        rules: &Rules,
        to: Place,
        how: How,
        dedupe: Option<crate::dedupe::Dedupe>,
    ) -> Shared {
        let same_store = !self.options.two_endpoints();
        let one_store = match (&rules.client, &to) {
            (Some(from), Place::Store { client, .. }) => from.store() == client.store(),
            _ => false,
        };
        Shared {
            engine: self.engine.clone(),
            durability: durability(&self.durability, &how),
            sources: self.sources(rules),
            to,
            same_store,
            one_store,
            leaves: Vec::new(),
            sources_inside: Vec::new(),
            placed: AtomicBool::new(false),
            how,
            dedupe,
        }
    }

    /// How many items are in work at once.
    pub(crate) fn jobs(&self, asked: Jobs, to_disk: bool) -> JobCount {
        let requests = self.options.engine.concurrency;
        match asked {
            Jobs::Fixed(n) => JobCount::Known(n.max(1)),
            Jobs::Auto => JobCount::BySize,
            // Files that wait for a flush hold no request: many of them share one.
            Jobs::Requests if to_disk && self.options.fsync == FsyncPolicy::Auto => {
                JobCount::Known(requests * 16)
            }
            Jobs::Requests => JobCount::Known(requests),
        }
    }
}

/// How many items are in work at once.
#[derive(Debug, Clone, Copy)]
pub(crate) enum JobCount {
    Known(usize),
    /// By the sizes of the first page.
    BySize,
}

/// Items to look at before the number of workers is chosen.
const SAMPLE: usize = 256;

impl JobCount {
    /// The number, and the items with those that were looked at for it.
    pub(crate) async fn settle<T: Send>(
        self,
        items: impl Stream<Item = Item<T>> + Send,
    ) -> (impl Stream<Item = Item<T>> + Send, usize) {
        let mut items = Box::pin(items.fuse());
        let mut first = Vec::new();
        let jobs = match self {
            Self::Known(n) => n,
            Self::BySize => {
                first.extend(items.next().await);
                while first.len() < SAMPLE && !first.is_empty() {
                    match items.next().now_or_never() {
                        Some(Some(item)) => first.push(item),
                        _ => break,
                    }
                }
                workers_for(first.iter().map(|i| i.size))
            }
        };
        (stream::iter(first).chain(items), jobs)
    }
}

/// S0.15, S0.29: 8 workers for files below 10 MB, 4 otherwise.
fn workers_for(sizes: impl Iterator<Item = u64>) -> usize {
    let (count, total) = sizes.fold((0_u64, 0_u64), |(n, sum), size| (n + 1, sum + size));
    if count > 1 && total / count < 10_000_000 { 8 } else { 4 }
}

/// What is picked, as work for many: counted, and with what could not be listed among it.
pub(crate) fn tasks(
    engine: &Engine,
    cx: &JobContext,
    roots: Vec<Root>,
    rules: Rules,
) -> impl Stream<Item = Item<Task<Box<Pick>>>> + Send + use<> {
    let items = picks(engine, cx, roots, rules).map(|picked| match picked {
        Picked::Item(pick) => Item::one(pick.entry.size, Task::Do(pick)),
        Picked::Problem(e) | Picked::Cut(e) => Item::one(0, Task::Failed(e)),
    });
    counted(items, cx)
}

/// Adds what is found to the bytes to move.
pub(crate) fn counted<T, S: Stream<Item = Item<T>>>(
    items: S,
    cx: &JobContext,
) -> impl Stream<Item = Item<T>> + use<T, S> {
    let meter = Arc::clone(&cx.meter);
    items.inspect(move |item| meter.add_total(item.size))
}

/// Works on a task, or settles what has failed already.
pub(crate) async fn done<T, F: Future<Output = Settled>>(
    task: Task<T>,
    work: impl FnOnce(T) -> F,
) -> Settled {
    match task {
        Task::Do(item) => work(item).await,
        Task::Failed(e) => Settled::new(e.location().to_owned(), "", Outcome::Failed(e)),
    }
}

/// The figures at the end of a job.
pub(crate) fn summary(cx: &JobContext, started: Instant) -> Summary {
    let mut summary = cx.tally.snapshot();
    summary.elapsed = started.elapsed();
    summary.retried = cx.meter.snapshot().retried;
    summary
}

impl Shared {
    /// Opens the folders that files are read beneath, where no link in them is followed: whoever puts
    /// one in a file's place once it was listed leads nobody elsewhere.
    pub(crate) async fn reading(
        mut self,
        folders: impl Iterator<Item = &Path>,
        links: Symlinks,
    ) -> Result<Self> {
        if links != Symlinks::Follow && !self.how.dry_run {
            for folder in folders {
                self.sources.beneath.push(DestinationRoot::open(folder, false).await?);
            }
        }
        Ok(self)
    }

    /// At the end, for what has no content that would be forced to the disk: folders, links, new names.
    pub(crate) async fn flush(&self) -> Result<()> {
        match &self.to {
            Place::Disk(_, Some(root))
                if self.placed.load(Ordering::Relaxed)
                    && self.durability.policy() == FsyncPolicy::Always =>
            {
                root.flush().await
            }
            _ => Ok(()),
        }
    }

    /// Opens the destination's folder, now that nothing stands against writing; a dry run only looks
    /// whether that could be done.
    pub(crate) async fn opened(mut self) -> Result<Self> {
        match &mut self.to {
            Place::Disk(path, _) if self.how.dry_run => {
                DestinationRoot::rehearse(path.clone()).await?;
            }
            Place::Disk(path, root) => {
                *root = Some(DestinationRoot::open(path.clone(), true).await?);
            }
            Place::Store { .. } => {}
        }
        Ok(self)
    }
}

/// The tree's root at the destination; for a single source whose destination is named in full, the
/// folder and the name.
fn destination(request: &TreeRequest, roots: &[Root]) -> Result<(Location, Option<RelPath>)> {
    let to = &request.to;
    let single = matches!(roots, [root] if root.kind.is_single());
    if !single || is_folder(to) {
        return Ok((to.clone(), None));
    }
    match to {
        Location::Local(path) => {
            let named = path
                .file_name()
                .ok_or_else(|| Error::new(ErrorKind::Invalid, Op::Begin, to, "it names no file"))?;
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).to_owned();
            Ok((Location::Local(folder), Some(RelPath::new(named))))
        }
        Location::S3 { bucket, key } => {
            let (prefix, name) = key.rsplit_once('/').map_or(("", key.as_str()), |(p, n)| (p, n));
            let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
            let prefix = Location::S3 { bucket: bucket.clone(), key: prefix };
            Ok((prefix, Some(RelPath::new(name))))
        }
        to => Ok((to.clone(), None)),
    }
}

/// Whether folders among the sources keep their names: for several, and where the destination says so.
fn goes_into(request: &TreeRequest) -> bool {
    let sources = &request.select.sources;
    let pattern = |source: &Location| match source {
        Location::S3 { key, .. } => haul_core::Pattern::is_one(key),
        Location::Local(path) => {
            path.to_str().is_some_and(haul_core::Pattern::is_one) && !path.exists()
        }
        _ => false,
    };
    sources.len() != 1 || is_folder(&request.to) || sources.iter().any(pattern)
}

/// Whether a destination is one to copy "into".
fn is_folder(to: &Location) -> bool {
    match to {
        Location::Local(path) => ends_in_slash(path) || path.is_dir(),
        Location::S3 { key, .. } => key.is_empty() || key.ends_with('/'),
        _ => false,
    }
}

/// Where below a destination a source goes.
fn below(to: &Location, base: &RelPath) -> Location {
    match to {
        _ if base.is_root() => to.clone(),
        Location::Local(path) => Location::Local(path.join(base.as_os_str())),
        Location::S3 { bucket, key } => {
            let slash = if key.is_empty() || key.ends_with('/') { "" } else { "/" };
            let key = format!("{key}{slash}{}", base.as_os_str().to_string_lossy());
            Location::S3 { bucket: bucket.clone(), key }
        }
        to => to.clone(),
    }
}

/// Whether there is anything among the sources that a store has to be asked about.
pub(crate) fn has_objects(roots: &[Root]) -> bool {
    let store = |root: &Root| {
        matches!(root.kind, Kind::Prefix(..) | Kind::KeyPattern(..) | Kind::Objects(_))
    };
    roots.iter().any(store)
}

/// The folders that are moved with all that is in them: those in them that are left empty go, too.
fn moved_folders(roots: &[Root], how: &How) -> Vec<PathBuf> {
    let folder = |root: &Root| match &root.kind {
        Kind::Folder(path) => Some(path.clone()),
        _ => None,
    };
    roots.iter().filter(|_| how.remove_source && !how.dry_run).filter_map(folder).collect()
}

/// How files are made durable. A source is the only copy until the other is on the disk, so that a
/// move waits for that whatever was asked for.
fn durability(asked: &Durability, how: &How) -> Durability {
    if how.remove_source && !asked.syncs() {
        return Durability::new(FsyncPolicy::Auto);
    }
    asked.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S0.15, S0.29, X0.6: what has no rule gets 4.
    #[test]
    fn workers_follow_sizes() {
        let mb = 1_000_000;
        assert_eq!(workers_for([1, 2, 3].into_iter()), 8);
        assert_eq!(workers_for([50 * mb, 50 * mb].into_iter()), 4);
        assert_eq!(workers_for([200 * mb, 200 * mb].into_iter()), 4);
        assert_eq!(workers_for(std::iter::empty()), 4);
    }

    /// A.26: a move that does not flush files does not remove what is not on the disk yet, either.
    #[test]
    fn moves_are_durable_whatever_was_asked_for() {
        let how = |remove_source| How {
            attributes: Attributes::default(),
            overwrite: true,
            keep_times: true,
            remove_source,
            multipart_copy_above: 0,
            dry_run: false,
        };
        let never = Durability::new(FsyncPolicy::Never);
        assert!(durability(&never, &how(true)).syncs());
        assert!(!durability(&never, &how(false)).syncs());
    }
}
