//! Moving within one file system.
//!
//! Owns a single rename, and whether two names are of one file. It must never copy a byte: where a
//! rename cannot do it, it says so, and the caller copies.

use std::os::fd::AsFd;
use std::path::Path;

use haul_core::{Error, ErrorKind, Op, Result};
use rustix::fs::CWD;
use rustix::io::Errno;

use crate::spot::make_folders;
use crate::{blocking, folder};

/// Gives what is at `from` the name `to`, whose missing folders are made. `Ok(false)` where the two
/// are on different file systems, or the system cannot refuse to replace something. Nothing is
/// flushed: after a power cut it has the one name or the other.
///
/// Two names of one file are not told apart by the system, which then does nothing: the caller
/// makes sure that they are not.
pub async fn rename(from: &Path, to: &Path, overwrite: bool) -> Result<bool> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let location = from.to_string_lossy().into_owned();
    blocking(Op::Move, &location, move || rename_now(&from, &to, overwrite)).await
}

/// Whether both names lead to one file, so that nothing can be moved or copied from the one to the
/// other: two links to it, or one folder that is mounted twice. A name that is only spelled in another
/// way, in a folder that takes both spellings for one, can be renamed to the other.
pub async fn same_file(from: &Path, to: &Path) -> Result<bool> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let location = from.to_string_lossy().into_owned();
    blocking(Op::Stat, &location, move || Ok(same_now(&from, &to))).await
}

/// Whether anything has that name, be it a link to nothing.
pub async fn exists(path: &Path) -> Result<bool> {
    let (path, location) = (path.to_owned(), path.to_string_lossy().into_owned());
    blocking(Op::Stat, &location, move || Ok(rustix::fs::lstat(&path).is_ok())).await
}

fn same_now(from: &Path, to: &Path) -> bool {
    let (Ok(a), Ok(b)) = (rustix::fs::lstat(from), rustix::fs::lstat(to)) else { return false };
    if folder::id(&a) != folder::id(&b) {
        return false;
    }
    let parent = |p: &Path| {
        let parent = p.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        rustix::fs::stat(parent).ok().map(|s| folder::id(&s))
    };
    let respelled = a.st_nlink == 1 && from.file_name() != to.file_name();
    !(respelled && parent(from).is_some() && parent(from) == parent(to))
}

fn rename_now(from: &Path, to: &Path, overwrite: bool) -> Result<bool> {
    let (from_text, to_text) = (from.to_string_lossy(), to.to_string_lossy());
    // Before folders are made for nothing, and so that the message names the right one.
    rustix::fs::lstat(from).map_err(|e| Error::io(Op::Move, &from_text, e.into()))?;
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty());
    let made = parent.map(|parent| make_folders(parent, &to_text)).transpose()?;
    rename_at(from, (CWD, to), overwrite).or_else(|error| {
        for folder in made.iter().flatten() {
            let _not_empty = std::fs::remove_dir(folder);
        }
        explain(error, (&from_text, &to_text), overwrite)
    })
}

/// What an error of [`rename_at`] means, for the texts of both names.
pub(crate) fn explain(error: Errno, (from, to): (&str, &str), overwrite: bool) -> Result<bool> {
    let invalid = |what: &str| Err(Error::new(ErrorKind::Invalid, Op::Move, from, what));
    match error {
        Errno::XDEV => Ok(false),
        Errno::NOSYS | Errno::OPNOTSUPP if !overwrite => Ok(false),
        // File systems that cannot refuse say so as if the names were nested.
        Errno::INVAL if !overwrite && !Path::new(to).starts_with(from) => Ok(false),
        Errno::INVAL => invalid(&format!("{to} is inside of it")),
        Errno::NOTEMPTY => invalid(&format!("{to} is a folder with something in it")),
        Errno::ISDIR => invalid(&format!("{to} is a folder")),
        Errno::NOTDIR => invalid(&format!("{to} is no folder")),
        Errno::EXIST => {
            Err(Error::new(ErrorKind::AlreadyExists, Op::Move, to, "it exists already"))
        }
        e => Err(Error::io(Op::Move, to, e.into())),
    }
}

/// Renames to a name in an open folder. Blocking.
pub(crate) fn rename_at(
    from: &Path,
    (folder, name): (impl AsFd, &Path),
    overwrite: bool,
) -> rustix::io::Result<bool> {
    if overwrite {
        return rustix::fs::renameat(CWD, from, folder, name).map(|()| true);
    }
    #[cfg(target_os = "linux")]
    {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(CWD, from, folder, name, flags).map(|()| true)
    }
    #[cfg(not(target_os = "linux"))]
    Err(Errno::NOSYS)
}
