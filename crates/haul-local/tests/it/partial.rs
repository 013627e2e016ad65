//! Downloads that are resumed: what survives, what never does, and who gets which file.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use haul_core::{ErrorKind, RelPath, Result};
use haul_local::{
    CommitSpec, DestinationRoot, Durability, FsyncPolicy, LocalTarget, Partial, PartialSpec,
    WalkOptions, Walker, free_names,
};

use crate::kit::write;

const MIB: u64 = 1 << 20;

struct Dest {
    dir: tempfile::TempDir,
    root: Arc<DestinationRoot>,
}

impl Dest {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = DestinationRoot::open(dir.path().join("dest"), true).await.unwrap();
        Self { dir, root }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("dest").join(path)
    }

    async fn open(&self, path: &str, spec: &PartialSpec) -> Result<Partial> {
        Partial::open(Arc::clone(&self.root), RelPath::new(path), spec.clone()).await
    }

    /// Names in the destination, in order.
    fn names(&self) -> Vec<String> {
        names(&self.at(""))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn spec(size: u64) -> PartialSpec {
    PartialSpec { token: [7; 32], size, extra: 100, overwrite: true, durable: true, mode: None }
}

fn bytes(len: u64, fill: u8) -> Vec<Bytes> {
    vec![vec![fill; usize::try_from(len).unwrap()].into()]
}

async fn commit(partial: Partial) -> Result<()> {
    partial.commit(CommitSpec::default(), &Durability::new(FsyncPolicy::Auto)).await
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

/// This process's, without changing it for other tests.
fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

#[tokio::test]
async fn what_was_written_is_found_again() {
    let dest = Dest::new().await;
    let partial = dest.open("a/file", &spec(2 * MIB)).await.unwrap();
    assert!(!partial.found());
    partial.write_all_at(bytes(MIB, 1), 0).await.unwrap();
    partial.write_all_at(bytes(10, 9), 2 * MIB).await.unwrap();
    drop(partial);
    let name = names(&dest.at("a")).pop().unwrap();
    assert!(name.starts_with(".haul-") && name.len() == 18, "{name}");
    assert!(walked(&dest).await.is_empty(), "walks leave it out");

    let partial = dest.open("a/file", &spec(2 * MIB)).await.unwrap();
    assert!(partial.found());
    assert_eq!(names(&dest.at("a")), [name]);
    let content = partial.read_exact_at(0, 1 << 20).await.unwrap();
    assert!(content.iter().all(|b| *b == 1));
    let notes = partial.read_or_short(2 * MIB, 1000).await.unwrap();
    assert_eq!(notes, [9; 10].as_slice());
    assert!(partial.read_or_short(u64::MAX, 1).await.unwrap().is_empty());
    let short = partial.read_exact_at(2 * MIB, usize::MAX).await.unwrap_err();
    assert_eq!(short.kind(), ErrorKind::Io);
    partial.write_all_at(bytes(MIB, 2), MIB).await.unwrap();
    let modified = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    let durability = Durability::new(FsyncPolicy::Auto);
    partial.commit(CommitSpec { modified: Some(modified), hash: None }, &durability).await.unwrap();

    assert_eq!(names(&dest.at("a")), ["file"]);
    let file = std::fs::read(dest.at("a/file")).unwrap();
    assert_eq!(file, [vec![1; 1 << 20], vec![2; 1 << 20]].concat(), "without the notes");
    assert_eq!(dest.at("a/file").metadata().unwrap().modified().unwrap(), modified);
}

async fn walked(dest: &Dest) -> Vec<String> {
    use haul_core::Lister as _;
    let mut walker = Walker::new(dest.at(""), WalkOptions::default());
    let mut found = Vec::new();
    while let Some(page) = walker.next_page().await.unwrap() {
        found.extend(page.entries.iter().map(|e| e.path.to_str().unwrap().to_owned()));
    }
    found
}

/// What `a_process_that_is_killed` runs, in a process of its own.
#[tokio::test]
async fn child() {
    let Some(dir) = std::env::var_os("HAUL_TEST_PARTIAL") else { return };
    let root = DestinationRoot::open(dir, true).await.unwrap();
    let partial = Partial::open(root, RelPath::new("a/file"), spec(2 * MIB)).await.unwrap();
    partial.write_all_at(bytes(MIB, 3), 0).await.unwrap();
    std::io::stdout().write_all(b"\nwritten\n").unwrap();
    std::thread::sleep(Duration::from_mins(1));
}

#[tokio::test]
async fn a_process_that_is_killed() {
    let dest = Dest::new().await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "partial::child", "--nocapture"])
        .env("HAUL_TEST_PARTIAL", dest.at(""))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "written"));
    let meanwhile = dest.open("a/file", &spec(2 * MIB)).await.unwrap();
    assert!(!meanwhile.found(), "it is in use");
    drop(meanwhile);
    child.kill().unwrap();
    child.wait().unwrap();
    let partial = dest.open("a/file", &spec(2 * MIB)).await.unwrap();
    assert!(partial.found());
    assert_eq!(partial.read_exact_at(MIB - 1, 1).await.unwrap(), [3].as_slice());
    assert_eq!(names(&dest.at("a")).len(), 1);
}

#[tokio::test]
async fn little_is_not_kept() {
    let dest = Dest::new().await;
    for (size, len) in [(MIB, 64 << 10), (1000, 1000), (0, 0)] {
        let partial = dest.open("new/file", &spec(size)).await.unwrap();
        partial.write_all_at(bytes(len, 1), 0).await.unwrap();
        partial.write_all_at(bytes(100, 1), size).await.unwrap();
        drop(partial);
        assert!(dest.names().is_empty(), "{size}: {:?}", dest.names());
    }
    let partial = dest.open("new/file", &spec(MIB)).await.unwrap();
    partial.write_all_at(bytes(MIB, 1), 0).await.unwrap();
    partial.discard().await.unwrap();
    assert!(dest.names().is_empty(), "what is discarded goes, however much it is");
    // Writes that nobody saw.
    let partial = dest.open("file", &spec(MIB)).await.unwrap();
    partial.file().write_all_at(&vec![1; 100_000], 0).unwrap();
    partial.note_written(100_000);
    drop(partial);
    let partial = dest.open("file", &spec(MIB)).await.unwrap();
    assert!(partial.found());
    partial.discard().await.unwrap();
    assert!(dest.names().is_empty());
}

#[tokio::test]
async fn nothing_is_shared_between_two() {
    let dest = Dest::new().await;
    let first = dest.open("file", &spec(MIB)).await.unwrap();
    first.write_all_at(bytes(MIB, 1), 0).await.unwrap();
    let second = dest.open("file", &spec(MIB)).await.unwrap();
    assert!(!second.found());
    assert_eq!(dest.names().len(), 2);
    second.write_all_at(bytes(MIB, 2), 0).await.unwrap();
    drop(second);
    assert_eq!(dest.names().len(), 1, "nobody would find the second");

    let second = dest.open("file", &spec(MIB)).await.unwrap();
    second.write_all_at(bytes(MIB, 2), 0).await.unwrap();
    let held = first.file();
    commit(first).await.unwrap();
    assert_eq!(std::fs::read(dest.at("file")).unwrap(), vec![1; 1 << 20]);
    // The name is free now, and what had it is not handed out again.
    let third = dest.open("file", &spec(MIB)).await.unwrap();
    assert!(!third.found());
    third.write_all_at(bytes(MIB, 3), 0).await.unwrap();
    assert_eq!(std::fs::read(dest.at("file")).unwrap(), vec![1; 1 << 20]);
    assert_eq!(held.metadata().unwrap().ino(), dest.at("file").metadata().unwrap().ino());
    commit(second).await.unwrap();
    assert_eq!(std::fs::read(dest.at("file")).unwrap(), vec![2; 1 << 20]);
    drop(third);
    // Another token, and another name, are other files.
    for (path, token) in [("file", [8; 32]), ("other", [7; 32])] {
        let partial = dest.open(path, &PartialSpec { token, ..spec(MIB) }).await.unwrap();
        assert!(!partial.found());
    }
    assert!(dest.open("file", &spec(MIB)).await.unwrap().found());
}

/// Many at once, each of which wants to finish: every file that appears is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once() {
    let dest = Arc::new(Dest::new().await);
    let mut tasks = tokio::task::JoinSet::new();
    for fill in 0..24_u8 {
        let dest = Arc::clone(&dest);
        tasks.spawn(async move {
            for _ in 0..8 {
                let partial = dest.open("file", &spec(100_000)).await.unwrap();
                partial.write_all_at(bytes(50_000, fill), 0).await.unwrap();
                tokio::task::yield_now().await;
                partial.write_all_at(bytes(50_000, fill), 50_000).await.unwrap();
                commit(partial).await.unwrap();
                let file = std::fs::read(dest.at("file")).unwrap();
                assert_eq!(file.len(), 100_000);
                assert!(file.iter().all(|b| *b == file[0]), "written by two");
            }
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap();
    }
    assert_eq!(dest.names(), ["file"]);
}

/// The temporary name of `file` there.
async fn temporary_of_file(dest: &Dest) -> String {
    let partial = dest.open("file", &spec(MIB)).await.unwrap();
    let name = dest.names().pop().unwrap();
    partial.discard().await.unwrap();
    name
}

#[tokio::test]
async fn what_was_planted_is_not_written_to() {
    let dest = Dest::new().await;
    let temporary = dest.at(&temporary_of_file(&dest).await);
    let theirs = dest.dir.path().join("theirs");
    std::fs::write(&theirs, "theirs").unwrap();
    let plant: [(&str, &dyn Fn()); 4] = [
        ("a link", &|| symlink(&theirs, &temporary).unwrap()),
        ("a link to nothing", &|| symlink("nothing", &temporary).unwrap()),
        ("another name of a file", &|| std::fs::hard_link(&theirs, &temporary).unwrap()),
        ("a pipe", &|| {
            assert!(Command::new("mkfifo").arg(&temporary).status().unwrap().success());
        }),
    ];
    for (what, plant) in plant {
        plant();
        let partial = dest.open("file", &spec(MIB)).await.unwrap();
        assert!(!partial.found(), "{what}");
        assert!(temporary.symlink_metadata().unwrap().is_file(), "{what} is gone");
        partial.write_all_at(bytes(MIB, 1), 0).await.unwrap();
        commit(partial).await.unwrap();
        assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "theirs", "{what}");
        assert_eq!(dest.names(), ["file"], "{what}");
        assert!(dest.at("file").symlink_metadata().unwrap().is_file());
    }
    // A folder cannot be removed: it is made elsewhere.
    std::fs::create_dir(&temporary).unwrap();
    let partial = dest.open("file", &spec(MIB)).await.unwrap();
    assert_eq!(dest.names().len(), 3);
    partial.write_all_at(bytes(MIB, 2), 0).await.unwrap();
    commit(partial).await.unwrap();
    assert_eq!(dest.names().len(), 2);
    assert_eq!(std::fs::read(dest.at("file")).unwrap(), vec![2; 1 << 20]);
}

/// A file of somebody else is not gone on with; only root can make one.
#[tokio::test]
async fn files_of_others_are_replaced() {
    let dest = Dest::new().await;
    let temporary = dest.at(&temporary_of_file(&dest).await);
    std::fs::write(&temporary, vec![1; 1 << 20]).unwrap();
    if std::os::unix::fs::chown(&temporary, Some(12345), None).is_err() {
        return eprintln!("skipped: only root gives files away");
    }
    let partial = dest.open("file", &spec(MIB)).await.unwrap();
    assert!(!partial.found());
    assert_ne!(temporary.metadata().unwrap().uid(), 12345);
}

#[tokio::test]
async fn a_temporary_file_that_others_took_away() {
    let dest = Dest::new().await;
    let temporary = dest.at(&temporary_of_file(&dest).await);
    let partial = dest.open("file", &spec(MIB)).await.unwrap();
    partial.write_all_at(bytes(MIB, 1), 0).await.unwrap();
    std::fs::remove_file(&temporary).unwrap();
    let other = dest.open("file", &spec(MIB)).await.unwrap();
    other.write_all_at(bytes(100_000, 2), 0).await.unwrap();
    let error = commit(partial).await.unwrap_err();
    assert!(error.detail().contains("another program removed"), "{error}");
    assert!(temporary.exists(), "that of the other");
    assert!(!dest.at("file").exists());
    other.write_all_at(bytes(MIB, 2), 0).await.unwrap();
    commit(other).await.unwrap();
    assert_eq!(std::fs::read(dest.at("file")).unwrap(), vec![2; 1 << 20]);
}

#[tokio::test]
async fn folders_that_vanish() {
    let dest = Dest::new().await;
    let partial = dest.open("a/b/file", &spec(MIB)).await.unwrap();
    partial.write_all_at(bytes(MIB, 1), 0).await.unwrap();
    std::fs::remove_dir_all(dest.at("a")).unwrap();
    assert_eq!(commit(partial).await.unwrap_err().kind(), ErrorKind::Io);
    assert!(dest.names().is_empty());
    let partial = dest.open("a/b/file", &spec(MIB)).await.unwrap();
    assert!(!partial.found());
    partial.write_all_at(bytes(MIB, 2), 0).await.unwrap();
    commit(partial).await.unwrap();
    assert_eq!(names(&dest.at("a/b")), ["file"]);
}

#[tokio::test]
async fn what_is_refused_before_a_byte_arrives() {
    let dest = Dest::new().await;
    std::fs::create_dir(dest.at("folder")).unwrap();
    std::fs::write(dest.at("taken"), "theirs").unwrap();
    symlink("/tmp", dest.at("link")).unwrap();
    assert!(Command::new("mkfifo").arg(dest.at("pipe")).status().unwrap().success());
    let before = dest.names();
    for (path, kind) in [
        ("folder", ErrorKind::Invalid),
        ("pipe", ErrorKind::Invalid),
        ("taken", ErrorKind::AlreadyExists),
        ("taken/file", ErrorKind::Invalid),
        ("link/file", ErrorKind::Invalid),
        ("../file", ErrorKind::Invalid),
        ("file/", ErrorKind::Invalid),
    ] {
        let keep = PartialSpec { overwrite: false, ..spec(MIB) };
        let error = dest.open(path, &keep).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{path}: {error}");
    }
    for (size, extra) in [(u64::MAX / 2, 100), (u64::MAX, u64::MAX), (MIB, u64::MAX / 2)] {
        let error = dest.open("new/file", &PartialSpec { extra, ..spec(size) }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    }
    assert_eq!(dest.names(), before);
    let partial = dest.open("file", &spec(MIB)).await.unwrap();
    for (len, offset) in [(101, MIB), (1, u64::MAX), (1, MIB + 100)] {
        let error = partial.write_all_at(bytes(len, 1), offset).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

/// What is there already needs no space.
#[tokio::test]
async fn space_is_counted_once() {
    let dest = Dest::new().await;
    let partial = dest.open("file", &spec(64 * MIB)).await.unwrap();
    partial.write_all_at(bytes(MIB, 1), 0).await.unwrap();
    let name = dest.names().pop().unwrap();
    let there = dest.at(&name).metadata().unwrap();
    assert_eq!(there.len(), MIB, "its length is that of what is in it");
    drop(partial);
    // It could not have all of this, but nobody minds what it was left with.
    let error = dest.open("file", &spec(u64::MAX / 2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    let partial = dest.open("file", &spec(64 * MIB)).await.unwrap();
    assert!(partial.found(), "a full disk takes nothing away");
    partial.discard().await.unwrap();
    // Space that was reserved and is not needed goes back.
    let partial = dest.open("file", &PartialSpec { extra: 8 * MIB, ..spec(MIB) }).await.unwrap();
    partial.write_all_at(bytes(MIB, 1), 0).await.unwrap();
    commit(partial).await.unwrap();
    assert!(dest.at("file").metadata().unwrap().blocks() * 512 < 2 * MIB);
}

#[tokio::test]
async fn modes() {
    let dest = Dest::new().await;
    let Some(umask) = umask() else { return eprintln!("skipped: the umask is not known") };
    for (asked, expected) in [
        (None, 0o666 & !umask),
        (Some(0o755), 0o755 & !umask),
        (Some(0o7777), 0o777 & !umask),
        (Some(0o444), 0o444 & !umask),
        (Some(0), 0),
    ] {
        let path = format!("{asked:?}");
        let wanted = PartialSpec { mode: asked, ..spec(MIB) };
        let partial = dest.open(&path, &wanted).await.unwrap();
        partial.write_all_at(bytes(MIB, 1), 0).await.unwrap();
        drop(partial);
        let partial = dest.open(&path, &wanted).await.unwrap();
        assert!(partial.found());
        commit(partial).await.unwrap();
        assert_eq!(mode(&dest.at(&path)), expected, "{asked:?}");
        // The target's own way, and over a file that has another mode.
        std::fs::set_permissions(dest.at(&path), PermissionsExt::from_mode(0o606)).unwrap();
        let target = LocalTarget::new(dest.at(&path), Durability::default());
        let target = asked.map_or(target.clone(), |mode| target.with_mode(mode));
        write(&target, b"x").await.unwrap();
        let expected = if asked.is_none() { 0o606 & !umask } else { expected };
        assert_eq!(mode(&dest.at(&path)), expected, "{asked:?}");
    }
    // That of the file it replaces; nobody may read meanwhile what nobody may read then.
    std::fs::write(dest.at("secret"), "").unwrap();
    let partial = dest.open("secret", &spec(MIB)).await.unwrap();
    partial.write_all_at(bytes(MIB, 1), 0).await.unwrap();
    drop(partial);
    std::fs::set_permissions(dest.at("secret"), PermissionsExt::from_mode(0o400)).unwrap();
    let partial = dest.open("secret", &spec(MIB)).await.unwrap();
    assert!(partial.found());
    assert_eq!(partial.file().metadata().unwrap().mode() & 0o7777, 0o600);
    commit(partial).await.unwrap();
    assert_eq!(mode(&dest.at("secret")), 0o400);
}

#[tokio::test]
async fn a_name_that_is_taken_at_the_end() {
    let dest = Dest::new().await;
    let keep = PartialSpec { overwrite: false, mode: Some(0o444), ..spec(MIB) };
    let partial = dest.open("file", &keep).await.unwrap();
    partial.write_all_at(bytes(MIB, 1), 0).await.unwrap();
    std::fs::write(dest.at("file"), "theirs").unwrap();
    let error = commit(partial).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    assert_eq!(std::fs::read_to_string(dest.at("file")).unwrap(), "theirs");
    let left = dest.names().into_iter().find(|n| n.starts_with(".haul-")).unwrap();
    assert_eq!(mode(&dest.at(&left)) & 0o600, 0o600, "it can be opened again");
    std::fs::remove_file(dest.at("file")).unwrap();
    let partial = dest.open("file", &keep).await.unwrap();
    assert!(partial.found());
    commit(partial).await.unwrap();
    assert_eq!(dest.names(), ["file"]);
    // What callers do with `free_names`.
    let path = RelPath::new("file");
    for expected in ["file (1)", "file (2)"] {
        let mut names = free_names(&path);
        let (name, partial) = loop {
            let name = names.next().unwrap();
            match Partial::open(Arc::clone(&dest.root), name.clone(), keep.clone()).await {
                Ok(partial) => break (name, partial),
                Err(e) => assert_eq!(e.kind(), ErrorKind::AlreadyExists),
            }
        };
        partial.write_all_at(bytes(MIB, 1), 0).await.unwrap();
        commit(partial).await.unwrap();
        assert_eq!(name, RelPath::new(expected));
    }
}

#[tokio::test]
async fn too_few_bytes_are_no_file() {
    let dest = Dest::new().await;
    let partial = dest.open("file", &spec(MIB)).await.unwrap();
    partial.write_all_at(bytes(MIB - 1, 1), 0).await.unwrap();
    let error = commit(partial).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verification, "{error}");
    assert!(!dest.at("file").exists());
    let partial = dest.open("file", &spec(MIB)).await.unwrap();
    partial.write_all_at(bytes(1, 1), MIB - 1).await.unwrap();
    commit(partial).await.unwrap();
    let empty = dest.open("empty", &spec(0)).await.unwrap();
    commit(empty).await.unwrap();
    assert_eq!(dest.names(), ["empty", "file"]);
    for policy in [FsyncPolicy::Always, FsyncPolicy::Never] {
        let partial = dest.open("file", &spec(5)).await.unwrap();
        partial.write_all_at(bytes(5, b'x'), 0).await.unwrap();
        partial.commit(CommitSpec::default(), &Durability::new(policy)).await.unwrap();
        assert_eq!(std::fs::read_to_string(dest.at("file")).unwrap(), "xxxxx");
    }
}

/// D16: what is left there takes no more room than what is in it, whatever was to come.
#[tokio::test]
async fn what_is_left_takes_no_more_than_it_has() {
    let dest = Dest::new().await;
    let partial = dest.open("large", &spec(64 * MIB)).await.unwrap();
    for at in [0, 20 * MIB + 4096] {
        partial.write_all_at(bytes(MIB, 1), at).await.unwrap();
    }
    let left = || dest.at(&dest.names()[0]).metadata().unwrap();
    drop(partial);
    assert!(left().blocks() * 512 < 4 * MIB, "{} blocks", left().blocks());
    // What is in it is still there, and what is to be shorter becomes so.
    let partial = dest.open("large", &spec(2 * MIB)).await.unwrap();
    assert!(partial.found());
    assert_eq!(left().len(), 2 * MIB + 100);
    let reader = partial.reader();
    assert_eq!(reader.written(0, 4096).await.unwrap(), Some(vec![1; 4096].into()));
    assert_eq!(reader.written(MIB, 4096).await.unwrap(), None);
    assert_eq!(reader.written(3 * MIB, 4096).await.unwrap(), None);
}
