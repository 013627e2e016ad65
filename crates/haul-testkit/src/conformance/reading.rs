//! What every source must do.
//!
//! Owns: the checks on reads. Must never write through the backend it checks.

use std::sync::Arc;

use haul_core::checksum::Algorithms;
use haul_core::fetch::{FetchRules, Fetcher};
use haul_core::{ByteRange, ErrorKind, EventSender, Meter, Opened, ReadAt, RetryPolicy, Source};

use super::{Backend, MemoryTarget, engine, slice, transfer};
use crate::sizes::pattern;

/// More than one slice and more than one network buffer.
const LEN: u64 = 700_001;

async fn open(source: &dyn Source) -> Arc<dyn ReadAt> {
    let opened = source.open().await.unwrap();
    let Opened::Ranged(reader) = opened else { unreachable!("a stream: {opened:?}") };
    reader
}

fn fetcher(source: &dyn Source, reader: Arc<dyn ReadAt>) -> Fetcher {
    let rules = FetchRules {
        retry: RetryPolicy::with_tries(1),
        stall: haul_core::engine::DEFAULT_STALL,
        throttle: None,
        algorithms: Algorithms::default(),
    };
    Fetcher::new(reader, source.limits(), rules, Meter::new(), EventSender::void())
}

/// Any range reads as that part of the content.
pub(super) async fn any_range(backend: &dyn Backend) {
    let content = pattern(usize::try_from(LEN).unwrap(), 3);
    backend.put("ranges", &content).await;
    let source = backend.source("ranges");
    let reader = open(&*source).await;
    assert_eq!(reader.meta().size, LEN);
    let fetcher = fetcher(&*source, reader);
    let mut rng = fastrand::Rng::with_seed(5);
    let edges = [(0, LEN), (0, 1), (LEN - 1, LEN), (1, LEN), (0, LEN - 1), (LEN / 2, LEN / 2 + 1)];
    let random = std::iter::repeat_with(|| (rng.u64(..LEN), rng.u64(..LEN))).take(20);
    for (a, b) in edges.into_iter().chain(random).filter(|(a, b)| a != b) {
        let range = ByteRange::new(a.min(b), a.max(b));
        let (segments, sums) =
            fetcher.read_all(range, &haul_core::pool::Pool::new(0)).await.unwrap();
        assert!(segments.concat() == slice(&content, range), "{range}");
        assert_eq!(sums.len(), range.len());
    }
}

/// Content that was replaced since the source was opened is an error, never data.
pub(super) async fn replaced_between_open_and_read(backend: &dyn Backend) {
    let (old, new) = (pattern(200_000, 1), pattern(200_000, 2));
    for range in [ByteRange::new(0, 200_000), ByteRange::new(50_000, 150_000)] {
        backend.put("replaced", &old).await;
        let source = backend.source("replaced");
        let fetcher = fetcher(&*source, open(&*source).await);
        backend.put("replaced", &new).await;
        match fetcher.read_all(range, &haul_core::pool::Pool::new(0)).await {
            Ok((segments, _)) => {
                // Only content that is still there under its old name may be read on.
                assert!(segments.concat() == slice(&old, range), "{range}: other bytes");
            }
            Err(e) => assert_eq!(e.kind(), ErrorKind::SourceChanged, "{e}"),
        }
    }
}

/// What is not there is said to be missing, and the target is not touched.
pub(super) async fn missing(backend: &dyn Backend, lanes: usize) {
    let target = Arc::new(MemoryTarget::default());
    let moved = transfer(&engine(1000, lanes), backend.source("missing"), target.clone()).await;
    assert_eq!(moved.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(target.content(), None);
}
