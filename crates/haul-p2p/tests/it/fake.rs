//! A sender that says what it is told to, true or not.
//!
//! Speaks `haul/1` as `src/wire.rs` has it, from outside: a message is a length of 4 bytes and that
//! many bytes of postcard.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bao_tree::io::outboard::PreOrderMemOutboard;
use bao_tree::io::sync::encode_ranges;
use bao_tree::{ChunkNum, ChunkRanges};
use haul_p2p::{ShareTicket, Ticket};
use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt, presets};
use iroh::{Endpoint, EndpointId, RelayMode, RelayUrl};
use iroh_blobs::protocol::Request;
use iroh_blobs::store::IROH_BLOCK_SIZE;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromReceiver {
    Hello { secret: [u8; 16], list: bool },
    Landed { bytes: u64, total: u64 },
    Bye { files: u64, failed: u64 },
}

#[derive(Debug, Serialize)]
enum FromSender {
    Entries(Vec<Entry>),
    End { entries: u64 },
    Alive,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) enum Kind {
    File { size: u64, hash: [u8; 32], mode: Option<u32>, modified: Option<Moment> },
    Folder,
    Symlink { target: Vec<u8> },
    Failed { reason: String },
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Moment {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

#[derive(Serialize, Deserialize)]
enum Wire {
    V0 {
        id: EndpointId,
        relays: Vec<RelayUrl>,
        addrs: Vec<SocketAddr>,
        secret: [u8; 16],
        published: bool,
    },
}

/// What happens on the stream of messages, after the hello.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Entries(Vec<Entry>),
    End(u64),
    /// It has nothing to say yet.
    Alive,
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// Waits until so many requests were answered, on all connections.
    Served(usize),
    /// Ends the stream of messages.
    Finish,
    /// Ends the connection.
    Close(u32),
}

/// A content and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) data: Vec<u8>,
    /// The size that it tells, if another.
    pub(crate) tells: Option<u64>,
    /// The byte of the response that is not what it should be.
    pub(crate) flips: Option<usize>,
    /// Where the response ends too early.
    pub(crate) ends: Option<usize>,
    /// The code that the response is reset with, instead.
    pub(crate) resets: Option<u32>,
    /// What it says is the upper part of its tree.
    pub(crate) outline: Option<Vec<u8>>,
    /// It never answers.
    pub(crate) silent: bool,
    /// Its second request fails in the middle of the first.
    pub(crate) trips: Option<Arc<Trip>>,
}

/// A second request that fails while the first is half-way.
#[derive(Debug, Default)]
pub(crate) struct Trip {
    asked: AtomicUsize,
    tripped: CancellationToken,
}

impl Content {
    pub(crate) fn of(data: &[u8]) -> Self {
        Self { data: data.to_vec(), ..Self::default() }
    }

    fn response(&self, ranges: &ChunkRanges) -> Vec<u8> {
        let outboard = PreOrderMemOutboard::create(&self.data, IROH_BLOCK_SIZE);
        let last = ChunkNum((self.data.len() as u64).div_ceil(1024).saturating_sub(1));
        let end = ChunkRanges::from(last..);
        let mut within = ranges & &ChunkRanges::from(..last);
        if !ranges.is_disjoint(&end) {
            within |= end;
        }
        let size = self.tells.unwrap_or(self.data.len() as u64);
        let mut response = size.to_le_bytes().to_vec();
        encode_ranges(self.data.as_slice(), &outboard, &within, &mut response).unwrap();
        if let Some(at) = self.flips {
            response[at] ^= 1;
        }
        if let Some(at) = self.ends {
            response.truncate(at);
        }
        response
    }
}

pub(crate) type Contents = HashMap<[u8; 32], Content>;

pub(crate) fn hash(data: &[u8]) -> [u8; 32] {
    *blake3::hash(data).as_bytes()
}

/// Contents with nothing wrong.
pub(crate) fn contents<const N: usize>(all: [Vec<u8>; N]) -> Contents {
    all.into_iter().map(|data| (hash(&data), Content::of(&data))).collect()
}

/// A file as it should be listed.
pub(crate) fn listed(path: impl AsRef<[u8]>, data: &[u8]) -> Entry {
    sized(path, data, data.len() as u64)
}

/// A file of another size than it has.
pub(crate) fn sized(path: impl AsRef<[u8]>, data: &[u8], size: u64) -> Entry {
    let kind = Kind::File { size, hash: hash(data), mode: None, modified: None };
    Entry { path: path.as_ref().to_vec(), kind }
}

/// An endpoint of the loopback.
pub(crate) async fn endpoint(alpns: &[&[u8]]) -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .alpns(alpns.iter().map(|alpn| alpn.to_vec()).collect())
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr((std::net::Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .bind()
        .await
        .unwrap()
}

/// The ticket of a share at `addrs`.
pub(crate) fn ticket_of(
    id: EndpointId,
    addrs: Vec<SocketAddr>,
    relays: Vec<RelayUrl>,
    secret: [u8; 16],
) -> Ticket {
    let wire = Wire::V0 { id, relays, addrs, secret, published: false };
    ticket_from(postcard::to_stdvec(&wire).unwrap())
}

/// The key, the first address and the secret of a ticket.
pub(crate) fn parts_of(ticket: &Ticket) -> (EndpointId, SocketAddr, [u8; 16]) {
    let Ticket::Share(share) = ticket else { panic!("another kind of ticket") };
    let bytes = iroh_tickets::Ticket::encode_bytes(share);
    let Wire::V0 { id, addrs, secret, .. } = postcard::from_bytes(&bytes).unwrap();
    (id, addrs[0], secret)
}

/// The ticket that these bytes are, without those at the end that prove them.
fn ticket_from(mut bytes: Vec<u8>) -> Ticket {
    let check = hash(&bytes);
    bytes.extend(&check[..4]);
    Ticket::Share(<ShareTicket as iroh_tickets::Ticket>::decode_bytes(&bytes).unwrap())
}

pub(crate) fn frame(message: &impl Serialize) -> Vec<u8> {
    let body = postcard::to_stdvec(message).unwrap();
    [&(body.len() as u32).to_le_bytes(), body.as_slice()].concat()
}

/// The sender.
pub(crate) struct Fake {
    pub(crate) ticket: Ticket,
    endpoint: Endpoint,
    task: tokio::task::JoinHandle<()>,
    shared: Arc<Shared>,
}

struct Shared {
    scripts: Vec<Vec<Step>>,
    contents: Contents,
    connections: AtomicUsize,
    served: AtomicUsize,
    /// What the last goodbye said, plus one each.
    goodbye: [AtomicU64; 2],
}

impl Fake {
    /// One that goes by `scripts`, one for each connection; by the last one from then on.
    pub(crate) async fn start(scripts: Vec<Vec<Step>>, contents: Contents) -> Self {
        let endpoint = endpoint(&[b"haul/1"]).await;
        let ticket = ticket_of(endpoint.id(), endpoint.bound_sockets(), Vec::new(), [5; 16]);
        let shared = Arc::new(Shared {
            scripts,
            contents,
            connections: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            goodbye: Default::default(),
        });
        let task = tokio::spawn(accept(endpoint.clone(), Arc::clone(&shared)));
        Self { ticket, endpoint, task, shared }
    }

    /// Files and failures of the last goodbye.
    pub(crate) fn goodbye(&self) -> Option<(u64, u64)> {
        let [files, failed] = &self.shared.goodbye;
        let of = |n: &AtomicU64| n.load(Ordering::SeqCst).checked_sub(1);
        Some((of(files)?, of(failed)?))
    }

    pub(crate) async fn stop(self) {
        self.endpoint.close().await;
        self.task.await.unwrap();
    }
}

async fn accept(endpoint: Endpoint, shared: Arc<Shared>) {
    let mut visits = tokio::task::JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        let Ok(accepting) = incoming.accept() else { continue };
        let shared = Arc::clone(&shared);
        visits.spawn(async move {
            if let Ok(connection) = accepting.await {
                // A receiver that goes ends it.
                let _gone = visit(connection, shared).await;
            }
        });
    }
}

async fn visit(connection: Connection, shared: Arc<Shared>) -> Option<()> {
    let number = shared.connections.fetch_add(1, Ordering::SeqCst);
    let script = shared.scripts.get(number).or(shared.scripts.last()).cloned()?;
    let (send, mut recv) = connection.accept_bi().await.ok()?;
    let FromReceiver::Hello { secret, list } = hear(&mut recv).await? else { return None };
    assert_eq!(secret, [5; 16]);
    let script = if list { script } else { Vec::new() };
    let mut requests = tokio::task::JoinSet::new();
    let talking = talk(connection.clone(), send, script, Arc::clone(&shared));
    requests.spawn(talking);
    {
        let (connection, shared) = (connection.clone(), Arc::clone(&shared));
        requests.spawn(async move {
            while let Some(said) = hear(&mut recv).await {
                if let FromReceiver::Bye { files, failed } = said {
                    shared.goodbye[0].store(files + 1, Ordering::SeqCst);
                    shared.goodbye[1].store(failed + 1, Ordering::SeqCst);
                    connection.close(VarInt::from_u32(0), b"");
                }
            }
            Some(())
        });
    }
    while let Ok((send, recv)) = connection.accept_bi().await {
        requests.spawn(serve(send, recv, Arc::clone(&shared)));
    }
    Some(())
}

async fn hear(recv: &mut RecvStream) -> Option<FromReceiver> {
    let mut len = [0; 4];
    recv.read_exact(&mut len).await.ok()?;
    let mut body = vec![0; u32::from_le_bytes(len) as usize];
    recv.read_exact(&mut body).await.ok()?;
    postcard::from_bytes(&body).ok()
}

async fn talk(
    connection: Connection,
    mut send: SendStream,
    script: Vec<Step>,
    shared: Arc<Shared>,
) -> Option<()> {
    for step in script {
        match step {
            Step::Entries(all) => send.write_all(&frame(&FromSender::Entries(all))).await.ok()?,
            Step::End(entries) => {
                send.write_all(&frame(&FromSender::End { entries })).await.ok()?;
            }
            Step::Alive => send.write_all(&frame(&FromSender::Alive)).await.ok()?,
            Step::Raw(bytes) => send.write_all(&bytes).await.ok()?,
            Step::Served(count) => {
                while shared.served.load(Ordering::SeqCst) < count {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            Step::Finish => send.finish().ok()?,
            Step::Close(code) => connection.close(VarInt::from_u32(code), b""),
        }
    }
    // As long as the connection: a stream that is dropped is reset.
    connection.closed().await;
    Some(())
}

async fn serve(mut send: SendStream, mut recv: RecvStream, shared: Arc<Shared>) -> Option<()> {
    let request = recv.read_to_end(1 << 20).await.ok()?;
    // A request that only haul knows, for the upper part of a content's tree: it may be refused.
    if let Some((0x80, hash)) = request.split_first() {
        let content = hash.try_into().ok().and_then(|hash: [u8; 32]| shared.contents.get(&hash));
        if let Some(outline) = content.and_then(|content| content.outline.as_ref()) {
            send.write_all(outline).await.ok()?;
            send.finish().ok()?;
            drop(send.stopped().await);
            return Some(());
        }
        send.reset(VarInt::from_u32(18)).ok()?;
        return None;
    }
    let request: Request = postcard::from_bytes(&request).ok()?;
    let (hashes, ranges) = match &request {
        Request::Get(get) => (vec![get.hash], &get.ranges),
        Request::GetMany(many) => (many.hashes.clone(), &many.ranges),
        _ => return None,
    };
    for (hash, ranges) in hashes.iter().zip(ranges.iter_infinite()) {
        let Some(content) = shared.contents.get(hash.as_bytes()) else {
            send.reset(VarInt::from_u32(18)).ok()?;
            return None;
        };
        if content.silent {
            std::future::pending::<()>().await;
        }
        if let Some(code) = content.resets {
            send.reset(VarInt::from_u32(code)).ok()?;
            return None;
        }
        let response = content.response(ranges);
        let (first, rest) = response.split_at(response.len() / 2);
        let trip = content.trips.as_ref();
        if let Some(trip) = trip
            && trip.asked.fetch_add(1, Ordering::SeqCst) == 1
        {
            send.reset(VarInt::from_u32(19)).ok()?;
            trip.tripped.cancel();
            return None;
        }
        send.write_all(first).await.ok()?;
        if let Some(trip) = trip {
            trip.tripped.cancelled().await;
        }
        send.write_all(rest).await.ok()?;
        if content.ends.is_some() {
            break;
        }
    }
    send.finish().ok()?;
    drop(send.stopped().await);
    shared.served.fetch_add(1, Ordering::SeqCst);
    Some(())
}
