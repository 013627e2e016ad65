//! The hot requests, which are not made by the SDK: the store checks their signatures.
//!
//! Owns: what goes over the wire for every kind of key and client. Must never look at a clock.

use futures::StreamExt as _;
use haul_core::{Attributes, ByteRange, Opened, Result, Source as _};
use haul_s3::{ObjectId, Provider, S3Client, S3Options, S3Source};
use haul_testkit::{Call, Op, StoreRules, TestServer, sizes};

use crate::kit::{BUCKET, options, put, start, start_with};

const MIB: u64 = 1 << 20;

async fn client(server: &TestServer, change: impl FnOnce(&mut S3Options)) -> S3Client {
    let mut options = options(server);
    change(&mut options);
    S3Client::connect(&options).await.unwrap()
}

/// All of an object and one byte of it, by two requests.
async fn read(client: &S3Client, key: &str, size: u64) -> Result<Vec<u8>> {
    let source = S3Source::listed(client.clone(), ObjectId::new(BUCKET, key), size, None);
    let (opened, body) = source.open_whole().await?;
    let (Opened::Ranged(open), Some(mut body)) = (opened, body) else { unreachable!() };
    let mut all = Vec::new();
    while let Some(bytes) = body.next().await {
        all.extend_from_slice(&bytes?);
    }
    let mut one = open.read_at(ByteRange { start: 1, end: 2 }).await?;
    assert_eq!(one.next().await.unwrap()?, all[1..2]);
    Ok(all)
}

/// The hot ones among the requests, which have to be ours and to have gone well.
fn hot(server: &TestServer) -> Vec<Call> {
    let hot = |op| matches!(op, Op::GetObject | Op::PutObject | Op::UploadPart);
    let calls: Vec<_> = server.calls().list().into_iter().filter(|c| hot(c.op())).collect();
    for call in &calls {
        assert!(call.header("user-agent").unwrap().starts_with("haul/"), "{call:?}");
        assert!(matches!(call.status, Some(200 | 206)), "{call:?}");
    }
    server.calls().clear();
    calls
}

#[tokio::test]
async fn every_key_can_be_signed() {
    let (server, client) = start().await;
    for key in sizes::ODD_KEYS {
        put(&client, key, 100, 5 * MIB, Attributes::default()).await.unwrap();
        let stored = server.store().object(BUCKET, key).unwrap().bytes().to_vec();
        assert_eq!(read(&client, key, 100).await.unwrap(), stored, "{key:?}");
        let calls = hot(&server);
        assert_eq!(calls.len(), 3, "{key:?}");
        assert!(calls.iter().all(|call| call.key() == Some(key)), "{key:?}");
    }
}

#[tokio::test]
async fn bodies_are_signed_if_asked_for_alone() {
    let (server, _) = start().await;
    for sign in [false, true] {
        let client = client(&server, |o| o.sign_payload = sign).await;
        for len in [0, 100, 11 * MIB] {
            put(&client, "k", len, 5 * MIB, Attributes::default()).await.unwrap();
            assert_eq!(server.store().object(BUCKET, "k").unwrap().bytes().len() as u64, len);
            for call in hot(&server) {
                let hash = call.header("x-amz-content-sha256").unwrap();
                assert_eq!(hash != "UNSIGNED-PAYLOAD", sign, "{call:?}");
                assert!(call.header("x-amz-checksum-crc64nvme").is_some());
            }
        }
    }
}

#[tokio::test]
async fn requests_without_a_signature_have_none() {
    let (server, _) = start_with(StoreRules { anonymous: true, ..StoreRules::default() }).await;
    let client = client(&server, |o| (o.no_sign_request, o.access_key) = (true, None)).await;
    put(&client, "k", 100, 5 * MIB, Attributes::default()).await.unwrap();
    read(&client, "k", 100).await.unwrap();
    let calls = hot(&server);
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| call.header("x-amz-date").is_none()));
}

/// Google's front end rewrites `Accept-Encoding`, so it is not signed; its store decodes what is stored
/// as gzip for whoever does not take gzip, so it is there (A.26).
#[tokio::test]
async fn what_a_front_end_rewrites_is_not_signed() {
    let (server, _) = start().await;
    server.store().put(BUCKET, "k", "hello");
    for (provider, sent) in [(Provider::Gcs, Some("gzip")), (Provider::Minio, Some("identity"))] {
        let client = client(&server, |o| o.provider = Some(provider)).await;
        read(&client, "k", 5).await.unwrap();
        assert!(hot(&server).iter().all(|call| call.header("accept-encoding") == sent));
    }
}

/// What the SDK sends, for all fields there are.
#[tokio::test]
async fn attributes_arrive_and_come_back() {
    let (server, client) = start().await;
    let mut attributes = Attributes::default();
    attributes.content_type = Some("text/plain; charset=utf-8".into());
    attributes.cache_control = Some("max-age=1".into());
    attributes.content_encoding = Some("gzip".into());
    attributes.content_disposition = Some("attachment; filename=\"a b\"".into());
    attributes.content_language = Some("en".into());
    attributes.metadata.insert("owner".into(), "  me  and  you ".trim().into());
    attributes.tags.insert("team".into(), "a&b".into());
    put(&client, "k", 100, 5 * MIB, attributes.clone()).await.unwrap();
    let source = S3Source::listed(client, ObjectId::new(BUCKET, "k"), 100, None);
    let (Opened::Ranged(open), _) = source.open_whole().await.unwrap() else { unreachable!() };
    let back = &open.meta().attributes;
    assert_eq!(back.content_type, attributes.content_type);
    assert_eq!(back.cache_control, attributes.cache_control);
    assert_eq!(back.content_encoding, attributes.content_encoding);
    assert_eq!(back.content_disposition, attributes.content_disposition);
    assert_eq!(back.content_language, attributes.content_language);
    assert_eq!(back.metadata["owner"], "me  and  you");
    let calls = hot(&server);
    assert_eq!(calls[0].header("x-amz-tagging"), Some("team=a%26b"));
}

/// A.26: whoever asks says that they pay, in every request that there is.
#[tokio::test]
async fn the_payer_is_named_in_every_request() {
    let (server, _) = start().await;
    for pays in [true, false] {
        let client = client(&server, |o| o.requester_pays = pays).await;
        put(&client, "k", 11 * MIB, 5 * MIB, Attributes::default()).await.unwrap();
        put(&client, "small", 100, 5 * MIB, Attributes::default()).await.unwrap();
        read(&client, "small", 100).await.unwrap();
        crate::kit::list(&client, crate::kit::spec("")).await.unwrap();
        let said = pays.then_some("requester");
        let calls = server.calls().list();
        assert!(calls.iter().all(|call| call.header("x-amz-request-payer") == said), "{pays}");
        server.calls().clear();
    }
}
