//! The one retry layer.
//!
//! Owns how often and how long after a failure something is tried again. Which failures qualify is
//! a field of the error, set where the status is known. Nothing else in haul may retry; SDK retries
//! are off.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::error::{Error, ErrorKind, Result, Retry};

/// How failures are tried again: full jitter, 100 ms first, doubling, 5 s cap (S3.26-S3.28).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, the first included; at least 1 (X3.4).
    pub tries: u32,
    /// Tries while there is no connection at all: a typing error in a host name should not take
    /// as long as an outage in the middle of a transfer.
    pub connect_tries: u32,
}

/// Longest `Retry-After` that is obeyed: a server may not park us for an hour.
const RETRY_AFTER_CAP: Duration = Duration::from_mins(1);

/// Progress in bytes after which earlier failures are forgotten. Without a floor, a server that
/// sends one byte and breaks off could keep us for ever.
pub(crate) const FORGIVE_AFTER: u64 = 1 << 20;

impl Default for RetryPolicy {
    /// 8 tries: with full jitter about 6 s, at most 12 s, of back-off in all, which rides out a
    /// server's restart.
    fn default() -> Self {
        Self { tries: 8, connect_tries: 8 }
    }
}

impl RetryPolicy {
    /// The policy with `tries` in all.
    pub fn with_tries(tries: u32) -> Self {
        Self { tries: tries.max(1), connect_tries: tries.max(1) }
    }

    /// The policy for the first contact with an endpoint: three tries to connect.
    #[must_use]
    pub fn first_contact(self) -> Self {
        Self { connect_tries: self.tries.min(3), ..self }
    }

    /// Starts a run of tries.
    pub fn start(self) -> Backoff {
        Backoff { policy: self, delays: delays(), tries: 1 }
    }

    /// Runs `attempt` until it succeeds, fails for good or has used up its tries. `before_retry`
    /// hears of every failure that is tried again, with the number of the try and the wait.
    pub async fn run<T, F, Fut>(
        self,
        mut attempt: F,
        mut before_retry: impl FnMut(&Error, u32, Duration),
    ) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let mut backoff = self.start();
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(e) => {
                    let (e, tried, wait) = backoff.after(e)?;
                    before_retry(&e, tried, wait);
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }
}

fn delays() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_factor(2.0)
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .build()
}

/// The state of one run of tries.
#[derive(Debug)]
pub struct Backoff {
    policy: RetryPolicy,
    delays: ExponentialBackoff,
    tries: u32,
}

impl Backoff {
    /// Decides what follows a failure: the error back, the tries so far and the time to wait
    /// before the next; or the final error.
    pub fn after(&mut self, error: Error) -> Result<(Error, u32, Duration)> {
        if let Retry::Wait(wait) = error.retry() {
            return Ok((error, self.tries, wait.min(RETRY_AFTER_CAP)));
        }
        let connecting = error.kind() == ErrorKind::Connect;
        let allowed = if connecting { self.policy.connect_tries } else { self.policy.tries };
        if error.retry() == Retry::Never || self.tries >= allowed {
            return Err(error.exhausted(self.tries));
        }
        let tried = self.tries;
        self.tries += 1;
        let step = self.delays.next().unwrap_or(Duration::from_secs(5));
        // Full jitter: anywhere between nothing and the step, so that many clients spread out.
        let wait = match error.retry() {
            Retry::After(wait) => wait.min(RETRY_AFTER_CAP),
            _ => step.mul_f64(fastrand::f64()),
        };
        Ok((error, tried, wait))
    }

    /// Forgets earlier failures, because bytes have moved since.
    pub fn reset(&mut self) {
        if self.tries > 1 {
            *self = self.policy.start();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Op;
    use std::cell::Cell;

    fn failure(retry: Retry) -> Error {
        Error::new(ErrorKind::Server, Op::Read, "x", "500").with_retry(retry)
    }

    async fn tries_of(policy: RetryPolicy, retry: Retry) -> (u32, Duration) {
        let tries = Cell::new(0);
        let start = tokio::time::Instant::now();
        let result: Result<()> = policy
            .run(
                || {
                    tries.set(tries.get() + 1);
                    async { Err(failure(retry)) }
                },
                |_, _, _| (),
            )
            .await;
        assert!(result.is_err());
        (tries.get(), start.elapsed())
    }

    /// S3.24-S3.30, X3.4, X3.5: total tries, and only what is worth it.
    #[tokio::test(start_paused = true)]
    async fn tries_are_total_and_only_for_what_qualifies() {
        assert_eq!(tries_of(RetryPolicy::with_tries(3), Retry::Backoff).await.0, 3);
        assert_eq!(tries_of(RetryPolicy::with_tries(3), Retry::Never).await.0, 1);
        assert_eq!(tries_of(RetryPolicy::with_tries(1), Retry::Backoff).await.0, 1);
        let (_, waited) = tries_of(RetryPolicy::default(), Retry::Backoff).await;
        assert!(waited <= Duration::from_secs(12), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_honoured_within_reason() {
        let wait = Retry::After(Duration::from_secs(7));
        let (_, waited) = tries_of(RetryPolicy::with_tries(2), wait).await;
        assert!(waited >= Duration::from_secs(7) && waited < Duration::from_secs(8), "{waited:?}");
        let wait = Retry::After(Duration::from_hours(24));
        assert!(tries_of(RetryPolicy::with_tries(2), wait).await.1 <= RETRY_AFTER_CAP * 2);
    }
}
