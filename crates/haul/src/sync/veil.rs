//! What of a tree was not seen.
//!
//! Owns the paths that a listing could not look at, at and below which nothing is known. What is
//! behind it must never be taken for missing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_core::RelPath;

/// What of one side of a merge was not seen; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Veil(Arc<Mutex<Hidden>>);

#[derive(Debug, Default)]
struct Hidden {
    /// Without slashes at the end.
    paths: BTreeSet<Vec<u8>>,
    /// Likewise, of what was there a moment before.
    vanished: BTreeSet<Vec<u8>>,
    everything: bool,
}

impl Veil {
    fn hidden(&self) -> MutexGuard<'_, Hidden> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is known about what is at `path` and below.
    pub(crate) fn hide(&self, path: &RelPath) {
        let mut hidden = self.hidden();
        if path.as_bytes().is_empty() {
            hidden.everything = true;
        } else {
            hidden.paths.insert(bare(path));
        }
    }

    /// What is at `path` and below was there, and was gone when it was looked at. It may come back, so
    /// it is not missing; but such things happen, and all the rest was seen.
    pub(crate) fn doubt(&self, path: &RelPath) {
        self.hidden().vanished.insert(bare(path));
    }

    /// Nobody knows what was not seen.
    pub(crate) fn hide_everything(&self) {
        self.hidden().everything = true;
    }

    /// Whether all was seen that is there.
    pub(crate) fn is_open(&self) -> bool {
        let hidden = self.hidden();
        !hidden.everything && hidden.paths.is_empty()
    }

    /// Whether nobody knows what was not seen.
    pub(crate) fn is_closed(&self) -> bool {
        self.hidden().everything
    }

    /// Whether `path` is known to be where something was not seen.
    pub(crate) fn hides(&self, path: &RelPath) -> bool {
        let hidden = self.hidden();
        covers(&hidden.paths, path) || covers(&hidden.vanished, path)
    }
}

fn bare(path: &RelPath) -> Vec<u8> {
    let path = path.as_bytes();
    path.strip_suffix(b"/").unwrap_or(path).to_vec()
}

/// Whether `path` is one of `paths`, which have no slash at the end, or below one.
fn covers(paths: &BTreeSet<Vec<u8>>, path: &RelPath) -> bool {
    !paths.is_empty() && covering(paths, path).next().is_some()
}

/// Those of `paths`, which have no slash at the end, that `path` is, or is below.
pub(super) fn covering<'a>(
    paths: &BTreeSet<Vec<u8>>,
    path: &'a RelPath,
) -> impl Iterator<Item = &'a [u8]> {
    let path = path.as_bytes();
    let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    ends.chain([path.len()]).map(|end| &path[..end]).filter(|above| paths.contains(*above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_veil_hides_what_is_at_a_path_and_below() {
        let veil = Veil::default();
        assert!(veil.is_open() && !veil.hides(&RelPath::new("a")));
        veil.hide(&RelPath::new("d/e/"));
        veil.hide(&RelPath::new("f"));
        for hidden in ["d/e", "d/e/", "d/e/x/y", "f", "f/x"] {
            assert!(veil.hides(&RelPath::new(hidden)), "{hidden}");
        }
        for seen in ["d", "d/", "d/ex", "d/x", "fx", "a/f"] {
            assert!(!veil.hides(&RelPath::new(seen)), "{seen}");
        }
        assert!(!veil.is_open() && !veil.is_closed());
        veil.hide(&RelPath::new(""));
        assert!(veil.is_closed());
    }

    /// R.3: what vanished while it was listed stops no removals, and is not removed.
    #[test]
    fn what_vanished_is_hidden_and_the_rest_was_seen() {
        let veil = Veil::default();
        veil.doubt(&RelPath::new("d"));
        assert!(veil.hides(&RelPath::new("d/x")) && veil.hides(&RelPath::new("d")));
        assert!(!veil.hides(&RelPath::new("dx")) && veil.is_open());
    }
}
