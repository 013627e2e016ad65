//! D5: names from elsewhere never steer a terminal or break a line, whatever shows them; `--json` has them
//! as they are.

use std::os::unix::ffi::OsStrExt as _;

use haul_testkit::{Fault, Op, Rule};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::bars::{drawn, terminal};
use crate::harness::{MIB, World, within};

/// It would set a title, clear the screen, and begin a line of its own.
const HOSTILE: &str = "x \u{1b}]0;PWNED\u{7} \u{9b}2J\r\n\u{202e}y";
const SHOWN: &str = "x \\u{1b}]0;PWNED\\u{7} \\u{9b}2J\\r\\n\\u{202e}y";

/// What no line may hold but its end.
fn steers(text: &str) -> bool {
    text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}')
}

#[tokio::test]
async fn names_do_not_steer_what_reads_them() {
    let world = World::new().await;
    let key = format!("d/{HOSTILE}");
    world.file("other/a", "data");
    for (args, lines) in [
        (&["ls", "-r", "s3://bucket"][..], 1),
        (&["du", "--depth", "9", "s3://bucket"], 3),
        (&["cp", "-r", "--dry-run", "s3://bucket/d/", "out"], 1),
        (&["cp", "-r", "s3://bucket/d/", "out"], 1),
        (&["cp", "-v", "--progress", "plain", "-r", "s3://bucket/d/", "out2"], 1),
        (&["sync", "--progress", "plain", "s3://bucket/d/", "out3"], 1),
        (&["check", "--size-only", "-v", "s3://bucket/d/", "out3"], 1),
        (&["check", "s3://bucket/d/", "other"], 1),
        (&["publish", "-r", "out", "s3://bucket/p/"], 0),
        (&["rm", "-r", "s3://bucket/d/"], 1),
    ] {
        world.put(&format!("{key}/z"), "data");
        let done = world.haul(args).run().await;
        assert!(!steers(done.out()) && !steers(&done.err), "{done}");
        assert!(lines == 0 || done.out().contains(SHOWN), "{done}");
    }
    world.put(&key, "data");
    for args in [
        &["ls", "--json", "s3://bucket/d/"][..],
        &["stat", "--json", &format!("s3://bucket/{key}")],
        &["cp", "--json", &format!("s3://bucket/{key}"), "s3://bucket/to"],
        &["sync", "--json", "--dry-run", "s3://bucket/d/", "new"],
    ] {
        let done = world.haul(args).run().await;
        let exact = |line: &serde_json::Value| {
            let names = ["location", "from"].map(|name| line[name].as_str());
            names.into_iter().flatten().any(|name| name == format!("s3://bucket/{key}"))
        };
        assert!(done.ok().json().iter().any(exact), "{done}");
    }
}

/// A large file is shown while it moves: on bars, on one bar, in plain lines.
#[tokio::test]
async fn names_do_not_steer_the_screen() {
    let world = World::new().await;
    let name = "\u{1b}]0;PWNED\u{7}\u{202e}y";
    world.put(&format!("d/{name}"), vec![1; 20 * MIB]);
    let one = format!("s3://bucket/d/{name}");
    for args in [&["cp", "-r", "s3://bucket/d/", "many"][..], &["cp", &one, "one"]] {
        let held = world.server.faults().add(Rule::on(Op::GetObject).nth(2).then(Fault::Stall));
        let (slave, screen) = terminal();
        let run = world.haul(args).env("TERM", "xterm").stderr(slave).spawn();
        drawn(&screen, "\\u{202e}y").await;
        held.release();
        run.end().await.ok();
        let seen = screen.lock().unwrap();
        assert!(!seen.contains("\u{1b}]0;") && !seen.contains(['\u{7}', '\u{202e}']), "{seen:?}");
    }
    let held = world.server.faults().add(Rule::on(Op::GetObject).nth(2).then(Fault::Stall));
    let mut run = world.haul(["cp", "--progress", "plain", &one, "plain"]).spawn_watched();
    let mut said = BufReader::new(run.child.stderr.take().unwrap()).lines();
    let line = within("a line", said.next_line()).await.unwrap().unwrap();
    assert!(line.contains("PWNED\\u{7}") && !steers(&line), "{line:?}");
    held.release();
    within("its end", async { while said.next_line().await.unwrap().is_some() {} }).await;
    run.end().await.ok();
}

/// Bytes that are no text are seen as what they are.
#[tokio::test]
async fn names_that_are_not_utf8_are_seen() {
    let world = World::new().await;
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9\x1b[2J");
    world.file(std::path::Path::new("t").join(name), "data");
    for args in [&["ls", "t"][..], &["cp", "-r", "t", "to"], &["check", "-v", "t", "to"]] {
        let done = world.haul(args).run().await;
        assert!(done.ok().out().contains("caf\\xE9\\u{1b}[2J"), "{done}");
    }
}
