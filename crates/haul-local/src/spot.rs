//! Where a file is, or goes.
//!
//! Owns the step from a place to an open folder and a name in it, for a path that a user named and
//! for one beneath a root, and what has to be undone or flushed for folders that were made on the
//! way. It must never follow a link beneath a root.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haul_core::{Error, ErrorKind, Op, RelPath, Result};
use rustix::fs::{AtFlags, Mode, OFlags, Stat};

use crate::beneath::{self, Fault};
use crate::fold::{Id, Naming, Refused};
use crate::root::DestinationRoot;

/// What a user or somebody else names as a file.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A path that a user named: links on the way are followed.
    Path(PathBuf),
    /// A name that came from somewhere else: it stays beneath the root.
    Beneath(Arc<DestinationRoot>, RelPath),
}

impl Place {
    pub(crate) fn location(&self) -> String {
        match self {
            Self::Path(path) => path.to_string_lossy().into_owned(),
            Self::Beneath(root, path) => root.name_of(path.as_os_str()),
        }
    }

    /// Its path, as it was named.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Path(path) => path,
            Self::Beneath(_, path) => Path::new(path.as_os_str()),
        }
    }

    /// Opens the folder; missing ones are made. Blocking.
    pub(crate) fn open(&self, durable: bool) -> Result<Spot> {
        match self {
            Self::Path(path) => by_path(path, &self.location()),
            Self::Beneath(root, path) => below(root, path, durable, &self.location()),
        }
    }

    /// Opens the folder and makes something in it; leaves no new folder if that fails. Blocking.
    pub(crate) fn create_in<T>(
        &self,
        durable: bool,
        create: impl Fn(&Spot) -> Result<T>,
    ) -> Result<(Spot, T)> {
        let mut spot = self.open(durable)?;
        let mut created = create(&spot);
        let missing = matches!(&created, Err(e) if e.kind() == ErrorKind::NotFound);
        if missing && spot.forget() {
            // The folder was removed since it was opened for another file.
            spot = self.open(durable)?;
            created = create(&spot);
        }
        let created = created.inspect_err(|_| spot.unmake())?;
        Ok((spot, created))
    }

    /// What is there: through links for a path that a user named. Blocking.
    pub(crate) fn stat(&self, op: Op) -> Result<Stat> {
        let location = self.location();
        match self {
            Self::Path(path) => {
                rustix::fs::stat(path).map_err(|e| Error::io(op, &location, e.into()))
            }
            Self::Beneath(root, path) => {
                let path = beneath::checked(path, op, &location)?;
                root.in_folder_of(path, (op, &location), |folder, name| {
                    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
                })
            }
        }
    }

    /// Opens what is there for reading, without waiting for anybody. Blocking.
    pub(crate) fn open_to_read(&self) -> Result<File> {
        let (op, location) = (Op::Open, self.location());
        // Without O_NONBLOCK, opening a FIFO waits for a writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match self {
            Self::Path(path) => rustix::fs::open(path, flags, Mode::empty())
                .map_err(|e| Error::io(op, &location, e.into()))?,
            Self::Beneath(root, path) => {
                let path = beneath::checked(path, op, &location)?;
                root.in_folder_of(path, (op, &location), |folder, name| {
                    rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW, Mode::empty())
                })?
            }
        };
        Ok(File::from(fd))
    }
}

/// An open folder and a name in it.
#[derive(Debug)]
pub(crate) struct Spot {
    pub(crate) folder: Arc<OwnedFd>,
    pub(crate) name: OsString,
    /// Folders made for it, deepest first.
    made: Vec<PathBuf>,
    /// The root that the folder is beneath, and the folder's path there.
    root: Option<(Arc<DestinationRoot>, PathBuf)>,
}

impl Spot {
    /// Gives the name to the thing that `id` tells of, by `act`; see [`Named::give`]. Blocking.
    ///
    /// [`Named::give`]: crate::fold::Named::give
    pub(crate) fn give_name<T>(
        &self,
        id: impl Fn() -> Option<Id>,
        act: impl FnOnce() -> rustix::io::Result<T>,
    ) -> std::result::Result<T, Refused> {
        let Some((root, parent)) = &self.root else { return act().map_err(Refused::Errno) };
        root.named.give(Naming { folder: &self.folder, parent, name: &self.name }, id, act)
    }

    /// Whether the folder may have been removed since it was opened, for it was opened some time
    /// ago. Then it is forgotten, and asking again opens another.
    pub(crate) fn forget(&self) -> bool {
        self.root.as_ref().inspect(|(root, path)| root.forget(path)).is_some()
    }

    /// Removes the folders that were made for nothing. Blocking.
    pub(crate) fn unmake(&self) {
        if let Some((root, _)) = &self.root {
            return root.unmake(&self.made);
        }
        for folder in &self.made {
            let _not_empty = std::fs::remove_dir(folder);
        }
    }

    /// Forces the folder's entries to the disk, and those of folders made on the way. Blocking.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        rustix::fs::fsync(&*self.folder)?;
        if let Some((root, path)) = &self.root {
            return Ok(root.flush_names(path)?);
        }
        for made in &self.made {
            let parent = made.parent().filter(|p| !p.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }
}

fn by_path(path: &Path, location: &str) -> Result<Spot> {
    let name = path
        .file_name()
        .map(ToOwned::to_owned)
        .ok_or_else(|| Error::new(ErrorKind::Invalid, Op::Begin, location, "it names no file"))?;
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let made = make_folders(parent, location)?;
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(parent, flags, Mode::empty())
        .map_err(|e| Error::io(Op::Begin, location, e.into()))?;
    Ok(Spot { folder: Arc::new(folder), name, made, root: None })
}

fn below(
    root: &Arc<DestinationRoot>,
    path: &RelPath,
    durable: bool,
    location: &str,
) -> Result<Spot> {
    let names_no_file = |what| Error::new(ErrorKind::Invalid, Op::Begin, location, what);
    let safe = beneath::checked(path, Op::Begin, location)?;
    if path.as_bytes().ends_with(b"/") {
        return Err(names_no_file("its name ends with a slash, as only that of a folder can"));
    }
    let (Some(parent), Some(name)) = (safe.parent(), safe.file_name()) else {
        return Err(names_no_file("it names no file"));
    };
    let made = root
        .make(parent, durable)
        .map_err(|error| root.blame(parent, Fault { op: Op::Begin, location, error }))?;
    let root = Some((Arc::clone(root), parent.to_owned()));
    Ok(Spot { folder: made.folder, name: name.to_owned(), made: made.made, root })
}

/// Creates missing folders; returns those it made, deepest first.
pub(crate) fn make_folders(parent: &Path, location: &str) -> Result<Vec<PathBuf>> {
    let missing: Vec<_> = parent
        .ancestors()
        .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
        .map(Path::to_owned)
        .collect();
    std::fs::create_dir_all(parent).map_err(|e| match e.kind() {
        // Something that is no folder is in the way.
        std::io::ErrorKind::AlreadyExists => {
            Error::io(Op::Begin, location, std::io::ErrorKind::NotADirectory.into())
        }
        _ => Error::io(Op::Begin, location, e),
    })?;
    Ok(missing)
}
