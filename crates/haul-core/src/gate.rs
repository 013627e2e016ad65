//! The request gate: how many requests may be in flight to one endpoint.
//!
//! Owns the count and its limit, which may change while requests run. A permit is held around one
//! request only: never during back-off, never while a chunk waits for its turn.
//!
//! S0.30: an endpoint that asks for fewer requests gets half as many, and one more at a time while it
//! is content, up to what the gate was made for (additive increase, multiplicative decrease, as TCP
//! does).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::error::{ErrorKind, Result};

/// Bounds the requests in flight to one endpoint. Clones share the count.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    permits: Semaphore,
    limit: AtomicUsize,
    /// Permits to withhold as they come back, after the limit was lowered.
    debt: AtomicUsize,
    /// What the gate was made for.
    ceiling: usize,
    /// Requests that went well since the limit was changed last.
    content: Mutex<usize>,
}

/// Leave for one request; given back when dropped.
#[derive(Debug)]
#[must_use = "dropping the permit opens the gate for the next request"]
pub struct GatePermit(Arc<Inner>);

impl Gate {
    /// A gate for `limit` requests, at least 1.
    pub fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            permits: Semaphore::new(limit),
            limit: AtomicUsize::new(limit),
            debt: AtomicUsize::new(0),
            ceiling: limit,
            content: Mutex::new(0),
        }))
    }

    /// Hears how a request ended, and adapts the limit to what the endpoint bears.
    pub fn heed<T>(&self, outcome: &Result<T>) {
        let throttled = matches!(outcome, Err(e) if e.kind() == ErrorKind::Throttled);
        if !throttled && self.limit() == self.0.ceiling {
            return;
        }
        let mut content = self.0.content.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.limit();
        if throttled {
            // What was in flight with the first refusal is refused as well: halve once for all.
            if *content > 0 || limit == self.0.ceiling {
                self.set_limit(limit / 2);
            }
            *content = 0;
        } else if outcome.is_ok() {
            *content += 1;
            // Two rounds of requests went well.
            if *content > 2 * limit && limit < self.0.ceiling {
                self.set_limit(limit + 1);
                *content = 1;
            }
        }
    }

    /// The limit in force.
    pub fn limit(&self) -> usize {
        self.0.limit.load(Ordering::Acquire)
    }

    /// Changes the limit. Raising it lets waiting requests go at once; lowering it takes effect as
    /// requests end.
    pub fn set_limit(&self, limit: usize) {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        let before = self.0.limit.swap(limit, Ordering::AcqRel);
        if limit > before {
            let mut grow = limit - before;
            // Debt that was not collected yet is forgiven first.
            let _updated = self.0.debt.fetch_update(Ordering::AcqRel, Ordering::Acquire, |debt| {
                let forgiven = debt.min(limit - before);
                grow = limit - before - forgiven;
                Some(debt - forgiven)
            });
            self.0.permits.add_permits(grow);
        } else {
            let shrink = before - limit;
            let taken = self.0.permits.forget_permits(shrink);
            self.0.debt.fetch_add(shrink - taken, Ordering::AcqRel);
        }
    }

    /// Waits, in the order of calls, for leave to send one request.
    pub async fn enter(&self) -> GatePermit {
        if let Ok(permit) = self.0.permits.acquire().await {
            permit.forget(); // given back by GatePermit, which knows about debt
        }
        GatePermit(Arc::clone(&self.0))
    }
}

/// Enters the gate where there is one: requests to this machine's own disk have none.
pub(crate) async fn enter(gate: Option<&Gate>) -> Option<GatePermit> {
    match gate {
        Some(gate) => Some(gate.enter().await),
        None => None,
    }
}

impl Drop for GatePermit {
    fn drop(&mut self) {
        let collect = |debt: usize| debt.checked_sub(1);
        if self.0.debt.fetch_update(Ordering::AcqRel, Ordering::Acquire, collect).is_err() {
            self.0.permits.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_limit_moves_both_ways() {
        let gate = Gate::new(2);
        let (a, b) = (gate.enter().await, gate.enter().await);
        assert!(futures::poll!(std::pin::pin!(gate.enter())).is_pending());
        gate.set_limit(1);
        drop(a); // collected
        assert!(futures::poll!(std::pin::pin!(gate.enter())).is_pending());
        gate.set_limit(3);
        let (c, d) = (gate.enter().await, gate.enter().await);
        assert!(futures::poll!(std::pin::pin!(gate.enter())).is_pending());
        drop((b, c, d));
        gate.set_limit(1);
        let _one = gate.enter().await;
        assert!(futures::poll!(std::pin::pin!(gate.enter())).is_pending());
    }

    /// S0.21, S0.30, S2.32: half as many when asked to slow down, and slowly back.
    #[test]
    fn the_limit_follows_what_the_endpoint_bears() {
        use crate::error::{Error, ErrorKind, Op};
        let refused = || -> Result<()> {
            Err(Error::new(ErrorKind::Throttled, Op::Write, "s3://b/k", "SlowDown"))
        };
        let gate = Gate::new(16);
        gate.heed(&Ok(()));
        assert_eq!(gate.limit(), 16);
        for _ in 0..8 {
            gate.heed(&refused());
        }
        assert_eq!(gate.limit(), 8, "one burst of refusals halves once");
        gate.heed(&Ok(()));
        gate.heed(&refused());
        assert_eq!(gate.limit(), 4);
        for _ in 0..10 {
            gate.heed(&Ok(()));
        }
        assert_eq!(gate.limit(), 5);
        for _ in 0..1000 {
            gate.heed(&Ok(()));
        }
        assert_eq!(gate.limit(), 16, "never more than it was made for");
        let other: Result<()> = Err(Error::new(ErrorKind::NotFound, Op::Open, "x", "no"));
        gate.heed(&other);
        assert_eq!(gate.limit(), 16, "other failures say nothing of the load");
    }

    #[tokio::test]
    async fn lowering_and_raising_again_forgives_the_debt() {
        let gate = Gate::new(3);
        let held = [gate.enter().await, gate.enter().await, gate.enter().await];
        gate.set_limit(1);
        gate.set_limit(3);
        assert!(futures::poll!(std::pin::pin!(gate.enter())).is_pending());
        drop(held);
        let _three = [gate.enter().await, gate.enter().await, gate.enter().await];
        assert!(futures::poll!(std::pin::pin!(gate.enter())).is_pending());
    }
}
