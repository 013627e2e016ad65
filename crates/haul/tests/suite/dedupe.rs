//! `--dedupe`: what the store has already is copied there, and not sent again.
//!
//! Owns: what counts as a hit and what does not, what the new name carries, and the index between
//! runs (U1.3, S1.27, S1.30, S1.35).

use haul::{Haul, Jobs, Location, PublishRequest, SyncRequest, TreeRequest};
use haul_testkit::{Fault, Op, Rule, StoreRules, sizes};
use rustix::fs::inotify;

use crate::kit::{Kit, Many, PART, options, s3};
use crate::many_kit::{sync_of, with};

fn tree(kit: &Kit, from: &str, to: &str) -> TreeRequest {
    let mut request = TreeRequest::new(vec![kit.local(from)], s3(to));
    request.select.recursive = true;
    request.dedupe = Some(kit.path("index"));
    request
}

async fn copy(kit: &Kit, from: &str, to: &str) -> Many {
    kit.copy_tree(tree(kit, from, to)).await
}

fn sent(kit: &Kit) -> (usize, usize) {
    let counts = (kit.count(Op::PutObject) + kit.count(Op::UploadPart), kit.count(Op::CopyObject));
    kit.server.calls().clear();
    counts
}

/// S1.27, S1.30, S1.35: the second file with a content is a copy within the store.
#[tokio::test]
async fn a_known_content_is_copied_by_the_store() {
    let kit = Kit::new().await;
    kit.write("one/a.txt", b"the same content");
    kit.write("two/b.html", b"the same content");
    assert_eq!(copy(&kit, "one", "p").await.counts(), (1, 0, 0, 0));
    assert_eq!(sent(&kit), (1, 0));
    assert_eq!(copy(&kit, "two", "q").await.counts(), (1, 0, 0, 0));
    assert_eq!(sent(&kit), (0, 1));
    assert_eq!(kit.bytes("q/b.html"), b"the same content");
    // What it carries is its own: the type by its name, and not that of the first.
    let kind = |key: &str| kit.stored(key).unwrap().attributes.content_type.unwrap();
    assert!(kind("p/a.txt").starts_with("text/plain"), "{}", kind("p/a.txt"));
    assert!(kind("q/b.html").starts_with("text/html"), "{}", kind("q/b.html"));
}

/// U0.3, M.10: that the content is there already does not make up for a time or a type that was asked
/// for.
#[tokio::test]
async fn what_is_there_gets_what_is_asked_for_beside_its_content() {
    let kit = Kit::new().await;
    kit.write("in/a.txt", b"the same content");
    kit.set_age("in/a.txt", -5000);
    copy(&kit, "in", "p").await.summary();
    assert_eq!(sent(&kit), (1, 0));
    assert_eq!(copy(&kit, "in", "p").await.counts(), (1, 0, 0, 0));
    assert_eq!(sent(&kit), (0, 0), "nothing is asked for but the content");
    for attributes in [false, true] {
        let request = with(tree(&kit, "in", "p"), |r| {
            r.keep_times = true;
            if attributes {
                r.attributes.content_type = Some("text/odd".to_owned());
            }
        });
        assert_eq!(kit.copy_tree(request.clone()).await.counts(), (1, 0, 0, 0));
        assert_eq!(sent(&kit), (0, 1), "{attributes}");
        assert_eq!(kit.copy_tree(request).await.counts(), (1, 0, 0, 0));
        assert_eq!(sent(&kit), (0, 0), "{attributes}: it is as it was asked for");
    }
    let stored = kit.stored("p/a.txt").unwrap();
    assert_eq!(stored.attributes.content_type.as_deref(), Some("text/odd"));
    assert!(stored.metadata("mtime").is_some());
    // So sync comes to an end.
    kit.set_age("in/a.txt", 5000);
    let request = with(sync_of(&kit.local("in"), &s3("p")), |r| r.dedupe = Some(kit.path("index")));
    assert_eq!(kit.sync(request.clone()).await.counts(), (1, 0, 0, 0));
    assert_eq!(kit.sync(request).await.counts(), (0, 1, 0, 0));
}

/// The same by `publish` and `sync`, with metadata, tags and times of their own (S1.27).
#[tokio::test]
async fn publish_and_sync_copy_alike() {
    let kit = Kit::new().await;
    kit.write("one/a.txt", b"the same content");
    kit.write("two/b.txt", b"the same content");
    let index = Some(kit.path("index"));
    let mut request = PublishRequest::new(vec![kit.local("one/")], s3("p"));
    request.dedupe.clone_from(&index);
    request.attributes.metadata.insert("of".to_owned(), "one".to_owned());
    assert_eq!(kit.publish(request.clone()).await.counts(), (1, 0, 0, 0));
    sent(&kit);
    request.select.sources = vec![kit.local("two/")];
    request.attributes.metadata.insert("of".to_owned(), "two".to_owned());
    request.attributes.tags.insert("kind".to_owned(), "copy".to_owned());
    let many = kit.publish(request).await;
    assert_eq!(many.counts(), (1, 0, 0, 0));
    assert_eq!(sent(&kit), (0, 1));
    assert!(many.links()[0].contains("/p/b.txt"));
    let stored = kit.stored("p/b.txt").unwrap();
    assert_eq!(stored.metadata("of"), Some("two"));
    assert_eq!(stored.tags, [("kind".to_owned(), "copy".to_owned())]);
    kit.set_age("two/b.txt", -5000);
    let request: SyncRequest = sync_of(&kit.local("two"), &s3("s"));
    let request = with(request, |r| r.dedupe.clone_from(&index));
    assert_eq!(kit.sync(request.clone()).await.counts(), (1, 0, 0, 0));
    assert_eq!(sent(&kit), (0, 1));
    assert!(kit.stored("s/b.txt").unwrap().metadata("mtime").is_some(), "its own time is kept");
    assert_eq!(kit.sync(request).await.counts(), (0, 1, 0, 0));
}

/// Two equal files of one run: one is sent, and the other waits for it and is copied.
#[tokio::test]
async fn equal_files_of_one_run_are_sent_once() {
    let kit = Kit::new().await;
    for i in 0..8 {
        kit.write(&format!("in/{i}"), b"all alike");
    }
    let request = with(tree(&kit, "in", "p"), |r| r.jobs = Jobs::Fixed(8));
    assert_eq!(kit.copy_tree(request).await.counts(), (8, 0, 0, 0));
    assert_eq!(sent(&kit), (1, 7));
    kit.assert_alike("p/", "in");
}

/// U1.3: empty files are alike, and nothing to copy.
#[tokio::test]
async fn empty_files_are_no_hits() {
    let kit = Kit::new().await;
    kit.write("in/a", b"");
    kit.write("in/b", b"");
    assert_eq!(copy(&kit, "in", "p").await.counts(), (2, 0, 0, 0));
    assert_eq!(sent(&kit), (2, 0));
    assert_eq!(copy(&kit, "in", "q").await.counts(), (2, 0, 0, 0));
    assert_eq!(sent(&kit), (2, 0));
    assert!(!kit.path("index").exists() || kit.count(Op::HeadObject) == 0);
}

/// What happens to an object, in words and in deed.
type Damage = (&'static str, fn(&Kit));

/// U1.3: an object that is gone, empty, shorter or another one now is no hit, and is forgotten.
#[tokio::test]
async fn what_is_not_what_it_was_is_no_hit() {
    let damages: [Damage; 4] = [
        ("gone", |kit| kit.server.store().remove(crate::kit::BUCKET, "p/f")),
        ("empty", |kit| kit.put("p/f", b"")),
        ("shorter", |kit| kit.put("p/f", b"cont")),
        ("changed", |kit| kit.put("p/f", b"CONTENT")),
    ];
    for (what, damage) in damages {
        let kit = Kit::new().await;
        kit.write("in/f", b"content");
        kit.write("again/g", b"content");
        copy(&kit, "in", "p").await.summary();
        damage(&kit);
        sent(&kit);
        assert_eq!(copy(&kit, "again", "q").await.counts(), (1, 0, 0, 0), "{what}");
        assert_eq!(sent(&kit), (1, 0), "{what}: it was sent");
        assert_eq!(kit.bytes("q/g"), b"content", "{what}");
        // The one that was sent is known instead.
        assert_eq!(copy(&kit, "again", "r").await.counts(), (1, 0, 0, 0), "{what}");
        assert_eq!(sent(&kit), (0, 1), "{what}");
        assert_eq!(kit.bytes("r/g"), b"content", "{what}");
    }
}

/// It changes between the look and the copy: the copy is pinned to what was seen, or the file is sent.
#[tokio::test]
async fn a_change_after_the_look_is_no_hit_either() {
    let kit = Kit::new().await;
    kit.write("in/f", b"content");
    copy(&kit, "in", "p").await.summary();
    let store = kit.server.store().clone();
    let replace = Fault::hook(move |_| {
        store.put(crate::kit::BUCKET, "p/f", b"CONTENT".to_vec());
    });
    kit.server.faults().add(Rule::on(Op::CopyObject).then(replace));
    assert_eq!(copy(&kit, "in", "q").await.counts(), (1, 0, 0, 0));
    assert_eq!(kit.bytes("q/f"), b"content");
}

/// U1.3: the destination is right already: nothing is sent, and nothing is copied, whether it is the
/// object that the index knows or another one.
#[tokio::test]
async fn a_destination_that_is_right_is_left_alone() {
    let kit = Kit::new().await;
    for i in 0..4 {
        kit.write(&format!("in/{i}"), b"all alike");
    }
    // One after the other, so that the first is the one that the index knows.
    let first = with(tree(&kit, "in", "p"), |r| r.jobs = Jobs::Fixed(1));
    assert_eq!(kit.copy_tree(first).await.counts(), (4, 0, 0, 0));
    assert_eq!(sent(&kit), (1, 3));
    assert_eq!(copy(&kit, "in", "p").await.counts(), (4, 0, 0, 0));
    assert_eq!(sent(&kit), (0, 0));
    kit.put("p/2", b"all ALIKE");
    assert_eq!(copy(&kit, "in", "p").await.counts(), (4, 0, 0, 0));
    assert_eq!(sent(&kit), (0, 1));
    kit.assert_alike("p/", "in");
}

/// S1.30: large objects, too; and where the store cannot copy, the file is sent after all.
#[tokio::test]
async fn large_files_and_stores_that_cannot_copy() {
    let kit = Kit::new().await;
    kit.write("in/f", &sizes::pattern(usize::try_from(2 * PART + 1).unwrap(), 1));
    copy(&kit, "in", "p").await.summary();
    assert_eq!(sent(&kit), (3, 0));
    assert_eq!(copy(&kit, "in", "q").await.counts(), (1, 0, 0, 0));
    assert_eq!(sent(&kit), (0, 1));
    kit.server.faults().add(Rule::on(Op::CopyObject).always().then(Fault::status(501)));
    assert_eq!(copy(&kit, "in", "r").await.counts(), (1, 0, 0, 0));
    assert_eq!(sent(&kit), (3, 1));
    for prefix in ["q/", "r/"] {
        kit.assert_alike(prefix, "in");
    }
}

/// The index is a file: another process, here another `Haul`, finds what the first one sent.
#[tokio::test]
async fn the_index_outlives_the_process() {
    let mut kit = Kit::new().await;
    kit.write("in/f", b"content");
    copy(&kit, "in", "p").await.summary();
    sent(&kit);
    kit.haul = Haul::new(options(&kit.server));
    assert_eq!(copy(&kit, "in", "q").await.counts(), (1, 0, 0, 0));
    assert_eq!(sent(&kit), (0, 1));
    // Another store is another place: nothing there is known.
    let other = Kit::with(StoreRules::default(), |_| ()).await;
    let mut request = tree(&kit, "in", "q");
    request.to = s3("p");
    assert_eq!(other.copy_tree(request).await.counts(), (1, 0, 0, 0));
    assert_eq!(sent(&other), (1, 0));
}

/// Whether anybody opened a file: the kernel tells.
struct Watch(std::os::fd::OwnedFd);

impl Watch {
    fn new(path: &std::path::Path) -> Self {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let fd = inotify::init(flags).unwrap();
        let events = inotify::WatchFlags::OPEN | inotify::WatchFlags::ACCESS;
        inotify::add_watch(&fd, path, events).unwrap();
        Self(fd)
    }

    fn was_opened(&self) -> bool {
        rustix::io::read(&self.0, &mut [0; 4096]).is_ok()
    }
}

/// A file that has not changed is not read again, in a later run either. It has to be at rest: one that
/// was written a moment ago might be written again unseen, so a file of the sources is taken.
#[tokio::test]
async fn an_unchanged_file_is_not_read_again() {
    let mut kit = Kit::new().await;
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/../../LICENSE-MIT");
    let watch = Watch::new(old.as_ref());
    let request = |to: &str| {
        let from = Location::Local(old.into());
        with(TreeRequest::new(vec![from], s3(to)), |r| r.dedupe = Some(kit.path("index")))
    };
    let (first, second) = (request("p/"), request("q/"));
    kit.copy_tree(first).await.summary();
    assert!(watch.was_opened());
    kit.haul = Haul::new(options(&kit.server));
    while watch.was_opened() {}
    assert_eq!(kit.copy_tree(second).await.counts(), (1, 0, 0, 0));
    assert!(!watch.was_opened(), "its content is known");
    assert_eq!(kit.bytes("q/LICENSE-MIT"), std::fs::read(old).unwrap());
}

/// A file that has changed is read again, however it hides that.
#[tokio::test]
async fn a_changed_file_is_read_again() {
    let kit = Kit::new().await;
    kit.write("in/f", b"content");
    kit.set_age("in/f", -100_000);
    copy(&kit, "in", "p").await.summary();
    let watch = Watch::new(&kit.path("in/f"));
    kit.edit_in_secret("in/f");
    while watch.was_opened() {}
    assert_eq!(copy(&kit, "in", "q").await.counts(), (1, 0, 0, 0));
    assert!(watch.was_opened());
    kit.assert_alike("q/", "in");
}

/// A.22: an index that cannot be used costs a note with the way out, never a file; nor is it removed.
#[tokio::test]
async fn an_index_that_cannot_be_used_costs_a_note() {
    let kit = Kit::new().await;
    for i in 0..3 {
        kit.write(&format!("in/{i}"), b"content");
    }
    kit.write("index", &[b'x'; 5000]);
    kit.write("file", b"");
    for (index, to) in [("index", "p"), ("file/index", "q"), (".", "r")] {
        let request = with(tree(&kit, "in", to), |r| r.dedupe = Some(kit.path(index)));
        let mut job = Box::pin(kit.haul.copy_tree(request)).await.unwrap();
        let mut events = job.take_events().unwrap();
        let listening = async {
            let mut notes = Vec::new();
            while let Some(event) = events.recv().await {
                if let haul::Event::Note { text, .. } = event {
                    notes.push(text);
                }
            }
            notes
        };
        let (result, notes) = futures::join!(job, listening);
        let sum = result.unwrap();
        assert_eq!((sum.copied, sum.failed), (3, 0), "{index}");
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].exact().contains("going on without the index"), "{notes:?}");
        kit.assert_alike(&format!("{to}/"), "in");
    }
    assert_eq!(std::fs::read(kit.path("index")).unwrap(), [b'x'; 5000]);
}

/// A.3, F.2: a file that is edited between the look at it and its upload: the index does not learn that
/// the old content is where the new one is.
#[tokio::test]
async fn an_edit_before_the_upload_is_not_recorded() {
    let kit = Kit::new().await;
    kit.write("in/live", b"OLD content");
    kit.write("first/twin", b"OLD content");
    // The index knows the content; the look at the object is when the file is edited, and the object is
    // another by then: so the file is uploaded, with its new bytes.
    copy(&kit, "first", "p").await.summary();
    kit.put("p/twin", b"other bytes");
    let live = kit.path("in/live");
    let edit = Fault::hook(move |_| std::fs::write(&live, b"NEW content").unwrap());
    kit.server.faults().add(Rule::on(Op::HeadObject).key("p/twin").then(edit));
    assert_eq!(copy(&kit, "in", "p").await.counts(), (1, 0, 0, 0));
    assert_eq!(kit.bytes("p/live"), b"NEW content");
    kit.server.faults().clear();
    assert_eq!(copy(&kit, "first", "q").await.counts(), (1, 0, 0, 0));
    assert_eq!(kit.bytes("q/twin"), b"OLD content");
}

/// A.9: the object is replaced between the look at it and the copy's own: the copy is of what was looked
/// at, or the file is sent.
#[tokio::test]
async fn an_object_that_is_replaced_before_the_copy_looks_is_no_hit() {
    let kit = Kit::new().await;
    kit.write("in/f", b"content");
    copy(&kit, "in", "p").await.summary();
    let store = kit.server.store().clone();
    let replace = Fault::hook(move |_| {
        store.put(crate::kit::BUCKET, "p/f", b"CONTENT".to_vec());
    });
    // The first look is the index's, the second one is at the destination, the third is the copy's.
    kit.server.faults().add(Rule::on(Op::HeadObject).key("p/f").nth(2).then(replace));
    assert_eq!(copy(&kit, "in", "q").await.counts(), (1, 0, 0, 0));
    assert_eq!(kit.bytes("q/f"), b"content");
}

/// A dry run looks nothing up and writes nothing, the index least of all.
#[tokio::test]
async fn a_dry_run_makes_no_index() {
    let kit = Kit::new().await;
    kit.write("in/f", b"content");
    let many = kit.copy_tree(with(tree(&kit, "in", "p"), |r| r.dry_run = true)).await;
    assert_eq!(many.counts(), (1, 0, 0, 0));
    assert!(!kit.path("index").exists() && kit.keys().is_empty());
}
