//! Many files: what is taken, what is said, and how it ends.

use haul_testkit::{Fault, Op, Rule};
use serde_json::Value;

use crate::harness::{BUCKET, Done, World, within};

fn lines(done: &Done) -> Vec<&str> {
    done.out().lines().collect()
}

/// A folder with a little of everything.
fn folder(world: &World) {
    for name in ["t/a.txt", "t/b.jpg", "t/sub/c.txt", "t/sub/d.jpg", "t/sub/deep/e.txt"] {
        world.file(name, name);
    }
}

#[tokio::test]
async fn a_folder_goes_up_and_comes_back() {
    let world = World::new().await;
    folder(&world);
    let up = world.haul(["cp", "-r", "t", "s3://bucket/into/"]).run().await;
    assert_eq!(
        lines(up.ok()),
        [
            "t/a.txt -> s3://bucket/into/t/a.txt",
            "t/b.jpg -> s3://bucket/into/t/b.jpg",
            "t/sub/c.txt -> s3://bucket/into/t/sub/c.txt",
            "t/sub/d.jpg -> s3://bucket/into/t/sub/d.jpg",
            "t/sub/deep/e.txt -> s3://bucket/into/t/sub/deep/e.txt",
        ],
        "in the order of the listing"
    );
    // S0.12: a summary when all is done.
    assert!(up.err.starts_with("5 copied (") && up.err.lines().count() == 1, "{up}");
    world.haul(["cp", "-r", "s3://bucket/into/t/", "back"]).run().await.ok();
    for name in ["a.txt", "sub/d.jpg", "sub/deep/e.txt"] {
        let back = std::fs::read(world.path("back").join(name)).unwrap();
        assert_eq!(back, std::fs::read(world.path("t").join(name)).unwrap());
    }
    world.assert_clean();
}

#[tokio::test]
async fn a_folder_without_r_says_so() {
    let world = World::new().await;
    folder(&world);
    let line = "cannot open t: it is a folder (-r takes all that is below it)";
    world.refuses(["cp", "t", "s3://bucket/"], 2, line).await;
    let done = world.haul(["cp", "t", "t/a.txt", "s3://bucket/"]).run().await;
    done.ended(1);
    assert!(done.err.contains("it is a folder (-r takes all"), "{done}");
    assert_eq!(world.server.store().keys(BUCKET), ["a.txt"], "the other went on");
}

/// The last of `--include` and `--exclude` that matches decides, in the order of the command line.
#[tokio::test]
async fn filters_act_in_their_order() {
    let world = World::new().await;
    folder(&world);
    let patterns = world.file("patterns", "# not these\n\nd.jpg\n");
    let patterns = patterns.to_str().unwrap();
    let jpg = ["t/b.jpg", "t/sub/d.jpg"];
    let cases: [(&[&str], &[&str]); 7] = [
        (&["--exclude", "*", "--include", "*.jpg"], &jpg),
        (&["--include", "*.jpg", "--exclude", "*"], &[]),
        (&["--include", "*.jpg"], &jpg),
        (&["--exclude", "sub"], &["t/a.txt", "t/b.jpg"]),
        (&["--include", "*.jpg", "--exclude-from", patterns], &["t/b.jpg"]),
        (&["--exclude-from", patterns, "--include", "*.jpg", "--exclude=*.txt"], &jpg),
        (&["--min-size", "12", "--max-size", "12"], &[]),
    ];
    for (flags, expected) in cases {
        let args = ["cp", "-r", "--dry-run", "t", "s3://bucket/"];
        let done = world.haul(args.iter().chain(flags)).run().await;
        let taken: Vec<_> =
            lines(&done).iter().map(|l| l.split(' ').nth(2).unwrap().to_owned()).collect();
        assert_eq!(taken, expected, "{flags:?}: {done}");
        // That nothing has a size is no mistake; that nothing has a name is.
        let mistake = expected.is_empty() && !flags[0].contains("size");
        done.ended(if mistake { 4 } else { 0 });
    }
    assert!(world.server.store().keys(BUCKET).is_empty(), "a dry run changes nothing");
    let done = world.haul(["cp", "-r", "--exclude", "a[", "t", "s3://bucket/"]).run().await;
    done.failed(2, "cannot understand --exclude: \"a[\" is no pattern*");
}

#[tokio::test]
async fn ages_decide() {
    let world = World::new().await;
    folder(&world);
    for (flags, code) in [
        (["--newer-than", "1h"], 0),
        (["--older-than", "1h"], 0),
        (["--older-than", "2020-01-01"], 0),
        (["--newer-than", "2020-01-01T00:00:00Z"], 0),
        (["--newer-than", "soon"], 2),
    ] {
        let args = ["cp", "-r", "--dryrun", "t", "s3://bucket/"];
        let done = world.haul(args.iter().chain(&flags)).run().await;
        done.ended(code);
    }
}

/// U0.3: flags change the real transfer, not only the dry run.
#[tokio::test]
async fn a_dry_run_tells_what_then_happens() {
    let world = World::new().await;
    folder(&world);
    for flags in [&["-r"][..], &["-r", "--flatten"], &["-r", "--include", "*.txt"]] {
        let args = ["t", "s3://bucket/x/"].iter().chain(flags);
        let dry = world.haul(["cp", "--dry-run"].iter().chain(args.clone())).run().await;
        let told: Vec<_> = lines(dry.ok()).iter().map(|l| l.replace("would copy ", "")).collect();
        let real = world.haul(["cp"].iter().chain(args)).run().await;
        assert_eq!(lines(real.ok()), told);
        assert!(dry.err.contains(" would be copied ("), "{dry}");
    }
}

/// U0.6: two inputs that map to one key are found before anything is written.
#[tokio::test]
async fn names_that_collide_are_refused() {
    let world = World::new().await;
    world.file("t/a/same", "1");
    world.file("t/b/same", "2");
    let done = world.haul(["cp", "-r", "--flatten", "t", "s3://bucket/"]).run().await;
    assert_ne!(done.code, 0, "{done}");
    assert!(done.err.contains("same"), "{done}");
    assert!(world.server.store().keys(BUCKET).is_empty());
}

#[tokio::test]
async fn several_sources_and_manifests() {
    let world = World::new().await;
    folder(&world);
    let done = world.haul(["cp", "t/a.txt", "-c", "2", "t/b.jpg", "s3://bucket/p/"]).run().await;
    assert_eq!(lines(done.ok()).len(), 2);
    let list = "t/a.txt\n\nt/sub/c.txt\n";
    let args = ["cp", "--files-from", "-", "s3://bucket/q/"];
    let done = world.haul(args).input(list).run().await;
    assert_eq!(lines(done.ok()).len(), 2, "{done}");
    world.file("list", list);
    let args = ["mv", "--files-from", "list", "s3://bucket/m/"];
    let done = world.haul(args).run().await;
    assert_eq!(lines(done.ok()).len(), 2, "{done}");
    assert!(!world.path("t/a.txt").exists() && world.path("t/b.jpg").exists());
    let keys = world.server.store().keys(BUCKET);
    assert_eq!(keys, ["m/a.txt", "m/c.txt", "p/a.txt", "p/b.jpg", "q/a.txt", "q/c.txt"]);
    let done = world.haul(["cp", "--files-from", "none", "s3://bucket/q/"]).run().await;
    done.failed(4, "cannot read none: no such file or folder");
}

#[tokio::test]
async fn a_move_removes_its_source_last() {
    let world = World::new().await;
    world.put("a", "1");
    let dry = world.haul(["mv", "--dry-run", "s3://bucket/a", "s3://bucket/b"]).run().await;
    assert_eq!(dry.ok().out(), "would move s3://bucket/a -> s3://bucket/b\n");
    let done = world.haul(["mv", "--json", "s3://bucket/a", "s3://bucket/b"]).run().await;
    let all = done.ok().json();
    assert_eq!((&all[0]["type"], &all[1]["type"]), (&"moved".into(), &"summary".into()));
    assert_eq!(world.server.store().keys(BUCKET), ["b"]);
    world.server.faults().add(Rule::on(Op::PutObject).always().then(Fault::status(403)));
    world.file("f", "x");
    let done = world.haul(["mv", "f", "s3://bucket/c"]).run().await;
    done.ended(5);
    assert!(world.path("f").exists(), "what did not arrive stays");
}

/// S0.16, S0.17, S0.18, U0.1: one failure stops nothing, is said at once on stderr, and shows in the code.
#[tokio::test]
async fn one_of_many_fails() {
    let world = World::new().await;
    folder(&world);
    let refuse = || Rule::on(Op::PutObject).key("t/b.jpg").always().then(Fault::status(403));
    world.server.faults().add(refuse());
    let done = world.haul(["cp", "-r", "t", "s3://bucket/"]).run().await;
    done.ended(1);
    assert_eq!(lines(&done).len(), 4, "{done}");
    assert!(!done.out().contains("b.jpg"), "failures are not results: {done}");
    let mut said = done.err.lines();
    assert!(said.next().unwrap().starts_with("haul: cannot write s3://bucket/t/b.jpg: "), "{done}");
    assert!(said.next().unwrap().starts_with("4 copied ("), "{done}");
    assert!(done.err.contains(", 1 failed in "), "{done}");
    // The only item asked for failed: its own code.
    let done = world.haul(["cp", "-r", "t", "s3://bucket/", "--include", "b.jpg"]).run().await;
    done.ended(5);
}

#[tokio::test]
async fn nothing_that_matches_is_not_found() {
    let world = World::new().await;
    world.file("t/a.txt", "");
    for args in [
        &["cp", "-r", "--include", "*.jpg", "t", "s3://bucket/"][..],
        &["cp", "s3://bucket/none*", "x/"],
        &["rm", "s3://bucket/none*"],
        &["rm", "-r", "s3://bucket/none/"],
    ] {
        let done = world.haul(args).run().await;
        done.ended(4);
        assert_eq!(done.out(), "", "{done}");
    }
    // A share of few may be empty, and a tree that is equal has nothing to do.
    let shards = ["0/4", "1/4", "2/4", "3/4"];
    for shard in shards {
        let args = ["cp", "-r", "--shard", shard, "t", "s3://bucket/"];
        world.haul(args).run().await.ok();
    }
    assert_eq!(world.server.store().keys(BUCKET), ["t/a.txt"]);
    world.haul(["sync", "t", "s3://bucket/t"]).run().await.ok();
}

#[tokio::test]
async fn patterns_are_matched_and_literal_keys_win() {
    let world = World::new().await;
    for key in ["a1", "a2", "b1", "a[1]"] {
        world.put(key, key);
    }
    let done = world.haul(["cp", "s3://bucket/a?", "out/"]).run().await;
    assert_eq!(lines(done.ok()).len(), 2, "{done}");
    let done = world.haul(["cp", "s3://bucket/a[1]", "one"]).run().await;
    assert_eq!(done.ok().out(), "s3://bucket/a[1] -> one\n");
    assert_eq!(std::fs::read(world.path("one")).unwrap(), b"a[1]");
    world.file("w[x]", "local");
    world.haul(["cp", "w[x]", "s3://bucket/w"]).run().await.ok();
}

fn types(all: &[Value]) -> Vec<&str> {
    all.iter().map(|line| line["type"].as_str().unwrap()).collect()
}

/// The schema of items and of the summary.
#[tokio::test]
async fn json_of_many() {
    let world = World::new().await;
    folder(&world);
    let key = "t/b.jpg";
    world.server.faults().add(Rule::on(Op::PutObject).key(key).always().then(Fault::status(403)));
    let done = world.haul(["cp", "--json", "-r", "t", "s3://bucket/"]).run().await;
    let all = done.ended(1).json();
    assert_eq!(types(&all), ["copied", "failed", "copied", "copied", "copied", "summary"]);
    let copied = &all[0];
    assert_eq!(
        (&copied["from"], &copied["to"]),
        (&"t/a.txt".into(), &"s3://bucket/t/a.txt".into())
    );
    assert_eq!((&copied["bytes"], &copied["verified"]), (&7.into(), &"CRC64NVME".into()));
    assert!(copied["etag"].is_string() && copied["seconds"].is_f64(), "{copied}");
    let failed = &all[1];
    assert_eq!(failed["error"]["kind"], "access_denied", "{failed}");
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("cannot write s3://bucket/t/b.jpg: "), "{failed}");
    let sum = &all[5];
    assert_eq!((&sum["found"], &sum["copied"], &sum["failed"]), (&5.into(), &4.into(), &1.into()));
    assert_eq!((&sum["complete"], &sum["retried"]), (&true.into(), &0.into()));
    assert_eq!(sum["bytes"], 7 + 11 + 11 + 16, "{sum}");

    let done = world.haul(["cp", "--json", "-rn", "t", "s3://bucket/"]).run().await;
    let all = done.ended(1).json();
    assert_eq!(types(&all), ["skipped", "failed", "skipped", "skipped", "skipped", "summary"]);
    assert_eq!(all[0]["reason"], "exists");
    let done = world.haul(["rm", "--json", "-r", "--dry-run", "s3://bucket/t/"]).run().await;
    assert_eq!(types(&done.ok().json())[..2], ["would_remove"; 2]);
    let done = world.haul(["rm", "--json", "-r", "s3://bucket/t/"]).run().await;
    let all = done.ok().json();
    assert_eq!(types(&all), ["removed", "removed", "removed", "removed", "summary"]);
    assert_eq!(all[0]["location"], "s3://bucket/t/a.txt");
}

#[tokio::test]
async fn skipped_items_are_told_to_those_who_ask() {
    let world = World::new().await;
    folder(&world);
    let args = ["cp", "-r", "-n", "t", "s3://bucket/"];
    world.haul(args).run().await.ok();
    let done = world.haul(args).run().await;
    assert_eq!(done.ok().out(), "");
    assert!(done.err.starts_with("0 copied, 5 skipped in "), "{done}");
    let done = world.haul(args.iter().chain(&["-v"])).run().await;
    assert_eq!(lines(done.ok())[0], "skipped t/a.txt: it exists");
    assert_eq!(lines(&done).len(), 5);
}

#[tokio::test]
async fn sync_and_check() {
    let world = World::new().await;
    folder(&world);
    let sync = |more: &[&str]| {
        let args = ["sync", "t", "s3://bucket/p"].iter().chain(more);
        world.haul(args.copied().collect::<Vec<_>>()).run()
    };
    assert_eq!(lines(sync(&[]).await.ok()).len(), 5);
    let again = sync(&[]).await;
    assert_eq!(again.ok().out(), "");
    assert!(again.err.starts_with("0 copied, 5 skipped in "), "{again}");
    world.haul(["check", "t", "s3://bucket/p"]).run().await.ok();
    world.put("p/extra", "x");
    world.put("p/a.txt", "changed");
    let check = world.haul(["check", "t", "s3://bucket/p"]).run().await;
    check.ended(3);
    let told = lines(&check);
    assert!(told.iter().any(|l| l.ends_with("a.txt: the contents differ")), "{check}");
    assert!(told.iter().any(|l| l.contains("extra") && l.ends_with("at the source")), "{check}");
    assert!(check.err.starts_with("4 the same, 2 different in "), "{check}");
    let args = ["check", "--one-way", "--size-only", "--json", "t", "s3://bucket/p"];
    let check = world.haul(args).run().await;
    assert_eq!(types(&check.ok().json()), ["same", "same", "same", "same", "same", "summary"]);
    let dry = sync(&["--checksum", "--delete", "--dry-run"]).await;
    assert!(dry.ok().out().contains("would remove s3://bucket/p/extra\n"), "{dry}");
    let few = sync(&["--delete", "--max-delete", "0"]).await;
    assert_ne!(few.code, 0, "{few}");
    assert!(world.server.store().object(BUCKET, "p/extra").is_some());
    let done = sync(&["--checksum", "--delete"]).await;
    assert!(done.ok().out().contains("removed s3://bucket/p/extra\n"), "{done}");
    assert!(done.err.contains(", 1 removed in "), "{done}");
    world.haul(["check", "t", "s3://bucket/p"]).run().await.ok();
}

/// A night on which nothing is so old, or so large, is no failure; a name that matches nothing is one.
#[tokio::test]
async fn nothing_old_enough_is_no_failure() {
    let world = World::new().await;
    world.put("p/a", "x");
    world.file("t/a", "x");
    for args in [
        &["rm", "-r", "--older-than", "30d", "s3://bucket/p/"][..],
        &["cp", "-r", "--min-size", "1GiB", "t", "s3://bucket/"],
        &["publish", "--older-than", "1d", "t", "s3://bucket/"],
    ] {
        let done = world.haul(args).run().await;
        assert_eq!(done.ok().out(), "", "{done}");
    }
    let done = world.haul(["rm", "-r", "--include", "*.tmp", "s3://bucket/p/"]).run().await;
    assert!(done.ended(4).err.contains("nothing matched (run haul ls"), "{done}");
    let done = world.haul(["cp", "s3://bucket/*.gz", "out/"]).run().await;
    assert!(done.ended(4).err.contains("* stops at a slash, ** does not"), "{done}");
    world.put("logs/2026/a.gz", "x");
    let done = world.haul(["ls", "s3://bucket/**.gz"]).run().await;
    assert!(done.quiet().out().ends_with("  logs/2026/a.gz\n"), "{done}");
    let done = world.haul(["cp", "s3://bucket/**.gz", "out/"]).run().await;
    assert_eq!(done.ok().out(), "s3://bucket/logs/2026/a.gz -> out/logs/2026/a.gz\n");
}

#[tokio::test]
async fn removing_many() {
    let world = World::new().await;
    for key in ["p/a", "p/b.gz", "q"] {
        world.put(key, "x");
    }
    let done = world.haul(["rm", "s3://bucket/p/"]).run().await;
    assert_ne!(done.code, 0);
    assert!(done.err.contains("-r takes all that is below it") || done.err.contains("object"));
    let done = world.haul(["rm", "-r", "--exclude", "*.gz", "s3://bucket/p/"]).run().await;
    assert_eq!(done.ok().out(), "removed s3://bucket/p/a\n");
    let done = world.haul(["rm", "s3://bucket/p/b.gz", "s3://bucket/q"]).run().await;
    assert_eq!(done.ok().out(), "removed s3://bucket/p/b.gz\nremoved s3://bucket/q\n");
    assert!(done.err.starts_with("2 removed in "), "{done}");
    assert!(world.server.store().keys(BUCKET).is_empty());
}

/// S0.13, S0.14, S0.27, X0.6: the flag bounds the requests in flight.
#[tokio::test]
async fn concurrency_bounds_requests() {
    for (flags, most) in [(&[][..], 4), (&["-c", "1"], 1), (&["-c", "8"], 8), (&["-c", "auto"], 8)]
    {
        let world = World::new().await;
        for i in 0..40 {
            world.file(format!("t/{i:02}"), "x");
        }
        let args = ["cp", "-r", "t", "s3://bucket/"].iter().chain(flags);
        let done = world.haul(args).run().await;
        assert_eq!(lines(done.ok()).len(), 40);
        assert!(world.server.calls().peak_in_flight() <= most, "{flags:?}");
    }
}

/// S0.29: `-c auto` really has 8 small files in flight, and the rest waits.
#[tokio::test]
async fn small_files_go_eight_at_once_by_themselves() {
    let world = World::new().await;
    for i in 0..40 {
        world.file(format!("t/{i:02}"), "x");
    }
    let rule = Rule::on(Op::PutObject).always().then(Fault::Stall);
    let held = world.server.faults().add(rule);
    let run = world.haul(["cp", "-r", "-c", "auto", "t", "s3://bucket/"]).spawn();
    within("eight", world.server.calls().wait_in_flight(Op::PutObject, 8)).await;
    held.release();
    run.end().await.ok();
    assert_eq!(world.server.calls().peak_in_flight(), 8);
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it() {
    let world = World::new().await;
    for i in 0..200 {
        world.file(format!("t/{i:03}"), "x");
    }
    let script = "$HAUL cp -r t s3://bucket/ | head -n 1; exit ${PIPESTATUS[0]}";
    let done = world.program("bash", ["-c", script]).run().await;
    // By the time the reader goes away it may have been over.
    assert!(matches!(done.code, 0 | 141), "{done}");
    assert_eq!(done.out(), "t/000 -> s3://bucket/t/000\n");
    world.assert_clean();
}
