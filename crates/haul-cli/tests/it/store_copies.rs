//! From store to store.

use haul_testkit::memory::Attributes;
use haul_testkit::{Fault, Op, Rule, StoreRules, sizes};

use crate::harness::{BUCKET, MIB, World};

fn attributes() -> Attributes {
    let mut a = Attributes {
        content_type: Some("text/x-test".into()),
        cache_control: Some("max-age=60".into()),
        content_disposition: Some("inline".into()),
        content_encoding: Some("gzip".into()),
        content_language: Some("de".into()),
        ..Attributes::default()
    };
    a.metadata.insert("owner".into(), "me".into());
    a
}

fn assert_carried(world: &World, key: &str) {
    let stored = world.server.store().object(BUCKET, key).unwrap();
    let (a, expected) = (&stored.attributes, attributes());
    assert_eq!(a.content_type, expected.content_type);
    assert_eq!(a.cache_control, expected.cache_control);
    assert_eq!(a.content_disposition, expected.content_disposition);
    assert_eq!(a.content_encoding, expected.content_encoding);
    assert_eq!(a.content_language, expected.content_language);
    assert_eq!(a.metadata, expected.metadata);
}

/// S1.3, S1.14, X1.4: no byte passes through here, and nothing is lost on the way.
#[tokio::test]
async fn within_a_store() {
    let world = World::new().await;
    let bytes = sizes::pattern(12 * MIB, 23);
    world.server.store().put_with(BUCKET, "dir/k ü+%", bytes.clone(), attributes());
    world.server.store().create_bucket("other");
    for threshold in ["5GiB", "5MiB"] {
        let more = ["--multipart-copy-threshold", threshold, "--part-size", "5MiB"];
        let args = ["cp", "s3://bucket/dir/k ü+%", "s3://bucket/copy"].into_iter().chain(more);
        let done = world.haul(args).run().await;
        assert!(!done.ok().err.contains("verified: size only"), "{done}");
        assert!(world.stored("copy") == bytes);
        assert_carried(&world, "copy");
        let into = ["cp", "s3://bucket/dir/k ü+%", "s3://other/into/"].into_iter().chain(more);
        world.haul(into).run().await.ok();
        assert!(world.server.store().object("other", "into/k ü+%").unwrap().bytes() == bytes);
    }
    let calls = world.server.calls();
    assert_eq!(calls.count(Op::GetObject), 0);
    assert_eq!((calls.count(Op::CopyObject), calls.count(Op::UploadPartCopy)), (2, 6));
    world.assert_clean();
}

/// A flag changes what it names, and nothing else.
#[tokio::test]
async fn a_flag_replaces_one_attribute() {
    let world = World::new().await;
    world.server.store().put_with(BUCKET, "k", vec![1; 8 * MIB], attributes());
    for threshold in ["5GiB", "5MiB"] {
        let args = ["cp", "s3://bucket/k", "s3://bucket/copy", "--cache-control", "no-store"];
        let args = args.into_iter().chain(["--multipart-copy-threshold", threshold]);
        world.haul(args).run().await.ok();
        let a = world.server.store().object(BUCKET, "copy").unwrap().attributes;
        assert_eq!(a.cache_control.as_deref(), Some("no-store"));
        assert_eq!(a.content_type.as_deref(), Some("text/x-test"));
        assert_eq!(a.metadata, attributes().metadata);
    }
}

#[tokio::test]
async fn a_store_that_cannot_copy_in_parts() {
    let world = World::with(StoreRules { upload_part_copy: false, ..StoreRules::default() }).await;
    let bytes = sizes::pattern(20 * MIB, 29);
    world.server.store().put_with(BUCKET, "k", bytes.clone(), attributes());
    let args = ["cp", "s3://bucket/k", "s3://bucket/copy", "--multipart-copy-threshold", "5MiB"];
    let done = world.haul(args).run().await;
    assert!(done.ok().err.starts_with("haul: the store cannot copy by itself"), "{done}");
    assert!(world.stored("copy") == bytes);
    assert_carried(&world, "copy");
    world.assert_clean();
}

/// X1.1: a copy that fails with status 200.
#[tokio::test]
async fn a_failure_in_a_copy_is_seen() {
    let world = World::new().await;
    world.put("k", vec![1; 12 * MIB]);
    let broken = || Fault::OkWithError("InternalError".into());
    for op in [Op::CopyObject, Op::UploadPartCopy, Op::CompleteMultipartUpload] {
        world.server.faults().clear();
        world.server.faults().add(Rule::on(op).always().then(broken()));
        let threshold = if op == Op::CopyObject { "5GiB" } else { "5MiB" };
        let args = ["cp", "-q", "--retries", "1", "s3://bucket/k", "s3://bucket/copy"];
        let args = args.into_iter().chain(["--multipart-copy-threshold", threshold]);
        let done = world.haul(args).run().await;
        done.failed(1, "cannot * s3://bucket/*: InternalError: * (gave up after 2 tries)");
        assert_eq!(world.server.store().keys(BUCKET), ["k"]);
        world.assert_clean();
    }
}

/// Between stores the bytes pass through here, and take everything along.
#[tokio::test]
async fn between_two_stores() {
    let (here, there) = (World::new().await, World::new().await);
    for (size, extra) in [(0, None), (4, None), (20 * MIB, None), (20 * MIB, Some("-c1"))] {
        let bytes = sizes::pattern(size, 31);
        here.server.store().put_with(BUCKET, "k", bytes.clone(), attributes());
        let (source, dest) = (here.server.endpoint_url(), there.server.endpoint_url());
        let both = ["--source-endpoint-url", &source, "--dest-endpoint-url", &dest];
        let args = ["cp", "s3://bucket/k", "s3://bucket/p/"].into_iter().chain(both).chain(extra);
        let run = here.haul(args).without("AWS_ENDPOINT_URL");
        let done = run.run().await;
        assert_eq!(done.ok().out(), "s3://bucket/k -> s3://bucket/p/k\n");
        assert!(there.stored("p/k") == bytes, "{size}");
        assert_carried(&there, "p/k");
        there.assert_clean();
        assert_eq!(there.server.calls().count(Op::GetObject), 0);
    }
    let one = ["cp", "s3://bucket/k", "s3://bucket/q", "--dest-endpoint-url"];
    let dest = there.server.endpoint_url();
    here.haul(one.into_iter().chain([dest.as_str()])).run().await.ok();
    assert!(there.stored("q") == here.stored("k"));
    // The same object name in two stores is two objects.
    let same = ["cp", "s3://bucket/k", "s3://bucket/k", "--dest-endpoint-url", &dest];
    here.haul(same).run().await.ok();
    assert!(there.stored("k") == here.stored("k"));
}

/// A failed read leaves no half upload in the other store.
#[tokio::test]
async fn a_failure_between_stores_cleans_up() {
    let (here, there) = (World::new().await, World::new().await);
    here.put("k", vec![1; 40 * MIB]);
    let broken = Rule::on(Op::GetObject).nth(3).times(u32::MAX).then(Fault::status(503));
    here.server.faults().add(broken);
    let dest = there.server.endpoint_url();
    let args = ["cp", "-q", "--retries", "1", "s3://bucket/k", "s3://bucket/k"];
    let done = here.haul(args.into_iter().chain(["--dest-endpoint-url", &dest])).run().await;
    done.failed(1, "cannot read s3://bucket/k: *(gave up after 2 tries)");
    assert!(there.server.store().keys(BUCKET).is_empty());
    there.assert_clean();
}
