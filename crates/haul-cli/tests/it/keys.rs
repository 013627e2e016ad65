//! Keys are raw text: whatever S3 takes survives every verb, and nothing escapes a folder.

use futures::stream::{self, StreamExt as _};
use haul_testkit::Op;
use haul_testkit::sizes::{HOSTILE_KEYS, ODD_KEYS};

use crate::harness::{BUCKET, World};

async fn round_trip(world: &World, number: usize, key: &str) {
    let (uri, bytes) = (format!("s3://bucket/{key}"), format!("bytes of {number}"));
    let (source, back) = (format!("up-{number}"), format!("down-{number}"));
    if key.ends_with('/') {
        world.put(key, bytes.clone()); // to `cp` this means "into"
    } else {
        world.file(&source, &bytes);
        world.haul(["cp", &source, &uri]).run().await.ok();
    }
    assert_eq!(world.stored(key), bytes.as_bytes(), "{key:?} was stored as another");
    world.haul(["cp", &uri, &back]).run().await.ok();
    assert_eq!(std::fs::read(world.path(&back)).unwrap(), bytes.as_bytes(), "{key:?}");
    let cat = world.haul(["cat", &uri]).run().await;
    assert_eq!(cat.quiet().out(), bytes, "{key:?}");
    let stat = world.haul(["stat", "--json", &uri]).run().await;
    let stat: serde_json::Value = serde_json::from_str(stat.ok().out()).unwrap();
    assert_eq!(stat["size"], bytes.len(), "{key:?}");
    if !key.ends_with('/') {
        let copy = format!("{}~2", key.chars().take(200).collect::<String>());
        world.haul(["cp", &uri, &format!("s3://bucket/{copy}")]).run().await.ok();
        assert_eq!(world.stored(&copy), bytes.as_bytes(), "{key:?} was copied as another");
        world.server.store().remove(BUCKET, &copy);
    }
    world.haul(["rm", &uri]).run().await.ok();
    assert!(world.server.store().object(BUCKET, key).is_none(), "{key:?} is still there");
}

/// U3.2: keys are raw text.
#[tokio::test]
async fn odd_keys_survive_every_verb() {
    let world = World::new().await;
    let world = &world;
    let trips = stream::iter(ODD_KEYS.iter().enumerate());
    trips.map(|(number, key)| round_trip(world, number, key)).buffer_unordered(4).count().await;
    assert!(world.server.store().keys(BUCKET).is_empty());
    world.assert_clean();
}

/// A script that compares `location` has to find what it asked for.
#[tokio::test]
async fn json_carries_the_key_as_it_is() {
    let world = World::new().await;
    for key in ["new\nline", "tab\there", "quote\"d", "ünï"] {
        world.put(key, "data");
        let uri = format!("s3://bucket/{key}");
        let stat = world.haul(["stat", "--json", &uri]).run().await;
        let stat: serde_json::Value = serde_json::from_str(stat.ok().out()).unwrap();
        assert_eq!(stat["location"], *uri);
        let copy = world.haul(["cp", "--json", &uri, "x"]).run().await;
        let copy: serde_json::Value = serde_json::from_str(copy.ok().out()).unwrap();
        assert_eq!(copy["from"], *uri);
    }
}

/// Into a folder, the last segment is the name; it is not decoded and not normalised.
#[tokio::test]
async fn odd_keys_keep_their_last_segment() {
    let world = World::new().await;
    let safe = |key: &&&str| !key.ends_with('/') && !key.contains('\\') && key.len() <= 255;
    for (number, key) in ODD_KEYS.iter().filter(safe).enumerate() {
        world.put(key, *key);
        let folder = format!("into-{number}");
        world.haul(["cp", &format!("s3://bucket/{key}"), &format!("{folder}/")]).run().await.ok();
        let name = key.rsplit('/').next().unwrap();
        let content = std::fs::read(world.path(&folder).join(name));
        assert_eq!(content.unwrap_or_else(|e| panic!("{key:?}: {e}")), key.as_bytes());
        assert_eq!(std::fs::read_dir(world.path(folder)).unwrap().count(), 1);
    }
}

/// Whatever comes of it: nothing outside of the folder, and nothing but the object that was named.
#[tokio::test]
async fn hostile_keys_do_not_leave_the_folder() {
    let world = World::new().await;
    world.server.store().create_bucket("escape");
    for key in HOSTILE_KEYS {
        world.put(key, "right");
    }
    for key in ["escape", "k", "etc/passwd", "b"] {
        world.server.store().put("escape", key, "wrong");
    }
    std::fs::create_dir(world.path("into")).unwrap();
    let outside = || world.tree().into_keys().filter(|p| !p.starts_with("into/")).count();
    for key in HOSTILE_KEYS {
        let uri = format!("s3://bucket/{key}");
        let done = world.haul(["cp", &uri, "into"]).run().await;
        assert_eq!(outside(), 1, "{key:?} left the folder");
        match done.code {
            0 => {
                let names = std::fs::read_dir(world.path("into")).unwrap();
                let paths: Vec<_> = names.map(|e| e.unwrap().path()).collect();
                assert_eq!(paths.len(), 1, "{key:?}: {paths:?}");
                assert_eq!(std::fs::read(&paths[0]).unwrap(), b"right", "{key:?}");
                std::fs::remove_file(&paths[0]).unwrap();
            }
            code => drop(done.failed(code, "cannot *")),
        }
    }
    for key in ["a/..", "a/.", "..", ".", "a\\..\\b"] {
        let line =
            "cannot understand *: its key does not end in something that can be a file name*";
        world.refuses(["cp", &format!("s3://bucket/{key}"), "into/"], 2, line).await;
    }
}

/// A key with dots is that key, or an error; never an object of another bucket.
#[tokio::test]
async fn dots_do_not_reach_another_bucket() {
    let world = World::new().await;
    world.server.store().put("other", "key", "other");
    world.file("a", "data");
    for uri in
        ["s3://bucket/../other/key", "s3://bucket/x/../../other/key", "s3://bucket/./../other/key"]
    {
        for args in [&["cat", uri][..], &["rm", uri], &["stat", uri], &["cp", "a", uri]] {
            let done = world.haul(args).run().await;
            assert!(!done.out().contains("other\n") && done.out() != "other", "{done}");
        }
        world.haul(["cp", uri, "x"]).run().await;
    }
    let other = world.server.store().object("other", "key").unwrap();
    assert_eq!(other.bytes(), "other");
    let calls = world.server.calls();
    let strays: Vec<_> = calls.list().into_iter().map(|c| c.target.bucket).collect();
    assert!(strays.iter().all(|b| b.as_deref() == Some(BUCKET)), "{strays:?}");
    assert_eq!(calls.count(Op::Other), 0);
}
