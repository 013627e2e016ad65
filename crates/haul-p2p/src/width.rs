//! How many requests for parts of files a receiver has under way.
//!
//! Owns the rule that it follows the line: every file that is fetched has one request, and more only
//! while bytes come so fast that others are not made to wait. On a slow line many requests would
//! share it until none of them seems to move; on a fast one a single request is not enough.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Bytes after which the pace of a request is looked at.
const STEP: u64 = 256 << 10;

/// A request that takes less time for that leaves room for another: 128 KiB/s.
const QUICK: Duration = Duration::from_secs(2);

/// One that takes more is one of too many: 32 KiB/s.
const SLOW: Duration = Duration::from_secs(8);

/// Requests beyond the first of each file.
#[derive(Debug)]
pub(crate) struct Width {
    free: Semaphore,
}

impl Width {
    /// None to begin with.
    pub(crate) fn new() -> Self {
        Self { free: Semaphore::const_new(0) }
    }

    /// Waits until there may be another request.
    pub(crate) async fn another(&self) -> Option<Another<'_>> {
        let place = self.free.acquire().await.ok()?;
        Some(Another { place: Some(place), one_too_many: AtomicBool::new(false) })
    }

    /// Looks at the pace of a request from now on; `of` is its place, if it has one.
    pub(crate) fn pace<'a>(&'a self, of: Option<&'a Another<'a>>) -> Pace<'a> {
        Pace { width: self, of, since: Instant::now(), came: 0 }
    }
}

/// The place of a request beyond the first.
#[derive(Debug)]
pub(crate) struct Another<'a> {
    place: Option<SemaphorePermit<'a>>,
    one_too_many: AtomicBool,
}

impl Drop for Another<'_> {
    fn drop(&mut self) {
        if self.one_too_many.load(Ordering::Relaxed)
            && let Some(place) = self.place.take()
        {
            place.forget();
        }
    }
}

/// The pace of one request.
#[derive(Debug)]
pub(crate) struct Pace<'a> {
    width: &'a Width,
    of: Option<&'a Another<'a>>,
    since: Instant,
    came: u64,
}

impl Pace<'_> {
    /// Says that so many bytes came.
    pub(crate) fn came(&mut self, bytes: u64) {
        self.came += bytes;
        if self.came < STEP {
            return;
        }
        let took = self.since.elapsed();
        (self.came, self.since) = (0, Instant::now());
        let free = &self.width.free;
        if took <= QUICK {
            // One at a time, and none that nobody wanted.
            if free.available_permits() == 0 {
                free.add_permits(1);
            }
        } else if took > SLOW {
            free.forget_permits(1);
            if let Some(of) = self.of {
                of.one_too_many.store(true, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that come for `secs` at `rate` bytes a second, shared by as many requests as there may
    /// be, of `files` files with 4 requests at most; how many there are in the end.
    async fn requests(files: usize, rate: u64, secs: u64) -> usize {
        let width = Width::new();
        let mut all: Vec<_> = (0..files).map(|_| None).collect();
        let mut paces: Vec<_> = (0..files).map(|_| width.pace(None)).collect();
        for _ in 0..secs * 10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let share = rate / 10 / paces.len() as u64;
            for pace in &mut paces {
                pace.came(share);
            }
            if all.len() < 4 * files && width.free.available_permits() > 0 {
                all.push(width.another().await);
                paces.push(width.pace(None));
            }
        }
        all.len()
    }

    /// D2: on a line of 256 kbit/s each file has one request; on a fast one as many as may be.
    #[tokio::test(start_paused = true)]
    async fn the_width_follows_the_rate() {
        assert_eq!(requests(6, 32 << 10, 600).await, 6);
        assert_eq!(requests(1, 32 << 10, 600).await, 1);
        assert_eq!(requests(6, 100 << 20, 10).await, 24);
        assert_eq!(requests(1, 100 << 20, 10).await, 4);
        let some = requests(6, 1 << 20, 600).await;
        assert!((7..=10).contains(&some), "{some}");
    }

    /// D2: a request that turns out to be one of too many has no successor.
    #[tokio::test(start_paused = true)]
    async fn a_slow_request_has_no_successor() {
        let width = Width::new();
        width.pace(None).came(STEP);
        let one = width.another().await.unwrap();
        assert_eq!(width.free.available_permits(), 0);
        let mut pace = width.pace(Some(&one));
        tokio::time::sleep(SLOW * 2).await;
        pace.came(STEP);
        drop(one);
        assert_eq!(width.free.available_permits(), 0);
        // One that was neither gives its place to the next.
        width.pace(None).came(STEP);
        drop(width.another().await);
        assert_eq!(width.free.available_permits(), 1);
    }
}
