//! ListParts and ListMultipartUploads.
//!
//! Owns: how uploads in progress are paged. Must never change them.

use s3s::dto::{
    ChecksumAlgorithm, CommonPrefix, ETag, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListPartsInput, ListPartsOutput, MultipartUpload, Part, StorageClass, Timestamp,
};
use s3s::{S3Request, S3Response, S3Result};

use super::MemoryS3;
use super::checksums::write_checksums;
use super::listing::{Encoding, common_prefix, page_size};
use super::multipart::kind;
use super::state::{State, Upload};

impl MemoryS3 {
    pub(super) fn list_parts(
        &self,
        req: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let input = req.input;
        let max = page_size(self.rules(), input.max_parts)?;
        let after = u32::try_from(input.part_number_marker.unwrap_or_default()).unwrap_or_default();
        let state = self.lock();
        let upload = state.upload(&input.bucket, &input.key, &input.upload_id)?;
        let mut rest = upload.parts.range(after.saturating_add(1)..);
        let parts: Vec<Part> = rest
            .by_ref()
            .take(max)
            .map(|(number, part)| {
                let mut out = Part {
                    part_number: Some(*number as i32),
                    e_tag: Some(ETag::Strong(part.etag.clone())),
                    size: Some(part.content.len() as i64),
                    last_modified: Some(Timestamp::from(part.modified)),
                    ..Part::default()
                };
                if upload.algorithm.is_some() {
                    write_checksums!(out, &part.checksums);
                }
                out
            })
            .collect();
        let truncated = rest.next().is_some();
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            part_number_marker: Some(after as i32),
            next_part_number_marker: parts.last().and_then(|part| part.part_number),
            max_parts: Some(max as i32),
            is_truncated: Some(truncated),
            checksum_algorithm: algorithm(upload),
            checksum_type: upload.algorithm.map(|_| kind(upload.composite)),
            storage_class: Some(storage_class(upload)),
            parts: Some(parts),
            ..ListPartsOutput::default()
        }))
    }

    pub(super) fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = req.input;
        let max = page_size(self.rules(), input.max_uploads)?;
        let encoding = Encoding::of(input.encoding_type.as_ref());
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let delimiter = input.delimiter.as_deref().unwrap_or_default();
        let key_marker = input.key_marker.as_deref().unwrap_or_default();
        let id_marker = input.upload_id_marker.as_deref();
        let state = self.lock();
        state.bucket(&input.bucket)?;
        let found = in_bucket(&state, &input.bucket, prefix, (key_marker, id_marker));

        let (mut uploads, mut prefixes) = (Vec::new(), Vec::<&str>::new());
        let mut last = None;
        let mut truncated = false;
        for (key, id, upload) in found {
            let common = common_prefix(key, prefix, delimiter);
            let seen =
                common.is_some_and(|c| prefixes.last() == Some(&c) || key_marker.starts_with(c));
            if seen {
                continue;
            }
            if uploads.len() + prefixes.len() == max {
                truncated = true;
                break;
            }
            last = Some((common.unwrap_or(key), id));
            match common {
                Some(common) => prefixes.push(common),
                None => uploads.push(shown(key, id, upload, encoding)),
            }
        }
        let next = last.filter(|_| truncated);
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket.clone()),
            is_truncated: Some(truncated),
            max_uploads: Some(max as i32),
            next_key_marker: next.map(|(key, _)| encoding.apply(key)),
            next_upload_id_marker: next.map(|(_, id)| id.to_owned()),
            prefix: input.prefix.as_deref().map(|p| encoding.apply(p)),
            delimiter: input.delimiter.as_deref().map(|d| encoding.apply(d)),
            key_marker: input.key_marker.as_deref().map(|k| encoding.apply(k)),
            upload_id_marker: input.upload_id_marker.clone(),
            encoding_type: input.encoding_type.clone(),
            common_prefixes: Some(
                prefixes
                    .into_iter()
                    .map(|p| CommonPrefix { prefix: Some(encoding.apply(p)) })
                    .collect(),
            ),
            uploads: Some(uploads),
            ..ListMultipartUploadsOutput::default()
        }))
    }
}

/// The uploads behind the markers, by key and then by age.
fn in_bucket<'a>(
    state: &'a State,
    bucket: &str,
    prefix: &str,
    (key_marker, id_marker): (&str, Option<&str>),
) -> Vec<(&'a str, &'a str, &'a Upload)> {
    let mut found: Vec<_> = state
        .uploads
        .iter()
        .map(|(id, upload)| (upload.key.as_str(), id.as_str(), upload))
        .filter(|(key, id, upload)| {
            // Without an upload id the marker skips every upload of its key.
            let after = *key > key_marker
                || (*key == key_marker && id_marker.is_some_and(|marker| *id > marker));
            upload.bucket == bucket && key.starts_with(prefix) && after
        })
        .collect();
    found.sort_by_key(|(key, id, _)| (*key, *id));
    found
}

fn shown(key: &str, id: &str, upload: &Upload, encoding: Encoding) -> MultipartUpload {
    MultipartUpload {
        key: Some(encoding.apply(key)),
        upload_id: Some(id.to_owned()),
        initiated: Some(Timestamp::from(upload.started)),
        checksum_algorithm: algorithm(upload),
        checksum_type: upload.algorithm.map(|_| kind(upload.composite)),
        storage_class: Some(storage_class(upload)),
        ..MultipartUpload::default()
    }
}

fn algorithm(upload: &Upload) -> Option<ChecksumAlgorithm> {
    upload.algorithm.map(|a| ChecksumAlgorithm::from_static(a.name()))
}

fn storage_class(upload: &Upload) -> StorageClass {
    let class = upload.attributes.storage_class.clone();
    class.map_or_else(|| StorageClass::from_static(StorageClass::STANDARD), StorageClass::from)
}
