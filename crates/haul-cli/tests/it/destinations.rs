//! Where a copy ends up, and what happens to what was there.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::bad_files::fifo;
use crate::harness::{BUCKET, MIB, World};

fn mode(path: &std::path::Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

#[tokio::test]
async fn into_takes_the_name() {
    let world = World::new().await;
    world.put("dir/k.txt", "data");
    std::fs::create_dir(world.path("there")).unwrap();
    for (to, name) in [
        (".", "k.txt"),
        ("there", "there/k.txt"),
        ("there/", "there/k.txt"),
        ("new/", "new/k.txt"),
        ("deep/er/", "deep/er/k.txt"),
        ("as-named", "as-named"),
        ("deep/2/as-named", "deep/2/as-named"),
    ] {
        let done = world.haul(["cp", "s3://bucket/dir/k.txt", to]).run().await;
        assert_eq!(std::fs::read(world.path(name)).unwrap(), b"data", "{to}: {}", done.ok());
    }
    world.file("a b.txt", "up");
    world.server.store().create_bucket("other");
    for (to, key) in [
        ("s3://other", "a b.txt"),
        ("s3://other/", "a b.txt"),
        ("s3://other/p/", "p/a b.txt"),
        ("s3://other//", "/a b.txt"),
        ("s3://other/p", "p"),
    ] {
        world.haul(["cp", "./a b.txt", to]).run().await.ok();
        let object = world.server.store().object("other", key);
        assert_eq!(object.unwrap_or_else(|| panic!("{to}")).bytes(), "up");
        world.server.store().remove("other", key);
    }
    world.assert_clean();
}

#[tokio::test]
async fn the_source_itself_is_no_destination() {
    let world = World::new().await;
    world.file("a", "data");
    std::os::unix::fs::symlink("a", world.path("link")).unwrap();
    std::fs::hard_link(world.path("a"), world.path("hard")).unwrap();
    let line = "cannot copy *: source and destination are the same file";
    for (from, to) in [("a", "a"), ("a", "."), ("a", "./a"), ("link", "a"), ("a", "hard")] {
        world.refuses(["cp", from, to], 2, line).await;
    }
    world.put("k", "data");
    let line = "cannot copy s3://bucket/k: source and destination are the same object";
    world.refuses(["cp", "s3://bucket/k", "s3://bucket/k"], 2, line).await;
    world.refuses(["cp", "s3://bucket/k", "s3://bucket/"], 2, line).await;
}

#[tokio::test]
async fn no_clobber_skips() {
    let world = World::new().await;
    for size in [4, 20 * MIB] {
        world.put("k", vec![1; size]);
        world.put("there", "old");
        world.file("old", "old");
        world.file("a", vec![2; size]);
        let tree = world.tree();
        for (from, to) in [("s3://bucket/k", "old"), ("a", "old"), ("a", "s3://bucket/there")] {
            let done = world.haul(["cp", "-n", from, to]).run().await;
            assert_eq!(done.ok().out(), "", "{done}");
            assert_eq!(done.err.lines().count(), 1, "{done}");
            assert!(done.err.starts_with("haul: skipped "), "{done}");
            assert!(done.err.contains("it exists already"), "{done}");
        }
        assert!(world.tree() == tree);
        assert_eq!(world.stored("there"), b"old");
        world.assert_clean();
        world.haul(["cp", "-n", "s3://bucket/k", "fresh"]).run().await.ok();
        world.haul(["cp", "--no-clobber", "a", "s3://bucket/fresh"]).run().await.ok();
        assert!(world.stored("fresh") == vec![2; size]);
        assert!(std::fs::read(world.path("fresh")).unwrap() == vec![1; size]);
        std::fs::remove_file(world.path("fresh")).unwrap();
        world.server.store().remove(BUCKET, "fresh");
    }
}

#[tokio::test]
async fn no_clobber_skips_copies_within_the_store() {
    let world = World::new().await;
    world.put("k", vec![1; 8 * MIB]);
    world.put("there", "old");
    for threshold in ["1MiB", "1GiB"] {
        let args = ["cp", "-n", "s3://bucket/k", "s3://bucket/there"];
        let args = args.into_iter().chain(["--multipart-copy-threshold", threshold]);
        let done = world.haul(args).run().await;
        assert_eq!(done.ok().out(), "", "{done}");
        assert_eq!(done.err.lines().count(), 1, "{done}");
        assert!(done.err.starts_with("haul: skipped s3://bucket/there: it exists"), "{done}");
        assert_eq!(world.stored("there"), b"old");
        world.assert_clean();
    }
}

#[tokio::test]
async fn overwriting_keeps_the_mode() {
    let world = World::new().await;
    for size in [4, 20 * MIB] {
        world.put("k", vec![1; size]);
        for bits in [0o600, 0o640, 0o755, 0o444] {
            let old = world.path("old");
            std::fs::write(&old, "old").unwrap();
            std::fs::set_permissions(&old, std::fs::Permissions::from_mode(bits)).unwrap();
            world.haul(["cp", "s3://bucket/k", "old"]).run().await.ok();
            assert_eq!(mode(&old), bits);
            assert!(std::fs::read(&old).unwrap() == vec![1; size]);
            std::fs::remove_file(old).unwrap();
        }
    }
    let script = "umask 027; exec \"$HAUL\" cp s3://bucket/k new";
    world.program("sh", ["-c", script]).run().await.ok();
    assert_eq!(mode(&world.path("new")), 0o640, "a new file heeds the umask");
}

/// What a link points at belongs to somebody else.
#[tokio::test]
async fn a_link_is_replaced_and_not_followed() {
    let world = World::new().await;
    world.put("k", "data");
    let target = world.file("target", "old");
    for name in ["target", "nowhere"] {
        let link = world.path("link");
        std::os::unix::fs::symlink(name, &link).unwrap();
        world.haul(["cp", "s3://bucket/k", "link"]).run().await.ok();
        assert!(link.symlink_metadata().unwrap().is_file());
        assert_eq!(std::fs::read(&link).unwrap(), b"data");
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        assert!(!world.path("nowhere").exists());
        std::fs::remove_file(link).unwrap();
    }
}

#[tokio::test]
async fn devices_and_fifos_are_streams() {
    let world = World::new().await;
    for size in [0, 1, 20 * MIB] {
        let bytes = haul_testkit::sizes::pattern(size, 3);
        world.put("k", bytes.clone());
        world.haul(["cp", "s3://bucket/k", "/dev/null"]).run().await.ok();
        let path = fifo(&world, "fifo");
        let reader = tokio::task::spawn_blocking({
            let path = path.clone();
            move || std::fs::read(path).unwrap()
        });
        let done = world.haul(["cp", "s3://bucket/k", "fifo"]).run().await;
        assert_eq!(done.ok().out(), "s3://bucket/k -> fifo\n");
        assert!(reader.await.unwrap() == bytes, "{size}");
        std::fs::remove_file(path).unwrap();
    }
    assert!(std::fs::metadata("/dev/null").unwrap().mode() & 0o020_000 != 0, "still a device");
}

#[tokio::test]
async fn a_local_copy() {
    let world = World::new().await;
    for size in [0, 1, 20 * MIB + 1] {
        let bytes = haul_testkit::sizes::pattern(size, 5);
        world.file("a", &bytes);
        world.haul(["cp", "a", "b"]).run().await.ok();
        assert!(std::fs::read(world.path("b")).unwrap() == bytes, "{size}");
    }
    assert_eq!(world.server.calls().list().len(), 0);
}

#[tokio::test]
async fn names_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let world = World::new().await;
    let odd = std::ffi::OsStr::from_bytes(b"odd-\xff-name");
    world.put("k", "data");
    let (cp, to) = ("cp".as_ref(), "s3://bucket/k".as_ref());
    world.haul([cp, to, odd]).run().await.ok();
    assert_eq!(std::fs::read(world.path(odd)).unwrap(), b"data");
    world.haul([cp, odd, "s3://bucket/named".as_ref()]).run().await.ok();
    let done = world.haul([cp, odd, "s3://bucket/".as_ref()]).run().await;
    done.failed(2, "cannot *: its name is not UTF-8, and S3 keys are (name the key in full)");
}
