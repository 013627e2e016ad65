//! Copies that the store makes by itself.
//!
//! Owns CopyObject and multipart copies. No byte of the object passes through this machine (S1.14).
//! UploadPartCopy does not inherit anything, so content type and metadata are carried over by hand
//! (X1.4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_s3::config::http::HttpRequest;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, MetadataDirective};
use haul_core::handle::JobContext;
use haul_core::plan::{PlanPolicy, plan};
use haul_core::workers;
use haul_core::{
    Attributes, ChunkSpec, Engine, Error, ErrorKind, Event, Op, Report, Result, Retry, Sums,
    TargetLimits, Verified,
};

use crate::ObjectId;
use crate::attributes::{attributes_of, copy_source, set_attributes};
use crate::client::S3Client;
use crate::error::failure;
use crate::source::{head, size_of};
use crate::target::{MAX_PART, MAX_PARTS, MIN_PART, abort_upload};
use crate::wire::part_number;

/// Largest object that one CopyObject takes (S3 API reference).
pub const COPY_OBJECT_LIMIT: u64 = 5 << 30;

/// Part size of multipart copies. The store moves the bytes, so parts cost no memory here; several
/// at once keep its disks busy.
const COPY_PART: u64 = 256 << 20;

/// How long one request that copies may take: stores are silent while they do.
const COPY_DEADLINE: Duration = Duration::from_mins(15);

/// A copy to be made.
#[derive(Debug, Clone)]
pub struct CopySpec {
    /// Where from; the version is honoured.
    pub from: ObjectId,
    /// Where to.
    pub to: ObjectId,
    /// Attributes to set instead of the source's; empty keeps them all.
    pub attributes: Attributes,
    /// Whether something that exists may be replaced.
    pub overwrite: bool,
    /// Objects above this size are copied in parts; at most [`COPY_OBJECT_LIMIT`].
    pub multipart_above: u64,
}

/// Copies between two objects of one endpoint. `Unsupported` means that the store cannot, and that
/// the bytes have to pass through this machine.
pub async fn copy(
    engine: &Engine,
    client: S3Client,
    spec: CopySpec,
    cx: JobContext,
) -> Result<Report> {
    Copy { engine: engine.clone(), client, spec, cx }.run().await
}

#[derive(Clone)]
struct Copy {
    engine: Engine,
    client: S3Client,
    spec: CopySpec,
    cx: JobContext,
}

/// A PUT without a body says so: Ceph answers 411 otherwise, and so do some proxies.
fn say_empty(request: &mut HttpRequest) {
    request.headers_mut().insert("content-length", "0");
}

/// What the source was when the copy began.
struct Origin {
    size: u64,
    etag: Option<String>,
    attributes: Attributes,
}

#[derive(Default)]
struct Copied {
    etag: Option<String>,
    version_id: Option<String>,
}

impl Copy {
    async fn run(self) -> Result<Report> {
        let started = Instant::now();
        let CopySpec { from, to, .. } = &self.spec;
        if (&from.bucket, &from.key) == (&to.bucket, &to.key)
            && from.version_id.is_none()
            && self.spec.attributes == Attributes::default()
        {
            let what = "source and destination are the same object";
            return Err(Error::new(ErrorKind::Invalid, Op::Copy, from, what));
        }
        let first = self.engine.options().retry.first_contact();
        let location = from.to_string();
        let look = || head(&self.client, from, Op::Open);
        let head = self.engine.retrying(first, &self.cx, &location, look).await?;
        let origin = Origin {
            size: size_of(&head, from, Op::Open)?,
            etag: head.e_tag().map(str::to_owned),
            attributes: attributes_of(&head),
        };
        self.cx.meter.set_total(origin.size);
        self.cx.events.send(Event::ItemStarted {
            from: location.clone(),
            to: to.to_string(),
            size: Some(origin.size),
        });
        let copied = if origin.size > self.spec.multipart_above.min(COPY_OBJECT_LIMIT) {
            self.in_parts(&origin).await?
        } else {
            let whole = self.retried(|| self.whole(&origin)).await?;
            self.cx.meter.add_landed(origin.size);
            whole
        };
        self.check(&origin).await?;
        Ok(Report {
            from: location,
            to: to.to_string(),
            bytes: origin.size,
            elapsed: started.elapsed(),
            retried: self.cx.meter.snapshot().retried,
            verified: Verified::Server,
            sums: Sums::default(),
            etag: copied.etag,
            version_id: copied.version_id,
        })
    }

    async fn retried<T, F, Fut>(&self, attempt: F) -> Result<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let location = self.spec.to.to_string();
        let limited = || async {
            tokio::time::timeout(COPY_DEADLINE, attempt()).await.unwrap_or_else(|_| {
                let what = "the store did not answer for 15 minutes";
                Err(Error::new(ErrorKind::Stalled, Op::Copy, &location, what))
            })
        };
        let policy = self.engine.options().retry;
        self.engine.retrying(policy, &self.cx, &location, limited).await
    }

    async fn whole(&self, origin: &Origin) -> Result<Copied> {
        let CopySpec { from, to, attributes, overwrite, .. } = &self.spec;
        let replace = *attributes != Attributes::default();
        let carried =
            if replace { attributes.clone().or(&origin.attributes) } else { Attributes::default() };
        let _permit = self.client.gate.enter().await;
        let request = self
            .client
            .sdk()
            .copy_object()
            .bucket(&to.bucket)
            .key(&to.key)
            .copy_source(copy_source(from))
            .set_copy_source_if_match(origin.etag.clone())
            .set_if_none_match((!overwrite).then(|| "*".to_owned()))
            .set_metadata_directive(replace.then_some(MetadataDirective::Replace));
        let answer = set_attributes!(request, &carried)
            .customize()
            .mutate_request(say_empty)
            .send()
            .await
            .map_err(|e| failure(Op::Copy, &from.to_string(), e))?;
        let etag = answer.copy_object_result().and_then(|r| r.e_tag()).map(str::to_owned);
        Ok(Copied { etag, version_id: answer.version_id().map(str::to_owned) })
    }

    async fn in_parts(&self, origin: &Origin) -> Result<Copied> {
        let to = &self.spec.to;
        let attributes = self.spec.attributes.clone().or(&origin.attributes);
        let create = || self.create(&attributes);
        let id: Arc<str> = self.retried(create).await?.into();
        let done = match self.copy_parts(origin, &id).await {
            Ok(parts) => {
                let complete = || self.complete(&id, &parts);
                self.retried(complete).await
            }
            Err(e) => Err(e),
        };
        if done.is_err()
            && let Err(e) = abort_upload(&self.client, to, &id).await
        {
            tracing::warn!("{e}");
        }
        done
    }

    async fn create(&self, attributes: &Attributes) -> Result<String> {
        let to = &self.spec.to;
        let _permit = self.client.gate.enter().await;
        let request = self.client.sdk().create_multipart_upload().bucket(&to.bucket).key(&to.key);
        let answer = set_attributes!(request, attributes)
            .send()
            .await
            .map_err(|e| failure(Op::Begin, &to.to_string(), e))?;
        answer.upload_id().map(str::to_owned).ok_or_else(|| {
            Error::new(ErrorKind::Protocol, Op::Begin, to, "the answer has no upload id")
                .with_retry(Retry::Backoff)
        })
    }

    async fn copy_parts(&self, origin: &Origin, id: &Arc<str>) -> Result<Vec<CompletedPart>> {
        let limits = TargetLimits {
            part: MIN_PART..=MAX_PART,
            max_parts: MAX_PARTS,
            ..TargetLimits::default()
        };
        let asked = self.engine.options().part;
        let policy =
            if asked.explicit { asked } else { PlanPolicy { part_size: COPY_PART, ..asked } };
        let plan = plan(origin.size, &limits, policy)
            .map_err(|e| Error::new(ErrorKind::Invalid, Op::Copy, &self.spec.from, e))?;
        let chunks = plan.iter();
        let produce = |queue: workers::Queue<ChunkSpec>| async move {
            for chunk in chunks {
                queue.push(chunk).await?;
            }
            Ok(())
        };
        let (copy, id, etag) = (self.clone(), Arc::clone(id), origin.etag.clone());
        let work = move |chunk: ChunkSpec| {
            let (copy, id, etag) = (copy.clone(), Arc::clone(&id), etag.clone());
            async move {
                let part = copy.retried(|| copy.part(&id, etag.clone(), chunk)).await?;
                copy.cx.meter.add_landed(chunk.range.len());
                Ok(part)
            }
        };
        let crew = self.engine.crew(self.engine.options().concurrency);
        let mut parts = workers::run(crew, &self.cx.cancel, produce, work).await?;
        parts.sort_by_key(CompletedPart::part_number);
        Ok(parts)
    }

    async fn part(
        &self,
        id: &str,
        etag: Option<String>,
        chunk: ChunkSpec,
    ) -> Result<CompletedPart> {
        let CopySpec { from, to, .. } = &self.spec;
        let _permit = self.client.gate.enter().await;
        let answer = self
            .client
            .sdk()
            .upload_part_copy()
            .bucket(&to.bucket)
            .key(&to.key)
            .upload_id(id)
            .part_number(part_number(chunk))
            .copy_source(copy_source(from))
            .set_copy_source_range(chunk.range.http_range())
            .set_copy_source_if_match(etag)
            .customize()
            .mutate_request(say_empty)
            .send()
            .await
            .map_err(|e| failure(Op::Copy, &from.to_string(), e))?;
        let etag = answer.copy_part_result().and_then(|r| r.e_tag()).ok_or_else(|| {
            Error::new(ErrorKind::Protocol, Op::Copy, to, "a part was answered without an ETag")
                .with_retry(Retry::Backoff)
        })?;
        Ok(CompletedPart::builder().part_number(part_number(chunk)).e_tag(etag).build())
    }

    async fn complete(&self, id: &str, parts: &[CompletedPart]) -> Result<Copied> {
        let to = &self.spec.to;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec())).build();
        let _permit = self.client.gate.enter().await;
        let answer = self
            .client
            .sdk()
            .complete_multipart_upload()
            .bucket(&to.bucket)
            .key(&to.key)
            .upload_id(id)
            .multipart_upload(parts)
            .set_if_none_match((!self.spec.overwrite).then(|| "*".to_owned()))
            .send()
            .await
            .map_err(|e| failure(Op::Commit, &to.to_string(), e))?;
        Ok(Copied {
            etag: answer.e_tag().map(str::to_owned),
            version_id: answer.version_id().map(str::to_owned),
        })
    }

    /// U1.4: the store says it copied; its listing must say so too.
    async fn check(&self, origin: &Origin) -> Result<()> {
        let to = &self.spec.to;
        let stored = self.retried(|| head(&self.client, to, Op::Verify)).await?;
        let stored = size_of(&stored, to, Op::Verify)?;
        if stored == origin.size {
            return Ok(());
        }
        let what = format!("{stored} bytes are stored instead of {}", origin.size);
        Err(Error::new(ErrorKind::Verification, Op::Verify, to, what))
    }
}
