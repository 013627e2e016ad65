//! Looking around: `ls`, `du`, and buckets.

use crate::harness::{BUCKET, World};

fn world_with_keys(world: &World) {
    for (key, size) in [("a.txt", 5), ("p/b", 2048), ("p/q/c", 1), ("z", 0)] {
        world.put(key, vec![b'x'; size]);
    }
}

/// The columns behind the time.
fn columns(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test]
async fn ls_shows_a_level_or_all() {
    let world = World::new().await;
    world_with_keys(&world);
    let top = world.haul(["ls", "s3://bucket"]).run().await;
    let lines: Vec<_> = top.quiet().out().lines().map(columns).collect();
    assert_eq!(lines.len(), 3, "{top}");
    assert_eq!(lines[0][1..], ["5", "B", "a.txt"], "{top}");
    assert_eq!(lines[1], ["p/"], "{top}");
    assert!(lines[0][0].ends_with('Z') && lines[2][3] == "z", "{top}");
    let all = world.haul(["ls", "-r", "--bytes", "s3://bucket/p/"]).run().await;
    let lines: Vec<_> = all.quiet().out().lines().map(columns).collect();
    assert_eq!((lines[0][1], lines[0][2], lines[1][2]), ("2048", "b", "q/c"), "{all}");
    let json = world.haul(["ls", "--json", "s3://bucket/p/"]).run().await;
    let all = json.quiet().json();
    assert_eq!((&all[0]["type"], &all[1]["type"]), (&"file".into(), &"prefix".into()), "{json}");
    assert_eq!(all[0]["location"], "s3://bucket/p/b");
    assert_eq!((&all[0]["size"], all[0]["etag"].is_string()), (&2048.into(), true));
    let big = world.haul(["ls", "-r", "--min-size", "1KiB", "s3://bucket"]).run().await;
    assert_eq!(big.quiet().out().lines().count(), 1, "{big}");
    world.refuses(["ls", "s3://bucket/none/"], 4, "cannot list s3://bucket/none/: *").await;
    world.refuses(["ls", "s3://none"], 4, "cannot list s3://none*").await;
}

#[tokio::test]
async fn ls_of_buckets_and_of_versions() {
    let world = World::new().await;
    let done = world.haul(["ls"]).run().await;
    assert!(done.quiet().out().ends_with("  s3://bucket\n"), "{done}");
    let json = world.haul(["ls", "--json"]).run().await;
    let all = json.quiet().json();
    assert_eq!((&all[0]["type"], &all[0]["location"]), (&"bucket".into(), &"s3://bucket".into()));
    world.server.store().set_versioning(BUCKET, true);
    world.put("v", "1");
    world.put("v", "22");
    world.haul(["rm", "s3://bucket/v"]).run().await.ok();
    let done = world.haul(["ls", "--versions", "--json", "s3://bucket/v"]).run().await;
    let types: Vec<_> = done.quiet().json().iter().map(|l| l["type"].clone()).collect();
    assert_eq!(types, ["delete_marker", "file", "file"], "{done}");
    assert!(done.json()[1]["version_id"].is_string(), "{done}");
    world.put("another", "3");
    let done = world.haul(["ls", "--versions", "s3://bucket"]).run().await;
    let lines: Vec<_> = done.quiet().out().lines().collect();
    let names = lines.iter().map(|line| line.rfind("  ").unwrap());
    assert_eq!(names.collect::<std::collections::BTreeSet<_>>().len(), 1, "a column: {done}");
    assert!(lines.iter().all(|line| line.ends_with("  v") || line.ends_with("  another")));
    world.haul(["rm", "--all-versions", "s3://bucket/v"]).run().await.ok();
    let gone = world.haul(["ls", "--versions", "s3://bucket/v"]).run().await;
    gone.ended(4);
}

/// Several places, one after the other; one that is not there stops no other.
#[tokio::test]
async fn several_places() {
    let world = World::new().await;
    world_with_keys(&world);
    let done =
        world.haul(["ls", "s3://bucket/p/", "s3://bucket/none/", "s3://bucket/z"]).run().await;
    let lines: Vec<_> = done.ended(1).out().lines().collect();
    assert_eq!(lines[0], "s3://bucket/p/:", "{done}");
    assert!(lines.contains(&"s3://bucket/z:") && lines.last().unwrap().ends_with("  z"), "{done}");
    assert!(done.err.starts_with("haul: cannot list s3://bucket/none/: "), "{done}");
    let done = world.haul(["du", "--bytes", "s3://bucket/p/", "s3://bucket/p/q"]).run().await;
    let sizes: Vec<_> = done.quiet().out().lines().map(|l| columns(l)[0]).collect();
    assert_eq!(sizes, ["2049", "1"], "{done}");
    let done = world.haul(["stat", "s3://bucket/a.txt", "s3://bucket/z", "--json"]).run().await;
    assert_eq!(done.quiet().json().len(), 2, "{done}");
}

#[tokio::test]
async fn du_adds_up() {
    let world = World::new().await;
    world_with_keys(&world);
    let done = world.haul(["du", "--json", "s3://bucket"]).run().await;
    let all = done.quiet().json();
    assert_eq!((&all[0]["bytes"], &all[0]["files"]), (&2054.into(), &4.into()), "{done}");
    let done = world.haul(["du", "--bytes", "--depth", "2", "s3://bucket"]).run().await;
    let lines: Vec<_> = done.quiet().out().lines().map(columns).collect();
    assert_eq!(lines[0], ["2049", "2", "files", "s3://bucket/p/"], "{done}");
    assert_eq!(lines[1], ["1", "1", "file", "s3://bucket/p/q/"], "{done}");
    assert_eq!(lines[2], ["2054", "4", "files", "s3://bucket"], "{done}");
    world.file("t/a", "12345");
    let done = world.haul(["du", "--bytes", "t"]).run().await;
    assert_eq!(columns(done.quiet().out())[..3], ["5", "1", "file"], "{done}");
}

#[tokio::test]
async fn buckets_come_and_go() {
    let world = World::new().await;
    let rule = "cannot create s3://js: *: a bucket's name has 3 to 63 lowercase letters*";
    world.refuses(["mb", "s3://js"], 1, rule).await;
    world.haul(["mb", "s3://fresh"]).run().await.ok();
    let done = world.haul(["rb", "s3://fresh"]).run().await;
    assert_eq!(done.quiet().out(), "removed s3://fresh\n");
    world.put("k", "x");
    let done = world.haul(["rb", "s3://bucket"]).run().await;
    assert!(done.code != 0 && done.err.starts_with("haul: cannot remove s3://bucket: "), "{done}");
    world.refuses(["rb", "s3://bucket/k"], 2, "*it is no bucket*").await;
}
