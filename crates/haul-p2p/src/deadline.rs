//! When a share is over at the latest.
//!
//! Owns the two clocks that say so. One goes on while the machine sleeps and can be set by anybody;
//! the other cannot be set and stands still. Whichever is there first counts: a share for an hour
//! must not be open again in the morning because the lid was closed.

use std::time::{Duration, Instant, SystemTime};

/// How often the clock that can jump is looked at.
const LOOK: Duration = Duration::from_secs(30);

/// The end of a share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    /// `None` if it is further away than the clock goes.
    wall: Option<SystemTime>,
    awake: Option<Instant>,
}

impl Deadline {
    /// After so long from now.
    pub(crate) fn after(life: Duration) -> Self {
        Self { wall: SystemTime::now().checked_add(life), awake: Instant::now().checked_add(life) }
    }

    fn left_at(&self, wall: SystemTime, awake: Instant) -> Duration {
        let by_wall = self.wall.map(|end| end.duration_since(wall).unwrap_or_default());
        let by_awake = self.awake.map(|end| end.saturating_duration_since(awake));
        [by_wall, by_awake].into_iter().flatten().min().unwrap_or(Duration::MAX)
    }

    fn left(&self) -> Duration {
        self.left_at(SystemTime::now(), Instant::now())
    }

    /// Whether it has come.
    pub(crate) fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// Waits for it.
    pub(crate) async fn over(&self) {
        while !self.is_over() {
            tokio::time::sleep(self.left().min(LOOK)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D10: an hour is over after an hour, whether the machine was awake or not, and whatever its
    /// clock was set to.
    #[test]
    fn both_clocks_count() {
        const HOUR: Duration = Duration::from_hours(1);
        let (wall, awake) = (SystemTime::now(), Instant::now());
        let end = Deadline { wall: Some(wall + HOUR), awake: Some(awake + HOUR) };
        let minute = Duration::from_mins(1);
        assert_eq!(end.left_at(wall + minute, awake + minute), Duration::from_mins(59));
        assert!(end.left_at(wall + 9 * HOUR, awake + minute).is_zero(), "it slept");
        assert!(end.left_at(wall - 9 * HOUR, awake + HOUR).is_zero(), "the clock was set back");
        let never = Deadline { wall: None, awake: None };
        assert_eq!(never.left_at(wall, awake), Duration::MAX);
        assert!(!Deadline::after(HOUR).is_over() && Deadline::after(Duration::ZERO).is_over());
        assert!(!Deadline::after(Duration::MAX).is_over());
    }
}
