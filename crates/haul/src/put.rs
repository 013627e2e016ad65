//! Bytes of programs: `put`.
//!
//! Owns the source that a caller's stream is. It must never hold more of it than one slice, nor keep a
//! caller's buffer for the few bytes that are shown of it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{BoxStream, Fuse, Stream, StreamExt as _};
use haul_core::pool::{Pool, SLICE};
use haul_core::source::StreamMeta;
use haul_core::{
    Attributes, BytesSource, Engine, Error, ErrorKind, Job, Location, Op, Opened, ReadStream,
    Report, Result, Source, SourceLimits,
};

use crate::Haul;
use crate::copy::typed;

/// How something is put.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PutOptions {
    /// Attributes to set. Without a content type an object gets the one that its key suggests.
    pub attributes: Attributes,
    /// Whether something that exists may be replaced.
    pub overwrite: bool,
    /// How long the stream is, when that is known: parts are cut for it. A URL has to be told, and then
    /// it must be right; elsewhere it is a hint.
    pub expected_size: Option<u64>,
}

impl Default for PutOptions {
    /// Replaces what is there.
    fn default() -> Self {
        Self { attributes: Attributes::default(), overwrite: true, expected_size: None }
    }
}

impl Haul {
    /// Writes `bytes` to a file, an object or a URL, which is named in full.
    ///
    /// # Errors
    ///
    /// `Invalid` where the location is a bucket or a folder, `NoSpace`, `Verification` where what
    /// arrived is not what was sent, and what [requests and disks](crate#errors) may end with.
    /// Nothing is at the destination then.
    pub async fn put(&self, to: &Location, bytes: impl Into<Bytes>) -> Result<Report> {
        let this = self.begin();
        let source = Arc::new(BytesSource::new("bytes in memory", bytes));
        this.put_source(this.engine.clone(), source, to, PutOptions::default()).await
    }

    /// Writes what `stream` brings. Nothing is at the destination before all of it has come; an error in
    /// the stream ends it, and then nothing is left there. At most [`EngineOptions::memory`] bytes of it
    /// are held, beside those of other jobs.
    ///
    /// [`EngineOptions::memory`]: crate::EngineOptions::memory
    ///
    /// # Errors
    ///
    /// Those of [`Haul::put`], and the stream's own; `AlreadyExists` where nothing may be replaced,
    /// `Invalid` where the stream is longer than all parts can hold, or not as long as a URL was
    /// told.
    pub async fn put_stream(
        &self,
        to: &Location,
        stream: impl Stream<Item = Result<Bytes>> + Send + 'static,
        options: PutOptions,
    ) -> Result<Report> {
        let this = self.begin();
        let source = StreamSource::new(stream, this.engine.pool().clone());
        this.put_source(this.engine.apart(), Arc::new(source), to, options).await
    }

    async fn put_source(
        &self,
        engine: Engine,
        source: Arc<dyn Source>,
        to: &Location,
        options: PutOptions,
    ) -> Result<Report> {
        let PutOptions { attributes, overwrite, expected_size } = options;
        let attributes = typed(attributes, to);
        let target = self.target(to, &attributes).await?;
        let job = Job { source, target, attributes, overwrite, expected_size, keep_times: false };
        engine.transfer(job, &self.stop.token()).await
    }
}

type Stock = BoxStream<'static, Result<Bytes>>;

/// A caller's stream.
struct StreamSource {
    stream: Mutex<Option<Stock>>,
    pool: Pool,
}

impl StreamSource {
    fn new(stream: impl Stream<Item = Result<Bytes>> + Send + 'static, pool: Pool) -> Self {
        Self { stream: Mutex::new(Some(stream.boxed())), pool }
    }
}

impl fmt::Debug for StreamSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamSource")
    }
}

impl Source for StreamSource {
    fn location(&self) -> String {
        "the stream".to_owned()
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits::default()
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let opened = stream.map(|stream| {
            let (stream, pool) = (stream.fuse(), self.pool.clone());
            let open = OpenStream { stream, rest: Bytes::new(), pool, meta: StreamMeta::default() };
            Opened::Stream(Box::new(open))
        });
        let read = || {
            let what = "it has been read, and a stream can be read only once";
            Error::new(ErrorKind::Invalid, Op::Open, "the stream", what)
        };
        std::future::ready(opened.ok_or_else(read)).boxed()
    }
}

struct OpenStream {
    stream: Fuse<Stock>,
    /// What came and is not in a slice yet.
    rest: Bytes,
    pool: Pool,
    /// Nothing is known.
    meta: StreamMeta,
}

impl fmt::Debug for OpenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenStream")
    }
}

impl OpenStream {
    /// The next slice, filled. Copied: a caller's piece may be a small part of a buffer that it keeps, and
    /// a held part of many pieces would be many times its size.
    async fn slice(&mut self) -> Result<Option<Bytes>> {
        let (mut slice, mut filled) = (self.pool.take(), 0);
        while filled < SLICE {
            if self.rest.is_empty() {
                let Some(piece) = self.stream.next().await.transpose()? else { break };
                self.rest = piece;
            }
            let some = self.rest.split_to(self.rest.len().min(SLICE - filled));
            slice.buffer()[filled..filled + some.len()].copy_from_slice(&some);
            filled += some.len();
        }
        Ok((filled > 0).then(|| slice.freeze(filled)))
    }
}

impl ReadStream for OpenStream {
    fn meta(&self) -> &StreamMeta {
        &self.meta
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>> {
        self.slice().boxed()
    }
}
