//! Many small files at once.

use std::sync::Arc;

use haul_core::lanes::Lanes;
use haul_core::{RelPath, Target as _};
use haul_local::{DestinationRoot, Durability, FsyncPolicy, LocalTarget};

use crate::kit::{spec, tree, write};

/// Files that finish together share flushes, and each hears of its own.
#[tokio::test]
async fn groups_answer_everybody() {
    for lanes in [0, 2] {
        let (lanes, dir) = (Lanes::new(lanes), tempfile::tempdir().unwrap());
        let root = DestinationRoot::open(dir.path(), false).await.unwrap();
        let durability = Durability::new(FsyncPolicy::Auto);
        let mut tasks = tokio::task::JoinSet::new();
        for i in 0..256 {
            let path = RelPath::new(format!("{}/{i}", i % 7));
            let target = LocalTarget::beneath(Arc::clone(&root), path, durability.clone());
            let work = async move { write(&target, b"x").await };
            tasks.spawn_on(work, &lanes.handle(i));
        }
        for outcome in tasks.join_all().await {
            outcome.unwrap();
        }
        assert_eq!(tree(dir.path()).len(), 256 + 7);
    }
}

/// Whoever asks later is not stuck behind a runtime that has ended.
#[test]
fn a_runtime_that_ends_takes_nobody_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let durability = Durability::new(FsyncPolicy::Auto);
    for round in 0..20 {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let target = |name| LocalTarget::new(dir.path().join(name), durability.clone());
        let (lost, kept) = (target(format!("lost-{round}")), target(format!("kept-{round}")));
        let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
        other.spawn(async move { write(&lost, b"x").await });
        other.block_on(tokio::task::yield_now());
        other.shutdown_background();
        runtime.block_on(write(&kept, b"x")).unwrap();
    }
}

/// The space of a large file is reserved, so its length says nothing about what was written.
#[tokio::test]
async fn a_file_with_a_hole_is_never_made_visible() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let target = LocalTarget::new(path.clone(), Durability::default());
    let upload = target.begin(&spec(1 << 20)).await.unwrap();
    let e = upload.commit(&[], &haul_core::Sums::default()).await.unwrap_err();
    assert_eq!(e.kind(), haul_core::ErrorKind::Verification);
    assert!(!path.exists());
}
