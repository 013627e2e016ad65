//! haul's S3 backend.
//!
//! Owns everything that speaks S3: the client and its settings, ranged reads, single and multipart
//! uploads, server-side copies, and the meaning of a store's errors. It must never retry (the engine
//! does), follow a redirect, or show a secret.

mod attributes;
mod body;
mod checksum;
mod client;
mod copy;
mod error;
mod multipart;
mod ops;
mod source;
mod target;
mod wire;

pub use client::{AccessKey, S3Client, S3Options};
pub use copy::{COPY_OBJECT_LIMIT, CopySpec, copy};
pub use ops::{Created, ObjectInfo, make_bucket, remove, stat};
pub use source::S3Source;
pub use target::S3Target;

/// An object, as all operations name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectId {
    /// Bucket.
    pub bucket: String,
    /// Key, raw.
    pub key: String,
    /// Version; `None` is the current one.
    pub version_id: Option<String>,
}

impl ObjectId {
    /// The current version of `key` in `bucket`.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self { bucket: bucket.into(), key: key.into(), version_id: None }
    }
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.key.is_empty() {
            return write!(f, "s3://{}", self.bucket);
        }
        write!(f, "s3://{}/{}", self.bucket, self.key)?;
        self.version_id.as_ref().map_or(Ok(()), |v| write!(f, " (version {v})"))
    }
}
