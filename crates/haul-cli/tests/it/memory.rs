//! Flat memory: the peak of the process for an object of a gibibyte, at defaults.

use std::time::Duration;

use haul_testkit::{StoreRules, synthetic_bytes};
use tokio::io::AsyncReadExt as _;

use crate::harness::{MIB, Run, World};
use crate::pair::{Sender, receive, send};

const GIB: u64 = 1 << 30;

/// What a release build promises, and what its unoptimised sister may need on top.
const MOST_KIB: u64 = if cfg!(debug_assertions) { 100 << 10 } else { 64 << 10 };

async fn sink() -> World {
    World::with(StoreRules { sink: true, ..StoreRules::default() }).await
}

/// The peak of resident memory of a run, in KiB. It only grows, so that the last look counts.
async fn peak_of(run: Run) -> u64 {
    let mut run = run.spawn_unread();
    let status = format!("/proc/{}/status", run.child.id().unwrap());
    let stdout = run.child.stdout.take().unwrap();
    let reading = tokio::spawn(read_synthetic(stdout));
    let mut often = tokio::time::interval(Duration::from_millis(5));
    let mut peak = 0;
    loop {
        tokio::select! {
            ended = run.child.wait() => break assert!(ended.unwrap().success()),
            _ = often.tick() => peak = peak.max(high_water(&status).unwrap_or(0)),
        }
    }
    reading.await.unwrap();
    println!("peak: {} MiB", peak >> 10);
    assert!(peak > 1 << 10, "it was seen");
    peak
}

/// The peak of resident memory of a process, in KiB.
pub(crate) fn high_water(status: &str) -> Option<u64> {
    let status = std::fs::read_to_string(status).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What `cat` brings has to be the object, in order; results of `cp` are short.
async fn read_synthetic(mut stdout: impl tokio::io::AsyncRead + Unpin) {
    let (mut buffer, mut at) = (vec![0; MIB], 0);
    loop {
        let n = stdout.read(&mut buffer).await.unwrap();
        if n == 0 {
            break;
        }
        if at >= 4096 {
            let probe = n.min(64);
            assert_eq!(buffer[..probe], synthetic_bytes(at, probe), "at {at}");
        }
        at += n as u64;
    }
    assert!(at < 4096 || at == GIB, "{at} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_download() {
    let world = sink().await;
    world.server.store().put_synthetic("bucket", "k", GIB);
    let peak = peak_of(world.haul(["cp", "-q", "--fsync", "never", "s3://bucket/k", "x"])).await;
    assert!(peak < MOST_KIB, "{peak} KiB");
    assert_eq!(std::fs::metadata(world.path("x")).unwrap().len(), GIB);
}

/// S3.22: memory is bounded, whatever the object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_cat() {
    let world = sink().await;
    world.server.store().put_synthetic("bucket", "k", GIB);
    let peak = peak_of(world.haul(["cat", "-q", "s3://bucket/k"])).await;
    assert!(peak < MOST_KIB, "{peak} KiB");
}

/// S1.1, S1.29, S1.33, S1.34, X1.3: memory is bounded, whatever the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_upload() {
    let world = sink().await;
    let file = std::fs::File::create(world.path("a")).unwrap();
    file.set_len(GIB).unwrap(); // a hole takes no space
    let peak = peak_of(world.haul(["cp", "-q", "a", "s3://bucket/k"])).await;
    assert!(peak < MOST_KIB, "{peak} KiB");
    assert_eq!(world.server.store().object("bucket", "k").unwrap().size(), GIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_stream() {
    let world = sink().await;
    let exec = "exec \"$HAUL\" cp -q - s3://bucket/k < zeros";
    let file = std::fs::File::create(world.path("zeros")).unwrap();
    file.set_len(GIB).unwrap();
    let peak = peak_of(world.program("sh", ["-c", exec])).await;
    assert!(peak < MOST_KIB, "{peak} KiB");
    assert_eq!(world.server.store().object("bucket", "k").unwrap().size(), GIB);
}

/// U4.3: of both sides of a share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_share() {
    let world = World::new().await;
    let file = std::fs::File::create(world.path("a")).unwrap();
    file.set_len(GIB).unwrap();
    let sender = Sender::start(send(&world, &["-q", "a"])).await;
    let args = ["-q", "--fsync", "never", &sender.ticket, "got"];
    let receiver = peak_of(receive(&world, &args)).await;
    let sender_had = sender.peak().unwrap();
    println!("peak of the sender: {} MiB", sender_had >> 10);
    assert!(sender_had > 1 << 10, "it was seen");
    assert_eq!(std::fs::metadata(world.path("got/a")).unwrap().len(), GIB);
    sender.stop().await;
    // The windows of the transport come to what is on its way in chunks elsewhere.
    let most = MOST_KIB + MOST_KIB / 2;
    assert!(receiver < most && sender_had < most, "{receiver} and {sender_had} KiB");
}
