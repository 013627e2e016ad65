//! What a share has to give.
//!
//! Owns the contents by their hashes and the manifest in the order in which it became known. Both
//! only grow: a receiver that comes early gets what there is, and the rest as it is hashed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_core::Source;
use iroh_blobs::hashseq::HashSeq;
use tokio::sync::watch;

use crate::outline::Outline;
use crate::wire::{Entry, Kind, PAGE};

/// One content.
#[derive(Debug)]
pub(crate) struct Stock {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) outline: Outline,
}

#[derive(Debug, Default)]
struct State {
    contents: HashMap<[u8; 32], Arc<Stock>>,
    entries: Vec<Arc<Entry>>,
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
    Some(Vec<Arc<Entry>>, usize),
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

    /// Adds a content. What is there already stays: it is the same.
    pub(crate) fn stock(&self, stock: Stock) {
        let hash = *stock.outline.root().as_bytes();
        self.state().contents.entry(hash).or_insert_with(|| Arc::new(stock));
    }

    /// Adds an entry, once its content is there.
    pub(crate) fn list(&self, entry: Entry) {
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
    pub(crate) fn sorted(&self) -> Vec<Arc<Entry>> {
        let mut all = self.state().entries.clone();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }

    /// The content of this hash.
    pub(crate) fn find(&self, hash: &[u8; 32]) -> Option<Arc<Stock>> {
        self.state().contents.get(hash).map(Arc::clone)
    }

    /// Says which content lists all others.
    pub(crate) fn set_collection(&self, hash: [u8; 32], seq: HashSeq) {
        self.state().collection = Some((hash, seq));
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
