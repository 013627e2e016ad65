//! Owns what has to be undone when this process ends early: by an error, Ctrl-C or SIGTERM.
//!
//! Must never: run a clean-up twice, or let a process start unnoticed while an interrupt is handled.

use anyhow::{Context, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Undoes one thing. It must not use this module: the list is locked while it runs in the handler.
pub(crate) type Cleanup = Box<dyn FnOnce() + Send>;

static PENDING: Mutex<Vec<(u64, Cleanup)>> = Mutex::new(Vec::new());
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

fn pending() -> MutexGuard<'static, Vec<(u64, Cleanup)>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From here on Ctrl-C, SIGTERM and SIGHUP undo everything that is pending, last first, then exit with 130.
pub(crate) fn install() -> Result<()> {
    ctrlc::set_handler(on_signal).context("could not install the Ctrl-C handler")
}

#[expect(
    clippy::exit,
    reason = "the main thread may be blocked in a wait; nothing is left to unwind"
)]
fn on_signal() {
    // The lock is held until the process is gone, so that nothing new starts meanwhile.
    let mut list = pending();
    eprintln!("interrupted: stopping what was started");
    while let Some((_, cleanup)) = list.pop() {
        cleanup();
    }
    std::process::exit(130);
}

/// Runs its clean-up when dropped, or when the process is interrupted.
#[derive(Debug)]
pub(crate) struct OnExit {
    id: u64,
}

impl OnExit {
    /// Starts something and registers how to undo it, with no gap between the two.
    pub(crate) fn arm<T>(start: impl FnOnce() -> Result<(T, Cleanup)>) -> Result<(T, Self)> {
        let mut list = pending();
        let (started, cleanup) = start()?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        list.push((id, cleanup));
        Ok((started, Self { id }))
    }

    /// Forgets the clean-up: the thing is done with, or shall outlive this process.
    pub(crate) fn dismiss(self) {
        drop(self.take());
    }

    fn take(&self) -> Option<Cleanup> {
        let mut list = pending();
        let at = list.iter().position(|(id, _)| *id == self.id)?;
        Some(list.remove(at).1)
    }
}

impl Drop for OnExit {
    fn drop(&mut self) {
        let cleanup = self.take();
        if let Some(cleanup) = cleanup {
            cleanup();
        }
    }
}
