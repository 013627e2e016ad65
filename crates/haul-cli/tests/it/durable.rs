//! The order of fsync and rename, as the kernel sees it.

use crate::harness::{MIB, World};

/// The calls that matter, in order: `fsync file`, `rename`, `fsync folder`, `syncfs`.
async fn calls_of(world: &World, args: &[&str]) -> Option<Vec<String>> {
    let probe = world.program("sh", ["-c", "strace -qq -e trace=fsync true"]).run().await;
    if probe.code != 0 {
        eprintln!("skipped: strace not installed or not allowed: {}", probe.err.trim());
        return None;
    }
    let trace = "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlinkat,syncfs";
    let strace = ["-f", "-qq", "-y", "-e", trace, "-o", "trace", env!("CARGO_BIN_EXE_haul")];
    let args = strace.into_iter().chain(args.iter().copied());
    world.program("strace", args).run().await.ok();
    let log = std::fs::read_to_string(world.path("trace")).unwrap();
    std::fs::remove_file(world.path("trace")).unwrap();
    Some(log.lines().filter_map(call).collect())
}

fn call(line: &str) -> Option<String> {
    // "PID fsync(9</tmp/dir/.haul-x>) = 0", the end perhaps on a line of its own.
    let line = line.split_once(' ').map(|(_, rest)| rest.trim_start())?;
    let (name, rest) = line.split_once('(')?;
    let on_staged = rest.split(')').next()?.contains(".haul-");
    Some(match name {
        "fsync" | "fdatasync" if on_staged => "sync file".to_owned(),
        "fsync" | "fdatasync" => "sync folder".to_owned(),
        "rename" | "renameat" | "renameat2" => "rename".to_owned(),
        "???" => return None, // a thread that ended together with the process
        other => other.to_owned(),
    })
}

/// U3.3: a file is on the disk before it has its name.
#[tokio::test]
async fn durable_before_visible() {
    let world = World::new().await;
    for size in [0, 1, 20 * MIB] {
        world.put("k", vec![1; size]);
        world.file("a", vec![1; size]);
        world.file("old", "old");
        for policy in ["auto", "always"] {
            for from in ["s3://bucket/k", "a"] {
                let args = ["cp", "--fsync", policy, from, "old"];
                let Some(calls) = calls_of(&world, &args).await else { return };
                assert_eq!(calls, ["sync file", "rename", "sync folder"], "{policy} {size} {from}");
            }
        }
        let Some(calls) = calls_of(&world, &["cp", "s3://bucket/k", "new"]).await else { return };
        assert_eq!(calls, ["sync file", "rename", "sync folder"], "by default");
        std::fs::remove_file(world.path("new")).unwrap();
        let args = ["cp", "-n", "s3://bucket/k", "new"];
        let Some(calls) = calls_of(&world, &args).await else { return };
        let ends = (calls.first().map(String::as_str), calls.last().map(String::as_str));
        assert_eq!(ends, (Some("sync file"), Some("sync folder")), "-n: {calls:?}");
        std::fs::remove_file(world.path("new")).unwrap();
        let args = ["cp", "--fsync", "never", "s3://bucket/k", "old"];
        let Some(calls) = calls_of(&world, &args).await else { return };
        assert_eq!(calls, ["rename"], "never");
    }
}

/// A file in a folder that a power cut takes away is gone too: each new folder's name lives in the
/// folder above it.
#[tokio::test]
async fn new_folders_are_durable_too() {
    let world = World::new().await;
    world.put("k", "data");
    let Some(calls) = calls_of(&world, &["cp", "s3://bucket/k", "new/deep/x"]).await else {
        return;
    };
    let folders = calls.iter().filter(|c| *c == "sync folder").count();
    assert_eq!(folders, 3, "new/deep, new, and where new is: {calls:?}");
}
