//! Not uploading twice what the store has already: `--dedupe`.
//!
//! Owns the use of the content index: a file's content is looked up by its BLAKE3, and an object that
//! is said to have it is looked at before it is used (U1.3). The index is a hint and must never be
//! the reason for a wrong object: what is gone, empty or changed is no hit and is forgotten.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use haul_core::handle::JobContext;
use haul_core::{Attributes, Engine, ErrorKind, Op, Result, Verified};
use haul_local::{Identity, Wanted, content_type_of, digest};
use haul_s3::{ObjectId, ObjectInfo, S3Client};
use haul_state::{FileId, Known, SharedIndex};
use tokio::sync::OwnedMutexGuard;

use crate::Haul;
use crate::compare::{self, Verdict};
use crate::picks::{Origin, Pick};
use crate::place::Place;

type Turns = Arc<Mutex<HashMap<[u8; 32], Arc<tokio::sync::Mutex<()>>>>>;

/// The index and the store it is asked about.
#[derive(Debug, Clone)]
pub(crate) struct Dedupe {
    engine: Engine,
    index: SharedIndex,
    place: haul_state::Place,
    /// Files with one content go one after the other, so that the second finds the first.
    turns: Turns,
}

/// What a file contains.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    blake3: [u8; 32],
    size: u64,
}

/// Where the store has a content already.
#[derive(Debug)]
pub(crate) enum Hit {
    /// At another key.
    Elsewhere(ObjectId),
    /// At the very key that it is to get.
    There,
}

/// What an object gets from the file that it would have been uploaded from.
pub(crate) fn attributes(pick: &Pick, keep_times: bool) -> Attributes {
    let mut attributes = Attributes::default();
    if let Origin::File(path) = &pick.from {
        attributes.content_type = content_type_of(path);
    }
    attributes.modified = pick.entry.modified.filter(|_| keep_times);
    attributes
}

impl Haul {
    /// The index in the file at `path`, for uploads to `place`.
    pub(crate) fn dedupe(&self, path: Option<&Path>, place: &Place) -> Option<Dedupe> {
        let Place::Store { client, bucket, .. } = place else { return None };
        let endpoint = client.endpoint().unwrap_or("aws").to_owned();
        let place = haul_state::Place { endpoint, bucket: bucket.clone() };
        let index = SharedIndex::open(path?);
        Some(Dedupe { engine: self.engine.clone(), index, place, turns: Turns::default() })
    }
}

impl Dedupe {
    /// What a file contains: remembered from an earlier run while the file is unchanged, else read.
    /// An empty file is nothing to look for.
    pub(crate) async fn content(&self, path: &Path, cx: &JobContext) -> Result<Option<Content>> {
        let identity = Identity::at(path).await?;
        if identity.size == 0 {
            return Ok(None);
        }
        if let Some(blake3) = self.index.file_digest(id_of(identity)).await? {
            return Ok(Some(Content { blake3, size: identity.size }));
        }
        let reading = digest(path, Wanted { blake3: true, ..Wanted::default() }, |_| ());
        let read = cx.cancel.run_until_cancelled(reading).await;
        let read =
            read.unwrap_or_else(|| Err(haul_core::Error::cancelled(Op::Read, path.display())))?;
        let Some(blake3) = read.blake3 else { return Ok(None) };
        self.index.remember_file_digests(vec![(id_of(read.identity), blake3)]).await?;
        Ok(Some(Content { blake3, size: read.sums.len() }))
    }

    /// Waits until no other file with this content is on its way.
    pub(crate) async fn turn(&self, content: Content) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody holds or waits for it: forget it, so that the map stays as small as the crew.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(content.blake3).or_default())
        };
        turn.lock_owned().await
    }

    /// Where the store has the content already, as shown by a look at the object.
    pub(crate) async fn find(
        &self,
        client: &S3Client,
        content: Content,
        to: &ObjectId,
        cx: &JobContext,
    ) -> Result<Option<Hit>> {
        let known = self.index.find(&self.place, content.blake3, content.size).await?;
        let Some(known) = known else { return Ok(None) };
        let object = ObjectId::new(&self.place.bucket, &known.key);
        let look = || haul_s3::stat(client, &object, Op::Open);
        let policy = self.engine.options().retry.first_contact();
        let intact = match self.engine.retrying(policy, cx, &object.to_string(), look).await {
            Ok(info) => Some(info).filter(|info| {
                info.size == content.size && info.etag.as_deref() == Some(&known.etag)
            }),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::AccessDenied) => None,
            Err(e) => return Err(e),
        };
        let Some(intact) = intact else {
            self.index.forget(&self.place, vec![known.key]).await?;
            return Ok(None);
        };
        let there = object == *to || self.has_the_same(client, &intact, to, cx).await;
        Ok(Some(if there { Hit::There } else { Hit::Elsewhere(object) }))
    }

    /// Whether the destination is right already: a copy would change nothing. That it cannot be looked
    /// at is no failure: the copy will tell.
    async fn has_the_same(
        &self,
        client: &S3Client,
        known: &ObjectInfo,
        to: &ObjectId,
        cx: &JobContext,
    ) -> bool {
        let looked = compare::look(&self.engine, cx, client, to).await;
        let verdict = looked.map(|there| compare::objects(known, &there));
        let proved = |by| by != Verified::Size;
        matches!(verdict, Ok(Verdict::Same(by)) if proved(by))
    }

    /// Remembers what an upload brought. The upload has succeeded: that the index cannot be written
    /// is worth a warning, and no failure.
    pub(crate) async fn record(&self, content: Content, object: &ObjectId, etag: Option<&str>) {
        let Some(etag) = etag else { return };
        let etag = etag.trim_matches('"').to_owned();
        let known = Known { key: object.key.clone(), etag, size: content.size };
        let content = haul_state::Content { blake3: content.blake3, object: known };
        if let Err(e) = self.index.record(&self.place, vec![content]).await {
            tracing::warn!("{e}");
        }
    }
}

fn id_of(identity: Identity) -> FileId {
    let Identity { device, inode, size, modified, changed, .. } = identity;
    FileId { device, inode, size, modified, changed }
}
