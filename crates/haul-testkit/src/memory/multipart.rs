//! CreateMultipartUpload, UploadPart, AbortMultipartUpload.
//!
//! Owns: which checksum an upload and its parts may carry. Must never make an object visible: that
//! is [`super::complete`]'s one job.

use std::collections::BTreeMap;

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::checksums::{read_checksums, write_checksums};
use super::intake::{Claims, check_support, take};
use super::objects::{hex, parse_tags, read_attributes};
use super::state::{StoredPart, Upload, now};
use super::{Algorithm, MemoryS3};

impl MemoryS3 {
    pub(super) fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        check_support(self.rules(), &req.headers)?;
        let input = req.input;
        let (algorithm, composite) =
            checksum_plan(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
        let upload = Upload {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            started: now(),
            attributes: read_attributes!(input),
            tags: parse_tags(input.tagging.as_deref())?,
            algorithm,
            composite,
            parts: BTreeMap::new(),
        };
        let mut state = self.lock();
        state.bucket(&input.bucket)?;
        let id = state.next_id("upload");
        state.uploads.insert(id.clone(), upload);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: algorithm.map(|a| ChecksumAlgorithm::from_static(a.name())),
            checksum_type: algorithm.map(|_| kind(composite)),
            server_side_encryption: input.server_side_encryption,
            ssekms_key_id: input.ssekms_key_id,
            sse_customer_algorithm: input.sse_customer_algorithm,
            sse_customer_key_md5: input.sse_customer_key_md5,
            ..CreateMultipartUploadOutput::default()
        }))
    }

    pub(super) async fn upload_part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        check_support(self.rules(), &req.headers)?;
        let input = req.input;
        let number = self.check_part_number(input.part_number)?;
        self.check_size(input.content_length)?;
        let claims = Claims::new(&req.headers, req.trailing_headers, read_checksums!(input))?;
        let (chosen, composite, key_md5) = {
            let state = self.lock();
            let upload = state.upload(&input.bucket, &input.key, &input.upload_id)?;
            (upload.algorithm, upload.composite, upload.attributes.customer_key_md5.clone())
        };
        if key_md5 != input.sse_customer_key_md5 {
            return Err(s3_error!(
                InvalidRequest,
                "The multipart upload initiate requested encryption. Subsequent part requests must \
                 include the appropriate encryption parameters."
            ));
        }
        let sent = claims.algorithm();
        check_part_algorithm(chosen, composite, sent)?;
        let keep = self.algorithms(chosen);
        let taken = take(input.body, claims, &keep, self.rules.sink).await?;
        let part = StoredPart {
            etag: hex(&taken.md5),
            md5: taken.md5,
            content: taken.content,
            checksums: taken.checksums,
            modified: now(),
        };
        let mut out = UploadPartOutput {
            e_tag: Some(ETag::Strong(part.etag.clone())),
            sse_customer_algorithm: input.sse_customer_algorithm,
            sse_customer_key_md5: input.sse_customer_key_md5,
            ..UploadPartOutput::default()
        };
        if chosen.is_some() {
            write_checksums!(out, &part.checksums);
        }
        self.store_part(&input.upload_id, number, part)?;
        Ok(S3Response::new(out))
    }

    pub(super) fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = req.input;
        let mut state = self.lock();
        state.upload(&input.bucket, &input.key, &input.upload_id)?;
        state.uploads.remove(&input.upload_id);
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    pub(super) fn check_part_number(&self, number: i32) -> S3Result<u32> {
        let max = self.rules.max_parts;
        u32::try_from(number).ok().filter(|n| (1..=max).contains(n)).ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and {max}, inclusive"
            )
        })
    }

    /// Keeps a part; a part of the same number is replaced, as S3 does.
    pub(super) fn store_part(&self, id: &str, number: u32, part: StoredPart) -> S3Result<()> {
        let mut state = self.lock();
        let upload = state.uploads.get_mut(id).ok_or_else(|| {
            s3_error!(NoSuchUpload, "The upload was completed or aborted meanwhile.")
        })?;
        upload.parts.insert(number, part);
        Ok(())
    }
}

/// The algorithm of an upload, and whether its checksum is one of checksums. Defaults and
/// combinations: S3 user guide, "Checking object integrity", table "checksum types".
fn checksum_plan(
    algorithm: Option<&ChecksumAlgorithm>,
    kind: Option<&ChecksumType>,
) -> S3Result<(Option<Algorithm>, bool)> {
    let Some(algorithm) = algorithm else {
        return match kind {
            None => Ok((None, false)),
            Some(_) => Err(s3_error!(
                InvalidRequest,
                "The x-amz-checksum-type header can only be used with the \
                 x-amz-checksum-algorithm header."
            )),
        };
    };
    let algorithm = Algorithm::parse(algorithm.as_str())
        .ok_or_else(|| s3_error!(InvalidRequest, "Checksum algorithm provided is unsupported."))?;
    let composite = match kind.map(ChecksumType::as_str) {
        None => algorithm != Algorithm::Crc64Nvme,
        Some(ChecksumType::COMPOSITE) => true,
        Some(ChecksumType::FULL_OBJECT) => false,
        Some(_) => {
            return Err(s3_error!(
                InvalidRequest,
                "Value for x-amz-checksum-type header is invalid."
            ));
        }
    };
    let possible =
        if composite { algorithm != Algorithm::Crc64Nvme } else { algorithm.crc().is_some() };
    if !possible {
        return Err(s3_error!(
            InvalidRequest,
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind_name(composite),
            algorithm.name().to_ascii_lowercase()
        ));
    }
    Ok((Some(algorithm), composite))
}

/// A part must carry what its upload was created for; a full-object upload does without.
fn check_part_algorithm(
    chosen: Option<Algorithm>,
    composite: bool,
    sent: Option<Algorithm>,
) -> S3Result<()> {
    if sent == chosen || (sent.is_none() && !composite) {
        return Ok(());
    }
    let name = |a: Option<Algorithm>| {
        a.map_or_else(|| "null".to_owned(), |a| a.name().to_ascii_lowercase())
    };
    Err(s3_error!(
        InvalidRequest,
        "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
        name(chosen),
        name(sent)
    ))
}

pub(super) fn kind(composite: bool) -> ChecksumType {
    ChecksumType::from_static(kind_name(composite))
}

fn kind_name(composite: bool) -> &'static str {
    if composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT }
}
