//! What goes wrong while a store copies by itself.
//!
//! Owns: the faults of CopyObject and of copies in parts, and the way around a store that cannot.

use haul::{CopyRequest, ErrorKind, Event};
use haul_testkit::{Fault, Op, Rule, StoreRules};

use crate::kit::{BUCKET, Kit, MIB, PART, assert_same, finish, or_hang, pattern, s3};

/// Large enough for two parts.
const LEN: u64 = PART + 100;

fn request(in_parts: bool) -> CopyRequest {
    let mut request = CopyRequest::new(s3("k"), s3("copy"));
    if in_parts {
        request.multipart_copy_above = MIB;
    }
    request
}

#[tokio::test]
async fn what_passes_is_survived() {
    let ops = [
        (Op::CopyObject, false),
        (Op::UploadPartCopy, true),
        (Op::CreateMultipartUpload, true),
        (Op::CompleteMultipartUpload, true),
    ];
    for (op, in_parts) in ops {
        let faults = [
            Fault::status(500),
            Fault::status(503).retry_after(1),
            Fault::Reset,
            Fault::OkWithError("InternalError".into()),
        ];
        for fault in faults {
            let kit = Kit::new().await;
            let (_, content) = kit.object("k", LEN);
            let rule = kit.fault(op, fault.clone());
            let report = kit.request(request(in_parts)).await;
            let report = report.unwrap_or_else(|e| unreachable!("{op:?} {fault:?}: {e}"));
            assert_eq!((rule.hits(), report.retried), (1, 1), "{op:?} {fault:?}");
            assert_same(&kit.stored("copy").unwrap().bytes(), &content);
            kit.assert_nothing_left();
        }
    }
}

#[tokio::test]
async fn what_does_not_pass_is_given_up_and_cleaned_up() {
    let ops =
        [(Op::CopyObject, false), (Op::UploadPartCopy, true), (Op::CompleteMultipartUpload, true)];
    for (op, in_parts) in ops {
        let kit = Kit::new().await;
        kit.object("k", LEN);
        let (_, old) = kit.object("copy", 3);
        kit.server.faults().add(Rule::on(op).always().then(Fault::status(500)));
        let e = kit.request(request(in_parts)).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Server, "{op:?}: {e}");
        assert_same(&kit.stored("copy").unwrap().bytes(), &old);
        kit.assert_nothing_left();
    }
}

async fn lose_the_answer(op: Op, in_parts: bool, overwrite: bool) {
    let kit = Kit::new().await;
    let (_, content) = kit.object("k", LEN);
    kit.fault(op, Fault::LoseAnswer);
    let mut request = request(in_parts);
    request.overwrite = overwrite;
    let report = kit.request(request).await.unwrap();
    assert_eq!(report.bytes, LEN);
    assert_same(&kit.stored("copy").unwrap().bytes(), &content);
    kit.assert_nothing_left();
}

#[tokio::test]
async fn a_lost_answer_is_no_failure() {
    lose_the_answer(Op::CopyObject, false, true).await;
}

#[tokio::test]
async fn a_lost_answer_to_a_conditional_copy_is_no_failure() {
    lose_the_answer(Op::CopyObject, false, false).await;
}

#[tokio::test]
async fn a_lost_completion_is_no_failure() {
    lose_the_answer(Op::CompleteMultipartUpload, true, true).await;
}

#[tokio::test]
async fn a_lost_completion_of_a_conditional_copy_is_no_failure() {
    lose_the_answer(Op::CompleteMultipartUpload, true, false).await;
}

fn page(body: &str) -> Fault {
    Fault::Page { content_type: "application/xml".into(), body: body.to_owned() }
}

/// A store that keeps no checksums, with something of the same size at the destination.
async fn same_size() -> (Kit, Vec<u8>) {
    let rules = StoreRules { default_checksum: false, ..StoreRules::default() };
    let kit = Kit::with(rules, |_| ()).await;
    let (_, content) = kit.object("k", LEN);
    kit.server.store().put(BUCKET, "copy", content.iter().map(|b| !b).collect::<Vec<_>>());
    (kit, content)
}

/// R.5: a store or a proxy that answers 200 and nothing, or half of it, has not said that it copied.
#[tokio::test]
async fn an_empty_yes_is_no_copy() {
    let cases = [
        (Op::CopyObject, false, ""),
        (Op::CopyObject, false, "<CopyObjectResult><LastModified>"),
        (Op::UploadPartCopy, true, ""),
        (Op::CompleteMultipartUpload, true, ""),
        (Op::CompleteMultipartUpload, true, "<CompleteMultipartUploadResult><Key>copy</Key>"),
    ];
    for (op, in_parts, body) in cases {
        let (kit, content) = same_size().await;
        let rule = kit.fault(op, page(body));
        let report = kit.request(request(in_parts)).await;
        let report = report.unwrap_or_else(|e| unreachable!("{op:?} {body:?}: {e}"));
        assert_eq!((rule.hits(), report.retried), (1, 1), "{op:?} {body:?}");
        assert_same(&kit.stored("copy").unwrap().bytes(), &content);
        kit.assert_nothing_left();
        // One that never says more has failed.
        let (kit, _) = same_size().await;
        kit.server.faults().add(Rule::on(op).always().then(page(body)));
        let e = kit.request(request(in_parts)).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Protocol, "{op:?} {body:?}: {e}");
        kit.assert_nothing_left();
    }
}

/// R.5: without a checksum, what is stored has to have the ETag that the answer named.
#[tokio::test]
async fn what_has_another_etag_is_not_what_was_copied() {
    let etag = "<ETag>&quot;0cc175b9c0f1b6a831c399e269772661&quot;</ETag>";
    let cases = [
        (Op::CopyObject, false, "CopyObjectResult"),
        (Op::CompleteMultipartUpload, true, "CompleteMultipartUploadResult"),
    ];
    for (op, in_parts, root) in cases {
        let (kit, _) = same_size().await;
        kit.fault(op, page(&format!("<{root}>{etag}</{root}>")));
        let e = kit.request(request(in_parts)).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Verification, "{op:?}: {e}");
        kit.assert_nothing_left();
    }
}

/// A store that cannot copy is gone around, and the user hears of it.
#[tokio::test]
async fn a_store_that_cannot_copy_is_gone_around() {
    for in_parts in [false, true] {
        let rules = StoreRules { upload_part_copy: false, ..StoreRules::default() };
        let kit = Kit::with(rules, |_| ()).await;
        let mut attributes = haul_testkit::memory::Attributes {
            content_type: Some("text/x-test".into()),
            ..Default::default()
        };
        attributes.metadata.insert("colour".into(), "blue".into());
        let content = pattern(LEN);
        kit.server.store().put_with(BUCKET, "k", content.clone(), attributes);
        if !in_parts {
            kit.server.faults().add(Rule::on(Op::CopyObject).always().then(Fault::status(501)));
        }
        let (result, events) = finish(kit.haul.copy(request(in_parts)).await.unwrap()).await;
        assert_eq!(result.unwrap().bytes, LEN);
        let notes = events.iter().filter(|e| matches!(e, Event::Note { .. })).count();
        assert_eq!(notes, 1, "{events:?}");
        let copy = kit.stored("copy").unwrap();
        assert_same(&copy.bytes(), &content);
        assert_eq!(copy.attributes.content_type.as_deref(), Some("text/x-test"));
        assert_eq!(copy.metadata("colour"), Some("blue"));
        assert_eq!(kit.count(Op::UploadPart), 2);
        kit.assert_nothing_left();
        // Guaranteed, first: once. A bar that is started twice shows two.
        let started = events.iter().filter(|e| matches!(e, Event::ItemStarted { .. })).count();
        assert_eq!(started, 1, "{events:?}");
    }
}

#[tokio::test]
async fn a_source_replaced_in_the_middle_is_never_mixed() {
    for (op, nth, in_parts) in [(Op::CopyObject, 1, false), (Op::UploadPartCopy, 2, true)] {
        let kit = Kit::new().await;
        kit.object("k", LEN);
        let store = kit.server.store().clone();
        let other = pattern(LEN + 1)[1..].to_vec();
        let replace = Fault::hook(move |_| drop(store.put(BUCKET, "k", other.clone())));
        kit.server.faults().add(Rule::on(op).nth(nth).then(replace));
        let e = kit.request(request(in_parts)).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::SourceChanged, "{op:?}: {e}");
        assert!(kit.stored("copy").is_none());
        kit.assert_nothing_left();
    }
}

#[tokio::test]
async fn what_exists_is_kept_and_the_error_says_so() {
    for in_parts in [false, true] {
        let kit = Kit::new().await;
        kit.object("k", LEN);
        let (_, old) = kit.object("copy", 3);
        let mut request = request(in_parts);
        request.overwrite = false;
        let e = kit.request(request).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::AlreadyExists, "in parts {in_parts}: {e}");
        assert_same(&kit.stored("copy").unwrap().bytes(), &old);
        kit.assert_nothing_left();
    }
}

/// By the time the copy is asked for, somebody else has the name.
#[tokio::test]
async fn a_name_taken_in_the_meantime_is_not_replaced() {
    for (op, in_parts) in [(Op::CopyObject, false), (Op::CompleteMultipartUpload, true)] {
        let kit = Kit::new().await;
        kit.object("k", LEN);
        let store = kit.server.store().clone();
        let take = Fault::hook(move |_| drop(store.put(BUCKET, "copy", b"theirs".as_slice())));
        kit.fault(op, take);
        let mut request = request(in_parts);
        request.overwrite = false;
        let e = kit.request(request).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{op:?}: {e}");
        assert_same(&kit.stored("copy").unwrap().bytes(), b"theirs");
        kit.assert_nothing_left();
    }
}

#[tokio::test]
async fn a_copy_that_is_cancelled_leaves_nothing() {
    for (op, in_parts) in [
        (Op::HeadObject, false),
        (Op::CopyObject, false),
        (Op::UploadPartCopy, true),
        (Op::CompleteMultipartUpload, true),
    ] {
        let kit = Kit::new().await;
        kit.object("k", LEN);
        let rule = kit.fault(op, Fault::Stall);
        let job = kit.haul.copy(request(in_parts)).await.unwrap();
        or_hang("the request", rule.wait_hits(1)).await;
        kit.haul.cancel();
        let e = or_hang("the end", job).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Cancelled, "{op:?}: {e}");
        assert!(kit.stored("copy").is_none(), "{op:?}");
        kit.assert_nothing_left();
    }
}

/// Cleaning up after Ctrl-C has a deadline, like everywhere else.
#[tokio::test]
async fn a_cancelled_copy_does_not_wait_for_a_store_that_is_silent() {
    let kit = Kit::new().await;
    kit.object("k", LEN);
    let rule = kit.fault(Op::UploadPartCopy, Fault::Stall);
    kit.fault(Op::AbortMultipartUpload, Fault::Stall);
    let job = kit.haul.copy(request(true)).await.unwrap();
    or_hang("the request", rule.wait_hits(1)).await;
    kit.haul.cancel();
    let e = or_hang("the end", job).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}");
}

#[tokio::test]
async fn a_missing_source_is_said_to_be_missing() {
    let kit = Kit::new().await;
    let e = kit.request(request(false)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    assert_eq!(kit.count(Op::Any), 1);
}
