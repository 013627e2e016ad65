//! Names, listings and folders that nobody would make on purpose.
//!
//! Owns: that each fails by itself with a clear line or survives byte for byte, that the rest goes on,
//! and that nothing is ever written outside of the destination.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt;

use haul::{ErrorKind, Jobs, ListRequest, Location, SyncRequest, TreeRequest};
use haul_testkit::{Fault, Op, Rule, StoreRules, sizes};
use rustix::fs::IFlags;

use crate::kit::{BUCKET, Kit, all, or_hang, s3};
use crate::many_kit::{bucket, mirror_of, pages_of, sync_of, with};

fn tree(from: Location, to: Location) -> TreeRequest {
    with(TreeRequest::new(vec![from], to), |r| r.select.recursive = true)
}

fn named(bucket: &str) -> Location {
    Location::S3 { bucket: bucket.to_owned(), key: String::new() }
}

/// `a` and `a/b` are two keys; on a disk one of them is in the way of the other.
#[tokio::test]
async fn a_key_that_is_also_a_folder() {
    let kit = Kit::new().await;
    for key in ["p/a", "p/a/b", "p/a/c", "p/z"] {
        kit.put(key, key.as_bytes());
    }
    assert_eq!(kit.sync(sync_of(&s3("p"), &s3("q"))).await.counts(), (4, 0, 0, 0));
    for request in [tree(s3("p/"), kit.local("cp/")), tree(s3("p/"), kit.local("one/"))] {
        let request = with(request, |r| r.jobs = Jobs::Fixed(1));
        let many = kit.copy_tree(request).await;
        assert_eq!(many.counts(), (2, 0, 0, 2), "{:?}", many.failures());
        assert!(many.failures().iter().all(|f| f.contains("a file, and a folder is needed")));
    }
    let one = with(sync_of(&s3("p"), &kit.local("sync")), |r| r.jobs = Jobs::Fixed(1));
    assert_eq!(kit.sync(one).await.counts(), (2, 0, 0, 2));
    assert_eq!(kit.names("sync"), ["a", "z"]);
    // The other way round: a folder in the place of a file is never replaced.
    kit.write("down/a/mine", b"mine");
    kit.server.store().put("single", "a", b"theirs".to_vec());
    let many = kit.sync(sync_of(&named("single"), &kit.local("down"))).await;
    assert_eq!(many.counts(), (0, 0, 0, 1));
    assert!(many.failures()[0].contains("is a folder"), "{:?}", many.failures());
    assert_eq!(kit.names("down"), ["a/mine"]);
    // And from there up again, where all of it has room.
    kit.write("up/a/b", b"b");
    kit.server.store().put("both", "a", b"a".to_vec());
    assert_eq!(kit.sync(sync_of(&kit.local("up"), &named("both"))).await.counts(), (1, 0, 0, 0));
    assert_eq!(kit.server.store().keys("both"), ["a", "a/b"]);
}

/// Every legal key survives a copy within the store, and between the store and a disk where it can be
/// a name; a second `sync` has nothing to do.
#[tokio::test]
async fn odd_keys_both_ways() {
    let kit = Kit::new().await;
    for key in sizes::ODD_KEYS {
        kit.server.store().put("odd", key, key.as_bytes().to_vec());
    }
    kit.server.store().create_bucket("copy");
    let across = mirror_of(&named("odd"), &named("copy"));
    let count = sizes::ODD_KEYS.len() as u64;
    assert_eq!(kit.sync(across.clone()).await.counts(), (count, 0, 0, 0));
    assert_eq!(kit.server.store().keys("copy"), kit.server.store().keys("odd"));
    assert_eq!(kit.sync(across).await.counts(), (0, count, 0, 0));

    let down = with(sync_of(&named("odd"), &kit.local("odd")), |r| r.jobs = Jobs::Fixed(1));
    let many = kit.sync(down.clone()).await;
    for failure in many.failures() {
        let known = ["no file can", "ends with a slash", "is needed", "is a folder", "too long"];
        assert!(known.iter().any(|k| failure.contains(k)), "{failure}");
        assert!(!failure.contains('\u{1b}') && !failure.contains('\n'), "{failure:?}");
    }
    let there = kit.tree("odd");
    assert!(there.len() > sizes::ODD_KEYS.len() / 2, "{}", there.len());
    for (name, content) in &there {
        assert_eq!(name.as_bytes(), content, "under its own name");
    }
    let again = kit.sync(down).await;
    assert_eq!((again.summary().copied, again.summary().skipped), (0, there.len() as u64));
    assert_eq!(kit.sync(mirror_of(&kit.local("odd"), &s3("up"))).await.summary().failed, 0);
    kit.assert_alike("up/", "odd");
    let up = mirror_of(&kit.local("odd"), &s3("up"));
    assert_eq!(kit.sync(up).await.counts(), (0, there.len() as u64, 0, 0));
    // And all of them can be removed again, whatever XML makes of them.
    let all_of_it = haul::RemoveRequest::new(vec![named("odd")]);
    let many = kit.remove_tree(with(all_of_it, |r| r.select.recursive = true)).await;
    assert_eq!(many.counts(), (0, 0, count, 0));
    assert!(kit.server.store().keys("odd").is_empty());
}

/// Control characters are names like others, and are never printed as they are.
#[tokio::test]
async fn control_characters_are_names() {
    let kit = Kit::new().await;
    let name = "a\u{1b}[31m\nb\r\u{7}";
    kit.write(&format!("in/{name}"), b"content");
    kit.server.faults().add(Rule::on(Op::PutObject).then(Fault::status(403)));
    let many = kit.sync(sync_of(&kit.local("in"), &s3("p"))).await;
    let failure = &many.failures()[0];
    assert!(!failure.contains(['\u{1b}', '\n', '\r', '\u{7}']), "{failure:?}");
    assert_eq!(kit.sync(sync_of(&kit.local("in"), &s3("p"))).await.counts(), (1, 0, 0, 0));
    assert_eq!(kit.keys_below("p/"), [name]);
    assert_eq!(kit.sync(sync_of(&s3("p"), &kit.local("out"))).await.counts(), (1, 0, 0, 0));
    assert_eq!(kit.names("out"), [name]);
}

/// S3 keys are UTF-8: other names fail clearly, one by one; between disks they survive.
#[tokio::test]
async fn names_that_are_not_utf8() {
    let kit = Kit::new().await;
    kit.write("in/good", b"good");
    let odd = kit.path("in").join(OsStr::from_bytes(b"b\xffd/\xc3x"));
    std::fs::create_dir_all(odd.parent().unwrap()).unwrap();
    if let Err(e) = std::fs::write(&odd, b"odd") {
        return println!("skipped: this file system takes no such names: {e}");
    }
    kit.write("in/z", b"z");
    for many in [
        kit.copy_tree(tree(kit.local("in/"), s3("cp/"))).await,
        kit.sync(sync_of(&kit.local("in"), &s3("sync"))).await,
        kit.publish(haul::PublishRequest::new(vec![kit.local("in/")], s3("pub"))).await,
    ] {
        assert_eq!(many.counts(), (2, 0, 0, 1));
        assert!(many.failures()[0].contains("not UTF-8"), "{:?}", many.failures());
    }
    assert_eq!(kit.keys().len(), 6);
    for (many, root) in [
        (kit.copy_tree(tree(kit.local("in/"), kit.local("cp/"))).await, "cp"),
        (kit.sync(sync_of(&kit.local("in"), &kit.local("sync"))).await, "sync"),
    ] {
        assert_eq!(many.counts(), (3, 0, 0, 0));
        let there = kit.path(root).join(OsStr::from_bytes(b"b\xffd/\xc3x"));
        assert_eq!(std::fs::read(there).unwrap(), b"odd");
    }
    let again = kit.sync(mirror_of(&kit.local("in"), &kit.local("sync"))).await;
    assert_eq!(again.counts(), (0, 3, 0, 0));
}

/// A key has 1,024 bytes at most; the store is not asked for more, and the rest goes on.
#[tokio::test]
async fn keys_at_their_limit() {
    let kit = Kit::new().await;
    let deep = vec!["d".repeat(200); 5].join("/");
    let fits = format!("{deep}/{}", "f".repeat(1024 - 2 - deep.len() - 1));
    assert_eq!("p/".len() + fits.len(), 1024);
    kit.write(&format!("in/{fits}"), b"fits");
    kit.write(&format!("in/{fits}g"), b"one more");
    kit.write("in/z", b"z");
    for dry_run in [true, false] {
        let many =
            kit.sync(with(sync_of(&kit.local("in"), &s3("p")), |r| r.dry_run = dry_run)).await;
        assert_eq!(many.counts(), (2, 0, 0, 1), "dry: {dry_run}");
        assert!(many.failures()[0].contains("1,024"), "{:?}", many.failures());
    }
    assert_eq!(kit.count(Op::PutObject), 2);
    assert_eq!(kit.keys_below("p/"), [fits, "z".to_owned()]);
    assert_eq!(kit.sync(sync_of(&s3("p"), &kit.local("out"))).await.counts(), (2, 0, 0, 0));
}

/// A store that answers with the same page again and again: an error, and never an endless loop.
#[tokio::test]
async fn a_listing_that_repeats_itself_ends() {
    let kit = Kit::with(StoreRules { repeat_page: true, ..pages_of(3) }, |_| ()).await;
    for i in 0..10 {
        kit.put(&format!("p/{i}"), b"x");
    }
    kit.write("out/mine", b"mine");
    let many = kit.copy_tree(tree(s3("p/"), kit.local("cp/"))).await;
    assert!(many.summary().failed >= 1);
    assert!(many.failures().iter().any(|f| f.contains("again and again")), "{:?}", many.failures());
    let many = kit.sync(mirror_of(&s3("p"), &kit.local("out"))).await;
    assert!(many.result.is_err() || many.summary().failed >= 1);
    assert!(kit.path("out/mine").exists());
    let many = kit.remove_tree(with(haul::RemoveRequest::new(vec![s3("p/")]), |r| {
        (r.select.recursive, r.dry_run) = (true, true);
    }));
    assert!(many.await.summary().failed >= 1);
    let mut listed = Box::pin(kit.haul.list(ListRequest::new(bucket()))).await.unwrap();
    let mut ended = false;
    while let Some(page) = or_hang("a page", listed.next()).await {
        ended |= page.is_err();
    }
    assert!(ended || kit.count(Op::ListObjects) < 20);
}

/// A listing without order: `cp` does not need one, and `sync` refuses before it does harm.
#[tokio::test]
async fn a_listing_without_order() {
    let kit = Kit::with(StoreRules { unordered: true, ..StoreRules::default() }, |_| ()).await;
    for i in 0..5 {
        kit.put(&format!("p/{i}"), b"x");
        kit.write(&format!("out/{i}"), b"x");
    }
    let many = kit.copy_tree(tree(s3("p/"), kit.local("cp/"))).await;
    assert_eq!(many.counts(), (5, 0, 0, 0));
    kit.write("out/mine", b"mine");
    for (from, to) in [(s3("p"), kit.local("out")), (kit.local("out"), s3("p"))] {
        let many = kit.sync(mirror_of(&from, &to)).await;
        let said = many.failures().join(" ");
        assert!(said.contains("no order to rely on"), "{said}");
        assert_eq!(many.changes().len(), 0, "{from} {to}");
    }
    assert_eq!((kit.keys().len(), kit.names("out").len()), (5, 6));
}

/// One file of many may not be written. An immutable file stops root as well.
#[tokio::test]
async fn permission_denied_on_one_of_many() {
    let kit = Kit::new().await;
    for i in 0..5 {
        kit.put(&format!("p/{i}"), b"new");
    }
    kit.write("out/2", b"locked");
    let file = std::fs::File::open(kit.path("out/2")).unwrap();
    if let Err(e) = rustix::fs::ioctl_setflags(&file, IFlags::IMMUTABLE) {
        return println!("skipped: no immutable files here: {e}");
    }
    let many = kit.copy_tree(tree(s3("p/"), kit.local("out/"))).await;
    rustix::fs::ioctl_setflags(&file, IFlags::empty()).unwrap();
    assert_eq!(many.counts(), (4, 0, 0, 1));
    let haul::Outcome::Failed(e) = &many.items[2].outcome else { unreachable!() };
    assert_eq!(e.kind(), ErrorKind::AccessDenied, "{e}");
    assert_eq!(std::fs::read(kit.path("out/2")).unwrap(), b"locked");
    kit.assert_nothing_left();
    assert!(crate::kit::staged(&kit.path("out")).is_empty());
}

/// One file of many may not be read.
#[tokio::test]
async fn a_file_that_may_not_be_read() {
    let kit = Kit::new().await;
    for i in 0..5 {
        kit.write(&format!("in/{i}"), b"content");
    }
    let secret = PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(kit.path("in/2"), secret).unwrap();
    if std::fs::read(kit.path("in/2")).is_ok() {
        return println!("skipped: this user may read everything");
    }
    let many = kit.sync(mirror_of(&kit.local("in"), &s3("p"))).await;
    assert_eq!(many.counts(), (4, 0, 0, 1));
    assert!(many.failures()[0].contains("in/2"), "{:?}", many.failures());
}

/// A name that fits a key and not a file fails by itself.
#[tokio::test]
async fn a_name_that_is_too_long_for_the_disk() {
    let kit = Kit::new().await;
    let long = "n".repeat(300);
    for key in ["a", long.as_str(), "z"] {
        kit.put(&format!("p/{key}"), b"x");
    }
    let many = kit.sync(sync_of(&s3("p"), &kit.local("out"))).await;
    assert_eq!(many.counts(), (2, 0, 0, 1));
    assert!(many.failures()[0].contains("long"), "{:?}", many.failures());
    assert_eq!(kit.names("out"), ["a", "z"]);
}

/// A destination that is a file is said once, and stays what it is.
#[tokio::test]
async fn the_destination_is_a_file() {
    let kit = Kit::new().await;
    kit.put("p/a", b"x");
    kit.write("in/a", b"x");
    kit.write("file", b"mine");
    let started = Box::pin(kit.haul.sync(mirror_of(&s3("p"), &kit.local("file")))).await;
    let e = match started {
        Ok(handle) => all(handle).await.result.map(|_| ()),
        Err(e) => Err(e),
    };
    assert!(e.is_err());
    for from in [s3("p/"), kit.local("in/")] {
        let started = Box::pin(kit.haul.copy_tree(tree(from, kit.local("file")))).await;
        let e = match started {
            Ok(handle) => all(handle).await.result.map(|_| ()),
            Err(e) => Err(e),
        };
        let e = e.unwrap_err();
        assert!(e.location().contains("file"), "{e}");
    }
    assert_eq!(std::fs::read(kit.path("file")).unwrap(), b"mine");
}

/// A link in the destination that leads out of it is not followed: not to write, not to remove.
#[tokio::test]
async fn links_in_the_destination_are_no_way_out() {
    let kit = Kit::new().await;
    kit.put("p/x/passwd", b"evil");
    kit.put("p/z", b"good");
    kit.write("elsewhere/passwd", b"root");
    kit.write("elsewhere/only", b"here");
    for (verb, folder) in [("cp", "dest"), ("sync", "dest2"), ("mirror", "dest3")] {
        std::fs::create_dir(kit.path(folder)).unwrap();
        std::os::unix::fs::symlink(kit.path("elsewhere"), kit.path(folder).join("x")).unwrap();
        let many = match verb {
            "cp" => kit.copy_tree(tree(s3("p/"), kit.local(&format!("{folder}/")))).await,
            "sync" => kit.sync(sync_of(&s3("p"), &kit.local(folder))).await,
            _ => kit.sync(mirror_of(&s3("p"), &kit.local(folder))).await,
        };
        let sum = many.summary();
        if verb == "mirror" {
            // The link goes, and a folder comes in its place.
            assert_eq!((sum.copied, sum.removed, sum.failed), (2, 1, 0), "{:?}", many.failures());
            assert_eq!(kit.names(folder), ["x/passwd", "z"]);
        } else {
            assert_eq!((sum.copied, sum.failed), (1, 1), "{verb}: {:?}", many.failures());
            assert!(many.failures()[0].contains("symbolic link is in the way"), "{verb}");
        }
        let names: Vec<_> = kit.tree("elsewhere");
        let want = [("only".to_owned(), b"here".to_vec()), ("passwd".to_owned(), b"root".to_vec())];
        assert_eq!(names, want, "{verb}");
    }
}

/// Keys that climb never leave the destination, by `sync` neither; and are never removed by mistake.
#[tokio::test]
async fn hostile_keys_stay_inside_by_sync() {
    let kit = Kit::new().await;
    for key in sizes::HOSTILE_KEYS {
        kit.server.store().put(BUCKET, &format!("h/{key}"), b"evil".to_vec());
    }
    kit.write("deep/mine", b"mine");
    let request: SyncRequest = mirror_of(&s3("h"), &kit.local("deep/down/out"));
    let many = kit.sync(request).await;
    let (copied, _, removed, failed) = many.counts();
    assert_eq!(copied + failed, sizes::HOSTILE_KEYS.len() as u64);
    assert!(failed > 0 && removed == 0);
    let outside: Vec<_> =
        kit.names(".").into_iter().filter(|n| !n.starts_with("deep/down/out/")).collect();
    assert_eq!(outside, ["deep/mine"]);
}
