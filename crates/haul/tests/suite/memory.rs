//! Bounds: memory by bytes, order by turns, and what happens at the smallest of budgets.
//!
//! Owns: the engine between doubles that never touch a network, on a paused clock: when the clock
//! moves, everything that can happen has happened.

use std::sync::Arc;
use std::time::Duration;

use haul::{Error, ErrorKind, Hint, PlanPolicy};
use haul_core::checksum::Algorithm;
use haul_core::{Engine, EngineOptions, Gate, Order, SourceLimits, TargetLimits};
use haul_testkit::conformance::{MemorySource, MemoryTarget, job, transfer};
use tokio_util::sync::CancellationToken;

use crate::kit::{KIB, assert_same, pattern};

const CHUNK: u64 = 64 * KIB;

fn engine(memory: u64, concurrency: usize, part: u64) -> Engine {
    let mut options = EngineOptions::default();
    options.memory = memory;
    options.concurrency = concurrency;
    options.part = PlanPolicy { part_size: part, explicit: true };
    Engine::new(options)
}

fn in_order() -> MemoryTarget {
    MemoryTarget::new(TargetLimits { order: Order::Sequential, ..TargetLimits::default() })
}

/// Waits until nothing can happen any more: a paused clock moves only then.
async fn until_idle() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Whether nobody holds a permit.
async fn is_free(gate: &Gate) -> bool {
    let enter = async {
        let mut permits = Vec::new();
        for _ in 0..gate.limit() {
            permits.push(gate.enter().await);
        }
    };
    tokio::time::timeout(Duration::from_secs(1), enter).await.is_ok()
}

/// Done when: "while the first range stalls, `cat` holds its memory bound and the output order"
/// (S3.12, S3.19, S3.21, S3.22, X3.2).
#[tokio::test(start_paused = true)]
async fn while_the_first_range_stalls_memory_and_order_hold() {
    // By the number of requests, and by the bytes: whichever is less.
    for (memory, concurrency, window) in
        [(64 * CHUNK, 4, 8), (64 * CHUNK, 1, 2), (5 * CHUNK, 4, 5), (2 * CHUNK, 4, 2)]
    {
        let engine = engine(memory, concurrency, CHUNK);
        let content = pattern(100 * CHUNK + 1);
        let gate = Gate::new(concurrency);
        let limits = SourceLimits { gate: Some(gate.clone()), ..SourceLimits::default() };
        let (source, hold) = MemorySource::new(content.clone()).with_limits(limits).holding(0);
        let target = in_order();
        let transfer_job = job(Arc::new(source.clone()), Arc::new(target.clone()));
        let moved = engine.transfer(transfer_job, &CancellationToken::new());
        until_idle().await;
        // A request in flight holds the gate: with one, nothing else can be asked for.
        let reach = if concurrency == 1 { 1 } else { window };
        assert_eq!(source.asked().len(), reach, "{memory} {concurrency}");
        assert!(target.landed().is_empty(), "out of order");
        let taken = engine.budget().in_use();
        assert!(taken <= memory, "{taken} of {memory} bytes");
        hold.send_replace(true);
        assert_eq!(moved.await.unwrap().bytes, content.len() as u64);
        assert_same(&target.content().unwrap(), &content);
        let landed: Vec<u64> = target.landed().iter().map(|c| c.index).collect();
        assert_eq!(landed, (0..101).collect::<Vec<_>>());
        assert_eq!(engine.budget().in_use(), 0);
        assert!(is_free(&gate).await);
    }
}

/// A stall in the middle holds back only what comes after it.
#[tokio::test(start_paused = true)]
async fn what_comes_before_the_stall_comes_out() {
    let engine = engine(64 * CHUNK, 4, CHUNK);
    let (source, hold) = MemorySource::new(pattern(50 * CHUNK)).holding(20 * CHUNK);
    let target = in_order();
    let moved = engine.transfer(
        job(Arc::new(source.clone()), Arc::new(target.clone())),
        &CancellationToken::new(),
    );
    until_idle().await;
    assert_eq!(target.landed().len(), 20);
    assert_eq!(source.asked().len(), 20 + 8, "the window, and no more");
    hold.send_replace(true);
    moved.await.unwrap();
    assert_same(&target.content().unwrap(), &pattern(50 * CHUNK));
}

/// A target that takes any order is not held up by one range.
#[tokio::test(start_paused = true)]
async fn a_target_of_any_order_takes_everything_else() {
    let engine = engine(64 * CHUNK, 4, CHUNK);
    let (source, hold) = MemorySource::new(pattern(50 * CHUNK)).holding(0);
    let target = MemoryTarget::default();
    let moved = engine.transfer(
        job(Arc::new(source.clone()), Arc::new(target.clone())),
        &CancellationToken::new(),
    );
    until_idle().await;
    assert_eq!(target.landed().len(), 49, "all but the one that stalls");
    hold.send_replace(true);
    moved.await.unwrap();
    assert_same(&target.content().unwrap(), &pattern(50 * CHUNK));
    assert_eq!(engine.budget().in_use(), 0);
}

/// A cancelled transfer gives everything back, also what waits for its turn.
#[tokio::test(start_paused = true)]
async fn a_cancel_gives_everything_back() {
    let engine = engine(8 * CHUNK, 4, CHUNK);
    let gate = Gate::new(4);
    let limits = SourceLimits { gate: Some(gate.clone()), ..SourceLimits::default() };
    let source = MemorySource::new(pattern(50 * CHUNK)).with_limits(limits);
    let (source, _hold) = source.holding(0);
    let target = in_order();
    let cancel = CancellationToken::new();
    let moved = engine.transfer(job(Arc::new(source), Arc::new(target.clone())), &cancel);
    until_idle().await;
    assert!(engine.budget().in_use() > 0);
    cancel.cancel();
    assert_eq!(moved.await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!((target.landed().len(), target.aborted()), (0, 1));
    assert_eq!(engine.budget().in_use(), 0);
    assert!(is_free(&gate).await);
}

/// And so does one that is dropped.
#[tokio::test(start_paused = true)]
async fn a_drop_gives_everything_back() {
    let engine = engine(8 * CHUNK, 4, CHUNK);
    let (source, _hold) = MemorySource::new(pattern(50 * CHUNK)).holding(0);
    let moved =
        engine.transfer(job(Arc::new(source), Arc::new(in_order())), &CancellationToken::new());
    until_idle().await;
    assert!(engine.budget().in_use() > 0);
    drop(moved);
    until_idle().await;
    assert_eq!(engine.budget().in_use(), 0);
}

/// Done when: "a budget of one chunk still completes"; and so does one that is smaller (X1.2).
#[tokio::test(start_paused = true)]
async fn the_smallest_of_budgets_completes() {
    for memory in [1, KIB, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK] {
        for order in [Order::Any, Order::Sequential] {
            for replays in [false, true] {
                let engine = engine(memory, 4, CHUNK);
                let limits = TargetLimits {
                    order,
                    replays,
                    checksum: Some(Algorithm::Crc64Nvme),
                    ..TargetLimits::default()
                };
                let target = MemoryTarget::new(limits);
                let content = pattern(10 * CHUNK + 7);
                let source = Arc::new(MemorySource::new(content.clone()));
                transfer(&engine, source, Arc::new(target.clone())).await.unwrap();
                assert_same(&target.content().unwrap(), &content);
                assert_eq!(engine.budget().in_use(), 0);
            }
        }
    }
}

/// Transfers that share a budget do not lock each other up.
#[tokio::test(start_paused = true)]
async fn many_ordered_transfers_share_one_small_budget() {
    let engine = engine(CHUNK, 4, CHUNK);
    let targets: Vec<_> = (0..10).map(|_| in_order()).collect();
    let moves = targets.iter().map(|target| {
        let source = Arc::new(MemorySource::new(pattern(20 * CHUNK)));
        transfer(&engine, source, Arc::new(target.clone()))
    });
    for moved in futures::future::join_all(moves).await {
        moved.unwrap();
    }
    for target in targets {
        assert_same(&target.content().unwrap(), &pattern(20 * CHUNK));
    }
    assert_eq!(engine.budget().in_use(), 0);
}

fn few_parts(largest: u64) -> TargetLimits {
    TargetLimits { max_parts: 20, part: 1..=largest * CHUNK, ..TargetLimits::default() }
}

/// Parts of a stream grow, so that long streams fit the target's number of parts.
#[tokio::test(start_paused = true)]
async fn the_parts_of_a_stream_grow() {
    for order in [Order::Any, Order::Sequential] {
        let engine = engine(32 * CHUNK, 4, CHUNK);
        let target = MemoryTarget::new(TargetLimits { order, ..few_parts(16) });
        let content = pattern(70 * CHUNK + 1);
        let source = Arc::new(MemorySource::new(content.clone()).streamed());
        let report = transfer(&engine, source, Arc::new(target.clone())).await.unwrap();
        assert_eq!(report.bytes, content.len() as u64);
        assert_same(&target.content().unwrap(), &content);
        let mut landed = target.landed();
        landed.sort_by_key(|c| c.index);
        let sizes: Vec<u64> = landed.iter().map(|c| c.range.len() / CHUNK).collect();
        assert_eq!(sizes, [1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 8], "in chunks; the last is the rest");
        assert_eq!(engine.budget().in_use(), 0);
    }
}

/// A stream that no number of parts can hold ends in an error, with the way out, and an abort.
#[tokio::test(start_paused = true)]
async fn a_stream_beyond_all_parts_is_refused() {
    let engine = engine(4 * CHUNK, 4, CHUNK);
    let target = MemoryTarget::new(few_parts(2));
    let endless = MemorySource::new(pattern(50 * CHUNK)).streamed();
    let moved = transfer(&engine, Arc::new(endless), Arc::new(target.clone())).await;
    let e: Error = moved.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid, "{e}");
    assert_eq!(e.hint(), Some(&Hint::TellLengthForParts), "{e}");
    assert_eq!((target.content(), target.aborted()), (None, 1));
    assert_eq!(engine.budget().in_use(), 0);

    // To the byte, all that its parts can hold does fit.
    let capacity = (2 + 18 * 2) * CHUNK;
    let target = MemoryTarget::new(few_parts(2));
    let source = MemorySource::new(pattern(capacity)).streamed();
    transfer(&engine, Arc::new(source), Arc::new(target.clone())).await.unwrap();
    assert_same(&target.content().unwrap(), &pattern(capacity));
}

/// Where parts must be equal, they are as large as memory allows from the start.
#[tokio::test(start_paused = true)]
async fn equal_parts_of_a_stream_are_equal() {
    let mut options = EngineOptions::default();
    options.memory = 8 * CHUNK;
    options.part = PlanPolicy { part_size: CHUNK, explicit: false };
    let engine = Engine::new(options);
    let target = MemoryTarget::new(TargetLimits { equal_parts: true, ..few_parts(16) });
    let source = MemorySource::new(pattern(30 * CHUNK)).streamed();
    transfer(&engine, Arc::new(source), Arc::new(target.clone())).await.unwrap();
    assert_same(&target.content().unwrap(), &pattern(30 * CHUNK));
    let mut landed = target.landed();
    landed.sort_by_key(|c| c.index);
    let (last, full) = landed.split_last().unwrap();
    assert!(full.iter().all(|c| c.range.len() == full[0].range.len()), "{landed:?}");
    assert!(last.range.len() <= full[0].range.len());
}

/// The meter ends at the total, whatever was tried again on the way (S3.17).
#[tokio::test(start_paused = true)]
async fn the_meter_ends_at_the_total() {
    for streamed in [false, true] {
        let engine = engine(8 * CHUNK, 4, CHUNK);
        let source = MemorySource::new(pattern(10 * CHUNK + 3));
        let source = if streamed { source.streamed() } else { source };
        let target = Arc::new(MemoryTarget::default());
        let moved = engine.transfer(job(Arc::new(source), target), &CancellationToken::new());
        let meter = moved.meter();
        moved.await.unwrap();
        let seen = meter.snapshot();
        assert_eq!(seen.landed, 10 * CHUNK + 3);
        assert_eq!((seen.resumed, seen.retried), (0, 0));
    }
}
