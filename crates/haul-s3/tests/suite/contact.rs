//! Whether anybody is there, and whose clock and key they go by.
//!
//! Owns what one answer teaches about all requests to an endpoint.

use std::sync::Arc;

use haul_core::{Engine, EngineOptions, ErrorKind, Op, PlanPolicy, Retry};
use haul_s3::{ObjectId, S3Client, S3Source, S3Target, stat};
use haul_testkit::conformance::{MemorySource, MemoryTarget, transfer};
use haul_testkit::{Fault, Op as Asked, Rule, StoreRules, sizes};

use crate::kit::{BUCKET, options, start, start_with};

/// G.6: an endpoint that has never answered is tried briefly, one that has answered is away.
#[tokio::test]
async fn who_has_answered_once_is_there() {
    let (server, client) = start().await;
    let mut nowhere = options(&server);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    nowhere.endpoint_url = Some(format!("http://{closed}"));
    let nowhere = S3Client::connect(&nowhere).await.unwrap();
    let object = ObjectId::new(BUCKET, "k");
    let e = stat(&nowhere, &object, Op::Stat).await.unwrap_err();
    assert_eq!((e.kind(), e.retry()), (ErrorKind::Connect, Retry::Briefly), "{e}");
    // "No such object" is an answer.
    assert_eq!(stat(&client, &object, Op::Stat).await.unwrap_err().kind(), ErrorKind::NotFound);
    server.stop().await;
    let twin = client.with_own_gate();
    for client in [client, twin] {
        let e = stat(&client, &object, Op::Stat).await.unwrap_err();
        assert_eq!((e.kind(), e.retry()), (ErrorKind::Connect, Retry::Backoff), "{e}");
    }
}

/// E.28: one refusal teaches the store's time, and every request is signed with it from then on: HEAD,
/// which has no words, as well as parts.
#[tokio::test]
async fn the_store_s_clock_is_that_of_every_signature() {
    for clock_ahead in [3600, -3600] {
        for down in [false, true] {
            let rules = StoreRules { clock_ahead, ..StoreRules::default() };
            let (server, client) = start_with(rules).await;
            let content = sizes::pattern(11 << 20, 3);
            server.store().put(BUCKET, "there", content.clone());
            let mut options = EngineOptions::default();
            options.part = PlanPolicy { part_size: 5 << 20, explicit: true };
            let engine = Engine::new(options);
            let object = |key: &str| ObjectId::new(BUCKET, key);
            if down {
                let target = MemoryTarget::new(haul_core::TargetLimits::default());
                let source = S3Source::new(client, object("there"));
                transfer(&engine, Arc::new(source), Arc::new(target.clone())).await.unwrap();
                assert_eq!(target.content().unwrap(), content);
            } else {
                let target = S3Target::new(client, object("k"));
                let source = MemorySource::new(content);
                transfer(&engine, Arc::new(source), Arc::new(target)).await.unwrap();
            }
            let refused: Vec<_> =
                server.calls().list().into_iter().filter(|c| c.status == Some(403)).collect();
            assert_eq!(refused.len(), 1, "{clock_ahead} {down}: {refused:?}");
        }
    }
}

/// E.28: a refusal that is about something else is final.
#[tokio::test]
async fn a_refusal_whose_date_is_ours_is_a_refusal() {
    let (server, client) = start().await;
    server.faults().add(Rule::on(Asked::HeadObject).then(Fault::status(403)));
    let e = stat(&client, &ObjectId::new(BUCKET, "k"), Op::Stat).await.unwrap_err();
    assert_eq!((e.kind(), e.retry()), (ErrorKind::AccessDenied, Retry::Never), "{e}");
}
