//! The pin on a file that is read.
//!
//! Owns what must not change meanwhile: size, times and identity as they were at opening; and which
//! files can be pinned at all. It must never take one file for another because of its name.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use haul_core::{Error, ErrorKind, Op, Result};

use crate::blocking;

/// What must not change while a file is read, and what tells that it has not changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The device it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// When its content was changed last: seconds since 1970, and nanoseconds.
    pub modified: (i64, i64),
    /// When anything about it was changed last: this time cannot be set.
    pub changed: (i64, i64),
}

impl Identity {
    /// What the system says of a file.
    pub fn of(m: &Metadata) -> Self {
        Self {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }

    /// The identity of the file at `path`, through links.
    pub async fn at(path: &Path) -> Result<Self> {
        let (path, location) = (path.to_owned(), path.to_string_lossy().into_owned());
        let at = location.clone();
        let stat = move || match std::fs::metadata(path) {
            Ok(metadata) => Ok(Self::of(&metadata)),
            Err(e) => Err(Error::io(Op::Stat, at, e)),
        };
        blocking(Op::Stat, &location, stat).await
    }

    /// Whether the open `file` and what is at `path` are still what they were. Blocking.
    pub(crate) fn recheck(&self, file: &File, path: &Path) -> Result<()> {
        let io = |e| Error::io(Op::Read, path.to_string_lossy(), e);
        let changed = |how| Err(changed(path, how));
        let now = Self::of(&file.metadata().map_err(io)?);
        if now.size != self.size {
            return changed(if now.size < self.size { "became shorter" } else { "grew" });
        }
        match std::fs::metadata(path).map(|m| Self::of(&m)) {
            Ok(path) if (path.device, path.inode) == (self.device, self.inode) => {}
            Ok(_) => return changed("was replaced"),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return changed("was removed"),
            Err(e) => return Err(io(e)),
        }
        if now == *self { Ok(()) } else { changed("was changed") }
    }
}

/// The error for a file that is not what it was.
pub(crate) fn changed(path: &Path, how: &str) -> Error {
    let detail = format!("it {how} while it was being read");
    Error::new(ErrorKind::SourceChanged, Op::Read, path.to_string_lossy(), detail)
        .with_hint("run the command again once nothing writes to it")
}

/// The way out for what can only be read as a stream.
const PIPE_IT: &str = "a stream can be piped in: haul cp - DEST < SOURCE";

/// Opens a regular file that says how long it is. Blocking.
pub(crate) fn open(path: &Path) -> Result<(File, Metadata)> {
    let location = path.to_string_lossy();
    let io = |e| Error::io(Op::Open, &location, e);
    // Without O_NONBLOCK, opening a FIFO waits for a writer.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    refuse_special(&std::fs::metadata(path).map_err(io)?, &location)?;
    let file = File::options().read(true).custom_flags(nonblock).open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    refuse_special(&metadata, &location)?;
    // Files of /proc and the like claim to be empty and are not.
    if metadata.len() == 0 && file.read_at(&mut [0], 0).map_err(io)? > 0 {
        let what = "it does not say how long it is";
        return Err(Error::new(ErrorKind::Invalid, Op::Open, &location, what).with_hint(PIPE_IT));
    }
    Ok((file, metadata))
}

fn refuse_special(metadata: &Metadata, location: &str) -> Result<()> {
    let kind = metadata.file_type();
    let refuse = |what: &str, hint: &str| {
        Err(Error::new(ErrorKind::Invalid, Op::Open, location, format!("it is {what}"))
            .with_hint(hint))
    };
    if kind.is_dir() {
        return refuse("a folder, and a single file is needed", "name a file");
    }
    if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
        return refuse("no regular file", PIPE_IT);
    }
    Ok(())
}
