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

mod copy;
mod manage;
mod options;
pub mod route;

pub use copy::CopyRequest;
pub use haul_core::{
    Algorithm, Attributes, Checksum, EngineOptions, Error, ErrorKind, Event, Location, Meter,
    MeterSnapshot, Op, ParseLocationError, PlanPolicy, Report, Result, Retry, RetryPolicy, Sums,
    Throttle, TransferHandle, Verified, checksum, redact,
};
pub use haul_local::FsyncPolicy;
pub use haul_s3::{AccessKey, COPY_OBJECT_LIMIT, ObjectInfo, S3Options};
pub use manage::Stat;
pub use options::{Options, lanes_for};

use haul_core::Engine;
use haul_local::Durability;
use haul_s3::S3Client;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// Moves files. Holds the settings, the budget and the connections that its jobs share.
#[derive(Debug)]
pub struct Haul {
    options: Options,
    engine: Engine,
    durability: Durability,
    source: OnceCell<S3Client>,
    dest: OnceCell<S3Client>,
    cancel: CancellationToken,
}

impl Haul {
    /// Ready to work with these settings; nothing is opened or connected yet.
    pub fn new(options: Options) -> Self {
        Self {
            engine: Engine::new(options.engine.clone()),
            durability: Durability::new(options.fsync),
            options,
            source: OnceCell::new(),
            dest: OnceCell::new(),
            cancel: CancellationToken::new(),
        }
    }

    /// Asks every job to stop and clean up; await their handles to see it done.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// The client that objects are read with, connected on first use.
    async fn source_client(&self) -> Result<S3Client> {
        if !self.options.two_endpoints() {
            return self.dest_client().await;
        }
        self.source.get_or_try_init(|| S3Client::connect(&self.options.source)).await.cloned()
    }

    /// The client that objects are written with.
    async fn dest_client(&self) -> Result<S3Client> {
        self.dest.get_or_try_init(|| S3Client::connect(&self.options.dest)).await.cloned()
    }
}
