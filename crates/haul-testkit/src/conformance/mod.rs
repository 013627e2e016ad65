//! What every backend must do, checked alike.
//!
//! Owns: the checks and the doubles of a source and a target they are made with. Must never know
//! a backend beyond [`Backend`]: a check that asks which one it drives belongs to that backend.

mod doubles;
mod reading;
mod writing;

use std::sync::Arc;

use futures::future::BoxFuture;
use haul_core::{
    Attributes, ByteRange, Engine, EngineOptions, Job, PlanPolicy, Report, Result, Source, Target,
};
use tokio_util::sync::CancellationToken;

pub use doubles::{MemorySource, MemoryTarget};

/// A backend with one place of its own, such as a folder or a bucket.
pub trait Backend: Send + Sync {
    /// What is called `name`, to be read.
    fn source(&self, name: &str) -> Arc<dyn Source>;

    /// What is called `name`, to be written.
    fn target(&self, name: &str) -> Arc<dyn Target>;

    /// Puts content there behind the backend's back, replacing what is there.
    fn put<'a>(&'a self, name: &'a str, content: &'a [u8]) -> BoxFuture<'a, ()>;

    /// What is there, seen behind the backend's back.
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Option<Vec<u8>>>;

    /// What uploads have left behind: staged files, unfinished multipart uploads.
    fn leftovers(&self) -> BoxFuture<'_, Vec<String>>;

    /// Which of these attributes come back when an object is read; `None` where there is no place
    /// for any.
    fn keeps(&self, attributes: &Attributes) -> Option<Attributes>;

    /// Whether an upload that is dropped without an end cleans up after itself. A store cannot.
    fn drops_clean(&self) -> bool;

    /// Whether a name that exists can be refused.
    fn refuses_existing(&self) -> bool;
}

/// Part sizes to try: one byte, one that is no power of two, and the engine's slice, to the byte.
const PARTS: [u64; 3] = [1, 1000, haul_core::pool::SLICE as u64];

/// Everything below, with an engine that moves bytes on `lanes` threads.
pub async fn all(backend: &dyn Backend, lanes: usize) {
    let smallest = *backend.target("part").limits().part.start();
    for part in PARTS.into_iter().filter(|part| *part >= smallest) {
        round_trips(backend, part, lanes).await;
    }
    if !PARTS.contains(&smallest) {
        round_trips(backend, smallest, lanes).await;
    }
    reading::any_range(backend).await;
    reading::replaced_between_open_and_read(backend).await;
    reading::missing(backend, lanes).await;
    writing::any_order(backend).await;
    writing::aborted(backend).await;
    writing::visible_on_commit(backend).await;
    writing::kept_unless_told(backend, lanes).await;
    writing::failing_source(backend, lanes).await;
    writing::attributes(backend, lanes).await;
    writing::stream(backend, lanes).await;
    writing::dropped(backend).await; // last: a store keeps what was dropped
}

/// Every size around the edges of `part` goes in and comes back, and nothing else is left.
pub async fn round_trips(backend: &dyn Backend, part: u64, lanes: usize) {
    let engine = engine(part, lanes);
    for size in crate::sizes::edges(part) {
        let name = format!("round-trip-{part}-{size}");
        let content = crate::sizes::pattern(usize::try_from(size).unwrap(), part ^ size);
        let source = Arc::new(MemorySource::new(content.clone()));
        let report = transfer(&engine, source, backend.target(&name)).await.unwrap();
        assert_eq!(report.bytes, size, "{name}");
        assert!(backend.get(&name).await.as_ref() == Some(&content), "{name}: stored otherwise");

        let target = Arc::new(MemoryTarget::default());
        let report = transfer(&engine, backend.source(&name), target.clone()).await.unwrap();
        assert_eq!(report.bytes, size, "{name}");
        assert!(target.content().as_ref() == Some(&content), "{name}: read otherwise");
    }
    assert_eq!(engine.budget().in_use(), 0);
    nothing_left(backend).await;
}

/// An engine with parts of `part` bytes on `lanes` threads.
pub fn engine(part: u64, lanes: usize) -> Engine {
    let mut options = EngineOptions::default();
    options.part = PlanPolicy { part_size: part, explicit: true };
    options.concurrency = 3;
    options.lanes = lanes;
    Engine::new(options)
}

/// Moves one object, replacing what is there.
pub async fn transfer(
    engine: &Engine,
    source: Arc<dyn Source>,
    target: Arc<dyn Target>,
) -> Result<Report> {
    engine.transfer(job(source, target), &CancellationToken::new()).await
}

/// The job that [`transfer`] does.
pub fn job(source: Arc<dyn Source>, target: Arc<dyn Target>) -> Job {
    let attributes = Attributes::default();
    Job { source, target, attributes, overwrite: true, expected_size: None, keep_times: false }
}

/// A part that is cheap, and that the backend takes.
fn part_of(backend: &dyn Backend) -> u64 {
    (*backend.target("part").limits().part.start()).max(1000)
}

async fn nothing_left(backend: &dyn Backend) {
    assert_eq!(backend.leftovers().await, Vec::<String>::new(), "left behind");
}

fn slice(content: &[u8], range: ByteRange) -> &[u8] {
    &content[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
}
