//! Arguments that cannot be meant: one line, exit 2, nothing touched.

use crate::harness::World;

#[tokio::test]
async fn locations_that_are_none() {
    let world = World::new().await;
    world.file("a", "data");
    for (from, to, line) in [
        ("a", "s3://", "cannot understand s3://: s3:// names no bucket (s3://BUCKET/KEY)"),
        ("a", "s3:///k", "cannot understand s3:///k: s3:///k names no bucket (s3://BUCKET/KEY)"),
        ("s3://b ucket/k", "x", "cannot understand s3://b ucket/k: \"b ucket\" is no bucket name*"),
        ("s3://../k", "x", "cannot understand s3://../k: \"..\" is no bucket name*"),
        ("a", "ftp://host/x", "cannot understand ftp://host/x: ftp:// is not a scheme*"),
        ("gs://b/k", "x", "cannot understand gs://b/k: gs:// is not a scheme haul knows (*s3://*)"),
        ("", "x", "cannot understand *: an empty location"),
        ("a", "", "cannot understand *: an empty location"),
    ] {
        world.refuses(["cp", from, to], 2, line).await;
    }
    let long = format!("s3://bucket/{}", "k".repeat(1025));
    let line = "cannot understand *: the key is 1025 bytes long, and S3 stops at 1,024";
    world.refuses(["cp", "a", &long], 2, line).await;
    assert_eq!(world.server.calls().list().len(), 0, "no request was needed to know");
}

#[tokio::test]
async fn what_is_no_object_cannot_be_read() {
    let world = World::new().await;
    let bucket = "*: it is a bucket, and an object is needed (name the object: s3://BUCKET/KEY)";
    for verb in ["cat", "stat", "rm"] {
        for place in ["s3://bucket", "s3://bucket/"] {
            world.refuses([verb, place], 2, &format!("cannot {bucket}")).await;
        }
    }
    world.refuses(["cp", "s3://bucket", "x"], 2, &format!("cannot {bucket}")).await;
    world.refuses(["cp", "s3://bucket", "s3://bucket/x"], 2, &format!("cannot {bucket}")).await;
    world.refuses(["cp", "s3://bucket", "."], 2, "*bucket*").await;
    world.refuses(["rm", "x"], 2, "cannot *x: it is no object in a store (*s3://BUCKET/KEY)").await;
    world
        .refuses(["mb", "s3://bucket/k"], 2, "cannot create s3://bucket/k: it is no bucket*")
        .await;
    world.refuses(["cp", "a", "x", "--version-id", "v"], 2, "*only objects have versions*").await;
}

/// The way out that a message names has to work.
#[tokio::test]
async fn a_nameless_source_names_a_destination_that_works() {
    let world = World::new().await;
    world.put("a/..", "data");
    for (into, hint) in [(".", "./NAME"), ("new/", "new/NAME"), ("new//", "new//NAME")] {
        let line = format!("cannot understand *(name the destination in full: {hint})");
        world.refuses(["cp", "s3://bucket/a/..", into], 2, &line).await;
    }
    world.refuses(["cp", "-", "s3://bucket/p/"], 2, "*s3://bucket/p/NAME*").await;
}

/// X1.7: what is below 5 MiB or above 5 GiB is refused.
#[tokio::test]
async fn part_sizes_that_no_store_takes() {
    let world = World::new().await;
    world.file("a", vec![0; 6 << 20]);
    let to = "s3://bucket/a";
    for size in ["5242879", "4MiB", "5MB", "6GiB", "5368709121"] {
        let line = "cannot start writing s3://bucket/a: *part size*5242880 to 5368709120 bytes*";
        world.refuses(["cp", "--part-size", size, "a", to], 2, line).await;
        let done = world.haul(["cp", "--part-size", size, "-", to]).input("data").run().await;
        done.failed(2, line);
    }
    for size in ["0", "-1", "8 apples", ""] {
        world.refuses(["cp", &format!("--part-size={size}"), "a", to], 2, "*--part-size*").await;
    }
    assert_eq!(world.server.calls().list().len(), 0, "no request was needed to know");
}

#[tokio::test]
async fn concurrency_is_1_to_16_or_auto() {
    let world = World::new().await;
    world.file("a", "data");
    for bad in ["0", "17", "-1", "many", ""] {
        let flag = format!("-c{bad}");
        let line = "*--concurrency*1 to 16, or auto*";
        world.refuses(["cp", &flag, "a", "s3://bucket/x"], 2, line).await;
    }
    for good in ["1", "16", "auto"] {
        world.haul(["cp", "-c", good, "a", "s3://bucket/x"]).run().await.ok();
    }
    world.haul(["cp", "--max-concurrent", "3", "a", "s3://bucket/x"]).run().await.ok();
    // The names that people bring with them are in the help.
    let help = world.haul(["cp", "--help"]).run().await;
    for name in ["--max-concurrent", "--chunk-size"] {
        assert!(help.ok().out().contains(name), "{help}");
    }
}

#[tokio::test]
async fn other_values_that_cannot_be_meant() {
    let world = World::new().await;
    world.file("a", "data");
    for flag in [
        "--limit-rate=0",
        "--limit-rate=fast",
        "--memory=0",
        "--timeout=0",
        "--retries=-1",
        "--expected-size=x",
        "--metadata=novalue",
        "--metadata==v",
        "--tags=novalue",
        "--progress=loud",
        "--fsync=maybe",
    ] {
        let name = flag.split('=').next().unwrap();
        world.refuses(["cp", flag, "a", "s3://bucket/x"], 2, &format!("*{name}*")).await;
    }
    for url in ["localhost:9000", "http://", "ftp://host"] {
        let line = format!("cannot connect to {url}: it is no endpoint URL*");
        world.refuses(["cp", "--endpoint-url", url, "a", "s3://bucket/x"], 2, &line).await;
    }
}

/// A metadata header that HTTP cannot carry is the user's to mend.
#[tokio::test]
async fn metadata_that_cannot_be_sent() {
    let world = World::new().await;
    world.file("a", "data");
    for pair in ["two words=x", "a=line\nbreak"] {
        let args = ["cp", "--metadata", pair, "a", "s3://bucket/x"];
        world.refuses(args, 2, "cannot * s3://bucket/x: *").await;
    }
}

/// S3.35: wrong usage is one line with a way out.
#[tokio::test]
async fn a_wrong_flag_or_command_is_explained() {
    let world = World::new().await;
    for (args, word) in [
        (&["cp", "--concurency", "3", "a", "b"][..], "--concurrency"),
        (&["cp", "--contenttype", "x", "a", "b"], "--content-type"),
        (&["cpy", "a", "b"], "cp"),
        (&["stats", "a"], "stat"),
        // What other tools call it.
        (&["version"], "haul --version"),
        (&["tree", "s3://b"], "haul ls -r"),
        (&["s3", "cp", "a", "s3://b"], "leave it out"),
        (&["cp", "--update", "a", "b"], "haul sync"),
        (&["cat", "--versionId", "x", "s3://b/k"], "here: --version-id"),
        (&["ls", "-lh", "s3://b"], "leave it out"),
        (&["du", "-sh", "s3://b"], "leave it out"),
        (&["rm", "-f", "s3://b/k"], "never asks"),
        (&["rb", "--force", "s3://b"], "rm -r --all-versions"),
        (&["sync", "-n", "a", "b"], "--dry-run"),
        // What it would have taken.
        (&["cp", "--progress", "data", "a", "b"], "plain, json, none"),
        (&["cp", "--retries", "often", "a", "b"], "write a number"),
        (&["cp", "a"], "DEST"),
    ] {
        let done = world.haul(args).run().await;
        assert_eq!((done.code, done.out()), (2, ""), "{done}");
        assert!(done.err.contains(word) && done.err.contains("--help"), "{done}");
        assert!(!done.err.contains("as a value"), "{done}");
        assert_eq!(done.err.lines().count(), 1, "{done}");
    }
}

/// Options may come before the command, as with aws, and times may have an offset.
#[tokio::test]
async fn habits_that_are_understood() {
    let world = World::new().await;
    world.put("k", "data");
    let region = world.server.region().to_owned();
    let done = world.haul(["--region", &region, "-q", "cat", "s3://bucket/k"]).run().await;
    assert_eq!(done.quiet().out(), "data");
    let done = world.haul(["--region", &region, "uploads", "ls", "s3://bucket"]).run().await;
    assert_eq!(done.quiet().out(), "");
    let args = ["ls", "--newer-than", "2026-01-31T12:00:00+02:00", "s3://bucket"];
    world.haul(args).run().await.ok();
    world.file("t/a", "x");
    world.haul(["sync", "-r", "t", "s3://bucket/t"]).run().await.ok();
}

/// Places as rclone and scp write them are no names of new folders.
#[tokio::test]
async fn places_of_other_tools() {
    let world = World::new().await;
    world.file("a", "data");
    world.put("k", "data");
    for place in ["old:bucket/x", "me@host:/srv/x"] {
        let line = format!("cannot understand {place}: nothing here is called so: write s3://*");
        world.refuses(["cp", "a", place], 2, &line).await;
        world.refuses(["cp", place, "b"], 2, &line).await;
    }
    world.haul(["cp", "s3://bucket/k", "2026-01-31T12:30:00.log"]).run().await.ok();
    world.haul(["cp", "s3://bucket/k", "./old:new/x"]).run().await.ok();
    world.haul(["cp", "old:new/x", "y"]).run().await.ok();
}

/// What is refused says what would have been right.
#[tokio::test]
async fn one_file_where_a_tree_is_meant() {
    let world = World::new().await;
    world.file("a", "data");
    world.put("k", "data");
    let what = "cannot list a: it is a file, and check compares folders and prefixes*";
    world.refuses(["check", "a", "s3://bucket/k"], 2, what).await;
    world.refuses(["sync", "a", "s3://bucket/k"], 2, "*: haul cp copies a file").await;
    world.refuses(["mv", "s3://bucket/k", "-"], 2, "*nothing moved there would be kept*").await;
    world.refuses(["cp", "-r", "s3://bucket", "-"], 2, "*it takes one file*").await;
    std::fs::create_dir_all(world.path("t/in")).unwrap();
    world.refuses(["sync", "t", "t/in"], 2, "cannot compare t: t/in is inside it").await;
    world.refuses(["sync", "t/in", "t"], 2, "cannot compare t/in: it is inside t").await;
    world.haul(["sync", "nosuch", "newd"]).run().await.ended(4);
    assert!(!world.path("newd").exists(), "nothing is made for a source that is not there");
}

/// The first line of the help says what haul is for.
#[tokio::test]
async fn the_first_line_of_the_help() {
    let world = World::new().await;
    let help = world.haul(["--help"]).run().await;
    let first = help.quiet().out().lines().next().unwrap();
    for word in ["Move files", "S3", "people", "link", "ticket"] {
        assert!(first.contains(word), "{first}");
    }
    // A terminal of 100 columns has it on one line.
    assert!(first.len() <= 100, "{first}");
}
