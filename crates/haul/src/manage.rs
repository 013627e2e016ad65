//! Looking at, removing and creating single things.
//!
//! Owns the dispatch of small operations to backends, with the engine's retries around them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use haul_core::handle::JobContext;
use haul_core::{Error, ErrorKind, Hint, Location, Op, Result};
use haul_s3::{Created, ObjectId, ObjectInfo};

use crate::Haul;
use crate::copy::object_of;

/// What is known about a file or object.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Stat {
    /// A file or folder on this machine.
    File {
        /// Bytes.
        size: u64,
        /// Last modification.
        modified: Option<SystemTime>,
        /// Whether it is a folder.
        folder: bool,
    },
    /// An object in a store.
    Object(ObjectInfo),
}

impl Haul {
    /// Looks at a file or object.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Invalid` where the location is a bucket, a URL or a stream, and what [requests
    /// and disks](crate#errors) may end with.
    pub async fn stat(&self, location: &Location, version_id: Option<String>) -> Result<Stat> {
        if let Location::Local(path) = location {
            let (path, place) = (path.clone(), location.to_string());
            let looked = tokio::task::spawn_blocking(move || std::fs::metadata(path)).await;
            let metadata = looked
                .map_err(std::io::Error::other)
                .flatten()
                .map_err(|e| Error::io(Op::Stat, place, e))?;
            return Ok(Stat::File {
                size: metadata.len(),
                modified: metadata.modified().ok(),
                folder: metadata.is_dir(),
            });
        }
        let object = ObjectId { version_id, ..object_of(location)? };
        let client = self.source_client().await?;
        let info = self.retried(location, || haul_s3::stat(&client, &object, Op::Stat)).await?;
        Ok(Stat::Object(info))
    }

    /// Removes one object; `NotFound` when there is none.
    ///
    /// # Errors
    ///
    /// `NotFound`, also where the store does not tell the version that was named; `Invalid` where
    /// the location is no object, and what [requests and disks](crate#errors) may end with.
    pub async fn remove(&self, location: &Location, version_id: Option<String>) -> Result<()> {
        let this = self.begin();
        let object = ObjectId { version_id, ..object_of(location)? };
        let client = this.dest_client().await?;
        // S3 says nothing when there is no such object; a script that removes the wrong key should
        // hear of it. A store without versions would remove what is there now, whatever version was
        // named.
        if object.version_id.is_none() {
            this.retried(location, || haul_s3::stat(&client, &object, Op::Remove)).await?;
        } else {
            this.retried(location, || haul_s3::prove_version(&client, &object)).await?;
        }
        this.retried(location, || haul_s3::remove(&client, &object)).await
    }

    /// Creates a bucket.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, whoever it belongs to; `Invalid` where the location is no bucket, and what
    /// [requests and disks](crate#errors) may end with.
    pub async fn make_bucket(&self, location: &Location) -> Result<()> {
        let bucket = match location {
            Location::S3 { bucket, key } if key.is_empty() => bucket,
            _ => {
                let what = "it is no bucket";
                return Err(Error::new(ErrorKind::Invalid, Op::MakeBucket, location, what)
                    .with_hint(Hint::WriteBucket));
            }
        };
        let client = self.dest_client().await?;
        let tries = AtomicU32::new(0);
        let attempt = || async {
            let first = tries.fetch_add(1, Ordering::Relaxed) == 0;
            match haul_s3::make_bucket(&client, bucket).await? {
                // An answer was lost: it is ours because of our own earlier try.
                Created::New => Ok(()),
                Created::OursAlready if !first => Ok(()),
                Created::OursAlready => {
                    let what = "you have this bucket already";
                    Err(Error::new(ErrorKind::AlreadyExists, Op::MakeBucket, location, what))
                }
            }
        };
        self.retried(location, attempt).await
    }

    pub(crate) async fn retried<T, F, Fut>(&self, location: &Location, attempt: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let cx = JobContext::unwatched(self.stop.token());
        let policy = self.options.engine.retry;
        self.engine.retrying(policy, &cx, &location.to_string(), attempt).await
    }
}
