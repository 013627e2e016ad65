//! Files that fail, and all others that do not.

use std::path::Path;
use std::process::Command;

use haul_core::{ErrorKind, Event, Outcome, PeerEnd, PeerEvent};

use crate::doubles::{Made, is_made, pattern};
use crate::kit::{
    bytes, engine, file, impatient, options, receive, receiving, send, send_these, skipped, start,
    tree, write,
};

const MIB: u64 = 1 << 20;

/// S4.24, S4.25, S4.26, X4.1: what cannot be shared is told at both ends, with the reason; all else
/// arrives, and neither side calls it complete.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_fails_alone() {
    let to = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for i in 0..20_u64 {
        let name = format!("good {i}");
        let size = i * i * 10_000;
        all.push(file(&name, Made::new(&name, size, i).source(), size));
    }
    let mut locked = Made::new("locked", 100, 1);
    locked.locked = true;
    let mut broken = Made::new("broken", 3 * MIB, 1);
    broken.breaks_at = Some(2 * MIB);
    all.insert(3, file("locked", locked.source(), 100));
    all.insert(9, file("broken", broken.source(), 3 * MIB));
    let e =
        haul_core::Error::new(ErrorKind::AccessDenied, haul_core::Op::List, "/data/folder", "no");
    all.insert(12, Err(e));
    let mut sending = send_these(all, options(), impatient()).await;
    let summary = sending.offered().await;
    assert_eq!((summary.copied, summary.failed), (20, 3));
    let told: Vec<_> = sending
        .heard
        .iter()
        .filter_map(|event| match event {
            Event::Settled(settled) if matches!(settled.outcome, Outcome::Failed(_)) => {
                Some(&settled.from)
            }
            _ => None,
        })
        .collect();
    assert!(
        ["locked", "broken"].iter().all(|name| told.iter().any(|from| **from == *name)),
        "{told:?}"
    );

    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (20, 0, 3));
    for (name, reason) in
        [("locked", "permission denied"), ("broken", "input/output error"), ("folder", "no")]
    {
        let e = got.error(name);
        assert!(e.to_string().contains(reason), "{e}");
    }
    assert_eq!(tree(to.path()).len(), 20);
    // Whether that is a failure of the receiver's, too, is for the two of them to say; what it took
    // is not.
    match sending.peer(|event| matches!(event, PeerEvent::Left(_))).await {
        PeerEvent::Left(PeerEnd::Partial { failed: 3 } | PeerEnd::Finished { files: 20 }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(sending.stop().await.items.failed, 3);
}

/// S4.24: what failed somewhere at the sender has no path at the receiver, only a name: it takes
/// nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_does_not_take_the_name_of_another() {
    let to = tempfile::tempdir().unwrap();
    let e = |at| haul_core::Error::new(ErrorKind::AccessDenied, haul_core::Op::List, at, "no");
    let name = Made::new("name", 100, 1);
    let offers =
        vec![Err(e("/data/deep/name")), file("name", name.source(), 100), Err(e("/b/name"))];
    let mut sharing = options();
    sharing.jobs = 1; // in this order
    let mut sending = send_these(offers, sharing, engine()).await;
    sending.offered().await;
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (1, 0, 2), "{:?}", got.settled);
    assert!(is_made(&std::fs::read(to.path().join("name")).unwrap(), 1));
    sending.stop().await;
}

/// S4.24, S4.25: what is not what it was when it was hashed never arrives, and takes nothing with
/// it: neither what is in the same request nor what is asked for at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_fails_alone() {
    let to = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for i in 0..30_u64 {
        let mut made = Made::new(&format!("{i:02}"), 7000 + i, i);
        made.later = (i == 15).then(|| pattern(99));
        all.push(file(&format!("{i:02}"), made.clone().source(), made.size));
    }
    for i in 30..33_u64 {
        let mut made = Made::new(&format!("{i:02}"), 3 * MIB + i, i);
        made.later = (i == 31).then(|| pattern(99));
        all.push(file(&format!("{i:02}"), made.clone().source(), made.size));
    }
    let mut sending = send_these(all, options(), engine()).await;
    sending.offered().await;
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (31, 0, 2));
    for name in ["15", "31"] {
        let e = got.error(name);
        assert_eq!(e.kind(), ErrorKind::SourceChanged, "{e}");
    }
    let there = tree(to.path());
    let visible = there.iter().filter(|(path, _)| !is_partial(path));
    assert_eq!(visible.clone().count(), 31);
    let right = |(path, content): (&std::path::PathBuf, &Vec<u8>)| {
        is_made(content, path.to_str().unwrap().parse().unwrap())
    };
    assert!(visible.into_iter().all(right), "the contents differ");
    sending.stop().await;
}

fn is_partial(path: &Path) -> bool {
    path.file_name().unwrap().to_str().is_some_and(|name| name.starts_with(".haul-"))
}

/// S4.24, S4.25: the same with files on a disk: rewritten, shortened, lengthened, removed and made
/// unreadable, small ones and large ones.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_fail_alone() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fates = ["rewritten", "shortened", "emptied", "longer", "removed", "replaced"];
    for (size, kind) in [(20_000, "small"), (3 << 20, "large")] {
        for (i, fate) in fates.iter().enumerate() {
            write(from.path(), &format!("{kind}/{fate}"), &bytes(size, i as u64));
        }
        write(from.path(), &format!("{kind}/still"), &bytes(size, 77));
    }
    let mut sending = send(from.path(), options()).await;
    sending.offered().await;
    for (size, kind) in [(20_000, "small"), (3 << 20, "large")] {
        let path = |fate: &str| from.path().join(kind).join(fate);
        std::fs::write(path("rewritten"), bytes(size, 50)).unwrap();
        let cut = |fate, len| {
            std::fs::OpenOptions::new().write(true).open(path(fate)).unwrap().set_len(len).unwrap();
        };
        cut("shortened", size as u64 - 1);
        cut("emptied", 0);
        cut("longer", size as u64 + 1);
        std::fs::remove_file(path("removed")).unwrap();
        std::fs::remove_file(path("replaced")).unwrap();
        std::fs::create_dir(path("replaced")).unwrap();
    }
    let got = start(&sending.ticket, to.path(), receiving(), impatient()).await.end().await;
    let (copied, skipped, failed) = got.counts();
    for kind in ["small", "large"] {
        let still = to.path().join(kind).join("still");
        assert!(
            std::fs::read(still).unwrap()
                == std::fs::read(from.path().join(kind).join("still")).unwrap()
        );
        for fate in ["rewritten", "shortened", "emptied", "removed", "replaced"] {
            let e = got.error(&format!("{kind}/{fate}"));
            let said = matches!(
                e.kind(),
                ErrorKind::SourceChanged | ErrorKind::NotFound | ErrorKind::Rejected
            );
            assert!(said, "{fate}: {e}");
            assert!(!to.path().join(kind).join(fate).exists(), "{kind}/{fate}");
        }
        for fate in ["rewritten", "shortened", "emptied"] {
            let e = got.error(&format!("{kind}/{fate}"));
            assert_eq!(e.kind(), ErrorKind::SourceChanged, "{kind}/{fate}: {e}");
        }
    }
    // A file that only grew still begins with what was hashed; both answers are right.
    assert_eq!((copied + failed, skipped), (14, 0));
    assert!((10..=12).contains(&failed), "{failed}");
    sending.stop().await;
}

/// X4.1: a share of nothing is no share.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_share_is_an_error() {
    let mut locked = Made::new("locked", 100, 1);
    locked.locked = true;
    let offers = vec![file("locked", locked.source(), 100)];
    let sending = send_these(offers, options(), engine()).await;
    let e = crate::kit::must("the share", sending.handle).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

/// A file system that is gone when this is dropped.
struct Tiny(tempfile::TempDir);

impl Tiny {
    /// `None`, and why, where nobody may mount one.
    fn mount(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(dir)),
            other => {
                skipped(&format!("no file system may be mounted here: {other:?}"));
                None
            }
        }
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// S4.34: what does not fit fails with the reason, and nothing of it is to be seen; what fits
/// arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_what_does_not_fit() {
    let Some(tiny) = Tiny::mount(4 << 20) else { return };
    let to = tiny.0.path().join("to");
    let from = tempfile::tempdir().unwrap();
    write(from.path(), "too large", &bytes(8 << 20, 1));
    write(from.path(), "fits", &bytes((1 << 20) + 500, 2));
    for i in 0..10 {
        write(from.path(), &format!("small {i}"), &bytes(1000, i));
    }
    let sending = send(from.path(), options()).await;
    let got = receive(&sending.ticket, &to, receiving()).await;
    assert_eq!(got.counts(), (11, 0, 1), "{:?}", got.settled);
    assert_eq!(got.error("too large").kind(), ErrorKind::NoSpace);
    let mut expected = tree(from.path());
    expected.remove(Path::new("too large"));
    assert!(tree(&to) == expected, "{:?}", tree(&to).keys());
    sending.stop().await;
}

/// S4.34: the same with small files, which come many in a request.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_small_files_too() {
    let Some(tiny) = Tiny::mount(2 << 20) else { return };
    let to = tiny.0.path().join("to");
    let from = tempfile::tempdir().unwrap();
    for i in 0..40 {
        write(from.path(), &format!("{i}"), &bytes(100_000, i));
    }
    let sending = send(from.path(), options()).await;
    let got = receive(&sending.ticket, &to, receiving()).await;
    let (copied, _, failed) = got.counts();
    assert!(copied >= 10 && failed >= 20 && copied + failed == 40, "{copied} {failed}");
    for settled in &got.settled {
        if let Outcome::Failed(e) = &settled.outcome {
            assert_eq!(e.kind(), ErrorKind::NoSpace, "{e}");
        }
    }
    let (there, all) = (tree(&to), tree(from.path()));
    assert_eq!(there.len() as u64, copied);
    assert!(there.iter().all(|(path, content)| all[path] == *content), "something is half there");
    sending.stop().await;
}
