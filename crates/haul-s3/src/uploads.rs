//! Multipart uploads that were begun and not ended.
//!
//! Owns finding and discarding them: their parts cost money, and no listing of objects shows them.

use std::collections::HashSet;
use std::time::SystemTime;

use haul_core::{Error, ErrorKind, Op, Result, Retry};

use crate::ObjectId;
use crate::client::S3Client;
use crate::kept::Kept;
use crate::list::decode_listed;
use crate::xml::{Malformed, Parsed, Xml};

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
        let kept = Kept::new("ListMultipartUploadsResult");
        let request = at
            .list_multipart_uploads()
            .bucket(&self.bucket)
            .set_prefix((!self.prefix.is_empty()).then(|| self.prefix.clone()))
            // Keys are not asked for in encoded form: Ceph encodes these and does not say so, and an
            // upload would be listed, and aborted, under a name that it does not have.
            .set_key_marker(key_marker)
            .set_upload_id_marker(id_marker)
            .customize()
            .interceptor(kept.clone());
        let sent = self.client.asking(Op::List, &location, request.send()).await?;
        sent.map_err(|e| at.failure(Op::List, &location.to_string(), e))?;
        let sheet = kept.read(Op::List, &location.to_string(), Sheet::read)?;
        let wrong = |what: &str| Error::new(ErrorKind::Protocol, Op::List, &location, what);
        let decode = |key: &str| {
            let decoded = decode_listed(key, sheet.encoded);
            decoded.ok_or_else(|| wrong("a key in the listing is not UTF-8"))
        };
        let mut page = Vec::with_capacity(sheet.uploads.len());
        for upload in sheet.uploads {
            page.push(PendingUpload { key: decode(&upload.key)?, ..upload });
        }
        let next = match (sheet.truncated, sheet.key_marker) {
            (true, Some(key)) => Marker::After(decode(&key)?, sheet.id_marker),
            (true, None) => return Err(wrong("the store has more, and does not say where")),
            (false, _) => Marker::End,
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

/// One page as its document has it.
#[derive(Debug, Default)]
struct Sheet {
    uploads: Vec<PendingUpload>,
    encoded: bool,
    truncated: bool,
    key_marker: Option<String>,
    id_marker: Option<String>,
}

impl Sheet {
    fn read(text: &[u8], root: &'static str) -> Parsed<Self> {
        let (mut sheet, mut truncated) = (Self::default(), None);
        Xml::document(text, root, |xml, name| {
            match name {
                b"Upload" => sheet.uploads.push(upload(xml)?),
                b"IsTruncated" => truncated = Some(xml.flag()?),
                b"EncodingType" => sheet.encoded = xml.text()?.trim() == "url",
                b"NextKeyMarker" => sheet.key_marker = xml.some_text()?,
                b"NextUploadIdMarker" => sheet.id_marker = xml.some_text()?,
                _ => {}
            }
            Ok(())
        })?;
        sheet.truncated =
            truncated.ok_or_else(|| Malformed::new("it does not say whether there is more"))?;
        Ok(sheet)
    }
}

fn upload(xml: &mut Xml<'_>) -> Parsed<PendingUpload> {
    let (mut key, mut id, mut initiated) = (None, None, None);
    xml.children(|xml, name| {
        match name {
            b"Key" => key = Some(xml.text()?.into_owned()),
            b"UploadId" => id = xml.some_text()?,
            b"Initiated" => initiated = xml.time()?,
            _ => {}
        }
        Ok(())
    })?;
    let (Some(key), Some(upload_id)) = (key, id) else {
        return Err(Malformed::new("it lists an upload without its key or its id"));
    };
    Ok(PendingUpload { key, upload_id, initiated })
}

/// Discards an unfinished upload; one that is gone already is fine. It waits for no other request: what
/// discards comes after a failure, when others may hold the gate for long.
pub async fn abort_upload(client: &S3Client, object: &ObjectId, upload_id: &str) -> Result<()> {
    let at = client.at(&object.bucket).await;
    let request =
        at.abort_multipart_upload().bucket(&object.bucket).key(&object.key).upload_id(upload_id);
    let aborted = client.asking_aside(Op::Abort, object, request.send()).await?;
    match aborted.map_err(|e| Error::from(at.failure(Op::Abort, &object.to_string(), e))) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(_) => see_it_gone(client, object, upload_id).await,
    }
}

/// A part that was on its way when its upload was discarded may be stored after that, and is paid for
/// until it is discarded as well (API reference, AbortMultipartUpload). Who may not look, or cannot, has
/// to take the store's word.
async fn see_it_gone(client: &S3Client, object: &ObjectId, upload_id: &str) -> Result<()> {
    if has_parts(client, object, upload_id).await.unwrap_or_default() {
        let what = "a part was stored after it was discarded";
        return Err(
            Error::new(ErrorKind::Server, Op::Abort, object, what).with_retry(Retry::Backoff)
        );
    }
    Ok(())
}

/// Whether an upload has any part; one that is gone has none.
pub(crate) async fn has_parts(
    client: &S3Client,
    object: &ObjectId,
    upload_id: &str,
) -> Result<bool> {
    let at = client.at(&object.bucket).await;
    let request = at.list_parts().bucket(&object.bucket).key(&object.key).upload_id(upload_id);
    let sent = client.asking_aside(Op::Abort, object, request.max_parts(1).send()).await?;
    match sent.map_err(|e| Error::from(at.failure(Op::Abort, &object.to_string(), e))) {
        Ok(left) => Ok(!left.parts().is_empty()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
