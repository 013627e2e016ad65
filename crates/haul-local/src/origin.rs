//! Which object a file is a copy of.
//!
//! Owns an extended attribute that a file keeps after a download: the object's ETag, with the size
//! and the time that the file had then. It is a hint that saves reading a file to compare it: where
//! file systems keep no such attributes, and once the file has changed, there is none. It must never
//! be an error.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use haul_core::{Op, Result};
use rustix::fs::Stat;

use crate::{attribute, waiting};

/// The attribute: `v1`, nanoseconds of the time of modification, size, ETag.
const NAME: &str = "user.haul.origin";

/// Longer ETags are not worth remembering: those of stores have at most 40 bytes or so.
const LONGEST: usize = 512;

/// The object that a file is a copy of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its ETag, without quotes.
    pub etag: String,
}

/// Has an open file remember the object that it is a copy of. Its size and time must be final.
/// Where the file system keeps no such attributes, nothing happens. Blocking.
pub fn remember(file: impl AsFd, origin: &Origin) {
    if origin.etag.is_empty() || origin.etag.len() > LONGEST {
        return;
    }
    let Ok(stat) = rustix::fs::fstat(&file) else { return };
    let value = format!("{}{}", state(&stat), origin.etag);
    attribute::set(&file, NAME, value.as_bytes());
}

/// The ETag of the object that the file at `path` is a copy of, if it remembers one and has not been
/// changed since. Blocking.
pub fn recall(path: &Path) -> Option<String> {
    let mut value = vec![0; 2 * LONGEST];
    let len = attribute::get_at(path, NAME, &mut value)?;
    let value = std::str::from_utf8(value.get(..len)?).ok()?;
    let etag = value.strip_prefix(&state(&rustix::fs::stat(path).ok()?))?;
    Some(etag.to_owned())
}

/// [`recall`] for many files, in one step off the async threads.
pub async fn recall_all(paths: Vec<PathBuf>) -> Result<Vec<Option<String>>> {
    let recall = move || Ok(paths.iter().map(|path| recall(path)).collect());
    waiting(Op::Stat, "files", recall).await
}

/// What must not have changed.
fn state(stat: &Stat) -> String {
    #[expect(clippy::unnecessary_cast, reason = "their types differ between systems")]
    let (seconds, nanoseconds) = (stat.st_mtime as i64, stat.st_mtime_nsec as u64);
    let time = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    format!("v1 {time} {} ", stat.st_size)
}
