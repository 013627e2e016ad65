//! Shares of a job, as docs/scaling.md promises them.

use std::collections::BTreeSet;

use haul_testkit::Op;
use serde_json::Value;

use crate::harness::{BUCKET, Done, World};

/// The paths that a run names as what it takes, in its results or in what it would do.
fn taken(done: &Done) -> Vec<String> {
    let from = |l: &Value| l["from"].as_str().or_else(|| l["location"].as_str()).map(str::to_owned);
    done.ok().json().iter().filter(|l| l["type"] != "summary").filter_map(from).collect()
}

/// Runs all shares of a command, which have to be disjoint, and gives back what they took.
async fn shares(world: &World, count: usize, args: &[&str]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for index in 0..count {
        let shard = format!("{index}/{count}");
        let done = world.haul(args.iter().chain(&["--json", "--shard", &shard])).run().await;
        for path in taken(&done) {
            assert!(all.insert(path.clone()), "{path} is in two shares of {count}: {args:?}");
        }
    }
    all
}

/// What docs/scaling.md guarantees, through every command that takes shares.
#[tokio::test]
async fn shards_are_disjoint_and_complete() {
    let world = World::new().await;
    let mut files = BTreeSet::new();
    for i in 0..60 {
        let name = format!("t/{}/a file {i} ü+%", i % 7);
        let path = world.file(&name, format!("{i}"));
        // Older than any object: a file of the second of its upload would be looked at again.
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        files.insert(name);
    }
    let list: Vec<_> = files.iter().map(String::as_str).collect();
    world.file("list", list.join("\n"));
    let store = world.server.store();
    for count in [1, 3, 7] {
        let prefix = format!("{count}/");
        let (to, back) = (format!("s3://bucket/{prefix}"), format!("back{count}"));
        let below = |root: &str| -> BTreeSet<String> {
            files.iter().map(|f| f.replacen("t/", root, 1)).collect()
        };
        let dry = shares(&world, count, &["cp", "-r", "--dry-run", "t/", &to]).await;
        assert_eq!(dry, files);
        let sent = world.server.calls().count(Op::PutObject);
        assert_eq!(shares(&world, count, &["cp", "-r", "t/", &to]).await, files);
        assert_eq!(world.server.calls().count(Op::PutObject) - sent, files.len(), "each once");
        assert_eq!(store.keys(BUCKET).into_iter().collect::<BTreeSet<_>>(), below(&prefix));
        let same = shares(&world, count, &["check", "t", &to]).await;
        assert_eq!(same, files, "nothing is missing, nothing differs");
        let down = shares(&world, count, &["cp", "-r", &to, &back]).await;
        assert_eq!(down, below(&to));
        let args = ["cp", "--files-from", "list", "--dry-run", "out/"];
        assert_eq!(shares(&world, count, &args).await, files);
        let args = ["publish", "--dry-run", "t", "s3://bucket/links/"];
        assert_eq!(shares(&world, count, &args).await, files);
        // What the source does not have goes, and once.
        let extra: BTreeSet<_> = (0..20).map(|i| format!("{prefix}extra/{i}")).collect();
        for key in &extra {
            world.put(key, "x");
        }
        let args = ["sync", "--delete", "--max-delete", "20", "t", &to];
        let gone = shares(&world, count, &args).await;
        assert_eq!(gone, extra.iter().map(|key| format!("s3://bucket/{key}")).collect());
        assert_eq!(store.keys(BUCKET).len(), files.len());
        // The same path, the same share, whatever is done with it.
        for index in 0..count {
            let shard = format!("{index}/{count}");
            let of = async |args: &[&str]| {
                let more = ["--json", "--dry-run", "--shard", &shard];
                taken(&world.haul(args.iter().chain(&more)).run().await)
            };
            let up = of(&["sync", "t", "s3://bucket/new"]).await;
            let removed = of(&["rm", "-r", &to]).await;
            let expected: Vec<_> = up.iter().map(|f| f.replacen("t/", &to, 1)).collect();
            assert_eq!(removed, expected);
        }
        assert_eq!(shares(&world, count, &["rm", "-r", &to]).await, below(&to));
        assert!(store.keys(BUCKET).is_empty());
    }
}
