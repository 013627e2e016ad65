//! URLs on the command line: U3.2, U3.3.

use futures::future::join_all;
use haul_testkit::http::{Act, HttpRules, HttpServer};
use haul_testkit::{Op, sizes};

use crate::harness::{BUCKET, Done, MIB, World};

fn server(rules: HttpRules, path: &str, content: &[u8]) -> HttpServer {
    let server = HttpServer::with_rules(rules).unwrap();
    server.put(path, content.to_vec());
    server
}

fn no_ranges() -> HttpRules {
    let mut rules = HttpRules::default();
    rules.ranges = false;
    rules
}

/// A link made by the command itself.
async fn link(world: &World, args: &[&str]) -> String {
    let done = world.haul(["presign"].iter().chain(args)).run().await;
    done.ok().out().trim_end().to_owned()
}

#[tokio::test]
async fn a_download_takes_its_name_from_the_url() {
    let world = World::new().await;
    let content = sizes::pattern(10 * MIB + 3, 5);
    for rules in [HttpRules::default(), no_ranges()] {
        let server = server(rules, "/dir/a%20b.bin", &content);
        let url = server.url("/dir/a%20b.bin?x=1");
        world.haul(["cp", &url, "."]).run().await.ok();
        assert!(std::fs::read(world.path("a b.bin")).unwrap() == content);
        world.haul(["cp", &url, "named"]).run().await.ok();
        assert!(std::fs::read(world.path("named")).unwrap() == content);
        world.haul(["cp", &url, "s3://bucket/up/"]).run().await.ok();
        assert!(world.stored("up/a b.bin") == content);
        let cat = world.haul(["cat", &url]).run().await;
        assert!(cat.quiet().bytes == content);
        world.assert_clean();
    }
    let nameless = server(HttpRules::default(), "/", b"x").url("/");
    let done = world.haul(["cp", &nameless, "."]).run().await;
    done.failed(2, "* (name the destination in full: ./NAME)");
}

#[tokio::test]
async fn links_work_both_ways() {
    let world = World::new().await;
    let content = sizes::pattern(9 * MIB, 7);
    world.put("dir/k", content.clone());
    let get = link(&world, &["s3://bucket/dir/k"]).await;
    let heads = world.server.calls().count(Op::HeadObject);
    let cat = world.haul(["cat", &get]).without("AWS_SECRET_ACCESS_KEY").run().await;
    assert!(cat.quiet().bytes == content);
    assert_eq!(world.server.calls().count(Op::HeadObject), heads, "a link is for one method");
    world.haul(["cp", &get, "."]).run().await.ok();
    assert!(std::fs::read(world.path("k")).unwrap() == content);

    let put = link(&world, &["--method", "PUT", "s3://bucket/new"]).await;
    world.haul(["cp", "k", &put]).run().await.ok();
    assert!(world.stored("new") == content);
    let size = content.len().to_string();
    let args = ["cp", "--expected-size", &size, "-", &put];
    world.haul(args).input(content.clone()).run().await.ok();
    let done = world.haul(["cp", "-", &put]).input(content.clone()).run().await;
    done.failed(1, "cannot start writing http://*/bucket/new?*: *--expected-size*");
    let args = ["cp", "--expected-size", "9437185", "-", &put];
    let done = world.haul(args).input(content.clone()).run().await;
    done.failed(2, "cannot read standard input: the stream ended after 9437184 of 9437185 *");
    assert!(world.stored("new") == content);
    assert_eq!(world.server.store().keys(BUCKET), ["dir/k", "new"]);
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed() {
    let world = World::new().await;
    let server = server(HttpRules::default(), "/a", b"x");
    let done = world.haul(["cp", &server.url("/none"), "x"]).run().await;
    done.failed(4, "cannot open http://*/none: there is nothing (404 Not Found)");
    world.put("k", "data");
    let get = link(&world, &["s3://bucket/k"]).await.replace("/k?", "/other?");
    let done = world.haul(["cat", &get]).run().await;
    done.failed(5, "cannot open http://*/bucket/other?*: * (*expired?)");
    world.assert_clean();
}

const SECRET: &str = "s3cr3tV4lue";

fn assert_hidden(done: &Done) {
    assert!(!done.err.contains(SECRET) && !done.out().contains(SECRET), "{done}");
}

/// In user info and in parameters; in progress, errors, logs and results. A parameter that nobody
/// knows may be a secret as well: what is read or written by itself shows none.
#[tokio::test]
async fn a_secret_in_a_url_is_never_shown() {
    let world = World::new().await;
    world.file("a", sizes::pattern(100, 3));
    let (mut rules, content) = (HttpRules::default(), sizes::pattern(12 * MIB, 3));
    rules.ranges = false;
    let server = server(rules, "/a", &content);
    server.put("/ranged", content);
    let gone = server.url("/gone");
    server.plan_times("/gone", 0, 999, Act::Status(503, vec![("retry-after", "0".to_owned())]));
    let urls = [
        server.url_as("me", SECRET, "/a"),
        server.url(&format!("/a?X-Amz-Credential={SECRET}&X-Amz-Signature={SECRET}")),
        server.url(&format!("/a?whatever={SECRET}")),
        format!("{gone}?sig={SECRET}"),
        format!("{gone}?whatever={SECRET}"),
        format!("http://me:{SECRET}@127.0.0.1:1/x?token={SECRET}"),
    ];
    let mut runs = Vec::new();
    for url in &urls {
        let more = ["-vv", "--retries", "1"];
        for args in [
            &["cp", url, "new/", "--progress", "plain"][..],
            &["cp", url, "new/", "--progress", "json"],
            &["cp", url, "new/", "--json"],
            &["cp", url, "s3://bucket/x"],
            &["cp", "a", url, "--progress", "json"],
            &["cat", url],
        ] {
            runs.push(world.haul(args.iter().chain(&more)).run());
        }
        if !url.contains("whatever") {
            for args in [
                &["cp", url, "a", "many/", "--progress", "json"][..],
                &["cp", url, "many/", "--dry-run"],
            ] {
                runs.push(world.haul(args.iter().chain(&more)).run());
            }
        }
    }
    for done in join_all(runs).await {
        let out = String::from_utf8_lossy(&done.bytes);
        assert!(!done.err.contains(SECRET) && !out.contains(SECRET), "{done}");
    }
}

#[tokio::test]
async fn nor_in_an_argument_that_is_refused() {
    let world = World::new().await;
    for url in [
        format!("http://me:{SECRET}@/x"),
        format!("http://h/?token={SECRET}"),
        format!("http://h:99999/x?sig={SECRET}"),
        format!("http://me:{SECRET}@h:99999/x"),
    ] {
        for args in [
            &["cp", &url, "."][..],
            &["cat", &url],
            &["rm", &url],
            &["ls", &url],
            &["stat", &url],
            &["sync", &url, "."],
            &["cp", "-r", ".", &url],
            &["mv", &url, "x"],
        ] {
            let done = world.haul(args.iter().chain(&["-vv", "--retries", "0"])).run().await;
            assert_ne!(done.code, 0, "{done}");
            assert_hidden(&done);
        }
    }
}
