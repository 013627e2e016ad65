//! Ctrl-C and SIGTERM: stop, clean up, say how it ended.

use haul_testkit::{Fault, Op, Rule};
use rustix::process::Signal;

use crate::harness::{Done, MIB, Run, Running, World, within};

const BOTH: [(Signal, i32); 2] = [(Signal::INT, 130), (Signal::TERM, 143)];

/// Slow enough that no test sees the end of it.
const SLOW: [&str; 2] = ["--limit-rate", "1MB/s"];

async fn interrupted(world: &World, run: Run, during: Op, signal: Signal) -> Done {
    // A rule counts for ever; a call in flight is over as soon as socket buffers hold its body.
    let seen = world.server.faults().add(Rule::on(during).always().then(Fault::hook(|_| ())));
    let run = run.spawn();
    within("a request", seen.wait_hits(1)).await;
    run.signal(signal);
    run.end().await
}

/// U1.1: Ctrl-C leaves no parts.
#[tokio::test]
async fn in_the_middle_of_an_upload() {
    for (signal, code) in BOTH {
        let world = World::new().await;
        world.file("a", vec![1; 64 * MIB]);
        world.put("k", "old");
        let tree = world.tree();
        let args = ["cp", "a", "s3://bucket/k"].into_iter().chain(SLOW);
        let done = interrupted(&world, world.haul(args), Op::UploadPart, signal).await;
        assert_eq!(done.stopped(code).out(), "");
        assert_eq!(world.stored("k"), b"old");
        assert!(world.tree() == tree);
        world.assert_clean();
        assert_eq!(world.server.calls().count(Op::AbortMultipartUpload), 1);
    }
}

#[tokio::test]
async fn in_the_middle_of_a_single_request() {
    for (signal, code) in BOTH {
        let world = World::new().await;
        world.file("a", vec![1; 7 * MIB]);
        world.put("k", "old");
        let args = ["cp", "a", "s3://bucket/k", "--limit-rate", "100kB/s"];
        let done = interrupted(&world, world.haul(args), Op::PutObject, signal).await;
        done.stopped(code);
        assert_eq!(world.stored("k"), b"old");
    }
}

#[tokio::test]
async fn in_the_middle_of_a_download() {
    for (signal, code) in BOTH {
        let world = World::new().await;
        world.put("k", vec![1; 64 * MIB]);
        world.file("old", "old");
        let tree = world.tree();
        for to in ["old", "new", "new/deep/folder/"] {
            let args = ["cp", "s3://bucket/k", to].into_iter().chain(SLOW);
            let done = interrupted(&world, world.haul(args), Op::GetObject, signal).await;
            assert_eq!(done.stopped(code).out(), "");
            assert!(world.tree() == tree, "{to}: {:?}", world.tree().keys());
            world.server.calls().wait_idle().await;
        }
    }
}

#[tokio::test]
async fn in_the_middle_of_cat() {
    for (signal, code) in BOTH {
        let world = World::new().await;
        world.put("k", vec![1; 64 * MIB]);
        let args = ["cat", "s3://bucket/k"].into_iter().chain(SLOW);
        let done = interrupted(&world, world.haul(args), Op::GetObject, signal).await;
        assert!(done.stopped(code).bytes.len() < 64 * MIB);
    }
}

/// `haul cat big | less`, and Ctrl-C while the page is full: nothing is read, nothing moves.
#[tokio::test]
async fn while_nobody_reads_the_pipe() {
    let world = World::new().await;
    world.put("k", vec![1; 64 * MIB]);
    let mut run = world.haul(["cat", "s3://bucket/k"]).spawn_unread();
    let mut stdout = run.child.stdout.take().unwrap();
    let mut first = [0];
    // Its write has begun, and the pipe holds less than the chunk.
    within("a byte", tokio::io::AsyncReadExt::read_exact(&mut stdout, &mut first)).await.unwrap();
    run.signal(Signal::INT);
    run.end().await.stopped(130);
    drop(stdout);
}

#[tokio::test]
async fn while_a_copy_waits_for_the_store() {
    for (threshold, op) in [("5GiB", Op::CopyObject), ("5MiB", Op::UploadPartCopy)] {
        let world = World::new().await;
        world.put("k", vec![1; 12 * MIB]);
        world.server.faults().add(Rule::on(op).always().then(Fault::Stall));
        let args = ["cp", "s3://bucket/k", "s3://bucket/c", "--multipart-copy-threshold"];
        let run = world.haul(args.into_iter().chain([threshold]));
        interrupted(&world, run, op, Signal::INT).await.stopped(130);
        world.assert_clean();
    }
}

#[tokio::test]
async fn while_a_store_does_not_answer_at_all() {
    for (args, op) in [
        (&["cp", "s3://bucket/k", "x"][..], Op::HeadObject),
        (&["cat", "s3://bucket/k"], Op::HeadObject),
        (&["cp", "big", "s3://bucket/x"], Op::CompleteMultipartUpload),
    ] {
        let world = World::new().await;
        world.put("k", "data");
        world.file("big", vec![1; 12 * MIB]);
        let tree = world.tree();
        world.server.faults().add(Rule::on(op).always().then(Fault::Stall));
        let done = interrupted(&world, world.haul(args), op, Signal::INT).await;
        done.stopped(130);
        assert!(world.tree() == tree);
        world.assert_clean();
    }
}

/// `nohup haul ...`, and `haul ... &` in a script: what is ignored when it begins stays so.
#[tokio::test]
async fn signals_that_are_ignored_stay_ignored() {
    let world = World::new().await;
    world.put("k", vec![1; 12 * MIB]);
    let held = world.server.faults().add(Rule::on(Op::GetObject).then(Fault::Stall));
    let script = "trap '' HUP INT; exec $HAUL cp s3://bucket/k x";
    let run = world.program("sh", ["-c", script]).spawn();
    within("a request", held.wait_hits(1)).await;
    run.signal(Signal::HUP);
    run.signal(Signal::INT);
    held.release();
    run.end().await.ok();
    let held = world.server.faults().add(Rule::on(Op::GetObject).always().then(Fault::Stall));
    let run = world.program("sh", ["-c", script]).spawn();
    within("a request", held.wait_hits(1)).await;
    run.signal(Signal::TERM);
    run.end().await.stopped(143);
}

/// A retry that waits is no reason to wait.
#[tokio::test]
async fn while_it_backs_off() {
    let world = World::new().await;
    world.put("k", vec![1; 12 * MIB]);
    let busy = world
        .server
        .faults()
        .add(Rule::on(Op::GetObject).always().then(Fault::status(503).retry_after(50)));
    let run = world.haul(["cp", "-q", "s3://bucket/k", "x"]).spawn();
    within("a refusal", busy.wait_hits(1)).await;
    within("its end", world.server.calls().wait_idle()).await;
    run.signal(Signal::INT);
    run.end().await.stopped(130);
    world.assert_clean();
}

/// Standard input that brings nothing: the read cannot be broken off, the process can end.
#[tokio::test]
async fn while_standard_input_is_silent() {
    for (signal, code) in BOTH {
        let world = World::new().await;
        let mut run = world.haul(["cp", "--progress", "json", "-", "s3://bucket/k"]);
        run = run.open_input();
        let mut run = run.spawn_watched();
        let mut said = tokio::io::BufReader::new(run.child.stderr.take().unwrap());
        let mut line = String::new();
        let read = tokio::io::AsyncBufReadExt::read_line(&mut said, &mut line);
        within("a start", read).await.unwrap();
        assert!(line.contains("started"), "{line}");
        run.signal(signal);
        assert_eq!(run.end().await.code, code);
        assert!(world.server.store().keys("bucket").is_empty());
    }
}

async fn stalled_clean_up(world: &World) -> Running {
    world.file("a", vec![1; 64 * MIB]);
    let abort = Rule::on(Op::AbortMultipartUpload).always().then(Fault::Stall);
    let abort = world.server.faults().add(abort);
    let run = world.haul(["cp", "a", "s3://bucket/k"].into_iter().chain(SLOW)).spawn();
    within("a part", world.server.calls().wait_in_flight(Op::UploadPart, 1)).await;
    run.signal(Signal::INT);
    within("the clean-up", abort.wait_hits(1)).await;
    run
}

#[tokio::test]
async fn the_second_one_ends_it_at_once() {
    for (signal, _) in BOTH {
        let world = World::new().await;
        let run = stalled_clean_up(&world).await;
        run.signal(signal);
        // "Gave up cleaning up" would show that it waited for its own deadline.
        run.end().await.stopped(130);
    }
}

/// A clean-up that hangs is given up on, and what is left in the store is named.
#[tokio::test]
async fn a_clean_up_that_hangs_is_given_up_on() {
    let world = World::new().await;
    let done = stalled_clean_up(&world).await.end().await;
    assert_eq!(done.code, 130, "{done}");
    let last = done.err.lines().last().unwrap();
    let id = &world.server.store().uploads("bucket")[0].upload_id;
    assert!(last.contains("s3://bucket/k") && last.contains(id.as_str()), "{done}");
}

/// A.17: an upload that is being begun when it is interrupted may come to be all the same, and that is said.
#[tokio::test]
async fn a_beginning_that_hangs_is_told_of() {
    let world = World::new().await;
    world.file("a", vec![1; 12 * MIB]);
    let slow = Rule::on(Op::CreateMultipartUpload).always().then(Fault::Stall);
    let slow = world.server.faults().add(slow);
    let run = world.haul(["cp", "a", "s3://bucket/k"]).spawn();
    within("the beginning", slow.wait_hits(1)).await;
    run.signal(Signal::INT);
    let done = run.end().await;
    assert_eq!(done.code, 130, "{done}");
    assert!(done.err.contains("s3://bucket/k may be left behind"), "{done}");
}

/// Made-up data can be large; Ctrl-C must not leave it in the temporary folder.
#[tokio::test]
async fn the_demo_leaves_nothing() {
    let world = World::new().await;
    std::fs::create_dir(world.path("tmp")).unwrap();
    let run = world.haul(["demo", "--size", "2GiB"]).env("TMPDIR", world.path("tmp")).spawn();
    let made = async {
        let tmp = || std::fs::read_dir(world.path("tmp")).unwrap().filter_map(Result::ok);
        while !tmp().any(|folder| folder.path().join("data.bin").exists()) {
            tokio::task::yield_now().await;
        }
    };
    within("some data", made).await;
    run.signal(Signal::INT);
    assert_eq!(run.end().await.code, 130);
    assert_eq!(std::fs::read_dir(world.path("tmp")).unwrap().count(), 0, "left in TMPDIR");
}
