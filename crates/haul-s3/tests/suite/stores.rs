//! Stores that differ: what the provider's row says is what goes over the wire.

use std::time::{Duration, SystemTime};

use haul_core::{Attributes, PlanPolicy, Source as _, Target as _, Verified};
use haul_s3::{ObjectId, Provider, S3Client, S3Source, S3Target};
use haul_testkit::{ChecksumSupport, Op, StoreRules};

use crate::kit::{BUCKET, options, put, start, start_with};

const MIB: u64 = 1 << 20;

async fn with(server: &haul_testkit::TestServer, provider: Provider) -> S3Client {
    let mut options = options(server);
    options.provider = Some(provider);
    S3Client::connect(&options).await.unwrap()
}

/// Google's store is not sent a checksum it would not check.
#[tokio::test]
async fn a_provider_without_checksums_is_not_sent_any() {
    for (len, ops) in
        [(100, [Op::PutObject; 2]), (11 * MIB, [Op::CreateMultipartUpload, Op::UploadPart])]
    {
        let rules =
            StoreRules { checksums: ChecksumSupport::NotImplemented, ..StoreRules::default() };
        let (server, _) = start_with(rules).await;
        let client = with(&server, Provider::Gcs).await;
        let verified = put(&client, "k", len, 5 * MIB, Attributes::default()).await.unwrap();
        assert_eq!(verified, Some(Verified::Size));
        for call in ops.into_iter().flat_map(|op| server.calls().of(op)) {
            assert_eq!(call.status, Some(200), "{call:?}");
            assert!(!call.headers.keys().any(|name| name.contains("checksum")), "{call:?}");
        }
    }
}

/// A refusal is learned once; nothing is ever sent as a trailer (X1.6).
#[tokio::test]
async fn a_refusal_is_learned() {
    for checksums in [ChecksumSupport::InvalidArgument, ChecksumSupport::NotImplemented] {
        let (server, client) = start_with(StoreRules { checksums, ..StoreRules::default() }).await;
        for len in [100, 11 * MIB] {
            put(&client, "k", len, 5 * MIB, Attributes::default()).await.unwrap();
        }
        let calls = server.calls().list();
        assert_eq!(calls.iter().filter(|call| call.status != Some(200)).count(), 1);
        assert!(calls.iter().all(|call| call.header("x-amz-trailer").is_none()));
        assert!(calls.iter().all(|call| call.header("content-encoding").is_none()));
    }
}

/// S1.20, S1.25, S1.36, X1.1: the rules of Cloudflare's R2 and of stores with few parts, enforced by a
/// double.
#[tokio::test]
async fn parts_are_equal_and_few_where_they_must_be() {
    let rules = StoreRules { equal_parts: true, max_parts: 3, ..StoreRules::default() };
    let (server, _) = start_with(rules).await;
    let mut options = options(&server);
    options.provider = Some(Provider::R2);
    options.max_parts = Some(3);
    let client = S3Client::connect(&options).await.unwrap();
    let limits = S3Target::new(client.clone(), ObjectId::new(BUCKET, "k")).limits();
    assert!(limits.equal_parts);
    assert_eq!(limits.max_parts, 3);
    let policy = PlanPolicy { part_size: 5 * MIB, explicit: false };
    let plan = haul_core::plan::plan(23 * MIB + 1, &limits, policy).unwrap();
    assert!(plan.chunks() <= 3);
    put(&client, "k", 14 * MIB, 5 * MIB, Attributes::default()).await.unwrap();
    assert_eq!(server.store().object(BUCKET, "k").unwrap().part_sizes.len(), 3);
}

/// rclone reads what is written here, and what rclone writes is read.
#[tokio::test]
async fn times_travel_as_metadata() {
    let (server, client) = start().await;
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_789);
    let mut attributes = Attributes::default();
    attributes.modified = Some(time);
    attributes.metadata.insert("owner".into(), "me".into());
    for len in [100, 11 * MIB] {
        put(&client, "k", len, 5 * MIB, attributes.clone()).await.unwrap();
        let stored = server.store().object(BUCKET, "k").unwrap();
        assert_eq!(stored.metadata("mtime"), Some("1500000000.123456789"));
        assert_eq!(stored.metadata("owner"), Some("me"));
        let source = S3Source::new(client.clone(), ObjectId::new(BUCKET, "k"));
        let haul_core::Opened::Ranged(open) = source.open().await.unwrap() else { panic!() };
        assert_eq!(open.meta().attributes.modified, Some(time));
        assert_eq!(open.meta().attributes.metadata["mtime"], "1500000000.123456789");
    }
}

/// Backblaze's store refuses even the question for a checksum.
#[tokio::test]
async fn a_store_that_is_not_to_be_asked_is_read_all_the_same() {
    let rules = StoreRules { checksums: ChecksumSupport::NotEvenAskedFor, ..StoreRules::default() };
    let (server, client) = start_with(rules).await;
    server.store().put(BUCKET, "k", "hello");
    let object = ObjectId::new(BUCKET, "k");
    let known = with(&server, Provider::B2).await;
    S3Source::new(known.clone(), object.clone()).open().await.unwrap();
    S3Source::listed(known, object.clone(), 5, None).open_whole().await.unwrap();
    // Of another name, it is found out: one failure, by HEAD or by GET, and none after it.
    for listed in [false, true] {
        let fresh = S3Client::connect(&options(&server)).await.unwrap();
        let source = if listed {
            S3Source::listed(fresh.clone(), object.clone(), 5, None)
        } else {
            S3Source::new(fresh.clone(), object.clone())
        };
        let e = source.open_whole().await.map(|_| ()).unwrap_err();
        assert_eq!(e.retry(), haul_core::Retry::Backoff, "{e}");
        source.open_whole().await.unwrap();
    }
    put(&client, "k", 100, 5 * MIB, Attributes::default()).await.unwrap();
}
