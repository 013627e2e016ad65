//! Files that remember the object that they are a copy of.

use std::path::Path;
use std::time::{Duration, SystemTime};

use haul_core::{ObjectStamp, Proof};
use haul_local::{Durability, FsyncPolicy, LocalTarget, Origin, recall, recall_all, remember};

use crate::kit;

/// Whether the file system of `folder` keeps such attributes.
fn kept(folder: &Path) -> bool {
    let path = folder.join("probe");
    let file = std::fs::File::create(&path).unwrap();
    remember(&file, &Origin { etag: "x".to_owned() });
    let kept = recall(&path).is_some();
    std::fs::remove_file(path).unwrap();
    if !kept {
        eprintln!("skipped: this file system keeps no attributes of users");
    }
    kept
}

#[tokio::test]
async fn until_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    let durability = Durability::new(FsyncPolicy::Never);
    let target = LocalTarget::new(&path, durability).remembering();
    let mut spec = kit::spec(4);
    spec.attributes.modified = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let read = ObjectStamp { etag: Some("abc-2".to_owned()), ..ObjectStamp::default() };
    spec.read = Some(Proof::Object(read));
    kit::write_as(&target, &spec, b"data").await.unwrap();
    if !kept(dir.path()) {
        return;
    }
    assert_eq!(recall(&path).as_deref(), Some("abc-2"));
    let moved = dir.path().join("b");
    std::fs::rename(&path, &moved).unwrap();
    let missing = dir.path().join("missing");
    let all = recall_all(vec![missing, moved.clone()]).await.unwrap();
    assert_eq!(all, [None, Some("abc-2".to_owned())]);

    let file = std::fs::File::options().write(true).open(&moved).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    file.set_len(3).unwrap();
    file.set_modified(before).unwrap();
    assert_eq!(recall(&moved), None, "another size");
    remember(&file, &Origin { etag: "def".to_owned() });
    assert_eq!(recall(&moved).as_deref(), Some("def"));
    file.set_modified(before + Duration::from_nanos(1)).unwrap();
    assert_eq!(recall(&moved), None, "another time");
}

#[tokio::test]
async fn only_with_an_origin() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    kit::write(&LocalTarget::new(&path, Durability::default()), b"data").await.unwrap();
    assert_eq!(recall(&path), None);
    let file = std::fs::File::open(&path).unwrap();
    remember(&file, &Origin { etag: String::new() });
    remember(&file, &Origin { etag: "x".repeat(100_000) });
    assert_eq!(recall(&path), None);
}
