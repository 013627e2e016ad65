//! `sync` with `delete`: what goes, what stays, and when nothing may go at all.
//!
//! Owns: removals, filters and shards on both sides, dry runs, folders and their markers.

use std::collections::BTreeSet;

use haul::{ErrorKind, FilterRule, Shard};
use haul_testkit::{Fault, Op, Rule};

use crate::kit::{Kit, Many, s3};
use crate::many_kit::{mirror_of, pages_of, sync_of, with};

#[tokio::test]
async fn what_only_the_store_has_goes() {
    let kit = Kit::new().await;
    kit.write("in/a", b"a");
    kit.write("in/d/b", b"b");
    kit.age("in");
    for key in ["p/a/b", "p/c", "p/d/b", "p/d/c/d", "q/other"] {
        kit.put(key, b"b");
    }
    // Without being asked to, nothing is removed.
    let many = kit.sync(sync_of(&kit.local("in"), &s3("p"))).await;
    assert_eq!(many.counts(), (1, 1, 0, 0));
    assert_eq!(kit.keys_below("p/"), ["a", "a/b", "c", "d/b", "d/c/d"]);
    kit.asked();
    let many = kit.sync(mirror_of(&kit.local("in"), &s3("p"))).await;
    assert_eq!(many.counts(), (0, 2, 3, 0));
    assert_eq!(kit.keys(), ["p/a", "p/d/b", "q/other"]);
    let looks = (Op::HeadObject, 3);
    assert_eq!(kit.asked(), [(Op::ListObjects, 1), (Op::DeleteObjects, 1), looks]);
}

/// Files go, and the folders that this leaves empty; others stay.
#[tokio::test]
async fn what_only_the_disk_has_goes() {
    let kit = Kit::new().await;
    kit.object("p/keep/x", 10);
    for extra in ["keep/y", "gone/a", "gone/deep/b", "top"] {
        kit.write(&format!("out/{extra}"), b"extra");
    }
    std::fs::create_dir_all(kit.path("out/empty/too")).unwrap();
    kit.write("beside/file", b"x");
    std::os::unix::fs::symlink(kit.path("beside"), kit.path("out/link")).unwrap();
    let many = kit.sync(mirror_of(&s3("p"), &kit.local("out"))).await;
    assert_eq!(many.counts(), (1, 0, 6, 0));
    assert_eq!(kit.names("out"), ["keep/x"]);
    for folder in ["gone", "empty"] {
        assert!(!kit.path("out").join(folder).exists(), "{folder}");
    }
    assert!(kit.path("beside/file").exists(), "the link was removed, not what it leads to");
}

/// More than was allowed would have to go: nothing goes, and the result says so.
#[tokio::test]
async fn max_delete_removes_nothing_at_all() {
    let kit = Kit::new().await;
    kit.write("in/new", b"x");
    for i in 0..5 {
        kit.put(&format!("p/{i}"), b"x");
        kit.write(&format!("out/{i}"), b"x");
    }
    for to in [s3("p"), kit.local("out")] {
        for dry_run in [true, false] {
            let request = mirror_of(&kit.local("in"), &to);
            let request = with(request, |r| (r.max_delete, r.dry_run) = (Some(4), dry_run));
            let many = kit.sync(request).await;
            let e = many.result.as_ref().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Invalid);
            assert!(e.to_string().contains("nothing was removed") && e.to_string().contains('5'));
            assert!(many.changes().iter().all(|(removed, ..)| !removed));
        }
    }
    assert_eq!((kit.keys().len(), kit.names("out").len()), (6, 6));
    let exactly = with(mirror_of(&kit.local("in"), &s3("p")), |r| r.max_delete = Some(5));
    assert_eq!(kit.sync(exactly).await.counts(), (0, 1, 5, 0));
}

#[track_caller]
fn assert_said(many: &Many) {
    let said = many.result.is_err() || many.summary().failed > 0;
    assert!(said, "the result must say that something is missing");
}

/// A listing that fails on its second page: what was not seen is never taken for gone.
#[tokio::test]
async fn a_listing_that_breaks_off_removes_nothing() {
    for op_of in ["source", "dest"] {
        let kit = Kit::with(pages_of(10), |_| ()).await;
        for i in 0..25 {
            kit.object(&format!("from/{i:02}"), 10);
            kit.object(&format!("to/{:02}", i + 1), 10);
        }
        kit.put("to/!first", b"only here");
        let prefix = if op_of == "source" { "from/" } else { "to/" };
        // The second page of that side, whichever comes first on the wire.
        for side in ["from/", "to/"] {
            let hook = Fault::status(403);
            if side == prefix {
                kit.server.faults().add(Rule::on(Op::ListObjects).nth(3).times(2).then(hook));
            }
        }
        let before = kit.keys();
        let many = kit.sync(mirror_of(&s3("from"), &s3("to"))).await;
        assert_said(&many);
        let kept: BTreeSet<_> = kit.keys().into_iter().collect();
        assert!(before.iter().all(|k| kept.contains(k)), "{op_of}");
        assert_eq!(kit.count(Op::DeleteObjects) + kit.count(Op::DeleteObject), 0, "{op_of}");
    }
}

/// The second page of the source alone fails, once and for all.
#[tokio::test]
async fn a_source_that_breaks_off_removes_nothing() {
    let kit = Kit::with(pages_of(10), |_| ()).await;
    for i in 0..25 {
        kit.object(&format!("from/{i:02}"), 10);
    }
    for i in [3, 30, 31] {
        kit.write(&format!("out/{i:02}x"), b"only here");
    }
    let rule = Rule::on(Op::ListObjects).nth(2).always().then(Fault::status(403));
    kit.server.faults().add(rule);
    let many = kit.sync(mirror_of(&s3("from"), &kit.local("out"))).await;
    assert_said(&many);
    assert!(many.result.is_err(), "there was something to remove");
    assert_eq!(kit.names("out").len(), 10 + 3, "the first page is copied, and nothing is gone");
}

/// One part of the source that cannot be read, a link to nothing: nothing goes.
#[tokio::test]
async fn an_unreadable_part_of_the_source_removes_nothing() {
    let kit = Kit::new().await;
    kit.write("in/a", b"x");
    std::os::unix::fs::symlink("nowhere", kit.path("in/part")).unwrap();
    kit.put("p/part/1", b"x");
    kit.put("p/z", b"x");
    let many = kit.sync(mirror_of(&kit.local("in"), &s3("p"))).await;
    let e = many.result.as_ref().unwrap_err();
    assert!(e.to_string().contains("not everything could be listed"), "{e}");
    assert!(many.failures()[0].contains("in/part"), "{:?}", many.failures());
    assert_eq!(kit.keys(), ["p/a", "p/part/1", "p/z"]);
    std::fs::remove_file(kit.path("in/part")).unwrap();
    assert_eq!(kit.sync(mirror_of(&kit.local("in"), &s3("p"))).await.counts(), (0, 1, 2, 0));
}

/// What the filter leaves out does not exist, on either side.
#[tokio::test]
async fn filters_hold_on_both_sides() {
    let kit = Kit::new().await;
    for name in ["a.txt", "b.tmp", "cache/c.txt"] {
        kit.write(&format!("in/{name}"), b"new");
    }
    for name in ["b.tmp", "d.txt", "d.tmp", "cache/e.txt"] {
        kit.put(&format!("p/{name}"), b"there");
        kit.write(&format!("out/{name}"), b"there");
    }
    let rules = ["*.tmp", "cache"].map(|p| FilterRule::new(false, p).unwrap());
    for to in [s3("p"), kit.local("out")] {
        let mut request = mirror_of(&kit.local("in"), &to);
        request.filter.rules = rules.to_vec();
        assert_eq!(kit.sync(request).await.counts(), (1, 0, 1, 0), "{to}");
    }
    let left = ["a.txt", "b.tmp", "cache/e.txt", "d.tmp"];
    assert_eq!(kit.keys_below("p/"), left);
    assert_eq!(kit.names("out"), left);
    assert_eq!(kit.bytes("p/b.tmp"), b"there");
}

/// Files that are left out for their size are neither copied nor removed, whichever side they are on.
#[tokio::test]
async fn sizes_hold_on_both_sides() {
    let kit = Kit::new().await;
    kit.write("in/large", &[1; 2000]);
    kit.write("in/small", b"new");
    kit.put("p/large", &[2; 1000]);
    kit.put("p/large-too", &[2; 3000]);
    kit.put("p/small-too", b"x");
    let mut request = mirror_of(&kit.local("in"), &s3("p"));
    request.filter.max_size = Some(100);
    assert_eq!(kit.sync(request).await.counts(), (1, 0, 1, 0));
    assert_eq!(kit.keys_below("p/"), ["large", "large-too", "small"]);
    assert_eq!(kit.bytes("p/large"), [2; 1000]);
}

/// A dry run tells exactly what a real run then does, and changes nothing.
#[tokio::test]
async fn a_dry_run_tells_what_a_real_run_does() {
    let kit = Kit::new().await;
    for (i, name) in ["a", "b", "d/c", "d/d", "e"].iter().enumerate() {
        kit.write(&format!("in/{name}"), name.as_bytes());
        if i % 2 == 0 {
            kit.put(&format!("p/{name}"), b"other content");
            kit.write(&format!("out/{name}"), b"other content");
        }
    }
    for extra in ["d/x", "y"] {
        kit.put(&format!("p/{extra}"), b"extra");
        kit.write(&format!("out/{extra}"), b"extra");
    }
    kit.sync(sync_of(&kit.local("in"), &s3("source"))).await.summary();
    let sides = [
        (kit.local("in"), s3("p")),
        (s3("source"), kit.local("out")),
        (s3("source"), s3("p2")),
        (kit.local("in"), kit.local("new")),
    ];
    for (from, to) in sides {
        let (keys, tree) = (kit.keys(), kit.tree("."));
        let dry = kit.sync(with(mirror_of(&from, &to), |r| r.dry_run = true)).await;
        assert!((kit.keys(), kit.tree(".")) == (keys, tree), "{to}: a dry run changed something");
        let real = kit.sync(mirror_of(&from, &to)).await;
        assert!(!dry.changes().is_empty());
        assert_eq!(dry.changes(), real.changes());
        let counts = |m: &Many| (m.summary().copied, m.summary().removed, m.summary().bytes);
        assert_eq!(counts(&dry), counts(&real), "{to}");
        assert_eq!(dry.summary().failed + real.summary().failed, 0);
    }
}

/// The shares of three machines together are the whole, and each removes of its own alone.
#[tokio::test]
async fn shards_add_up() {
    let kit = Kit::new().await;
    for i in 0..30 {
        kit.write(&format!("in/{i:02}"), b"x");
        kit.put(&format!("p/old-{i:02}"), b"x");
    }
    let (mut changes, mut sum) = (BTreeSet::new(), 0);
    for i in 0..3 {
        let request = mirror_of(&kit.local("in"), &s3("p"));
        let many = kit.sync(with(request, |r| r.shard = Shard::new(i, 3))).await;
        let (copied, _, removed, failed) = many.counts();
        assert!(copied > 0 && removed > 0 && failed == 0);
        sum += copied + removed;
        assert_eq!(
            kit.keys().len() as u64,
            30 - removals(&changes) - removed + copies(&changes) + copied
        );
        changes.extend(many.changes());
    }
    assert_eq!((sum, changes.len()), (60, 60));
    assert_eq!(kit.keys_below("p/"), kit.names("in"));
    assert_eq!(kit.sync(mirror_of(&kit.local("in"), &s3("p"))).await.counts(), (0, 30, 0, 0));
}

fn removals(changes: &BTreeSet<(bool, String, String)>) -> u64 {
    changes.iter().filter(|(removed, ..)| *removed).count() as u64
}

fn copies(changes: &BTreeSet<(bool, String, String)>) -> u64 {
    changes.len() as u64 - removals(changes)
}

/// Markers of folders are folders on a disk, and nothing to copy between stores unless asked for.
#[tokio::test]
async fn folder_markers() {
    let kit = Kit::new().await;
    for key in ["p/", "p/empty/", "p/full/", "p/full/x"] {
        kit.put(key, b"");
    }
    let down = mirror_of(&s3("p"), &kit.local("out"));
    kit.sync(down.clone()).await.summary();
    assert!(kit.path("out/empty").is_dir() && kit.path("out/full/x").is_file());
    let again = kit.sync(down).await;
    assert_eq!((again.summary().copied, again.summary().removed), (0, 0), "{:?}", again.items);
    kit.sync(mirror_of(&s3("p"), &s3("q"))).await.summary();
    assert_eq!(kit.keys_below("q/"), ["full/x"]);
    let marked = with(mirror_of(&kit.local("out"), &s3("r")), |r| r.empty_folders = true);
    kit.sync(marked.clone()).await.summary();
    assert_eq!(kit.keys_below("r/"), ["empty/", "full/x"]);
    assert_eq!(kit.sync(marked).await.summary().copied, 0);
}

/// A folder that is empty on one side and has something in it on the other.
#[tokio::test]
async fn folders_that_are_empty_on_one_side() {
    let kit = Kit::new().await;
    kit.write("in/d/x", b"x");
    std::fs::create_dir_all(kit.path("out/d")).unwrap();
    let many = kit.sync(mirror_of(&kit.local("in"), &kit.local("out"))).await;
    assert_eq!(many.counts(), (1, 0, 0, 0));
    assert_eq!(kit.names("out"), ["d/x"]);
    kit.put("p/d/", b"");
    let marked = with(mirror_of(&kit.local("in"), &s3("p")), |r| r.empty_folders = true);
    assert_eq!(kit.sync(marked).await.summary().failed, 0);
    assert!(kit.keys_below("p/").contains(&"d/x".to_owned()));
}

/// A folder that the source has with nothing in it stays when what was in it goes.
#[tokio::test]
async fn folders_that_are_emptied_stay_where_the_source_has_them() {
    let kit = Kit::new().await;
    kit.write("in/f", b"x");
    for folder in ["in/a/b", "in/c"] {
        std::fs::create_dir_all(kit.path(folder)).unwrap();
    }
    for extra in ["a/b/x/y", "a/b-", "c/1", "c/2", "d/e"] {
        kit.write(&format!("out/{extra}"), b"x");
        kit.put(&format!("p/{extra}"), b"x");
    }
    let request = mirror_of(&kit.local("in"), &kit.local("out"));
    let dry = kit.sync(with(request.clone(), |r| r.dry_run = true)).await;
    let real = kit.sync(request.clone()).await;
    assert_eq!(real.counts(), (1, 2, 5, 0));
    assert_eq!(dry.changes(), real.changes());
    assert!(kit.path("out/a/b").is_dir() && kit.path("out/c").is_dir());
    assert!(!kit.path("out/a/b/x").exists() && !kit.path("out/d").exists());
    assert_eq!(kit.sync(request).await.counts(), (0, 3, 0, 0));
    let marked = with(mirror_of(&kit.local("in"), &s3("p")), |r| r.empty_folders = true);
    assert_eq!(kit.sync(marked.clone()).await.counts(), (3, 0, 5, 0));
    assert_eq!(kit.keys_below("p/"), ["a/b/", "c/", "f"]);
    assert_eq!(kit.sync(marked).await.summary().copied, 0);
}

/// Every item of a job has a number of its own, in both phases: they come out in that order.
#[tokio::test]
async fn copies_and_removals_are_numbered_through() {
    let kit = Kit::new().await;
    for i in 0..3 {
        kit.write(&format!("in/{i}"), b"x");
        kit.put(&format!("p/old-{i}"), b"x");
    }
    let many = kit.sync(mirror_of(&kit.local("in"), &s3("p"))).await;
    assert_eq!(many.counts(), (3, 0, 3, 0));
    let numbers: Vec<_> = many.items.iter().map(|s| s.item).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
}

/// And however many there are, nothing waits for a number that will not come.
#[tokio::test]
async fn thousands_of_copies_and_of_removals() {
    let kit = Kit::new().await;
    for i in 0..5000 {
        kit.put(&format!("from/{i:04}"), b"x");
        kit.put(&format!("to/old-{i:04}"), b"x");
    }
    let dry = with(mirror_of(&s3("from"), &s3("to")), |r| r.dry_run = true);
    assert_eq!(kit.sync(dry).await.counts(), (5000, 0, 5000, 0));
}

/// An empty prefix is no order to remove everything.
#[tokio::test]
async fn an_empty_prefix_removes_nothing() {
    let kit = Kit::new().await;
    kit.put("to/x", b"x");
    let many = kit.sync(mirror_of(&s3("nowhere"), &s3("to"))).await;
    assert!(many.result.unwrap_err().to_string().contains("has nothing in it"));
    assert_eq!(kit.keys(), ["to/x"]);
    let sure = with(mirror_of(&s3("nowhere"), &s3("to")), |r| r.max_delete = Some(1));
    assert_eq!(kit.sync(sure).await.counts(), (0, 0, 1, 0));
}
