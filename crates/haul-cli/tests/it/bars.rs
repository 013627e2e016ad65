//! Progress of many on a terminal: what it shows, and that it stays out of the results.

use std::fs::File;
use std::io::Read as _;
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haul_testkit::{Fault, Op, Rule};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::harness::{MIB, World, within};

/// A terminal of 100 columns and 30 rows: its end for a program, and what has been drawn on it.
pub(crate) fn terminal() -> (File, Arc<Mutex<String>>) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let screen: Arc<Mutex<String>> = Arc::default();
    let drawn = Arc::clone(&screen);
    std::thread::spawn(move || {
        let (mut master, mut buffer) = (File::from(master), [0; 4096]);
        let mut pending = Vec::new();
        // An error says that the last program has closed its end.
        while let Ok(n @ 1..) = master.read(&mut buffer) {
            pending.extend_from_slice(&buffer[..n]);
            // A character may be cut in two.
            let whole = match str::from_utf8(&pending) {
                Err(e) if e.error_len().is_none() => e.valid_up_to(),
                _ => pending.len(),
            };
            let text: Vec<u8> = pending.drain(..whole).collect();
            drawn.lock().unwrap().push_str(&String::from_utf8_lossy(&text));
        }
    });
    (slave, screen)
}

/// What a person sees on the terminal now, line by line.
pub(crate) fn seen(screen: &Mutex<String>) -> Vec<String> {
    let [rows, columns] = [30, 100].map(|n| NonZero::new(n).unwrap());
    let mut terminal = vt100::Parser::new(rows, columns, 0);
    terminal.process(screen.lock().unwrap().as_bytes());
    terminal.screen().rows(0, 100).map(|row| row.trim_end().to_owned()).collect()
}

/// Waits until what is seen is as it should be.
pub(crate) async fn shown(screen: &Mutex<String>, what: impl Fn(&[String]) -> bool) -> Vec<String> {
    for _ in 0..3000 {
        let lines = seen(screen);
        if what(&lines) {
            return lines;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("this is what is seen: {:#?}", seen(screen));
}

pub(crate) async fn drawn(screen: &Mutex<String>, text: &str) {
    for _ in 0..3000 {
        if screen.lock().unwrap().contains(text) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {text:?} on the screen: {:?}", screen.lock().unwrap());
}

/// What a line on the screen says last, once `text` is on it: between two returns to its start.
fn line_with(screen: &Mutex<String>, text: &str) -> String {
    let seen = screen.lock().unwrap();
    let mut lines = seen.split(['\r', '\n']).filter(|line| line.contains(text));
    lines.next_back().unwrap_or_else(|| panic!("no {text:?}: {seen:?}")).to_owned()
}

/// Waits for a percentage in a range.
async fn drawn_percent(screen: &Mutex<String>, range: std::ops::Range<u32>) -> String {
    let all: Vec<_> = range.map(|percent| format!("{percent:>3}%")).collect();
    let find = || {
        let seen = screen.lock().unwrap();
        all.iter().find(|percent| seen.contains(*percent)).cloned()
    };
    for _ in 0..3000 {
        if let Some(percent) = find() {
            return percent;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {all:?} on the screen: {:?}", screen.lock().unwrap());
}

/// S0.10: a bar is as long as its file and moves with its bytes; S0.31, S0.32: the line of all says how
/// fast they move and how long that will take.
#[tokio::test]
async fn bars_move_with_the_bytes_and_tell_speed_and_time_left() {
    let world = World::new().await;
    world.file("t/large.bin", vec![1; 36 * MIB]);
    let rule = |nth| Rule::on(Op::UploadPart).nth(nth).then(Fault::Stall);
    let held = [2, 4].map(|nth| world.server.faults().add(rule(nth)));
    let (slave, screen) = terminal();
    let args = ["cp", "-r", "-c", "1", "t", "s3://bucket/"];
    let run = world.haul(args).env("TERM", "xterm").stderr(slave).spawn();
    // What the socket took of the part that is held counts as well, and may be all of it.
    for (held, range) in held.iter().zip([22..45, 66..89]) {
        let percent = drawn_percent(&screen, range.clone()).await;
        assert!(line_with(&screen, &percent).contains("large.bin"), "{percent}");
        if range.contains(&88) {
            // A speed takes two looks: not before it was told may the upload go on to its end.
            drawn(&screen, " left").await;
        }
        held.release();
    }
    run.end().await.ok();
    let seen = screen.lock().unwrap();
    let told = |line: &str| ["0/1", "MiB/s  ", " left"].iter().all(|text| line.contains(text));
    assert!(seen.split(['\r', '\n']).any(told), "{seen:?}");
}

/// S1.5, S3.31: the bar of one object has its bytes, its percentage, its speed, and the time left.
#[tokio::test]
async fn the_bar_of_one_object() {
    let world = World::new().await;
    world.put("k.bin", vec![1; 20 * MIB]);
    let rule = |nth| Rule::on(Op::GetObject).nth(nth).then(Fault::Stall);
    let held = [2, 3].map(|nth| world.server.faults().add(rule(nth)));
    let (slave, screen) = terminal();
    let run = world.haul(["cp", "-c", "1", "s3://bucket/k.bin", "x"]);
    let run = run.env("TERM", "xterm").stderr(slave).spawn();
    for (held, (percent, bytes)) in held.iter().zip([("40%", "8.00 MiB"), ("80%", "16.00 MiB")]) {
        drawn(&screen, percent).await;
        let line = line_with(&screen, percent);
        assert!(line.contains("k.bin") && line.contains('━'), "{line:?}");
        assert!(line.contains(&format!("{bytes}/20.00 MiB")) && line.contains("/s"), "{line:?}");
        if percent == "80%" {
            drawn(&screen, " left").await;
        }
        held.release();
    }
    run.end().await.ok();
    let seen = screen.lock().unwrap();
    let told = |line: &str| line.contains("MiB/s  ") && line.contains(" left");
    assert!(seen.split(['\r', '\n']).any(told), "{seen:?}");
}

/// S0.10: a bar for each item in flight; U0.2: results stay clean.
#[tokio::test]
async fn items_in_flight_have_bars_and_results_are_pure() {
    let world = World::new().await;
    for i in 0..50 {
        world.file(format!("t/{i:02}.small"), "x");
    }
    world.file("t/held-one.bin", vec![1; 20 * MIB]);
    world.file("t/held-two.bin", vec![1; 20 * MIB]);
    let hold = |key| Rule::on(Op::UploadPart).key(key).nth(2).then(Fault::Stall);
    let one = world.server.faults().add(hold("t/held-one.bin"));
    let two = world.server.faults().add(hold("t/held-two.bin"));
    let (slave, screen) = terminal();
    let run =
        world.haul(["cp", "-r", "t", "s3://bucket/"]).env("TERM", "xterm").stderr(slave).spawn();
    drawn(&screen, "held-one.bin").await;
    drawn(&screen, "held-two.bin").await;
    drawn(&screen, "50/52").await;
    {
        let seen = screen.lock().unwrap();
        assert!(seen.contains('━') && seen.contains("%  ") && seen.contains("/s"), "{seen}");
    }
    one.release();
    two.release();
    let done = run.end().await;
    assert_eq!(done.ok().out().lines().count(), 52);
    assert!(!done.out().contains('\u{1b}') && !done.out().contains('━'), "{done}");
    assert!(done.out().lines().is_sorted(), "{done}");
    drawn(&screen, "52 copied (40.0 MiB) in ").await;
}

/// On one terminal, lines and bars take turns: no line is cut in two.
#[tokio::test]
async fn one_terminal_for_both() {
    let world = World::new().await;
    for i in 0..30 {
        world.file(format!("t/{i:02}"), "x");
    }
    world.file("t/held", vec![1; 20 * MIB]);
    let hold = Rule::on(Op::UploadPart).key("t/held").nth(2).then(Fault::Stall);
    let stalled = world.server.faults().add(hold);
    let (slave, screen) = terminal();
    let out = slave.try_clone().unwrap();
    let run = world
        .haul(["cp", "-r", "t", "s3://bucket/"])
        .env("TERM", "xterm")
        .stderr(slave)
        .stdout(out)
        .spawn();
    drawn(&screen, "30/31").await;
    stalled.release();
    run.end().await.ok();
    drawn(&screen, "31 copied (20.0 MiB) in ").await;
    let seen = screen.lock().unwrap();
    for i in 0..30 {
        let line = format!("t/{i:02} -> s3://bucket/t/{i:02}\r\n");
        assert_eq!(seen.matches(&line).count(), 1, "{line}: {seen}");
    }
}

/// Plain progress of many: a line every few seconds with items and bytes.
#[tokio::test]
async fn plain_lines_count_items() {
    let world = World::new().await;
    world.file("t/a", "x");
    world.file("t/held", vec![1; 20 * MIB]);
    let hold = Rule::on(Op::UploadPart).key("t/held").nth(2).then(Fault::Stall);
    let stalled = world.server.faults().add(hold);
    let args = ["cp", "-r", "--progress", "plain", "t", "s3://bucket/"];
    let mut run = world.haul(args).spawn_watched();
    let mut said = BufReader::new(run.child.stderr.take().unwrap()).lines();
    let first = within("a line", said.next_line()).await.unwrap().unwrap();
    stalled.release();
    assert!(first.starts_with("1 of 2 items: ") && first.contains(" of 20.0 MiB ("), "{first}");
    within("its end", async { while said.next_line().await.unwrap().is_some() {} }).await;
    run.end().await.ok();
}

#[tokio::test]
async fn progress_of_many_as_json() {
    let world = World::new().await;
    world.file("t/a", "x");
    world.file("t/b", "y");
    let args = ["cp", "-r", "--progress", "json", "t", "s3://bucket/"];
    let done = world.haul(args).run().await;
    let said: Vec<serde_json::Value> =
        done.ok().err.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of = |kind: &str| said.iter().filter(|l| l["type"] == kind).count();
    assert_eq!((of("started"), of("done")), (2, 2), "{done}");
    let last = said.iter().rfind(|l| l["type"] == "progress").unwrap();
    assert_eq!((&last["items"]["found"], &last["items"]["over"]), (&2.into(), &2.into()), "{done}");
}

/// What a person asked to see is not drawn over: no bar while data go to the terminal.
#[tokio::test]
async fn data_on_a_terminal_have_no_bar() {
    let world = World::new().await;
    let text = "one line of text\n".repeat(20);
    world.put("k.txt", text.clone());
    for args in [["cat", "s3://bucket/k.txt", "-q"], ["cp", "s3://bucket/k.txt", "-"]] {
        let args = &args[..if args[0] == "cat" { 2 } else { 3 }];
        let held = Rule::on(Op::GetObject).then(Fault::StallAfter(40));
        let held = world.server.faults().add(held);
        let (slave, screen) = terminal();
        let out = slave.try_clone().unwrap();
        let run = world.haul(args).env("TERM", "xterm").stderr(slave).stdout(out).spawn();
        // Time enough for several looks of a bar, if there were one: not waited for, only given.
        tokio::time::sleep(Duration::from_millis(500)).await;
        held.release();
        run.end().await.ok();
        let last =
            shown(&screen, |lines| lines.iter().filter(|l| l.contains("text")).count() == 20);
        let last = last.await;
        assert!(last.iter().all(|l| !l.contains(['%', '━', '─'])), "{args:?}: {last:#?}");
        let seen = screen.lock().unwrap();
        assert!(!seen.contains('\u{1b}'), "{args:?}: {seen:?}");
    }
    // Data that go elsewhere leave the terminal to the bar.
    let held = Rule::on(Op::GetObject).then(Fault::StallAfter(40));
    let held = world.server.faults().add(held);
    let (slave, screen) = terminal();
    let run = world.haul(["cat", "s3://bucket/k.txt"]).env("TERM", "xterm").stderr(slave).spawn();
    shown(&screen, |lines| lines.iter().any(|l| l.contains("k.txt") && l.contains('%'))).await;
    held.release();
    assert_eq!(run.end().await.ok().out(), text);
}

/// A line that does not fill the terminal is seen, too: that of all, while the listing goes on, and that
/// of a stream of unknown length.
#[tokio::test]
async fn short_lines_are_seen() {
    let world = World::new().await;
    let (slave, screen) = terminal();
    let mut run = world.haul(["cp", "-", "s3://bucket/k"]).open_input();
    run = run.env("TERM", "xterm").stderr(slave);
    let mut run = run.spawn();
    let mut input = run.child.stdin.take().unwrap();
    let bytes = vec![1; 3 * MIB];
    within("bytes are taken", tokio::io::AsyncWriteExt::write_all(&mut input, &bytes))
        .await
        .unwrap();
    shown(&screen, |lines| {
        lines.iter().any(|l| l.starts_with("standard input") && l.contains("/s"))
    })
    .await;
    drop(input);
    run.end().await.ok();
}
