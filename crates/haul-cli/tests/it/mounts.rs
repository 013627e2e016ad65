//! One folder under two mount points, as containers and NFS have it.

use crate::harness::World;

/// Runs a script in a mount namespace of its own; `None` where that is not allowed.
async fn mounted(world: &World, script: &str) -> Option<String> {
    let probe = world.program("sh", ["-c", "unshare -rm true"]).run().await;
    if probe.code != 0 {
        eprintln!("skipped: no namespace for mounts: {}", probe.err.trim());
        return None;
    }
    let script = format!("mount --bind a b && {{ {script}; }} 2>&1; echo exit $?");
    let script = script.replace("haul ", &format!("{} ", env!("CARGO_BIN_EXE_haul")));
    let run = world.program("unshare", ["-rm", "sh", "-c", &script]).run().await;
    Some(run.out().to_owned())
}

/// A.2, F.5: a move, a copy and a sync between two mounts of one folder are refused, the other way
/// round and from within as well.
#[tokio::test]
async fn two_mounts_of_one_folder_are_one() {
    let world = World::new().await;
    world.file("a/f", "precious");
    world.file("a/sub/g", "as precious");
    std::fs::create_dir(world.path("b")).unwrap();
    for script in [
        "haul mv a/f b/",
        "haul mv b/f a/f",
        "haul mv -r a/ b/",
        "haul mv -r a/ b/new/",
        "haul mv -r a/sub/ b/sub/",
        "haul mv -r --dry-run a/ b/",
        "haul cp -r a/ b/new/",
        "haul sync --delete a/sub b",
        "haul sync --delete b a/sub",
        "haul sync --delete --max-delete 9 a b",
        "umount b; mount --bind a/sub b; haul sync --delete --max-delete 9 b a",
        "umount b; mount --bind a/sub b; haul mv -r b/ a/sub/",
    ] {
        let Some(said) = mounted(&world, script).await else { return };
        assert!(said.trim_end().ends_with("exit 2"), "{script}: {said}");
    }
    assert_eq!(std::fs::read(world.path("a/f")).unwrap(), b"precious");
    assert_eq!(std::fs::read(world.path("a/sub/g")).unwrap(), b"as precious");
}
