//! What a share has to give.
//!
//! Owns the contents by their hashes and the manifest in the order in which it became known. Both
//! only grow: a receiver that comes early gets what there is, and the rest as it is hashed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haul_core::Source;
use iroh_blobs::hashseq::HashSeq;
use tokio::sync::watch;

use crate::outline::Outline;
use crate::wire::{self, Kind, PAGE};

/// One content.
#[derive(Debug)]
pub(crate) struct Stock {
    /// Where it is: every file that has these bytes.
    sources: Mutex<Vec<Arc<dyn Source>>>,
    pub(crate) outline: Outline,
}

impl Stock {
    pub(crate) fn new(source: Arc<dyn Source>, outline: Outline) -> Self {
        Self { sources: Mutex::new(vec![source]), outline }
    }

    /// Where it is, in the order in which it was found.
    pub(crate) fn sources(&self) -> Vec<Arc<dyn Source>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<dyn Source>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a content is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It may still come: not everything is hashed.
    NotYet,
    /// It is not shared.
    Unknown,
}

#[derive(Debug, Default)]
struct State {
    contents: HashMap<[u8; 32], Arc<Stock>>,
    entries: Vec<Arc<wire::Entry>>,
    complete: bool,
    /// The collection that all of it is, for peers that know nothing else.
    collection: Option<([u8; 32], HashSeq)>,
}

/// All contents of a share.
#[derive(Debug)]
pub(crate) struct Shelf {
    state: Mutex<State>,
    grown: watch::Sender<()>,
}

/// Some entries from a position on.
#[derive(Debug)]
pub(crate) enum Page {
    /// These, and the position after them.
    Some(Vec<Arc<wire::Entry>>, usize),
    /// None yet.
    NotYet,
    /// There are no more.
    End(usize),
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), grown: watch::channel(()).0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a content; to one that is there already, the places where it is, too.
    pub(crate) fn stock(&self, stock: Stock) {
        let hash = *stock.outline.root().as_bytes();
        match self.state().contents.entry(hash) {
            Entry::Vacant(none) => drop(none.insert(Arc::new(stock))),
            Entry::Occupied(same) => same.get().lock().append(&mut stock.lock()),
        }
    }

    /// Adds an entry, once its content is there.
    pub(crate) fn list(&self, entry: wire::Entry) {
        self.state().entries.push(Arc::new(entry));
        self.grown.send_replace(());
    }

    /// Says that all entries are there.
    pub(crate) fn complete(&self) {
        self.state().complete = true;
        self.grown.send_replace(());
    }

    /// Hears of every change.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.grown.subscribe()
    }

    /// The entries from `position` on, as many as go into a message.
    pub(crate) fn page(&self, position: usize) -> Page {
        let state = self.state();
        let (mut page, mut bytes) = (Vec::new(), 0);
        for entry in state.entries.iter().skip(position) {
            page.push(Arc::clone(entry));
            let more = match &entry.kind {
                Kind::Symlink { target } => target.len(),
                Kind::Failed { reason } => reason.len(),
                Kind::File { .. } | Kind::Folder => 0,
            };
            bytes += entry.path.len() + more + 96;
            if bytes >= PAGE {
                break;
            }
        }
        let next = position + page.len();
        match page.is_empty() {
            false => Page::Some(page, next),
            true if state.complete => Page::End(next),
            true => Page::NotYet,
        }
    }

    /// All entries, by path.
    pub(crate) fn sorted(&self) -> Vec<Arc<wire::Entry>> {
        let mut all = self.state().entries.clone();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }

    /// Whether all entries are there.
    pub(crate) fn is_complete(&self) -> bool {
        self.state().complete
    }

    fn look(&self, hash: &[u8; 32]) -> Result<Arc<Stock>, Missing> {
        let state = self.state();
        let missing = if state.complete { Missing::Unknown } else { Missing::NotYet };
        state.contents.get(hash).map(Arc::clone).ok_or(missing)
    }

    /// The content of this hash. One that is still being hashed is waited for, `most` at most.
    pub(crate) async fn find(
        &self,
        hash: &[u8; 32],
        most: Duration,
    ) -> Result<Arc<Stock>, Missing> {
        let mut changes = self.watch();
        let looking = async {
            loop {
                changes.mark_unchanged();
                match self.look(hash) {
                    Err(Missing::NotYet) => drop(changes.changed().await),
                    found => return found,
                }
            }
        };
        tokio::time::timeout(most, looking).await.unwrap_or(Err(Missing::NotYet))
    }

    /// Says which content lists all others.
    pub(crate) fn set_collection(&self, hash: [u8; 32], seq: HashSeq) {
        self.state().collection = Some((hash, seq));
    }

    /// Whether this content only says what others are: the collection, or the list of its names.
    pub(crate) fn is_list(&self, hash: &[u8; 32]) -> bool {
        let state = self.state();
        let Some((root, seq)) = &state.collection else { return false };
        root == hash || seq.get(0).is_some_and(|names| names.as_bytes() == hash)
    }

    /// The hashes that `root` lists, if it is the collection.
    pub(crate) fn children(&self, root: &[u8; 32]) -> impl Iterator<Item = [u8; 32]> + use<> {
        let state = self.state();
        let seq = state.collection.as_ref().filter(|(hash, _)| hash == root);
        let seq = seq.map(|(_, seq)| seq.clone());
        seq.into_iter()
            .flat_map(|seq| (0..seq.len()).filter_map(move |at| seq.get(at).map(Into::into)))
    }
}
