//! The one retry layer.
//!
//! Owns how often and how long after a failure something is tried again. Which failures qualify is
//! a field of the error, set where the status is known. Nothing else in haul may retry; SDK retries
//! are off.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result, Retry};

/// How failures are tried again: full jitter, 100 ms first, doubling, 5 s cap (S3.26-S3.28).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, the first included; at least 1 (X3.4).
    pub tries: u32,
    /// How long an outage may last, instead of so many tries: failures to connect, 5xx and requests to
    /// slow down, once there is something to lose or the endpoint is known to be there. Nothing: tries
    /// alone count.
    pub patience: Duration,
}

/// How long an outage may last by default: the restart of a whole cluster, or of a router.
const PATIENCE: Duration = Duration::from_mins(3);

/// How long an endpoint may take to answer for the first time: a typing error in its name should not
/// take as long as an outage, and a server that is being restarted is back by then.
const FIRST_CONTACT: Duration = Duration::from_secs(4);

/// Longest `Retry-After` that is obeyed: a server may not park us for an hour.
const RETRY_AFTER_CAP: Duration = Duration::from_mins(1);

/// Longest wait of our own.
const LONGEST: Duration = Duration::from_secs(5);

/// Progress in bytes after which earlier failures are forgotten. Without a floor, a server that
/// sends one byte and breaks off could keep us for ever.
pub(crate) const FORGIVE_AFTER: u64 = 1 << 20;

impl Default for RetryPolicy {
    /// 8 tries: with full jitter about 6 s, at most 12 s, of back-off in all, which rides out a
    /// server's restart. Where that would throw away what has been moved, three minutes.
    fn default() -> Self {
        Self { tries: 8, patience: PATIENCE }
    }
}

impl RetryPolicy {
    /// The policy with exactly `tries` in all, whatever there is to lose.
    pub fn with_tries(tries: u32) -> Self {
        Self { tries: tries.max(1), patience: Duration::ZERO }
    }

    /// The policy for somebody who asks for `tries` in all: fewer than usual are meant to the letter, as
    /// many or more wait for an outage to end, too.
    pub fn asked_for(tries: u32) -> Self {
        let (exact, usual) = (Self::with_tries(tries), Self::default());
        if exact.tries < usual.tries { exact } else { Self { tries: exact.tries, ..usual } }
    }

    /// Starts a run of tries.
    pub fn start(self) -> Backoff {
        Backoff { policy: self, delays: delays(), tries: 1, failed: 1, since: None }
    }
}

fn delays() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_factor(2.0)
        .with_max_delay(LONGEST)
        .without_max_times()
        .build()
}

/// The state of one run of tries.
#[derive(Debug)]
pub struct Backoff {
    policy: RetryPolicy,
    delays: ExponentialBackoff,
    /// Tries that count, the one under way included.
    tries: u32,
    /// Tries in all, the one under way included.
    failed: u32,
    /// When the first of them failed.
    since: Option<Instant>,
}

impl Backoff {
    /// Decides what follows a failure: the error back, the tries so far and the time to wait
    /// before the next; or the final error. `at_stake` says whether giving up would throw away what
    /// has been moved.
    pub fn after(&mut self, error: Error, at_stake: bool) -> Result<(Error, u32, Duration)> {
        if let Retry::Wait(wait) = error.retry() {
            return Ok((error, self.failed, wait.min(RETRY_AFTER_CAP)));
        }
        let now = Instant::now();
        let lasted = now.duration_since(*self.since.get_or_insert(now));
        let outage = self.is_outage(&error, at_stake);
        // Time that is left, where it is time that counts.
        let left = match error.retry() {
            Retry::Never => Some(Duration::ZERO),
            Retry::Briefly => Some(FIRST_CONTACT.saturating_sub(lasted)),
            _ if outage => Some(self.policy.patience.saturating_sub(lasted)),
            _ => None,
        };
        let used_up = self.tries >= self.policy.tries && !outage;
        if used_up || left == Some(Duration::ZERO) {
            return Err(error.exhausted(self.failed));
        }
        let tried = self.failed;
        self.failed += 1;
        self.tries += u32::from(!outage);
        let step = self.delays.next().unwrap_or(LONGEST);
        // Full jitter: anywhere between nothing and the step, so that many clients spread out.
        let wait = match error.retry() {
            Retry::After(wait) => wait.min(RETRY_AFTER_CAP),
            _ => step.mul_f64(fastrand::f64()),
        };
        Ok((error, tried, left.map_or(wait, |left| wait.min(left))))
    }

    /// Whether this is a failure that passes, and waiting for that is worth more than so many tries.
    fn is_outage(&self, error: &Error, at_stake: bool) -> bool {
        let passes = match error.kind() {
            // Somebody was there, or the error would be one to be tried again briefly.
            ErrorKind::Connect => true,
            ErrorKind::Throttled | ErrorKind::Server => at_stake,
            _ => false,
        };
        let again = matches!(error.retry(), Retry::Backoff | Retry::After(_));
        passes && again && !self.policy.patience.is_zero()
    }

    /// Forgets earlier failures, because bytes have moved since.
    pub fn reset(&mut self) {
        if self.failed > 1 {
            *self = self.policy.start();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Op;

    fn failure(kind: ErrorKind, retry: Retry) -> Error {
        Error::new(kind, Op::Read, "x", "failed").with_retry(retry)
    }

    /// How often something is tried that always fails in this way, and the waits between.
    async fn waits_of(
        policy: RetryPolicy,
        at_stake: bool,
        fail: impl Fn() -> Error,
    ) -> Vec<Duration> {
        let (mut backoff, mut waits) = (policy.start(), Vec::new());
        while let Ok((_, _, wait)) = backoff.after(fail(), at_stake) {
            waits.push(wait);
            tokio::time::sleep(wait).await;
        }
        waits
    }

    async fn tries_of(policy: RetryPolicy, retry: Retry) -> (usize, Duration) {
        let waits = waits_of(policy, false, || failure(ErrorKind::Server, retry)).await;
        (waits.len() + 1, waits.iter().sum())
    }

    /// Whether the waits are this long together: each is up to a millisecond longer, by the clock.
    fn is_all_of(time: Duration, waits: &[Duration]) -> bool {
        let sum: Duration = waits.iter().sum();
        sum <= time && sum + Duration::from_millis(waits.len() as u64) >= time
    }

    /// S3.24, S3.25, S3.30, X3.4, X3.5: total tries, and only what is worth it.
    #[tokio::test(start_paused = true)]
    async fn tries_are_total_and_only_for_what_qualifies() {
        assert_eq!(tries_of(RetryPolicy::with_tries(3), Retry::Backoff).await.0, 3);
        assert_eq!(tries_of(RetryPolicy::with_tries(3), Retry::Never).await.0, 1);
        assert_eq!(tries_of(RetryPolicy::with_tries(1), Retry::Backoff).await.0, 1);
        assert_eq!(tries_of(RetryPolicy::default(), Retry::Backoff).await.0, 8);
    }

    /// S3.15, S3.26, S3.27, S3.28: 100 ms first, twice as much each time, 5 s at most; the wait is
    /// anywhere between nothing and that.
    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_five_seconds_with_full_jitter() {
        fastrand::seed(7);
        let steps = [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000].map(Duration::from_millis);
        let (mut least, mut most) = ([f64::MAX; 9], [0_f64; 9]);
        for _ in 0..1000 {
            let fail = || failure(ErrorKind::Server, Retry::Backoff);
            let waits = waits_of(RetryPolicy::with_tries(10), false, fail).await;
            assert_eq!(waits.len(), steps.len());
            for (i, (wait, step)) in waits.iter().zip(steps).enumerate() {
                let share = wait.as_secs_f64() / step.as_secs_f64();
                assert!(share <= 1.0, "wait {i} is {wait:?}");
                (least[i], most[i]) = (least[i].min(share), most[i].max(share));
            }
        }
        // A thousand times anywhere between 0 and 1: nothing else comes so close to both.
        assert!(least.iter().all(|l| *l < 0.02) && most.iter().all(|m| *m > 0.98), "{most:?}");
    }

    /// S2.34: waits follow what the server says.
    #[tokio::test(start_paused = true)]
    async fn retry_after_is_honoured_within_reason() {
        let wait = Retry::After(Duration::from_secs(7));
        let (_, waited) = tries_of(RetryPolicy::with_tries(2), wait).await;
        assert_eq!(waited, Duration::from_secs(7));
        let wait = Retry::After(Duration::from_hours(24));
        assert_eq!(tries_of(RetryPolicy::with_tries(2), wait).await.1, RETRY_AFTER_CAP);
    }

    /// A.20: what has been moved is not thrown away for an outage of a minute, however often it was
    /// tried meanwhile; and not kept for ever.
    #[tokio::test(start_paused = true)]
    async fn an_outage_of_minutes_is_waited_for_where_something_is_at_stake() {
        for kind in [ErrorKind::Connect, ErrorKind::Throttled, ErrorKind::Server] {
            for retry in [Retry::Backoff, Retry::After(Duration::from_secs(20))] {
                let waits = waits_of(RetryPolicy::default(), true, || failure(kind, retry)).await;
                assert!(is_all_of(PATIENCE, &waits), "{kind:?} {retry:?} {waits:?}");
            }
        }
        // What does not pass by itself has its tries, and so has everything where they were counted.
        let broken = || failure(ErrorKind::Protocol, Retry::Backoff);
        assert_eq!(waits_of(RetryPolicy::default(), true, broken).await.len(), 7);
        let away = || failure(ErrorKind::Connect, Retry::Backoff);
        assert_eq!(waits_of(RetryPolicy::with_tries(3), true, away).await.len(), 2);
    }

    /// A.20: tries in an outage are not counted against what fails in another way after it.
    #[tokio::test(start_paused = true)]
    async fn an_outage_uses_up_no_tries() {
        let mut backoff = RetryPolicy::default().start();
        for _ in 0..30 {
            backoff.after(failure(ErrorKind::Connect, Retry::Backoff), true).unwrap();
        }
        for _ in 0..7 {
            backoff.after(failure(ErrorKind::Protocol, Retry::Backoff), true).unwrap();
        }
        let e = backoff.after(failure(ErrorKind::Protocol, Retry::Backoff), true).unwrap_err();
        assert!(e.to_string().contains("gave up after 38 tries"), "{e}");
    }

    /// G.6: a store that has never answered is given four seconds, and not a tenth of one.
    #[tokio::test(start_paused = true)]
    async fn first_contact_takes_seconds_and_no_more() {
        let absent = || failure(ErrorKind::Connect, Retry::Briefly);
        let patient = RetryPolicy { tries: 100, ..RetryPolicy::default() };
        let waits = waits_of(patient, false, absent).await;
        assert!(is_all_of(FIRST_CONTACT, &waits), "{waits:?}");
        assert_eq!(waits_of(RetryPolicy::with_tries(3), false, absent).await.len(), 2);
    }
}
