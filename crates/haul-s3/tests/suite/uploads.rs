//! Uploads left behind.

use haul_core::{
    Attributes, ErrorKind, PlanPolicy, Retry, Target as _, TargetLimits, Upload, UploadSpec,
};
use haul_s3::{ObjectId, S3Client, S3Target, abort_upload, list_uploads};
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
