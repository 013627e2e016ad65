//! The hot requests as the SDK makes them.
//!
//! Owns the way for what [`direct`](crate::direct) does not know. Must ask for the same and understand
//! the same.

use aws_sdk_s3::config::http::HttpRequest;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::body::SdkBody;
use futures::StreamExt as _;
use haul_core::Op;

use crate::attributes::set_attributes;
use crate::body::broken;
use crate::client::At;
use crate::error::Failure;
use crate::seen::seen;
use crate::wire::{Get, Got, Put, Stored, What};

/// GetObject.
pub(crate) async fn sdk_get(
    at: &At<'_>,
    op: Op,
    location: &str,
    get: &Get<'_>,
) -> Result<Got, Failure> {
    let asked = get.checksum;
    let request = at
        .get_object()
        .bucket(at.bucket)
        .key(get.key)
        .set_version_id(get.version.map(str::to_owned))
        .set_if_match(get.etag.map(str::to_owned))
        .set_range(get.range.clone())
        .customize()
        .mutate_request(move |request| {
            if asked {
                ask_checksum(request);
            }
        });
    // Boxed: the SDK's futures are large.
    let sent = Box::pin(request.send()).await;
    let mut answer = sent.map_err(|e| at.failure(op, location, e))?;
    let content_range = answer.content_range.take();
    let (body, location) = (std::mem::take(&mut answer.body), location.to_owned());
    let body = futures::stream::unfold((body, location), |(mut body, location)| async move {
        let item = body.next().await?.map_err(|e| broken(&location, e));
        Some((item, (body, location)))
    });
    Ok(Got { content_range, body: body.boxed(), seen: seen!(answer) })
}

/// Asks for the checksum of the whole. Not by the SDK's own setting, which would also hash the body:
/// the engine does that.
fn ask_checksum(request: &mut HttpRequest) {
    request.headers_mut().insert("x-amz-checksum-mode", "ENABLED");
}

/// PutObject or UploadPart.
pub(crate) async fn sdk_put(
    at: &At<'_>,
    location: &str,
    put: &Put<'_>,
    body: SdkBody,
) -> Result<Stored, Failure> {
    let (length, checksum) = (put.length.cast_signed(), put.checksum.clone());
    let body = ByteStream::new(body);
    let signs = at.signs_payload();
    match put.what {
        What::Object(spec) => {
            let request = at
                .put_object()
                .bucket(at.bucket)
                .key(put.key)
                .content_length(length)
                .set_if_none_match((!spec.overwrite).then(|| "*".to_owned()))
                .set_checksum_crc64_nvme(checksum)
                .body(body);
            let request = set_attributes!(request, &spec.attributes).customize();
            let request = if signs { request } else { request.disable_payload_signing() };
            let sent = Box::pin(request.send()).await;
            let answer = sent.map_err(|e| at.failure(Op::Write, location, e))?;
            let (etag, version_id) = (answer.e_tag, answer.version_id);
            Ok(Stored { etag, version_id, checksum: answer.checksum_crc64_nvme })
        }
        What::Part { upload, number } => {
            let request = at
                .upload_part()
                .bucket(at.bucket)
                .key(put.key)
                .upload_id(upload)
                .part_number(number)
                .content_length(length)
                .set_checksum_crc64_nvme(checksum)
                .body(body)
                .customize();
            let request = if signs { request } else { request.disable_payload_signing() };
            let sent = Box::pin(request.send()).await;
            let answer = sent.map_err(|e| at.failure(Op::Write, location, e))?;
            let checksum = answer.checksum_crc64_nvme;
            Ok(Stored { etag: answer.e_tag, version_id: None, checksum })
        }
    }
}
