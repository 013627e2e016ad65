//! One receiver's visit.
//!
//! Owns what is said to it and heard from it, from the first word to the last. A visitor that says
//! nothing, nonsense or the wrong secret is sent away. What it asks for is answered elsewhere.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use haul_core::meter::ChunkMeter;
use haul_core::stall::Pulse;
use haul_core::{Event, Meter, PeerEnd, PeerEvent, Result, Route};
use iroh::endpoint::{Connection, ConnectionError, RecvStream, SendStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};

use crate::answer::answer;
use crate::copies::Reader;
use crate::door::Guest;
use crate::endpoint;
use crate::fault::Close;
use crate::host::Host;
use crate::shelf::Page;
use crate::wire::{self, FromReceiver, FromSender, Known, Wishes};

/// How long a visitor may take to say which share it wants.
pub(crate) const HELLO_WAIT: Duration = Duration::from_secs(10);

/// How long entries are gathered for a message.
const GATHER: Duration = Duration::from_millis(20);

/// How long a visitor that cannot say anything may ask for nothing.
const IDLE_WAIT: Duration = Duration::from_mins(1);

/// How often a guest is looked at that others may wait for.
const LOOK: Duration = Duration::from_secs(30);

/// How often a receiver may want to hear of this side, at most.
const SOONEST: Duration = Duration::from_millis(100);

/// Notes about one peer.
const NOTES: u32 = 16;

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
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) host: Arc<Host>,
    pub(crate) connection: Connection,
    pub(crate) name: Arc<str>,
    number: u64,
    /// What it has, or, of a peer that does not say, what it was sent.
    pub(crate) meter: Arc<Meter>,
    /// Beats when any of what is sent to it moves.
    pub(crate) pulse: Pulse,
    pub(crate) reader: Reader,
    /// Its place among those who have not shown that they have the ticket.
    stranger: Mutex<Option<OwnedSemaphorePermit>>,
    guest: OnceLock<Arc<Guest>>,
    wishes: OnceLock<Wishes>,
    /// When it last asked for something or said something.
    heard: Mutex<Instant>,
    /// Whether it got something that it asked for, and whether something broke off.
    took: AtomicBool,
    broke: AtomicBool,
    /// How often something was said about it.
    notes: AtomicU32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Visit {
    pub(crate) fn new(
        host: Arc<Host>,
        connection: Connection,
        number: u64,
        stranger: OwnedSemaphorePermit,
    ) -> Self {
        let name = endpoint::name_of(&connection.remote_id()).into();
        let (engine, cx, room) = (host.engine.clone(), host.cx.clone(), host.house.room());
        Self {
            host,
            connection,
            name,
            number,
            meter: Meter::new(),
            pulse: Pulse::default(),
            reader: Reader { engine, cx, room },
            stranger: Mutex::new(Some(stranger)),
            guest: OnceLock::new(),
            wishes: OnceLock::new(),
            heard: Mutex::new(Instant::now()),
            took: AtomicBool::new(false),
            broke: AtomicBool::new(false),
            notes: AtomicU32::new(0),
        }
    }

    pub(crate) fn is_of_haul(&self) -> bool {
        self.connection.alpn() == wire::ALPN
    }

    /// Whether it knows what the first receivers of haul did not.
    pub(crate) fn is_recent(&self) -> bool {
        self.wishes.get().is_some_and(|wishes| wishes.recent)
    }

    fn tell(&self, event: PeerEvent) {
        self.host.cx.events.send(Event::Peer { peer: self.number, event });
    }

    /// Says something about it, and not for ever: nobody makes us.
    pub(crate) fn note(&self, text: &str) {
        if self.notes.fetch_add(1, Ordering::Relaxed) < NOTES {
            let text = format!("{} {text}", self.name);
            self.host.cx.events.send(Event::note(text));
        }
    }

    fn close(&self, why: Close) {
        // What the first receivers do not know they take for a lost connection.
        let why = match why {
            Close::Over if !self.is_recent() => Close::Full,
            why => why,
        };
        self.connection.close(why.code(), b"");
    }

    /// It has shown that it has the ticket: it is let in, if there is room for another. `false` if it
    /// was sent away.
    pub(crate) fn enter(&self) -> bool {
        let mut stranger = lock(&self.stranger);
        if self.guest.get().is_some() {
            return true;
        }
        // A receiver of haul's has one connection at a time.
        match self.host.door.admit(self.number, &self.connection, self.is_of_haul()) {
            Ok(guest) => {
                self.guest.get_or_init(|| guest);
                drop(stranger.take());
                let (name, route) = (self.name.to_string(), endpoint::route(&self.connection));
                let meter = Arc::clone(&self.meter);
                self.tell(PeerEvent::Joined { name, route, meter });
                true
            }
            Err(why) => {
                self.close(why);
                false
            }
        }
    }

    fn left(&self, end: PeerEnd) {
        let Some(guest) = self.guest.get() else { return };
        self.host.door.leave(guest, matches!(end, PeerEnd::Finished { .. }));
        self.tell(PeerEvent::Left(end));
    }

    /// It asked for something, or said something.
    fn heard(&self) {
        *lock(&self.heard) = Instant::now();
    }

    /// How an answer ended: whole, or not.
    pub(crate) fn answered(&self, whole: bool) {
        if whole { &self.took } else { &self.broke }.store(true, Ordering::Relaxed);
    }

    /// A receiver of haul's: it says which share it wants, and what became of it.
    pub(crate) async fn of_haul(self: &Arc<Self>) {
        let hello = tokio::time::timeout(HELLO_WAIT, self.hello());
        let (list, send, mut recv) = match self.host.stop.run_until_cancelled(hello).await {
            Some(Ok(Ok(Some((FromReceiver::Hello { secret, list }, wishes, send, recv))))) => {
                self.wishes.get_or_init(|| wishes);
                // Hashes compare in constant time.
                if blake3::hash(&secret.0) != blake3::hash(&self.host.secret.0) {
                    return self.close(Close::WrongTicket);
                }
                (list.then_some(wishes), send, recv)
            }
            None => return self.close(self.host.door.why_shut()),
            _ => return self.close(Close::Malformed),
        };
        if !self.enter() {
            return;
        }
        let end = tokio::select! {
            biased;
            () = self.stopped() => PeerEnd::Gone,
            end = self.listen(&mut recv) => end,
            () = self.serve(list.map(|wishes| (send, wishes))) => PeerEnd::Gone,
            () = self.dozed() => PeerEnd::Gone,
        };
        self.left(end);
    }

    /// Any other peer: it asks for contents, and goes.
    pub(crate) async fn of_others(self: &Arc<Self>) {
        let items = self.host.cx.tally.snapshot();
        self.meter.set_total(items.bytes);
        tokio::select! {
            biased;
            () = self.stopped() => {}
            () = self.serve(None) => {}
        }
        // It does not say whether it has everything. Going without an error, having got what it
        // asked for, is as good as it gets.
        let content = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let polite = matches!(
            self.connection.close_reason(),
            Some(ConnectionError::ApplicationClosed(close)) if close.error_code == Close::Done.code()
        );
        let finished = polite && content(&self.took) && !content(&self.broke);
        self.left(if finished { PeerEnd::Finished { files: items.copied } } else { PeerEnd::Gone });
    }

    /// Waits for the end of the share and tells the peer, before the answers are dropped: their streams
    /// would end as if all was said.
    async fn stopped(&self) {
        self.host.over.cancelled().await;
        self.close(self.host.door.why_shut());
    }

    /// Waits until it has done nothing for so long that others may have its place, and sends it away.
    async fn dozed(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let idle = lock(&self.heard).elapsed();
            // While this side hashes, waiting is all that it can do.
            if self.host.shelf.is_complete() && self.host.door.is_overdue(idle) {
                return self.close(Close::Full);
            }
        }
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
            let said = wire::receive_more::<FromReceiver, Known>(recv, &self.name).await;
            self.heard();
            match said {
                Ok(Some((FromReceiver::Landed { bytes, total }, known))) => {
                    // Of what it does not know yet, nobody can say how much of it is there.
                    if known.complete || !self.is_recent() {
                        self.meter.set_total(total);
                    }
                    landed.reach(bytes.min(total));
                }
                Ok(Some((FromReceiver::Bye { files, failed }, _))) => {
                    self.close(Close::Done);
                    return match failed {
                        0 => PeerEnd::Finished { files },
                        failed => PeerEnd::Partial { failed },
                    };
                }
                Ok(Some((FromReceiver::Hello { .. }, _))) => {
                    self.close(Close::Malformed);
                    return PeerEnd::Gone;
                }
                Ok(None) | Err(_) => return PeerEnd::Gone,
            }
        }
    }

    /// Sends the manifest to `list` and answers requests, until the connection ends.
    async fn serve(self: &Arc<Self>, list: Option<(SendStream, Wishes)>) {
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
    async fn answer(self: &Arc<Self>) {
        let crew = self.host.engine.crew(1);
        let mut requests = JoinSet::new();
        let mut lane = self.number as usize;
        let came = Instant::now();
        loop {
            // A peer of haul's has said what it is here for. Another has to ask for something that is
            // here, and one that asks for nothing more goes.
            let guest = self.guest.get().is_some();
            let idle = !self.is_of_haul() && (!guest || requests.is_empty());
            // What it asks for may still have to be hashed.
            let most = if self.host.shelf.is_complete() { HELLO_WAIT } else { IDLE_WAIT };
            let wait = if guest { IDLE_WAIT } else { most.saturating_sub(came.elapsed()) };
            tokio::select! {
                biased;
                Some(_) = requests.join_next() => {}
                () = tokio::time::sleep(wait), if idle => {
                    if guest || self.guest.get().is_none() {
                        return self.close(Close::Malformed);
                    }
                }
                // As many at once as the transport lets a peer open.
                stream = self.connection.accept_bi() => {
                    let Ok((send, recv)) = stream else {
                        if !requests.is_empty() {
                            self.answered(false); // it goes without the rest
                        }
                        return;
                    };
                    self.heard();
                    lane = lane.wrapping_add(1);
                    let answer = answer(Arc::clone(self), send, recv);
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
                if self.guest.get().is_some() {
                    self.tell(PeerEvent::Moved(route.clone()));
                }
                told = route;
            }
        }
        std::future::pending::<()>().await;
    }
}
