//! Removing many things: what was selected, or what a sync leaves over.
//!
//! Owns the batches: a store removes up to 1,000 keys by one request, and each key is settled by
//! itself.

mod batch;
mod seen;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures::stream::{Stream, StreamExt as _};
use haul_core::handle::JobContext;
use haul_core::many::{Item, MOST_AT_ONCE};
use haul_core::{
    Change, Engine, Entry, EntryKind, Error, ErrorKind, Hint, Location, Op, Outcome, Pattern,
    RelPath, Result, Settled, Summary, TransferHandle,
};
use haul_local::DestinationRoot;
use haul_s3::{ListSpec, ObjectId, S3Client, S3Lister};

use self::batch::Batch;
pub(crate) use self::seen::Seen;
use crate::picks::{Origin, Pick, Picked, Rules, picks};
use crate::place::Place;
use crate::roots::{Kind, Root};
use crate::tree::summary;
use crate::{Haul, RemoveRequest};

/// Removes by batches.
#[derive(Debug, Clone)]
pub(crate) struct Remover {
    engine: Engine,
    target: Place,
    dry_run: bool,
    /// Folders that stay, though they are left with nothing in them; with a slash.
    kept: Arc<BTreeSet<RelPath>>,
}

/// One thing to remove.
#[derive(Debug, Clone)]
pub(crate) struct Doomed {
    /// Its path below the target.
    path: RelPath,
    version: Option<String>,
    /// It goes only while it is what was seen.
    seen: Option<Seen>,
}

impl Doomed {
    /// Whatever is at `path`, or one version of it.
    pub(crate) fn named(path: RelPath, version: Option<String>) -> Self {
        Self { path, version, seen: None }
    }

    /// What is at `path`, if it is still what was seen there; otherwise it stays, and that is a failure.
    /// A note that cannot be read is one of something else.
    pub(crate) fn if_still(path: RelPath, seen: Option<Seen>) -> Self {
        Self { path, version: None, seen: Some(seen.unwrap_or_default()) }
    }
}

impl Remover {
    pub(crate) fn new(engine: &Engine, target: Place, dry_run: bool) -> Self {
        Self { engine: engine.clone(), target, dry_run, kept: Arc::default() }
    }

    /// Leaves these folders, which end in a slash, though nothing is left in them.
    pub(crate) fn keeping(self, folders: BTreeSet<RelPath>) -> Self {
        Self { kept: Arc::new(folders), ..self }
    }

    /// Removes what `names` names. What cannot be listed fails as one item.
    pub(crate) async fn run(
        self,
        names: impl Stream<Item = Result<Doomed>> + Send,
        cx: &JobContext,
    ) -> Result<()> {
        let batches = names.ready_chunks(MOST_AT_ONCE as usize).map(|batch| Item {
            size: 0,
            count: batch.len() as u32, // at most MOST_AT_ONCE
            task: batch,
        });
        let jobs = self.engine.options().concurrency;
        let engine = self.engine.clone();
        let work = move |batch: Vec<Result<Doomed>>, cx| {
            let remover = self.clone();
            async move { remover.batch(batch, &cx).await }
        };
        engine.many(jobs, cx, batches, work).await
    }

    async fn batch(&self, batch: Vec<Result<Doomed>>, cx: &JobContext) -> Vec<Settled> {
        let doomed: Vec<Doomed> = batch.iter().flatten().cloned().collect();
        let mut outcomes = self.remove(&doomed, cx).await.into_iter();
        let mut settled = Vec::with_capacity(batch.len());
        for item in batch {
            settled.push(match item {
                Ok(Doomed { path, .. }) => {
                    let outcome = outcomes.next().unwrap_or(Outcome::Removed);
                    Settled::new(self.target.name(&path), "", outcome)
                }
                Err(e) => Settled::new(e.location().to_owned(), "", Outcome::Failed(e)),
            });
        }
        settled
    }

    /// An outcome for each, in order.
    async fn remove(&self, doomed: &[Doomed], cx: &JobContext) -> Vec<Outcome> {
        if self.dry_run {
            return doomed.iter().map(|_| Outcome::Would(Change::Remove)).collect();
        }
        match &self.target {
            Place::Store { client, bucket, prefix } => {
                let batch = Batch::new(self, (client, bucket, prefix), doomed);
                batch.remove(cx).await
            }
            Place::Disk(_, root) => {
                let mut outcomes = Vec::with_capacity(doomed.len());
                for doomed in doomed {
                    outcomes.push(self.remove_file(root.as_ref(), doomed).await);
                }
                outcomes
            }
        }
    }

    async fn remove_file(&self, root: Option<&Arc<DestinationRoot>>, doomed: &Doomed) -> Outcome {
        let path = &doomed.path;
        let Some(root) = root else {
            let what = "its folder was not opened";
            return Outcome::Failed(Error::new(ErrorKind::Io, Op::Remove, path.shown(), what));
        };
        let seen = doomed.seen.as_ref().map(|seen| seen.file);
        match root.remove(path.clone(), seen).await {
            // Somebody else was faster.
            Err(e) if seen.is_some() && e.kind() == ErrorKind::NotFound => Outcome::Removed,
            Err(e) => Outcome::Failed(e),
            Ok(()) => {
                // Folders that are left with nothing in them go too; one that is not empty stays.
                let kept = Arc::clone(&self.kept);
                let stays = move |folder: &RelPath| kept.contains(folder);
                let _best_effort = root.remove_empty_folders(path.clone(), stays).await;
                Outcome::Removed
            }
        }
    }
}

impl Haul {
    /// Starts to remove objects.
    ///
    /// # Errors
    ///
    /// From the call: `Invalid` where a source is in no store. From the handle: what [requests and
    /// disks](crate#errors) may end with where that ends the job. What goes wrong with one object
    /// is an event.
    pub async fn remove_tree(&self, request: RemoveRequest) -> Result<TransferHandle<Summary>> {
        let this = self.begin();
        for source in &request.select.sources {
            if !matches!(source, Location::S3 { .. }) {
                let what = "only objects in stores are removed";
                return Err(Error::new(ErrorKind::Invalid, Op::Remove, source, what)
                    .with_hint(Hint::WriteObject));
            }
        }
        let client = this.dest_client().await?;
        let roots = this.roots(&request.select, false).await?;
        let mut rules = Rules::new(&request.select, true, Some(client.clone()));
        rules.own_marker = true;
        // S3 says nothing when there is no such object; who names one key should hear of it.
        let lone = matches!(&roots[..], [Root { kind: Kind::Objects(all), .. }] if all.len() == 1);
        rules.look = lone;
        let engine = this.engine.clone();
        Ok(TransferHandle::start(&this.stop.token(), |cx| async move {
            let started = Instant::now();
            for root in roots {
                let removal = Removing { engine: &engine, client: &client, request: &request };
                removal.root(root, rules.clone(), &cx).await?;
            }
            Ok(summary(&cx, started))
        }))
    }
}

/// One `rm` under way.
struct Removing<'a> {
    engine: &'a Engine,
    client: &'a S3Client,
    request: &'a RemoveRequest,
}

impl Removing<'_> {
    async fn root(&self, root: Root, rules: Rules, cx: &JobContext) -> Result<()> {
        let bucket = match &root.kind {
            Kind::Prefix(bucket, _) | Kind::KeyPattern(bucket, _) => bucket.clone(),
            // Named one by one: of one bucket each, as they were grouped.
            Kind::Objects(objects) => {
                let Some(first) = objects.first() else { return Ok(()) };
                let bucket = first.bucket.clone();
                let (here, rest): (Vec<_>, Vec<_>) =
                    objects.iter().cloned().partition(|o| o.bucket == bucket);
                if !rest.is_empty() {
                    let rest = Root { kind: Kind::Objects(rest), base: root.base.clone() };
                    let here = Root { kind: Kind::Objects(here), base: root.base };
                    Box::pin(self.root(here, rules.clone(), cx)).await?;
                    return Box::pin(self.root(rest, rules, cx)).await;
                }
                bucket
            }
            _ => String::new(),
        };
        let target = Place::Store { client: self.client.clone(), bucket, prefix: String::new() };
        let remover = Remover::new(self.engine, target, self.request.dry_run);
        if self.request.all_versions {
            for whose in whose_versions(&root.kind) {
                let mut spec = ListSpec::new(whose.bucket(), whose.prefix());
                spec.versions = true;
                let lister = Box::new(S3Lister::new(self.client.clone(), spec));
                let listing = self.engine.listing(lister, cx);
                let names = versions_of(listing, whose, rules.clone());
                remover.clone().run(names, cx).await?;
            }
            if !matches!(root.kind, Kind::Nothing(_)) {
                return Ok(());
            }
        }
        let names = picks(self.engine, cx, vec![root], rules).map(|picked| match picked {
            Picked::Item(pick) => Ok(Doomed::named(key_of(&pick), None)),
            Picked::Problem(e) | Picked::Cut(e) => Err(e),
        });
        remover.run(names, cx).await
    }
}

/// What versions are listed of.
#[derive(Debug, Clone)]
enum Whose {
    /// Everything below a prefix.
    Below(String, String),
    /// One key, and not what begins alike.
    Key(ObjectId),
    /// What matches.
    Matching(String, Pattern),
}

impl Whose {
    fn bucket(&self) -> &str {
        match self {
            Self::Below(bucket, _) | Self::Matching(bucket, _) => bucket,
            Self::Key(object) => &object.bucket,
        }
    }

    fn prefix(&self) -> &str {
        match self {
            Self::Below(_, prefix) => prefix,
            Self::Key(object) => &object.key,
            Self::Matching(_, pattern) => pattern.literal(),
        }
    }

    /// Whether an entry of the listing is meant; filters see its path as they do without versions.
    fn means(&self, entry: &Entry, rules: &Rules) -> bool {
        let admits = |path: &str| {
            let named = Entry { path: RelPath::new(path), ..entry.clone() };
            rules.filter.admits(&named) && rules.shard.is_none_or(|s| s.holds(&named.path))
        };
        match self {
            Self::Below(..) => entry.path.is_root() || admits(&entry.path.exact()),
            Self::Key(object) => {
                entry.path.is_root() && admits(object.key.rsplit('/').next().unwrap_or_default())
            }
            Self::Matching(_, pattern) => {
                let key = format!("{}{}", pattern.literal(), entry.path.exact());
                pattern.matches(Path::new(&key), rules.recursive)
                    && admits(key.strip_prefix(pattern.parent()).unwrap_or(&key))
            }
        }
    }
}

fn whose_versions(kind: &Kind) -> Vec<Whose> {
    match kind {
        Kind::Prefix(bucket, prefix) => vec![Whose::Below(bucket.clone(), prefix.clone())],
        Kind::Objects(objects) => objects.iter().cloned().map(Whose::Key).collect(),
        Kind::KeyPattern(bucket, pattern) => {
            vec![Whose::Matching(bucket.clone(), pattern.clone())]
        }
        _ => Vec::new(),
    }
}

fn key_of(pick: &Pick) -> RelPath {
    match &pick.from {
        Origin::Object(object) => RelPath::new(object.key.clone()),
        Origin::File(path) => RelPath::new(path.as_os_str()),
        Origin::Url(url) => RelPath::new(url),
    }
}

/// Every version in a listing that is meant.
fn versions_of(
    listing: haul_core::Listing,
    whose: Whose,
    rules: Rules,
) -> impl Stream<Item = Result<Doomed>> + Send {
    let pages = futures::stream::unfold(listing, |mut listing| async move {
        let page = listing.next().await?;
        Some((page, listing))
    });
    pages.flat_map(move |page| {
        let doomed = match page {
            Ok(page) => {
                let prefix = whose.prefix();
                let meant = page
                    .entries
                    .into_iter()
                    .filter(|e| e.kind != EntryKind::Prefix && whose.means(e, &rules));
                let named = |e: Entry| {
                    let key = RelPath::new(format!("{prefix}{}", e.path.exact()));
                    Ok(Doomed::named(key, e.version_id))
                };
                page.problems.into_iter().map(Err).chain(meant.map(named)).collect()
            }
            Err(e) => vec![Err(e)],
        };
        futures::stream::iter(doomed)
    })
}
