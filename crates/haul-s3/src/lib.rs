//! haul's S3 backend.
//!
//! Owns everything that speaks S3: the client and its settings, what stores do differently, listings,
//! ranged reads, single and multipart uploads, server-side copies, removals, signed links, and the
//! meaning of a store's errors. It must never retry (the engine does), let an answer choose the host
//! that it talks to, or show a secret.

mod address;
mod attributes;
mod body;
mod buckets;
mod checksum;
mod client;
mod clock;
mod copy;
mod credentials;
mod direct;
mod document;
mod error;
mod interceptor;
mod kept;
mod list;
mod lost;
mod multipart;
mod ops;
mod presign;
mod profile;
mod proven;
mod provider;
mod region;
mod remove;
mod sdk;
mod seen;
mod sign;
mod source;
mod store;
mod target;
mod uploads;
mod usual;
mod wire;
mod xml;

pub use buckets::{BucketInfo, Created, bucket_exists, list_buckets, make_bucket, remove_bucket};
pub use client::{AccessKey, S3Client, S3Options};
pub use copy::{COPY_OBJECT_LIMIT, CopySpec, copy};
pub use list::{ListSpec, S3Lister};
pub use multipart::multipart_etag;
pub use ops::{ObjectInfo, first_part_size, prove_version, stat};
pub use presign::{LONGEST_LINK, Presigned, presign_get, presign_put};
pub use proven::{compares_when_removing, remove_proven, stamp};
pub use provider::{DefaultRegion, ListVersion, Provider, Quirks, UnknownProvider};
pub use remove::{DELETE_LIMIT, Doomed, remove, remove_many};
pub use source::{LISTED_WHOLE, S3Source};
pub use store::StoreId;
pub use target::S3Target;
pub use uploads::{PendingUpload, UploadLister, abort_upload, list_uploads};

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
