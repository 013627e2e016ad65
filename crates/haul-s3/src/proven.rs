//! Removing an object that was moved.
//!
//! Owns the last step of a move: the object goes only if it is still what was read. Where the store
//! compares by itself (`If-Match`), it does; elsewhere a look comes just before. It must never remove
//! what it was given no proof of.

use std::sync::atomic::Ordering;

use haul_core::{Error, ErrorKind, Hint, ObjectStamp, Op, Result};

use crate::ObjectId;
use crate::client::S3Client;
use crate::remove::remove_if;
use crate::seen::head;

/// What an object is now, for [`remove_proven`].
pub async fn stamp(client: &S3Client, object: &ObjectId) -> Result<ObjectStamp> {
    head(client, object, Op::Open).await?.stamp(object, Op::Open)
}

/// Whether the store itself removes an object only while it has a given ETag; elsewhere a look has to
/// come just before.
pub fn compares_when_removing(client: &S3Client) -> bool {
    let learned = &client.learned.removes_plainly;
    client.quirks().conditional_delete && !learned.load(Ordering::Relaxed)
}

/// Removes an object, if it is still what was `read`. What is gone already is no error, because the
/// answer to an earlier try may have been lost; what has changed is
/// [`SourceChanged`](ErrorKind::SourceChanged), and stays.
pub async fn remove_proven(client: &S3Client, object: &ObjectId, read: &ObjectStamp) -> Result<()> {
    if !read.tells() {
        let what = "nothing tells one content of it from another: the source stays";
        return Err(Error::new(ErrorKind::Unsupported, Op::Move, object, what)
            .with_hint(Hint::CopyThenRemove));
    }
    let (quirks, learned) = (client.quirks(), &client.learned.removes_plainly);
    let may_ask = (quirks.conditional_delete || !quirks.known) && !learned.load(Ordering::Relaxed);
    let etag = read.strong_etag().filter(|_| may_ask);
    // A store that is not known to compare may leave the condition out without a word.
    if !(compares_when_removing(client) && etag.is_some()) {
        match stamp(client, object).await {
            Ok(now) if now == *read => {}
            Ok(_) => return Err(changed(Op::Move, object, SINCE_COPIED)),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        }
    }
    // Without a version: what goes is what is current, and a bucket with versions keeps them all.
    match remove_if(client, &ObjectId::new(&object.bucket, &object.key), etag).await {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        // What a failed precondition is about, when something is removed.
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            Err(changed(Op::Move, object, SINCE_COPIED))
        }
        Err(e)
            if etag.is_some()
                && matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::Rejected) =>
        {
            tracing::info!("this store removes nothing under a condition: looking before instead");
            learned.store(true, Ordering::Relaxed);
            Box::pin(remove_proven(client, object, read)).await
        }
        removed => removed,
    }
}

const SINCE_COPIED: &str = "it changed after it was copied: the source stays";

/// The error for an object that stays, because it is another by now.
pub(crate) fn changed(op: Op, object: &ObjectId, what: &str) -> Error {
    Error::new(ErrorKind::SourceChanged, op, object, what).with_hint(Hint::TryAgainUnwritten)
}
