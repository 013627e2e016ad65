//! Temporary names that outlive their process.
//!
//! Owns how a later process finds a file under construction again: by a name made from what goes
//! into it, and by a lock that says whether another process still writes there. Two processes must
//! never get the same file, and a file that has got its destination's name must never be handed out
//! again: whoever has the lock looks whether the name still leads to what it locked.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RawMode};
use rustix::io::{Errno, Result};

use crate::staged::{FREE, fnv, letters, staged_name, unused_name};
use crate::{folder, holes};

/// How often a name is tried that others keep taking away.
const TRIES: usize = 8;

/// How often a lock is asked for again, and what lies between.
const PATIENCE: usize = 4;
const MOMENT: Duration = Duration::from_millis(5);

/// A file that nobody else writes to.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) name: String,
    pub(crate) file: File,
    /// Bytes in it, which an earlier process left.
    pub(crate) found: u64,
    /// Whether a later process can find it by its name.
    pub(crate) lasting: bool,
}

/// The temporary name of what `token` names, on its way to `name`. Files of one folder have
/// different ones, but for one in 2^41; whoever resumes looks at the content anyway.
pub(crate) fn name_for(token: &[u8; 32], name: &OsStr) -> String {
    // Nothing depends on the hash but where to look.
    let bytes: Vec<u8> = token.iter().chain(name.as_bytes()).copied().collect();
    staged_name(&letters(fnv(&bytes), FREE))
}

/// Takes the file `name` of `folder`, or another that is new where that is not to be had. The final
/// permission bits will be `mode`, less the umask. Blocking.
pub(crate) fn claim(folder: &OwnedFd, name: String, mode: Mode) -> Result<Claim> {
    let mode = while_writing(mode);
    for _ in 0..TRIES {
        match attempt(folder, &name, mode)? {
            Attempt::Got { file, found } => return Ok(Claim { name, file, found, lasting: true }),
            Attempt::Again => {}
            Attempt::Elsewhere => break,
        }
    }
    let flags = FLAGS | OFlags::CREATE | OFlags::EXCL;
    let (name, fd) = unused_name(|name| rustix::fs::openat(folder, name, flags, mode))?;
    Ok(Claim { name, file: File::from(fd), found: 0, lasting: false })
}

/// What may be done with a file while it is written, at most: its owner comes back to it.
pub(crate) fn while_writing(mode: Mode) -> Mode {
    mode | Mode::RUSR | Mode::WUSR
}

/// Takes off the permission bits that are not in `mode`, and all special ones. Blocking.
pub(crate) fn narrow(file: &File, mode: Mode) -> std::io::Result<()> {
    let now = mode_of(&file.metadata()?);
    let then = now & mode & Mode::from_raw_mode(0o777);
    Ok(if then == now { Ok(()) } else { rustix::fs::fchmod(file, then) }?)
}

/// Leaves a file to a later process, which must be able to open it. It takes no more space than what
/// is in it: nobody may ever come back. Blocking.
pub(crate) fn leave(file: &File) {
    holes::give_back(file);
    let Ok(metadata) = file.metadata() else { return };
    let now = mode_of(&metadata);
    if while_writing(now) != now {
        let _best_effort = rustix::fs::fchmod(file, while_writing(now));
    }
}

fn mode_of(metadata: &Metadata) -> Mode {
    let mode = metadata.mode() as RawMode;
    Mode::from_raw_mode(mode & 0o7777)
}

enum Attempt {
    Got {
        file: File,
        found: u64,
    },
    /// Something else was there, and is gone.
    Again,
    /// Another process has it, or nothing can be done about what is there.
    Elsewhere,
}

/// Not waiting for anybody, should it be a FIFO.
const FLAGS: OFlags =
    OFlags::RDWR.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

fn attempt(folder: &OwnedFd, name: &str, mode: Mode) -> Result<Attempt> {
    let (fd, created) = match open(folder, name, mode) {
        Ok(opened) => opened,
        Err(Errno::EXIST) => return Ok(Attempt::Again), // made just now by somebody else
        // Nothing that we ever put there: a link, a device, a file that we may not write to.
        Err(
            Errno::LOOP
            | Errno::MLINK
            | Errno::NXIO
            | Errno::ACCESS
            | Errno::PERM
            | Errno::ISDIR
            | Errno::TXTBSY
            | Errno::OPNOTSUPP
            | Errno::NODEV,
        ) => return Ok(clear(folder, name)),
        Err(Errno::WOULDBLOCK) => return Ok(Attempt::Elsewhere), // a lease
        Err(e) => return Err(e),
    };
    let file = File::from(fd);
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return Ok(clear(folder, name));
    }
    match lock(&file) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Attempt::Elsewhere),
        Err(_) => {
            // There are no locks here: nobody may come back to such a file.
            if created {
                remove(folder, name);
            }
            return Ok(Attempt::Elsewhere);
        }
    }
    // Only now nobody gives it another name: what is said of it holds.
    let Ok(metadata) = file.metadata() else { return Ok(Attempt::Elsewhere) };
    let there = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    if !there.is_ok_and(|there| folder::id(&there) == (metadata.dev(), metadata.ino())) {
        return Ok(Attempt::Again);
    }
    let ours = created || metadata.uid() == rustix::process::geteuid().as_raw();
    if metadata.nlink() != 1 || !ours {
        return Ok(remove(folder, name));
    }
    Ok(Attempt::Got { found: if created { 0 } else { metadata.len() }, file })
}

/// Locks the file. Whoever had it may have given up a write that is still under way, or may just be
/// starting a program, which has its files for a moment: so not only once.
fn lock(file: &File) -> Result<()> {
    let once = || {
        let lock = FlockOperation::NonBlockingLockExclusive;
        rustix::io::retry_on_intr(|| rustix::fs::flock(file, lock))
    };
    let mut locked = once();
    for _ in 0..PATIENCE {
        if locked != Err(Errno::WOULDBLOCK) {
            break;
        }
        std::thread::sleep(MOMENT);
        locked = once();
    }
    locked
}

/// Opens the file, and says whether it was made just now.
fn open(folder: &OwnedFd, name: &str, mode: Mode) -> Result<(OwnedFd, bool)> {
    match rustix::fs::openat(folder, name, FLAGS, Mode::empty()) {
        Err(Errno::NOENT) => {
            let flags = FLAGS | OFlags::CREATE | OFlags::EXCL;
            Ok((rustix::fs::openat(folder, name, flags, mode)?, true))
        }
        opened => Ok((opened?, false)),
    }
}

/// Removes what has the name, unless others who met the same put a file of ours there by now.
fn clear(folder: &OwnedFd, name: &str) -> Attempt {
    let fine = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|there| {
        FileType::from_raw_mode(there.st_mode) == FileType::RegularFile
            && there.st_nlink == 1
            && there.st_uid == rustix::process::geteuid().as_raw()
            && there.st_mode & 0o600 == 0o600
    });
    if fine { Attempt::Again } else { remove(folder, name) }
}

/// Removes what has the name, unless it is a folder.
fn remove(folder: &OwnedFd, name: &str) -> Attempt {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Attempt::Again,
        Err(_) => Attempt::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_staged_files() {
        let name = |token: u8, name: &str| name_for(&[token; 32], name.as_ref());
        assert_eq!(name(1, "a"), name(1, "a"));
        let different = [name(1, "a"), name(2, "a"), name(1, "b"), name(1, ""), name(0, "")];
        for (i, one) in different.iter().enumerate() {
            assert!(crate::staged::is_staged_name(one.as_bytes()), "{one}");
            assert!(!different[..i].contains(one), "{one}");
        }
        assert_eq!(name(7, "report.pdf"), name_for(&[7; 32], "report.pdf".as_ref()));
    }
}
