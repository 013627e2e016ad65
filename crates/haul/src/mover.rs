//! Moving one item of many.
//!
//! Owns the way of one pick to its place below a destination: a file, a folder, a link, an object
//! that the store copies by itself. Shared by cp, mv, sync and publish, so that a file moves alike
//! whatever asked for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haul_core::handle::JobContext;
use haul_core::{
    Attributes, Change, Engine, EntryKind, Error, ErrorKind, Foreign, Hint, Job, Op, Outcome,
    Proof, RelPath, Report, Result, Settled, Skip, Source, Target,
};
use haul_local::{Durability, LocalTarget};
use haul_s3::{CopySpec, ObjectId, S3Client, S3Source, S3Target};

use crate::copy::through_instead;
use crate::dedupe::{Content, Dedupe};
use crate::identity::onto_itself;
use crate::picks::{Origin, Pick};
use crate::place::{Place, folder_marker};
use crate::sources::Sources;

/// What all items of a job share.
#[derive(Debug, Clone)]
pub(crate) struct Mover(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) durability: Durability,
    pub(crate) sources: Sources,
    pub(crate) to: Place,
    /// Whether objects come from the store that they go to.
    pub(crate) same_store: bool,
    /// Whether it is the same store in truth, however each side was told to reach it: then a key is
    /// the same object on both.
    pub(crate) one_store: bool,
    /// Where below the destination sources are: nothing may be put there.
    pub(crate) sources_inside: Vec<RelPath>,
    /// Folders that are moved with all that is in them.
    pub(crate) leaves: Vec<PathBuf>,
    /// Whether anything came to its place without a transfer that would have flushed it.
    pub(crate) placed: AtomicBool,
    pub(crate) how: How,
    pub(crate) dedupe: Option<Dedupe>,
}

/// What is done with each item.
#[derive(Debug, Clone)]
pub(crate) struct How {
    pub(crate) attributes: Attributes,
    pub(crate) overwrite: bool,
    pub(crate) keep_times: bool,
    pub(crate) remove_source: bool,
    pub(crate) multipart_copy_above: u64,
    pub(crate) dry_run: bool,
}

impl Mover {
    /// Moves one item and says how that ended.
    pub(crate) async fn settle(self, pick: Pick, cx: JobContext) -> Settled {
        let (from, to) = (Foreign::from(&pick.from), self.0.to.name(&pick.to));
        let size = pick.entry.size;
        let outcome = match self.refuse_itself(&pick).await {
            Ok(()) if self.0.how.dry_run => self.rehearse(&pick, &cx).await,
            Ok(()) => self.try_one(&pick, &cx).await,
            Err(e) => Err(e),
        };
        let outcome = outcome.unwrap_or_else(Outcome::Failed);
        let settled = Settled::new(from, to, outcome);
        if pick.seen { settled.sized(size) } else { settled }
    }

    /// A dry run finds what would fail for its name, and what is left alone because it exists.
    async fn rehearse(&self, pick: &Pick, cx: &JobContext) -> Result<Outcome> {
        let Shared { engine, to, how, .. } = &*self.0;
        let spares = !how.overwrite && pick.entry.kind != EntryKind::Folder;
        let taken = match to {
            Place::Store { client, .. } => {
                let object = to.object(&pick.to)?;
                spares && exists(engine, cx, client, &object).await?
            }
            Place::Disk(root, _) => {
                safe(pick, to)?;
                spares && haul_local::exists(&root.join(pick.to.as_os_str())).await?
            }
        };
        let change = if how.remove_source { Change::Move } else { Change::Copy };
        Ok(if taken { Outcome::Skipped(Skip::Exists) } else { Outcome::Would(change) })
    }

    /// What is its own destination has nowhere to go to: at the end of every road, because patterns
    /// and lists lead there as well as trees do.
    async fn refuse_itself(&self, pick: &Pick) -> Result<()> {
        let Shared { to, how, .. } = &*self.0;
        let (same, in_place, thing) = match (&pick.from, to) {
            (Origin::Object(from), Place::Store { .. }) => {
                let Ok(object) = to.object(&pick.to) else { return Ok(()) };
                let same = (&object.bucket, &object.key) == (&from.bucket, &from.key);
                let changes = how.attributes != Attributes::default();
                let in_place = self.0.same_store && changes && !how.remove_source;
                (same && self.0.one_store, in_place, "object")
            }
            (Origin::File(from), Place::Disk(root, _)) if pick.entry.kind != EntryKind::Folder => {
                let there = root.join(pick.to.as_os_str());
                (haul_local::same_file(from, &there).await?, false, "file")
            }
            _ => return Ok(()),
        };
        let op = if how.remove_source { Op::Move } else { Op::Copy };
        if same && !in_place {
            return Err(onto_itself(op, &pick.from, thing, &how.attributes));
        }
        if !same && self.lands_among_sources(pick) {
            let what = "its destination is inside of a source, and might be read or replaced twice";
            return Err(
                Error::new(ErrorKind::Invalid, op, &pick.from, what).with_hint(Hint::TakeAlone)
            );
        }
        Ok(())
    }

    /// Whether it would be put where there are sources that are still to be read.
    fn lands_among_sources(&self, pick: &Pick) -> bool {
        let path = Path::new(pick.to.as_os_str());
        let among = |source: &RelPath| {
            let source = Path::new(source.as_os_str());
            path != source && path.starts_with(source)
        };
        pick.entry.kind != EntryKind::Folder && self.0.sources_inside.iter().any(among)
    }

    async fn try_one(&self, pick: &Pick, cx: &JobContext) -> Result<Outcome> {
        let file = pick.entry.kind == EntryKind::File;
        let renamed =
            if self.0.how.remove_source && file { self.renamed(pick).await } else { Ok(None) };
        let (moved, gone) = match renamed {
            Ok(None) => (self.copy(pick, cx).await, false),
            Ok(Some(report)) => (Ok(report), true),
            Err(e) => (Err(e), false),
        };
        let report = match moved {
            Err(e) if !self.0.how.overwrite && e.kind() == ErrorKind::AlreadyExists => {
                return Ok(Outcome::Skipped(Skip::Exists));
            }
            moved => moved?,
        };
        if gone {
            self.left(pick).await;
        } else if self.0.how.remove_source {
            self.leave(pick, &report, cx).await?;
        }
        Ok(Outcome::Copied(Box::new(report)))
    }

    /// Copies one item to its place.
    pub(crate) async fn copy(&self, pick: &Pick, cx: &JobContext) -> Result<Report> {
        let shared = &*self.0;
        match (&pick.entry.kind, &shared.to) {
            (EntryKind::Folder, to) => self.folder(pick, to, cx).await,
            (EntryKind::Symlink(target), Place::Disk(_, Some(root))) => {
                let (rel, target) = (pick.to.clone(), target.clone());
                root.make_symlink(rel, target.clone(), shared.how.overwrite).await?;
                Ok(Report { read: Some(Proof::Link(target)), ..self.placed(pick, 0) })
            }
            (EntryKind::Symlink(_), _) => {
                let what = "it is a symbolic link, and a store has none";
                Err(Error::new(ErrorKind::Unsupported, Op::Copy, &pick.from, what)
                    .with_hint(Hint::FollowSymlinks))
            }
            (_, Place::Store { client, .. }) => {
                let object = shared.to.object(&pick.to)?;
                self.to_store(pick, client, object, cx).await
            }
            (_, Place::Disk(path, root)) => {
                let Some(root) = root else {
                    let what = "it was not opened for writing";
                    return Err(Error::new(ErrorKind::Io, Op::Begin, path.display(), what));
                };
                let durability = shared.durability.clone();
                let target = LocalTarget::beneath(Arc::clone(root), pick.to.clone(), durability);
                let target = if shared.how.keep_times { target.remembering() } else { target };
                self.through(pick, Arc::new(target), cx).await
            }
        }
    }

    /// An empty folder: made on a disk, a marker in a store.
    async fn folder(&self, pick: &Pick, to: &Place, cx: &JobContext) -> Result<Report> {
        match to {
            Place::Disk(_, Some(root)) => {
                root.make_folder(pick.to.clone()).await?;
                Ok(self.placed(pick, 0))
            }
            Place::Store { client, .. } => {
                let object = to.object(&pick.to)?;
                let target = S3Target::new(client.clone(), object);
                let source = Arc::new(folder_marker());
                self.engine_run(source, Arc::new(target), Attributes::default(), cx).await
            }
            Place::Disk(..) => Ok(self.placed(pick, 0)),
        }
    }

    async fn to_store(
        &self,
        pick: &Pick,
        client: &S3Client,
        object: ObjectId,
        cx: &JobContext,
    ) -> Result<Report> {
        let shared = &*self.0;
        if let (Origin::Object(from), true) = (&pick.from, shared.same_store) {
            match self
                .copy_object(client, (from, None, &object), shared.how.attributes.clone(), cx)
                .await
            {
                Err(e) if e.kind() == ErrorKind::Unsupported => {
                    // Reading and writing must not wait for each other at one gate.
                    let source = S3Source::new(client.with_own_gate(), from.clone());
                    let target = S3Target::new(client.clone(), object);
                    let attributes = shared.how.attributes.clone();
                    let job = self.job(Arc::new(source), Arc::new(target), attributes);
                    return through_instead(shared.engine.clone(), job, cx.clone(), &e).await;
                }
                copied => return copied,
            }
        }
        if let (Some(dedupe), Origin::File(path)) = (&shared.dedupe, &pick.from)
            && let Some(content) = dedupe.content(path, cx).await?
        {
            return self.deduped(pick, (client, &object), (dedupe, content, path), cx).await;
        }
        self.through(pick, Arc::new(S3Target::new(client.clone(), object)), cx).await
    }

    /// U1.3, S1.30: a copy within the store where it has the content already; else an upload that
    /// is remembered.
    async fn deduped(
        &self,
        pick: &Pick,
        (client, object): (&S3Client, &ObjectId),
        (dedupe, content, path): (&Dedupe, Content, &Path),
        cx: &JobContext,
    ) -> Result<Report> {
        let _turn = dedupe.turn(content).await;
        // It may have been edited while others had their turn.
        if content.is_still_at(path).await {
            let read = Some(Proof::File(content.stamp()));
            if let Some(hit) = dedupe.find(client, content, object, cx).await? {
                let how = &self.0.how;
                let own = crate::dedupe::attributes(pick, how.keep_times);
                if hit.is_as_asked(&how.attributes, own.modified) {
                    return Ok(Report { read, ..self.placed(pick, pick.entry.size) });
                }
                let mut attributes = how.attributes.clone().or(&own);
                attributes.modified = own.modified;
                let (from, etag) = hit.from;
                let ends = (&from, Some(etag), object);
                match self.copy_object(client, ends, attributes, cx).await {
                    // It went away meanwhile, or the store cannot copy: upload after all.
                    Err(e)
                        if matches!(
                            e.kind(),
                            ErrorKind::NotFound | ErrorKind::SourceChanged | ErrorKind::Unsupported
                        ) =>
                    {
                        tracing::debug!("no copy within the store: {e}");
                    }
                    // What the file had when it was hashed is there now.
                    copied => return copied.map(|report| Report { read, ..report }),
                }
            }
        }
        let target = Arc::new(S3Target::new(client.clone(), object.clone()));
        let report = self.through(pick, target, cx).await?;
        dedupe.record(content, path, (object, report.etag.as_deref()), cx).await;
        Ok(report)
    }

    /// By the store itself.
    async fn copy_object(
        &self,
        client: &S3Client,
        (from, expected_etag, to): (&ObjectId, Option<String>, &ObjectId),
        attributes: Attributes,
        cx: &JobContext,
    ) -> Result<Report> {
        let spec = CopySpec {
            from: from.clone(),
            to: to.clone(),
            attributes,
            overwrite: self.0.how.overwrite,
            expected_etag,
            keep_class: self.0.how.remove_source,
            multipart_above: self.0.how.multipart_copy_above,
        };
        Box::pin(haul_s3::copy(&self.0.engine, client.clone(), spec, cx.clone())).await
    }

    /// Through this machine.
    async fn through(&self, pick: &Pick, to: Arc<dyn Target>, cx: &JobContext) -> Result<Report> {
        let source = self.0.sources.of(pick)?;
        self.engine_run(source, to, self.0.how.attributes.clone(), cx).await
    }

    async fn engine_run(
        &self,
        source: Arc<dyn Source>,
        target: Arc<dyn Target>,
        attributes: Attributes,
        cx: &JobContext,
    ) -> Result<Report> {
        let job = self.job(source, target, attributes);
        // Boxed: a transfer is a large future, and there are many in flight.
        Box::pin(self.0.engine.clone().run(job, cx.clone())).await
    }

    fn job(&self, source: Arc<dyn Source>, target: Arc<dyn Target>, attributes: Attributes) -> Job {
        let How { overwrite, keep_times, .. } = self.0.how;
        Job { source, target, attributes, overwrite, expected_size: None, keep_times }
    }

    /// `mv` on one file system is a rename.
    async fn renamed(&self, pick: &Pick) -> Result<Option<Report>> {
        let (Origin::File(from), Place::Disk(_, Some(root))) = (&pick.from, &self.0.to) else {
            return Ok(None);
        };
        let overwrite = self.0.how.overwrite;
        let renamed = root.rename_from(from, &pick.to, overwrite).await?;
        Ok(renamed.then(|| self.placed(pick, pick.entry.size)))
    }

    /// The report on something that took no transfer.
    fn placed(&self, pick: &Pick, bytes: u64) -> Report {
        self.0.placed.store(true, Ordering::Relaxed);
        Report::of_placement(&pick.from, self.0.to.name(&pick.to), bytes)
    }
}

/// Whether there is such an object.
async fn exists(
    engine: &Engine,
    cx: &JobContext,
    client: &S3Client,
    object: &ObjectId,
) -> Result<bool> {
    let look = || haul_s3::stat(client, object, Op::Open);
    let policy = engine.options().retry;
    match engine.retrying(policy, cx, &object.to_string(), look).await {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whether a path stays below the destination.
fn safe(pick: &Pick, to: &Place) -> Result<()> {
    let unsafe_name = |e| Error::new(ErrorKind::Invalid, Op::Begin, to.name(&pick.to), e);
    pick.to.beneath().map(drop).map_err(unsafe_name)
}
