//! Files that cannot be read or written: one line, the destination as it was.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::harness::{Run, World};

pub(crate) fn fifo(world: &World, name: &str) -> std::path::PathBuf {
    let path = world.path(name);
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    path
}

#[tokio::test]
async fn a_source_that_is_no_file() {
    let world = World::new().await;
    std::fs::create_dir(world.path("folder")).unwrap();
    fifo(&world, "fifo");
    let folder = "cannot open *: it is a folder (-r takes all that is below it)";
    let stream = "cannot open *: it is no regular file (a stream can be piped in: *)";
    for to in ["s3://bucket/x", "x"] {
        for (from, line) in [
            ("folder", folder),
            ("folder/", folder),
            (".", folder),
            ("/", folder),
            ("fifo", stream),
            ("/dev/zero", stream),
            ("/dev/null", stream),
        ] {
            world.refuses(["cp", from, to], 2, line).await;
        }
    }
    assert_eq!(world.server.calls().list().len(), 0, "no request was needed to know");
}

#[tokio::test]
async fn a_source_that_is_a_socket() {
    let world = World::new().await;
    let _socket = UnixListener::bind(world.path("socket")).unwrap();
    let line = "cannot open socket: it is no regular file*";
    world.refuses(["cp", "socket", "s3://bucket/x"], 2, line).await;
}

#[tokio::test]
async fn a_destination_below_a_file() {
    let world = World::new().await;
    world.file("file", "old");
    world.put("k", "data");
    world.file("a", "data");
    let line = "cannot start writing file/*: part of the path is not a folder";
    for to in ["file/x", "file/", "file/a/b"] {
        world.refuses(["cp", "s3://bucket/k", to], 2, line).await;
        world.refuses(["cp", "a", to], 2, line).await;
    }
}

/// Nothing exists there, so there is nothing to leave alone: a skip with exit 0 would be a lie.
#[tokio::test]
async fn no_clobber_does_not_hide_that() {
    let world = World::new().await;
    world.file("file", "old");
    world.put("k", "data");
    let line = "cannot start writing file/x: part of the path is not a folder";
    world.refuses(["cp", "-n", "s3://bucket/k", "file/x"], 2, line).await;
}

#[tokio::test]
async fn a_destination_that_is_a_folder_by_another_name() {
    let world = World::new().await;
    world.put("k", "data");
    std::fs::create_dir_all(world.path("into/k")).unwrap();
    let line = "cannot start writing into/k: it is a folder";
    world.refuses(["cp", "s3://bucket/k", "into"], 2, line).await;
    world.refuses(["cp", "-n", "s3://bucket/k", "into"], 2, line).await;
}

#[tokio::test]
async fn a_name_that_no_file_system_takes() {
    let world = World::new().await;
    world.put("k", "data");
    let long = "n".repeat(256);
    let line = "cannot * *nnn: *ame too long";
    world.refuses(["cp", "s3://bucket/k", &long], 1, line).await;
    world.refuses(["cp", "s3://bucket/k", &format!("new/{long}")], 1, line).await;
    world.put(&long, "data");
    world.refuses(["cp", &format!("s3://bucket/{long}"), "."], 1, line).await;
    // 255 bytes are a name, and haul's temporary one may not need more.
    world.haul(["cp", "s3://bucket/k", &long[1..]]).run().await.ok();
    assert_eq!(std::fs::read(world.path(&long[1..])).unwrap(), b"data");
}

#[tokio::test]
async fn a_file_system_that_takes_no_files() {
    let world = World::new().await;
    world.put("k", "data");
    let done = world.haul(["cp", "s3://bucket/k", "/proc/haul-test"]).run().await;
    assert!(matches!(done.code, 1 | 4 | 5), "{done}");
    done.failed(done.code, "cannot start writing /proc/haul-test: *");
}

/// The binary as somebody whom permissions bind.
fn as_nobody(world: &World, args: [&str; 3]) -> Run {
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&world.path(""), 0o755);
    if !rustix::process::geteuid().is_root() {
        return world.haul(args);
    }
    // The build folder may be closed to others.
    let copy = world.path("haul-copy");
    if !copy.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_haul"), &copy).unwrap();
        open(&copy, 0o755);
    }
    world.program(copy.to_str().unwrap(), args).env("HOME", "/").uid(65534)
}

#[tokio::test]
async fn permissions_are_respected() {
    let world = World::new().await;
    world.put("k", "data");
    let old = world.file("closed/old", "old");
    let secret = world.file("secret", "mine");
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&world.path("closed"), 0o555);
    mode(&secret, 0o000);
    let denied = "cannot *: permission denied";
    for to in ["closed/old", "closed/new", "closed/sub/new"] {
        as_nobody(&world, ["cp", "s3://bucket/k", to]).run().await.failed(5, denied);
    }
    as_nobody(&world, ["cp", "secret", "s3://bucket/x"]).run().await.failed(5, denied);
    mode(&world.path("closed"), 0o755);
    assert_eq!(std::fs::read(old).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(world.path("closed")).unwrap().count(), 1);
    assert_eq!(world.server.store().keys("bucket"), ["k"]);
}
