//! Moves: a source is removed only if it is still what was committed elsewhere.
//!
//! Owns: edits and replacements at scripted moments, and what a move leaves behind.

use std::path::Path;

use haul::{Haul, Hint, Location, Outcome, Provider, Skip, Symlinks, TreeRequest};
use haul_testkit::{Fault, Op, Rule};

use crate::kit::{BUCKET, Kit, MIB, PART, all, options, pattern, s3};
use crate::many_kit::with;

fn moving(from: Location, to: Location) -> TreeRequest {
    let mut request = TreeRequest::new(vec![from], to);
    (request.select.recursive, request.remove_source) = (true, true);
    request
}

/// Does something when a request of this kind arrives, before it is answered.
fn when(kit: &Kit, op: Op, nth: u32, act: impl Fn() + Send + Sync + 'static) {
    kit.server.faults().add(Rule::on(op).nth(nth).then(Fault::hook(move |_| act())));
}

fn append(path: &Path) {
    use std::io::Write as _;
    std::fs::File::options().append(true).open(path).unwrap().write_all(b"one more line").unwrap();
}

/// A.6, F.12: a line is written to a log while the store puts its parts together, long after the last
/// byte was read.
#[tokio::test]
async fn a_file_that_is_edited_during_the_commit_stays() {
    let kit = Kit::new().await;
    kit.file("log", 2 * PART);
    let log = kit.path("log");
    when(&kit, Op::CompleteMultipartUpload, 1, move || append(&log));
    let many = kit.copy_tree(moving(kit.local("log"), s3("log"))).await;
    assert_eq!(many.summary().failed, 1, "{:?}", many.items);
    assert!(many.failures()[0].contains("the source stays"), "{:?}", many.failures());
    let left = std::fs::read(kit.path("log")).unwrap();
    assert!(left.ends_with(b"one more line"));
    kit.assert_nothing_left();
    // Once nothing writes to it, it goes.
    let many = kit.copy_tree(moving(kit.local("log"), s3("log"))).await;
    assert_eq!(many.counts(), (1, 0, 0, 0), "{:?}", many.failures());
    assert!(!kit.path("log").exists());
    assert_eq!(kit.stored("log").unwrap().size(), left.len() as u64);
}

/// A.6: an object that is replaced once it was read stays, to the disk and within the store.
#[tokio::test]
async fn an_object_that_is_replaced_stays() {
    for (to_disk, op, nth) in [(true, Op::HeadObject, 1), (false, Op::HeadObject, 3)] {
        let kit = Kit::new().await;
        kit.put("p/k", b"old");
        let store = kit.server.store().clone();
        when(&kit, op, nth, move || {
            store.put(BUCKET, "p/k", b"new".to_vec());
        });
        let to = if to_disk { kit.local("out/") } else { s3("q/") };
        let many = kit.copy_tree(moving(s3("p/"), to)).await;
        assert_eq!(many.summary().failed, 1, "{to_disk}: {:?}", many.items);
        assert!(many.failures()[0].contains("the source stays"), "{:?}", many.failures());
        assert_eq!(kit.bytes("p/k"), b"new");
        assert_eq!(kit.count(Op::DeleteObject), 0);
    }
}

/// A.6: where the store compares by itself, it is asked to; one that turns out not to is not asked
/// again, and a look comes before instead.
#[tokio::test]
async fn the_store_compares_where_it_can() {
    let kit = Kit::new().await;
    let aws = || {
        let mut options = options(&kit.server);
        options.source.provider = Some(Provider::Aws);
        options.source.path_style = Some(true);
        options.dest = options.source.clone();
        Haul::new(options)
    };
    let run = async |haul: &Haul, to: &str| {
        let request = with(moving(s3("p/"), kit.local(to)), |r| r.jobs = haul::Jobs::Fixed(1));
        all(Box::pin(haul.copy_tree(request)).await.unwrap()).await
    };
    kit.put("p/k", b"old");
    let store = kit.server.store().clone();
    when(&kit, Op::DeleteObject, 1, move || {
        store.put(BUCKET, "p/k", b"new".to_vec());
    });
    let haul = aws();
    let many = run(&haul, "a/").await;
    assert!(many.failures()[0].contains("the source stays"), "{:?}", many.failures());
    assert_eq!((kit.bytes("p/k"), kit.count(Op::HeadObject)), (b"new".to_vec(), 0));
    assert_eq!(run(&haul, "a/").await.counts(), (1, 0, 0, 0));
    assert!(kit.keys().is_empty());
    // A store that does not know the condition.
    for key in ["p/1", "p/2", "p/3"] {
        kit.put(key, b"content");
    }
    kit.server.calls().clear();
    let refusal = Fault::status(501).code("NotImplemented");
    kit.server.faults().add(Rule::on(Op::DeleteObject).then(refusal));
    let haul = aws();
    assert_eq!(run(&haul, "b/").await.counts(), (3, 0, 0, 0));
    assert!(kit.keys().is_empty());
    let asked: Vec<_> = kit.server.calls().of(Op::DeleteObject);
    let conditions: Vec<_> = asked.iter().map(|c| c.header("if-match").is_some()).collect();
    assert_eq!(conditions, [true, false, false, false]);
    assert_eq!(kit.count(Op::HeadObject), 3);
}

/// A.6: a removal whose answer was lost is done.
#[tokio::test]
async fn a_removal_whose_answer_is_lost_is_done() {
    let kit = Kit::new().await;
    kit.put("p/k", b"content");
    kit.server.faults().add(Rule::on(Op::DeleteObject).then(Fault::LoseAnswer));
    let many = kit.copy_tree(moving(s3("p/"), kit.local("out/"))).await;
    assert_eq!(many.counts(), (1, 0, 0, 0), "{:?}", many.failures());
    assert!(kit.keys().is_empty());
}

/// A.1: a store under a name that nothing here can tell to be the same: what looks like one object to
/// the second is not removed.
#[tokio::test]
async fn what_looks_like_one_object_in_two_stores_stays() {
    let kit = Kit::new().await;
    kit.put("p/k", b"content");
    // Two servers with one store behind them could not be told from these by their names.
    let other = kit.server.other_address().unwrap();
    let mut options = options(&kit.server);
    options.dest.endpoint_url = Some(other.endpoint_url());
    let haul = Haul::new(options);
    let many = all(Box::pin(haul.copy_tree(moving(s3("p/"), s3("p/")))).await.unwrap()).await;
    assert_eq!(many.summary().failed, 1, "{:?}", many.items);
    assert_eq!(kit.bytes("p/k"), b"content");
}

/// F.2: with `--dedupe` the store copies what a file had when it was hashed; an edit since then stays.
#[tokio::test]
async fn an_edit_after_the_hash_stays() {
    let kit = Kit::new().await;
    let index = kit.path("index");
    let content = pattern(MIB);
    kit.write("first", &content);
    let dedupe = |request: TreeRequest| with(request, |r| r.dedupe = Some(index.clone()));
    let first = dedupe(TreeRequest::new(vec![kit.local("first")], s3("first")));
    assert_eq!(kit.copy_tree(first).await.counts(), (1, 0, 0, 0));
    for op in [Op::HeadObject, Op::CopyObject] {
        kit.write("in/twin", &content);
        kit.age("in");
        let twin = kit.path("in/twin");
        when(&kit, op, 1, move || append(&twin));
        let many = kit.copy_tree(dedupe(moving(kit.local("in/"), s3("q/")))).await;
        let left = std::fs::read(kit.path("in/twin"));
        let stored = kit.stored("q/twin").map(|o| o.bytes().to_vec());
        let edited = [&content[..], b"one more line"].concat();
        let somewhere = left.ok() == Some(edited.clone()) || stored == Some(edited);
        assert!(somewhere, "{op:?}: {:?}", many.failures());
        kit.server.faults().clear();
        kit.server.store().remove(BUCKET, "q/twin");
    }
}

/// A.15, F.13: folders with nothing in them move like everything else; one that was to be left out
/// stays, and so does one that held nothing and was not moved.
#[tokio::test]
async fn empty_folders_move_and_excluded_ones_stay() {
    let kit = Kit::new().await;
    kit.write("in/full/f", b"x");
    std::fs::create_dir_all(kit.path("in/empty/deeper")).unwrap();
    let many = kit.copy_tree(moving(kit.local("in/"), kit.local("out/"))).await;
    assert_eq!(many.counts(), (2, 0, 0, 0), "{:?}", many.failures());
    assert!(kit.path("out/empty/deeper").is_dir() && kit.path("out/full/f").exists());
    assert!(!kit.path("in").exists());
    std::fs::create_dir_all(kit.path("out/keep")).unwrap();
    let exclude = haul::FilterRule::new(false, "keep").unwrap();
    let request = with(moving(kit.local("out/"), kit.local("again/")), |r| {
        r.select.filter.rules = vec![exclude];
    });
    assert_eq!(kit.copy_tree(request).await.counts(), (2, 0, 0, 0));
    assert!(kit.path("out/keep").is_dir() && !kit.path("again/keep").exists());
    assert!(!kit.path("out/full").exists() && !kit.path("out/empty").exists());
    // Into a store they are markers, if that was asked for, and stay otherwise.
    let many = kit.copy_tree(moving(kit.local("again/"), s3("p/"))).await;
    assert_eq!(many.counts(), (1, 0, 0, 0), "{:?}", many.failures());
    assert!(kit.path("again/empty/deeper").is_dir() && !kit.path("again/full").exists());
    let request = with(moving(kit.local("again/"), s3("p/")), |r| r.select.empty_folders = true);
    assert_eq!(kit.copy_tree(request).await.counts(), (1, 0, 0, 0));
    assert!(!kit.path("again").exists());
    assert_eq!(kit.keys(), ["p/empty/deeper/", "p/full/f"]);
    let many = kit.copy_tree(moving(s3("p/"), kit.local("back/"))).await;
    assert_eq!(many.counts(), (2, 0, 0, 0), "{:?}", many.failures());
    assert!(kit.keys().is_empty() && kit.path("back/empty/deeper").is_dir());
}

/// F.1: a listing that cannot be read while names are compared: nothing is written, nothing removed.
#[tokio::test]
async fn names_that_could_not_be_listed_may_collide() {
    let kit = Kit::new().await;
    for key in ["x/a", "x/d/a", "y/a"] {
        kit.put(key, key.as_bytes());
    }
    for (sources, flatten) in [(vec![s3("x/")], true), (vec![s3("x/"), s3("y/")], false)] {
        let nth = sources.len() as u32;
        // Once, in the pass over the names: the next answer is whole.
        kit.server.faults().add(Rule::on(Op::ListObjects).nth(nth).then(Fault::status(403)));
        let mut request = moving(s3("x/"), kit.local("out/"));
        (request.select.sources, request.flatten) = (sources, flatten);
        let e = Box::pin(kit.haul.copy_tree(request)).await.unwrap().await.unwrap_err();
        assert_eq!(e.hint(), Some(&Hint::NothingWritten), "{e}");
        kit.server.faults().clear();
    }
    assert_eq!(kit.keys(), ["x/a", "x/d/a", "y/a"]);
    assert!(!kit.path("out").exists());
}

/// F.14: a dry run says of what exists already what the real run does.
#[tokio::test]
async fn dry_runs_know_what_is_left_alone() {
    let kit = Kit::new().await;
    for name in ["in/a", "in/b", "out/a"] {
        kit.write(name, b"content");
    }
    kit.put("p/a", b"content");
    for remove_source in [false, true] {
        for to in [kit.local("out/"), s3("p/")] {
            let request = |dry_run| {
                with(moving(kit.local("in/"), to.clone()), |r| {
                    (r.dry_run, r.overwrite, r.remove_source) = (dry_run, false, remove_source);
                })
            };
            let dry = kit.copy_tree(request(true)).await;
            let skipped = |o: &Outcome| matches!(o, Outcome::Skipped(Skip::Exists));
            assert!(skipped(&dry.items[0].outcome), "{to}: {:?}", dry.items);
            assert!(matches!(dry.items[1].outcome, Outcome::Would(_)), "{to}: {:?}", dry.items);
            let real = kit.copy_tree(request(false)).await;
            assert_eq!(real.counts(), (1, 1, 0, 0), "{to}");
            assert!(skipped(&real.items[0].outcome));
            kit.write("in/b", b"content");
            let _there = std::fs::remove_file(kit.path("out/b"));
            kit.server.store().remove(BUCKET, "p/b");
        }
    }
}

/// A.26: a link that takes a file's place after it was listed leads nowhere.
#[tokio::test]
async fn a_link_that_is_put_in_a_files_place_is_not_followed() {
    let kit = Kit::with(haul_testkit::StoreRules::default(), |o| o.engine.concurrency = 1).await;
    kit.write("secret", b"precious");
    for links in [Symlinks::Keep, Symlinks::Skip] {
        kit.write("in/1", b"one");
        kit.write("in/2", b"two");
        let (two, secret) = (kit.path("in/2"), kit.path("secret"));
        when(&kit, Op::PutObject, 1, move || {
            std::fs::remove_file(&two).unwrap();
            std::os::unix::fs::symlink(&secret, &two).unwrap();
        });
        let request = with(moving(kit.local("in/"), s3("p/")), |r| {
            (r.select.symlinks, r.remove_source) = (links, false);
            r.jobs = haul::Jobs::Fixed(1);
        });
        let many = kit.copy_tree(request).await;
        assert_eq!(many.counts(), (1, 0, 0, 1), "{:?}", many.items);
        assert!(many.failures()[0].contains("symbolic link"), "{:?}", many.failures());
        assert_eq!(kit.keys(), ["p/1"]);
        kit.server.faults().clear();
        kit.server.store().remove(BUCKET, "p/1");
        std::fs::remove_dir_all(kit.path("in")).unwrap();
    }
}

/// A.10: a file remembers the object that its bytes are of, not the one that was listed.
#[tokio::test]
async fn files_remember_what_was_read() {
    let kit = Kit::new().await;
    kit.put("p/k", b"0");
    let store = kit.server.store().clone();
    when(&kit, Op::GetObject, 1, move || {
        store.put(BUCKET, "p/k", b"1".to_vec());
    });
    let request = with(moving(s3("p/"), kit.local("out/")), |r| {
        (r.remove_source, r.keep_times) = (false, true);
    });
    assert_eq!(kit.copy_tree(request).await.counts(), (1, 0, 0, 0));
    assert_eq!(std::fs::read(kit.path("out/k")).unwrap(), b"1");
    let Some(remembered) = haul_local::recall(&kit.path("out/k")) else {
        println!("skipped: this file system keeps no attributes");
        return;
    };
    assert_eq!(remembered, kit.stored("p/k").unwrap().etag);
}

/// F.14: who names one key hears that it is not there, in a dry run as well.
#[tokio::test]
async fn a_key_that_is_not_there_is_said_in_a_dry_run_too() {
    let kit = Kit::new().await;
    kit.put("there", b"x");
    for dry_run in [true, false] {
        let remove = |key| with(haul::RemoveRequest::new(vec![s3(key)]), |r| r.dry_run = dry_run);
        let many = kit.remove_tree(remove("missing")).await;
        assert_eq!(many.counts(), (0, 0, 0, 1), "{dry_run}");
        assert!(many.failures()[0].contains("no such object"), "{:?}", many.failures());
        assert_eq!(kit.remove_tree(remove("there")).await.counts(), (0, 0, 1, 0));
    }
    assert!(kit.keys().is_empty());
}

/// A.26: a move within a store keeps the storage class, a copy has the destination's.
#[tokio::test]
async fn a_move_within_a_store_keeps_the_storage_class() {
    for (remove_source, above) in [(true, u64::MAX), (true, MIB), (false, u64::MAX)] {
        let kit = Kit::new().await;
        kit.file("f", 2 * PART);
        let mut up = haul::CopyRequest::new(kit.local("f"), s3("p/f"));
        up.attributes.storage_class = Some("STANDARD_IA".to_owned());
        kit.request(up).await.unwrap();
        let request = with(moving(s3("p/"), s3("q/")), |r| {
            (r.remove_source, r.multipart_copy_above) = (remove_source, above);
        });
        assert_eq!(kit.copy_tree(request).await.counts(), (1, 0, 0, 0));
        let class = kit.stored("q/f").unwrap().attributes.storage_class;
        assert_eq!(class.as_deref(), remove_source.then_some("STANDARD_IA"));
    }
}
