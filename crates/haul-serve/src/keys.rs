//! Which keys can be paths, and what a key is on disk.
//!
//! Owns: that question. Must never write, nor answer for a path outside of its bucket.

use std::io;
use std::path::Path;

use s3s::{S3Error, S3Result, s3_error};

/// Longest file name on the usual file systems, in bytes.
const NAME_MAX: usize = 255;

/// How an object comes to be. Each keeps notes (its attributes) in a file named after the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// PutObject: an empty object whose key ends in `/` makes a folder.
    Put,
    /// CopyObject.
    Copy,
    /// CreateMultipartUpload and CompleteMultipartUpload.
    Multipart,
}

/// What a key is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file: an object.
    File,
    /// A folder. To S3 it is no object.
    Folder,
    /// Nothing, and nothing in the way.
    Nothing,
    /// Nothing, and nothing can be: why.
    Never(&'static str),
}

/// Looks where `key` would be in the folder of its bucket.
pub(crate) async fn place(bucket: &Path, key: &str) -> S3Result<Place> {
    if let Some(why) = unfit(key) {
        return Ok(Place::Never(why));
    }
    match tokio::fs::metadata(bucket.join(key)).await {
        Ok(found) if found.is_dir() => Ok(Place::Folder),
        Ok(_) => Ok(Place::File),
        Err(e) => match e.kind() {
            io::ErrorKind::NotFound => Ok(Place::Nothing),
            io::ErrorKind::NotADirectory => Ok(Place::Never("a part of its path is a file")),
            io::ErrorKind::InvalidFilename => Ok(Place::Never("its path is too long")),
            _ => Err(S3Error::internal_error(e)),
        },
    }
}

/// Refuses to read what is no file.
pub(crate) async fn readable(bucket: &Path, key: &str) -> S3Result<()> {
    match place(bucket, key).await? {
        Place::File => Ok(()),
        Place::Folder => Err(s3_error!(NoSuchKey, "it is a folder")),
        Place::Nothing | Place::Never(_) => Err(s3_error!(NoSuchKey, "the key does not exist")),
    }
}

/// Refuses to write what a folder cannot hold, or would hold under another key.
pub(crate) async fn writable(root: &Path, bucket: &str, key: &str, how: Write) -> S3Result<()> {
    let marker = key.ends_with('/');
    let place = place(&root.join(bucket), key).await?;
    let why = match place {
        Place::Never(why) => why,
        Place::Folder if !marker => "it is the path of a folder",
        _ if marker && how != Write::Put => "a key that ends in / must be put, and be empty",
        // Folders have no notes.
        _ if !marker && notes_len(bucket, key, how) > NAME_MAX => {
            "it is too long to keep attributes for"
        }
        Place::File | Place::Folder | Place::Nothing => return Ok(()),
    };
    Err(s3_error!(InvalidArgument, "a folder cannot hold this key: {why}"))
}

/// Why `key` cannot be a path of its own, if it cannot.
fn unfit(key: &str) -> Option<&'static str> {
    // The end of a folder is no segment of it.
    let mut segments = key.strip_suffix('/').unwrap_or(key).split('/');
    segments.find_map(|segment| match segment {
        "" => Some("it has an empty segment"),
        "." | ".." => Some("it has a segment that is . or .."),
        s if s.len() > NAME_MAX => Some("it has a segment of more than 255 bytes"),
        s if s.contains('\0') => Some("it has a NUL character"),
        _ => None,
    })
}

/// Length of the longest name that s3s-fs derives from a key it writes (`get_metadata_path`).
fn notes_len(bucket: &str, key: &str, how: Write) -> usize {
    let base64 = |s: &str| (s.len() * 4).div_ceil(3);
    let upload = if how == Write::Multipart { ".upload-".len() + 36 } else { 0 };
    let fixed = ".bucket-".len() + ".object-".len() + ".metadata.json".len();
    fixed + base64(bucket) + base64(key) + upload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_are_paths_fit() {
        let long = "x".repeat(NAME_MAX);
        for key in ["a", "a/b", "a/", "a b\u{1b}", "...", &long, &format!("{long}/{long}")] {
            assert_eq!(unfit(key), None, "{key}");
        }
        let longer = format!("a/{long}x");
        for key in ["", "/", "/a", "a//b", "a//", "./a", "a/..", "a/../b", "a\0", &longer] {
            assert!(unfit(key).is_some(), "{key}");
        }
    }

    #[tokio::test]
    async fn a_place_is_a_file_a_folder_nothing_or_never() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        std::fs::write(dir.path().join("file"), b"").unwrap();
        let at = async |key| place(dir.path(), key).await.unwrap();
        assert_eq!(at("file").await, Place::File);
        assert_eq!(at("folder").await, Place::Folder);
        assert_eq!(at("folder/").await, Place::Folder);
        assert_eq!(at("folder/none").await, Place::Nothing);
        assert!(matches!(at("file/").await, Place::Never(_)));
        assert!(matches!(at("file/a/b").await, Place::Never(_)));
        let deep = vec!["x".repeat(NAME_MAX); 20].join("/");
        assert!(matches!(place(dir.path(), &deep).await, Ok(Place::Never(_))));
    }
}
