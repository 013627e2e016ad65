//! How fast, and how long still.
//!
//! Owns the smoothing of speeds: what is shown follows a change within seconds and does not dance.

use std::time::Instant;

/// How long a burst echoes in the speed that is shown, in seconds.
const SMOOTHING: f64 = 2.0;

/// The speed of a counter, smoothed.
#[derive(Debug, Default)]
pub(super) struct Speed {
    last: Option<(Instant, u64)>,
    speed: f64,
}

impl Speed {
    /// The speed now that the counter is at `moved`, per second.
    pub(super) fn at(&mut self, moved: u64) -> f64 {
        self.at_time(moved, Instant::now())
    }

    fn at_time(&mut self, moved: u64, now: Instant) -> f64 {
        if let Some((then, before)) = self.last {
            let time = (now - then).as_secs_f64().max(0.001);
            let current = moved.saturating_sub(before) as f64 / time;
            let weight = 1.0 - (-time / SMOOTHING).exp();
            self.speed += (current - self.speed) * if self.speed == 0.0 { 1.0 } else { weight };
        }
        self.last = Some((now, moved));
        self.speed
    }
}

/// Seconds until `left` is done; `None` while that cannot be told.
pub(super) fn time_left(left: u64, speed: f64) -> Option<f64> {
    (speed > 0.0).then(|| left as f64 / speed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_steady_counter_has_its_speed_and_a_stop_fades() {
        let (start, mut speed) = (Instant::now(), Speed::default());
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        for tenth in 0..20 {
            speed.at_time(tenth * 100, at(tenth));
        }
        assert!((speed.speed - 1000.0).abs() < 1.0, "{}", speed.speed);
        for tenth in 20..60 {
            speed.at_time(1900, at(tenth));
        }
        assert!(speed.speed < 200.0 && speed.speed > 0.0, "{}", speed.speed);
        assert_eq!(time_left(10, 0.0), None);
        assert_eq!(time_left(10, 2.0), Some(5.0));
    }
}
