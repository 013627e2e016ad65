//! Looking at, removing and handing out what is there: `ls`, `rm`, `presign`, `uploads`, buckets.
//!
//! Owns: what is listed and what is removed, by batches, versions and patterns.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use haul::{
    CopyRequest, EntryKind, Error, ErrorKind, FilterRule, LinkMethod, ListRequest, Location,
    RemoveRequest, Result,
};
use haul_testkit::{Fault, Op, Rule, StoreRules};

use crate::kit::{BUCKET, Kit, PART, or_hang, s3};
use crate::many_kit::{bucket, pages_of, with};

fn remove_of(location: Location) -> RemoveRequest {
    RemoveRequest::new(vec![location])
}

fn below(location: Location) -> RemoveRequest {
    with(remove_of(location), |r| r.select.recursive = true)
}

fn fill(kit: &Kit, prefix: &str, count: usize) {
    for i in 0..count {
        kit.put(&format!("{prefix}{i:04}"), b"x");
    }
}

#[tokio::test]
async fn several_objects_are_one_request() {
    let kit = Kit::new().await;
    fill(&kit, "k", 5);
    kit.server.store().put("other", "k", b"x".to_vec());
    let other = Location::S3 { bucket: "other".to_owned(), key: "k".to_owned() };
    let sources = vec![s3("k0001"), s3("k0003"), other];
    let many = kit.remove_tree(RemoveRequest::new(sources)).await;
    assert_eq!(many.counts(), (0, 0, 3, 0));
    assert_eq!(kit.keys(), ["k0000", "k0002", "k0004"]);
    assert!(kit.server.store().keys("other").is_empty());
    assert_eq!(kit.asked(), [(Op::DeleteObjects, 1), (Op::DeleteObject, 1)]);
}

/// 2,500 keys are three requests to list and three to remove; a dry run removes nothing.
#[tokio::test]
async fn a_prefix_is_removed_by_batches() {
    let kit = Kit::new().await;
    fill(&kit, "p/d/", 2500);
    fill(&kit, "p2/", 2);
    let dry = kit.remove_tree(with(below(s3("p")), |r| r.dry_run = true)).await;
    assert_eq!(dry.counts(), (0, 0, 2500, 0));
    assert_eq!(kit.keys().len(), 2502);
    kit.asked();
    let many = kit.remove_tree(below(s3("p"))).await;
    assert_eq!(many.counts(), (0, 0, 2500, 0));
    assert_eq!(many.changes(), dry.changes());
    assert_eq!(kit.keys(), ["p2/0000", "p2/0001"]);
    assert_eq!((kit.count(Op::ListObjects), kit.count(Op::DeleteObjects)), (3, 3));
    assert_eq!(kit.count(Op::DeleteObject), 0);
}

/// Without `-r` neither a prefix nor a bucket is removed.
#[tokio::test]
async fn a_prefix_needs_to_be_meant() {
    let kit = Kit::new().await;
    fill(&kit, "p/", 3);
    for location in [s3("p/"), bucket()] {
        let many = kit.remove_tree(remove_of(location)).await;
        assert_eq!(many.counts(), (0, 0, 0, 1));
        assert!(many.failures()[0].contains("recursive"), "{:?}", many.failures());
    }
    let many = kit.remove_tree(below(s3("nothing/"))).await;
    assert!(many.failures()[0].contains("nothing below"), "{:?}", many.failures());
    assert_eq!(kit.keys().len(), 3);
    let e = Box::pin(kit.haul.remove_tree(remove_of(kit.local("f")))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
}

/// The marker of the folder itself goes with what is in it.
#[tokio::test]
async fn markers_go_with_their_folder() {
    let kit = Kit::new().await;
    for key in ["p/", "p/d/", "p/d/x", "q/"] {
        kit.put(key, b"");
    }
    assert_eq!(kit.remove_tree(below(s3("p/"))).await.counts(), (0, 0, 3, 0));
    assert_eq!(kit.keys(), ["q/"]);
}

/// One key that the store refuses fails; the others of its batch are gone.
#[tokio::test]
async fn a_batch_fails_in_part() {
    let kit = Kit::new().await;
    fill(&kit, "p/", 5);
    let body = "<DeleteResult><Error><Key>p/0002</Key><Code>AccessDenied</Code>\
                <Message>it is locked</Message></Error></DeleteResult>";
    let page = Fault::Page { content_type: "application/xml".to_owned(), body: body.to_owned() };
    kit.server.faults().add(Rule::on(Op::DeleteObjects).then(page));
    let many = kit.remove_tree(below(s3("p"))).await;
    assert_eq!(many.counts(), (0, 0, 4, 1));
    assert!(many.failures()[0].contains("p/0002"), "{:?}", many.failures());
    // A request that fails as a whole fails all of its keys; one that passes is tried again.
    kit.server.faults().add(Rule::on(Op::DeleteObjects).always().then(Fault::status(403)));
    assert_eq!(kit.remove_tree(below(s3("p"))).await.counts(), (0, 0, 0, 5));
    kit.server.faults().clear();
    kit.server.faults().add(Rule::on(Op::DeleteObjects).then(Fault::status(503)));
    assert_eq!(kit.remove_tree(below(s3("p"))).await.counts(), (0, 0, 5, 0));
    assert!(kit.keys().is_empty());
}

/// A store without DeleteObjects is asked for one key after the other.
#[tokio::test]
async fn a_store_without_batches() {
    let rules = StoreRules { delete_objects: false, ..StoreRules::default() };
    let kit = Kit::with(rules, |_| ()).await;
    fill(&kit, "p/", 20);
    assert_eq!(kit.remove_tree(below(s3("p"))).await.counts(), (0, 0, 20, 0));
    assert!(kit.keys().is_empty());
    assert_eq!(kit.count(Op::DeleteObject), 20);
}

#[tokio::test]
async fn patterns_and_filters_select() {
    let kit = Kit::new().await;
    for key in ["l/2025/a.gz", "l/2026/a.gz", "l/2026/b.txt", "l/2026/d/a.gz", "m/a.gz"] {
        kit.put(key, key.as_bytes());
    }
    assert_eq!(kit.remove_tree(remove_of(s3("l/*/a.gz"))).await.counts(), (0, 0, 2, 0));
    assert_eq!(kit.keys(), ["l/2026/b.txt", "l/2026/d/a.gz", "m/a.gz"]);
    let exclude = FilterRule::new(false, "*.txt").unwrap();
    let request = with(below(s3("l")), |r| r.select.filter.rules = vec![exclude]);
    assert_eq!(kit.remove_tree(request).await.counts(), (0, 0, 1, 0));
    assert_eq!(kit.keys(), ["l/2026/b.txt", "m/a.gz"]);
}

fn versioned(kit: &Kit) {
    kit.server.store().set_versioning(BUCKET, true);
    for key in ["v/a", "v/ab", "v/b.txt"] {
        for content in ["1", "22"] {
            kit.put(key, content.as_bytes());
        }
    }
}

fn versions(kit: &Kit) -> Vec<usize> {
    ["v/a", "v/ab", "v/b.txt"].map(|k| kit.server.store().versions(BUCKET, k).len()).to_vec()
}

/// G.1: what a store without versions would remove is what is there now.
#[tokio::test]
async fn a_version_of_a_store_without_versions_is_neither_removed_nor_copied() {
    let rules = StoreRules { versions: false, ..StoreRules::default() };
    let kit = Kit::with(rules, |_| {}).await;
    kit.put("k", b"precious");
    let version = Some("abc".to_owned());
    let e = kit.haul.remove(&s3("k"), version.clone()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    for to in [kit.local("f"), s3("copy")] {
        let mut request = CopyRequest::new(s3("k"), to);
        request.version_id.clone_from(&version);
        assert_eq!(kit.request(request).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(kit.keys(), ["k"]);
    assert!(!kit.path("f").exists());
}

/// A plain removal leaves a marker; with all versions nothing is left, markers included: of a prefix,
/// of keys named in full (and not of what begins alike), of what matches a pattern.
#[tokio::test]
async fn all_versions_go_for_good() {
    let for_good = |request| with(request, |r: &mut RemoveRequest| r.all_versions = true);
    let kit = Kit::new().await;
    versioned(&kit);
    assert_eq!(kit.remove_tree(below(s3("v"))).await.counts(), (0, 0, 3, 0));
    assert_eq!(versions(&kit), [3, 3, 3]);
    assert!(kit.keys().is_empty());
    assert_eq!(kit.remove_tree(for_good(below(s3("v/")))).await.counts(), (0, 0, 9, 0));
    assert_eq!(versions(&kit), [0, 0, 0]);
    for (sources, left) in [
        (vec![s3("v/a")], [0, 2, 2]),
        (vec![s3("v/a"), s3("v/b.txt")], [0, 2, 0]),
        (vec![s3("v/*.txt")], [2, 2, 0]),
        (vec![s3("v/a*")], [0, 0, 2]),
    ] {
        let kit = Kit::with(pages_of(2), |_| ()).await;
        versioned(&kit);
        let shown = format!("{sources:?}");
        let many = kit.remove_tree(for_good(RemoveRequest::new(sources))).await;
        assert_eq!(many.summary().failed, 0, "{shown}");
        assert_eq!(versions(&kit), left, "{shown}");
    }
}

async fn list(kit: &Kit, request: ListRequest) -> Result<Vec<(String, EntryKind, u64)>> {
    let mut listed = Box::pin(kit.haul.list(request)).await?;
    let mut found = Vec::new();
    while let Some(page) = or_hang("a page", listed.next()).await {
        let page = page?;
        assert!(page.problems.is_empty(), "{:?}", page.problems);
        found.extend(
            page.entries
                .iter()
                .map(|e| (listed.location_of(e).exact().into_owned(), e.kind.clone(), e.size)),
        );
    }
    Ok(found)
}

fn names(found: &[(String, EntryKind, u64)]) -> Vec<&str> {
    found.iter().map(|(name, ..)| name.as_str()).collect()
}

#[tokio::test]
async fn stores_are_listed_by_level_or_all() {
    let kit = Kit::with(pages_of(2), |_| ()).await;
    for key in ["a", "d/b", "d/e/c", "d/e/f", "z"] {
        kit.put(key, key.as_bytes());
    }
    let root = list(&kit, ListRequest::new(bucket())).await.unwrap();
    assert_eq!(names(&root), ["s3://bucket/a", "s3://bucket/d/", "s3://bucket/z"]);
    assert_eq!(root[1].1, EntryKind::Prefix);
    for location in [s3("d"), s3("d/")] {
        let level = list(&kit, ListRequest::new(location)).await.unwrap();
        assert_eq!(names(&level), ["s3://bucket/d/b", "s3://bucket/d/e/"]);
    }
    let recursive = |location| with(ListRequest::new(location), |r| r.recursive = true);
    let all = list(&kit, recursive(s3("d"))).await.unwrap();
    assert_eq!(names(&all), ["s3://bucket/d/b", "s3://bucket/d/e/c", "s3://bucket/d/e/f"]);
    assert_eq!(all.iter().map(|e| e.2).sum::<u64>(), 3 + 5 + 5, "what du adds up");
    let one = list(&kit, ListRequest::new(s3("d/e/c"))).await.unwrap();
    assert_eq!(one, [("s3://bucket/d/e/c".to_owned(), EntryKind::File, 5)]);
    let pattern = list(&kit, recursive(s3("d/*/?"))).await.unwrap();
    assert_eq!(names(&pattern), ["s3://bucket/d/e/c", "s3://bucket/d/e/f"]);
    for nothing in ["nothing", "nothing/", "no*thing"] {
        let e = list(&kit, ListRequest::new(s3(nothing))).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound, "{nothing}: {e}");
    }
}

#[tokio::test]
async fn versions_are_listed_newest_first() {
    let kit = Kit::with(pages_of(2), |_| ()).await;
    versioned(&kit);
    kit.remove_tree(remove_of(s3("v/a"))).await.summary();
    let of =
        |location| with(ListRequest::new(location), |r| (r.versions, r.recursive) = (true, true));
    let found = list(&kit, of(s3("v/a"))).await.unwrap();
    let kinds: Vec<_> = found.iter().map(|(_, kind, size)| (kind.clone(), *size)).collect();
    assert_eq!(
        kinds,
        [(EntryKind::DeleteMarker, 0), (EntryKind::File, 2), (EntryKind::File, 1)],
        "of this key alone"
    );
    assert_eq!(list(&kit, of(s3("v/"))).await.unwrap().len(), 7);
}

#[tokio::test]
async fn folders_are_listed() {
    let kit = Kit::new().await;
    kit.write("in/d/b", b"bb");
    kit.write("in/a", b"a");
    std::fs::create_dir(kit.path("in/void")).unwrap();
    let shown = |name: &str| kit.path("in").join(name).display().to_string();
    let level = list(&kit, ListRequest::new(kit.local("in"))).await.unwrap();
    assert_eq!(names(&level), [shown("a"), shown("d/"), shown("void/")]);
    let all = with(ListRequest::new(kit.local("in")), |r| r.recursive = true);
    let all = list(&kit, all).await.unwrap();
    let files: Vec<_> = all.iter().filter(|e| e.1 == EntryKind::File).collect();
    assert_eq!(files.iter().map(|e| e.0.as_str()).collect::<Vec<_>>(), [shown("a"), shown("d/b")]);
    let one = list(&kit, ListRequest::new(kit.local("in/d/b"))).await.unwrap();
    assert_eq!(names(&one), [shown("d/b")]);
    let e = list(&kit, ListRequest::new(kit.local("nowhere"))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn buckets_come_and_go() {
    let kit = Kit::new().await;
    let new = Location::S3 { bucket: "new".to_owned(), key: String::new() };
    Box::pin(kit.haul.make_bucket(&new)).await.unwrap();
    let names = || async {
        let buckets = kit.haul.buckets().await.unwrap();
        buckets.into_iter().map(|b| b.name).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["bucket", "new"]);
    kit.server.store().put("new", "k", b"x".to_vec());
    let e: Error = kit.haul.remove_bucket(&new).await.unwrap_err();
    assert!(e.to_string().contains("not empty"), "{e}");
    kit.server.store().remove("new", "k");
    kit.haul.remove_bucket(&new).await.unwrap();
    assert_eq!(names().await, ["bucket"]);
    let e = kit.haul.remove_bucket(&new).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    let e = kit.haul.remove_bucket(&s3("key")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
}

/// What any HTTP client does with a link.
async fn exchange(url: String, method: &str, headers: &str, body: &'static [u8]) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let head = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let host = host.to_owned();
    let exchange = tokio::task::spawn_blocking(move || {
        let mut socket = std::net::TcpStream::connect(host).unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    });
    or_hang("the exchange", exchange).await.unwrap()
}

/// A link to upload by, with the type that was signed, and a link to download what came.
#[tokio::test]
async fn links_there_and_back() {
    let kit = Kit::new().await;
    kit.server.store().set_versioning(BUCKET, true);
    let life = Duration::from_hours(1);
    let put = LinkMethod::Put { content_type: Some("text/x-own".to_owned()) };
    let link = kit.haul.presign(&s3("a b/ü"), put, life).await.unwrap();
    assert_eq!(link.method, "PUT");
    let refused = exchange(link.url.clone(), "PUT", "Content-Type: text/other\r\n", b"one").await;
    assert!(!refused.starts_with("HTTP/1.1 200"), "{refused}");
    let took = exchange(link.url, "PUT", "Content-Type: text/x-own\r\n", b"one").await;
    assert!(took.starts_with("HTTP/1.1 200"), "{took}");
    let stored = kit.stored("a b/ü").unwrap();
    assert_eq!(stored.attributes.content_type.as_deref(), Some("text/x-own"));
    kit.put("a b/ü", b"two");
    for (version_id, want) in [(None, "two"), (Some(stored.version_id), "one")] {
        let get = LinkMethod::Get { version_id };
        let link = kit.haul.presign(&s3("a b/ü"), get, life).await.unwrap();
        let got = exchange(link.url.clone(), "GET", "", b"").await;
        assert!(got.starts_with("HTTP/1.1 200") && got.ends_with(want), "{got}");
        let copied = CopyRequest::new(Location::Http(link.url), kit.local("down"));
        kit.request(copied).await.unwrap();
        assert_eq!(std::fs::read(kit.path("down")).unwrap(), want.as_bytes());
    }
    for life in [Duration::ZERO, Duration::from_hours(24 * 7 + 1)] {
        let get = LinkMethod::Get { version_id: None };
        let e = kit.haul.presign(&s3("k"), get, life).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
    }
}

/// Uploads that were never finished are listed, over pages, and thrown away.
#[tokio::test]
async fn unfinished_uploads_are_listed_and_aborted() {
    let kit = Kit::with(pages_of(2), |o| {
        o.engine.retry = haul::RetryPolicy::with_tries(1);
    })
    .await;
    // What a crash leaves: parts are there, and neither the end nor the abort arrives.
    kit.server
        .faults()
        .add(Rule::on(Op::CompleteMultipartUpload).always().then(Fault::status(403)));
    kit.server.faults().add(Rule::on(Op::AbortMultipartUpload).always().then(Fault::status(403)));
    let (file, _) = kit.file("f", 2 * PART);
    for key in ["p/1", "p/2", "p/3", "q/4"] {
        kit.copy(&file, &s3(key)).await.unwrap_err();
    }
    kit.server.faults().clear();
    let all = kit.haul.uploads(&bucket()).await.unwrap();
    let keys: Vec<_> = all.iter().map(|u| u.location.to_string()).collect();
    assert_eq!(keys, ["p/1", "p/2", "p/3", "q/4"].map(|k| format!("s3://bucket/{k}")));
    assert!(all.iter().all(|u| u.initiated.is_some() && !u.id.is_empty()));
    let some = kit.haul.uploads(&s3("p/")).await.unwrap();
    assert_eq!(some.len(), 3);
    for upload in &some {
        kit.haul.abort_upload(upload).await.unwrap();
    }
    assert_eq!(kit.haul.uploads(&bucket()).await.unwrap().len(), 1);
    let e = kit.haul.uploads(&kit.local("f")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
}
