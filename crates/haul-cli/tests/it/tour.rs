//! The newcomer's commands: demo, serve, help, completions.

use haul_testkit::sizes;
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::harness::{Done, MIB, World, within};

fn assert_table(done: &Done) {
    let rows: Vec<Vec<_>> =
        done.ok().out().lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["operation", "bytes", "seconds", "MB/s", "verified"], "{done}");
    let names: Vec<_> = rows[1..].iter().map(|row| row[0]).collect();
    assert_eq!(names, ["upload", "download", "copy", "stream"], "{done}");
    assert!(done.out().lines().skip(1).all(|l| l.ends_with("yes, BLAKE3")), "{done}");
}

#[tokio::test]
async fn the_demo_shows_a_table_and_cleans_up() {
    let world = World::new().await;
    std::fs::create_dir(world.path("tmp")).unwrap();
    let demo = |args: &[&str]| {
        let args = ["demo"].into_iter().chain(args.iter().copied());
        // What the user has set up for real stores must not matter.
        let run = world.haul(args).env("TMPDIR", world.path("tmp"));
        let run = run.env("HAUL_ENDPOINT_URL", "http://127.0.0.1:1").env("HAUL_CONCURRENCY", "x");
        run.env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1").env("AWS_SESSION_TOKEN", "token")
    };
    assert_table(&demo(&["--size", "1MiB"]).run().await);
    let file = world.file("film", sizes::pattern(12 * MIB, 37));
    assert_table(&demo(&["film"]).run().await);
    assert!(file.exists(), "the user's file stays");
    world.file("empty", "");
    assert_table(&demo(&["empty"]).run().await);
    let quiet = demo(&["--size", "1MiB", "-q"]).run().await;
    assert_table(quiet.quiet());
    let json = demo(&["--size", "1MiB", "--json"]).run().await;
    for line in json.ok().out().lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&row["bytes"], &row["verified"]), (&(MIB as u64).into(), &true.into()));
    }
    assert_eq!(json.out().lines().count(), 4, "{json}");
    assert_eq!(std::fs::read_dir(world.path("tmp")).unwrap().count(), 0, "nothing stays behind");
    assert_eq!(world.server.calls().list().len(), 0, "the real store is left alone");
}

#[tokio::test]
async fn the_demo_refuses_what_it_cannot_read() {
    let world = World::new().await;
    for (path, code) in [("none", 4), (".", 2), ("/dev/null", 2)] {
        world.refuses(["demo", path], code, "cannot *").await;
    }
}

/// The printed environment is enough to use the server.
#[tokio::test]
async fn serve_prints_what_to_use() {
    let world = World::new().await;
    let args = ["serve", "store", "--listen", "127.0.0.1:0"];
    let mut run = world.haul(args).spawn_unread();
    let mut said = BufReader::new(run.child.stdout.take().unwrap()).lines();
    let mut environment = Vec::new();
    while environment.len() < 4 {
        let line = within("a line", said.next_line()).await.unwrap().unwrap();
        let (name, value) = line.strip_prefix("export ").unwrap().split_once('=').unwrap();
        environment.push((name.to_owned(), value.to_owned()));
    }
    let haul = |args: &[&str]| {
        let run = world.haul(args.iter().copied());
        environment.iter().fold(run, |run, (name, value)| run.env(name, value))
    };
    world.file("a", "data");
    haul(&["mb", "s3://new"]).run().await.ok();
    haul(&["cp", "a", "s3://new/p/"]).run().await.ok();
    assert_eq!(haul(&["cat", "s3://new/p/a"]).run().await.quiet().out(), "data");
    assert_eq!(std::fs::read(world.path("store/new/p/a")).unwrap(), b"data");
    let stranger = haul(&["cat", "s3://new/p/a"]).env("AWS_SECRET_ACCESS_KEY", "x").run().await;
    assert_eq!(stranger.code, 5, "{stranger}");
    run.signal(Signal::INT);
    let done = run.end().await;
    assert_eq!(done.ok().err, "haul: serving store; Ctrl-C ends it\n");
}

/// The secret comes from a file, so that no process list shows it.
#[tokio::test]
async fn serve_takes_its_secret_from_a_file() {
    let world = World::new().await;
    world.file("secret", "mine-and-mine-alone\n");
    let args = ["serve", "store", "--listen", "127.0.0.1:0", "--access-key", "me"];
    let args = args.into_iter().chain(["--secret-key-file", "secret"]);
    let mut run = world.haul(args).spawn_unread();
    let mut stdout = run.child.stdout.take().unwrap();
    let mut printed = vec![0; 40];
    within("something", stdout.read_exact(&mut printed)).await.unwrap();
    let pid = run.child.id().unwrap();
    let shown = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!String::from_utf8_lossy(&shown).contains("mine-and"));
    run.signal(Signal::TERM);
    run.end().await.ok();
}

#[tokio::test]
async fn serve_says_what_is_wrong() {
    let world = World::new().await;
    world.file("file", "data");
    let taken = world.server.addr().to_string();
    world.refuses(["serve", "file"], 1, "cannot *file*").await;
    let line = format!("cannot serve . on {taken}*in use*");
    world.refuses(["serve", ".", "--listen", &taken], 1, &line).await;
    let done = world.haul(["serve", ".", "--access-key", "me"]).run().await;
    assert_eq!((done.code, done.out()), (2, ""), "{done}");
    assert!(done.err.contains("--secret-key-file"), "{done}");
}

#[tokio::test]
async fn help_shows_examples() {
    let world = World::new().await;
    let help = world.haul(["--help"]).run().await;
    for part in ["haul demo", "haul cp big.iso s3://backup/", "Exit codes:", "130"] {
        assert!(help.quiet().out().contains(part), "no {part}: {help}");
    }
    for (verb, example) in [
        ("cp", "haul cp video.mkv s3://archive/2026/"),
        ("cat", "haul cat s3://logs/2026.gz | zcat"),
        ("serve", "haul serve /tmp/store"),
        ("demo", "haul demo ~/video.mkv"),
        ("completions", "haul completions bash"),
    ] {
        let help = world.haul([verb, "--help"]).run().await;
        assert!(help.quiet().out().contains(example), "no {example}: {help}");
    }
    let version = world.haul(["--version"]).run().await;
    assert_eq!(version.quiet().out(), format!("haul {}\n", env!("CARGO_PKG_VERSION")));
}

/// Every code that haul ends with is one that its help explains.
#[tokio::test]
async fn help_names_every_exit_code() {
    let world = World::new().await;
    let help = world.haul(["--help"]).run().await;
    let codes = help.quiet().out().split_once("Exit codes:").unwrap().1;
    for code in ["0", "1", "2", "3", "4", "5", "130", "143"] {
        let mut words = codes.split(|c: char| !c.is_ascii_digit());
        assert!(words.any(|word| word == code), "no {code}: {help}");
    }
}

#[tokio::test]
async fn completions_for_every_shell() {
    let world = World::new().await;
    for shell in ["bash", "zsh", "fish"] {
        let done = world.haul(["completions", shell]).run().await;
        for word in ["haul", "completions", "part-size"] {
            assert!(done.quiet().out().contains(word), "{shell}: no {word}");
        }
    }
    // Names of files are offered where a file is meant, and not for a profile.
    let bash = world.haul(["completions", "bash"]).run().await;
    for (flag, files) in [("--profile)", false), ("--exclude-from)", true)] {
        let (_, rest) = bash.out().split_once(flag).unwrap();
        let (case, _) = rest.split_once("return 0").unwrap();
        assert_eq!(case.contains("compgen -f"), files, "{flag} {case}");
    }
}
