//! A file that changes while it is uploaded.
//!
//! Owns: row 10 of the fault catalogue. A mixture of two contents is never visible.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use haul::{CopyRequest, ErrorKind, Haul};
use haul_testkit::{Fault, Op, Rule, StoreRules};

use crate::kit::{BUCKET, Kit, MIB, PART, assert_same, options, pattern, s3, set_concurrency};

/// Four parts.
const LEN: u64 = 4 * PART;

type Change = fn(&Path);

const CHANGES: [(&str, Change); 6] = [
    ("truncated", |path| resize(path, LEN - 1)),
    ("truncated to nothing", |path| resize(path, 0)),
    ("grown", |path| resize(path, LEN + 1)),
    ("edited in place", |path| {
        use std::os::unix::fs::FileExt as _;
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.write_all_at(b"edited", LEN - 100).unwrap();
    }),
    ("replaced", |path| {
        let mut other = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
        other.write_all(&pattern(LEN)).unwrap(); // the same bytes: only the file is another
        other.persist(path).unwrap();
    }),
    ("removed", |path| std::fs::remove_file(path).unwrap()),
];

fn resize(path: &Path, len: u64) {
    std::fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Changes the file when `rule` hits.
fn change(kit: &Kit, rule: Rule, path: PathBuf, change: Change) -> haul_testkit::RuleHandle {
    kit.server.faults().add(rule.then(Fault::hook(move |_| change(&path))))
}

/// With chunks held in memory, and with chunks that are read in passing (X1.2, U1.2).
#[tokio::test]
async fn a_change_in_the_middle_is_an_error_and_nothing_is_visible() {
    for memory in [32 * MIB, 4 * MIB] {
        for (name, how) in CHANGES {
            let kit = Kit::with(StoreRules::default(), |o| {
                set_concurrency(o, 1); // or all parts may have been read before the change
                o.engine.memory = memory;
            })
            .await;
            let (_, old) = kit.object("k", 10);
            let (file, _) = kit.file("f", LEN);
            let rule = change(&kit, Rule::on(Op::UploadPart).part(1), kit.path("f"), how);
            let e = kit.copy(&file, &s3("k")).await.expect_err(name);
            assert_eq!(rule.hits(), 1, "{name}");
            assert_eq!(e.kind(), ErrorKind::SourceChanged, "{name} {memory}: {e}");
            assert_same(&kit.stored("k").unwrap().bytes(), &old);
            kit.assert_nothing_left();
        }
    }
}

/// While the last part is on its way, all bytes have been read; the file is still looked at once
/// more before the upload is completed (U1.2).
#[tokio::test]
async fn a_change_before_the_end_is_an_error() {
    for (name, how) in CHANGES {
        let kit = Kit::with(StoreRules::default(), |o| set_concurrency(o, 1)).await;
        let (file, _) = kit.file("f", LEN);
        change(&kit, Rule::on(Op::UploadPart).part(4), kit.path("f"), how);
        let e = kit.copy(&file, &s3("k")).await.expect_err(name);
        assert_eq!(e.kind(), ErrorKind::SourceChanged, "{name}: {e}");
        assert!(kit.stored("k").is_none(), "{name}");
        kit.assert_nothing_left();
    }
}

/// A part that has to go again is read again, and must be what it was.
#[tokio::test]
async fn a_change_before_a_retry_is_an_error() {
    for (name, how) in CHANGES {
        let kit = Kit::with(StoreRules::default(), |o| {
            set_concurrency(o, 1);
            o.engine.memory = 4 * MIB; // read in passing
        })
        .await;
        let (file, _) = kit.file("f", LEN);
        let part = || Rule::on(Op::UploadPart).part(4);
        change(&kit, part(), kit.path("f"), how);
        kit.server.faults().add(part().then(Fault::status(500)));
        let e = kit.copy(&file, &s3("k")).await.expect_err(name);
        assert_eq!(e.kind(), ErrorKind::SourceChanged, "{name}: {e}");
        kit.assert_nothing_left();
    }
}

/// From disk to disk there is no network to hide behind.
#[tokio::test]
async fn a_local_copy_is_right() {
    let kit = Kit::new().await;
    for len in [0, 1, MIB + 1, LEN] {
        let (file, content) = kit.file("f", len);
        kit.copy(&file, &kit.local("g")).await.unwrap();
        assert_same(&std::fs::read(kit.path("g")).unwrap(), &content);
        kit.assert_nothing_left();
    }
}

/// M.11: what takes one request is there with it: damaged bytes are found before another store has them.
#[tokio::test]
async fn damaged_bytes_do_not_reach_another_store() {
    let (kit, other) = (Kit::new().await, Kit::new().await);
    let mut options = options(&kit.server);
    options.dest.endpoint_url = Some(other.server.endpoint_url());
    let haul = Haul::new(options);
    for len in [100, PART] {
        kit.object("k", len);
        let damage = Rule::on(Op::GetObject).always().then(Fault::FlipBit(7));
        kit.server.faults().add(damage);
        let copying = Box::pin(haul.copy(CopyRequest::new(s3("k"), s3("copy")))).await;
        let e = copying.unwrap().await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Verification, "{len}: {e}");
        assert!(other.keys().is_empty(), "{len}: {:?}", other.keys());
        kit.server.faults().clear();
        Box::pin(haul.copy(CopyRequest::new(s3("k"), s3("copy")))).await.unwrap().await.unwrap();
        other.server.store().remove(BUCKET, "copy");
    }
}
