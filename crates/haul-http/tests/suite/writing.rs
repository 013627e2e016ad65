//! Writing by PUT.

use std::sync::Arc;

use haul_core::{Attributes, ErrorKind, Hint, Report, Result, Verified};
use haul_http::{HttpClient, HttpOptions, HttpSource, HttpTarget};
use haul_testkit::conformance::{MemorySource, job};
use haul_testkit::http::{Act, HttpCall, HttpRules, HttpServer};
use http::Method;

use crate::kit::{MIB, TRIES, client, copy, engine, pattern, run, source, target, url};

fn memory(len: usize) -> Arc<MemorySource> {
    Arc::new(MemorySource::new(pattern(len)))
}

fn typed(len: usize) -> Arc<MemorySource> {
    let mut attributes = Attributes::default();
    attributes.content_type = Some("text/x-test".into());
    attributes.metadata.insert("colour".into(), "blue".into());
    Arc::new(MemorySource::new(pattern(len)).with_attributes(attributes))
}

async fn put_new(from: Arc<MemorySource>, to: &str) -> Result<Report> {
    let mut job = job(from, target(to));
    job.overwrite = false;
    run(&engine(MIB, 0), job).await
}

fn only(server: &HttpServer) -> HttpCall {
    let [call] = server.calls().try_into().unwrap();
    server.forget_calls();
    call
}

#[tokio::test]
async fn one_request_with_a_length_and_nothing_else() {
    for status in [200, 201, 204] {
        let mut rules = HttpRules::default();
        rules.stored = status;
        let server = HttpServer::with_rules(rules).unwrap();
        for len in [0, 1, 3 * MIB + 1] {
            let report = copy(memory(len), target(&server.url("/a?sig=s"))).await.unwrap();
            assert_eq!((report.bytes, report.verified), (len as u64, Verified::Size));
            assert!(report.etag.is_some());
            assert!(server.get("/a").unwrap() == pattern(len));
            let call = only(&server);
            assert_eq!((call.method.clone(), call.path.as_str()), (Method::PUT, "/a?sig=s"));
            let mut names: Vec<_> = call.headers.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, ["accept-encoding", "content-length", "host", "user-agent"]);
            assert_eq!(call.header("content-length"), Some(len.to_string().as_str()));
        }
    }
}

#[tokio::test]
async fn a_content_type_goes_along_where_no_signature_covers_it() {
    let server = HttpServer::start().unwrap();
    for (query, sent) in [
        ("", Some("text/x-test")),
        ("?X-Amz-Signature=s", Some("text/x-test")),
        ("?AWSAccessKeyId=a&Signature=s&Expires=1", None),
    ] {
        copy(typed(5), target(&server.url(&format!("/a{query}")))).await.unwrap();
        let call = only(&server);
        assert_eq!(call.header("content-type"), sent, "{query}");
        assert!(call.headers.iter().all(|(name, _)| !name.starts_with("x-")));
    }
    let mut asked = Attributes::default();
    asked.content_type = Some("text/asked".into());
    asked.cache_control = Some("no-store".into());
    asked.metadata.insert("colour".into(), "red".into());
    let to = HttpTarget::new(client(), url(&server.url("/a?Signature=s")));
    copy(typed(5), Arc::new(to.asking(asked.clone()))).await.unwrap();
    let call = only(&server);
    assert_eq!(call.header("content-type"), Some("text/asked"));
    assert_eq!(call.header("cache-control"), Some("no-store"));
    assert!(call.headers.iter().all(|(name, _)| !name.starts_with("x-")));
    asked.content_type = Some("a\nb".into());
    let to = HttpTarget::new(client(), url(&server.url("/a")));
    let e = copy(typed(5), Arc::new(to.asking(asked))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid, "{e}");
}

#[tokio::test]
async fn what_exists_is_kept_unless_told() {
    let server = HttpServer::start().unwrap();
    put_new(memory(5), &server.url("/a")).await.unwrap();
    assert_eq!(only(&server).header("if-none-match"), Some("*"));
    let e = put_new(memory(6), &server.url("/a")).await.unwrap_err();
    assert_eq!((e.kind(), e.hint()), (ErrorKind::AlreadyExists, None));
    assert_eq!(server.get("/a").unwrap(), pattern(5));
}

#[tokio::test]
async fn failures_are_tried_again_with_all_bytes() {
    let server = HttpServer::start().unwrap();
    for act in [Act::Status(503, vec![("retry-after", "0".into())]), Act::LostAnswer] {
        server.plan("/a", 0, act);
        copy(memory(2 * MIB), target(&server.url("/a"))).await.unwrap();
        assert!(server.get("/a").unwrap() == pattern(2 * MIB));
        assert_eq!(server.calls().len(), 2);
        server.forget_calls();
    }
    // It exists, perhaps because of us: that cannot be known from here, and is said.
    server.plan("/b", 0, Act::LostAnswer);
    let e = put_new(memory(5), &server.url("/b")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::AlreadyExists);
    assert_eq!(e.hint(), Some(&Hint::LookAtIt));
    server.forget_calls();
    server.plan_times("/c", 0, 99, Act::Status(500, Vec::new()));
    let e = copy(memory(5), target(&server.url("/c"))).await.unwrap_err();
    assert_eq!((e.kind(), server.calls().len()), (ErrorKind::Server, TRIES as usize));
}

#[tokio::test]
async fn refusals_are_understood() {
    let server = HttpServer::start().unwrap();
    for (status, kind) in [
        (401, ErrorKind::AccessDenied),
        (403, ErrorKind::AccessDenied),
        (404, ErrorKind::NotFound),
        (405, ErrorKind::Unsupported),
        (409, ErrorKind::Rejected),
        (413, ErrorKind::NoSpace),
    ] {
        server.plan("/a", 0, Act::Status(status, Vec::new()));
        let e = copy(memory(5), target(&server.url("/a"))).await.unwrap_err();
        assert_eq!(e.kind(), kind, "{e}");
    }
    server.plan("/a", 0, Act::Redirect(307, "http://elsewhere.invalid/?secret".into()));
    let e = copy(memory(5), target(&server.url("/a"))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Rejected);
    assert!(e.detail().contains("http://elsewhere.invalid") && !e.detail().contains("secret"));
    assert_eq!(server.get("/a"), None);
}

#[tokio::test]
async fn a_source_that_fails_is_named_and_nothing_is_stored() {
    let server = HttpServer::start().unwrap();
    server.put("/a", "old");
    for at in [0, MIB as u64] {
        let failing = MemorySource::new(pattern(3 * MIB)).failing_at(at);
        let e = copy(Arc::new(failing), target(&server.url("/a"))).await.unwrap_err();
        assert_eq!((e.kind(), e.location()), (ErrorKind::Io, "memory"));
        assert_eq!(server.get("/a").unwrap(), b"old");
    }
}

#[tokio::test]
async fn a_stream_has_to_fit_one_chunk() {
    let server = HttpServer::start().unwrap();
    let streamed = |len| Arc::new(MemorySource::new(pattern(len)).streamed());
    for len in [0, 5, MIB] {
        copy(streamed(len), target(&server.url("/a"))).await.unwrap();
        assert!(server.get("/a").unwrap() == pattern(len));
    }
    let e = copy(streamed(MIB + 1), target(&server.url("/b"))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert_eq!(e.hint(), Some(&Hint::TellLength));
    assert_eq!(server.get("/b"), None);
    let mut job = job(streamed(2 * MIB), target(&server.url("/b")));
    job.expected_size = Some(2 * MIB as u64);
    run(&engine(MIB, 0), job).await.unwrap();
    assert!(server.get("/b").unwrap() == pattern(2 * MIB));
}

/// One request each way at a time: they must not wait for one another.
#[tokio::test]
async fn from_one_url_to_another() {
    let server = HttpServer::start().unwrap();
    server.put("/a", pattern(3 * MIB));
    server.plan("/a", 1, Act::Break(MIB));
    let mut options = HttpOptions::default();
    options.requests = 1;
    let client = HttpClient::new(options);
    let from = HttpSource::new(client.clone(), url(&server.url("/a")));
    let to = HttpTarget::new(client.with_own_gate(), url(&server.url_as("me", "pw", "/b")));
    run(&engine(MIB, 2), job(Arc::new(from), Arc::new(to))).await.unwrap();
    assert!(server.get("/b").unwrap() == pattern(3 * MIB));
    let put = server.calls().into_iter().find(|call| call.method == Method::PUT).unwrap();
    assert_eq!(put.header("authorization"), Some("Basic bWU6cHc="));
    assert!(
        !format!("{:?} {:?}", source(&server.url("/a?s3cr3t")), target("http://h/?s3cr3t"))
            .contains("s3cr3t")
    );
}
