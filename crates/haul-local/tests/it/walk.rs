//! Walking folders: order, links, and things that cannot be read.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use haul_core::{
    Attributes, Entry, EntryKind, Error, ErrorKind, Lister as _, RelPath, Target as _, UploadSpec,
};
use haul_local::{Durability, LocalTarget, Symlinks, WalkOptions, Walker};
use proptest::prelude::*;

/// All entries and problems of a walk.
async fn walk(root: &Path, options: WalkOptions) -> (Vec<Entry>, Vec<Error>) {
    let mut walker = Walker::new(root.to_owned(), options);
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    while let Some(page) = walker.next_page().await.unwrap() {
        assert!(page.entries.len() + page.problems.len() <= 1001);
        entries.extend(page.entries);
        problems.extend(page.problems);
    }
    (entries, problems)
}

fn with(symlinks: Symlinks) -> WalkOptions {
    WalkOptions { symlinks, ..WalkOptions::default() }
}

fn paths(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|e| e.path.to_str().unwrap()).collect()
}

fn texts(problems: &[Error], root: &Path) -> Vec<String> {
    let root = format!("{}/", root.display());
    problems.iter().map(|p| p.to_string().replace(&root, "")).collect()
}

fn make(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if file.ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
        } else {
            std::fs::write(path, *file).unwrap();
        }
    }
}

#[tokio::test]
async fn entries_come_as_a_store_lists_them() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["a-b/y", "a/x", "a.txt", "a0", "a/b/c", "a/b.c", ".hidden", "Z", "e/", "a/e/"];
    make(dir.path(), &files);
    let options = WalkOptions { empty_folders: true, ..WalkOptions::default() };
    let (entries, problems) = walk(dir.path(), options).await;
    assert_eq!(
        paths(&entries),
        [".hidden", "Z", "a-b/y", "a.txt", "a/b.c", "a/b/c", "a/e/", "a/x", "a0", "e/"]
    );
    assert!(problems.is_empty());
    assert_eq!(entries[4].size, 5);
    assert_eq!(entries[4].modified, dir.path().join("a/b.c").metadata().unwrap().modified().ok());
    assert_eq!(entries[6].kind, EntryKind::Folder);
    let (entries, _) = walk(dir.path(), WalkOptions::default()).await;
    assert!(!paths(&entries).contains(&"e/"));
}

fn segment() -> impl Strategy<Value = Vec<u8>> {
    let parts: Vec<&[u8]> =
        vec![b"a", b"b", b"a-", b"a.", b"a0", b"ab", b"aa", b"\xff", b"\xc3\xa9", b"a\x01", b" "];
    proptest::sample::select(parts).prop_map(<[u8]>::to_vec)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_order_is_that_of_whole_paths(
        wanted in proptest::collection::vec(proptest::collection::vec(segment(), 1..6), 0..60),
        folders in proptest::collection::vec(proptest::collection::vec(segment(), 1..6), 0..9),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut files = BTreeSet::new();
        let mut used = BTreeSet::new();
        for segments in wanted {
            let path = segments.join(&b'/');
            let full = dir.path().join(OsStr::from_bytes(&path));
            // A name may be taken by a folder already, or by a file where a folder is needed.
            let made = std::fs::create_dir_all(full.parent().unwrap());
            if made.is_ok() && std::fs::write(&full, b"").is_ok() {
                (1..segments.len()).for_each(|n| { used.insert(segments[..n].join(&b'/')); });
                files.insert(path);
            }
        }
        for segments in folders {
            drop(std::fs::create_dir_all(dir.path().join(OsStr::from_bytes(&segments.join(&b'/')))));
        }
        let mut expected: Vec<_> = files.into_iter().collect();
        empties(dir.path(), &mut Vec::new(), &mut expected);
        expected.sort();
        let options = WalkOptions { empty_folders: true, ..WalkOptions::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (entries, problems) = runtime.block_on(walk(dir.path(), options));
        let found: Vec<_> = entries.iter().map(|e| e.path.as_bytes().to_vec()).collect();
        prop_assert_eq!(found, expected);
        prop_assert!(problems.is_empty());
    }
}

/// Paths of the folders with nothing in them.
fn empties(folder: &Path, path: &mut Vec<u8>, found: &mut Vec<Vec<u8>>) {
    let children: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap()).collect();
    if children.is_empty() && !path.is_empty() {
        found.push(path.clone());
    }
    for child in children.iter().filter(|c| c.file_type().unwrap().is_dir()) {
        let len = path.len();
        path.extend(child.file_name().as_bytes());
        path.push(b'/');
        empties(&child.path(), path, found);
        path.truncate(len);
    }
}

#[tokio::test]
async fn links_are_followed_kept_or_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    make(root, &["real/f", "z"]);
    symlink("real", root.join("to-folder")).unwrap();
    symlink("real/f", root.join("to-file")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("self", root.join("self")).unwrap();

    let (entries, problems) = walk(root, with(Symlinks::Follow)).await;
    assert_eq!(paths(&entries), ["real/f", "to-file", "to-folder/f", "z"]);
    assert_eq!(entries[1].size, 6);
    assert_eq!(texts(&problems, root)[0], "cannot list dangling: it is a symbolic link to nothing");
    assert_eq!(problems[0].kind(), ErrorKind::NotFound);
    assert!(texts(&problems, root)[1].starts_with("cannot list self: "), "{problems:?}");

    let (entries, problems) = walk(root, with(Symlinks::Skip)).await;
    assert_eq!((paths(&entries), problems.len()), (vec!["real/f", "z"], 0));

    let (entries, problems) = walk(root, with(Symlinks::Keep)).await;
    assert_eq!(
        paths(&entries),
        ["dangling", "real/f", "self", "to-file", "to-folder", "z"],
        "a link to a folder sorts as a file"
    );
    assert_eq!(entries[0].kind, EntryKind::Symlink(PathBuf::from("nowhere")));
    assert!(problems.is_empty());
}

#[tokio::test]
async fn a_cycle_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &["top/a/b/f", "top/g"]);
    let root = dir.path().join("top");
    symlink("..", root.join("a/b/up")).unwrap();
    symlink("../..", root.join("a/over-the-root")).unwrap();
    symlink("b", root.join("a/twice")).unwrap();
    let (entries, problems) = walk(&root, with(Symlinks::Follow)).await;
    assert_eq!(paths(&entries), ["a/b/f", "a/twice/f", "g"]);
    assert_eq!(
        texts(&problems, &root),
        [
            "cannot list a/b/up: it leads back to a folder above it",
            "cannot list a/over-the-root/top: it leads back to a folder above it",
            "cannot list a/twice/up: it leads back to a folder above it",
        ]
    );
}

#[tokio::test]
async fn what_is_no_file_is_a_problem_and_the_walk_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    make(root, &["a", "z"]);
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    symlink("/dev/null", root.join("device")).unwrap();
    let (entries, problems) = walk(root, with(Symlinks::Follow)).await;
    assert_eq!(paths(&entries), ["a", "z"]);
    assert_eq!(
        texts(&problems, root),
        ["cannot list device: it is no regular file", "cannot list socket: it is no regular file"]
    );
}

/// R.3: names that were read, and behind which nothing is found, are told apart from names that were
/// never there: a file that is just being replaced, a mount whose server is down.
#[tokio::test]
async fn names_that_vanish_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..1_000 {
        std::fs::write(dir.path().join(format!("{i:05}")), b"").unwrap();
    }
    make(dir.path(), &["file", "folder/x"]);
    let mut walker = Walker::new(dir.path().to_owned(), WalkOptions::default());
    let first = walker.next_page().await.unwrap().unwrap();
    assert_eq!((first.entries.len(), first.vanished.len()), (1_000, 0));
    std::fs::remove_file(dir.path().join("file")).unwrap();
    std::fs::remove_dir_all(dir.path().join("folder")).unwrap();
    let last = walker.next_page().await.unwrap().expect("a page of what vanished");
    assert_eq!(last.vanished, ["file", "folder"].map(RelPath::new));
    assert!(last.entries.is_empty() && last.problems.is_empty());
    assert!(walker.next_page().await.unwrap().is_none());
}

/// A.16: where something is that could not be listed is told, and whether there may be more below it.
#[tokio::test]
async fn what_was_not_seen_has_a_name() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &["a/f", "z"]);
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    symlink(".", dir.path().join("a/self")).unwrap();
    let mut walker = Walker::new(dir.path().to_owned(), with(Symlinks::Follow));
    let page = walker.next_page().await.unwrap().unwrap();
    assert_eq!(page.unseen, ["a/self/", "dangling"].map(RelPath::new));
    assert_eq!((page.problems.len(), page.entries.len()), (2, 2));
}

#[tokio::test]
async fn a_folder_that_may_not_be_read_is_a_problem() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &["a", "closed/x", "z"]);
    let closed = dir.path().join("closed");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o0)).unwrap();
    if std::fs::read_dir(&closed).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let (entries, problems) = walk(dir.path(), WalkOptions::default()).await;
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(paths(&entries), ["a", "z"]);
    assert_eq!(texts(&problems, dir.path()), ["cannot list closed: permission denied"]);
    assert_eq!(problems[0].kind(), ErrorKind::AccessDenied);
}

#[tokio::test]
async fn staged_files_are_nobodys_business() {
    let dir = tempfile::tempdir().unwrap();
    let target = LocalTarget::new(dir.path().join("only/file"), Durability::default());
    let spec =
        UploadSpec { plan: None, attributes: Attributes::default(), overwrite: true, read: None };
    let _under_construction = target.begin(&spec).await.unwrap();
    let there = std::fs::read_dir(dir.path().join("only")).unwrap().next().unwrap().unwrap();
    let staged = there.file_name().into_string().unwrap();
    make(dir.path(), &[".haul-short", &format!("{staged}/x")]);
    let options = WalkOptions { empty_folders: true, ..WalkOptions::default() };
    let (entries, _) = walk(dir.path(), options).await;
    let mut expected = [format!("{staged}/x"), ".haul-short".to_owned(), "only/".to_owned()];
    expected.sort();
    assert_eq!(paths(&entries), expected);
}

/// A.26: a file that somebody calls almost as we call ours is a file like any other.
#[tokio::test]
async fn names_like_those_of_staged_files_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let names = [".haul-00000000", ".haul-Ab3dEf7h", ".haul-abcdefghijkl"];
    make(dir.path(), &names);
    let (entries, _) = walk(dir.path(), WalkOptions::default()).await;
    assert_eq!(paths(&entries), names);
}

#[tokio::test]
async fn folders_can_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &["a/keep", "a/node_modules/x", "node_modules/y", "z"]);
    let prune = |path: &RelPath| path.as_bytes().ends_with(b"node_modules/");
    let options = WalkOptions { prune: Some(Arc::new(prune)), ..WalkOptions::default() };
    let (entries, _) = walk(dir.path(), options).await;
    assert_eq!(paths(&entries), ["a/keep", "z"]);
}

#[tokio::test]
async fn roots_that_are_no_folders() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &["file", "real/x"]);
    let missing = dir.path().join("missing");
    let mut walker = Walker::new(missing.clone(), WalkOptions::default());
    for _ in 0..2 {
        let error = walker.next_page().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    make(dir.path(), &["missing/now"]);
    assert_eq!(paths(&walker.next_page().await.unwrap().unwrap().entries), ["now"]);
    let mut walker = Walker::new(dir.path().join("file"), WalkOptions::default());
    let error = walker.next_page().await.unwrap_err();
    assert_eq!((error.kind(), error.detail()), (ErrorKind::Invalid, "it is no folder"));
    symlink("real", dir.path().join("link")).unwrap();
    let (entries, _) = walk(&dir.path().join("link"), with(Symlinks::Skip)).await;
    assert_eq!(paths(&entries), ["x"]);
}

#[tokio::test]
async fn names_that_are_no_text() {
    let dir = tempfile::tempdir().unwrap();
    let name = OsString::from_vec(b"caf\xe9\n".to_vec());
    if let Err(e) = std::fs::write(dir.path().join(&name), b"1") {
        eprintln!("skipped: this file system takes no such names: {e}");
        return;
    }
    let (entries, _) = walk(dir.path(), WalkOptions::default()).await;
    assert_eq!(entries[0].path.as_os_str(), name);
}

/// Deeper than a path may be long, and than descriptors are kept.
#[tokio::test]
async fn as_deep_as_it_gets() {
    let dir = tempfile::tempdir().unwrap();
    let depth = 120;
    let name = "d".repeat(100);
    let flags = rustix::fs::OFlags::DIRECTORY;
    let mut folder = rustix::fs::open(dir.path(), flags, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..depth {
        for file in ["a", "z"] {
            let flags = rustix::fs::OFlags::CREATE;
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::openat(&folder, file, flags, mode).unwrap();
        }
        let mode = rustix::fs::Mode::from_raw_mode(0o700);
        rustix::fs::mkdirat(&folder, &name, mode).unwrap();
        folder = rustix::fs::openat(&folder, &name, flags, rustix::fs::Mode::empty()).unwrap();
    }
    let (entries, problems) = walk(dir.path(), with(Symlinks::Skip)).await;
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(entries.len(), 2 * depth);
    assert!(entries.is_sorted_by(|a, b| a.path < b.path));
}

#[tokio::test]
async fn more_than_a_page() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..2_500 {
        std::fs::write(dir.path().join(format!("{i:05}")), b"").unwrap();
    }
    let old = UNIX_EPOCH - Duration::from_millis(1_500);
    let first = std::fs::File::options().write(true).open(dir.path().join("00000")).unwrap();
    first.set_modified(old).unwrap();
    let mut walker = Walker::new(dir.path().to_owned(), WalkOptions::default());
    let first = walker.next_page().await.unwrap().unwrap();
    assert_eq!(first.entries.len(), 1_000);
    assert_eq!(first.entries[0].modified, Some(old), "times before 1970 too");
    // A file that is gone before its turn is left out.
    std::fs::remove_file(dir.path().join("01500")).unwrap();
    let second = walker.next_page().await.unwrap().unwrap();
    assert_eq!(second.entries[500].path.to_str(), Some("01501"));
    assert_eq!(walker.next_page().await.unwrap().unwrap().entries.len(), 499);
    assert!(walker.next_page().await.unwrap().is_none());
}
