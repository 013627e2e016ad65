//! Folders and links beneath a destination, and removing what is there.
//!
//! Owns the operations that move no content. None of them follows a link beneath the root.

use std::borrow::Borrow;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use haul_core::{Error, ErrorKind, Hint, Op, RelPath, Result};
use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::beneath::{self, Fault};
use crate::fold::{Naming, Refused};
use crate::root::DestinationRoot;
use crate::{blocking, folder, rename, staged};

/// What a listing showed of a file or link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Whether it was a link.
    pub link: bool,
    /// Bytes of a file.
    pub size: u64,
    /// Its time of modification.
    pub modified: Option<SystemTime>,
}

impl Seen {
    /// Whether it is still that. Neither the time of other changes nor the number is looked at: one
    /// changes with another name of the file, and some file systems make up the other.
    fn is(&self, now: &Stat) -> bool {
        let size = match FileType::from_raw_mode(now.st_mode) {
            FileType::RegularFile if !self.link => u64::try_from(now.st_size).unwrap_or(0),
            FileType::Symlink if self.link => 0,
            _ => return false,
        };
        size == self.size && folder::modified(now) == self.modified
    }
}

impl DestinationRoot {
    /// Makes the folder `path` and those above it. One that is there stays as it is.
    pub async fn make_folder(self: &Arc<Self>, path: impl Borrow<RelPath> + Send) -> Result<()> {
        self.at(Op::Write, path.borrow(), |root, path, location| {
            root.make(path, false)
                .map(|_| ())
                .map_err(|error| root.blame(path, Fault { op: Op::Write, location, error }))
        })
        .await
    }

    /// Makes `path` a symbolic link to `target`, whatever that is: it is not looked at. A file or
    /// link of that name is replaced as a whole if `overwrite` says so.
    pub async fn make_symlink(
        self: &Arc<Self>,
        path: impl Borrow<RelPath> + Send,
        target: impl AsRef<Path> + Send,
        overwrite: bool,
    ) -> Result<()> {
        let target = target.as_ref().to_owned();
        self.at(Op::Write, path.borrow(), move |root, path, location| {
            let io = |e: Errno| Error::io(Op::Write, location, e.into());
            let (parent, name) = split(path).ok_or_else(|| io(Errno::INVAL))?;
            let made = root
                .make(parent, false)
                .map_err(|error| root.blame(parent, Fault { op: Op::Write, location, error }))?;
            let folder = &*made.folder;
            refuse_taken(folder, name, overwrite, location)?;
            let temporary =
                staged::unused_name(|temporary| rustix::fs::symlinkat(&target, folder, temporary))
                    .map_err(io)?
                    .0;
            let id = || {
                let made = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
                made.ok().as_ref().map(folder::id)
            };
            let rename = || staged::rename(folder, &temporary, name, overwrite);
            let renamed = root.named.give(Naming { folder, parent, name }, id, rename);
            renamed.map_err(|refused| {
                let _best_effort = rustix::fs::unlinkat(folder, &temporary, AtFlags::empty());
                refused.blame(Op::Write, location, io)
            })
        })
        .await
    }

    /// Removes the file or link `path`, or the empty folder if it ends in `/`. A file or link that is
    /// not what was `seen` any more stays, and that is an error.
    pub async fn remove(
        self: &Arc<Self>,
        path: impl Borrow<RelPath> + Send,
        seen: Option<Seen>,
    ) -> Result<()> {
        let path = path.borrow();
        let is_folder = path.as_bytes().ends_with(b"/");
        self.at(Op::Remove, path, move |root, path, location| {
            let io = |e: Errno| Error::io(Op::Remove, location, e.into());
            let (parent, name) = split(path).ok_or_else(|| io(Errno::INVAL))?;
            let folder = root
                .find(parent)
                .map_err(|error| root.blame(parent, Fault { op: Op::Remove, location, error }))?;
            if is_folder {
                return root.remove_folder(path).map_err(io);
            }
            if let Some(seen) = seen {
                let now = rustix::fs::statat(&*folder, name, AtFlags::SYMLINK_NOFOLLOW);
                let changed = !seen.is(&now.map_err(io)?);
                let stays = |what, hint| {
                    let e = Error::new(ErrorKind::SourceChanged, Op::Remove, location, what);
                    Err(e.with_hint(hint))
                };
                if changed {
                    let what = "it is not what was listed any more: it stays";
                    return stays(what, Hint::TryAgain);
                }
                if root.named.gave_otherwise(Naming { folder: &folder, parent, name }) {
                    let what = "this folder takes its name for that of a file that was just put \
                                there: it stays";
                    return stays(what, Hint::SameCapitals);
                }
            }
            rustix::fs::unlinkat(&*folder, name, AtFlags::empty()).map_err(|e| {
                // Linux says "is a folder" and others say "not permitted".
                if is_folder_at(&folder, name) { io(Errno::ISDIR) } else { io(e) }
            })
        })
        .await
    }

    /// Removes the folders that `path` was in, from the deepest up, as far as nothing is in them and
    /// none of them `stays`; it is asked with a slash at the end.
    pub async fn remove_empty_folders(
        self: &Arc<Self>,
        path: impl Borrow<RelPath> + Send,
        stays: impl Fn(&RelPath) -> bool + Send + 'static,
    ) -> Result<()> {
        self.at(Op::Remove, path.borrow(), move |root, path, location| {
            for folder in path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()) {
                if stays(&RelPath::new(folder.join(""))) {
                    break;
                }
                match root.remove_folder(folder) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    // Something is in it, or it is a mount point, or no folder at all.
                    Err(
                        Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::LOOP | Errno::NOTDIR,
                    ) => break,
                    Err(e) => return Err(Error::io(Op::Remove, location, e.into())),
                }
            }
            Ok(())
        })
        .await
    }

    /// Gives what is at `from` the name `path` beneath the root, as [`rename`](crate::rename) does.
    pub async fn rename_from(
        self: &Arc<Self>,
        from: impl AsRef<Path> + Send,
        path: impl Borrow<RelPath> + Send,
        overwrite: bool,
    ) -> Result<bool> {
        let from = from.as_ref().to_owned();
        self.at(Op::Move, path.borrow(), move |root, path, location| {
            let io = |e: Errno| Error::io(Op::Move, location, e.into());
            let (parent, name) = split(path).ok_or_else(|| io(Errno::INVAL))?;
            let here = from.to_string_lossy();
            // Before folders are made for nothing.
            let source =
                rustix::fs::lstat(&from).map_err(|e| Error::io(Op::Move, &here, e.into()))?;
            let made = root
                .make(parent, false)
                .map_err(|error| root.blame(parent, Fault { op: Op::Move, location, error }))?;
            let to = (&*made.folder, Path::new(name));
            let naming = Naming { folder: &made.folder, parent, name };
            let rename = || rename::rename_at(&from, to, overwrite);
            root.named.give(naming, || Some(folder::id(&source)), rename).or_else(|refused| {
                root.unmake(&made.made);
                match refused {
                    Refused::Errno(error) => rename::explain(error, (&here, location), overwrite),
                    Refused::Folded => Err(refused.blame(Op::Move, location, io)),
                }
            })
        })
        .await
    }

    /// Forces everything beneath the root to the disk, with what else is on that file system: at
    /// the end of a tree, for its folders and links. Where the system cannot flush all of it, only
    /// the root itself is.
    pub async fn flush(self: &Arc<Self>) -> Result<()> {
        let (this, location) = (Arc::clone(self), self.name_of("".as_ref()));
        let at = location.clone();
        crate::waiting(Op::Commit, &location, move || {
            #[cfg(target_os = "linux")]
            let flushed = rustix::fs::syncfs(this.fd());
            #[cfg(not(target_os = "linux"))]
            let flushed = rustix::fs::fsync(this.fd());
            flushed.map_err(|e| Error::io(Op::Commit, at, e.into()))
        })
        .await
    }

    /// Runs `work` on `path`, if it can be beneath the root, off the async threads.
    pub(crate) async fn at<T: Send + 'static>(
        self: &Arc<Self>,
        op: Op,
        path: &RelPath,
        work: impl FnOnce(&Self, &Path, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let location = self.name_of(path.as_os_str());
        let (root, path, at) = (Arc::clone(self), path.clone(), location.clone());
        let work = move || work(&root, beneath::checked(&path, op, &at)?, &at);
        blocking(op, &location, work).await
    }
}

fn split(path: &Path) -> Option<(&Path, &std::ffi::OsStr)> {
    Some((path.parent()?, path.file_name()?))
}

fn is_folder_at(folder: &OwnedFd, name: &std::ffi::OsStr) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory)
}

fn refuse_taken(
    folder: &OwnedFd,
    name: &std::ffi::OsStr,
    overwrite: bool,
    location: &str,
) -> Result<()> {
    if is_folder_at(folder, name) {
        return Err(Error::new(ErrorKind::Invalid, Op::Write, location, "it is a folder"));
    }
    let taken = || rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    if !overwrite && taken() {
        return Err(Error::io(Op::Write, location, std::io::ErrorKind::AlreadyExists.into()));
    }
    Ok(())
}
