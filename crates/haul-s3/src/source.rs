//! Reading objects.
//!
//! Owns the pin: what was seen first fixes ETag and version, and every range is asked for with them,
//! so that an object that is replaced in the middle is noticed (X3.6). Where there is neither, a weak
//! ETag and the time of modification are compared with those of every answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{
    Body, ByteRange, ErrorKind, Meta, ObjectStamp, Op, Opened, Proof, ReadAt, Result, Source,
    SourceLimits, Validator,
};

use crate::client::S3Client;
use crate::seen::{Seen, head};
use crate::{ObjectId, wire};

/// Largest object that is asked for at once when a listing told its size: one request instead of two.
/// Larger ones are read in ranges, and HEAD tells the checksum of the whole, which a range does not.
pub const LISTED_WHOLE: u64 = 8 << 20;

/// An object to read.
#[derive(Debug, Clone)]
pub struct S3Source {
    client: S3Client,
    object: ObjectId,
    listed: Option<Listed>,
}

/// What a listing told.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) size: u64,
    /// With its quotes; `None` if it is weak or was not told.
    pub(crate) etag: Option<String>,
}

impl S3Source {
    /// `object` at the client's endpoint. No request is sent yet.
    pub fn new(client: S3Client, object: ObjectId) -> Self {
        Self { client, object, listed: None }
    }

    /// The same, with what a listing told. Up to [`LISTED_WHOLE`], all of it can be asked for at once,
    /// by [`Source::open_whole`]. What a listing told is a hint: an object that was replaced since is
    /// opened as it is now.
    pub fn listed(
        client: S3Client,
        object: ObjectId,
        size: u64,
        etag: impl Into<Option<String>>,
    ) -> Self {
        let etag = etag.into().filter(|e| !e.is_empty() && !e.starts_with("W/"));
        let etag = etag.map(|e| format!("\"{}\"", e.trim_matches('"')));
        Self { client, object, listed: Some(Listed { size, etag }) }
    }

    async fn open_now(&self) -> Result<Opened> {
        let seen = head(&self.client, &self.object, Op::Open).await?;
        self.opened(seen)
    }

    async fn open_whole_now(&self) -> Result<(Opened, Option<Body>)> {
        if let Some(listed) = self.small() {
            match wire::get_listed(&self.client, &self.object, listed).await {
                Ok(Some((seen, body))) => {
                    let body = (listed.size > 0).then_some(body);
                    return Ok((self.opened(seen)?, body));
                }
                Ok(None) => {}
                Err(e) if e.kind() == ErrorKind::SourceChanged => {}
                Err(e) => return Err(e),
            }
            tracing::debug!("{} was replaced since it was listed", self.object);
        }
        Ok((self.open_now().await?, None))
    }

    fn opened(&self, seen: Seen) -> Result<Opened> {
        let open = OpenObject::new(self.client.clone(), self.object.clone(), seen)?;
        Ok(Opened::Ranged(Arc::new(open)))
    }

    fn small(&self) -> Option<&Listed> {
        self.listed.as_ref().filter(|listed| listed.size <= LISTED_WHOLE)
    }
}

/// What every read of an object is held to.
#[derive(Debug)]
pub(crate) struct Pin {
    /// With the version that the caller named, if any.
    pub(crate) object: ObjectId,
    pub(crate) location: String,
    pub(crate) size: u64,
    /// A strong ETag.
    pub(crate) etag: Option<String>,
    /// A weak ETag: it cannot be compared byte for byte (RFC 9110, 8.8.3), but another one is another
    /// object.
    weak: Option<String>,
    modified: Option<SystemTime>,
    /// The version that was seen, where the caller named none.
    version: Option<String>,
    /// Whether requests may not name that version: it takes a permission of its own.
    unnamed: AtomicBool,
}

impl Pin {
    /// The version to ask for.
    pub(crate) fn version(&self) -> Option<&str> {
        let seen = self.version.as_deref().filter(|_| !self.unnamed.load(Ordering::Relaxed));
        self.object.version_id.as_deref().or(seen)
    }

    /// Whether to ask again without a version, which was refused: the ETag pins as well, and
    /// `s3:GetObject` alone does not allow to name one (API reference, GetObject).
    pub(crate) fn leave_out_version(&self, asked: Option<&str>) -> bool {
        let may = asked.is_some() && self.object.version_id.is_none() && self.etag.is_some();
        may && {
            self.unnamed.store(true, Ordering::Relaxed);
            true
        }
    }

    /// Whether an answer is about the object that was opened.
    pub(crate) fn is_that_of(&self, seen: &Seen) -> bool {
        fn differ<T: PartialEq>(ours: Option<&T>, theirs: Option<&T>) -> bool {
            matches!((ours, theirs), (Some(ours), Some(theirs)) if ours != theirs)
        }
        let version = self.object.version_id.as_ref().or(self.version.as_ref());
        if self.etag.is_some() {
            return !differ(self.etag.as_ref(), seen.etag.as_ref());
        }
        !differ(version, seen.version_id.as_ref())
            && !differ(self.weak.as_ref(), seen.etag.as_ref())
            && !differ(self.modified.as_ref(), seen.modified.as_ref())
    }
}

impl Source for S3Source {
    fn location(&self) -> String {
        self.object.to_string()
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits { gate: Some(self.client.gate.clone()), network: true, cheap_reread: false }
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        self.open_now().boxed()
    }

    fn size_hint(&self) -> Option<u64> {
        self.small().map(|listed| listed.size)
    }

    fn open_whole(&self) -> BoxFuture<'_, Result<(Opened, Option<Body>)>> {
        self.open_whole_now().boxed()
    }
}

#[derive(Debug)]
struct OpenObject {
    client: S3Client,
    pin: Arc<Pin>,
    meta: Meta,
    stamp: ObjectStamp,
}

impl OpenObject {
    fn new(client: S3Client, object: ObjectId, seen: Seen) -> Result<Self> {
        let stamp = seen.stamp(&object, Op::Open)?;
        let size = stamp.size;
        let location = object.to_string();
        let strong = seen.etag.as_ref().is_some_and(|e| !e.starts_with("W/"));
        let (etag, weak) = if strong { (seen.etag, None) } else { (None, seen.etag) };
        // "null" is the version of objects from before versioning: it can be overwritten.
        let version = seen.version_id.filter(|v| *v != "null");
        let validator = match (&version, &etag) {
            (Some(version), _) => Validator::Version(version.clone()),
            (None, Some(etag)) => Validator::StrongEtag(etag.clone()),
            (None, None) if weak.is_some() || seen.modified.is_some() => Validator::Weak,
            (None, None) => Validator::Unpinned,
        };
        let meta = Meta {
            location: location.clone(),
            size,
            validator,
            checksum: seen.checksum,
            modified: seen.modified,
            attributes: seen.attributes,
        };
        let (modified, unnamed) = (seen.modified, AtomicBool::new(false));
        let pin = Pin { object, location, size, etag, weak, modified, version, unnamed };
        let pin = Arc::new(pin);
        Ok(Self { client, pin, meta, stamp })
    }
}

impl ReadAt for OpenObject {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn read_at(&self, range: ByteRange) -> BoxFuture<'static, Result<Body>> {
        let (client, pin) = (self.client.clone(), Arc::clone(&self.pin));
        async move { wire::get_range(&client, &pin, range).await }.boxed()
    }

    fn proof(&self) -> Option<Proof> {
        Some(Proof::Object(self.stamp.clone()))
    }

    fn recheck(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed() // every request carried the pin
    }
}
