//! Sources that fail, change, wait, or tell who uses them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use haul_core::{
    Attributes, Body, ByteRange, Error, ErrorKind, Meta, Op, Opened, ReadAt, Result, Source,
    SourceLimits, Validator,
};
use tokio::sync::{Barrier, Semaphore};

use crate::kit::bytes;

/// The most bytes that are given at once.
const PIECE: u64 = 256 << 10;

/// A pattern that repeats at no power of two: no two groups of a content are the same.
pub(crate) fn pattern(seed: u64) -> Bytes {
    bytes((1 << 20) + 37, seed).into()
}

/// Some bytes of an endless content.
fn slice(block: &Bytes, offset: u64, most: u64) -> Bytes {
    let at = (offset % block.len() as u64) as usize;
    block.slice(at..block.len().min(at + most as usize))
}

/// Whether `content` is what a source of `seed` gives.
pub(crate) fn is_made(content: &[u8], seed: u64) -> bool {
    let block = pattern(seed);
    content.chunks(block.len()).all(|chunk| *chunk == block[..chunk.len()])
}

/// All that a source of `seed` and `size` gives.
pub(crate) fn whole(seed: u64, size: u64) -> Vec<u8> {
    pattern(seed).iter().copied().cycle().take(size as usize).collect()
}

/// What a source that is opened waits for.
#[derive(Debug, Clone)]
pub(crate) enum Wait {
    /// Each piece: somebody who lets it pass.
    Pieces(Arc<Semaphore>),
    /// Before the first byte, from the time it was opened so often: others that come as far.
    Meeting(u64, Arc<Barrier>),
}

/// Who uses sources.
#[derive(Debug, Default)]
pub(crate) struct Users {
    now: AtomicU64,
    peak: AtomicU64,
    read: AtomicU64,
}

impl Users {
    /// The most that were open at once.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::SeqCst)
    }

    /// Bytes that were read in all.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::SeqCst)
    }
}

/// A content that is computed; no disk has it.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) size: u64,
    block: Bytes,
    meta: Meta,
    /// What it holds from the second time on.
    pub(crate) later: Option<Bytes>,
    /// It cannot be opened.
    pub(crate) locked: bool,
    /// It breaks there.
    pub(crate) breaks_at: Option<u64>,
    pub(crate) wait: Option<Wait>,
    pub(crate) users: Arc<Users>,
    opened: Arc<AtomicU64>,
}

impl Made {
    pub(crate) fn new(name: &str, size: u64, seed: u64) -> Self {
        let meta = Meta {
            location: name.to_owned(),
            size,
            validator: Validator::File,
            checksum: None,
            modified: None,
            attributes: Attributes::default(),
        };
        Self {
            size,
            block: pattern(seed),
            meta,
            later: None,
            locked: false,
            breaks_at: None,
            wait: None,
            users: Arc::default(),
            opened: Arc::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.meta.location
    }

    pub(crate) fn source(self) -> Arc<dyn Source> {
        Arc::new(self)
    }
}

impl Source for Made {
    fn location(&self) -> String {
        self.meta.location.clone()
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        let times = self.opened.fetch_add(1, Ordering::SeqCst);
        if self.locked {
            let what = "permission denied";
            let e = Error::new(ErrorKind::AccessDenied, Op::Open, &self.meta.location, what);
            return std::future::ready(Err(e)).boxed();
        }
        let mut made = self.clone();
        if times > 0
            && let Some(later) = made.later.take()
        {
            made.block = later;
        }
        let now = self.users.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.users.peak.fetch_max(now, Ordering::SeqCst);
        let open = Open { made, times };
        async move {
            if let Some(Wait::Meeting(from, barrier)) = &open.made.wait
                && times == *from
            {
                barrier.wait().await;
            }
            Ok(Opened::Ranged(Arc::new(open)))
        }
        .boxed()
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits { gate: None, network: false, cheap_reread: true }
    }
}

/// The content as long as somebody uses it.
#[derive(Debug)]
struct Open {
    made: Made,
    times: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.made.users.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ReadAt for Open {
    fn meta(&self) -> &Meta {
        &self.made.meta
    }

    fn read_at(&self, range: ByteRange) -> BoxFuture<'static, Result<Body>> {
        let (made, first) = (self.made.clone(), self.times == 0);
        let body = futures::stream::try_unfold(range.start, move |at| {
            let made = made.clone();
            async move {
                if at >= range.end {
                    return Ok(None);
                }
                if let Some(Wait::Pieces(permits)) = &made.wait {
                    permits.acquire().await.unwrap().forget();
                }
                if made.breaks_at.is_some_and(|breaks| at >= breaks && first) {
                    let what = "input/output error";
                    return Err(Error::new(ErrorKind::Io, Op::Read, &made.meta.location, what));
                }
                let piece = slice(&made.block, at, PIECE.min(range.end - at));
                made.users.read.fetch_add(piece.len() as u64, Ordering::SeqCst);
                let next = at + piece.len() as u64;
                Ok(Some((piece, next)))
            }
        });
        std::future::ready(Ok(body.boxed())).boxed()
    }

    fn recheck(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed()
    }
}

/// How many bytes of a source are in memory.
#[derive(Debug, Default)]
pub(crate) struct Live {
    now: AtomicU64,
    peak: AtomicU64,
}

impl Live {
    /// The most there were at once.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::SeqCst)
    }

    pub(crate) fn forget_peak(&self) {
        self.peak.store(0, Ordering::SeqCst);
    }
}

/// Some bytes that are counted until nobody has them any more.
struct Counted(Bytes, Arc<Live>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.now.fetch_sub(self.0.len() as u64, Ordering::SeqCst);
    }
}

/// A source that counts the bytes that are kept of it.
#[derive(Debug)]
pub(crate) struct Kept {
    made: Made,
    live: Arc<Live>,
}

impl Kept {
    pub(crate) fn new(made: Made) -> Self {
        Self { made, live: Arc::default() }
    }

    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }
}

impl Source for Kept {
    fn location(&self) -> String {
        self.made.location()
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        async {
            let Opened::Ranged(read) = self.made.open().await? else { unreachable!() };
            Ok(Opened::Ranged(Arc::new(KeptOpen(read, self.live()))))
        }
        .boxed()
    }

    fn limits(&self) -> SourceLimits {
        self.made.limits()
    }
}

#[derive(Debug)]
struct KeptOpen(Arc<dyn ReadAt>, Arc<Live>);

impl ReadAt for KeptOpen {
    fn meta(&self) -> &Meta {
        self.0.meta()
    }

    fn read_at(&self, range: ByteRange) -> BoxFuture<'static, Result<Body>> {
        let (reading, live) = (self.0.read_at(range), Arc::clone(&self.1));
        async move {
            let body = reading.await?.map(move |piece| {
                piece.map(|bytes| {
                    let len = bytes.len() as u64;
                    let now = live.now.fetch_add(len, Ordering::SeqCst) + len;
                    live.peak.fetch_max(now, Ordering::SeqCst);
                    Bytes::from_owner(Counted(bytes, Arc::clone(&live)))
                })
            });
            Ok(body.boxed())
        }
        .boxed()
    }

    fn recheck(&self) -> BoxFuture<'_, Result<()>> {
        self.0.recheck()
    }
}
