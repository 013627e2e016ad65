//! A file under construction.
//!
//! Owns the temporary name beside the destination: short (peers that append a suffix fail on long
//! names), opened exclusively beneath the destination's folder without following a link, gone when
//! dropped unless it is claimed by a token and worth finding again. The destination's name appears
//! only by [`Staged::publish`], which must never give it to a file that is not ours.

use std::ffi::OsStr;
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use haul_core::{Error, ErrorKind, Op, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::claim::{self, Claim};
use crate::folder;
use crate::spot::{Place, Spot};

/// What a staged file is for.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) place: Place,
    /// Bytes to reserve; `None` when the size is not known.
    pub(crate) size: Option<u64>,
    pub(crate) overwrite: bool,
    /// Whether it will be forced to the disk.
    pub(crate) durable: bool,
    /// Permission bits, less the umask; `None` for those of the file it replaces, or the usual ones.
    pub(crate) mode: Option<u32>,
}

/// Files from this size on have their space looked for and reserved. A smaller one is written in a
/// single call, which says the same at a third of the cost.
const RESERVED: u64 = 64 << 10;

/// A file that has no name yet that anybody would look for.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) file: Arc<File>,
    spot: Spot,
    temporary: String,
    location: String,
    overwrite: bool,
    published: bool,
    /// For a claimed file, which another process finds by its name: whether to leave it there.
    keep: Option<Arc<AtomicBool>>,
}

/// A claimed file, and what was found out on the way.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) staged: Staged,
    /// The permission bits that it may have in the end, at most.
    pub(crate) mode: Mode,
    /// Bytes that an earlier process left in it.
    pub(crate) found: u64,
}

impl Staged {
    /// Creates the file, reserving its space. Blocking.
    pub(crate) fn create(plan: &Plan) -> Result<Self> {
        let location = plan.place.location();
        let (spot, (temporary, file)) =
            plan.place.create_in(plan.durable, |spot| create_temporary(spot, plan, &location))?;
        let staged = Self {
            file: Arc::new(file),
            spot,
            temporary,
            location,
            overwrite: plan.overwrite,
            published: false,
            keep: None,
        };
        let room = Room { size: plan.size.unwrap_or(0), held: 0, grow: true };
        reserve(&staged.file, room, &staged.location)?;
        Ok(staged)
    }

    /// Takes over the file that an earlier process left under the name that `token` gives it, or
    /// creates it. Space is reserved, and its length stays that of what is in it. One with more
    /// than `enough` bytes in it is left there when it is dropped. Blocking.
    pub(crate) fn claim(plan: &Plan, token: &[u8; 32], enough: u64) -> Result<Claimed> {
        let location = plan.place.location();
        let (spot, (mode, claim)) = plan.place.create_in(plan.durable, |spot| {
            let mode = mode_for(&spot.folder, &spot.name, plan, &location)?;
            let name = claim::name_for(token, &spot.name);
            let claim = claim::claim(&spot.folder, name, mode)
                .map_err(|e| Error::io(Op::Begin, &location, e.into()))?;
            Ok((mode, claim))
        })?;
        let Claim { name, file, found, lasting } = claim;
        let staged = Self {
            file: Arc::new(file),
            spot,
            temporary: name,
            location,
            overwrite: plan.overwrite,
            published: false,
            keep: lasting.then(|| Arc::new(AtomicBool::new(found > enough))),
        };
        let io = |e| Error::io(Op::Begin, staged.location(), e);
        claim::narrow(&staged.file, claim::while_writing(mode)).map_err(io)?;
        let held = staged.file.metadata().map_err(io)?.blocks().saturating_mul(512);
        let room = Room { size: plan.size.unwrap_or(0), held, grow: false };
        reserve(&staged.file, room, staged.location())?;
        if let Some(size) = plan.size.filter(|size| found > *size) {
            // It was to be something longer.
            staged.file.set_len(size).map_err(io)?;
        }
        Ok(Claimed { staged, mode, found })
    }

    /// Whether to leave the file there when it is dropped; `None` if nobody would find it.
    pub(crate) fn keep(&self) -> Option<Arc<AtomicBool>> {
        self.keep.clone()
    }

    /// Whether the temporary name still leads to the file. Nobody else uses the name of a file that
    /// is not claimed.
    fn has_its_name(&self) -> std::io::Result<bool> {
        if self.keep.is_none() {
            return Ok(true);
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let there = match rustix::fs::statat(&*self.spot.folder, &self.temporary, flags) {
            Err(Errno::NOENT) => return Ok(false),
            there => there?,
        };
        let ours = self.file.metadata()?;
        Ok(folder::id(&there) == (ours.dev(), ours.ino()))
    }

    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// Makes the file visible under its name. Blocking.
    pub(crate) fn publish(&mut self) -> Result<()> {
        let io = |e| Error::io(Op::Commit, &self.location, e);
        if !self.has_its_name().map_err(io)? {
            let what = "another program removed its temporary file";
            return Err(Error::new(ErrorKind::Io, Op::Commit, &self.location, what));
        }
        let id = || self.file.metadata().ok().map(|m| (m.dev(), m.ino()));
        let name = || rename(&self.spot.folder, &self.temporary, &self.spot.name, self.overwrite);
        self.spot
            .give_name(id, name)
            .map_err(|refused| refused.blame(Op::Commit, &self.location, |e| io(e.into())))?;
        self.published = true;
        Ok(())
    }

    /// Removes the file unless it has been published. Blocking.
    pub(crate) fn discard(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.published, true) {
            return Ok(());
        }
        let removed = self.has_its_name().and_then(|ours| {
            if ours {
                rustix::fs::unlinkat(&*self.spot.folder, &self.temporary, AtFlags::empty())?;
            }
            Ok(())
        });
        self.spot.unmake();
        removed.map_err(|e| Error::io(Op::Abort, &self.location, e))
    }

    /// The device that the file is on, for grouping flushes.
    pub(crate) fn device(&self) -> std::io::Result<u64> {
        Ok(self.file.metadata()?.dev())
    }

    /// Which folder it is in, for grouping flushes.
    pub(crate) fn folder_id(&self) -> Option<(u64, u64)> {
        rustix::fs::fstat(&*self.spot.folder).ok().as_ref().map(folder::id)
    }

    /// Forces the folder's entry to the disk, and the entries of folders made for it. Blocking.
    pub(crate) fn sync_folder(&self) -> Result<()> {
        self.spot.sync().map_err(|e| Error::io(Op::Commit, &self.location, e))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published && self.keep.as_ref().is_some_and(|keep| keep.load(Ordering::Relaxed)) {
            claim::leave(&self.file);
            return;
        }
        let _best_effort = self.discard();
    }
}

/// Space that a file needs.
#[derive(Debug, Clone, Copy)]
struct Room {
    /// Bytes in all.
    size: u64,
    /// Bytes of them that it has already.
    held: u64,
    /// Whether its length becomes `size` at once.
    grow: bool,
}

/// Refuses what cannot fit and reserves what can, so that a full disk shows now and parallel
/// writes do not scatter the file. A size is a claim by someone else: nothing is reserved
/// beyond the free space. Blocking.
fn reserve(file: &File, room: Room, location: &str) -> Result<()> {
    let Room { size, held, grow } = room;
    if size < RESERVED {
        return Ok(());
    }
    if let Ok(fs) = rustix::fs::fstatvfs(file) {
        let free = fs.f_bavail.saturating_mul(fs.f_frsize);
        let more = size.saturating_sub(held);
        if more > free {
            let detail = format!("it needs {more} bytes, and {free} are free there");
            return Err(Error::new(ErrorKind::NoSpace, Op::Begin, location, detail));
        }
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::FallocateFlags;
        let flags = if grow { FallocateFlags::empty() } else { FallocateFlags::KEEP_SIZE };
        // Not every file system can reserve; only a lack of space is an answer.
        if let Err(e @ (Errno::NOSPC | Errno::DQUOT)) = rustix::fs::fallocate(file, flags, 0, size)
        {
            return Err(Error::io(Op::Begin, location, e.into()));
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _only_there = grow;
    Ok(())
}

/// The mode for the new file: the one asked for, that of the file it replaces, or the usual one.
/// Refuses a folder, and anything that may not be replaced.
fn mode_for(folder: &OwnedFd, name: &std::ffi::OsStr, plan: &Plan, location: &str) -> Result<Mode> {
    // Less the umask. Never setuid or setgid: what is written came from elsewhere.
    let asked = plan.mode.map(|mode| Mode::from_raw_mode(mode & 0o777));
    let usual = asked.unwrap_or(Mode::from_raw_mode(0o666));
    let there = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => there,
        // Found out now, and not by the rename once all bytes are there.
        Err(e @ Errno::NAMETOOLONG) => return Err(Error::io(Op::Begin, location, e.into())),
        Err(_) => return Ok(usual),
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
    let keep = asked.is_none() && kind == FileType::RegularFile;
    Ok(if keep { Mode::from_raw_mode(there.st_mode & 0o777) } else { usual })
}

/// Renames within a folder; unless `overwrite`, only if the name is free. Blocking.
pub(crate) fn rename(
    folder: &OwnedFd,
    from: &str,
    to: &OsStr,
    overwrite: bool,
) -> rustix::io::Result<()> {
    if overwrite {
        return rustix::fs::renameat(folder, from, folder, to);
    }
    // Not every file system knows such a rename; a hard link refuses a taken name as well, but not
    // every file system has those.
    #[cfg(target_os = "linux")]
    {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(folder, from, folder, to, flags) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            done => return done,
        }
    }
    rustix::fs::linkat(folder, from, folder, to, AtFlags::empty())?;
    rustix::fs::unlinkat(folder, from, AtFlags::empty())
}

/// What the names of staged files begin with. 8 letters and digits follow, and 4 that are made of
/// those: a file that somebody else called so is not taken for one of ours.
pub(crate) const STAGED: &str = ".haul-";

/// Letters and digits of a staged name that differ from file to file.
pub(crate) const FREE: usize = 8;

/// The staged name with these letters and digits.
pub(crate) fn staged_name(free: &str) -> String {
    format!("{STAGED}{free}{}", seal(free.as_bytes()))
}

/// What ends a staged name.
fn seal(free: &[u8]) -> String {
    let text: Vec<u8> = STAGED.bytes().chain(free.iter().map(u8::to_ascii_lowercase)).collect();
    letters(fnv(&text), 4)
}

/// FNV-1a, folded.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, mix);
    hash ^ (hash >> 32)
}

/// So many digits of `number` to the base of 36. No capitals: some file systems do not tell them
/// apart.
pub(crate) fn letters(mut number: u64, count: usize) -> String {
    let mut text = String::with_capacity(count);
    for _ in 0..count {
        text.push(char::from_digit((number % 36) as u32, 36).unwrap_or('0'));
        number /= 36;
    }
    text
}

/// Whether a file of this name is one of ours under construction, or what a crash left of it.
pub(crate) fn is_staged_name(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(STAGED.as_bytes()) else { return false };
    let Some((free, end)) = rest.split_at_checked(FREE) else { return false };
    free.iter().all(u8::is_ascii_alphanumeric) && end == seal(free).as_bytes()
}

/// Makes something under a temporary name that nothing has.
pub(crate) fn unused_name<T>(
    create: impl Fn(&str) -> rustix::io::Result<T>,
) -> rustix::io::Result<(String, T)> {
    loop {
        let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(FREE).collect();
        let temporary = staged_name(&random);
        match create(&temporary) {
            Ok(made) => return Ok((temporary, made)),
            Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
    }
}

fn create_temporary(spot: &Spot, plan: &Plan, location: &str) -> Result<(String, File)> {
    let mode = mode_for(&spot.folder, &spot.name, plan, location)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    let open = |temporary: &str| rustix::fs::openat(&*spot.folder, temporary, flags, mode);
    let (temporary, fd) =
        unused_name(open).map_err(|e| Error::io(Op::Begin, location, e.into()))?;
    Ok((temporary, File::from(fd)))
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
