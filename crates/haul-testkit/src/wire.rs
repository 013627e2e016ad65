//! Requests as they look on the wire: which operation, on what.
//!
//! Owns: the classification of a request by method, path, query and headers, and the body type
//! that travels between the layers. Must never read a body.

use std::error::Error as StdError;

use bytes::Bytes;
use http::{Method, request::Parts};
use http_body::Body;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use percent_encoding::percent_decode_str;

/// Any error.
pub type BoxError = Box<dyn StdError + Send + Sync>;
/// A body between layers.
pub type WireBody = UnsyncBoxBody<Bytes, BoxError>;

/// Boxes a body for the layers.
pub fn wire_body<B>(body: B) -> WireBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    WireBody::new(body.map_err(Into::into))
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Matches every operation in a rule. No request is of this kind.
    Any,
    /// `GET /`
    ListBuckets,
    /// `PUT /bucket`
    CreateBucket,
    /// `HEAD /bucket`
    HeadBucket,
    /// `DELETE /bucket`
    DeleteBucket,
    /// `GET /bucket?location`
    GetBucketLocation,
    /// `GET` or `PUT /bucket?versioning`
    BucketVersioning,
    /// `GET /bucket`, version 1 or 2
    ListObjects,
    /// `GET /bucket?versions`
    ListObjectVersions,
    /// `GET /bucket?uploads`
    ListMultipartUploads,
    /// `POST /bucket?delete`
    DeleteObjects,
    /// `GET /bucket/key`
    GetObject,
    /// `HEAD /bucket/key`
    HeadObject,
    /// `PUT /bucket/key`
    PutObject,
    /// `PUT /bucket/key` with `x-amz-copy-source`
    CopyObject,
    /// `DELETE /bucket/key`
    DeleteObject,
    /// `GET`, `PUT` or `DELETE /bucket/key?tagging`
    ObjectTagging,
    /// `POST /bucket/key?uploads`
    CreateMultipartUpload,
    /// `PUT /bucket/key?partNumber=&uploadId=`
    UploadPart,
    /// The same with `x-amz-copy-source`
    UploadPartCopy,
    /// `GET /bucket/key?uploadId=`
    ListParts,
    /// `POST /bucket/key?uploadId=`
    CompleteMultipartUpload,
    /// `DELETE /bucket/key?uploadId=`
    AbortMultipartUpload,
    /// Anything else.
    Other,
}

/// What a request is about.
#[derive(Clone, Debug)]
pub struct Target {
    /// The operation.
    pub op: Op,
    /// The bucket, if the path names one.
    pub bucket: Option<String>,
    /// The key, decoded.
    pub key: Option<String>,
    /// The query, decoded, in order. Presigning parameters (`X-Amz-*`) are left out.
    pub query: Vec<(String, String)>,
    /// The `Range` or `x-amz-copy-source-range` header.
    pub range: Option<String>,
    /// Whether the request was signed by its URL.
    pub presigned: bool,
}

impl Target {
    /// Reads the head of a path-style request.
    pub fn of(head: &Parts) -> Self {
        let path = head.uri.path().strip_prefix('/').unwrap_or_default();
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let text = |part: &str| (!part.is_empty()).then(|| decode(part));
        let all: Vec<_> = head
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect();
        let presigned = all.iter().any(|(name, _)| name == "X-Amz-Signature");
        let query: Vec<_> = all
            .into_iter()
            .filter(|(name, _)| !name.starts_with("X-Amz-") && name != "x-id")
            .collect();
        let header = |name: &str| head.headers.get(name)?.to_str().ok().map(str::to_owned);
        let mut target = Self {
            op: Op::Other,
            bucket: text(bucket),
            key: text(key),
            query,
            range: header("range").or_else(|| header("x-amz-copy-source-range")),
            presigned,
        };
        let copy = head.headers.contains_key("x-amz-copy-source");
        target.op = target.classify(&head.method, copy);
        target
    }

    /// The `partNumber` of the query.
    pub fn part_number(&self) -> Option<u32> {
        self.value("partNumber")?.parse().ok()
    }

    /// The first byte asked for, of a `bytes=first-` range.
    pub fn range_start(&self) -> Option<u64> {
        self.range_bounds().map(|(first, _)| first)
    }

    /// First and last byte asked for, of a `bytes=first-[last]` range.
    pub fn range_bounds(&self) -> Option<(u64, Option<u64>)> {
        let (first, last) = self.range.as_deref()?.strip_prefix("bytes=")?.split_once('-')?;
        let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
        Some((first.parse().ok()?, last))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn classify(&self, method: &Method, copy: bool) -> Op {
        match (&self.bucket, &self.key) {
            (None, _) if method == Method::GET => Op::ListBuckets,
            (None, _) => Op::Other,
            (Some(_), None) => self.bucket_op(method),
            (Some(_), Some(_)) => self.object_op(method, copy),
        }
    }

    fn bucket_op(&self, method: &Method) -> Op {
        let has = |name| self.value(name).is_some();
        match *method {
            Method::GET | Method::PUT if has("versioning") => Op::BucketVersioning,
            Method::GET if has("location") => Op::GetBucketLocation,
            Method::GET if has("versions") => Op::ListObjectVersions,
            Method::GET if has("uploads") => Op::ListMultipartUploads,
            Method::GET => Op::ListObjects,
            Method::HEAD => Op::HeadBucket,
            Method::PUT => Op::CreateBucket,
            Method::DELETE => Op::DeleteBucket,
            Method::POST if has("delete") => Op::DeleteObjects,
            _ => Op::Other,
        }
    }

    fn object_op(&self, method: &Method, copy: bool) -> Op {
        let has = |name| self.value(name).is_some();
        match *method {
            _ if has("tagging") => Op::ObjectTagging,
            Method::PUT if has("uploadId") && copy => Op::UploadPartCopy,
            Method::PUT if has("uploadId") => Op::UploadPart,
            Method::PUT if copy => Op::CopyObject,
            Method::PUT => Op::PutObject,
            Method::GET if has("uploadId") => Op::ListParts,
            Method::GET => Op::GetObject,
            Method::HEAD => Op::HeadObject,
            Method::POST if has("uploads") => Op::CreateMultipartUpload,
            Method::POST if has("uploadId") => Op::CompleteMultipartUpload,
            Method::DELETE if has("uploadId") => Op::AbortMultipartUpload,
            Method::DELETE => Op::DeleteObject,
            _ => Op::Other,
        }
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(method: &str, uri: &str, copy: bool) -> Op {
        let mut request = http::Request::builder().method(method).uri(uri);
        if copy {
            request = request.header("x-amz-copy-source", "b/k");
        }
        Target::of(&request.body(()).unwrap().into_parts().0).op
    }

    #[test]
    fn requests_are_classified() {
        for (method, uri, copy, expected) in [
            ("GET", "/", false, Op::ListBuckets),
            ("GET", "/b?list-type=2", false, Op::ListObjects),
            ("GET", "/b/", false, Op::ListObjects),
            ("GET", "/b?uploads", false, Op::ListMultipartUploads),
            ("POST", "/b?delete", false, Op::DeleteObjects),
            ("GET", "/b/k?x-id=GetObject", false, Op::GetObject),
            ("GET", "/b//", false, Op::GetObject),
            ("PUT", "/b/k", true, Op::CopyObject),
            ("PUT", "/b/k?partNumber=1&uploadId=u", false, Op::UploadPart),
            ("PUT", "/b/k?partNumber=1&uploadId=u", true, Op::UploadPartCopy),
            ("POST", "/b/k?uploads=", false, Op::CreateMultipartUpload),
            ("POST", "/b/k?uploadId=u", false, Op::CompleteMultipartUpload),
            ("GET", "/b/k?uploadId=u", false, Op::ListParts),
            ("DELETE", "/b/k?uploadId=u", false, Op::AbortMultipartUpload),
        ] {
            assert_eq!(op(method, uri, copy), expected, "{method} {uri}");
        }
    }
}
