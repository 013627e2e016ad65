//! Standard input and output.

use std::process::Stdio;

use haul_testkit::{Fault, Op, Rule, sizes};
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

/// X3.3, U1.2: empty files both ways.
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

/// `haul cat ... | head -c 10` ends as `cat` does: quietly, and `pipefail` can tell (U3.1).
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
        assert_eq!(done.ended(141).err, "", "{done}");
    }
    let script = "set -o pipefail; $HAUL cat s3://bucket/k | head -c 10 > /dev/null";
    let done = world.program("bash", ["-c", script]).run().await;
    assert_eq!((done.code, done.err.as_str()), (141, ""), "{done}");
}

/// Results that nobody reads: what only tells has nothing left to do, and what changes something says
/// that nobody heard of it.
#[tokio::test]
async fn nobody_reads_the_results() {
    let world = World::new().await;
    world.put("k", "data");
    world.file("a", "data");
    world.file("t/a", "data");
    let unread = "haul: cannot write standard output: the reader went away\n";
    for (args, said) in [
        (&["stat", "s3://bucket/k"][..], ""),
        (&["stat", "--json", "s3://bucket/k"], ""),
        (&["ls", "s3://bucket"], ""),
        (&["check", "t", "s3://bucket/none"], ""),
        (&["cp", "a", "s3://bucket/up"], unread),
        (&["rm", "s3://bucket/k"], unread),
        (&["completions", "bash"], ""),
        (&["--help"], ""),
        (&["cp", "--help"], ""),
    ] {
        let done = world.haul(args).stdout(Stdio::from(closed())).run().await;
        assert_eq!(done.ended(141).err, said, "{done}");
    }
    assert_eq!(world.server.store().keys(BUCKET), ["up"]);
}

/// A pipe whose reader is gone.
fn closed() -> std::io::PipeWriter {
    let (_, writer) = std::io::pipe().unwrap();
    writer
}

/// G.3: `haul sync ... | grep -m1 x`: the work stops, says so and how far it came, and is no success.
#[tokio::test]
async fn work_whose_results_nobody_reads_stops_loudly() {
    let world = World::new().await;
    for i in 0..600 {
        world.file(format!("t/{i:03}"), "x");
    }
    // The last one cannot end before nobody reads what the others did.
    let held = Rule::on(Op::PutObject).key("to/599").always().then(Fault::Stall);
    world.server.faults().add(held);
    for args in [
        &["sync", "t", "s3://bucket/to"][..],
        &["cp", "-r", "t/", "s3://bucket/to/"],
        &["mv", "-r", "--json", "t/", "s3://bucket/to/"],
    ] {
        let done = world.haul(args).stdout(Stdio::from(closed())).run().await;
        let said = &done.ended(141).err;
        assert!(said.starts_with("haul: standard output was closed: stopped with "), "{done}");
        assert_eq!(said.lines().count(), 1, "{done}");
    }
    world.file("batch", "ls s3://bucket\nrm s3://bucket/to/000\n");
    let done = world.haul(["run", "-j", "1", "batch"]).stdout(Stdio::from(closed())).run().await;
    done.ended(141);
    assert!(world.server.store().keys(BUCKET).contains(&"to/000".to_owned()), "it went on");
}

/// G.2: `/dev/stdout` is standard output, and not a file beside it that the result is written over.
#[tokio::test]
async fn the_systems_names_for_standard_output() {
    let world = World::new().await;
    world.put("k", "data");
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let to = std::fs::File::create(world.path("to")).unwrap();
        world.haul(["cp", "s3://bucket/k", name]).stdout(to).run().await.ok();
        assert_eq!(std::fs::read(world.path("to")).unwrap(), b"data", "{name}");
        assert_eq!(world.haul(["cp", "s3://bucket/k", name]).run().await.ok().out(), "data");
    }
    for name in ["/dev/stdin", "/dev/fd/0"] {
        world.haul(["cp", name, "s3://bucket/in"]).input("typed").run().await.ok();
        assert_eq!(world.stored("in"), b"typed", "{name}");
    }
}

/// S3.3, S3.4: `--chunk-size` is the size of the ranges, `-c` how many of them are in flight, and where
/// memory has no room for so many, haul says so.
#[tokio::test]
async fn ranges_of_cat_are_as_large_and_as_many_as_asked() {
    let world = World::new().await;
    let bytes = sizes::pattern(40 * MIB, 23);
    world.put("k", bytes.clone());
    for (flags, ranges, at_once, said) in [
        (["-c", "6", "--chunk-size", "5MiB"], 8, 6, ""),
        (
            ["-c", "8", "--chunk-size", "10MiB"],
            4,
            3,
            "haul: 3 ranges of 10.0 MiB at once, not 8: --memory has 32.0 MiB\n",
        ),
    ] {
        let before = world.server.calls().count(Op::GetObject);
        let held = Rule::on(Op::GetObject).always().then(Fault::Stall);
        let held = world.server.faults().add(held);
        let run = world.haul(["cat", "s3://bucket/k"].into_iter().chain(flags)).spawn();
        let calls = world.server.calls();
        within("ranges in flight", calls.wait_in_flight(Op::GetObject, at_once)).await;
        held.release();
        let done = run.end().await;
        assert!(done.bytes == bytes && done.ok().err == said, "{}", done.err);
        assert_eq!(world.server.calls().count(Op::GetObject) - before, ranges);
        assert!(world.server.calls().peak_in_flight() <= 6, "{flags:?}");
    }
}

/// A slow reader holds up the pipe, and no more than the budget piles up behind it (S3.20).
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
