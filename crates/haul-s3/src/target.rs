//! Writing objects.
//!
//! Owns the choice between one PutObject and a multipart upload, and the limits that the engine plans
//! by. Must never show an object that is not complete.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::types::CompletedPart;
use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{
    Algorithm, ChunkSpec, Committed, Error, ErrorKind, Op, Order, Payload, Receipt, Result, Retry,
    Sums, Target, TargetLimits, Upload, UploadSpec, Verified,
};

use crate::ObjectId;
use crate::checksum::encode;
use crate::client::S3Client;
use crate::lost::Doubt;
use crate::multipart::{
    Expected, MAX_PART, MIN_PART, Multipart, MultipartSpec, refuse_existing, verify,
};
use crate::wire::{self, part_number};

/// Largest part with a signed body, which has to be in memory as a whole.
const MAX_SIGNED_PART: u64 = 64 << 20;

/// An object to write.
#[derive(Debug, Clone)]
pub struct S3Target {
    client: S3Client,
    object: ObjectId,
    /// Whether the store may have begun an upload that we do not know of.
    doubt: Arc<Doubt>,
}

impl S3Target {
    /// `object` at the client's endpoint. No request is sent yet.
    pub fn new(client: S3Client, object: ObjectId) -> Self {
        Self { client, object, doubt: Arc::default() }
    }
}

impl Target for S3Target {
    fn location(&self) -> String {
        self.object.to_string()
    }

    fn limits(&self) -> TargetLimits {
        let most = if self.client.sign_payload { MAX_SIGNED_PART } else { MAX_PART };
        TargetLimits {
            gate: Some(self.client.gate.clone()),
            network: true,
            order: Order::Any,
            part: MIN_PART..=most,
            max_parts: self.client.max_parts,
            equal_parts: self.client.quirks().equal_parts,
            replays: true,
            checksum: self.client.checksums.algorithm(),
        }
    }

    fn begin<'a>(&'a self, spec: &'a UploadSpec) -> BoxFuture<'a, Result<Arc<dyn Upload>>> {
        async move {
            let (client, object) = (self.client.clone(), self.object.clone());
            if !spec.overwrite {
                refuse_existing(&client, &object).await?;
            }
            let upload: Arc<dyn Upload> = match &spec.plan {
                Some(plan) if plan.chunks() == 1 => {
                    Arc::new(Single { client, object, spec: spec.clone(), state: Arc::default() })
                }
                _ => {
                    let UploadSpec { attributes, overwrite, .. } = spec;
                    let spec = MultipartSpec {
                        attributes,
                        overwrite: *overwrite,
                        checksums: true,
                        doubt: &self.doubt,
                    };
                    Arc::new(Parts(Arc::new(Multipart::create(client, object, spec).await?)))
                }
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
    state: Arc<SingleState>,
}

#[derive(Debug, Default)]
struct SingleState {
    stored: Mutex<Option<Stored>>,
    /// Whether a request was sent before: its answer may have been lost.
    tried: AtomicBool,
}

/// What came of the request.
#[derive(Debug, Clone)]
enum Stored {
    /// The store took it.
    Ours(Committed),
    /// Something is there already, and may be what an earlier request of ours has put there. This is to
    /// be looked at once the request is over: a look is a request, too.
    Perhaps,
}

impl Upload for Single {
    fn put(&self, chunk: ChunkSpec, payload: Payload) -> BoxFuture<'static, Result<Receipt>> {
        let (client, object) = (self.client.clone(), self.object.clone());
        let (spec, state) = (self.spec.clone(), Arc::clone(&self.state));
        async move {
            let again = state.tried.swap(true, Ordering::SeqCst);
            let put = wire::put_object(&client, &object, &spec, &payload).await;
            let (stored, sums) = match put {
                Ok((committed, sums)) => (Stored::Ours(committed), sums),
                // "It exists": perhaps by our own earlier request, whose answer was lost.
                Err(e) if again && e.kind() == ErrorKind::AlreadyExists => {
                    let Some(sums) = payload.sums_ahead() else { return Err(e) };
                    (Stored::Perhaps, sums.clone())
                }
                Err(e) => return Err(e),
            };
            let etag = match &stored {
                Stored::Ours(committed) => committed.etag.clone(),
                Stored::Perhaps => None,
            };
            *state.stored.lock().unwrap_or_else(PoisonError::into_inner) = Some(stored);
            Ok(Receipt { chunk, sums, etag })
        }
        .boxed()
    }

    fn commit<'a>(&'a self, _: &'a [Receipt], whole: &'a Sums) -> BoxFuture<'a, Result<Committed>> {
        async move {
            let stored = self.state.stored.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let stored = stored.ok_or_else(|| {
                Error::new(ErrorKind::Protocol, Op::Commit, &self.object, "nothing was stored")
            })?;
            let checksum = whole.get(Algorithm::Crc64Nvme);
            let expected = Expected { size: whole.len(), checksum };
            match stored {
                Stored::Ours(committed) if committed.verified.is_some() => Ok(committed),
                Stored::Ours(committed) => {
                    let said = committed.etag.as_deref();
                    let verified = verify(&self.client, &self.object, said, expected).await?;
                    Ok(Committed { verified: Some(verified), ..committed })
                }
                Stored::Perhaps => match verify(&self.client, &self.object, None, expected).await {
                    Ok(v @ Verified::Checksum(_)) => {
                        Ok(Committed { verified: Some(v), ..Committed::default() })
                    }
                    Err(e) if e.retry() != Retry::Never => Err(e),
                    _ => {
                        let what = "it exists already";
                        Err(Error::new(ErrorKind::AlreadyExists, Op::Write, &self.object, what))
                    }
                },
            }
        }
        .boxed()
    }

    fn abort(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed() // a PutObject is all or nothing
    }
}

/// S1.11: an object in parts.
#[derive(Debug)]
struct Parts(Arc<Multipart>);

impl Upload for Parts {
    fn put(&self, chunk: ChunkSpec, payload: Payload) -> BoxFuture<'static, Result<Receipt>> {
        let upload = Arc::clone(&self.0);
        async move { wire::upload_part(&upload, chunk, &payload).await }.boxed()
    }

    fn commit<'a>(
        &'a self,
        receipts: &'a [Receipt],
        whole: &'a Sums,
    ) -> BoxFuture<'a, Result<Committed>> {
        let completed = |receipt: &Receipt| {
            let checksum = receipt.sums.get(Algorithm::Crc64Nvme);
            CompletedPart::builder()
                .part_number(part_number(receipt.chunk))
                .set_e_tag(receipt.etag.clone())
                .set_checksum_crc64_nvme(checksum.filter(|_| self.0.checksummed()).map(encode))
                .build()
        };
        let parts = receipts.iter().map(completed).collect();
        let checksum = whole.get(Algorithm::Crc64Nvme);
        self.0.complete(parts, Expected { size: whole.len(), checksum }).boxed()
    }

    fn leftover(&self) -> Option<String> {
        Some(self.0.id.clone())
    }

    fn abort(&self) -> BoxFuture<'_, Result<()>> {
        self.0.abort().boxed()
    }
}
