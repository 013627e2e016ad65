//! Links: `publish` and `presign`, as those who get them use them.

use haul_testkit::{Fault, Op, Rule};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{BUCKET, World, within};

/// What a browser would do with a link: status and body.
async fn request(method: &str, url: &str, body: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let head = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// S0.7: compare, upload, link; U0.2: stdout alone is pipeable; the link works.
#[tokio::test]
async fn a_published_link_downloads() {
    let world = World::new().await;
    world.file("talks/a b.txt", "first");
    world.file("talks/sub/c.txt", "second");
    let done = world.haul(["publish", "talks/", "s3://bucket/2026/"]).run().await;
    let links: Vec<_> = done.ok().out().lines().collect();
    assert_eq!(links.len(), 2, "{done}");
    assert_eq!(request("GET", links[0], "").await, (200, "first".to_owned()));
    assert_eq!(request("GET", links[1], "").await, (200, "second".to_owned()));
    let cat = world.haul(["cat", links[1]]).run().await;
    assert_eq!(cat.quiet().out(), "second");
    world.haul(["cp", links[0], "copy"]).run().await.ok();
    assert_eq!(std::fs::read(world.path("copy")).unwrap(), b"first");
    assert!(done.err.starts_with("2 uploaded (11 B) in "), "{done}");
    assert!(!done.err.contains("X-Amz"), "links are results only: {done}");
    // Skipped files have links, too.
    let again = world.haul(["publish", "talks/", "s3://bucket/2026/"]).run().await;
    let links: Vec<_> = again.ok().out().lines().collect();
    assert_eq!(request("GET", links[1], "").await.1, "second");
    assert!(again.err.starts_with("0 uploaded, 2 skipped in "), "{again}");
    assert_eq!(world.server.calls().count(Op::PutObject), 2, "nothing was sent twice");
    world.file("talks/a b.txt", "FIRST");
    let changed = world.haul(["publish", "talks/", "s3://bucket/2026/"]).run().await;
    assert!(changed.ok().err.starts_with("1 uploaded (5 B), 1 skipped in "), "{changed}");
}

/// U0.2: a denied or silent HEAD is a failure, not "not found"; and nothing is uploaded blindly.
#[tokio::test]
async fn a_denied_look_is_a_failure() {
    let world = World::new().await;
    world.file("a", "1");
    world.file("b", "2");
    let deny = Rule::on(Op::HeadObject).key("a").always().then(Fault::status(403));
    world.server.faults().add(deny);
    let done = world.haul(["publish", "a", "b", "s3://bucket/"]).run().await;
    done.ended(1);
    assert_eq!(done.out().lines().count(), 1, "{done}");
    assert!(done.err.contains("1 uploaded (1 B), 1 failed in "), "{done}");
    assert_eq!(world.server.store().keys(BUCKET), ["b"]);
}

/// S0.2: links only; what is not there is counted and said.
#[tokio::test]
async fn links_without_uploads() {
    let world = World::new().await;
    world.file("a", "1");
    world.file("b", "2");
    world.put("a", "1");
    let args = ["publish", "--url-only", "--json", "a", "b", "s3://bucket/"];
    let done = world.haul(args).run().await;
    let all = done.ended(1).json();
    let types: Vec<_> = all.iter().map(|l| l["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["link", "failed", "summary"], "{done}");
    assert_eq!(request("GET", all[0]["url"].as_str().unwrap(), "").await.0, 200);
    assert_eq!(all[1]["error"]["kind"], "not_found");
    assert_eq!(all[2]["missing"], 1);
    assert_eq!(world.server.calls().count(Op::PutObject), 0);
    let done = world.haul(["publish", "--url-only", "a", "b", "s3://bucket/"]).run().await;
    assert!(done.ended(1).err.contains("1 linked, 1 not found in "), "{done}");
}

/// U0.3: extensions, prefix, expiry and metadata change the real transfer.
#[tokio::test]
async fn flags_act() {
    let world = World::new().await;
    for name in ["v/a.mp4", "v/b.MKV", "v/c.txt"] {
        world.file(name, "x");
    }
    let args = ["publish", "v/", "s3://bucket", "--prefix", "p/", "-e", "mp4", "-e", ".mkv"];
    let more = ["--metadata", "who=me", "--expires-in", "90s"];
    let done = world.haul(args.iter().chain(&more)).run().await;
    assert_eq!(world.server.store().keys(BUCKET), ["p/a.mp4", "p/b.MKV"], "{done}");
    assert!(done.ok().out().contains("X-Amz-Expires=90&"), "{done}");
    let object = world.server.store().object(BUCKET, "p/a.mp4").unwrap();
    assert_eq!(
        object.attributes.content_type.as_deref(),
        Some("video/mp4"),
        "U0.2: it plays in a browser"
    );
    let args = ["publish", "v/", "s3://bucket", "--public-url-base", "https://media.example.org"];
    let done = world.haul(args).run().await;
    let first = done.ok().out().lines().next().unwrap();
    assert_eq!(first, "https://media.example.org/a.mp4");
    let done = world.haul(["publish", "v/", "s3://bucket", "--expires-in", "8d"]).run().await;
    assert!(done.ended(2).err.contains("7d"), "{done}");
    world.refuses(["publish", "v/", "out"], 2, "*s3://BUCKET/PREFIX*").await;
}

/// -v says which files were sent, and why others were not; the links stay alone on stdout.
#[tokio::test]
async fn what_was_uploaded_can_be_seen() {
    let world = World::new().await;
    world.file("a", "1");
    world.file("b", "2");
    world.put("a", "1");
    let done = world.haul(["publish", "-v", "a", "b", "s3://bucket/"]).run().await;
    assert_eq!(
        done.ok().out().lines().filter(|line| line.starts_with("http")).count(),
        2,
        "{done}"
    );
    assert!(done.err.contains("uploaded b -> s3://bucket/b\n"), "{done}");
    assert!(done.err.contains("skipped a: "), "{done}");
}

/// What desktops leave behind gets no link, unless it is named.
#[tokio::test]
async fn litter_has_no_links() {
    let world = World::new().await;
    for name in ["t/.DS_Store", "t/a.mp4", "t/.hidden", "t/in/Thumbs.db"] {
        world.file(name, "x");
    }
    world.haul(["publish", "t/", "s3://bucket/one/"]).run().await.ok();
    world.haul(["publish", "--include", "*.mp4", "t/", "s3://bucket/two/"]).run().await.ok();
    world.haul(["publish", "t/.DS_Store", "s3://bucket/three/"]).run().await.ok();
    let keys = ["one/.hidden", "one/a.mp4", "three/.DS_Store", "two/a.mp4"];
    assert_eq!(world.server.store().keys(BUCKET), keys);
}

/// A pattern or a prefix is no object: a link to it would lead nowhere.
#[tokio::test]
async fn links_to_all_that_a_pattern_finds() {
    let world = World::new().await;
    for key in ["v/a.mp4", "v/b.mp4", "v/c.txt", "v/sub/d.mp4", "x[1]"] {
        world.put(key, key);
    }
    let links = async |args: &[&str]| {
        let done = world.haul([&["presign"], args].concat()).run().await;
        let mut found = Vec::new();
        for link in done.quiet().out().lines() {
            found.push(request("GET", link, "").await.1);
        }
        found
    };
    assert_eq!(links(&["s3://bucket/v/*.mp4"]).await, ["v/a.mp4", "v/b.mp4"]);
    assert_eq!(links(&["s3://bucket/v/**.mp4"]).await, ["v/a.mp4", "v/b.mp4", "v/sub/d.mp4"]);
    assert_eq!(links(&["s3://bucket/v/"]).await.len(), 4);
    assert_eq!(links(&["s3://bucket/x[1]"]).await, ["x[1]"], "a name in full is meant by it");
    world.refuses(["presign", "s3://bucket/v/*.mkv"], 4, "cannot list *").await;
    world.refuses(["presign", "s3://bucket/none/"], 4, "cannot list *").await;
    let put = world.haul(["presign", "--method", "PUT", "s3://bucket/new*"]).run().await;
    assert_eq!(put.quiet().out().lines().count(), 1, "{put}");
}

#[tokio::test]
async fn presigned_links_get_and_put() {
    let world = World::new().await;
    world.put("k", "data");
    let get = world.haul(["presign", "s3://bucket/k"]).run().await;
    assert_eq!(request("GET", get.quiet().out().trim(), "").await, (200, "data".to_owned()));
    assert!(get.out().contains("X-Amz-Expires=3600&"), "1h unless said otherwise: {get}");
    let put = world.haul(["presign", "--method", "put", "s3://bucket/new"]).run().await;
    assert_eq!(request("PUT", put.quiet().out().trim(), "sent").await.0, 200);
    assert_eq!(world.stored("new"), b"sent");
    let json = world.haul(["presign", "--json", "--expires-in", "2d", "s3://bucket/k"]).run().await;
    let link = &json.quiet().json()[0];
    assert_eq!((&link["type"], &link["method"]), (&"link".into(), &"GET".into()));
    assert_eq!(link["expires_in"], 172_800);
    world.refuses(["presign", "s3://bucket"], 2, "*name the object*").await;
    let args = ["presign", "--content-type", "text/plain", "s3://bucket/k"];
    world.refuses(args, 2, "*--content-type is for --method PUT").await;
    // The link is what it was asked for: it shows on stdout and in no log.
    let loud = world.haul(["presign", "-vv", "s3://bucket/k"]).run().await;
    assert!(!loud.ok().err.contains("Signature"), "{loud}");
}

/// U0.4: a link dies with the credentials that it was signed with, and that is said.
#[tokio::test]
async fn links_that_outlive_their_credentials() {
    let world = World::new().await;
    world.file("a", "1");
    let soon = std::time::SystemTime::now() + std::time::Duration::from_hours(2);
    let keys = serde_json::json!({
        "Version": 1, "AccessKeyId": world.server.access_key(),
        "SecretAccessKey": world.server.secret_key(), "SessionToken": "token",
        "Expiration": humantime::format_rfc3339_seconds(soon).to_string(),
    });
    let keys = world.file("keys.json", keys.to_string());
    let profile = format!("[default]\ncredential_process = cat {}\n", keys.display());
    let aws = world.file("aws", profile);
    let haul = |args: &[&str]| {
        let run = world.haul(args.to_vec()).env("AWS_CONFIG_FILE", &aws);
        run.without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY")
    };
    for args in [
        &["presign", "--expires-in", "3h", "s3://bucket/a"][..],
        &["publish", "--dry-run", "a", "s3://bucket/"],
    ] {
        let done = haul(args).run().await;
        let warning = "haul: the link ends with the credentials at 20";
        assert!(done.ok().err.starts_with(warning), "{done}");
        assert!(!done.err.contains("Signature"), "{done}");
    }
    haul(&["presign", "--expires-in", "1h", "s3://bucket/a"]).run().await.quiet();
    haul(&["presign", "-q", "--expires-in", "3h", "s3://bucket/a"]).run().await.quiet();
}
