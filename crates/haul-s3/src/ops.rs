//! Small operations on single objects and buckets.
//!
//! Owns stat, remove and make-bucket. Each is one attempt; the engine's retry policy goes around.

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use haul_core::{Checksum, Op, Result};

use crate::ObjectId;
use crate::client::S3Client;
use crate::source::{head, size_of, whole_checksum};

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
}

impl ObjectInfo {
    /// The checksum in base64, as S3 writes it.
    pub fn checksum_base64(&self) -> Option<String> {
        self.checksum.map(crate::checksum::encode)
    }
}

/// Looks at an object, as part of `op`.
pub async fn stat(client: &S3Client, object: &ObjectId, op: Op) -> Result<ObjectInfo> {
    let head = head(client, object, op).await?;
    Ok(ObjectInfo {
        size: size_of(&head, object, op)?,
        etag: head.e_tag().map(|e| e.trim_matches('"').to_owned()),
        version_id: head.version_id().map(str::to_owned),
        modified: head.last_modified().and_then(|t| (*t).try_into().ok()),
        content_type: head.content_type().map(str::to_owned),
        storage_class: head.storage_class().map(|c| c.as_str().to_owned()),
        metadata: head
            .metadata()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        checksum: whole_checksum(&head),
    })
}

/// Removes an object. S3 does not say whether there was one: see [`stat`].
pub async fn remove(client: &S3Client, object: &ObjectId) -> Result<()> {
    let request = client
        .sdk()
        .delete_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .set_version_id(object.version_id.clone());
    let sent = client.asking(Op::Remove, object, request.send()).await?;
    sent.map_err(|e| client.failure(Op::Remove, &object.to_string(), e))?;
    Ok(())
}

/// Whose doing it is that a bucket exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was created just now.
    New,
    /// The caller had it before, perhaps by a request whose answer was lost.
    OursAlready,
}

/// Creates a bucket in the client's region.
pub async fn make_bucket(client: &S3Client, bucket: &str) -> Result<Created> {
    // AWS wants the region named everywhere but in us-east-1, where it refuses it; other stores
    // have one region and do not ask.
    let constraint = (!client.custom_endpoint && client.region != "us-east-1").then(|| {
        CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(client.region.as_str()))
            .build()
    });
    let request =
        client.sdk().create_bucket().bucket(bucket).set_create_bucket_configuration(constraint);
    let bucket = ObjectId::new(bucket, "");
    let sent = client.asking(Op::MakeBucket, &bucket, request.send()).await?;
    match sent {
        Ok(_) => Ok(Created::New),
        Err(e) if e.code() == Some("BucketAlreadyOwnedByYou") => Ok(Created::OursAlready),
        Err(e) => Err(client.failure(Op::MakeBucket, &bucket.to_string(), e).into()),
    }
}
