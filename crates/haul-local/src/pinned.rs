//! The pin on a file that is read.
//!
//! Owns what must not change meanwhile: size, times and identity as they were at opening; and which
//! files can be pinned at all. It must never take one file for another because of its name.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use haul_core::{Error, ErrorKind, FileStamp, Hint, Op, Result};
use rustix::fs::{FileType, RawMode};

use crate::spot::Place;
use crate::{blocking, folder};

/// What the system says of a file: what must not change while it is read, and what tells that it has
/// not changed since.
pub fn stamp_of(m: &Metadata) -> FileStamp {
    FileStamp {
        device: m.dev(),
        inode: m.ino(),
        size: m.size(),
        modified: (m.mtime(), m.mtime_nsec()),
        changed: (m.ctime(), m.ctime_nsec()),
        links: m.nlink(),
    }
}

/// The same of the file at `path`, through links.
pub async fn stamp_at(path: &Path) -> Result<FileStamp> {
    let (path, location) = (path.to_owned(), path.to_string_lossy().into_owned());
    let at = location.clone();
    let stat = move || match std::fs::metadata(path) {
        Ok(metadata) => Ok(stamp_of(&metadata)),
        Err(e) => Err(Error::io(Op::Stat, at, e)),
    };
    blocking(Op::Stat, &location, stat).await
}

/// Whether the open `file` and what is at `place` are still what they were. Blocking.
pub(crate) fn recheck(stamp: &FileStamp, file: &File, place: &Place) -> Result<()> {
    let location = place.location();
    let changed = |how| Err(changed(&location, how));
    let now = file.metadata().map_err(|e| Error::io(Op::Read, &location, e))?;
    let now = stamp_of(&now);
    if now.size != stamp.size {
        return changed(if now.size < stamp.size { "became shorter" } else { "grew" });
    }
    match place.stat(Op::Read) {
        Ok(there) if folder::id(&there) == (stamp.device, stamp.inode) => {}
        Ok(_) => return changed("was replaced"),
        Err(e) if e.kind() == ErrorKind::NotFound => return changed("was removed"),
        // Something on the way is no folder any more.
        Err(e) if e.kind() == ErrorKind::Invalid => return changed("was replaced"),
        Err(e) => return Err(e),
    }
    if now == *stamp { Ok(()) } else { changed("was changed") }
}

/// The error for a file that is not what it was.
pub(crate) fn changed(location: &str, how: &str) -> Error {
    let detail = format!("it {how} while it was being read");
    Error::new(ErrorKind::SourceChanged, Op::Read, location, detail)
        .with_hint(Hint::TryAgainUnwritten)
}

/// Opens a regular file that says how long it is. Blocking.
pub(crate) fn open(place: &Place) -> Result<(File, Metadata)> {
    let location = place.location();
    let io = |e| Error::io(Op::Open, &location, e);
    // Before it is opened, which may do something to a device.
    refuse_special(place.stat(Op::Open)?.st_mode, &location)?;
    let file = place.open_to_read()?;
    let metadata = file.metadata().map_err(io)?;
    refuse_special(metadata.mode() as RawMode, &location)?;
    // Files of /proc and the like claim to be empty and are not.
    if metadata.len() == 0 && file.read_at(&mut [0], 0).map_err(io)? > 0 {
        let what = "it does not say how long it is";
        return Err(
            Error::new(ErrorKind::Invalid, Op::Open, &location, what).with_hint(Hint::PipeIn)
        );
    }
    Ok((file, metadata))
}

fn refuse_special(mode: RawMode, location: &str) -> Result<()> {
    let (what, hint) = match FileType::from_raw_mode(mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => ("a folder, and a single file is needed", Hint::NameFile),
        // Only beneath a root, where none is followed.
        FileType::Symlink => ("a symbolic link", Hint::NameLinkedFile),
        _ => ("no regular file", Hint::PipeIn),
    };
    Err(Error::new(ErrorKind::Invalid, Op::Open, location, format!("it is {what}")).with_hint(hint))
}
