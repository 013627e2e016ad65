//! Other names for a file whose name is taken.
//!
//! Owns how a number gets into a name, as browsers do it. It looks at no disk: whether a name is
//! free is known only by creating it. It must never make a name too long, or another folder's.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use haul_core::RelPath;

/// Most bytes of a name that all usual file systems take.
const LONGEST: usize = 255;

/// More bytes behind a dot are no extension, but part of a sentence.
const EXTENSION: usize = 16;

/// Names like `path` in the same folder: `report (1).pdf` for `report.pdf`, then `report (2).pdf`,
/// without end. Each has at most 255 bytes, for which the stem is cut where it must be.
///
/// ```
/// use haul_core::RelPath;
/// let mut names = haul_local::free_names(&RelPath::new("a/archive.tar.gz"));
/// assert_eq!(names.next(), Some(RelPath::new("a/archive (1).tar.gz")));
/// assert_eq!(names.next(), Some(RelPath::new("a/archive (2).tar.gz")));
/// ```
pub fn free_names(path: &RelPath) -> impl Iterator<Item = RelPath> + Send + use<> {
    let bytes = path.as_bytes();
    // Stores name folders with a slash at the end.
    let slash = usize::from(bytes.ends_with(b"/"));
    let (bytes, slash) = bytes.split_at(bytes.len() - slash);
    let name_at = bytes.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
    let (folder, name) = bytes.split_at(name_at);
    let cut = if slash.is_empty() { stem(name) } else { name.len() };
    let (stem, extension) = name.split_at(cut);
    let (folder, stem) = (folder.to_vec(), stem.to_vec());
    let tail = [extension, slash].concat();
    let extension = extension.len();
    (1_u64..).map(move |n| {
        let number = format!(" ({n})");
        let room = LONGEST.saturating_sub(number.len() + extension);
        let parts = [&folder, shortened(&stem, room), number.as_bytes(), &tail];
        RelPath::new(OsString::from_vec(parts.concat()))
    })
}

/// Bytes of `name` before its extension; of all of it if it has none.
fn stem(name: &[u8]) -> usize {
    let Some(dot) = last_dot(name) else { return name.len() };
    let (stem, extension) = name.split_at(dot);
    let is_one = (2..=EXTENSION).contains(&extension.len()) && !extension.contains(&b' ');
    if !is_one {
        return name.len();
    }
    // `archive.tar.gz`
    match last_dot(stem) {
        Some(tar) if stem[tar..].eq_ignore_ascii_case(b".tar") => tar,
        _ => dot,
    }
}

/// Where the last dot is that something is in front of.
fn last_dot(name: &[u8]) -> Option<usize> {
    name.iter().rposition(|b| *b == b'.').filter(|at| *at > 0)
}

/// At most `room` bytes of `stem`, not ending within a character.
fn shortened(stem: &[u8], room: usize) -> &[u8] {
    if stem.len() <= room {
        return stem;
    }
    // Bytes after the first of a character in UTF-8; there are three at most.
    let inside = |at: usize| stem.get(at).is_some_and(|b| b & 0xc0 == 0x80);
    let at = (room.saturating_sub(3)..=room).rev().find(|at| !inside(*at)).unwrap_or(room);
    stem.get(..at).unwrap_or(stem)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first(path: &str) -> String {
        free_names(&RelPath::new(path)).next().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn numbers_are_put_before_extensions() {
        for (path, expected) in [
            ("report.pdf", "report (1).pdf"),
            ("archive.tar.gz", "archive (1).tar.gz"),
            ("Archive.TAR.xz", "Archive (1).TAR.xz"),
            ("v1.2.zip", "v1.2 (1).zip"),
            (".bashrc", ".bashrc (1)"),
            (".config.json", ".config (1).json"),
            (".tar.gz", ".tar (1).gz"),
            ("Makefile", "Makefile (1)"),
            ("dot.", "dot. (1)"),
            ("Dr. Who and what came after", "Dr. Who and what came after (1)"),
            ("a.b/c.d/e", "a.b/c.d/e (1)"),
            ("a/photos.2024/", "a/photos.2024 (1)/"),
            ("report (1).pdf", "report (1) (1).pdf"),
        ] {
            assert_eq!(first(path), expected);
        }
        let tenth = free_names(&RelPath::new("a.b")).nth(9);
        assert_eq!(tenth, Some(RelPath::new("a (10).b")));
    }

    #[test]
    fn long_names_stay_within_what_disks_take() {
        let name = format!("folder/{}.pdf", "x".repeat(251));
        assert_eq!(first(&name), format!("folder/{} (1).pdf", "x".repeat(247)));
        // Characters of two bytes are not cut into halves.
        let name = format!("{}.pdf", "é".repeat(125));
        assert_eq!(first(&name), format!("{} (1).pdf", "é".repeat(123)));
    }

    #[test]
    fn names_that_are_no_text() {
        let odd = |bytes: &[u8]| RelPath::new(OsString::from_vec(bytes.to_vec()));
        assert_eq!(free_names(&odd(b"\xff/\xfe.x")).next(), Some(odd(b"\xff/\xfe (1).x")));
        let long = free_names(&odd(&[0x80; 255])).next().unwrap();
        assert_eq!(long.as_bytes(), [&[0x80; 251][..], b" (1)"].concat());
    }

    proptest! {
        #[test]
        fn whatever_it_is_called(name in "[^/\0]{1,300}", n in 0_usize..200) {
            let path = RelPath::new(format!("a/{name}"));
            let made = free_names(&path).nth(n).unwrap();
            let text = made.to_str().unwrap(); // still text
            let name = text.strip_prefix("a/").unwrap();
            prop_assert!(name.len() <= LONGEST);
            let number = format!(" ({})", n + 1);
            prop_assert!(name.contains(&number));
            prop_assert!(made.beneath().is_ok());
        }
    }
}
