//! Reading files by position.
//!
//! Owns ranges of a file, in slices of a pool. A file that shrinks, grows, is edited or is replaced
//! while it is read is an error, never data: see `pinned`.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use haul_core::pool::{Pool, PoolSlice, SLICE};
use haul_core::{
    Attributes, Body, ByteRange, Error, FileStamp, Meta, Op, Opened, Proof, ReadAt, RelPath,
    Result, Source, SourceLimits, Validator,
};

use crate::blocking;
use crate::pinned::{self, stamp_of};
use crate::root::DestinationRoot;
use crate::spot::Place;

/// A file to read.
#[derive(Debug, Clone)]
pub struct LocalSource {
    place: Place,
    pool: Pool,
}

impl LocalSource {
    /// The file at `path`, read into slices of `pool`. Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>, pool: Pool) -> Self {
        Self { place: Place::Path(path.into()), pool }
    }

    /// The file at `path` beneath `root`, read into slices of `pool`. No symbolic link is followed:
    /// one on the way, or in its place, is an error. Nothing is opened yet.
    pub fn beneath(root: Arc<DestinationRoot>, path: RelPath, pool: Pool) -> Self {
        Self { place: Place::Beneath(root, path), pool }
    }
}

impl Source for LocalSource {
    fn location(&self) -> String {
        self.place.location()
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits { gate: None, network: false, cheap_reread: true }
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        let (place, pool) = (self.place.clone(), self.pool.clone());
        async move {
            let location = self.location();
            let open = move || Ok(Opened::Ranged(Arc::new(OpenFile::open(place, pool)?)));
            blocking(Op::Open, &location, open).await
        }
        .boxed()
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
    place: Place,
    location: String,
    stamp: FileStamp,
    pool: Pool,
}

impl OpenFile {
    fn open(place: Place, pool: Pool) -> Result<Self> {
        let location = place.location();
        let (file, metadata) = pinned::open(&place)?;
        #[cfg(target_os = "linux")]
        let _hint_only = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
        let meta = Meta {
            location: location.clone(),
            size: metadata.len(),
            validator: Validator::File,
            checksum: None,
            modified: metadata.modified().ok(),
            attributes: attributes_of(place.path()),
        };
        let stamp = stamp_of(&metadata);
        Ok(Self { inner: Arc::new(Inner { file, place, location, stamp, pool }), meta })
    }
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

    fn proof(&self) -> Option<Proof> {
        Some(Proof::File(self.inner.stamp))
    }

    fn recheck(&self) -> BoxFuture<'_, Result<()>> {
        let inner = Arc::clone(&self.inner);
        async move {
            let location = inner.location.clone();
            blocking(Op::Read, &location, move || inner.recheck()).await
        }
        .boxed()
    }
}

impl Inner {
    /// Up to one slice from the start of `rest`.
    async fn read_slice(self: Arc<Self>, rest: ByteRange) -> Result<Bytes> {
        let want = usize::try_from(rest.len()).unwrap_or(SLICE).min(SLICE);
        let mut slice = self.pool.take();
        if let Some(len) = self.read_cached(&mut slice, want, rest.start) {
            return Ok(slice.freeze(len));
        }
        let location = self.location.clone();
        let read = move || {
            let len = self
                .file
                .read_at(&mut slice.buffer()[..want], rest.start)
                .map_err(|e| Error::io(Op::Read, &self.location, e))?;
            if len == 0 {
                return Err(pinned::changed(&self.location, "became shorter"));
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
        pinned::recheck(&self.stamp, &self.file, &self.place)
    }
}
