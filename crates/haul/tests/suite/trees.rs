//! Many files at once: folders, prefixes, patterns, filters, both ways.

use haul::{
    Error, ErrorKind, FilterRule, Location, Outcome, Result, Shard, Skip, Summary, Symlinks,
    TransferHandle, TreeRequest,
};
use haul_testkit::{Fault, Op, Rule, sizes};

use crate::kit::{BUCKET, Kit, s3};

fn tree(from: Location, to: Location) -> TreeRequest {
    let mut request = TreeRequest::new(vec![from], to);
    request.select.recursive = true;
    request
}

async fn refused(kit: &Kit, request: TreeRequest) -> Error {
    let started: Result<TransferHandle<Summary>> = Box::pin(kit.haul.copy_tree(request)).await;
    match started {
        Ok(handle) => handle.await.unwrap_err(),
        Err(e) => e,
    }
}

/// S1: a folder goes up and comes back the same, names, sizes and all.
#[tokio::test]
async fn a_folder_there_and_back() {
    let kit = Kit::new().await;
    for (i, size) in [0, 1, 1000, 300_000].into_iter().enumerate() {
        kit.write(&format!("in/a/{i}.bin"), &sizes::pattern(size, 7));
        kit.write(&format!("in/b-{i}/.hidden"), &sizes::pattern(size, 8));
    }
    kit.write("in/large", &sizes::pattern(12 << 20, 9));
    let many = kit.copy_tree(tree(kit.local("in"), s3("up/"))).await;
    assert_eq!(many.counts(), (9, 0, 0, 0), "{:?}", many.failures());
    assert!(many.summary().complete);
    assert!(kit.keys().contains(&"up/in/b-3/.hidden".to_owned()), "{:?}", kit.keys());
    let order: Vec<_> = many.items.iter().map(|s| s.from.clone()).collect();
    assert!(order.is_sorted(), "output in the order of names: {order:?}");
    let many = kit.copy_tree(tree(s3("up/in/"), kit.local("out/"))).await;
    assert_eq!(many.counts(), (9, 0, 0, 0), "{:?}", many.failures());
    assert_eq!(kit.tree("in"), kit.tree("out"));
    kit.assert_nothing_left();
}

/// Small objects of a listing take one request each: no HEAD.
#[tokio::test]
async fn small_objects_are_one_request_each() {
    let kit = Kit::new().await;
    for i in 0..20 {
        kit.server.store().put(BUCKET, &format!("p/{i}"), vec![i; 100]);
    }
    let many = kit.copy_tree(tree(s3("p/"), kit.local("out/"))).await;
    assert_eq!(many.counts(), (20, 0, 0, 0), "{:?}", many.failures());
    assert_eq!((kit.count(Op::GetObject), kit.count(Op::HeadObject)), (20, 0));
    assert_eq!(kit.count(Op::ListObjects), 1);
    let many = kit.copy_tree(tree(kit.local("out/"), s3("q/"))).await;
    assert_eq!(many.counts(), (20, 0, 0, 0), "{:?}", many.failures());
    assert_eq!((kit.count(Op::PutObject), kit.count(Op::HeadObject)), (20, 0));
}

/// What a folder's name is good for: a slash at the end of the source means its contents, a slash at
/// the end of the destination means "into".
#[tokio::test]
async fn into_and_contents() {
    let kit = Kit::new().await;
    kit.write("dir/f", b"x");
    let slash = Location::Local(kit.path("dir").join(""));
    for (from, to, key) in [
        (kit.local("dir"), s3("a/"), "a/dir/f"),
        (kit.local("dir"), s3("b"), "b/f"),
        (slash.clone(), s3("c/"), "c/f"),
        (slash, s3("d"), "d/f"),
    ] {
        kit.copy_tree(tree(from, to)).await.summary();
        assert!(kit.keys().contains(&key.to_owned()), "{key}: {:?}", kit.keys());
    }
    kit.copy_tree(tree(s3("a"), kit.local("into/"))).await.summary();
    assert!(kit.path("into/a/dir/f").exists());
    kit.copy_tree(tree(s3("a"), kit.local("as"))).await.summary();
    assert!(kit.path("as/dir/f").exists());
    let mut several = TreeRequest::new(vec![kit.local("dir/f"), s3("b/f")], s3("e"));
    several.flatten = false;
    let e = refused(&kit, several).await;
    assert!(e.to_string().contains("same name"), "{e}");
    let single = TreeRequest::new(vec![kit.local("dir/f")], s3("new-name"));
    kit.copy_tree(single).await.summary();
    assert!(kit.keys().contains(&"new-name".to_owned()));
}

/// U0.6: two sources that would get one name are refused before anything is written.
#[tokio::test]
async fn names_that_collide_are_refused_before_anything_is_written() {
    let kit = Kit::new().await;
    kit.write("in/a/x", b"1");
    kit.write("in/b/x", b"2");
    let mut request = tree(kit.local("in"), s3("flat/"));
    request.flatten = true;
    let e = refused(&kit, request.clone()).await;
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert!(e.to_string().contains("in/a/x") && e.to_string().contains("in/b/x"), "{e}");
    assert!(kit.keys().is_empty());
    std::fs::rename(kit.path("in/b/x"), kit.path("in/b/y")).unwrap();
    assert_eq!(kit.copy_tree(request).await.counts(), (2, 0, 0, 0));
    assert_eq!(kit.keys(), ["flat/x", "flat/y"]);
}

#[tokio::test]
async fn patterns_select_keys_and_literal_keys_win() {
    let kit = Kit::new().await;
    for key in ["l/2026-01/a.gz", "l/2026-02/a.gz", "l/2025-01/a.gz", "l/x?.gz", "l/xy.gz"] {
        kit.server.store().put(BUCKET, key, key.as_bytes().to_vec());
    }
    let request = TreeRequest::new(vec![s3("l/2026-*/a.gz")], kit.local("out"));
    assert_eq!(kit.copy_tree(request).await.counts(), (2, 0, 0, 0));
    assert_eq!(kit.tree("out").len(), 2);
    assert!(kit.path("out/2026-02/a.gz").exists());
    // A key that exists is meant by its name, whatever a pattern would make of it.
    let request = TreeRequest::new(vec![s3("l/x?.gz")], kit.local("literal/"));
    assert_eq!(kit.copy_tree(request).await.counts(), (1, 0, 0, 0));
    assert!(kit.path("literal/x?.gz").exists());
    let request = TreeRequest::new(vec![s3("l/nothing-*")], kit.local("none/"));
    let many = kit.copy_tree(request).await;
    assert_eq!(many.counts(), (0, 0, 0, 1));
    assert!(many.failures()[0].contains("nothing matches"), "{:?}", many.failures());
}

/// M.5: where a file is, no folder can be, and a dry run says so as well.
#[tokio::test]
async fn a_dry_run_finds_a_file_where_the_folder_has_to_be() {
    let kit = Kit::new().await;
    for name in ["in/a", "file"] {
        kit.write(name, b"x");
    }
    std::os::unix::fs::symlink("nowhere", kit.path("link")).unwrap();
    for to in ["file", "file/", "file/below", "link"] {
        for dry_run in [true, false] {
            let mut request = tree(kit.local("in/"), kit.local(to));
            request.dry_run = dry_run;
            let e = refused(&kit, request).await;
            assert!(e.to_string().contains("is not a folder"), "{to} {dry_run}: {e}");
        }
    }
    assert!(kit.path("file").is_file() && std::fs::symlink_metadata(kit.path("nowhere")).is_err());
}

/// M.7: a store that lets one list and not look does not turn an object into a prefix.
#[tokio::test]
async fn an_object_that_must_not_be_looked_at_is_no_prefix() {
    let kit = Kit::new().await;
    for key in ["k", "k/below", "p/below"] {
        kit.put(key, b"x");
    }
    let denied = Rule::on(Op::HeadObject).always().then(Fault::status(403));
    kit.server.faults().add(denied);
    let many = kit.copy_tree(tree(s3("k"), kit.local("out/k"))).await;
    assert_eq!(many.counts(), (0, 0, 0, 1), "{:?}", many.failures());
    assert!(many.failures()[0].contains("/k"), "{:?}", many.failures());
    assert_eq!(kit.copy_tree(tree(s3("p"), kit.local("out/p"))).await.counts(), (1, 0, 0, 0));
}

#[tokio::test]
async fn filters_and_shards() {
    let kit = Kit::new().await;
    for name in ["a.jpg", "b.txt", "tmp/c.jpg", "d/e.jpg", "d/.git/f"] {
        kit.write(&format!("in/{name}"), name.as_bytes());
    }
    let mut request = tree(kit.local("in/"), s3("p/"));
    request.select.filter.rules =
        vec![FilterRule::new(true, "*.jpg").unwrap(), FilterRule::new(false, "tmp").unwrap()];
    request.dry_run = true;
    let many = kit.copy_tree(request.clone()).await;
    assert_eq!(many.counts(), (2, 0, 0, 0));
    assert!(kit.keys().is_empty(), "a dry run writes nothing");
    assert!(many.items.iter().all(|s| matches!(s.outcome, Outcome::Would(_))));
    request.dry_run = false;
    kit.copy_tree(request).await.summary();
    assert_eq!(kit.keys(), ["p/a.jpg", "p/d/e.jpg"]);
    for i in 0..3 {
        let mut request = tree(kit.local("in/"), s3("shards/"));
        request.select.shard = Shard::new(i, 3);
        kit.copy_tree(request).await.summary();
    }
    assert_eq!(kit.keys().iter().filter(|k| k.starts_with("shards/")).count(), 5);
    assert_eq!(kit.count(Op::PutObject), 2 + 5, "every file in exactly one shard");
}

/// S0.16, S0.17: what fails is one item; the rest goes on.
#[tokio::test]
async fn a_failure_is_one_item() {
    let kit = Kit::new().await;
    for i in 0..20 {
        kit.write(&format!("in/{i:02}"), b"content");
    }
    kit.server.faults().add(Rule::on(Op::PutObject).key("p/07").always().then(Fault::status(403)));
    let many = kit.copy_tree(tree(kit.local("in/"), s3("p/"))).await;
    assert_eq!(many.counts(), (19, 0, 0, 1));
    assert!(many.failures()[0].contains("s3://bucket/p/07"), "{:?}", many.failures());
    assert_eq!(kit.keys().len(), 19);
}

#[tokio::test]
async fn what_exists_is_left_alone_when_asked() {
    let kit = Kit::new().await;
    kit.write("in/a", b"new");
    kit.write("in/b", b"new");
    kit.server.store().put(BUCKET, "p/a", b"old".to_vec());
    let mut request = tree(kit.local("in/"), s3("p/"));
    request.overwrite = false;
    let many = kit.copy_tree(request).await;
    assert_eq!(many.counts(), (1, 1, 0, 0), "{:?}", many.failures());
    assert!(matches!(many.items[0].outcome, Outcome::Skipped(Skip::Exists)));
    assert_eq!(&kit.stored("p/a").unwrap().bytes()[..], b"old");
}

/// `mv` removes a source only once its destination is committed.
#[tokio::test]
async fn moves_remove_what_has_arrived_and_nothing_else() {
    let kit = Kit::new().await;
    for i in 0..5 {
        kit.write(&format!("in/sub/{i}"), b"content");
    }
    kit.server
        .faults()
        .add(Rule::on(Op::PutObject).key("p/sub/3").always().then(Fault::status(403)));
    let mut request = tree(kit.local("in/"), s3("p/"));
    request.remove_source = true;
    let many = kit.copy_tree(request.clone()).await;
    assert_eq!(many.counts(), (4, 0, 0, 1));
    assert_eq!(kit.tree("in").into_iter().map(|(n, _)| n).collect::<Vec<_>>(), ["sub/3"]);
    kit.server.faults().clear();
    assert_eq!(kit.copy_tree(request).await.counts(), (1, 0, 0, 0));
    assert!(!kit.path("in").exists(), "the emptied folder is gone");
    let mut back = tree(s3("p/"), kit.local("back/"));
    back.remove_source = true;
    assert_eq!(kit.copy_tree(back).await.counts(), (5, 0, 0, 0));
    assert!(kit.keys().is_empty());
    let mut rename = tree(kit.local("back/"), kit.local("renamed/"));
    rename.remove_source = true;
    assert_eq!(kit.copy_tree(rename).await.counts(), (5, 0, 0, 0));
    assert!(kit.path("renamed/sub/4").exists() && !kit.path("back").exists());
}

/// Copies within a store move no byte through here.
#[tokio::test]
async fn prefixes_are_copied_by_the_store() {
    let kit = Kit::new().await;
    for i in 0..10 {
        kit.object(&format!("from/{i}"), 100 * i);
    }
    let many = kit.copy_tree(tree(s3("from/"), s3("to/"))).await;
    assert_eq!(many.counts(), (10, 0, 0, 0), "{:?}", many.failures());
    assert_eq!((kit.count(Op::CopyObject), kit.count(Op::GetObject)), (10, 0));
    let e = refused(&kit, tree(s3("from"), s3("from/inside/"))).await;
    assert!(e.to_string().contains("inside"), "{e}");
}

/// Hostile keys never leave the destination; what has no safe name fails by itself.
#[tokio::test]
async fn hostile_keys_stay_inside() {
    let kit = Kit::new().await;
    let mut hostile = 0;
    for key in sizes::HOSTILE_KEYS {
        kit.server.store().put(BUCKET, &format!("h/{key}"), b"evil".to_vec());
        hostile += 1;
    }
    for key in sizes::ODD_KEYS {
        if key.len() < 1000 {
            kit.server.store().put(BUCKET, &format!("odd/{key}"), key.as_bytes().to_vec());
        }
    }
    let many = kit.copy_tree(tree(s3("h/"), kit.local("deep/down/out/"))).await;
    let (copied, _, _, failed) = many.counts();
    assert_eq!(copied + failed, hostile, "{:?}", many.failures());
    assert!(failed > 0);
    let outside: Vec<_> = kit
        .tree(".")
        .into_iter()
        .map(|(n, _)| n)
        .filter(|n| !n.starts_with("deep/down/out/"))
        .collect();
    assert!(outside.is_empty(), "{outside:?}");
    let many = kit.copy_tree(tree(s3("odd/"), kit.local("odd/"))).await;
    for failure in many.failures() {
        let known = ["name", "folder", "too long", "is in the way"];
        assert!(known.iter().any(|k| failure.contains(k)), "{failure}");
    }
    let many = kit.copy_tree(tree(kit.local("odd/"), s3("again/"))).await;
    assert_eq!(many.summary().failed, 0, "{:?}", many.failures());
    for (name, content) in kit.tree("odd") {
        assert_eq!(&kit.stored(&format!("again/{name}")).unwrap().bytes()[..], &content[..]);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_skipped_or_kept() {
    let kit = Kit::new().await;
    kit.write("in/file", b"content");
    std::os::unix::fs::symlink("file", kit.path("in/link")).unwrap();
    std::os::unix::fs::symlink("nowhere", kit.path("in/dangling")).unwrap();
    let many = kit.copy_tree(tree(kit.local("in/"), s3("follow/"))).await;
    assert_eq!(many.counts(), (2, 0, 0, 1), "{:?}", many.failures());
    let mut request = tree(kit.local("in/"), s3("skip/"));
    request.select.symlinks = Symlinks::Skip;
    assert_eq!(kit.copy_tree(request).await.counts(), (1, 0, 0, 0));
    let mut request = tree(kit.local("in/"), kit.local("kept/"));
    request.select.symlinks = Symlinks::Keep;
    assert_eq!(kit.copy_tree(request).await.counts(), (3, 0, 0, 0));
    assert_eq!(
        std::fs::read_link(kit.path("kept/dangling")).unwrap(),
        std::path::Path::new("nowhere")
    );
}

/// Folders with nothing in them: kept between disks, as markers where asked for, and back.
#[tokio::test]
async fn empty_folders() {
    let kit = Kit::new().await;
    kit.write("in/full/f", b"x");
    std::fs::create_dir_all(kit.path("in/empty/deeper")).unwrap();
    kit.copy_tree(tree(kit.local("in/"), s3("plain/"))).await.summary();
    assert_eq!(kit.keys(), ["plain/full/f"]);
    let mut request = tree(kit.local("in/"), s3("marked/"));
    request.select.empty_folders = true;
    kit.copy_tree(request).await.summary();
    assert!(kit.keys().contains(&"marked/empty/deeper/".to_owned()), "{:?}", kit.keys());
    kit.copy_tree(tree(s3("marked/"), kit.local("out/"))).await.summary();
    assert!(kit.path("out/empty/deeper").is_dir());
    kit.copy_tree(tree(kit.local("in/"), kit.local("copy/"))).await.summary();
    assert!(kit.path("copy/empty/deeper").is_dir());
}

/// A listing that fails on its second page: what was listed is copied, the failure is an item.
#[tokio::test]
async fn a_listing_that_breaks_off_is_said() {
    let rules = haul_testkit::StoreRules { max_keys: 10, ..haul_testkit::StoreRules::default() };
    let kit = Kit::with(rules, |_| ()).await;
    for i in 0..25 {
        kit.object(&format!("p/{i:02}"), 10);
    }
    kit.server.faults().add(Rule::on(Op::ListObjects).nth(2).then(Fault::status(403)));
    let many = kit.copy_tree(tree(s3("p/"), kit.local("out/"))).await;
    assert_eq!(many.counts(), (10, 0, 0, 1), "{:?}", many.failures());
    // A passing failure is tried again, for the same page.
    kit.server.faults().add(Rule::on(Op::ListObjects).nth(2).then(Fault::status(503)));
    let many = kit.copy_tree(tree(s3("p/"), kit.local("again/"))).await;
    assert_eq!(many.counts(), (25, 0, 0, 0), "{:?}", many.failures());
}

/// What a link leads to is not the source's to remove: a move leaves links where they are, or moves
/// them as links.
#[cfg(unix)]
#[tokio::test]
async fn moves_never_follow_links() {
    let kit = Kit::new().await;
    kit.write("outside/precious", b"content");
    kit.write("in/file", b"content");
    std::os::unix::fs::symlink(kit.path("outside"), kit.path("in/link")).unwrap();
    let mut request = tree(kit.local("in/"), s3("p/"));
    request.remove_source = true;
    let many = kit.copy_tree(request).await;
    assert_eq!(many.counts(), (1, 0, 0, 1));
    assert_eq!(kit.keys(), ["p/file"]);
    assert!(kit.path("outside/precious").exists() && kit.path("in/link").is_symlink());
    let mut request = tree(kit.local("in/"), kit.local("out/"));
    request.remove_source = true;
    assert_eq!(kit.copy_tree(request).await.counts(), (1, 0, 0, 0));
    assert!(kit.path("out/link").is_symlink() && kit.path("outside/precious").exists());
    let url = Location::parse("http://127.0.0.1:1/a").unwrap();
    let mut request = TreeRequest::new(vec![url], kit.local("out/"));
    request.remove_source = true;
    assert_eq!(refused(&kit, request).await.kind(), ErrorKind::Unsupported);
}

/// S0.15: the number of workers is chosen by what is found, be it ever so little.
#[tokio::test]
async fn workers_are_chosen_for_few_files_too() {
    let kit = Kit::new().await;
    for files in 0..4 {
        let folder = format!("in-{files}");
        std::fs::create_dir_all(kit.path(&folder)).unwrap();
        for i in 0..files {
            kit.write(&format!("{folder}/{i}"), b"x");
        }
        for _ in 0..5 {
            let mut request = tree(Location::Local(kit.path(&folder).join("")), s3("p/"));
            request.jobs = haul::Jobs::Auto;
            assert_eq!(kit.copy_tree(request).await.counts(), (files, 0, 0, 0));
        }
    }
}
