//! Copying one object between any two places.
//!
//! Owns the choice between a copy made by the store and one that passes through this machine.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

use haul_core::handle::JobContext;
use haul_core::transfer::Job;
use haul_core::{
    Attributes, Error, ErrorKind, Event, Hint, Location, Op, Report, Result, Source, Target,
    TransferHandle,
};
use haul_http::{HttpSource, HttpTarget};
use haul_local::{LocalSource, LocalTarget, PipeTarget, StdinSource};
use haul_s3::{COPY_OBJECT_LIMIT, CopySpec, ObjectId, S3Client, S3Source, S3Target};

use crate::identity::{ThingId, onto_itself};
use crate::{Haul, route, web};

/// One object to copy.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CopyRequest {
    /// Where from.
    pub from: Location,
    /// Where to; a folder, bucket or prefix takes the source's name.
    pub to: Location,
    /// Version of the source object.
    pub version_id: Option<String>,
    /// Attributes to set; gaps are filled from the source.
    pub attributes: Attributes,
    /// Whether something that exists may be replaced.
    pub overwrite: bool,
    /// Length of a stream, when known.
    pub expected_size: Option<u64>,
    /// Copies within a store above this size are made in parts.
    pub multipart_copy_above: u64,
}

impl CopyRequest {
    /// A plain copy that replaces what is there.
    pub fn new(from: Location, to: Location) -> Self {
        Self {
            from,
            to,
            version_id: None,
            attributes: Attributes::default(),
            overwrite: true,
            expected_size: None,
            multipart_copy_above: COPY_OBJECT_LIMIT,
        }
    }
}

/// How bytes get from one place to the other.
struct Way {
    /// Through this machine.
    through: Job,
    /// Within the store; through this machine only if the store cannot.
    within: Option<(S3Client, CopySpec)>,
}

impl Haul {
    /// Starts to copy one object. Errors before the start (a bad location, no endpoint) come from
    /// this call, later ones from the handle.
    ///
    /// # Errors
    ///
    /// From the call: `Invalid` where a location cannot be what it should be (a bucket for an
    /// object, a destination without a name, source and destination the same). From the handle:
    /// `NotFound`, `AlreadyExists` where nothing may be replaced, `SourceChanged` and
    /// `Verification`, after which nothing is at the destination, `NoSpace`, `BrokenPipe`, and what
    /// [requests and disks](crate#errors) may end with.
    pub async fn copy(&self, mut request: CopyRequest) -> Result<TransferHandle> {
        let this = self.begin();
        request.to = route::destination(&request.from, request.to)?;
        let way = this.way(request).await?;
        let engine = this.engine.clone();
        Ok(TransferHandle::spawn(&this.stop.token(), |cx| async move {
            let Some((client, spec)) = way.within else {
                return engine.run(way.through, cx).await;
            };
            match haul_s3::copy(&engine, client, spec, cx.clone()).await {
                Err(e) if e.kind() == ErrorKind::Unsupported => {
                    through_instead(engine, way.through, cx, &e).await
                }
                copied => copied,
            }
        }))
    }

    async fn way(&self, request: CopyRequest) -> Result<Way> {
        self.refuse_itself(&request).await?;
        let CopyRequest { from, to, version_id, attributes, overwrite, expected_size, .. } =
            request;
        let mut source = self.source(&from, version_id.clone()).await?;
        let target = self.target(&to, &attributes).await?;
        let attributes = if from == Location::Stdio { typed(attributes, &to) } else { attributes };
        let same_store = !self.options.two_endpoints();
        let within = match (&from, &to) {
            (Location::S3 { .. }, Location::S3 { .. }) if same_store => {
                let from = ObjectId { version_id, ..object_of(&from)? };
                let to = object_of(&to)?;
                let attributes = attributes.clone();
                let multipart_above = request.multipart_copy_above;
                let spec = CopySpec {
                    from,
                    to,
                    attributes,
                    overwrite,
                    expected_etag: None,
                    keep_class: false,
                    multipart_above,
                };
                let client = self.dest_client().await?;
                // Should the bytes have to pass through here, reading and writing must not wait for
                // each other at one gate.
                source = Arc::new(S3Source::new(client.with_own_gate(), spec.from.clone()));
                Some((client, spec))
            }
            _ => None,
        };
        let through =
            Job { source, target, attributes, overwrite, expected_size, keep_times: false };
        Ok(Way { through, within })
    }

    /// What is its own destination: a file always, an object where the store is not asked to do it
    /// by itself (then [`haul_s3::copy`] knows what can be done in place).
    async fn refuse_itself(&self, request: &CopyRequest) -> Result<()> {
        let (from, to) = (&request.from, &request.to);
        let (same, thing) = match (from, to) {
            (Location::Local(from), Location::Local(to)) => {
                let id = |p: &Path| std::fs::metadata(p).map(|m| (m.dev(), m.ino())).ok();
                (id(from).is_some() && id(from) == id(to), "file")
            }
            (Location::S3 { .. }, Location::S3 { .. }) => {
                let current = request.version_id.is_none() && self.options.two_endpoints();
                let (source, dest) = (self.source_client().await?, self.dest_client().await?);
                let (from, to) = (object_of(from)?, object_of(to)?);
                (current && ThingId::of(&source, &from) == ThingId::of(&dest, &to), "object")
            }
            _ => return Ok(()),
        };
        if same { Err(onto_itself(Op::Copy, from, thing, &request.attributes)) } else { Ok(()) }
    }

    pub(crate) async fn source(
        &self,
        from: &Location,
        version: Option<String>,
    ) -> Result<Arc<dyn Source>> {
        if version.is_some() && !matches!(from, Location::S3 { .. }) {
            let what = "only objects have versions";
            return Err(Error::new(ErrorKind::Invalid, Op::Open, from, what));
        }
        let pool = self.engine.pool().clone();
        Ok(match from {
            Location::Local(path) => Arc::new(LocalSource::new(path, pool)),
            Location::Stdio => Arc::new(StdinSource::new(pool)),
            Location::Http(url) => Arc::new(HttpSource::new(self.http_client(), web::parse(url)?)),
            from => {
                let object = ObjectId { version_id: version, ..object_of(from)? };
                Arc::new(S3Source::new(self.source_client().await?, object))
            }
        })
    }

    pub(crate) async fn target(
        &self,
        to: &Location,
        asked: &Attributes,
    ) -> Result<Arc<dyn Target>> {
        Ok(match to {
            Location::Local(path) if is_stream(path) => {
                let path = path.clone();
                // Opening a FIFO waits for its reader, so it may not happen on an async thread.
                let opened = tokio::task::spawn_blocking(move || PipeTarget::open(&path)).await;
                Arc::new(opened.map_err(|e| {
                    Error::new(ErrorKind::Io, Op::Open, to, "it cannot be opened").with_source(e)
                })??)
            }
            Location::Local(path) => Arc::new(LocalTarget::new(path, self.durability.clone())),
            Location::Stdio => Arc::new(PipeTarget::stdout()?),
            Location::Http(url) => {
                let client = self.http_client().with_own_gate();
                Arc::new(HttpTarget::new(client, web::parse(url)?).asking(asked.clone()))
            }
            to => Arc::new(S3Target::new(self.dest_client().await?, object_of(to)?)),
        })
    }
}

/// The detour through this machine when the store cannot make a copy, and a note that says so.
pub(crate) async fn through_instead(
    engine: haul_core::Engine,
    job: Job,
    cx: JobContext,
    why: &Error,
) -> Result<Report> {
    let text = format!("the store cannot copy by itself ({}): copying through here", why.detail());
    cx.events.send(Event::note(text));
    // Boxed: a transfer is a large future, and there may be many in flight.
    Box::pin(engine.run(job, cx)).await
}

/// The object a location names, or an error when it names a bucket or none at all.
pub(crate) fn object_of(location: &Location) -> Result<ObjectId> {
    match location {
        Location::S3 { bucket, key } if !key.is_empty() => Ok(ObjectId::new(bucket, key)),
        Location::S3 { .. } => {
            let what = "it is a bucket, and an object is needed";
            Err(Error::new(ErrorKind::Invalid, Op::Open, location, what)
                .with_hint(Hint::NameObject))
        }
        _ => Err(Error::new(ErrorKind::Invalid, Op::Open, location, "it is no object in a store")
            .with_hint(Hint::WriteObject)),
    }
}

/// The attributes of what has no name of its own to guess a content type by: the key's has to do.
pub(crate) fn typed(mut attributes: Attributes, to: &Location) -> Attributes {
    if let (None, Location::S3 { key, .. }) = (&attributes.content_type, to) {
        attributes.content_type = haul_local::content_type_of(Path::new(key));
    }
    attributes
}

/// Devices and FIFOs are written in order and never replaced.
fn is_stream(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| {
        let kind = m.file_type();
        kind.is_char_device() || kind.is_fifo()
    })
}
