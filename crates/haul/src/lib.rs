//! haul: move files between disks, streams and S3-compatible stores.
//!
//! The facade: owns the choice of backends for a pair of locations ([`route`]) and the settings that
//! they share. It must never print, read the environment or hold a policy of its own: those are the
//! caller's and the engine's.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> haul::Result<()> {
//! use haul::{CopyRequest, Haul, Location, Options};
//!
//! let folder = std::env::temp_dir().join(format!("haul-doc-{}", std::process::id()));
//! std::fs::create_dir_all(&folder).unwrap();
//! std::fs::write(folder.join("a"), "hello").unwrap();
//!
//! let haul = Haul::new(Options::default());
//! let from = Location::Local(folder.join("a"));
//! let to = Location::Local(folder.join("b"));
//! let report = haul.copy(CopyRequest::new(from, to)).await?.await?;
//! assert_eq!(report.bytes, 5);
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok(()) }
//! ```
//!
//! # Bytes
//!
//! [`Haul::get`] hands out what a file, an object or a URL holds, as a stream; [`Haul::put`] and
//! [`Haul::put_stream`] take bytes. They go the way of every copy: by parts and ranges at once, pinned,
//! retried and verified. A stream has memory of its own (up to [`EngineOptions::memory`] for each one
//! that is open), because its reader decides how long that is held.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> haul::Result<()> {
//! use futures::TryStreamExt as _;
//! use haul::{Haul, Location, Options};
//!
//! # let folder = std::env::temp_dir().join(format!("haul-doc-bytes-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! let haul = Haul::new(Options::default());
//! let place = Location::Local(folder.join("note"));
//! haul.put(&place, "hello").await?;
//! let mut note = haul.get(&place).await?;
//! assert_eq!(note.size(), Some(5));
//! while let Some(bytes) = note.try_next().await? {
//!     assert_eq!(bytes, "hello");
//! }
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok(()) }
//! ```
//!
//! # Stopping
//!
//! A [`TransferHandle`] and a [`Download`] stop one job, [`Haul::cancel`] all that have begun. What begins
//! after that runs; after [`Haul::close`] nothing does.
//!
//! # Errors
//!
//! An [`Error`] has an [`ErrorKind`], and each call names those that are its own. Beside them, what asks
//! a store, a server or a peer may end with `Connect`, `Stalled`, `Throttled` or `Server`, whose retries
//! are used up by then, or with `AccessDenied`, `Rejected`, `Protocol`, `WrongRegion` or `Unsupported`;
//! what reads or writes a disk with `AccessDenied`, `NoSpace` or `Io`; and whatever was stopped with
//! `Cancelled`. A call that needs credentials and finds none, or settings that make no sense, ends with
//! `AccessDenied` or `Invalid`.

#![warn(clippy::missing_errors_doc)]

mod bucket;
mod clients;
mod compare;
mod copy;
mod dedupe;
mod files;
mod get;
mod identity;
mod join;
mod leaving;
mod links;
mod list;
mod listers;
mod manage;
mod mover;
mod options;
mod picks;
mod place;
mod publish;
mod put;
mod reach;
mod receive;
mod remove;
mod requests;
mod roots;
pub mod route;
mod share;
mod sources;
mod spill;
mod stop;
mod sync;
mod tree;
mod web;

pub use bucket::StreamingUploader;
pub use copy::CopyRequest;
pub use files::{Channel, DownloadEvent, EventSink, ShareEvent, Sharing};
pub use get::Download;
pub use haul_core::{
    Algorithm, Attributes, Change, Checksum, Difference, EngineOptions, Entry, EntryKind, Error,
    ErrorKind, Event, Filter, FilterRule, Foreign, Hint, HintText, InOrder, Link, Location, Meter,
    MeterSnapshot, Op, Outcome, Page, ParseLocationError, Pattern, PatternError, PeerEnd,
    PeerEvent, PlanPolicy, Proof, RelPath, Report, Result, Retry, RetryPolicy, Route, Settled,
    Shard, Skip, Summary, Sums, Tally, Throttle, TransferHandle, Verified, checksum, redact,
};
pub use haul_local::{FsyncPolicy, Symlinks};
pub use haul_p2p::{
    Congestion, Format as TicketFormat, IfExists, Look, Net, ReceiveOptions, Received,
    ReceivedKind, Relay, ShareEnd, ShareKey, ShareOptions, Shared, Ticket,
    default_jobs as default_share_jobs,
};
pub use haul_s3::{AccessKey, COPY_OBJECT_LIMIT, ObjectInfo, Presigned, Provider, S3Options};
pub use list::Listed;
pub use manage::Stat;
pub use options::{Options, lanes_for};
pub use put::PutOptions;
pub use reach::Endpoint;
pub use requests::{
    Bucket, Compare, Jobs, LinkMethod, LinkStyle, ListRequest, MAX_LINK, PendingUpload,
    PublishRequest, ReceiveRequest, RemoveRequest, Selection, ShareRequest, SyncRequest,
    TreeRequest,
};

use std::sync::{Arc, OnceLock};

use haul_core::Engine;
use haul_http::HttpClient;
use haul_local::Durability;
use haul_s3::S3Client;

use crate::clients::Clients;
use crate::stop::Stop;

/// Moves files. Holds the settings, the budget and the connections that its jobs share; clones
/// share all of it.
#[derive(Debug, Clone)]
pub struct Haul {
    options: Options,
    engine: Engine,
    durability: Durability,
    clients: Clients,
    http: Arc<OnceLock<HttpClient>>,
    stop: Stop,
}

impl Haul {
    /// Ready to work with these settings; nothing is opened or connected yet.
    pub fn new(options: Options) -> Self {
        Self {
            engine: Engine::new(options.engine.clone()),
            durability: Durability::new(options.fsync),
            options,
            clients: Clients::default(),
            http: Arc::default(),
            stop: Stop::new(),
        }
    }

    /// The same with other stores: budget, lanes, gates and cancellation are shared.
    #[must_use]
    pub fn with_stores(&self, source: S3Options, dest: S3Options) -> Self {
        Self { options: Options { source, dest, ..self.options.clone() }, ..self.clone() }
    }

    /// The settings.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Asks every call and job that has begun, with any clone of this, to stop and to clean up; await
    /// them to see it done. What is begun after that runs.
    pub fn cancel(&self) {
        self.stop.cancel();
    }

    /// The same, for good: whatever is begun after that is cancelled before it does anything. For
    /// programs that end.
    pub fn close(&self) {
        self.stop.close();
    }

    /// The same for one call: a cancellation from here on means all of it, however many steps it takes.
    fn begin(&self) -> Self {
        Self { stop: self.stop.of_one_call(), ..self.clone() }
    }

    /// The client that objects are read with, connected on first use.
    async fn source_client(&self) -> Result<S3Client> {
        self.clients.get(&self.options.source).await
    }

    /// The client that objects are written with.
    async fn dest_client(&self) -> Result<S3Client> {
        self.clients.get(&self.options.dest).await
    }
}
