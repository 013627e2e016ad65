//! Not uploading twice what the store has already.
//!
//! Owns the use of the content index: a file's content is looked up by its BLAKE3, and an object that
//! is said to have it is looked at before it is used (U1.3). The index is a hint and must never be
//! the reason for a wrong object: what is gone, empty or changed is no hit and is forgotten, and what
//! is recorded is what was read. Nor may it be the reason for a failure: an index that cannot be used
//! costs a note.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use haul_core::handle::JobContext;
use haul_core::{Attributes, Engine, ErrorKind, Event, FileStamp, Op, Result};
use haul_local::{Wanted, content_type_of, digest, stamp_at};
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
    /// Set once the index turned out to be unusable: for the rest of the job it is not asked.
    off: Arc<AtomicBool>,
}

/// What a file contains, as long as it is what it was when that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    blake3: [u8; 32],
    stamp: FileStamp,
}

impl Content {
    /// The file as it was when that was read.
    pub(crate) fn stamp(&self) -> FileStamp {
        self.stamp
    }

    /// Whether the file at `path` still has it. The stamp holds a time that nobody can set.
    pub(crate) async fn is_still_at(&self, path: &Path) -> bool {
        stamp_at(path).await.is_ok_and(|now| now == self.stamp)
    }
}

/// Where the store has a content already.
#[derive(Debug)]
pub(crate) struct Hit {
    /// Where it is, under which ETag.
    pub(crate) from: (ObjectId, String),
    /// What is at the very key that it is to get, if that has it, too.
    there: Option<ObjectInfo>,
}

impl Hit {
    /// Whether an upload would change nothing: the content is there, and what is asked for beside it, as
    /// far as a look at the object tells.
    pub(crate) fn is_as_asked(&self, asked: &Attributes, modified: Option<SystemTime>) -> bool {
        let Some(there) = &self.there else { return false };
        let mut seen = Attributes::default();
        seen.content_type = there.content_type.clone().filter(|_| asked.content_type.is_some());
        seen.storage_class = there.storage_class.clone().filter(|_| asked.storage_class.is_some());
        seen.modified = asked.modified;
        let kept = |key: &String| Some((key.clone(), there.metadata.get(key)?.clone()));
        seen.metadata = asked.metadata.keys().filter_map(kept).collect();
        seen == *asked && modified.is_none_or(|time| there.kept_modified() == Some(time))
    }
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
        let (turns, off) = (Turns::default(), Arc::default());
        Some(Dedupe { engine: self.engine.clone(), index, place, turns, off })
    }
}

impl Dedupe {
    /// What the index said, if it can be used. One that is damaged, locked or full is left alone from
    /// then on: the files are what counts.
    fn usable<T>(&self, said: Result<T>, cx: &JobContext) -> Option<T> {
        let e = match said {
            Ok(said) => return Some(said),
            Err(e) => e,
        };
        if !self.off.swap(true, Ordering::Relaxed) {
            let text = format!("going on without the index of contents: {e}").into();
            cx.events.send(Event::Note { text, hint: e.hint().cloned() });
        }
        None
    }

    fn is_off(&self) -> bool {
        self.off.load(Ordering::Relaxed)
    }

    /// What a file contains: remembered from an earlier run while the file is unchanged, else read.
    /// An empty file is nothing to look for, nor is one that somebody writes to, nor anything once the
    /// index cannot be used.
    pub(crate) async fn content(&self, path: &Path, cx: &JobContext) -> Result<Option<Content>> {
        let stamp = stamp_at(path).await?;
        if stamp.size == 0 || self.is_off() {
            return Ok(None);
        }
        let remembered = self.index.file_digest(id_of(stamp)).await;
        match self.usable(remembered, cx) {
            None => return Ok(None),
            Some(Some(blake3)) => return Ok(Some(Content { blake3, stamp })),
            Some(None) => {}
        }
        let reading = digest(path, Wanted { blake3: true, ..Wanted::default() }, |_| ());
        let read = cx.cancel.run_until_cancelled(reading).await;
        let read = match read {
            Some(Err(e)) if e.kind() == ErrorKind::SourceChanged => return Ok(None),
            Some(read) => read?,
            None => return Err(haul_core::Error::cancelled(Op::Read, path.display())),
        };
        let (stamp, Some(blake3)) = (read.stamp, read.blake3) else { return Ok(None) };
        let kept = self.index.remember_file_digests(vec![(id_of(stamp), blake3)]).await;
        Ok(self.usable(kept, cx).map(|()| Content { blake3, stamp }))
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
        let size = content.stamp.size;
        let known = self.index.find(&self.place, content.blake3, size).await;
        let Some(Some(known)) = self.usable(known, cx) else { return Ok(None) };
        let object = ObjectId::new(&self.place.bucket, &known.key);
        let look = || haul_s3::stat(client, &object, Op::Open);
        let policy = self.engine.options().retry;
        let intact = match self.engine.retrying(policy, cx, &object.to_string(), look).await {
            Ok(info) => Some(info)
                .filter(|info| info.size == size && info.etag.as_deref() == Some(&known.etag)),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::AccessDenied) => None,
            Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
            // The upload will tell whether that matters.
            Err(_) => return Ok(None),
        };
        let Some(intact) = intact else {
            let forgot = self.index.forget(&self.place, vec![known.key]).await;
            self.usable(forgot, cx);
            return Ok(None);
        };
        let there = if object == *to {
            Some(intact)
        } else {
            self.has_the_same(client, &intact, to, cx).await
        };
        Ok(Some(Hit { from: (object, known.etag), there }))
    }

    /// What is at the destination, if that has the content already. That it cannot be looked at is no
    /// failure: the copy will tell.
    async fn has_the_same(
        &self,
        client: &S3Client,
        known: &ObjectInfo,
        to: &ObjectId,
        cx: &JobContext,
    ) -> Option<ObjectInfo> {
        let there = compare::look(&self.engine, cx, client, to).await.ok()?;
        let verdict = compare::objects((client, known), (client, &there));
        matches!(verdict, Verdict::Same(_)).then_some(there)
    }

    /// Remembers what an upload of the file at `path` brought, if that is what was hashed: an edit in
    /// between would have the index say of the new bytes what was true of the old ones.
    pub(crate) async fn record(
        &self,
        content: Content,
        path: &Path,
        (object, etag): (&ObjectId, Option<&str>),
        cx: &JobContext,
    ) {
        let Some(etag) = etag else { return };
        if self.is_off() || !content.is_still_at(path).await {
            return;
        }
        let etag = etag.trim_matches('"').to_owned();
        let known = Known { key: object.key.clone(), etag, size: content.stamp.size };
        let content = haul_state::Content { blake3: content.blake3, object: known };
        let recorded = self.index.record(&self.place, vec![content]).await;
        self.usable(recorded, cx);
    }
}

fn id_of(stamp: FileStamp) -> FileId {
    let FileStamp { device, inode, size, modified, changed, .. } = stamp;
    FileId { device, inode, size, modified, changed }
}
