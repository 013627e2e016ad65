//! Where a path leads.
//!
//! Owns the identity of files and folders: what the file system knows them by, whatever links,
//! mounts and spellings their names go through, and for what does not exist yet the place where it
//! would be. Looks only; it must never change anything.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use haul_core::{Op, Result};

use crate::waiting;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Device and inode of the deepest that exists, then of every folder that it is in.
    chain: Vec<(u64, u64)>,
    /// The names below it that do not exist.
    rest: Vec<OsString>,
    /// The path without links, as this machine calls it.
    path: PathBuf,
    /// The path within its file system, and which one that is: folders that are mounted elsewhere
    /// hide what they are in.
    within: Option<(String, PathBuf)>,
}

impl Whereabouts {
    /// Where `path` leads, through links. Never an error: what cannot be looked at is where the last
    /// folder is that can.
    pub async fn of(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let location = path.to_string_lossy().into_owned();
        waiting(Op::Stat, &location, move || Ok(Self::now(&path))).await
    }

    /// The same. Blocking.
    pub fn now(path: &Path) -> Self {
        let (there, rest) = deepest(path);
        let id = |p: &Path| std::fs::metadata(p).map(|m| (m.dev(), m.ino())).ok();
        let chain = there.ancestors().filter_map(id).collect();
        let mut within = within(&there);
        if let Some((_, path)) = &mut within {
            path.extend(&rest);
        }
        let mut path = there;
        path.extend(&rest);
        Self { chain, rest, path, within }
    }

    /// The path from `other` down to this, where `other` holds it and is not the same.
    pub fn below(&self, other: &Self) -> Option<PathBuf> {
        let within = |top: &Path, path: &Path| {
            let rest = path.strip_prefix(top).ok()?;
            (!rest.as_os_str().is_empty()).then(|| rest.to_owned())
        };
        within(&other.path, &self.path).or_else(|| match (&self.within, &other.within) {
            (Some((a, path)), Some((b, top))) if a == b => within(top, path),
            _ => None,
        })
    }

    /// Whether both lead to the same.
    pub fn is(&self, other: &Self) -> bool {
        let known = !self.chain.is_empty() && self.chain.first() == other.chain.first();
        known && self.rest == other.rest || self.within.is_some() && self.within == other.within
    }

    /// Whether `other` is the same, or inside.
    pub fn holds(&self, other: &Self) -> bool {
        let inside = match (self.chain.first(), self.rest.is_empty()) {
            (None, _) => false,
            (Some(top), true) => other.chain.contains(top),
            (top, false) => top == other.chain.first() && other.rest.starts_with(&self.rest),
        };
        let beneath = match (&self.within, &other.within) {
            (Some((a, top)), Some((b, path))) => a == b && path.starts_with(top),
            _ => false,
        };
        inside || beneath
    }
}

/// The deepest part of a path that exists, as the file system calls it, and the names below it.
fn deepest(path: &Path) -> (PathBuf, Vec<OsString>) {
    let mut left = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let (mut rest, mut up) = (Vec::new(), 0_usize);
    loop {
        if let Ok(there) = left.canonicalize() {
            // What `..` still takes away is there.
            let there = there.ancestors().nth(up).unwrap_or(Path::new("/")).to_owned();
            rest.reverse();
            return (there, rest);
        }
        match left.components().next_back() {
            Some(Component::ParentDir) => up += 1,
            Some(Component::Normal(_)) if up > 0 => up -= 1,
            Some(Component::Normal(name)) => rest.push(name.to_owned()),
            _ => {}
        }
        left = match left.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ if left == Path::new(".") => Path::new("/"),
            _ => Path::new("."),
        };
    }
}

/// The file system that a path without links is on, and the path in it.
#[cfg(target_os = "linux")]
fn within(path: &Path) -> Option<(String, PathBuf)> {
    use std::os::unix::ffi::OsStringExt as _;
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    let mut found: Option<(String, PathBuf, PathBuf)> = None;
    for line in table.split(|b| *b == b'\n') {
        // "36 35 98:0 /root /point options ...": number, parent, device, root, mount point.
        let mut fields = line.split(|b| *b == b' ').skip(2);
        let (Some(device), Some(root), Some(point)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let point = PathBuf::from(OsString::from_vec(unescaped(point)));
        let deeper = found.as_ref().is_none_or(|(_, _, best)| point.starts_with(best));
        // Of several at one place the last hides the others.
        if path.starts_with(&point) && deeper {
            let root = PathBuf::from(OsString::from_vec(unescaped(root)));
            found = Some((String::from_utf8_lossy(device).into_owned(), root, point));
        }
    }
    let (device, root, point) = found?;
    let below = path.strip_prefix(&point).ok()?;
    Some((device, if below.as_os_str().is_empty() { root } else { root.join(below) }))
}

/// Elsewhere there is no such table.
#[cfg(not(target_os = "linux"))]
fn within(_: &Path) -> Option<(String, PathBuf)> {
    None
}

/// A name as the table of mounts writes it: `\040` is a space.
#[cfg(target_os = "linux")]
fn unescaped(text: &[u8]) -> Vec<u8> {
    let octal = |digits: &[u8]| {
        let digits = digits.iter().map(|d| (b'0'..=b'7').contains(d).then(|| u32::from(d - b'0')));
        let value = digits.collect::<Option<Vec<_>>>()?.iter().fold(0, |v, d| v * 8 + d);
        u8::try_from(value).ok()
    };
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while at < text.len() {
        let coded = text.get(at + 1..at + 4).filter(|_| text[at] == b'\\').and_then(octal);
        out.push(coded.unwrap_or(text[at]));
        at += if coded.is_some() { 4 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: impl AsRef<Path>) -> Whereabouts {
        Whereabouts::now(path.as_ref())
    }

    #[test]
    fn names_of_one_thing_are_one() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/f"), "x").unwrap();
        std::os::unix::fs::symlink("a", root.join("link")).unwrap();
        assert!(at(root.join("a/b")).is(&at(root.join("link/./b/../b/"))));
        assert!(at(root.join("a/b/f")).is(&at(root.join("link/b/f"))));
        assert!(!at(root.join("a")).is(&at(root.join("a/b"))));
        assert!(at(root.join("a/new/x")).is(&at(root.join("link/new/x"))));
        assert!(at(root.join("a/new")).is(&at(root.join("a/no/../new"))));
        assert!(!at(root.join("a/new")).is(&at(root.join("a/other"))));
        // What does not exist is nowhere but where its folder is.
        assert!(!at(root.join("a/new")).is(&at(root.join("a"))));
    }

    #[test]
    fn folders_hold_what_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir_all(root.join("ab")).unwrap();
        std::os::unix::fs::symlink(root.join("a/b"), root.join("link")).unwrap();
        for inside in ["a", "a/b", "a/new/deep", "link", "link/new"] {
            assert!(at(root.join("a")).holds(&at(root.join(inside))), "{inside}");
        }
        let below = |path: &str| at(root.join(path)).below(&at(root.join("a")));
        assert_eq!(below("link/new"), Some("b/new".into()));
        assert_eq!((below("a"), below("ab")), (None, None));
        for outside in ["", "ab", "ab/new", "new"] {
            assert!(!at(root.join("a")).holds(&at(root.join(outside))), "{outside}");
        }
        assert!(at(root.join("new")).holds(&at(root.join("new/x"))));
        assert!(!at(root.join("new")).holds(&at(root.join("newer/x"))));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_table_of_mounts_is_read_as_it_is_written() {
        assert_eq!(unescaped(br"/a\040b\134c"), br"/a b\c");
        assert_eq!(unescaped(br"/a\9"), br"/a\9");
    }
}
