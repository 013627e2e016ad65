//! The request gate: how many requests may be in flight to one endpoint.
//!
//! Owns the count and its limit, which may change while requests run, and what requests tell of their
//! endpoint. A permit is held around one request only: never during back-off, never while a chunk waits
//! for its turn, and never while another of the same gate is waited for.
//!
//! S0.30: an endpoint that asks for fewer requests, or fails more often than not, gets half as many, and
//! one more at a time while it is content, up to what the gate was made for (additive increase,
//! multiplicative decrease, as TCP does).

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    load: Mutex<Load>,
    /// Whether the endpoint has ever answered, at this gate or at another of its gates.
    reached: Arc<AtomicBool>,
}

/// How requests ended since the limit was looked at last.
#[derive(Debug, Default)]
struct Load {
    served: usize,
    failed: usize,
    /// How often the limit was halved: requests from before that say nothing of the new limit.
    halvings: u64,
}

/// What the end of a request says about the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It did what it was asked.
    Served,
    /// It asks for fewer requests.
    Throttled,
    /// It failed, and perhaps because of too many requests.
    Failed,
    /// It refused, which says nothing of the load.
    Refused,
    /// It said nothing.
    Nothing,
}

impl Heard {
    /// What an outcome says.
    pub fn of<T>(outcome: &Result<T>) -> Self {
        match outcome.as_ref().map_err(crate::Error::kind) {
            Ok(_) => Self::Served,
            Err(ErrorKind::Throttled) => Self::Throttled,
            Err(ErrorKind::Server) => Self::Failed,
            Err(
                ErrorKind::Connect
                | ErrorKind::Stalled
                | ErrorKind::Invalid
                | ErrorKind::Io
                | ErrorKind::NoSpace
                | ErrorKind::BrokenPipe
                | ErrorKind::Cancelled,
            ) => Self::Nothing,
            Err(_) => Self::Refused,
        }
    }
}

/// Leave for one request; given back when dropped.
#[derive(Debug)]
#[must_use = "dropping the permit opens the gate for the next request"]
pub struct GatePermit {
    gate: Arc<Inner>,
    /// The halvings that there had been when the request began.
    since: u64,
    /// Whether it is one of those that are counted.
    counted: bool,
}

tokio::task_local! {
    /// The gates around the request that this task is making, by their addresses.
    static HELD: Vec<usize>;
}

impl Gate {
    /// A gate for `limit` requests, at least 1.
    pub fn new(limit: usize) -> Self {
        Self::reaching(limit, Arc::default())
    }

    fn reaching(limit: usize, reached: Arc<AtomicBool>) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            permits: Semaphore::new(limit),
            limit: AtomicUsize::new(limit),
            debt: AtomicUsize::new(0),
            ceiling: limit,
            load: Mutex::default(),
            reached,
        }))
    }

    /// Another gate to the same endpoint, for as many requests as this one lets through now: for a
    /// transfer that reads from and writes to one endpoint at the same time, where a request would
    /// wait for another that waits for it.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self::reaching(self.limit(), Arc::clone(&self.0.reached))
    }

    /// Whether the endpoint has ever answered.
    pub fn reached(&self) -> bool {
        self.0.reached.load(Ordering::Relaxed)
    }

    /// Makes one request: waits for leave, and hears how it ended. The request must not ask for leave
    /// at this gate itself.
    pub async fn pass<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        self.pass_heard(request, Heard::of).await
    }

    /// The same for a request whose outcome `heard` understands.
    pub async fn pass_heard<T>(
        &self,
        request: impl Future<Output = T>,
        heard: impl FnOnce(&T) -> Heard,
    ) -> T {
        let permit = self.enter().await;
        permit.around(request, heard).await
    }

    /// Makes one request, whose permit lasts for as long as the caller keeps it: until the body of the
    /// answer has been read.
    pub async fn pass_keeping<T>(
        &self,
        request: impl Future<Output = Result<T>>,
    ) -> Result<(T, GatePermit)> {
        let permit = self.enter().await;
        let outcome = permit.around(request, Heard::of).await?;
        Ok((outcome, permit))
    }

    /// Makes one request that does not wait for others to end: discarding something is worth one more
    /// than the limit.
    pub async fn pass_aside<T>(
        &self,
        request: impl Future<Output = T>,
        heard: impl FnOnce(&T) -> Heard,
    ) -> T {
        let permit =
            GatePermit { gate: Arc::clone(&self.0), since: self.halvings(), counted: false };
        permit.around(request, heard).await
    }

    fn halvings(&self) -> u64 {
        self.0.load.lock().unwrap_or_else(PoisonError::into_inner).halvings
    }

    /// Adapts the limit to what the endpoint bears; `since` says when the request began.
    fn heed(&self, heard: Heard, since: u64) {
        if heard == Heard::Nothing {
            return;
        }
        self.0.reached.store(true, Ordering::Relaxed);
        let mut load = self.0.load.lock().unwrap_or_else(PoisonError::into_inner);
        // What was in flight with the first refusal is refused as well: it was halved for all.
        if heard == Heard::Refused || since < load.halvings {
            return;
        }
        load.served += usize::from(heard == Heard::Served);
        load.failed += usize::from(heard == Heard::Failed);
        let limit = self.limit();
        if heard == Heard::Throttled || load.failed > limit.max(load.served) {
            self.set_limit(limit / 2);
            *load = Load { halvings: load.halvings + 1, ..Load::default() };
        } else if load.served > 2 * limit {
            // Two rounds of requests went well.
            if load.failed == 0 && limit < self.0.ceiling {
                self.set_limit(limit + 1);
            }
            (load.served, load.failed) = (0, 0);
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

    /// Takes the place of one request, in the order of calls, and makes none: to hold others up. What
    /// makes a request goes through [`Gate::pass`].
    pub async fn enter(&self) -> GatePermit {
        debug_assert!(!is_held(&self.0), "a request waits for a gate that it holds");
        if let Ok(permit) = self.0.permits.acquire().await {
            permit.forget(); // given back by GatePermit, which knows about debt
        }
        GatePermit { gate: Arc::clone(&self.0), since: self.halvings(), counted: true }
    }
}

/// Makes one request through the gate where there is one: requests to this machine's own disk have
/// none.
pub(crate) async fn pass<T>(
    gate: Option<&Gate>,
    request: impl Future<Output = Result<T>>,
) -> Result<T> {
    match gate {
        Some(gate) => gate.pass(request).await,
        None => request.await,
    }
}

/// The same for a request whose permit the caller keeps.
pub(crate) async fn pass_keeping<T>(
    gate: Option<&Gate>,
    request: impl Future<Output = Result<T>>,
) -> Result<(T, Option<GatePermit>)> {
    match gate {
        Some(gate) => gate.pass_keeping(request).await.map(|(done, permit)| (done, Some(permit))),
        None => request.await.map(|done| (done, None)),
    }
}

fn address(gate: &Arc<Inner>) -> usize {
    Arc::as_ptr(gate) as usize
}

/// Whether this task is inside a request that holds the gate: to wait for it would be for ever.
fn is_held(gate: &Arc<Inner>) -> bool {
    HELD.try_with(|held| held.contains(&address(gate))).unwrap_or_default()
}

impl GatePermit {
    /// Runs the request that the permit is for, and hears how it ended.
    async fn around<T>(
        &self,
        request: impl Future<Output = T>,
        heard: impl FnOnce(&T) -> Heard,
    ) -> T {
        let outcome = if cfg!(debug_assertions) && self.counted {
            let mut held = HELD.try_with(Clone::clone).unwrap_or_default();
            held.push(address(&self.gate));
            HELD.scope(held, request).await
        } else {
            request.await
        };
        Gate(Arc::clone(&self.gate)).heed(heard(&outcome), self.since);
        outcome
    }
}

impl Drop for GatePermit {
    fn drop(&mut self) {
        let collect = |debt: usize| debt.checked_sub(1);
        let Inner { permits, debt, .. } = &*self.gate;
        if self.counted && debt.fetch_update(Ordering::AcqRel, Ordering::Acquire, collect).is_err()
        {
            permits.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X0.2: the gate can be resized while it is in use.
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

    async fn tell(gate: &Gate, heard: Heard) {
        gate.pass_heard(async {}, |()| heard).await;
    }

    /// S0.21, S0.30, S2.32: half as many when asked to slow down, and slowly back.
    #[tokio::test]
    async fn the_limit_follows_what_the_endpoint_bears() {
        let gate = Gate::new(16);
        tell(&gate, Heard::Served).await;
        assert_eq!(gate.limit(), 16);
        // Eight requests in flight at once are refused together.
        let refused = |(): &()| Heard::Throttled;
        let burst = (0..8).map(|_| gate.pass_heard(tokio::task::yield_now(), refused));
        futures::future::join_all(burst).await;
        assert_eq!(gate.limit(), 8, "one burst of refusals halves once");
        tell(&gate, Heard::Served).await;
        tell(&gate, Heard::Throttled).await;
        assert_eq!(gate.limit(), 4);
        for _ in 0..10 {
            tell(&gate, Heard::Served).await;
        }
        assert_eq!(gate.limit(), 5);
        for _ in 0..1000 {
            tell(&gate, Heard::Served).await;
        }
        assert_eq!(gate.limit(), 16, "never more than it was made for");
        for _ in 0..100 {
            tell(&gate, Heard::Refused).await;
            tell(&gate, Heard::Nothing).await;
        }
        assert_eq!(gate.limit(), 16, "other failures say nothing of the load");
    }

    /// A.20: a store that goes on asking for less gets less and less, and not half as much for ever.
    #[tokio::test]
    async fn steady_refusals_halve_the_limit_again_and_again() {
        let gate = Gate::new(16);
        let mut limits = Vec::new();
        for _ in 0..5 {
            tell(&gate, Heard::Throttled).await;
            limits.push(gate.limit());
        }
        assert_eq!(limits, [8, 4, 2, 1, 1]);
    }

    /// S0.30: the rate of errors counts, not a single one.
    #[tokio::test]
    async fn an_endpoint_that_fails_more_often_than_not_gets_fewer_requests() {
        let gate = Gate::new(4);
        for _ in 0..100 {
            tell(&gate, Heard::Served).await;
            tell(&gate, Heard::Failed).await;
            tell(&gate, Heard::Served).await;
        }
        assert_eq!(gate.limit(), 4, "one in three");
        for _ in 0..20 {
            tell(&gate, Heard::Failed).await;
        }
        assert!(gate.limit() < 4);
        for _ in 0..100 {
            tell(&gate, Heard::Served).await;
        }
        assert_eq!(gate.limit(), 4);
    }

    /// G.6: whoever has answered once is there.
    #[tokio::test]
    async fn an_endpoint_is_reached_when_it_answers_at_any_of_its_gates() {
        let gate = Gate::new(1);
        let twin = gate.twin();
        tell(&twin, Heard::Nothing).await;
        assert!(!gate.reached());
        tell(&twin, Heard::Refused).await;
        assert!(gate.reached() && twin.reached());
    }

    /// A.17: what discards does not wait behind those who write.
    #[tokio::test]
    async fn who_goes_aside_does_not_wait() {
        let gate = Gate::new(1);
        let held = gate.enter().await;
        gate.pass_aside(async {}, |()| Heard::Served).await;
        drop(held);
        let _one = gate.enter().await;
        assert!(
            futures::poll!(std::pin::pin!(gate.enter())).is_pending(),
            "nothing was given back"
        );
    }

    /// A.18: a request that asks for leave at its own gate is found out where it is made, at any limit.
    #[tokio::test]
    #[should_panic(expected = "a gate that it holds")]
    async fn a_request_within_a_request_is_found_out() {
        let gate = Gate::new(16);
        let inner = gate.clone();
        let _ = gate.pass(async move { inner.pass(async { Ok(()) }).await }).await;
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
