//! The index for async callers.
//!
//! Owns the step off the async threads: SQLite waits for disks and for other processes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use haul_core::{Error, ErrorKind, Op, Result};

use crate::{Content, ContentIndex, FileId, Known, Place};

/// A [`ContentIndex`] whose calls wait without blocking; clones share it.
#[derive(Debug, Clone)]
pub struct SharedIndex(Arc<ContentIndex>);

impl SharedIndex {
    /// The index in the file at `path`. Nothing is opened or made before it is needed.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(ContentIndex::open(path)))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs `work` where it may wait.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ContentIndex) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let index = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&index)).await.unwrap_or_else(|e| {
            let at = self.path().display();
            Err(Error::new(ErrorKind::Io, Op::Open, at, "the index crashed").with_source(e))
        })
    }

    /// See [`ContentIndex::find`].
    pub async fn find(&self, place: &Place, blake3: [u8; 32], size: u64) -> Result<Option<Known>> {
        let place = place.clone();
        self.run(move |index| index.find(&place, &blake3, size)).await
    }

    /// See [`ContentIndex::record`].
    pub async fn record(&self, place: &Place, contents: Vec<Content>) -> Result<()> {
        let place = place.clone();
        self.run(move |index| index.record(&place, &contents)).await
    }

    /// See [`ContentIndex::forget`].
    pub async fn forget(&self, place: &Place, keys: Vec<String>) -> Result<()> {
        let place = place.clone();
        self.run(move |index| index.forget(&place, &keys)).await
    }

    /// See [`ContentIndex::forget_before`].
    pub async fn forget_before(&self, before: SystemTime) -> Result<()> {
        self.run(move |index| index.forget_before(before)).await
    }

    /// See [`ContentIndex::file_digest`].
    pub async fn file_digest(&self, file: FileId) -> Result<Option<[u8; 32]>> {
        self.run(move |index| index.file_digest(&file)).await
    }

    /// See [`ContentIndex::remember_file_digests`].
    pub async fn remember_file_digests(&self, files: Vec<(FileId, [u8; 32])>) -> Result<()> {
        self.run(move |index| index.remember_file_digests(&files)).await
    }
}
