//! Copies made by the store: no byte of the object comes here (S1.13, S1.14).
//!
//! Owns: what such a copy asks for and what it carries along.

use haul::{CopyRequest, Verified};
use haul_testkit::{Op, sizes};

use crate::kit::{BUCKET, Kit, MIB, PART, assert_same, s3};

/// Headers and XML, no content.
const SMALL: u64 = 4096;

fn moved(kit: &Kit) -> u64 {
    kit.server.calls().list().iter().map(|c| c.request_bytes + c.response_bytes).sum()
}

fn dressed() -> haul_testkit::memory::Attributes {
    let mut attributes = haul_testkit::memory::Attributes {
        content_type: Some("video/x-test".into()),
        cache_control: Some("max-age=7".into()),
        content_disposition: Some("attachment; filename=\"a b\"".into()),
        content_encoding: Some("gzip".into()),
        content_language: Some("de".into()),
        ..Default::default()
    };
    attributes.metadata.insert("colour".into(), "blue".into());
    attributes
}

/// S1.3, S1.13, S1.14, S1.23: the store copies, and both are there.
#[tokio::test]
async fn a_copy_moves_no_bytes() {
    let kit = Kit::new().await;
    let (object, content) = kit.object("k", 3 * MIB);
    let report = kit.copy(&object, &s3("copy")).await.unwrap();
    let ops: Vec<_> = kit.server.calls().list().iter().map(haul_testkit::Call::op).collect();
    assert_eq!(ops, [Op::HeadObject, Op::CopyObject, Op::HeadObject]);
    assert!(moved(&kit) < SMALL, "{} bytes moved", moved(&kit));
    assert_eq!(report.bytes, 3 * MIB);
    assert_ne!(report.verified, Verified::Size);
    assert_same(&kit.stored("copy").unwrap().bytes(), &content);
    let copy = &kit.server.calls().of(Op::CopyObject)[0];
    let etag = format!("\"{}\"", kit.stored("k").unwrap().etag);
    assert_eq!(copy.header("x-amz-copy-source-if-match"), Some(&*etag), "pinned");
}

/// S1.14, X1.4: above the limit of one copy, too.
#[tokio::test]
async fn a_copy_in_parts_moves_no_bytes_and_carries_everything_along() {
    let kit = Kit::new().await;
    kit.server.store().create_bucket("other");
    let content = crate::kit::pattern(2 * PART + 7);
    kit.server.store().put_with(BUCKET, "k", content.clone(), dressed());
    let to = haul::Location::S3 { bucket: "other".into(), key: "copy".into() };
    let mut request = CopyRequest::new(s3("k"), to);
    request.multipart_copy_above = MIB;
    kit.request(request).await.unwrap();
    assert_eq!(kit.count(Op::CreateMultipartUpload), 1);
    assert_eq!(kit.count(Op::UploadPartCopy), 3);
    assert_eq!(kit.count(Op::CompleteMultipartUpload), 1);
    assert!(moved(&kit) < SMALL, "{} bytes moved", moved(&kit));
    let copy = kit.server.store().object("other", "copy").unwrap();
    assert_same(&copy.bytes(), &content);
    let (got, want) = (copy.attributes, dressed());
    assert_eq!(got.content_type, want.content_type);
    assert_eq!(got.cache_control, want.cache_control);
    assert_eq!(got.content_disposition, want.content_disposition);
    assert_eq!(got.content_encoding, want.content_encoding);
    assert_eq!(got.content_language, want.content_language);
    assert_eq!(got.metadata, want.metadata);
    kit.assert_nothing_left();
}

#[tokio::test]
async fn new_attributes_replace_their_like_and_keep_the_rest() {
    let kit = Kit::new().await;
    kit.server.store().put_with(BUCKET, "k", crate::kit::pattern(2 * PART), dressed());
    for above in [MIB, 100 * MIB] {
        let mut request = CopyRequest::new(s3("k"), s3("copy"));
        request.multipart_copy_above = above;
        request.attributes.content_type = Some("text/plain".into());
        kit.request(request).await.unwrap();
        let got = kit.stored("copy").unwrap().attributes;
        assert_eq!(got.content_type.as_deref(), Some("text/plain"), "above {above}");
        assert_eq!(got.cache_control, dressed().cache_control, "above {above}");
        assert_eq!(got.metadata, dressed().metadata, "above {above}");
    }
}

/// X1.5: the source is a header, and not every byte is allowed in one.
#[tokio::test]
async fn every_key_can_be_copied() {
    let kit = Kit::new().await;
    let store = kit.server.store();
    for (i, key) in sizes::ODD_KEYS.iter().enumerate() {
        let content = sizes::pattern(100 + i, 7);
        store.put(BUCKET, key, content.clone());
        kit.copy(&s3(key), &s3(&format!("{i}.copy"))).await.unwrap();
        assert_same(&kit.stored(&format!("{i}.copy")).unwrap().bytes(), &content);

        store.put_synthetic(BUCKET, key, PART + i as u64 + 1);
        let mut request = CopyRequest::new(s3(key), s3(&format!("{i}.parts")));
        request.multipart_copy_above = MIB;
        kit.request(request).await.unwrap();
        assert_eq!(kit.stored(&format!("{i}.parts")).unwrap().size(), PART + i as u64 + 1);
    }
    assert_eq!(kit.count(Op::CopyObject), sizes::ODD_KEYS.len());
    assert_eq!(kit.count(Op::UploadPartCopy), 2 * sizes::ODD_KEYS.len());
    for copy in kit.server.calls().of(Op::CopyObject) {
        let source = copy.header("x-amz-copy-source").unwrap();
        assert!(source.bytes().all(|b| b.is_ascii_graphic()), "{source:?}");
        assert!(!source.contains(['+', '?', '#', '"', '<']), "{source:?}");
    }
}

/// And every key can be a destination, and an origin of bytes.
#[tokio::test]
async fn every_key_makes_the_round_trip() {
    let kit = Kit::new().await;
    for (i, key) in sizes::ODD_KEYS.iter().enumerate().filter(|(_, key)| !key.ends_with('/')) {
        let (file, content) = kit.file("up", 50 + i as u64);
        kit.copy(&file, &s3(key)).await.unwrap();
        assert_same(&kit.stored(key).unwrap().bytes(), &content);
        kit.copy(&s3(key), &kit.local("down")).await.unwrap();
        assert_same(&std::fs::read(kit.path("down")).unwrap(), &content);
    }
}

#[tokio::test]
async fn an_old_version_can_be_copied() {
    let kit = Kit::new().await;
    kit.server.store().set_versioning(BUCKET, true);
    let (object, old) = kit.object("a?b", 2 * PART);
    let version = kit.stored("a?b").unwrap().version_id;
    kit.object("a?b", 17);
    for above in [MIB, 100 * MIB] {
        let mut request = CopyRequest::new(object.clone(), s3("copy"));
        request.version_id = Some(version.clone());
        request.multipart_copy_above = above;
        kit.request(request).await.unwrap();
        assert_same(&kit.stored("copy").unwrap().bytes(), &old);
    }
    let wanted = format!("{BUCKET}/a%3Fb?versionId={version}");
    for op in [Op::CopyObject, Op::UploadPartCopy] {
        for call in kit.server.calls().of(op) {
            assert_eq!(call.header("x-amz-copy-source"), Some(&*wanted));
        }
    }
    assert_eq!((kit.count(Op::CopyObject), kit.count(Op::UploadPartCopy)), (1, 2));
}

#[tokio::test]
async fn an_object_is_not_copied_onto_itself() {
    let kit = Kit::new().await;
    let (object, _) = kit.object("k", 10);
    let e = kit.copy(&object, &object).await.unwrap_err();
    assert_eq!(e.kind(), haul::ErrorKind::Invalid, "{e}");
    assert_eq!(kit.count(Op::Any), 0);
}
