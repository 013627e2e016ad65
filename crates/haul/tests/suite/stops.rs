//! The user stops a transfer: by Ctrl-C, by dropping it, by closing the pipe.
//!
//! Owns: row 15 and 35 of the fault catalogue. Nothing is left, and what was there stays.

use std::io::Read as _;

use haul::{CopyRequest, ErrorKind, Location, PlanPolicy, TreeRequest};
use haul_testkit::{Fault, Op, Rule, StoreRules};

use crate::kit::{self, KIB, Kit, MIB, PART, assert_same, eventually, make_fifo, or_hang, s3};

const LEN: u64 = 3 * PART;

/// U1.1: a cancelled upload is aborted.
#[tokio::test]
async fn a_cancelled_upload_leaves_nothing() {
    for (op, len) in [
        (Op::PutObject, 1000),
        (Op::CreateMultipartUpload, LEN),
        (Op::UploadPart, LEN),
        (Op::CompleteMultipartUpload, LEN),
    ] {
        let kit = Kit::new().await;
        let (_, old) = kit.object("k", 10);
        let (file, _) = kit.file("f", len);
        let part = (op == Op::UploadPart).then_some(2);
        let rule = part.into_iter().fold(Rule::on(op), Rule::part).then(Fault::Stall);
        let rule = kit.server.faults().add(rule);
        let job = kit.start(&file, &s3("k")).await.unwrap();
        or_hang("the request", rule.wait_hits(1)).await;
        kit.haul.cancel();
        let e = or_hang("the end", job).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Cancelled, "{op:?}: {e}");
        assert_same(&kit.stored("k").unwrap().bytes(), &old);
        kit.assert_nothing_left();
    }
}

/// The upload exists, and its id never arrived: it has to be found, or waited for.
#[tokio::test]
async fn a_cancelled_start_leaves_no_orphan() {
    let kit = Kit::new().await;
    let (file, _) = kit.file("f", LEN);
    let rule = kit.fault(Op::CreateMultipartUpload, Fault::StallAfter(0));
    let job = kit.start(&file, &s3("k")).await.unwrap();
    or_hang("the request", rule.wait_hits(1)).await;
    eventually("the upload", || !kit.server.store().uploads(kit::BUCKET).is_empty()).await;
    kit.haul.cancel();
    rule.release();
    let e = or_hang("the end", job).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}");
    kit.assert_nothing_left();
}

#[tokio::test]
async fn a_cancelled_download_leaves_nothing() {
    for (op, fault) in [
        (Op::HeadObject, Fault::Stall),
        (Op::GetObject, Fault::Stall),
        (Op::GetObject, Fault::StallAfter(1000)),
    ] {
        let kit = Kit::new().await;
        let (object, _) = kit.object("k", LEN);
        std::fs::write(kit.path("f"), "old").unwrap();
        let rule = kit.fault(op, fault.clone());
        let job = kit.start(&object, &kit.local("f")).await.unwrap();
        or_hang("the request", rule.wait_hits(1)).await;
        job.cancel();
        let e = or_hang("the end", job).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Cancelled, "{fault:?}: {e}");
        assert_eq!(std::fs::read(kit.path("f")).unwrap(), b"old");
        kit.assert_nothing_left();
    }
}

/// While a failure is waited out, too.
#[tokio::test]
async fn a_cancelled_back_off_ends_at_once() {
    let kit = Kit::new().await;
    let (object, _) = kit.object("k", LEN);
    let rule = Rule::on(Op::GetObject).always().then(Fault::status(503).retry_after(3600));
    let rule = kit.server.faults().add(rule);
    let job = kit.start(&object, &kit.local("f")).await.unwrap();
    or_hang("the refusal", rule.wait_hits(3)).await;
    or_hang("silence", kit.server.calls().wait_idle()).await;
    job.cancel();
    let e = or_hang("the end", job).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}");
    kit.assert_nothing_left();
}

/// A cancellation is about what is under way, by whatever clone it was begun; the next job runs.
#[tokio::test]
async fn what_starts_after_the_cancel_runs() {
    let kit = Kit::new().await;
    let (object, content) = kit.object("k", LEN);
    let other = kit.haul.clone();
    for _ in 0..2 {
        let rule = kit.fault(Op::GetObject, Fault::Stall);
        let request = CopyRequest::new(object.clone(), kit.local("f"));
        let job = Box::pin(other.copy(request)).await.unwrap();
        or_hang("the request", rule.wait_hits(1)).await;
        kit.haul.cancel();
        let e = or_hang("the end", job).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}");
        kit.assert_nothing_left();
        kit.copy(&object, &kit.local("f")).await.unwrap();
        assert_same(&std::fs::read(kit.path("f")).unwrap(), &content);
        std::fs::remove_file(kit.path("f")).unwrap();
    }
}

/// A call takes several steps before its job begins: a cancellation in between means the job, too.
#[tokio::test]
async fn a_call_that_was_under_way_starts_no_job() {
    let kit = Kit::new().await;
    kit.object("folder/k", LEN);
    // A look that is refused is followed by another, whose failure does not matter by itself.
    kit.fault(Op::HeadObject, Fault::status(403));
    let rule = kit.fault(Op::ListObjects, Fault::Stall);
    let mut request = TreeRequest::new(vec![s3("folder")], kit.local("into"));
    request.select.recursive = true;
    let calling = async {
        match Box::pin(kit.haul.copy_tree(request)).await {
            Ok(job) => job.await.map(drop),
            Err(e) => Err(e),
        }
    };
    let cancelling = async {
        or_hang("the look", rule.wait_hits(1)).await;
        kit.haul.cancel();
    };
    let (called, ()) = futures::join!(or_hang("the end", calling), cancelling);
    let e = called.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}");
    assert_eq!(kit.count(Op::GetObject), 0);
    kit.assert_nothing_left();
}

#[tokio::test]
async fn nothing_starts_after_the_close() {
    let kit = Kit::new().await;
    let (object, _) = kit.object("k", LEN);
    kit.haul.close();
    kit.haul.cancel();
    let e = kit.copy(&object, &kit.local("f")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}");
    assert_eq!(kit.count(Op::GetObject), 0);
    kit.assert_nothing_left();
}

/// A store that is silent while it is told to clean up is not waited for.
#[tokio::test]
async fn cleaning_up_has_a_deadline() {
    let kit = Kit::new().await;
    let (file, _) = kit.file("f", LEN);
    let rule = kit.fault(Op::UploadPart, Fault::Stall);
    kit.fault(Op::AbortMultipartUpload, Fault::Stall);
    let job = kit.start(&file, &s3("k")).await.unwrap();
    or_hang("the request", rule.wait_hits(1)).await;
    job.cancel();
    let e = or_hang("the end", job).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}");
    assert!(kit.stored("k").is_none());
}

/// Cleaning up is worth another try: orphaned parts cost money.
#[tokio::test]
async fn cleaning_up_is_tried_again() {
    let kit = Kit::new().await;
    let (file, _) = kit.file("f", LEN);
    kit.server.faults().add(Rule::on(Op::UploadPart).always().then(Fault::status(403)));
    kit.fault(Op::AbortMultipartUpload, Fault::status(503));
    kit.copy(&file, &s3("k")).await.unwrap_err();
    kit.assert_nothing_left();
}

/// A handle that is dropped leaves no task, and no staged file.
#[tokio::test]
async fn a_dropped_download_leaves_nothing() {
    let kit = Kit::new().await;
    let (object, _) = kit.object("k", LEN);
    std::fs::write(kit.path("f"), "old").unwrap();
    let rule = kit.fault(Op::GetObject, Fault::StallAfter(1000));
    let job = kit.start(&object, &kit.local("f")).await.unwrap();
    or_hang("the request", rule.wait_hits(1)).await;
    eventually("a staged file", || !kit::staged(kit.dir.path()).is_empty()).await;
    drop(job);
    or_hang("silence", kit.server.calls().wait_idle()).await;
    eventually("an empty folder", || kit::staged(kit.dir.path()).is_empty()).await;
    assert_eq!(std::fs::read(kit.path("f")).unwrap(), b"old");
}

#[tokio::test]
async fn a_dropped_upload_goes_on_no_longer() {
    // On this one thread, so that a few turns of its queue are enough to be gone.
    let kit = Kit::with(StoreRules::default(), |o| o.engine.lanes = 0).await;
    let (file, _) = kit.file("f", 8 * PART);
    let rule = Rule::on(Op::UploadPart).times(4).then(Fault::Stall);
    let rule = kit.server.faults().add(rule);
    let job = kit.start(&file, &s3("k")).await.unwrap();
    or_hang("the requests", kit.server.calls().wait_in_flight(Op::UploadPart, 4)).await;
    drop(job);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    rule.release();
    or_hang("silence", kit.server.calls().wait_idle()).await;
    assert_eq!(kit.count(Op::UploadPart), 4);
    assert!(kit.stored("k").is_none());
}

/// `| head`: the reader goes away.
#[tokio::test]
async fn a_reader_that_goes_away_is_a_broken_pipe() {
    let kit = Kit::with_parts(256 * KIB).await;
    let (object, content) = kit.object("k", 16 * MIB);
    let path = make_fifo(&kit, "pipe");
    let reader = path.clone();
    let head = std::thread::spawn(move || {
        let mut start = vec![0; 1000];
        std::fs::File::open(reader).unwrap().read_exact(&mut start).unwrap();
        start
    });
    let e = kit.copy(&object, &Location::Local(path)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::BrokenPipe, "{e}");
    assert_same(&head.join().unwrap(), &content[..1000]);
    assert!(kit.count(Op::GetObject) < 64, "it stops reading, too");
}

/// `| less`: the reader is there and does not read. Ctrl-C must not wait for it.
#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_no_cancel() {
    let kit = Kit::with(StoreRules::default(), |o| {
        o.engine.part = PlanPolicy { part_size: MIB, explicit: true };
        kit::set_concurrency(o, 1);
    })
    .await;
    let (object, _) = kit.object("k", 8 * MIB);
    let path = make_fifo(&kit, "pipe");
    let (opener, reader) = (path.clone(), tokio::sync::oneshot::channel());
    std::thread::spawn(move || drop(reader.0.send(std::fs::File::open(opener).unwrap())));
    let request = CopyRequest::new(object, Location::Local(path));
    let job = kit.haul.copy(request).await.unwrap();
    let held = or_hang("the reader", reader.1).await.unwrap();
    // One chunk fills the pipe, one is being written, one waits.
    eventually("a full pipe", || kit.count(Op::GetObject) >= 3).await;
    or_hang("silence", kit.server.calls().wait_idle()).await;
    kit.haul.cancel();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), job).await;
    drop(held); // or the blocked thread outlives the test
    let e = ended.expect("the cancel waits for the reader").unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}");
}
