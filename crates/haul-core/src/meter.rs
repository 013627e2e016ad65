//! Progress in bytes: atomics that a renderer polls.
//!
//! Owns the counters. They never go backwards and never pass the total: a retried chunk counts once
//! (high-water mark per chunk). Must never be a channel: a slow terminal may not slow a transfer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one job.
#[derive(Debug, Default)]
pub struct Meter {
    total: AtomicU64,
    landed: AtomicU64,
    wire: AtomicU64,
    resumed: AtomicU64,
    retried: AtomicU64,
    checked: AtomicU64,
    /// Bytes of the total that are not moved after all: skipped, or failed.
    forgone: AtomicU64,
    /// The meter of the job that this item is part of, which counts the same bytes.
    whole: Option<Arc<Meter>>,
}

/// The counters at one moment, in bytes (`retried`: in tries).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MeterSnapshot {
    /// Bytes to move; `None` while unknown.
    pub total: Option<u64>,
    /// Bytes on their way into the destination or there; what bars show.
    pub landed: u64,
    /// Bytes that crossed the network or were read, retries included; what speeds show.
    pub wire: u64,
    /// Bytes that were there from an earlier run.
    pub resumed: u64,
    /// Tries beyond the first.
    pub retried: u64,
    /// Bytes at the destination that were read to find out what of them is good already.
    pub checked: u64,
}

/// The unset total.
const UNKNOWN: u64 = u64::MAX;

impl Meter {
    /// Counters at zero, with an unknown total.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { total: AtomicU64::new(UNKNOWN), ..Self::default() })
    }

    /// Counters of one item; what they count, `whole` counts too. Totals are not added up: what is
    /// still to come is for the job to say.
    pub fn part_of(whole: Arc<Self>) -> Arc<Self> {
        Arc::new(Self { total: AtomicU64::new(UNKNOWN), whole: Some(whole), ..Self::default() })
    }

    /// Adds to the bytes to move, as a listing finds them.
    pub fn add_total(&self, bytes: u64) {
        let more = |before| {
            let before = if before == UNKNOWN { 0 } else { before };
            // Sizes may be what somebody made up.
            Some(before.saturating_add(bytes).min(UNKNOWN - 1))
        };
        let _never_fails = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Takes bytes off those to move: an item was skipped or failed, or came to its place by itself.
    pub fn forgo(&self, bytes: u64) {
        self.forgone.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Sets the bytes to move.
    pub fn set_total(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// Counts bytes read or sent.
    pub fn add_wire(&self, bytes: u64) {
        self.wire.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add_wire(bytes);
        }
    }

    /// Counts bytes that landed.
    pub fn add_landed(&self, bytes: u64) {
        self.landed.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add_landed(bytes);
        }
    }

    /// Counts bytes that were there from an earlier run: they have landed.
    pub fn add_resumed(&self, bytes: u64) {
        self.resumed.fetch_add(bytes, Ordering::Relaxed);
        self.landed.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add_resumed(bytes);
        }
    }

    /// Counts bytes at the destination that were looked at.
    pub fn add_checked(&self, bytes: u64) {
        self.checked.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add_checked(bytes);
        }
    }

    /// Counts a try beyond the first.
    pub fn add_retry(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add_retry();
        }
    }

    /// The counters now.
    pub fn snapshot(&self) -> MeterSnapshot {
        let total = self.total.load(Ordering::Relaxed);
        let forgone = self.forgone.load(Ordering::Relaxed);
        let landed = self.landed.load(Ordering::Relaxed);
        MeterSnapshot {
            total: (total != UNKNOWN).then(|| total.saturating_sub(forgone).max(landed)),
            landed,
            wire: self.wire.load(Ordering::Relaxed),
            resumed: self.resumed.load(Ordering::Relaxed),
            retried: self.retried.load(Ordering::Relaxed),
            checked: self.checked.load(Ordering::Relaxed),
        }
    }
}

/// The high-water mark of one chunk: what it adds to `landed`, over all its tries; or to `checked`.
#[derive(Debug)]
pub struct ChunkMeter {
    meter: Arc<Meter>,
    reached: AtomicU64,
    add: fn(&Meter, u64),
}

impl ChunkMeter {
    /// A chunk that has not moved.
    pub fn new(meter: Arc<Meter>) -> Self {
        Self { meter, reached: AtomicU64::new(0), add: Meter::add_landed }
    }

    /// Something at the destination that has not been looked at.
    pub fn of_checks(meter: Arc<Meter>) -> Self {
        Self { add: Meter::add_checked, ..Self::new(meter) }
    }

    /// Says that this try has come to `bytes` of the chunk.
    pub fn reach(&self, bytes: u64) {
        let before = self.reached.fetch_max(bytes, Ordering::Relaxed);
        (self.add)(&self.meter, bytes.saturating_sub(before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retried_chunk_counts_once() {
        let meter = Meter::new();
        assert_eq!(meter.snapshot().total, None);
        meter.set_total(10);
        let chunk = ChunkMeter::new(Arc::clone(&meter));
        for reached in [4, 8, 2, 6, 10, 10] {
            chunk.reach(reached);
        }
        assert_eq!(meter.snapshot().landed, 10);
    }
}
