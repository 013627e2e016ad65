//! What there is: every file, folder and object of the world, by place and path.
//!
//! Owns the state that the model computes with and the world is read into, and how trees are listed.
//! Must never touch a disk or a store.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::SystemTime;

/// A name space: two things are one if both their space and their path are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Space {
    /// The disk; paths are relative to the one real folder.
    Disk,
    /// One of [`BUCKETS`].
    Bucket(usize),
}

/// The buckets: which store, which name. Two stores have a bucket of one name.
pub(crate) const BUCKETS: [(usize, &str); 3] = [(0, "bkt0"), (0, "bkt1"), (1, "bkt0")];

impl Space {
    pub(crate) fn is_disk(self) -> bool {
        self == Self::Disk
    }

    /// The store of a bucket.
    pub(crate) fn store(self) -> Option<usize> {
        match self {
            Self::Disk => None,
            Self::Bucket(i) => Some(BUCKETS[i].0),
        }
    }
}

/// One thing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) space: Space,
    /// Segments with slashes between them; a key that ends in a slash marks a folder.
    pub(crate) path: String,
}

impl At {
    pub(crate) fn new(space: Space, path: impl Into<String>) -> Self {
        Self { space, path: path.into() }
    }

    /// Bucket and path as they are shown; store B's bucket is told apart by its index.
    pub(crate) fn shown(&self) -> String {
        match self.space {
            Space::Disk => self.path.trim_end_matches('/').to_owned(),
            Space::Bucket(i) => format!("s3://{}/{}", BUCKETS[i].1, self.path),
        }
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.space {
            Space::Disk => write!(f, "{:?}", self.path),
            Space::Bucket(i) => write!(f, "{:?}@{i}", self.shown()),
        }
    }
}

/// What is there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// `None` for a folder.
    pub(crate) content: Option<Rc<str>>,
    pub(crate) modified: SystemTime,
    /// When a file was last changed in any way.
    pub(crate) changed: SystemTime,
    /// The time that an object carries as metadata.
    pub(crate) kept: Option<SystemTime>,
    /// Whether a file says which object it is a copy of.
    pub(crate) origin: bool,
}

impl Node {
    pub(crate) fn is_folder(&self) -> bool {
        self.content.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        self.content.as_ref().map_or(0, |c| c.len())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Some(content) => write!(f, "{content:?}"),
            None => f.write_str("folder"),
        }
    }
}

/// Everything.
pub(crate) type State = BTreeMap<At, Node>;

/// An entry of a listed tree.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Below the tree; with a slash at the end for a folder.
    pub(crate) rel: String,
    pub(crate) at: At,
    pub(crate) node: Node,
}

impl Entry {
    pub(crate) fn is_folder(&self) -> bool {
        self.rel.ends_with('/')
    }
}

/// A tree: a folder, or a prefix with its slash, empty for a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) space: Space,
    pub(crate) path: String,
}

impl Tree {
    /// The tree that a path names, with or without a slash.
    pub(crate) fn named(space: Space, path: &str) -> Self {
        let slash = if path.is_empty() || path.ends_with('/') { "" } else { "/" };
        Self { space, path: format!("{path}{slash}") }
    }

    /// What a path below it is.
    pub(crate) fn at(&self, rel: &str) -> At {
        At::new(self.space, format!("{}{rel}", self.path))
    }

    /// Whether a thing is below it.
    pub(crate) fn holds(&self, at: &At) -> bool {
        at.space == self.space && at.path.len() > self.path.len() && at.path.starts_with(&self.path)
    }

    /// Whether another tree is inside of it, or is it.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        self.space == other.space && other.path.starts_with(&self.path)
    }

    /// Whether the two are called alike, in two stores.
    pub(crate) fn is_called_like(&self, other: &Self) -> bool {
        let (Space::Bucket(a), Space::Bucket(b)) = (self.space, other.space) else { return false };
        let nested = self.path.starts_with(&other.path) || other.path.starts_with(&self.path);
        a != b && BUCKETS[a].1 == BUCKETS[b].1 && nested
    }

    /// Its path without a slash.
    pub(crate) fn bare(&self) -> &str {
        self.path.strip_suffix('/').unwrap_or(&self.path)
    }

    /// Files and objects below it, and the folders that have nothing in them (on a disk) or a marker
    /// (in a store), in the order of their bytes.
    pub(crate) fn list(&self, state: &State) -> Vec<Entry> {
        let mut found = Vec::new();
        for (at, node) in state.iter().filter(|(at, _)| self.holds(at)) {
            let mut rel = at.path[self.path.len()..].to_owned();
            if self.space.is_disk() && node.is_folder() {
                let below = Self::named(self.space, &at.path);
                if state.keys().any(|k| below.holds(k)) {
                    continue;
                }
                rel.push('/');
            }
            found.push(Entry { rel, at: at.clone(), node: node.clone() });
        }
        found.sort_by(|a, b| a.rel.cmp(&b.rel));
        found
    }
}

/// The folder that something on the disk is in.
pub(crate) fn parent(path: &str) -> Option<&str> {
    path.trim_end_matches('/').rsplit_once('/').map(|(parent, _)| parent)
}

/// All folders that something on the disk is in, from the deepest up.
pub(crate) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(path), |p| parent(p))
}

/// The last segment.
pub(crate) fn name_of(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// A folder on the disk, as the model makes one.
pub(crate) fn folder() -> Node {
    Node {
        content: None,
        modified: SystemTime::UNIX_EPOCH,
        changed: SystemTime::UNIX_EPOCH,
        kept: None,
        origin: false,
    }
}

/// Adds the folders that a path on the disk is in.
pub(crate) fn make_parents(state: &mut State, path: &str) {
    for above in ancestors(path) {
        state.entry(At::new(Space::Disk, above)).or_insert_with(folder);
    }
}
