//! Opening folders beneath a folder.
//!
//! Owns the promise that a path never leads out of the folder that it is meant to be beneath: no
//! symbolic link inside is followed, whoever put it there and whenever. It must never open a path
//! by its name from the top.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use haul_core::{Error, ErrorKind, Hint, Op, RelPath, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// How folders are opened. Readable, because only such a descriptor can be flushed to the disk.
const FOLDER: OFlags =
    OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// `path` as one that can be put beneath a folder, or why it cannot.
pub(crate) fn checked<'a>(path: &'a RelPath, op: Op, location: &str) -> Result<&'a Path> {
    path.beneath().map_err(|why| {
        Error::new(ErrorKind::Invalid, op, location, format!("no file can be called that: {why}"))
            .with_hint(Hint::CopyRenamed)
    })
}

/// Opens one folder in another.
pub(crate) fn open_child(
    folder: impl AsFd,
    name: impl rustix::path::Arg,
) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(folder, name, FOLDER, Mode::empty())
}

/// Opens the folder `path` beneath `root`.
pub(crate) fn open(root: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let inside =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(root, path, FOLDER, Mode::empty(), inside) {
            // Kernels before 5.6, and sandboxes that do not know the call.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {}
            done => return done,
        }
    }
    step_by_step(root, path)
}

/// The same where the kernel cannot do it by itself.
fn step_by_step(root: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let mut folder = open_child(root, ".")?;
    for name in path {
        folder = open_child(&folder, name)?;
    }
    Ok(folder)
}

/// Which step of `path` beneath `root`, of which `top` is the name, is why it cannot be opened.
pub(crate) fn blame(root: &OwnedFd, top: &Path, path: &Path, fault: Fault<'_>) -> Error {
    let Fault { op, location, error } = fault;
    let mut at = PathBuf::new();
    let mut folder = open_child(root, ".");
    for name in path {
        at.push(name);
        let Ok(parent) = folder else { break };
        let Ok(there) = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) else { break };
        let way = top.join(&at);
        match FileType::from_raw_mode(there.st_mode) {
            FileType::Directory => folder = open_child(&parent, name),
            FileType::Symlink => {
                let what = format!("a symbolic link is in the way: {}", way.display());
                return Error::new(ErrorKind::Invalid, op, location, what)
                    .with_hint(Hint::NameLinkedFolder);
            }
            _ => {
                let what = format!("{} is a file, and a folder is needed there", way.display());
                return Error::new(ErrorKind::Invalid, op, location, what);
            }
        }
    }
    Error::io(op, location, error.into())
}

/// What failed, for [`blame`].
pub(crate) struct Fault<'a> {
    pub(crate) op: Op,
    pub(crate) location: &'a str,
    pub(crate) error: Errno,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_opening_agree() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("in")).unwrap();
        std::os::unix::fs::symlink("/tmp", dir.path().join("out")).unwrap();
        let root = open_child(rustix::fs::CWD, dir.path()).unwrap();
        for (path, fine) in [
            ("a", true),
            ("a/b", true),
            ("in", false),
            ("in/b", false),
            ("out", false),
            ("file", false),
            ("missing", false),
        ] {
            let path = Path::new(path);
            assert_eq!(open(&root, path).is_ok(), fine, "{path:?}");
            assert_eq!(step_by_step(&root, path).is_ok(), fine, "{path:?}");
        }
    }
}
