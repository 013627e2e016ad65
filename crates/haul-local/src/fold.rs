//! Names that a folder does not tell apart.
//!
//! Owns whether a folder beneath a root takes two spellings for one name (capitals, forms of Unicode),
//! and what a job has named in such folders. It must never let a job replace what it has put there
//! itself under another spelling: of two sources one would be gone without a word.

use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use haul_core::{Error, ErrorKind, Hint, Op};
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
                Error::new(ErrorKind::Invalid, op, location, what).with_hint(Hint::SeparateFolders)
            }
        }
    }
}

/// What a job has named, by folder: as the file system knows it, for the path to it may have two
/// spellings as well. Bounded by the number of folders, and by what was put in those that fold names and
/// what has names that are not ASCII: that is never forgotten.
#[derive(Debug, Default)]
pub(crate) struct Named(Mutex<Folders>);

#[derive(Debug, Default)]
struct Folders {
    known: HashMap<Option<Id>, Folder>,
    /// Those with nothing in them to remember, in the order in which they were met.
    order: VecDeque<Option<Id>>,
}

#[derive(Debug, Default)]
struct Folder {
    /// Whether capitals make no difference; `None` as long as no name has told.
    folds: Option<bool>,
    /// The hash of the path under which a thing was put there.
    ours: HashMap<Id, u64>,
    /// The same by the hash of the name in small letters, where capitals make no difference: not every
    /// file system knows a file by the same number for long.
    folded: HashMap<u64, u64>,
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
        let folder = folders.of(to.folder);
        if !folder.is_careful(to.name) {
            drop(folders);
            return act().map_err(Refused::Errno);
        }
        // Under the lock to the end: another worker may be about to take the same name.
        if folder.gave_otherwise(to) {
            return Err(Refused::Folded);
        }
        let done = act().map_err(Refused::Errno)?;
        let Some(id) = id() else { return Ok(done) };
        if folder.folds.is_none() {
            folder.folds = swapped(to.name).map(|other| at(to.folder, &other) == Some(id));
        }
        if folder.is_careful(to.name) {
            folder.ours.insert(id, to.hash());
            folder.folded.insert(small(to.name), to.hash());
        }
        Ok(done)
    }

    /// Whether this job has put what has `name` in the folder at `parent` there under another spelling.
    /// Blocking.
    pub(crate) fn gave_otherwise(&self, to: Naming<'_>) -> bool {
        let folders = self.lock();
        let folder = folders.known.get(&id_of(to.folder));
        folder.is_some_and(|folder| folder.gave_otherwise(to))
    }

    fn lock(&self) -> MutexGuard<'_, Folders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Naming<'_> {
    /// The hash of the path, as it is spelled.
    fn hash(&self) -> u64 {
        fnv(self.parent.join(self.name).as_os_str().as_bytes())
    }
}

impl Folders {
    fn of(&mut self, folder: &OwnedFd) -> &mut Folder {
        self.by_id(id_of(folder))
    }

    fn by_id(&mut self, id: Option<Id>) -> &mut Folder {
        if !self.known.contains_key(&id) {
            while self.order.len() >= FOLDERS
                && let Some(oldest) = self.order.pop_front()
            {
                // What was put there is needed until the end: removals come last.
                if self.known.get(&oldest).is_some_and(|folder| folder.ours.is_empty()) {
                    self.known.remove(&oldest);
                }
            }
            self.order.push_back(id);
        }
        self.known.entry(id).or_default()
    }
}

fn id_of(folder: &OwnedFd) -> Option<Id> {
    rustix::fs::fstat(folder).ok().as_ref().map(folder::id)
}

impl Folder {
    /// Whether a name may be taken for another here. Forms of Unicode are folded by file systems that
    /// tell capitals apart, too.
    fn is_careful(&self, name: &OsStr) -> bool {
        self.folds != Some(false) || !name.as_bytes().is_ascii()
    }

    /// Whether what has the name was put there under another spelling, of the name or of the path to it.
    fn gave_otherwise(&self, to: Naming<'_>) -> bool {
        let there = at(to.folder, to.name).and_then(|there| self.ours.get(&there));
        let folds = self.folds == Some(true);
        let alike = if folds { self.folded.get(&small(to.name)) } else { None };
        let hash = to.hash();
        there.into_iter().chain(alike).any(|other| *other != hash)
    }
}

/// What has the name, without following it.
fn at(folder: &OwnedFd, name: &OsStr) -> Option<Id> {
    let there = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    there.ok().as_ref().map(folder::id)
}

/// The hash of the name in small letters.
fn small(name: &OsStr) -> u64 {
    fnv(name.to_string_lossy().to_lowercase().as_bytes())
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
            self.put_in("", name, alias)
        }

        /// The same, where the folder is called so.
        fn put_in(&self, parent: &str, name: &str, alias: Option<&str>) -> Result<(), Refused> {
            let (path, parent) = (self.dir.path().join(name), Path::new(parent));
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
            self.named.lock().of(&self.folder).ours.len()
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

    /// A.11: nor is it where the folder that it is in has two spellings, or the file another number.
    #[test]
    fn folders_have_two_spellings_too() {
        let stage = Stage::new();
        stage.put_in("Trip", "one.jpg", Some("ONE.JPG")).unwrap();
        assert!(matches!(stage.put_in("trip", "one.jpg", None), Err(Refused::Folded)));
        std::fs::remove_file(stage.dir.path().join("ONE.JPG")).unwrap();
        std::fs::remove_file(stage.dir.path().join("one.jpg")).unwrap();
        std::fs::write(stage.dir.path().join("other"), "").unwrap();
        assert!(matches!(stage.put_in("Trip", "One.jpg", None), Err(Refused::Folded)));
        stage.put_in("Trip", "one.jpg", None).unwrap();
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
        let id = |n: usize| Some((0, n as u64));
        folders.by_id(id(0)).ours.insert((1, 1), 1);
        for n in 1..FOLDERS + 10 {
            folders.by_id(id(n)).folds = Some(false);
        }
        assert!(folders.known.len() <= FOLDERS + 1 && folders.order.len() == FOLDERS);
        assert_eq!(folders.by_id(id(0)).ours.len(), 1, "what was put there is not forgotten");
        assert_eq!(folders.by_id(id(1)).folds, None);
    }
}
