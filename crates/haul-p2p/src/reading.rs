//! Contents as they arrive.
//!
//! Owns one request for one content, or for several in a row, and the proof of every piece: nothing
//! is handed on that is not part of what its hash names. A sender that goes silent is an error, not
//! a wait.

use std::sync::Arc;
use std::time::Duration;

use bao_tree::io::BaoContentItem;
use bao_tree::{ChunkRanges, TreeNode};
use blake3::Hash;
use bytes::Bytes;
use haul_core::stall::Pulse;
use haul_core::{Error, ErrorKind, Op, Result, stall};
use iroh::endpoint::{Connection, ReadToEndError};
use iroh_blobs::get::GetError;
use iroh_blobs::get::fsm::{
    self, AtBlobContent, AtBlobHeader, AtBlobHeaderNextError, AtClosing, AtClosingNextError,
    AtStartChild, BlobContentNext, ConnectedNext, ConnectedNextError, EndBlobNext,
    InitialNextError, RequestCounters,
};
use iroh_blobs::protocol::{ChunkRangesSeq, GetManyRequest, GetRequest};

use crate::{fault, outline, wire};

/// Silence of a peer, in stall time-outs, after which a request is given up: the connection itself
/// notices sooner when the peer is gone, and a peer with a rate limit may be slow.
pub(crate) const PATIENCE: u32 = 3;

/// What is asked of one peer.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) connection: Connection,
    pub(crate) peer: Arc<str>,
    pub(crate) stall: Duration,
    /// Beats with every piece that comes: requests share a line, and on a slow one each of them waits
    /// for its turn.
    pub(crate) pulse: Pulse,
}

/// A content: what it is called by, and its size as the peer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Named {
    pub(crate) hash: [u8; 32],
    pub(crate) size: u64,
}

/// A proven piece.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The hashes below a node.
    Node(TreeNode, (Hash, Hash)),
    /// Bytes at an offset.
    Bytes(u64, Bytes),
}

impl Line {
    /// For requests that tell nothing before they are done: those for the sizes of many contents.
    pub(crate) fn patient(&self) -> Self {
        Self { stall: self.stall.saturating_mul(10), ..self.clone() }
    }

    /// Waits for `work`, but not for ever while nothing comes.
    pub(crate) async fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.stall.saturating_mul(PATIENCE);
        let stalled = || stall::stalled(Op::Receive, &self.peer, limit);
        stall::watch(limit, &self.pulse, stalled, work).await
    }

    /// Asks for ranges of one content.
    pub(crate) async fn ask(&self, content: Named, ranges: ChunkRanges) -> Result<Reading> {
        let request = GetRequest::blob_ranges(content.hash.into(), ranges);
        let start = fsm::start(self.connection.clone(), request, RequestCounters::default());
        let opening = async {
            let connected = start.next().await.map_err(|e| self.not_opened(&e))?;
            let ConnectedNext::StartRoot(root) =
                connected.next().await.map_err(|e| self.not_asked(&e))?
            else {
                return Err(self.nonsense("it answers something that was not asked for"));
            };
            self.header(root.next(), content.size).await
        };
        let at = self.wait(opening).await?;
        Ok(Reading { line: self.clone(), at: Some(at) })
    }

    /// Asks for all of several contents, in order.
    pub(crate) async fn ask_many(&self, contents: &[Named]) -> Result<Several> {
        let hashes = contents.iter().map(|content| content.hash.into()).collect();
        let ranges = ChunkRangesSeq::from_ranges(contents.iter().map(|_| ChunkRanges::all()));
        let request = GetManyRequest::new(hashes, ranges);
        let opening =
            fsm::start_get_many(self.connection.clone(), request, RequestCounters::default());
        let opening = async { opening.await.map_err(|e| self.failed(e)) };
        let start = self.wait(opening).await?;
        Ok(Several { line: self.clone(), at: Some(start) })
    }

    /// Asks for the nodes above the groups of a content. They prove themselves: see
    /// [`outline::valid`].
    pub(crate) async fn ask_outline(&self, content: Named) -> Result<Vec<u8>> {
        let most = usize::try_from(outline::outline_size(content.size)).unwrap_or(usize::MAX);
        let asking = async {
            let opened = self.connection.open_bi().await;
            let (mut send, mut recv) = opened.map_err(|e| fault::lost(&self.peer, &e))?;
            let mut request = [wire::OUTLINE; 33];
            request[1..].copy_from_slice(&content.hash);
            let written = send.write_all(&request).await;
            written.map_err(|e| fault::of_write(&self.peer, &e))?;
            drop(send.finish());
            recv.read_to_end(most).await.map_err(|e| match e {
                ReadToEndError::Read(e) => fault::of_read(&self.peer, &e),
                ReadToEndError::TooLong => self.nonsense("it sends more than it was asked for"),
            })
        };
        self.wait(asking).await
    }

    async fn header(&self, header: AtBlobHeader, size: u64) -> Result<AtBlobContent> {
        let (at, claimed) = header.next().await.map_err(|e| match e {
            AtBlobHeaderNextError::NotFound { .. } => {
                Error::new(ErrorKind::NotFound, Op::Receive, &self.peer, "it does not have it")
            }
            AtBlobHeaderNextError::Read { source, .. } => fault::of_io(&self.peer, &source),
        })?;
        if claimed != size {
            return Err(self.nonsense("it sends another size than it told"));
        }
        Ok(at)
    }

    fn nonsense(&self, what: &str) -> Error {
        Error::new(ErrorKind::Protocol, Op::Receive, &self.peer, what)
    }

    fn not_opened(&self, e: &InitialNextError) -> Error {
        let InitialNextError::Open { source, .. } = e;
        fault::of_io(&self.peer, source)
    }

    fn not_asked(&self, e: &ConnectedNextError) -> Error {
        match e {
            ConnectedNextError::Write { source, .. } => fault::of_io(&self.peer, source),
            other => Error::new(ErrorKind::Invalid, Op::Receive, &self.peer, other),
        }
    }

    /// What the library's own requests fail with.
    pub(crate) fn failed(&self, e: GetError) -> Error {
        match e {
            GetError::InitialNext { source, .. } => self.not_opened(&source),
            GetError::ConnectedNext { source, .. } => self.not_asked(&source),
            GetError::AtBlobHeaderNext {
                source: AtBlobHeaderNextError::Read { source, .. },
                ..
            } => fault::of_io(&self.peer, &source),
            GetError::Decode { source, .. } => fault::of_decode(&self.peer, source),
            GetError::AtClosingNext { source: AtClosingNextError::Read { source, .. }, .. } => {
                fault::of_io(&self.peer, &source)
            }
            other => Error::new(ErrorKind::Protocol, Op::Receive, &self.peer, other),
        }
    }
}

/// The pieces of one content.
pub(crate) struct Reading {
    line: Line,
    at: Option<AtBlobContent>,
}

impl Reading {
    /// The next piece; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Piece>> {
        let Some(at) = self.at.take() else { return Ok(None) };
        let line = &self.line;
        let (at, piece) = line.wait(async { step(line, at).await }).await?;
        match at {
            Step::On(at) => self.at = Some(at),
            Step::End(end) => drop(end),
        }
        Ok(piece)
    }
}

enum Step {
    On(AtBlobContent),
    End(fsm::AtEndBlob),
}

async fn step(line: &Line, at: AtBlobContent) -> Result<(Step, Option<Piece>)> {
    match at.next().await {
        BlobContentNext::Done(end) => Ok((Step::End(end), None)),
        BlobContentNext::More((at, item)) => {
            let piece = match item.map_err(|e| fault::of_decode(&line.peer, e))? {
                BaoContentItem::Parent(parent) => Piece::Node(parent.node, parent.pair),
                BaoContentItem::Leaf(leaf) => {
                    line.pulse.beat(leaf.data.len());
                    Piece::Bytes(leaf.offset, leaf.data)
                }
            };
            Ok((Step::On(at), Some(piece)))
        }
    }
}

/// Several contents in a row, each of them small enough to be in memory.
pub(crate) struct Several {
    line: Line,
    at: Option<Result<AtStartChild, AtClosing>>,
}

impl Several {
    /// The bytes of the next content, which must be `content`.
    pub(crate) async fn next(&mut self, content: Named) -> Result<Vec<Bytes>> {
        let Some(Ok(start)) = self.at.take() else {
            return Err(self.line.nonsense("it sends fewer contents than were asked for"));
        };
        let line = &self.line;
        let mut at = line.wait(line.header(start.next(content.hash.into()), content.size)).await?;
        let mut pieces = Vec::new();
        loop {
            let (next, piece) = line.wait(step(line, at)).await?;
            if let Some(Piece::Bytes(_, bytes)) = piece
                && !bytes.is_empty()
            {
                pieces.push(bytes);
            }
            match next {
                Step::On(on) => at = on,
                Step::End(end) => {
                    self.at = Some(match end.next() {
                        EndBlobNext::MoreChildren(start) => Ok(start),
                        EndBlobNext::Closing(closing) => Err(closing),
                    });
                    return Ok(pieces);
                }
            }
        }
    }
}
