//! What travels with the bytes.

use haul_testkit::StoredObject;

use crate::harness::{BUCKET, MIB, World};

fn object(world: &World, key: &str) -> StoredObject {
    world.server.store().object(BUCKET, key).unwrap()
}

const ALL: [&str; 20] = [
    "--content-type",
    "text/x-test; charset=utf-8",
    "--cache-control",
    "max-age=60, public",
    "--content-disposition",
    "attachment; filename=\"a b\"",
    "--content-encoding",
    "gzip",
    "--metadata",
    "Owner=me and you",
    "--metadata",
    "empty=",
    "--tags",
    "team=blue & green",
    "--tags",
    "k=v=w",
    "--storage-class",
    "STANDARD_IA",
    "--sse-kms-key-id",
    "key-1",
];

#[track_caller]
fn assert_all(object: &StoredObject) {
    let a = &object.attributes;
    assert_eq!(a.content_type.as_deref(), Some("text/x-test; charset=utf-8"));
    assert_eq!(a.cache_control.as_deref(), Some("max-age=60, public"));
    assert_eq!(a.content_disposition.as_deref(), Some("attachment; filename=\"a b\""));
    assert_eq!(a.content_encoding.as_deref(), Some("gzip"));
    assert_eq!(a.storage_class.as_deref(), Some("STANDARD_IA"));
    assert_eq!(a.encryption.as_deref(), Some("aws:kms"));
    assert_eq!(a.kms_key_id.as_deref(), Some("key-1"));
    assert_eq!(object.metadata("owner"), Some("me and you"));
    assert_eq!(object.metadata("empty"), Some(""));
    let tag = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let mut tags = object.tags.clone();
    tags.sort();
    assert_eq!(tags, [tag("k", "v=w"), tag("team", "blue & green")]);
}

#[tokio::test]
async fn flags_reach_the_store_on_every_way_up() {
    let world = World::new().await;
    for size in [4, 20 * MIB] {
        world.file("a.html", vec![1; size]);
        let with = |from: &'static str| ["cp", from, "s3://bucket/k"].into_iter().chain(ALL);
        world.haul(with("a.html")).run().await.ok();
        assert_all(&object(&world, "k"));
        world.server.store().remove(BUCKET, "k");
        world.haul(with("-")).input(vec![1; size]).run().await.ok();
        assert_all(&object(&world, "k"));
        world.server.store().remove(BUCKET, "k");
    }
}

#[tokio::test]
async fn flags_reach_the_store_on_copies_within_it() {
    let world = World::new().await;
    for threshold in ["1MiB", "1GiB"] {
        world.put("source", vec![1; 8 * MIB]);
        let args = ["cp", "s3://bucket/source", "s3://bucket/k"].into_iter().chain(ALL);
        let args = args.chain(["--multipart-copy-threshold", threshold]);
        world.haul(args).run().await.ok();
        assert_all(&object(&world, "k"));
        world.server.store().remove(BUCKET, "k");
    }
}

/// U0.2: so that links play in a browser.
#[tokio::test]
async fn the_content_type_is_guessed_by_name() {
    let world = World::new().await;
    for (name, expected) in [
        ("a.html", Some("text/html")),
        ("a.PNG", Some("image/png")),
        ("film.mp4", Some("video/mp4")),
        ("data.json", Some("application/json")),
        ("unknown", None),
    ] {
        for size in [4, 20 * MIB] {
            world.file(name, vec![1; size]);
            world.haul(["cp", name, "s3://bucket/k"]).run().await.ok();
            let stored = object(&world, "k").attributes.content_type;
            match expected {
                Some(expected) => assert_eq!(stored.as_deref(), Some(expected), "{name}"),
                None => assert_ne!(stored.as_deref(), Some("text/html")),
            }
        }
    }
}

/// The key has a name too, where the source has none.
#[tokio::test]
async fn the_content_type_of_a_stream_is_guessed_by_key() {
    let world = World::new().await;
    world.haul(["cp", "-", "s3://bucket/page.html"]).input("data").run().await.ok();
    let stored = object(&world, "page.html").attributes.content_type;
    assert_eq!(stored.as_deref(), Some("text/html"));
}

#[tokio::test]
async fn stat_shows_what_is_stored() {
    let world = World::new().await;
    world.file("a", "data");
    world.haul(["cp", "a", "s3://bucket/k"].into_iter().chain(ALL)).run().await.ok();
    let done = world.haul(["stat", "s3://bucket/k"]).run().await;
    let etag = object(&world, "k").etag;
    for part in
        ["s3://bucket/k\n", "4 bytes", "text/x-test", &etag, "owner=me and you", "CRC64NVME"]
    {
        assert!(done.quiet().out().contains(part), "no {part}: {done}");
    }
    assert!(done.out().contains("STANDARD_IA"), "{done}");
}

/// S3.2: `--version-id` reads the version that it names.
#[tokio::test]
async fn versions_can_be_named() {
    let world = World::new().await;
    let store = world.server.store();
    store.set_versioning(BUCKET, true);
    world.put("k", "first");
    world.put("k", "second!");
    let first = store.versions(BUCKET, "k")[0].clone().unwrap().version_id;
    let version = ["--version-id", &first];
    let cat = world.haul(["cat", "s3://bucket/k"].into_iter().chain(version)).run().await;
    assert_eq!(cat.quiet().out(), "first");
    world.haul(["cp", "s3://bucket/k", "x"].into_iter().chain(version)).run().await.ok();
    assert_eq!(std::fs::read(world.path("x")).unwrap(), b"first");
    let stat = world.haul(["stat", "s3://bucket/k"].into_iter().chain(version)).run().await;
    assert!(stat.quiet().out().contains("5 bytes") && stat.out().contains(&first), "{stat}");
    let copy = ["cp", "s3://bucket/k", "s3://bucket/copy"].into_iter().chain(version);
    world.haul(copy).run().await.ok();
    assert_eq!(world.stored("copy"), b"first");
    // Back to the first version, in place.
    let back = ["cp", "s3://bucket/k", "s3://bucket/k"].into_iter().chain(version);
    world.haul(back).run().await.ok();
    assert_eq!(world.stored("k"), b"first");
    assert_eq!(store.versions(BUCKET, "k").len(), 3);
    world.haul(["rm", "s3://bucket/k"].into_iter().chain(version)).run().await.ok();
    assert_eq!(store.versions(BUCKET, "k").len(), 2);
    let gone = world.haul(["cat", "s3://bucket/k"].into_iter().chain(version)).run().await;
    gone.failed(4, "cannot open s3://bucket/k*: no such *");
}
