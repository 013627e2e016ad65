//! The three hot requests: GetObject, PutObject, UploadPart.
//!
//! Owns how bytes cross the wire, and what their answers have to be. They are made by [`direct`], or by
//! the SDK what is unusual: both ways give the same. Payload signing is off unless asked for: SHA-256
//! of every byte costs more than everything else together. The checksum travels as a header, never as
//! a trailer, which stores other than AWS mishandle.
//!
//! [`direct`]: crate::direct

use std::future::Future;

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures::StreamExt as _;
use haul_core::{
    Algorithm, Body, ByteRange, ChunkSpec, Committed, Error, ErrorKind, GatePermit, Op, Payload,
    Receipt, Result, Retry, Sums, UploadSpec, Verified,
};
use haul_net::{FailureSlot, PayloadBody};

use crate::ObjectId;
use crate::body::stream_of;
use crate::checksum::encode;
use crate::client::{At, S3Client};
use crate::error::Failure;
use crate::multipart::Multipart;
use crate::seen::Seen;
use crate::source::{Listed, Pin};
use crate::usual::{sdk_get, sdk_put};

/// What is asked of GetObject.
pub(crate) struct Get<'a> {
    pub(crate) key: &'a str,
    pub(crate) version: Option<&'a str>,
    /// What it has to be still.
    pub(crate) etag: Option<&'a str>,
    pub(crate) range: Option<String>,
    /// Whether to tell the checksum of the whole.
    pub(crate) checksum: bool,
}

/// Its answer.
pub(crate) struct Got {
    pub(crate) seen: Seen,
    pub(crate) content_range: Option<String>,
    pub(crate) body: Body,
}

/// What is put.
pub(crate) struct Put<'a> {
    pub(crate) key: &'a str,
    pub(crate) what: What<'a>,
    pub(crate) length: u64,
    /// CRC64NVME, as S3 writes it.
    pub(crate) checksum: Option<String>,
}

/// By which request.
pub(crate) enum What<'a> {
    /// PutObject.
    Object(&'a UploadSpec),
    /// UploadPart.
    Part {
        /// Of which upload.
        upload: &'a str,
        /// Counted from 1.
        number: i32,
    },
}

/// What the store says about it.
pub(crate) struct Stored {
    pub(crate) etag: Option<String>,
    pub(crate) version_id: Option<String>,
    pub(crate) checksum: Option<String>,
}

impl Stored {
    /// Whether the store has what was sent, as far as it says: other bytes are put again, and nothing is
    /// made of them.
    fn agrees(&self, sent: &Put<'_>, object: &ObjectId) -> Result<()> {
        match (&sent.checksum, &self.checksum) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                let what = "the store's checksum of what it got is not that of what was sent";
                Err(Error::new(ErrorKind::Verification, Op::Write, object, what)
                    .with_retry(Retry::Backoff))
            }
            _ => Ok(()),
        }
    }
}

async fn get(at: &At<'_>, op: Op, location: &str, get: &Get<'_>) -> Result<Got, Failure> {
    let prepared = match at.direct().await {
        Some(direct) => direct.get(get).await.map_err(|e| at.no_credentials(op, location, e))?,
        None => None,
    };
    let Some(request) = prepared else { return sdk_get(at, op, location, get).await };
    let answer = at.sent(op, location, request.map(|()| SdkBody::empty())).await?;
    let (head, body) = answer.into_parts();
    let content_range = head.headers.get(http::header::CONTENT_RANGE);
    let content_range = content_range.and_then(|v| v.to_str().ok()).map(str::to_owned);
    let body = stream_of(body, location.to_owned());
    Ok(Got { seen: Seen::of(&head.headers), content_range, body })
}

/// GetObject of `range`, checked to be exactly that range of exactly that object.
pub(crate) async fn get_range(client: &S3Client, pin: &Pin, range: ByteRange) -> Result<Body> {
    let Pin { object, location, etag, size, .. } = pin;
    // The whole object is asked for without a range: some stores answer 200 to "all of it".
    let partial = range.len() < *size;
    let at = client.at(&object.bucket).await;
    let asked = |version| Get {
        key: &object.key,
        version,
        etag: etag.as_deref(),
        range: if partial { range.http_range() } else { None },
        checksum: false,
    };
    let version = pin.version();
    let got = match get(&at, Op::Read, location, &asked(version)).await {
        Err(refused)
            if refused.error.kind() == ErrorKind::AccessDenied
                && pin.leave_out_version(version) =>
        {
            get(&at, Op::Read, location, &asked(None)).await
        }
        got => got,
    };
    let Got { seen, content_range, body } = got?;
    seen.prove_version(object, Op::Read)?;
    let wrong = |what: String| {
        Err(Error::new(ErrorKind::Protocol, Op::Read, location, what).with_retry(Retry::Backoff))
    };
    match content_range {
        Some(got) if partial && range.matches_content_range(&got, *size) => {}
        None if !partial => {}
        Some(got) => return wrong(format!("asked for bytes {range}, and the answer is {got:?}")),
        None => return wrong(format!("asked for bytes {range}, and the answer is no range")),
    }
    if !pin.is_that_of(&seen) {
        let what = "it was replaced while it was being read";
        return Err(Error::new(ErrorKind::SourceChanged, Op::Read, location, what));
    }
    match seen.length.map(u64::try_from) {
        Some(Ok(length)) if length == range.len() => Ok(body),
        length => {
            let got = length.and_then(Result::ok).map_or("no length".to_owned(), |l| l.to_string());
            wrong(format!("asked for {} bytes, and the answer has {got}", range.len()))
        }
    }
}

/// GetObject of an object whose size and ETag a listing told; `None` when what is there now is
/// another one. The request has its permit of the gate until the body was read or dropped.
pub(crate) async fn get_listed(
    client: &S3Client,
    object: &ObjectId,
    listed: &Listed,
) -> Result<Option<(Seen, Body)>> {
    let at = client.at(&object.bucket).await;
    let location = object.to_string();
    let asked = Get {
        key: &object.key,
        version: object.version_id.as_deref(),
        etag: listed.etag.as_deref(),
        range: None,
        checksum: client.checksums.algorithm().is_some(),
    };
    let getting = async {
        let got = client.in_time(Op::Open, object, get(&at, Op::Open, &location, &asked)).await?;
        got.map_err(|failed| client.checksums.learn_if(asked.checksum, failed))
    };
    let (got, permit) = client.gate.pass_keeping(getting).await?;
    let Got { seen, content_range, body } = got;
    seen.prove_version(object, Op::Open)?;
    let size = seen.length.and_then(|l| u64::try_from(l).ok());
    let same = size == Some(listed.size)
        && content_range.is_none()
        && (seen.etag.is_none() || listed.etag.is_none() || seen.etag == listed.etag);
    Ok(same.then(|| (seen, holding(body, permit))))
}

/// A body that keeps the permit of its request.
fn holding(body: Body, permit: GatePermit) -> Body {
    futures::stream::unfold((body, permit), |(mut body, permit)| async move {
        Some((body.next().await?, (body, permit)))
    })
    .boxed()
}

/// Sends a payload, once.
async fn put(
    client: &S3Client,
    object: &ObjectId,
    put: &Put<'_>,
    payload: &Payload,
) -> Result<Stored> {
    let at = client.at(&object.bucket).await;
    let location = object.to_string();
    let signed = if client.sign_payload { Some(all_of(payload).await?) } else { None };
    let prepared = match at.direct().await {
        Some(direct) => direct
            .put(put, signed.as_deref())
            .await
            .map_err(|e| Error::from(at.no_credentials(Op::Write, &location, e)))?,
        None => None,
    };
    let (body, slot) = if let Some(bytes) = signed {
        (SdkBody::from(bytes), FailureSlot::default())
    } else {
        let (body, slot) = PayloadBody::of(payload);
        (SdkBody::from_body_1_x(body), slot)
    };
    let sent = match prepared {
        Some(request) => stored(at.sent(Op::Write, &location, request.map(|()| body))).await,
        None => sdk_put(&at, &location, put, body).await,
    };
    sent.map_err(|failed| {
        let learn = |failed| client.checksums.learn_if(put.checksum.is_some(), failed);
        slot.take().unwrap_or_else(|| learn(failed))
    })
}

async fn stored(
    answer: impl Future<Output = Result<http::Response<haul_net::Incoming>, Failure>>,
) -> Result<Stored, Failure> {
    let (head, body) = answer.await?.into_parts();
    haul_net::drain(body).await; // empty, mostly: the connection is for the next request
    let text = |name: &str| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
    Ok(Stored {
        etag: text("etag"),
        version_id: text("x-amz-version-id"),
        checksum: text("x-amz-checksum-crc64nvme"),
    })
}

/// PutObject: the whole object in one request, visible at once. `verified` is set when the store
/// repeated our checksum, which it does once it has compared it.
pub(crate) async fn put_object(
    client: &S3Client,
    object: &ObjectId,
    spec: &UploadSpec,
    payload: &Payload,
) -> Result<(Committed, Sums)> {
    let checksum = checksum_of(client, payload);
    let what = What::Object(spec);
    let asked = Put { key: &object.key, what, length: payload.len(), checksum };
    let stored = put(client, object, &asked, payload).await?;
    let Some(etag) = stored.etag.clone() else {
        let what = "the answer has no ETag: was that the store?";
        return Err(
            Error::new(ErrorKind::Protocol, Op::Write, object, what).with_retry(Retry::Backoff)
        );
    };
    stored.agrees(&asked, object)?;
    let checked = asked.checksum.is_some() && stored.checksum == asked.checksum;
    let committed = Committed {
        etag: Some(etag),
        version_id: stored.version_id,
        verified: checked.then_some(Verified::Checksum(Algorithm::Crc64Nvme)),
    };
    Ok((committed, payload.sums_seen()))
}

/// UploadPart: one part of a multipart upload.
pub(crate) async fn upload_part(
    upload: &Multipart,
    chunk: ChunkSpec,
    payload: &Payload,
) -> Result<Receipt> {
    let Multipart { client, object, id, .. } = upload;
    let checksum = checksum_of(client, payload).filter(|_| upload.checksummed());
    if checksum.is_none() {
        upload.lost_checksum();
    }
    let what = What::Part { upload: id, number: part_number(chunk) };
    let asked = Put { key: &object.key, what, length: payload.len(), checksum };
    let stored = put(client, object, &asked, payload).await?;
    let Some(etag) = stored.etag.clone() else {
        let what = format!("part {} was answered without an ETag", part_number(chunk));
        return Err(
            Error::new(ErrorKind::Protocol, Op::Write, object, what).with_retry(Retry::Backoff)
        );
    };
    stored.agrees(&asked, object)?;
    Ok(Receipt { chunk, sums: payload.sums_seen(), etag: Some(etag) })
}

/// S3 counts parts from 1.
pub(crate) fn part_number(chunk: ChunkSpec) -> i32 {
    i32::try_from(chunk.index + 1).unwrap_or(i32::MAX) // plans stop at 10,000 parts
}

/// The header that goes ahead of the body, where the store takes one and the sums are known.
fn checksum_of(client: &S3Client, payload: &Payload) -> Option<String> {
    payload.sums_ahead()?.get(client.checksums.algorithm()?).map(encode)
}

/// All bytes of a payload, in memory, because they take part in the signature.
async fn all_of(payload: &Payload) -> Result<Bytes> {
    let mut reader = payload.open();
    let mut all = Vec::with_capacity(usize::try_from(payload.len()).unwrap_or_default());
    while let Some(bytes) = reader.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all.into())
}
