//! What a listing finds, and how it is asked for.
//!
//! Owns the entry, the relative path that names it, and the trait that backends implement to be
//! listed. A relative path is raw and may be hostile: it becomes a file name only through
//! [`RelPath::beneath`].

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use futures::future::BoxFuture;

use crate::error::{Error, Result};
use crate::foreign::Foreign;

/// A path relative to the root of a listing: segments with `/` between them, raw.
///
/// Ordered by bytes, which is the order in which S3 lists keys. There is no `Display`: people see
/// it [`shown`](Self::shown), and what computes with it takes it [`exact`](Self::exact).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(OsString);

/// Why a relative path cannot be the name of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsafeName {
    /// It begins with a slash.
    #[error("its name begins with a slash")]
    Absolute,
    /// Two slashes in a row, or nothing at all: a file system would not tell it from another name.
    #[error("its name has an empty part")]
    Empty,
    /// `.` or `..`.
    #[error("its name has a part {0:?}, which means something else to a file system")]
    Dots(&'static str),
    /// A NUL byte.
    #[error("its name has a NUL in it")]
    Nul,
}

impl RelPath {
    /// A raw path.
    pub fn new(path: impl Into<OsString>) -> Self {
        Self(path.into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_encoded_bytes()
    }

    /// As the operating system names it.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }

    /// As text, if it is UTF-8, which S3 keys are.
    pub fn to_str(&self) -> Option<&str> {
        self.0.to_str()
    }

    /// As people see it: escaped.
    pub fn shown(&self) -> Foreign {
        self.into()
    }

    /// As text to compute with, never to show: what is not UTF-8 becomes U+FFFD.
    pub fn exact(&self) -> Cow<'_, str> {
        self.0.to_string_lossy()
    }

    /// Whether it is empty: the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last segment.
    pub fn name(&self) -> &OsStr {
        Path::new(&self.0).file_name().unwrap_or(&self.0)
    }

    /// This path below `folder`.
    #[must_use]
    pub fn below(&self, folder: &Self) -> Self {
        if folder.is_root() {
            return self.clone();
        }
        let mut path = folder.0.clone();
        if !self.is_root() {
            path.push("/");
            path.push(&self.0);
        }
        Self(path)
    }

    /// The path as one that stays beneath the folder it is joined to; a slash at the end, as
    /// stores have it for folders, is left out.
    ///
    /// ```
    /// use haul_core::RelPath;
    /// assert!(RelPath::new("a/b c%").beneath().is_ok());
    /// for hostile in ["../x", "/etc/passwd", "a//b", "a/./b", "a/..", "", "nul\0"] {
    ///     assert!(RelPath::new(hostile).beneath().is_err(), "{hostile:?}");
    /// }
    /// ```
    pub fn beneath(&self) -> Result<&Path, UnsafeName> {
        let text = self.as_bytes();
        let trimmed = text.strip_suffix(b"/").unwrap_or(text);
        if text.starts_with(b"/") {
            return Err(UnsafeName::Absolute);
        }
        for part in trimmed.split(|b| *b == b'/') {
            match part {
                b"" => return Err(UnsafeName::Empty),
                b"." => return Err(UnsafeName::Dots(".")),
                b".." => return Err(UnsafeName::Dots("..")),
                part if part.contains(&0) => return Err(UnsafeName::Nul),
                _ => {}
            }
        }
        let path = Path::new(&self.0);
        // Only the slash at the end is gone: all else was refused.
        Ok(if trimmed.len() < text.len() { strip_slash(path) } else { path })
    }
}

fn strip_slash(path: &Path) -> &Path {
    // Components skip a slash at the end; `as_path` of all of them is the path without it.
    path.components().as_path()
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A file or an object.
    File,
    /// A folder that has nothing in it, or a marker of one in a store (a key that ends in `/`).
    Folder,
    /// A symbolic link that is to be kept as one, with its target.
    Symlink(PathBuf),
    /// In a listing of versions: a marker that the object was deleted.
    DeleteMarker,
    /// In a listing that is not recursive: a prefix with more below it.
    Prefix,
}

/// One thing that a listing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path below the listing's root.
    pub path: RelPath,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes.
    pub size: u64,
    /// Last modification.
    pub modified: Option<SystemTime>,
    /// When anything about a file was changed last: a time that nobody can set. Not for objects.
    pub changed: Option<SystemTime>,
    /// ETag without its quotes, where there is one.
    pub etag: Option<String>,
    /// Version, in a listing of versions.
    pub version_id: Option<String>,
    /// Whether it is the current version.
    pub latest: bool,
    /// Storage class, as the store names it.
    pub storage_class: Option<String>,
}

impl Entry {
    /// A file of `size` bytes.
    pub fn file(path: impl Into<OsString>, size: u64) -> Self {
        Self {
            path: RelPath::new(path),
            kind: EntryKind::File,
            size,
            modified: None,
            changed: None,
            etag: None,
            version_id: None,
            latest: true,
            storage_class: None,
        }
    }
}

/// Some entries, and what could not be looked at on the way to them.
#[derive(Debug, Default)]
pub struct Page {
    /// Entries, in the order of their paths' bytes within this page and over all pages.
    pub entries: Vec<Entry>,
    /// Things that are there and could not be listed; the rest of the listing goes on.
    pub problems: Vec<Error>,
    /// Where those are: nothing is known about what is at these paths and below. One without a slash at
    /// its end has nothing below it. Fewer than there are problems mean that nobody can tell where.
    pub unseen: Vec<RelPath>,
    /// Names that were read, and that nothing was behind when it was looked at: no problem, and they may
    /// be there again or hidden by a mount, so nothing is known about these paths and below either.
    pub vanished: Vec<RelPath>,
}

/// Something that can be listed, in pages so that memory stays flat.
pub trait Lister: fmt::Debug + Send {
    /// What is listed, for messages.
    fn location(&self) -> String;
    /// The next page; `None` at the end. One attempt: the engine retries, and after an error the
    /// same page is asked for again.
    fn next_page(&mut self) -> BoxFuture<'_, Result<Option<Page>>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_names_a_folder() {
        assert_eq!(RelPath::new("a/b/").beneath(), Ok(Path::new("a/b")));
        assert_eq!(RelPath::new("/").beneath(), Err(UnsafeName::Absolute));
        assert_eq!(RelPath::new("a//").beneath(), Err(UnsafeName::Empty));
        assert_eq!(RelPath::new("...").beneath(), Ok(Path::new("...")));
    }

    #[test]
    fn paths_join_and_have_names() {
        let (root, dir, file) = (RelPath::new(""), RelPath::new("d"), RelPath::new("x/f"));
        assert_eq!(file.below(&root), file);
        assert_eq!(file.below(&dir), RelPath::new("d/x/f"));
        assert_eq!(root.below(&dir), dir);
        assert_eq!(file.name(), "f");
    }
}
