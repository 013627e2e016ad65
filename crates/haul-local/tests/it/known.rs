//! Files that remember what is in them.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use haul_core::RelPath;
use haul_local::{DestinationRoot, Known};

const HASH: [u8; 32] = [0xab; 32];

/// D18: the hash of a file is known until anything of the file changes.
#[tokio::test]
async fn until_anything_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    std::fs::write(&path, b"content").unwrap();
    let root = DestinationRoot::open(dir.path(), false).await.unwrap();
    let open = || Known::open(Arc::clone(&root), RelPath::new("a"));
    assert_eq!(open().await.unwrap().hash().await, None);
    open().await.unwrap().remember(HASH).await;
    if open().await.unwrap().hash().await.is_none() {
        return eprintln!("skipped: this file system keeps no attributes of users");
    }
    assert_eq!(open().await.unwrap().hash().await, Some(HASH));

    // Not by its name.
    std::fs::rename(&path, dir.path().join("b")).unwrap();
    std::fs::rename(dir.path().join("b"), &path).unwrap();
    open().await.unwrap().remember(HASH).await;
    assert_eq!(open().await.unwrap().hash().await, Some(HASH));

    // Written to, and its time set back: what the system notes of that cannot be set.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(b"C", 0).unwrap();
    file.set_modified(modified).unwrap();
    assert_eq!(open().await.unwrap().hash().await, None, "another content");

    // Changed while it was read: what was read is not what is there.
    let known = open().await.unwrap();
    file.write_all_at(b"D", 0).unwrap();
    known.remember(HASH).await;
    assert_eq!(open().await.unwrap().hash().await, None, "not this content");
}
