//! Symbolic links that somebody else wrote.
//!
//! Owns the rule on where they may lead: beneath the folder that everything is taken to, whatever
//! other links are there.

use std::path::{Component, Path};

use haul_core::{Error, ErrorKind, Op, RelPath, Result};

/// Refuses a link at `path` that could lead out of the folder. It may go up only at its beginning,
/// and no further than the folder: after a name, which may be a link itself, nobody can tell where
/// `..` leads.
pub(crate) fn refuse_escape(path: &RelPath, target: &Path) -> Result<()> {
    // Only the name of a folder ends in a slash, and a link is none.
    let slash = path.as_bytes().ends_with(b"/");
    let depth = path.as_bytes().split(|b| *b == b'/').count() - 1;
    let (mut ups, mut named) = (0, false);
    let inside = target.components().all(|component| match component {
        Component::CurDir => true,
        Component::ParentDir => {
            ups += 1;
            !named && ups <= depth
        }
        Component::Normal(_) => {
            named = true;
            true
        }
        Component::RootDir | Component::Prefix(_) => false,
    });
    if inside
        && !slash
        && !target.as_os_str().is_empty()
        && !target.as_os_str().as_encoded_bytes().contains(&0)
    {
        return Ok(());
    }
    let what = "it is a link that leads out of what is shared";
    Err(Error::new(ErrorKind::Rejected, Op::Receive, path.shown(), what))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// U4.1: links cannot lead out, not even by way of each other.
    #[test]
    fn links_stay_inside() {
        let check = |path: &str, target: &str| {
            refuse_escape(&RelPath::new(path), Path::new(target)).is_ok()
        };
        for (path, target) in
            [("a", "b"), ("d/a", "../b"), ("d/e/a", "../../b/c"), ("a", "./b"), ("d/a", "..")]
        {
            assert!(check(path, target), "{path} -> {target}");
        }
        for (path, target) in [
            ("a", ".."),
            ("a", "/etc/passwd"),
            ("d/a", "../../b"),
            ("d/e/a", "y/../../.."),
            ("d/e/a", "y/.."),
            ("a", ""),
            ("a", "x\0"),
            ("a/", "../b"),
            ("d/a/", "../../b"),
        ] {
            assert!(!check(path, target), "{path} -> {target}");
        }
    }
}
