//! Standard streams, and whatever else is read or written once and in order.
//!
//! Owns reading standard input in slices and writing to a pipe in order. stdout carries data and
//! nothing else.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use haul_core::pool::Pool;
use haul_core::source::StreamMeta;
use haul_core::{
    ChunkSpec, Committed, Error, Op, Opened, Order, Payload, ReadStream, Receipt, Result, Source,
    SourceLimits, Sums, Target, TargetLimits, Upload, UploadSpec,
};

use crate::staged::write_all;
use crate::waiting;
use rustix::event::{PollFd, PollFlags};

/// Bytes that a pipe should hold: the most that Linux grants without privilege. The default of
/// 64 KiB costs a switch between the processes every 64 KiB.
const PIPE_SIZE: usize = 1 << 20;

fn widen(fd: impl AsFd) {
    #[cfg(target_os = "linux")]
    let _not_a_pipe = rustix::pipe::fcntl_setpipe_size(fd, PIPE_SIZE);
    #[cfg(not(target_os = "linux"))]
    drop((fd.as_fd(), PIPE_SIZE));
}

/// Waits for a descriptor that another program has set to not waiting. Blocking.
fn wait_until(fd: BorrowedFd<'_>, ready: PollFlags) {
    let _tried_again = rustix::event::poll(&mut [PollFd::new(&fd, ready)], None);
}

/// Standard input.
#[derive(Debug, Clone)]
pub struct StdinSource {
    pool: Pool,
}

impl StdinSource {
    /// Reads standard input into slices of `pool`.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }
}

impl Source for StdinSource {
    fn location(&self) -> String {
        "standard input".to_owned()
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits::default()
    }

    fn open(&self) -> BoxFuture<'_, Result<Opened>> {
        widen(std::io::stdin());
        let stream = StdinStream { pool: self.pool.clone(), meta: StreamMeta::default() };
        std::future::ready(Ok(Opened::Stream(Box::new(stream)))).boxed()
    }
}

#[derive(Debug)]
struct StdinStream {
    pool: Pool,
    /// Nothing is known.
    meta: StreamMeta,
}

impl ReadStream for StdinStream {
    fn meta(&self) -> &StreamMeta {
        &self.meta
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>> {
        let mut slice = self.pool.take();
        let read = move || {
            let mut stdin = std::io::stdin().lock();
            let mut len = 0;
            // Whole slices: a pipe hands out little at a time, and every slice is held at full size.
            while len < slice.buffer().len() {
                match stdin.read(&mut slice.buffer()[len..]) {
                    Ok(0) => break,
                    Ok(n) => len += n,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                        wait_until(std::io::stdin().as_fd(), PollFlags::IN);
                    }
                    Err(e) => return Err(Error::io(Op::Read, "standard input", e)),
                }
            }
            Ok((len > 0).then(|| slice.freeze(len)))
        };
        waiting(Op::Read, "standard input", read).boxed()
    }
}

/// A pipe, terminal, FIFO or device to write to, strictly in order.
#[derive(Debug, Clone)]
pub struct PipeTarget {
    file: Arc<File>,
    location: String,
}

impl PipeTarget {
    /// Standard output.
    pub fn stdout() -> Result<Self> {
        let location = "standard output".to_owned();
        let fd = std::io::stdout().as_fd().try_clone_to_owned();
        let fd = fd.map_err(|e| Error::io(Op::Open, &location, e))?;
        Ok(Self { file: Arc::new(File::from(fd)), location })
    }

    /// An existing FIFO or device at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let location = path.to_string_lossy().into_owned();
        let file = File::options().write(true).open(path);
        let file = file.map_err(|e| Error::io(Op::Open, &location, e))?;
        Ok(Self { file: Arc::new(file), location })
    }
}

impl Target for PipeTarget {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn limits(&self) -> TargetLimits {
        TargetLimits { order: Order::Sequential, ..TargetLimits::default() }
    }

    fn begin<'a>(&'a self, _: &'a UploadSpec) -> BoxFuture<'a, Result<Arc<dyn Upload>>> {
        widen(&*self.file);
        std::future::ready(Ok(Arc::new(self.clone()) as Arc<dyn Upload>)).boxed()
    }
}

impl Upload for PipeTarget {
    fn put(&self, chunk: ChunkSpec, payload: Payload) -> BoxFuture<'static, Result<Receipt>> {
        let this = self.clone();
        async move {
            let mut reader = payload.open();
            let mut segments = Vec::new();
            while let Some(bytes) = reader.next().await? {
                segments.push(bytes);
            }
            let (file, location) = (Arc::clone(&this.file), this.location.clone());
            let write = move || {
                let full = || wait_until(file.as_fd(), PollFlags::OUT);
                write_all(&file, &segments, full).map_err(|e| Error::io(Op::Write, location, e))
            };
            waiting(Op::Write, &this.location, write).await?;
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
        std::future::ready(Ok(())).boxed() // what was written has been read
    }
}
