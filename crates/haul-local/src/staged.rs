//! A file under construction.
//!
//! Owns the temporary name beside the destination: short (peers that append a suffix fail on long
//! names), opened exclusively beneath the destination's folder without following a link, gone when
//! dropped. The destination's name appears only by [`Staged::publish`].

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use haul_core::{Error, ErrorKind, Op, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};

/// What a staged file is for.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) path: PathBuf,
    /// Bytes to reserve; `None` when the size is not known.
    pub(crate) size: Option<u64>,
    pub(crate) overwrite: bool,
}

/// A file that has no name yet that anybody would look for.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) file: Arc<File>,
    pub(crate) folder: Arc<OwnedFd>,
    temporary: String,
    name: std::ffi::OsString,
    plan: Plan,
    made_folders: Vec<PathBuf>,
    published: bool,
}

impl Staged {
    /// Creates the file, reserving its space. Blocking.
    pub(crate) fn create(plan: Plan) -> Result<Self> {
        let location = plan.path.to_string_lossy().into_owned();
        let io = |e: rustix::io::Errno| Error::io(Op::Begin, &location, e.into());
        let name = plan.path.file_name().map(ToOwned::to_owned).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, Op::Begin, &location, "it names no file")
        })?;
        let parent = match plan.path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let made_folders = make_folders(parent, &location)?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = Arc::new(rustix::fs::open(parent, flags, Mode::empty()).map_err(io)?);
        let mode = mode_for(&folder, &name, &plan, &location)?;
        let (temporary, file) = create_temporary(&folder, mode).map_err(io)?;
        let file = Arc::new(file);
        let staged = Self { file, folder, temporary, name, plan, made_folders, published: false };
        staged.reserve()?;
        Ok(staged)
    }

    pub(crate) fn location(&self) -> String {
        self.plan.path.to_string_lossy().into_owned()
    }

    /// Refuses what cannot fit and reserves what can, so that a full disk shows now and parallel
    /// writes do not scatter the file. A size is a claim by someone else: nothing is reserved
    /// beyond the free space.
    fn reserve(&self) -> Result<()> {
        let Some(size) = self.plan.size.filter(|s| *s > 0) else { return Ok(()) };
        if let Ok(fs) = rustix::fs::fstatvfs(&*self.file) {
            let free = fs.f_bavail.saturating_mul(fs.f_frsize);
            if size > free {
                let detail = format!("it needs {size} bytes, and {free} are free there");
                return Err(Error::new(ErrorKind::NoSpace, Op::Begin, self.location(), detail));
            }
        }
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::FallocateFlags;
            use rustix::io::Errno;
            // Not every file system can reserve; only a lack of space is an answer.
            let reserved = rustix::fs::fallocate(&*self.file, FallocateFlags::empty(), 0, size);
            if let Err(e @ (Errno::NOSPC | Errno::DQUOT)) = reserved {
                return Err(Error::io(Op::Begin, self.location(), e.into()));
            }
        }
        Ok(())
    }

    /// Makes the file visible under its name. Blocking.
    pub(crate) fn publish(&mut self) -> Result<()> {
        let io = |e: rustix::io::Errno| Error::io(Op::Commit, self.location(), e.into());
        let (folder, from, to) = (&*self.folder, self.temporary.as_str(), self.name.as_os_str());
        if self.plan.overwrite {
            rustix::fs::renameat(folder, from, folder, to).map_err(io)?;
        } else {
            rename_if_absent(folder, from, to).map_err(io)?;
        }
        self.published = true;
        Ok(())
    }

    /// Removes the file unless it has been published. Blocking.
    pub(crate) fn discard(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.published, true) {
            return Ok(());
        }
        let removed = rustix::fs::unlinkat(&*self.folder, &self.temporary, AtFlags::empty());
        for folder in &self.made_folders {
            let _not_empty = std::fs::remove_dir(folder);
        }
        removed.map_err(|e| Error::io(Op::Abort, self.location(), e.into()))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _best_effort = self.discard();
    }
}

/// Creates missing folders; returns those it made, deepest first.
fn make_folders(parent: &Path, location: &str) -> Result<Vec<PathBuf>> {
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

/// The mode for the new file: that of the file it replaces, or the usual one. Refuses a folder,
/// and anything that may not be replaced.
fn mode_for(folder: &OwnedFd, name: &std::ffi::OsStr, plan: &Plan, location: &str) -> Result<Mode> {
    let usual = Mode::from_raw_mode(0o666); // less the umask
    let Ok(there) = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return Ok(usual);
    };
    let kind = FileType::from_raw_mode(there.st_mode);
    let refuse = |kind, what: &str| Err(Error::new(kind, Op::Begin, location, what));
    if kind == FileType::Directory {
        return refuse(ErrorKind::Invalid, "it is a folder");
    }
    if !matches!(kind, FileType::RegularFile | FileType::Symlink) {
        return refuse(ErrorKind::Invalid, "it is no regular file, and would be replaced");
    }
    if !plan.overwrite {
        return refuse(ErrorKind::AlreadyExists, "it exists already");
    }
    // Never setuid or setgid: what is written came from elsewhere.
    let keep = kind == FileType::RegularFile;
    Ok(if keep { Mode::from_raw_mode(there.st_mode & 0o777) } else { usual })
}

/// Renames unless the name is taken. Not every file system knows such a rename; a hard link refuses
/// a taken name as well, but not every file system has those.
fn rename_if_absent(folder: &OwnedFd, from: &str, to: &std::ffi::OsStr) -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::Errno;
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(folder, from, folder, to, flags) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            done => return done,
        }
    }
    rustix::fs::linkat(folder, from, folder, to, AtFlags::empty())?;
    rustix::fs::unlinkat(folder, from, AtFlags::empty())
}

fn create_temporary(folder: &OwnedFd, mode: Mode) -> rustix::io::Result<(String, File)> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    loop {
        let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(8).collect();
        let temporary = format!(".haul-{random}");
        match rustix::fs::openat(folder, &temporary, flags, mode) {
            Ok(fd) => return Ok((temporary, File::from(fd))),
            Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Most slices in one system call (Linux: IOV_MAX is 1,024).
const MAX_IOV: usize = 512;

/// Writes all `slices` at `offset` in as few calls as possible. Blocking.
pub(crate) fn write_all_at(file: &File, slices: &[Bytes], mut offset: u64) -> std::io::Result<()> {
    each_write(slices, |iov| {
        let n = rustix::io::retry_on_intr(|| rustix::io::pwritev(file, iov, offset))?;
        offset += n as u64;
        Ok(n)
    })
}

/// Writes all `slices` to a stream; `full` waits for room where the stream does not. Blocking.
pub(crate) fn write_all(file: &File, slices: &[Bytes], full: impl Fn()) -> std::io::Result<()> {
    each_write(slices, |iov| {
        loop {
            match rustix::io::retry_on_intr(|| rustix::io::writev(file, iov)) {
                Err(rustix::io::Errno::AGAIN) => full(),
                written => return Ok(written?),
            }
        }
    })
}

fn each_write(
    slices: &[Bytes],
    mut write: impl FnMut(&[IoSlice<'_>]) -> std::io::Result<usize>,
) -> std::io::Result<()> {
    for group in slices.chunks(MAX_IOV) {
        let mut iov: Vec<_> = group.iter().map(|b| IoSlice::new(b)).collect();
        let mut left = &mut iov[..];
        IoSlice::advance_slices(&mut left, 0); // drops leading empty slices
        while !left.is_empty() {
            match write(left)? {
                0 => return Err(std::io::ErrorKind::WriteZero.into()),
                n => IoSlice::advance_slices(&mut left, n),
            }
        }
    }
    Ok(())
}

impl Staged {
    /// The device that the file is on, for grouping flushes.
    pub(crate) fn device(&self) -> std::io::Result<u64> {
        Ok(self.file.metadata()?.dev())
    }

    /// Which folder it is in, for grouping flushes.
    pub(crate) fn folder_id(&self) -> Option<(u64, u64)> {
        let folder = rustix::fs::fstat(&*self.folder).ok()?;
        Some((folder.st_dev, folder.st_ino))
    }

    /// Forces the folder's entry to the disk, and the entries of folders made for it. Blocking.
    pub(crate) fn sync_folder(&self) -> Result<()> {
        let io = |e: std::io::Error| Error::io(Op::Commit, self.location(), e);
        rustix::fs::fsync(&*self.folder).map_err(|e| io(e.into()))?;
        for made in &self.made_folders {
            let parent = made.parent().filter(|p| !p.as_os_str().is_empty());
            let parent = File::open(parent.unwrap_or(Path::new("."))).map_err(io)?;
            parent.sync_all().map_err(io)?;
        }
        Ok(())
    }
}
