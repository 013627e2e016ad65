//! The three hot requests: GetObject, PutObject, UploadPart.
//!
//! Owns how bytes cross the wire, so that this alone would move if a benchmark asked for another
//! HTTP stack. Payload signing is off unless asked for: SHA-256 of every byte costs more than
//! everything else together. The checksum travels as a header, never as a trailer, which stores
//! other than AWS mishandle.

use aws_sdk_s3::config::http::HttpRequest;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::StreamExt as _;
use haul_core::{
    Algorithm, Body, ByteRange, ChunkSpec, Committed, Error, ErrorKind, Op, Payload, Receipt,
    Result, Retry, Sums, Verified,
};

use crate::ObjectId;
use crate::attributes::set_attributes;
use crate::body::{FailureSlot, body_of};
use crate::checksum::encode;
use crate::client::S3Client;
use crate::multipart::Multipart;
use crate::seen::{Seen, seen};
use crate::source::{Listed, Pin};

/// GetObject of `range`, checked to be exactly that range of exactly that object.
pub(crate) async fn get_range(client: &S3Client, pin: &Pin, range: ByteRange) -> Result<Body> {
    let Pin { object, location, etag, size } = pin;
    // The whole object is asked for without a range: some stores answer 200 to "all of it".
    let partial = range.len() < *size;
    let at = client.at(&object.bucket).await;
    let answer = at
        .get_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .set_version_id(object.version_id.clone())
        .set_if_match(etag.clone())
        .set_range(if partial { range.http_range() } else { None })
        .send()
        .await
        .map_err(|e| at.failure(Op::Read, location, e))?;
    let wrong = |what: String| {
        Err(Error::new(ErrorKind::Protocol, Op::Read, location, what).with_retry(Retry::Backoff))
    };
    match answer.content_range() {
        Some(got) if partial && range.matches_content_range(got, *size) => {}
        None if !partial => {}
        Some(got) => return wrong(format!("asked for bytes {range}, and the answer is {got:?}")),
        None => return wrong(format!("asked for bytes {range}, and the answer is no range")),
    }
    if let (Some(pinned), Some(got)) = (etag, answer.e_tag())
        && pinned != got
    {
        let what = "it was replaced while it was being read";
        return Err(Error::new(ErrorKind::SourceChanged, Op::Read, location, what));
    }
    match answer.content_length().map(u64::try_from) {
        Some(Ok(length)) if length == range.len() => {}
        length => {
            let got = length.and_then(Result::ok).map_or("no length".to_owned(), |l| l.to_string());
            return wrong(format!("asked for {} bytes, and the answer has {got}", range.len()));
        }
    }
    Ok(stream_of(answer.body, location.clone()))
}

/// GetObject of an object whose size and ETag a listing told; `None` when what is there now is
/// another one.
pub(crate) async fn get_listed(
    client: &S3Client,
    object: &ObjectId,
    listed: &Listed,
) -> Result<Option<(Seen, Body)>> {
    let at = client.at(&object.bucket).await;
    let location = object.to_string();
    let asked = client.checksums.algorithm().is_some();
    let request = at
        .get_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .set_version_id(object.version_id.clone())
        .set_if_match(listed.etag.clone())
        .customize()
        .mutate_request(move |request| {
            if asked {
                ask_checksum(request);
            }
        });
    let sent = client.asking(Op::Open, object, request.send()).await?;
    let mut answer =
        sent.map_err(|e| client.checksums.learn_if(asked, at.failure(Op::Open, &location, e)))?;
    let size = answer.content_length.and_then(|l| u64::try_from(l).ok());
    let same = size == Some(listed.size)
        && answer.content_range.is_none()
        && (answer.e_tag.is_none() || listed.etag.is_none() || answer.e_tag == listed.etag);
    if !same {
        return Ok(None);
    }
    let body = std::mem::take(&mut answer.body);
    Ok(Some((seen!(answer), stream_of(body, location))))
}

/// Asks for the checksum of the whole. Not by the SDK's own setting, which would also hash the body:
/// the engine does that.
fn ask_checksum(request: &mut HttpRequest) {
    request.headers_mut().insert("x-amz-checksum-mode", "ENABLED");
}

fn stream_of(body: ByteStream, location: String) -> Body {
    futures::stream::unfold((body, location), |(mut body, location)| async move {
        let item = body.next().await?.map_err(|e| {
            let what = "the connection broke in the middle of the answer";
            Error::new(ErrorKind::Protocol, Op::Read, &location, what)
                .with_retry(Retry::Backoff)
                .with_source(e)
        });
        Some((item, (body, location)))
    })
    .boxed()
}

/// PutObject: the whole object in one request, visible at once. `verified` is set when the store
/// repeated our checksum, which it does once it has compared it.
pub(crate) async fn put_object(
    client: &S3Client,
    object: &ObjectId,
    spec: &haul_core::UploadSpec,
    payload: &Payload,
) -> Result<(Committed, Sums)> {
    let checksum = checksum_of(client, payload);
    let (body, slot) = request_body(client, payload).await?;
    let at = client.at(&object.bucket).await;
    let request = at
        .put_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .content_length(payload.len().cast_signed())
        .set_if_none_match((!spec.overwrite).then(|| "*".to_owned()))
        .set_checksum_crc64_nvme(checksum.clone())
        .body(body);
    let request = set_attributes!(request, &spec.attributes).customize();
    let request = if client.sign_payload { request } else { request.disable_payload_signing() };
    let answer = request.send().await.map_err(|e| {
        let failed = at.failure(Op::Write, &object.to_string(), e);
        slot.take().unwrap_or_else(|| client.checksums.learn_if(checksum.is_some(), failed))
    })?;
    let Some(etag) = answer.e_tag else {
        let what = "the answer has no ETag: was that the store?";
        return Err(
            Error::new(ErrorKind::Protocol, Op::Write, object, what).with_retry(Retry::Backoff)
        );
    };
    let checked = checksum.is_some() && answer.checksum_crc64_nvme == checksum;
    let committed = Committed {
        etag: Some(etag),
        version_id: answer.version_id,
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
    let (body, slot) = request_body(client, payload).await?;
    let at = client.at(&object.bucket).await;
    let request = at
        .upload_part()
        .bucket(&object.bucket)
        .key(&object.key)
        .upload_id(id)
        .part_number(part_number(chunk))
        .content_length(payload.len().cast_signed())
        .set_checksum_crc64_nvme(checksum.clone())
        .body(body)
        .customize();
    let request = if client.sign_payload { request } else { request.disable_payload_signing() };
    let answer = request.send().await.map_err(|e| {
        let failed = at.failure(Op::Write, &object.to_string(), e);
        slot.take().unwrap_or_else(|| client.checksums.learn_if(checksum.is_some(), failed))
    })?;
    let Some(etag) = answer.e_tag else {
        let what = format!("part {} was answered without an ETag", part_number(chunk));
        return Err(
            Error::new(ErrorKind::Protocol, Op::Write, object, what).with_retry(Retry::Backoff)
        );
    };
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

/// The body: streamed, or in memory where its bytes take part in the signature, because the SDK
/// signs nothing else.
async fn request_body(client: &S3Client, payload: &Payload) -> Result<(ByteStream, FailureSlot)> {
    if !client.sign_payload {
        return Ok(body_of(payload));
    }
    let mut reader = payload.open();
    let mut all = Vec::with_capacity(usize::try_from(payload.len()).unwrap_or_default());
    while let Some(bytes) = reader.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok((ByteStream::from(Bytes::from(all)), FailureSlot::default()))
}
