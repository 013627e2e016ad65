//! PutObject, GetObject, HeadObject.
//!
//! Owns: how request headers become attributes and attributes become answer headers, and which
//! bytes a GET serves. Must never hold the lock while a body moves.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range as Span;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode};
use percent_encoding::percent_decode_str;
use s3s::dto::{
    ChecksumMode, ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
    PutObjectInput, PutObjectOutput, Range, ServerSideEncryption, StorageClass, Timestamp,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::checksums::{read_checksums, write_checksums};
use super::conditions::{ReadConditions, check_write};
use super::intake::{Claims, Taken, check_support, take};
use super::state::{NULL_VERSION, custom_error, now};
use super::{Algorithm, Attributes, Checksums, MemoryS3, StoredObject};

/// What S3 answers when an object was stored without a type.
const DEFAULT_TYPE: &str = "binary/octet-stream";

/// Put into a request's extensions to have a GET serve another range than it asks for: `None` for
/// the whole object. The signature covers the `Range` header, so a layer cannot just rewrite it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeRange(pub Option<String>);

/// The attributes of a request that creates an object.
macro_rules! read_attributes {
    ($input:expr) => {
        $crate::memory::Attributes {
            content_type: $input.content_type.clone(),
            cache_control: $input.cache_control.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_encoding: $crate::memory::objects::stored_encoding(
                $input.content_encoding.as_deref(),
            ),
            content_language: $input.content_language.clone(),
            expires: $input.expires.clone(),
            metadata: $input.metadata.clone().into_iter().flatten().collect(),
            storage_class: $input.storage_class.as_ref().map(|c| c.as_str().to_owned()),
            encryption: $input.server_side_encryption.as_ref().map(|e| e.as_str().to_owned()),
            kms_key_id: $input.ssekms_key_id.clone(),
            customer_key_md5: $input.sse_customer_key_md5.clone(),
            acl: $input.acl.as_ref().map(|acl| acl.as_str().to_owned()),
            redirect: $input.website_redirect_location.clone(),
        }
    };
}
pub(super) use read_attributes;

/// The fields that the answers to GET and HEAD share.
macro_rules! describe {
    ($out:expr, $object:expr, $shown:expr) => {{
        let (object, a) = ($object, &$object.attributes);
        $out.accept_ranges = Some("bytes".to_owned());
        $out.e_tag = Some(ETag::Strong(object.etag.clone()));
        $out.last_modified = Some(Timestamp::from(object.modified));
        $out.version_id = $shown;
        $out.content_type = Some(a.content_type.clone().unwrap_or_else(|| DEFAULT_TYPE.to_owned()));
        $out.cache_control = a.cache_control.clone();
        $out.content_disposition = a.content_disposition.clone();
        $out.content_encoding = a.content_encoding.clone();
        $out.content_language = a.content_language.clone();
        $out.expires = a.expires.clone();
        $out.metadata = Some(a.metadata.clone().into_iter().collect());
        $out.storage_class = a
            .storage_class
            .clone()
            .filter(|class| class != StorageClass::STANDARD)
            .map(StorageClass::from);
        $out.server_side_encryption = a.encryption.clone().map(ServerSideEncryption::from);
        $out.ssekms_key_id = a.kms_key_id.clone();
        $out.sse_customer_key_md5 = a.customer_key_md5.clone();
        $out.sse_customer_algorithm = a.customer_key_md5.as_ref().map(|_| "AES256".to_owned());
        $out.website_redirect_location = a.redirect.clone();
    }};
}

impl MemoryS3 {
    pub(super) async fn put_object(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        check_support(self.rules(), &req.headers)?;
        let input = req.input;
        self.check_conditions_supported(input.if_match.is_some() || input.if_none_match.is_some())?;
        self.check_size(input.content_length)?;
        self.lock().bucket(&input.bucket)?;
        let attributes = read_attributes!(input);
        let tags = parse_tags(input.tagging.as_deref())?;
        let claims = Claims::new(&req.headers, req.trailing_headers, read_checksums!(input))?;
        let keep = self.algorithms(claims.algorithm());
        let taken = take(input.body, claims, &keep, self.rules.sink).await?;
        let object = assemble(taken, attributes, tags);

        let mut out = PutObjectOutput {
            e_tag: Some(ETag::Strong(object.etag.clone())),
            checksum_type: object.checksums.kind(),
            server_side_encryption: input.server_side_encryption,
            ssekms_key_id: input.ssekms_key_id,
            sse_customer_algorithm: input.sse_customer_algorithm,
            sse_customer_key_md5: input.sse_customer_key_md5,
            ..PutObjectOutput::default()
        };
        write_checksums!(out, &object.checksums);
        let mut state = self.lock();
        let current = state.bucket(&input.bucket)?.current(&input.key).map(|o| &**o);
        check_write(input.if_match.as_ref(), input.if_none_match.as_ref(), current)?;
        out.version_id = state.store(&input.bucket, &input.key, object)?;
        Ok(S3Response::new(out))
    }

    pub(super) fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        check_support(self.rules(), &req.headers)?;
        let input = req.input;
        let conditions = ReadConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        let version = input.version_id.as_deref().filter(|_| self.rules.versions);
        let (object, shown) = self.read(&input.bucket, &input.key, version, &conditions)?;
        check_customer_key(&object, input.sse_customer_key_md5.as_deref())?;
        let range = match req.extensions.get::<ServeRange>() {
            Some(ServeRange(Some(other))) => Range::parse(other).ok(),
            Some(ServeRange(None)) => None,
            None => input.range,
        };
        let span = span(&object, range.as_ref(), input.part_number)?;
        let size = object.size();
        let (from, to) = span.as_ref().map_or((0, size), |s| (s.start, s.end));

        let mut out = GetObjectOutput {
            content_length: Some((to - from) as i64),
            content_range: span.as_ref().map(|span| content_range(span, size)),
            parts_count: parts_count(&object, input.part_number),
            tag_count: Some(object.tags.len() as i32).filter(|count| *count > 0),
            body: Some(object.content.range(from, to).into_stream()),
            ..GetObjectOutput::default()
        };
        describe!(out, &object, shown);
        if wants_checksums(input.checksum_mode.as_ref()) && span.is_none() {
            write_checksums!(out, &object.checksums);
            out.checksum_type = object.checksums.kind();
        }
        Ok(S3Response::new(out))
    }

    pub(super) fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        check_support(self.rules(), &req.headers)?;
        let input = req.input;
        let conditions = ReadConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        let version = input.version_id.as_deref().filter(|_| self.rules.versions);
        let (object, shown) = self.read(&input.bucket, &input.key, version, &conditions)?;
        check_customer_key(&object, input.sse_customer_key_md5.as_deref())?;
        let span = span(&object, input.range.as_ref(), input.part_number)?;
        let size = object.size();

        let mut out = HeadObjectOutput {
            content_length: Some(span.as_ref().map_or(size, |s| s.end - s.start) as i64),
            content_range: span.as_ref().map(|span| content_range(span, size)),
            parts_count: parts_count(&object, input.part_number),
            ..HeadObjectOutput::default()
        };
        describe!(out, &object, shown);
        if wants_checksums(input.checksum_mode.as_ref()) && span.is_none() {
            write_checksums!(out, &object.checksums);
            out.checksum_type = object.checksums.kind();
        }
        let status = if span.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let mut answer = S3Response::with_status(out, status);
        if !object.tags.is_empty() {
            // Newer than the model s3s was made from.
            answer.headers.insert("x-amz-tagging-count", HeaderValue::from(object.tags.len()));
        }
        Ok(answer)
    }

    /// Finds an object for reading, and the version id to show.
    pub(super) fn read(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        conditions: &ReadConditions,
    ) -> S3Result<(Arc<StoredObject>, Option<String>)> {
        let state = self.lock();
        let bucket = state.bucket(bucket)?;
        let object = bucket.find(key, version)?;
        if self.rules.conditional_get {
            conditions.check(object, false)?;
        }
        Ok((Arc::clone(object), bucket.shown(&object.version_id)))
    }

    /// What to compute and keep for a body whose client chose `algorithm`.
    pub(super) fn algorithms(&self, algorithm: Option<Algorithm>) -> Vec<Algorithm> {
        algorithm.map_or_else(|| self.default_algorithms().to_vec(), |algorithm| vec![algorithm])
    }

    pub(super) fn check_conditions_supported(&self, used: bool) -> S3Result<()> {
        if used && !self.rules.conditional_put {
            return Err(s3_error!(NotImplemented, "conditional writes are not supported"));
        }
        Ok(())
    }

    pub(super) fn check_size(&self, length: Option<i64>) -> S3Result<()> {
        if length.is_some_and(|length| length as u64 > self.rules.max_put_size) {
            return Err(s3_error!(
                EntityTooLarge,
                "Your proposed upload exceeds the maximum allowed size"
            ));
        }
        Ok(())
    }
}

/// An object of one piece. Its id and date are set when it is stored.
pub(super) fn assemble(
    taken: Taken,
    attributes: Attributes,
    tags: Vec<(String, String)>,
) -> StoredObject {
    // Content that is not what the ETag was computed from must not pass for an MD5.
    let suffix = if taken.hashed { "" } else { "-1" };
    StoredObject {
        etag: format!("{}{suffix}", hex(&taken.md5)),
        content: taken.content,
        checksums: taken.checksums,
        attributes,
        tags,
        part_sizes: Vec::new(),
        version_id: NULL_VERSION.to_owned(),
        modified: now(),
    }
}

/// The bytes a request asks for; `None` for all of them.
fn span(
    object: &StoredObject,
    range: Option<&Range>,
    part: Option<i32>,
) -> S3Result<Option<Span<u64>>> {
    let size = object.size();
    match (range, part) {
        (Some(_), Some(_)) => {
            Err(s3_error!(InvalidRequest, "Cannot specify both Range header and partNumber"))
        }
        (Some(range), None) => {
            // A suffix of an empty object is as unsatisfiable as any range of it.
            let span = range.check(size).ok().filter(|span| !span.is_empty());
            span.map(Some).ok_or_else(|| unsatisfiable(size))
        }
        (None, Some(part)) => {
            let sizes = &object.part_sizes;
            let index = usize::try_from(part - 1).unwrap_or(usize::MAX);
            if sizes.is_empty() && index == 0 {
                return Ok(Some(0..size));
            }
            let len = *sizes.get(index).ok_or_else(|| {
                let message = "The requested partnumber is not satisfiable";
                custom_error("InvalidPartNumber", StatusCode::RANGE_NOT_SATISFIABLE, message)
            })?;
            let start = sizes[..index].iter().sum();
            Ok(Some(start..start + len))
        }
        (None, None) => Ok(None),
    }
}

fn unsatisfiable(size: u64) -> S3Error {
    let mut error = s3_error!(InvalidRange, "The requested range is not satisfiable");
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
        headers.insert(http::header::CONTENT_RANGE, value);
    }
    error.set_headers(headers);
    error
}

fn content_range(span: &Span<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", span.start, span.end.saturating_sub(1))
}

fn parts_count(object: &StoredObject, part: Option<i32>) -> Option<i32> {
    part.map(|_| object.part_sizes.len() as i32).filter(|count| *count > 0)
}

fn wants_checksums(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str().eq_ignore_ascii_case(ChecksumMode::ENABLED))
}

/// SSE-C: whoever reads needs the key it was written with (S3 user guide, "Using SSE-C").
pub(super) fn check_customer_key(object: &StoredObject, sent: Option<&str>) -> S3Result<()> {
    match (object.attributes.customer_key_md5.as_deref(), sent) {
        (None, None) => Ok(()),
        (Some(stored), Some(sent)) if stored == sent => Ok(()),
        (Some(_), Some(_)) => Err(s3_error!(AccessDenied, "Access Denied")),
        (Some(_), None) | (None, Some(_)) => Err(s3_error!(
            InvalidRequest,
            "The object was stored using a form of Server Side Encryption. The correct parameters \
             must be provided to retrieve the object."
        )),
    }
}

/// `aws-chunked` is about the transfer, not about the object.
pub(super) fn stored_encoding(sent: Option<&str>) -> Option<String> {
    let kept: Vec<_> = sent?.split(',').map(str::trim).filter(|e| *e != "aws-chunked").collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// The `x-amz-tagging` header: a query string.
pub(super) fn parse_tags(header: Option<&str>) -> S3Result<Vec<(String, String)>> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8().map(Cow::into_owned)
    };
    let pairs = header.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect::<Result<_, std::str::Utf8Error>>()
        .map_err(|_| {
            s3_error!(InvalidArgument, "The header 'x-amz-tagging' shall be encoded as UTF-8")
        })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The algorithm an object was stored with.
pub(super) fn first_algorithm(checksums: &Checksums) -> Option<Algorithm> {
    checksums.iter().next().map(|(algorithm, _)| algorithm)
}
