//! Trees that go over.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use haul_core::{Event, Outcome, PeerEnd, PeerEvent, Skip};

use crate::doubles::Made;
use crate::kit::{
    bytes, engine_with, file, options, receive, receiving, send, send_these, start, tree, write,
};

/// S4.11, S4.17, S4.18: folders, links, empty things and files of all kinds arrive as they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_arrives_as_it_is() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(from.path(), "empty", b"");
    write(from.path(), "small", b"hello");
    write(from.path(), "deep/er/17 k", &bytes(17 << 10, 1));
    write(from.path(), "deep/1 MiB", &bytes(1 << 20, 2));
    write(from.path(), "large", &bytes((5 << 20) + 4321, 3));
    std::fs::create_dir_all(from.path().join("nothing/here")).unwrap();
    std::os::unix::fs::symlink("../small", from.path().join("deep/link")).unwrap();
    std::os::unix::fs::symlink("nowhere", from.path().join("dangling")).unwrap();
    let mut sending = send(from.path(), options()).await;
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (8, 0, 0));
    assert_eq!(tree(to.path()), tree(from.path()));
    assert_eq!(got.meter.landed, got.meter.total.unwrap());
    let left = sending.peer(|event| matches!(event, PeerEvent::Left(_))).await;
    assert!(matches!(left, PeerEvent::Left(PeerEnd::Finished { files: 8 })), "{left:?}");
    let shared = sending.stop().await;
    assert_eq!((shared.items.copied, shared.finished), (8, 1));
}

/// S4.14, S4.32: around every size at which something else happens, alone and as a heap.
#[tokio::test(flavor = "multi_thread")]
async fn every_size_arrives() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let edges =
        [1 << 10, 2 << 10, 16 << 10, 32 << 10, 64 << 10, 1 << 20, 2 << 20, 3 << 20, 4 << 20];
    let around = edges.into_iter().flat_map(|edge| [edge - 1, edge, edge + 1]);
    let sizes: Vec<usize> = [0, 1, 2].into_iter().chain(around).chain([(5 << 20) + 77]).collect();
    for size in &sizes {
        write(from.path(), &format!("{size}"), &bytes(*size, *size as u64));
    }
    let sending = send(from.path(), options()).await;
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (sizes.len() as u64, 0, 0));
    assert!(tree(to.path()) == tree(from.path()), "the contents differ");
    let all: usize = sizes.iter().sum();
    assert_eq!((got.meter.landed, got.meter.total), (all as u64, Some(all as u64)));
    assert_eq!(got.result.as_ref().unwrap().bytes, all as u64);
    sending.stop().await;
}

/// S4.5, S4.31, X4.5: ten thousand small files, and as many words about them as there are files.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_files_arrive() {
    const FILES: u64 = 10_000;
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for i in 0..FILES {
        write(from.path(), &format!("{}/{i}", i % 10), &bytes(1024, i));
    }
    let sending = send(from.path(), options()).await;
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (FILES, 0, 0));
    assert_eq!((got.settled.len() as u64, got.retries()), (FILES, 0), "{:?}", got.events);
    assert!(got.events.len() < 100, "{} other events", got.events.len());
    assert!(tree(to.path()) == tree(from.path()), "the contents differ");
    assert_eq!(got.meter.landed, FILES << 10);
    let shared = sending.stop().await;
    assert_eq!((shared.items.copied, shared.items.failed), (FILES, 0));
}

/// S4.42: one content under several names, and names whose content is there already.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_not_fetched() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (small, large) = (bytes(5000, 1), bytes(3 << 20, 2));
    for name in ["a", "b", "c/a"] {
        write(from.path(), &format!("small/{name}"), &small);
        write(from.path(), &format!("large/{name}"), &large);
        write(from.path(), &format!("empty/{name}"), b"");
    }
    let mut sending = send(from.path(), options()).await;
    sending.offered().await;
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (9, 0, 0));
    assert!(tree(to.path()) == tree(from.path()), "the contents differ");

    let again = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(again.counts(), (0, 9, 0));
    let same = |outcome: &Outcome| matches!(outcome, Outcome::Skipped(Skip::Same(_)));
    assert!(again.settled.iter().all(|one| same(&one.outcome)), "{:?}", again.settled);
    assert_eq!((again.meter.wire, again.meter.total), (0, Some(0)));
    assert_eq!(sending.stop().await.finished, 2);
}

/// U4.2: names as Linux has them.
#[tokio::test(flavor = "multi_thread")]
async fn odd_names_arrive() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let long = [b'n'; 255];
    let deep = vec!["d"; 200].join("/");
    let names: [&[u8]; 12] = [
        b" ",
        b"two words ",
        b"line\nbreak",
        b"\x01\x1b[31mred\x7f",
        b"\xff\xfe not UTF-8",
        "\u{fc}\u{1f980}\u{202e}gpj".as_bytes(),
        b"back\\slash",
        b"*?\"<>|:",
        b"...",
        b"-rf",
        &long,
        deep.as_bytes(),
    ];
    for (i, name) in names.iter().enumerate() {
        let path = from.path().join(OsStr::from_bytes(name));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Small ones and large ones take different ways.
        std::fs::write(&path, bytes(100 + i, i as u64)).unwrap();
        let large = from.path().join("large").join(OsStr::from_bytes(name));
        std::fs::create_dir_all(large.parent().unwrap()).unwrap();
        std::fs::write(&large, bytes((1 << 20) + 1 + i, i as u64)).unwrap();
    }
    let sending = send(from.path(), options()).await;
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (2 * names.len() as u64, 0, 0), "{:?}", got.settled);
    assert!(tree(to.path()) == tree(from.path()), "the trees differ");
    sending.stop().await;
}

/// Modes and times of everything below a folder that is a file.
fn facts(root: &Path) -> BTreeMap<PathBuf, (u32, SystemTime)> {
    let files = tree(root).into_keys().map(|path| (root.join(&path), path));
    let files = files.filter(|(full, _)| full.symlink_metadata().unwrap().is_file());
    let facts = files.map(|(full, path)| {
        let metadata = full.metadata().unwrap();
        (path, (metadata.mode() & 0o777, metadata.modified().unwrap()))
    });
    facts.collect()
}

/// U4.2: permission bits and times, also those before 1970, of small files and of large ones.
#[tokio::test(flavor = "multi_thread")]
async fn modes_and_times_arrive() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let times = [
        UNIX_EPOCH,
        UNIX_EPOCH - Duration::new(86_400 * 365, 250_000_000),
        UNIX_EPOCH - Duration::from_nanos(1),
        UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789),
        UNIX_EPOCH + Duration::from_secs(4_000_000_000),
    ];
    for (i, (mode, size)) in
        [(0o600, 10), (0o755, 10), (0o444, 10), (0o600, 2 << 20), (0o744, 2 << 20)]
            .iter()
            .enumerate()
    {
        let name = format!("{mode:o}-{size}");
        write(from.path(), &name, &bytes(*size, 1));
        let path = from.path().join(&name);
        std::fs::File::open(&path).unwrap().set_modified(times[i]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
    }
    let sending = send(from.path(), options()).await;
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (5, 0, 0));
    assert_eq!(facts(to.path()), facts(from.path()));
    sending.stop().await;
}

/// S4.43: of a large file that was changed, what changed is sent, at the same places.
#[tokio::test(flavor = "multi_thread")]
async fn of_an_old_file_what_changed_is_fetched() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let new = bytes((12 << 20) + 99, 1);
    let mut old = new.clone();
    old[7 << 20] ^= 1;
    old.truncate(10 << 20);
    write(from.path(), "file", &new);
    write(to.path(), "file", &old);
    let sending = send(from.path(), options()).await;
    let mut how = receiving();
    how.if_exists = haul_p2p::IfExists::Overwrite;
    let got = receive(&sending.ticket, to.path(), how).await;
    assert_eq!(got.counts(), (1, 0, 0));
    assert!(tree(to.path()) == tree(from.path()), "the contents differ");
    assert_eq!((got.meter.wire, got.meter.resumed), ((3 << 20) + 99, 9 << 20));
    sending.stop().await;
}

fn begun(events: &[Event]) -> Vec<u64> {
    let size = |event: &Event| match event {
        Event::ItemStarted { size, .. } => *size,
        _ => None,
    };
    events.iter().filter_map(size).collect()
}

/// S4.36: large files first, at both ends.
#[tokio::test(flavor = "multi_thread")]
async fn large_files_go_first() {
    const MIB: u64 = 1 << 20;
    let to = tempfile::tempdir().unwrap();
    let sizes = [2 * MIB, 5 * MIB, 3 * MIB, 6 * MIB, 4 * MIB];
    let made = |size: u64| Made::new(&format!("{size}"), size, size).source();
    let offers = sizes.iter().map(|size| file(&size.to_string(), made(*size), *size)).collect();
    let engine = || engine_with(|options| options.part.part_size = MIB);
    let mut sharing = options();
    sharing.jobs = 1;
    let mut sending = send_these(offers, sharing, engine()).await;
    sending.offered().await;
    let expected = [6 * MIB, 5 * MIB, 4 * MIB, 3 * MIB, 2 * MIB];
    assert_eq!(begun(&sending.heard), expected);
    let mut one = receiving();
    one.jobs = 1;
    let got = start(&sending.ticket, to.path(), one, engine()).await.end().await;
    assert_eq!(got.counts(), (5, 0, 0));
    assert_eq!(begun(&got.events), expected);
    sending.stop().await;
}

/// S4.42, U4.1: something else has the name.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_silently() {
    use haul_p2p::IfExists;
    let from = tempfile::tempdir().unwrap();
    write(from.path(), "small.txt", b"new");
    write(from.path(), "large.txt", &bytes(2 << 20, 1));
    std::os::unix::fs::symlink("small.txt", from.path().join("link")).unwrap();
    let sending = send(from.path(), options()).await;
    for (if_exists, counts) in [
        (IfExists::Fail, (0, 0, 3)),
        (IfExists::Skip, (0, 3, 0)),
        (IfExists::Rename, (3, 0, 0)),
        (IfExists::Overwrite, (3, 0, 0)),
    ] {
        let to = tempfile::tempdir().unwrap();
        for name in ["small.txt", "large.txt", "link"] {
            write(to.path(), name, b"old");
        }
        let mut how = receiving();
        how.if_exists = if_exists;
        let got = receive(&sending.ticket, to.path(), how).await;
        assert_eq!(got.counts(), counts, "{if_exists:?}: {:?}", got.settled);
        let there = tree(to.path());
        let kept = [("small.txt", 3), ("large.txt", 3), ("link", 3)].iter().all(|(name, len)| {
            there[Path::new(name)].len() == *len && there[Path::new(name)] == b"old"
        });
        assert_eq!(kept, if_exists != IfExists::Overwrite, "{if_exists:?}");
        assert_eq!(there.len(), if if_exists == IfExists::Rename { 6 } else { 3 });
    }
    sending.stop().await;
}
