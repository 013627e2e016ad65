//! Standard input and output.

use std::process::Stdio;

use haul_testkit::{Op, sizes};
use tokio::io::AsyncReadExt as _;

use crate::harness::{BUCKET, MIB, World, within};

#[tokio::test]
async fn standard_input_of_any_length() {
    let world = World::new().await;
    let part = 8 * MIB;
    for size in [0, 1, part - 1, part, part + 1, 3 * part + 7] {
        let bytes = sizes::pattern(size, 11);
        let done = world.haul(["cp", "-", "s3://bucket/k"]).input(bytes.clone()).run().await;
        assert_eq!(done.ok().out(), "standard input -> s3://bucket/k\n", "{size}");
        assert!(world.stored("k") == bytes, "{size}");
        world.assert_clean();
        world.haul(["cp", "-", "x"]).input(bytes.clone()).run().await.ok();
        assert!(std::fs::read(world.path("x")).unwrap() == bytes, "{size}");
        let through = world.haul(["cp", "-", "-"]).input(bytes.clone()).run().await;
        assert!(through.ok().bytes == bytes, "{size}");
    }
    let puts = world.server.calls().of(Op::PutObject);
    let sizes: Vec<_> = puts.iter().map(|call| call.request_bytes).collect();
    let part = part as u64;
    assert_eq!(sizes, [0, 1, part - 1, part], "S1.10: what fits one part is one request");
}

#[tokio::test]
async fn an_expected_size_sets_the_parts() {
    let world = World::new().await;
    let bytes = sizes::pattern(20 * MIB, 13);
    let args = ["cp", "--expected-size", "100GiB", "-", "s3://bucket/k"];
    world.haul(args).input(bytes.clone()).run().await.ok();
    assert!(world.stored("k") == bytes);
    let parts = world.server.store().object(BUCKET, "k").unwrap().part_sizes;
    assert_eq!(parts, [11 << 20, 9 << 20], "100 GiB in 10,000 parts are 11 MiB each");
    for wrong in ["1MiB", "20MiB", "30MiB"] {
        let args = ["cp", "--expected-size", wrong, "-", "s3://bucket/k"];
        world.haul(args).input(bytes.clone()).run().await.ok();
        assert!(world.stored("k") == bytes, "{wrong}: a hint, not a promise");
    }
    let args = ["cp", "--expected-size", "6TiB", "-", "s3://bucket/x"];
    let done = world.haul(args).input("data").run().await;
    done.failed(2, "cannot start writing s3://bucket/x: * (*)");
    world.assert_clean();
}

#[tokio::test]
async fn an_empty_object() {
    let world = World::new().await;
    world.put("empty", "");
    world.haul(["cp", "s3://bucket/empty", "x"]).run().await.ok();
    assert_eq!(std::fs::read(world.path("x")).unwrap(), b"");
    let cat = world.haul(["cat", "s3://bucket/empty"]).run().await;
    assert_eq!(cat.quiet().bytes, b"");
    world.haul(["cp", "x", "s3://bucket/back"]).run().await.ok();
    world.haul(["cp", "s3://bucket/empty", "s3://bucket/copy"]).run().await.ok();
    assert_eq!((world.stored("back"), world.stored("copy")), (Vec::new(), Vec::new()));
    let done = world.haul(["cp", "--progress", "plain", "s3://bucket/empty", "x"]).run().await;
    assert!(!done.ok().err.contains("NaN"), "{done}");
    let done = world.haul(["stat", "s3://bucket/empty"]).run().await;
    assert!(done.quiet().out().contains("0 bytes"), "{done}");
}

/// `haul cat ... | head -c 10`
#[tokio::test]
async fn a_reader_that_has_enough_ends_it_quietly() {
    let world = World::new().await;
    world.put("k", sizes::pattern(40 * MIB, 17));
    for args in [["cat", "s3://bucket/k", "-v"], ["cp", "s3://bucket/k", "-"]] {
        let mut run = world.haul(args).spawn_unread();
        let mut stdout = run.child.stdout.take().unwrap();
        let mut first = [0; 10];
        within("ten bytes", stdout.read_exact(&mut first)).await.unwrap();
        drop(stdout);
        assert_eq!(first[..], sizes::pattern(10, 17));
        let done = run.end().await;
        assert_eq!(done.signalled, None, "{done}");
        done.quiet();
    }
}

/// Results that nobody reads: the work is done all the same, and there is nothing to say.
#[tokio::test]
async fn nobody_reads_the_results() {
    let world = World::new().await;
    world.put("k", "data");
    world.file("a", "data");
    for args in [
        &["stat", "s3://bucket/k"][..],
        &["stat", "--json", "s3://bucket/k"],
        &["cp", "-q", "a", "s3://bucket/up"],
        &["rm", "s3://bucket/k"],
        &["completions", "bash"],
        &["--help"],
        &["cp", "--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = world.haul(args).stdout(Stdio::from(writer)).run().await;
        assert_eq!(done.signalled, None, "{done}");
        done.quiet();
    }
    assert_eq!(world.server.store().keys(BUCKET), ["up"]);
}

/// A slow reader holds up the pipe, and no more than the budget piles up behind it.
#[tokio::test]
async fn a_slow_reader_gets_every_byte_in_order() {
    let world = World::new().await;
    let bytes = sizes::pattern(40 * MIB, 19);
    world.put("k", bytes.clone());
    let mut run = world.haul(["cat", "-c", "1", "s3://bucket/k"]).spawn_unread();
    let mut stdout = run.child.stdout.take().unwrap();
    let (mut all, mut some) = (Vec::new(), vec![0; 4096]);
    loop {
        let n = within("more", stdout.read(&mut some)).await.unwrap();
        if n == 0 {
            break;
        }
        all.extend_from_slice(&some[..n]);
    }
    assert!(all == bytes);
    run.end().await.quiet();
}
