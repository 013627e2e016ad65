//! What a store's answers are believed: versions, pins, checksums.

use std::sync::Arc;

use futures::TryStreamExt as _;
use haul_core::{
    Attributes, ByteRange, ErrorKind, Opened, ReadAt, Result, Retry, Source as _, Validator,
};
use haul_s3::{ObjectId, S3Client, S3Source, prove_version, stat};
use haul_testkit::{Call, Fault, Op, Rule, StoreRules};

use crate::kit::{BUCKET, put, start, start_with};

const MIB: u64 = 1 << 20;

async fn open(client: &S3Client, object: ObjectId) -> Result<Arc<dyn ReadAt>> {
    let opened = S3Source::new(client.clone(), object).open().await?;
    let Opened::Ranged(open) = opened else { unreachable!("objects have ranges") };
    Ok(open)
}

async fn read(open: &Arc<dyn ReadAt>, start: u64, end: u64) -> Result<Vec<u8>> {
    let body = open.read_at(ByteRange::new(start, end)).await?;
    let pieces: Vec<_> = body.try_collect().await?;
    Ok(pieces.concat())
}

fn version(call: &Call) -> Option<&str> {
    let mut query = call.target.query.iter();
    query.find(|(name, _)| name == "versionId").map(|(_, value)| value.as_str())
}

fn versioned(id: &str) -> ObjectId {
    ObjectId { version_id: Some(id.to_owned()), ..ObjectId::new(BUCKET, "k") }
}

/// G.1: a store without versions answers with what is there now, and that is no version.
#[tokio::test]
async fn a_version_that_the_answer_does_not_name_is_none() {
    let (server, client) = start_with(StoreRules { versions: false, ..Default::default() }).await;
    server.store().put(BUCKET, "k", "hello");
    let e = stat(&client, &versioned("abc"), haul_core::Op::Stat).await.unwrap_err();
    assert_eq!((e.kind(), e.retry()), (ErrorKind::NotFound, Retry::Never), "{e}");
    open(&client, versioned("abc")).await.unwrap_err();
    let listed = S3Source::listed(client.clone(), versioned("abc"), 5, None);
    assert_eq!(listed.open_whole().await.map(drop).unwrap_err().kind(), ErrorKind::NotFound);
    let e = prove_version(&client, &versioned("abc")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    // What was stored without versions is the version "null", also where nobody says so.
    prove_version(&client, &versioned("null")).await.unwrap();
    open(&client, versioned("null")).await.unwrap();
}

/// G.1: versions that are there can be proved, those of delete markers included.
#[tokio::test]
async fn versions_and_markers_are_proved_before_they_are_removed() {
    let (server, client) = start().await;
    server.store().set_versioning(BUCKET, true);
    server.store().put(BUCKET, "k", "hello");
    haul_s3::remove(&client, &ObjectId::new(BUCKET, "k")).await.unwrap();
    let spec = haul_s3::ListSpec { versions: true, ..crate::kit::spec("") };
    let entries = crate::kit::list(&client, spec).await.unwrap();
    assert_eq!(entries.len(), 2);
    for entry in entries {
        prove_version(&client, &versioned(&entry.version_id.unwrap())).await.unwrap();
    }
    let e = prove_version(&client, &versioned("abc")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
}

/// A.13: reading what may be read takes no permission to name versions.
#[tokio::test]
async fn a_version_that_may_not_be_named_is_left_out() {
    let (server, client) = start().await;
    server.store().set_versioning(BUCKET, true);
    server.store().put(BUCKET, "k", "hello");
    let object = open(&client, ObjectId::new(BUCKET, "k")).await.unwrap();
    server.faults().add(Rule::on(Op::GetObject).then(Fault::status(403)));
    assert_eq!(read(&object, 0, 2).await.unwrap(), b"he");
    assert_eq!(read(&object, 2, 5).await.unwrap(), b"llo");
    let calls = server.calls().of(Op::GetObject);
    let named: Vec<_> = calls.iter().map(|call| version(call).is_some()).collect();
    assert_eq!(named, [true, false, false]);
    assert!(calls.iter().all(|call| call.header("if-match").is_some()));
    // A version that the caller named is not left out.
    let id = object_version(&server);
    let object = open(&client, versioned(&id)).await.unwrap();
    server.faults().add(Rule::on(Op::GetObject).then(Fault::status(403)));
    assert_eq!(read(&object, 0, 2).await.unwrap_err().kind(), ErrorKind::AccessDenied);
}

fn object_version(server: &haul_testkit::TestServer) -> String {
    server.store().object(BUCKET, "k").unwrap().version_id
}

/// A.24: what has no strong ETag is compared by what it has.
#[tokio::test]
async fn without_a_strong_etag_weak_evidence_is_compared() {
    for (name, before, after) in [
        ("etag", "W/\"1\"", "W/\"2\""),
        ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:01 GMT"),
    ] {
        let (server, client) = start().await;
        server.store().put(BUCKET, "k", "hello");
        let set = |op, value: &str| {
            let tagless = Rule::on(op).then(Fault::DropHeader("etag".into()));
            server.faults().add(tagless.then(Fault::SetHeader(name.into(), value.into())));
        };
        set(Op::HeadObject, before);
        set(Op::GetObject, before);
        let object = open(&client, ObjectId::new(BUCKET, "k")).await.unwrap();
        assert_eq!(object.meta().validator, Validator::Weak, "{name}");
        assert_eq!(read(&object, 0, 2).await.unwrap(), b"he");
        set(Op::GetObject, after);
        let e = read(&object, 2, 5).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::SourceChanged, "{name}: {e}");
    }
}

/// A.21: a 400 without words that has nothing to do with checksums leaves them on.
#[tokio::test]
async fn a_bare_refusal_of_an_object_is_none_of_checksums() {
    let (server, client) = start().await;
    let refuse = Rule::on(Op::HeadObject).key("bad").always().then(Fault::status(400));
    server.faults().add(refuse);
    let bad = ObjectId::new(BUCKET, "bad");
    for retry in [Retry::Backoff, Retry::Never, Retry::Backoff, Retry::Never] {
        let e = stat(&client, &bad, haul_core::Op::Stat).await.unwrap_err();
        assert_eq!((e.kind(), e.retry()), (ErrorKind::Rejected, retry), "{e}");
    }
    let asked: Vec<_> = server.calls().of(Op::HeadObject);
    let asked: Vec<_> = asked.iter().map(|c| c.header("x-amz-checksum-mode").is_some()).collect();
    assert_eq!(asked, [true, false, true, false]);
    let verified = put(&client, "k", 100, 5 * MIB, Attributes::default()).await.unwrap();
    assert!(matches!(verified, Some(haul_core::Verified::Checksum(_))), "{verified:?}");
}

/// E.31: a store that got other bytes gets them again, and makes nothing of them.
#[tokio::test]
async fn a_checksum_that_disagrees_is_no_part() {
    let other = || Fault::SetHeader("x-amz-checksum-crc64nvme".into(), "AAAAAAAAAAA=".into());
    for (len, op) in [(100, Op::PutObject), (11 * MIB, Op::UploadPart)] {
        let (server, client) = start().await;
        server.faults().add(Rule::on(op).then(other()));
        put(&client, "k", len, 5 * MIB, Attributes::default()).await.unwrap();
        let parts = usize::try_from(len.div_ceil(5 * MIB)).unwrap();
        assert_eq!(server.calls().count(op), parts + 1);
        server.faults().add(Rule::on(op).always().then(other()));
        server.calls().clear();
        let e = put(&client, "k", len, 5 * MIB, Attributes::default()).await.unwrap_err();
        assert_eq!((e.kind(), e.retry()), (ErrorKind::Verification, Retry::Backoff), "{e}");
        assert_eq!(server.calls().count(Op::CompleteMultipartUpload), 0);
    }
}
