//! Copies within a store: what parts do not bring along, and what stores cannot do.

use haul_core::handle::JobContext;
use haul_core::{Attributes, Engine, EngineOptions, ErrorKind, PlanPolicy, Report, Result};
use haul_s3::{
    COPY_OBJECT_LIMIT, CopySpec, ObjectId, Provider, S3Client, copy, first_part_size,
    multipart_etag,
};
use haul_testkit::{Fault, Op, Rule, StoreRules, TestServer};
use tokio_util::sync::CancellationToken;

use crate::kit::{BUCKET, options, put, start, start_with};

const MIB: u64 = 1 << 20;

async fn copied(client: &S3Client, above: u64) -> Result<Report> {
    let mut options = EngineOptions::default();
    options.part = PlanPolicy { part_size: 5 * MIB, explicit: true };
    let spec = CopySpec {
        from: ObjectId::new(BUCKET, "from"),
        to: ObjectId::new(BUCKET, "to"),
        attributes: Attributes::default(),
        overwrite: true,
        expected_etag: None,
        keep_class: false,
        multipart_above: above,
    };
    let cx = JobContext::unwatched(CancellationToken::new());
    copy(&Engine::new(options), client.clone(), spec, cx).await
}

async fn with(server: &TestServer, provider: Provider) -> S3Client {
    let mut options = options(server);
    options.provider = Some(provider);
    S3Client::connect(&options).await.unwrap()
}

#[tokio::test]
async fn parts_bring_their_tags_along() {
    let (server, client) = start().await;
    let mut attributes = Attributes::default();
    attributes.tags.insert("team".into(), "a&b".into());
    put(&client, "from", 11 * MIB, 64 * MIB, attributes).await.unwrap();
    server.calls().clear();
    copied(&client, MIB).await.unwrap();
    let stored = server.store().object(BUCKET, "to").unwrap();
    assert_eq!(stored.tags, [("team".to_owned(), "a&b".to_owned())]);
    assert_eq!(stored.part_sizes.len(), 3);
    assert_eq!(server.calls().count(Op::ObjectTagging), 1);
    // One that cannot tell them copies without.
    let refuse = Rule::on(Op::ObjectTagging).then(Fault::status(501));
    server.faults().add(refuse);
    copied(&client, MIB).await.unwrap();
    assert!(server.store().object(BUCKET, "to").unwrap().tags.is_empty());
    // An object without any is not asked for them.
    server.store().put(BUCKET, "from", vec![0; 11 << 20]);
    server.calls().clear();
    copied(&client, MIB).await.unwrap();
    assert_eq!(server.calls().count(Op::ObjectTagging), 0);
}

#[tokio::test]
async fn a_store_without_part_copies_is_not_asked_for_one() {
    let (server, _) = start().await;
    let client = with(&server, Provider::Gcs).await;
    server.store().put_synthetic(BUCKET, "from", COPY_OBJECT_LIMIT);
    copied(&client, MIB).await.unwrap();
    assert_eq!(server.store().object(BUCKET, "to").unwrap().size(), COPY_OBJECT_LIMIT);
    assert_eq!(server.calls().count(Op::UploadPartCopy), 0);
    // One whose provider does not say so is found out, and the bytes go another way.
    let rules = StoreRules { upload_part_copy: false, ..StoreRules::default() };
    let (server, client) = start_with(rules).await;
    server.store().put_synthetic(BUCKET, "from", 11 * MIB);
    let e = copied(&client, MIB).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(server.store().uploads(BUCKET).is_empty());
}

#[tokio::test]
async fn copies_have_equal_parts_where_they_must() {
    let (server, _) = start_with(StoreRules { equal_parts: true, ..StoreRules::default() }).await;
    let client = with(&server, Provider::R2).await;
    server.store().put_synthetic(BUCKET, "from", 23 * MIB + 7);
    copied(&client, MIB).await.unwrap();
    let sizes = server.store().object(BUCKET, "to").unwrap().part_sizes;
    assert_eq!(sizes.len(), 5);
}

#[tokio::test]
async fn the_first_part_tells_how_an_etag_was_made() {
    let (server, client) = start().await;
    server.store().put(BUCKET, "from", haul_testkit::sizes::pattern(11 << 20, 5));
    let object = |key: &str| ObjectId::new(BUCKET, key);
    assert_eq!(first_part_size(&client, &object("from")).await.unwrap(), None);
    copied(&client, MIB).await.unwrap();
    assert_eq!(first_part_size(&client, &object("to")).await.unwrap(), Some(5 * MIB));
    let info = haul_s3::stat(&client, &object("to"), haul_core::Op::Stat).await.unwrap();
    assert_eq!(info.parts, Some(3));
    assert!(multipart_etag(&[[1; 16]; 3]).ends_with("-3"));
    let e = first_part_size(&client, &object("none")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}
