//! What goes wrong while an object is written.
//!
//! Owns: rows 1 to 4, 6 and 22 of the fault catalogue, upwards. The old object stays until the new
//! one is complete, and no upload is left.

use haul::{ErrorKind, Verified};
use haul_testkit::{ChecksumSupport, Fault, Op, Rule, StoreRules};

use crate::kit::{BUCKET, Kit, MIB, PART, assert_same, options, or_hang, s3};

/// Two parts and a half.
const LEN: u64 = 2 * PART + PART / 2;

fn passing() -> Vec<Fault> {
    vec![
        Fault::status(500),
        Fault::status(503).retry_after(1),
        Fault::status(429),
        Fault::status(400).code("RequestTimeout"),
        Fault::Reset,
        Fault::LoseAnswer,
        Fault::FlipRequestBit(1000),
    ]
}

#[tokio::test]
async fn what_passes_is_survived() {
    let ops = [
        (Op::PutObject, 100_000),
        (Op::UploadPart, LEN),
        (Op::CreateMultipartUpload, LEN),
        (Op::CompleteMultipartUpload, LEN),
    ];
    for (op, len) in ops {
        for fault in passing() {
            let bodiless = matches!(op, Op::CreateMultipartUpload | Op::CompleteMultipartUpload);
            if bodiless && matches!(fault, Fault::FlipRequestBit(_)) {
                continue;
            }
            let kit = Kit::new().await;
            let (file, content) = kit.file("f", len);
            let rule = kit.fault(op, fault.clone());
            let report = kit.copy(&file, &s3("k")).await;
            let report = report.unwrap_or_else(|e| unreachable!("{op:?} {fault:?}: {e}"));
            assert_eq!((rule.hits(), report.retried), (1, 1), "{op:?} {fault:?}");
            assert_same(&kit.stored("k").unwrap().bytes(), &content);
            assert_eq!(kit.count(Op::Any), if len == LEN { 6 } else { 2 } + looks(op, &fault));
            assert!(matches!(report.verified, Verified::Checksum(_)), "{op:?} {fault:?}");
            kit.assert_nothing_left();
        }
    }
}

/// A lost completion is looked into, and a beginning that may have come to be: then there is a listing of
/// uploads, and of one that is found a look at its parts, its end, and a look whether it is gone.
fn looks(op: Op, fault: &Fault) -> usize {
    match (op, fault) {
        (Op::CreateMultipartUpload, Fault::LoseAnswer) => 4,
        (Op::CreateMultipartUpload, Fault::Reset | Fault::Status { status: 400 | 500, .. })
        | (Op::CompleteMultipartUpload, Fault::LoseAnswer) => 1,
        _ => 0,
    }
}

/// X1.8: so many tries and no more.
#[tokio::test]
async fn what_does_not_pass_is_given_up_and_cleaned_up() {
    let ops = [
        (Op::PutObject, 100_000),
        (Op::UploadPart, LEN),
        (Op::CreateMultipartUpload, LEN),
        (Op::CompleteMultipartUpload, LEN),
    ];
    for (op, len) in ops {
        for fault in [Fault::status(500), Fault::status(503).retry_after(0), Fault::Reset] {
            let kit = Kit::new().await;
            let (_, old) = kit.object("k", 77);
            let (file, _) = kit.file("f", len);
            let part = (op == Op::UploadPart).then_some(2);
            let rule = part.into_iter().fold(Rule::on(op), Rule::part).always();
            let rule = kit.server.faults().add(rule.then(fault.clone()));
            let e = kit.copy(&file, &s3("k")).await.expect_err("it fails for ever");
            assert_eq!(rule.hits(), 3, "{op:?} {fault:?}: three tries, no more");
            assert!(e.to_string().contains("gave up after 3 tries"), "{op:?} {fault:?}: {e}");
            assert_same(&kit.stored("k").unwrap().bytes(), &old);
            kit.assert_nothing_left();
        }
    }
}

/// Row 3: only the part that broke goes again (S1.4).
#[tokio::test]
async fn only_the_broken_part_goes_again() {
    let kit = Kit::new().await;
    let (file, content) = kit.file("f", LEN);
    kit.server.faults().add(Rule::on(Op::UploadPart).part(2).then(Fault::LoseAnswer));
    kit.copy(&file, &s3("k")).await.unwrap();
    let parts = kit.server.calls().of(Op::UploadPart);
    let sent: u64 = parts.iter().map(|c| c.request_bytes).sum();
    assert_eq!(sent, LEN + PART, "one part goes twice");
    assert_same(&kit.stored("k").unwrap().bytes(), &content);
}

/// Row 4: a store that stops listening, or never answers.
#[tokio::test]
async fn silence_is_not_waited_for() {
    for (op, len) in [(Op::PutObject, 100_000), (Op::PutObject, PART), (Op::UploadPart, LEN)] {
        let kit = Kit::new().await;
        let (file, content) = kit.file("f", len);
        let rule = kit.fault(op, Fault::Stall);
        let report = kit.copy(&file, &s3("k")).await.unwrap();
        assert_eq!((rule.hits(), report.retried), (1, 1), "{op:?}");
        assert_same(&kit.stored("k").unwrap().bytes(), &content);
        kit.assert_nothing_left();
    }
}

#[tokio::test]
async fn a_silent_start_is_not_waited_for() {
    let kit = Kit::new().await;
    let (file, content) = kit.file("f", LEN);
    let rule = kit.fault(Op::CreateMultipartUpload, Fault::Stall);
    let report = kit.copy(&file, &s3("k")).await.unwrap();
    assert_eq!((rule.hits(), report.retried), (1, 1));
    assert_same(&kit.stored("k").unwrap().bytes(), &content);
}

/// Row 6: what arrives otherwise is refused by the store and sent again, held in memory or not.
#[tokio::test]
async fn a_flipped_bit_is_sent_again() {
    for memory in [32 * MIB, 6 * MIB] {
        for len in [PART, LEN] {
            let op = if len == PART { Op::PutObject } else { Op::UploadPart };
            let kit = Kit::with(StoreRules::default(), |o| o.engine.memory = memory).await;
            let (file, content) = kit.file("f", len);
            let rule = kit.fault(op, Fault::FlipRequestBit(PART - 1));
            let report = kit.copy(&file, &s3("k")).await.unwrap();
            assert_eq!((rule.hits(), report.retried), (1, 1), "{op:?} {memory}");
            assert_same(&kit.stored("k").unwrap().bytes(), &content);
        }
    }
}

/// Row 22: a part without an ETag cannot be completed with.
#[tokio::test]
async fn a_part_without_an_etag_goes_again() {
    let kit = Kit::new().await;
    let (file, content) = kit.file("f", LEN);
    let drop_etag = Fault::DropHeader("etag".into());
    let rule = kit.fault(Op::UploadPart, drop_etag.clone());
    let report = kit.copy(&file, &s3("k")).await.unwrap();
    assert_eq!((rule.hits(), report.retried), (1, 1));
    assert_same(&kit.stored("k").unwrap().bytes(), &content);

    kit.server.faults().add(Rule::on(Op::UploadPart).always().then(drop_etag));
    let e = kit.copy(&file, &s3("other")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Protocol, "{e}");
    assert!(kit.stored("other").is_none());
    kit.assert_nothing_left();
}

/// A store that refuses checksum headers still takes the upload, and the report claims no more (X1.6).
#[tokio::test]
async fn checksums_that_are_refused_are_left_out() {
    for checksums in [ChecksumSupport::InvalidArgument, ChecksumSupport::NotImplemented] {
        for len in [0, 1000, LEN] {
            let kit = Kit::with(StoreRules { checksums, ..StoreRules::default() }, |_| ()).await;
            let (file, content) = kit.file("f", len);
            for key in ["k", "again"] {
                let report = kit.copy(&file, &s3(key)).await;
                let report = report.unwrap_or_else(|e| unreachable!("{checksums:?} {len}: {e}"));
                assert_eq!(report.verified, Verified::Size, "{checksums:?} {len}");
                assert_same(&kit.stored(key).unwrap().bytes(), &content);
            }
            let refused = kit.server.calls().list().iter().filter(|c| c.status > Some(299)).count();
            assert_eq!(refused, 1, "{checksums:?} {len}: learnt once");
            kit.assert_nothing_left();
        }
    }
}

/// The refusal that several requests meet at once is no failure of the second.
#[tokio::test]
async fn checksums_refused_to_two_at_once_are_left_out_by_both() {
    let rules = StoreRules { checksums: ChecksumSupport::InvalidArgument, ..Default::default() };
    let kit = Kit::with(rules, |_| ()).await;
    let hold = kit.server.faults().add(Rule::on(Op::PutObject).times(2).then(Fault::Stall));
    let (a, b) = (kit.file("a", 1000), kit.file("b", 2000));
    let first = kit.start(&a.0, &s3("a")).await.unwrap();
    let second = kit.start(&b.0, &s3("b")).await.unwrap();
    or_hang("both", kit.server.calls().wait_in_flight(Op::PutObject, 2)).await;
    hold.release();
    or_hang("the first", first).await.unwrap();
    or_hang("the second", second).await.unwrap();
    assert_same(&kit.stored("a").unwrap().bytes(), &a.1);
    assert_same(&kit.stored("b").unwrap().bytes(), &b.1);
}

/// A body from another store that is read in passing is verified before it is visible.
#[tokio::test]
async fn a_flipped_bit_from_store_to_store_leaves_the_destination_as_it_was() {
    for part in [PART, 24 * MIB] {
        let there = Kit::new().await;
        let kit = Kit::with(StoreRules::default(), |o| {
            o.source = options(&there.server).source;
            o.engine.part.part_size = part;
        })
        .await;
        let (object, _) = there.object("k", 20 * MIB);
        let (_, old) = kit.object("copy", 5);
        there.fault(Op::GetObject, Fault::FlipBit(PART / 2));
        let e = kit.copy(&object, &s3("copy")).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Verification, "parts of {part}: {e}");
        assert_same(&kit.stored("copy").unwrap().bytes(), &old);
        kit.assert_nothing_left();
    }
}

/// From store to store in passing: a body that breaks on either side starts over or goes on.
#[tokio::test]
async fn a_broken_body_from_store_to_store_is_survived() {
    let faults = [(Fault::ResetAfter(MIB), Fault::Reset), (Fault::EarlyEnd(1), Fault::LoseAnswer)];
    for (down, up) in faults {
        let there = Kit::new().await;
        let kit = Kit::with(StoreRules::default(), |o| {
            o.source = options(&there.server).source;
            o.engine.part.part_size = 24 * MIB;
        })
        .await;
        let (object, content) = there.object("k", 20 * MIB);
        there.fault(Op::GetObject, down.clone());
        kit.fault(Op::PutObject, up.clone());
        kit.copy(&object, &s3("copy")).await.unwrap();
        assert_same(&kit.server.store().object(BUCKET, "copy").unwrap().bytes(), &content);
    }
}
