//! Looking at what is there.
//!
//! Owns what a destination has at a path before anything is written there, and permission bits. It
//! must never follow a link, neither the last step nor, beneath a root, one on the way.

use std::borrow::Borrow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use haul_core::{Error, ErrorKind, Op, RelPath, Result};
use rustix::fs::{AtFlags, FileType, Stat};

use crate::folder;
use crate::root::DestinationRoot;

/// Something that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: FoundKind,
    /// Bytes of a file; 0 of all else.
    pub size: u64,
    /// When it was changed last, if that can be said.
    pub modified: Option<SystemTime>,
    /// Its permission bits: nothing above `0o777`.
    pub mode: u32,
}

/// What something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link to this, which nobody has looked at.
    Symlink(PathBuf),
    /// A pipe, a socket or a device.
    Special,
}

impl DestinationRoot {
    /// What is at `path`; `None` if nothing is, or if the folder that it would be in is missing. An
    /// error where a link or a file is in the place of a folder on the way.
    pub async fn look(
        self: &Arc<Self>,
        path: impl Borrow<RelPath> + Send,
    ) -> Result<Option<Found>> {
        let looked = self.at(Op::Stat, path.borrow(), |root, path, location| {
            root.in_folder_of(path, (Op::Stat, location), |folder, name| {
                let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let target = match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Symlink => {
                        rustix::fs::readlinkat(folder, name, Vec::new())?.into_bytes()
                    }
                    _ => Vec::new(),
                };
                Ok(found(&stat, PathBuf::from(OsString::from_vec(target))))
            })
        });
        match looked.await {
            Ok(found) => Ok(Some(found)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// The permission bits, nothing above `0o777`, of what is at `path`; of a link itself. Blocking.
pub fn mode_of(path: &Path) -> Result<u32> {
    let stat = rustix::fs::lstat(path)
        .map_err(|e| Error::io(Op::Stat, path.to_string_lossy(), e.into()))?;
    Ok(mode(&stat))
}

fn found(stat: &Stat, target: PathBuf) -> Found {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FoundKind::File,
        FileType::Directory => FoundKind::Folder,
        FileType::Symlink => FoundKind::Symlink(target),
        _ => FoundKind::Special,
    };
    let size = if kind == FoundKind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
    Found { kind, size, modified: folder::modified(stat), mode: mode(stat) }
}

fn mode(stat: &Stat) -> u32 {
    #[expect(clippy::unnecessary_cast, reason = "their types differ between systems")]
    let mode = stat.st_mode as u32;
    mode & 0o777
}
