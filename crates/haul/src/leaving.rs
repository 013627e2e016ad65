//! What becomes of the source of something that was moved.
//!
//! Owns the removal at the end of a move, which takes the proof that the transfer brought back: what
//! was read is what was committed, and only that is removed. It must never remove what is its own
//! destination, nor by a name or a listing.

use std::path::Path;

use haul_core::handle::JobContext;
use haul_core::{EntryKind, Error, ErrorKind, Hint, ObjectStamp, Op, Proof, Report, Result};
use haul_s3::{ObjectId, S3Client};

use crate::mover::Mover;
use crate::picks::{Origin, Pick};
use crate::place::Place;

/// What the buckets are called that AWS knows another bucket by.
const ALIASES: [&str; 2] = ["-s3alias", "--ol-s3"];

impl Mover {
    /// Removes the source of what has arrived.
    pub(crate) async fn leave(&self, pick: &Pick, report: &Report, cx: &JobContext) -> Result<()> {
        match (&pick.from, &pick.entry.kind, &report.read) {
            // It goes if it is empty, and with it what is empty without it.
            (Origin::File(folder), EntryKind::Folder, _) => self.sweep(folder).await,
            (Origin::File(path), kind, Some(proof @ (Proof::File(_) | Proof::Link(_)))) => {
                if let (EntryKind::Symlink(_), Place::Disk(_, Some(root))) = (kind, &self.0.to) {
                    root.flush_name(&pick.to).await?;
                }
                haul_local::remove_proven(path, proof).await?;
                self.left(pick).await;
            }
            (Origin::Object(object), _, Some(Proof::Object(read))) => {
                self.leave_object(object, read, pick, cx).await?;
            }
            (Origin::Object(marker), EntryKind::Folder, _) => {
                let Some(client) = &self.0.sources.store else { return Err(unproven(pick)) };
                let now = self.look(client, marker, cx).await?;
                if now.size > 0 {
                    return Err(unproven(pick));
                }
                self.leave_object(marker, &now, pick, cx).await?;
            }
            (Origin::Url(_), ..) => {
                let what = "what is behind a URL cannot be removed";
                return Err(Error::new(ErrorKind::Unsupported, Op::Move, &pick.from, what));
            }
            _ => return Err(unproven(pick)),
        }
        Ok(())
    }

    /// What is to be done once a file is not where it was any more.
    pub(crate) async fn left(&self, pick: &Pick) {
        if let Origin::File(path) = &pick.from
            && let Some(folder) = path.parent()
        {
            self.sweep(folder).await;
        }
    }

    /// Removes a folder that has become empty, and those around it that are, up to the one that is
    /// moved. What was empty before and is not moved itself is nobody's to remove.
    async fn sweep(&self, folder: &Path) {
        let top = self.0.leaves.iter().find(|top| folder.starts_with(top));
        if let Some(top) = top {
            haul_local::sweep(folder, top).await;
        }
    }

    async fn leave_object(
        &self,
        object: &ObjectId,
        read: &ObjectStamp,
        pick: &Pick,
        cx: &JobContext,
    ) -> Result<()> {
        let Some(client) = &self.0.sources.store else { return Err(unproven(pick)) };
        self.refuse_alias(client, object, pick, cx).await?;
        let policy = self.0.engine.options().retry;
        let remove = || haul_s3::remove_proven(client, object, read);
        self.0.engine.retrying(policy, cx, &object.to_string(), remove).await
    }

    /// Two stores, or two buckets, may be one under names that nothing here can tell: another host
    /// name, an access point. Then what was just written is what would be removed, and both look the
    /// same to the second.
    async fn refuse_alias(
        &self,
        client: &S3Client,
        object: &ObjectId,
        pick: &Pick,
        cx: &JobContext,
    ) -> Result<()> {
        let Place::Store { client: other, .. } = &self.0.to else { return Ok(()) };
        let there = self.0.to.object(&pick.to)?;
        let alias = |bucket: &str| ALIASES.iter().any(|end| bucket.ends_with(end));
        let bucket = object.bucket == there.bucket;
        let doubtful = bucket && !self.0.one_store
            || !bucket && (alias(&object.bucket) || alias(&there.bucket));
        if object.key != there.key || !doubtful {
            return Ok(());
        }
        let (here, there) =
            (self.look(client, object, cx).await?, self.look(other, &there, cx).await?);
        if here == there {
            let what = "source and destination look like one object: the source stays";
            return Err(Error::new(ErrorKind::Invalid, Op::Move, object, what)
                .with_hint(Hint::RemoveByItself));
        }
        Ok(())
    }

    async fn look(
        &self,
        client: &S3Client,
        object: &ObjectId,
        cx: &JobContext,
    ) -> Result<ObjectStamp> {
        let policy = self.0.engine.options().retry;
        let look = || haul_s3::stamp(client, object);
        self.0.engine.retrying(policy, cx, &object.to_string(), look).await
    }
}

fn unproven(pick: &Pick) -> Error {
    let what = "nothing tells whether it is still what was copied: the source stays";
    Error::new(ErrorKind::SourceChanged, Op::Move, &pick.from, what)
}
