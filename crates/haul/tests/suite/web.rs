//! URLs as sources and destinations: U3.2, U3.3 (presigned links).
//!
//! Owns: what is asked of servers and what arrives, through the facade. The backend's own tests are in
//! haul-http.

use std::time::Duration;

use haul::{
    CopyRequest, Error, ErrorKind, Hint, LinkMethod, Location, Options, TreeRequest, Verified,
};
use haul_testkit::http::{Act, HttpRules, HttpServer, Tag};
use haul_testkit::{Fault, Op, StoreRules};

use crate::kit::{BUCKET, Fifo, Kit, MIB, PART, assert_same, pattern, s3, words};

/// What the first request to a URL asks for.
const FIRST: &str = "bytes=0-1048575";

fn url(text: impl Into<String>) -> Location {
    Location::parse(text.into()).unwrap()
}

/// A server with one file.
fn web(rules: HttpRules, path: &str, len: u64) -> (HttpServer, Vec<u8>) {
    let server = HttpServer::with_rules(rules).unwrap();
    server.put(path, pattern(len));
    (server, pattern(len))
}

fn no_ranges() -> HttpRules {
    let mut rules = HttpRules::default();
    rules.ranges = false;
    rules
}

/// Neither ranges nor a length.
fn unknown_length() -> HttpRules {
    let mut rules = no_ranges();
    rules.length = false;
    rules
}

fn dated() -> HttpRules {
    let mut rules = HttpRules::default();
    rules.tag = Tag::None;
    rules
}

fn typed(mut rules: HttpRules) -> HttpRules {
    rules.headers = vec![("content-type", "text/x-test".to_owned())];
    rules
}

/// Ways to serve a file: by range, as a stream that resumes, as one that does not, without an end.
fn kinds() -> [HttpRules; 4] {
    [HttpRules::default(), dated(), no_ranges(), unknown_length()]
}

fn ranges(server: &HttpServer) -> Vec<String> {
    let calls = server.calls();
    calls.iter().map(|call| call.header("range").unwrap_or("-").to_owned()).collect()
}

async fn fails(kit: &Kit, from: &Location, to: &Location) -> Error {
    let e = kit.copy(from, to).await.unwrap_err();
    kit.assert_nothing_left();
    e
}

async fn link(kit: &Kit, key: &str, method: LinkMethod) -> Location {
    let link = Box::pin(kit.haul.presign(&s3(key), method, Duration::from_mins(10))).await;
    url(link.unwrap().url)
}

async fn get_link(kit: &Kit, key: &str) -> Location {
    link(kit, key, LinkMethod::Get { version_id: None }).await
}

async fn put_link(kit: &Kit, key: &str) -> Location {
    link(kit, key, LinkMethod::Put { content_type: None }).await
}

#[tokio::test]
async fn to_a_file() {
    let kit = Kit::new().await;
    for rules in kinds() {
        for len in [0, 1, MIB, 2 * PART + 7] {
            let (server, content) = web(rules.clone(), "/dir/a%20b.txt", len);
            let from = url(server.url("/dir/a%20b.txt?x=1"));
            std::fs::create_dir_all(kit.path("into")).unwrap();
            for (to, file) in
                [("into", "into/a b.txt"), ("new/", "new/a b.txt"), ("plain", "plain")]
            {
                let report = kit.copy(&from, &kit.local(to)).await.unwrap();
                assert_eq!(report.bytes, len);
                assert_same(&std::fs::read(kit.path(file)).unwrap(), &content);
                std::fs::remove_file(kit.path(file)).unwrap();
            }
            kit.assert_nothing_left();
        }
    }
}

/// A name from a server is a name, or nothing.
#[tokio::test]
async fn a_url_without_a_name_needs_one() {
    let kit = Kit::new().await;
    let (server, _) = web(HttpRules::default(), "/", 5);
    for path in ["/", "/a/", "/a%2F..%2Fb", "/%2e%2e%2f"] {
        let e = fails(&kit, &url(server.url(path)), &kit.local("new/")).await;
        assert_eq!(e.kind(), ErrorKind::Invalid, "{path}: {e}");
        assert!(words(&e).contains("in full"), "{e}");
    }
    kit.copy(&url(server.url("/")), &kit.local("named")).await.unwrap();
    assert!(kit.path("named").exists());
}

#[tokio::test]
async fn to_an_object_with_its_content_type() {
    for rules in kinds() {
        for len in [0, 5, PART, 2 * PART + 7] {
            let kit = Kit::new().await;
            let (server, content) = web(typed(rules.clone()), "/a", len);
            kit.copy(&url(server.url("/a")), &s3("into/")).await.unwrap();
            let stored = kit.stored("into/a").unwrap();
            assert_same(&stored.bytes(), &content);
            let content_type = stored.attributes.content_type;
            assert_eq!(content_type.as_deref(), Some("text/x-test"), "{rules:?} {len}");
            let parts = if len > PART { 3 } else { 0 };
            assert_eq!(kit.count(Op::UploadPart), parts, "{rules:?} {len}");
            kit.assert_nothing_left();
        }
    }
    let kit = Kit::new().await;
    let (server, _) = web(typed(no_ranges()), "/a", 5);
    let mut request = CopyRequest::new(url(server.url("/a")), s3("a"));
    request.attributes.content_type = Some("text/asked".into());
    kit.request(request).await.unwrap();
    let stored = kit.stored("a").unwrap().attributes;
    assert_eq!(stored.content_type.as_deref(), Some("text/asked"));
}

/// What `haul cat URL` does.
#[tokio::test]
async fn to_a_pipe() {
    let kit = Kit::new().await;
    for (i, rules) in kinds().into_iter().enumerate() {
        let (server, content) = web(rules, "/a", 3 * PART + 1);
        let fifo = Fifo::new(&kit, &format!("fifo-{i}"));
        kit.copy(&url(server.url("/a")), &fifo.location).await.unwrap();
        assert_same(&fifo.content().await, &content);
    }
}

#[tokio::test]
async fn ranges_are_counted() {
    let kit = Kit::new().await;
    let (server, _) = web(HttpRules::default(), "/a", 3 * PART);
    kit.copy(&url(server.url("/a")), &kit.local("a")).await.unwrap();
    let mut asked = ranges(&server);
    asked.sort_unstable();
    let wanted =
        [FIRST, "bytes=1048576-5242879", "bytes=10485760-15728639", "bytes=5242880-10485759"];
    assert_eq!(asked, wanted, "the first answer, its chunk's rest, and the other chunks");
    assert!(server.calls().iter().all(|call| call.method == "GET"));

    let (server, _) = web(HttpRules::default(), "/a", MIB);
    kit.copy(&url(server.url("/a")), &kit.local("a")).await.unwrap();
    assert_eq!(ranges(&server), [FIRST]);
}

#[tokio::test]
async fn one_stream_where_there_are_no_ranges() {
    let kit = Kit::new().await;
    for rules in [no_ranges(), unknown_length()] {
        let (server, _) = web(rules, "/a", 3 * PART);
        kit.copy(&url(server.url("/a")), &kit.local("a")).await.unwrap();
        assert_eq!(ranges(&server), [FIRST]);
    }
}

#[tokio::test]
async fn a_stream_goes_on_where_it_broke_or_fell_silent() {
    let kit = Kit::new().await;
    for act in [Act::Break(7_000_003), Act::Stall(7_000_003)] {
        let (server, content) = web(dated(), "/a", 3 * PART);
        server.plan("/a", 1, act);
        let report = kit.copy(&url(server.url("/a")), &s3("a")).await.unwrap();
        assert_eq!(report.retried, 1);
        assert_same(&kit.stored("a").unwrap().bytes(), &content);
        assert_eq!(ranges(&server)[..2], [FIRST, "-"]);
        assert!(ranges(&server)[2].starts_with("bytes=7"), "{:?}", ranges(&server));
    }
    let (server, _) = web(unknown_length(), "/a", 3 * PART);
    server.plan_times("/a", 0, 9, Act::Stall(7_000_003));
    for to in [s3("b"), kit.local("b")] {
        let e = fails(&kit, &url(server.url("/a")), &to).await;
        assert!(matches!(e.kind(), ErrorKind::Stalled | ErrorKind::Protocol), "{e}");
    }
    assert!(kit.stored("b").is_none() && !kit.path("b").exists());
}

/// U3.3: a link to an object is read like the object, with GET alone.
#[tokio::test]
async fn a_presigned_link_is_a_source() {
    let kit = Kit::new().await;
    for (len, gets) in [(0, 2), (5, 1), (MIB, 1), (2 * PART + 7, 4)] {
        let (_, content) = kit.object("dir/a b", len);
        kit.server.calls().clear();
        let from = get_link(&kit, "dir/a b").await;
        kit.copy(&from, &kit.local("into/")).await.unwrap();
        assert_same(&std::fs::read(kit.path("into/a b")).unwrap(), &content);
        assert_eq!(kit.count(Op::GetObject), gets, "{len} bytes");
        assert_eq!(kit.count(Op::Any), gets, "and nothing else");
        kit.copy(&from, &s3("copy")).await.unwrap();
        assert_same(&kit.stored("copy").unwrap().bytes(), &content);
    }
}

#[tokio::test]
async fn a_presigned_link_is_a_destination() {
    let kit = Kit::new().await;
    for len in [0, 5, 3 * PART + 1] {
        let (file, content) = kit.file("f.txt", len);
        kit.object("from", len);
        let (server, _) = web(no_ranges(), "/a", len);
        for from in [file, s3("from"), url(server.url("/a"))] {
            let to = put_link(&kit, "to").await;
            let report = kit.copy(&from, &to).await.unwrap();
            assert_eq!(report.bytes, len);
            assert_same(&kit.stored("to").unwrap().bytes(), &content);
            kit.server.store().remove(BUCKET, "to");
        }
    }
    assert_eq!(kit.count(Op::CreateMultipartUpload), 0);
    let (server, _) = web(unknown_length(), "/a", 3 * PART);
    let e = fails(&kit, &url(server.url("/a")), &put_link(&kit, "to").await).await;
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    assert_eq!(e.hint(), Some(&Hint::TellLength), "{e}");
    let mut request = CopyRequest::new(url(server.url("/a")), put_link(&kit, "to").await);
    request.expected_size = Some(3 * PART);
    kit.request(request).await.unwrap();
    assert_same(&kit.stored("to").unwrap().bytes(), &pattern(3 * PART));
}

/// A stream that is longer than all of memory goes into a PUT, and memory holds.
#[tokio::test]
async fn a_stream_into_a_put_is_not_held() {
    let little = |o: &mut Options| o.engine.memory = MIB;
    let kit = Kit::with(StoreRules::default(), little).await;
    let (server, content) = web(dated(), "/a", 4 * PART);
    server.plan("/a", 1, Act::Break(7_000_003));
    let to = put_link(&kit, "to").await;
    let report = kit.copy(&url(server.url("/a")), &to).await.unwrap();
    assert_eq!((report.bytes, report.retried), (4 * PART, 1));
    assert_same(&kit.stored("to").unwrap().bytes(), &content);

    kit.fault(Op::PutObject, Fault::status(503));
    let e = fails(&kit, &url(server.url("/a")), &to).await;
    assert_eq!(e.kind(), ErrorKind::Throttled, "{e}");
    assert!(words(&e).contains("only once"), "{e}");
}

/// The type that was asked for is part of what was signed.
#[tokio::test]
async fn a_link_for_one_content_type() {
    let kit = Kit::new().await;
    let (file, _) = kit.file("f.txt", 5);
    let typed = LinkMethod::Put { content_type: Some("text/x-test".into()) };
    let to = link(&kit, "to", typed).await;
    let e = fails(&kit, &file, &to).await;
    assert_eq!(e.kind(), ErrorKind::AccessDenied, "{e}");
    assert_eq!(e.hint(), Some(&Hint::GiveContentType), "{}", words(&e));
    let mut request = CopyRequest::new(file, to);
    request.attributes.content_type = Some("text/x-test".into());
    kit.request(request).await.unwrap();
    let stored = kit.stored("to").unwrap().attributes;
    assert_eq!(stored.content_type.as_deref(), Some("text/x-test"));
}

#[tokio::test]
async fn redirects_carry_no_credentials_elsewhere() {
    let kit = Kit::new().await;
    let mut secured = HttpRules::default();
    secured.authorization = Some("Basic bWU6cHc=".to_owned()); // me:pw
    let (here, _) = web(secured, "/a", 1);
    let (there, content) = web(HttpRules::default(), "/b", 3 * MIB);
    here.plan_times("/a", 0, 9, Act::Redirect(302, there.url("/b?signed=1")));
    kit.copy(&url(here.url_as("me", "pw", "/a")), &kit.local("a")).await.unwrap();
    assert_same(&std::fs::read(kit.path("a")).unwrap(), &content);
    assert!(here.calls().iter().all(|call| call.header("authorization").is_some()));
    assert!(there.calls().iter().all(|call| call.header("authorization").is_none()));
    let e = fails(&kit, &url(here.url("/a2")), &kit.local("b")).await;
    assert_eq!(e.kind(), ErrorKind::AccessDenied, "{e}");
    assert!(words(&e).contains("PASSWORD"), "{}", words(&e));
}

#[tokio::test]
async fn errors_are_understood_and_tell_no_secret() {
    let kit = Kit::new().await;
    let (server, _) = web(HttpRules::default(), "/a", 5);
    let e = fails(&kit, &url(server.url("/none?t0ken=s3cr3t")), &kit.local("x")).await;
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    assert!(!format!("{} {e:?}", words(&e)).contains("s3cr3t"));

    kit.object("k", 5);
    let signed = get_link(&kit, "k").await;
    kit.fault(Op::GetObject, Fault::status(403).code("AccessDenied"));
    let Location::Http(text) = &signed else { unreachable!("no URL") };
    let signature = text.split("X-Amz-Signature=").nth(1).unwrap();
    let e = fails(&kit, &signed, &kit.local("x")).await;
    assert_eq!(e.kind(), ErrorKind::AccessDenied, "{e}");
    assert!(words(&e).contains("expired"), "{}", words(&e));
    assert!(!format!("{} {e:?} {signed} {signed:?}", words(&e)).contains(signature));

    let e = fails(&kit, &url(server.url_as("me", "s3cr3t", "/none")), &s3("x")).await;
    assert!(!format!("{} {e:?}", words(&e)).contains("s3cr3t"));
    assert_eq!(kit.keys(), ["k"]);
}

/// An answer that is over before its time, or that is not what it was, is never a file.
#[tokio::test]
async fn what_is_cut_off_or_replaced_is_an_error() {
    let kit = Kit::new().await;
    let (server, _) = web(unknown_length(), "/a", 2 * PART);
    server.plan_times("/a", 0, 9, Act::Break(7_000_003));
    for to in [kit.local("x"), s3("x")] {
        let e = fails(&kit, &url(server.url("/a")), &to).await;
        assert_eq!(e.kind(), ErrorKind::Protocol, "{e}");
    }
    let (server, _) = web(dated(), "/a", 2 * PART);
    server.plan("/a", 1, Act::Break(7_000_003));
    server.plan("/a", 2, Act::Replace(vec![0; 2 * usize::try_from(PART).unwrap()].into()));
    let e = fails(&kit, &url(server.url("/a")), &s3("x")).await;
    assert_eq!(e.kind(), ErrorKind::SourceChanged, "{e}");
    assert!(kit.stored("x").is_none() && !kit.path("x").exists());
}

#[tokio::test]
async fn a_checksum_that_comes_along_is_compared() {
    let kit = Kit::new().await;
    let mut rules = no_ranges();
    // CRC64NVME of "123456789" (CRC catalogue).
    rules.headers = vec![("x-amz-checksum-crc64nvme", "rosUhgp5mIg=".to_owned())];
    let server = HttpServer::with_rules(rules).unwrap();
    server.put("/a", "123456789");
    for to in [kit.local("a"), s3("a")] {
        let report = kit.copy(&url(server.url("/a")), &to).await.unwrap();
        assert!(matches!(report.verified, Verified::Checksum(_)), "{:?}", report.verified);
    }
    server.put("/a", "123456780");
    for to in [kit.local("b"), s3("b")] {
        let e = fails(&kit, &url(server.url("/a")), &to).await;
        assert_eq!(e.kind(), ErrorKind::Verification, "{e}");
    }
    assert!(kit.stored("b").is_none() && !kit.path("b").exists());
}

#[tokio::test]
async fn a_url_among_many_sources() {
    let kit = Kit::new().await;
    let (file, one) = kit.file("one", 10);
    let (object, two) = kit.object("two", 20);
    let (server, three) = web(no_ranges(), "/x/three", 3 * PART);
    let (other, four) = web(HttpRules::default(), "/four", 3 * MIB);
    let sources = || {
        vec![file.clone(), object.clone(), url(server.url("/x/three?q=1")), url(other.url("/four"))]
    };
    let many = kit.copy_tree(TreeRequest::new(sources(), kit.local("out/"))).await;
    assert_eq!(many.counts(), (4, 0, 0, 0), "{:?}", many.failures());
    let all = [("four", &four), ("one", &one), ("three", &three), ("two", &two)];
    for ((name, content), (want, bytes)) in kit.tree("out").iter().zip(all) {
        assert_eq!(name, want);
        assert_same(content, bytes);
    }
    let many = kit.copy_tree(TreeRequest::new(sources(), s3("p/"))).await;
    assert_eq!(many.counts(), (4, 0, 0, 0), "{:?}", many.failures());
    assert_same(&kit.stored("p/three").unwrap().bytes(), &three);

    let missing = vec![file, url(server.url("/none")), url(server.url("/x/three"))];
    let many = kit.copy_tree(TreeRequest::new(missing, kit.local("some/"))).await;
    assert_eq!(many.counts(), (2, 0, 0, 1));
    assert!(many.failures()[0].contains("404"), "{:?}", many.failures());
    kit.assert_nothing_left();
}

/// Times are kept where they are known.
#[tokio::test]
async fn times_are_kept() {
    let kit = Kit::new().await;
    for rules in [HttpRules::default(), no_ranges()] {
        let (server, _) = web(rules, "/a", 5);
        let mut request = TreeRequest::new(vec![url(server.url("/a"))], kit.local("out/"));
        request.keep_times = true;
        assert_eq!(kit.copy_tree(request).await.counts(), (1, 0, 0, 0));
        let modified = std::fs::metadata(kit.path("out/a")).unwrap().modified().unwrap();
        let seconds = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(seconds, 1_445_412_481, "Wed, 21 Oct 2015 07:28:01 GMT");
        std::fs::remove_dir_all(kit.path("out")).unwrap();
    }
}
