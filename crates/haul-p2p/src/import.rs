//! Taking things in: what is to be shared is hashed and listed.
//!
//! Owns the way of one thing to the shelf. Bytes stay where they are. A thing that cannot be shared is
//! listed as such, so that receivers hear of it (X4.1).

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use haul_core::handle::JobContext;
use haul_core::meter::ChunkMeter;
use haul_core::{
    Engine, Error, ErrorKind, Event, Foreign, Meter, Op, Outcome, RelPath, Result, Settled, Source,
};

use crate::content::Content;
use crate::share::{Format, Offer, What};
use crate::shelf::{Shelf, Stock};
use crate::wire::{self, Entry, Kind, Moment};

/// Hashes one thing after the other.
#[derive(Clone)]
pub(crate) struct Importer {
    pub(crate) engine: Engine,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) format: Format,
    /// Of all that is offered: what sizes turn out to be is told there.
    pub(crate) whole: Arc<Meter>,
}

impl Importer {
    /// Hashes one thing and says how that ended.
    pub(crate) async fn settle(self, offer: Result<Offer>, cx: JobContext) -> Settled {
        let Offer { path, what } = match offer {
            Ok(offer) => offer,
            Err(e) => {
                // Receivers need not know where it is, but what it is called.
                let name = Path::new(e.location()).file_name().map(RelPath::new);
                return self.failed(e.location().into(), name.as_ref(), e);
            }
        };
        let from = match &what {
            What::File { source, .. } => Foreign::from(source.location()),
            _ => Foreign::from(&path),
        };
        match self.upload_one_file(&path, what, &cx).await {
            Ok((size, hash)) => Settled::new(from, &path, Outcome::Offered(hash)).sized(size),
            Err(e) => self.failed(from, Some(&path), e),
        }
    }

    /// A file that cannot be shared: receivers hear of it, too.
    fn failed(&self, from: Foreign, path: Option<&RelPath>, e: Error) -> Settled {
        if let Some(path) = path
            && e.kind() != ErrorKind::Cancelled
        {
            let mut reason = e.detail().to_owned();
            reason.truncate(reason.floor_char_boundary(wire::LONGEST_REASON));
            self.shelf
                .list(Entry { path: path.as_bytes().to_vec(), kind: Kind::Failed { reason } });
        }
        Settled::new(from, "", Outcome::Failed(e))
    }

    /// S4.17: hashes one file, telling how far it is, and puts it on the shelf. Its size and hash.
    async fn upload_one_file(
        &self,
        path: &RelPath,
        what: What,
        cx: &JobContext,
    ) -> Result<(u64, Option<[u8; 32]>)> {
        let refuse = |kind, what| Error::new(kind, Op::Share, path.shown(), what);
        path.beneath().map_err(|e| refuse(ErrorKind::Invalid, e.to_string()))?;
        if path.as_bytes().len() > wire::LONGEST_PATH {
            return Err(refuse(ErrorKind::Invalid, "its path is too long".to_owned()));
        }
        let collection = self.format == Format::Collection;
        if collection && path.to_str().is_none() {
            let what = "its name is not UTF-8, and this kind of ticket has no others";
            return Err(refuse(ErrorKind::Unsupported, what.to_owned()));
        }
        let kind = match what {
            What::File { source, size, mode, modified } => {
                let hashing = self.file(source, (size, mode, modified), path, cx);
                cx.cancel
                    .run_until_cancelled(Box::pin(hashing))
                    .await
                    .unwrap_or_else(|| Err(Error::cancelled(Op::Share, path.shown())))?
            }
            What::Folder => Kind::Folder,
            What::Symlink(target) => {
                Kind::Symlink { target: target.into_os_string().into_encoded_bytes() }
            }
        };
        if collection && !matches!(kind, Kind::File { .. }) {
            let text = "empty folders and links are left out: this kind of ticket has no place \
                        for them";
            cx.events.send(Event::note(text));
        }
        let known = match kind {
            Kind::File { size, hash, .. } => (size, Some(hash)),
            _ => (0, None),
        };
        self.shelf.list(Entry { path: path.as_bytes().to_vec(), kind });
        Ok(known)
    }

    async fn file(
        &self,
        source: Arc<dyn Source>,
        (size, mode, modified): (u64, Option<u32>, Option<SystemTime>),
        path: &RelPath,
        cx: &JobContext,
    ) -> Result<Kind> {
        let content = Content::open(&self.engine, &source, cx).await?;
        // What a listing does not know, as of a web address, is known now.
        let real = content.meta().size;
        self.whole.add_total(real.saturating_sub(size));
        self.whole.forgo(size.saturating_sub(real));
        cx.started(source.location(), path, Some(real));
        let outline = content.outline(&ChunkMeter::new(Arc::clone(&cx.meter))).await?;
        let modified = modified.or(content.meta().modified).and_then(Moment::of);
        let (size, hash) = (outline.size(), *outline.root().as_bytes());
        self.shelf.stock(Stock::new(source, outline));
        Ok(Kind::File { size, hash, mode, modified })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pattern, patterned};
    use futures::StreamExt as _;
    use futures::future::{BoxFuture, FutureExt as _};
    use haul_core::many::Item;
    use haul_core::{
        Body, ByteRange, BytesSource, EngineOptions, Meta, Opened, ReadAt, SourceLimits,
    };
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    /// A file whose bytes take a second to come, as from a disk that is far away.
    #[derive(Debug, Clone)]
    struct Slow(BytesSource);

    impl Source for Slow {
        fn location(&self) -> String {
            self.0.location()
        }

        fn open(&self) -> BoxFuture<'_, Result<Opened>> {
            std::future::ready(Ok(Opened::Ranged(Arc::new(self.clone())))).boxed()
        }

        fn limits(&self) -> SourceLimits {
            self.0.limits()
        }
    }

    impl ReadAt for Slow {
        fn meta(&self) -> &Meta {
            self.0.meta()
        }

        fn read_at(&self, range: ByteRange) -> BoxFuture<'static, Result<Body>> {
            let reading = self.0.read_at(range);
            async move {
                let slowly = reading.await?.then(|piece| async {
                    tokio::time::sleep(Duration::from_secs(1) / PIECES as u32).await;
                    piece
                });
                Ok(slowly.boxed())
            }
            .boxed()
        }

        fn recheck(&self) -> BoxFuture<'_, Result<()>> {
            std::future::ready(Ok(())).boxed()
        }
    }

    /// Pieces that a file comes in, and the bytes of each.
    const PIECES: usize = 10;
    const PIECE: usize = 128 << 10;

    async fn import(files: usize, jobs: usize) -> Duration {
        let engine = Engine::new(EngineOptions::default());
        let cx = JobContext::unwatched(CancellationToken::new());
        let importer = Importer {
            engine: engine.clone(),
            shelf: Arc::new(Shelf::new()),
            format: Format::Haul,
            whole: Arc::clone(&cx.meter),
        };
        let shelf = Arc::clone(&importer.shelf);
        let size = |i| PIECES * PIECE - i;
        let items = (0..files).map(move |i| {
            let source = Arc::new(Slow(patterned(size(i), PIECE)));
            let what = What::File { source, size: 1, mode: None, modified: None };
            Item::one(1, Ok(Offer { path: RelPath::new(format!("{i}")), what }))
        });
        let started = tokio::time::Instant::now();
        let work = move |offer, cx| {
            let importer = importer.clone();
            async move { vec![importer.settle(offer, cx).await] }
        };
        engine.many(jobs, &cx, futures::stream::iter(items), work).await.unwrap();
        assert_eq!(cx.tally.snapshot().copied, files as u64);
        let took = started.elapsed();
        for i in 0..files {
            let hash = blake3::hash(&pattern(size(i)));
            shelf.find(hash.as_bytes(), Duration::ZERO).await.unwrap();
        }
        took
    }

    /// S4.27: several files are hashed as many times faster as there are at once, where their bytes
    /// come slowly: on a clock of the test's, and with the hashes that they have.
    #[tokio::test(start_paused = true)]
    async fn several_files_are_hashed_at_once() {
        let one_by_one = import(24, 1).await.as_secs_f64();
        let together = import(24, 8).await.as_secs_f64();
        assert!((6.0..=8.1).contains(&(one_by_one / together)), "{one_by_one} s, {together} s");
    }
}
