//! The rate limit.
//!
//! Owns how many bytes a second may cross the network, over all transfers that share it. Must only
//! be asked where bytes cross a network, and only once for each byte.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Bytes per second, shared by its clones.
#[derive(Debug, Clone)]
pub struct Throttle {
    rate: u64,
    /// When the bytes handed out so far will have been paid for.
    paid_until: Arc<Mutex<Instant>>,
}

/// Credit that may pile up while nothing moves: short pauses do not lower the average.
const BURST: Duration = Duration::from_millis(100);

impl Throttle {
    /// At most `rate` bytes a second, at least 1.
    pub fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), paid_until: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Waits until `bytes` may move. `beat` hears of every piece of at most a second: waiting for
    /// leave is no stall.
    pub async fn take(&self, bytes: usize, mut beat: impl FnMut(usize)) {
        let most = usize::try_from(self.rate).unwrap_or(usize::MAX);
        let mut left = bytes;
        while left > 0 {
            let piece = left.min(most);
            self.take_piece(piece).await;
            beat(piece);
            left -= piece;
        }
    }

    async fn take_piece(&self, bytes: usize) {
        let cost = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        let until = {
            let mut paid = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
            let floor = Instant::now().checked_sub(BURST).unwrap_or(*paid);
            *paid = (*paid).max(floor) + cost;
            *paid
        };
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S2.33: one rate for all.
    #[tokio::test(start_paused = true)]
    async fn the_rate_holds_over_all_who_share_it() {
        let throttle = Throttle::new(1 << 20);
        let start = Instant::now();
        let take = |t: Throttle| async move {
            for _ in 0..40 {
                t.take(256 << 10, |_| ()).await;
            }
        };
        futures::join!(take(throttle.clone()), take(throttle.clone()));
        let took = start.elapsed().as_secs_f64();
        assert!((19.5..=20.5).contains(&took), "{took}");
    }
}
