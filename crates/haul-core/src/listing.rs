//! A listing under way.
//!
//! Owns the task that asks for pages ahead of their use: two at most are held, so that memory stays
//! flat however much is listed. Dropping the listing ends the task.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::engine::Engine;
use crate::entry::{Lister, Page};
use crate::error::Result;
use crate::handle::JobContext;

/// Pages that are asked for ahead. One is in use, one is ready, and one is on its way.
const AHEAD: usize = 1;

/// A listing under way.
#[derive(Debug)]
pub struct Listing {
    pages: mpsc::Receiver<Result<Page>>,
    task: JoinHandle<()>,
}

impl Engine {
    /// Starts to list, by the retry policy. An error is the last thing that comes of it.
    pub fn listing(&self, mut lister: Box<dyn Lister>, cx: &JobContext) -> Listing {
        let (tx, pages) = mpsc::channel(AHEAD);
        let (engine, cx) = (self.clone(), cx.clone());
        let location = lister.location();
        let task = tokio::spawn(async move {
            let policy = engine.options().retry;
            loop {
                let page = next_page(&engine, policy, &cx, &location, &mut *lister).await;
                let last = !matches!(page, Ok(Some(_)));
                let Some(page) = page.transpose() else { return };
                if tx.send(page).await.is_err() || last {
                    return;
                }
            }
        });
        Listing { pages, task }
    }
}

async fn next_page(
    engine: &Engine,
    policy: crate::RetryPolicy,
    cx: &JobContext,
    location: &str,
    lister: &mut dyn Lister,
) -> Result<Option<Page>> {
    // A mutable borrow cannot be handed to a closure that is called again: a lock that nobody else
    // wants does it.
    let lister = tokio::sync::Mutex::new(lister);
    let attempt = || async { lister.lock().await.next_page().await };
    engine.retrying(policy, cx, location, attempt).await
}

impl Listing {
    /// The next page; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Page>> {
        self.pages.recv().await
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.task.abort();
    }
}
