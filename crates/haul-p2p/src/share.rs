//! Sharing: what is offered, the ticket, and how long it lasts.
//!
//! Owns the life of a share: files are hashed, as many at once as was asked for (S4.1, S4.2, S4.4),
//! while receivers are served already; it ends when it is cancelled, when enough receivers are done,
//! or when its time is over. A file that cannot be shared is reported and left out (S4.24, S4.26);
//! it must never end the share.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures::future::{FusedFuture as _, FutureExt as _};
use futures::stream::{Stream, StreamExt as _};
use haul_core::handle::JobContext;
use haul_core::many::Item;
use haul_core::meter::ChunkMeter;
use haul_core::{
    BytesSource, Engine, Error, ErrorKind, Event, Hint, Link, Op, RelPath, Result, Source, Summary,
};
use iroh::{Endpoint, SecretKey};
use iroh_blobs::BlobFormat;
use iroh_blobs::format::collection::Collection;
use iroh_blobs::hashseq::HashSeq;
use iroh_blobs::ticket::BlobTicket;

use crate::content::Content;
use crate::deadline::Deadline;
use crate::door::Door;
use crate::endpoint::{self, Net, Role};
use crate::fault::Close;
use crate::host::Host;
use crate::import::Importer;
use crate::shelf::Stock;
use crate::ticket::{Secret, ShareTicket, Ticket};
use crate::wire::{self, Kind};

/// A relay that has not answered by then is worth a word: the ticket waits for it.
const SOON: Duration = Duration::from_secs(1);

/// How a share is made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShareOptions {
    /// How peers reach this one.
    pub net: Net,
    /// Who can read the ticket.
    pub format: Format,
    /// Who this is, to receivers, as long as the same key is used; whoever has it can pretend to be
    /// this share.
    pub key: ShareKey,
    /// Files that are hashed at once, at least 1.
    pub jobs: usize,
    /// Receivers after which the share ends: each counts when it has everything.
    pub receivers: Option<u64>,
    /// When the share ends at the latest, whether the machine sleeps or not.
    pub expires: Option<Duration>,
    /// Whether the ticket is told at once, because there is something to share for certain, and not
    /// only when the first thing is found. For what can be read for hours, like standard input.
    pub certain: bool,
}

impl ShareOptions {
    /// A share with `key`, on the default network, until it is cancelled.
    pub fn new(key: ShareKey) -> Self {
        Self {
            net: Net::default(),
            format: Format::default(),
            key,
            jobs: default_jobs(),
            receivers: None,
            expires: None,
            certain: false,
        }
    }
}

/// S4.2: hashing keeps a core busy, so no more files at once than there are cores, and 8 at most.
/// S4.35: on a machine that has other work, only as many as there are idle cores, but half of them
/// in any case. Cores that this process may not use do not count.
pub fn default_jobs() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // Linux: the average number of tasks that ran or waited, over the last minute.
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    let load = load.and_then(|text| text.split(' ').next()?.parse().ok());
    jobs_for(cores, load.unwrap_or(0.0))
}

fn jobs_for(cores: usize, load: f64) -> usize {
    let idle = cores.saturating_sub(load.max(0.0).round() as usize);
    idle.max(cores.div_ceil(2)).min(8)
}

/// Who can read a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// haul: the ticket is known at once; names, times, modes, links and empty folders travel.
    #[default]
    Haul,
    /// `sendme` and others of the iroh ecosystem: known when all is hashed; names and bytes travel.
    Collection,
}

/// The secret that a share's identity and ticket come from.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareKey([u8; 32]);

impl ShareKey {
    /// A share that nobody has made before.
    pub fn random() -> Self {
        Self(SecretKey::generate().to_bytes())
    }

    /// The share of `what` (its sources, however they are spelled, in a fixed order) by whoever has
    /// `identity`: always the same, so that tickets stay good when the share is started again, and
    /// not to be linked with other shares of the same identity.
    pub fn of(identity: &[u8; 32], what: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("haul p2p 2026-11 share key");
        hasher.update(identity);
        hasher.update(what);
        Self(*hasher.finalize().as_bytes())
    }

    /// A name for it that tells nothing of it, for records.
    pub fn name(&self) -> String {
        blake3::Hash::from(self.derive("haul p2p 2026-11 name")).to_hex()[..32].to_owned()
    }

    fn derive(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, &self.0)
    }

    fn secret(&self) -> Secret {
        let mut secret = [0; 16];
        secret.copy_from_slice(&self.derive("haul p2p 2026-11 ticket secret")[..16]);
        Secret(secret)
    }

    /// A port that is likely to be free when the share is started again: one of those that nobody
    /// registers (RFC 6335, 6).
    fn port(&self) -> u16 {
        let bytes = self.derive("haul p2p 2026-11 port");
        49152 + u16::from_le_bytes([bytes[0], bytes[1]]) % 16384
    }

    fn endpoint_key(&self) -> SecretKey {
        SecretKey::from_bytes(&self.derive("haul p2p 2026-11 endpoint key"))
    }
}

impl std::fmt::Debug for ShareKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShareKey(***)")
    }
}

/// One thing to share.
#[derive(Debug)]
pub struct Offer {
    /// Its path at the receiver.
    pub path: RelPath,
    /// What it is.
    pub what: What,
}

/// What is shared.
#[derive(Debug)]
pub enum What {
    /// A file: its bytes are read where they are, whenever a receiver asks for them.
    File {
        /// Where its bytes are.
        source: Arc<dyn Source>,
        /// Bytes, as far as is known.
        size: u64,
        /// Permission bits.
        mode: Option<u32>,
        /// Last modification.
        modified: Option<SystemTime>,
    },
    /// A folder with nothing in it.
    Folder,
    /// A symbolic link to this.
    Symlink(PathBuf),
}

/// What a share did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Shared {
    /// The files that were offered, and those that could not be.
    pub items: Summary,
    /// Receivers that have everything.
    pub finished: u64,
    /// Why it ended.
    pub end: ShareEnd,
}

/// Why a share ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShareEnd {
    /// It was cancelled.
    Stopped,
    /// As many receivers as were wanted have everything.
    Enough,
    /// Its time was over.
    Expired,
}

/// Shares `offers` until the share ends. [`Event::Ticket`] brings the ticket.
pub async fn share<S>(
    engine: Engine,
    cx: JobContext,
    offers: S,
    options: ShareOptions,
) -> Result<Shared>
where
    S: Stream<Item = Result<Offer>> + Send,
{
    let protocols: &[&[u8]] = match options.format {
        Format::Haul => &[wire::ALPN],
        Format::Collection => &[iroh_blobs::ALPN],
    };
    let (key, memory) = (options.key.endpoint_key(), engine.options().memory);
    let role = Role { key, protocols, memory };
    let endpoint = endpoint::bind(&options.net, role, Some(options.key.port())).await?;
    let deadline = options.expires.map(Deadline::after);
    let door = Door::new(options.receivers, deadline);
    let share = Share {
        host: Host::new(&engine, &cx, options.key.secret(), door),
        endpoint: endpoint.clone(),
        engine,
        cx,
        options,
        started: Instant::now(),
    };
    let result = share.run(offers).await;
    // Tells the peers, and gives what was sent last time to arrive.
    endpoint.close().await;
    result
}

/// When the ticket is told: once it is known, and there is something to ask for.
#[derive(Debug, Default)]
struct Telling(Mutex<(Option<Ticket>, bool)>);

impl Telling {
    fn lock(&self) -> MutexGuard<'_, (Option<Ticket>, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something. The ticket, if it waited for that.
    fn found(&self) -> Option<Ticket> {
        let mut state = self.lock();
        state.1 = true;
        state.0.take()
    }

    /// The ticket, if it need not wait.
    fn known(&self, ticket: Ticket) -> Option<Ticket> {
        let mut state = self.lock();
        if state.1 {
            return Some(ticket);
        }
        state.0 = Some(ticket);
        None
    }
}

struct Share {
    engine: Engine,
    cx: JobContext,
    endpoint: Endpoint,
    host: Arc<Host>,
    options: ShareOptions,
    started: Instant,
}

impl Share {
    async fn run<S: Stream<Item = Result<Offer>> + Send>(&self, offers: S) -> Result<Shared> {
        let visits = Arc::clone(&self.host).serve(self.endpoint.clone()).fuse();
        let mut visits = Box::pin(visits);
        let mut offering = Box::pin(async {
            let offered = tokio::select! {
                offered = self.offer(offers) => offered,
                () = self.host.door.expired() => {
                    return Ok((self.cx.tally.snapshot(), ShareEnd::Expired));
                }
            };
            match offered {
                Ok(items) => Ok((items, self.end().await)),
                Err(e) => Err(e),
            }
        });
        // Receivers are served as long as the share lasts, and not longer.
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut offering => break ended,
                () = &mut visits, if !visits.is_terminated() => {}
            }
        };
        drop(offering);
        if let Ok((_, ShareEnd::Enough | ShareEnd::Expired)) = &ended {
            self.host.close(Close::Over);
            // Those who wait for a place hear that there is none any more, when they ask again.
            let told = self.cx.cancel.run_until_cancelled(self.host.door.all_told());
            tokio::select! {
                _ = told => {}
                () = &mut visits, if !visits.is_terminated() => {}
            }
        }
        self.host.stop();
        if !visits.is_terminated() {
            visits.await;
        }
        let (items, end) = ended?;
        Ok(Shared { items, finished: self.host.door.finished(), end })
    }

    /// Hashes and lists everything, and tells the ticket.
    async fn offer<S: Stream<Item = Result<Offer>> + Send>(&self, offers: S) -> Result<Summary> {
        let early = self.options.format == Format::Haul;
        let telling = Telling::default();
        if self.options.certain {
            self.announce(telling.found());
        }
        let announcing = async {
            if !early {
                return Ok(Ok(()));
            }
            let addr = match self.address().await {
                Ok(addr) => addr,
                // The other side hears of the end by itself, and puts its things away.
                Err(cancelled) => return Ok(Err(cancelled)),
            };
            let (secret, published) = (self.options.key.secret(), self.options.net.publish);
            let ticket = Ticket::Share(ShareTicket { addr, secret, published });
            self.announce(telling.known(ticket));
            Ok(Ok(()))
        };
        let importing = async {
            self.import(offers, &telling).await?;
            let mut items = self.cx.tally.snapshot();
            items.elapsed = self.started.elapsed(); // a relay may take longer
            items.retried = self.cx.meter.snapshot().retried;
            if items.copied == 0 {
                let what = "there is nothing to share";
                return Err(Error::new(ErrorKind::NotFound, Op::Share, "the sources", what));
            }
            Ok(items)
        };
        // What goes wrong on one side is told at once, whatever the other waits for.
        // Where there is no relay to wait for, the ticket comes before everything else.
        let (told, items) = futures::try_join!(announcing, importing)?;
        told?;
        if !early {
            let hash = self.collect().await?;
            let ticket = BlobTicket::new(self.address().await?, hash.into(), BlobFormat::HashSeq);
            self.announce(Some(Ticket::Content(ticket)));
        }
        self.host.shelf.complete();
        self.cx.events.send(Event::AllOffered(items));
        Ok(items)
    }

    /// Where receivers find this share, unless it is cancelled before that is known.
    async fn address(&self) -> Result<iroh::EndpointAddr> {
        let looking = async {
            let mut looking = pin!(endpoint::address(&self.endpoint, &self.options.net));
            if let Ok(found) = tokio::time::timeout(SOON, &mut looking).await {
                return found;
            }
            let text = "looking for a relay, through which receivers elsewhere can connect";
            self.cx.events.send(Event::Note { text: text.into(), hint: None });
            looking.await
        };
        let Some((addr, relayed)) = self.cx.cancel.run_until_cancelled(looking).await else {
            return Err(Error::cancelled(Op::Share, "the share"));
        };
        if !relayed {
            let text =
                "no relay answers: only receivers that reach this machine directly can connect";
            let hint = Some(Hint::NoRelay);
            self.cx.events.send(Event::Note { text: text.into(), hint });
        }
        Ok(addr)
    }

    fn announce(&self, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            self.cx.events.send(Event::Ticket(Link(ticket.to_string())));
        }
    }

    /// Hashes and lists what is offered, and says when there is something.
    async fn import<S: Stream<Item = Result<Offer>> + Send>(
        &self,
        offers: S,
        telling: &Telling,
    ) -> Result<()> {
        let items = offers.map(|offer| {
            if offer.is_ok() {
                self.announce(telling.found());
            }
            let size = match &offer {
                Ok(Offer { what: What::File { size, .. }, .. }) => *size,
                _ => 0,
            };
            self.cx.meter.add_total(size);
            Item::one(size, offer)
        });
        let importer = Importer {
            engine: self.engine.clone(),
            shelf: Arc::clone(&self.host.shelf),
            format: self.options.format,
            whole: Arc::clone(&self.cx.meter),
        };
        let work = move |offer, cx| {
            let importer = importer.clone();
            async move { vec![importer.settle(offer, cx).await] }
        };
        self.engine.many(self.options.jobs.max(1), &self.cx, items, work).await
    }

    /// Puts everything into a collection, as others of the iroh ecosystem have it.
    async fn collect(&self) -> Result<[u8; 32]> {
        let all = &self.host.shelf;
        let named = all.sorted().into_iter().filter_map(|entry| match (&entry.kind, &entry.path) {
            (Kind::File { hash, .. }, path) => {
                Some((String::from_utf8(path.clone()).ok()?, iroh_blobs::Hash::from(*hash)))
            }
            _ => None,
        });
        let collection: Collection = named.collect();
        let mut last = [0; 32];
        for blob in collection.to_blobs() {
            let bytes = BytesSource::new("the list of files", blob.clone());
            let source: Arc<dyn Source> = Arc::new(bytes);
            let content = Content::open(&self.engine, &source, &self.cx).await?;
            let outline = content.outline(&ChunkMeter::new(haul_core::Meter::new())).await?;
            last = *outline.root().as_bytes();
            if let Ok(seq) = HashSeq::try_from(blob) {
                all.set_collection(last, seq); // the last one is it
            }
            all.stock(Stock::new(source, outline));
        }
        Ok(last)
    }

    /// Waits for the end of the share.
    async fn end(&self) -> ShareEnd {
        tokio::select! {
            () = self.cx.cancel.cancelled() => ShareEnd::Stopped,
            () = self.host.door.enough() => ShareEnd::Enough,
            () = self.host.door.expired() => ShareEnd::Expired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S4.2, S4.6, S4.35: as many at once as there are idle cores, within bounds.
    #[test]
    fn jobs_follow_cores_and_load() {
        let table = [(1, 0.0, 1), (2, 0.0, 2), (2, 9.0, 1), (8, 3.2, 5), (8, 7.9, 4), (64, 0.0, 8)];
        for (cores, load, jobs) in table {
            assert_eq!(jobs_for(cores, load), jobs, "{cores} cores, load {load}");
        }
        assert!((1..=8).contains(&default_jobs()));
    }

    /// The same share again is the same to receivers, and another is another.
    #[test]
    fn keys_follow_identity_and_content() {
        let of = |identity: u8, what: &[u8]| ShareKey::of(&[identity; 32], what);
        assert!(of(1, b"a") == of(1, b"a"));
        assert!(of(1, b"a") != of(2, b"a") && of(1, b"a") != of(1, b"b"));
        assert_eq!(of(1, b"a").secret(), of(1, b"a").secret());
        assert!(of(1, b"a").port() >= 49152);
        assert_eq!(format!("{:?}", of(1, b"a")), "ShareKey(***)");
    }
}
