//! What the tests stand on.
//!
//! Owns: clients, engines and jobs with settings that are quick to fail. Must never decide what is
//! right.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use haul_core::{
    Engine, EngineOptions, Error, Job, Opened, PlanPolicy, Report, Result, RetryPolicy, Source,
    Target,
};
use haul_http::{HttpClient, HttpOptions, HttpSource, HttpTarget};
use haul_testkit::conformance::{MemoryTarget, job};
use haul_testkit::http::{HttpCall, HttpServer};
use haul_testkit::sizes;
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) const MIB: usize = 1 << 20;
/// Tries of everything.
pub(crate) const TRIES: u32 = 3;
/// A hang must end as a failure. Far beyond what any test takes: not a measure of anything.
const HANG: Duration = Duration::from_mins(1);

pub(crate) fn client() -> HttpClient {
    HttpClient::new(HttpOptions::default())
}

pub(crate) fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

pub(crate) fn source(text: &str) -> Arc<HttpSource> {
    Arc::new(HttpSource::new(client(), url(text)))
}

pub(crate) fn target(text: &str) -> Arc<HttpTarget> {
    Arc::new(HttpTarget::new(client(), url(text)))
}

/// Three chunks at once, of `part` bytes.
pub(crate) fn engine(part: usize, lanes: usize) -> Engine {
    Engine::new(options(part, lanes))
}

/// The settings of [`engine`].
pub(crate) fn options(part: usize, lanes: usize) -> EngineOptions {
    let mut options = EngineOptions::default();
    options.part = PlanPolicy { part_size: part as u64, explicit: true };
    options.retry = RetryPolicy::with_tries(TRIES);
    options.concurrency = 3;
    options.lanes = lanes;
    options
}

/// Runs a job to its end.
pub(crate) async fn run(engine: &Engine, job: Job) -> Result<Report> {
    let done = within(engine.transfer(job, &CancellationToken::new())).await;
    assert_eq!(engine.budget().in_use(), 0);
    done
}

/// Moves one object, replacing what is there.
pub(crate) async fn copy(from: Arc<dyn Source>, to: Arc<dyn Target>) -> Result<Report> {
    run(&engine(MIB, 0), job(from, to)).await
}

/// Reads a URL in chunks of 1 MiB, on two lanes.
pub(crate) async fn read(from: &str) -> Result<Vec<u8>> {
    read_with(&engine(MIB, 2), from).await
}

/// The same, with another engine.
pub(crate) async fn read_with(engine: &Engine, from: &str) -> Result<Vec<u8>> {
    let memory = Arc::new(MemoryTarget::default());
    run(engine, job(source(from), memory.clone())).await?;
    Ok(memory.content().unwrap())
}

pub(crate) async fn fails(from: &str) -> Error {
    read(from).await.unwrap_err()
}

pub(crate) async fn is_stream(from: &str) -> bool {
    matches!(within(source(from).open()).await.unwrap(), Opened::Stream(_))
}

pub(crate) async fn within<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(HANG, work).await.unwrap()
}

pub(crate) fn pattern(len: usize) -> Vec<u8> {
    sizes::pattern(len, 7)
}

/// The `Range` headers that the server saw, in order; `-` where there was none.
pub(crate) fn ranges(server: &HttpServer) -> Vec<String> {
    let range = |call: &HttpCall| call.header("range").unwrap_or("-").to_owned();
    server.calls().iter().map(range).collect()
}
