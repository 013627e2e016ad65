//! Durability before visibility.
//!
//! Owns the order fsync file, rename, fsync folder, and how many files share one flush. A file is
//! reported as done only after that, unless the user chose otherwise.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_core::{Error, Op, Result};
use tokio::sync::oneshot;

use crate::staged::Staged;
use crate::{blocking, waiting};

/// When files are forced to the disk before they become visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FsyncPolicy {
    /// Every file, small ones in groups that share one flush of the file system.
    #[default]
    Auto,
    /// Every file by itself.
    Always,
    /// Never: the operating system writes when it likes, and a power cut may lose the content of
    /// files that were reported as done.
    Never,
}

/// Files below this size are flushed in groups: their data is less than what a flush costs.
const SMALL: u64 = 4 << 20;

/// Makes staged files durable and visible; clones share their groups.
#[derive(Debug, Clone, Default)]
pub struct Durability(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    policy: FsyncPolicy,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    // Bounded by the uploads in flight: each waits for its answer.
    waiting: Vec<Waiting>,
    /// Whether a thread flushes one group after the other.
    flushing: bool,
}

#[derive(Debug)]
struct Waiting {
    staged: Staged,
    done: oneshot::Sender<Result<()>>,
}

impl Durability {
    /// Durability by `policy`.
    pub fn new(policy: FsyncPolicy) -> Self {
        Self(Arc::new(Inner { policy, ..Inner::default() }))
    }

    /// Whether files are forced to the disk at all.
    pub fn syncs(&self) -> bool {
        self.0.policy != FsyncPolicy::Never
    }

    /// Makes `staged`, of `size` bytes, durable and then visible.
    ///
    /// While one group is being flushed the next one gathers, so that the number of flushes
    /// follows the speed of the disk and not the number of files.
    pub(crate) async fn publish(&self, staged: Staged, size: u64, location: &str) -> Result<()> {
        let policy = self.0.policy;
        if policy == FsyncPolicy::Never {
            return blocking(Op::Commit, location, move || alone(staged, policy)).await;
        }
        // A flush may take long: never on a lane, where other files would wait for it.
        if policy == FsyncPolicy::Always || size >= SMALL {
            return waiting(Op::Commit, location, move || alone(staged, policy)).await;
        }
        let (done, answer) = oneshot::channel();
        let idle = {
            let mut queue = self.0.queue();
            queue.waiting.push(Waiting { staged, done });
            !std::mem::replace(&mut queue.flushing, true)
        };
        if idle {
            let flusher = Flusher { inner: Arc::clone(&self.0), over: false };
            drop(tokio::task::spawn_blocking(move || flusher.run())); // it answers each by itself
        }
        answer.await.unwrap_or_else(|_| Err(Error::cancelled(Op::Commit, location)))
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Flushes groups as long as there are any. Whoever finishes while one is being flushed is in the
/// next, and hears of it without waiting for the one after that.
struct Flusher {
    inner: Arc<Inner>,
    over: bool,
}

impl Flusher {
    fn run(mut self) {
        loop {
            let group = {
                let mut queue = self.inner.queue();
                if queue.waiting.is_empty() {
                    // Under the lock: whoever comes after this starts another.
                    (queue.flushing, self.over) = (false, true);
                    return;
                }
                std::mem::take(&mut queue.waiting)
            };
            flush(group);
        }
    }
}

impl Drop for Flusher {
    /// A runtime that ends may drop the work before it has begun: then nobody may wait for it.
    fn drop(&mut self) {
        if !self.over {
            let mut queue = self.inner.queue();
            queue.flushing = false;
            let given_up = std::mem::take(&mut queue.waiting);
            drop(queue);
            drop(given_up);
        }
    }
}

fn alone(mut staged: Staged, policy: FsyncPolicy) -> Result<()> {
    if policy == FsyncPolicy::Never {
        return staged.publish();
    }
    sync_file(&staged)?;
    staged.publish()?;
    staged.sync_folder()
}

fn sync_file(staged: &Staged) -> Result<()> {
    staged.file.sync_all().map_err(|e| Error::io(Op::Commit, staged.location(), e))
}

/// Flushes a group: one flush a file system when there are several files, then the renames, then
/// the folders. Files whose job has been given up are left out, and vanish.
fn flush(mut group: Vec<Waiting>) {
    group.retain(|w| !w.done.is_closed());
    let together = group.len() > 1 && sync_file_systems(&group);
    let mut published = Vec::new();
    for mut waiting in group {
        let ready = if together { Ok(()) } else { sync_file(&waiting.staged) };
        match ready.and_then(|()| waiting.staged.publish()) {
            Ok(()) => published.push(waiting),
            Err(e) => {
                // What becomes of the file is settled before anybody hears of it.
                drop(waiting.staged);
                drop(waiting.done.send(Err(e)));
            }
        }
    }
    // A folder is flushed once for all of its files, unless that fails: then each hears why.
    let mut flushed = BTreeSet::new();
    for waiting in published {
        let folder = waiting.staged.folder_id();
        let known = folder.is_some_and(|f| flushed.contains(&f));
        let synced = if known { Ok(()) } else { waiting.staged.sync_folder() };
        if synced.is_ok() {
            flushed.extend(folder);
        }
        drop(waiting.done.send(synced));
    }
}

/// Whether all file systems of the group could be flushed as a whole. `syncfs` reports write-back
/// errors since Linux 5.8; where anything is off, each file is flushed by itself.
#[cfg(target_os = "linux")]
fn sync_file_systems(group: &[Waiting]) -> bool {
    let mut devices = BTreeSet::new();
    group.iter().all(|w| match w.staged.device() {
        Ok(device) if devices.insert(device) => rustix::fs::syncfs(&*w.staged.file).is_ok(),
        Ok(_) => true,
        Err(_) => false,
    })
}

#[cfg(not(target_os = "linux"))]
fn sync_file_systems(_: &[Waiting]) -> bool {
    false
}
