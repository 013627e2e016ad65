//! One bucket by keys: the calls that programs look for by these names.
//!
//! Owns nothing but names: every one is a copy like any other.

use std::path::Path;

use haul_core::{Location, Report, Result};

use crate::{CopyRequest, Haul};

/// Uploads to one bucket, in parts where that is worth it (S1.7).
#[derive(Debug, Clone)]
pub struct StreamingUploader {
    client: Haul,
    bucket: String,
}

impl StreamingUploader {
    /// Uploads to `bucket` by `client`, whose settings, budget and connections it shares.
    pub fn new(client: &Haul, bucket: impl Into<String>) -> Self {
        Self { client: client.clone(), bucket: bucket.into() }
    }

    /// S1.8: uploads a file. Its size is looked at first, and decides on parts; without a content type it
    /// gets the one that its name suggests.
    ///
    /// # Errors
    ///
    /// Those of [`Haul::copy`].
    pub async fn upload_file(
        &self,
        key: &str,
        path: impl AsRef<Path>,
        content_type: Option<&str>,
    ) -> Result<Report> {
        let from = Location::Local(path.as_ref().to_owned());
        let mut request = CopyRequest::new(from, object(&self.bucket, key));
        request.attributes.content_type = content_type.map(str::to_owned);
        self.client.copy(request).await?.await
    }
}

impl Haul {
    /// S1.12: uploads a file to `bucket`, as [`StreamingUploader::upload_file`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Haul::copy`].
    pub async fn upload_file(
        &self,
        bucket: &str,
        key: &str,
        path: impl AsRef<Path>,
        content_type: Option<&str>,
    ) -> Result<Report> {
        StreamingUploader::new(self, bucket).upload_file(key, path, content_type).await
    }

    /// S1.13: copies an object within `bucket`. The store does it: no byte passes through this machine,
    /// unless the store cannot.
    ///
    /// # Errors
    ///
    /// Those of [`Haul::copy`].
    pub async fn copy_object(
        &self,
        bucket: &str,
        source_key: &str,
        dest_key: &str,
    ) -> Result<Report> {
        let (from, to) = (object(bucket, source_key), object(bucket, dest_key));
        self.copy(CopyRequest::new(from, to)).await?.await
    }
}

fn object(bucket: &str, key: &str) -> Location {
    Location::S3 { bucket: bucket.to_owned(), key: key.to_owned() }
}
