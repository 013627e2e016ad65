//! Settings of a [`Haul`](crate::Haul).
//!
//! Owns the defaults that belong to no single backend.

use std::num::NonZero;

use haul_core::EngineOptions;
use haul_local::FsyncPolicy;
use haul_s3::S3Options;

/// Settings shared by all jobs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Memory, concurrency, retries, time-outs, rate.
    pub engine: EngineOptions,
    /// Durability of local files.
    pub fsync: FsyncPolicy,
    /// The store that objects are read from.
    pub source: S3Options,
    /// The store that objects are written to. Equal settings mean the same store, and then copies
    /// are made by the store itself.
    pub dest: S3Options,
}

impl Default for Options {
    fn default() -> Self {
        let mut engine = EngineOptions::default();
        engine.lanes = lanes_for(engine.concurrency);
        Self {
            engine,
            fsync: FsyncPolicy::default(),
            source: S3Options::default(),
            dest: S3Options::default(),
        }
    }
}

/// Threads to move bytes on: one a core, but no more than there are requests to serve.
pub fn lanes_for(requests: usize) -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).min(requests)
}

impl Options {
    /// Sets one store for both directions.
    #[must_use]
    pub fn with_s3(mut self, s3: S3Options) -> Self {
        self.source = s3.clone();
        self.dest = s3;
        self
    }

    /// Whether source and destination are different stores, or the same one with other
    /// credentials.
    pub(crate) fn two_endpoints(&self) -> bool {
        self.source != self.dest
    }
}
