//! What a sender has, one entry after the other.
//!
//! Owns reading the manifest, over as many connections as it takes, and what of it is refused: it
//! was written by somebody else. Names are checked again where they are used; here belongs what can
//! be told of the whole: names that come twice, and more entries than anybody wants.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use bao_tree::ChunkRanges;
use haul_core::retry::Backoff;
use haul_core::{Error, ErrorKind, Hint, Op, Result, stall};
use iroh::endpoint::RecvStream;
use iroh_blobs::get::request::get_hash_seq_and_sizes;
use iroh_blobs::{BlobFormat, Hash};

use crate::names;
use crate::reading::{Line, Named, PATIENCE, Piece};
use crate::receive::{Fault, ReceiveOptions};
use crate::session::Session;
use crate::ticket::Ticket;
use crate::wire::{self, Entry, FromSender, Kind, LONGEST_PATH, LONGEST_REASON};

/// The largest list of names of a collection: that of a million files with long names.
const LARGEST_LIST: u64 = 128 << 20;

/// Silence, in stall time-outs, after which a sender is given up that has never said that it is still
/// at it: an hour with the usual ones. It may be one that cannot, and hashes.
const MUTE: u32 = 180;

/// The manifest under way.
#[derive(Debug)]
pub(crate) struct Listing {
    session: Arc<Session>,
    most: u64,
    /// Whether names at the top may begin with a dot.
    hidden: bool,
    count: u64,
    /// Entries that came over this stream.
    came: u64,
    ready: VecDeque<(Entry, Fault)>,
    stream: Option<(RecvStream, u32)>,
    over: bool,
    /// Whether the sender says when there is nothing to say.
    speaks: bool,
    /// Names by their hashes: what they stood for, and in which connection that was said. A hash
    /// that nobody can foresee stands for the name, so that a million names take little memory.
    seen: HashMap<u64, (u64, u32)>,
    hasher: RandomState,
    backoff: Backoff,
}

impl Listing {
    /// What the sender of `session` has.
    pub(crate) fn new(session: &Arc<Session>, options: &ReceiveOptions) -> Self {
        Self {
            session: Arc::clone(session),
            most: options.most,
            hidden: options.hidden,
            count: 0,
            came: 0,
            ready: VecDeque::new(),
            stream: None,
            over: false,
            speaks: false,
            seen: HashMap::new(),
            hasher: RandomState::new(),
            backoff: session.engine.options().retry.start(),
        }
    }

    /// The next entries; none at the end. An error is final.
    pub(crate) async fn next(&mut self) -> Result<Vec<(Entry, Fault)>> {
        let cancel = self.session.cx.cancel.clone();
        let next = cancel.run_until_cancelled(Box::pin(self.read())).await;
        next.unwrap_or_else(|| Err(Error::cancelled(Op::Receive, &self.session.peer)))
    }

    async fn read(&mut self) -> Result<Vec<(Entry, Fault)>> {
        while self.ready.is_empty() && !self.over {
            let session = Arc::clone(&self.session);
            let read = match &session.ticket {
                Ticket::Share(_) => self.page().await,
                Ticket::Content(ticket) => {
                    let line = session.line().await;
                    match line {
                        Ok(line) => self.collection(&line, ticket.hash(), ticket.format()).await,
                        Err(e) => Err(e),
                    }
                }
            };
            match read {
                // What was listed before is no progress.
                Ok(()) if self.ready.is_empty() => {}
                Ok(()) => self.backoff = session.engine.options().retry.start(),
                Err(e) => {
                    self.stream = None;
                    session.engine.wait_to_retry(&session.cx, &mut self.backoff, e).await?;
                }
            }
        }
        Ok(self.ready.drain(..).collect())
    }

    /// One message of the sender's.
    async fn page(&mut self) -> Result<()> {
        if self.stream.is_none() {
            self.stream = Some(self.session.list().await?);
            self.came = 0;
        }
        let Some((stream, generation)) = &mut self.stream else { return Ok(()) };
        let generation = *generation;
        let peer = Arc::clone(&self.session.peer);
        let periods = if self.speaks { PATIENCE } else { MUTE };
        let limit = self.session.engine.options().stall.saturating_mul(periods);
        let message = stall::within(limit, wire::receive::<FromSender>(stream, &peer)).await;
        match message.unwrap_or_else(|| Err(stall::stalled(Op::Receive, &peer, limit)))? {
            Some(FromSender::Alive) => {
                self.speaks = true;
                Ok(())
            }
            Some(FromSender::Entries(entries)) => {
                self.came += entries.len() as u64;
                for entry in entries {
                    self.take(entry, generation)?;
                }
                Ok(())
            }
            Some(FromSender::End { entries }) if entries != self.came => {
                let what = "its list has not as many entries as it says";
                Err(Error::new(ErrorKind::Protocol, Op::Receive, &peer, what))
            }
            Some(FromSender::End { .. }) => {
                self.over = true;
                self.session.set_listed().await;
                Ok(())
            }
            None => {
                let what = "its list ends too early";
                Err(Error::new(ErrorKind::Protocol, Op::Receive, &peer, what))
            }
        }
    }

    /// Adds an entry, unless it was there before the connection was lost.
    fn take(&mut self, mut entry: Entry, generation: u32) -> Result<()> {
        let mut fault = Fault::Theirs;
        let mut refuse = |entry: &mut Entry, reason: &str, whose| {
            entry.kind = Kind::Failed { reason: reason.to_owned() };
            fault = whose;
        };
        if entry.path.len() > LONGEST_PATH {
            entry.path.truncate(64);
            refuse(&mut entry, "its path is too long", Fault::Ours);
        }
        if !self.hidden && is_hidden(&entry.path) {
            let reason = "its name begins with a dot, and no folder was named for it";
            refuse(&mut entry, reason, Fault::Hidden);
        }
        if let Kind::Failed { reason } = &mut entry.kind {
            reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
        }
        // What failed may be told by its last name only, which something else may have in full.
        let failed = matches!(entry.kind, Kind::Failed { .. });
        let name = self.hasher.hash_one((&entry.path, failed));
        let content = self.hasher.hash_one(identity(&entry.kind));
        match self.seen.insert(name, (content, generation)) {
            Some((same, earlier)) if earlier != generation && same == content => return Ok(()),
            Some((_, earlier)) if earlier != generation => {
                refuse(&mut entry, "it was changed at the sender meanwhile", Fault::Ours);
            }
            Some(_) => refuse(&mut entry, "the sender lists this name twice", Fault::Ours),
            None => {}
        }
        self.count += 1;
        if self.count > self.most {
            let what = format!("it lists more than {} entries", self.most);
            return Err(Error::new(ErrorKind::Rejected, Op::Receive, &self.session.peer, what)
                .with_hint(Hint::AllowMoreFiles));
        }
        self.ready.push_back((entry, fault));
        Ok(())
    }

    /// A content or a collection, as others of the iroh ecosystem have it.
    async fn collection(&mut self, line: &Line, hash: Hash, format: BlobFormat) -> Result<()> {
        let connection = &line.connection;
        if format == BlobFormat::Raw {
            let asking = iroh_blobs::get::request::get_verified_size(connection, &hash);
            let asking = async { asking.await.map_err(|e| line.failed(e)) };
            let (size, _) = line.wait(asking).await?;
            self.add(hash.to_hex(), *hash.as_bytes(), size)?;
            self.over = true;
            return Ok(());
        }
        let most = self.most.saturating_add(1).saturating_mul(32);
        let asking = get_hash_seq_and_sizes(connection, &hash, most, None);
        let asking = async { asking.await.map_err(|e| line.failed(e)) };
        let (hashes, sizes) = line.patient().wait(asking).await?;
        let nonsense = |what: &str| Error::new(ErrorKind::Protocol, Op::Receive, &line.peer, what);
        let (Some(list), Some(size)) = (hashes.get(0), sizes.first()) else {
            return Err(nonsense("the collection is empty"));
        };
        let count = hashes.len() - 1;
        // So many names cannot take more, whatever their sender says.
        let longest = LARGEST_LIST.min(names::longest(count));
        if *size > longest {
            return Err(nonsense("the collection's list of names is too long"));
        }
        let list = Named { hash: *list.as_bytes(), size: *size };
        let list = whole(line, list).await?;
        let names = names::of(&list, count)
            .filter(|_| sizes.len() == hashes.len())
            .ok_or_else(|| nonsense("the collection's list of names does not fit it"))?;
        let contents = hashes.iter().zip(sizes.iter()).skip(1);
        for (name, (hash, size)) in names.into_iter().zip(contents) {
            self.add(name.to_owned(), *hash.as_bytes(), *size)?;
        }
        self.over = true;
        Ok(())
    }

    fn add(&mut self, name: String, hash: [u8; 32], size: u64) -> Result<()> {
        let kind = Kind::File { size, hash, mode: None, modified: None };
        self.take(Entry { path: name.into_bytes(), kind }, 0)
    }
}

/// Whether the first name of a path begins with a dot. What is no name at all is for others to refuse.
fn is_hidden(path: &[u8]) -> bool {
    let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    first.starts_with(b".") && !matches!(first, b"." | b"..")
}

/// What an entry stands for: times and modes may be others when a share is started again.
fn identity(kind: &Kind) -> (u8, &[u8], u64) {
    match kind {
        Kind::File { size, hash, .. } => (0, hash, *size),
        Kind::Folder => (1, b"", 0),
        Kind::Symlink { target } => (2, target, 0),
        Kind::Failed { .. } => (3, b"", 0),
    }
}

/// All of a small content.
async fn whole(line: &Line, content: Named) -> Result<Vec<u8>> {
    let mut reading = line.ask(content, ChunkRanges::all()).await?;
    let mut all = Vec::new();
    while let Some(piece) = reading.next().await? {
        if let Piece::Bytes(_, bytes) = piece {
            all.extend_from_slice(&bytes);
        }
    }
    Ok(all)
}
