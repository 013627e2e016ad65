//! Names that a folder does not tell apart.
//!
//! Owns whether a folder beneath a root takes two spellings for one name (capitals, forms of Unicode),
//! and what a job has named in such folders. It must never let a job replace what it has put there
//! itself under another spelling: of two sources one would be gone without a word.

use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haul_core::{Error, ErrorKind, Op};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::folder;
use crate::staged::fnv;

/// Folders that are remembered: at least as many as a job may have items in work and waiting.
const FOLDERS: usize = 4096;

/// A device and an inode.
pub(crate) type Id = (u64, u64);

/// A name that something is about to get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming<'a> {
    /// The open folder.
    pub(crate) folder: &'a OwnedFd,
    /// Its path beneath the root.
    pub(crate) parent: &'a Path,
    pub(crate) name: &'a OsStr,
}

/// Why something did not get its name.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The system said so.
    Errno(Errno),
    /// This job has put something else there, under another spelling.
    Folded,
}

impl Refused {
    /// The error for whoever wanted the name; `explain` says what one of the system's means.
    pub(crate) fn blame(
        self,
        op: Op,
        location: &str,
        explain: impl FnOnce(Errno) -> Error,
    ) -> Error {
        match self {
            Self::Errno(e) => explain(e),
            Self::Folded => {
                let what = "this folder does not tell its name from that of another file that was \
                            just put there";
                Error::new(ErrorKind::Invalid, op, location, what)
                    .with_hint("names that differ in capitals only need different folders there")
            }
        }
    }
}

/// What a job has named, by folder. Bounded by the number of folders, and within one by what was put
/// there: only folders that fold names, and names that are not ASCII, are remembered at all.
#[derive(Debug, Default)]
pub(crate) struct Named(Mutex<Folders>);

#[derive(Debug, Default)]
struct Folders {
    known: HashMap<PathBuf, Folder>,
    /// In the order in which they were met.
    order: VecDeque<PathBuf>,
}

#[derive(Debug, Default)]
struct Folder {
    /// Whether capitals make no difference; `None` as long as no name has told.
    folds: Option<bool>,
    /// The hash of the name under which a thing was put there.
    ours: HashMap<Id, u64>,
}

impl Named {
    /// Lets `act` give the name to the thing that `id` tells of, unless this job has put another thing
    /// there that the folder takes the name for. Blocking.
    pub(crate) fn give<T>(
        &self,
        to: Naming<'_>,
        id: impl Fn() -> Option<Id>,
        act: impl FnOnce() -> rustix::io::Result<T>,
    ) -> Result<T, Refused> {
        let mut folders = self.lock();
        let folder = folders.of(to.parent);
        if !folder.is_careful(to.name) {
            drop(folders);
            return act().map_err(Refused::Errno);
        }
        // Under the lock to the end: another worker may be about to take the same name.
        let hash = fnv(to.name.as_bytes());
        let there = at(to.folder, to.name).and_then(|there| folder.ours.get(&there));
        if there.is_some_and(|other| *other != hash) {
            return Err(Refused::Folded);
        }
        let done = act().map_err(Refused::Errno)?;
        let Some(id) = id() else { return Ok(done) };
        if folder.folds.is_none() {
            folder.folds = swapped(to.name).map(|other| at(to.folder, &other) == Some(id));
        }
        if folder.is_careful(to.name) {
            folder.ours.insert(id, hash);
        }
        Ok(done)
    }

    /// Whether this job has put what has `name` in the folder at `parent` there under another spelling.
    /// Blocking.
    pub(crate) fn gave_otherwise(&self, to: Naming<'_>) -> bool {
        let Some(there) = at(to.folder, to.name) else { return false };
        let folders = self.lock();
        let ours = folders.known.get(to.parent).and_then(|folder| folder.ours.get(&there));
        ours.is_some_and(|hash| *hash != fnv(to.name.as_bytes()))
    }

    fn lock(&self) -> MutexGuard<'_, Folders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Folders {
    fn of(&mut self, path: &Path) -> &mut Folder {
        if !self.known.contains_key(path) {
            if self.order.len() >= FOLDERS
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.order.push_back(path.to_owned());
        }
        self.known.entry(path.to_owned()).or_default()
    }
}

impl Folder {
    /// Whether a name may be taken for another here. Forms of Unicode are folded by file systems that
    /// tell capitals apart, too.
    fn is_careful(&self, name: &OsStr) -> bool {
        self.folds != Some(false) || !name.as_bytes().is_ascii()
    }
}

/// What has the name, without following it.
fn at(folder: &OwnedFd, name: &OsStr) -> Option<Id> {
    let there = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    there.ok().as_ref().map(folder::id)
}

/// The name with capitals for small letters and the other way round; `None` if it has neither.
fn swapped(name: &OsStr) -> Option<OsString> {
    let swap = |b: &u8| {
        if b.is_ascii_lowercase() { b.to_ascii_uppercase() } else { b.to_ascii_lowercase() }
    };
    let other: Vec<u8> = name.as_bytes().iter().map(swap).collect();
    (other != name.as_bytes()).then(|| OsString::from_vec(other))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    /// A folder as one that folds would be: the second spelling leads to what the first one names.
    struct Stage {
        dir: tempfile::TempDir,
        folder: OwnedFd,
        named: Named,
    }

    impl Stage {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let folder = folder::open(dir.path()).unwrap();
            Self { dir, folder, named: Named::default() }
        }

        /// Makes a file of that name, also known as `alias`, as by a folder that folds.
        fn put(&self, name: &str, alias: Option<&str>) -> Result<(), Refused> {
            let (path, parent) = (self.dir.path().join(name), Path::new(""));
            let to = Naming { folder: &self.folder, parent, name: name.as_ref() };
            let id = || path.metadata().ok().map(|m| (m.dev(), m.ino()));
            self.named.give(to, id, || {
                File::create(&path).unwrap();
                if let Some(alias) = alias {
                    std::fs::hard_link(&path, self.dir.path().join(alias)).unwrap();
                }
                Ok(())
            })
        }

        fn remembered(&self) -> usize {
            self.named.lock().of(Path::new("")).ours.len()
        }
    }

    /// A.11, F.11: the second of two names that are one there is refused, in either order of capitals.
    #[test]
    fn what_was_put_there_is_not_replaced_under_another_spelling() {
        let stage = Stage::new();
        stage.put("readme", Some("README")).unwrap();
        assert!(matches!(stage.put("README", None), Err(Refused::Folded)));
        stage.put("readme", None).unwrap();
        stage.put("other", Some("oThEr")).unwrap();
        assert!(matches!(stage.put("oThEr", None), Err(Refused::Folded)));
    }

    /// A.11: forms of Unicode, where capitals are told apart.
    #[test]
    fn forms_of_unicode_are_told_apart_or_refused() {
        let stage = Stage::new();
        stage.put("plain", None).unwrap();
        stage.put("caf\u{e9}", Some("cafe\u{301}")).unwrap();
        assert!(matches!(stage.put("cafe\u{301}", None), Err(Refused::Folded)));
    }

    /// What was there before is replaced as anywhere, and folders that do not fold are not remembered.
    #[test]
    fn ordinary_folders_cost_nothing() {
        let stage = Stage::new();
        std::fs::write(stage.dir.path().join("a"), "old").unwrap();
        for name in ["a", "b", "B", "c"] {
            stage.put(name, None).unwrap();
        }
        assert_eq!(stage.remembered(), 0);
    }

    #[test]
    fn as_many_folders_are_remembered_as_there_is_room_for() {
        let mut folders = Folders::default();
        for n in 0..FOLDERS + 10 {
            folders.of(Path::new(&n.to_string())).folds = Some(true);
        }
        assert_eq!((folders.known.len(), folders.order.len()), (FOLDERS, FOLDERS));
        assert_eq!(folders.of(Path::new("0")).folds, None);
    }
}
