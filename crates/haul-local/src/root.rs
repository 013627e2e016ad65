//! A destination folder that many files are written beneath.
//!
//! Owns its descriptor, the folders below it that were used last, which new folders' names are not on
//! the disk yet, and what was named there (`fold`). Whatever is named by a relative path stays beneath it; see `beneath`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_core::{Error, Op, Result};
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use crate::beneath::{self, Fault};
use crate::blocking;
use crate::fold::Named;
use crate::spot::make_folders;

/// Folders that are kept open. Listings come in order, so files of one folder follow each other.
const RECENT: usize = 16;

/// A folder that files, folders and links are written beneath.
#[derive(Debug)]
pub struct DestinationRoot {
    path: PathBuf,
    fd: Arc<OwnedFd>,
    state: Mutex<State>,
    pub(crate) named: Named,
}

#[derive(Debug, Default)]
struct State {
    /// The last used is in front.
    recent: VecDeque<(PathBuf, Arc<OwnedFd>)>,
    /// Folders that were made, by the folder they are in, whose names may not survive a power cut.
    unflushed: BTreeMap<PathBuf, BTreeSet<OsString>>,
}

/// A folder beneath a root, made where it was missing.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) folder: Arc<OwnedFd>,
    /// Folders that had to be made for it, deepest first.
    pub(crate) made: Vec<PathBuf>,
}

/// How messages call what is at `path` beneath `folder`. It is not joined: an absolute name would hide
/// where it was going to.
pub fn name_beneath(folder: &Path, path: &OsStr) -> String {
    let folder = folder.to_string_lossy();
    if folder == "." {
        return path.to_string_lossy().into_owned();
    }
    format!("{}/{}", folder.trim_end_matches('/'), path.to_string_lossy())
}

fn is_missing(e: &std::io::Error) -> bool {
    matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

impl DestinationRoot {
    /// Opens the folder at `path`, which is made if it is missing and `create` says so. A link as
    /// the root itself is followed: whoever named it knows where it leads.
    pub async fn open(path: impl Into<PathBuf>, create: bool) -> Result<Arc<Self>> {
        let path: PathBuf = path.into();
        let location = path.to_string_lossy().into_owned();
        blocking(Op::Open, &location, move || Self::open_now(path, create).map(Arc::new)).await
    }

    /// Fails where [`open`](Self::open) would for a name that is taken by something that is no folder;
    /// makes nothing.
    pub async fn rehearse(path: impl Into<PathBuf>) -> Result<()> {
        let path: PathBuf = path.into();
        let location = path.to_string_lossy().into_owned();
        let place = location.clone();
        let look = move || {
            // Without a slash at its end, which asks for a folder.
            let path: PathBuf = path.components().collect();
            for above in path.ancestors().filter(|p| !p.as_os_str().is_empty()) {
                match std::fs::metadata(above) {
                    Ok(found) if found.is_dir() => return Ok(()),
                    // A link that leads nowhere is missing, too, and in the way.
                    Err(e) if is_missing(&e) && std::fs::symlink_metadata(above).is_err() => {}
                    Err(e) if !is_missing(&e) => return Err(Error::io(Op::Begin, &place, e)),
                    _ => {
                        let e = std::io::ErrorKind::NotADirectory.into();
                        return Err(Error::io(Op::Begin, &place, e));
                    }
                }
            }
            Ok(())
        };
        blocking(Op::Open, &location, look).await
    }

    fn open_now(path: PathBuf, create: bool) -> Result<Self> {
        let location = path.to_string_lossy().into_owned();
        let io = |e: std::io::Error| Error::io(Op::Open, &location, e);
        if create {
            for made in make_folders(&path, &location)? {
                // Once for a whole tree, so that no file has to think of it.
                let parent = made.parent().filter(|p| !p.as_os_str().is_empty());
                let parent = std::fs::File::open(parent.unwrap_or(Path::new("."))).map_err(io)?;
                parent.sync_all().map_err(io)?;
            }
        }
        let fd = crate::folder::open(&path).map_err(|e| io(e.into()))?;
        Ok(Self { path, fd: Arc::new(fd), state: Mutex::default(), named: Named::default() })
    }

    /// The folder, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How messages call what is at `path`.
    pub(crate) fn name_of(&self, path: &OsStr) -> String {
        name_beneath(&self.path, path)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, path: &Path, fd: OwnedFd) -> Arc<OwnedFd> {
        let fd = Arc::new(fd);
        let mut state = self.state();
        state.recent.truncate(RECENT - 1);
        state.recent.push_front((path.to_owned(), Arc::clone(&fd)));
        fd
    }

    fn recall(&self, path: &Path) -> Option<Arc<OwnedFd>> {
        let mut state = self.state();
        let at = state.recent.iter().position(|(p, _)| p == path)?;
        if at > 0 {
            let found = state.recent.remove(at)?;
            state.recent.push_front(found);
        }
        state.recent.front().map(|(_, fd)| Arc::clone(fd))
    }

    /// Forgets a folder that is not there any more, and what was below it.
    pub(crate) fn forget(&self, path: &Path) {
        self.state().recent.retain(|(p, _)| !p.starts_with(path));
    }

    /// The folder `path`, if it is there. Blocking.
    pub(crate) fn find(&self, path: &Path) -> rustix::io::Result<Arc<OwnedFd>> {
        if path.as_os_str().is_empty() {
            return Ok(Arc::clone(&self.fd));
        }
        match self.recall(path) {
            Some(fd) => Ok(fd),
            None => Ok(self.remember(path, beneath::open(&self.fd, path)?)),
        }
    }

    /// The folder `path`; missing folders are made. `durable` says that somebody will want to know
    /// their names on the disk. Blocking.
    pub(crate) fn make(&self, path: &Path, durable: bool) -> rustix::io::Result<Made> {
        self.try_make(path, durable).or_else(|e| {
            if e != Errno::NOENT {
                return Err(e);
            }
            // A folder that is still open here has been removed.
            self.state().recent.clear();
            self.try_make(path, durable)
        })
    }

    fn try_make(&self, path: &Path, durable: bool) -> rustix::io::Result<Made> {
        let mut missing: Vec<&Path> = Vec::new();
        let mut folder = loop {
            let at = missing.last().map_or(Some(path), |p| p.parent()).unwrap_or(Path::new(""));
            match self.find(at) {
                Ok(fd) => break fd,
                Err(Errno::NOENT) if !at.as_os_str().is_empty() => missing.push(at),
                Err(e) => return Err(e),
            }
        };
        let mut made = Vec::new();
        for path in missing.into_iter().rev() {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            match rustix::fs::mkdirat(&*folder, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => made.insert(0, path.to_owned()),
                Err(Errno::EXIST) => {} // another file needed it just now
                Err(e) => return Err(e),
            }
            if durable {
                let mut state = self.state();
                state.unflushed.entry(parent.to_owned()).or_default().insert(name.to_owned());
            }
            folder = self.remember(path, beneath::open_child(&*folder, name)?);
        }
        Ok(Made { folder, made })
    }

    /// Runs `act` on the folder that `path` is in as it is now, however it was opened before, and on
    /// the name there. Blocking.
    pub(crate) fn in_folder_of<T>(
        &self,
        path: &Path,
        (op, location): (Op, &str),
        act: impl FnOnce(&OwnedFd, &OsStr) -> rustix::io::Result<T>,
    ) -> Result<T> {
        let io = |e: Errno| Error::io(op, location, e.into());
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io(Errno::INVAL));
        };
        if parent.as_os_str().is_empty() {
            return act(&self.fd, name).map_err(io);
        }
        let folder = beneath::open(&self.fd, parent)
            .map_err(|error| self.blame(parent, Fault { op, location, error }))?;
        act(&folder, name).map_err(io)
    }

    /// Why the folder `path` could not be had.
    pub(crate) fn blame(&self, path: &Path, fault: Fault<'_>) -> Error {
        beneath::blame(&self.fd, &self.path, path, fault)
    }

    /// Removes folders that were made for nothing, deepest first, where nobody else used them.
    /// Blocking.
    pub(crate) fn unmake(&self, made: &[PathBuf]) {
        made.iter().take_while(|path| self.remove_folder(path).is_ok()).count();
    }

    /// Removes an empty folder. Blocking.
    pub(crate) fn remove_folder(&self, path: &Path) -> rustix::io::Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::BUSY);
        };
        rustix::fs::unlinkat(&*self.find(parent)?, name, AtFlags::REMOVEDIR)?;
        self.forget(path);
        let mut state = self.state();
        if let Some(names) = state.unflushed.get_mut(parent) {
            names.remove(name);
        }
        state.unflushed.retain(|_, names| !names.is_empty());
        Ok(())
    }

    /// Forces the names of new folders on the way to the folder `path` to the disk. Blocking.
    pub(crate) fn flush_names(&self, path: &Path) -> rustix::io::Result<()> {
        for folder in path.ancestors() {
            let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else { break };
            // One flush does it for all folders made there so far. They are taken off only when it
            // is done, because others ask too.
            let flushed = match self.state().unflushed.get(parent) {
                Some(names) if names.contains(name) => names.clone(),
                _ => continue,
            };
            rustix::fs::fsync(&*self.find(parent)?)?;
            let mut state = self.state();
            if let Some(names) = state.unflushed.get_mut(parent) {
                names.retain(|n| !flushed.contains(n));
                if names.is_empty() {
                    state.unflushed.remove(parent);
                }
            }
        }
        Ok(())
    }

    /// The root's own descriptor.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}
