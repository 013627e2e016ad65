//! Refusals that another try cannot help, and hosts that are not ours.
//!
//! Owns: rows 19 and 39 of the fault catalogue and X3.5: one request, one clear line.

use haul::{ErrorKind, Provider};
use haul_testkit::{Fault, Op, Rule, StoreRules, TestServer};

use crate::kit::{Kit, MIB, PART, assert_same, s3, words};

const LEN: u64 = 2 * PART + 1;

/// S3.29: one request for what no other try can help.
#[tokio::test]
async fn a_refused_download_is_not_tried_again() {
    for (provider, op, status, kind, requests) in [
        (None, Op::HeadObject, 403, ErrorKind::AccessDenied, 1),
        (None, Op::HeadObject, 404, ErrorKind::NotFound, 1),
        // An answer to HEAD has no words. Of a store that nothing is known of, a 400 may be about the
        // question for a checksum: it is asked once more, without.
        (None, Op::HeadObject, 400, ErrorKind::Rejected, 2),
        (Some(Provider::Minio), Op::HeadObject, 400, ErrorKind::Rejected, 1),
        (None, Op::GetObject, 403, ErrorKind::AccessDenied, 1),
        (None, Op::GetObject, 404, ErrorKind::NotFound, 1),
        (None, Op::GetObject, 412, ErrorKind::SourceChanged, 1),
    ] {
        let provider_is = |o: &mut haul::Options| o.source.provider = provider;
        let kit = Kit::with(StoreRules::default(), provider_is).await;
        let (object, _) = kit.object("k", MIB);
        kit.server.faults().add(Rule::on(op).always().then(Fault::status(status)));
        let e = kit.copy(&object, &kit.local("f")).await.unwrap_err();
        assert_eq!(e.kind(), kind, "{op:?} {status}: {e}");
        assert_eq!(kit.count(op), requests, "{op:?} {status}");
        assert!(!e.to_string().contains("gave up"), "{e}");
        assert!(!kit.path("f").exists());
        kit.assert_nothing_left();
    }
}

#[tokio::test]
async fn a_refused_upload_is_not_tried_again() {
    for (op, len) in [
        (Op::PutObject, 100),
        (Op::CreateMultipartUpload, LEN),
        (Op::UploadPart, LEN),
        (Op::CompleteMultipartUpload, LEN),
    ] {
        for (status, kind) in [(403, ErrorKind::AccessDenied), (400, ErrorKind::Rejected)] {
            let kit = Kit::new().await;
            let (file, _) = kit.file("f", len);
            let part = (op == Op::UploadPart).then_some(1);
            let rule = part.into_iter().fold(Rule::on(op), Rule::part).always();
            let rule = kit.server.faults().add(rule.then(Fault::status(status)));
            let e = kit.copy(&file, &s3("k")).await.unwrap_err();
            assert_eq!((e.kind(), rule.hits()), (kind, 1), "{op:?} {status}: {e}");
            assert!(kit.stored("k").is_none());
            kit.assert_nothing_left();
        }
    }
}

#[tokio::test]
async fn a_missing_bucket_is_said_to_be_missing() {
    let kit = Kit::new().await;
    let there = haul::Location::S3 { bucket: "nowhere".into(), key: "k".into() };
    for len in [100, LEN] {
        let (file, _) = kit.file("f", len);
        let e = kit.copy(&file, &there).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    }
    let e = kit.copy(&there, &kit.local("g")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    assert_eq!(kit.count(Op::Any), 3, "nothing is tried twice");
}

/// Row 39: another host is told nothing, whatever this one says.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 307, 308] {
        for op in [Op::HeadObject, Op::GetObject, Op::PutObject, Op::CreateMultipartUpload] {
            let other = TestServer::start().await.unwrap();
            let kit = Kit::new().await;
            let (object, _) = kit.object("k", MIB);
            let redirect = Fault::Redirect {
                status,
                location: Some(format!("{}/bucket/k", other.endpoint_url())),
                region: Some("eu-north-1".into()),
            };
            let rule = kit.server.faults().add(Rule::on(op).always().then(redirect));
            let e = match op {
                Op::HeadObject | Op::GetObject => kit.copy(&object, &kit.local("f")).await,
                _ => {
                    let len = if op == Op::PutObject { 10 } else { LEN };
                    kit.copy(&kit.file("f", len).0, &s3("up")).await
                }
            }
            .unwrap_err();
            assert_eq!((e.kind(), rule.hits()), (ErrorKind::WrongRegion, 1), "{op:?}: {e}");
            assert!(words(&e).contains("eu-north-1"), "{op:?} {status}: {}", words(&e));
            assert_eq!(other.calls().count(Op::Any), 0, "{op:?} {status}: followed");
            kit.assert_nothing_left();
        }
    }
}

/// Row 19: nobody listens. The error says where and why.
#[tokio::test]
async fn a_refused_connection_names_the_endpoint() {
    let gone = TestServer::start().await.unwrap();
    let addr = gone.addr();
    gone.stop().await;
    let kit = Kit::with(StoreRules::default(), |o| {
        o.dest.endpoint_url = Some(format!("http://{addr}"));
        o.source = o.dest.clone();
        o.engine.retry = haul::RetryPolicy::with_tries(1000);
    })
    .await;
    let (file, _) = kit.file("f", 10);
    for (from, to) in [(s3("k"), kit.local("g")), (file, s3("k"))] {
        let e = kit.copy(&from, &to).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Connect, "{e}");
        assert!(e.to_string().contains("refused"), "{e}");
        assert!(words(&e).contains(&addr.to_string()), "{}", words(&e));
        assert!(!e.to_string().contains("gave up after 1000"), "{e}: a wrong name takes 4 s");
    }
}

/// Row 40: what is shown holds no secret.
#[tokio::test]
async fn an_error_shows_no_secret() {
    let kit = Kit::new().await;
    kit.server.faults().add(Rule::on(Op::Any).always().then(Fault::status(403)));
    let e = kit.copy(&s3("k"), &kit.local("f")).await.unwrap_err();
    let mut shown = vec![words(&e), format!("{e:?}"), format!("{:?}", kit.haul)];
    let mut cause = std::error::Error::source(&e);
    while let Some(e) = cause {
        shown.push(e.to_string());
        cause = e.source();
    }
    let shown = shown.join("\n");
    assert!(!shown.contains(kit.server.secret_key()), "{shown}");
}

/// A clock that is off is the store's to say and worth another try (row 17).
#[tokio::test]
async fn a_skewed_clock_is_tried_again() {
    let kit = Kit::new().await;
    let (file, content) = kit.file("f", LEN);
    let skewed = Fault::status(403).code("RequestTimeTooSkewed");
    kit.server.faults().add(Rule::on(Op::UploadPart).part(2).then(skewed));
    let report = kit.copy(&file, &s3("k")).await.unwrap();
    assert_eq!(report.retried, 1);
    assert_same(&kit.stored("k").unwrap().bytes(), &content);
}
