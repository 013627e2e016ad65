//! Streams of unknown length into a store: `haul cp - s3://...`.
//!
//! Owns: what becomes of a stream, by its length. The stream is a double: standard input belongs to
//! the tests of the command line.

use std::sync::Arc;

use haul::{ErrorKind, Report, Result};
use haul_core::{Engine, EngineOptions, PlanPolicy, RetryPolicy};
use haul_s3::{ObjectId, S3Target};
use haul_testkit::conformance::{MemorySource, job, transfer};
use haul_testkit::{Fault, Op, Rule};
use tokio_util::sync::CancellationToken;

use crate::kit::{self, BUCKET, Kit, MIB, PART, assert_same, or_hang, pattern};

fn engine(memory: u64, lanes: usize) -> Engine {
    let mut options = EngineOptions::default();
    options.memory = memory;
    options.lanes = lanes;
    options.part = PlanPolicy { part_size: PART, explicit: true };
    options.retry = RetryPolicy::with_tries(3);
    options.stall = std::time::Duration::from_secs(1);
    Engine::new(options)
}

async fn target(kit: &Kit) -> Arc<S3Target> {
    Arc::new(S3Target::new(kit::client(&kit.server).await, ObjectId::new(BUCKET, "k")))
}

async fn send(kit: &Kit, engine: &Engine, source: MemorySource) -> Result<Report> {
    let target = target(kit).await;
    let sent = or_hang("the stream", transfer(engine, Arc::new(source), target)).await;
    assert_eq!(engine.budget().in_use(), 0);
    sent
}

#[tokio::test]
async fn a_stream_becomes_an_object_whatever_its_length() {
    for lanes in [0, 2] {
        for (len, puts, parts) in [
            (0, 1, 0),
            (1, 1, 0),
            (PART - 1, 1, 0),
            (PART + 1, 0, 2),
            (2 * PART, 0, 2),
            (7 * PART + 9, 0, 8),
        ] {
            let kit = Kit::new().await;
            let engine = engine(32 * MIB, lanes);
            let source = MemorySource::new(pattern(len)).streamed();
            let report = send(&kit, &engine, source).await.unwrap();
            assert_eq!(report.bytes, len);
            assert_same(&kit.stored("k").unwrap().bytes(), &pattern(len));
            assert_eq!((kit.count(Op::PutObject), kit.count(Op::UploadPart)), (puts, parts));
            kit.assert_nothing_left();
        }
    }
}

/// A budget that holds no two parts still moves them, one after the other.
#[tokio::test]
async fn a_budget_of_one_part_is_enough() {
    let kit = Kit::new().await;
    let engine = engine(PART, 0);
    let source = MemorySource::new(pattern(5 * PART + 1)).streamed();
    send(&kit, &engine, source).await.unwrap();
    assert_same(&kit.stored("k").unwrap().bytes(), &pattern(5 * PART + 1));
    assert_eq!(kit.server.calls().peak_of(Op::UploadPart), 1);
}

/// What was read once cannot be read again: it is in memory until the store has it.
#[tokio::test]
async fn faults_are_survived_from_memory() {
    let faults = [Fault::status(503), Fault::Reset, Fault::LoseAnswer, Fault::FlipRequestBit(9)];
    for fault in faults.into_iter().chain([Fault::Stall]) {
        for (op, len) in [(Op::PutObject, 1000), (Op::UploadPart, 3 * PART)] {
            let kit = Kit::new().await;
            kit.fault(op, fault.clone());
            let source = MemorySource::new(pattern(len)).streamed();
            let report = send(&kit, &engine(32 * MIB, 0), source).await.unwrap();
            assert_eq!(report.retried, 1, "{op:?} {fault:?}");
            assert_same(&kit.stored("k").unwrap().bytes(), &pattern(len));
        }
    }
}

#[tokio::test]
async fn a_stream_that_fails_leaves_nothing() {
    for at in [0, 1, PART, 3 * PART] {
        let kit = Kit::new().await;
        let (_, old) = kit.object("k", 5);
        let source = MemorySource::new(pattern(4 * PART)).streamed().failing_at(at);
        let e = send(&kit, &engine(32 * MIB, 0), source).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io, "{at}: {e}");
        assert_same(&kit.stored("k").unwrap().bytes(), &old);
        kit.assert_nothing_left();
    }
}

#[tokio::test]
async fn a_cancelled_stream_leaves_nothing() {
    let kit = Kit::new().await;
    let engine = engine(32 * MIB, 2);
    let rule = kit.server.faults().add(Rule::on(Op::UploadPart).part(2).then(Fault::Stall));
    let source = Arc::new(MemorySource::new(pattern(9 * PART)).streamed());
    let cancel = CancellationToken::new();
    let job = engine.transfer(job(source, target(&kit).await), &cancel);
    or_hang("the part", rule.wait_hits(1)).await;
    cancel.cancel();
    let e = or_hang("the end", job).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}");
    kit.assert_nothing_left();
    assert!(kit.stored("k").is_none());
    assert_eq!(engine.budget().in_use(), 0);
}

/// An expected size that turns out wrong changes nothing but the parts.
#[tokio::test]
async fn an_expected_size_is_only_a_hint() {
    for expected in [0, 1, 3 * PART, 100 * PART] {
        let kit = Kit::new().await;
        let source = Arc::new(MemorySource::new(pattern(3 * PART)).streamed());
        let mut job = job(source, target(&kit).await);
        job.expected_size = Some(expected);
        let sent = engine(32 * MIB, 0).transfer(job, &CancellationToken::new());
        or_hang("the stream", sent).await.unwrap();
        assert_same(&kit.stored("k").unwrap().bytes(), &pattern(3 * PART));
    }
}
