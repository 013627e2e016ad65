//! Copies that the store makes by itself.
//!
//! Owns CopyObject and multipart copies. No byte of the object passes through this machine (S1.14).
//! UploadPartCopy does not inherit anything, so content type and metadata are carried over by hand
//! (X1.4).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{CompletedPart, MetadataDirective, TaggingDirective};
use haul_core::Leftover;
use haul_core::handle::JobContext;
use haul_core::plan::{PlanPolicy, plan};
use haul_core::workers;
use haul_core::{
    Attributes, Checksum, ChunkSpec, Committed, Engine, Error, ErrorKind, Event, Op, Proof, Report,
    Result, Sums, TargetLimits, Verified,
};

use crate::ObjectId;
use crate::attributes::{copy_source, set_attributes};
use crate::client::{At, S3Client};
use crate::lost::Doubt;
use crate::multipart::{
    Expected, MAX_PART, MIN_PART, Multipart, MultipartSpec, refuse_existing, said_etag, verify,
};
use crate::seen::head;
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
    /// The ETag that the source must have, with or without quotes: another one, or none, is
    /// [`SourceChanged`](ErrorKind::SourceChanged).
    pub expected_etag: Option<String>,
    /// Whether the copy gets the source's storage class, where `attributes` names none.
    pub keep_class: bool,
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
    Copy { engine: engine.clone(), client, spec, cx, tried: Arc::default() }.run().await
}

#[derive(Clone)]
struct Copy {
    engine: Engine,
    client: S3Client,
    spec: CopySpec,
    cx: JobContext,
    /// Whether a request that copies was sent before: its answer may have been lost.
    tried: Arc<AtomicBool>,
}

/// A PUT without a body says so: Ceph answers 411 otherwise, and so do some proxies.
fn say_empty(request: &mut HttpRequest) {
    request.headers_mut().insert("content-length", "0");
}

/// What the source was when the copy began.
struct Origin {
    size: u64,
    etag: Option<String>,
    checksum: Option<Checksum>,
    attributes: Attributes,
    /// How many tags it has, as far as the store says.
    tags: i32,
    /// The storage class to ask for.
    class: Option<String>,
}

impl Origin {
    fn expected(&self) -> Expected {
        Expected { size: self.size, checksum: self.checksum }
    }
}

/// An ETag without its quotes.
fn bare(etag: &str) -> &str {
    etag.trim_matches('"')
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
        let policy = self.engine.options().retry;
        let location = from.to_string();
        let look = || head(&self.client, from, Op::Open);
        let head = self.engine.retrying(policy, &self.cx, &location, look).await?;
        let read = head.stamp(from, Op::Open)?;
        if self
            .spec
            .expected_etag
            .as_deref()
            .is_some_and(|want| head.bare_etag().as_deref() != Some(bare(want)))
        {
            let what = "it was replaced since it was looked at";
            return Err(Error::new(ErrorKind::SourceChanged, Op::Copy, from, what));
        }
        let origin = Origin {
            size: read.size,
            etag: head.etag,
            checksum: head.checksum,
            attributes: head.attributes,
            tags: head.tags,
            class: self.class(head.storage_class),
        };
        if !self.spec.overwrite {
            let look = || refuse_existing(&self.client, to);
            self.engine.retrying(policy, &self.cx, &location, look).await?;
        }
        self.cx.meter.set_total(origin.size);
        self.cx.started(location.as_str(), to.to_string(), Some(origin.size));
        let copied = if origin.size > self.whole_limit() {
            self.in_parts(&origin).await?
        } else {
            let whole = self.retried(|| self.whole(&origin)).await?;
            self.cx.meter.add_landed(origin.size);
            whole
        };
        // U1.4: the store says that it copied; what it holds must say so too.
        let said = copied.etag.as_deref();
        let found = match copied.verified {
            Some(found) => found,
            None => self.retried(|| verify(&self.client, to, said, origin.expected())).await?,
        };
        let verified = if found == Verified::Size { Verified::Server } else { found };
        Ok(Report {
            from: location.into(),
            to: to.to_string().into(),
            bytes: origin.size,
            elapsed: started.elapsed(),
            retried: self.cx.meter.snapshot().retried,
            verified,
            sums: Sums::default(),
            etag: copied.etag,
            version_id: copied.version_id,
            read: Some(Proof::Object(read)),
        })
    }

    /// The storage class of the copy: as asked, or that of the source, where other buckets have it, too.
    fn class(&self, there: Option<String>) -> Option<String> {
        let own =
            |class: &String| ["EXPRESS_ONEZONE", "OUTPOSTS", "SNOW"].contains(&class.as_str());
        let kept = there.filter(|class| self.spec.keep_class && !own(class));
        self.spec.attributes.storage_class.clone().or(kept)
    }

    /// Largest object that is copied by one request.
    fn whole_limit(&self) -> u64 {
        let quirks = self.client.quirks();
        if quirks.upload_part_copy {
            self.spec.multipart_above.min(quirks.copy_limit)
        } else {
            quirks.copy_limit
        }
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

    async fn whole(&self, origin: &Origin) -> Result<Committed> {
        let CopySpec { from, to, attributes, overwrite, .. } = &self.spec;
        let replace = *attributes != Attributes::default();
        let carried =
            if replace { attributes.clone().or(&origin.attributes) } else { Attributes::default() };
        let at = self.client.at(&to.bucket).await;
        let request = at
            .copy_object()
            .bucket(&to.bucket)
            .key(&to.key)
            .copy_source(copy_source(from))
            .set_copy_source_if_match(origin.etag.clone())
            .set_if_none_match((!overwrite).then(|| "*".to_owned()))
            .set_metadata_directive(replace.then_some(MetadataDirective::Replace))
            .set_tagging_directive((!carried.tags.is_empty()).then_some(TaggingDirective::Replace));
        let request = set_attributes!(request, &carried)
            .set_storage_class(origin.class.as_deref().map(Into::into))
            .customize()
            .mutate_request(say_empty);
        // The gate is open again by the time that anything else is asked.
        let answer = self.client.sending(request.send()).await;
        let again = self.tried.swap(true, Ordering::SeqCst);
        let answer = match answer.map_err(|e| self.explain(&at, e)) {
            Err(e) if !overwrite && e.kind() == ErrorKind::SourceChanged => {
                return self.taken(e, again, origin).await;
            }
            answer => answer?,
        };
        let etag = answer.copy_object_result().and_then(|r| r.e_tag());
        let etag = said_etag(etag, Op::Copy, to)?;
        let version_id = answer.version_id().map(str::to_owned);
        Ok(Committed { etag: Some(etag), version_id, verified: None })
    }

    /// What a failed precondition was about: where nothing may be replaced it may be the destination's.
    /// When a request was sent before, what is there may be ours.
    async fn taken(&self, changed: Error, again: bool, origin: &Origin) -> Result<Committed> {
        let to = &self.spec.to;
        match refuse_existing(&self.client, to).await {
            Ok(()) => Err(changed),
            Err(e) if again && e.kind() == ErrorKind::AlreadyExists => {
                match verify(&self.client, to, None, origin.expected()).await {
                    Ok(v @ Verified::Checksum(_)) => {
                        Ok(Committed { verified: Some(v), ..Committed::default() })
                    }
                    _ => Err(e),
                }
            }
            Err(e) => Err(e),
        }
    }

    /// A failed copy: the source when it is gone or changed, the destination in all else.
    fn explain<E>(&self, at: &At<'_>, e: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let source = matches!(e.code(), Some("NoSuchKey" | "NoSuchVersion" | "PreconditionFailed"));
        let object = if source { &self.spec.from } else { &self.spec.to };
        at.failure(Op::Copy, &object.to_string(), e).into()
    }

    async fn in_parts(&self, origin: &Origin) -> Result<Committed> {
        let to = self.spec.to.to_string();
        if !self.client.quirks().upload_part_copy {
            let what = "the store cannot copy parts of objects";
            return Err(Error::new(ErrorKind::Unsupported, Op::Copy, to, what));
        }
        let mut attributes = self.spec.attributes.clone().or(&origin.attributes);
        attributes.storage_class.clone_from(&origin.class);
        if attributes.tags.is_empty() && origin.tags > 0 {
            attributes.tags = self.tags().await?;
        }
        // Parts that the store copies carry no checksum from here.
        let doubt = Doubt::default();
        let create = || async {
            let (client, object) = (self.client.clone(), self.spec.to.clone());
            let overwrite = self.spec.overwrite;
            let (attributes, doubt) = (&attributes, &doubt);
            let spec = MultipartSpec { attributes, overwrite, checksums: false, doubt };
            Multipart::create(client, object, spec).await.map(Arc::new)
        };
        let discard = |upload: Arc<Multipart>| async move { upload.abort().await };
        let upload = self.engine.beginning(&self.cx, &to, create, discard).await?;
        let done = match self.copy_parts(origin, &upload).await {
            Ok(parts) => {
                let complete = || upload.complete(parts.clone(), origin.expected());
                self.retried(complete).await
            }
            Err(e) => Err(e),
        };
        if done.is_err() {
            let left = Leftover { location: to, id: Some(upload.id.clone()) };
            self.engine.clean_up(&self.cx, &left, || upload.abort()).await;
        }
        done
    }

    /// The source's tags, which parts do not bring along. A store that cannot tell them, although it
    /// counts them, copies without.
    async fn tags(&self) -> Result<BTreeMap<String, String>> {
        let from = &self.spec.from;
        let ask = || async {
            let at = self.client.at(&from.bucket).await;
            let request = at
                .get_object_tagging()
                .bucket(&from.bucket)
                .key(&from.key)
                .set_version_id(from.version_id.clone());
            let sent = self.client.asking(Op::Copy, from, request.send()).await?;
            sent.map_err(|e| Error::from(at.failure(Op::Copy, &from.to_string(), e)))
        };
        match self.retried(ask).await {
            Ok(answer) => Ok(answer.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect()),
            Err(e) if e.kind() == ErrorKind::Unsupported => {
                let text = format!("the tags of {from} are not copied ({})", e.detail());
                self.cx.events.send(Event::note(text));
                Ok(BTreeMap::new())
            }
            Err(e) => Err(e),
        }
    }

    async fn copy_parts(
        &self,
        origin: &Origin,
        upload: &Arc<Multipart>,
    ) -> Result<Vec<CompletedPart>> {
        let limits = TargetLimits {
            part: MIN_PART..=MAX_PART,
            max_parts: self.client.max_parts,
            equal_parts: self.client.quirks().equal_parts,
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
        let (copy, upload, etag) = (self.clone(), Arc::clone(upload), origin.etag.clone());
        let work = move |chunk: ChunkSpec| {
            let (copy, upload, etag) = (copy.clone(), Arc::clone(&upload), etag.clone());
            async move {
                let part = copy.retried(|| copy.part(&upload.id, etag.clone(), chunk)).await?;
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
        let at = self.client.at(&to.bucket).await;
        let request = at
            .upload_part_copy()
            .bucket(&to.bucket)
            .key(&to.key)
            .upload_id(id)
            .part_number(part_number(chunk))
            .copy_source(copy_source(from))
            .set_copy_source_range(chunk.range.http_range())
            .set_copy_source_if_match(etag)
            .customize()
            .mutate_request(say_empty);
        let sent = self.client.sending(request.send()).await;
        let answer = sent.map_err(|e| self.explain(&at, e))?;
        let etag = answer.copy_part_result().and_then(|r| r.e_tag());
        let etag = said_etag(etag, Op::Copy, to)?;
        Ok(CompletedPart::builder().part_number(part_number(chunk)).e_tag(etag).build())
    }
}
