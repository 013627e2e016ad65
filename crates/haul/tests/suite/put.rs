//! Bytes of programs: `Haul::put` and `Haul::put_stream`, and the calls that go by other names.
//!
//! Owns: what becomes of them, and that a stream that fails leaves nothing.

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _};
use haul::{Error, ErrorKind, Location, PutOptions, Report, Result, StreamingUploader, Verified};
use haul_testkit::{Fault, Op, Rule};

use crate::kit::{BUCKET, KIB, Kit, PART, assert_same, or_hang, pattern, s3};

/// `content` in pieces of so many bytes.
fn pieces(content: Vec<u8>, size: usize) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let content = Bytes::from(content);
    let starts = (0..content.len()).step_by(size);
    let piece = move |at| Ok(content.slice(at..content.len().min(at + size)));
    stream::iter(starts.map(piece).collect::<Vec<_>>())
}

/// The same, and then an error.
fn failing(len: u64) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let e = Error::new(ErrorKind::Io, haul::Op::Read, "the tape", "it is torn");
    pieces(pattern(len), 70_000).chain(stream::once(async { Err(e) }))
}

async fn put_stream(
    kit: &Kit,
    to: &Location,
    stream: impl Stream<Item = Result<Bytes>> + Send + 'static,
) -> Result<Report> {
    or_hang("the stream", kit.haul.put_stream(to, stream, PutOptions::default())).await
}

#[tokio::test]
async fn bytes_become_an_object_or_a_file() {
    for (len, parts) in [(0, 0), (1, 0), (PART, 0), (2 * PART + 7, 3)] {
        let kit = Kit::new().await;
        for to in [s3("k.json"), kit.local("f")] {
            let report = or_hang("it", kit.haul.put(&to, pattern(len))).await.unwrap();
            assert_eq!(report.bytes, len);
        }
        let stored = kit.stored("k.json").unwrap();
        assert_same(&stored.bytes(), &pattern(len));
        assert_eq!(stored.attributes.content_type.as_deref(), Some("application/json"));
        assert_same(&std::fs::read(kit.path("f")).unwrap(), &pattern(len));
        assert_eq!(kit.count(Op::UploadPart), parts);
        kit.assert_nothing_left();
    }
}

/// What is put is proved as every upload is, and tried again as every upload is.
#[tokio::test]
async fn bytes_survive_faults() {
    for (op, len) in [(Op::PutObject, 1000), (Op::UploadPart, 3 * PART)] {
        for fault in [Fault::status(503), Fault::Reset, Fault::LoseAnswer, Fault::FlipRequestBit(9)]
        {
            let kit = Kit::new().await;
            kit.fault(op, fault.clone());
            let report = or_hang("it", kit.haul.put(&s3("k"), pattern(len))).await.unwrap();
            assert_eq!(report.retried, 1, "{fault:?}");
            assert!(matches!(report.verified, Verified::Checksum(_)), "{}", report.verified);
            assert_same(&kit.stored("k").unwrap().bytes(), &pattern(len));
        }
    }
}

#[tokio::test]
async fn a_stream_becomes_an_object_whatever_its_pieces() {
    for (len, puts, parts) in [(0, 1, 0), (1, 1, 0), (PART - 1, 1, 0), (3 * PART + 9, 0, 4)] {
        for size in [997, 300_000, 6_000_000] {
            let kit = Kit::new().await;
            let report = put_stream(&kit, &s3("k.txt"), pieces(pattern(len), size)).await.unwrap();
            assert_eq!(report.bytes, len);
            let stored = kit.stored("k.txt").unwrap();
            assert_same(&stored.bytes(), &pattern(len));
            assert_eq!(stored.attributes.content_type.as_deref(), Some("text/plain"));
            assert_eq!((kit.count(Op::PutObject), kit.count(Op::UploadPart)), (puts, parts));
            kit.assert_nothing_left();
        }
    }
}

/// Pieces without bytes are no end.
#[tokio::test]
async fn empty_pieces_are_nothing() {
    let kit = Kit::new().await;
    let empty = || stream::iter([Ok(Bytes::new()), Ok(Bytes::new())]);
    let stream = empty().chain(pieces(pattern(100), 10)).chain(empty());
    assert_eq!(put_stream(&kit, &kit.local("f"), stream).await.unwrap().bytes, 100);
    assert_same(&std::fs::read(kit.path("f")).unwrap(), &pattern(100));
}

#[tokio::test]
async fn a_stream_that_fails_leaves_nothing() {
    for len in [0, 1, PART, 3 * PART + 1] {
        let kit = Kit::new().await;
        let (_, old) = kit.object("k", 5);
        std::fs::write(kit.path("f"), "old").unwrap();
        for to in [s3("k"), s3("new"), kit.local("f"), kit.local("new")] {
            let e = put_stream(&kit, &to, failing(len)).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Io, "{len}: {e}");
            assert_eq!(e.to_string(), "cannot read the tape: it is torn");
        }
        assert_same(&kit.stored("k").unwrap().bytes(), &old);
        assert_eq!(std::fs::read(kit.path("f")).unwrap(), b"old");
        assert!(kit.stored("new").is_none() && !kit.path("new").exists());
        kit.assert_nothing_left();
    }
}

/// A stream may be silent as long as it likes; a cancellation does not wait for it.
#[tokio::test]
async fn a_silent_stream_holds_up_no_cancellation() {
    for len in [10, 2 * PART] {
        let kit = Kit::new().await;
        let (asked, silent) = tokio::sync::oneshot::channel();
        let silence = stream::once(async move {
            asked.send(()).unwrap();
            std::future::pending().await
        });
        let stream = pieces(pattern(len), 70_000).chain(silence);
        let to = s3("k");
        let cancelling = async {
            or_hang("the silence", silent).await.unwrap();
            kit.haul.cancel();
        };
        let (put, ()) = futures::join!(put_stream(&kit, &to, stream), cancelling);
        let e = put.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}");
        assert!(kit.stored("k").is_none());
        kit.assert_nothing_left();
    }
}

#[tokio::test]
async fn what_exists_stays_when_it_should() {
    let kit = Kit::new().await;
    let (_, old) = kit.object("k", 5);
    std::fs::write(kit.path("f"), "old").unwrap();
    let mut options = PutOptions::default();
    options.overwrite = false;
    for to in [s3("k"), kit.local("f")] {
        let putting = kit.haul.put_stream(&to, pieces(pattern(9), 4), options.clone());
        let e = or_hang("the stream", putting).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}");
    }
    assert_same(&kit.stored("k").unwrap().bytes(), &old);
    assert_eq!(std::fs::read(kit.path("f")).unwrap(), b"old");
}

/// Options reach the object.
#[tokio::test]
async fn attributes_are_set() {
    let kit = Kit::new().await;
    let mut options = PutOptions::default();
    options.attributes.content_type = Some("text/x-test".to_owned());
    options.attributes.metadata.insert("colour".to_owned(), "blue".to_owned());
    kit.haul.put_stream(&s3("k.txt"), pieces(pattern(9), 4), options).await.unwrap();
    let stored = kit.stored("k.txt").unwrap();
    assert_eq!(stored.attributes.content_type.as_deref(), Some("text/x-test"));
    assert_eq!(stored.metadata("colour"), Some("blue"));
}

#[tokio::test]
async fn a_bucket_is_no_object() {
    let kit = Kit::new().await;
    let e = kit.haul.put(&s3(""), "x").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid, "{e}");
}

/// S1.7, S1.8, S1.12: by the names that programs look for; the type is the caller's, or the name's.
#[tokio::test]
async fn files_are_uploaded_by_key() {
    let kit = Kit::new().await;
    let (_, small) = kit.file("small.txt", 10 * KIB);
    let (_, large) = kit.file("large.mp4", 2 * PART + 1);
    let uploader = StreamingUploader::new(&kit.haul, BUCKET);
    let report = uploader.upload_file("a/large", kit.path("large.mp4"), None).await.unwrap();
    assert_eq!(report.bytes, 2 * PART + 1);
    kit.haul.upload_file(BUCKET, "small", kit.path("small.txt"), Some("text/x")).await.unwrap();
    for (key, content, content_type) in
        [("a/large", large, "video/mp4"), ("small", small, "text/x")]
    {
        let stored = kit.stored(key).unwrap();
        assert_same(&stored.bytes(), &content);
        assert_eq!(stored.attributes.content_type.as_deref(), Some(content_type));
    }
    // S1.10: what is below the part size is one request.
    assert_eq!((kit.count(Op::PutObject), kit.count(Op::UploadPart)), (1, 3));
}

/// S1.13, S1.14: the store copies by itself.
#[tokio::test]
async fn objects_are_copied_by_key() {
    let kit = Kit::new().await;
    let (_, content) = kit.object("from", 10 * KIB);
    let report = kit.haul.copy_object(BUCKET, "from", "to").await.unwrap();
    assert_eq!((report.bytes, kit.count(Op::CopyObject)), (10 * KIB, 1));
    assert_eq!(kit.count(Op::GetObject) + kit.count(Op::PutObject), 0);
    assert_same(&kit.stored("to").unwrap().bytes(), &content);
    let rule = Rule::on(Op::CopyObject).always().then(Fault::status(403));
    kit.server.faults().add(rule);
    let e = kit.haul.copy_object(BUCKET, "from", "other").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::AccessDenied, "{e}");
}
