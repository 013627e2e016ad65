//! Files whose content is known by its hash.
//!
//! Owns an extended attribute that saves reading a large file again: its BLAKE3 hash, with the size
//! and the times that the file had then. The time of the last change to anything of the file, which
//! nobody can set, has to be the time at which the attribute was written, so that it holds for what
//! was read and for nothing that was written since. It is a hint: where file systems keep no such
//! attributes there is none, and it must never be an error.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use haul_core::{FileStamp, Op, RelPath, Result};

use crate::pinned::{self, stamp_of};
use crate::root::DestinationRoot;
use crate::spot::Place;
use crate::{attribute, blocking};

/// The attribute: `v1`, the hash, size, nanoseconds of the time of modification and of the time at
/// which it was written.
const NAME: &str = "user.haul.content";

/// The longest value.
const LONGEST: usize = 256;

/// What lies between the time that the attribute says and the one that the system notes for it.
const SKEW: Duration = Duration::from_millis(250);

/// A file of a destination that is open.
#[derive(Debug, Clone)]
pub struct Known {
    file: Arc<File>,
    stamp: FileStamp,
    location: Arc<str>,
}

impl Known {
    /// Opens the file at `path` beneath `root`.
    pub async fn open(root: Arc<DestinationRoot>, path: RelPath) -> Result<Self> {
        let place = Place::Beneath(root, path);
        let location = place.location();
        let open = move || pinned::open(&place);
        let (file, metadata) = blocking(Op::Open, &location, open).await?;
        let (file, stamp) = (Arc::new(file), stamp_of(&metadata));
        Ok(Self { file, stamp, location: location.into() })
    }

    /// The hash of its content, if it is known and the file has not changed since.
    pub async fn hash(&self) -> Option<[u8; 32]> {
        let known = self.clone();
        let recall = move || Ok(recall(&known.file, &known.stamp));
        blocking(Op::Stat, &self.location, recall).await.ok().flatten()
    }

    /// Has it remember that `hash` is that of its content, unless it has changed since it was opened.
    pub async fn remember(&self, hash: [u8; 32]) {
        let known = self.clone();
        let remember = move || {
            if known.file.metadata().is_ok_and(|now| stamp_of(&now) == known.stamp) {
                remember(&known.file, &hash);
            }
            Ok(())
        };
        let _not_kept = blocking(Op::Stat, &self.location, remember).await;
    }
}

/// What must not have changed.
fn state(size: u64, modified: (i64, i64)) -> String {
    let time = i128::from(modified.0) * 1_000_000_000 + i128::from(modified.1);
    format!("{size} {time}")
}

/// Has an open file remember the hash of its content. Its size and time must be final. Blocking.
pub(crate) fn remember(file: &File, hash: &[u8; 32]) {
    let Ok(metadata) = file.metadata() else { return };
    let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else { return };
    let state = state(metadata.size(), (metadata.mtime(), metadata.mtime_nsec()));
    let hash = hex(hash);
    attribute::set(file, NAME, format!("v1 {hash} {state} {}", now.as_nanos()).as_bytes());
}

fn hex(hash: &[u8; 32]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
    hash.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn recall(file: &File, stamp: &FileStamp) -> Option<[u8; 32]> {
    let mut value = [0; LONGEST];
    let len = attribute::get(file, NAME, &mut value)?;
    let rest = std::str::from_utf8(value.get(..len)?).ok()?.strip_prefix("v1 ")?;
    let (hash, rest) = rest.split_once(' ')?;
    let written = rest.strip_prefix(&state(stamp.size, stamp.modified))?.strip_prefix(' ')?;
    let written: i128 = written.parse().ok()?;
    let changed = i128::from(stamp.changed.0) * 1_000_000_000 + i128::from(stamp.changed.1);
    let skew = u128::from(SKEW.as_nanos() as u64);
    if changed.abs_diff(written) > skew || hash.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(hash.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}
