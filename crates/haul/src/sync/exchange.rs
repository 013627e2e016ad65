//! Files where folders have to be, and the other way round.
//!
//! Owns the proof that what takes the place of something else can be had: it is read from before what
//! is there is removed. Must never remove for something that nobody could read.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Mutex, PoisonError};

use haul_core::handle::JobContext;
use haul_core::{ByteRange, Entry, EntryKind, Error, ErrorKind, Op, Opened, RelPath, Result};

use super::Pairs;
use super::veil::covering;
use crate::picks::Pick;
use crate::place::Place;

/// Paths at and below which the destination had something else.
pub(super) struct Blocked {
    paths: BTreeSet<Vec<u8>>,
    /// Those for which the source had something once they were free.
    met: Mutex<BTreeSet<Vec<u8>>>,
}

impl Blocked {
    pub(super) fn new(paths: BTreeSet<Vec<u8>>) -> Self {
        Self { paths, met: Mutex::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether an entry goes to such a place; of the `source` it counts as what was waited for.
    pub(super) fn holds(&self, path: &RelPath, source: bool) -> bool {
        let mut above = covering(&self.paths, path).peekable();
        let held = above.peek().is_some();
        if held && source {
            let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
            met.extend(above.map(<[u8]>::to_vec));
        }
        held
    }

    /// An error if something was removed for what the source does not have any more.
    pub(super) fn all_met(&self, source: &Place) -> Result<()> {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = self.paths.difference(&met).next() else { return Ok(()) };
        let path = RelPath::new(OsStr::from_bytes(path));
        let what = "what was to take the place of something else has gone meanwhile";
        Err(Error::new(ErrorKind::SourceChanged, Op::Copy, source.name(&path), what))
    }
}

impl Pairs {
    /// Whether a folder of the destination is where a file is to be.
    pub(super) async fn folder_in_the_way(&self, file: &Entry) -> bool {
        let Place::Disk(root, _) = self.0.to() else { return false };
        let path = root.join(file.path.as_os_str());
        let look = move || std::fs::symlink_metadata(path).is_ok_and(|m| m.is_dir());
        tokio::task::spawn_blocking(look).await.unwrap_or(false)
    }

    /// Reads the first byte of what waits for a place.
    pub(super) async fn prove_readable(&self, source: &Entry, cx: &JobContext) -> Result<()> {
        if source.kind != EntryKind::File {
            return Ok(());
        }
        let inner = &*self.0;
        let pick = Pick {
            from: inner.from.origin(&source.path),
            to: source.path.clone(),
            // Not by what was listed: it is asked for.
            seen: false,
            entry: source.clone(),
        };
        let from = inner.mover.0.sources.of(&pick)?;
        let engine = inner.engine();
        let policy = engine.options().retry;
        let read = || async {
            match from.open().await? {
                Opened::Ranged(ranged) if ranged.meta().size > 0 => {
                    ranged.read_at(ByteRange::new(0, 1)).await.map(drop)
                }
                _ => Ok(()),
            }
        };
        engine.retrying(policy, cx, &from.location(), read).await
    }
}
