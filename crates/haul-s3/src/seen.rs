//! What HEAD and GET tell about an object alike.
//!
//! Owns the reading of their headers. The two answers share no type in the SDK. Must never claim a
//! checksum for the whole that is none.

use std::collections::HashMap;
use std::time::SystemTime;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::ChecksumMode;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use haul_core::{
    Algorithm, Attributes, Checksum, Error, ErrorKind, Hint, ObjectStamp, Op, Result, Retry,
};

use http::HeaderMap;

use crate::ObjectId;
use crate::attributes::parse_mtime;
use crate::checksum::decode;
use crate::client::S3Client;

/// An object as it was seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Bytes of the answer's body, which for the whole object are all.
    pub(crate) length: Option<i64>,
    /// With its quotes.
    pub(crate) etag: Option<String>,
    pub(crate) version_id: Option<String>,
    pub(crate) modified: Option<SystemTime>,
    /// Of the whole object. Composite checksums depend on the parts and say nothing about a range.
    pub(crate) checksum: Option<Checksum>,
    pub(crate) attributes: Attributes,
    pub(crate) storage_class: Option<String>,
    pub(crate) tags: i32,
    /// As counted in the answer to a request for one part.
    pub(crate) counted_parts: Option<i32>,
}

/// Moves what is there out of either answer.
macro_rules! seen {
    ($answer:expr) => {{
        let answer = $answer;
        let composite = answer.checksum_type == Some(aws_sdk_s3::types::ChecksumType::Composite);
        let checksum = $crate::seen::first_checksum([
            (haul_core::Algorithm::Crc64Nvme, answer.checksum_crc64_nvme.as_deref()),
            (haul_core::Algorithm::Crc32c, answer.checksum_crc32_c.as_deref()),
            (haul_core::Algorithm::Crc32, answer.checksum_crc32.as_deref()),
        ]);
        let mut attributes = haul_core::Attributes::default();
        attributes.content_type = answer.content_type;
        attributes.cache_control = answer.cache_control;
        attributes.content_encoding = answer.content_encoding;
        attributes.content_disposition = answer.content_disposition;
        attributes.content_language = answer.content_language;
        $crate::seen::set_metadata(&mut attributes, answer.metadata);
        $crate::seen::Seen {
            length: answer.content_length,
            counted_parts: answer.parts_count,
            etag: answer.e_tag,
            version_id: answer.version_id,
            modified: answer.last_modified.and_then(|t| t.try_into().ok()),
            checksum: checksum.filter(|_| !composite),
            attributes,
            storage_class: answer.storage_class.map(|c| c.as_str().to_owned()),
            tags: answer.tag_count.unwrap_or_default(),
        }
    }};
}
pub(crate) use seen;

/// HeadObject, through the gate.
pub(crate) async fn head(client: &S3Client, object: &ObjectId, op: Op) -> Result<Seen> {
    head_part(client, object, op, None).await
}

/// HeadObject of one part, or of the whole.
pub(crate) async fn head_part(
    client: &S3Client,
    object: &ObjectId,
    op: Op,
    part: Option<i32>,
) -> Result<Seen> {
    let at = client.at(&object.bucket).await;
    let location = object.to_string();
    let asked = client.checksums.asks(&location);
    let request = at
        .head_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .set_version_id(object.version_id.clone())
        .set_part_number(part)
        .set_checksum_mode(asked.then_some(ChecksumMode::Enabled));
    let sent = client.asking(op, object, request.send()).await?;
    let answer: HeadObjectOutput = sent.map_err(|e| {
        let failed = at.failure(op, &location, e);
        // A known store is asked what it understands, and has other reasons for a bare 400.
        client.checksums.learn_if_bare(asked && !client.quirks().known, &location, failed)
    })?;
    if !asked {
        client.checksums.answered_without(&location);
    }
    let seen = seen!(answer);
    seen.prove_version(object, op)?;
    Ok(seen)
}

/// Proves that a store has this very version of an object, or a delete marker of that version, before
/// it is removed: a store without versions takes no notice of the question, and would remove what is
/// there now.
pub(crate) async fn prove_version(client: &S3Client, object: &ObjectId) -> Result<()> {
    let at = client.at(&object.bucket).await;
    let request = at
        .head_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .set_version_id(object.version_id.clone());
    match client.asking(Op::Remove, object, request.send()).await? {
        Ok(answer) => seen!(answer).prove_version(object, Op::Remove),
        Err(SdkError::ServiceError(refused)) if is_marker(refused.raw()) => Ok(()),
        Err(e) => Err(at.failure(Op::Remove, &object.to_string(), e).into()),
    }
}

/// How a store answers to HEAD of a delete marker (API reference, HeadObject).
fn is_marker(answer: &HttpResponse) -> bool {
    answer.status().as_u16() == 405 && answer.headers().get("x-amz-delete-marker") == Some("true")
}

impl Seen {
    /// What the headers of an answer tell.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| std::str::from_utf8(headers.get(name)?.as_bytes()).ok();
        let owned = |name: &str| text(name).map(str::to_owned);
        let composite = text("x-amz-checksum-type") == Some("COMPOSITE");
        let checksum = first_checksum([
            (Algorithm::Crc64Nvme, text("x-amz-checksum-crc64nvme")),
            (Algorithm::Crc32c, text("x-amz-checksum-crc32c")),
            (Algorithm::Crc32, text("x-amz-checksum-crc32")),
        ]);
        let mut attributes = Attributes::default();
        attributes.content_type = owned("content-type");
        attributes.cache_control = owned("cache-control");
        attributes.content_encoding = owned("content-encoding");
        attributes.content_disposition = owned("content-disposition");
        attributes.content_language = owned("content-language");
        let metadata = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix("x-amz-meta-")?;
            Some((name.to_owned(), std::str::from_utf8(value.as_bytes()).ok()?.to_owned()))
        });
        set_metadata(&mut attributes, Some(metadata.collect()));
        let modified = text("last-modified")
            .and_then(|text| DateTime::from_str(text, Format::HttpDate).ok()?.try_into().ok());
        Self {
            length: text("content-length").and_then(|text| text.parse().ok()),
            etag: owned("etag"),
            version_id: owned("x-amz-version-id"),
            modified,
            checksum: checksum.filter(|_| !composite),
            attributes,
            storage_class: owned("x-amz-storage-class"),
            tags: text("x-amz-tagging-count").and_then(|t| t.parse().ok()).unwrap_or_default(),
            counted_parts: text("x-amz-mp-parts-count").and_then(|t| t.parse().ok()),
        }
    }

    /// Whether the answer is about the version that was asked for. "null" is the version of what was
    /// stored without versions, which not every store says.
    pub(crate) fn prove_version(&self, object: &ObjectId, op: Op) -> Result<()> {
        let named = match (object.version_id.as_deref(), self.version_id.as_deref()) {
            (None, _) | (Some("null"), None) => true,
            (Some(asked), got) => got == Some(asked),
        };
        if named {
            return Ok(());
        }
        let what = "the store's answer does not name this version";
        Err(Error::new(ErrorKind::NotFound, op, object, what).with_hint(Hint::CheckVersions))
    }

    /// The object's size.
    pub(crate) fn size(&self, object: &ObjectId, op: Op) -> Result<u64> {
        self.length.and_then(|l| u64::try_from(l).ok()).ok_or_else(|| {
            Error::new(ErrorKind::Protocol, op, object, "the store does not say how long it is")
                .with_retry(Retry::Backoff)
        })
    }

    /// The object as it was seen.
    pub(crate) fn stamp(&self, object: &ObjectId, op: Op) -> Result<ObjectStamp> {
        Ok(ObjectStamp {
            size: self.size(object, op)?,
            etag: self.bare_etag(),
            // "null" is the version of objects from before versioning: it can be overwritten.
            version_id: self.version_id.clone().filter(|v| *v != "null"),
            modified: self.modified,
        })
    }

    /// How many parts the object was made of, where its ETag tells.
    pub(crate) fn parts(&self) -> Option<i32> {
        self.counted_parts.or_else(|| parts_of(self.etag.as_deref()))
    }

    /// The ETag without its quotes.
    pub(crate) fn bare_etag(&self) -> Option<String> {
        self.etag.as_deref().map(|e| e.trim_matches('"').to_owned())
    }
}

/// The first checksum that is there and well-formed.
pub(crate) fn first_checksum(candidates: [(Algorithm, Option<&str>); 3]) -> Option<Checksum> {
    candidates.into_iter().find_map(|(algorithm, text)| decode(algorithm, text?))
}

/// User metadata, and the time that is kept in it.
pub(crate) fn set_metadata(attributes: &mut Attributes, metadata: Option<HashMap<String, String>>) {
    attributes.metadata = metadata.unwrap_or_default().into_iter().collect();
    attributes.modified = attributes.metadata.get("mtime").and_then(|text| parse_mtime(text));
}

/// The number of parts, as the ETag of a multipart object ends in it.
fn parts_of(etag: Option<&str>) -> Option<i32> {
    let (digest, parts) = etag?.trim_matches('"').rsplit_once('-')?;
    let hex = digest.len() == 32 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    parts.parse().ok().filter(|parts| hex && *parts > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_tell_the_parts() {
        let digest = "0cc175b9c0f1b6a831c399e269772661";
        assert_eq!(parts_of(Some(&format!("\"{digest}-12\""))), Some(12));
        assert_eq!(parts_of(Some(&format!("\"{digest}\""))), None);
        assert_eq!(parts_of(Some("\"random-text-3\"")), None);
        assert_eq!(parts_of(None), None);
    }
}
