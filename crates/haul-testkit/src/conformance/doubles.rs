//! A source and a target in memory that hold still for a test.
//!
//! Owns: what they were asked for, and when. Must never fail unless told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::StreamExt as _;
use haul_core::source::StreamMeta;
use haul_core::{
    Attributes, Body, ByteRange, ChunkSpec, Committed, Error, ErrorKind, Meta, Op, Opened, Payload,
    ReadAt, ReadStream, Receipt, Result, Source, SourceLimits, Sums, Target, TargetLimits, Upload,
    UploadSpec, Validator,
};
use tokio::sync::watch;

/// Bytes handed out at a time: no divisor of any part.
const STEP: usize = 10_007;

/// Bytes in memory, read by range or once in order. Clones share what was asked for.
#[derive(Debug, Clone)]
pub struct MemorySource {
    content: Bytes,
    stream: bool,
    fails_at: Option<u64>,
    limits: SourceLimits,
    attributes: Attributes,
    /// What a stream says about itself.
    about: StreamMeta,
    /// Where a range starts that is not served before the sender says so.
    held: Option<(u64, watch::Receiver<bool>)>,
    asked: Arc<Mutex<Vec<ByteRange>>>,
}

impl MemorySource {
    /// `content`, read by range.
    pub fn new(content: impl Into<Bytes>) -> Self {
        Self {
            content: content.into(),
            stream: false,
            fails_at: None,
            limits: SourceLimits::default(),
            attributes: Attributes::default(),
            about: StreamMeta::default(),
            held: None,
            asked: Arc::default(),
        }
    }

    /// The same, read once, of unknown length.
    #[must_use]
    pub fn streamed(mut self) -> Self {
        self.stream = true;
        self
    }

    /// The same, read once, with what it says about itself, true or not.
    #[must_use]
    pub fn streamed_as(mut self, about: StreamMeta) -> Self {
        self.about = about;
        self.streamed()
    }

    /// The same, failing for good at this byte.
    #[must_use]
    pub fn failing_at(mut self, byte: u64) -> Self {
        self.fails_at = Some(byte);
        self
    }

    /// The same, with other abilities.
    #[must_use]
    pub fn with_limits(mut self, limits: SourceLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same, with something to carry along.
    #[must_use]
    pub fn with_attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// The same, with the range that starts at `start` held until the sender sends `true`.
    #[must_use]
    pub fn holding(mut self, start: u64) -> (Self, watch::Sender<bool>) {
        let (sender, receiver) = watch::channel(false);
        self.held = Some((start, receiver));
        (self, sender)
    }

    /// The ranges asked for so far, in order.
    pub fn asked(&self) -> Vec<ByteRange> {
        lock(&self.asked).clone()
    }

    fn piece(&self, at: u64, end: u64) -> Result<Bytes> {
        if self.fails_at.is_some_and(|byte| at >= byte) {
            return Err(Error::new(ErrorKind::Io, Op::Read, "memory", "it fails, as told"));
        }
        let end = end.min(at + STEP as u64).min(self.fails_at.unwrap_or(u64::MAX));
        Ok(self.content.slice(usize::try_from(at).unwrap()..usize::try_from(end).unwrap()))
    }
}

impl Source for MemorySource {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        let meta = Meta {
            location: self.location(),
            size: self.content.len() as u64,
            validator: Validator::Unpinned,
            checksum: None,
            modified: None,
            attributes: self.attributes.clone(),
        };
        let opened = if self.stream {
            Opened::Stream(Box::new(OpenMemory { source: self.clone(), meta, at: 0 }))
        } else {
            Opened::Ranged(Arc::new(OpenMemory { source: self.clone(), meta, at: 0 }))
        };
        std::future::ready(Ok(opened)).boxed()
    }

    fn limits(&self) -> SourceLimits {
        self.limits.clone()
    }
}

#[derive(Debug)]
struct OpenMemory {
    source: MemorySource,
    meta: Meta,
    at: u64,
}

impl ReadAt for OpenMemory {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn read_at(&self, range: ByteRange) -> BoxFuture<'static, Result<Body>> {
        lock(&self.source.asked).push(range);
        let source = self.source.clone();
        async move {
            if let Some((start, mut held)) = source.held.clone()
                && start == range.start
            {
                drop(held.wait_for(|go| *go).await);
            }
            let pieces = futures::stream::try_unfold(range.start, move |at| {
                let piece = (at < range.end).then(|| source.piece(at, range.end)).transpose();
                async move { Ok(piece?.map(|bytes| (bytes.clone(), at + bytes.len() as u64))) }
            });
            Ok(pieces.boxed())
        }
        .boxed()
    }

    fn recheck(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed()
    }
}

impl ReadStream for OpenMemory {
    fn meta(&self) -> &StreamMeta {
        &self.source.about
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>> {
        let more = self.at < self.meta.size;
        let piece = more.then(|| self.source.piece(self.at, self.meta.size)).transpose();
        self.at += piece.as_ref().ok().and_then(Option::as_ref).map_or(0, |b| b.len() as u64);
        std::future::ready(piece).boxed()
    }
}

/// A place in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryTarget {
    limits: TargetLimits,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    staged: BTreeMap<u64, Vec<u8>>,
    landed: Vec<ChunkSpec>,
    content: Option<Vec<u8>>,
    aborted: usize,
}

impl MemoryTarget {
    /// An empty place with these abilities.
    pub fn new(limits: TargetLimits) -> Self {
        Self { limits, state: Arc::default() }
    }

    /// What was committed.
    pub fn content(&self) -> Option<Vec<u8>> {
        lock(&self.state).content.clone()
    }

    /// The chunks that landed, in the order they did.
    pub fn landed(&self) -> Vec<ChunkSpec> {
        lock(&self.state).landed.clone()
    }

    /// How many uploads were given up.
    pub fn aborted(&self) -> usize {
        lock(&self.state).aborted
    }
}

impl Target for MemoryTarget {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn limits(&self) -> TargetLimits {
        self.limits.clone()
    }

    fn begin<'a>(&'a self, _: &'a UploadSpec) -> BoxFuture<'a, Result<Arc<dyn Upload>>> {
        std::future::ready(Ok(Arc::new(self.clone()) as Arc<dyn Upload>)).boxed()
    }
}

impl Upload for MemoryTarget {
    fn put(&self, chunk: ChunkSpec, payload: Payload) -> BoxFuture<'static, Result<Receipt>> {
        let state = Arc::clone(&self.state);
        async move {
            let mut reader = payload.open();
            let mut bytes = Vec::new();
            while let Some(more) = reader.next().await? {
                bytes.extend_from_slice(&more);
            }
            let mut state = lock(&state);
            state.staged.insert(chunk.range.start, bytes);
            state.landed.push(chunk);
            Ok(Receipt { chunk, sums: reader.sums(), etag: None })
        }
        .boxed()
    }

    fn commit<'a>(&'a self, _: &'a [Receipt], _: &'a Sums) -> BoxFuture<'a, Result<Committed>> {
        let mut state = lock(&self.state);
        state.content = Some(state.staged.values().flatten().copied().collect());
        std::future::ready(Ok(Committed::default())).boxed()
    }

    fn abort(&self) -> BoxFuture<'_, Result<()>> {
        lock(&self.state).aborted += 1;
        std::future::ready(Ok(())).boxed()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
