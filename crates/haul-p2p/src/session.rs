//! The way to one sender, for as long as a receive takes.
//!
//! Owns the connection: made on first use, made again when it was lost, by whoever needs it next,
//! so that a sender which is started again is found again. What is retried, how often and after
//! which wait is the engine's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use haul_core::handle::JobContext;
use haul_core::stall::Pulse;
use haul_core::{
    Engine, Error, ErrorKind, Event, Hint, Op, PeerEnd, PeerEvent, Result, Retry, Route, stall,
};
use iroh::endpoint::{Connection, RecvStream, SendStream};
use iroh::{Endpoint, SecretKey};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::endpoint::{self, Net, Role};
use crate::fault::{self, Close};
use crate::reading::{Line, PATIENCE};
use crate::receive::Fault;
use crate::ticket::Ticket;
use crate::width::Width;
use crate::wire::{self, FromReceiver, Wishes};

/// How long the sender may take to hear which share is wanted, at most.
const HELLO_WAIT: Duration = Duration::from_secs(10);

/// How long the sender may take to hear how far this side is.
const TELL_WAIT: Duration = Duration::from_secs(1);

/// How long the sender may take to hear the last word.
const BYE_WAIT: Duration = Duration::from_secs(5);

/// A receiver's side of a share.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) engine: Engine,
    pub(crate) cx: JobContext,
    pub(crate) ticket: Ticket,
    pub(crate) peer: Arc<str>,
    endpoint: Endpoint,
    link: Mutex<Link>,
    /// Tries to connect, for those who wait while somebody else tries.
    tries: AtomicU64,
    joined: AtomicBool,
    /// Things that the sender listed and cannot send.
    refused: AtomicU64,
    /// How many requests for parts of files there may be.
    pub(crate) width: Width,
    /// Beats with every piece that comes, whatever it is of.
    pulse: Pulse,
}

#[derive(Debug, Default)]
struct Link {
    connection: Option<Connection>,
    /// How many connections there have been.
    generation: u32,
    /// Where the sender lists what it has, until somebody reads it.
    list: Option<RecvStream>,
    /// Where this side says how far it is.
    say: Option<SendStream>,
    /// Whether all is listed, so that a new connection need not begin again.
    listed: bool,
    /// Tries to connect that failed since one succeeded.
    failures: u32,
    /// Before that it is not tried again.
    next_try: Option<Instant>,
    /// What the sender closed the last connection with, until there is another.
    said: Option<Close>,
    /// The way to the sender, as it was told.
    route: Option<Route>,
}

/// What lies between tries to connect, after so many that failed. Many may want a connection, each
/// with waits of its own: without this one, all tries would be over in a moment.
fn pause(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST)
}

/// Whether nobody answered, as far as that can be another time.
fn is_silence(e: &Error) -> bool {
    e.kind() == ErrorKind::Connect && e.retry() == Retry::Backoff
}

impl Session {
    /// A session with the sender that `ticket` names. Nothing is connected yet.
    pub(crate) async fn open(
        engine: Engine,
        cx: JobContext,
        ticket: Ticket,
        net: &Net,
    ) -> Result<Arc<Self>> {
        let net = Net { publish: false, ..net.clone() };
        let (key, memory) = (SecretKey::generate(), engine.options().memory);
        let role = Role { key, protocols: &[], memory };
        let endpoint = endpoint::bind(&net, role, None).await?;
        if matches!(&ticket, Ticket::Share(share) if share.published) {
            endpoint::look_up_published(&endpoint);
        }
        let peer = endpoint::name_of(&ticket.addr().id).into();
        let (link, joined) = (Mutex::default(), AtomicBool::new(false));
        let (tries, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        let (width, pulse) = (Width::new(), Pulse::default());
        Ok(Arc::new(Self {
            engine,
            cx,
            ticket,
            peer,
            endpoint,
            link,
            tries,
            joined,
            refused,
            width,
            pulse,
        }))
    }

    /// Counts something that the sender listed and cannot send.
    pub(crate) fn count_refused(&self, fault: Fault) {
        if fault == Fault::Theirs {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Things that the sender listed and cannot send.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether the sender speaks haul's protocol.
    pub(crate) fn of_haul(&self) -> bool {
        matches!(self.ticket, Ticket::Share(_))
    }

    fn protocol(&self) -> &'static [u8] {
        match self.ticket {
            Ticket::Share(_) => wire::ALPN,
            Ticket::Content(_) => iroh_blobs::ALPN,
        }
    }

    /// The connection, made again if it was lost. One attempt: the engine retries.
    pub(crate) async fn line(&self) -> Result<Line> {
        let tried = self.tries.load(Ordering::Relaxed);
        let mut link = self.link.lock().await;
        let alive = link.connection.as_ref().filter(|c| c.close_reason().is_none());
        let connection = match alive {
            Some(connection) => connection.clone(),
            None => self.again(&mut link, tried).await?,
        };
        let (peer, stall) = (Arc::clone(&self.peer), self.engine.options().stall);
        Ok(Line { connection, peer, stall, pulse: self.pulse.clone() })
    }

    /// Connects, unless somebody else has just found out that it cannot be done: everybody together
    /// tries as often as the retry policy says, not each by itself.
    async fn again(&self, link: &mut Link, tried: u64) -> Result<Connection> {
        let gone = |retry| {
            Error::new(ErrorKind::Connect, Op::Connect, &self.peer, "it cannot be reached any more")
                .with_retry(retry)
                .with_hint(Hint::StartBothAgain)
        };
        if link.failures >= self.engine.options().retry.tries {
            return Err(gone(Retry::Never));
        }
        if tried != self.tries.load(Ordering::Relaxed) {
            return Err(gone(Retry::Backoff));
        }
        if let Some(at) = link.next_try {
            tokio::time::sleep_until(at).await;
        }
        let reason = link.connection.as_ref().and_then(Connection::close_reason);
        link.said = reason.and_then(|cause| fault::said(&cause)).or(link.said);
        let connected = self.connect(link).await.map_err(|e| match link.said {
            // What it said is more than that it does not answer.
            Some(said) if e.retry() != Retry::Never => fault::since(&self.peer, said, e),
            // Nobody was ever there: perhaps nobody is.
            None if link.generation == 0 && is_silence(&e) => e.with_retry(Retry::Briefly),
            _ => e,
        });
        self.tries.fetch_add(1, Ordering::Relaxed);
        link.failures = if connected.is_ok() { 0 } else { link.failures + 1 };
        link.next_try = connected.is_err().then(|| Instant::now() + pause(link.failures));
        connected
    }

    async fn connect(&self, link: &mut Link) -> Result<Connection> {
        let connection =
            endpoint::connect(&self.endpoint, self.ticket.addr(), self.protocol()).await?;
        (link.list, link.say) = (None, None);
        if let Ticket::Share(ticket) = &self.ticket {
            let hello = FromReceiver::Hello { secret: ticket.secret, list: !link.listed };
            // Everybody waits for the link meanwhile.
            let limit = self.engine.options().stall.saturating_mul(PATIENCE);
            let limit = limit.clamp(HELLO_WAIT / 10, HELLO_WAIT);
            let said = tokio::time::timeout(limit, self.hello(&connection, &hello)).await;
            let stalled = || Err(stall::stalled(Op::Connect, &self.peer, limit));
            let (say, list) = said.unwrap_or_else(|_| stalled())?;
            (link.list, link.say) = (Some(list), Some(say));
        }
        link.connection = Some(connection.clone());
        link.generation += 1;
        link.said = None;
        self.tell(link);
        Ok(connection)
    }

    async fn hello(
        &self,
        connection: &Connection,
        hello: &FromReceiver,
    ) -> Result<(SendStream, RecvStream)> {
        let opened = connection.open_bi().await;
        let (mut say, list) = opened.map_err(|e| fault::lost(&self.peer, &e))?;
        let alive = u32::try_from(self.engine.options().stall.as_millis()).unwrap_or(u32::MAX);
        wire::send(&mut say, &(hello, Wishes { alive, recent: true }), &self.peer).await?;
        Ok((say, list))
    }

    /// Tells the way to the sender, if it is another than before.
    fn tell(&self, link: &mut Link) {
        let Some(connection) = &link.connection else { return };
        let route = endpoint::route(connection);
        let joined = self.joined.swap(true, Ordering::Relaxed);
        if joined && (route == Route::Unknown || link.route.as_ref() == Some(&route)) {
            return;
        }
        link.route = Some(route.clone());
        let event = if joined {
            PeerEvent::Moved(route)
        } else {
            let meter = Arc::clone(&self.cx.meter);
            PeerEvent::Joined { name: self.peer.to_string(), route, meter }
        };
        self.cx.events.send(Event::Peer { peer: 0, event });
    }

    /// Where the sender lists what it has, and the number of the connection that this is of.
    pub(crate) async fn list(&self) -> Result<(RecvStream, u32)> {
        let connection = self.line().await?.connection;
        let mut link = self.link.lock().await;
        if let Some(list) = link.list.take() {
            return Ok((list, link.generation));
        }
        // It was read half-way: only a new connection lists again.
        connection.close(Close::Done.code(), b"");
        Err(fault::lost(&self.peer, &iroh::endpoint::ConnectionError::LocallyClosed))
    }

    /// Says that the list was read to its end.
    pub(crate) async fn set_listed(&self) {
        self.link.lock().await.listed = true;
    }

    /// Tells the sender how far this side is, where it wants to know, and hears of the way to it
    /// changing; until it is dropped.
    pub(crate) async fn keep_telling(&self, every: Duration) {
        let mut told = (0, 0, false);
        loop {
            tokio::time::sleep(every).await;
            let meter = self.cx.meter.snapshot();
            let mut link = self.link.lock().await;
            let now = (meter.landed, meter.total.unwrap_or(meter.landed), link.listed);
            self.tell(&mut link);
            if now != told
                && let Some(say) = &mut link.say
            {
                let landed = FromReceiver::Landed { bytes: now.0, total: now.1 };
                let saying = (landed, wire::Known { complete: now.2 });
                let saying = wire::send(say, &saying, &self.peer);
                match tokio::time::timeout(TELL_WAIT, saying).await {
                    Ok(Ok(())) => told = now,
                    // A connection that is lost is for those to notice who want something of it; one
                    // that does not listen hears no more, because others wait for the link.
                    Ok(Err(_)) | Err(_) => link.say = None,
                }
            }
        }
    }

    /// Says goodbye: the sender hears what became of the files, and closes.
    pub(crate) async fn bye(&self, files: u64, failed: u64) {
        let mut link = self.link.lock().await;
        if let Some(say) = &mut link.say {
            let meter = self.cx.meter.snapshot();
            let (bytes, total) = (meter.landed, meter.total.unwrap_or(meter.landed));
            let saying = async {
                let known = wire::Known { complete: true };
                let landed = (FromReceiver::Landed { bytes, total }, known);
                wire::send(say, &landed, &self.peer).await?;
                wire::send(say, &FromReceiver::Bye { files, failed }, &self.peer).await
            };
            if tokio::time::timeout(BYE_WAIT, saying).await.is_ok_and(|said| said.is_ok())
                && let Some(connection) = &link.connection
            {
                drop(tokio::time::timeout(BYE_WAIT, connection.closed()).await);
            }
        }
    }

    /// Ends the session. A sender of another program knows by `why` whether this side has everything.
    pub(crate) async fn close(&self, why: Close) {
        if let Some(connection) = self.link.lock().await.connection.take() {
            connection.close(why.code(), b"");
        }
        self.endpoint.close().await;
        if self.joined.swap(false, Ordering::Relaxed) {
            let event = PeerEvent::Left(PeerEnd::Gone);
            self.cx.events.send(Event::Peer { peer: 0, event });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haul_core::EngineOptions;
    use iroh::EndpointAddr;
    use tokio_util::sync::CancellationToken;

    use crate::endpoint::Relay;
    use crate::ticket::{Secret, ShareTicket};

    /// G.6: a sender that is away for some seconds is not given up in a moment because many want
    /// something of it.
    #[tokio::test(start_paused = true)]
    async fn many_who_try_do_not_use_up_the_tries() {
        let engine = Engine::new(EngineOptions::default());
        let cx = JobContext::unwatched(CancellationToken::new());
        // Nobody can reach it, which is known at once.
        let addr = EndpointAddr::new(SecretKey::from_bytes(&[7; 32]).public());
        let ticket = ShareTicket { addr, secret: Secret([9; 16]), published: false };
        let mut net = Net::default();
        (net.relay, net.bind) = (Relay::None, Some(([127, 0, 0, 1], 0).into()));
        let opening = Session::open(engine.clone(), cx.clone(), Ticket::Share(ticket), &net);
        let session = opening.await.unwrap();
        let start = Instant::now();
        let asking = (0..12).map(|_| async {
            let policy = engine.options().retry;
            engine.retrying(policy, &cx, "it", || session.line()).await.unwrap_err()
        });
        let all = futures::future::join_all(asking).await;
        assert!(all.iter().all(|e| e.kind() == ErrorKind::Connect), "{all:?}");
        assert!(start.elapsed() > Duration::from_secs(6), "{:?}", start.elapsed());
        session.close(Close::Stopping).await;
    }
}
