//! `sync`: one tree made like another, all four ways, and nothing done twice.
//!
//! Owns: what is copied and what is not, by size and time; two endpoints; sources that go away.

use std::time::{Duration, SystemTime};

use haul::{Compare, ErrorKind, Jobs, Location};
use haul_testkit::{Fault, Op, Rule, sizes};

use crate::kit::{BUCKET, Kit, all, s3, s3_options};
use crate::many_kit::{bucket, mirror_of, pages_of, second_store, sync_of, with};

fn fill(kit: &Kit) {
    for (name, size) in [("a", 0), ("d/b", 1000), ("d/e/c", 70_000), ("d-f", 1), ("d.g", 2)] {
        kit.write(&format!("in/{name}"), &sizes::pattern(size, size as u64));
    }
}

#[tokio::test]
async fn local_to_store_and_back_and_nothing_twice() {
    let kit = Kit::new().await;
    fill(&kit);
    kit.age("in");
    let up = sync_of(&kit.local("in"), &s3("p"));
    assert_eq!(kit.sync(up.clone()).await.counts(), (5, 0, 0, 0));
    kit.assert_alike("p/", "in");
    assert_eq!(kit.asked(), [(Op::ListObjects, 1), (Op::PutObject, 5)]);
    let again = kit.sync(up).await;
    assert_eq!(again.counts(), (0, 5, 0, 0));
    assert!(again.items.is_empty(), "what is the same is counted and not told one by one");
    assert_eq!(kit.asked(), [(Op::ListObjects, 1)]);

    let down = sync_of(&s3("p/"), &kit.local("out"));
    assert_eq!(kit.sync(down.clone()).await.counts(), (5, 0, 0, 0));
    assert_eq!(kit.tree("in"), kit.tree("out"));
    assert_eq!(kit.asked(), [(Op::ListObjects, 1), (Op::GetObject, 5)]);
    // The files have the times of the first ones, older than the objects: remembered by ETag, or
    // looked up.
    assert_eq!(kit.sync(down).await.counts(), (0, 5, 0, 0));
    let asked = kit.asked();
    if kit.keeps_origins() {
        assert_eq!(asked, [(Op::ListObjects, 1)]);
    } else {
        assert_eq!(asked, [(Op::ListObjects, 1), (Op::HeadObject, 5)]);
    }
    kit.assert_nothing_left();
}

#[tokio::test]
async fn objects_that_others_made_come_down_once() {
    let kit = Kit::with(pages_of(3), |_| ()).await;
    for i in 0..7 {
        kit.object(&format!("p/{i}/x"), i * 100);
    }
    let down = sync_of(&s3("p"), &kit.local("out/"));
    assert_eq!(kit.sync(down.clone()).await.counts(), (7, 0, 0, 0));
    kit.assert_alike("p/", "out");
    kit.asked();
    assert_eq!(kit.sync(down).await.counts(), (0, 7, 0, 0));
    assert_eq!(kit.asked(), [(Op::ListObjects, 3)]);
}

#[tokio::test]
async fn local_to_local() {
    let kit = Kit::new().await;
    fill(&kit);
    std::fs::create_dir_all(kit.path("in/empty")).unwrap();
    let across = sync_of(&kit.local("in/"), &kit.local("deep/new/out"));
    assert_eq!(kit.sync(across.clone()).await.counts(), (6, 0, 0, 0));
    assert_eq!(kit.tree("in"), kit.tree("deep/new/out"));
    assert!(kit.path("deep/new/out/empty").is_dir());
    let time = |path: &str| std::fs::metadata(kit.path(path)).unwrap().modified().unwrap();
    assert_eq!(time("in/d/b"), time("deep/new/out/d/b"), "times are kept");
    assert_eq!(kit.sync(across).await.counts(), (0, 6, 0, 0));
    assert_eq!(kit.count(Op::Any), 0);
}

#[tokio::test]
async fn store_to_store_moves_no_byte_through_here() {
    let kit = Kit::new().await;
    for i in 0..5 {
        kit.object(&format!("from/{i}"), 1000 * i);
    }
    let across = sync_of(&s3("from"), &s3("to"));
    assert_eq!(kit.sync(across.clone()).await.counts(), (5, 0, 0, 0));
    for (op, count) in [(Op::CopyObject, 5), (Op::GetObject, 0), (Op::PutObject, 0)] {
        assert_eq!(kit.count(op), count, "{op:?}");
    }
    assert_eq!(kit.bytes("to/4"), kit.bytes("from/4"));
    kit.asked();
    assert_eq!(kit.sync(across.clone()).await.counts(), (0, 5, 0, 0));
    assert_eq!(kit.asked(), [(Op::ListObjects, 2)]);
    kit.object("from/3", 1);
    assert_eq!(kit.sync(across).await.counts(), (1, 4, 0, 0));
    assert_eq!(kit.bytes("to/3"), kit.bytes("from/3"));
}

/// Size first, then time: what is newer is copied, whatever its size.
#[tokio::test]
async fn sizes_and_times_decide() {
    let kit = Kit::new().await;
    for (from, to) in [("in", s3("p")), ("in", kit.local("out"))] {
        for name in ["longer", "newer", "same"] {
            kit.write(&format!("in/{name}"), b"content");
        }
        let request = sync_of(&kit.local(from), &to);
        kit.sync(request.clone()).await.summary();
        kit.write("in/longer", b"content and more");
        kit.set_age("in/longer", -50_000);
        kit.write("in/newer", b"CONTENT");
        kit.set_age("in/newer", 5_000);
        let many = kit.sync(request.clone()).await;
        assert_eq!(many.counts(), (2, 1, 0, 0), "{to}");
        let names: Vec<_> = many.items.iter().map(|s| s.to.to_string()).collect();
        assert!(names[0].ends_with("/longer") && names[1].ends_with("/newer"), "{names:?}");
        // The newer one is from the future: it was kept so, and is not copied each time.
        let again = kit.sync(request.clone()).await;
        assert_eq!((again.summary().copied, again.summary().failed), (0, 0), "{to}");
        let by_size = with(request, |r| r.compare = Compare::Size);
        kit.set_age("in/same", 9_000);
        assert_eq!(kit.sync(by_size.clone()).await.counts(), (0, 3, 0, 0), "{to}");
        kit.write("in/same", b"content!");
        assert_eq!(kit.sync(by_size).await.counts(), (1, 2, 0, 0), "{to}");
    }
}

/// The time of a file is the metadata `mtime` of its object, and comes back with it.
#[tokio::test]
async fn times_are_kept_in_metadata_and_restored() {
    let kit = Kit::new().await;
    kit.write("in/f", b"content");
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_000);
    kit.set_time("in/f", time);
    kit.sync(sync_of(&kit.local("in"), &s3("p"))).await.summary();
    assert_eq!(kit.stored("p/f").unwrap().metadata("mtime"), Some("1234567890.123456"));
    kit.sync(sync_of(&s3("p"), &kit.local("out"))).await.summary();
    assert_eq!(std::fs::metadata(kit.path("out/f")).unwrap().modified().unwrap(), time);
    // A copy that lost its extended attributes is recognised by the time that the object kept.
    std::fs::remove_file(kit.path("out/f")).unwrap();
    kit.write("out/f", b"content");
    kit.set_time("out/f", time);
    kit.asked();
    let again = kit.sync(sync_of(&s3("p"), &kit.local("out"))).await;
    assert_eq!(again.counts(), (0, 1, 0, 0));
    assert_eq!(kit.asked(), [(Op::ListObjects, 1), (Op::HeadObject, 1)]);
    // And one that was edited since is not.
    kit.set_age("out/f", -1_000_000);
    assert_eq!(kit.sync(sync_of(&s3("p"), &kit.local("out"))).await.counts(), (1, 0, 0, 0));
}

/// A copy that the store makes keeps the time, too.
#[tokio::test]
async fn copies_within_the_store_keep_metadata() {
    let kit = Kit::new().await;
    kit.write("in/f", b"content");
    kit.sync(sync_of(&kit.local("in"), &s3("p"))).await.summary();
    kit.sync(sync_of(&s3("p"), &s3("q"))).await.summary();
    let (from, to) = (kit.stored("p/f").unwrap(), kit.stored("q/f").unwrap());
    assert!(from.metadata("mtime").is_some());
    assert_eq!(from.metadata("mtime"), to.metadata("mtime"));
}

#[tokio::test]
async fn two_endpoints() {
    let kit = Kit::new().await;
    let (other, haul) = second_store(&kit).await;
    for i in 0..4 {
        other.store().put(BUCKET, &format!("p/{i}"), sizes::pattern(i * 999, 3));
    }
    kit.put("p/old", b"x");
    // The same bucket and prefix: another store, so another place.
    let request = mirror_of(&s3("p"), &s3("p"));
    let many = all(Box::pin(haul.sync(request.clone())).await.unwrap()).await;
    assert_eq!(many.counts(), (4, 0, 1, 0));
    assert_eq!(kit.keys(), ["p/0", "p/1", "p/2", "p/3"]);
    assert_eq!(kit.bytes("p/3"), sizes::pattern(2997, 3));
    assert_eq!((other.calls().count(Op::GetObject), kit.count(Op::CopyObject)), (4, 0));
    assert_eq!(other.calls().count(Op::PutObject), 0);
    let many = all(Box::pin(haul.sync(request)).await.unwrap()).await;
    assert_eq!(many.counts(), (0, 4, 0, 0));
    // A bucket into a prefix of the bucket that has the same name elsewhere.
    let deeper = sync_of(&bucket(), &s3("backup/"));
    let many = all(Box::pin(haul.sync(deeper)).await.unwrap()).await;
    assert_eq!(many.counts(), (4, 0, 0, 0));
    assert_eq!(kit.keys_below("backup/p/").len(), 4);
    let mut tree = haul::TreeRequest::new(vec![s3("p/")], s3("p/"));
    tree.select.recursive = true;
    let many = all(Box::pin(haul.copy_tree(tree)).await.unwrap()).await;
    assert_eq!(many.counts(), (4, 0, 0, 0));
}

/// A tree is never made like a part of itself.
#[tokio::test]
async fn a_tree_inside_of_the_other_is_refused() {
    let kit = Kit::new().await;
    kit.write("in/sub/f", b"x");
    kit.object("p/q/x", 1);
    let link = kit.path("link");
    std::os::unix::fs::symlink(kit.path("in"), &link).unwrap();
    let local = |p: &str| kit.local(p);
    for (a, b) in [
        (local("in"), local("in/sub")),
        (local("in"), local("in/new/sub")),
        (local("in"), local("in")),
        (local("in"), local("in/")),
        (local("in"), Location::Local(link.join("sub"))),
        (s3("p"), s3("p/q")),
        (s3("p"), s3("p/")),
        (bucket(), s3("p")),
    ] {
        for (from, to) in [(&a, &b), (&b, &a)] {
            let started = Box::pin(kit.haul.sync(mirror_of(from, to))).await;
            let e = started.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Invalid, "{from} {to}: {e}");
        }
    }
    assert!(kit.path("in/sub/f").exists() && kit.stored("p/q/x").is_some());
    // What only begins alike is another place.
    assert_eq!(kit.sync(sync_of(&s3("p"), &s3("pq"))).await.counts(), (1, 0, 0, 0));
}

/// 2,500 keys come in three pages on either side, in the order of bytes, which is not that of
/// folders: `k-`, `k.` and `k/` are next to each other.
#[tokio::test]
async fn thousands_of_keys_over_pages() {
    let kit = Kit::new().await;
    let names: Vec<String> = (0..2500)
        .map(|i| {
            let between = ["-", ".", "/", "/x/", "0"][i % 5];
            format!("k{between}{i:04}")
        })
        .collect();
    for name in &names {
        kit.write(&format!("in/{name}"), name.as_bytes());
    }
    kit.age("in");
    for name in &names {
        if !name.ends_with("0007") && !name.ends_with("1234") {
            kit.put(&format!("p/{name}"), name.as_bytes());
            kit.put(&format!("q/{name}"), name.as_bytes());
        }
    }
    for name in ["k-!", "k/x/zzz", "zzz"] {
        kit.put(&format!("p/{name}"), b"extra");
    }
    let many = kit.sync(mirror_of(&kit.local("in"), &s3("p"))).await;
    assert_eq!(many.counts(), (2, 2498, 3, 0));
    assert_eq!(
        kit.asked(),
        [(Op::ListObjects, 3), (Op::DeleteObjects, 1), (Op::HeadObject, 3), (Op::PutObject, 2),]
    );
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(kit.keys_below("p/"), sorted);
    assert_eq!(kit.sync(mirror_of(&s3("p"), &s3("q"))).await.counts(), (2, 2498, 0, 0));
    assert_eq!(kit.count(Op::ListObjects), 6);
    assert_eq!(kit.keys_below("q/"), sorted);
}

/// U1.2, S0.16: a file that is gone when its turn comes fails by itself.
#[tokio::test]
async fn a_file_that_vanishes_fails_alone() {
    let kit = Kit::new().await;
    for i in 0..10 {
        kit.write(&format!("in/{i}"), b"content");
    }
    kit.put("p/gone", b"x");
    let victim = kit.path("in/5");
    let vanish = Fault::hook(move |_| drop(std::fs::remove_file(&victim)));
    kit.server.faults().add(Rule::on(Op::PutObject).key("p/0").then(vanish));
    let request = with(mirror_of(&kit.local("in"), &s3("p")), |r| r.jobs = Jobs::Fixed(1));
    let many = kit.sync(request).await;
    assert!(many.failures()[0].contains("in/5"), "{:?}", many.failures());
    assert!(many.result.unwrap_err().to_string().contains("because 1 failed"));
    assert_eq!(kit.keys().len(), 9 + 1);
}

/// A source that is not there at all is an error, and never an empty tree.
#[tokio::test]
async fn a_source_that_is_not_there() {
    let kit = Kit::new().await;
    kit.put("p/x", b"x");
    let many = kit.sync(mirror_of(&kit.local("nowhere"), &s3("p"))).await;
    assert!(many.result.is_err() || many.summary().failed == 1);
    let missing = Location::S3 { bucket: "no-such-bucket".to_owned(), key: String::new() };
    kit.write("out/x", b"x");
    let many = kit.sync(mirror_of(&missing, &kit.local("out"))).await;
    assert!(many.result.is_err() || many.summary().failed == 1);
    assert!(kit.stored("p/x").is_some() && kit.path("out/x").exists());
    for (from, to) in [(Location::Stdio, s3("p")), (s3("p"), Location::Stdio)] {
        let e = Box::pin(kit.haul.sync(sync_of(&from, &to))).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "{e}");
    }
    // And a store that nobody runs ends the job.
    let mut options = s3_options(&kit.server);
    options.endpoint_url = Some("http://127.0.0.1:9".to_owned());
    let haul = kit.haul.with_stores(options.clone(), options);
    let request = mirror_of(&s3("p"), &kit.local("out"));
    let many = all(Box::pin(haul.sync(request)).await.unwrap()).await;
    assert!(many.result.is_err() || many.summary().failed == 1);
    assert!(kit.path("out/x").exists());
}
