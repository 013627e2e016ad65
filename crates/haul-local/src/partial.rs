//! Downloads that can be resumed.
//!
//! Owns a file under construction that outlives its process: found again by what goes into it,
//! written and read by position, published as every other file is. It must never be in the hands of
//! two at once, and never be written to once it has its name. What is in it is not trusted: whoever
//! resumes compares it with what belongs there.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use bytes::Bytes;
use haul_core::{ByteRange, Error, ErrorKind, Op, RelPath, Result};
use rustix::fs::Mode;

use crate::durable::Durability;
use crate::root::DestinationRoot;
use crate::spot::Place;
use crate::staged::{Claimed, Plan, Staged, write_all_at};
use crate::target::set_modified;
use crate::{blocking, claim, holes, known, waiting, writeback};

/// What a [`Partial`] is for.
#[derive(Debug, Clone)]
pub struct PartialSpec {
    /// Names what is made there: who opens the same path with the same token goes on where another
    /// left off.
    pub token: [u8; 32],
    /// Bytes of the content.
    pub size: u64,
    /// Bytes behind the content that the caller keeps notes in. They are gone once it is committed.
    pub extra: u64,
    /// Whether it may replace a file.
    pub overwrite: bool,
    /// Whether it will be forced to the disk.
    pub durable: bool,
    /// Permission bits, less the umask; `None` for those of the file it replaces, or the usual ones.
    /// Bits above `0o777` are left out. A file that is resumed may keep fewer than that.
    pub mode: Option<u32>,
}

/// What a file has besides its bytes.
#[derive(Debug, Clone, Default)]
pub struct CommitSpec {
    /// When it was changed last; `None` for now.
    pub modified: Option<SystemTime>,
    /// The BLAKE3 hash of its content, for [`Known`](crate::Known) to remember.
    pub hash: Option<[u8; 32]>,
}

/// Files with less content are not worth finding again.
const WORTH: u64 = 64 << 10;

/// A file under construction that a later process can go on with.
///
/// It is locked until it, all that [`Partial::file`] gave and all writes under way are gone. Dropped
/// without [`Partial::commit`] it stays where it is if it holds more than 64 KiB of content.
#[derive(Debug)]
pub struct Partial {
    staged: Staged,
    shared: Arc<Shared>,
    mode: Mode,
    found: bool,
}

/// What work under way needs.
#[derive(Debug)]
struct Shared {
    file: Arc<File>,
    location: String,
    size: u64,
    /// Bytes with notes.
    total: u64,
    durable: bool,
    /// Bytes of content that were written, some perhaps more than once.
    written: AtomicU64,
    /// Whether a later process is to find it; `None` if it cannot.
    keep: Option<Arc<AtomicBool>>,
    /// Set once it is committed. A write whose future was dropped may still be under way.
    closed: RwLock<bool>,
}

impl Partial {
    /// Opens the file for `path` beneath `root`, as another process left it, or a new one. Where
    /// another process has it open, or nothing can be locked, this is a new one that nobody finds
    /// again. Missing folders are created.
    ///
    /// An error if a folder, something special or, without `overwrite`, anything is at `path`; and
    /// of kind [`ErrorKind::NoSpace`] if it does not fit.
    pub async fn open(
        root: Arc<DestinationRoot>,
        path: RelPath,
        spec: PartialSpec,
    ) -> Result<Self> {
        let total = spec.size.saturating_add(spec.extra);
        let plan = Plan {
            place: Place::Beneath(root, path),
            size: Some(total),
            overwrite: spec.overwrite,
            durable: spec.durable,
            mode: spec.mode,
        };
        let location = plan.place.location();
        let token = spec.token;
        let enough = if spec.size > WORTH { WORTH } else { u64::MAX };
        let claim = move || Staged::claim(&plan, &token, enough);
        let Claimed { staged, mode, found } = blocking(Op::Begin, &location, claim).await?;
        let shared = Shared {
            file: Arc::clone(&staged.file),
            location,
            size: spec.size,
            total,
            durable: spec.durable,
            written: AtomicU64::new(0),
            keep: staged.keep(),
            closed: RwLock::new(false),
        };
        Ok(Self { staged, shared: Arc::new(shared), mode, found: found > 0 })
    }

    /// Whether there is something in it that an earlier process wrote. It may be anything.
    pub fn found(&self) -> bool {
        self.found
    }

    /// How messages call it.
    pub fn location(&self) -> &str {
        &self.shared.location
    }

    /// The file, for blocking work of the caller's own. It must not be written to any more once
    /// this is committed or dropped.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.shared.file)
    }

    /// Says that `bytes` of content were written into [`Partial::file`], for the question of whether
    /// it is worth keeping.
    pub fn note_written(&self, bytes: u64) {
        self.shared.note_written(bytes);
    }

    /// Writes all of `slices` at `offset`: content, or notes behind it. An error if they would go
    /// beyond those.
    pub async fn write_all_at(&self, slices: Vec<Bytes>, offset: u64) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        blocking(Op::Write, &self.shared.location, move || shared.write(&slices, offset)).await
    }

    /// Reads what is there, for others than whoever writes it.
    pub fn reader(&self) -> PartialReader {
        PartialReader { shared: Arc::clone(&self.shared) }
    }

    /// Reads `len` bytes at `offset`. An error of kind [`ErrorKind::Io`] if they are not there.
    pub async fn read_exact_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let shared = Arc::clone(&self.shared);
        let read = move || {
            let bytes = shared.read(offset, len)?;
            let what = || Error::new(ErrorKind::Io, Op::Read, &shared.location, "it ends before");
            if bytes.len() == len { Ok(bytes) } else { Err(what()) }
        };
        blocking(Op::Read, &self.shared.location, read).await
    }

    /// Reads up to `len` bytes at `offset`, less only where the file ends before.
    pub async fn read_or_short(&self, offset: u64, len: usize) -> Result<Bytes> {
        let shared = Arc::clone(&self.shared);
        blocking(Op::Read, &self.shared.location, move || shared.read(offset, len)).await
    }

    /// Cuts off the notes, makes the file durable and gives it its name. Where that fails it is as
    /// if this had been dropped, but the notes may be gone. An error of kind
    /// [`ErrorKind::AlreadyExists`] if there is a file by now and it may not be replaced, and of kind
    /// [`ErrorKind::Verification`] if there are too few bytes; nobody compares them here.
    pub async fn commit(self, spec: CommitSpec, durability: &Durability) -> Result<()> {
        let Self { staged, shared, mode, .. } = self;
        let (location, size) = (shared.location.clone(), shared.size);
        let (file, hash) = (Arc::clone(&staged.file), spec.hash);
        let finish = move || {
            shared.finish(mode, &spec)?;
            Ok(staged)
        };
        // It waits for writes under way.
        let staged = waiting(Op::Commit, &location, finish).await?;
        durability.publish(staged, size, &location).await?;
        let Some(hash) = hash else { return Ok(()) };
        // Only now nothing of it changes any more.
        let remember = move || {
            known::remember(&file, &hash);
            Ok(())
        };
        blocking(Op::Commit, &location, remember).await
    }

    /// Removes the file, whatever is in it.
    pub async fn discard(self) -> Result<()> {
        let (mut staged, location) = (self.staged, self.shared.location.clone());
        blocking(Op::Abort, &location, move || staged.discard()).await
    }
}

/// Reads a [`Partial`].
#[derive(Debug, Clone)]
pub struct PartialReader {
    shared: Arc<Shared>,
}

impl PartialReader {
    /// The `len` bytes at `offset`; `None` where they are not there, or nobody has written any of them.
    pub async fn written(&self, offset: u64, len: usize) -> Result<Option<Bytes>> {
        let shared = Arc::clone(&self.shared);
        let read = move || {
            let nothing = holes::next_data(&shared.file, offset)
                .is_none_or(|data| data >= offset.saturating_add(len as u64));
            if nothing {
                return Ok(None);
            }
            Ok(Some(shared.read(offset, len)?).filter(|bytes| bytes.len() == len))
        };
        blocking(Op::Read, &self.shared.location, read).await
    }
}

impl Shared {
    fn note_written(&self, bytes: u64) {
        let written = self.written.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if let Some(keep) = self.keep.as_ref().filter(|_| written > WORTH) {
            keep.store(true, Ordering::Relaxed);
        }
    }

    fn write(&self, slices: &[Bytes], offset: u64) -> Result<()> {
        let len = slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
        let end = offset.checked_add(len).filter(|end| *end <= self.total);
        let Some(end) = end else {
            let what = format!("{len} bytes at {offset} go beyond its {} bytes", self.total);
            return Err(Error::new(ErrorKind::Invalid, Op::Write, &self.location, what));
        };
        let closed = self.closed.read().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return Err(Error::cancelled(Op::Write, &self.location));
        }
        write_all_at(&self.file, slices, offset)
            .map_err(|e| Error::io(Op::Write, &self.location, e))?;
        self.note_written(end.min(self.size).saturating_sub(offset));
        if self.durable && len >= writeback::EARLY {
            writeback::start(&self.file, ByteRange::new(offset, end));
        }
        Ok(())
    }

    fn read(&self, offset: u64, len: usize) -> Result<Bytes> {
        let io = |e| Error::io(Op::Read, &self.location, e);
        // No more memory than there are bytes, whatever somebody asks for.
        let there = self.file.metadata().map_err(io)?.len().saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(there).unwrap_or(len).min(len)];
        let mut have = 0;
        while have < bytes.len() {
            match self.file.read_at(&mut bytes[have..], offset + have as u64) {
                Ok(0) => break,
                Ok(read) => have += read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(io(e)),
            }
        }
        bytes.truncate(have);
        Ok(bytes.into())
    }

    /// Makes the file what it is to be under its name.
    fn finish(&self, mode: Mode, spec: &CommitSpec) -> Result<()> {
        let io = |e| Error::io(Op::Commit, &self.location, e);
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = true;
        let there = self.file.metadata().map_err(io)?.len();
        if there < self.size {
            let what = format!("the file has {there} bytes instead of {}", self.size);
            return Err(Error::new(ErrorKind::Verification, Op::Commit, &self.location, what));
        }
        // Also where no notes are: it may have more space than it needs.
        self.file.set_len(self.size).map_err(io)?;
        claim::narrow(&self.file, mode).map_err(io)?;
        // The last, because all else changes the time.
        spec.modified.map_or(Ok(()), |time| set_modified(&self.file, time)).map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::FsyncPolicy;

    /// A write whose future was dropped may come late: not into a file that has its name.
    #[tokio::test]
    async fn late_writes_come_too_late() {
        let dir = tempfile::tempdir().unwrap();
        let root = DestinationRoot::open(dir.path(), false).await.unwrap();
        let spec = PartialSpec {
            token: [1; 32],
            size: 4,
            extra: 0,
            overwrite: false,
            durable: false,
            mode: None,
        };
        let partial = Partial::open(root, RelPath::new("file"), spec).await.unwrap();
        partial.write_all_at(vec!["good".into()], 0).await.unwrap();
        let late = Arc::clone(&partial.shared);
        let durability = Durability::new(FsyncPolicy::Never);
        partial.commit(CommitSpec::default(), &durability).await.unwrap();
        let error = late.write(&["late".into()], 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"good");
    }
}
