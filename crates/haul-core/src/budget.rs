//! The byte budget: how much data may be in memory at once.
//!
//! Owns the count. One dispatcher takes permits in plan order; a permit travels with its bytes and
//! is dropped only when they have landed. So memory is bounded by construction, and an ordered sink
//! cannot deadlock: the earliest unfinished chunk always holds its permit already.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes per permit of the semaphore underneath: its counts are 32-bit.
const UNIT: u64 = 1 << 10;

/// Bytes that may be in memory at once, shared by everything that moves. Clones share the count.
#[derive(Debug, Clone)]
pub struct Budget {
    units: Arc<Semaphore>,
    total: u64,
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
#[must_use = "dropping the permit gives the bytes back"]
pub struct BudgetPermit {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of `bytes`, at least 1 KiB.
    pub fn new(bytes: u64) -> Self {
        let total = (bytes / UNIT).clamp(1, u64::from(u32::MAX));
        Self { units: Arc::new(Semaphore::new(total as usize)), total: total * UNIT }
    }

    /// Bytes in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes taken at this moment.
    pub fn in_use(&self) -> u64 {
        self.total - self.units.available_permits() as u64 * UNIT
    }

    /// Waits, in the order of calls, for `bytes`. A request beyond the whole budget takes all of
    /// it, so that a chunk larger than the budget still moves, alone.
    pub async fn acquire(&self, bytes: u64) -> BudgetPermit {
        let units = bytes.min(self.total).div_ceil(UNIT) as u32;
        // The semaphore is never closed, so the error cannot happen; no permit is the safe answer.
        let permit = Arc::clone(&self.units).acquire_many_owned(units).await.ok();
        BudgetPermit { _permit: permit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X1.3: a part larger than memory may be goes alone.
    #[tokio::test]
    async fn a_request_beyond_the_budget_takes_all_of_it() {
        let budget = Budget::new(8 << 10);
        let all = budget.acquire(1 << 40).await;
        assert_eq!(budget.in_use(), budget.total());
        let mut next = std::pin::pin!(budget.acquire(1));
        assert!(futures::poll!(&mut next).is_pending());
        drop(all);
        let one = next.await;
        assert_eq!(budget.in_use(), 1 << 10);
        drop(one);
        assert_eq!(budget.in_use(), 0);
    }

    #[tokio::test]
    async fn permits_are_given_in_the_order_asked() {
        let budget = Budget::new(4 << 10);
        let held = budget.acquire(3 << 10).await;
        let mut large = std::pin::pin!(budget.acquire(4 << 10));
        assert!(futures::poll!(&mut large).is_pending());
        let mut small = std::pin::pin!(budget.acquire(1 << 10));
        assert!(futures::poll!(&mut small).is_pending(), "must not overtake");
        drop(held);
        drop(large.await);
        drop(small.await);
    }
}
