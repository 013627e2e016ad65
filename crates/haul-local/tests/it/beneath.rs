//! Writing beneath a root: nothing gets out of it, whatever names and links say.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use haul_core::{ErrorKind, Hint, RelPath, Result, Target as _};
use haul_local::{DestinationRoot, Durability, FsyncPolicy, LocalTarget, Seen};

use crate::kit::{self, tree, write};

struct Dest {
    dir: tempfile::TempDir,
    root: Arc<DestinationRoot>,
    durability: Durability,
}

impl Dest {
    async fn new(policy: FsyncPolicy) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        let root = DestinationRoot::open(dir.path().join("dest"), true).await.unwrap();
        Self { dir, root, durability: Durability::new(policy) }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("dest").join(path)
    }

    fn target(&self, path: &str) -> LocalTarget {
        LocalTarget::beneath(Arc::clone(&self.root), RelPath::new(path), self.durability.clone())
    }

    async fn write(&self, path: &str, content: &str) -> Result<()> {
        write(&self.target(path), content.as_bytes()).await
    }

    /// What an error says, without the path of the temporary folder.
    fn text(&self, error: &haul_core::Error) -> String {
        error.to_string().replace(&format!("{}/", self.dir.path().display()), "")
    }

    fn tree(&self) -> Vec<String> {
        tree(&self.at(""))
    }
}

#[tokio::test]
async fn folders_are_made_and_files_replaced() {
    for policy in [FsyncPolicy::Auto, FsyncPolicy::Always, FsyncPolicy::Never] {
        let dest = Dest::new(policy).await;
        for (path, content) in
            [("a", "1"), ("b/c/d", "2"), ("b/c/e", "3"), ("b/f", "4"), ("a", "5"), ("g/h", "")]
        {
            dest.write(path, content).await.unwrap();
        }
        assert_eq!(
            dest.tree(),
            ["a=5", "b/", "b/c/", "b/c/d=2", "b/c/e=3", "b/f=4", "g/", "g/h="],
            "{policy:?}"
        );
    }
}

#[tokio::test]
async fn links_lead_nowhere() {
    let dest = Dest::new(FsyncPolicy::Never).await;
    let outside = dest.dir.path().join("outside");
    symlink(&outside, dest.at("x")).unwrap();
    std::fs::create_dir(dest.at("in")).unwrap();
    symlink("in", dest.at("loop")).unwrap();
    symlink("../outside", dest.at("in/up")).unwrap();
    for (path, link) in
        [("x/file", "x"), ("x/deep/file", "x"), ("loop/file", "loop"), ("in/up/file", "in/up")]
    {
        let error = dest.write(path, "1").await.unwrap_err();
        assert_eq!(
            dest.text(&error),
            format!("cannot start writing dest/{path}: a symbolic link is in the way: dest/{link}")
        );
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(error.hint(), Some(&Hint::NameLinkedFolder));
        let path = RelPath::new(path);
        for outcome in [
            dest.root.make_symlink(path.clone(), "target", true).await,
            dest.root.remove(path.clone(), None).await,
            dest.root.make_folder(path).await,
        ] {
            let error = outcome.unwrap_err();
            assert!(error.detail().starts_with("a symbolic link is in the way"), "{error}");
        }
    }
    std::fs::write(outside.join("file"), "theirs").unwrap();
    dest.root.remove_empty_folders(RelPath::new("x/file"), |_| false).await.unwrap();
    assert_eq!(tree(&outside), ["file=theirs"]);
    // The link itself can be replaced: what it leads to belongs to somebody else.
    dest.write("x", "mine").await.unwrap();
    assert_eq!(std::fs::read_to_string(dest.at("x")).unwrap(), "mine");
    assert_eq!(tree(&outside), ["file=theirs"]);
}

/// A link that takes the place of a folder that was used before.
#[tokio::test]
async fn a_folder_that_becomes_a_link() {
    let dest = Dest::new(FsyncPolicy::Never).await;
    dest.write("a/b/1", "1").await.unwrap();
    std::fs::remove_dir_all(dest.at("a")).unwrap();
    symlink(dest.dir.path().join("outside"), dest.at("a")).unwrap();
    let error = dest.write("a/b/2", "2").await.unwrap_err();
    assert_eq!(
        dest.text(&error),
        "cannot start writing dest/a/b/2: a symbolic link is in the way: dest/a"
    );
    assert!(tree(&dest.dir.path().join("outside")).is_empty());
}

#[tokio::test]
async fn folders_that_vanish_are_made_again() {
    let dest = Dest::new(FsyncPolicy::Auto).await;
    for gone in ["a", "a/b", "a/b/c"] {
        for path in ["a/1", "a/b/2", "a/b/c/3"] {
            dest.write(path, "x").await.unwrap();
        }
        std::fs::remove_dir_all(dest.at(gone)).unwrap();
        for path in ["a/b/c/d/4", "a/b/c/3", "a/b/2", "a/1"] {
            dest.write(path, "y").await.unwrap();
        }
        assert!(dest.tree().contains(&"a/b/c/3=y".to_owned()));
    }
}

#[tokio::test]
async fn hostile_names_are_refused() {
    let dest = Dest::new(FsyncPolicy::Never).await;
    for name in ["../x", "/etc/x", "a//b", "a/../../x", "a/.", "", "nul\0x"] {
        let error = dest.write(name, "1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}: {error}");
        assert!(error.detail().starts_with("no file can be called that: its name "), "{error}");
        assert!(dest.root.make_folder(RelPath::new(name)).await.is_err());
        assert!(dest.root.remove(RelPath::new(name), None).await.is_err());
    }
    let error = dest.write("folder/", "1").await.unwrap_err();
    assert!(error.detail().contains("ends with a slash"), "{error}");
    let error = dest.write(&format!("d/{}", "x".repeat(256)), "1").await.unwrap_err();
    assert!(error.to_string().ends_with("name too long"), "{error}");
    assert!(dest.tree().is_empty(), "{:?}", dest.tree());
}

#[tokio::test]
async fn a_file_and_a_folder_of_one_name() {
    let dest = Dest::new(FsyncPolicy::Never).await;
    dest.write("a", "1").await.unwrap();
    let error = dest.write("a/b", "2").await.unwrap_err();
    assert_eq!(
        dest.text(&error),
        "cannot start writing dest/a/b: dest/a is a file, and a folder is needed there"
    );
    assert_eq!(error.kind(), ErrorKind::Invalid);
    dest.write("f/b", "3").await.unwrap();
    let error = dest.write("f", "4").await.unwrap_err();
    assert_eq!(dest.text(&error), "cannot start writing dest/f: it is a folder");
    assert_eq!(dest.tree(), ["a=1", "f/", "f/b=3"]);
}

#[tokio::test]
async fn what_is_given_up_leaves_nothing() {
    let dest = Dest::new(FsyncPolicy::Auto).await;
    let target = dest.target("new/deep/file");
    let upload = target.begin(&kit::spec(1)).await.unwrap();
    assert!(dest.at("new/deep").is_dir());
    upload.abort().await.unwrap();
    assert!(dest.tree().is_empty());
    let upload = target.begin(&kit::spec(1)).await.unwrap();
    drop(upload);
    assert!(dest.tree().is_empty());
    // A chunk is missing.
    let upload = target.begin(&kit::spec(5)).await.unwrap();
    let error = upload.commit(&[], &haul_core::Sums::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verification, "{error}");
    drop(upload);
    assert!(dest.tree().is_empty());
    dest.write("new/deep/file", "1").await.unwrap();
}

#[tokio::test]
async fn existing_files_may_be_kept() {
    let dest = Dest::new(FsyncPolicy::Auto).await;
    let mut spec = kit::spec(1);
    spec.overwrite = false;
    kit::write_as(&dest.target("d/a"), &spec, b"1").await.unwrap();
    let error = kit::write_as(&dest.target("d/a"), &spec, b"2").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(dest.tree(), ["d/", "d/a=1"]);
}

#[tokio::test]
async fn times_are_kept() {
    let dest = Dest::new(FsyncPolicy::Auto).await;
    for time in [
        SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789),
        SystemTime::UNIX_EPOCH - Duration::from_millis(1_500),
    ] {
        let mut spec = kit::spec(4);
        spec.attributes.modified = Some(time);
        kit::write_as(&dest.target("a"), &spec, b"data").await.unwrap();
        assert_eq!(dest.at("a").metadata().unwrap().modified().unwrap(), time);
    }
}

/// A.26: a time that no file can have costs the time, and never the file.
#[tokio::test]
async fn an_absurd_time_does_not_fail_a_file() {
    let dest = Dest::new(FsyncPolicy::Auto).await;
    for seconds in [i64::MAX as u64, 1 << 60, 253_402_300_800] {
        let since = Duration::from_secs(seconds);
        for time in
            [SystemTime::UNIX_EPOCH.checked_add(since), SystemTime::UNIX_EPOCH.checked_sub(since)]
        {
            let mut spec = kit::spec(4);
            spec.attributes.modified = time;
            kit::write_as(&dest.target("a"), &spec, b"data").await.unwrap();
        }
    }
    assert_eq!(dest.tree(), ["a=data"]);
}

#[tokio::test]
async fn folders_and_links() {
    let dest = Dest::new(FsyncPolicy::Never).await;
    let root = &dest.root;
    root.make_folder(RelPath::new("e/mpty/")).await.unwrap();
    root.make_folder(RelPath::new("e/mpty")).await.unwrap();
    root.make_symlink(RelPath::new("l/k"), "../../anywhere", false).await.unwrap();
    let again = root.make_symlink(RelPath::new("l/k"), "x", false).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    root.make_symlink(RelPath::new("l/k"), "x", true).await.unwrap();
    let folder = root.make_symlink(RelPath::new("e"), "x", true).await.unwrap_err();
    assert_eq!(dest.text(&folder), "cannot write dest/e: it is a folder");
    dest.write("file", "1").await.unwrap();
    let file = root.make_folder(RelPath::new("file/")).await.unwrap_err();
    assert!(file.detail().ends_with("is a file, and a folder is needed there"), "{file}");
    root.flush().await.unwrap();
    assert_eq!(dest.tree(), ["e/", "e/mpty/", "file=1", "l/", "l/k -> x"]);
}

#[tokio::test]
async fn removing() {
    let dest = Dest::new(FsyncPolicy::Never).await;
    let root = &dest.root;
    for path in ["a/b/c/1", "a/2", "z"] {
        dest.write(path, "").await.unwrap();
    }
    symlink("z", dest.at("l")).unwrap();
    root.remove(RelPath::new("l"), None).await.unwrap();
    root.remove(RelPath::new("a/b/c/1"), None).await.unwrap();
    root.remove_empty_folders(RelPath::new("a/b/c/1"), |_| false).await.unwrap();
    assert_eq!(dest.tree(), ["a/", "a/2=", "z="]);
    let missing = root.remove(RelPath::new("a/b/c/1"), None).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let folder = root.remove(RelPath::new("a"), None).await.unwrap_err();
    assert_eq!(dest.text(&folder), "cannot remove dest/a: it is a folder");
    root.make_folder(RelPath::new("e")).await.unwrap();
    root.remove(RelPath::new("e/"), None).await.unwrap();
    assert!(root.remove(RelPath::new("a/"), None).await.is_err(), "something is in it");
    root.remove(RelPath::new("a/2"), None).await.unwrap();
    root.remove(RelPath::new("z"), None).await.unwrap();
    root.remove_empty_folders(RelPath::new("a/2"), |_| false).await.unwrap();
    root.remove_empty_folders(RelPath::new("z"), |_| false).await.unwrap();
    assert!(dest.tree().is_empty());
    assert!(dest.at("").is_dir(), "the root stays");
}

#[tokio::test]
async fn the_root_must_be_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    for create in [false, true] {
        let file = DestinationRoot::open(dir.path().join("file"), create).await.unwrap_err();
        assert_eq!(file.kind(), ErrorKind::Invalid, "{file}");
    }
    let missing = DestinationRoot::open(dir.path().join("x"), false).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let made = DestinationRoot::open(dir.path().join("x/y"), true).await.unwrap();
    assert_eq!(made.path(), dir.path().join("x/y"));
    assert!(made.path().is_dir());
}

fn seen(path: &Path) -> Seen {
    let there = path.symlink_metadata().unwrap();
    let size = if there.is_symlink() { 0 } else { there.len() };
    Seen { link: there.is_symlink(), size, modified: there.modified().ok() }
}

/// What is removed for what was listed is what was listed, or it stays.
#[tokio::test]
async fn removing_what_was_seen() {
    let dest = Dest::new(FsyncPolicy::Never).await;
    std::fs::write(dest.at("f"), "old").unwrap();
    std::fs::hard_link(dest.at("f"), dest.at("g")).unwrap();
    symlink("z", dest.at("l")).unwrap();
    let (file, link) = (seen(&dest.at("f")), seen(&dest.at("l")));
    for (name, seen) in [("f", link), ("l", file), ("f", Seen { size: 4, ..file })] {
        let e = dest.root.remove(RelPath::new(name), Some(seen)).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::SourceChanged, "{name}");
    }
    // Removing one name of a file does not make another of the other one.
    for (name, seen) in [("f", file), ("g", file), ("l", link)] {
        dest.root.remove(RelPath::new(name), Some(seen)).await.unwrap();
    }
    assert_eq!(dest.tree(), [""; 0]);
}

/// F.11: what this job has put there is not removed under the name that the folder takes for its own.
#[tokio::test]
async fn what_was_just_put_there_is_not_removed_under_another_spelling() {
    let dest = Dest::new(FsyncPolicy::Never).await;
    // A name that does not tell whether the folder folds, and a second name for what it names.
    dest.write("1", "new").await.unwrap();
    std::fs::hard_link(dest.at("1"), dest.at("2")).unwrap();
    let there = seen(&dest.at("2"));
    let e = dest.root.remove(RelPath::new("2"), Some(there)).await.unwrap_err();
    assert!(e.detail().contains("just put there"), "{e}");
    assert_eq!(dest.tree(), ["1=new", "2=new"]);
}
