//! How shares end, and how receivers go on: signals, crashes, bounds.

use std::os::unix::fs::FileExt as _;

use rustix::process::Signal;

use haul_testkit::sizes;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::harness::{Done, MIB, Run, Running, World, within};
use crate::pair::{Sender, receive, send};

const SIZE: usize = 24 * MIB;

/// A file that takes some seconds: the sender says how fast.
fn slow(world: &World) -> Run {
    world.file("big", sizes::pattern(SIZE, 3));
    send(world, &["--limit-rate", "8MB", "big"])
}

/// Waits until a receiver has some of the file. It must show its progress as JSON.
async fn in_the_middle(receiver: &mut Running) {
    let landed = landed_after(receiver, MIB as u64).await;
    assert!(landed < SIZE as u64, "it was too fast");
}

/// Waits until a receiver has more than `had` bytes; so many it has.
async fn landed_after(receiver: &mut Running, had: u64) -> u64 {
    let reached;
    let mut lines = BufReader::new(receiver.child.stderr.take().unwrap()).lines();
    loop {
        let line = within("progress", lines.next_line()).await.unwrap().unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let landed = said["landed"].as_u64().unwrap_or_default();
        if said["type"] == "progress" && landed > had {
            reached = landed;
            break;
        }
    }
    // A full pipe must not hold it up.
    receiver.err = tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            all.extend_from_slice(&[line.as_bytes(), b"\n"].concat());
        }
        all
    });
    reached
}

/// A receiver that is to be watched.
fn watched(world: &World, ticket: &str) -> Running {
    receive(world, &["--progress", "json", "--timeout", "2s", ticket, "got"]).spawn_watched()
}

/// The run after that one.
async fn goes_on(world: &World, ticket: &str) -> Done {
    let done = receive(world, &["--json", ticket, "got"]).run().await;
    assert!(std::fs::read(world.path("got/big")).unwrap() == sizes::pattern(SIZE, 3));
    let resumed = done.ok().json().last().unwrap()["resumed"].as_u64().unwrap();
    assert!(resumed >= MIB as u64, "{done}");
    world.assert_clean();
    done
}

/// U4.3, S4.33, S4.38: a receiver that was killed goes on where it was.
#[tokio::test]
async fn a_killed_receiver_goes_on() {
    let world = World::new().await;
    let mut sender = Sender::start(slow(&world)).await;
    let mut receiver = watched(&world, &sender.ticket);
    in_the_middle(&mut receiver).await;
    receiver.signal(Signal::KILL);
    receiver.end().await;
    assert!(!world.path("got/big").exists(), "not before it is complete");
    goes_on(&world, &sender.ticket).await;
    sender.says("has everything (1 file)").await;
    // It cannot know yet that the first one is gone for good.
    sender.signal(Signal::KILL);
    sender.end().await;
}

/// U4.3, S4.33, S4.38: killed twenty times, each time with more of the file than before; nothing that
/// was there is fetched again, and in the end it is the file.
#[tokio::test]
async fn a_receiver_that_is_killed_twenty_times() {
    const LARGE: u64 = 384 << 20;
    let world = World::new().await;
    // Mostly holes, with something else in each MiB.
    let file = std::fs::File::create(world.path("big")).unwrap();
    file.set_len(LARGE).unwrap();
    for at in 0..LARGE >> 20 {
        file.write_all_at(format!("MiB {at}").as_bytes(), at << 20).unwrap();
    }
    let sender = Sender::start(send(&world, &["--limit-rate", "8MB", "big"])).await;
    let mut had = 0;
    for _ in 0..20 {
        let mut receiver = watched(&world, &sender.ticket);
        let landed = landed_after(&mut receiver, had).await;
        receiver.signal(Signal::KILL);
        receiver.end().await;
        assert!(landed < LARGE, "it was too fast");
        had = landed;
    }
    sender.signal(Signal::KILL);
    sender.end().await;
    // The same share without a limit.
    let sender = Sender::start(send(&world, &["big"])).await;
    let done = receive(&world, &["--json", &sender.ticket, "got"]).run().await;
    let resumed = done.ok().json().last().unwrap()["resumed"].as_u64().unwrap();
    assert!(resumed + (8 << 20) >= had, "{resumed} of {had}");
    let same = std::process::Command::new("cmp")
        .args([world.path("big"), world.path("got/big")])
        .status()
        .unwrap();
    assert!(same.success());
    world.assert_clean();
    sender.stop().await;
}

/// S4.37: Ctrl-C at the receiver; the same command goes on.
#[tokio::test]
async fn an_interrupted_receiver_goes_on() {
    let world = World::new().await;
    let mut sender = Sender::start(slow(&world)).await;
    let mut receiver = watched(&world, &sender.ticket);
    in_the_middle(&mut receiver).await;
    receiver.signal(Signal::INT);
    assert_eq!(receiver.end().await.code, 130);
    sender.says("went away").await;
    goes_on(&world, &sender.ticket).await;
    sender.stop().await.ok();
    let run = slow(&world);
    let mut sender = Sender::start(run).await;
    let receiver = receive(&world, &[&sender.ticket, "other"]).spawn();
    sender.says("connected").await;
    receiver.signal(Signal::INT);
    let done = receiver.end().await;
    let last = done.ended(130).err.lines().last().unwrap();
    assert!(last.starts_with("haul: stopped with 0 received in "), "{done}");
    assert!(last.ends_with("; the same command goes on where this stopped"), "{done}");
    sender.stop().await.ended(0);
}

/// U4.3: a sender that was killed and is started again is found again, and nothing is sent twice.
#[tokio::test]
async fn a_killed_sender_is_found_again() {
    let world = World::new().await;
    let sender = Sender::start(slow(&world)).await;
    let ticket = sender.ticket.clone();
    let mut receiver = watched(&world, &ticket);
    in_the_middle(&mut receiver).await;
    sender.signal(Signal::KILL);
    sender.end().await;
    let sender = Sender::start(slow(&world)).await;
    assert_eq!(sender.ticket, ticket);
    let done = receiver.end().await;
    done.ok();
    assert!(std::fs::read(world.path("got/big")).unwrap() == sizes::pattern(SIZE, 3));
    sender.stop().await.ok();
}

/// U4.2: Ctrl-C ends a share; whether that cut somebody off is in the exit code.
#[tokio::test]
async fn ctrl_c_at_the_sender() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let world = World::new().await;
        let mut sender = Sender::start(slow(&world)).await;
        sender.says("sharing").await;
        sender.signal(signal);
        let done = sender.end().await;
        let last = done.ok().err.lines().last().unwrap();
        assert_eq!(last, "haul: stopped; the same command gives the same ticket again");

        let mut sender = Sender::start(slow(&world)).await;
        let args = ["--progress", "json", "--retries", "0", &sender.ticket, "got"];
        let mut receiver = receive(&world, &args).spawn_watched();
        sender.says("connected").await;
        in_the_middle(&mut receiver).await;
        sender.signal(signal);
        let done = sender.end().await;
        let last = done.ended(code).err.lines().last().unwrap();
        let said = "haul: stopped; 1 receiver is incomplete; the same command gives";
        assert!(last.starts_with(said), "{done}");
        let done = receiver.end().await;
        assert!(done.ended(1).err.contains("it was stopped (start the same haul send"), "{done}");
    }
}

#[tokio::test]
async fn as_many_receivers_as_were_wanted() {
    let world = World::new().await;
    world.file("a", "1");
    let sender = Sender::start(send(&world, &["--max-receivers", "2", "a"])).await;
    receive(&world, &[&sender.ticket, "one"]).run().await.ok();
    receive(&world, &[&sender.ticket, "two"]).run().await.ok();
    let done = sender.end().await;
    assert_eq!(done.ok().err.matches("has everything (1 file)").count(), 2, "{done}");
}

#[tokio::test]
async fn a_share_that_expires() {
    let world = World::new().await;
    world.file("a", "1");
    let done = Sender::start(send(&world, &["--expire", "4s", "a"])).await.end().await;
    let last = done.ok().err.lines().last().unwrap();
    assert_eq!(last, "haul: stopped: the time of --expire is over");
}
