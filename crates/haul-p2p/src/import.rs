//! Taking things in: what is to be shared is hashed and listed.
//!
//! Owns the way of one thing to the shelf. Bytes stay where they are. A thing that cannot be shared is
//! listed as such, so that receivers hear of it (X4.1).

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use haul_core::handle::JobContext;
use haul_core::meter::ChunkMeter;
use haul_core::{Engine, Error, ErrorKind, Event, Op, Outcome, RelPath, Result, Settled, Source};

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
}

impl Importer {
    /// Hashes one thing and says how that ended.
    pub(crate) async fn settle(self, offer: Result<Offer>, cx: JobContext) -> Settled {
        let Offer { path, what } = match offer {
            Ok(offer) => offer,
            Err(e) => {
                // Receivers need not know where it is, but what it is called.
                let name = Path::new(e.location()).file_name().map(RelPath::new);
                return self.failed(e.location().to_owned(), name.as_ref(), e);
            }
        };
        let (from, size) = match &what {
            What::File { source, size, .. } => (source.location(), *size),
            _ => (path.to_string(), 0),
        };
        match self.upload_one_file(&path, what, &cx).await {
            Ok(()) => Settled::new(from, path.to_string(), Outcome::Offered).sized(size),
            Err(e) => self.failed(from, Some(&path), e),
        }
    }

    /// A file that cannot be shared: receivers hear of it, too.
    fn failed(&self, from: String, path: Option<&RelPath>, e: Error) -> Settled {
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

    /// S4.17: hashes one file, telling how far it is, and puts it on the shelf.
    async fn upload_one_file(&self, path: &RelPath, what: What, cx: &JobContext) -> Result<()> {
        let refuse = |kind, what| Error::new(kind, Op::Share, path, what);
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
                    .unwrap_or_else(|| Err(Error::cancelled(Op::Share, path)))?
            }
            What::Folder => Kind::Folder,
            What::Symlink(target) => {
                Kind::Symlink { target: target.into_os_string().into_encoded_bytes() }
            }
        };
        if collection && !matches!(kind, Kind::File { .. }) {
            let text = "empty folders and links are left out: this kind of ticket has no place \
                        for them"
                .to_owned();
            cx.events.send(Event::Note { text });
        }
        self.shelf.list(Entry { path: path.as_bytes().to_vec(), kind });
        Ok(())
    }

    async fn file(
        &self,
        source: Arc<dyn Source>,
        (size, mode, modified): (u64, Option<u32>, Option<SystemTime>),
        path: &RelPath,
        cx: &JobContext,
    ) -> Result<Kind> {
        cx.started(&source.location(), &path.to_string(), Some(size));
        let content = Content::open(&self.engine, &source, cx).await?;
        let outline = content.outline(&ChunkMeter::new(Arc::clone(&cx.meter))).await?;
        let modified = modified.or(content.meta().modified).and_then(Moment::of);
        let (size, hash) = (outline.size(), *outline.root().as_bytes());
        self.shelf.stock(Stock { source, outline });
        Ok(Kind::File { size, hash, mode, modified })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use futures::future::{BoxFuture, FutureExt as _};
    use haul_core::many::Item;
    use haul_core::{EngineOptions, Opened, SourceLimits};
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    /// A file that takes a second to be opened, as on a disk that is far away.
    #[derive(Debug)]
    struct Slow(Memory);

    impl Source for Slow {
        fn location(&self) -> String {
            self.0.location()
        }

        fn open(&self) -> BoxFuture<'_, Result<Opened>> {
            async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.0.open().await
            }
            .boxed()
        }

        fn limits(&self) -> SourceLimits {
            self.0.limits()
        }
    }

    async fn import(files: usize, jobs: usize) -> Duration {
        let engine = Engine::new(EngineOptions::default());
        let cx = JobContext::unwatched(CancellationToken::new());
        let importer = Importer {
            engine: engine.clone(),
            shelf: Arc::new(Shelf::new()),
            format: Format::Haul,
        };
        let items = (0..files).map(|i| {
            let source = Arc::new(Slow(Memory::new("x", format!("{i}").into())));
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
        started.elapsed()
    }

    /// S4.27: several files are hashed as many times faster as there are at once, where they wait
    /// for something: on a clock of the test's.
    #[tokio::test(start_paused = true)]
    async fn several_files_are_hashed_at_once() {
        let one_by_one = import(24, 1).await.as_secs_f64();
        let together = import(24, 8).await.as_secs_f64();
        assert!((6.0..=8.1).contains(&(one_by_one / together)), "{one_by_one} s, {together} s");
    }
}
