//! Writing files by position.
//!
//! Owns the upload into a staged file: chunks in any order, then verify the length, make durable,
//! rename. The destination is untouched until the rename.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{
    ChunkPlan, ChunkSpec, Committed, Error, ErrorKind, Op, Payload, Receipt, Result, Sums, Target,
    TargetLimits, Upload, UploadSpec,
};

use crate::blocking;
use crate::durable::Durability;
use crate::staged::{self, Staged, write_all_at};
use crate::writeback;

/// Bytes gathered before a write: large enough that the hop to a blocking thread does not show.
const BATCH: usize = 1 << 20;

/// A file to write.
#[derive(Debug, Clone)]
pub struct LocalTarget {
    path: PathBuf,
    durability: Durability,
}

impl LocalTarget {
    /// The file at `path`. Missing folders are created; an existing file is replaced as a whole.
    pub fn new(path: impl Into<PathBuf>, durability: Durability) -> Self {
        Self { path: path.into(), durability }
    }
}

impl Target for LocalTarget {
    fn location(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    fn limits(&self) -> TargetLimits {
        TargetLimits::default()
    }

    fn begin<'a>(&'a self, spec: &'a UploadSpec) -> BoxFuture<'a, Result<Arc<dyn Upload>>> {
        let plan = staged::Plan {
            path: self.path.clone(),
            size: spec.plan.as_ref().map(ChunkPlan::size),
            overwrite: spec.overwrite,
        };
        async move {
            let (location, size) = (self.location(), plan.size);
            let staged = blocking(Op::Begin, &location, move || Staged::create(plan)).await?;
            let upload = LocalUpload {
                file: Arc::clone(&staged.file),
                staged: Mutex::new(Some(staged)),
                durability: self.durability.clone(),
                location,
                size,
            };
            Ok(Arc::new(upload) as Arc<dyn Upload>)
        }
        .boxed()
    }
}

#[derive(Debug)]
struct LocalUpload {
    file: Arc<std::fs::File>,
    /// Taken by commit or abort.
    staged: Mutex<Option<Staged>>,
    durability: Durability,
    location: String,
    size: Option<u64>,
}

impl LocalUpload {
    fn staged(&self) -> MutexGuard<'_, Option<Staged>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload for LocalUpload {
    fn put(&self, chunk: ChunkSpec, payload: Payload) -> BoxFuture<'static, Result<Receipt>> {
        let (file, location) = (Arc::clone(&self.file), self.location.clone());
        let durable = self.durability.syncs();
        async move {
            let mut writer = Writer { file, location, at: chunk.range.start, batch: Vec::new() };
            let mut reader = payload.open();
            let mut gathered = 0;
            while let Some(bytes) = reader.next().await? {
                gathered += bytes.len();
                writer.batch.push(bytes);
                if gathered >= BATCH {
                    writer.flush().await?;
                    gathered = 0;
                }
            }
            writer.flush().await?;
            if durable {
                writeback::start(&writer.file, chunk.range);
            }
            Ok(Receipt { chunk, sums: reader.sums(), etag: None })
        }
        .boxed()
    }

    fn commit<'a>(
        &'a self,
        _receipts: &'a [Receipt],
        whole: &'a Sums,
    ) -> BoxFuture<'a, Result<Committed>> {
        async move {
            let staged = self.staged().take().ok_or_else(|| {
                Error::new(ErrorKind::Io, Op::Commit, &self.location, "it was given up before")
            })?;
            let expected = self.size.unwrap_or_else(|| whole.len());
            let file = Arc::clone(&self.file);
            let io = |e| Error::io(Op::Commit, &self.location, e);
            let actual = file.metadata().map_err(io)?.len();
            if actual != expected {
                let what = format!("the file has {actual} bytes instead of {expected}");
                return Err(Error::new(ErrorKind::Verification, Op::Commit, &self.location, what));
            }
            self.durability.publish(staged, expected, &self.location).await?;
            Ok(Committed::default())
        }
        .boxed()
    }

    fn abort(&self) -> BoxFuture<'_, Result<()>> {
        let staged = self.staged().take();
        async move {
            let Some(mut staged) = staged else { return Ok(()) };
            blocking(Op::Abort, &self.location, move || staged.discard()).await
        }
        .boxed()
    }
}

/// Gathers bytes and writes them where they belong.
struct Writer {
    file: Arc<std::fs::File>,
    location: String,
    at: u64,
    batch: Vec<Bytes>,
}

impl Writer {
    async fn flush(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let (file, batch, at) = (Arc::clone(&self.file), std::mem::take(&mut self.batch), self.at);
        self.at += batch.iter().map(|b| b.len() as u64).sum::<u64>();
        let location = self.location.clone();
        let write =
            move || write_all_at(&file, &batch, at).map_err(|e| Error::io(Op::Write, &location, e));
        blocking(Op::Write, &self.location, write).await
    }
}
