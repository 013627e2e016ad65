//! `haul run`: many commands, one a line.

use rustix::process::Signal;

use crate::harness::{BUCKET, World, within};

fn copies(n: usize) -> String {
    (0..n).map(|i| format!("cp a s3://bucket/{i}")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn each_line_is_a_command() {
    let world = World::new().await;
    world.file("a b", "1");
    world.put("old", "x");
    let lines = "# a comment\n\ncp 'a b' s3://bucket/new  # why\nhaul rm s3://bucket/old\n";
    let done = world.haul(["run", "-"]).input(lines).run().await;
    let mut out: Vec<_> = done.ok().out().lines().collect();
    out.sort_unstable();
    assert_eq!(out, ["a b -> s3://bucket/new", "removed s3://bucket/old"]);
    assert!(done.err.starts_with("2 lines done in ") && done.err.lines().count() == 1, "{done}");
    assert_eq!(world.server.store().keys(BUCKET), ["new"]);
}

#[tokio::test]
async fn a_failed_line_says_its_number_and_stops_nothing() {
    let world = World::new().await;
    world.file("a", "1");
    world.file(
        "lines",
        "cp a s3://bucket/1\ncp none s3://bucket/2\nfly\ncp a s3://bucket/3\ncp 'a\n",
    );
    let done = world.haul(["run", "-j1", "lines"]).run().await;
    done.ended(1);
    let said: Vec<_> = done.err.lines().collect();
    assert_eq!(said[0], "haul: line 2: cannot open none: no such file or folder", "{done}");
    assert!(said[1].starts_with("haul: line 3: ") && said[1].contains("fly"), "{done}");
    assert!(said[2].starts_with("haul: line 5: unbalanced quote"), "{done}");
    assert!(said[3].starts_with("2 lines done, 3 failed in "), "{done}");
    assert_eq!(world.server.store().keys(BUCKET), ["1", "3"]);
    let done = world.haul(["run", "-j1", "--json", "lines"]).run().await;
    let all = done.ended(1).json();
    let ended: Vec<_> = all
        .iter()
        .filter(|l| l["type"] == "line")
        .map(|l| (l["line"].as_u64().unwrap(), l["exit"].as_u64().unwrap()))
        .collect();
    assert_eq!(ended, [(1, 0), (2, 4), (3, 2), (4, 0), (5, 2)], "{done}");
}

#[tokio::test]
async fn what_cannot_be_a_line() {
    let world = World::new().await;
    for (line, why) in [
        ("run x", "cannot be a line"),
        ("serve x", "cannot be a line"),
        ("demo", "cannot be a line"),
        ("send a", "cannot be a line"),
        ("cp -c 9 a b", "all lines share --concurrency"),
        ("cp - s3://bucket/x", "standard input holds the commands"),
        ("cat s3://bucket/k", "use -j 1"),
    ] {
        let done = world.haul(["run", "-"]).input(line).run().await;
        assert!(done.ended(1).err.contains(why), "{line}: {done}");
    }
    world.put("k", "data");
    let done = world.haul(["run", "-j1", "-"]).input("cat s3://bucket/k").run().await;
    assert_eq!(done.ok().out(), "data");
}

/// One gate for all lines, however many run at once.
#[tokio::test]
async fn lines_share_the_gate() {
    let world = World::new().await;
    world.file("a", "1");
    let lines = copies(40);
    let done = world.haul(["run", "-j16", "-c2", "-"]).input(lines).run().await;
    assert_eq!(done.ok().out().lines().count(), 40);
    assert!(
        world.server.calls().peak_in_flight() <= 2,
        "{}",
        world.server.calls().peak_in_flight()
    );
}

#[tokio::test]
async fn a_signal_stops_all_lines() {
    let world = World::new().await;
    world.file("a", vec![1; 20 << 20]);
    let lines = copies(20);
    let held = haul_testkit::Rule::on(haul_testkit::Op::UploadPart)
        .always()
        .then(haul_testkit::Fault::Stall);
    let held = world.server.faults().add(held);
    world.file("lines", lines);
    let run = world.haul(["run", "lines"]).spawn();
    within("uploads", async {
        while world.server.store().uploads(BUCKET).len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    run.signal(Signal::INT);
    let done = run.end().await;
    held.release();
    done.ended(130);
    world.assert_clean();
}

/// A line may ask for another store by its profile.
#[tokio::test]
async fn a_line_has_its_own_profile() {
    let world = World::new().await;
    world.put("k", "data");
    let url = world.server.endpoint_url();
    world.file("haul.toml", format!("[profiles.here]\nendpoint = \"{url}\"\n"));
    let lines = "stat --profile here s3://bucket/k\nstat s3://bucket/k\n";
    let args = ["run", "-j1", "--retries", "0", "--config", "haul.toml", "-"];
    let run = world.haul(args).env("AWS_ENDPOINT_URL", "http://127.0.0.1:1").input(lines);
    let done = run.run().await;
    done.ended(1);
    assert!(done.out().starts_with("s3://bucket/k\n"), "{done}");
    assert!(done.err.starts_with("haul: line 2: cannot look at s3://bucket/k: "), "{done}");
}
