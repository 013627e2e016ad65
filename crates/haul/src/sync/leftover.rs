//! What only the destination has: `sync --delete`.
//!
//! Owns the list of it, and the rules under which it is removed: after everything else, and only when
//! all of both sides was seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use haul_core::handle::JobContext;
use haul_core::{Error, ErrorKind, Op, Result};

use super::Pairs;
use crate::SyncRequest;
use crate::place::Place;
use crate::remove::Remover;
use crate::spill::Spill;

/// What is to be removed at the end, and whether it may be.
pub(super) struct Plan {
    pub(super) delete: bool,
    pub(super) removals: std::sync::Mutex<Spill>,
    pub(super) count: AtomicU64,
    /// Whether a part of either side was not seen.
    pub(super) unseen: AtomicBool,
    /// Whether the source has anything at all.
    pub(super) found: Arc<AtomicBool>,
}

impl Plan {
    pub(super) fn new(request: &SyncRequest) -> Self {
        Self {
            delete: request.delete,
            removals: std::sync::Mutex::new(Spill::new()),
            count: AtomicU64::new(0),
            unseen: AtomicBool::new(false),
            found: Arc::default(),
        }
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
        let count = plan.count.load(Ordering::Relaxed);
        if !plan.delete || count == 0 {
            return Ok(());
        }
        let refuse = |kind, what: String, hint: &str| {
            Err(Error::new(kind, Op::Remove, &request.to, what).with_hint(hint))
        };
        if plan.unseen.load(Ordering::Relaxed) {
            let what = "nothing was removed, because not everything could be listed".to_owned();
            return refuse(ErrorKind::Io, what, "what was not seen might be taken for gone");
        }
        // A prefix that does not exist looks like an empty one.
        let nameable = matches!(&self.0.from, Place::Store { prefix, .. } if !prefix.is_empty());
        if nameable && request.max_delete.is_none() && !plan.found.load(Ordering::Relaxed) {
            let what = format!("nothing was removed: {} has nothing in it", request.from);
            let hint = "is it spelled right? --max-delete N removes up to N all the same";
            return refuse(ErrorKind::Invalid, what, hint);
        }
        if request.max_delete.is_some_and(|most| count > most) {
            let what = format!("nothing was removed: {count} would have to go");
            return refuse(ErrorKind::Invalid, what, "look with --dry-run, or raise --max-delete");
        }
        let removals = {
            let mut spill = plan.removals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::replace(&mut *spill, Spill::new())
        };
        let inner = &*self.0;
        let dry_run = inner.mover.0.how.dry_run;
        let remover = Remover::new(inner.engine(), inner.to().clone(), dry_run);
        remover.run(removals.into_stream()?, cx).await
    }
}
