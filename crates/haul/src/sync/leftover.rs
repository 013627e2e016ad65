//! What only the destination has, and a sync may remove.
//!
//! Owns the list of it, and the rules under which it is removed: after everything else, and all or
//! nothing. Must never let anything go after an item that failed, for a source that has nothing in it,
//! or where a listing was not whole; nor what is not what was listed any more.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use futures::stream::StreamExt as _;
use haul_core::handle::JobContext;
use haul_core::{Entry, EntryKind, Error, ErrorKind, Hint, Op, RelPath, Result};

use super::Pairs;
use super::exchange::Blocked;
use super::veil::Veil;
use crate::SyncRequest;
use crate::remove::{Doomed, Remover, Seen};
use crate::spill::Spill;

/// What is to be removed at the end, and whether it may be.
pub(super) struct Plan {
    pub(super) delete: bool,
    removals: Mutex<Spill>,
    count: AtomicU64,
    /// Whether a listing ended early.
    cut_short: AtomicBool,
    /// Whether the source has any file that is meant.
    found: AtomicBool,
    pub(super) source: Veil,
    pub(super) dest: Veil,
    way: Mutex<Way>,
    /// Folders that the source has, too, with nothing in them.
    kept: Mutex<BTreeSet<RelPath>>,
}

/// Files where folders have to be, and the other way round.
#[derive(Default)]
struct Way {
    /// Files that only the destination has, whose names what comes next begins with.
    ahead: Vec<RelPath>,
    /// What stands in the way and goes at the end, without slashes.
    blocked: BTreeSet<Vec<u8>>,
}

impl Plan {
    pub(super) fn new(delete: bool) -> Self {
        Self {
            delete,
            removals: Mutex::new(Spill::new()),
            count: AtomicU64::new(0),
            cut_short: AtomicBool::new(false),
            found: AtomicBool::new(false),
            source: Veil::default(),
            dest: Veil::default(),
            way: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// The source has this. Only files and links count: a tree of empty folders may be all that is
    /// left of what was mounted there.
    pub(super) fn found(&self, source: &Entry) {
        if source.kind != EntryKind::Folder {
            self.found.store(true, Ordering::Relaxed);
        }
    }

    /// A listing is not whole.
    pub(super) fn cut_short(&self) {
        self.cut_short.store(true, Ordering::Relaxed);
    }

    /// Only the destination has this.
    pub(super) fn doom(&self, dest: &Entry) -> Result<()> {
        self.count.fetch_add(1, Ordering::Relaxed);
        if dest.kind != EntryKind::Folder {
            let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
            way.pass(&dest.path);
            way.ahead.push(dest.path.clone());
        }
        let note = Seen::of(dest).to_bytes();
        let kept = self.removals.lock().map(|mut spill| spill.push(&dest.path, &note));
        if matches!(kept, Ok(Ok(()))) {
            return Ok(());
        }
        self.cut_short();
        let what = "what is to be removed cannot be written down";
        Err(Error::new(ErrorKind::Io, Op::Remove, dest.path.shown(), what))
    }

    /// Whether a file that goes at the end is where the source has a folder with this in it: it is
    /// copied after that.
    pub(super) fn waits(&self, source: &Entry) -> bool {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        way.pass(&source.path);
        let name = source.path.as_bytes();
        let above = |file: &&RelPath| name.get(file.as_bytes().len()) == Some(&b'/');
        let Some(file) = way.ahead.iter().find(above).map(|file| file.as_bytes().to_vec()) else {
            return false;
        };
        way.blocked.insert(file);
        true
    }

    /// A folder is where the source has this file: it is copied once that is gone.
    pub(super) fn block(&self, source: &Entry) {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        way.blocked.insert(source.path.as_bytes().to_vec());
    }

    /// The source has this folder, with nothing in it: it stays when what is in it goes.
    pub(super) fn keep(&self, folder: &Entry) {
        if self.delete {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.insert(folder.path.clone());
        }
    }

    /// What waits for removals: paths at and below which the destination had something else.
    pub(super) fn blocked(&self) -> Blocked {
        let way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        Blocked::new(way.blocked.clone())
    }

    /// Says why nothing may be removed.
    fn refuse(&self, request: &SyncRequest, failed: u64) -> Result<()> {
        let count = self.count.load(Ordering::Relaxed);
        let refuse = |kind, why: String, hint| {
            let what = format!("nothing was removed{why}");
            Err(Error::new(kind, Op::Remove, &request.to, what).with_hint(hint))
        };
        let cut_short = self.cut_short.load(Ordering::Relaxed);
        let unseen = !self.source.is_open() || !self.dest.is_open();
        let closed = self.source.is_closed() || self.dest.is_closed();
        if cut_short || closed || unseen && !request.ignore_errors {
            let why = ", because not everything could be listed".to_owned();
            return refuse(ErrorKind::Io, why, Hint::NotAllSeen);
        }
        if failed > 0 && !request.ignore_errors {
            let why = format!(", because {failed} failed");
            return refuse(ErrorKind::Io, why, Hint::IgnoreErrors);
        }
        if request.max_delete.is_none() && !self.found.load(Ordering::Relaxed) {
            let why = format!(": {} has nothing in it that is meant", request.from);
            return refuse(ErrorKind::Invalid, why, Hint::LimitRemovals);
        }
        if request.max_delete.is_some_and(|most| count > most) {
            let why = format!(": {count} would have to go");
            return refuse(ErrorKind::Invalid, why, Hint::RaiseLimit);
        }
        Ok(())
    }
}

impl Way {
    /// Forgets the files whose names what comes now does not begin with.
    fn pass(&mut self, now: &RelPath) {
        let begins = |file: &RelPath| now.as_bytes().starts_with(file.as_bytes());
        while self.ahead.pop_if(|file| !begins(file)).is_some() {}
    }
}

impl Pairs {
    /// Removes what only the destination has, once everything else is done.
    pub(super) async fn remove(
        &self,
        plan: &Plan,
        request: &SyncRequest,
        cx: &JobContext,
    ) -> Result<()> {
        if !plan.delete || plan.count.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        plan.refuse(request, cx.tally.snapshot().failed)?;
        let removals = {
            let mut spill = plan.removals.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *spill, Spill::new())
        };
        let inner = &*self.0;
        let dry_run = inner.mover.0.how.dry_run;
        let kept = std::mem::take(&mut *plan.kept.lock().unwrap_or_else(PoisonError::into_inner));
        let remover = Remover::new(inner.engine(), inner.to().clone(), dry_run).keeping(kept);
        let (source, dest) = (plan.source.clone(), plan.dest.clone());
        let doomed = removals.into_stream()?.filter_map(move |noted| {
            std::future::ready(match noted {
                // Nobody knows what the source has there.
                Ok((path, _)) if source.hides(&path) || dest.hides(&path) => None,
                Ok((path, note)) => Some(Ok(Doomed::if_still(path, Seen::from_bytes(&note)))),
                Err(e) => Some(Err(e)),
            })
        });
        remover.run(doomed, cx).await
    }
}
