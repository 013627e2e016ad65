//! What a stream says about itself: held against it, counted, and passed on.
//!
//! Owns: the tests of lengths, checksums, rates and silence of streams, and of streams into a PUT.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haul_core::source::StreamMeta;
use haul_core::{Engine, ErrorKind, Event, Hint, Report, Result, Throttle, Verified};
use haul_testkit::conformance::{MemorySource, MemoryTarget, job};
use haul_testkit::http::{Act, HttpRules, HttpServer, Tag};
use http::Method;
use tokio_util::sync::CancellationToken;

use crate::kit::{MIB, engine, options, pattern, read, read_with, run, source, target, within};

/// CRC64NVME of "123456789" in base64 (CRC catalogue), as S3 sends it.
const CHECKSUM: &str = "rosUhgp5mIg=";

fn no_ranges() -> HttpRules {
    let mut rules = HttpRules::default();
    rules.ranges = false;
    rules
}

fn dated() -> HttpRules {
    let mut rules = HttpRules::default();
    rules.tag = Tag::None;
    rules
}

fn server(rules: HttpRules, len: usize) -> HttpServer {
    let server = HttpServer::with_rules(rules).unwrap();
    server.put("/a", pattern(len));
    server
}

/// A stream that says it has `size` bytes.
fn sized(len: usize, size: usize) -> Arc<MemorySource> {
    let about = StreamMeta { size: Some(size as u64), ..StreamMeta::default() };
    Arc::new(MemorySource::new(pattern(len)).streamed_as(about))
}

#[tokio::test]
async fn a_stream_that_is_not_as_long_as_it_says_is_an_error() {
    for part in [MIB, 100] {
        for (len, size) in [(999, 1000), (1001, 1000), (0, 1), (1, 0), (300, 200), (200, 300)] {
            let memory = Arc::new(MemoryTarget::default());
            let e = run(&engine(part, 0), job(sized(len, size), memory.clone())).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Protocol, "{len} {size}: {e}");
            assert_eq!(memory.content(), None, "{len} {size}");
        }
        let memory = Arc::new(MemoryTarget::default());
        run(&engine(part, 0), job(sized(1000, 1000), memory.clone())).await.unwrap();
        assert!(memory.content().unwrap() == pattern(1000));
    }
}

#[tokio::test]
async fn a_checksum_of_the_whole_is_compared() {
    let mut rules = no_ranges();
    rules.headers = vec![("x-amz-checksum-crc64nvme", CHECKSUM.to_owned())];
    let server = HttpServer::with_rules(rules).unwrap();
    for part in [MIB, 4] {
        for (content, right) in [("123456789", true), ("123456780", false)] {
            server.put("/a", content);
            let memory = Arc::new(MemoryTarget::default());
            let moved = job(source(&server.url("/a")), memory.clone());
            match run(&engine(part, 0), moved).await {
                Ok(report) => {
                    assert!(right && matches!(report.verified, Verified::Checksum(_)), "{part}");
                }
                Err(e) => {
                    assert!(!right && e.kind() == ErrorKind::Verification, "{part}: {e}");
                    assert_eq!(memory.content(), None);
                }
            }
        }
    }
}

#[tokio::test]
async fn what_crosses_the_network_is_counted_and_every_retry_is_told() {
    let len = 2 * MIB + 5;
    let server = server(dated(), len);
    server.plan("/a", 1, Act::Break(MIB + 3));
    let memory = Arc::new(MemoryTarget::default());
    let moved = job(source(&server.url("/a")), memory);
    let mut handle = engine(MIB, 2).transfer(moved, &CancellationToken::new());
    let (meter, mut events) = (handle.meter(), handle.take_events().unwrap());
    assert_eq!(within(handle).await.unwrap().retried, 1);
    let seen = meter.snapshot();
    let len = len as u64;
    assert_eq!((seen.total, seen.landed, seen.wire, seen.retried), (Some(len), len, len, 1));
    let (mut retries, mut size) = (0, None);
    while let Ok(event) = events.try_recv() {
        match event {
            Event::ItemStarted { size: known, .. } => size = known,
            Event::Retrying { .. } => retries += 1,
            _ => {}
        }
    }
    assert_eq!((retries, size), (1, Some(len)));
}

#[tokio::test]
async fn the_rate_limit_holds_for_streams() {
    let server = server(no_ranges(), MIB / 2);
    let mut options = options(MIB, 0);
    options.throttle = Some(Throttle::new(2 * MIB as u64));
    let start = Instant::now();
    read_with(&Engine::new(options), &server.url("/a")).await.unwrap();
    // A quarter of a second, less the credit of a tenth.
    assert!(start.elapsed() >= Duration::from_millis(140), "{:?}", start.elapsed());
}

/// Where there is no way to go on, silence ends in an error that says so.
#[tokio::test]
async fn silence_is_no_hang() {
    let server = server(no_ranges(), 2 * MIB);
    server.plan("/a", 0, Act::Stall(MIB + 3));
    let mut options = options(MIB, 0);
    options.stall = Duration::from_millis(200);
    let e = read_with(&Engine::new(options), &server.url("/a")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Protocol, "a strong tag lets it ask: {e}");
    let mut rules = no_ranges();
    (rules.tag, rules.modified) = (Tag::None, haul_testkit::http::Modified::None);
    let server = crate::sized::server(rules, 2 * MIB);
    server.plan("/a", 0, Act::Stall(MIB + 3));
    let mut options = crate::kit::options(MIB, 0);
    options.stall = Duration::from_millis(200);
    let e = read_with(&Engine::new(options), &server.url("/a")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Stalled, "{e}");
    assert_eq!(e.hint(), Some(&Hint::BeginAgain), "{e}");
    assert_eq!(server.calls().len(), 1);
}

/// With less memory than the stream is long.
async fn send(from: Arc<dyn haul_core::Source>, to: &str, expected: Option<u64>) -> Result<Report> {
    let mut options = options(MIB, 2);
    options.memory = MIB as u64;
    options.stall = Duration::from_millis(500);
    let mut job = job(from, target(to));
    job.expected_size = expected;
    run(&Engine::new(options), job).await
}

#[tokio::test]
async fn a_stream_of_known_length_is_passed_through_to_a_put() {
    let (from, to) = (server(no_ranges(), 5 * MIB + 1), HttpServer::start().unwrap());
    let report = send(source(&from.url("/a")), &to.url("/b"), None).await.unwrap();
    assert_eq!(report.bytes, 5 * MIB as u64 + 1);
    assert!(to.get("/b").unwrap() == pattern(5 * MIB + 1));
    let unknown = || Arc::new(MemorySource::new(pattern(5 * MIB)).streamed());
    send(unknown(), &to.url("/c"), Some(5 * MIB as u64)).await.unwrap();
    assert!(to.get("/c").unwrap() == pattern(5 * MIB));
    to.forget_calls();
    let e = send(unknown(), &to.url("/d"), None).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    assert_eq!(e.hint(), Some(&Hint::TellLength));
    assert_eq!(to.calls(), []);
}

/// A promise, because the length is sent before the bytes: too long shows before the last of them.
#[tokio::test]
async fn a_promise_that_is_not_kept_stores_nothing() {
    let to = HttpServer::start().unwrap();
    to.put("/b", "old");
    for promised in [2 * MIB, 3 * MIB - 1, 3 * MIB + 1, 9 * MIB] {
        let stream = Arc::new(MemorySource::new(pattern(3 * MIB)).streamed());
        let e = send(stream, &to.url("/b"), Some(promised as u64)).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "{promised}: {e}");
        assert_eq!(e.hint(), Some(&Hint::ExactLength), "{e}");
        assert_eq!(to.get("/b").unwrap(), b"old", "{promised}");
    }
    // What the source says about itself counts, whatever the caller thinks.
    send(sized(3 * MIB, 3 * MIB), &to.url("/b"), Some(1)).await.unwrap();
    assert!(to.get("/b").unwrap() == pattern(3 * MIB));
}

#[tokio::test]
async fn what_was_sent_once_is_not_sent_again() {
    let to = HttpServer::start().unwrap();
    for (act, kind) in
        [(Act::Status(503, Vec::new()), ErrorKind::Server), (Act::LostAnswer, ErrorKind::Protocol)]
    {
        to.plan("/b", 0, act);
        let e = send(sized(3 * MIB, 3 * MIB), &to.url("/b"), None).await.unwrap_err();
        assert_eq!(e.kind(), kind, "{e}");
        assert_eq!(e.hint(), Some(&Hint::SendFile), "{e}");
        assert_eq!(to.calls().len(), 1);
        to.forget_calls();
    }
}

/// The source has its own timer and its own retries while the PUT waits.
#[tokio::test]
async fn a_source_that_breaks_or_falls_silent_goes_on_within_the_put() {
    let (from, to) = (server(dated(), 4 * MIB), HttpServer::start().unwrap());
    for act in [Act::Break(MIB + 3), Act::Stall(2 * MIB)] {
        from.plan("/a", 1, act);
        let report = send(source(&from.url("/a")), &to.url("/b"), None).await.unwrap();
        assert_eq!(report.retried, 1);
        assert!(to.get("/b").unwrap() == pattern(4 * MIB));
        assert_eq!(to.calls().iter().filter(|call| call.method == Method::PUT).count(), 1);
        to.forget_calls();
    }
    assert!(read(&to.url("/b")).await.unwrap() == pattern(4 * MIB));
}
