//! What every target must do.
//!
//! Owns: the checks on uploads. Must never read through the backend it checks.

use std::sync::{Arc, Mutex};

use haul_core::checksum::{Algorithms, Hasher};
use haul_core::meter::ChunkMeter;
use haul_core::payload::Tracker;
use haul_core::plan::plan;
use haul_core::stall::Pulse;
use haul_core::{
    Attributes, ChunkSpec, ErrorKind, Meter, Opened, Payload, PlanPolicy, Receipt, Sums, Target,
    Upload, UploadSpec,
};
use tokio_util::sync::CancellationToken;

use super::{Backend, MemorySource, engine, job, nothing_left, part_of, slice, transfer};
use crate::sizes;

fn pattern(len: u64, seed: u64) -> Vec<u8> {
    sizes::pattern(usize::try_from(len).unwrap(), seed)
}

/// An upload made by hand, chunk by chunk.
struct ByHand {
    upload: Arc<dyn Upload>,
    algorithms: Algorithms,
    content: Vec<u8>,
    chunks: Vec<ChunkSpec>,
}

impl ByHand {
    async fn begin(target: &dyn Target, part: u64, content: Vec<u8>) -> Self {
        let policy = PlanPolicy { part_size: part, explicit: true };
        let limits = target.limits();
        let plan = plan(content.len() as u64, &limits, policy).unwrap();
        let chunks = plan.iter().collect();
        let attributes = Attributes::default();
        let spec = UploadSpec { plan: Some(plan), attributes, overwrite: true, read: None };
        let upload = target.begin(&spec).await.unwrap();
        let algorithms = limits.checksum.into_iter().collect();
        Self { upload, algorithms, content, chunks }
    }

    async fn put(&self, chunk: ChunkSpec) -> Receipt {
        let bytes = slice(&self.content, chunk.range).to_vec();
        let mut hasher = Hasher::new(self.algorithms);
        hasher.update(&bytes);
        let tracker = Tracker {
            chunk: ChunkMeter::new(Meter::new()),
            pulse: Pulse::default(),
            wire: None,
            throttle: None,
            sums: Mutex::default(),
        };
        let payload = Payload::memory(chunk, vec![bytes.into()], hasher.sums(), Arc::new(tracker));
        let receipt = self.upload.put(chunk, payload).await.unwrap();
        assert_eq!(receipt.chunk, chunk);
        assert_eq!(receipt.sums, hasher.sums());
        receipt
    }

    async fn commit(&self, mut receipts: Vec<Receipt>) {
        receipts.sort_by_key(|r| r.chunk.index);
        let whole = Sums::combine(receipts.iter().map(|r| &r.sums)).unwrap();
        self.upload.commit(&receipts, &whole).await.unwrap();
    }
}

/// Chunks that arrive in any order lie where they belong.
pub(super) async fn any_order(backend: &dyn Backend) {
    let part = part_of(backend);
    for seed in 0..3 {
        let content = pattern(5 * part + 1, seed);
        let by_hand = ByHand::begin(&*backend.target("any-order"), part, content.clone()).await;
        let mut chunks = by_hand.chunks.clone();
        fastrand::Rng::with_seed(seed).shuffle(&mut chunks);
        let mut receipts = Vec::new();
        for chunk in chunks {
            receipts.push(by_hand.put(chunk).await);
        }
        by_hand.commit(receipts).await;
        assert!(backend.get("any-order").await == Some(content), "seed {seed}");
    }
    nothing_left(backend).await;
}

/// An upload that is aborted leaves the destination as it was, and nothing behind.
pub(super) async fn aborted(backend: &dyn Backend) {
    let part = part_of(backend);
    for old in [None, Some(pattern(5000, 9))] {
        let name = if old.is_some() { "aborted-old" } else { "aborted" };
        if let Some(old) = &old {
            backend.put(name, old).await;
        }
        let target = backend.target(name);
        for chunks in [0, 1, 3] {
            let by_hand = ByHand::begin(&*target, part, pattern(3 * part - 7, 4)).await;
            for chunk in by_hand.chunks.iter().take(chunks) {
                by_hand.put(*chunk).await;
            }
            by_hand.upload.abort().await.unwrap();
            assert!(backend.get(name).await == old, "{name}: aborted after {chunks} chunks");
            nothing_left(backend).await;
        }
    }
}

/// An upload that is dropped leaves the destination as it was.
pub(super) async fn dropped(backend: &dyn Backend) {
    let part = part_of(backend);
    for old in [None, Some(pattern(5000, 9))] {
        let name = if old.is_some() { "dropped-old" } else { "dropped" };
        if let Some(old) = &old {
            backend.put(name, old).await;
        }
        let by_hand = ByHand::begin(&*backend.target(name), part, pattern(3 * part, 4)).await;
        by_hand.put(by_hand.chunks[1]).await;
        drop(by_hand.upload);
        assert!(backend.get(name).await == old, "{name}");
        if backend.drops_clean() {
            nothing_left(backend).await;
        }
    }
}

/// Until the commit the old content, or its absence, is what everybody sees.
pub(super) async fn visible_on_commit(backend: &dyn Backend) {
    let part = part_of(backend);
    let old = pattern(3 * part, 1);
    for before in [None, Some(old)] {
        let name = if before.is_some() { "visible-old" } else { "visible" };
        if let Some(old) = &before {
            backend.put(name, old).await;
        }
        let content = pattern(3 * part, 2);
        let by_hand = ByHand::begin(&*backend.target(name), part, content.clone()).await;
        let mut receipts = Vec::new();
        for chunk in by_hand.chunks.clone() {
            receipts.push(by_hand.put(chunk).await);
            assert!(backend.get(name).await == before, "{name}: visible after {chunk:?}");
        }
        by_hand.commit(receipts).await;
        assert!(backend.get(name).await == Some(content), "{name}: not there after the commit");
    }
}

/// What exists stays unless it may be replaced.
pub(super) async fn kept_unless_told(backend: &dyn Backend, lanes: usize) {
    if !backend.refuses_existing() {
        return;
    }
    let (part, old) = (part_of(backend), pattern(100, 1));
    for size in [0, part - 1, 3 * part + 5] {
        backend.put("kept", &old).await;
        let source = Arc::new(MemorySource::new(pattern(size, 2)));
        let mut job = job(source, backend.target("kept"));
        job.overwrite = false;
        let moved = engine(part, lanes).transfer(job.clone(), &CancellationToken::new()).await;
        assert_eq!(moved.unwrap_err().kind(), ErrorKind::AlreadyExists, "{size} bytes");
        assert!(backend.get("kept").await.as_ref() == Some(&old), "{size} bytes: replaced");
        nothing_left(backend).await;

        let name = format!("kept-new-{size}");
        job.target = backend.target(&name);
        engine(part, lanes).transfer(job, &CancellationToken::new()).await.unwrap();
        assert!(backend.get(&name).await == Some(pattern(size, 2)), "{size} bytes: not written");
    }
}

/// A source that fails half way leaves the destination as it was, and nothing behind.
pub(super) async fn failing_source(backend: &dyn Backend, lanes: usize) {
    let (part, old) = (part_of(backend), pattern(100, 1));
    backend.put("failing", &old).await;
    for streamed in [false, true] {
        for at in [0, part / 2, 2 * part + part / 2] {
            let mut source = MemorySource::new(pattern(4 * part, 2)).failing_at(at);
            if streamed {
                source = source.streamed();
            }
            let engine = engine(part, lanes);
            let moved = transfer(&engine, Arc::new(source), backend.target("failing")).await;
            assert_eq!(moved.unwrap_err().kind(), ErrorKind::Io, "at {at}");
            assert!(backend.get("failing").await.as_ref() == Some(&old), "at {at}: touched");
            assert_eq!(engine.budget().in_use(), 0);
            nothing_left(backend).await;
        }
    }
}

/// Content type and metadata travel along, whether in one piece or in parts.
pub(super) async fn attributes(backend: &dyn Backend, lanes: usize) {
    let mut attributes = Attributes::default();
    attributes.content_type = Some("text/x-test; charset=utf-8".into());
    attributes.cache_control = Some("max-age=5".into());
    attributes.metadata.insert("colour".into(), "blue".into());
    let Some(kept) = backend.keeps(&attributes) else { return };
    let part = part_of(backend);
    for size in [0, part / 2, 2 * part + 1] {
        let name = format!("attributes-{size}");
        let source = MemorySource::new(pattern(size, 1)).with_attributes(attributes.clone());
        let engine = engine(part, lanes);
        transfer(&engine, Arc::new(source), backend.target(&name)).await.unwrap();
        let opened = backend.source(&name).open().await.unwrap();
        let Opened::Ranged(reader) = opened else { unreachable!("a stream: {opened:?}") };
        assert_eq!(reader.meta().attributes, kept, "{size} bytes");
    }
}

/// A stream of unknown length arrives whole, however it ends.
pub(super) async fn stream(backend: &dyn Backend, lanes: usize) {
    let part = part_of(backend);
    for size in [0, 1, part - 1, part, part + 1, 2 * part, 3 * part + 77] {
        let name = format!("stream-{size}");
        let source = Arc::new(MemorySource::new(pattern(size, 8)).streamed());
        let engine = engine(part, lanes);
        let report = transfer(&engine, source, backend.target(&name)).await.unwrap();
        assert_eq!(report.bytes, size);
        assert!(backend.get(&name).await == Some(pattern(size, 8)), "{size} bytes");
        assert_eq!(engine.budget().in_use(), 0);
    }
    nothing_left(backend).await;
}
