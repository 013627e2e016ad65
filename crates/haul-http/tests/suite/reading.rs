//! Reading by range.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use haul_core::{ErrorKind, Hint, Opened, Retry, Source as _, Validator, Verified};
use haul_testkit::conformance::{MemoryTarget, job};
use haul_testkit::http::{Act, HttpRules, HttpServer};
use http::Method;

use crate::kit::{
    MIB, TRIES, engine, fails, is_stream, pattern, ranges, read, run, source, within,
};

const FIRST: &str = "bytes=0-1048575";

/// CRC64NVME of "123456789" in base64 (CRC catalogue), as S3 sends it.
const CHECKSUM: &str = "rosUhgp5mIg=";

#[tokio::test]
async fn ranges_are_read_side_by_side_and_pinned() {
    let server = HttpServer::start().unwrap();
    let content = pattern(5 * MIB + 7);
    server.put("/a", content.clone());
    assert!(read(&server.url("/a")).await.unwrap() == content);

    let calls = server.calls();
    assert!(calls.iter().all(|call| call.method == Method::GET));
    assert_eq!(calls.len(), 6, "the first answer is the first chunk: {:?}", ranges(&server));
    assert_eq!(calls[0].header("range"), Some(FIRST));
    assert_eq!(calls[0].header("accept-encoding"), Some("identity"));
    assert!(calls[0].header("user-agent").unwrap().starts_with("haul/"));
    assert!(calls[1..].iter().all(|call| call.header("if-match") == Some("\"v1\"")));
    let mut rest = ranges(&server).split_off(1);
    rest.sort_unstable();
    let chunk = |i: usize| format!("bytes={}-{}", i * MIB, ((i + 1) * MIB).min(content.len()) - 1);
    assert_eq!(rest, (1..6).map(chunk).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_small_object_takes_one_request() {
    let server = HttpServer::start().unwrap();
    for len in [1, 1000, MIB] {
        server.put("/a", pattern(len));
        server.forget_calls();
        assert!(read(&server.url("/a")).await.unwrap() == pattern(len));
        assert_eq!(ranges(&server), [FIRST], "{len} bytes");
    }
}

#[tokio::test]
async fn a_chunk_goes_on_where_the_first_answer_ends() {
    let server = HttpServer::start().unwrap();
    let content = pattern(3 * MIB);
    server.put("/a", content.clone());
    let memory = Arc::new(MemoryTarget::default());
    let job = job(source(&server.url("/a")), memory.clone());
    run(&engine(8 * MIB, 0), job).await.unwrap();
    assert!(memory.content().unwrap() == content);
    assert_eq!(ranges(&server), [FIRST, "bytes=1048576-3145727"]);
}

#[tokio::test]
async fn an_empty_object_is_one() {
    for (with_ranges, length) in [(true, true), (false, true), (false, false)] {
        let mut rules = HttpRules::default();
        (rules.ranges, rules.length) = (with_ranges, length);
        let server = HttpServer::with_rules(rules).unwrap();
        server.put("/a", "");
        assert_eq!(read(&server.url("/a")).await.unwrap(), b"", "{with_ranges} {length}");
        let plain = ranges(&server).iter().filter(|range| *range == "-").count();
        assert_eq!(plain, usize::from(with_ranges), "416 is asked again without a range");
        assert_eq!(is_stream(&server.url("/a")).await, !length);
    }
}

#[tokio::test]
async fn what_is_known_of_it() {
    let mut rules = HttpRules::default();
    let headers = [
        ("content-type", "text/x-test"),
        ("content-encoding", "x-none"),
        ("content-language", "de"),
        ("content-disposition", "attachment"),
        ("x-amz-checksum-crc64nvme", CHECKSUM),
    ];
    rules.headers = headers.map(|(name, value)| (name, value.to_owned())).into();
    let server = HttpServer::with_rules(rules).unwrap();
    server.put("/a", "123456789");
    let Opened::Ranged(object) = within(source(&server.url("/a?secret")).open()).await.unwrap()
    else {
        unreachable!("a stream")
    };
    let meta = object.meta();
    assert_eq!((meta.size, meta.location.as_str()), (9, server.url("/a?***").as_str()));
    assert_eq!(meta.validator, Validator::StrongEtag("\"v1\"".into()));
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_481);
    assert_eq!(meta.modified, Some(modified));
    assert_eq!(meta.attributes.content_type.as_deref(), Some("text/x-test"));
    assert_eq!(meta.attributes.content_encoding.as_deref(), Some("x-none"));
    assert_eq!(meta.attributes.content_language.as_deref(), Some("de"));
    assert_eq!(meta.attributes.content_disposition.as_deref(), Some("attachment"));
    let memory = Arc::new(MemoryTarget::default());
    let report = run(&engine(4, 0), job(source(&server.url("/a")), memory)).await.unwrap();
    assert!(matches!(report.verified, Verified::Checksum(_)), "{:?}", report.verified);

    server.put("/a", "123456780");
    assert_eq!(fails(&server.url("/a")).await.kind(), ErrorKind::Verification);
    // The checksum of a part says nothing about the whole.
    server.put("/a", pattern(MIB + 1));
    assert!(read(&server.url("/a")).await.unwrap() == pattern(MIB + 1));
}

#[tokio::test]
async fn what_is_replaced_in_the_middle_is_never_mixed() {
    for conditions in [true, false] {
        for skip in 1..4 {
            let mut rules = HttpRules::default();
            rules.conditions = conditions;
            let server = HttpServer::with_rules(rules).unwrap();
            server.put("/a", pattern(4 * MIB));
            server.plan("/a", skip, Act::Replace(vec![0; 4 * MIB].into()));
            let e = fails(&server.url("/a")).await;
            assert_eq!(e.kind(), ErrorKind::SourceChanged, "{conditions} {skip}: {e}");
        }
    }
    let server = HttpServer::start().unwrap();
    server.put("/a", pattern(4 * MIB));
    server.plan_times("/a", 1, 9, Act::ClaimTag("\"other\""));
    assert_eq!(fails(&server.url("/a")).await.kind(), ErrorKind::SourceChanged);
}

#[tokio::test]
async fn an_answer_that_is_another_range_is_not_used() {
    let acts = [
        Act::ClaimRange("bytes 0-1048575/4194304"),
        Act::ClaimRange("bytes 1048576-2097151/4194305"),
        Act::ClaimRange("bytes 1048576-2097151/*"),
        Act::ClaimRange("items 1-2/3"),
        Act::Shorter(1),
        Act::Whole,
        Act::ClaimTag(""),
        Act::ClaimTag("W/\"v1\""),
        Act::Break(100_000),
    ];
    for act in acts {
        let server = HttpServer::start().unwrap();
        server.put("/a", pattern(4 * MIB));
        server.plan("/a", 1, act.clone());
        let read_on = read(&server.url("/a")).await.unwrap();
        assert!(read_on == pattern(4 * MIB), "{act:?}: other bytes");

        server.plan_times("/a", 1, 999, act.clone());
        let e = fails(&server.url("/a")).await;
        assert_eq!(e.kind(), ErrorKind::Protocol, "{act:?}: {e}");
    }
}

#[tokio::test]
async fn a_first_answer_that_makes_no_sense_is_asked_again_without_a_range() {
    for claim in ["bytes 5-9/100", "bytes 0-9/*", "bytes 0--1/0", "nonsense"] {
        let server = HttpServer::start().unwrap();
        server.put("/a", pattern(2 * MIB));
        server.plan("/a", 0, Act::ClaimRange(claim));
        assert!(read(&server.url("/a")).await.unwrap() == pattern(2 * MIB), "{claim}");
        assert_eq!(ranges(&server), [FIRST, "-"], "{claim}");
    }
}

#[tokio::test]
async fn refusals_are_understood() {
    let server = HttpServer::start().unwrap();
    assert_eq!(fails(&server.url("/missing")).await.kind(), ErrorKind::NotFound);
    assert_eq!(server.calls().len(), 1);

    let signed = server.url("/a?X-Amz-Expires=1&X-Amz-Credential=WHO&X-Amz-Signature=SECRET");
    server.plan("/a", 0, Act::Status(403, Vec::new()));
    let e = fails(&signed).await;
    assert_eq!(e.kind(), ErrorKind::AccessDenied);
    assert_eq!(e.hint(), Some(&Hint::CheckLink));
    let shown = format!("{e} {e:?} {:?}", source(&signed));
    assert!(!shown.contains("SECRET") && !shown.contains("WHO"), "{shown}");

    server.put("/a", "x");
    let wait = vec![("retry-after", "0".to_owned())];
    server.plan_times("/a", 0, TRIES as usize - 1, Act::Status(503, wait));
    assert_eq!(read(&server.url("/a")).await.unwrap(), b"x");
    server.forget_calls();
    server.plan_times("/a", 0, 99, Act::Status(500, Vec::new()));
    assert_eq!(fails(&server.url("/a")).await.kind(), ErrorKind::Server);
    assert_eq!(server.calls().len(), TRIES as usize, "the engine's tries, and no more");
}

#[tokio::test]
async fn connections_that_do_not_come_about() {
    let server = HttpServer::start().unwrap();
    let (plain, port) = (server.url("/a"), server.url("").rsplit(':').next().unwrap().to_owned());
    let e = within(source(&plain.replace("http:", "https:")).open()).await.unwrap_err();
    // Without any certificates on this machine there is no TLS at all: that is said as well.
    assert_eq!((e.kind(), e.retry()), (ErrorKind::Connect, Retry::Never), "{e}");
    assert!(e.hint().is_some());
    server_gone(server).await;
    let e = within(source(&format!("http://127.0.0.1:{port}/a")).open()).await.unwrap_err();
    assert_eq!((e.kind(), e.retry()), (ErrorKind::Connect, Retry::Briefly), "{e}");
    let e = within(source("ftp://127.0.0.1/a").open()).await.unwrap_err();
    assert_eq!((e.kind(), e.retry()), (ErrorKind::Invalid, Retry::Never), "{e}");
}

/// Drops a server and lets its tasks end.
async fn server_gone(server: HttpServer) {
    drop(server);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}
