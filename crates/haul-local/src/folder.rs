//! Reading one folder.
//!
//! Owns opening a folder by a path of any length, and taking its names with what they stand for. It
//! must never follow a link that it was not told to follow.

use std::ffi::{CStr, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, Result};

use crate::names::{Kind, Names};
use crate::walk::Symlinks;

/// Longest path that is handed to the system at once: it takes no more than 4,096 bytes.
const PIECE: usize = 2048;

/// How folders are opened.
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);

/// Opens the folder at `path`.
pub(crate) fn open(path: &Path) -> Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    rustix::fs::open(path, FOLDER, Mode::empty())
}

/// Opens `name` in `folder`; a link only where `follow` says so.
pub(crate) fn open_in(folder: impl AsFd, name: &CStr, follow: bool) -> Result<OwnedFd> {
    let flags = if follow { FOLDER } else { FOLDER.union(OFlags::NOFOLLOW) };
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

/// Opens the folder `below` (segments with `/` between them) of `root`, piece by piece where the
/// path is longer than the system takes at once.
pub(crate) fn open_below(root: &Path, mut below: &[u8]) -> Result<OwnedFd> {
    let mut folder = open(root)?;
    while !below.is_empty() {
        let cut = if below.len() <= PIECE {
            below.len()
        } else {
            below[..PIECE].iter().rposition(|b| *b == b'/').ok_or(Errno::NAMETOOLONG)? + 1
        };
        let (piece, rest) = below.split_at(cut);
        folder = rustix::fs::openat(&folder, OsStr::from_bytes(piece), FOLDER, Mode::empty())?;
        below = rest;
    }
    Ok(folder)
}

/// What the file system knows as this folder.
pub(crate) fn id(stat: &Stat) -> (u64, u64) {
    #[expect(clippy::unnecessary_cast, reason = "their types differ between systems")]
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// The time of modification.
pub(crate) fn modified(stat: &Stat) -> Option<SystemTime> {
    #[expect(clippy::unnecessary_cast, reason = "their types differ between systems")]
    time(stat.st_mtime as i64, stat.st_mtime_nsec as u64)
}

/// The time of any change, which cannot be set.
pub(crate) fn changed(stat: &Stat) -> Option<SystemTime> {
    #[expect(clippy::unnecessary_cast, reason = "their types differ between systems")]
    time(stat.st_ctime as i64, stat.st_ctime_nsec as u64)
}

/// A time that may be before 1970.
fn time(seconds: i64, nanoseconds: u64) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let whole =
        if seconds < 0 { UNIX_EPOCH.checked_sub(whole)? } else { UNIX_EPOCH.checked_add(whole)? };
    whole.checked_add(Duration::from_nanos(nanoseconds))
}

/// Reads names into `Names`.
pub(crate) struct Reader {
    symlinks: Symlinks,
    /// What the system fills, kept because it is used for every folder.
    buffer: Vec<MaybeUninit<u8>>,
}

impl Reader {
    pub(crate) fn new(symlinks: Symlinks) -> Self {
        Self { symlinks, buffer: vec![MaybeUninit::uninit(); 32 << 10] }
    }

    /// The names of `folder` in order, and the error that cut them short, if one did.
    pub(crate) fn read(&mut self, folder: &OwnedFd) -> (Names, Result<()>) {
        let (mut names, symlinks) = (Names::default(), self.symlinks);
        let outcome = each(folder, &mut self.buffer, |name, file_type| {
            if matches!(name.to_bytes(), b"." | b"..") {
                return Ok(());
            }
            let Some(kind) = kind_of(folder, name, file_type, symlinks) else { return Ok(()) };
            if !kind.is_folder() && crate::staged::is_staged_name(name.to_bytes()) {
                return Ok(());
            }
            if names.push(name, kind) { Ok(()) } else { Err(Errno::OVERFLOW) }
        });
        names.sort();
        (names, outcome)
    }
}

/// What `name` stands for; `None` if it is to be left out. Asks the file system only about links
/// that are followed, because a folder sorts otherwise than a file, and where reading the folder
/// does not tell.
fn kind_of(folder: &OwnedFd, name: &CStr, file_type: FileType, links: Symlinks) -> Option<Kind> {
    let stat = |flags| rustix::fs::statat(folder, name, flags);
    let file_type = match file_type {
        FileType::Unknown => match stat(AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(_) => FileType::RegularFile, // the same is found in its turn
        },
        known => known,
    };
    Some(match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => match links {
            Symlinks::Skip => return None,
            Symlinks::Keep => Kind::Link,
            Symlinks::Follow => match stat(AtFlags::empty()) {
                Ok(s) if FileType::from_raw_mode(s.st_mode) == FileType::Directory => {
                    Kind::LinkedFolder
                }
                _ => Kind::LinkedFile,
            },
        },
        _ => Kind::Special,
    })
}

#[cfg(target_os = "linux")]
fn each(
    folder: &OwnedFd,
    buffer: &mut [MaybeUninit<u8>],
    mut take: impl FnMut(&CStr, FileType) -> Result<()>,
) -> Result<()> {
    let mut entries = rustix::fs::RawDir::new(folder, buffer);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            entry => entry?,
        };
        take(entry.file_name(), entry.file_type())?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn each(
    folder: &OwnedFd,
    _: &mut [MaybeUninit<u8>],
    mut take: impl FnMut(&CStr, FileType) -> Result<()>,
) -> Result<()> {
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        take(entry.file_name(), entry.file_type())?;
    }
    Ok(())
}
