//! An S3 store in memory, faithful to AWS, that can also be told to misbehave like its rivals.
//!
//! Owns: [`MemoryS3`], its [`StoreRules`], and the back door through which tests look at it.
//! Must never touch the disk or the network, and never fail on its own: faults belong to
//! [`crate::faults`]. Request signatures, presigned URLs, `aws-chunked` and XML are the business of
//! `s3s`, in front of it.

mod buckets;
mod checksums;
mod complete;
mod conditions;
mod content;
mod copy;
mod intake;
mod listing;
mod multipart;
mod objects;
mod regions;
mod remove;
mod service;
mod state;
mod uploads;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

pub(crate) use buckets::DEFAULT_REGION;
pub use checksums::{Algorithm, Checksums};
pub(crate) use content::mix;
pub use content::{Content, synthetic_bytes};
pub use objects::ServeRange;
pub use state::{Attributes, StoredObject};
use state::{Bucket, State, Version, Versioning, now};

/// What a store does with checksum headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumSupport {
    /// Verify, keep and return them, as AWS does.
    #[default]
    Accept,
    /// 400 InvalidArgument to any request that carries one.
    InvalidArgument,
    /// 501 NotImplemented to any request that carries one.
    NotImplemented,
    /// 400 InvalidArgument also to reads that ask for one (Backblaze B2).
    NotEvenAskedFor,
}

/// What a store does with a request that was signed for another region than the bucket's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegionCheck {
    /// Nothing: any region will do.
    #[default]
    Off,
    /// 301 PermanentRedirect, with the region in a header.
    Redirect,
    /// The same without the header, except in the answer to HeadBucket.
    SilentRedirect,
    /// 400 AuthorizationHeaderMalformed, with the region in its words.
    Malformed,
}

/// How a store differs from AWS. The default does not.
#[derive(Clone, Debug)]
pub struct StoreRules {
    /// What happens to checksum headers.
    pub checksums: ChecksumSupport,
    /// Compute a CRC64NVME for objects that came without a checksum, as AWS does since 2024-12.
    pub default_checksum: bool,
    /// All parts but the last must have one size, which the last may not exceed (Cloudflare R2).
    pub equal_parts: bool,
    /// Highest part number. AWS: 10,000.
    pub max_parts: u32,
    /// Smallest size of all parts but the last. AWS: 5 MiB.
    pub min_part_size: u64,
    /// Largest PutObject and UploadPart. AWS: 5 GiB.
    pub max_put_size: u64,
    /// Largest source of a CopyObject. AWS: 5 GiB.
    pub max_copy_size: u64,
    /// Whether UploadPartCopy exists; otherwise 501.
    pub upload_part_copy: bool,
    /// Whether GET and HEAD look at `If-Match` and its siblings; otherwise they are ignored.
    pub conditional_get: bool,
    /// Whether writes look at `If-None-Match` and `If-Match`; otherwise 501.
    pub conditional_put: bool,
    /// Whether a repeated CompleteMultipartUpload of a finished upload answers as it did before,
    /// rather than NoSuchUpload.
    pub complete_again: bool,
    /// Largest page of a listing, whatever the client asks for. AWS: 1,000.
    pub max_keys: u32,
    /// Whether ListObjectsV2 exists; otherwise 501.
    pub list_v2: bool,
    /// Whether requests may name a version; otherwise they are about what is there now, whatever they
    /// name.
    pub versions: bool,
    /// Whether DeleteObjects exists; otherwise 501.
    pub delete_objects: bool,
    /// Whether ListObjectsV2 answers every token with the first page again.
    pub repeat_page: bool,
    /// Whether listings come in no order.
    pub unordered: bool,
    /// Whether listings encode keys when asked to; otherwise they say nothing of it and do not.
    pub url_encoding: bool,
    /// What happens to requests that were signed for another region than the bucket's.
    pub regions: RegionCheck,
    /// Let unsigned requests do everything, like a public bucket.
    pub anonymous: bool,
    /// How many seconds its clock is ahead of this machine's: requests that were signed for another
    /// time are refused, and answers dated by it.
    pub clock_ahead: i64,
    /// Let go of bodies once they are hashed; they are served as [`synthetic_bytes`].
    pub sink: bool,
}

impl Default for StoreRules {
    // Numbers: S3 user guide, "Amazon S3 multipart upload limits"; API reference, ListObjectsV2.
    fn default() -> Self {
        Self {
            checksums: ChecksumSupport::Accept,
            default_checksum: true,
            equal_parts: false,
            max_parts: 10_000,
            min_part_size: 5 << 20,
            max_put_size: 5 << 30,
            max_copy_size: 5 << 30,
            upload_part_copy: true,
            conditional_get: true,
            conditional_put: true,
            complete_again: false,
            max_keys: 1000,
            list_v2: true,
            versions: true,
            delete_objects: true,
            repeat_page: false,
            unordered: false,
            url_encoding: true,
            regions: RegionCheck::Off,
            anonymous: false,
            clock_ahead: 0,
            sink: false,
        }
    }
}

/// An upload in progress, as a test sees it.
#[derive(Clone, Debug)]
pub struct UploadInfo {
    /// The key it is for.
    pub key: String,
    /// Its id.
    pub upload_id: String,
    /// The parts received so far: size and ETag by part number.
    pub parts: BTreeMap<u32, (u64, String)>,
    /// The checksum algorithm named at its creation.
    pub algorithm: Option<Algorithm>,
}

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryS3 {
    rules: Arc<StoreRules>,
    state: Arc<Mutex<State>>,
}

impl MemoryS3 {
    /// An empty store.
    pub fn new(rules: StoreRules) -> Self {
        Self { rules: Arc::new(rules), state: Arc::default() }
    }

    /// The rules it follows.
    pub fn rules(&self) -> &StoreRules {
        &self.rules
    }

    /// Makes sure that a bucket exists.
    pub fn create_bucket(&self, bucket: &str) {
        self.create_bucket_in(bucket, "");
    }

    /// The same, in a region of its own. It matters only under [`StoreRules::regions`].
    pub fn create_bucket_in(&self, bucket: &str, region: &str) {
        self.lock().buckets.entry(bucket.to_owned()).or_insert_with(|| Bucket {
            created: now(),
            region: region.to_owned(),
            versioning: Versioning::Never,
            objects: BTreeMap::new(),
        });
    }

    /// Turns versioning on or off, creating the bucket if need be.
    pub fn set_versioning(&self, bucket: &str, on: bool) {
        self.create_bucket(bucket);
        if let Some(bucket) = self.lock().buckets.get_mut(bucket) {
            bucket.versioning = if on { Versioning::Enabled } else { Versioning::Suspended };
        }
    }

    /// Puts or replaces an object, creating the bucket if need be. Returns its ETag.
    pub fn put(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) -> String {
        self.put_with(bucket, key, bytes, Attributes::default())
    }

    /// The same, with headers and metadata.
    pub fn put_with(
        &self,
        bucket: &str,
        key: &str,
        bytes: impl Into<Bytes>,
        attributes: Attributes,
    ) -> String {
        self.put_content(bucket, key, &Content::from(bytes.into()), attributes)
    }

    /// Puts an object of `size` bytes of [`synthetic_bytes`] that takes no memory. It has no
    /// checksum, and an ETag that is no MD5 (and says so by its `-1`).
    pub fn put_synthetic(&self, bucket: &str, key: &str, size: u64) -> String {
        self.put_content(bucket, key, &Content::synthetic(size), Attributes::default())
    }

    /// The current version of an object.
    pub fn object(&self, bucket: &str, key: &str) -> Option<StoredObject> {
        let state = self.lock();
        state.buckets.get(bucket)?.current(key).map(|object| (**object).clone())
    }

    /// All versions of an object, oldest first. `None` stands for a delete marker.
    pub fn versions(&self, bucket: &str, key: &str) -> Vec<Option<StoredObject>> {
        let state = self.lock();
        let history = state.buckets.get(bucket).and_then(|b| b.objects.get(key));
        let history = history.into_iter().flatten().map(|version| match version {
            Version::Object(object) => Some((**object).clone()),
            Version::Marker { .. } => None,
        });
        history.collect()
    }

    /// The keys of a bucket that a plain listing shows, in order.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let state = self.lock();
        let Some(bucket) = state.buckets.get(bucket) else { return Vec::new() };
        bucket.objects.keys().filter(|key| bucket.current(key).is_some()).cloned().collect()
    }

    /// Removes an object and all its versions.
    pub fn remove(&self, bucket: &str, key: &str) {
        if let Some(bucket) = self.lock().buckets.get_mut(bucket) {
            bucket.objects.remove(key);
        }
    }

    /// The uploads in progress in a bucket, oldest first.
    pub fn uploads(&self, bucket: &str) -> Vec<UploadInfo> {
        let state = self.lock();
        let uploads = state.uploads.iter().filter(|(_, upload)| upload.bucket == bucket);
        uploads
            .map(|(id, upload)| UploadInfo {
                key: upload.key.clone(),
                upload_id: id.clone(),
                parts: upload
                    .parts
                    .iter()
                    .map(|(n, part)| (*n, (part.content.len(), part.etag.clone())))
                    .collect(),
                algorithm: upload.algorithm,
            })
            .collect()
    }

    fn put_content(
        &self,
        bucket: &str,
        key: &str,
        content: &Content,
        attributes: Attributes,
    ) -> String {
        self.create_bucket(bucket);
        let taken = intake::rehash(content, self.default_algorithms());
        let object = objects::assemble(taken, attributes, Vec::new());
        let etag = object.etag.clone();
        // The bucket was just made; if someone removed it again, so be the object.
        let _ = self.lock().store(bucket, key, object);
        etag
    }

    /// What is computed when a client names no algorithm.
    fn default_algorithms(&self) -> &'static [Algorithm] {
        let supported = self.rules.checksums == ChecksumSupport::Accept;
        if supported && self.rules.default_checksum { &[Algorithm::Crc64Nvme] } else { &[] }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in one request must not fail the next: the state is replaced in single steps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
