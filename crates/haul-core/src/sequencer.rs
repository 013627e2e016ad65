//! Turns: lets chunks that were fetched in any order land in order.
//!
//! Owns whose turn it is. It holds no data and has no bound of its own: chunks wait with their
//! budget permits, so the budget bounds how many there can be.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Hands out turns in the order of chunk indexes.
#[derive(Debug, Default)]
pub struct Sequencer {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    // Bounded by the workers that wait: each waits for one turn.
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Sequencer {
    /// Starts at index 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for the turn of `index`. Each index may wait once.
    pub async fn turn(&self, index: u64) {
        let turn = {
            let mut state = self.lock();
            if state.next == index {
                return;
            }
            let (tx, rx) = oneshot::channel();
            state.waiting.insert(index, tx);
            rx
        };
        // The sender lives in `self`, so this only ends when the turn comes.
        let _turn = turn.await;
    }

    /// Ends the turn of `index` and wakes the next. Called only by who had the turn.
    pub fn done(&self, index: u64) {
        let mut state = self.lock();
        state.next = index + 1;
        if let Some(next) = state.waiting.remove(&(index + 1)) {
            let _gone = next.send(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// S3.16, S3.18, S3.19, S3.39: ordering with out-of-order chunks.
    #[tokio::test]
    async fn any_order_of_arrival_lands_in_order() {
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut order: Vec<u64> = (0..50).collect();
            rng.shuffle(&mut order);
            let seq = Arc::new(Sequencer::new());
            let out = Arc::new(Mutex::new(Vec::new()));
            let tasks = order.into_iter().map(|i| {
                let (seq, out) = (Arc::clone(&seq), Arc::clone(&out));
                tokio::spawn(async move {
                    seq.turn(i).await;
                    tokio::task::yield_now().await;
                    out.lock().unwrap().push(i);
                    seq.done(i);
                })
            });
            futures::future::try_join_all(tasks.collect::<Vec<_>>()).await.unwrap();
            assert_eq!(*out.lock().unwrap(), (0..50).collect::<Vec<_>>());
        }
    }
}
