//! The receivers of a share.
//!
//! Owns what all visits have in common, and how connections become visits. A visitor that has not
//! said anything yet costs next to nothing and takes nobody's place; nothing that one does holds up
//! another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haul_core::Engine;
use haul_core::handle::JobContext;
use iroh::Endpoint;
use iroh::endpoint::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::door::Door;
use crate::fault::Close;
use crate::room::House;
use crate::shelf::Shelf;
use crate::ticket::Secret;
use crate::visit::{HELLO_WAIT, Visit};
use crate::wire;

/// Visitors at once that have not shown that they have the ticket.
const STRANGERS: usize = 128;

/// From so many of them on, the next must show first that its address is not made up.
const CROWD: usize = 16;

/// Who is served, and with what.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) engine: Engine,
    pub(crate) cx: JobContext,
    pub(crate) secret: Secret,
    pub(crate) door: Door,
    pub(crate) house: House,
    strangers: Arc<Semaphore>,
    peers: AtomicU64,
    /// The end of the visits that there are.
    pub(crate) over: CancellationToken,
    /// The end of all: until then, those who come hear why they are not let in.
    pub(crate) stop: CancellationToken,
}

impl Host {
    pub(crate) fn new(engine: &Engine, cx: &JobContext, secret: Secret, door: Door) -> Arc<Self> {
        Arc::new(Self {
            shelf: Arc::new(Shelf::new()),
            engine: engine.clone(),
            cx: cx.clone(),
            secret,
            door,
            house: House::new(engine.budget().clone()),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            peers: AtomicU64::new(0),
            over: CancellationToken::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Sends everybody away who is here, and everybody who comes from now on, and says why.
    pub(crate) fn close(&self, why: Close) {
        self.door.shut(why);
        self.over.cancel();
    }

    /// Takes no more connections.
    pub(crate) fn stop(&self) {
        self.over.cancel();
        self.stop.cancel();
    }

    /// Takes connections until [`stop`](Self::stop), or until the endpoint is closed.
    pub(crate) async fn serve(self: Arc<Self>, endpoint: Endpoint) {
        let mut visits = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(_) = visits.join_next() => {}
                incoming = endpoint.accept() => {
                    let Some(incoming) = incoming else { break };
                    self.meet(incoming, &mut visits);
                }
            }
        }
        // Each ends by itself: it hears of the end as well.
        while visits.join_next().await.is_some() {}
    }

    fn meet(self: &Arc<Self>, incoming: Incoming, visits: &mut JoinSet<()>) {
        let Ok(stranger) = Arc::clone(&self.strangers).try_acquire_owned() else {
            return incoming.refuse();
        };
        // Packets with made-up addresses cost nothing: they must not use up the places of others.
        let crowded = STRANGERS - self.strangers.available_permits() > CROWD;
        if crowded && !incoming.remote_addr_validated() {
            return drop(incoming.retry());
        }
        visits.spawn(Arc::clone(self).receive(incoming, stranger));
    }

    async fn receive(self: Arc<Self>, incoming: Incoming, stranger: OwnedSemaphorePermit) {
        let accepting = async { incoming.accept().ok()?.await.ok() };
        let accepted = tokio::time::timeout(HELLO_WAIT, accepting);
        let Some(Ok(Some(connection))) = self.stop.run_until_cancelled(accepted).await else {
            return;
        };
        let of_haul = connection.alpn() == wire::ALPN;
        let number = self.peers.fetch_add(1, Ordering::Relaxed);
        let visit = Arc::new(Visit::new(self, connection, number, stranger));
        if of_haul { visit.of_haul().await } else { visit.of_others().await }
    }
}
