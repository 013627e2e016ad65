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

mod clients;
mod compare;
mod copy;
mod dedupe;
mod files;
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
mod reach;
mod receive;
mod remove;
mod requests;
mod roots;
pub mod route;
mod share;
mod sources;
mod spill;
mod sync;
mod tree;
mod web;

pub use copy::CopyRequest;
pub use files::{Channel, DownloadEvent, EventSink, ShareEvent, Sharing};
pub use haul_core::{
    Algorithm, Attributes, Change, Checksum, Difference, EngineOptions, Entry, EntryKind, Error,
    ErrorKind, Event, Filter, FilterRule, Foreign, InOrder, Link, Location, Meter, MeterSnapshot,
    Op, Outcome, Page, ParseLocationError, Pattern, PatternError, PeerEnd, PeerEvent, PlanPolicy,
    RelPath, Report, Result, Retry, RetryPolicy, Route, Settled, Shard, Skip, Summary, Sums, Tally,
    Throttle, TransferHandle, Verified, checksum, redact,
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
use tokio_util::sync::CancellationToken;

use crate::clients::Clients;

/// Moves files. Holds the settings, the budget and the connections that its jobs share; clones
/// share all of it.
#[derive(Debug, Clone)]
pub struct Haul {
    options: Options,
    engine: Engine,
    durability: Durability,
    clients: Clients,
    http: Arc<OnceLock<HttpClient>>,
    cancel: CancellationToken,
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
            cancel: CancellationToken::new(),
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

    /// Asks every job to stop and clean up; await their handles to see it done.
    pub fn cancel(&self) {
        self.cancel.cancel();
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
