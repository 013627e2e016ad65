//! CopyObject and UploadPartCopy.
//!
//! Owns: how a copy source is found, checked and cut. Must never copy bytes: a copy shares them.

use std::sync::Arc;

use http::HeaderMap;
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, CopySource, ETag,
    ETagCondition, MetadataDirective, Range, ServerSideEncryption, TaggingDirective, Timestamp,
    UploadPartCopyInput, UploadPartCopyOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::checksums::write_checksums;
use super::conditions::{ReadConditions, check_write};
use super::intake::{check_support, header, rehash};
use super::objects::{
    assemble, check_customer_key, first_algorithm, hex, parse_tags, read_attributes,
};
use super::state::{StoredPart, now};
use super::{Algorithm, Content, MemoryS3, StoredObject};

impl MemoryS3 {
    pub(super) fn copy_object(
        &self,
        req: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = req.input;
        // Newer than the model s3s was made from; the headers are there all the same.
        let if_match = condition(&req.headers, "if-match");
        let if_none_match = condition(&req.headers, "if-none-match");
        self.check_conditions_supported(if_match.is_some() || if_none_match.is_some())?;
        let conditions = ReadConditions {
            if_match: input.copy_source_if_match.clone(),
            if_none_match: input.copy_source_if_none_match.clone(),
            if_modified_since: input.copy_source_if_modified_since.clone(),
            if_unmodified_since: input.copy_source_if_unmodified_since.clone(),
        };
        let (source, shown) = self.source(&input.copy_source, &conditions)?;
        check_customer_key(&source, input.copy_source_sse_customer_key_md5.as_deref())?;
        if source.size() > self.rules.max_copy_size {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy \
                 source: {}",
                self.rules.max_copy_size
            ));
        }
        let object = self.copied(&input, &source)?;
        let mut result = CopyObjectResult {
            e_tag: Some(ETag::Strong(object.etag.clone())),
            last_modified: Some(Timestamp::from(object.modified)),
            checksum_type: object.checksums.kind(),
            ..CopyObjectResult::default()
        };
        write_checksums!(result, &object.checksums);
        let mut out = CopyObjectOutput {
            copy_source_version_id: shown,
            server_side_encryption: object
                .attributes
                .encryption
                .clone()
                .map(ServerSideEncryption::from),
            ssekms_key_id: object.attributes.kms_key_id.clone(),
            copy_object_result: Some(result),
            ..CopyObjectOutput::default()
        };
        let mut state = self.lock();
        let current = state.bucket(&input.bucket)?.current(&input.key).map(|o| &**o);
        check_write(if_match.as_ref(), if_none_match.as_ref(), current)?;
        out.version_id = state.store(&input.bucket, &input.key, object)?;
        Ok(S3Response::new(out))
    }

    /// The object a CopyObject makes of its source.
    fn copied(&self, input: &CopyObjectInput, source: &StoredObject) -> S3Result<StoredObject> {
        let replace = input
            .metadata_directive
            .as_ref()
            .is_some_and(|d| d.as_str() == MetadataDirective::REPLACE);
        let own = read_attributes!(input);
        if is_itself(input) && !replace && own.storage_class.is_none() && own.encryption.is_none() {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself \
                 without changing the object's metadata, storage class, website redirect location \
                 or encryption attributes."
            ));
        }
        // Storage class, encryption and ACL are the request's in either case, never the source's.
        let attributes = if replace {
            own
        } else {
            super::Attributes {
                storage_class: own.storage_class,
                encryption: own.encryption,
                kms_key_id: own.kms_key_id,
                customer_key_md5: own.customer_key_md5,
                acl: own.acl,
                redirect: own.redirect,
                ..source.attributes.clone()
            }
        };
        let replace_tags = input
            .tagging_directive
            .as_ref()
            .is_some_and(|d| d.as_str() == TaggingDirective::REPLACE);
        let tags =
            if replace_tags { parse_tags(input.tagging.as_deref())? } else { source.tags.clone() };
        let asked = input.checksum_algorithm.as_ref().and_then(|a| Algorithm::parse(a.as_str()));
        let keep = self.algorithms(asked.or_else(|| first_algorithm(&source.checksums)));
        Ok(assemble(rehash(&source.content, &keep), attributes, tags))
    }

    pub(super) fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        if !self.rules.upload_part_copy {
            return Err(s3_error!(NotImplemented, "UploadPartCopy is not implemented"));
        }
        check_support(self.rules(), &req.headers)?;
        let input = req.input;
        let number = self.check_part_number(input.part_number)?;
        let conditions = ReadConditions {
            if_match: input.copy_source_if_match,
            if_none_match: input.copy_source_if_none_match,
            if_modified_since: input.copy_source_if_modified_since,
            if_unmodified_since: input.copy_source_if_unmodified_since,
        };
        let (source, shown) = self.source(&input.copy_source, &conditions)?;
        check_customer_key(&source, input.copy_source_sse_customer_key_md5.as_deref())?;
        let content = cut(&source, input.copy_source_range.as_deref())?;
        if content.len() > self.rules.max_put_size {
            return Err(s3_error!(InvalidRequest, "The specified copy range is too large"));
        }
        let chosen = self.lock().upload(&input.bucket, &input.key, &input.upload_id)?.algorithm;
        let taken = rehash(&content, &self.algorithms(chosen));
        let part = StoredPart {
            etag: hex(&taken.md5),
            md5: taken.md5,
            content: taken.content,
            checksums: taken.checksums,
            modified: now(),
        };
        let mut result = CopyPartResult {
            e_tag: Some(ETag::Strong(part.etag.clone())),
            last_modified: Some(Timestamp::from(part.modified)),
            ..CopyPartResult::default()
        };
        if chosen.is_some() {
            write_checksums!(result, &part.checksums);
        }
        self.store_part(&input.upload_id, number, part)?;
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(result),
            copy_source_version_id: shown,
            ..UploadPartCopyOutput::default()
        }))
    }

    fn source(
        &self,
        source: &CopySource,
        conditions: &ReadConditions,
    ) -> S3Result<(Arc<StoredObject>, Option<String>)> {
        let CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(s3_error!(NotImplemented, "access points are not implemented"));
        };
        let state = self.lock();
        let bucket = state.bucket(bucket)?;
        let object = bucket.find(key, version_id.as_deref())?;
        conditions.check(object, true)?;
        Ok((Arc::clone(object), bucket.shown(&object.version_id)))
    }
}

/// The bytes of `x-amz-copy-source-range`, which must lie inside the source, unlike a GET's.
fn cut(source: &StoredObject, range: Option<&str>) -> S3Result<Content> {
    let size = source.size();
    let Some(text) = range else { return Ok(source.content.clone()) };
    match Range::parse(text) {
        Ok(Range::Int { first, last: Some(last) }) if last < size => {
            Ok(source.content.range(first, last + 1))
        }
        Ok(Range::Int { last: Some(_), .. }) => Err(s3_error!(
            InvalidArgument,
            "Range specified is not valid for source object of size: {size}"
        )),
        _ => Err(s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy"
        )),
    }
}

fn is_itself(input: &CopyObjectInput) -> bool {
    matches!(
        &input.copy_source,
        CopySource::Bucket { bucket, key, version_id: None }
            if **bucket == *input.bucket && **key == *input.key
    )
}

fn condition(headers: &HeaderMap, name: &str) -> Option<ETagCondition> {
    header(headers, name).and_then(|value| value.parse().ok())
}
