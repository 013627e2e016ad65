//! The index as several processes and damaged disks meet it.

#![expect(clippy::unwrap_used, reason = "a failure in a test is a panic")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use haul_core::{Error, ErrorKind, Hint};
use haul_state::{Content, ContentIndex, FileId, Known, Place, SharedIndex};

fn place(bucket: &str) -> Place {
    Place { endpoint: "https://s3.example".to_owned(), bucket: bucket.to_owned() }
}

fn hash(n: u64) -> [u8; 32] {
    let mut hash = [7; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    hash
}

fn content(n: u64, key: &str) -> Content {
    let object = Known { key: key.to_owned(), etag: format!("etag-{n}"), size: n };
    Content { blake3: hash(n), object }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_recorded_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/deep/index.db");
    let index = ContentIndex::open(&path);
    assert!(!path.exists(), "nothing is made before it is needed");
    let (here, there) = (place("a"), place("b"));
    assert_eq!(index.find(&here, &hash(1), 1).unwrap(), None);
    index.record(&here, &[content(1, "x"), content(2, "y"), content(u64::MAX, "huge")]).unwrap();
    let known = Known { key: "x".to_owned(), etag: "etag-1".to_owned(), size: 1 };
    assert_eq!(index.find(&here, &hash(1), 1).unwrap(), Some(known));
    assert_eq!(index.find(&here, &hash(u64::MAX), u64::MAX).unwrap().unwrap().key, "huge");
    assert_eq!(index.find(&here, &hash(1), 2).unwrap(), None, "another size");
    assert_eq!(index.find(&there, &hash(1), 1).unwrap(), None, "another place");

    index.record(&here, &[content(1, "z")]).unwrap();
    assert_eq!(index.find(&here, &hash(1), 1).unwrap().unwrap().key, "z", "the last one counts");
    index.record(&here, &[content(3, "z")]).unwrap();
    assert_eq!(index.find(&here, &hash(1), 1).unwrap(), None, "the object has another content");

    index.forget(&here, &["y", "never heard of"]).unwrap();
    index.forget(&there, &["z"]).unwrap();
    let again = ContentIndex::open(&path);
    assert_eq!(again.find(&here, &hash(2), 2).unwrap(), None);
    assert_eq!(again.find(&here, &hash(3), 3).unwrap().unwrap().key, "z");
    again.forget_before(SystemTime::now() - Duration::from_mins(1)).unwrap();
    assert!(index.find(&here, &hash(3), 3).unwrap().is_some());
    again.forget_before(SystemTime::now() + Duration::from_mins(1)).unwrap();
    assert_eq!(index.find(&here, &hash(3), 3).unwrap(), None);

    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&dir.path().join("new")), 0o700);
    assert_eq!(mode(&dir.path().join("new/deep")), 0o700);
}

#[test]
fn files_are_remembered_in_one_state() {
    let dir = tempfile::tempdir().unwrap();
    let index = ContentIndex::open(dir.path().join("index.db"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let file =
        FileId { device: u64::MAX, inode: 2, size: 3, modified: (-5, 6), changed: (now - 60, 8) };
    index.remember_file_digest(&file, &hash(1)).unwrap();
    assert_eq!(index.file_digest(&file).unwrap(), Some(hash(1)));
    for other in [
        FileId { device: 1, ..file },
        FileId { inode: 1, ..file },
        FileId { size: 1, ..file },
        FileId { modified: (-5, 7), ..file },
        FileId { changed: (now - 60, 9), ..file },
    ] {
        assert_eq!(index.file_digest(&other).unwrap(), None, "{other:?}");
    }
    let changed = FileId { size: 4, changed: (now - 50, 0), ..file };
    index.remember_file_digest(&changed, &hash(2)).unwrap();
    assert_eq!(index.file_digest(&changed).unwrap(), Some(hash(2)));
    assert_eq!(index.file_digest(&file).unwrap(), None, "replaced");
    // It could change again without its times showing it.
    let fresh = FileId { inode: 9, changed: (now, 0), ..file };
    index.remember_file_digests(&[(fresh, hash(3))]).unwrap();
    assert_eq!(index.file_digest(&fresh).unwrap(), None);
}

const EACH: u64 = 60;

/// One of several that write at once.
fn crowd(path: &Path, number: u64) {
    let index = ContentIndex::open(path);
    let here = place("a");
    for batch in 0..EACH {
        let at = |i| number * 10_000 + batch * 10 + i;
        let contents: Vec<_> = (0..10).map(|i| content(at(i), &format!("key-{}", at(i)))).collect();
        index.record(&here, &contents).unwrap();
        assert!(index.find(&here, &hash(at(3)), at(3)).unwrap().is_some());
    }
    index.forget(&here, &[format!("key-{}", number * 10_000)]).unwrap();
}

fn crowd_was_here(path: &Path) {
    let index = ContentIndex::open(path);
    for number in 0..4 {
        for n in 0..EACH * 10 {
            let n = number * 10_000 + n;
            let found = index.find(&place("a"), &hash(n), n).unwrap();
            assert_eq!(found.is_some(), n % 10_000 != 0, "{n}");
        }
    }
}

#[test]
fn several_threads_with_connections_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.db");
    std::thread::scope(|scope| {
        for number in 0..4 {
            let path = &path;
            scope.spawn(move || crowd(path, number));
        }
    });
    crowd_was_here(&path);
}

const CROWD: &str = "HAUL_STATE_TEST_CROWD";

/// Does nothing but for the test below, which runs it in processes of their own.
#[test]
fn one_of_several_processes() {
    if let Ok(task) = std::env::var(CROWD) {
        let (number, path) = task.split_once(' ').unwrap();
        crowd(Path::new(path), number.parse().unwrap());
    }
}

#[test]
fn several_processes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.db");
    let start = |number| {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "one_of_several_processes"])
            .env(CROWD, format!("{number} {}", path.display()))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..4).map(start).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    crowd_was_here(&path);
}

/// The error of every call on the file at `path`, which must stay as it is.
fn refused(path: &Path) -> Error {
    let before = std::fs::read(path).unwrap();
    let index = ContentIndex::open(path);
    let error = index.find(&place("a"), &hash(1), 1).unwrap_err();
    let second = index.record(&place("a"), &[content(1, "x")]).unwrap_err();
    assert_eq!(error.to_string(), second.to_string());
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(error.hint(), Some(&Hint::RemoveIndex), "{error}");
    assert!(std::fs::read(path).unwrap() == before);
    error
}

#[test]
fn files_that_are_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.db");
    std::fs::write(&path, "dear diary, ".repeat(1000)).unwrap();
    assert_eq!(refused(&path).detail(), "it is damaged, or not a file of haul's");
    std::fs::write(&path, "short").unwrap();
    assert_eq!(refused(&path).detail(), "it is damaged, or not a file of haul's");

    std::fs::remove_file(&path).unwrap();
    let theirs = rusqlite::Connection::open(&path).unwrap();
    theirs.execute_batch("CREATE TABLE contents (x)").unwrap();
    drop(theirs);
    assert_eq!(refused(&path).detail(), "it is the database of another program");

    let folder = ContentIndex::open(dir.path());
    let error = folder.find(&place("a"), &hash(1), 1).unwrap_err();
    assert_eq!(error.detail(), "it is a folder");
}

#[test]
fn a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.db");
    ContentIndex::open(&path).record(&place("a"), &[content(1, "x")]).unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 7).unwrap();
    drop(db);
    let detail = refused(&path).detail().to_owned();
    assert_eq!(detail, "a newer version of haul has written it (format 7; this one knows 1)");
}

#[test]
fn damage_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.db");
    let index = ContentIndex::open(&path);
    let contents: Vec<_> = (0..5000).map(|n| content(n, &format!("key-{n}"))).collect();
    index.record(&place("a"), &contents).unwrap();
    drop(index); // the last connection moves all to the file
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[4096..end].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(refused(&path).detail(), "it is damaged, or not a file of haul's");
    // A file that was cut off.
    std::fs::File::options().write(true).open(&path).unwrap().set_len(6000).unwrap();
    assert_eq!(refused(&path).detail(), "it is damaged, or not a file of haul's");
    // The way out.
    std::fs::remove_file(&path).unwrap();
    ContentIndex::open(&path).record(&place("a"), &contents).unwrap();
}

#[tokio::test]
async fn off_the_async_threads() {
    let dir = tempfile::tempdir().unwrap();
    let index = SharedIndex::open(dir.path().join("index.db"));
    let here = place("a");
    index.record(&here, vec![content(1, "x")]).await.unwrap();
    assert_eq!(index.find(&here, hash(1), 1).await.unwrap().unwrap().key, "x");
    index.forget(&here, vec!["x".to_owned()]).await.unwrap();
    assert_eq!(index.find(&here, hash(1), 1).await.unwrap(), None);
    let file = FileId { device: 1, inode: 2, size: 3, modified: (4, 5), changed: (6, 7) };
    index.remember_file_digests(vec![(file, hash(1))]).await.unwrap();
    assert_eq!(index.clone().file_digest(file).await.unwrap(), Some(hash(1)));
    index.forget_before(SystemTime::now()).await.unwrap();
    assert_eq!(index.path(), dir.path().join("index.db"));
}
