//! The three hot requests: GetObject, PutObject, UploadPart.
//!
//! Owns how bytes cross the wire, so that this alone would move if a benchmark asked for another
//! HTTP stack. Payload signing is off unless asked for: SHA-256 of every byte costs more than
//! everything else together. The checksum travels as a header, never as a trailer, which stores
//! other than AWS mishandle.

use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::operation::upload_part::UploadPartOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::StreamExt as _;
use haul_core::{
    Body, ByteRange, ChunkSpec, Error, ErrorKind, Op, Payload, Receipt, Result, Retry, Sums,
};

use crate::attributes::set_attributes;
use crate::body::body_of;
use crate::checksum::encode;
use crate::client::S3Client;
use crate::error::{Failure, failure};
use crate::{ObjectId, source::Pin};

/// GetObject of `range`, checked to be exactly that range of exactly that object.
pub(crate) async fn get_range(client: &S3Client, pin: &Pin, range: ByteRange) -> Result<Body> {
    let Pin { object, location, etag, size } = pin;
    // The whole object is asked for without a range: some stores answer 200 to "all of it".
    let partial = range.len() < *size;
    let answer = client
        .sdk()
        .get_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .set_version_id(object.version_id.clone())
        .set_if_match(etag.clone())
        .set_range(if partial { range.http_range() } else { None })
        .send()
        .await
        .map_err(|e| failure(Op::Read, location, e))?;
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

/// What a stored body turned out to be.
#[derive(Debug)]
pub(crate) struct Stored<T> {
    pub(crate) answer: T,
    pub(crate) sums: Sums,
    /// Whether the store was given a checksum to compare with.
    pub(crate) checked: bool,
}

/// PutObject: the whole object in one request, visible at once.
pub(crate) async fn put_object(
    client: &S3Client,
    object: &ObjectId,
    spec: &haul_core::UploadSpec,
    payload: &Payload,
) -> Result<Stored<PutObjectOutput>> {
    let sums = payload.sums_ahead().await?;
    let checksum = checksum_for(client, sums.as_ref());
    let (body, slot) = body_of(payload);
    let request = client
        .sdk()
        .put_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .content_length(payload.len().cast_signed())
        .set_if_none_match((!spec.overwrite).then(|| "*".to_owned()))
        .set_checksum_crc64_nvme(checksum.clone())
        .body(body);
    let request = set_attributes!(request, &spec.attributes);
    let sent = if client.sign_payload {
        request.body(signed_body(payload).await?).send().await
    } else {
        request.customize().disable_payload_signing().send().await
    };
    let answer = sent.map_err(|e| {
        let failed = failure(Op::Write, &object.to_string(), e);
        slot.take().unwrap_or_else(|| explain(client, checksum.is_some(), failed))
    })?;
    Ok(Stored { answer, sums: payload.sums_seen(), checked: checksum.is_some() })
}

/// UploadPart: one part of a multipart upload.
pub(crate) async fn upload_part(
    client: &S3Client,
    object: &ObjectId,
    upload: &MultipartId,
    chunk: ChunkSpec,
    payload: &Payload,
) -> Result<Receipt> {
    let sums = payload.sums_ahead().await?;
    let checksum = if upload.checksummed { checksum_for(client, sums.as_ref()) } else { None };
    let (body, slot) = body_of(payload);
    let request = client
        .sdk()
        .upload_part()
        .bucket(&object.bucket)
        .key(&object.key)
        .upload_id(&upload.id)
        .part_number(part_number(chunk))
        .content_length(payload.len().cast_signed())
        .set_checksum_crc64_nvme(checksum.clone())
        .body(body);
    let sent = if client.sign_payload {
        request.body(signed_body(payload).await?).send().await
    } else {
        request.customize().disable_payload_signing().send().await
    };
    let answer: UploadPartOutput = sent.map_err(|e| {
        let failed = failure(Op::Write, &object.to_string(), e);
        slot.take().unwrap_or_else(|| explain(client, checksum.is_some(), failed))
    })?;
    let Some(etag) = answer.e_tag else {
        let what = format!("part {} was answered without an ETag", part_number(chunk));
        return Err(
            Error::new(ErrorKind::Protocol, Op::Write, object, what).with_retry(Retry::Backoff)
        );
    };
    Ok(Receipt { chunk, sums: payload.sums_seen(), etag: Some(etag) })
}

/// A multipart upload under way.
#[derive(Debug, Clone)]
pub(crate) struct MultipartId {
    pub(crate) id: String,
    /// Whether it was created with a checksum algorithm.
    pub(crate) checksummed: bool,
}

/// S3 counts parts from 1.
pub(crate) fn part_number(chunk: ChunkSpec) -> i32 {
    i32::try_from(chunk.index + 1).unwrap_or(i32::MAX) // plans stop at 10,000 parts
}

fn checksum_for(client: &S3Client, sums: Option<&Sums>) -> Option<String> {
    sums?.get(client.checksums.algorithm()?).map(encode)
}

fn explain(client: &S3Client, checksummed: bool, failed: Failure) -> Error {
    if checksummed {
        client.checksums.learn(failed.error, failed.code.as_deref())
    } else {
        failed.error
    }
}

/// A body whose bytes take part in the signature, which the SDK computes only over memory.
async fn signed_body(payload: &Payload) -> Result<ByteStream> {
    let mut reader = payload.open();
    let mut all = Vec::with_capacity(usize::try_from(payload.len()).unwrap_or_default());
    while let Some(bytes) = reader.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(ByteStream::from(Bytes::from(all)))
}
