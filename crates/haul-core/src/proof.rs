//! What was read.
//!
//! Owns the proof that a removal asks for: what the content was that was committed elsewhere. Only what
//! is still the same may be removed. Must never be made up from a listing or a name.

use std::path::PathBuf;
use std::time::SystemTime;

/// What the content was that a transfer has read, told by what an edit or a replacement changes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proof {
    /// A file.
    File(FileStamp),
    /// A symbolic link, and where it leads.
    Link(PathBuf),
    /// An object.
    Object(ObjectStamp),
}

/// A file as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileStamp {
    /// The device it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// When its content was changed last: seconds since 1970, and nanoseconds.
    pub modified: (i64, i64),
    /// When anything about it was changed last: this time cannot be set. A rename changes it.
    pub changed: (i64, i64),
    /// How many names it has.
    pub links: u64,
}

impl FileStamp {
    /// Whether a file that is `now` like this is the one that was read, as far as a rename lets that be
    /// told.
    pub fn is_same(&self, now: &Self) -> bool {
        let told = |s: &Self| (s.device, s.inode, s.size, s.modified);
        told(self) == told(now)
    }

    /// The same, and nothing was done to it since: an edit whose time was put back shows. Names that come
    /// and go change that time, too, so it is held against a file that had one name and has it still.
    pub fn is_untouched(&self, now: &Self) -> bool {
        let one_name = self.links == 1 && now.links == 1;
        self.is_same(now) && (!one_name || self.changed == now.changed)
    }
}

/// An object as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectStamp {
    /// Bytes.
    pub size: u64,
    /// Its ETag, without quotes; a weak one begins with `W/`.
    pub etag: Option<String>,
    /// Its version, where the bucket has versions.
    pub version_id: Option<String>,
    /// When it was written, in whole seconds.
    pub modified: Option<SystemTime>,
}

impl ObjectStamp {
    /// The ETag, if it stands for the very bytes.
    pub fn strong_etag(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| !etag.is_empty() && !etag.starts_with("W/"))
    }

    /// Whether it tells one content from another.
    pub fn tells(&self) -> bool {
        self.strong_etag().is_some() || self.version_id.is_some()
    }
}

impl Proof {
    /// The strong ETag of the object that was read.
    pub fn strong_etag(&self) -> Option<&str> {
        match self {
            Self::Object(object) => object.strong_etag(),
            _ => None,
        }
    }
}
