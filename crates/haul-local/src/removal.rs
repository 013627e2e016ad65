//! Removing what was moved by copying.
//!
//! Owns the last step of a move: a source goes only if it is still what was read, however late it was
//! edited or replaced. It is renamed aside first, so that nobody can put something else under its name
//! between the look and the removal. It must never remove what it was given no proof of.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use haul_core::{Error, ErrorKind, FileStamp, Hint, Op, Proof, RelPath, Result};
use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::root::DestinationRoot;
use crate::{beneath, blocking, folder};

/// Removes the file or link at `path`, if it is still what `proof` says. What is gone already is no
/// error; what has changed is [`SourceChanged`](ErrorKind::SourceChanged), and stays.
pub async fn remove_proven(path: &Path, proof: &Proof) -> Result<()> {
    let (path, proof) = (path.to_owned(), proof.clone());
    let location = path.to_string_lossy().into_owned();
    blocking(Op::Remove, &location, move || remove_now(&path, &proof)).await
}

/// Removes the folder at `path` and those that it is in, up to `top`, as far as nothing is in them.
pub async fn sweep(path: &Path, top: &Path) {
    let (path, top) = (path.to_owned(), top.to_owned());
    let location = path.to_string_lossy().into_owned();
    let sweeping = blocking(Op::Remove, &location, move || {
        let folders = path.ancestors().take_while(|folder| folder.starts_with(&top));
        for folder in folders.filter(|folder| !folder.as_os_str().is_empty()) {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    });
    let _best_effort = sweeping.await;
}

impl DestinationRoot {
    /// Forces the name of what is at `path` to the disk, and those of the folders that it is in.
    pub async fn flush_name(self: &Arc<Self>, path: &RelPath) -> Result<()> {
        self.at(Op::Commit, path, |root, path, location| {
            let io = |e: Errno| Error::io(Op::Commit, location, e.into());
            let parent = path.parent().unwrap_or(Path::new(""));
            let folder = root.find(parent).map_err(|error| {
                root.blame(parent, beneath::Fault { op: Op::Commit, location, error })
            })?;
            rustix::fs::fsync(&*folder).map_err(io)?;
            root.flush_names(parent).map_err(io)
        })
        .await
    }
}

fn remove_now(path: &Path, proof: &Proof) -> Result<()> {
    let location = path.to_string_lossy();
    let io = |e: Errno| Error::io(Op::Remove, &location, e.into());
    let name = path.file_name().ok_or_else(|| io(Errno::INVAL))?;
    let parent = path.parent().unwrap_or(Path::new(""));
    let folder = match folder::open(parent) {
        Err(Errno::NOENT) => return Ok(()),
        folder => folder.map_err(io)?,
    };
    // The rename changes the one time that nobody can set: it is compared before.
    match is_still(&folder, name, proof, FileStamp::is_untouched) {
        Err(Errno::NOENT) => return Ok(()),
        Ok(true) => {}
        Ok(false) => return Err(changed(&location)),
        Err(e) => return Err(io(e)),
    }
    match set_aside(&folder, name) {
        Err(Errno::NOENT) => Ok(()),
        Ok(aside) => finish(&folder, (&aside, name), proof, &location),
        Err(e) => Err(io(e)),
    }
}

/// Renames what is called `name`, and tells how it is called now. What a kill leaves under that name is
/// still the source: no listing hides it, and it says whose it was.
fn set_aside(folder: &OwnedFd, name: &OsStr) -> rustix::io::Result<OsString> {
    let (mut keep, mut number) = (name.len(), 0);
    loop {
        let aside = aside_name(name, keep, number);
        match put(folder, name, &aside) {
            Err(Errno::EXIST) => number += 1,
            Err(Errno::NAMETOOLONG) if keep > 0 => keep = keep.saturating_sub(ASIDE_STEP),
            done => return done.map(|()| aside),
        }
    }
}

/// What the names of files that are about to be removed begin with. No staged name begins like this.
const ASIDE: &str = ".haul-aside-";

/// How many bytes of a name are left out when it is too long.
const ASIDE_STEP: usize = 16;

/// The name, or its first `keep` bytes without half a character, and before it what tells it from others.
fn aside_name(name: &OsStr, keep: usize, number: u32) -> OsString {
    let number = if number == 0 { String::new() } else { format!("{number}-") };
    let name = name.as_bytes();
    let half = |at: usize| name.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let end = (0..=keep.min(name.len())).rev().find(|at| !half(*at)).unwrap_or(0);
    let mut aside = OsString::from(format!("{ASIDE}{number}"));
    aside.push(OsStr::from_bytes(&name[..end]));
    aside
}

/// Removes what is called `aside`, if that is right; else it gets its name back.
fn finish(
    folder: &OwnedFd,
    (aside, name): (&OsStr, &OsStr),
    proof: &Proof,
    location: &str,
) -> Result<()> {
    let removed = match is_still(folder, aside, proof, FileStamp::is_same) {
        Ok(true) => rustix::fs::unlinkat(folder, aside, AtFlags::empty())
            .map_err(|e| Error::io(Op::Remove, location, e.into())),
        Ok(false) => Err(changed(location)),
        Err(e) => Err(Error::io(Op::Remove, location, e.into())),
    };
    let Err(why) = removed else { return Ok(()) };
    let shown = aside.to_string_lossy();
    match put(folder, aside, name) {
        Ok(()) => Err(why),
        // Somebody has made another file of that name meanwhile: both stay.
        Err(_) => Err(why.with_hint(Hint::NowCalled((*shown).into()))),
    }
}

/// Whether what is called `name` is what `proof` says; a link to a file that was read counts as it.
fn is_still(
    folder: &OwnedFd,
    name: &OsStr,
    proof: &Proof,
    same: fn(&FileStamp, &FileStamp) -> bool,
) -> rustix::io::Result<bool> {
    let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let link = FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
    Ok(match proof {
        Proof::File(file) if link => {
            // One that leads nowhere any more is another one.
            let leads = rustix::fs::statat(folder, name, AtFlags::empty());
            leads.is_ok_and(|now| same(file, &stamp(&now)))
        }
        Proof::File(file) => same(file, &stamp(&found)),
        Proof::Link(target) if link => {
            let leads = rustix::fs::readlinkat(folder, name, Vec::new())?;
            leads.as_bytes() == target.as_os_str().as_encoded_bytes()
        }
        _ => false,
    })
}

/// Renames within a folder to a name that nothing has.
fn put(folder: &OwnedFd, from: &OsStr, to: &OsStr) -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(folder, from, folder, to, flags) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            done => return done,
        }
    }
    // Not every file system can refuse: a look has to do.
    match rustix::fs::statat(folder, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => rustix::fs::renameat(folder, from, folder, to),
        Ok(_) => Err(Errno::EXIST),
        Err(e) => Err(e),
    }
}

fn stamp(stat: &Stat) -> FileStamp {
    let (device, inode) = folder::id(stat);
    #[expect(clippy::unnecessary_cast, reason = "their types differ between systems")]
    let (modified, changed, links) = (
        (stat.st_mtime as i64, (stat.st_mtime_nsec as u64).cast_signed()),
        (stat.st_ctime as i64, (stat.st_ctime_nsec as u64).cast_signed()),
        stat.st_nlink as u64,
    );
    #[expect(clippy::cast_sign_loss, reason = "no file is shorter than nothing")]
    FileStamp { device, inode, size: stat.st_size as u64, modified, changed, links }
}

fn changed(location: &str) -> Error {
    let what = "it changed after it was copied: the source stays";
    Error::new(ErrorKind::SourceChanged, Op::Move, location, what)
        .with_hint(Hint::TryAgainUnwritten)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp_of;

    fn proof_of(path: &Path) -> Proof {
        Proof::File(stamp_of(&std::fs::metadata(path).unwrap()))
    }

    fn names(dir: &Path) -> Vec<std::ffi::OsString> {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    }

    /// A.6: what was read goes; what was edited, replaced or grew since stays, under its own name.
    #[test]
    fn only_what_was_read_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["gone", "edited", "replaced"] {
            std::fs::write(at(name), "content").unwrap();
        }
        let (gone, edited, replaced) =
            (proof_of(&at("gone")), proof_of(&at("edited")), proof_of(&at("replaced")));
        std::fs::write(at("edited"), "content and more").unwrap();
        std::fs::write(at("other"), "content").unwrap();
        std::fs::rename(at("other"), at("replaced")).unwrap();
        remove_now(&at("gone"), &gone).unwrap();
        remove_now(&at("gone"), &gone).unwrap(); // somebody else may have done it
        remove_now(&at("nowhere/at/all"), &gone).unwrap();
        for (name, proof) in [("edited", &edited), ("replaced", &replaced)] {
            let e = remove_now(&at(name), proof).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::SourceChanged, "{name}");
            assert!(e.to_string().contains("the source stays"), "{e}");
        }
        assert_eq!(names(dir.path()), ["edited", "replaced"]);
    }

    /// R.7: an edit that keeps the size and puts the time back is one all the same.
    #[test]
    fn an_edit_whose_time_was_put_back_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("edited");
        std::fs::write(&path, "old").unwrap();
        let proof = proof_of(&path);
        let then = std::fs::metadata(&path).unwrap();
        // The clock of a file system is slow: until it has ticked, nothing tells.
        while stamp_of(&std::fs::metadata(&path).unwrap()).changed == stamp_of(&then).changed {
            std::fs::write(&path, "new").unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(then.modified().unwrap()).unwrap();
        }
        let e = remove_now(&path, &proof).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::SourceChanged, "{e}");
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    /// R.7: the names of one file go one after the other, though each removal changes that time.
    #[test]
    fn all_names_of_a_file_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("1"), "content").unwrap();
        std::fs::hard_link(at("1"), at("2")).unwrap();
        std::fs::hard_link(at("1"), at("3")).unwrap();
        let proof = proof_of(&at("1"));
        for name in ["1", "2", "3"] {
            remove_now(&at(name), &proof).unwrap();
        }
        assert!(names(dir.path()).is_empty());
    }

    /// A.6: an edit between the look and the rename is seen under the other name, and it is put back.
    #[test]
    fn what_was_taken_aside_by_mistake_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, aside) = (dir.path().join("kept"), dir.path().join(".aside"));
        std::fs::write(&kept, "old").unwrap();
        let proof = proof_of(&kept);
        std::fs::write(&aside, "new content").unwrap();
        std::fs::remove_file(&kept).unwrap();
        let folder = folder::open(dir.path()).unwrap();
        let e = finish(&folder, (".aside".as_ref(), "kept".as_ref()), &proof, "kept").unwrap_err();
        assert_eq!((e.kind(), names(dir.path())), (ErrorKind::SourceChanged, vec!["kept".into()]));
        // Unless the name is taken again: then nothing is lost, and it says where to look.
        std::fs::rename(&kept, &aside).unwrap();
        std::fs::write(&kept, "a third").unwrap();
        let e = finish(&folder, (".aside".as_ref(), "kept".as_ref()), &proof, "kept").unwrap_err();
        assert_eq!(e.hint(), Some(&Hint::NowCalled(".aside".into())), "{e}");
        assert_eq!(std::fs::read(&aside).unwrap(), b"new content");
        assert_eq!(std::fs::read(&kept).unwrap(), b"a third");
    }

    /// R.8a: what a kill leaves between the rename and the removal is shown, and says whose it is.
    #[test]
    fn what_a_kill_leaves_aside_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder::open(dir.path()).unwrap();
        let listed = || {
            let (mut names, outcome) =
                folder::Reader::new(crate::Symlinks::Keep).read(&folder::open(dir.path()).unwrap());
            outcome.unwrap();
            let mut count = 0;
            while names.next().is_some() {
                count += 1;
            }
            count
        };
        let long = "\u{e4}".repeat(127); // 254 bytes: no prefix fits
        for (left, name) in ["kept", "kept", &long, &long].into_iter().enumerate() {
            std::fs::write(dir.path().join(name), "content").unwrap();
            let aside = set_aside(&folder, name.as_ref()).unwrap();
            let aside = aside.to_str().unwrap(); // no character is cut
            let start: String = name.chars().take(4).collect();
            assert!(aside.starts_with(ASIDE) && aside.contains(&start), "{aside}");
            assert_eq!(listed(), left + 1, "{aside}");
        }
        for aside in [".haul-aside-kept", ".haul-aside-1-kept"] {
            assert!(names(dir.path()).contains(&aside.into()), "{aside}");
        }
        set_aside(&folder, "nothing".as_ref()).unwrap_err();
    }

    #[test]
    fn links_are_known_by_where_they_lead() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "content").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        remove_now(&link, &Proof::Link("elsewhere".into())).unwrap_err();
        remove_now(&file, &Proof::Link("file".into())).unwrap_err();
        remove_now(&link, &Proof::Link("file".into())).unwrap();
        // A link that was followed goes, and what it led to stays.
        std::os::unix::fs::symlink("file", &link).unwrap();
        remove_now(&link, &proof_of(&file)).unwrap();
        assert_eq!(names(dir.path()), ["file"]);
    }
}
