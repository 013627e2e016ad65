//! What time it is at the store.
//!
//! Owns how far the store's clock is from this machine's: a signature carries a time, and a store refuses
//! one that is minutes off. What one answer taught holds for every request to the endpoint. Must never be
//! asked for anything but signatures.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;

/// A difference that a refusal may be about. Stores allow for 5 to 15 minutes.
const SKEWED: Duration = Duration::from_mins(2);

/// The store's clock. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    /// The time to sign with.
    pub(crate) fn now(&self) -> SystemTime {
        let ahead = self.0.load(Ordering::Relaxed);
        let (now, by) = (SystemTime::now(), Duration::from_secs(ahead.unsigned_abs()));
        let there = if ahead < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        there.unwrap_or(now)
    }

    /// Learns from a refusal that was dated `theirs`; whether that differs from what was signed with.
    pub(crate) fn learn(&self, theirs: SystemTime) -> bool {
        let between = |ours: SystemTime| match theirs.duration_since(ours) {
            Ok(ahead) => ahead.as_secs().cast_signed(),
            Err(behind) => -behind.duration().as_secs().cast_signed(),
        };
        let skewed = between(self.now()).unsigned_abs() >= SKEWED.as_secs();
        if skewed {
            let ahead = between(SystemTime::now());
            if self.0.swap(ahead, Ordering::Relaxed) == 0 {
                tracing::warn!(
                    "this machine's clock and the store's differ by {} minutes",
                    ahead.abs() / 60
                );
            }
        }
        skewed
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Self::now(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off_by(clock: &Clock) -> i64 {
        match Clock::now(clock).duration_since(SystemTime::now()) {
            Ok(ahead) => ahead.as_secs().cast_signed(),
            Err(behind) => -behind.duration().as_secs().cast_signed(),
        }
    }

    #[test]
    fn it_follows_the_store_both_ways_and_takes_no_notice_of_a_minute() {
        let clock = Clock::default();
        let hour = Duration::from_hours(1);
        assert!(!clock.learn(SystemTime::now() + Duration::from_mins(1)));
        assert_eq!(off_by(&clock), 0);
        assert!(clock.learn(SystemTime::now() + hour));
        assert!((3598..=3602).contains(&off_by(&clock)), "{}", off_by(&clock));
        assert!(!clock.learn(SystemTime::now() + hour), "it is known");
        assert!(clock.learn(SystemTime::now() - hour));
        assert!((-3602..=-3598).contains(&off_by(&clock)), "{}", off_by(&clock));
    }
}
