//! Answering requests for contents.
//!
//! Owns one stream of a peer's: the request, in the protocol of `iroh-blobs`, and the response. It
//! must never answer for what is not on the shelf, hold more than a group of a content, or wait for
//! a peer that does not read for longer than the connection lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use haul_core::handle::JobContext;
use haul_core::{Engine, Error, ErrorKind, Meter, Op, Result, Throttle, stall};
use iroh::endpoint::{RecvStream, SendStream, VarInt};
use iroh_blobs::protocol::{
    ChunkRangesSeq, ERR_INTERNAL, ERR_PERMISSION, GetManyRequest, GetRequest, MAX_MESSAGE_SIZE,
    Request,
};

use crate::content::Content;
use crate::encode::{LEAF, Sink, encode};
use crate::fault;
use crate::reading::PATIENCE;
use crate::shelf::Shelf;
use crate::wire;

/// How long a peer may take to say what it wants.
const REQUEST_WAIT: Duration = Duration::from_secs(10);

/// Notes about one peer.
const NOTES: u32 = 16;

/// Bytes to gather before a write.
const BATCH: usize = 256 << 10;

/// Answers the requests of one peer.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) engine: Engine,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) cx: JobContext,
    pub(crate) peer: Arc<str>,
    /// Whether the peer speaks haul's protocol.
    pub(crate) of_haul: bool,
    /// What was sent to it: of a peer that does not say what it has, this is all that is known.
    pub(crate) sent: Arc<Meter>,
    /// How often something was said about it.
    pub(crate) notes: Arc<AtomicU32>,
}

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

impl Answers {
    /// Answers one request.
    pub(crate) async fn answer(self, mut send: SendStream, mut recv: RecvStream) {
        let reading = Asked::read(&mut recv, self.of_haul);
        let asked = match tokio::time::timeout(REQUEST_WAIT, reading).await {
            Ok(Some(asked)) => asked,
            Ok(None) => return refuse(&mut send, ERR_INTERNAL),
            Err(_) => return refuse(&mut send, fault::NOT_NOW),
        };
        let request = match asked {
            Asked::Contents(request) => request,
            Asked::Outline(hash) => return self.outline(&hash, &mut send).await,
        };
        let answered = match &request {
            Request::Get(GetRequest { hash, ranges }) => {
                let root = *hash.as_bytes();
                let hashes = std::iter::once(root).chain(self.shelf.children(&root));
                self.contents(hashes, ranges, &mut send).await
            }
            Request::GetMany(GetManyRequest { hashes, ranges }) => {
                self.contents(hashes.iter().map(|hash| *hash.as_bytes()), ranges, &mut send).await
            }
            _ => return refuse(&mut send, ERR_PERMISSION), // not read at all
        };
        match answered {
            Ok(()) => drop(send.finish()),
            Err(e) => {
                let code = match e.kind() {
                    ErrorKind::SourceChanged => fault::CHANGED,
                    ErrorKind::NotFound => fault::UNKNOWN,
                    ErrorKind::Stalled | ErrorKind::Throttled | ErrorKind::Server => fault::NOT_NOW,
                    _ => ERR_INTERNAL,
                };
                // What the connection's end says is no news, and nobody makes us say things for ever.
                let told = self.notes.fetch_add(1, Ordering::Relaxed);
                if e.kind() != ErrorKind::Connect && told < NOTES {
                    let text = format!("{} could not have it: {e}", self.peer);
                    self.cx.events.send(haul_core::Event::Note { text });
                }
                refuse(&mut send, code);
            }
        }
    }

    /// Sends the outline of a content, by which a receiver finds out what of it an old file has.
    async fn outline(&self, hash: &[u8; 32], send: &mut SendStream) {
        let Some(stock) = self.shelf.find(hash) else { return refuse(send, fault::UNKNOWN) };
        let pairs = Bytes::copy_from_slice(stock.outline.pairs());
        if send.write_chunk(pairs).await.is_ok() {
            drop(send.finish());
        }
    }

    /// Sends parts of several contents one after the other. There are as many as there are hashes,
    /// whatever the request says of more.
    async fn contents(
        &self,
        hashes: impl Iterator<Item = [u8; 32]>,
        ranges: &ChunkRangesSeq,
        send: &mut SendStream,
    ) -> Result<()> {
        let mut flow = Flow::new(send, self);
        for (hash, ranges) in hashes.zip(ranges.iter_infinite()).filter(|(_, r)| !r.is_empty()) {
            let Some(stock) = self.shelf.find(&hash) else {
                let what = "nothing of that hash is shared";
                return Err(Error::new(ErrorKind::NotFound, Op::Share, "it", what));
            };
            let content = Content::open(&self.engine, &stock.source, &self.cx).await?;
            encode(&content, &stock.outline, ranges, &mut flow).await?;
        }
        flow.flush().await
    }
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
    patience: Duration,
    gathered: BytesMut,
    batch: usize,
}

impl<'a> Flow<'a> {
    fn new(send: &'a mut SendStream, answers: &'a Answers) -> Self {
        let throttle = answers.engine.options().throttle.clone();
        // With a rate limit, little and often: a receiver must not take a pause for the end.
        let batch = if throttle.is_some() { LEAF } else { BATCH };
        let counter = (!answers.of_haul).then_some(&*answers.sent);
        let (peer, gathered) = (&*answers.peer, BytesMut::new());
        let patience = answers.engine.options().stall.saturating_mul(PATIENCE);
        Self { send, throttle, peer, counter, patience, gathered, batch }
    }

    async fn flush(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        if let Some(throttle) = &self.throttle {
            throttle.take(self.gathered.len(), |_| ()).await;
        }
        let gathered = self.gathered.split().freeze();
        if gathered.len() >= self.batch {
            // There is more to come, most likely: room for all of it at once.
            self.gathered.reserve(self.batch + 2 * LEAF);
        }
        // A peer that does not read holds memory that others may want.
        let writing = self.send.write_chunk(gathered);
        match stall::within(self.patience, writing).await {
            Some(written) => written.map_err(|e| fault::of_write(self.peer, &e)),
            None => Err(stall::stalled(Op::Share, self.peer, self.patience)),
        }
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

    async fn pass_on(&mut self) -> Result<()> {
        if self.gathered.len() >= self.batch { self.flush().await } else { Ok(()) }
    }
}
