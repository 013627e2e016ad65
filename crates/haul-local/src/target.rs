//! Writing files by position.
//!
//! Owns the upload into a staged file: chunks in any order, then verify the length, make durable,
//! rename. The destination is untouched until the rename.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{
    ChunkPlan, ChunkSpec, Committed, Error, ErrorKind, Op, Payload, Proof, Receipt, RelPath,
    Result, Sums, Target, TargetLimits, Upload, UploadSpec,
};
use rustix::fs::{Timespec, Timestamps, UTIME_OMIT};

use crate::blocking;
use crate::durable::Durability;
use crate::origin::{self, Origin};
use crate::root::DestinationRoot;
use crate::spot::Place;
use crate::staged::{self, Staged, write_all_at};
use crate::writeback::{self, EARLY};

/// Bytes gathered before a write: large enough that the hop to a blocking thread does not show.
const BATCH: usize = 1 << 20;

/// A file to write.
#[derive(Debug, Clone)]
pub struct LocalTarget {
    place: Place,
    durability: Durability,
    mode: Option<u32>,
    remembers: bool,
}

impl LocalTarget {
    /// The file at `path`. Missing folders are created; an existing file is replaced as a whole.
    pub fn new(path: impl Into<PathBuf>, durability: Durability) -> Self {
        Self { place: Place::Path(path.into()), durability, mode: None, remembers: false }
    }

    /// The file at `path` beneath `root`, which no symbolic link on the way can lead out of. Missing
    /// folders are created; an existing file is replaced as a whole.
    pub fn beneath(root: Arc<DestinationRoot>, path: RelPath, durability: Durability) -> Self {
        Self { place: Place::Beneath(root, path), durability, mode: None, remembers: false }
    }

    /// Gives the file these permission bits, less the umask, whatever the file had that it replaces.
    /// Bits above `0o777` are left out.
    #[must_use]
    pub fn with_mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Has the file remember the object that it is a copy of, by the strong ETag that the bytes were
    /// read with; see [`crate::recall`].
    #[must_use]
    pub fn remembering(mut self) -> Self {
        self.remembers = true;
        self
    }
}

impl Target for LocalTarget {
    fn location(&self) -> String {
        self.place.location()
    }

    fn limits(&self) -> TargetLimits {
        TargetLimits::default()
    }

    fn begin<'a>(&'a self, spec: &'a UploadSpec) -> BoxFuture<'a, Result<Arc<dyn Upload>>> {
        let plan = staged::Plan {
            place: self.place.clone(),
            size: spec.plan.as_ref().map(ChunkPlan::size),
            overwrite: spec.overwrite,
            durable: self.durability.syncs(),
            mode: self.mode,
        };
        let modified = spec.attributes.modified;
        let origin = spec.read.as_ref().filter(|_| self.remembers).and_then(Proof::strong_etag);
        let origin = origin.map(str::to_owned);
        async move {
            let (location, size) = (self.location(), plan.size);
            let staged = blocking(Op::Begin, &location, move || Staged::create(&plan)).await?;
            let upload = LocalUpload {
                file: Arc::clone(&staged.file),
                staged: Mutex::new(Some(staged)),
                durability: self.durability.clone(),
                location,
                size,
                written: Arc::default(),
                modified,
                origin,
            };
            Ok(Arc::new(upload) as Arc<dyn Upload>)
        }
        .boxed()
    }
}

#[derive(Debug)]
struct LocalUpload {
    file: Arc<File>,
    /// Taken by commit or abort.
    staged: Mutex<Option<Staged>>,
    durability: Durability,
    location: String,
    size: Option<u64>,
    /// Bytes that were written, some perhaps more than once.
    written: Arc<AtomicU64>,
    /// The time to set.
    modified: Option<SystemTime>,
    origin: Option<String>,
}

impl LocalUpload {
    fn staged(&self) -> MutexGuard<'_, Option<Staged>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what a file has besides its bytes. After the last write, which would change the time,
    /// and before the file is flushed.
    async fn label(&self) -> Result<()> {
        let (modified, origin) = (self.modified, self.origin.clone());
        if modified.is_none() && origin.is_none() {
            return Ok(());
        }
        let (file, location) = (Arc::clone(&self.file), self.location.clone());
        let label = move || {
            if let Some(modified) = modified {
                match set_modified(&file, modified) {
                    // A time that no file here can have: the bytes are worth more than it.
                    Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => {}
                    set => set.map_err(|e| Error::io(Op::Commit, &location, e))?,
                }
            }
            if let Some(etag) = origin {
                origin::remember(&*file, &Origin { etag });
            }
            Ok(())
        };
        blocking(Op::Commit, &self.location, label).await
    }
}

/// Sets when a file was modified; when it was read stays as it is.
pub(crate) fn set_modified(file: &File, modified: SystemTime) -> std::io::Result<()> {
    let since = modified.duration_since(UNIX_EPOCH);
    let nanoseconds = match since {
        Ok(after) => i128::try_from(after.as_nanos()),
        Err(before) => i128::try_from(before.duration().as_nanos()).map(|n| -n),
    };
    let nanoseconds = nanoseconds.map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000));
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: seconds.map_err(|_| std::io::ErrorKind::InvalidInput)?,
            tv_nsec: nanoseconds.rem_euclid(1_000_000_000) as _,
        },
    };
    Ok(rustix::fs::futimens(file, &times)?)
}

impl Upload for LocalUpload {
    fn put(&self, chunk: ChunkSpec, payload: Payload) -> BoxFuture<'static, Result<Receipt>> {
        let (file, location) = (Arc::clone(&self.file), self.location.clone());
        // A small file is written back together with others, by the flush that they share.
        let early = self.durability.syncs() && chunk.range.len() >= EARLY;
        let (at, written) = (chunk.range.start, Arc::clone(&self.written));
        async move {
            let mut writer = Writer { file, location, at, batch: Vec::new(), written };
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
            if early {
                writeback::start(&writer.file, chunk.range);
            }
            Ok(Receipt { chunk, sums: reader.sums(), etag: None })
        }
        .boxed()
    }

    fn wants_receipts(&self) -> bool {
        false
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
            // Where each byte was written once there is nothing to ask. The file's length does not tell
            // that something is missing, because its space was reserved.
            let mut actual = self.written.load(Ordering::Relaxed);
            if actual > expected {
                let io = |e| Error::io(Op::Commit, &self.location, e);
                actual = self.file.metadata().map_err(io)?.len();
            }
            if actual != expected {
                let what = format!("the file has {actual} bytes instead of {expected}");
                return Err(Error::new(ErrorKind::Verification, Op::Commit, &self.location, what));
            }
            self.label().await?;
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
    file: Arc<File>,
    location: String,
    at: u64,
    batch: Vec<Bytes>,
    written: Arc<AtomicU64>,
}

impl Writer {
    async fn flush(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let (file, batch, at) = (Arc::clone(&self.file), std::mem::take(&mut self.batch), self.at);
        let len = batch.iter().map(|b| b.len() as u64).sum::<u64>();
        self.at += len;
        let location = self.location.clone();
        let write =
            move || write_all_at(&file, &batch, at).map_err(|e| Error::io(Op::Write, &location, e));
        blocking(Op::Write, &self.location, write).await?;
        self.written.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }
}
