//! Very many files: shares of them, order, retries, and ends before the end.

use std::collections::BTreeSet;
use std::time::Duration;

use haul_testkit::{Fault, Op, Rule};
use rustix::process::Signal;

use crate::harness::{BUCKET, Done, MIB, World, within};

fn lines(done: &Done) -> Vec<&str> {
    done.out().lines().collect()
}

/// Shares are disjoint, and together they are everything: up, down and from a manifest.
#[tokio::test]
async fn shards_add_up() {
    let world = World::new().await;
    for i in 0..60 {
        world.file(format!("t/sub{}/{i}", i % 7), "x");
    }
    world.haul(["cp", "-r", "t/", "s3://bucket/"]).run().await.ok();
    let keys = world.server.store().keys(BUCKET);
    let list: Vec<_> = keys.iter().map(|key| format!("s3://bucket/{key}")).collect();
    world.file("list", list.join("\n"));
    for from in [&["-r", "t"][..], &["-r", "s3://bucket"], &["--files-from", "list"]] {
        let (mut all, mut count) = (BTreeSet::new(), 0);
        for shard in ["0/3", "1/3", "2/3"] {
            let flags = ["cp", "--dry-run", "--shard", shard];
            let args = flags.iter().chain(from).chain(&["out/"]);
            let done = world.haul(args).run().await;
            let taken = lines(done.ok());
            count += taken.len();
            all.extend(taken.into_iter().map(|l| l.split(' ').nth(2).unwrap().to_owned()));
        }
        assert_eq!((all.len(), count), (60, 60), "{from:?}");
    }
}

/// More items than there are credits, in both phases of a sync: results are bounded, not stuck.
#[tokio::test]
async fn many_to_copy_and_many_to_remove() {
    let world = World::new().await;
    for i in 0..4200 {
        world.file(format!("t/a{i}"), "");
        world.put(&format!("p/b{i}"), "");
    }
    let args = ["sync", "--dry-run", "--delete", "t", "s3://bucket/p"];
    let done = world.haul(args).run().await;
    assert_eq!(lines(done.ok()).len(), 8400);
    assert!(lines(&done)[..4200].iter().all(|l| l.starts_with("would copy")), "in order");
    assert!(done.err.starts_with("4,200 would be copied, 4,200 would be removed in "), "{done}");
}

/// U0.6: Ctrl-C leaves no orphan parts, and says what was done until then.
#[tokio::test]
async fn an_interrupted_tree_cleans_up() {
    let world = World::new().await;
    world.file("t/a", "x");
    world.file("t/big", vec![1; 20 * MIB]);
    let stall = Rule::on(Op::UploadPart).always().then(Fault::Stall);
    let stalled = world.server.faults().add(stall);
    let run = world.haul(["cp", "-r", "t", "s3://bucket/"]).spawn();
    within("an upload", async {
        while world.server.store().uploads(BUCKET).is_empty()
            || world.server.store().object(BUCKET, "t/a").is_none()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The answer about the small file is on its way.
        tokio::time::sleep(Duration::from_millis(200)).await;
    })
    .await;
    run.signal(Signal::INT);
    let done = run.end().await;
    stalled.release();
    done.stopped(130);
    assert_eq!(done.out(), "t/a -> s3://bucket/t/a\n");
    assert!(done.err.contains("haul: stopped with 1 copied (1 B) in "), "{done}");
    world.assert_clean();
}

/// A reader that does not read holds up the job, but never Ctrl-C.
#[tokio::test]
async fn a_reader_that_sleeps_does_not_keep_it_from_ending() {
    let world = World::new().await;
    for i in 0..2000 {
        world.file(format!("t/a-name-that-takes-some-room-in-a-pipe-{i}"), "");
    }
    let run = world.haul(["cp", "-r", "--dry-run", "t", "s3://bucket/"]).spawn_unread();
    let mut run = run;
    let unread = run.child.stdout.take();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(run.child.try_wait().unwrap().is_none(), "its output fits into no pipe");
    run.signal(Signal::INT);
    tokio::time::sleep(Duration::from_millis(200)).await;
    if run.child.try_wait().unwrap().is_none() {
        run.signal(Signal::INT);
    }
    run.end().await.ended(130);
    drop(unread);
}

/// A thousand items that are all tried again are told once a second, and counted.
#[tokio::test]
async fn retries_of_many_are_told_sparingly() {
    let world = World::new().await;
    for i in 0..30 {
        world.file(format!("t/{i}"), "x");
        let key = format!("t/{i}");
        world.server.faults().add(Rule::on(Op::PutObject).key(key).then(Fault::status(503)));
    }
    let done = world.haul(["cp", "-r", "t", "s3://bucket/"]).run().await;
    assert!(done.ok().err.contains(", 30 retries"), "{done}");
    assert!(done.err.matches("try 2 follows").count() < 10, "{done}");
    let done = world.haul(["cp", "-r", "-v", "t", "s3://bucket/"]).run().await;
    done.ok();
}
