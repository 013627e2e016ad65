//! One multipart upload in the store.
//!
//! Owns its life: create, complete, abort, for parts that are sent and for parts that the store copies
//! alike. The upload becomes visible by completion alone; when the answer to that is lost, the store is
//! asked what happened. Orphaned parts cost money, so whoever creates an upload completes or aborts it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use haul_core::{Attributes, Checksum, Committed, Error, ErrorKind, Op, Result, Retry, Verified};
use md5::{Digest as _, Md5};
use tokio::time::Instant;

use crate::ObjectId;
use crate::attributes::set_attributes;
use crate::checksum::encode;
use crate::client::S3Client;
use crate::lost::{Doubt, discard_lost};
use crate::seen::head;
use crate::uploads::abort_upload;

/// Smallest part but the last (S3 API reference, "multipart upload limits").
pub(crate) const MIN_PART: u64 = 5 << 20;
/// Largest part, and largest object in a single PutObject.
pub(crate) const MAX_PART: u64 = 5 << 30;
/// Most parts of an upload.
pub(crate) const MAX_PARTS: u64 = 10_000;

/// A multipart upload under way.
#[derive(Debug)]
pub(crate) struct Multipart {
    pub(crate) client: S3Client,
    pub(crate) object: ObjectId,
    pub(crate) id: String,
    /// Whether it was created with a checksum algorithm and every part so far carried one.
    checksummed: AtomicBool,
    overwrite: bool,
    /// Whether a completion was tried: its answer may have been lost.
    tried: AtomicBool,
    /// How long its beginning was uncertain, where it was: another upload may have been begun.
    lost: Mutex<Option<Duration>>,
}

/// What an upload is created for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MultipartSpec<'a> {
    pub(crate) attributes: &'a Attributes,
    pub(crate) overwrite: bool,
    /// Whether parts will carry checksums.
    pub(crate) checksums: bool,
    /// What earlier tries came to.
    pub(crate) doubt: &'a Doubt,
}

/// What the completed object has to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) size: u64,
    /// The checksum of the whole, where it is known here.
    pub(crate) checksum: Option<Checksum>,
}

impl Multipart {
    /// CreateMultipartUpload, with a full-object checksum where the store takes one.
    pub(crate) async fn create(
        client: S3Client,
        object: ObjectId,
        spec: MultipartSpec<'_>,
    ) -> Result<Self> {
        let checksummed = spec.checksums && client.checksums.algorithm().is_some();
        let at = client.at(&object.bucket).await;
        let request = at
            .create_multipart_upload()
            .bucket(&object.bucket)
            .key(&object.key)
            .set_checksum_algorithm(checksummed.then_some(ChecksumAlgorithm::Crc64Nvme))
            .set_checksum_type(checksummed.then_some(ChecksumType::FullObject));
        let request = set_attributes!(request, spec.attributes);
        let began = Instant::now();
        let asking = async {
            let answer = client.asking(Op::Begin, &object, request.send()).await?.map_err(|e| {
                let failed = at.failure(Op::Begin, &object.to_string(), e);
                client.checksums.learn_if(checksummed, failed)
            })?;
            answer.upload_id().map(str::to_owned).ok_or_else(|| {
                Error::new(ErrorKind::Protocol, Op::Begin, &object, "the answer has no upload id")
                    .with_retry(Retry::Backoff)
            })
        };
        let id = asking.await.inspect_err(|e| spec.doubt.note(began, e))?;
        let lost = Mutex::new(spec.doubt.lasted());
        let (checksummed, tried) = (AtomicBool::new(checksummed), AtomicBool::new(false));
        Ok(Self { client, object, id, checksummed, overwrite: spec.overwrite, tried, lost })
    }

    /// Whether parts carry checksums.
    pub(crate) fn checksummed(&self) -> bool {
        self.checksummed.load(Ordering::Relaxed)
    }

    /// Says that a part went without its checksum, so that none is claimed for the whole.
    pub(crate) fn lost_checksum(&self) {
        self.checksummed.store(false, Ordering::Relaxed);
    }

    /// Makes the object visible and shows that it is the one that was meant. May be called again.
    pub(crate) async fn complete(
        &self,
        parts: Vec<CompletedPart>,
        expected: Expected,
    ) -> Result<Committed> {
        self.discard_lost().await;
        let again = self.tried.swap(true, Ordering::SeqCst);
        let etag = etag_of(&parts);
        let Incomplete { error, garbled } = match self.complete_once(parts, expected).await {
            Ok(done) => return Ok(done),
            Err(incomplete) => incomplete,
        };
        if garbled {
            let landed = self.landed(etag, expected).await?.ok_or(error)?;
            // What is there may be older: then the upload is, too.
            if let Err(e) = abort_upload(&self.client, &self.object, &self.id).await {
                tracing::warn!("{e}; an upload of {} may be left behind", self.object);
            }
            return Ok(landed);
        }
        // The upload is gone, or the object is there: perhaps by our own earlier call.
        if again && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) {
            return self.landed(etag, expected).await?.ok_or(error);
        }
        Err(error)
    }

    async fn complete_once(
        &self,
        parts: Vec<CompletedPart>,
        expected: Expected,
    ) -> Result<Committed, Incomplete> {
        let checksum = expected.checksum.filter(|_| self.checksummed()).map(encode);
        let at = self.client.at(&self.object.bucket).await;
        let request = at
            .complete_multipart_upload()
            .bucket(&self.object.bucket)
            .key(&self.object.key)
            .upload_id(&self.id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .set_checksum_crc64_nvme(checksum.clone())
            .set_checksum_type(checksum.as_ref().map(|_| ChecksumType::FullObject))
            .set_if_none_match((!self.overwrite).then(|| "*".to_owned()));
        let sent = self.client.sending(request.send()).await;
        let yes = sent.as_ref().err().and_then(|e| e.raw_response()).is_some_and(is_success);
        let answer = sent.map_err(|e| {
            let error = Error::from(at.failure(Op::Commit, &self.object.to_string(), e));
            Incomplete { garbled: yes && error.kind() == ErrorKind::Protocol, error }
        })?;
        let etag = said_etag(answer.e_tag(), Op::Commit, &self.object)?;
        let echoed = checksum.is_some() && answer.checksum_crc64_nvme() == checksum.as_deref();
        let verified = match expected.checksum {
            Some(checksum) if echoed => Verified::Checksum(checksum.algorithm),
            _ => verify(&self.client, &self.object, Some(&etag), expected).await?,
        };
        Ok(Committed {
            etag: Some(etag),
            version_id: answer.version_id().map(str::to_owned),
            verified: Some(verified),
        })
    }

    /// After a lost answer: whether the object at the destination is the one that was completed.
    async fn landed(&self, etag: Option<String>, expected: Expected) -> Result<Option<Committed>> {
        let head = match head(&self.client, &self.object, Op::Commit).await {
            Ok(head) => head,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        if head.size(&self.object, Op::Commit)? != expected.size {
            return Ok(None);
        }
        let (stored, ours) = (head.checksum, expected.checksum);
        let verified = match (stored, ours) {
            (Some(stored), Some(ours)) if stored.algorithm == ours.algorithm => {
                (stored == ours).then_some(Verified::Checksum(ours.algorithm))
            }
            // Without a checksum, the ETag is what tells; where it is not made of MD5s, nothing does.
            _ => {
                let stored = head.bare_etag();
                (etag.is_some() && stored == etag).then_some(Verified::Size)
            }
        };
        Ok(verified.map(|verified| Committed {
            etag: head.etag,
            version_id: head.version_id,
            verified: Some(verified),
        }))
    }

    /// AbortMultipartUpload; an upload that is gone already is fine.
    pub(crate) async fn abort(&self) -> Result<()> {
        self.discard_lost().await;
        abort_upload(&self.client, &self.object, &self.id).await
    }

    /// Discards an upload whose beginning was not answered, before this one is gone, by whose time it is
    /// found. Once: a failure to do so is a warning.
    async fn discard_lost(&self) {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(within) = lost else { return };
        if let Err(e) = discard_lost(&self.client, &self.object, &self.id, within).await {
            tracing::warn!("{e}; another upload of {} may be left behind", self.object);
        }
    }
}

/// A completion that was not confirmed.
struct Incomplete {
    error: Error,
    /// It was answered with a yes that makes no sense, and may be as often as it is asked for: moto 5.2
    /// has no other.
    garbled: bool,
}

impl From<Error> for Incomplete {
    fn from(error: Error) -> Self {
        Self { error, garbled: false }
    }
}

fn is_success(answer: &HttpResponse) -> bool {
    answer.status().is_success()
}

/// The ETag of an object made of `parts`, where parts have MD5s for ETags. Stores that encrypt have
/// other ETags, and then there is none to expect.
fn etag_of(parts: &[CompletedPart]) -> Option<String> {
    let md5s: Option<Vec<_>> = parts.iter().map(|part| md5_in(part.e_tag()?)).collect();
    Some(multipart_etag(&md5s?))
}

/// The MD5 that an ETag is, if it is one.
fn md5_in(etag: &str) -> Option<[u8; 16]> {
    let hex = etag.trim_matches('"');
    let digits = hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(hex, 16).ok().map(u128::to_be_bytes)).flatten()
}

/// The ETag, without quotes, of an object whose parts have these MD5s: the MD5 of them all and their
/// number.
///
/// ```
/// let md5s = [[0; 16], [0xff; 16]];
/// assert!(haul_s3::multipart_etag(&md5s).ends_with("-2"));
/// ```
pub fn multipart_etag(part_md5s: &[[u8; 16]]) -> String {
    let mut whole = Md5::new();
    for md5 in part_md5s {
        whole.update(md5);
    }
    let whole = u128::from_be_bytes(whole.finalize().into());
    format!("{whole:032x}-{}", part_md5s.len())
}

/// The ETag that an answer says yes with. The SDK reads an answer without a body, or with half of one, as
/// a yes without an ETag: such an answer says nothing of what was done.
pub(crate) fn said_etag(etag: Option<&str>, op: Op, object: &ObjectId) -> Result<String> {
    etag.filter(|etag| !etag.is_empty()).map(str::to_owned).ok_or_else(|| {
        Error::new(ErrorKind::Protocol, op, object, "it was answered without an ETag")
            .with_retry(Retry::Backoff)
    })
}

/// Looks at what is stored and compares it: by checksum where the store keeps one, else by size and by
/// the ETag that the store `said` when it stored it, where it did.
/// For stores that do not say in their answer what they checked.
pub(crate) async fn verify(
    client: &S3Client,
    object: &ObjectId,
    said: Option<&str>,
    expected: Expected,
) -> Result<Verified> {
    let head = head(client, object, Op::Verify).await?;
    let wrong = |what: String| Err(Error::new(ErrorKind::Verification, Op::Verify, object, what));
    let stored = head.size(object, Op::Verify)?;
    if stored != expected.size {
        return wrong(format!("{stored} bytes are stored instead of {}", expected.size));
    }
    match (head.checksum, expected.checksum) {
        (Some(stored), Some(ours)) if stored.algorithm == ours.algorithm => {
            if stored == ours {
                return Ok(Verified::Checksum(ours.algorithm));
            }
            wrong(format!("the store keeps another {} than that of the source", ours.algorithm))
        }
        _ => match (said, head.etag.as_deref()) {
            (Some(said), Some(stored)) if bare(said) != bare(stored) => {
                wrong("what is stored there has another ETag than what was put there".to_owned())
            }
            _ => Ok(Verified::Size),
        },
    }
}

/// An ETag without its quotes, and without the mark of a proxy that packs what it passes on.
fn bare(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"')
}

/// For what must not be replaced: whether something is there already, asked before bytes move. Not all stores honour
/// `If-None-Match` on writes; those that do close the gap that is left.
pub(crate) async fn refuse_existing(client: &S3Client, object: &ObjectId) -> Result<()> {
    match head(client, object, Op::Begin).await {
        Ok(_) => Err(Error::new(ErrorKind::AlreadyExists, Op::Begin, object, "it exists already")),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_of_parts_make_that_of_the_whole() {
        let part = |etag: &str| CompletedPart::builder().e_tag(etag).build();
        // md5("a"), md5("b"); md5 of the two digests as computed by md5sum.
        let a = part("\"0cc175b9c0f1b6a831c399e269772661\"");
        let b = part("92eb5ffee6ae2fec3ad71c777531578f");
        assert_eq!(etag_of(&[a.clone(), b]).unwrap(), "96e024ba2074fe77e8e965ba43a704be-2");
        assert_eq!(etag_of(&[a, part("opaque")]), None);
        assert_eq!(etag_of(&[part(&"zz".repeat(16))]), None);
    }
}
