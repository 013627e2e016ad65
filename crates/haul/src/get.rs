//! Bytes for programs: `get`.
//!
//! Owns the target that hands chunks to a caller, in order, at the pace at which they are taken. What is
//! not taken yet stays in the engine's memory, within a budget of the stream's own: see
//! [`Engine::apart`](haul_core::Engine::apart). It must never hand out a byte twice, nor end a stream
//! as if it were whole before the engine has compared it.

use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{Stream, TryStreamExt as _};
use haul_core::{
    Attributes, ByteRange, ChunkSpec, Committed, Error, ErrorKind, Event, Job, Location, Meter, Op,
    Order, Payload, Proof, RangeSource, Receipt, Report, Result, Source, Sums, Target,
    TargetLimits, TransferHandle, Upload, UploadSpec,
};
use tokio::sync::{mpsc, oneshot};

use crate::Haul;

/// Something that is being read: what is known about it, and its bytes in order, as a [`Stream`].
///
/// The stream ends with an error where the bytes that came are not all there are, or not the right ones:
/// only after its end are they known to be the whole. At most [`EngineOptions::memory`] bytes wait for
/// the reader, beside those of other jobs. Dropping it stops the reading.
///
/// [`EngineOptions::memory`]: crate::EngineOptions::memory
#[derive(Debug)]
pub struct Download {
    about: About,
    pieces: mpsc::Receiver<Bytes>,
    meter: Arc<Meter>,
    job: Option<TransferHandle>,
    report: Option<Report>,
}

/// What is known before the first byte.
#[derive(Debug)]
struct About {
    size: Option<u64>,
    attributes: Attributes,
    read: Option<Proof>,
}

impl Download {
    /// Bytes in all; `None` where the source does not tell.
    pub fn size(&self) -> Option<u64> {
        self.about.size
    }

    /// Content type, metadata, time of modification and the like.
    pub fn attributes(&self) -> &Attributes {
        &self.about.attributes
    }

    /// Last modification, if the source tells.
    pub fn modified(&self) -> Option<SystemTime> {
        self.about.attributes.modified
    }

    /// What every byte is pinned to, where the source tells: the file or the object as it was opened.
    pub fn proof(&self) -> Option<&Proof> {
        self.about.read.as_ref()
    }

    /// The counters of bytes, to poll.
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// The events, once; `None` after the end.
    pub fn take_events(&mut self) -> Option<mpsc::UnboundedReceiver<Event>> {
        self.job.as_mut()?.take_events()
    }

    /// How the reading went, once the stream has ended without an error.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }
}

impl Stream for Download {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(bytes) = ready!(self.pieces.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(bytes)));
        }
        // Nobody can send any more: the job is over, or about to be.
        let Some(job) = &mut self.job else { return Poll::Ready(None) };
        let ended = ready!(Pin::new(job).poll(cx));
        self.job = None;
        match ended {
            Ok(report) => {
                self.report = Some(report);
                Poll::Ready(None)
            }
            Err(e) => Poll::Ready(Some(Err(e))),
        }
    }
}

impl Haul {
    /// Starts to read a file, an object, a URL or standard input, and waits until it is open.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Invalid` where the location is no single thing to read, and what [requests and
    /// disks](crate#errors) may end with. What goes wrong later ends the stream, with
    /// `SourceChanged` or `Verification` as well.
    pub async fn get(&self, from: &Location) -> Result<Download> {
        let this = self.begin();
        let source = this.source(from, None).await?;
        this.download(source).await
    }

    /// The same of a range; what the range has beyond the end is left out.
    ///
    /// # Errors
    ///
    /// Those of [`Haul::get`]; `Invalid` where the range begins beyond the end or ends before it
    /// begins, `Unsupported` where the source can be read from its beginning only.
    pub async fn get_range(&self, from: &Location, range: Range<u64>) -> Result<Download> {
        let this = self.begin();
        let range = ByteRange { start: range.start, end: range.end };
        let source = RangeSource::new(this.source(from, None).await?, range);
        this.download(Arc::new(source)).await
    }

    /// All of it in memory, if that is no more than `limit` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`Haul::get`] and of its stream; `Invalid` where there is more than `limit`.
    pub async fn get_bytes(&self, from: &Location, limit: usize) -> Result<Bytes> {
        let mut download = self.get(from).await?;
        let too_much = || {
            let what = format!("it has more than {limit} bytes, which is the most that is wanted");
            Error::new(ErrorKind::Invalid, Op::Read, from, what)
        };
        let size = download.size().unwrap_or(0);
        if size > limit as u64 {
            return Err(too_much());
        }
        // What a server says is believed up to the size of the engine's own memory.
        let believed = size.min(self.options.engine.memory);
        let mut all = BytesMut::with_capacity(usize::try_from(believed).unwrap_or(limit));
        while let Some(bytes) = download.try_next().await? {
            if bytes.len() > limit - all.len() {
                return Err(too_much());
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }

    async fn download(&self, source: Arc<dyn Source>) -> Result<Download> {
        let (told, about) = oneshot::channel();
        // One piece waits outside of the budget.
        let (sender, pieces) = mpsc::channel(1);
        let reader = Reader { told: Mutex::new(Some(told)), upload: Arc::new(Handing(sender)) };
        let job = Job {
            source,
            target: Arc::new(reader),
            attributes: Attributes::default(),
            overwrite: true,
            expected_size: None,
            keep_times: true,
        };
        let job = self.engine.apart().transfer(job, &self.stop.token());
        let Ok(about) = about.await else {
            // It has ended before it was open: the handle knows why.
            let ended = job.await;
            return Err(ended.err().unwrap_or_else(|| Error::cancelled(Op::Open, "the source")));
        };
        Ok(Download { about, pieces, meter: job.meter(), job: Some(job), report: None })
    }
}

/// The caller, as the engine sees it.
#[derive(Debug)]
struct Reader {
    told: Mutex<Option<oneshot::Sender<About>>>,
    upload: Arc<Handing>,
}

impl Target for Reader {
    fn location(&self) -> String {
        "the reader".to_owned()
    }

    fn limits(&self) -> TargetLimits {
        TargetLimits { order: Order::Sequential, ..TargetLimits::default() }
    }

    fn begin<'a>(&'a self, spec: &'a UploadSpec) -> BoxFuture<'a, Result<Arc<dyn Upload>>> {
        let UploadSpec { plan, attributes, read, .. } = spec.clone();
        let about = About { size: plan.map(|plan| plan.size()), attributes, read };
        if let Some(told) = self.told.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Nobody is there any more: the first piece finds out.
            let _gone = told.send(about);
        }
        let upload: Arc<dyn Upload> = self.upload.clone();
        std::future::ready(Ok(upload)).boxed()
    }
}

/// Hands pieces over.
#[derive(Debug)]
struct Handing(mpsc::Sender<Bytes>);

impl Upload for Handing {
    fn put(&self, chunk: ChunkSpec, payload: Payload) -> BoxFuture<'static, Result<Receipt>> {
        let pieces = self.0.clone();
        async move {
            let (mut reader, mut segments) = (payload.open(), Vec::new());
            // All of them first: a chunk that broke off would be handed out again from its beginning.
            while let Some(bytes) = reader.next().await? {
                segments.push(bytes);
            }
            for bytes in segments {
                pieces.send(bytes).await.map_err(|_| {
                    let what = "nobody reads any more";
                    Error::new(ErrorKind::BrokenPipe, Op::Write, "the reader", what)
                })?;
            }
            Ok(Receipt { chunk, sums: reader.sums(), etag: None })
        }
        .boxed()
    }

    fn wants_receipts(&self) -> bool {
        false
    }

    fn commit<'a>(&'a self, _: &'a [Receipt], _: &'a Sums) -> BoxFuture<'a, Result<Committed>> {
        std::future::ready(Ok(Committed::default())).boxed()
    }

    fn abort(&self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed() // what was handed over has been read
    }
}
