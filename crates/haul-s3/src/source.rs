//! Reading objects.
//!
//! Owns the pin: HeadObject fixes ETag and version, and every range is asked for with them, so that
//! an object that is replaced in the middle is noticed (X3.6).

use std::sync::Arc;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{
    Algorithm, Body, ByteRange, Checksum, Error, ErrorKind, Meta, Op, Opened, ReadAt, Result,
    Retry, Source, SourceLimits, Validator,
};

use crate::attributes::attributes_of;
use crate::checksum::decode;
use crate::client::S3Client;
use crate::{ObjectId, wire};

/// An object to read.
#[derive(Debug, Clone)]
pub struct S3Source {
    client: S3Client,
    object: ObjectId,
}

impl S3Source {
    /// `object` at the client's endpoint. No request is sent yet.
    pub fn new(client: S3Client, object: ObjectId) -> Self {
        Self { client, object }
    }
}

/// What every read of an object is held to.
#[derive(Debug, Clone)]
pub(crate) struct Pin {
    pub(crate) object: ObjectId,
    pub(crate) location: String,
    pub(crate) etag: Option<String>,
    pub(crate) size: u64,
}

/// HeadObject, through the gate.
pub(crate) async fn head(client: &S3Client, object: &ObjectId, op: Op) -> Result<HeadObjectOutput> {
    let request = client
        .sdk()
        .head_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .set_version_id(object.version_id.clone())
        .checksum_mode(ChecksumMode::Enabled);
    let sent = client.asking(op, object, request.send()).await?;
    sent.map_err(|e| client.failure(op, &object.to_string(), e).into())
}

/// The object's size as HeadObject states it.
pub(crate) fn size_of(head: &HeadObjectOutput, object: &ObjectId, op: Op) -> Result<u64> {
    head.content_length().and_then(|l| u64::try_from(l).ok()).ok_or_else(|| {
        Error::new(ErrorKind::Protocol, op, object, "the store does not say how long it is")
            .with_retry(Retry::Backoff)
    })
}

/// The checksum over the whole object, if the store keeps one. Composite checksums depend on the
/// parts and say nothing about a range.
pub(crate) fn whole_checksum(head: &HeadObjectOutput) -> Option<Checksum> {
    if head.checksum_type() == Some(&ChecksumType::Composite) {
        return None;
    }
    [
        (Algorithm::Crc64Nvme, head.checksum_crc64_nvme()),
        (Algorithm::Crc32c, head.checksum_crc32_c()),
        (Algorithm::Crc32, head.checksum_crc32()),
    ]
    .into_iter()
    .find_map(|(algorithm, text)| decode(algorithm, text?))
}

impl Source for S3Source {
    fn location(&self) -> String {
        self.object.to_string()
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits { gate: Some(self.client.gate.clone()), network: true, cheap_reread: false }
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        async move {
            let head = head(&self.client, &self.object, Op::Open).await?;
            let object = OpenObject::new(self.client.clone(), self.object.clone(), &head)?;
            Ok(Opened::Ranged(Arc::new(object)))
        }
        .boxed()
    }
}

#[derive(Debug)]
struct OpenObject {
    client: S3Client,
    pin: Arc<Pin>,
    meta: Meta,
}

impl OpenObject {
    fn new(client: S3Client, mut object: ObjectId, head: &HeadObjectOutput) -> Result<Self> {
        let size = size_of(head, &object, Op::Open)?;
        let location = object.to_string();
        // A weak ETag cannot be compared byte for byte (RFC 9110, 8.8.3).
        let etag = head.e_tag().filter(|e| !e.starts_with("W/")).map(str::to_owned);
        // "null" is the version of objects from before versioning: it can be overwritten.
        let version = head.version_id().filter(|v| *v != "null").map(str::to_owned);
        let validator = match (&version, &etag) {
            (Some(version), _) => Validator::Version(version.clone()),
            (None, Some(etag)) => Validator::StrongEtag(etag.clone()),
            (None, None) => Validator::Unpinned,
        };
        object.version_id = object.version_id.or(version);
        let meta = Meta {
            location: location.clone(),
            size,
            validator,
            checksum: whole_checksum(head),
            modified: head.last_modified().and_then(|t| (*t).try_into().ok()),
            attributes: attributes_of(head),
        };
        Ok(Self { client, pin: Arc::new(Pin { object, location, etag, size }), meta })
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

    fn recheck(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed() // every request carried the pin
    }
}
