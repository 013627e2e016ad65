//! Parts of uploads that are over.
//!
//! Owns: what `s3s-fs` leaves of an upload that ended while one of its parts was being written. A part
//! looks for its upload once it is there, and whoever ends an upload looks for parts once it is gone:
//! whichever comes last finds the other's work done. Must never touch a file of any other name.

use std::io;
use std::path::Path;

/// Whether `id` is in the form that uploads are given, and is no path.
fn is_id(id: &str) -> bool {
    let form = |(at, b): (usize, u8)| match at {
        8 | 13 | 18 | 23 => b == b'-',
        _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
    };
    id.len() == 36 && id.bytes().enumerate().all(form)
}

/// Whether an upload is there still, now that a part of it was written; if not, the part is gone.
pub(crate) async fn belongs(root: &Path, upload: &str, part: i32) -> io::Result<bool> {
    if !is_id(upload) || tokio::fs::try_exists(root.join(format!(".upload-{upload}.json"))).await? {
        return Ok(true);
    }
    match tokio::fs::remove_file(root.join(format!(".upload_id-{upload}.part-{part}"))).await {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(false),
    }
}

/// Removes the parts that are there of an upload that is over.
pub(crate) async fn sweep(root: &Path, upload: &str) -> io::Result<()> {
    if !is_id(upload) {
        return Ok(());
    }
    let prefix = format!(".upload_id-{upload}.part-");
    let mut entries = tokio::fs::read_dir(root).await?;
    while let Some(entry) = entries.next_entry().await? {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
            match tokio::fs::remove_file(entry.path()).await {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    #[tokio::test]
    async fn what_is_over_keeps_no_part_and_nothing_else_goes() {
        let dir = tempfile::tempdir().unwrap();
        let other = ID.replace('6', "7");
        for name in [
            format!(".upload-{other}.json"),
            format!(".upload_id-{ID}.part-1"),
            format!(".upload_id-{ID}.part-2"),
            format!(".upload_id-{other}.part-1"),
        ] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        assert!(belongs(dir.path(), &other, 1).await.unwrap());
        assert!(!belongs(dir.path(), ID, 1).await.unwrap());
        assert!(!belongs(dir.path(), ID, 1).await.unwrap());
        sweep(dir.path(), ID).await.unwrap();
        for id in ["", "..", "../../../../../../../../../../../../x", &ID.to_uppercase()] {
            sweep(dir.path(), id).await.unwrap();
            assert!(belongs(dir.path(), id, 1).await.unwrap());
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
