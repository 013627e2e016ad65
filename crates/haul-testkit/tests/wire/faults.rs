//! Each fault does what it says, and nothing after its turn.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use haul_testkit::memory::Algorithm;
use haul_testkit::{Fault, Op, Rule, TestServer, sizes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{BUCKET, code, refusal, start_with};

const LEN: usize = 600_000;

/// A public store with one object, so that raw requests need no signature.
async fn start() -> (TestServer, Client, Bytes) {
    let rules = haul_testkit::StoreRules { anonymous: true, ..Default::default() };
    let (server, s3) = start_with(rules).await;
    let bytes = Bytes::from(sizes::pattern(LEN, 1));
    server.store().put(BUCKET, "k", bytes.clone());
    (server, s3, bytes)
}

/// The answer as it comes off the wire: its head, and its body up to where the connection ended.
async fn raw(server: &TestServer, method: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
    let request =
        format!("{method} /{BUCKET}/k HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end like any other.
    let _ = stream.read_to_end(&mut answer).await;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    (head, answer[end..].to_vec())
}

#[tokio::test]
async fn a_status_hits_the_calls_it_names() {
    let (server, s3, _) = start().await;
    let rule = Rule::on(Op::HeadObject).nth(2).times(2).then(Fault::status(503).retry_after(7));
    let rule = server.faults().add(rule);
    let other = server.faults().add(Rule::on(Op::GetObject).key("other").then(Fault::Reset));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let (head, body) = raw(&server, "HEAD", "").await;
        assert!(body.is_empty());
        assert_eq!(head.contains("retry-after: 7"), head.contains("503"));
        statuses.push(head[9..12].to_owned());
    }
    assert_eq!(statuses, ["200", "503", "503", "200"]);
    assert_eq!((rule.hits(), other.hits()), (2, 0));
    server.faults().add(Rule::on(Op::Any).then(Fault::status(400).code("RequestTimeout")));
    let put = s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from(vec![0; 3_000_000]));
    assert_eq!(refusal(put.send().await), code("RequestTimeout", 400));
    let recorded = server.calls().of(Op::PutObject);
    assert_eq!(recorded[0].request_bytes, 3_000_000, "read to its end");
    assert_eq!(server.store().object(BUCKET, "k").unwrap().size(), LEN as u64);
}

#[tokio::test]
async fn connections_are_reset() {
    let (server, s3, bytes) = start().await;
    server.faults().add(Rule::on(Op::GetObject).then(Fault::Reset));
    assert_eq!(raw(&server, "GET", "").await, (String::new(), Vec::new()));
    for mark in [0, 1, 100_000, 599_999] {
        server.faults().add(Rule::on(Op::GetObject).then(Fault::ResetAfter(mark)));
        let (head, body) = raw(&server, "GET", "").await;
        assert!(head.contains("content-length: 600000"), "{head}");
        assert_eq!(body, bytes[..mark as usize], "{mark}");
    }
    server.faults().add(Rule::on(Op::GetObject).then(Fault::EarlyEnd(5)));
    let (head, body) = raw(&server, "GET", "Range: bytes=10-99\r\n").await;
    assert!(head.contains("content-length: 90"), "{head}");
    assert_eq!(body, bytes[10..95]);
    assert!(server.calls().of(Op::GetObject)[0].status.is_none());
    assert!(s3.get_object().bucket(BUCKET).key("k").send().await.is_ok());
}

#[tokio::test]
async fn bodies_are_short_or_damaged() {
    let (server, _, bytes) = start().await;
    let range = "Range: bytes=100-199\r\n";
    server.faults().add(Rule::on(Op::GetObject).then(Fault::ShortBody(10)));
    let (head, body) = raw(&server, "GET", range).await;
    assert!(head.contains("content-range: bytes 100-189/600000"), "{head}");
    assert!(head.contains("content-length: 90"), "{head}");
    assert_eq!(body, bytes[100..190]);
    server.faults().add(Rule::on(Op::GetObject).then(Fault::ShortBodyHidden(10)));
    let (head, body) = raw(&server, "GET", range).await;
    assert!(head.contains("content-range: bytes 100-199/600000"), "{head}");
    assert_eq!(body, bytes[100..190]);
    server.faults().add(Rule::on(Op::GetObject).range_start(100).then(Fault::FlipBit(3)));
    let (_, body) = raw(&server, "GET", range).await;
    let differ: Vec<_> = (0..100).filter(|i| body[*i] != bytes[100 + i]).collect();
    assert_eq!(differ, [3]);
}

#[tokio::test]
async fn ranges_are_wrong_or_ignored() {
    let (server, s3, bytes) = start().await;
    server.faults().add(Rule::on(Op::GetObject).then(Fault::WrongRange(50)));
    server.faults().add(Rule::on(Op::GetObject).nth(2).then(Fault::IgnoreRange));
    let get = || s3.get_object().bucket(BUCKET).key("k").range("bytes=100-199").send();
    let wrong = get().await.unwrap();
    assert_eq!(wrong.content_range(), Some("bytes 150-249/600000"));
    assert_eq!(wrong.body.collect().await.unwrap().into_bytes(), bytes[150..250]);
    let whole = get().await.unwrap();
    assert_eq!(whole.content_range(), None);
    assert_eq!(whole.body.collect().await.unwrap().into_bytes(), bytes);
    assert_eq!(server.calls().of(Op::GetObject)[1].status, Some(200));
    assert_eq!(get().await.unwrap().content_range(), Some("bytes 100-199/600000"));
}

#[tokio::test]
async fn a_stall_lasts_until_it_is_released() {
    let (server, s3, bytes) = start().await;
    let head = server.faults().add(Rule::on(Op::HeadObject).then(Fault::Stall));
    let get = server.faults().add(Rule::on(Op::GetObject).then(Fault::StallAfter(1000)));
    let stalled = {
        let s3 = s3.clone();
        tokio::spawn(async move { s3.head_object().bucket(BUCKET).key("k").send().await })
    };
    head.wait_hits(1).await;
    let mut body = s3.get_object().bucket(BUCKET).key("k").send().await.unwrap().body;
    let mut received = Vec::new();
    while received.len() < 1000 {
        received.extend_from_slice(&body.try_next().await.unwrap().unwrap());
    }
    assert_eq!(received, bytes[..1000]);
    assert_eq!(server.calls().in_flight(), 2);
    assert!(!stalled.is_finished());
    head.release();
    get.release();
    stalled.await.unwrap().unwrap();
    while let Some(more) = body.try_next().await.unwrap() {
        received.extend_from_slice(&more);
    }
    assert_eq!(received, bytes);
    server.calls().wait_idle().await;
    assert_eq!(server.calls().peak_in_flight(), 2);
    assert_eq!(server.calls().peak_of(Op::GetObject), 1);
}

#[tokio::test]
async fn a_client_that_leaves_a_stall_is_gone() {
    let (server, s3, _) = start().await;
    let rule = server.faults().add(Rule::on(Op::GetObject).always().then(Fault::Stall));
    let call = tokio::spawn(async move { s3.get_object().bucket(BUCKET).key("k").send().await });
    rule.wait_hits(1).await;
    call.abort();
    // Without the connection's end this would wait for ever.
    server.calls().wait_idle().await;
    assert_eq!(server.calls().of(Op::GetObject)[0].status, None);
}

#[tokio::test]
async fn answers_lie_or_get_lost() {
    let (server, s3, _) = start().await;
    let faults = server.faults();
    let copy = || s3.copy_object().bucket(BUCKET).key("copy").copy_source("bucket/k").send();
    faults.add(Rule::on(Op::CopyObject).then(Fault::OkWithError("InternalError".into())));
    assert_eq!(refusal(copy().await), code("InternalError", 200));
    assert!(server.store().object(BUCKET, "copy").is_none());
    faults.add(Rule::on(Op::CopyObject).then(Fault::LoseAnswer));
    assert!(copy().await.is_err());
    assert!(server.store().object(BUCKET, "copy").is_some(), "it was executed");

    let put = || s3.put_object().bucket(BUCKET).key("new").body(ByteStream::from_static(b"data"));
    faults.add(Rule::on(Op::PutObject).then(Fault::DropHeader("ETag".into())));
    assert_eq!(put().send().await.unwrap().e_tag(), None);
    faults.add(Rule::on(Op::PutObject).then(Fault::SetHeader("etag".into(), "\"x\"".into())));
    assert_eq!(put().send().await.unwrap().e_tag(), Some("\"x\""));
    faults.add(Rule::on(Op::PutObject).times(2).then(Fault::FlipRequestBit(2)));
    let put = || put().checksum_crc32(Algorithm::Crc32.of(b"data"));
    assert_eq!(refusal(put().send().await), code("XAmzContentSHA256Mismatch", 400));
    let unsigned_payload = put().customize().disable_payload_signing().send().await;
    assert_eq!(refusal(unsigned_payload), code("BadDigest", 400));
}

#[tokio::test]
async fn redirects_portals_delays_and_hooks() {
    let (server, s3, bytes) = start().await;
    let faults = server.faults();
    faults.add(Rule::on(Op::GetObject).then(Fault::Redirect {
        status: 307,
        location: Some("http://elsewhere.test/bucket/k".into()),
        region: Some("eu-west-1".into()),
    }));
    let (head, body) = raw(&server, "GET", "").await;
    assert!(head.starts_with("http/1.1 307"), "{head}");
    assert!(head.contains("location: http://elsewhere.test/bucket/k"), "{head}");
    assert!(head.contains("x-amz-bucket-region: eu-west-1"), "{head}");
    assert!(String::from_utf8_lossy(&body).contains("<Code>TemporaryRedirect</Code>"));

    let page = Fault::Page { content_type: "text/html".into(), body: "<html>".into() };
    faults.add(Rule::on(Op::GetObject).then(page));
    let (head, body) = raw(&server, "GET", "").await;
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/html"));
    assert_eq!(body, b"<html>");

    // The object changes between two requests of one transfer.
    let store = server.store().clone();
    let replace = Fault::hook(move |_| drop(store.put(BUCKET, "k", "changed")));
    let delay = Fault::Delay(Duration::from_millis(1));
    faults.add(Rule::on(Op::GetObject).nth(2).then(delay).then(replace));
    let get = || s3.get_object().bucket(BUCKET).key("k").send();
    assert_eq!(get().await.unwrap().body.collect().await.unwrap().into_bytes(), bytes);
    assert_eq!(get().await.unwrap().body.collect().await.unwrap().into_bytes(), "changed");
    faults.add(Rule::on(Op::Any).always().then(Fault::Reset));
    assert!(get().await.is_err());
    faults.clear();
    assert!(get().await.is_ok());
}
