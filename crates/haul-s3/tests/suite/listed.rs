//! Sources whose size and ETag a listing told.

use std::sync::Arc;

use futures::StreamExt as _;
use haul_core::{Algorithm, Body, ByteRange, ErrorKind, Meta, Opened, ReadAt, Result, Source as _};
use haul_s3::{LISTED_WHOLE, ObjectId, S3Client, S3Source};
use haul_testkit::{Fault, Op, Rule, sizes};

use crate::kit::{BUCKET, list, spec, start};

/// Asks for all of it at once, and gives the body of that answer.
async fn open(source: &S3Source) -> Result<(Arc<dyn ReadAt>, Option<Body>)> {
    match source.open_whole().await? {
        (Opened::Ranged(open), body) => Ok((open, body)),
        (Opened::Stream(_), _) => unreachable!("objects have ranges"),
    }
}

async fn all(mut body: Body) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(bytes) = body.next().await {
        all.extend_from_slice(&bytes?);
    }
    Ok(all)
}

async fn read(open: &Arc<dyn ReadAt>, range: ByteRange) -> Result<Vec<u8>> {
    all(open.read_at(range).await?).await
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
        assert_eq!(source.size_hint(), Some(len));
        let (open, body) = open(&source).await.unwrap();
        let meta = open.meta();
        assert_eq!((meta.size, meta.checksum.unwrap().algorithm), (len, Algorithm::Crc64Nvme));
        assert!(meta.modified.is_some());
        assert_eq!(meta.attributes.content_type.as_deref(), Some("binary/octet-stream"));
        assert_eq!(all(body.unwrap()).await.unwrap(), content);
        assert_eq!(server.calls().summary(), [(Op::GetObject, 1)].into());
        let call = &server.calls().list()[0];
        assert!(call.header("if-match").is_some() && call.range().is_none());
        // Later reads are held to the same pin.
        assert_eq!(read(&open, ByteRange { start: 0, end: 1 }).await.unwrap(), content[..1]);
        assert_eq!(server.calls().count(Op::GetObject), 2);
    }
}

/// Nobody who is not ready to read it holds a permit.
#[tokio::test]
async fn the_permit_goes_with_the_body() {
    let (server, client) = start().await;
    server.store().put(BUCKET, "k", "hello");
    let source = only_entry(&client).await;
    let gate = source.limits().gate.unwrap();
    let mut others = Vec::new();
    for _ in 1..gate.limit() {
        others.push(gate.enter().await);
    }
    for read in [true, false] {
        let (_, body) = open(&source).await.unwrap();
        assert!(futures::poll!(std::pin::pin!(gate.enter())).is_pending());
        if read {
            assert_eq!(all(body.unwrap()).await.unwrap(), b"hello");
        } else {
            drop(body);
        }
        drop(gate.enter().await); // hangs if it is still held
    }
    source.open().await.unwrap();
    drop(gate.enter().await);
    let summary = [(Op::GetObject, 2), (Op::HeadObject, 1), (Op::ListObjects, 1)].into();
    assert_eq!(server.calls().summary(), summary);
}

#[tokio::test]
async fn a_large_object_is_looked_at_first() {
    let (server, client) = start().await;
    server.store().put_synthetic(BUCKET, "k", LISTED_WHOLE + 1);
    let source = only_entry(&client).await;
    server.calls().clear();
    assert_eq!(source.size_hint(), None);
    assert!(open(&source).await.unwrap().1.is_none());
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
        let (open, body) = open(&source).await.unwrap();
        assert!(body.is_none());
        assert_eq!(read(&open, whole(open.meta())).await.unwrap(), new.as_bytes());
        let summary = [(Op::GetObject, 2), (Op::HeadObject, 1)].into();
        assert_eq!(server.calls().summary(), summary);
    }
    // Where the store does not look at If-Match, or the listing told no ETag, the size still tells.
    let (server, client) = start().await;
    server.store().put(BUCKET, "k", "hello");
    let source = S3Source::listed(client, ObjectId::new(BUCKET, "k"), 4, None);
    let (open, body) = open(&source).await.unwrap();
    assert!(body.is_none());
    assert_eq!(read(&open, whole(open.meta())).await.unwrap(), b"hello");
}

#[tokio::test]
async fn once_open_a_replaced_object_is_an_error() {
    let (server, client) = start().await;
    server.store().put(BUCKET, "k", "hello");
    let (open, body) = open(&only_entry(&client).await).await.unwrap();
    server.store().put(BUCKET, "k", "other");
    assert_eq!(all(body.unwrap()).await.unwrap(), b"hello", "this answer had begun");
    let e = read(&open, whole(open.meta())).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::SourceChanged);
}

#[tokio::test]
async fn an_object_that_is_gone_is_said_to_be_gone() {
    let (server, client) = start().await;
    server.store().put(BUCKET, "k", "hello");
    let source = only_entry(&client).await;
    server.store().remove(BUCKET, "k");
    let e = open(&source).await.err().unwrap();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_broken_body_is_read_anew() {
    let (server, client) = start().await;
    server.store().put(BUCKET, "k", "hello");
    let source = only_entry(&client).await;
    server.faults().add(Rule::on(Op::GetObject).then(Fault::ResetAfter(2)));
    let (open, body) = open(&source).await.unwrap();
    all(body.unwrap()).await.unwrap_err();
    assert_eq!(read(&open, ByteRange { start: 2, end: 5 }).await.unwrap(), b"llo");
}

#[tokio::test]
async fn nothing_has_no_body_to_read() {
    let (server, client) = start().await;
    server.store().put(BUCKET, "k", "");
    let (open, body) = open(&only_entry(&client).await).await.unwrap();
    assert_eq!((open.meta().size, body.is_none()), (0, true));
}
