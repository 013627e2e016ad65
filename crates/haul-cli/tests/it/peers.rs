//! `haul send` and `haul receive`: what travels, and what both sides say.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use haul_testkit::sizes;
use rustix::fs::Mode;

use crate::bars::{drawn, shown, terminal};
use crate::harness::{BUCKET, MIB, World};
use crate::pair::{Sender, receive, send};

/// U4.2: the receiver chooses the folder, the ticket is alone on stdout, the sender shows its peers,
/// empty files and folders survive. S4.19, S4.20: from paths to a ticket, and from it to files.
#[tokio::test]
async fn a_folder_arrives_as_it_is() {
    let world = World::new().await;
    world.file("t/a.txt", "hello");
    world.file("t/empty", "");
    world.file("t/deep/er/big", sizes::pattern(3 * MIB + 5, 3));
    std::fs::create_dir(world.path("t/nothing")).unwrap();
    symlink("a.txt", world.path("t/link")).unwrap();
    let script = world.file("t/run.sh", "#!/bin/sh\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let day = humantime::parse_rfc3339("2026-01-15T12:00:00Z").unwrap();
    std::fs::File::open(&script).unwrap().set_modified(day).unwrap();

    let mut sender = Sender::start(send(&world, &["--once", "t"])).await;
    assert!(sender.ticket.starts_with("haul") && !sender.ticket.contains(' '));
    let hint = sender.says("haul receive").await;
    assert!(!hint.contains(&sender.ticket), "{hint}");
    let sharing = sender.says("sharing").await;
    assert!(sharing.starts_with("haul: sharing 6 files, 3.0 MiB (hashed in "), "{sharing}");
    assert!(sharing.ends_with("s); Ctrl-C stops"), "{sharing}");
    let done = receive(&world, &[&sender.ticket, "got/here"]).run().await;
    let mut lines: Vec<_> = done.ok().out().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines[0], "t/a.txt -> got/here/t/a.txt", "{done}");
    assert_eq!(lines.len(), 6, "{done}");
    assert!(done.err.starts_with("haul: connected to peer "), "{done}");
    let last = done.err.lines().last().unwrap();
    assert!(last.starts_with("6 received (3.0 MiB) in ") && last.ends_with(", verified: BLAKE3"));
    let sent = sender.end().await;
    assert_eq!(sent.ok().out(), "", "only the ticket");
    for said in [" connected (direct, 127.0.0.1:", " has everything (6 files)"] {
        assert!(sent.err.contains(said), "{sent}");
    }
    let tree = world.tree();
    for (path, what) in tree.iter().filter_map(|(p, w)| Some((p.strip_prefix("t/")?, w))) {
        assert!(tree.get(&format!("got/here/t/{path}")) == Some(what), "{path}");
    }
    let got = world.path("got/here/t/run.sh").metadata().unwrap();
    assert_eq!(got.modified().unwrap(), day);
    world.assert_clean();
}

/// U4.3: the same command gives the same ticket, so that receivers can go on after a restart.
#[tokio::test]
async fn tickets_come_again_with_the_same_command() {
    let world = World::new().await;
    world.file("a", "1");
    world.file("b", "2");
    let ticket = async |args: &[&str]| {
        let mut sender = Sender::start(send(&world, args)).await;
        sender.says("sharing").await;
        let ticket = sender.ticket.clone();
        let done = sender.stop().await;
        (ticket, done.ok().err.lines().last().unwrap().to_owned())
    };
    let (first, said) = ticket(&["a", "b"]).await;
    assert_eq!(said, "haul: stopped; the same command gives the same ticket again");
    assert_eq!(ticket(&["b", "./a"]).await.0, first, "the same files");
    assert_ne!(ticket(&["a"]).await.0, first, "others");
    let (new, said) = ticket(&["--new-ticket", "a", "b"]).await;
    assert_ne!(new, first);
    assert_eq!(said, "haul: stopped");
    let (other, _) = ticket(&["--identity", "me", "a", "b"]).await;
    assert_ne!(other, first);
    assert_eq!(ticket(&["--identity", "me", "a", "b"]).await.0, other);
    assert_eq!(world.path("me").metadata().unwrap().mode() & 0o777, 0o600);
    assert!(!other.contains(std::fs::read_to_string(world.path("me")).unwrap().trim()));
}

/// D4: a ticket that ended by itself, or was revoked, is over for good, for new receivers and for the
/// share that runs with it.
#[tokio::test]
async fn tickets_end_for_good() {
    let world = World::new().await;
    world.file("d/a", "1");
    world.file("d/secret.key", "2");
    let once = async || {
        let sender = Sender::start(send(&world, &["--once", "d"])).await;
        let ticket = sender.ticket.clone();
        receive(&world, &[&ticket, "got"]).run().await.ok();
        sender.end().await.ok();
        ticket
    };
    let first = once().await;
    assert_ne!(once().await, first);

    let mut open = Sender::start(send(&world, &["d"])).await;
    let mut some = Sender::start(send(&world, &["--exclude", "*.key", "d"])).await;
    some.says("sharing").await;
    assert_ne!(open.ticket, some.ticket);
    some.stop().await.ok();
    let revoked = send(&world, &["--revoke", "--exclude", "*", "d"]).run().await;
    assert!(revoked.ok().err.contains("are over"), "{revoked}");
    open.says("the ticket was revoked").await;
    let before = open.ticket.clone();
    open.end().await.ok();
    let mut again = Sender::start(send(&world, &["d"])).await;
    again.says("sharing").await;
    assert_ne!(again.ticket, before);
    again.stop().await.ok();
    // Records tell nothing of what they are about.
    let records = world.home.path().join(".local/state/haul/tickets").read_dir().unwrap();
    for record in records.map(Result::unwrap) {
        assert_eq!(record.file_name().len(), 32);
        let text = std::fs::read_to_string(record.path()).unwrap();
        assert!(text.bytes().all(|b| b.is_ascii_digit() || b == b' ' || b == b'\n'), "{text}");
    }
}

/// D18: the ticket for a pipe is there before its end.
#[tokio::test]
async fn the_ticket_for_a_pipe_does_not_wait_for_it() {
    let world = World::new().await;
    let sender = Sender::start(send(&world, &["-"]).open_input()).await;
    assert!(sender.ticket.starts_with("haul"), "{}", sender.ticket);
    sender.stop().await.ended(130);
}

/// `tar c x | haul send - | haul receive T - | tar x`: a pipe from machine to machine. X4.4, S4.22:
/// with --quiet there is the result and nothing else.
#[tokio::test]
async fn a_pipe_from_one_machine_to_another() {
    let world = World::new().await;
    let bytes = sizes::pattern(5 * MIB + 1, 5);
    let run = send(&world, &["-q", "--once", "--name", "x.tar", "-"]).input(bytes.clone());
    let sender = Sender::start(run).await;
    let done = receive(&world, &["-q", &sender.ticket, "-"]).run().await;
    assert!(done.quiet().bytes == bytes);
    sender.end().await.quiet();
    let run = send(&world, &["--once", "--name", "x.tar", "-"]).input(bytes.clone());
    let sender = Sender::start(run).await;
    let done = receive(&world, &["-q", &sender.ticket]).run().await;
    assert_eq!(done.quiet().out(), "");
    assert!(std::fs::read(world.path("x.tar")).unwrap() == bytes);
    sender.end().await.ok();
}

/// U4.1: nothing is overwritten unless that was asked for.
#[tokio::test]
async fn a_name_that_is_taken() {
    let world = World::new().await;
    world.file("f", "new");
    let sender = Sender::start(send(&world, &["f"])).await;
    let to = |name: &str| {
        world.file(format!("{name}/f"), "old");
        name.to_owned()
    };
    let read = |path: &str| std::fs::read_to_string(world.path(path)).unwrap();
    for (how, code, now) in [("fail", 1, "old"), ("skip", 0, "old"), ("overwrite", 0, "new")] {
        let folder = to(how);
        let args = ["--if-exists", how, &sender.ticket, &folder];
        receive(&world, &args).run().await.ended(code);
        assert_eq!(read(&format!("{how}/f")), now, "{how}");
    }
    let done = receive(&world, &[&sender.ticket, &to("usual")]).run().await;
    let said =
        "haul: cannot receive usual/f: something else has this name there (--if-exists skip,";
    assert!(done.ended(1).err.contains(said), "{done}");
    let args = ["--if-exists", "rename", &sender.ticket, &to("rename")];
    let done = receive(&world, &args).run().await;
    assert_eq!(done.ok().out(), "f -> rename/f (1)\n");
    assert_eq!((read("rename/f").as_str(), read("rename/f (1)").as_str()), ("old", "new"));
    // What is there already is not fetched again, nor is it a reason to fail.
    let done = receive(&world, &["-v", &sender.ticket, "overwrite"]).run().await;
    assert_eq!(done.ok().out(), "skipped f: same content (BLAKE3)\n", "{done}");
    sender.stop().await.ok();
}

/// X4.1, S4.24, S4.26: what cannot be read fails on both sides, and stops nothing else.
#[tokio::test]
async fn one_that_cannot_be_read_fails_on_both_sides() {
    let world = World::new().await;
    world.file("t/a", "1");
    world.file("t/z", "2");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.path("t/fifo"),
        rustix::fs::FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .unwrap();
    // What the sender cannot read is no reason to wait for another receiver.
    let mut sender = Sender::start(send(&world, &["--once", "t"])).await;
    let said = sender.says("sharing").await;
    assert!(said.contains("2 files") && said.contains(", 1 could not be read; Ctrl-C"), "{said}");
    let done = receive(&world, &[&sender.ticket, "got"]).run().await;
    assert_eq!(done.ended(1).out(), "t/a -> got/t/a\nt/z -> got/t/z\n");
    assert!(done.err.contains("2 received (2 B), 1 failed in "), "{done}");
    sender.says("has everything (2 files)").await;
    let sent = sender.end().await;
    assert!(sent.ended(1).err.contains("t/fifo"), "{sent}");
}

/// From a store, without a copy here, and to a store.
#[tokio::test]
async fn stores_on_both_sides() {
    let world = World::new().await;
    let bytes = sizes::pattern(9 * MIB, 9);
    world.put("film", bytes.clone());
    world.put("tree/a", "1");
    world.put("tree/b/c", "22");
    let sender =
        Sender::start(send(&world, &["--once", "s3://bucket/film", "s3://bucket/tree/"])).await;
    receive(&world, &[&sender.ticket, "got"]).run().await.ok();
    assert!(std::fs::read(world.path("got/film")).unwrap() == bytes);
    assert_eq!(std::fs::read(world.path("got/b/c")).unwrap(), b"22");
    sender.end().await.ok();
    let sender = Sender::start(send(&world, &["--once", "got"])).await;
    let done = receive(&world, &[&sender.ticket, "s3://bucket/in/"]).run().await;
    assert!(done.ok().out().contains("got/film -> s3://bucket/in/got/film\n"), "{done}");
    assert!(world.stored("in/got/film") == bytes);
    assert_eq!(world.stored("in/got/b/c"), b"22");
    sender.end().await.ok();
    assert!(world.server.store().uploads(BUCKET).is_empty());
}

/// A ticket that other programs of the iroh ecosystem read.
#[tokio::test]
async fn in_the_format_of_sendme() {
    let world = World::new().await;
    world.file("t/a", "1");
    world.file("t/b", sizes::pattern(MIB, 2));
    let sender = Sender::start(send(&world, &["--format", "sendme", "t"])).await;
    assert!(sender.ticket.starts_with("blob"));
    receive(&world, &[&sender.ticket, "got"]).run().await.ok();
    assert!(std::fs::read(world.path("got/t/b")).unwrap() == sizes::pattern(MIB, 2));
    sender.stop().await.ok();
}

/// The code is beside the ticket, and what it holds is a ticket, too.
#[tokio::test]
async fn a_ticket_to_photograph() {
    let world = World::new().await;
    world.file("a", "1");
    let mut sender = Sender::start(send(&world, &["--once", "--qr", "a"])).await;
    // The rim, of which all is light.
    sender.says(&"█".repeat(30)).await;
    receive(&world, &[&sender.ticket.to_uppercase(), "got"]).run().await.ok();
    assert_eq!(sender.end().await.ok().out(), "");
    assert_eq!(std::fs::read(world.path("got/a")).unwrap(), b"1");
}

/// Ways for a ticket that are not in the list of processes.
#[tokio::test]
async fn tickets_need_not_be_arguments() {
    let world = World::new().await;
    world.file("a", "1");
    let sender = Sender::start(send(&world, &["a"])).await;
    let ticket = sender.ticket.as_str();
    world.file("ticket", format!("{ticket}\n"));
    let got = |folder: &str| std::fs::read(world.path(folder).join("a")).unwrap();
    receive(&world, &["--ticket-file", "ticket", "one"]).run().await.ok();
    receive(&world, &["--ticket-file", "-", "two"]).input(ticket).run().await.ok();
    receive(&world, &["three"]).env("HAUL_TICKET", ticket).run().await.ok();
    // What is typed comes before the environment.
    receive(&world, &[ticket, "four"]).env("HAUL_TICKET", "haulx").run().await.ok();
    assert_eq!(["one", "two", "three", "four"].map(got), [b"1"; 4]);
    std::fs::create_dir(world.path("five")).unwrap();
    let lines = format!("receive --no-relay --bind 127.0.0.1 {ticket} five\n");
    world.haul(["run", "-"]).input(lines).run().await.ok();
    assert_eq!(got("five"), *b"1");
    sender.stop().await.ok();
}

/// What programs read; all types and fields are compared with docs/json.md elsewhere.
#[tokio::test]
async fn both_sides_as_json() {
    let world = World::new().await;
    world.file("t/a", "1");
    world.file("t/b", "22");
    let args = ["--json", "--progress", "json", "--once", "t"];
    let sender = Sender::start(send(&world, &args)).await;
    let first: serde_json::Value = serde_json::from_str(&sender.ticket).unwrap();
    assert_eq!(first["type"], "ticket");
    let ticket = first["ticket"].as_str().unwrap().to_owned();
    let done = receive(&world, &["--json", &ticket, "got"]).run().await;
    let all = done.ok().json();
    assert_eq!(all[0]["verified"], "BLAKE3", "{done}");
    assert_eq!(all.iter().filter(|l| l["type"] == "received").count(), 2, "{done}");
    let summary = all.last().unwrap();
    assert_eq!((&summary["copied"], &summary["resumed"]), (&2.into(), &0.into()), "{done}");
    let sent = sender.end().await;
    let all = sent.ok().json();
    assert_eq!(all.iter().filter(|l| l["type"] == "offered").count(), 2, "{sent}");
    let summary = all.last().unwrap();
    assert_eq!((&summary["receivers"], &summary["end"]), (&1.into(), &"enough".into()), "{sent}");
    let said: Vec<serde_json::Value> =
        sent.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let event = |name: &str| {
        let found = said.iter().find(|l| l["type"] == "peer" && l["event"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {sent}")).clone()
    };
    assert_eq!(event("joined")["route"], "direct");
    assert_eq!((&event("left")["end"], &event("left")["files"]), (&"finished".into(), &2.into()));
    assert!(!sent.err.contains(&ticket), "{sent}");
}

/// X4.4, U4.2: on a terminal each receiver has a bar, with what it says that it has.
#[tokio::test]
async fn receivers_have_bars() {
    let world = World::new().await;
    world.file("big", sizes::pattern(24 * MIB, 7));
    let (slave, screen) = terminal();
    let run = send(&world, &["--once", "--limit-rate", "10MB", "big"]);
    let mut run = run.env("TERM", "xterm").stderr(slave).spawn_open();
    let mut out = tokio::io::BufReader::new(run.child.stdout.take().unwrap());
    let mut ticket = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut out, &mut ticket).await.unwrap();
    let receiver = receive(&world, &["-q", ticket.trim(), "got"]).spawn();
    drawn(&screen, "%").await;
    drawn(&screen, "MiB/s").await;
    receiver.end().await.quiet();
    run.end().await.ok();
    drawn(&screen, "has everything (1 file)").await;
}

/// Each receiver has a line of its own, and the ticket stays where it can be copied.
#[tokio::test]
async fn two_receivers_share_the_screen() {
    let world = World::new().await;
    world.file("big", sizes::pattern(24 * MIB, 7));
    let (slave, screen) = terminal();
    let out = slave.try_clone().unwrap();
    let run = send(&world, &["--limit-rate", "1MB", "big"]).env("TERM", "xterm");
    let mut run = run.stdout(out).stderr(slave).spawn();
    let is_ticket = |line: &str| line.starts_with("haul") && !line.contains(' ') && line.len() > 40;
    let lines = shown(&screen, |lines| lines.iter().any(|l| l.starts_with("haul: sharing 1 file")));
    let lines = lines.await;
    // A ticket is longer than the screen is wide.
    let from = lines.iter().position(|line| is_ticket(line)).unwrap();
    let rest = lines[from + 1..].iter().take_while(|line| !line.contains(' ') && !line.is_empty());
    let ticket = lines[from].clone() + &rest.map(String::as_str).collect::<String>();
    let whole = lines.iter().map(String::as_str).collect::<String>();
    assert!(whole.contains(&format!("haul receive {ticket}")), "the line to copy: {lines:#?}");
    let receivers = ["one", "two"].map(|to| receive(&world, &["-q", &ticket, to]).spawn());
    let is_bar = |line: &&String| line.starts_with("peer ") && line.contains('%');
    let both = shown(&screen, |lines| lines.iter().filter(is_bar).count() == 2).await;
    assert!(both.iter().any(|line| is_ticket(line)), "the ticket is gone: {both:#?}");
    assert!(both.iter().any(|line| line.starts_with("haul: sharing 1 file")), "{both:#?}");
    drop(receivers);
    run.child.kill().await.unwrap();
}

/// A receiver whose sender is not there says what it waits for, and does not count nothing.
#[tokio::test]
async fn a_sender_is_waited_for() {
    let world = World::new().await;
    world.file("f", "x");
    let sender = Sender::start(send(&world, &["f"])).await;
    let ticket = sender.ticket.clone();
    sender.stop().await;
    let mut run = receive(&world, &["--progress", "plain", &ticket]).spawn_watched();
    let err = tokio::io::BufReader::new(run.child.stderr.take().unwrap());
    let mut said = tokio::io::AsyncBufReadExt::lines(err);
    let mut all = Vec::new();
    loop {
        let line = crate::harness::within("a line", said.next_line()).await.unwrap();
        let line = line.unwrap_or_else(|| panic!("never said: {all:?}"));
        if line == "haul: waiting for the sender" {
            break;
        }
        all.push(line);
    }
    assert!(all.iter().all(|line| !line.contains("items")), "{all:?}");
    run.child.kill().await.unwrap();
}

/// D17: what would come can be seen before it comes. Nothing is taken, and the sender goes on.
#[tokio::test]
async fn what_would_come_can_be_seen() {
    let world = World::new().await;
    world.file("t/a.txt", "hello");
    world.file("t/.hidden", "");
    world.file("t/x\x1b]0;y\x07", "12");
    std::fs::create_dir(world.path("t/nothing")).unwrap();
    symlink("a.txt", world.path("t/link")).unwrap();
    let day = humantime::parse_rfc3339("2026-01-15T12:00:00Z").unwrap();
    std::fs::File::open(world.path("t/a.txt")).unwrap().set_modified(day).unwrap();
    let sender = Sender::start(send(&world, &["t/"])).await;
    let before = world.tree();
    let done = receive(&world, &["--list", &sender.ticket]).run().await;
    let mut lines: Vec<_> = done.ok().out().lines().collect();
    lines.sort_unstable_by_key(|line| &line[20..]);
    assert_eq!(lines.len(), 5, "{done}");
    assert!(lines.contains(&"2026-01-15T12:00:00Z         5 B  a.txt"), "{done}");
    for (rest, at) in [(".hidden", 0), ("link -> a.txt", 0), ("nothing/", 0)] {
        assert!(lines[at..].iter().any(|line| line.ends_with(&format!("  {rest}"))), "{done}");
    }
    assert!(!done.out().contains('\x1b') && !done.out().contains('\x07'), "{done}");
    let done = receive(&world, &["--list", "--json", &sender.ticket]).run().await;
    let file = done.ok().json().into_iter().find(|one| one["path"] == "a.txt").unwrap();
    assert_eq!((&file["type"], &file["size"]), (&"file".into(), &5.into()));
    assert_eq!(file["last_modified"], "2026-01-15T12:00:00Z");
    assert!(world.tree() == before, "something was taken");
    let done = receive(&world, &["--list", &sender.ticket, "got"]).run().await;
    done.failed(2, "*: --list takes nothing, and needs no DEST");
    sender.stop().await;
}

/// D17: names that begin with a dot come into the current folder only where they are asked for.
#[tokio::test]
async fn hidden_names_do_not_come_unasked() {
    let world = World::new().await;
    world.file("t/.profile", "harm");
    world.file("t/a", "1");
    let sender = Sender::start(send(&world, &["t/"])).await;
    let unasked = receive(&world, &[&sender.ticket]).run().await;
    assert_eq!(unasked.code, 1, "{unasked}");
    assert!(
        unasked.err.contains("cannot receive .profile: its name begins with a dot"),
        "{unasked}"
    );
    assert!(world.path("a").exists() && !world.path(".profile").exists());
    receive(&world, &["--hidden", &sender.ticket]).run().await.ok();
    assert!(world.path(".profile").exists());
    receive(&world, &[&sender.ticket, "got"]).run().await.ok();
    assert!(world.path("got/.profile").exists());
    sender.stop().await;
}
