//! Looking at what is there, and reading it, without following a link.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt as _;
use haul_core::pool::Pool;
use haul_core::{ByteRange, ErrorKind, Opened, ReadAt, RelPath, Result, Source as _};
use haul_local::{DestinationRoot, Found, FoundKind, LocalSource, mode_of};

struct Dest {
    dir: tempfile::TempDir,
    root: Arc<DestinationRoot>,
}

impl Dest {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::fs::write(dir.path().join("outside/file"), "theirs").unwrap();
        let root = DestinationRoot::open(dir.path().join("dest"), true).await.unwrap();
        std::fs::create_dir_all(dir.path().join("dest/a/b")).unwrap();
        let dest = Self { dir, root };
        std::fs::write(dest.at("a/b/file"), "content").unwrap();
        symlink("../../../outside", dest.at("a/b/out")).unwrap();
        symlink("file", dest.at("a/b/link")).unwrap();
        dest
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("dest").join(path)
    }

    async fn look(&self, path: &str) -> Result<Option<Found>> {
        self.root.look(RelPath::new(path)).await
    }

    async fn kind(&self, path: &str) -> Option<FoundKind> {
        self.look(path).await.unwrap().map(|found| found.kind)
    }

    async fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>> {
        let root = Arc::clone(&self.root);
        let source = LocalSource::beneath(root, RelPath::new(path), Pool::new(1 << 20));
        assert!(source.location().ends_with(path));
        match source.open().await? {
            Opened::Ranged(file) => Ok(file),
            Opened::Stream(_) => unreachable!(),
        }
    }
}

async fn read(file: &dyn ReadAt) -> Result<Vec<u8>> {
    let body = file.read_at(ByteRange::new(0, file.meta().size)).await?;
    Ok(body.try_collect::<Vec<_>>().await?.concat())
}

#[tokio::test]
async fn what_is_there() {
    let dest = Dest::new().await;
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, 5);
    std::fs::File::options()
        .write(true)
        .open(dest.at("a/b/file"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    std::fs::set_permissions(dest.at("a/b/file"), PermissionsExt::from_mode(0o4751)).unwrap();
    let found = dest.look("a/b/file").await.unwrap().unwrap();
    let expected = Found { kind: FoundKind::File, size: 7, modified: Some(time), mode: 0o751 };
    assert_eq!(found, expected);
    assert_eq!(mode_of(&dest.at("a/b/file")).unwrap(), 0o751);
    assert_eq!(mode_of(&dest.at("x")).unwrap_err().kind(), ErrorKind::NotFound);
    let link = dest.look("a/b/out").await.unwrap().unwrap();
    assert_eq!(link.kind, FoundKind::Symlink("../../../outside".into()));
    assert_eq!(link.size, 0);
    for path in ["a", "a/b", "a/b/"] {
        assert_eq!(dest.kind(path).await, Some(FoundKind::Folder));
    }
    let _socket = std::os::unix::net::UnixListener::bind(dest.at("socket")).unwrap();
    assert_eq!(dest.kind("socket").await, Some(FoundKind::Special));
    for path in ["x", "x/y/z", "a/b/c/d", "a/x"] {
        assert_eq!(dest.kind(path).await, None, "{path}");
    }
    for (path, what) in [
        ("a/b/out/file", "a symbolic link is in the way"),
        ("a/b/link/x", "a symbolic link is in the way"),
        ("a/b/file/x", "is a file, and a folder is needed there"),
        ("../outside", "no file can be called that"),
        ("", "no file can be called that"),
    ] {
        let error = dest.look(path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

/// A folder that was used before is not taken for the one that has its name now.
#[tokio::test]
async fn folders_that_were_replaced() {
    let dest = Dest::new().await;
    dest.root.make_folder(RelPath::new("a/b")).await.unwrap();
    std::fs::rename(dest.at("a"), dest.at("old")).unwrap();
    assert_eq!(dest.kind("a/b/file").await, None);
    std::fs::create_dir_all(dest.at("a/b/file")).unwrap();
    assert_eq!(dest.kind("a/b/file").await, Some(FoundKind::Folder));
}

#[tokio::test]
async fn files_are_read_and_links_are_not() {
    let dest = Dest::new().await;
    let file = dest.open("a/b/file").await.unwrap();
    assert_eq!(read(&*file).await.unwrap(), b"content");
    file.recheck().await.unwrap();
    for (path, kind, what) in [
        ("a/b/link", ErrorKind::Invalid, "it is a symbolic link"),
        ("a/b/out/file", ErrorKind::Invalid, "a symbolic link is in the way"),
        ("a/b", ErrorKind::Invalid, "it is a folder"),
        ("../outside/file", ErrorKind::Invalid, "no file can be called that"),
        ("x", ErrorKind::NotFound, "no such file"),
        ("x/y", ErrorKind::NotFound, "no such file"),
    ] {
        let error = dest.open(path).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[tokio::test]
async fn files_that_change_are_noticed() {
    for (how, what) in [("written", "was changed"), ("grown", "grew"), ("cut", "became shorter")] {
        let dest = Dest::new().await;
        let file = dest.open("a/b/file").await.unwrap();
        let content = match how {
            "written" => "CONTENT",
            "grown" => "contents",
            _ => "c",
        };
        // Times have the resolution of a tick.
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(dest.at("a/b/file"), content).unwrap();
        let error = file.recheck().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SourceChanged, "{error}");
        assert!(error.detail().contains(what), "{error}");
    }
    let dest = Dest::new().await;
    let file = dest.open("a/b/file").await.unwrap();
    let recheck = async |what: &str| {
        let error = file.recheck().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SourceChanged, "{error}");
        assert!(error.detail().contains(what), "{what}: {error}");
    };
    std::fs::rename(dest.at("a/b/file"), dest.at("a/b/moved")).unwrap();
    recheck("was removed").await;
    std::fs::write(dest.at("a/b/file"), "content").unwrap();
    recheck("was replaced").await;
    std::fs::remove_file(dest.at("a/b/file")).unwrap();
    // A link to the very file is another thing than the file.
    symlink("moved", dest.at("a/b/file")).unwrap();
    recheck("was replaced").await;
    std::fs::remove_file(dest.at("a/b/file")).unwrap();
    std::fs::rename(dest.at("a/b/moved"), dest.at("a/b/file")).unwrap();
    std::fs::rename(dest.at("a"), dest.at("c")).unwrap();
    symlink("c", dest.at("a")).unwrap();
    recheck("was replaced").await;
}
