//! Owns the check of what a tree has besides files' names and bytes: links, empty folders, modes, times.
//!
//! Must never: follow a link, or compare a folder's own time, which whoever writes into it changes.

use super::p2p::{Pair, Way};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

const TOP: &str = "facts";
/// Long ago, and not a whole second.
const MODIFIED: Duration = Duration::new(1_000_000_000, 123_456_789);
/// Names, permissions, and the second they were changed in.
const FILES: [(&str, u32, u64); 4] =
    [("plain", 0o644, 0), ("private", 0o600, 1), ("script", 0o755, 2), ("read only", 0o444, 3)];
const LINKS: [(&str, &str); 3] =
    [("link", "plain"), ("to a folder", "empty folder"), ("dangling", "nothing here")];

#[derive(Debug, PartialEq, Eq)]
enum Fact {
    Folder,
    Link(PathBuf),
    File { bytes: Vec<u8>, mode: u32, modified: (i64, i64) },
}

pub(super) fn are_kept(pair: &Pair) -> Result<()> {
    let sides = pair.sides()?;
    make(&sides.source.join(TOP))?;
    pair.exchange(Way::ToHaul, &sides, TOP, &[])?;
    let (mut sent, mut received) = (BTreeMap::new(), BTreeMap::new());
    collect(&sides.source, Path::new(""), &mut sent)?;
    collect(&sides.arrived, Path::new(""), &mut received)?;
    for (path, fact) in &sent {
        let seen = received.remove(path);
        ensure!(seen.as_ref() == Some(fact), "{}: {seen:?} instead of {fact:?}", path.display());
    }
    ensure!(received.is_empty(), "too much: {received:?}");
    Ok(())
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder.join("empty folder"))?;
    fs::create_dir_all(folder.join("outer/empty below"))?;
    for (name, mode, second) in FILES {
        let path = folder.join(name);
        fs::write(&path, name)?;
        File::options()
            .write(true)
            .open(&path)?
            .set_modified(UNIX_EPOCH + MODIFIED + Duration::from_secs(second))?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    for (name, target) in LINKS {
        symlink(target, folder.join(name))?;
    }
    Ok(())
}

fn collect(root: &Path, below: &Path, found: &mut BTreeMap<PathBuf, Fact>) -> Result<()> {
    let folder = root.join(below);
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let (path, name) = (entry.path(), below.join(entry.file_name()));
        let meta = fs::symlink_metadata(&path)?;
        let fact = if meta.is_dir() {
            collect(root, &name, found)?;
            Fact::Folder
        } else if meta.is_symlink() {
            Fact::Link(fs::read_link(&path)?)
        } else {
            let modified = (meta.mtime(), meta.mtime_nsec());
            Fact::File { bytes: fs::read(&path)?, mode: meta.mode() & 0o7777, modified }
        };
        found.insert(name, fact);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Fact, collect, make};
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    #[test]
    fn facts_are_read_as_they_were_made() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path()).unwrap();
        let mut found = BTreeMap::new();
        collect(folder.path(), Path::new(""), &mut found).unwrap();
        assert_eq!(found.len(), 10);
        assert_eq!(found[Path::new("outer/empty below")], Fact::Folder);
        assert_eq!(found[Path::new("link")], Fact::Link(PathBuf::from("plain")));
        let modified = (1_000_000_002, 123_456_789);
        let script = Fact::File { bytes: b"script".to_vec(), mode: 0o755, modified };
        assert_eq!(found[Path::new("script")], script);
    }
}
