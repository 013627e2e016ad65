//! The examples, run against a store on this machine.
//!
//! Owns: that each of them does what its first lines say. Their arguments are read by their `main`,
//! which is not run here.

use crate::kit::{KIB, Kit, PART, assert_same, or_hang, s3};

#[path = "../../examples/bytes.rs"]
#[expect(dead_code, reason = "its main is not called")]
mod bytes;
#[path = "../../examples/download.rs"]
#[expect(dead_code, reason = "its main is not called")]
mod download;
#[path = "../../examples/publish.rs"]
#[expect(dead_code, reason = "its main is not called")]
mod publish;
#[path = "../../examples/sync.rs"]
#[expect(dead_code, reason = "its main is not called")]
mod sync;
#[path = "../../examples/tree.rs"]
#[expect(dead_code, reason = "its main is not called")]
mod tree;

/// A folder of three files.
fn folder(kit: &Kit) -> haul::Location {
    for (name, content) in [("a.txt", "one"), ("b.txt", "two"), ("deep/c.txt", "three")] {
        kit.write(&format!("in/{name}"), content.as_bytes());
    }
    kit.age("in");
    kit.local("in/")
}

#[tokio::test]
async fn a_folder_is_published() {
    let kit = Kit::new().await;
    let published = Box::pin(publish::publish(&kit.haul, folder(&kit), s3("p/")));
    let links = or_hang("the example", published).await.unwrap();
    assert_eq!(kit.keys(), ["p/a.txt", "p/b.txt", "p/deep/c.txt"]);
    assert_eq!(links.len(), 3);
    for link in links {
        let link = haul::Location::parse(link).unwrap();
        assert!(!kit.haul.get_bytes(&link, 10).await.unwrap().is_empty(), "the links work");
    }
}

#[tokio::test]
async fn an_object_is_downloaded() {
    let kit = Kit::new().await;
    let (object, content) = kit.object("k", 2 * PART + 1);
    let downloaded = download::download(&kit.haul, object, kit.local("f"));
    let report = or_hang("the example", Box::pin(downloaded)).await.unwrap();
    assert_eq!(report.bytes, 2 * PART + 1);
    assert_same(&std::fs::read(kit.path("f")).unwrap(), &content);
}

#[tokio::test]
async fn bytes_go_there_and_back() {
    let kit = Kit::new().await;
    let (object, _) = kit.object("k", KIB);
    let going = Box::pin(bytes::there_and_back(&kit.haul, &object));
    let read = or_hang("the example", going).await.unwrap();
    let stored = kit.stored("k").unwrap().bytes();
    assert_eq!(read, stored.len() as u64);
    assert!(stored.starts_with(b"line 0\nline 1\n") && stored.ends_with(b"line 999\n"));
}

#[tokio::test]
async fn a_prefix_becomes_like_a_folder() {
    let kit = Kit::new().await;
    kit.object("p/old", KIB);
    let from = folder(&kit);
    let synced = Box::pin(sync::sync(&kit.haul, from.clone(), s3("p/")));
    let summary = or_hang("the example", synced).await.unwrap();
    assert_eq!((summary.copied, summary.removed), (3, 1));
    assert_eq!(kit.keys(), ["p/a.txt", "p/b.txt", "p/deep/c.txt"]);
    let again = Box::pin(sync::sync(&kit.haul, from, s3("p/")));
    let summary = or_hang("the example", again).await.unwrap();
    assert_eq!((summary.copied, summary.removed), (0, 0));
}

#[tokio::test]
async fn a_tree_is_copied() {
    let kit = Kit::new().await;
    let copied = Box::pin(tree::copy(&kit.haul, folder(&kit), s3("p/")));
    let (summary, failures) = or_hang("the example", copied).await.unwrap();
    assert_eq!((summary.copied, summary.complete, failures.len()), (3, true, 0));
    assert_eq!(kit.keys(), ["p/a.txt", "p/b.txt", "p/deep/c.txt"]);
}
