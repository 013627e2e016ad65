//! Moving within one file system.

use haul_core::{ErrorKind, Proof, RelPath};
use haul_local::{DestinationRoot, remove_proven, rename, stamp_at};

use crate::kit::tree;

#[tokio::test]
async fn names_change_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("a"), "1").unwrap();
    assert!(rename(&at("a"), &at("new/deep/b"), false).await.unwrap());
    assert_eq!(tree(dir.path()), ["new/", "new/deep/", "new/deep/b=1"]);
    std::fs::write(at("c"), "2").unwrap();
    let error = rename(&at("c"), &at("new/deep/b"), false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    assert!(rename(&at("c"), &at("new/deep/b"), true).await.unwrap());
    assert!(rename(&at("new"), &at("moved"), false).await.unwrap());
    assert_eq!(tree(dir.path()), ["moved/", "moved/deep/", "moved/deep/b=2"]);
}

#[tokio::test]
async fn what_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("d/e")).unwrap();
    std::fs::write(at("f"), "1").unwrap();
    for (from, to, overwrite, kind) in [
        ("missing", "new/x", true, ErrorKind::NotFound),
        ("d", "d/e/x", true, ErrorKind::Invalid),
        ("d", "d/new/x", false, ErrorKind::Invalid),
        ("f", "d", true, ErrorKind::Invalid),
        ("d", "f", true, ErrorKind::Invalid),
        ("f", "d", false, ErrorKind::AlreadyExists),
        ("f", "f/x", true, ErrorKind::Invalid),
    ] {
        let error = rename(&at(from), &at(to), overwrite).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{from} {to}: {error}");
    }
    assert_eq!(tree(dir.path()), ["d/", "d/e/", "f=1"]);
}

#[tokio::test]
async fn another_file_system_is_no_error() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm"));
    let Ok(there) = there else {
        eprintln!("skipped: no second file system");
        return;
    };
    std::fs::write(here.path().join("a"), "1").unwrap();
    for overwrite in [false, true] {
        let to = there.path().join("new/a");
        if rename(&here.path().join("a"), &to, overwrite).await.unwrap() {
            return eprintln!("skipped: no second file system");
        }
        assert!(tree(there.path()).is_empty());
    }
}

#[tokio::test]
async fn beneath_a_root() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let root = DestinationRoot::open(at("dest"), true).await.unwrap();
    std::fs::create_dir(at("outside")).unwrap();
    std::os::unix::fs::symlink("../outside", at("dest/link")).unwrap();
    std::fs::write(at("a"), "1").unwrap();
    let escape = root.rename_from(at("a"), RelPath::new("link/a"), true).await.unwrap_err();
    assert!(escape.detail().starts_with("a symbolic link is in the way"), "{escape}");
    for hostile in ["../a", "/a", ""] {
        let error = root.rename_from(at("a"), &RelPath::new(hostile), true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let missing = root.rename_from(at("x"), RelPath::new("new/x"), true).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(root.rename_from(at("a"), RelPath::new("new/a"), false).await.unwrap());
    std::fs::write(at("b"), "2").unwrap();
    let taken = root.rename_from(at("b"), RelPath::new("new/a"), false).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let proof = Proof::File(stamp_at(&at("b")).await.unwrap());
    remove_proven(&at("b"), &proof).await.unwrap();
    remove_proven(&at("b"), &proof).await.unwrap();
    assert_eq!(
        tree(dir.path()),
        ["dest/", "dest/link -> ../outside", "dest/new/", "dest/new/a=1", "outside/"]
    );
}
