//! Sources whose size and ETag a listing told.

use std::sync::Arc;

use futures::StreamExt as _;
use haul_core::{Algorithm, ByteRange, ErrorKind, Meta, Opened, ReadAt, Result, Source as _};
use haul_s3::{LISTED_WHOLE, ObjectId, S3Client, S3Source};
use haul_testkit::{Fault, Op, Rule, sizes};

use crate::kit::{BUCKET, list, spec, start};

async fn open(source: &S3Source) -> Result<Arc<dyn ReadAt>> {
    match source.open().await? {
        Opened::Ranged(open) => Ok(open),
        Opened::Stream(_) => unreachable!("objects have ranges"),
    }
}

async fn read(open: &Arc<dyn ReadAt>, range: ByteRange) -> Result<Vec<u8>> {
    let mut body = open.read_at(range).await?;
    let mut all = Vec::new();
    while let Some(bytes) = body.next().await {
        all.extend_from_slice(&bytes?);
    }
    Ok(all)
}

fn whole(meta: &Meta) -> ByteRange {
    ByteRange { start: 0, end: meta.size }
}

async fn only_entry(client: &S3Client) -> S3Source {
    let entry = list(client, spec("")).await.unwrap().remove(0);
    let object = ObjectId::new(BUCKET, entry.path.to_str().unwrap());
    S3Source::listed(client.clone(), object, entry.size, entry.etag)
}

#[tokio::test]
async fn a_small_object_is_one_request() {
    for len in [1, 1000, LISTED_WHOLE] {
        let (server, client) = start().await;
        let content = sizes::pattern(usize::try_from(len).unwrap(), 1);
        server.store().put(BUCKET, "k", content.clone());
        let source = only_entry(&client).await;
        server.calls().clear();
        let open = open(&source).await.unwrap();
        let meta = open.meta();
        assert_eq!((meta.size, meta.checksum.unwrap().algorithm), (len, Algorithm::Crc64Nvme));
        assert!(meta.modified.is_some());
        assert_eq!(meta.attributes.content_type.as_deref(), Some("binary/octet-stream"));
        assert_eq!(read(&open, whole(meta)).await.unwrap(), content);
        assert_eq!(server.calls().summary(), [(Op::GetObject, 1)].into());
        let call = &server.calls().list()[0];
        assert!(call.header("if-match").is_some() && call.range().is_none());
        // Later reads are held to the same pin.
        assert_eq!(read(&open, ByteRange { start: 0, end: 1 }).await.unwrap(), content[..1]);
        assert_eq!(server.calls().count(Op::GetObject), 2);
    }
}

#[tokio::test]
async fn the_gate_is_free_once_it_is_open() {
    let (server, client) = start().await;
    server.store().put(BUCKET, "k", "hello");
    let source = only_entry(&client).await;
    let gate = source.limits().gate.unwrap();
    let open = open(&source).await.unwrap();
    let mut permits = Vec::new();
    for _ in 0..gate.limit() {
        permits.push(gate.enter().await); // hangs if one is held
    }
    drop(permits);
    assert_eq!(read(&open, whole(open.meta())).await.unwrap(), b"hello");
}

#[tokio::test]
async fn a_large_object_is_looked_at_first() {
    let (server, client) = start().await;
    server.store().put_synthetic(BUCKET, "k", LISTED_WHOLE + 1);
    let source = only_entry(&client).await;
    server.calls().clear();
    open(&source).await.unwrap();
    assert_eq!(server.calls().summary(), [(Op::HeadObject, 1)].into());
}

#[tokio::test]
async fn an_object_replaced_since_the_listing_is_opened_as_it_is_now() {
    for new in ["other", "longer than it was"] {
        let (server, client) = start().await;
        server.store().put(BUCKET, "k", "hello");
        let source = only_entry(&client).await;
        server.store().put(BUCKET, "k", new);
        server.calls().clear();
        let open = open(&source).await.unwrap();
        assert_eq!(read(&open, whole(open.meta())).await.unwrap(), new.as_bytes());
        let summary = [(Op::GetObject, 2), (Op::HeadObject, 1)].into();
        assert_eq!(server.calls().summary(), summary);
    }
    // Where the store does not look at If-Match, or the listing told no ETag, the size still tells.
    let (server, client) = start().await;
    server.store().put(BUCKET, "k", "hello");
    let source = S3Source::listed(client, ObjectId::new(BUCKET, "k"), 4, None);
    let open = open(&source).await.unwrap();
    assert_eq!(read(&open, whole(open.meta())).await.unwrap(), b"hello");
}

#[tokio::test]
async fn once_open_a_replaced_object_is_an_error() {
    let (server, client) = start().await;
    server.store().put(BUCKET, "k", "hello");
    let open = open(&only_entry(&client).await).await.unwrap();
    server.store().put(BUCKET, "k", "other");
    assert_eq!(read(&open, whole(open.meta())).await.unwrap(), b"hello", "this answer had begun");
    let e = read(&open, whole(open.meta())).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::SourceChanged);
}

#[tokio::test]
async fn an_object_that_is_gone_is_said_to_be_gone() {
    let (server, client) = start().await;
    server.store().put(BUCKET, "k", "hello");
    let source = only_entry(&client).await;
    server.store().remove(BUCKET, "k");
    let e = open(&source).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_broken_body_is_read_anew() {
    let (server, client) = start().await;
    server.store().put(BUCKET, "k", "hello");
    let source = only_entry(&client).await;
    server.faults().add(Rule::on(Op::GetObject).then(Fault::ResetAfter(2)));
    let open = open(&source).await.unwrap();
    read(&open, whole(open.meta())).await.unwrap_err();
    assert_eq!(read(&open, ByteRange { start: 2, end: 5 }).await.unwrap(), b"llo");
}

#[tokio::test]
async fn nothing_has_no_body_to_read() {
    let (server, client) = start().await;
    server.store().put(BUCKET, "k", "");
    let open = open(&only_entry(&client).await).await.unwrap();
    assert_eq!(open.meta().size, 0);
}
