//! Reading once, in order.

use std::time::Duration;

use haul_core::{Engine, ErrorKind};
use haul_testkit::http::{Act, HttpRules, HttpServer, Modified, Tag};

use crate::kit::{MIB, TRIES, fails, is_stream, options, pattern, ranges, read, read_with};

const FIRST: &str = "bytes=0-1048575";
const LEN: usize = 2 * MIB + 5;

fn weak() -> HttpRules {
    let mut rules = HttpRules::default();
    rules.tag = Tag::Weak;
    rules
}

fn dated() -> HttpRules {
    let mut rules = HttpRules::default();
    rules.tag = Tag::None;
    rules
}

fn server(rules: HttpRules) -> HttpServer {
    let server = HttpServer::with_rules(rules).unwrap();
    server.put("/a", pattern(LEN));
    server
}

#[tokio::test]
async fn without_ranges_or_a_strong_tag_it_is_a_stream() {
    let mut no_ranges = HttpRules::default();
    no_ranges.ranges = false;
    let mut chunked = no_ranges.clone();
    chunked.length = false;
    for (rules, requests) in [(no_ranges, 1), (chunked, 1), (weak(), 2), (dated(), 2)] {
        let server = server(rules.clone());
        assert!(read(&server.url("/a")).await.unwrap() == pattern(LEN), "{rules:?}");
        assert_eq!(server.calls().len(), requests, "{rules:?}");
        assert!(is_stream(&server.url("/a")).await);
    }
    // Small enough for the first answer.
    let server = server(weak());
    server.put("/a", "small");
    assert_eq!(read(&server.url("/a")).await.unwrap(), b"small");
    assert_eq!(ranges(&server), [FIRST]);
}

#[tokio::test]
async fn what_breaks_goes_on_from_there() {
    let server = server(dated());
    server.plan("/a", 1, Act::Break(MIB + 3));
    assert!(read(&server.url("/a")).await.unwrap() == pattern(LEN));
    assert_eq!(ranges(&server), [FIRST, "-", "bytes=1048579-"]);
    let date = Some("Wed, 21 Oct 2015 07:28:01 GMT");
    assert_eq!(server.calls()[2].header("if-range"), date);
}

/// A.23: two renderings of one meaning and one length have one weak tag, and other bytes.
#[tokio::test]
async fn a_weak_tag_joins_nothing() {
    let server = server(weak());
    server.plan("/a", 1, Act::Break(MIB + 3));
    let e = fails(&server.url("/a")).await;
    assert_eq!(e.kind(), ErrorKind::Protocol, "{e}");
    assert_eq!(ranges(&server), [FIRST, "-"]);
}

#[tokio::test]
async fn what_falls_silent_goes_on_from_there() {
    let server = server(dated());
    server.plan("/a", 1, Act::Stall(MIB + 3));
    let mut options = options(MIB, 2);
    options.stall = Duration::from_millis(200);
    let all = read_with(&Engine::new(options), &server.url("/a")).await.unwrap();
    assert!(all == pattern(LEN));
    assert!(ranges(&server).contains(&"bytes=1048579-".to_owned()));
}

#[tokio::test]
async fn a_strong_tag_goes_on_without_a_known_length() {
    let mut rules = HttpRules::default();
    rules.length = false;
    let server = server(rules);
    server.plan("/a", 0, Act::ClaimRange("bytes 0-9/*"));
    server.plan("/a", 1, Act::Break(MIB + 3));
    assert!(read(&server.url("/a")).await.unwrap() == pattern(LEN));
    assert_eq!(ranges(&server), [FIRST, "-", "bytes=1048579-"]);
    assert_eq!(server.calls()[2].header("if-range"), Some("\"v1\""));
}

#[tokio::test]
async fn what_breaks_before_its_first_byte_begins_again() {
    let mut rules = dated();
    (rules.modified, rules.ranges, rules.length) = (Modified::None, false, false);
    let server = server(rules);
    server.plan("/a", 0, Act::Break(0));
    assert!(read(&server.url("/a")).await.unwrap() == pattern(LEN));
    assert_eq!(ranges(&server), [FIRST, "-"]);
}

#[tokio::test]
async fn what_cannot_go_on_fails() {
    let mut no_ranges = HttpRules::default();
    no_ranges.ranges = false;
    let (mut nothing, mut just_now, mut no_length) = (dated(), dated(), weak());
    nothing.modified = Modified::None;
    just_now.modified = Modified::JustNow;
    (no_length.length, no_length.ranges) = (false, false);
    for (rules, skip, requests) in
        [(no_ranges, 0, 2), (nothing, 1, 2), (just_now, 1, 2), (no_length, 0, 1)]
    {
        let server = server(rules.clone());
        server.plan("/a", skip, Act::Break(MIB + 3));
        let e = fails(&server.url("/a")).await;
        assert_eq!(e.kind(), ErrorKind::Protocol, "{rules:?}: {e}");
        assert_eq!(server.calls().len(), requests, "{rules:?}: {e}");
    }
}

#[tokio::test]
async fn what_is_replaced_meanwhile_is_never_mixed() {
    let replaced = Act::Replace(vec![0; LEN].into());
    let shorter = Act::Replace(vec![0; MIB].into());
    let mut heedless = dated();
    heedless.conditions = false;
    for rules in [dated(), heedless] {
        for act in [&replaced, &shorter] {
            let server = server(rules.clone());
            server.plan("/a", 1, Act::Break(MIB + 3));
            server.plan("/a", 2, act.clone());
            let e = fails(&server.url("/a")).await;
            assert_eq!(e.kind(), ErrorKind::SourceChanged, "{rules:?}: {e}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_not_the_rest_is_not_used() {
    for act in [
        Act::ClaimRange("bytes 0-2097156/2097157"),
        Act::ClaimRange("bytes 1048579-2097155/2097157"),
        Act::ClaimRange("nonsense"),
        Act::Status(503, Vec::new()),
        Act::LostAnswer,
    ] {
        let server = server(dated());
        server.plan("/a", 1, Act::Break(MIB + 3));
        server.plan("/a", 2, act.clone());
        assert!(read(&server.url("/a")).await.unwrap() == pattern(LEN), "{act:?}");
        assert_eq!(server.calls().len(), 4, "{act:?}");
    }
}

#[tokio::test]
async fn tries_are_bounded() {
    let server = server(weak());
    server.plan_times("/a", 1, 99, Act::Break(0));
    let e = fails(&server.url("/a")).await;
    assert_eq!(e.kind(), ErrorKind::Protocol, "{e}");
    assert_eq!(server.calls().len(), 1 + TRIES as usize);
    assert!(e.to_string().contains("gave up after"), "{e}");
}
