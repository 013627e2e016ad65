//! Taking what a sender has to a folder.
//!
//! Owns what is done with each entry: what is there already is looked at first, small files come
//! several in a request, large ones go on where they broke, and every name stays beneath the
//! folder. A failure of one entry must never stop another (S4.24), and nothing is visible under its
//! name before all of it has been proven.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::future::join_all;
use haul_core::checksum::{Algorithms, Hasher};
use haul_core::handle::JobContext;
use haul_core::meter::ChunkMeter;
use haul_core::payload::Tracker;
use haul_core::plan::{self, PlanPolicy};
use haul_core::stall::{self, Pulse};
use haul_core::{
    Attributes, Error, ErrorKind, Hint, Meter, Op, Outcome, Payload, RelPath, Report, Result,
    Settled, Skip, Target as _, TargetLimits, UploadSpec, Verified,
};
use haul_local::{
    DestinationRoot, Durability, Found, FoundKind, LocalTarget, free_names, name_beneath,
};
use tokio::sync::Mutex;

use crate::checking;
use crate::large;
use crate::links;
use crate::outline::GROUP;
use crate::reading::Named;
use crate::receive::{File, IfExists, Thing};
use crate::session::Session;

/// What a worker gets.
#[derive(Debug)]
pub(crate) enum Task {
    /// One thing.
    One(Thing),
    /// Files that fit into one request.
    Small(Vec<File>),
}

/// Takes things to a folder; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Taker {
    pub(crate) session: Arc<Session>,
    pub(crate) root: Arc<DestinationRoot>,
    pub(crate) durability: Durability,
    pub(crate) if_exists: IfExists,
}

/// Where a file goes.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) path: RelPath,
    pub(crate) overwrite: bool,
}

/// What is to be done with a file.
enum Decision {
    Nothing(Skip),
    Fetch(Place),
}

impl Taker {
    /// Does one task; as many items come out as it is about.
    pub(crate) async fn settle(self, task: Task, cx: JobContext) -> Vec<Settled> {
        match task {
            Task::Small(files) => self.small(files, &cx).await,
            Task::One(thing) => vec![self.one(thing, &cx).await],
        }
    }

    async fn one(&self, thing: Thing, cx: &JobContext) -> Settled {
        let (path, size) = (thing.path().clone(), thing.size());
        let outcome = match thing {
            Thing::File(file) if file.named.size <= GROUP => {
                return self.small(vec![file], cx).await.remove(0);
            }
            Thing::File(file) => self.download_one_file(&file, cx).await,
            Thing::Folder(path) => self.folder(&path).await,
            Thing::Symlink(path, target) => self.link(&path, &target).await,
            Thing::Failed(_, e, fault) => {
                self.session.count_refused(fault);
                Err(e)
            }
        };
        self.settled(&path, outcome).sized(size)
    }

    fn settled(&self, path: &RelPath, outcome: Result<Outcome>) -> Settled {
        let outcome = outcome.unwrap_or_else(Outcome::Failed);
        let to = match &outcome {
            Outcome::Copied(report) => report.to.clone(), // it may have another name
            _ => self.name(path).into(),
        };
        Settled::new(path, to, outcome)
    }

    fn name(&self, path: &RelPath) -> String {
        name_beneath(self.root.path(), path.as_os_str())
    }

    fn copied(&self, file: &File, place: &Place, started: Instant) -> Outcome {
        let to = self.name(&place.path);
        let report = Report::of_placement(&file.path, to, file.named.size);
        let verified = Verified::Blake3;
        Outcome::Copied(Box::new(Report { elapsed: started.elapsed(), verified, ..report }))
    }

    async fn folder(&self, path: &RelPath) -> Result<Outcome> {
        if let Some(Found { kind: FoundKind::Folder, .. }) = self.root.look(path).await? {
            return Ok(Outcome::Skipped(Skip::Exists));
        }
        self.root.make_folder(path).await?;
        let report = Report::of_placement(path, self.name(path), 0);
        Ok(Outcome::Copied(Box::new(report)))
    }

    async fn link(&self, path: &RelPath, target: &std::path::Path) -> Result<Outcome> {
        links::refuse_escape(path, target)?;
        let there = self.root.look(path).await?;
        let mut place = Place { path: path.clone(), overwrite: false };
        if let Some(there) = there {
            if matches!(&there.kind, FoundKind::Symlink(to) if to == target) {
                return Ok(Outcome::Skipped(Skip::Exists));
            }
            match self.taken(path).await? {
                Decision::Nothing(why) => return Ok(Outcome::Skipped(why)),
                Decision::Fetch(other) => place = other,
            }
        }
        self.root.make_symlink(&place.path, target, place.overwrite).await?;
        let report = Report::of_placement(path, self.name(&place.path), 0);
        Ok(Outcome::Copied(Box::new(report)))
    }

    /// Looks at what has the file's name already.
    async fn decide(&self, file: &File, cx: &JobContext) -> Result<Decision> {
        let Some(there) = self.root.look(&file.path).await? else {
            return Ok(Decision::Fetch(Place { path: file.path.clone(), overwrite: false }));
        };
        if self.is_same(&file.path, &there, file.named, cx).await {
            return Ok(Decision::Nothing(Skip::Same(Verified::Blake3)));
        }
        self.taken(&file.path).await
    }

    /// S4.42: whether a file that is there has the content already.
    async fn is_same(&self, path: &RelPath, there: &Found, named: Named, cx: &JobContext) -> bool {
        if there.kind != FoundKind::File || there.size != named.size {
            return false;
        }
        checking::has(&self.session.engine, (&self.root, path), named, cx).await
    }

    /// A name that something else has.
    async fn taken(&self, path: &RelPath) -> Result<Decision> {
        let place = |path: &RelPath, overwrite| Place { path: path.clone(), overwrite };
        Ok(match self.if_exists {
            IfExists::Skip => Decision::Nothing(Skip::Exists),
            IfExists::Overwrite => Decision::Fetch(place(path, true)),
            IfExists::Fail => {
                let what = "something else has this name there";
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    Op::Receive,
                    self.name(path),
                    what,
                )
                .with_hint(Hint::ChooseIfExists));
            }
            IfExists::Rename => {
                for free in free_names(path) {
                    if self.root.look(&free).await?.is_none() {
                        return Ok(Decision::Fetch(place(&free, false)));
                    }
                }
                let what = "no name is free there";
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    Op::Receive,
                    self.name(path),
                    what,
                ));
            }
        })
    }

    /// S4.18: fetches one large file, telling how far it is, and puts it in its place.
    async fn download_one_file(&self, file: &File, cx: &JobContext) -> Result<Outcome> {
        let started = Instant::now();
        cx.started(&file.path, self.name(&file.path), Some(file.named.size));
        let deciding = cx.cancel.run_until_cancelled(Box::pin(self.decide(file, cx))).await;
        let cancelled = || Err(Error::cancelled(Op::Receive, file.path.shown()));
        match deciding.unwrap_or_else(cancelled)? {
            Decision::Nothing(why) => Ok(Outcome::Skipped(why)),
            Decision::Fetch(place) => {
                large::fetch(self, file, &place, cx).await?;
                Ok(self.copied(file, &place, started))
            }
        }
    }

    /// Fetches small files in one request, or as many as it takes.
    async fn small(&self, files: Vec<File>, cx: &JobContext) -> Vec<Settled> {
        let started = Instant::now();
        let deciding = join_all(files.iter().map(|file| self.decide(file, cx))).await;
        let mut wanted = Vec::new();
        let mut outcomes: Vec<Option<Result<Outcome>>> = Vec::new();
        for (at, decision) in deciding.into_iter().enumerate() {
            outcomes.push(match decision {
                Ok(Decision::Nothing(why)) => Some(Ok(Outcome::Skipped(why))),
                Ok(Decision::Fetch(place)) => {
                    wanted.push((at, place));
                    None
                }
                Err(e) => Some(Err(e)),
            });
        }
        let contents: Vec<_> = wanted.iter().map(|(at, _)| files[*at].named).collect();
        let fetched = self.contents(&contents, cx).await;
        let writing = wanted.iter().zip(fetched).map(|((at, place), fetched)| {
            let file = &files[*at];
            async move {
                let place = self.put(file, place, fetched?).await?;
                cx.meter.add_landed(file.named.size);
                Ok(self.copied(file, &place, started))
            }
        });
        for ((at, _), outcome) in wanted.iter().zip(join_all(writing).await) {
            outcomes[*at] = Some(outcome);
        }
        let nothing = || Err(Error::cancelled(Op::Receive, &self.session.peer));
        let settled = files.iter().zip(outcomes).map(|(file, outcome)| {
            self.settled(&file.path, outcome.unwrap_or_else(nothing)).sized(file.named.size)
        });
        settled.collect()
    }

    /// Several small contents: all in one request, and one by one what that request did not bring,
    /// so that one that cannot be had does not stop the others.
    async fn contents(&self, wanted: &[Named], cx: &JobContext) -> Vec<Result<Vec<Bytes>>> {
        let got = Mutex::new(Vec::with_capacity(wanted.len()));
        if wanted.len() > 1 {
            let together = self.in_one_request(wanted, &got, cx).await;
            if let Err(e) = together
                && matches!(e.kind(), ErrorKind::Connect | ErrorKind::Cancelled)
            {
                // Nobody is there: asking one by one would only take longer.
                let mut all: Vec<_> = got.into_inner().into_iter().map(Ok).collect();
                let again = || Error::new(e.kind(), e.op(), e.location(), e.detail());
                all.resize_with(wanted.len(), || Err(again()));
                return all;
            }
        }
        let mut all: Vec<Result<Vec<Bytes>>> = got.into_inner().into_iter().map(Ok).collect();
        let mut silent = 0;
        for content in &wanted[all.len()..] {
            if silent > 1 {
                // That is no single content's fault: the others need not find out one by one.
                let stall = self.session.engine.options().stall;
                all.push(Err(stall::stalled(Op::Receive, &self.session.peer, stall)));
                continue;
            }
            let one = Mutex::new(Vec::new());
            let asked = self.in_one_request(std::slice::from_ref(content), &one, cx).await;
            let stalled = matches!(&asked, Err(e) if e.kind() == ErrorKind::Stalled);
            silent = if stalled { silent + 1 } else { 0 };
            all.push(asked.map(|()| one.into_inner().pop().unwrap_or_default()));
        }
        all
    }

    async fn in_one_request(
        &self,
        wanted: &[Named],
        got: &Mutex<Vec<Vec<Bytes>>>,
        cx: &JobContext,
    ) -> Result<()> {
        let attempt = || async {
            let mut got = got.lock().await;
            let rest = &wanted[got.len()..];
            if rest.iter().all(|content| content.size == 0) {
                // Nothing has no bytes to ask for, but a hash of its own.
                let nothing = *blake3::hash(b"").as_bytes();
                if rest.iter().any(|content| content.hash != nothing) {
                    let what = "an empty file has another hash";
                    let peer = &self.session.peer;
                    return Err(Error::new(ErrorKind::Verification, Op::Receive, peer, what));
                }
                got.resize_with(wanted.len(), Vec::new);
                return Ok(());
            }
            let mut several = self.session.line().await?.ask_many(rest).await?;
            for content in rest {
                let bytes = several.next(*content).await?;
                cx.meter.add_wire(content.size);
                if let Some(throttle) = &self.session.engine.options().throttle {
                    throttle.take(content.size as usize, |_| ()).await;
                }
                got.push(bytes);
            }
            Ok(())
        };
        let engine = &self.session.engine;
        engine.retrying(engine.options().retry, cx, &self.session.peer, attempt).await
    }

    /// Writes a file whose bytes are all there; where another has just taken its name and it may have
    /// a different one, under that.
    async fn put(&self, file: &File, place: &Place, bytes: Vec<Bytes>) -> Result<Place> {
        let mut place = place.clone();
        loop {
            match self.write(file, &place, bytes.clone()).await {
                Err(e)
                    if e.kind() == ErrorKind::AlreadyExists
                        && self.if_exists == IfExists::Rename =>
                {
                    match self.taken(&file.path).await? {
                        Decision::Fetch(other) if other.path != place.path => place = other,
                        _ => return Err(e),
                    }
                }
                written => return written.map(|()| place),
            }
        }
    }

    /// Writes a file whose bytes are all there.
    async fn write(&self, file: &File, place: &Place, bytes: Vec<Bytes>) -> Result<()> {
        let (root, path) = (Arc::clone(&self.root), place.path.clone());
        let mut target = LocalTarget::beneath(root, path, self.durability.clone());
        if let Some(mode) = file.mode {
            target = target.with_mode(mode);
        }
        let policy = PlanPolicy { part_size: GROUP, explicit: true };
        let plan = plan::plan(file.named.size, &TargetLimits::default(), policy)
            .map_err(|e| Error::new(ErrorKind::Invalid, Op::Write, self.name(&place.path), e))?;
        let mut attributes = Attributes::default();
        attributes.modified = file.modified;
        let chunks: Vec<_> = plan.iter().collect();
        let spec =
            UploadSpec { plan: Some(plan), attributes, overwrite: place.overwrite, read: None };
        let upload = target.begin(&spec).await?;
        let mut hasher = Hasher::new(Algorithms::default());
        for piece in &bytes {
            hasher.update(piece);
        }
        let mut receipts = Vec::new();
        for chunk in chunks {
            let tracker = Tracker {
                // Counted when it is in its place.
                chunk: ChunkMeter::new(Meter::new()),
                pulse: Pulse::default(),
                wire: None,
                throttle: None,
                sums: std::sync::Mutex::default(),
            };
            let payload = Payload::memory(chunk, bytes.clone(), hasher.sums(), Arc::new(tracker));
            receipts.push(upload.put(chunk, payload).await?);
        }
        upload.commit(&receipts, &hasher.sums()).await.map(drop)
    }
}
