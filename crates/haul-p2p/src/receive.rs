//! Receiving: from a ticket to files.
//!
//! Owns the life of a receive, and the entries of a sender as things that can be taken. Files are
//! fetched as many at once as was asked for, large ones first (S4.3, S4.4, S4.36); what fails is
//! tried again by the engine's rules and told in the end.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures::stream::{self, Stream};
use haul_core::handle::JobContext;
use haul_core::many::Item;
use haul_core::{Engine, Error, ErrorKind, Hint, Op, RelPath, Result, Source, Summary};
use haul_local::{DestinationRoot, Durability};

use crate::endpoint::{Net, STREAMS};
use crate::fault::Close;
use crate::large;
use crate::listing::Listing;
use crate::outline::GROUP;
use crate::reading::Named;
use crate::session::Session;
use crate::source::PeerSource;
use crate::take::{Taker, Task};
use crate::ticket::Ticket;
use crate::wire::{Entry, Kind, Moment};

/// How often a sender hears how far this side is.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// The most small files in one request.
const FILES: usize = 64;

/// S4.3: files that are fetched at once: the network is the limit, not the processor.
pub const DEFAULT_JOBS: usize = 6;

/// Entries that a sender may list.
pub const DEFAULT_MOST: u64 = 1_000_000;

/// How a share is received.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReceiveOptions {
    /// How peers reach each other.
    pub net: Net,
    /// Files that are fetched at once, at least 1.
    pub jobs: usize,
    /// What is done about a name that something else has.
    pub if_exists: IfExists,
    /// The most entries that the sender may list.
    pub most: u64,
    /// Whether names at the top may begin with a dot: such files do something by being there, and
    /// nobody may have asked for them.
    pub hidden: bool,
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        let (net, if_exists) = (Net::default(), IfExists::default());
        Self { net, jobs: DEFAULT_JOBS, if_exists, most: DEFAULT_MOST, hidden: true }
    }
}

/// What is done about a name that something else has. The same content is no something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfExists {
    /// The file fails.
    #[default]
    Fail,
    /// The file is left out.
    Skip,
    /// The file gets another name: `a (1).txt`.
    Rename,
    /// The file replaces what is there, once it is complete.
    Overwrite,
}

/// A file of a sender's.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) path: RelPath,
    pub(crate) named: Named,
    pub(crate) mode: Option<u32>,
    pub(crate) modified: Option<SystemTime>,
}

/// A thing of a sender's.
#[derive(Debug)]
pub(crate) enum Thing {
    File(File),
    Folder(RelPath),
    Symlink(RelPath, PathBuf),
    /// Whether the sender said so, or this side found out.
    Failed(RelPath, Error, Fault),
}

/// Whose fault it is that something cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Theirs,
    Ours,
    /// Ours: hidden names were not asked for.
    Hidden,
}

impl Thing {
    fn of((entry, fault): (Entry, Fault), peer: &str) -> Self {
        let path = RelPath::new(OsString::from_vec(entry.path));
        match entry.kind {
            Kind::File { size, hash, mode, modified } => {
                let modified = modified.and_then(Moment::time);
                Self::File(File { path, named: Named { hash, size }, mode, modified })
            }
            Kind::Folder => Self::Folder(path),
            Kind::Symlink { target } => Self::Symlink(path, OsString::from_vec(target).into()),
            Kind::Failed { reason } => {
                let what = match fault {
                    Fault::Theirs => format!("{peer} cannot send it: {reason}"),
                    Fault::Ours | Fault::Hidden => reason,
                };
                let e = Error::new(ErrorKind::Rejected, Op::Receive, path.shown(), what);
                let e = if fault == Fault::Hidden { e.with_hint(Hint::TakeHidden) } else { e };
                Self::Failed(path, e, fault)
            }
        }
    }

    pub(crate) fn path(&self) -> &RelPath {
        match self {
            Self::File(File { path, .. })
            | Self::Folder(path)
            | Self::Symlink(path, _)
            | Self::Failed(path, ..) => path,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::File(file) => file.named.size,
            _ => 0,
        }
    }
}

/// A connection to a sender, and what it has.
#[derive(Debug)]
pub struct Receiver {
    session: Arc<Session>,
}

impl Receiver {
    /// Prepares to receive what `ticket` names. Nothing is connected before something is asked for.
    pub async fn open(engine: Engine, cx: JobContext, ticket: Ticket, net: &Net) -> Result<Self> {
        Ok(Self { session: Session::open(engine, cx, ticket, net).await? })
    }

    /// Takes everything to the folder `root`.
    pub async fn take(
        &self,
        root: Arc<DestinationRoot>,
        durability: Durability,
        options: &ReceiveOptions,
    ) -> Result<Summary> {
        let (session, if_exists) = (Arc::clone(&self.session), options.if_exists);
        let taker = Taker { session, root, durability, if_exists };
        let failure = Arc::default();
        let tasks = self.tasks(options, Arc::clone(&failure));
        let work = move |task, cx| taker.clone().settle(task, cx);
        self.run(options.jobs, tasks, failure, work).await
    }

    /// Hands everything to `work`, as sources that can be read like any other. `work` says how many
    /// items came to what.
    pub async fn hand_over<W, WF>(&self, options: &ReceiveOptions, work: W) -> Result<Summary>
    where
        W: Fn(Received, JobContext) -> WF + Clone + Send + Sync + 'static,
        WF: Future<Output = haul_core::Settled> + Send,
    {
        let failure = Arc::default();
        let session = Arc::clone(&self.session);
        let things = self.things(options, Arc::clone(&failure));
        let items = futures::StreamExt::map(things, move |thing| {
            Item::one(thing.size(), Received::of(thing, &session))
        });
        let work = move |received, cx| {
            let work = work.clone();
            async move { vec![work(received, cx).await] }
        };
        self.run(options.jobs, items, failure, work).await
    }

    /// The only file of the share, for those who want one.
    pub async fn only(&self, options: &ReceiveOptions) -> Result<Received> {
        let peer = &self.session.peer;
        let several = || {
            Error::new(ErrorKind::Invalid, Op::Receive, peer, "it shares more than one file")
                .with_hint(Hint::NameFolder)
        };
        let mut listing = Listing::new(&self.session, options);
        let mut only = None;
        loop {
            let entries = listing.next().await?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                match Thing::of(entry, peer) {
                    Thing::Failed(_, e, _) => return Err(e),
                    thing @ Thing::File(_) if only.is_none() => only = Some(thing),
                    _ => return Err(several()),
                }
            }
        }
        let nothing = || Error::new(ErrorKind::NotFound, Op::Receive, peer, "it shares no file");
        Ok(Received::of(only.ok_or_else(nothing)?, &self.session))
    }

    /// Looks at what the sender has, and takes nothing.
    pub fn look(&self, options: &ReceiveOptions) -> Look {
        let session = Arc::clone(&self.session);
        Look { listing: Listing::new(&session, options), session }
    }

    /// Tells the sender what became of `files`, of which some failed, and ends the connection.
    pub async fn end(&self, files: u64, failed: u64) {
        self.session.bye(files, failed).await;
        self.session.close(if failed == 0 { Close::Done } else { Close::Stopping }).await;
    }

    /// Ends the connection without having everything.
    pub async fn give_up(&self) {
        self.session.close(Close::Stopping).await;
    }

    async fn run<T, S, W, WF>(
        &self,
        jobs: usize,
        items: S,
        failure: Arc<Mutex<Option<Error>>>,
        work: W,
    ) -> Result<Summary>
    where
        T: Send + 'static,
        S: Stream<Item = Item<T>>,
        W: Fn(T, JobContext) -> WF + Clone + Send + Sync + 'static,
        WF: Future<Output = Vec<haul_core::Settled>> + Send,
    {
        let started = Instant::now();
        let Session { engine, cx, .. } = &*self.session;
        // Each may have so many streams open, and one is for messages.
        let most = (STREAMS as usize - 1) / large::WIDTH;
        let working = engine.many(jobs.clamp(1, most), cx, items, work);
        let ended = tokio::select! {
            ended = working => ended,
            () = self.session.keep_telling(TELL_EVERY) => Ok(()),
        };
        let mut summary = cx.tally.snapshot();
        (summary.elapsed, summary.retried) = (started.elapsed(), cx.meter.snapshot().retried);
        let unlisted = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (ended, unlisted) {
            (Ok(()), None) => {
                // What the sender could not send is no failure of this side's.
                let failed = summary.failed.saturating_sub(self.session.refused());
                self.end(summary.copied + summary.skipped, failed).await;
                Ok(summary)
            }
            (Err(e), _) | (Ok(()), Some(e)) => {
                self.give_up().await;
                Err(e)
            }
        }
    }

    /// Everything that the sender lists; what ends it early is put into `failure`.
    fn things(
        &self,
        options: &ReceiveOptions,
        failure: Arc<Mutex<Option<Error>>>,
    ) -> impl Stream<Item = Thing> + Send + use<> {
        let pages = pages(&self.session, options, failure);
        futures::StreamExt::flat_map(pages, stream::iter)
    }

    /// The same as tasks, with small files put together.
    fn tasks(
        &self,
        options: &ReceiveOptions,
        failure: Arc<Mutex<Option<Error>>>,
    ) -> impl Stream<Item = Item<Task>> + Send + use<> {
        let pages = pages(&self.session, options, failure);
        futures::StreamExt::flat_map(pages, |page| stream::iter(packed(page)))
    }
}

fn pages(
    session: &Arc<Session>,
    options: &ReceiveOptions,
    failure: Arc<Mutex<Option<Error>>>,
) -> impl Stream<Item = Vec<Thing>> + Send + use<> {
    let (listing, session) = (Listing::new(session, options), Arc::clone(session));
    stream::unfold((listing, session, failure), |(mut listing, session, failure)| async move {
        match listing.next().await {
            Ok(entries) if entries.is_empty() => None,
            Ok(entries) => {
                let page: Vec<_> =
                    entries.into_iter().map(|entry| Thing::of(entry, &session.peer)).collect();
                let bytes = page.iter().map(Thing::size).fold(0, u64::saturating_add);
                session.cx.meter.add_total(bytes);
                Some((page, (listing, session, failure)))
            }
            Err(e) => {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
                None
            }
        }
    })
}

/// Puts the small files of a page together, as many as go into one request.
fn packed(page: Vec<Thing>) -> VecDeque<Item<Task>> {
    let mut items = VecDeque::new();
    let (mut small, mut bytes) = (Vec::new(), 0);
    let pack = |small: &mut Vec<File>, bytes: &mut u64, items: &mut VecDeque<Item<Task>>| {
        if !small.is_empty() {
            let (task, size) = (Task::Small(std::mem::take(small)), std::mem::take(bytes));
            let count = if let Task::Small(files) = &task { files.len() as u32 } else { 1 };
            items.push_back(Item { size, count, task });
        }
    };
    for thing in page {
        match thing {
            Thing::File(file) if file.named.size <= GROUP => {
                if bytes + file.named.size > GROUP || small.len() == FILES {
                    pack(&mut small, &mut bytes, &mut items);
                }
                bytes += file.named.size;
                small.push(file);
            }
            other => items.push_back(Item::one(other.size(), Task::One(other))),
        }
    }
    pack(&mut small, &mut bytes, &mut items);
    items
}

/// What a sender has, as it says, page by page.
#[derive(Debug)]
pub struct Look {
    session: Arc<Session>,
    listing: Listing,
}

impl Look {
    /// Some more of it; nothing at the end. An error is final.
    pub async fn next(&mut self) -> Result<Vec<Received>> {
        let entries = self.listing.next().await?;
        let things = entries.into_iter().map(|entry| Thing::of(entry, &self.session.peer));
        Ok(things.map(|thing| Received::of(thing, &self.session)).collect())
    }

    /// Ends the connection.
    pub async fn end(self) {
        self.session.close(Close::Stopping).await;
    }
}

/// A thing of a sender's, for those who put it elsewhere than into a folder.
#[derive(Debug)]
pub struct Received {
    /// Its path, raw: somebody else wrote it.
    pub path: RelPath,
    /// What it is.
    pub what: ReceivedKind,
}

/// What a thing of a sender's is.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceivedKind {
    /// A file, whose bytes are proven as they are read.
    File {
        /// Reads it.
        source: Arc<dyn Source>,
        /// Bytes.
        size: u64,
        /// Last modification.
        modified: Option<SystemTime>,
    },
    /// A folder with nothing in it.
    Folder,
    /// A symbolic link to this.
    Symlink(PathBuf),
    /// It cannot be had.
    Failed(Error),
}

impl Received {
    fn of(thing: Thing, session: &Arc<Session>) -> Self {
        let path = thing.path().clone();
        let what = match thing {
            Thing::File(file) => {
                let (size, modified) = (file.named.size, file.modified);
                let source = Arc::new(PeerSource::new(session, file));
                ReceivedKind::File { source, size, modified }
            }
            Thing::Folder(_) => ReceivedKind::Folder,
            Thing::Symlink(_, target) => ReceivedKind::Symlink(target),
            Thing::Failed(_, e, fault) => {
                session.count_refused(fault);
                ReceivedKind::Failed(e)
            }
        };
        Self { path, what }
    }
}
