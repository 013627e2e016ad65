//! The rolling stall timer.
//!
//! Owns the question "have bytes moved lately?". There is no total time-out anywhere: a slow but
//! living transfer must never be killed, and a dead one must never be waited for.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Op, Result, Retry};

/// Counts bytes as they move, for the timer to look at.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

/// Set once the last byte has been handed over: what follows is the wait for an answer.
const HANDED_OVER: u64 = 1 << 63;

/// How many stall time-outs an answer may take after the last byte was handed over. The kernel may
/// still hold megabytes then, which a slow uplink takes a while to send.
const ANSWER_PERIODS: u32 = 3;

impl Pulse {
    /// Says that bytes moved.
    pub fn beat(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Says that the last byte was handed over.
    pub fn handed_over(&self) {
        self.0.fetch_or(HANDED_OVER, Ordering::Relaxed);
    }

    /// Starts over, for another try.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Waits for `work`, at most `limit`. The time is taken in quarters, each of which starts when it is
/// looked at: a thread that was held up by a disk for longer than the limit counts one quarter, and
/// what arrived meanwhile is seen first.
pub async fn within<F: Future>(limit: Duration, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    for _ in 0..4 {
        if let Ok(output) = tokio::time::timeout(limit / 4, &mut work).await {
            return Some(output);
        }
    }
    None
}

/// The error of a stall.
pub fn stalled(op: Op, location: &str, limit: Duration) -> Error {
    let detail = format!("no bytes moved for {} s", limit.as_secs());
    Error::new(ErrorKind::Stalled, op, location, detail).with_retry(Retry::Backoff)
}

/// Runs `work` as long as `pulse` beats at least once every `limit`.
pub async fn watch<T>(
    limit: Duration,
    pulse: &Pulse,
    on_stall: impl FnOnce() -> Error,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut work = pin!(work);
    let step = limit / 4;
    let (mut seen, mut quiet) = (pulse.read(), Duration::ZERO);
    loop {
        match tokio::time::timeout(step, &mut work).await {
            Ok(result) => return result,
            Err(_) if pulse.read() != seen => (seen, quiet) = (pulse.read(), Duration::ZERO),
            Err(_) => quiet += step,
        }
        let allowed =
            if seen & HANDED_OVER == 0 { limit } else { limit.saturating_mul(ANSWER_PERIODS) };
        if quiet >= allowed {
            return Err(on_stall());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn slow_is_alive_and_silent_is_dead() {
        let pulse = Pulse::default();
        let slow = async {
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_secs(15)).await;
                pulse.beat(1);
            }
            Ok(())
        };
        let stall = || stalled(Op::Write, "x", LIMIT);
        watch(LIMIT, &pulse, stall, slow).await.unwrap();
        let start = tokio::time::Instant::now();
        let e = watch(LIMIT, &pulse, stall, std::future::pending::<Result<()>>()).await;
        assert_eq!(e.unwrap_err().kind(), ErrorKind::Stalled);
        assert!(start.elapsed() <= LIMIT + LIMIT / 2);
    }
}
