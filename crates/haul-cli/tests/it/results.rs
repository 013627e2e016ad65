//! What goes to stdout, and what does not.

use haul_testkit::{Fault, Op, Rule};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::harness::{Done, MIB, World, within};

fn lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    text.lines().map(parse).collect()
}

fn only(done: &Done) -> Value {
    let mut all = lines(done.ok().out());
    assert_eq!(all.len(), 1, "{done}");
    all.remove(0)
}

fn fields(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn cp_prints_from_and_to() {
    let world = World::new().await;
    world.file("a", "data");
    let done = world.haul(["cp", "a", "s3://bucket/p/"]).run().await;
    assert_eq!(done.ok().out(), "a -> s3://bucket/p/a\n");
    assert_eq!(done.err.lines().count(), 1, "one line of summary: {done}");
    assert!(done.err.contains("verified: CRC64NVME"), "{done}");
    let done = world.haul(["cp", "s3://bucket/p/a", "b"]).run().await;
    assert_eq!(done.ok().out(), "s3://bucket/p/a -> b\n");
    let done = world.haul(["cp", "s3://bucket/p/a", "s3://bucket/c"]).run().await;
    assert_eq!(done.ok().out(), "s3://bucket/p/a -> s3://bucket/c\n");
    let done = world.haul(["cp", "b", "c"]).run().await;
    assert_eq!(done.ok().out(), "b -> c\n");
}

#[tokio::test]
async fn json_is_one_object_with_its_fields() {
    let world = World::new().await;
    world.server.store().set_versioning("bucket", true);
    world.file("a", "data");
    let done = world.haul(["cp", "--json", "a", "s3://bucket/k"]).run().await;
    let line = only(&done);
    let etag = world.server.store().object("bucket", "k").unwrap().etag;
    assert_eq!(line["type"], "copied");
    assert_eq!((&line["from"], &line["to"]), (&"a".into(), &"s3://bucket/k".into()));
    assert_eq!((&line["bytes"], &line["retried"]), (&4.into(), &0.into()));
    assert_eq!(line["verified"], "CRC64NVME");
    assert_eq!(line["etag"].as_str().map(|e| e.trim_matches('"')), Some(&*etag), "{line}");
    assert!(line["version_id"].is_string() && line["seconds"].is_f64(), "{line}");
    done.quiet();
    let line = only(&world.haul(["cp", "--json", "-n", "a", "s3://bucket/k"]).run().await);
    assert_eq!(line["type"], "skipped");
    let stat = only(&world.haul(["stat", "--json", "s3://bucket/k"]).run().await);
    for field in ["location", "size", "etag", "content_type", "last_modified", "metadata"] {
        assert!(fields(&stat).contains(&field), "{stat}");
    }
    assert_eq!(stat["etag"], etag, "cp and stat show one ETag in one way");
    assert_eq!(line["etag"], Value::Null);
    let local = only(&world.haul(["stat", "--json", "a"]).run().await);
    assert_eq!((&local["size"], &local["folder"]), (&4.into(), &false.into()));
    let rm = only(&world.haul(["rm", "--json", "s3://bucket/k"]).run().await);
    assert_eq!((&rm["type"], &rm["location"]), (&"removed".into(), &"s3://bucket/k".into()));
    let mb = only(&world.haul(["mb", "--json", "s3://new"]).run().await);
    assert_eq!((&mb["type"], &mb["location"]), (&"created".into(), &"s3://new".into()));
}

/// -q says nothing of what was changed, and all that a command is for.
#[tokio::test]
async fn quiet_says_nothing_but_what_was_asked_for() {
    let world = World::new().await;
    for i in 0..50 {
        world.file(format!("t/{i}"), "x");
    }
    let silent: &[&[&str]] = &[
        &["cp", "-rq", "t", "s3://bucket/"],
        &["cp", "-r", "--only-show-errors", "t", "s3://bucket/two/"],
        &["sync", "-q", "--delete", "t", "s3://bucket/three"],
        &["mv", "-rq", "s3://bucket/two", "s3://bucket/four"],
        &["rm", "-rq", "s3://bucket/three/"],
        &["rm", "-q", "s3://bucket/t/1"],
        &["mb", "-q", "s3://other"],
        &["rb", "-q", "s3://other"],
        &["check", "-q", "t", "t2"],
    ];
    std::fs::create_dir(world.path("t2")).unwrap();
    for i in 0..50 {
        world.file(format!("t2/{i}"), "x");
    }
    for args in silent {
        let done = world.haul(*args).run().await;
        assert_eq!(done.quiet().out(), "", "{done}");
    }
    world.file("t/0", "changed");
    let spoken: &[(&[&str], i32, usize)] = &[
        (&["publish", "-q", "t/0", "t/2", "s3://bucket/p/"], 0, 2),
        (&["presign", "-q", "s3://bucket/t/2"], 0, 1),
        (&["ls", "-q", "s3://bucket/p/"], 0, 2),
        (&["stat", "-q", "--json", "s3://bucket/p/2"], 0, 1),
        (&["cat", "-q", "s3://bucket/p/2"], 0, 1),
        (&["check", "-q", "t", "t2"], 3, 1),
        (&["rm", "-rq", "--dry-run", "s3://bucket/p/"], 0, 2),
        (&["cp", "-q", "--json", "t/2", "s3://bucket/q"], 0, 1),
    ];
    for (args, code, lines) in spoken {
        let done = world.haul(*args).run().await;
        assert_eq!((done.code, done.err.as_str()), (*code, ""), "{done}");
        assert_eq!(done.out().lines().count(), *lines, "{done}");
    }
    let lines = world.haul(["run", "-"]).input("rm s3://bucket/p/0\nrm -q s3://bucket/p/2\n");
    let done = lines.run().await;
    assert_eq!(done.ok().out(), "removed s3://bucket/p/0\n", "{done}");
    let done = world.haul(["run", "-q", "-"]).input("rm s3://bucket/q\n").run().await;
    assert_eq!(done.quiet().out(), "", "{done}");
}

/// For a program, one item that failed is an object, as one of many is; a dry run says that it is one.
#[tokio::test]
async fn failures_and_dry_runs_as_json() {
    let world = World::new().await;
    world.file("t/a", "x");
    let done = world.haul(["cp", "--json", "s3://bucket/none", "x"]).run().await;
    let all = done.ended(4).json();
    assert_eq!((all.len(), &all[0]["type"]), (1, &"failed".into()), "{done}");
    assert_eq!((&all[0]["from"], &all[0]["to"]), (&"s3://bucket/none".into(), &"x".into()));
    assert_eq!(all[0]["error"]["kind"], "not_found", "{done}");
    let done = world.haul(["cp", "-r", "--json", "--dry-run", "t", "s3://bucket/"]).run().await;
    let all = done.ok().json();
    assert_eq!(all.last().unwrap()["dry_run"], true, "{done}");
    let done = world.haul(["cp", "-r", "--json", "t", "s3://bucket/"]).run().await;
    assert_eq!(done.ok().json().last().unwrap()["dry_run"], Value::Null, "{done}");
    let stat = only(&world.haul(["stat", "--json", "s3://bucket/t/a"]).run().await);
    assert_eq!(stat["type"], "object");
    let stat = only(&world.haul(["stat", "--json", "t"]).run().await);
    assert_eq!((&stat["type"], &stat["folder"]), (&"folder".into(), &true.into()));
    let ls = only(&world.haul(["ls", "--json", "."]).run().await);
    assert_eq!(ls["type"], "folder", "a folder of this machine is no prefix");
}

/// One ETag, one spelling: a script compares what `cp` and `stat` print.
#[tokio::test]
async fn etags_are_printed_alike() {
    let world = World::new().await;
    world.file("a", "data");
    let cp = only(&world.haul(["cp", "--json", "a", "s3://bucket/k"]).run().await);
    let stat = only(&world.haul(["stat", "--json", "s3://bucket/k"]).run().await);
    assert_eq!(cp["etag"], stat["etag"]);
}

/// S3.5, S3.32: `-q` shows neither progress nor notes.
#[tokio::test]
async fn quiet_keeps_results_and_errors() {
    let world = World::new().await;
    world.file("a", "data");
    world.server.faults().add(Rule::on(Op::PutObject).then(Fault::status(503)));
    let done = world.haul(["cp", "-q", "a", "s3://bucket/k"]).run().await;
    assert_eq!(done.quiet().out(), "");
    let done = world.haul(["cp", "-q", "-n", "a", "s3://bucket/k"]).run().await;
    assert_eq!(done.quiet().out(), "");
    world.refuses(["cp", "-q", "s3://bucket/none", "x"], 4, "cannot open *").await;
    world.server.faults().add(Rule::on(Op::PutObject).then(Fault::status(503)));
    let done = world.haul(["cp", "a", "s3://bucket/k"]).run().await;
    let retry = "haul: cannot write s3://bucket/k: ";
    assert!(done.ok().err.starts_with(retry), "{done}");
    assert!(done.err.contains("; try 2 follows in "), "{done}");
    assert!(done.err.trim_end().ends_with(", 1 retry, verified: CRC64NVME"), "{done}");
}

/// S3.1, S3.6, S3.20, S3.38: every byte, in order, and no other.
#[tokio::test]
async fn cat_writes_the_object_and_nothing_else() {
    let world = World::new().await;
    for size in [0, 1, 20 * MIB + 1] {
        let bytes = haul_testkit::sizes::pattern(size, 7);
        world.put("k", bytes.clone());
        for flags in [&["cat"][..], &["cat", "--json"], &["cat", "-q"], &["cat", "-v"]] {
            let done = world.haul(flags.iter().copied().chain(["s3://bucket/k"])).run().await;
            assert!(done.ok().bytes == bytes, "{flags:?} {size}");
        }
        let done = world.haul(["cp", "s3://bucket/k", "-"]).run().await;
        assert!(done.ok().bytes == bytes);
    }
    world.haul(["cat", "s3://bucket/k"]).run().await.quiet();
}

/// S1.5: progress for programs.
#[tokio::test]
async fn progress_as_json_lines_parses() {
    let world = World::new().await;
    world.file("a", vec![1; 20 * MIB]);
    world.server.faults().add(Rule::on(Op::UploadPart).then(Fault::status(503)));
    let done = world.haul(["cp", "--progress", "json", "a", "s3://bucket/k"]).run().await;
    assert_eq!(done.ok().out(), "a -> s3://bucket/k\n");
    let said = lines(&done.err);
    let types: Vec<_> = said.iter().map(|l| l["type"].as_str().unwrap()).collect();
    assert_eq!(types.first(), Some(&"started"), "{done}");
    for expected in ["retrying", "progress", "done"] {
        assert!(types.contains(&expected), "no {expected}: {done}");
    }
    let progress = said.iter().filter(|l| l["type"] == "progress");
    let landed: Vec<_> = progress.map(|l| l["landed"].as_u64().unwrap()).collect();
    assert!(landed.is_sorted() && landed.last() == Some(&(20 * MIB as u64)), "{done}");
}

/// S1.5, S3.32: progress without a terminal.
#[tokio::test]
async fn plain_progress_shows_life() {
    let world = World::new().await;
    world.put("k", vec![1; 20 * MIB]);
    let held = Rule::on(Op::GetObject).nth(2).then(Fault::StallAfter(1 << 20));
    let held = world.server.faults().add(held);
    let args = ["cp", "--progress", "plain", "s3://bucket/k", "x"];
    let mut run = world.haul(args).spawn_watched();
    let mut said = BufReader::new(run.child.stderr.take().unwrap()).lines();
    let first = within("a line", said.next_line()).await.unwrap().unwrap();
    held.release();
    assert!(first.starts_with("s3://bucket/k: ") && first.contains(" of 20.0 MiB ("), "{first}");
    assert!(first.contains("%) at "), "{first}");
    let mut last = String::new();
    while let Some(line) = within("its end", said.next_line()).await.unwrap() {
        last = line;
    }
    assert!(last.starts_with("20.0 MiB in "), "{last}");
    let done = run.end().await;
    assert_eq!(done.ok().out(), "s3://bucket/k -> x\n");
}

/// U3.3: no bar where there is no terminal.
#[tokio::test]
async fn short_jobs_show_no_progress_off_a_terminal() {
    let world = World::new().await;
    world.put("k", "data");
    for mode in ["auto", "plain", "none"] {
        let done = world.haul(["cp", "--progress", mode, "s3://bucket/k", "x"]).run().await;
        assert_eq!(done.ok().err.lines().count(), 1, "{mode}: {done}");
        assert!(!done.err.contains('\u{1b}') && !done.err.contains('\r'), "{mode}: {done}");
    }
}

/// A name from a store may not steer the terminal, on either stream.
#[tokio::test]
async fn control_characters_are_escaped() {
    let world = World::new().await;
    let key = "s3://bucket/\u{1b}[31mred\nline\u{202e}";
    for args in [&["cat", key][..], &["stat", key], &["rm", key], &["cp", key, "x"]] {
        let done = world.haul(args).run().await;
        done.failed(4, "cannot *\\u{1b}[31mred\\nline\\u{202e}*");
    }
    world.put("\u{1b}[31mred\nline\u{202e}", "data");
    for flags in [&["cp", "-v"][..], &["cp", "--progress", "bar"]] {
        let done = world.haul(flags.iter().copied().chain([key, "x"])).run().await;
        assert!(!done.ok().out().contains(['\u{1b}', '\u{202e}']), "{done}");
        assert!(!done.err.contains("\u{1b}[31m") && !done.err.contains('\u{202e}'), "{done}");
    }
    let done = world.haul(["stat", key]).run().await;
    assert!(!done.ok().out().contains(['\u{1b}', '\u{202e}']), "{done}");
}
