//! What is its own destination: by options, by name, by links of the file system.
//!
//! Owns: the proof that one object or file under two names is never moved or copied onto itself.

use haul::{Error, ErrorKind, Haul, Location, Options, Outcome, SyncRequest, TreeRequest};

use crate::kit::{Kit, all, options, s3};
use crate::many_kit::with;

fn moving(from: Location, to: Location) -> TreeRequest {
    let mut request = TreeRequest::new(vec![from], to);
    (request.select.recursive, request.remove_source) = (true, true);
    request
}

/// The same store for both sides, with something else about the destination.
fn other_dest(kit: &Kit, change: impl FnOnce(&mut Options)) -> Haul {
    let mut options = options(&kit.server);
    change(&mut options);
    Haul::new(options)
}

async fn refused(haul: &Haul, request: TreeRequest) -> Error {
    let e = Box::pin(haul.copy_tree(request)).await.err();
    e.unwrap_or_else(|| unreachable!("it was not refused"))
}

/// A.1 (a), F.3: attributes make no other object of it. A tree is refused as a whole, and what leads
/// there by a pattern or by its name fails item by item; a dry run says the same.
#[tokio::test]
async fn a_move_with_attributes_onto_itself_keeps_the_object() {
    let kit = Kit::new().await;
    kit.object("p/a", 10);
    kit.object("p/b", 20);
    let typed = |from: &str, to: &str| {
        let mut request = moving(s3(from), s3(to));
        request.attributes.content_type = Some("text/plain".to_owned());
        request
    };
    for (from, to) in [("p", ""), ("p/", "p"), ("p", "p/"), ("", "")] {
        let e = refused(&kit.haul, typed(from, to)).await;
        assert_eq!(e.kind(), ErrorKind::Invalid, "{from:?} {to:?}: {e}");
    }
    for (from, to, count) in [("p/a", "p/a", 1), ("p/a", "p/", 1), ("p/*", "p/", 2)] {
        for dry_run in [true, false] {
            let request = with(typed(from, to), |r| r.dry_run = dry_run);
            let many = kit.copy_tree(request).await;
            assert_eq!(many.summary().failed, count, "{from} {to} {dry_run}");
            assert!(many.failures()[0].contains("are the same object"), "{:?}", many.failures());
            assert!(many.failures()[0].contains("a copy gives"), "{:?}", many.failures());
        }
    }
    assert_eq!(kit.keys(), ["p/a", "p/b"]);
    // A copy may do it.
    let request = with(typed("p", ""), |r| r.remove_source = false);
    assert_eq!(kit.copy_tree(request).await.counts(), (2, 0, 0, 0));
    assert_eq!(kit.stored("p/a").unwrap().attributes.content_type.as_deref(), Some("text/plain"));
}

/// A.1 (b), F.3, F.4, F.5: neither a region, nor other settings, nor another name of this machine make
/// another store.
#[tokio::test]
async fn options_do_not_make_another_store() {
    let kit = Kit::new().await;
    kit.object("p/a", 10);
    kit.object("p/q/b", 20);
    let named = kit.server.endpoint_url().replace("127.0.0.1", "localhost");
    let region = other_dest(&kit, |o| o.dest.region = Some("eu-west-1".to_owned()));
    let name = other_dest(&kit, move |o| o.dest.endpoint_url = Some(named));
    let style = other_dest(&kit, |o| o.source.path_style = Some(true));
    for haul in [region, name, style] {
        for (from, to) in [("p", "p"), ("p", "p/q/"), ("p", ""), ("p/", "p/q")] {
            let e = refused(&haul, moving(s3(from), s3(to))).await;
            assert_eq!(e.kind(), ErrorKind::Invalid, "{from} {to}: {e}");
        }
        let one = all(Box::pin(haul.copy_tree(moving(s3("p/a"), s3("p/a")))).await.unwrap()).await;
        assert!(one.failures()[0].contains("are the same object"), "{:?}", one.failures());
        let copy = haul::CopyRequest::new(s3("p/a"), s3("p/a"));
        let e = Box::pin(haul.copy(copy)).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
        for (from, to) in [("p/q", "p"), ("p", "p/q"), ("p", "p/")] {
            let mut request = SyncRequest::new(s3(from), s3(to));
            request.delete = true;
            let e = Box::pin(haul.sync(request)).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Invalid, "{from} {to}: {e}");
        }
    }
    assert_eq!(kit.keys(), ["p/a", "p/q/b"]);
}

/// A move up over its own sources: what would replace something that is moved itself stays where it
/// is, and nothing is lost whichever goes first.
#[tokio::test]
async fn nothing_is_moved_over_what_is_moved_itself() {
    let kit = Kit::new().await;
    for (key, content) in [("p/q/x", "one"), ("p/q/q/x", "two"), ("p/q/q/q/x", "three")] {
        kit.put(key, content.as_bytes());
        kit.write(key, content.as_bytes());
    }
    for dry_run in [true, false] {
        for (from, to) in [(s3("p/q/"), s3("p/")), (kit.local("p/q/"), kit.local("p/"))] {
            let many = kit.copy_tree(with(moving(from, to), |r| r.dry_run = dry_run)).await;
            assert_eq!(many.summary().failed, 2, "{dry_run}: {:?}", many.items);
            let said = &many.failures()[0];
            assert!(said.contains("inside of a source"), "{said}");
        }
    }
    let want = [("p/q/q/q/x", "three"), ("p/q/q/x", "two"), ("p/x", "one")];
    for (name, content) in want {
        assert_eq!(kit.bytes(name), content.as_bytes(), "{name}");
        assert_eq!(std::fs::read(kit.path(name)).unwrap(), content.as_bytes(), "{name}");
    }
    assert!(!kit.keys().contains(&"p/q/x".to_owned()) && !kit.path("p/q/x").exists());
}

/// F.5: a store under a name that nothing here can tell to be the same shows what it has.
#[tokio::test]
async fn stores_that_show_the_same_are_one() {
    let kit = Kit::new().await;
    kit.object("p/a", 10);
    kit.object("p/q/b", 20);
    let other = kit.server.other_address().unwrap();
    let haul = other_dest(&kit, |o| o.dest.endpoint_url = Some(other.endpoint_url()));
    for (from, to) in [("p/q", "p"), ("p", "p/q"), ("p/q/", "")] {
        let request = with(SyncRequest::new(s3(from), s3(to)), |r| r.delete = true);
        let e = Box::pin(haul.sync(request)).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "{from} {to}: {e}");
    }
    let e = refused(&haul, moving(s3("p/"), s3("p/q/"))).await;
    assert_eq!(e.kind(), ErrorKind::Invalid, "{e}");
    assert_eq!(kit.keys(), ["p/a", "p/q/b"]);
    // Another store with a bucket of that name is another one.
    let second = Kit::new().await;
    second.object("p/q/c", 30);
    let elsewhere = other_dest(&kit, |o| o.dest.endpoint_url = Some(second.server.endpoint_url()));
    let sync = Box::pin(elsewhere.sync(SyncRequest::new(s3("p"), s3("p/q")))).await.unwrap();
    assert_eq!(all(sync).await.summary().failed, 0);
    assert_eq!(second.keys(), ["p/q/a", "p/q/c", "p/q/q/b"]);
}

/// A.2: two names of one file, through links of every kind: nothing is copied or removed.
#[tokio::test]
async fn two_names_of_one_file_are_not_moved_onto_each_other() {
    let kit = Kit::new().await;
    kit.write("a/f", b"precious");
    std::fs::create_dir(kit.path("b")).unwrap();
    std::fs::hard_link(kit.path("a/f"), kit.path("b/f")).unwrap();
    std::os::unix::fs::symlink(kit.path("a"), kit.path("link")).unwrap();
    for to in ["b/f", "b/", "link/", "link/f", "a/"] {
        for (dry_run, remove_source) in [(true, true), (false, true), (true, false), (false, false)]
        {
            let mut request = TreeRequest::new(vec![kit.local("a/f")], kit.local(to));
            (request.dry_run, request.remove_source) = (dry_run, remove_source);
            let many = kit.copy_tree(request).await;
            assert!(matches!(many.items[0].outcome, Outcome::Failed(_)), "{to}: {:?}", many.items);
            assert!(many.failures()[0].contains("are the same file"), "{:?}", many.failures());
        }
    }
    for (from, to) in [("a", "link"), ("link/", "a"), ("a", "a/sub/"), ("a", "link/sub")] {
        let e = refused(&kit.haul, moving(kit.local(from), kit.local(to))).await;
        assert_eq!(e.kind(), ErrorKind::Invalid, "{from} {to}: {e}");
    }
    assert_eq!(std::fs::read(kit.path("a/f")).unwrap(), b"precious");
    assert_eq!(std::fs::read(kit.path("b/f")).unwrap(), b"precious");
}

/// M.1: nor is anything copied over what is still to be read.
#[tokio::test]
async fn a_copy_does_not_replace_its_own_sources() {
    let kit = Kit::new().await;
    for (key, content) in [("x/a", "outer"), ("x/x/a", "inner")] {
        kit.put(key, content.as_bytes());
    }
    let request = with(moving(s3("x/"), s3("")), |r| r.remove_source = false);
    let many = kit.copy_tree(request).await;
    assert_eq!(many.summary().failed, 1, "{:?}", many.items);
    assert!(many.failures()[0].contains("is inside of a source"), "{:?}", many.failures());
    assert_eq!((kit.bytes("a"), kit.bytes("x/a")), (b"outer".into(), b"outer".into()));
}

/// M.9: where objects get other attributes in place, nothing else is put meanwhile.
#[tokio::test]
async fn nothing_lands_among_what_changes_in_place() {
    let kit = Kit::new().await;
    kit.put("p/a", b"a");
    kit.put("q/b", b"b");
    let request = with(moving(s3("p/"), s3("p/")), |r| {
        r.remove_source = false;
        r.attributes.content_type = Some("text/plain".to_owned());
        r.select.sources.push(s3("q/"));
    });
    let many = kit.copy_tree(request).await;
    assert_eq!(many.counts(), (1, 0, 0, 1), "{:?}", many.items);
    assert!(many.failures()[0].contains("is inside of a source"), "{:?}", many.failures());
    assert_eq!(kit.keys(), ["p/a", "q/b"]);
}

/// M.4: a source that is in another one as well would be moved twice.
#[tokio::test]
async fn sources_that_are_in_each_other_are_not_moved() {
    let kit = Kit::new().await;
    kit.write("d/a/f", b"x");
    let mut request = moving(kit.local("d/a"), s3("p/"));
    request.select.sources.push(kit.local("d"));
    let e = refused(&kit.haul, request).await;
    assert!(e.to_string().contains("inside of another source"), "{e}");
    assert!(kit.path("d/a/f").exists() && kit.keys().is_empty());
}
