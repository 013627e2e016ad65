//! No space left, in every way that a machine can say so.

use std::process::Stdio;

use crate::harness::{Done, MIB, World};

/// Runs a script with a file system of 4 MiB at `small`, holding one file `old`, in a mount
/// namespace that ends with it. What is left there is listed on stdout. `None` where the system
/// does not let us.
async fn with_small_disk(world: &World, script: &str) -> Option<Done> {
    std::fs::create_dir(world.path("small")).unwrap();
    let mount = "mount -t tmpfs -o size=4m tmpfs small && echo old > small/old";
    let probe = world.program("unshare", ["-r", "-m", "sh", "-c", mount]).run().await;
    if probe.code != 0 {
        eprintln!("skipped: no private mount: {}", probe.err.trim());
        return None;
    }
    let script = format!("{mount}; {script}; code=$?; ls -A small; cat small/old; exit $code");
    Some(world.program("unshare", ["-r", "-m", "sh", "-c", &script]).run().await)
}

#[tokio::test]
async fn an_object_that_cannot_fit_is_refused_before_a_byte_moves() {
    let world = World::new().await;
    world.put("k", vec![1; 9 * MIB]);
    for to in ["small/old", "small/new"] {
        let script = format!("\"$HAUL\" cp s3://bucket/k {to}");
        let Some(done) = with_small_disk(&world, &script).await else { return };
        done.failed(1, "cannot start writing small/*: *9437184 bytes* are free there");
        assert_eq!(done.out(), "old\nold\n");
        std::fs::remove_dir(world.path("small")).unwrap();
    }
    assert_eq!(world.server.calls().count(haul_testkit::Op::GetObject), 0);
}

#[tokio::test]
async fn a_stream_that_turns_out_too_long() {
    let world = World::new().await;
    world.file("long", vec![1; 9 * MIB]);
    let script = "\"$HAUL\" cp - small/old < long";
    let Some(done) = with_small_disk(&world, script).await else { return };
    done.failed(1, "cannot write small/old: no space left on device");
    assert_eq!(done.out(), "old\nold\n");
}

#[tokio::test]
async fn a_device_that_is_full() {
    let world = World::new().await;
    for size in [1, 20 * MIB] {
        world.put("k", vec![1; size]);
        let line = "cannot write /dev/full: no space left on device";
        world.refuses(["cp", "s3://bucket/k", "/dev/full"], 1, line).await;
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let cat = world.haul(["cat", "s3://bucket/k"]).stdout(Stdio::from(full)).run().await;
        cat.failed(1, "cannot write standard output: no space left on device");
    }
}

/// A result that nobody can read is a failure too, unlike a reader that went away.
#[tokio::test]
async fn results_that_do_not_fit() {
    let world = World::new().await;
    world.put("k", "data");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let stat = world.haul(["stat", "s3://bucket/k"]).stdout(Stdio::from(full)).run().await;
    stat.failed(1, "cannot write standard output: no space left on device");
}

/// `ulimit -f`: the kernel sends SIGXFSZ, which kills whoever does not ask for an error instead.
#[tokio::test]
async fn a_limit_on_the_size_of_files() {
    let world = World::new().await;
    world.put("k", vec![1; 9 * MIB]);
    world.file("old", "old");
    world.file("long", vec![1; 9 * MIB]);
    let tree = world.tree();
    for script in [
        "ulimit -f 2048; exec \"$HAUL\" cp s3://bucket/k old",
        "ulimit -f 2048; exec \"$HAUL\" cp - old < long",
    ] {
        let done = world.program("sh", ["-c", script]).run().await;
        world.assert_clean();
        assert!(world.tree() == tree, "{done}");
        done.failed(1, "cannot * old: *ile too large*");
    }
}
