//! Room in memory for what is being sent.
//!
//! Owns how much of what is shared may be in memory: the engine's budget over all receivers, and so
//! many groups for each of them. Nobody goes on without room. Who has some and cannot use it, because
//! its peer does not take what it is sent, gives it up when somebody waits: so a slow receiver, or one
//! that is gone, holds up nobody.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use haul_core::{Budget, BudgetPermit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Groups of one receiver's at once. More would only wait for the network.
const GROUPS: usize = 8;

/// Room for all receivers.
#[derive(Debug)]
pub(crate) struct House {
    budget: Budget,
    waiting: Arc<AtomicUsize>,
}

impl House {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, waiting: Arc::default() }
    }

    /// Room for one receiver.
    pub(crate) fn room(&self) -> Room {
        Room {
            budget: self.budget.clone(),
            waiting: Arc::clone(&self.waiting),
            groups: Arc::new(Semaphore::new(GROUPS)),
            own: Arc::default(),
        }
    }
}

/// One receiver's share of it; clones are of the same receiver.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    budget: Budget,
    /// Those who wait for the budget, over all receivers.
    waiting: Arc<AtomicUsize>,
    groups: Arc<Semaphore>,
    /// Those who wait for another group of this receiver's.
    own: Arc<AtomicUsize>,
}

/// Room that is taken.
#[derive(Debug)]
#[must_use = "dropping it gives the room back"]
pub(crate) struct Held {
    _group: Option<OwnedSemaphorePermit>,
    _bytes: BudgetPermit,
}

impl Room {
    /// Waits for room for a group of so many bytes.
    pub(crate) async fn take(&self, bytes: u64) -> Held {
        // The semaphore is never closed.
        let group = counted(&self.own, Arc::clone(&self.groups).acquire_owned()).await.ok();
        let held = counted(&self.waiting, self.budget.acquire(bytes)).await;
        Held { _group: group, _bytes: held }
    }

    /// Whether somebody waits for what one of this receiver's groups holds.
    pub(crate) fn is_wanted(&self) -> bool {
        self.own.load(Ordering::Relaxed) > 0 || self.waiting.load(Ordering::Relaxed) > 0
    }
}

/// Waits for `work`, and is counted while it does.
async fn counted<F: Future>(waiting: &AtomicUsize, work: F) -> F::Output {
    struct One<'a>(&'a AtomicUsize);
    impl Drop for One<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let mut work = pin!(work);
    if let Poll::Ready(done) = futures::poll!(&mut work) {
        return done;
    }
    waiting.fetch_add(1, Ordering::Relaxed);
    let _one = One(waiting);
    work.await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D3: those who have room hear that it is wanted, by others and by their own, and those who went
    /// away while they waited do not count.
    #[tokio::test]
    async fn who_waits_is_heard() {
        let house = House::new(Budget::new(3 << 20));
        let (one, other) = (house.room(), house.room());
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(one.take(1 << 20).await);
        }
        assert!(!one.is_wanted() && !other.is_wanted());
        {
            let mut waiting = pin!(other.take(1 << 20));
            assert!(futures::poll!(&mut waiting).is_pending());
            assert!(one.is_wanted() && other.is_wanted());
            held.pop();
            assert!(futures::poll!(&mut waiting).is_ready());
        }
        {
            let mut gone = pin!(other.take(4 << 20));
            assert!(futures::poll!(&mut gone).is_pending() && one.is_wanted());
        }
        assert!(!one.is_wanted());
        drop(held);

        // One receiver has no more than its groups, however small they are.
        let all: Vec<_> = futures::future::join_all((0..GROUPS).map(|_| one.take(1))).await;
        let mut more = pin!(one.take(1));
        assert!(futures::poll!(&mut more).is_pending());
        assert!(one.is_wanted() && !other.is_wanted());
        drop(other.take(1).await);
        drop(all);
        drop(more.await);
    }
}
