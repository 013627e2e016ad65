//! `haul send` and `haul receive`, misused: one clear line, and never a ticket in it.

use std::os::unix::fs::PermissionsExt as _;

use crate::harness::World;
use crate::pair::{Sender, receive, send};

/// A ticket that looks right and is not.
fn garbled() -> String {
    format!("haul{}", "abcdefg234567".repeat(12))
}

#[tokio::test]
async fn what_is_no_ticket() {
    let world = World::new().await;
    let garbled = garbled();
    for (ticket, why) in [
        (garbled.as_str(), "part of it is missing or wrong"),
        ("hello", "it does not begin with haul or blob"),
        ("haul", "part of it is missing or wrong"),
    ] {
        let line = format!("cannot understand the ticket: {why} (it is one word *)");
        let done = receive(&world, &[ticket]).run().await;
        done.failed(2, &line);
        assert!(ticket.len() < 9 || !done.err.contains(ticket), "{done}");
        let done = receive(&world, &[]).env("HAUL_TICKET", ticket).run().await;
        done.failed(2, &line);
        world.file("ticket", ticket);
        receive(&world, &["--ticket-file", "ticket"]).run().await.failed(2, &line);
    }
    // D13: in capital letters, too, as QR codes have them.
    for ticket in [garbled.clone(), garbled.to_ascii_uppercase()] {
        for args in [vec!["cp", &ticket, "."], vec!["send", &ticket]] {
            let done = world.haul(&args).run().await;
            done.failed(
                2,
                "cannot open the ticket: a ticket is not a file or folder (haul receive *)",
            );
            assert!(!done.err.contains(&ticket), "{done}");
        }
    }
}

#[tokio::test]
async fn a_ticket_too_many_or_too_few() {
    let world = World::new().await;
    let garbled = garbled();
    world.file("ticket", &garbled);
    let none = "cannot understand the arguments: the ticket is missing (haul receive TICKET *)";
    receive(&world, &[]).run().await.failed(2, none);
    for (args, line) in [
        (vec!["--ticket-file", "ticket", &garbled, "got"], "*: the ticket comes from * (*)"),
        (vec![&garbled, "got", "more"], "*: there are more of them than TICKET and DEST (*)"),
        (vec!["--ticket-file", "none"], "cannot read none: no such file or folder"),
    ] {
        let done = receive(&world, &args).run().await;
        assert_ne!(done.code, 0, "{done}");
        done.failed(done.code, line);
        assert!(!done.err.contains(&garbled), "{done}");
    }
}

#[tokio::test]
async fn flags_that_make_no_sense() {
    let world = World::new().await;
    world.file("a", "1");
    world.file("open", "0".repeat(64));
    std::fs::set_permissions(world.path("open"), std::fs::Permissions::from_mode(0o644)).unwrap();
    for (args, line) in [
        (&["--relay", "https://r.example.org", "a"][..], "--relay and --no-relay contradict *"),
        (&["--once", "--max-receivers", "2", "a"], "*cannot be used with*"),
        (&["--max-receivers", "0", "a"], "*; see --help"),
        (&["--name", "x", "a"], "*--name is for standard input (*)"),
        (&["--expire", "0", "a"], "*--expire 0 would be over before it begins (*)"),
        (&["-", "a"], "*standard input goes alone (*)"),
        (&["--identity", "open", "a"], "cannot open open: * others may read it * (chmod 600 open)"),
        (&["-j", "0", "a"], "*; see --help"),
    ] {
        send(&world, args).run().await.failed(2, line);
    }
    let args = ["send", "--relay", "nowhere", "a"];
    world.haul(args).run().await.failed(2, "*write https://HOST, public or none*");
    let run = send(&world, &["a"]).env("HAUL_SHARE_UPLOAD", "x");
    run.run().await.failed(2, "*(from the environment: HAUL_SHARE_UPLOAD); see --help");
    let args = ["receive", "--bind", "eth0", "haul"];
    world.haul(args).run().await.failed(2, "*write an address of this machine*");
}

#[tokio::test]
async fn nothing_to_share() {
    let world = World::new().await;
    let done = send(&world, &["none"]).run().await;
    done.ended(4);
    assert!(done.err.contains("cannot open none: no such file or folder\n"), "{done}");
    // D22: nobody is given a ticket for it.
    assert_eq!(done.out(), "", "{done}");
    world.file("t/a", "1");
    let done = send(&world, &["--exclude", "*", "t"]).run().await;
    assert_ne!(done.code, 0, "{done}");
    assert!(done.err.contains("there is nothing to share"), "{done}");
    assert_eq!(done.out(), "", "{done}");
}

/// U4.1: things of the same name from several places would be one at the receiver: that is said before
/// anybody has a ticket.
#[tokio::test]
async fn same_names_from_several_places() {
    let world = World::new().await;
    for path in ["a/x", "b/x", "c/d/y", "e/d/y", "e/d/z"] {
        world.file(path, path);
    }
    for (args, one, other) in [
        (&["a/x", "b/x"][..], "a/x", "b/x"),
        (&["c/d", "e/d"], "c/d/y", "e/d/y"),
        (&["a/", "b/"], "a/x", "b/x"),
    ] {
        let done = send(&world, args).run().await;
        assert_ne!(done.code, 0, "{done}");
        assert_eq!(done.out(), "", "{done}");
        assert!(done.err.contains(one) && done.err.contains(other), "{done}");
    }
}

/// D4: what is revoked is nothing to share.
#[tokio::test]
async fn what_cannot_be_revoked() {
    let world = World::new().await;
    world.file("a", "1");
    let run = send(&world, &["--revoke", "-"]).input("x");
    run.run().await.failed(2, "*never has the same ticket twice*haul send that shares it*");
    let done = send(&world, &["--revoke", "--once", "a"]).run().await;
    done.ended(2);
}

/// A relay of the settings is no contradiction to --no-relay.
#[tokio::test]
async fn settings_of_peers() {
    let world = World::new().await;
    world.file("a", "1");
    let run = send(&world, &["--expire", "1s", "a"]).env("HAUL_RELAY", "https://r.example.org");
    run.run().await.ok();
    world.file("haul.toml", "[share]\nupload = 2\ndownload = 3\nrelay = 'none'\n");
    let args = ["send", "--bind", "127.0.0.1", "--expire", "1s", "--config", "haul.toml", "a"];
    let done = world.haul(args).run().await;
    assert!(!done.ok().err.contains("relay"), "{done}");
}

/// A ticket of nobody: the receiver tries as often as it was told to, and says what to do.
#[tokio::test]
async fn a_sender_that_is_gone() {
    let world = World::new().await;
    world.file("a", "1");
    let mut sender = Sender::start(send(&world, &["a"])).await;
    sender.says("sharing").await;
    let ticket = sender.ticket.clone();
    sender.stop().await.ok();
    let done = receive(&world, &["--retries", "0", &ticket, "got"]).run().await;
    assert!(done.ended(1).err.contains("the sender must be running"), "{done}");
    assert!(!done.err.contains(&ticket), "{done}");
}
