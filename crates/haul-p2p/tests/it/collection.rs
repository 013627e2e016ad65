//! Tickets of the iroh ecosystem: what others share, and what they get of haul's.

use std::path::{Path, PathBuf};

use haul_core::{ErrorKind, Event};
use haul_p2p::{Format, Ticket};
use iroh::protocol::Router;
use iroh_blobs::api::Store;
use iroh_blobs::format::collection::Collection;
use iroh_blobs::store::mem::MemStore;
use iroh_blobs::ticket::BlobTicket;
use iroh_blobs::{BlobFormat, BlobsProtocol, Hash};

use crate::fake;
use crate::kit::{
    Got, bytes, impatient, must, options, receive, receiving, send, start, tree, write,
};

/// A sender that is the library's own.
struct Others {
    store: MemStore,
    router: Router,
}

impl Others {
    async fn start() -> Self {
        let (store, endpoint) = (MemStore::new(), fake::endpoint(&[iroh_blobs::ALPN]).await);
        let blobs = BlobsProtocol::new(&store, None);
        let router = Router::builder(endpoint).accept(iroh_blobs::ALPN, blobs).spawn();
        Self { store, router }
    }

    async fn add(&self, data: &[u8]) -> Hash {
        self.store.add_slice(data).await.unwrap().hash
    }

    fn ticket(&self, hash: Hash, format: BlobFormat) -> Ticket {
        let endpoint = self.router.endpoint();
        let addrs = endpoint.bound_sockets().into_iter().map(iroh::TransportAddr::Ip);
        let addr = iroh::EndpointAddr::from_parts(endpoint.id(), addrs);
        Ticket::Content(BlobTicket::new(addr, hash, format))
    }

    /// A collection of these names.
    async fn collection(&self, all: &[(&str, Hash)]) -> Ticket {
        let named = all.iter().map(|(name, hash)| ((*name).to_owned(), *hash));
        let store: &Store = &self.store;
        let tag = named.collect::<Collection>().store(store).await.unwrap();
        let hash = tag.hash();
        std::mem::forget(tag); // the store goes away as a whole
        self.ticket(hash, BlobFormat::HashSeq)
    }

    async fn stop(self) {
        must("the other sender", self.router.shutdown()).await.unwrap();
    }
}

async fn take(ticket: &Ticket, to: &Path) -> Got {
    start(ticket, to, receiving(), impatient()).await.end().await
}

/// S4.11, S4.19: a share as others read it, received from its ticket: names and bytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_of_ours_arrives() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (i, size) in [0, 1, 16 << 10, 100_000, 1 << 20, (3 << 20) + 7].into_iter().enumerate() {
        write(from.path(), &format!("d/{i}"), &bytes(size, i as u64));
    }
    write(from.path(), "same", &bytes(100_000, 3));
    let mut sharing = options();
    sharing.format = Format::Collection;
    let sending = send(from.path(), sharing.clone()).await;
    assert!(matches!(&sending.ticket, Ticket::Content(_)));
    let got = take(&sending.ticket, to.path()).await;
    assert_eq!(got.counts(), (7, 0, 0), "{:?}", got.settled);
    assert!(tree(to.path()) == tree(from.path()), "the contents differ");
    let first = sending.ticket.clone();
    sending.stop().await;

    // X4.6: the same files are the same ticket, in whatever order they were hashed.
    let Ticket::Content(first) = first else { panic!("another kind") };
    sharing.jobs = 1;
    let sending = send(from.path(), sharing).await;
    let Ticket::Content(second) = &sending.ticket else { panic!("another kind") };
    assert_eq!(second.hash(), first.hash());
    sending.stop().await;
}

/// S4.24, S4.26: what others have no place for is told, or fails; all else is shared.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_collection_has_no_place_for_is_told() {
    use std::os::unix::ffi::OsStrExt as _;
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(from.path(), "good", b"good");
    std::fs::write(from.path().join(std::ffi::OsStr::from_bytes(b"\xff")), b"x").unwrap();
    std::fs::create_dir(from.path().join("empty")).unwrap();
    std::os::unix::fs::symlink("good", from.path().join("link")).unwrap();
    let mut sharing = options();
    sharing.format = Format::Collection;
    let mut sending = send(from.path(), sharing).await;
    let summary = sending.offered().await;
    assert_eq!(summary.failed, 1);
    let notes = sending.heard.iter().filter(|event| matches!(event, Event::Note { .. }));
    assert_eq!(notes.count(), 2);
    let got = receive(&sending.ticket, to.path(), receiving()).await;
    assert_eq!(got.counts(), (1, 0, 0));
    assert_eq!(tree(to.path()).into_keys().collect::<Vec<_>>(), [PathBuf::from("good")]);
    sending.stop().await;
}

/// S4.18: what the library itself sends: one content, and collections.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_share_arrives() {
    let to = tempfile::tempdir().unwrap();
    let others = Others::start().await;
    let (small, large) = (bytes(40_000, 1), bytes((2 << 20) + 5, 2));
    let (a, b) = (others.add(&small).await, others.add(&large).await);
    let nothing = others.add(b"").await;
    for (hash, data) in [(a, &small), (b, &large), (nothing, &Vec::new())] {
        let got = take(&others.ticket(hash, BlobFormat::Raw), to.path()).await;
        assert_eq!(got.counts(), (1, 0, 0), "{:?}", got.settled);
        assert!(std::fs::read(to.path().join(hash.to_hex())).unwrap() == *data);
    }
    let names = [("a", a), ("d/b", b), ("d/e/a again", a), ("nothing", nothing)];
    let ticket = others.collection(&names).await;
    let to = tempfile::tempdir().unwrap();
    let got = take(&ticket, to.path()).await;
    assert_eq!(got.counts(), (4, 0, 0), "{:?}", got.settled);
    let there = tree(to.path());
    assert!(there[Path::new("a")] == small && there[Path::new("d/e/a again")] == small);
    assert!(there[Path::new("d/b")] == large && there[Path::new("nothing")].is_empty());
    others.stop().await;
}

/// U4.1: names in collections are as hostile as any.
#[tokio::test(flavor = "multi_thread")]
async fn names_in_collections_stay_in_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "canary", b"alive");
    let to = dir.path().join("a/to");
    let others = Others::start().await;
    let (a, large) = (others.add(b"content").await, others.add(&bytes(2 << 20, 1)).await);
    let names = [
        ("good", a),
        ("../../x", a),
        ("../../large", large),
        ("/abs", a),
        ("/tmp/../abs", large),
        ("", a),
        (".", a),
        ("x//y", a),
        ("x/../y", large),
        ("nul\0", a),
        ("good", large),
        ("fine/large", large),
    ];
    let got = take(&others.collection(&names).await, &to).await;
    assert_eq!(got.counts(), (2, 0, 10), "{:?}", got.settled);
    let there: Vec<_> = tree(dir.path()).into_keys().collect();
    let expected = ["a", "a/to", "a/to/fine", "a/to/fine/large", "a/to/good", "canary"];
    assert_eq!(there, expected.map(PathBuf::from));
    others.stop().await;
}

/// S4.24, U4.1: collections that are none, and contents that are not there.
#[tokio::test(flavor = "multi_thread")]
async fn broken_collections_are_errors() {
    let to = tempfile::tempdir().unwrap();
    let others = Others::start().await;
    let a = others.add(b"content").await;
    // Not a list of hashes; a list without names; nothing of that name.
    let short = others.add(&[7; 33]).await;
    let unnamed = others.add(&[a.as_bytes().as_slice(), a.as_bytes()].concat()).await;
    let empty = others.add(b"").await;
    for (what, hash) in [("short", short), ("unnamed", unnamed), ("empty", empty)] {
        let got = take(&others.ticket(hash, BlobFormat::HashSeq), to.path()).await;
        let e = got.result.unwrap_err();
        let said = matches!(e.kind(), ErrorKind::Protocol | ErrorKind::Rejected);
        assert!(said && !e.detail().is_empty(), "{what}: {e}");
    }
    for format in [BlobFormat::Raw, BlobFormat::HashSeq] {
        let got = take(&others.ticket(Hash::new(b"nowhere"), format), to.path()).await;
        let e = got.result.unwrap_err();
        assert!(e.kind() != ErrorKind::Connect && !e.detail().starts_with(" ("), "{format}: {e:?}");
    }
    assert!(tree(to.path()).is_empty());
    others.stop().await;
}

/// D8: a list of names that is longer than so many names can be is not even fetched.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_names_is_bounded_by_what_it_names() {
    let (others, to) = (Others::start().await, tempfile::tempdir().unwrap());
    let file = others.add(b"a file").await;
    // Four million names, and none of them has a letter.
    let mut list = [&b"CollectionV0."[..], &postcard::to_stdvec(&(4_u64 << 20)).unwrap()].concat();
    list.resize(list.len() + (4 << 20), 0);
    let list = others.add(&list).await;
    let all = [list.as_bytes().as_slice(), file.as_bytes()].concat();
    let all = others.add(&all).await;
    let got = take(&others.ticket(all, BlobFormat::HashSeq), to.path()).await;
    let e = got.result.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Protocol);
    assert!(e.to_string().contains("list of names is too long"), "{e}");
    assert!(tree(to.path()).is_empty());
    others.stop().await;
}
