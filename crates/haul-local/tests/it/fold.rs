//! A folder that takes capitals for small letters: no file of a job replaces another.
//!
//! Such a folder is NTFS by FUSE; without root, `mkfs.ntfs` or `lowntfs-3g` (Debian: ntfs-3g) the
//! tests say that they are skipped, and those beside `fold.rs` stand for them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use haul_core::{ErrorKind, RelPath};
use haul_local::{DestinationRoot, Durability, LocalTarget};

use crate::kit::write;

/// An NTFS that does not tell capitals apart, as long as this lives.
struct Ntfs {
    dir: tempfile::TempDir,
}

impl Ntfs {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (image, at) = (dir.path().join("image"), dir.path().join("at"));
        std::fs::create_dir(&at).unwrap();
        std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let run = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|s| s.success())
        };
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let mounted = run("mkfs.ntfs", &["-F", "-Q", &path(&image)])
            && run("lowntfs-3g", &["-o", "ignore_case", &path(&image), &path(&at)]);
        if !mounted {
            eprintln!("skipped: no NTFS can be mounted here (it takes root, and Debian's ntfs-3g)");
            return None;
        }
        Some(Self { dir })
    }

    fn at(&self) -> std::path::PathBuf {
        self.dir.path().join("at")
    }
}

impl Drop for Ntfs {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.at()).status();
    }
}

/// A.11, F.11: keys `README` and `readme` are two files, or an error; never one of them without a word.
#[tokio::test]
async fn two_names_that_are_one_there_are_refused() {
    let Some(disk) = Ntfs::mount() else { return };
    std::fs::write(disk.at().join("there"), "from before").unwrap();
    let root = DestinationRoot::open(disk.at(), false).await.unwrap();
    let target = |name: &str| {
        LocalTarget::beneath(Arc::clone(&root), RelPath::new(name), Durability::default())
    };
    write(&target("README"), b"one").await.unwrap();
    let refused = write(&target("readme"), b"two").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().contains("does not tell its name from"), "{refused}");
    assert_eq!(std::fs::read(disk.at().join("readme")).unwrap(), b"one");
    // What was there before is replaced, as by any other program.
    write(&target("THERE"), b"new").await.unwrap();
    assert_eq!(std::fs::read(disk.at().join("there")).unwrap(), b"new");
    let names = std::fs::read_dir(disk.at()).unwrap().map(|e| e.unwrap().file_name());
    // NTFS-3G keeps what is replaced while it is open as a "ghost", until it hears that it was closed.
    let mut left: Vec<_> = names
        .map(|name| name.into_string().unwrap())
        .filter(|name| !name.starts_with(".ghost-ntfs-3g-"))
        .collect();
    left.sort_by_key(|name| name.to_lowercase());
    assert!(left.iter().map(|name| name.to_lowercase()).eq(["readme", "there"]), "{left:?}");
}

/// A.11: the same for files of two folders that are one there, and none of them is removed for the other.
#[tokio::test]
async fn folders_that_are_one_there_keep_their_files() {
    let Some(disk) = Ntfs::mount() else { return };
    let root = DestinationRoot::open(disk.at(), false).await.unwrap();
    let target = |name: &str| {
        LocalTarget::beneath(Arc::clone(&root), RelPath::new(name), Durability::default())
    };
    write(&target("Trip/1.jpg"), b"one").await.unwrap();
    let refused = write(&target("trip/1.jpg"), b"two").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    assert_eq!(std::fs::read(disk.at().join("trip/1.jpg")).unwrap(), b"one");
    write(&target("trip/2.jpg"), b"another").await.unwrap();
}

/// A.11: `mv` within such a disk keeps both, one of them where it was.
#[tokio::test]
async fn a_rename_does_not_replace_what_was_just_moved() {
    let Some(disk) = Ntfs::mount() else { return };
    for (folder, content) in [("a", "one"), ("b", "two")] {
        std::fs::create_dir(disk.at().join(folder)).unwrap();
        std::fs::write(disk.at().join(folder).join("file"), content).unwrap();
    }
    let root = DestinationRoot::open(disk.at().join("to"), true).await.unwrap();
    let (a, b) = (disk.at().join("a/file"), disk.at().join("b/file"));
    assert!(root.rename_from(a, RelPath::new("File"), true).await.unwrap());
    let refused = root.rename_from(b.clone(), RelPath::new("FILE"), true).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(std::fs::read(&b).unwrap(), b"two");
    assert_eq!(std::fs::read(disk.at().join("to/file")).unwrap(), b"one");
}
