//! Multipart uploads that were begun and not ended.
//!
//! Owns finding and discarding them: their parts cost money, and no listing of objects shows them.

use std::collections::HashSet;
use std::time::SystemTime;

use aws_sdk_s3::types::EncodingType;
use haul_core::{Error, ErrorKind, Op, Result};

use crate::ObjectId;
use crate::client::S3Client;
use crate::list::decode_listed;

/// An upload in progress, or left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingUpload {
    /// The key it is for.
    pub key: String,
    /// What the store calls it.
    pub upload_id: String,
    /// When it was begun.
    pub initiated: Option<SystemTime>,
}

/// Lists unfinished uploads, page by page.
#[derive(Debug)]
pub struct UploadLister {
    client: S3Client,
    bucket: String,
    prefix: String,
    next: Marker,
    /// Markers that were followed: there are few, as uploads are.
    passed: HashSet<Marker>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Marker {
    Start,
    After(String, Option<String>),
    End,
}

/// The uploads of a bucket whose keys begin with `prefix`.
pub fn list_uploads(
    client: S3Client,
    bucket: impl Into<String>,
    prefix: impl Into<String>,
) -> UploadLister {
    let (bucket, prefix) = (bucket.into(), prefix.into());
    UploadLister { client, bucket, prefix, next: Marker::Start, passed: HashSet::new() }
}

impl UploadLister {
    /// The next page; `None` at the end. After an error the same page is asked for again.
    pub async fn next_page(&mut self) -> Result<Option<Vec<PendingUpload>>> {
        let (key_marker, id_marker) = match &self.next {
            Marker::End => return Ok(None),
            Marker::Start => (None, None),
            Marker::After(key, id) => (Some(key.clone()), id.clone()),
        };
        let location = ObjectId::new(&self.bucket, &self.prefix);
        let at = self.client.at(&self.bucket).await;
        let request = at
            .list_multipart_uploads()
            .bucket(&self.bucket)
            .set_prefix((!self.prefix.is_empty()).then(|| self.prefix.clone()))
            // Keys are not asked for in encoded form: Ceph encodes these and does not say so, and an
            // upload would be listed, and aborted, under a name that it does not have.
            .set_key_marker(key_marker)
            .set_upload_id_marker(id_marker);
        let sent = self.client.asking(Op::List, &location, request.send()).await?;
        let answer = sent.map_err(|e| at.failure(Op::List, &location.to_string(), e))?;
        let encoded = answer.encoding_type == Some(EncodingType::Url);
        let wrong = |what: &str| Error::new(ErrorKind::Protocol, Op::List, &location, what);
        let decode = |key: &str| {
            decode_listed(key, encoded).ok_or_else(|| wrong("a key in the listing is not UTF-8"))
        };
        let mut page = Vec::new();
        for upload in answer.uploads.unwrap_or_default() {
            if let (Some(key), Some(upload_id)) = (upload.key, upload.upload_id) {
                let initiated = upload.initiated.and_then(|t| t.try_into().ok());
                page.push(PendingUpload { key: decode(&key)?, upload_id, initiated });
            }
        }
        let next = match (answer.is_truncated, answer.next_key_marker) {
            (Some(true), Some(key)) => {
                let id = answer.next_upload_id_marker.filter(|id| !id.is_empty());
                Marker::After(decode(&key)?, id)
            }
            (Some(true), None) => return Err(wrong("the store has more, and does not say where")),
            _ => Marker::End,
        };
        let again = self.passed.contains(&next) || next == self.next || page.is_empty();
        if next != Marker::End && again {
            return Err(wrong("the store sends the same page again and again"));
        }
        self.passed.insert(next.clone());
        self.next = next;
        Ok(Some(page))
    }
}

/// Discards an unfinished upload; one that is gone already is fine.
pub async fn abort_upload(client: &S3Client, object: &ObjectId, upload_id: &str) -> Result<()> {
    let at = client.at(&object.bucket).await;
    let request =
        at.abort_multipart_upload().bucket(&object.bucket).key(&object.key).upload_id(upload_id);
    let aborted = client.asking(Op::Abort, object, request.send()).await?;
    match aborted.map_err(|e| Error::from(at.failure(Op::Abort, &object.to_string(), e))) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
