//! Answering requests for contents.
//!
//! Owns one stream of a peer's: the request, in the protocol of `iroh-blobs`, and the response. It
//! must never answer for what is not on the shelf, hold more than a group of a content, or wait for
//! a peer that does not read for longer than the connection lives.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use haul_core::stall::Pulse;
use haul_core::{Error, ErrorKind, Meter, Op, Result, Throttle, stall};
use iroh::endpoint::{RecvStream, SendStream, VarInt};
use iroh_blobs::protocol::{
    ChunkRangesSeq, ERR_INTERNAL, ERR_PERMISSION, GetManyRequest, GetRequest, MAX_MESSAGE_SIZE,
    Request,
};

use crate::copies::Copies;
use crate::encode::{LEAF, Sink, encode};
use crate::fault;
use crate::reading::PATIENCE;
use crate::shelf::{Missing, Stock};
use crate::visit::Visit;
use crate::wire;

/// How long a peer may take to say what it wants.
const REQUEST_WAIT: Duration = Duration::from_secs(10);

/// How long a request waits for something to be hashed, before the peer hears that it is not yet.
const HASH_WAIT: Duration = Duration::from_secs(1);

/// The same for those who do not know that word, and who ask a few times only.
const OLD_HASH_WAIT: Duration = Duration::from_secs(30);

/// Bytes to gather before a write, at most.
const BATCH: usize = 256 << 10;

/// What a peer asks for.
enum Asked {
    Contents(Request),
    Outline([u8; 32]),
}

impl Asked {
    /// `None` for what makes no sense, and for what nobody may ask.
    async fn read(recv: &mut RecvStream, of_haul: bool) -> Option<Self> {
        let bytes = recv.read_to_end(MAX_MESSAGE_SIZE).await.ok()?;
        match bytes.split_first()? {
            (&wire::OUTLINE, hash) if of_haul => Some(Self::Outline(hash.try_into().ok()?)),
            _ => match postcard::from_bytes(&bytes).ok()? {
                request @ (Request::Get(_) | Request::GetMany(_)) => Some(Self::Contents(request)),
                _ => None,
            },
        }
    }
}

/// Why a request has no answer.
enum Refused {
    /// It was sent away.
    Away,
    /// What it asks for may still come.
    NotYet,
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

/// Answers one request.
pub(crate) async fn answer(visit: Arc<Visit>, mut send: SendStream, mut recv: RecvStream) {
    let reading = Asked::read(&mut recv, visit.is_of_haul());
    let asked = match tokio::time::timeout(REQUEST_WAIT, reading).await {
        Ok(Some(asked)) => asked,
        Ok(None) => return refuse(&mut send, ERR_INTERNAL),
        Err(_) => return refuse(&mut send, fault::NOT_NOW),
    };
    let answered = match &asked {
        Asked::Outline(hash) => outline(&visit, hash, &mut send).await,
        Asked::Contents(Request::Get(GetRequest { hash, ranges })) => {
            one(&visit, hash.as_bytes(), ranges, &mut send).await
        }
        Asked::Contents(Request::GetMany(GetManyRequest { hashes, ranges })) => {
            let hashes = hashes.iter().map(|hash| *hash.as_bytes());
            contents(&visit, hashes, ranges, &mut send).await
        }
        Asked::Contents(_) => return refuse(&mut send, ERR_PERMISSION), // not read at all
    };
    match answered {
        Ok(()) => drop(send.finish()),
        Err(Refused::Away) => {}
        Err(Refused::NotYet) => {
            refuse(&mut send, if visit.is_recent() { fault::NOT_YET } else { fault::NOT_NOW });
        }
        Err(Refused::Failed(e)) => {
            let code = match e.kind() {
                ErrorKind::SourceChanged => fault::CHANGED,
                ErrorKind::NotFound => fault::UNKNOWN,
                ErrorKind::Stalled | ErrorKind::Throttled | ErrorKind::Server => fault::NOT_NOW,
                _ => ERR_INTERNAL,
            };
            // What the connection's end says is no news.
            if e.kind() != ErrorKind::Connect {
                visit.note(&format!("could not have it: {e}"));
            }
            visit.answered(false);
            refuse(&mut send, code);
        }
    }
}

/// The content of this hash, for a peer that is let in because it knows it.
async fn find(visit: &Visit, hash: &[u8; 32]) -> Result<Arc<Stock>, Refused> {
    let most = if visit.is_recent() { HASH_WAIT } else { OLD_HASH_WAIT };
    match visit.host.shelf.find(hash, most).await {
        Ok(stock) => visit.enter().then_some(stock).ok_or(Refused::Away),
        Err(Missing::NotYet) => Err(Refused::NotYet),
        Err(Missing::Unknown) => {
            let what = "nothing of that hash is shared";
            Err(Error::new(ErrorKind::NotFound, Op::Share, "it", what).into())
        }
    }
}

/// Sends the outline of a content, by which a receiver finds out what of it an old file has.
async fn outline(visit: &Visit, hash: &[u8; 32], send: &mut SendStream) -> Result<(), Refused> {
    let mut pairs = find(visit, hash).await?.outline.pairs();
    let mut flow = Flow::new(send, visit);
    while !pairs.is_empty() {
        flow.write(pairs.split_to(pairs.len().min(flow.batch))).await?;
    }
    Ok(())
}

/// Sends parts of a content, and of those that it lists.
async fn one(
    visit: &Visit,
    root: &[u8; 32],
    ranges: &ChunkRangesSeq,
    send: &mut SendStream,
) -> Result<(), Refused> {
    find(visit, root).await?;
    let hashes = std::iter::once(*root).chain(visit.host.shelf.children(root));
    contents(visit, hashes, ranges, send).await
}

/// Sends parts of several contents one after the other. There are as many as there are hashes,
/// whatever the request says of more.
async fn contents(
    visit: &Visit,
    hashes: impl Iterator<Item = [u8; 32]>,
    ranges: &ChunkRangesSeq,
    send: &mut SendStream,
) -> Result<(), Refused> {
    let mut flow = Flow::new(send, visit);
    let mut took = false;
    for (hash, ranges) in hashes.zip(ranges.iter_infinite()).filter(|(_, r)| !r.is_empty()) {
        let stock = find(visit, &hash).await?;
        let mut copies = Copies::new(&visit.reader, stock.sources());
        encode(&mut copies, &stock.outline, ranges, &mut flow).await?;
        took |= !visit.host.shelf.is_list(&hash);
    }
    flow.flush().await?;
    if took {
        visit.answered(true);
    }
    Ok(())
}

fn refuse(send: &mut SendStream, code: VarInt) {
    // A stream that is gone needs no reset.
    drop(send.reset(code));
}

/// The way to the peer.
///
/// Hashes and bytes are put together before they are sent: the transport looks through all the
/// pieces that it holds for every packet, so a few large ones cost less than the copy.
struct Flow<'a> {
    send: &'a mut SendStream,
    throttle: Option<Throttle>,
    peer: &'a str,
    counter: Option<&'a Meter>,
    /// Of all that is sent to this peer: its streams take turns on the line.
    pulse: &'a Pulse,
    patience: Duration,
    gathered: BytesMut,
    batch: usize,
}

impl<'a> Flow<'a> {
    fn new(send: &'a mut SendStream, visit: &'a Visit) -> Self {
        let options = visit.host.engine.options();
        let throttle = options.throttle.clone();
        // With a rate limit, little and often: a receiver must not take a pause for the end. And with
        // little memory, less for each.
        let some = usize::try_from(options.memory / 128).unwrap_or(BATCH).clamp(LEAF, BATCH);
        let batch = if throttle.is_some() { LEAF } else { some };
        let counter = (!visit.is_of_haul()).then_some(&*visit.meter);
        let (peer, pulse, gathered) = (&*visit.name, &visit.pulse, BytesMut::new());
        let patience = options.stall.saturating_mul(PATIENCE);
        Self { send, throttle, peer, counter, pulse, patience, gathered, batch }
    }

    async fn flush(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let gathered = self.gathered.split().freeze();
        if gathered.len() >= self.batch {
            // There is more to come, most likely: room for all of it at once.
            self.gathered.reserve(self.batch + 2 * LEAF);
        }
        self.write(gathered).await
    }

    /// Sends `bytes`, however long that takes, as long as the peer takes anything at all: one that
    /// does not read holds memory that others may want.
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if let Some(throttle) = &self.throttle {
            throttle.take(bytes.len(), |_| ()).await;
        }
        let (send, pulse, peer) = (&mut *self.send, self.pulse, self.peer);
        let mut left = [bytes];
        let writing = async {
            let mut left = &mut left[..];
            while !left.is_empty() {
                let written = send.write_many_chunks(&mut left).await;
                pulse.beat(written.map_err(|e| fault::of_write(peer, &e))?);
            }
            Ok(())
        };
        let stalled = || stall::stalled(Op::Share, peer, self.patience);
        stall::watch(self.patience, pulse, stalled, writing).await
    }
}

impl Sink for Flow<'_> {
    fn note(&mut self, bytes: &[u8]) {
        self.gathered.extend_from_slice(bytes);
    }

    fn content(&mut self, bytes: Bytes) {
        if let Some(counter) = self.counter {
            counter.add_landed(bytes.len() as u64);
        }
        self.gathered.extend_from_slice(&bytes);
    }

    fn is_due(&self) -> bool {
        self.gathered.len() >= self.batch
    }

    async fn pass_on(&mut self) -> Result<()> {
        self.flush().await
    }
}
