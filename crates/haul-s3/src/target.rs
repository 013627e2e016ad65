//! Writing objects.
//!
//! Owns single and multipart uploads. A multipart upload becomes visible by CompleteMultipartUpload
//! alone; when the answer to that is lost, the store is asked what happened. A failed upload is
//! aborted: orphaned parts cost money.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{
    Algorithm, Checksum, ChunkSpec, Committed, Error, ErrorKind, Op, Order, Payload, Receipt,
    Result, Retry, Sums, Target, TargetLimits, Upload, UploadSpec, Verified,
};

use crate::ObjectId;
use crate::attributes::set_attributes;
use crate::checksum::encode;
use crate::client::S3Client;
use crate::error::failure;
use crate::source::{head, size_of, whole_checksum};
use crate::wire::{self, MultipartId, part_number};

/// Smallest part but the last (S3 API reference, "multipart upload limits").
pub(crate) const MIN_PART: u64 = 5 << 20;
/// Largest part, and largest object in a single PutObject.
pub(crate) const MAX_PART: u64 = 5 << 30;
/// Most parts of an upload.
pub(crate) const MAX_PARTS: u64 = 10_000;

/// An object to write.
#[derive(Debug, Clone)]
pub struct S3Target {
    client: S3Client,
    object: ObjectId,
}

impl S3Target {
    /// `object` at the client's endpoint. No request is sent yet.
    pub fn new(client: S3Client, object: ObjectId) -> Self {
        Self { client, object }
    }
}

impl Target for S3Target {
    fn location(&self) -> String {
        self.object.to_string()
    }

    fn limits(&self) -> TargetLimits {
        TargetLimits {
            gate: Some(self.client.gate.clone()),
            network: true,
            order: Order::Any,
            part: MIN_PART..=MAX_PART,
            max_parts: MAX_PARTS,
            equal_parts: false,
            replays: true,
            checksum: self.client.checksums.algorithm(),
        }
    }

    fn begin<'a>(&'a self, spec: &'a UploadSpec) -> BoxFuture<'a, Result<Arc<dyn Upload>>> {
        async move {
            let (client, object) = (self.client.clone(), self.object.clone());
            let upload: Arc<dyn Upload> = match &spec.plan {
                Some(plan) if plan.chunks() == 1 => {
                    Arc::new(Single { client, object, spec: spec.clone(), stored: Arc::default() })
                }
                _ => Arc::new(Multipart::create(client, object, spec).await?),
            };
            Ok(upload)
        }
        .boxed()
    }
}

/// S1.10: an object that fits one request.
#[derive(Debug)]
struct Single {
    client: S3Client,
    object: ObjectId,
    spec: UploadSpec,
    stored: Arc<Mutex<Option<Committed>>>,
}

impl Upload for Single {
    fn put(&self, chunk: ChunkSpec, payload: Payload) -> BoxFuture<'static, Result<Receipt>> {
        let (client, object) = (self.client.clone(), self.object.clone());
        let (spec, stored) = (self.spec.clone(), Arc::clone(&self.stored));
        async move {
            let put = wire::put_object(&client, &object, &spec, &payload).await?;
            let algorithm = client.checksums.algorithm().filter(|_| put.checked);
            let etag = put.answer.e_tag().map(str::to_owned);
            let committed = Committed {
                etag: etag.clone(),
                version_id: put.answer.version_id().map(str::to_owned),
                verified: algorithm.map(Verified::Checksum),
            };
            *stored.lock().unwrap_or_else(PoisonError::into_inner) = Some(committed);
            Ok(Receipt { chunk, sums: put.sums, etag })
        }
        .boxed()
    }

    fn commit<'a>(&'a self, _: &'a [Receipt], whole: &'a Sums) -> BoxFuture<'a, Result<Committed>> {
        async move {
            let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner).take();
            let mut committed = stored.unwrap_or_default();
            if committed.verified.is_none() {
                let head = head(&self.client, &self.object, Op::Commit).await?;
                check_size(&head, &self.object, whole)?;
                committed.verified = Some(Verified::Size);
            }
            Ok(committed)
        }
        .boxed()
    }

    fn abort(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed() // a PutObject is all or nothing
    }
}

/// S1.11: an object in parts.
#[derive(Debug)]
struct Multipart {
    client: S3Client,
    object: ObjectId,
    upload: Arc<MultipartId>,
    overwrite: bool,
    /// Whether a commit was tried: its answer may have been lost.
    tried: AtomicBool,
}

impl Multipart {
    async fn create(client: S3Client, object: ObjectId, spec: &UploadSpec) -> Result<Self> {
        let upload = create_upload(&client, &object, &spec.attributes).await?;
        let overwrite = spec.overwrite;
        Ok(Self {
            client,
            object,
            upload: Arc::new(upload),
            overwrite,
            tried: AtomicBool::new(false),
        })
    }

    async fn complete(&self, receipts: &[Receipt], whole: &Sums) -> Result<Committed> {
        let checksum = self.whole_checksum(whole);
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(receipts.iter().map(|r| self.completed_part(r)).collect()))
            .build();
        let _permit = self.client.gate.enter().await;
        let answer = self
            .client
            .sdk()
            .complete_multipart_upload()
            .bucket(&self.object.bucket)
            .key(&self.object.key)
            .upload_id(&self.upload.id)
            .multipart_upload(parts)
            .set_checksum_crc64_nvme(checksum.map(encode))
            .set_checksum_type(checksum.map(|_| ChecksumType::FullObject))
            .set_if_none_match((!self.overwrite).then(|| "*".to_owned()))
            .send()
            .await
            .map_err(|e| failure(Op::Commit, &self.object.to_string(), e))?;
        Ok(Committed {
            etag: answer.e_tag().map(str::to_owned),
            version_id: answer.version_id().map(str::to_owned),
            verified: checksum.map(|c| Verified::Checksum(c.algorithm)),
        })
    }

    fn whole_checksum(&self, whole: &Sums) -> Option<Checksum> {
        if self.upload.checksummed { whole.get(Algorithm::Crc64Nvme) } else { None }
    }

    fn completed_part(&self, receipt: &Receipt) -> CompletedPart {
        let checksum = self.whole_checksum(&receipt.sums);
        CompletedPart::builder()
            .part_number(part_number(receipt.chunk))
            .set_e_tag(receipt.etag.clone())
            .set_checksum_crc64_nvme(checksum.map(encode))
            .build()
    }

    /// After a lost answer: whether the object at the destination is the one that was completed.
    async fn landed(&self, parts: usize, whole: &Sums) -> Result<Option<Committed>> {
        let head = match head(&self.client, &self.object, Op::Commit).await {
            Ok(head) => head,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let same_size = size_of(&head, &self.object, Op::Commit)? == whole.len();
        let stored = whole_checksum(&head);
        let same_content = match stored.and_then(|c| Some((c, whole.get(c.algorithm)?))) {
            Some((stored, ours)) => stored == ours,
            // Without a checksum, the number of parts in the ETag is what tells.
            None => {
                head.e_tag().is_some_and(|e| e.trim_matches('"').ends_with(&format!("-{parts}")))
            }
        };
        Ok((same_size && same_content).then(|| Committed {
            etag: head.e_tag().map(str::to_owned),
            version_id: head.version_id().map(str::to_owned),
            verified: Some(stored.map_or(Verified::Size, |c| Verified::Checksum(c.algorithm))),
        }))
    }
}

/// CreateMultipartUpload, with a full-object checksum where the store takes one.
pub(crate) async fn create_upload(
    client: &S3Client,
    object: &ObjectId,
    attributes: &haul_core::Attributes,
) -> Result<MultipartId> {
    let checksummed = client.checksums.algorithm().is_some();
    let _permit = client.gate.enter().await;
    let request = client
        .sdk()
        .create_multipart_upload()
        .bucket(&object.bucket)
        .key(&object.key)
        .set_checksum_algorithm(checksummed.then_some(ChecksumAlgorithm::Crc64Nvme))
        .set_checksum_type(checksummed.then_some(ChecksumType::FullObject));
    let answer = set_attributes!(request, attributes).send().await.map_err(|e| {
        let failed = failure(Op::Begin, &object.to_string(), e);
        if checksummed {
            client.checksums.learn(failed.error, failed.code.as_deref())
        } else {
            failed.error
        }
    })?;
    let id = answer.upload_id().ok_or_else(|| {
        Error::new(ErrorKind::Protocol, Op::Begin, object, "the answer has no upload id")
            .with_retry(Retry::Backoff)
    })?;
    Ok(MultipartId { id: id.to_owned(), checksummed })
}

/// AbortMultipartUpload; an upload that is gone already is fine.
pub(crate) async fn abort_upload(client: &S3Client, object: &ObjectId, id: &str) -> Result<()> {
    let aborted = client
        .sdk()
        .abort_multipart_upload()
        .bucket(&object.bucket)
        .key(&object.key)
        .upload_id(id)
        .send()
        .await;
    match aborted.map_err(|e| Error::from(failure(Op::Abort, &object.to_string(), e))) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(e.with_hint(format!("its parts are still stored: upload id {id}")))
        }
        _ => Ok(()),
    }
}

/// The size of what is stored, where the store checked no checksum.
fn check_size(
    head: &aws_sdk_s3::operation::head_object::HeadObjectOutput,
    object: &ObjectId,
    whole: &Sums,
) -> Result<()> {
    let stored = size_of(head, object, Op::Verify)?;
    if stored == whole.len() {
        return Ok(());
    }
    let what = format!("{stored} bytes are stored instead of {}", whole.len());
    Err(Error::new(ErrorKind::Verification, Op::Verify, object, what))
}

impl Upload for Multipart {
    fn put(&self, chunk: ChunkSpec, payload: Payload) -> BoxFuture<'static, Result<Receipt>> {
        let (client, object) = (self.client.clone(), self.object.clone());
        let upload = Arc::clone(&self.upload);
        async move { wire::upload_part(&client, &object, &upload, chunk, &payload).await }.boxed()
    }

    fn commit<'a>(
        &'a self,
        receipts: &'a [Receipt],
        whole: &'a Sums,
    ) -> BoxFuture<'a, Result<Committed>> {
        async move {
            let again = self.tried.swap(true, Ordering::SeqCst);
            let mut committed = match self.complete(receipts, whole).await {
                // The upload is gone, or the object is there: perhaps by our own first call.
                Err(e)
                    if again
                        && matches!(e.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) =>
                {
                    self.landed(receipts.len(), whole).await?.ok_or(e)?
                }
                other => other?,
            };
            if committed.verified.is_none() {
                let head = head(&self.client, &self.object, Op::Commit).await?;
                check_size(&head, &self.object, whole)?;
                committed.verified = Some(Verified::Size);
            }
            Ok(committed)
        }
        .boxed()
    }

    fn abort(&self) -> BoxFuture<'_, Result<()>> {
        abort_upload(&self.client, &self.object, &self.upload.id).boxed()
    }
}
