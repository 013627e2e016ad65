//! Links, unfinished uploads and buckets: single requests about them.
//!
//! Owns the dispatch with the engine's retries around it.

use std::time::Duration;

use haul_core::{Error, ErrorKind, Hint, Location, Op, Result};
use haul_s3::{ObjectId, Presigned};

use crate::copy::object_of;
use crate::{Bucket, Haul, LinkMethod, PendingUpload};

impl Haul {
    /// Makes a link that carries its own signature. No request is sent: whether the object is there
    /// shows when the link is used.
    ///
    /// # Errors
    ///
    /// `Invalid` where the location is no object, or a link cannot live so long; `AccessDenied`
    /// where there are no credentials.
    pub async fn presign(
        &self,
        location: &Location,
        method: LinkMethod,
        expires: Duration,
    ) -> Result<Presigned> {
        let object = object_of(location)?;
        let client = self.dest_client().await?;
        match method {
            LinkMethod::Get { version_id } => {
                let object = ObjectId { version_id, ..object };
                haul_s3::presign_get(&client, &object, expires).await
            }
            LinkMethod::Put { content_type } => {
                haul_s3::presign_put(&client, &object, expires, content_type.as_deref()).await
            }
        }
    }

    /// The multipart uploads below a bucket or prefix that were begun and never finished.
    ///
    /// # Errors
    ///
    /// `Invalid` where the location is in no store; `NotFound` where there is no such bucket, and
    /// what [requests and disks](crate#errors) may end with.
    pub async fn uploads(&self, location: &Location) -> Result<Vec<PendingUpload>> {
        let this = self.begin();
        let Location::S3 { bucket, key } = location else {
            let what = "it is no bucket or prefix";
            return Err(Error::new(ErrorKind::Invalid, Op::List, location, what)
                .with_hint(Hint::WriteBucket));
        };
        let client = this.dest_client().await?;
        let lister = tokio::sync::Mutex::new(haul_s3::list_uploads(client, bucket, key));
        let mut found = Vec::new();
        let next = || async { lister.lock().await.next_page().await };
        while let Some(page) = this.retried(location, next).await? {
            found.extend(page.into_iter().map(|upload| PendingUpload {
                location: Location::S3 { bucket: bucket.clone(), key: upload.key },
                id: upload.upload_id,
                initiated: upload.initiated,
            }));
        }
        Ok(found)
    }

    /// Throws an unfinished upload away, with all its parts.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no such upload, and what [requests and disks](crate#errors) may
    /// end with.
    pub async fn abort_upload(&self, upload: &PendingUpload) -> Result<()> {
        let object = object_of(&upload.location)?;
        let client = self.dest_client().await?;
        let abort = || haul_s3::abort_upload(&client, &object, &upload.id);
        self.retried(&upload.location, abort).await
    }

    /// The buckets of the caller.
    ///
    /// # Errors
    ///
    /// What [requests](crate#errors) may end with.
    pub async fn buckets(&self) -> Result<Vec<Bucket>> {
        let client = self.source_client().await?;
        let everything = Location::S3 { bucket: String::new(), key: String::new() };
        let buckets = self.retried(&everything, || haul_s3::list_buckets(&client)).await?;
        Ok(buckets.into_iter().map(|b| Bucket { name: b.name, created: b.created }).collect())
    }

    /// Removes an empty bucket.
    ///
    /// # Errors
    ///
    /// `Invalid` where the location is no bucket; `NotFound`; `Rejected` where it is not empty, and
    /// what [requests and disks](crate#errors) may end with.
    pub async fn remove_bucket(&self, location: &Location) -> Result<()> {
        let bucket = match location {
            Location::S3 { bucket, key } if key.is_empty() => bucket,
            _ => {
                let what = "it is no bucket";
                return Err(Error::new(ErrorKind::Invalid, Op::RemoveBucket, location, what)
                    .with_hint(Hint::WriteBucket));
            }
        };
        let client = self.dest_client().await?;
        self.retried(location, || haul_s3::remove_bucket(&client, bucket)).await
    }
}
