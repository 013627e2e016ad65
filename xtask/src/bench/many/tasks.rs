//! Owns what is measured: the kinds of work, and each with its number of items.
//!
//! Must never: know how a client is told to do it.

use super::Args;

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Upload,
    Download,
    /// Two trees that are the same already.
    Sync,
    List,
}

impl Work {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Sync => "sync",
            Self::List => "list",
        }
    }
}

/// Work on so many items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) work: Work,
    pub(super) items: usize,
}

impl Task {
    /// All of them, in the order they run in.
    pub(super) fn all(args: &Args) -> Vec<Self> {
        let task = |work, items| Self { work, items };
        let moves =
            args.files.iter().flat_map(|n| [task(Work::Upload, *n), task(Work::Download, *n)]);
        let sync = args.files.iter().max().map(|most| task(Work::Sync, *most));
        let list = (args.keys > 0).then(|| task(Work::List, args.keys));
        moves.chain(sync).chain(list).collect()
    }

    /// What samples and file names go by.
    pub(super) fn name(self) -> String {
        format!("{} {}", self.work.name(), self.items)
    }
}
