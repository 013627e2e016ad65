//! Removing objects.
//!
//! Owns DeleteObject and DeleteObjects. S3 does not say whether there was anything to remove; must
//! never remove more than it was told to.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use aws_sdk_s3::config::http::HttpRequest;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use haul_core::{Error, ErrorKind, Op, Result, Retry};
use md5::{Digest as _, Md5};

use crate::ObjectId;
use crate::client::S3Client;
use crate::error::refused_key;
use crate::kept::Kept;
use crate::proven::{changed, compares_when_removing};
use crate::xml::{Parsed, Xml};

/// Most keys in one request (API reference, DeleteObjects).
pub const DELETE_LIMIT: usize = 1000;

/// Something to remove: whatever has this key, or less than that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doomed {
    /// Its key.
    pub key: String,
    /// This version alone, and not what is current.
    pub version_id: Option<String>,
    /// Only what has this ETag, without quotes. For stores that compare by themselves:
    /// [`compares_when_removing`].
    pub etag: Option<String>,
}

impl Doomed {
    /// Whatever has this key.
    pub fn key(key: impl Into<String>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }
}

/// Removes an object. S3 does not say whether there was one: see [`stat`](crate::stat).
pub async fn remove(client: &S3Client, object: &ObjectId) -> Result<()> {
    remove_if(client, object, None).await
}

/// Removes an object; with an ETag, by the store's own comparison.
pub(crate) async fn remove_if(
    client: &S3Client,
    object: &ObjectId,
    etag: Option<&str>,
) -> Result<()> {
    let at = client.at(&object.bucket).await;
    let request = at
        .delete_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .set_version_id(object.version_id.clone())
        .set_if_match(etag.map(|etag| format!("\"{etag}\"")));
    let sent = client.asking(Op::Remove, object, request.send()).await?;
    sent.map_err(|e| at.failure(Op::Remove, &object.to_string(), e))?;
    Ok(())
}

/// Removes up to [`DELETE_LIMIT`] keys with as few requests as the store allows. Returns the index and
/// the error of each that could not be removed: what has another ETag than the one that was given is
/// [`SourceChanged`](ErrorKind::SourceChanged), and stays. An error of the whole means that the request
/// failed and may be made again.
pub async fn remove_many(
    client: &S3Client,
    bucket: &str,
    keys: &[Doomed],
) -> Result<Vec<(usize, Error)>> {
    if keys.iter().any(|doomed| doomed.etag.is_some()) && !compares_when_removing(client) {
        let what = "this store does not compare what it removes";
        return Err(Error::new(
            ErrorKind::Unsupported,
            Op::Remove,
            ObjectId::new(bucket, ""),
            what,
        ));
    }
    if keys.len() > DELETE_LIMIT {
        let what = format!("{} keys at once are more than {DELETE_LIMIT}", keys.len());
        return Err(Error::new(ErrorKind::Invalid, Op::Remove, ObjectId::new(bucket, ""), what));
    }
    let (mut batch, mut single) = (Vec::new(), Vec::new());
    let alone = client.learned.no_delete_objects.load(Ordering::Relaxed);
    for (index, Doomed { key, .. }) in keys.iter().enumerate() {
        if alone || !survives_xml(key) { single.push(index) } else { batch.push(index) }
    }
    let mut failed = Vec::new();
    // The batch first: should it fail as a whole, nothing else was done yet.
    if let [index] = batch[..] {
        single.push(index);
    } else if !batch.is_empty() {
        match remove_batch(client, bucket, keys, &batch).await {
            Ok(refused) => failed = refused,
            Err(e) if e.kind() == ErrorKind::Unsupported => {
                tracing::info!("this store has no DeleteObjects: removing one by one");
                client.learned.no_delete_objects.store(true, Ordering::Relaxed);
                single.append(&mut batch);
            }
            Err(e) => return Err(e),
        }
    }
    let alone = single.into_iter().map(|index| async move {
        let Doomed { key, version_id, etag } = keys[index].clone();
        let object = ObjectId { bucket: bucket.to_owned(), key, version_id };
        remove_if(client, &object, etag.as_deref()).await.err().map(|e| (index, e))
    });
    let mut alone = futures::stream::iter(alone).buffer_unordered(client.gate.limit());
    while let Some(result) = alone.next().await {
        failed.extend(result);
    }
    failed.retain_mut(|(index, e)| {
        let Doomed { key, etag, .. } = &keys[*index];
        if etag.is_some() && e.kind() == ErrorKind::AlreadyExists {
            *e = changed(
                Op::Remove,
                &ObjectId::new(bucket, key),
                "it is not what was listed any more: it stays",
            );
        }
        // With a condition, stores say so where there is nothing.
        !(etag.is_some() && e.kind() == ErrorKind::NotFound)
    });
    failed.sort_by_key(|(index, _)| *index);
    Ok(failed)
}

/// One DeleteObjects request for the keys at `indices`.
async fn remove_batch(
    client: &S3Client,
    bucket: &str,
    keys: &[Doomed],
    indices: &[usize],
) -> Result<Vec<(usize, Error)>> {
    let location = ObjectId::new(bucket, "");
    let invalid = |e| {
        Error::new(ErrorKind::Invalid, Op::Remove, &location, "the keys make no request")
            .with_source(e)
    };
    let mut delete = Delete::builder().quiet(true);
    for index in indices {
        let Doomed { key, version_id, etag } = &keys[*index];
        let id = ObjectIdentifier::builder().key(key).set_version_id(version_id.clone());
        // "Entity tags don't need to be wrapped in quotes" (API reference, ObjectIdentifier).
        let id = id.set_e_tag(etag.clone());
        delete = delete.objects(id.build().map_err(invalid)?);
    }
    let at = client.at(bucket).await;
    let kept = Kept::new("DeleteResult");
    let request = at
        .delete_objects()
        .bucket(bucket)
        .delete(delete.build().map_err(invalid)?)
        .customize()
        .mutate_request(md5_instead)
        .interceptor(kept.clone());
    let sent = client.asking(Op::Remove, &location, request.send()).await?;
    sent.map_err(|e| at.failure(Op::Remove, &location.to_string(), e))?;
    // "Quiet" asks for what could not be removed alone: a whole answer without a key is the store's
    // word that it removed it.
    let refused = kept.read(Op::Remove, &location.to_string(), refusals)?;
    if refused.is_empty() {
        return Ok(Vec::new());
    }
    let by_key: HashMap<_, _> = indices
        .iter()
        .map(|index| ((keys[*index].key.as_str(), keys[*index].version_id.as_deref()), *index))
        .collect();
    let mut failed = Vec::with_capacity(refused.len());
    for Refusal { key, version, code, message } in refused {
        // Some stores name the version of a key that was asked for without one.
        let named = by_key.get(&(key.as_str(), version.as_deref()));
        let index = named.or_else(|| by_key.get(&(key.as_str(), None)));
        let Some(index) = index else {
            let what = format!("the store complains about {key:?}, which was not to be removed");
            return Err(Error::new(ErrorKind::Protocol, Op::Remove, &location, what)
                .with_retry(Retry::Backoff));
        };
        let object = ObjectId::new(bucket, key.as_str()).to_string();
        let error = refused_key(Op::Remove, &object, code.as_deref(), message.as_deref());
        failed.push((*index, error));
    }
    Ok(failed)
}

/// A key that a store did not remove.
#[derive(Debug, Default)]
struct Refusal {
    key: String,
    version: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

/// What an answer of DeleteObjects says was not removed.
fn refusals(text: &[u8], root: &'static str) -> Parsed<Vec<Refusal>> {
    let mut all = Vec::new();
    Xml::document(text, root, |xml, name| {
        if name == b"Error" {
            let mut refusal = Refusal::default();
            xml.children(|xml, name| {
                match name {
                    b"Key" => refusal.key = xml.text()?.into_owned(),
                    b"VersionId" => refusal.version = xml.some_text()?,
                    b"Code" => refusal.code = xml.some_text()?,
                    b"Message" => refusal.message = xml.some_text()?,
                    _ => {}
                }
                Ok(())
            })?;
            all.push(refusal);
        }
        Ok(())
    })?;
    Ok(all)
}

/// S3 wants the body's integrity proved. `Content-MD5` is what every store has understood from the
/// beginning; the SDK's CRC32 header is refused by some, and two proofs by others.
fn md5_instead(request: &mut HttpRequest) {
    let Some(body) = request.body().bytes() else { return };
    let md5 = STANDARD.encode(Md5::digest(body));
    let names: Vec<String> = request.headers().iter().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        let checksum =
            name.starts_with("x-amz-checksum-") || name == "x-amz-sdk-checksum-algorithm";
        if checksum {
            request.headers_mut().remove(&name);
        }
    }
    request.headers_mut().insert("content-md5", md5);
}

/// Whether a key is the same after a way through XML 1.0, whatever the parser: no control characters,
/// which have no place in it, no line ends, which are normalised, and no spaces that may be trimmed.
fn survives_xml(key: &str) -> bool {
    let plain = |c: char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{2028}');
    key.chars().all(plain) && key.trim() == key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_xml_would_change_go_alone() {
        for key in ["a\nb", "tab\t", "\u{1b}[31m", " a", "a ", "\u{85}", "\u{ffff}", "cr\r"] {
            assert!(!survives_xml(key), "{key:?}");
        }
        for key in ["a b", "<&>\"'", "ünï", "\u{202e}", "\u{10ffff}", "a//b", "%00"] {
            assert!(survives_xml(key), "{key:?}");
        }
    }
}
