//! Reading files by position.
//!
//! Owns the pin on a file: size, times and identity as they were at opening. A file that shrinks,
//! grows, is edited or is replaced while it is read is an error, never data.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use haul_core::pool::{Pool, PoolSlice, SLICE};
use haul_core::{
    Attributes, Body, ByteRange, Error, ErrorKind, Meta, Op, Opened, ReadAt, Result, Source,
    SourceLimits, Validator,
};

use crate::blocking;

/// A file to read.
#[derive(Debug, Clone)]
pub struct LocalSource {
    path: PathBuf,
    pool: Pool,
}

impl LocalSource {
    /// The file at `path`, read into slices of `pool`. Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>, pool: Pool) -> Self {
        Self { path: path.into(), pool }
    }
}

impl Source for LocalSource {
    fn location(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits { gate: None, network: false, cheap_reread: true }
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        let (path, pool) = (self.path.clone(), self.pool.clone());
        async move {
            let location = self.location();
            let open = move || Ok(Opened::Ranged(Arc::new(OpenFile::open(path, pool)?)));
            blocking(Op::Open, &location, open).await
        }
        .boxed()
    }
}

/// What must not change while a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(m: &Metadata) -> Self {
        Self {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }
}

#[derive(Debug)]
struct OpenFile {
    inner: Arc<Inner>,
    meta: Meta,
}

#[derive(Debug)]
struct Inner {
    file: File,
    path: PathBuf,
    identity: Identity,
    pool: Pool,
}

impl OpenFile {
    fn open(path: PathBuf, pool: Pool) -> Result<Self> {
        let location = path.to_string_lossy().into_owned();
        let io = |e| Error::io(Op::Open, &location, e);
        // Without O_NONBLOCK, opening a FIFO waits for a writer.
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        refuse_special(&std::fs::metadata(&path).map_err(io)?, &location)?;
        let file = File::options().read(true).custom_flags(nonblock).open(&path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        refuse_special(&metadata, &location)?;
        // Files of /proc and the like claim to be empty and are not.
        if metadata.len() == 0 && file.read_at(&mut [0], 0).map_err(io)? > 0 {
            let what = "it does not say how long it is";
            return Err(
                Error::new(ErrorKind::Invalid, Op::Open, &location, what).with_hint(PIPE_IT)
            );
        }
        #[cfg(target_os = "linux")]
        let _hint_only = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
        let meta = Meta {
            location,
            size: metadata.len(),
            validator: Validator::File,
            checksum: None,
            modified: metadata.modified().ok(),
            attributes: attributes_of(&path),
        };
        let identity = Identity::of(&metadata);
        Ok(Self { inner: Arc::new(Inner { file, path, identity, pool }), meta })
    }
}

/// The way out for what can only be read as a stream.
const PIPE_IT: &str = "a stream can be piped in: haul cp - DEST < SOURCE";

fn refuse_special(metadata: &Metadata, location: &str) -> Result<()> {
    let kind = metadata.file_type();
    let refuse = |what: &str, hint: &str| {
        Err(Error::new(ErrorKind::Invalid, Op::Open, location, format!("it is {what}"))
            .with_hint(hint))
    };
    if kind.is_dir() {
        return refuse("a folder, and a single file is needed", "name a file");
    }
    if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
        return refuse("no regular file", PIPE_IT);
    }
    Ok(())
}

/// S1.8, U0.2: a content type by name, so that links play in a browser.
fn attributes_of(path: &Path) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.content_type = content_type_of(path);
    attributes
}

/// The content type that a name suggests.
pub fn content_type_of(path: &Path) -> Option<String> {
    mime_guess::from_path(path).first_raw().map(str::to_owned)
}

impl ReadAt for OpenFile {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn read_at(&self, range: ByteRange) -> BoxFuture<'static, Result<Body>> {
        let inner = Arc::clone(&self.inner);
        let slices = futures::stream::try_unfold(range, move |rest| {
            let inner = Arc::clone(&inner);
            async move {
                if rest.is_empty() {
                    return Ok(None);
                }
                let bytes = inner.read_slice(rest).await?;
                let next = ByteRange::new(rest.start + bytes.len() as u64, rest.end);
                Ok(Some((bytes, next)))
            }
        });
        std::future::ready(Ok(slices.boxed())).boxed()
    }

    fn recheck(&self) -> BoxFuture<'_, Result<()>> {
        let inner = Arc::clone(&self.inner);
        async move {
            let location = inner.location();
            blocking(Op::Read, &location, move || inner.recheck()).await
        }
        .boxed()
    }
}

impl Inner {
    fn location(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    fn changed(&self, how: &str) -> Error {
        let detail = format!("it {how} while it was being read");
        Error::new(ErrorKind::SourceChanged, Op::Read, self.location(), detail)
            .with_hint("run the command again once nothing writes to it")
    }

    /// Up to one slice from the start of `rest`.
    async fn read_slice(self: Arc<Self>, rest: ByteRange) -> Result<Bytes> {
        let want = usize::try_from(rest.len()).unwrap_or(SLICE).min(SLICE);
        let mut slice = self.pool.take();
        if let Some(len) = self.read_cached(&mut slice, want, rest.start) {
            return Ok(slice.freeze(len));
        }
        let location = self.location();
        let read = move || {
            let len = self
                .file
                .read_at(&mut slice.buffer()[..want], rest.start)
                .map_err(|e| Error::io(Op::Read, self.location(), e))?;
            if len == 0 {
                return Err(self.changed("became shorter"));
            }
            Ok(slice.freeze(len))
        };
        blocking(Op::Read, &location, read).await
    }

    /// Reads what the page cache holds without waiting for a disk, and so without leaving the
    /// async thread: a hop to another thread costs as much as copying a slice. `None` where the
    /// bytes are not cached or the system cannot tell.
    #[cfg(target_os = "linux")]
    fn read_cached(&self, slice: &mut PoolSlice, want: usize, at: u64) -> Option<usize> {
        use rustix::io::{ReadWriteFlags, preadv2};
        let mut into = [std::io::IoSliceMut::new(&mut slice.buffer()[..want])];
        preadv2(&self.file, &mut into, at, ReadWriteFlags::NOWAIT).ok().filter(|len| *len > 0)
    }

    #[cfg(not(target_os = "linux"))]
    fn read_cached(&self, _: &mut PoolSlice, _: usize, _: u64) -> Option<usize> {
        None
    }

    fn recheck(&self) -> Result<()> {
        let io = |e| Error::io(Op::Read, self.location(), e);
        let now = Identity::of(&self.file.metadata().map_err(io)?);
        let then = self.identity;
        if now.size != then.size {
            return Err(self.changed(if now.size < then.size { "became shorter" } else { "grew" }));
        }
        match std::fs::metadata(&self.path).map(|m| Identity::of(&m)) {
            Ok(path) if (path.device, path.inode) == (then.device, then.inode) => {}
            Ok(_) => return Err(self.changed("was replaced")),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(self.changed("was removed"));
            }
            Err(e) => return Err(io(e)),
        }
        if now == then { Ok(()) } else { Err(self.changed("was changed")) }
    }
}
