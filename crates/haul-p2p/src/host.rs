//! The receivers of a share.
//!
//! Owns who is let in, what each visit does, and when enough of them are done. A visitor that says
//! nothing, nonsense or the wrong secret is sent away; nothing that one does holds up another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use haul_core::handle::JobContext;
use haul_core::meter::ChunkMeter;
use haul_core::{Engine, Event, Meter, PeerEnd, PeerEvent, Result, Route};
use iroh::Endpoint;
use iroh::endpoint::{Connection, ConnectionError, Incoming, RecvStream, SendStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::answer::Answers;
use crate::endpoint;
use crate::fault::Close;
use crate::shelf::{Page, Shelf};
use crate::ticket::Secret;
use crate::wire::{self, FromReceiver, FromSender, Wishes};

/// Visits at once, those that have not said anything yet included.
const VISITS: usize = 128;

/// How long a visitor may take to say which share it wants.
const HELLO_WAIT: Duration = Duration::from_secs(10);

/// How long entries are gathered for a message.
const GATHER: Duration = Duration::from_millis(20);

/// How long a visitor that cannot say anything may ask for nothing.
const IDLE_WAIT: Duration = Duration::from_mins(1);

/// How often a receiver may want to hear of this side, at most.
const SOONEST: Duration = Duration::from_millis(100);

/// Who is served, and with what.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) shelf: Arc<Shelf>,
    engine: Engine,
    cx: JobContext,
    secret: Secret,
    /// Places for receivers that are not done yet, where there is a bound.
    places: Option<Arc<Semaphore>>,
    wanted: Option<u64>,
    finished: AtomicU64,
    peers: AtomicU64,
    enough: Notify,
    stop: CancellationToken,
}

impl Host {
    pub(crate) fn new(
        engine: &Engine,
        cx: &JobContext,
        secret: Secret,
        receivers: Option<u64>,
    ) -> Arc<Self> {
        let places = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            shelf: Arc::new(Shelf::new()),
            engine: engine.clone(),
            cx: cx.clone(),
            secret,
            places: receivers.map(|n| Arc::new(Semaphore::new(places(n)))),
            wanted: receivers,
            finished: AtomicU64::new(0),
            peers: AtomicU64::new(0),
            enough: Notify::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Receivers that have everything.
    pub(crate) fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    /// Waits until as many receivers as are wanted have everything.
    pub(crate) async fn enough(&self) {
        loop {
            let changed = self.enough.notified();
            if self.wanted.is_some_and(|wanted| self.finished() >= wanted) {
                return;
            }
            changed.await;
        }
    }

    /// Sends everybody away, politely.
    pub(crate) fn stop(&self) {
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
                    if visits.len() >= VISITS {
                        incoming.refuse();
                    } else {
                        visits.spawn(Arc::clone(&self).receive(incoming));
                    }
                }
            }
        }
        // Each ends by itself: it hears of the end as well.
        while visits.join_next().await.is_some() {}
    }

    async fn receive(self: Arc<Self>, incoming: Incoming) {
        let accepting = async { incoming.accept().ok()?.await.ok() };
        let accepted = tokio::time::timeout(HELLO_WAIT, accepting);
        let Some(Ok(Some(connection))) = self.stop.run_until_cancelled(accepted).await else {
            return;
        };
        let visit = Visit::new(self, connection);
        if visit.connection.alpn() == wire::ALPN {
            visit.of_haul().await;
        } else {
            visit.of_others().await;
        }
    }

    /// Lets a receiver in, if there is room for another.
    fn admit(&self) -> Option<Place> {
        match &self.places {
            None => Some(Place(None)),
            Some(places) => {
                Arc::clone(places).try_acquire_owned().ok().map(|place| Place(Some(place)))
            }
        }
    }
}

/// A receiver's right to be here; with a bound, others wait for it.
struct Place(Option<OwnedSemaphorePermit>);

/// When a receiver is to hear that there is nothing to say: at once, and from time to time.
struct Alive(Option<Interval>);

impl Alive {
    fn new(wishes: Wishes) -> Self {
        Self((wishes.alive > 0).then(|| {
            let every = Duration::from_millis(wishes.alive.into()).max(SOONEST);
            let mut interval = tokio::time::interval(every);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        }))
    }

    async fn beat(&mut self) {
        match &mut self.0 {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }
}

/// One receiver's visit.
struct Visit {
    host: Arc<Host>,
    connection: Connection,
    name: Arc<str>,
    number: u64,
    meter: Arc<Meter>,
}

impl Visit {
    fn new(host: Arc<Host>, connection: Connection) -> Self {
        let number = host.peers.fetch_add(1, Ordering::Relaxed);
        let name = endpoint::name_of(&connection.remote_id()).into();
        Self { host, connection, name, number, meter: Meter::new() }
    }

    fn tell(&self, event: PeerEvent) {
        self.host.cx.events.send(Event::Peer { peer: self.number, event });
    }

    fn joined(&self) {
        let (name, route) = (self.name.to_string(), endpoint::route(&self.connection));
        self.tell(PeerEvent::Joined { name, route, meter: Arc::clone(&self.meter) });
    }

    fn close(&self, why: Close) {
        self.connection.close(why.code(), b"");
    }

    /// A receiver of haul's: it says which share it wants, and what became of it.
    async fn of_haul(self) {
        let hello = tokio::time::timeout(HELLO_WAIT, self.hello());
        let (list, send, mut recv) = match self.host.stop.run_until_cancelled(hello).await {
            Some(Ok(Ok(Some((FromReceiver::Hello { secret, list }, wishes, send, recv))))) => {
                // Hashes compare in constant time.
                if blake3::hash(&secret.0) != blake3::hash(&self.host.secret.0) {
                    return self.close(Close::WrongTicket);
                }
                (list.then_some(wishes), send, recv)
            }
            None => return self.close(Close::Stopping),
            _ => return self.close(Close::Malformed),
        };
        let Some(place) = self.host.admit() else { return self.close(Close::Full) };
        self.joined();
        let end = tokio::select! {
            biased;
            () = self.stopped() => PeerEnd::Gone,
            end = self.listen(&mut recv) => end,
            () = self.serve(list.map(|wishes| (send, wishes))) => PeerEnd::Gone,
        };
        self.left(end, place);
    }

    /// Any other peer: it asks for contents, and goes.
    async fn of_others(self) {
        let Some(place) = self.host.admit() else { return self.close(Close::Full) };
        let items = self.host.cx.tally.snapshot();
        self.meter.set_total(items.bytes);
        self.joined();
        tokio::select! {
            biased;
            () = self.stopped() => {}
            () = self.serve(None) => {}
        }
        // It does not say whether it has everything. Going without an error, having taken something,
        // is as good as it gets.
        let took = self.meter.snapshot().landed > 0 || items.bytes == 0;
        let polite = took
            && matches!(
                self.connection.close_reason(),
                Some(ConnectionError::ApplicationClosed(close)) if close.error_code == Close::Done.code()
            );
        self.left(
            if polite { PeerEnd::Finished { files: items.copied } } else { PeerEnd::Gone },
            place,
        );
    }

    /// Waits for the end of the share and tells the peer, before the answers are dropped: their streams
    /// would end as if all was said.
    async fn stopped(&self) {
        self.host.stop.cancelled().await;
        self.close(Close::Stopping);
    }

    fn left(&self, end: PeerEnd, place: Place) {
        if matches!(end, PeerEnd::Finished { .. }) {
            self.host.finished.fetch_add(1, Ordering::Relaxed);
            // Its place is not given to another.
            if let Some(place) = place.0 {
                place.forget();
            }
            self.host.enough.notify_waiters();
        } else {
            // Whoever hears that it is gone finds its place free.
            drop(place);
        }
        self.tell(PeerEvent::Left(end));
    }

    async fn hello(&self) -> Result<Option<(FromReceiver, Wishes, SendStream, RecvStream)>> {
        let Ok((send, mut recv)) = self.connection.accept_bi().await else { return Ok(None) };
        let hello = wire::receive_more(&mut recv, &self.name).await?;
        Ok(hello.map(|(hello, wishes)| (hello, wishes, send, recv)))
    }

    /// Hears how far the receiver is, until it says how it went or goes.
    async fn listen(&self, recv: &mut RecvStream) -> PeerEnd {
        let landed = ChunkMeter::new(Arc::clone(&self.meter));
        loop {
            match wire::receive::<FromReceiver>(recv, &self.name).await {
                Ok(Some(FromReceiver::Landed { bytes, total })) => {
                    self.meter.set_total(total);
                    landed.reach(bytes.min(total));
                }
                Ok(Some(FromReceiver::Bye { files, failed })) => {
                    self.close(Close::Done);
                    return match failed {
                        0 => PeerEnd::Finished { files },
                        failed => PeerEnd::Partial { failed },
                    };
                }
                Ok(Some(FromReceiver::Hello { .. })) => {
                    self.close(Close::Malformed);
                    return PeerEnd::Gone;
                }
                Ok(None) | Err(_) => return PeerEnd::Gone,
            }
        }
    }

    /// Sends the manifest to `list` and answers requests, until the connection ends.
    async fn serve(&self, list: Option<(SendStream, Wishes)>) {
        let listing = async {
            if let Some((list, wishes)) = list {
                // A receiver that is gone needs no list.
                drop(self.list(list, wishes).await);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = self.answer() => {}
            () = listing => {}
            () = self.watch_route() => {}
        }
    }

    async fn list(&self, mut send: SendStream, wishes: Wishes) -> Result<()> {
        let mut changes = self.host.shelf.watch();
        let mut position = 0;
        let mut alive = Alive::new(wishes);
        loop {
            changes.mark_unchanged();
            match self.host.shelf.page(position) {
                Page::Some(entries, next) => {
                    let entries = entries.iter().map(|entry| (**entry).clone()).collect();
                    wire::send(&mut send, &FromSender::Entries(entries), &self.name).await?;
                    position = next;
                }
                Page::NotYet => {
                    tokio::select! {
                        seen = changes.changed() => drop(seen),
                        () = alive.beat() => {
                            wire::send(&mut send, &FromSender::Alive, &self.name).await?;
                            continue;
                        }
                    }
                    // What follows at once goes together: the transport keeps every small message
                    // that a receiver has not read yet as a piece of its own, and not any number.
                    tokio::time::sleep(GATHER).await;
                }
                Page::End(entries) => {
                    let end = FromSender::End { entries: entries as u64 };
                    wire::send(&mut send, &end, &self.name).await?;
                    // The stream stays open: its end is the connection's.
                    drop(send.stopped().await);
                    return Ok(());
                }
            }
        }
    }

    /// Answers requests on the lanes: reading and hashing wait for disks.
    async fn answer(&self) {
        let crew = self.host.engine.crew(1);
        let answers = Answers {
            engine: self.host.engine.clone(),
            shelf: Arc::clone(&self.host.shelf),
            cx: self.host.cx.clone(),
            peer: Arc::clone(&self.name),
            of_haul: self.connection.alpn() == wire::ALPN,
            sent: Arc::clone(&self.meter),
            notes: Arc::default(),
        };
        let mut requests = JoinSet::new();
        let mut lane = self.number as usize;
        loop {
            // A peer of haul's has said what it is here for; another that asks for nothing goes.
            let idle = requests.is_empty() && !answers.of_haul;
            tokio::select! {
                biased;
                Some(_) = requests.join_next() => {}
                () = tokio::time::sleep(IDLE_WAIT), if idle => return self.close(Close::Malformed),
                // As many at once as the transport lets a peer open.
                stream = self.connection.accept_bi() => {
                    let Ok((send, recv)) = stream else { return };
                    lane = lane.wrapping_add(1);
                    let answer = answers.clone().answer(send, recv);
                    requests.spawn_on(answer, &crew.lanes.handle(lane));
                }
            }
        }
    }

    async fn watch_route(&self) {
        use futures::StreamExt as _;
        let mut told = endpoint::route(&self.connection);
        let mut paths = self.connection.paths_stream();
        while paths.next().await.is_some() {
            let route = endpoint::route(&self.connection);
            if route != told && route != Route::Unknown {
                self.tell(PeerEvent::Moved(route.clone()));
                told = route;
            }
        }
        std::future::pending::<()>().await;
    }
}
