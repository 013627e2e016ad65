//! Stopping what is under way.
//!
//! Owns which calls a cancellation means: those that have begun, with the jobs that they start, and none
//! that begin later. A call must ask once, when it begins: who asks again later may get the token that
//! came after the cancellation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// What calls and jobs are stopped by; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// Fires once, for good.
    closed: CancellationToken,
    /// The token of whatever begins now; another takes its place when it fires.
    current: Arc<Mutex<CancellationToken>>,
    /// The token of the call that this belongs to.
    of_call: Option<CancellationToken>,
}

impl Stop {
    pub(crate) fn new() -> Self {
        let closed = CancellationToken::new();
        let current = Arc::new(Mutex::new(closed.child_token()));
        Self { closed, current, of_call: None }
    }

    /// The same for one call, which keeps the token that it begins with.
    pub(crate) fn of_one_call(&self) -> Self {
        Self { of_call: Some(self.token()), ..self.clone() }
    }

    /// The token of the call; outside of one, that of whatever begins now.
    pub(crate) fn token(&self) -> CancellationToken {
        self.of_call.clone().unwrap_or_else(|| self.lock().clone())
    }

    /// Stops what has begun. What begins after that runs.
    pub(crate) fn cancel(&self) {
        let next = self.closed.child_token();
        std::mem::replace(&mut *self.lock(), next).cancel();
    }

    /// Stops what has begun and whatever begins later.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, CancellationToken> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_keeps_the_token_that_it_began_with() {
        let stop = Stop::new();
        let call = stop.of_one_call();
        stop.clone().cancel();
        assert!(call.token().is_cancelled() && call.of_one_call().token().is_cancelled());
        assert!(!stop.token().is_cancelled() && !stop.of_one_call().token().is_cancelled());
        stop.close();
        assert!(stop.token().is_cancelled());
        stop.cancel();
        assert!(stop.token().is_cancelled(), "closed is closed");
    }
}
