//! Uploads that the store began, and whose answer was lost.
//!
//! Owns finding and discarding them: the request was made again, and the first upload is one that nobody
//! knows of. Must never discard what may be somebody else's: only an upload of the same key, begun while
//! we tried to begin ours, which has got no part by the time that ours has all of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use haul_core::{Error, ErrorKind, Result, Retry};
use tokio::time::Instant;

use crate::ObjectId;
use crate::client::S3Client;
use crate::uploads::{abort_upload, has_parts, list_uploads};

/// Stores tell times in seconds.
const ROUNDING: Duration = Duration::from_secs(2);

/// When a request to begin an upload was made that may have begun one, although it failed. Shared by
/// the tries of one beginning.
#[derive(Debug, Default)]
pub(crate) struct Doubt(Mutex<Option<Instant>>);

impl Doubt {
    /// Notes how a request ended that was made at `began`.
    pub(crate) fn note(&self, began: Instant, e: &Error) {
        let unanswered =
            matches!(e.kind(), ErrorKind::Protocol | ErrorKind::Stalled | ErrorKind::Server);
        if unanswered && e.retry() != Retry::Never {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(began);
        }
    }

    /// How long it has been uncertain, if it has.
    pub(crate) fn lasted(&self) -> Option<Duration> {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.map(|since| since.elapsed())
    }
}

/// Discards uploads of `object` that were begun at most so long before `ours`, and have no parts.
pub(crate) async fn discard_lost(
    client: &S3Client,
    object: &ObjectId,
    ours: &str,
    within: Duration,
) -> Result<()> {
    let mut lister = list_uploads(client.clone(), &object.bucket, &object.key);
    let mut found = Vec::new();
    while let Some(page) = lister.next_page().await? {
        found.extend(page.into_iter().filter(|upload| upload.key == object.key));
    }
    let begun = found.iter().find(|upload| upload.upload_id == ours).and_then(|u| u.initiated);
    let Some(begun) = begun else { return Ok(()) };
    for upload in found.iter().filter(|upload| upload.upload_id != ours) {
        let near = upload.initiated.is_some_and(|at| match begun.duration_since(at) {
            Ok(before) => before <= within + ROUNDING,
            Err(after) => after.duration() <= ROUNDING,
        });
        if near && !has_parts(client, object, &upload.upload_id).await? {
            tracing::debug!("discarding an upload of {object} whose beginning was not answered");
            abort_upload(client, object, &upload.upload_id).await?;
        }
    }
    Ok(())
}
