//! Uploads left behind.

use haul_core::{
    Attributes, Engine, EngineOptions, ErrorKind, PlanPolicy, Retry, Target as _, TargetLimits,
    Upload, UploadSpec,
};
use haul_s3::{ObjectId, S3Client, S3Target, abort_upload, list_uploads};
use haul_testkit::conformance::{MemorySource, transfer};
use haul_testkit::{Fault, Op, Rule, StoreRules};
use std::sync::Arc;

use crate::kit::{BUCKET, start, start_with};

async fn begin(client: &S3Client, key: &str) -> Arc<dyn Upload> {
    let target = S3Target::new(client.clone(), ObjectId::new(BUCKET, key));
    let policy = PlanPolicy { part_size: 5 << 20, explicit: true };
    let limits = TargetLimits { max_parts: 10_000, ..target.limits() };
    let plan = haul_core::plan::plan(11 << 20, &limits, policy).unwrap();
    let spec = UploadSpec {
        plan: Some(plan),
        attributes: Attributes::default(),
        overwrite: true,
        read: None,
    };
    target.begin(&spec).await.unwrap()
}

#[tokio::test]
async fn uploads_are_found_and_discarded() {
    for max_keys in [1, 2, 1000] {
        let rules = StoreRules { max_keys, ..StoreRules::default() };
        let (server, client) = start_with(rules).await;
        let keys = ["a", "a", "b\n%2F+", "c/d"];
        for key in keys {
            begin(&client, key).await;
        }
        let mut lister = list_uploads(client.clone(), BUCKET, "");
        let mut found = Vec::new();
        while let Some(page) = lister.next_page().await.unwrap() {
            found.extend(page);
        }
        let seen: Vec<_> = found.iter().map(|u| u.key.as_str()).collect();
        assert_eq!(seen, keys, "{max_keys}");
        assert!(found.iter().all(|u| u.initiated.is_some()));
        for upload in found {
            let object = ObjectId::new(BUCKET, upload.key);
            abort_upload(&client, &object, &upload.upload_id).await.unwrap();
            abort_upload(&client, &object, &upload.upload_id).await.unwrap(); // gone already
        }
        assert!(server.store().uploads(BUCKET).is_empty());
    }
}

#[tokio::test]
async fn only_those_below_the_prefix_are_listed() {
    let (_server, client) = start().await;
    for key in ["a/1", "b/1"] {
        begin(&client, key).await;
    }
    let mut lister = list_uploads(client, BUCKET, "b/");
    let page = lister.next_page().await.unwrap().unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!(page[0].key, "b/1");
    assert!(lister.next_page().await.unwrap().is_none());
}

#[tokio::test]
async fn a_repeated_marker_is_an_error() {
    let (server, client) = start().await;
    let page = "<?xml version=\"1.0\"?><ListMultipartUploadsResult>\
        <IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>\
        <NextUploadIdMarker>u</NextUploadIdMarker>\
        <Upload><Key>k</Key><UploadId>u</UploadId></Upload></ListMultipartUploadsResult>";
    let fault = Fault::Page { content_type: "application/xml".to_owned(), body: page.to_owned() };
    server.faults().add(Rule::on(Op::ListMultipartUploads).always().then(fault));
    let mut lister = list_uploads(client, BUCKET, "");
    assert_eq!(lister.next_page().await.unwrap().unwrap().len(), 1);
    assert_eq!(lister.next_page().await.unwrap_err().kind(), ErrorKind::Protocol);
}

/// A.7: a listing of uploads is whole or an error, too.
#[tokio::test]
async fn a_page_of_uploads_that_is_cut_off_is_an_error() {
    let (server, client) = start().await;
    drop(begin(&client, "k").await);
    for less in [1, 20, 40, 80] {
        server.faults().add(Rule::on(Op::ListMultipartUploads).then(Fault::ShortBody(less)));
        let e = list_uploads(client.clone(), BUCKET, "").next_page().await.unwrap_err();
        assert_eq!((e.kind(), e.retry()), (ErrorKind::Protocol, Retry::Backoff), "{e}");
    }
    let page = "<ListMultipartUploadsResult><Upload><Key>k</Key><UploadId>u</UploadId></Upload>\
        </ListMultipartUploadsResult>";
    let fault = Fault::Page { content_type: "application/xml".to_owned(), body: page.to_owned() };
    server.faults().add(Rule::on(Op::ListMultipartUploads).then(fault));
    let e = list_uploads(client, BUCKET, "").next_page().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Protocol, "{e}");
}

/// A.17: discarding does not wait for those who write, and a part that lands after it is discarded too.
#[tokio::test]
async fn discarding_waits_for_nobody_and_sees_it_gone() {
    let (server, client) = start().await;
    begin(&client, "k").await;
    let upload = server.store().uploads(BUCKET).remove(0);
    let object = ObjectId::new(BUCKET, "k");
    let gate = crate::gates::client_gate(&client);
    let mut all = Vec::new();
    for _ in 0..gate.limit() {
        all.push(gate.enter().await);
    }
    // A part of it comes in behind the answer that it is gone.
    let page = "<?xml version=\"1.0\"?><ListPartsResult><IsTruncated>false</IsTruncated>\
        <Part><PartNumber>1</PartNumber><ETag>e</ETag><Size>5</Size></Part></ListPartsResult>";
    let late = Fault::Page { content_type: "application/xml".to_owned(), body: page.to_owned() };
    server.faults().add(Rule::on(Op::ListParts).then(late));
    let discard = || abort_upload(&client, &object, &upload.upload_id);
    let e = discard().await.unwrap_err();
    assert_eq!(e.retry(), haul_core::Retry::Backoff, "{e}");
    discard().await.unwrap();
    assert!(server.store().uploads(BUCKET).is_empty());
    assert_eq!(server.calls().count(Op::AbortMultipartUpload), 2);
}

/// A.17: who may not list parts has to take the store's word.
#[tokio::test]
async fn discarding_does_not_need_leave_to_list() {
    let (server, client) = start().await;
    begin(&client, "k").await;
    let upload = server.store().uploads(BUCKET).remove(0);
    server.faults().add(Rule::on(Op::ListParts).then(Fault::status(403)));
    abort_upload(&client, &ObjectId::new(BUCKET, "k"), &upload.upload_id).await.unwrap();
}

/// A.17: an upload whose beginning was not answered is found by its key and time, and discarded once ours
/// has all its parts; whoever has parts, or began long ago, is let alone.
#[tokio::test]
async fn a_beginning_whose_answer_was_lost_leaves_nothing() {
    for fails in [false, true] {
        let (server, client) = start().await;
        begin(&client, "k2").await;
        server.faults().add(Rule::on(Op::CreateMultipartUpload).then(Fault::LoseAnswer));
        if fails {
            let broken = Rule::on(Op::CompleteMultipartUpload).always();
            server.faults().add(broken.then(Fault::status(400)));
        }
        let mut options = EngineOptions::default();
        options.part = PlanPolicy { part_size: 5 << 20, explicit: true };
        let source = MemorySource::new(haul_testkit::sizes::pattern(11 << 20, 1));
        let target = S3Target::new(client, ObjectId::new(BUCKET, "k"));
        let done = transfer(&Engine::new(options), Arc::new(source), Arc::new(target)).await;
        assert_eq!(done.is_err(), fails, "{done:?}");
        assert_eq!(server.calls().count(Op::CreateMultipartUpload), 3);
        let left: Vec<_> = server.store().uploads(BUCKET).into_iter().map(|u| u.key).collect();
        assert_eq!(left, ["k2"], "{fails}");
    }
}

#[tokio::test]
async fn an_upload_of_somebody_else_is_let_alone() {
    let (server, client) = start().await;
    server.faults().add(Rule::on(Op::CreateMultipartUpload).then(Fault::LoseAnswer));
    let ours = begin_after_a_failure(&client, "k").await;
    assert_eq!(server.store().uploads(BUCKET).len(), 2);
    // The first has a part: somebody is at it.
    let first = server.store().uploads(BUCKET).remove(0).upload_id;
    let page = "<?xml version=\"1.0\"?><ListPartsResult><IsTruncated>false</IsTruncated>\
        <Part><PartNumber>1</PartNumber><ETag>e</ETag><Size>5</Size></Part></ListPartsResult>";
    let busy = Fault::Page { content_type: "application/xml".to_owned(), body: page.to_owned() };
    server.faults().add(Rule::on(Op::ListParts).then(busy));
    ours.abort().await.unwrap();
    let left: Vec<_> = server.store().uploads(BUCKET).into_iter().map(|u| u.upload_id).collect();
    assert_eq!(left, [first]);
}

/// The same as [`begin`], of which the first try failed.
async fn begin_after_a_failure(client: &S3Client, key: &str) -> Arc<dyn Upload> {
    let target = S3Target::new(client.clone(), ObjectId::new(BUCKET, key));
    let policy = PlanPolicy { part_size: 5 << 20, explicit: true };
    let plan = haul_core::plan::plan(11 << 20, &target.limits(), policy).unwrap();
    let (plan, attributes) = (Some(plan), Attributes::default());
    let spec = UploadSpec { plan, attributes, overwrite: true, read: None };
    target.begin(&spec).await.unwrap_err();
    target.begin(&spec).await.unwrap()
}
