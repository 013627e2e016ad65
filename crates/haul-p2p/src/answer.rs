//! Answering requests for contents.
//!
//! Owns one stream of a peer's: the request, in the protocol of `iroh-blobs`, and the response. It
//! must never answer for what is not on the shelf, hold more than a group of a content, or wait for
//! a peer that does not read for longer than the connection lives.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use haul_core::handle::JobContext;
use haul_core::{Engine, Error, ErrorKind, Op, Result, Throttle};
use iroh::endpoint::{RecvStream, SendStream, VarInt};
use iroh_blobs::protocol::{
    ChunkRangesSeq, ERR_INTERNAL, ERR_PERMISSION, GetManyRequest, GetRequest, Request,
};

use crate::content::Content;
use crate::encode::{Sink, encode};
use crate::fault;
use crate::shelf::Shelf;

/// How long a peer may take to say what it wants.
const REQUEST_WAIT: Duration = Duration::from_secs(10);

/// Bytes to gather before a write.
const BATCH: usize = 64 << 10;

/// Answers the requests of one peer.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) engine: Engine,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) cx: JobContext,
    pub(crate) peer: Arc<str>,
}

impl Answers {
    /// Answers one request.
    pub(crate) async fn answer(self, mut send: SendStream, mut recv: RecvStream) {
        let reading = Request::read_async(&mut recv);
        let Ok(Ok((request, _))) = tokio::time::timeout(REQUEST_WAIT, reading).await else {
            return refuse(&mut send, ERR_INTERNAL);
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
            _ => return refuse(&mut send, ERR_PERMISSION),
        };
        match answered {
            Ok(()) => drop(send.finish()),
            Err(e) => {
                let code = match e.kind() {
                    ErrorKind::SourceChanged => fault::CHANGED,
                    ErrorKind::NotFound => fault::UNKNOWN,
                    _ => ERR_INTERNAL,
                };
                // What the connection's end says is no news.
                if e.kind() != ErrorKind::Connect {
                    let text = format!("{} could not have it: {e}", self.peer);
                    self.cx.events.send(haul_core::Event::Note { text });
                }
                refuse(&mut send, code);
            }
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
struct Flow<'a> {
    send: &'a mut SendStream,
    throttle: Option<Throttle>,
    peer: &'a str,
    /// Hashes that wait for the content they go before.
    notes: BytesMut,
    queue: Vec<Bytes>,
    queued: usize,
}

impl<'a> Flow<'a> {
    fn new(send: &'a mut SendStream, answers: &'a Answers) -> Self {
        let throttle = answers.engine.options().throttle.clone();
        let (notes, queue) = (BytesMut::with_capacity(BATCH / 16), Vec::new());
        Self { send, throttle, peer: &answers.peer, notes, queue, queued: 0 }
    }

    fn seal(&mut self) {
        if !self.notes.is_empty() {
            self.queue.push(self.notes.split().freeze());
        }
    }

    async fn flush(&mut self) -> Result<()> {
        self.seal();
        if let Some(throttle) = &self.throttle {
            throttle.take(self.queued, |_| ()).await;
        }
        self.queued = 0;
        let written = self.send.write_all_chunks(&mut self.queue).await;
        self.queue.clear();
        written.map_err(|e| fault::of_write(self.peer, &e))
    }
}

impl Sink for Flow<'_> {
    fn note(&mut self, bytes: &[u8]) {
        self.notes.extend_from_slice(bytes);
        self.queued += bytes.len();
    }

    fn content(&mut self, bytes: Bytes) {
        self.seal();
        self.queued += bytes.len();
        self.queue.push(bytes);
    }

    async fn pass_on(&mut self) -> Result<()> {
        if self.queued >= BATCH { self.flush().await } else { Ok(()) }
    }
}
