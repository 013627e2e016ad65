//! Looking at single objects.
//!
//! Owns what HEAD tells. Each is one attempt; the engine's retry policy goes around.

use std::collections::BTreeMap;
use std::time::SystemTime;

use haul_core::{Checksum, ErrorKind, Op, Result};

use crate::ObjectId;
use crate::client::S3Client;
use crate::seen::{head, head_part};

/// What a store tells about an object.
#[derive(Debug, Clone)]
pub struct ObjectInfo {
    /// Bytes.
    pub size: u64,
    /// ETag without its quotes.
    pub etag: Option<String>,
    /// Version.
    pub version_id: Option<String>,
    /// Last modification.
    pub modified: Option<SystemTime>,
    /// Content type.
    pub content_type: Option<String>,
    /// Storage class; stores leave out the standard one.
    pub storage_class: Option<String>,
    /// User metadata.
    pub metadata: BTreeMap<String, String>,
    /// The checksum over the whole, if the store keeps one.
    pub checksum: Option<Checksum>,
    /// How many parts it was made of, where its ETag tells.
    pub parts: Option<i32>,
}

impl ObjectInfo {
    /// The time of modification that the object was stored with, as its metadata `mtime` has it.
    pub fn kept_modified(&self) -> Option<SystemTime> {
        crate::attributes::parse_mtime(self.metadata.get("mtime")?)
    }

    /// The checksum in base64, as S3 writes it.
    pub fn checksum_base64(&self) -> Option<String> {
        self.checksum.map(crate::checksum::encode)
    }
}

/// Looks at an object, as part of `op`.
pub async fn stat(client: &S3Client, object: &ObjectId, op: Op) -> Result<ObjectInfo> {
    let seen = head(client, object, op).await?;
    Ok(ObjectInfo {
        size: seen.size(object, op)?,
        parts: seen.parts(),
        etag: seen.bare_etag(),
        version_id: seen.version_id,
        modified: seen.modified,
        content_type: seen.attributes.content_type,
        storage_class: seen.storage_class,
        metadata: seen.attributes.metadata,
        checksum: seen.checksum,
    })
}

/// Proves that the store has the version that `object` names, before that is removed.
/// `NotFound` where it has not, or does not say so.
pub async fn prove_version(client: &S3Client, object: &ObjectId) -> Result<()> {
    crate::seen::prove_version(client, object).await
}

/// The size of the first part of an object that was made of parts, for whoever wants to compute its
/// ETag anew. `None` for an object of one piece, and where the store does not look into parts.
pub async fn first_part_size(client: &S3Client, object: &ObjectId) -> Result<Option<u64>> {
    let seen = match head_part(client, object, Op::Compare, Some(1)).await {
        Ok(seen) => seen,
        Err(e) if e.kind() == ErrorKind::Unsupported => return Ok(None),
        Err(e) => return Err(e),
    };
    // A store that takes no notice of the part's number answers with the whole.
    match seen.counted_parts {
        Some(parts) if parts > 0 => seen.size(object, Op::Compare).map(Some),
        _ => Ok(None),
    }
}
