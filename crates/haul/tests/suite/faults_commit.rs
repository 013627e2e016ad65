//! The moment of truth: a completion that fails, lies or whose answer is lost.
//!
//! Owns: rows 20 and 21 of the fault catalogue. Doubt is resolved by looking, never by guessing.

use haul::{CopyRequest, ErrorKind, Verified};
use haul_testkit::{ChecksumSupport, Fault, Op, Rule, StoreRules};

use crate::kit::{BUCKET, Kit, PART, assert_same, pattern, s3};

const LEN: u64 = 2 * PART + 1;

/// Row 20: status 200 is not yet success.
#[tokio::test]
async fn an_error_with_status_200_is_an_error() {
    let kit = Kit::new().await;
    let (file, content) = kit.file("f", LEN);
    let error = || Fault::OkWithError("InternalError".into());
    let rule = kit.fault(Op::CompleteMultipartUpload, error());
    let report = kit.copy(&file, &s3("k")).await.unwrap();
    assert_eq!((rule.hits(), report.retried), (1, 1));
    assert_same(&kit.stored("k").unwrap().bytes(), &content);

    let rule = Rule::on(Op::CompleteMultipartUpload).always().then(error());
    let rule = kit.server.faults().add(rule);
    let e = kit.copy(&file, &s3("other")).await.unwrap_err();
    assert_eq!((rule.hits(), e.kind()), (3, ErrorKind::Server), "{e}");
    assert!(kit.stored("other").is_none());
    kit.assert_nothing_left();
}

/// Row 21: the object is there, and there once.
#[tokio::test]
async fn a_lost_answer_is_no_failure_and_no_second_version() {
    for complete_again in [false, true] {
        for checksums in [ChecksumSupport::Accept, ChecksumSupport::NotImplemented] {
            for overwrite in [true, false] {
                let rules = StoreRules { complete_again, checksums, ..StoreRules::default() };
                let kit = Kit::with(rules, |_| ()).await;
                kit.server.store().set_versioning(BUCKET, true);
                let (file, content) = kit.file("f", LEN);
                let rule = kit.fault(Op::CompleteMultipartUpload, Fault::LoseAnswer);
                let mut request = CopyRequest::new(file, s3("k"));
                request.overwrite = overwrite;
                let what = format!("again {complete_again}, {checksums:?}, over {overwrite}");
                let report = kit.request(request).await;
                let report = report.unwrap_or_else(|e| unreachable!("{what}: {e}"));
                assert_eq!(rule.hits(), 1);
                assert_eq!(kit.server.store().versions(BUCKET, "k").len(), 1, "{what}");
                let stored = kit.stored("k").unwrap();
                assert_same(&stored.bytes(), &content);
                let quoted = format!("\"{}\"", stored.etag);
                assert_eq!(report.etag.as_deref(), Some(&*quoted), "{what}");
                assert_eq!(report.version_id, Some(stored.version_id), "{what}");
                kit.assert_nothing_left();
            }
        }
    }
}

/// An answer that makes no sense is no answer, however often it comes: what is stored tells.
#[tokio::test]
async fn an_answer_without_sense_is_no_failure() {
    for complete_again in [false, true] {
        let rules = StoreRules { complete_again, ..StoreRules::default() };
        let kit = Kit::with(rules, |_| ()).await;
        let (file, content) = kit.file("f", LEN);
        // In the name of the root.
        let rule = Rule::on(Op::CompleteMultipartUpload).always().then(Fault::FlipBit(50));
        let rule = kit.server.faults().add(rule);
        let report = kit.copy(&file, &s3("k")).await.unwrap();
        assert_eq!((rule.hits(), report.retried), (1, 0));
        let stored = kit.stored("k").unwrap();
        assert_same(&stored.bytes(), &content);
        assert_eq!(report.etag, Some(format!("\"{}\"", stored.etag)));
        kit.assert_nothing_left();
    }
}

/// Row 21, the opposite error: an upload that is gone without a trace is not success because an
/// older object has the same shape (U1.4).
#[tokio::test]
async fn an_old_object_of_the_same_shape_is_not_taken_for_the_new_one() {
    for checksums in [ChecksumSupport::Accept, ChecksumSupport::NotImplemented] {
        let kit = Kit::with(StoreRules { checksums, ..StoreRules::default() }, |_| ()).await;
        let (file, _) = kit.file("f", LEN);
        kit.copy(&file, &s3("k")).await.unwrap();
        let old = kit.stored("k").unwrap();
        std::fs::write(kit.path("f"), &pattern(LEN + 1)[1..]).unwrap();
        let gone = || Rule::on(Op::CompleteMultipartUpload);
        kit.server.faults().add(gone().then(Fault::Reset));
        let no_upload = Fault::status(404).code("NoSuchUpload");
        kit.server.faults().add(gone().nth(2).always().then(no_upload));
        let e = kit.copy(&file, &s3("k")).await.expect_err("the new content is nowhere");
        assert_eq!(e.kind(), ErrorKind::NotFound, "{checksums:?}: {e}");
        assert_eq!(kit.stored("k").unwrap().etag, old.etag, "untouched");
    }
}

/// A name that somebody else took in the meantime stays theirs.
#[tokio::test]
async fn a_name_taken_in_the_meantime_is_not_replaced() {
    for (len, op) in [(100, Op::PutObject), (LEN, Op::CompleteMultipartUpload)] {
        let kit = Kit::new().await;
        let (file, _) = kit.file("f", len);
        let store = kit.server.store().clone();
        let take = Fault::hook(move |_| drop(store.put(BUCKET, "k", b"theirs".as_slice())));
        kit.fault(op, take);
        let mut request = CopyRequest::new(file, s3("k"));
        request.overwrite = false;
        let e = kit.request(request).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{op:?}: {e}");
        assert_same(&kit.stored("k").unwrap().bytes(), b"theirs");
        assert_eq!(kit.count(op), 1, "not tried again");
        kit.assert_nothing_left();
    }
}

/// "On a 409 failure you should retry the upload" (S3 API reference, PutObject, `If-None-Match`).
#[tokio::test]
async fn a_conflict_of_conditional_writes_is_tried_again() {
    let kit = Kit::new().await;
    let (file, content) = kit.file("f", 100);
    kit.fault(Op::PutObject, Fault::status(409));
    let mut request = CopyRequest::new(file, s3("k"));
    request.overwrite = false;
    let report = kit.request(request).await.unwrap();
    assert_eq!(report.retried, 1);
    assert_same(&kit.stored("k").unwrap().bytes(), &content);
}

/// The answer to our own PutObject was lost: what exists already is ours.
#[tokio::test]
async fn a_lost_answer_to_a_conditional_put_is_no_failure() {
    let kit = Kit::new().await;
    let (file, content) = kit.file("f", 1000);
    kit.fault(Op::PutObject, Fault::LoseAnswer);
    let mut request = CopyRequest::new(file, s3("k"));
    request.overwrite = false;
    let report = kit.request(request).await.unwrap();
    assert_eq!(report.bytes, 1000);
    assert_same(&kit.stored("k").unwrap().bytes(), &content);
}

/// And what exists already may be someone else's after all.
#[tokio::test]
async fn a_lost_answer_does_not_make_theirs_ours() {
    let kit = Kit::new().await;
    let (file, _) = kit.file("f", 1000);
    let theirs = pattern(1001)[1..].to_vec();
    let (store, content) = (kit.server.store().clone(), theirs.clone());
    let take = Fault::hook(move |_| drop(store.put(BUCKET, "k", content.clone())));
    let rule = Rule::on(Op::PutObject).then(take).then(Fault::LoseAnswer);
    kit.server.faults().add(rule);
    let mut request = CopyRequest::new(file, s3("k"));
    request.overwrite = false;
    let e = kit.request(request).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}");
    assert_same(&kit.stored("k").unwrap().bytes(), &theirs);
}

/// A store without checksums is asked how much it holds.
#[tokio::test]
async fn without_checksums_the_size_is_looked_at() {
    for len in [100, LEN] {
        let rules =
            StoreRules { checksums: ChecksumSupport::InvalidArgument, ..StoreRules::default() };
        let kit = Kit::with(rules, |_| ()).await;
        let (file, _) = kit.file("f", len);
        let short = Fault::SetHeader("content-length".into(), (len - 1).to_string());
        kit.server.faults().add(Rule::on(Op::HeadObject).always().then(short));
        let e = kit.copy(&file, &s3("k")).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Verification, "{len}: {e}");
        kit.server.faults().clear();
        let report = kit.copy(&file, &s3("k")).await.unwrap();
        assert_eq!(report.verified, Verified::Size);
    }
}
