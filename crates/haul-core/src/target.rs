//! Where bytes go.
//!
//! Owns the traits that backends implement to be written. Nothing is visible at the destination
//! before [`Upload::commit`] has said so.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use futures::future::BoxFuture;

use crate::checksum::Sums;
use crate::error::Result;
use crate::limits::TargetLimits;
use crate::payload::Payload;
use crate::plan::ChunkPlan;
use crate::proof::Proof;
use crate::range::ChunkSpec;
use crate::report::Verified;

/// What travels with the bytes, where the target has a place for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attributes {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// User metadata (`x-amz-meta-*`).
    pub metadata: BTreeMap<String, String>,
    /// Storage class, as the store names it.
    pub storage_class: Option<String>,
    /// Canned ACL.
    pub acl: Option<String>,
    /// Encryption by the store, as it names it (`AES256`, `aws:kms`).
    pub encryption: Option<String>,
    /// Key of the store's key service to encrypt with.
    pub kms_key_id: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Last modification to keep: files get it as theirs, objects as the metadata `mtime` (seconds
    /// since 1970 with a fraction, as rclone writes it).
    pub modified: Option<SystemTime>,
}

impl Attributes {
    /// These attributes, with gaps filled from `other`. Storage class, ACL, encryption and tags are
    /// a choice of the destination and are not filled; nor is the time, which is kept on demand.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        let fill = |mine: &mut Option<String>, theirs: &Option<String>| {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        };
        fill(&mut self.content_type, &other.content_type);
        fill(&mut self.cache_control, &other.cache_control);
        fill(&mut self.content_encoding, &other.content_encoding);
        fill(&mut self.content_disposition, &other.content_disposition);
        fill(&mut self.content_language, &other.content_language);
        if self.metadata.is_empty() {
            self.metadata.clone_from(&other.metadata);
        }
        self
    }
}

/// What is about to be written.
#[derive(Debug, Clone)]
pub struct UploadSpec {
    /// The chunks, when the size is known; `None` for a stream, whose chunks come in order.
    pub plan: Option<ChunkPlan>,
    /// What travels with the bytes.
    pub attributes: Attributes,
    /// Whether something that exists may be replaced.
    pub overwrite: bool,
    /// What the bytes are of, where the source can tell.
    pub read: Option<Proof>,
}

/// Something that can be written.
pub trait Target: fmt::Debug + Send + Sync {
    /// The destination, for messages.
    fn location(&self) -> String;
    /// What the target takes.
    fn limits(&self) -> TargetLimits;
    /// Starts an upload. One attempt: the engine retries.
    fn begin<'a>(&'a self, spec: &'a UploadSpec) -> BoxFuture<'a, Result<Arc<dyn Upload>>>;
}

/// Proof that a chunk landed.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The chunk.
    pub chunk: ChunkSpec,
    /// Checksums of its bytes, as they were handed over.
    pub sums: Sums,
    /// The part's ETag, where parts have one.
    pub etag: Option<String>,
}

/// What became visible.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// ETag, where there is one.
    pub etag: Option<String>,
    /// Version id, where there is one.
    pub version_id: Option<String>,
    /// How the target itself verified the bytes, if it did.
    pub verified: Option<Verified>,
}

/// One upload in progress.
///
/// One attempt each: the engine retries. Dropping an upload that was neither committed nor aborted
/// must not leave anything visible.
pub trait Upload: fmt::Debug + Send + Sync {
    /// Writes one chunk. `payload` can be opened again in a later attempt.
    fn put(&self, chunk: ChunkSpec, payload: Payload) -> BoxFuture<'static, Result<Receipt>>;
    /// Whether [`Upload::commit`] has a use for receipts: where it has none, they are not kept, and there
    /// may be any number of chunks.
    fn wants_receipts(&self) -> bool {
        true
    }
    /// Makes the whole durable and visible. `receipts` are in plan order, or none where they are not
    /// wanted; `whole` are the sums over all bytes. May be called again after an error that is worth a retry: an implementation whose
    /// answer may have been lost must look whether an earlier call has landed.
    fn commit<'a>(
        &'a self,
        receipts: &'a [Receipt],
        whole: &'a Sums,
    ) -> BoxFuture<'a, Result<Committed>>;
    /// What the store calls the unfinished upload, to tell the user when it cannot be discarded.
    fn leftover(&self) -> Option<String> {
        None
    }
    /// Throws away what was written. The destination stays as it was.
    fn abort(&self) -> BoxFuture<'_, Result<()>>;
}
