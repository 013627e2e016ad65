//! What the store holds: buckets, versions and uploads in progress.
//!
//! Owns: the data and the lookups that every operation shares, with their errors. Must never wait:
//! it lives behind a plain mutex.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::{Algorithm, Checksums, Content};

/// The version id of objects written while versioning was off (S3 user guide, "Using versioning").
pub(super) const NULL_VERSION: &str = "null";

/// An object as it was stored, for tests to look at.
#[derive(Clone, Debug)]
pub struct StoredObject {
    /// Its bytes.
    pub content: Content,
    /// Its ETag, without quotes.
    pub etag: String,
    /// The checksum kept with it.
    pub checksums: Checksums,
    /// Its headers and user metadata.
    pub attributes: Attributes,
    /// Its tags, in the order given.
    pub tags: Vec<(String, String)>,
    /// The sizes of its parts; empty for an object put in one piece.
    pub part_sizes: Vec<u64>,
    /// `null` in a bucket that never had versioning.
    pub version_id: String,
    /// In whole seconds, as HTTP dates are.
    pub modified: SystemTime,
}

impl StoredObject {
    /// Its bytes in one buffer.
    pub fn bytes(&self) -> Bytes {
        self.content.to_bytes()
    }

    /// Its length.
    pub fn size(&self) -> u64 {
        self.content.len()
    }

    /// The value of one `x-amz-meta-` header.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.attributes.metadata.get(name).map(String::as_str)
    }
}

/// The headers an object is stored with.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// `Content-Type`; S3 answers `binary/octet-stream` when none was given.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`, without `aws-chunked`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Expires`.
    pub expires: Option<s3s::dto::Timestamp>,
    /// User metadata, names in lower case.
    pub metadata: BTreeMap<String, String>,
    /// `x-amz-storage-class`; none is STANDARD.
    pub storage_class: Option<String>,
    /// `x-amz-server-side-encryption`.
    pub encryption: Option<String>,
    /// `x-amz-server-side-encryption-aws-kms-key-id`.
    pub kms_key_id: Option<String>,
    /// MD5 of the customer's key (SSE-C), as sent.
    pub customer_key_md5: Option<String>,
    /// `x-amz-acl`.
    pub acl: Option<String>,
    /// `x-amz-website-redirect-location`.
    pub redirect: Option<String>,
}

/// One entry in the history of a key.
#[derive(Clone, Debug)]
pub(super) enum Version {
    Object(Arc<StoredObject>),
    Marker { id: String, modified: SystemTime },
}

impl Version {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Object(object) => &object.version_id,
            Self::Marker { id, .. } => id,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versioning {
    Never,
    Enabled,
    Suspended,
}

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) created: SystemTime,
    pub(super) region: String,
    pub(super) versioning: Versioning,
    /// The versions of each key, newest last, never empty.
    pub(super) objects: BTreeMap<String, Vec<Version>>,
}

impl Bucket {
    /// The object a plain GET sees.
    pub(super) fn current(&self, key: &str) -> Option<&Arc<StoredObject>> {
        match self.objects.get(key)?.last()? {
            Version::Object(object) => Some(object),
            Version::Marker { .. } => None,
        }
    }

    /// The object a GET with or without a version id sees.
    pub(super) fn find(&self, key: &str, version: Option<&str>) -> S3Result<&Arc<StoredObject>> {
        let history = self.objects.get(key).map_or(&[][..], Vec::as_slice);
        match version {
            None => match history.last() {
                Some(Version::Object(object)) => Ok(object),
                Some(Version::Marker { .. }) => Err(with_marker_header(no_such_key())),
                None => Err(no_such_key()),
            },
            Some(id) => match history.iter().find(|v| v.id() == id) {
                Some(Version::Object(object)) => Ok(object),
                Some(Version::Marker { .. }) => {
                    Err(with_marker_header(s3_error!(MethodNotAllowed)))
                }
                None => Err(s3_error!(NoSuchVersion, "The specified version does not exist.")),
            },
        }
    }

    /// Adds a version. Without versioning it replaces the one called `null`.
    pub(super) fn push(&mut self, key: &str, version: Version) {
        let history = self.objects.entry(key.to_owned()).or_default();
        history.retain(|v| v.id() != version.id());
        history.push(version);
    }

    /// The version id to show, which a bucket that never had versioning does not.
    pub(super) fn shown(&self, id: &str) -> Option<String> {
        (self.versioning != Versioning::Never).then(|| id.to_owned())
    }
}

/// A part that was received.
#[derive(Clone, Debug)]
pub(super) struct StoredPart {
    pub(super) content: Content,
    pub(super) etag: String,
    pub(super) md5: [u8; 16],
    pub(super) checksums: Checksums,
    pub(super) modified: SystemTime,
}

#[derive(Clone, Debug)]
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) started: SystemTime,
    pub(super) attributes: Attributes,
    pub(super) tags: Vec<(String, String)>,
    /// What the client asked for at its creation.
    pub(super) algorithm: Option<Algorithm>,
    pub(super) composite: bool,
    pub(super) parts: BTreeMap<u32, StoredPart>,
}

/// The answer to a CompleteMultipartUpload, for those who ask again.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    pub(super) etag: String,
    pub(super) checksums: Checksums,
    pub(super) version_id: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) buckets: BTreeMap<String, Bucket>,
    pub(super) uploads: BTreeMap<String, Upload>,
    /// By upload id; filled only where the rules say so.
    pub(super) finished: BTreeMap<String, Finished>,
    counter: u64,
}

impl State {
    pub(super) fn bucket(&self, name: &str) -> S3Result<&Bucket> {
        self.buckets.get(name).ok_or_else(no_such_bucket)
    }

    pub(super) fn bucket_mut(&mut self, name: &str) -> S3Result<&mut Bucket> {
        self.buckets.get_mut(name).ok_or_else(no_such_bucket)
    }

    pub(super) fn upload(&self, bucket: &str, key: &str, id: &str) -> S3Result<&Upload> {
        self.bucket(bucket)?;
        let upload = self.uploads.get(id).filter(|u| u.bucket == bucket && u.key == key);
        upload.ok_or_else(|| s3_error!(NoSuchUpload, "The specified upload does not exist."))
    }

    /// A fresh id. Ids grow with time, so that sorting by id is sorting by age.
    pub(super) fn next_id(&mut self, kind: &str) -> String {
        self.counter += 1;
        format!("{kind}-{:016x}", self.counter)
    }

    /// The id for a new version of an object in `bucket`.
    pub(super) fn version_id(&mut self, bucket: &str) -> S3Result<String> {
        match self.bucket(bucket)?.versioning {
            Versioning::Enabled => Ok(self.next_id("v")),
            Versioning::Never | Versioning::Suspended => Ok(NULL_VERSION.to_owned()),
        }
    }

    /// Stores an object under a fresh version id; returns the id if it is to be shown.
    pub(super) fn store(
        &mut self,
        bucket: &str,
        key: &str,
        mut object: StoredObject,
    ) -> S3Result<Option<String>> {
        object.version_id = self.version_id(bucket)?;
        object.modified = now();
        let bucket = self.bucket_mut(bucket)?;
        let shown = bucket.shown(&object.version_id);
        bucket.push(key, Version::Object(Arc::new(object)));
        Ok(shown)
    }
}

/// Now, in whole seconds.
pub(super) fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// An error whose code s3s does not know, or gives no status.
pub(super) fn custom_error(code: &str, status: StatusCode, message: &'static str) -> S3Error {
    let code = S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::InternalError);
    let mut error = S3Error::with_message(code, message);
    error.set_status_code(status);
    error
}

fn no_such_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist")
}

fn no_such_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

fn with_marker_header(mut error: S3Error) -> S3Error {
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-delete-marker", HeaderValue::from_static("true"));
    error.set_headers(headers);
    error
}
