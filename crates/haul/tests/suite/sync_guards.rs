//! `sync --delete` when something is not as it should be: nothing is lost, and the result says so.
//!
//! Owns: sources with nothing in them, items that fail, what cannot be listed, what changes meanwhile,
//! and files where folders have to be.

use haul::{Difference, ErrorKind, FilterRule, Location, Outcome, Shard, SyncRequest};
use haul_testkit::{Fault, Op, Rule};

use crate::kit::{BUCKET, Kit, Many, make_fifo, s3};
use crate::many_kit::{bucket, mirror_of, sync_of, with};

fn refusal(many: &Many) -> String {
    many.result.as_ref().unwrap_err().to_string()
}

fn removed(many: &Many) -> Vec<String> {
    many.changes().into_iter().filter(|(gone, ..)| *gone).map(|(_, from, _)| from).collect()
}

type Change = Box<dyn Fn(&mut SyncRequest)>;

/// A.4, F.7, F.8: a source with nothing in it that is meant is no order to remove everything, whatever
/// kind of place it is and whatever leaves nothing over. `max_delete` says that it is meant.
#[tokio::test]
async fn a_source_with_nothing_in_it_removes_nothing() {
    let only = |pattern: &str| {
        let rule = FilterRule::new(true, pattern).unwrap();
        move |r: &mut SyncRequest| r.filter.rules = vec![rule]
    };
    let kit = Kit::new().await;
    std::fs::create_dir_all(kit.path("void")).unwrap();
    std::fs::create_dir_all(kit.path("hollow/a/b")).unwrap();
    kit.write("files/a.txt", b"x");
    kit.put("marked/folder/", b"");
    kit.put("from/a.txt", b"x");
    let share = Shard::new(0, 2).filter(|s| !s.holds(&haul_core::RelPath::new("a.txt")));
    let share = share.or(Shard::new(1, 2));
    let sources: Vec<(Location, Change)> = vec![
        (kit.local("void"), Box::new(|_| ())),
        (kit.local("hollow"), Box::new(|_| ())),
        (kit.local("hollow"), Box::new(|r| r.empty_folders = true)),
        (s3("marked"), Box::new(|r| r.empty_folders = true)),
        (s3("nowhere"), Box::new(|_| ())),
        (kit.local("files"), Box::new(move |r| only("*.jpg")(r))),
        (s3("from"), Box::new(|r| r.filter.min_size = Some(2))),
        (kit.local("files"), Box::new(move |r| r.shard = share)),
    ];
    for (from, change) in &sources {
        for to in [s3("to"), kit.local("out")] {
            for i in 0..64 {
                kit.put(&format!("to/{i}.jpg"), b"only here");
                kit.write(&format!("out/{i}.jpg"), b"only here");
            }
            let request = with(mirror_of(from, &to), change);
            for dry_run in [true, false] {
                let many = kit.sync(with(request.clone(), |r| r.dry_run = dry_run)).await;
                assert!(refusal(&many).contains("has nothing in it"), "{from} {to}");
                assert_eq!(removed(&many), [""; 0], "{from} {to}");
            }
            let sure = kit.sync(with(request, |r| r.max_delete = Some(1000))).await;
            assert!(sure.summary().removed > 0, "{from} {to}");
        }
    }
    // A whole bucket is no exception.
    let kit = Kit::new().await;
    kit.write("out/only", b"here");
    let many = kit.sync(mirror_of(&bucket(), &kit.local("out"))).await;
    assert!(refusal(&many).contains("has nothing in it"));
    assert_eq!(kit.names("out"), ["only"]);
}

/// A.5: nothing is removed once anything has failed, unless that was asked for.
#[tokio::test]
async fn nothing_is_removed_after_a_failure() {
    let kit = Kit::new().await;
    kit.write("in/renamed", b"content");
    kit.write("in/other", b"x");
    kit.put("p/old-name", b"content");
    let rule = Rule::on(Op::PutObject).key("p/renamed").always().then(Fault::status(403));
    kit.server.faults().add(rule);
    let request = mirror_of(&kit.local("in"), &s3("p"));
    let many = kit.sync(request.clone()).await;
    assert!(refusal(&many).contains("nothing was removed, because 1 failed"), "{}", refusal(&many));
    assert_eq!(kit.keys(), ["p/old-name", "p/other"]);
    let many = kit.sync(with(request, |r| r.ignore_errors = true)).await;
    assert_eq!(many.counts(), (0, 1, 1, 1));
    assert_eq!(kit.keys(), ["p/other"]);
}

/// A.16: what cannot be listed at the destination is nothing to the copies; only removals wait.
#[tokio::test]
async fn a_special_file_at_the_destination_stops_removals_alone() {
    let kit = Kit::new().await;
    for name in ["a", "pipe-not", "z"] {
        kit.write(&format!("in/{name}"), b"new");
    }
    kit.write("out/old", b"x");
    make_fifo(&kit, "out/pipe");
    let request = sync_of(&kit.local("in"), &kit.local("out"));
    assert_eq!(kit.sync(request.clone()).await.counts(), (3, 0, 0, 0));
    let mirror = with(request, |r| r.delete = true);
    let many = kit.sync(mirror.clone()).await;
    assert!(refusal(&many).contains("not everything could be listed"));
    assert!(many.failures()[0].contains("out/pipe"), "{:?}", many.failures());
    assert!(kit.path("out/old").exists());
    let named = with(mirror.clone(), |r| {
        r.filter.rules = vec![FilterRule::new(false, "pipe").unwrap()];
        r.dry_run = true;
    });
    assert_eq!(kit.sync(named).await.counts(), (0, 3, 1, 0), "what is left out does not exist");
    let many = kit.sync(with(mirror, |r| r.ignore_errors = true)).await;
    assert_eq!(many.counts(), (0, 3, 1, 1));
    assert!(!kit.path("out/old").exists() && kit.path("out/pipe").exists());
}

/// A.16: at the source, too; what is behind a name that could not be looked at stays even when errors are
/// ignored, and `check` calls it neither missing nor different.
#[tokio::test]
async fn what_is_behind_an_unseen_name_is_not_missing() {
    let kit = Kit::new().await;
    kit.write("in/a", b"x");
    std::os::unix::fs::symlink("nowhere", kit.path("in/part")).unwrap();
    for name in ["a", "part/1", "z"] {
        kit.write(&format!("out/{name}"), b"x");
        kit.put(&format!("p/{name}"), b"x");
    }
    for to in [s3("p"), kit.local("out")] {
        let check = kit.check(sync_of(&kit.local("in"), &to)).await;
        let differing: Vec<_> = check
            .items
            .iter()
            .filter(|s| matches!(s.outcome, Outcome::Differs(_)))
            .map(|s| s.to.clone())
            .collect();
        assert_eq!((differing.len(), check.summary().failed), (1, 1), "{differing:?}");
        assert!(differing[0].exact().ends_with("/z"), "{differing:?}");
        let other_way = kit.check(sync_of(&to, &kit.local("in"))).await;
        let missing = |s: &&haul::Settled| {
            matches!(&s.outcome, Outcome::Differs(Difference::MissingAtDestination))
        };
        assert_eq!(other_way.items.iter().filter(missing).count(), 2, "links are kept there");
        let request = mirror_of(&kit.local("in"), &to);
        let many = kit.sync(with(request, |r| r.ignore_errors = true)).await;
        assert_eq!((many.summary().removed, many.summary().failed), (1, 1), "{to}");
    }
    assert_eq!(kit.keys(), ["p/a", "p/part/1"]);
    assert_eq!(kit.names("out"), ["a", "part/1"]);
}

/// What was listed is not what is there any more when its turn comes: it stays, and the result says so.
#[tokio::test]
async fn what_has_changed_since_it_was_listed_stays() {
    let kit = Kit::new().await;
    kit.write("in/new", b"x");
    for name in ["gone", "old", "edited"] {
        kit.put(&format!("p/{name}"), b"old");
        kit.write(&format!("out/{name}"), b"old");
    }
    kit.put("from/new", b"x");
    let store = kit.server.store().clone();
    let edit = Fault::hook(move |_| {
        store.put(BUCKET, "p/edited", b"NEW".to_vec());
        store.remove(BUCKET, "p/gone");
    });
    kit.server.faults().add(Rule::on(Op::PutObject).key("p/new").then(edit));
    let many = kit.sync(mirror_of(&kit.local("in"), &s3("p"))).await;
    assert_eq!(many.counts(), (1, 0, 2, 1));
    assert!(many.failures()[0].contains("p/edited: it is not what was listed"));
    assert_eq!(kit.keys_below("p/"), ["edited", "new"]);
    assert_eq!(kit.bytes("p/edited"), b"NEW");

    let file = kit.path("out/edited");
    let edit = Fault::hook(move |_| std::fs::write(&file, b"longer than it was").unwrap());
    kit.server.faults().add(Rule::on(Op::GetObject).key("from/new").then(edit));
    let many = kit.sync(mirror_of(&s3("from"), &kit.local("out"))).await;
    assert_eq!(many.counts(), (1, 0, 2, 1));
    assert!(many.failures()[0].contains("out/edited: it is not what was listed"));
    assert_eq!(kit.names("out"), ["edited", "new"]);
}

fn file_and_folder(kit: &Kit) {
    for (name, content) in [("a", "file"), ("b/x", "x"), ("b/y/z", "z"), ("c-", "c"), ("l/x", "x")]
    {
        kit.write(&format!("in/{name}"), content.as_bytes());
        kit.put(&format!("from/{name}"), content.as_bytes());
    }
    std::fs::create_dir_all(kit.path("in/e")).unwrap();
    kit.put("from/e/", b"");
}

fn folder_and_file(kit: &Kit, root: &str) {
    for name in ["a/1", "a/2/3", "a-", "a.b", "b", "b-", "c/1", "e"] {
        kit.write(&format!("{root}/{name}"), b"there");
    }
    std::fs::create_dir_all(kit.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(kit.path("elsewhere"), kit.path(root).join("l")).unwrap();
}

/// F.9: a file became a folder, or a folder a file: it is replaced, disk to disk and store to disk.
#[tokio::test]
async fn a_file_and_a_folder_change_places() {
    let kit = Kit::new().await;
    file_and_folder(&kit);
    for (from, out) in [(kit.local("in"), "out1"), (s3("from"), "out2")] {
        folder_and_file(&kit, out);
        let to = kit.local(out);
        // Without removals it cannot be.
        let many = kit.sync(with(sync_of(&from, &to), |r| r.dry_run = false)).await;
        assert_eq!((many.summary().copied, many.summary().failed), (1, 5), "{:?}", many.failures());
        std::fs::remove_file(kit.path(out).join("c-")).unwrap();
        let tree = kit.tree(out);
        let dry = kit.sync(with(mirror_of(&from, &to), |r| r.dry_run = true)).await;
        assert!(kit.tree(out) == tree);
        let real = kit.sync(mirror_of(&from, &to)).await;
        assert_eq!(real.counts(), (6, 0, 9, 0), "{out}");
        assert_eq!(dry.changes(), real.changes());
        assert_eq!(kit.tree(out), kit.tree("in"));
        assert!(kit.path(out).join("e").is_dir());
        assert_eq!(std::fs::read_dir(kit.path("elsewhere")).unwrap().count(), 0);
        assert_eq!(kit.sync(mirror_of(&from, &to)).await.summary().copied, 0);
    }
}

/// F.9: and where nothing may be removed, nothing is lost on either side of the exchange.
#[tokio::test]
async fn a_file_and_a_folder_keep_their_places_after_a_failure() {
    let kit = Kit::new().await;
    file_and_folder(&kit);
    folder_and_file(&kit, "out");
    let rule = Rule::on(Op::GetObject).key("from/c-").always().then(Fault::status(403));
    kit.server.faults().add(rule);
    let before = kit.tree("out");
    let many = kit.sync(mirror_of(&s3("from"), &kit.local("out"))).await;
    assert!(refusal(&many).contains("because 1 failed"), "{}", refusal(&many));
    assert_eq!(many.failures().len(), 1 + 5, "{:?}", many.failures());
    assert!(kit.tree("out") == before);
}

/// R.8: what cannot be read takes nobody's place.
#[tokio::test]
async fn what_cannot_be_read_takes_no_place() {
    for key in ["from/b", "from/e/x"] {
        for op in [Op::GetObject, Op::HeadObject] {
            let kit = Kit::new().await;
            kit.put(key, b"new");
            kit.write("out/b/old", b"old");
            kit.write("out/e", b"old");
            let before = kit.tree("out");
            kit.server.faults().add(Rule::on(op).key(key).always().then(Fault::status(403)));
            let many = kit.sync(mirror_of(&s3("from"), &kit.local("out"))).await;
            assert!(refusal(&many).contains("because 1 failed"), "{}", refusal(&many));
            assert!(kit.tree("out") == before, "{key} {op:?}");
        }
    }
}

/// R.8: what has gone before it could take its place is no success.
#[tokio::test]
async fn what_goes_before_it_takes_its_place_is_told() {
    let kit = Kit::new().await;
    kit.put("from/a", b"x");
    kit.put("from/b", b"new");
    kit.write("out/b/old", b"old");
    let store = kit.server.store().clone();
    let gone = Fault::hook(move |_| store.remove(BUCKET, "from/b"));
    kit.server.faults().add(Rule::on(Op::ListObjects).nth(2).then(gone));
    let many = kit.sync(mirror_of(&s3("from"), &kit.local("out"))).await;
    let e = many.result.as_ref().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::SourceChanged, "{e}");
    assert!(e.to_string().contains("from/b: what was to take the place"), "{e}");
}

/// A listing that ends early is never ignored.
#[tokio::test]
async fn a_listing_that_ends_early_stops_removals_whatever_is_ignored() {
    let kit = Kit::new().await;
    kit.put("from/a", b"x");
    kit.write("out/b", b"x");
    kit.server.faults().add(Rule::on(Op::ListObjects).always().then(Fault::status(403)));
    let request = with(mirror_of(&s3("from"), &kit.local("out")), |r| {
        (r.ignore_errors, r.max_delete) = (true, Some(9));
    });
    let many = kit.sync(request).await;
    let said = many.result.as_ref().map_or_else(haul::Error::kind, |_| ErrorKind::Invalid);
    assert!(said == ErrorKind::Io || many.summary().failed == 1);
    assert_eq!(kit.names("out"), ["b"]);
}

/// R.6: the answer to a removal was lost, and somebody puts something new there before the next try:
/// that stays.
#[tokio::test]
async fn what_came_after_a_removal_whose_answer_was_lost_stays() {
    let kit = Kit::new().await;
    kit.write("in/kept", b"x");
    for key in ["p/kept", "p/one", "p/two"] {
        kit.put(key, b"x");
    }
    let store = kit.server.store().clone();
    let somebody = Fault::hook(move |_| drop(store.put(BUCKET, "p/one", b"NEW".to_vec())));
    kit.fault(Op::DeleteObjects, Fault::LoseAnswer);
    kit.server.faults().add(Rule::on(Op::HeadObject).key("p/one").nth(2).then(somebody.clone()));
    kit.server.faults().add(Rule::on(Op::DeleteObjects).nth(2).then(somebody));
    let many = kit.sync(mirror_of(&kit.local("in"), &s3("p"))).await;
    assert_eq!((many.summary().removed, many.summary().failed), (1, 1), "{:?}", many.failures());
    assert!(many.failures()[0].contains("p/one: it is not what was listed"));
    assert_eq!(kit.keys_below("p/"), ["kept", "one"]);
    assert_eq!(kit.bytes("p/one"), b"NEW");
}
