//! Removing many keys, and buckets.

use haul_core::{ErrorKind, Retry};
use haul_s3::{
    DELETE_LIMIT, Doomed, Provider, S3Client, bucket_exists, list_buckets, make_bucket,
    remove_bucket, remove_many,
};
use haul_testkit::sizes::{HOSTILE_KEYS, ODD_KEYS};
use haul_testkit::{ChecksumSupport, Fault, Op, Rule, StoreRules, TestServer};

use crate::kit::{BUCKET, options, start, start_with};

async fn start_as(rules: StoreRules, provider: Provider) -> (TestServer, S3Client) {
    let server = TestServer::with_rules(rules).await.unwrap();
    server.store().create_bucket(BUCKET);
    let mut options = options(&server);
    options.provider = Some(provider);
    let client = S3Client::connect(&options).await.unwrap();
    (server, client)
}

fn keys(keys: &[&str]) -> Vec<Doomed> {
    keys.iter().copied().map(Doomed::key).collect()
}

#[tokio::test]
async fn a_thousand_keys_are_one_request() {
    let (server, client) = start().await;
    let all: Vec<_> = (0..DELETE_LIMIT).map(|i| Doomed::key(format!("k{i}"))).collect();
    for Doomed { key, .. } in &all {
        server.store().put(BUCKET, key, "x");
    }
    server.store().put(BUCKET, "other", "x");
    assert!(remove_many(&client, BUCKET, &all).await.unwrap().is_empty());
    assert_eq!(server.store().keys(BUCKET), ["other"]);
    assert_eq!(server.calls().summary(), [(Op::DeleteObjects, 1)].into());
    let too_many = vec![Doomed::key("k"); DELETE_LIMIT + 1];
    let e = remove_many(&client, BUCKET, &too_many).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert!(remove_many(&client, BUCKET, &[]).await.unwrap().is_empty());
}

/// Keys that XML cannot carry go one by one; all others together. No store is too old for the proof of
/// integrity that goes along.
#[tokio::test]
async fn odd_keys_go_whatever_the_store_makes_of_checksums() {
    for checksums in
        [ChecksumSupport::Accept, ChecksumSupport::InvalidArgument, ChecksumSupport::NotImplemented]
    {
        let (server, client) = start_with(StoreRules { checksums, ..StoreRules::default() }).await;
        for key in ODD_KEYS {
            server.store().put(BUCKET, key, "x");
        }
        let failed = remove_many(&client, BUCKET, &keys(ODD_KEYS)).await.unwrap();
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(server.store().keys(BUCKET), [""; 0]);
        assert_eq!(server.calls().count(Op::DeleteObjects), 1);
        let call = server.calls().of(Op::DeleteObjects).remove(0);
        assert!(call.header("content-md5").is_some());
        assert!(!call.headers.keys().any(|name| name.contains("checksum")));
    }
}

#[tokio::test]
async fn hostile_keys_in_a_batch_are_just_keys() {
    let (server, client) = start().await;
    for key in HOSTILE_KEYS {
        server.store().put(BUCKET, key, "x");
    }
    assert!(remove_many(&client, BUCKET, &keys(HOSTILE_KEYS)).await.unwrap().is_empty());
    assert_eq!(server.store().keys(BUCKET), [""; 0]);
}

#[tokio::test]
async fn versions_go_one_by_one_or_all() {
    let (server, client) = start().await;
    server.store().set_versioning(BUCKET, true);
    for text in ["1", "2", "3"] {
        server.store().put(BUCKET, "k", text);
    }
    let versions = server.store().versions(BUCKET, "k");
    let id = |i: usize| versions[i].as_ref().map(|object| object.version_id.clone());
    let doomed = [("k", id(0)), ("k", id(2)), ("gone", id(1))];
    let doomed = doomed.map(|(key, version_id)| Doomed { version_id, ..Doomed::key(key) });
    assert!(remove_many(&client, BUCKET, &doomed).await.unwrap().is_empty());
    let left = server.store().versions(BUCKET, "k");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].as_ref().unwrap().bytes(), "2");
}

#[tokio::test]
async fn a_store_without_deleteobjects_is_asked_once() {
    let rules = StoreRules { delete_objects: false, ..StoreRules::default() };
    let (server, client) = start_with(rules).await;
    let slow = Fault::Delay(std::time::Duration::from_millis(20));
    server.faults().add(Rule::on(Op::DeleteObject).always().then(slow));
    for round in 0..2 {
        for key in ["a", "b", "c"] {
            server.store().put(BUCKET, key, "x");
        }
        assert!(remove_many(&client, BUCKET, &keys(&["a", "b", "c"])).await.unwrap().is_empty());
        assert_eq!(server.store().keys(BUCKET), [""; 0], "{round}");
    }
    let summary = [(Op::DeleteObjects, 1), (Op::DeleteObject, 6)].into();
    assert_eq!(server.calls().summary(), summary);
    assert!(server.calls().peak_in_flight() > 1, "one by one, but not one after the other");
}

#[tokio::test]
async fn what_was_refused_is_named() {
    let (server, client) = start().await;
    let refusal = "<?xml version=\"1.0\"?><DeleteResult>\
        <Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error>\
        <Error><Key>a&amp;b</Key><Code>InternalError</Code><Message>oops</Message></Error>\
        </DeleteResult>";
    let page = Fault::Page { content_type: "application/xml".to_owned(), body: refusal.to_owned() };
    server.faults().add(Rule::on(Op::DeleteObjects).then(page.clone()));
    let failed = remove_many(&client, BUCKET, &keys(&["a", "a&b", "b"])).await.unwrap();
    let seen: Vec<_> = failed.iter().map(|(i, e)| (*i, e.kind(), e.retry())).collect();
    assert_eq!(
        seen,
        [(1, ErrorKind::Server, Retry::Backoff), (2, ErrorKind::AccessDenied, Retry::Never)]
    );
    assert!(failed[1].1.to_string().contains("s3://bucket/b"));
    // Complaints about anything else are not taken for success.
    server.faults().add(Rule::on(Op::DeleteObjects).then(page));
    let e = remove_many(&client, BUCKET, &keys(&["x", "y"])).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Protocol);
}

/// R.6: where the store compares, what was listed goes and what came to its place stays; without
/// DeleteObjects as well.
#[tokio::test]
async fn with_an_etag_only_what_has_it_goes() {
    for delete_objects in [true, false] {
        let rules = StoreRules { delete_objects, ..StoreRules::default() };
        let (server, client) = start_as(rules, Provider::Aws).await;
        for key in ["same", "other"] {
            server.store().put(BUCKET, key, "x");
        }
        let etag = server.store().object(BUCKET, "same").unwrap().etag.clone();
        server.store().put(BUCKET, "other", "y");
        let doomed = ["same", "other", "gone"]
            .map(|key| Doomed { etag: Some(etag.clone()), ..Doomed::key(key) });
        let failed = remove_many(&client, BUCKET, &doomed).await.unwrap();
        let [(1, e)] = &failed[..] else { panic!("{failed:?}") };
        assert_eq!((e.kind(), e.retry()), (ErrorKind::SourceChanged, Retry::Never), "{e}");
        assert_eq!(server.store().keys(BUCKET), ["other"]);
    }
    let (_server, client) = start_as(StoreRules::default(), Provider::Minio).await;
    let doomed = [Doomed { etag: Some("x".to_owned()), ..Doomed::key("k") }];
    let e = remove_many(&client, BUCKET, &doomed).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "a condition that would be left out in silence");
}

/// A.7: an answer that is cut off, or nothing at all, says of no key that it was removed.
#[tokio::test]
async fn an_answer_that_is_cut_off_removed_nothing() {
    let (server, client) = start().await;
    for body in [
        "",
        "<DeleteResult>",
        "<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code></Error>",
        "<html></html>",
    ] {
        let page = Fault::Page { content_type: "application/xml".into(), body: body.into() };
        server.faults().add(Rule::on(Op::DeleteObjects).then(page));
        let e = remove_many(&client, BUCKET, &keys(&["a", "b"])).await.unwrap_err();
        assert_eq!((e.kind(), e.retry()), (ErrorKind::Protocol, Retry::Backoff), "{body}: {e}");
    }
    server.faults().add(Rule::on(Op::DeleteObjects).then(Fault::OkWithError("SlowDown".into())));
    let e = remove_many(&client, BUCKET, &keys(&["a", "b"])).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Throttled, "{e}");
}

#[tokio::test]
async fn a_request_that_fails_as_a_whole_did_nothing_else() {
    let (server, client) = start().await;
    server.faults().add(Rule::on(Op::DeleteObjects).then(Fault::status(503)));
    let e = remove_many(&client, BUCKET, &keys(&["a", "b", "new\nline"])).await.unwrap_err();
    assert_eq!(e.retry(), Retry::Backoff);
    assert_eq!(server.calls().count(Op::DeleteObject), 0);
}

#[tokio::test]
async fn buckets_are_made_found_and_removed() {
    let (server, client) = start().await;
    assert!(!bucket_exists(&client, "new").await.unwrap());
    make_bucket(&client, "new").await.unwrap();
    assert!(bucket_exists(&client, "new").await.unwrap());
    let buckets = list_buckets(&client).await.unwrap();
    let names: Vec<_> = buckets.iter().map(|b| (b.name.as_str(), b.created.is_some())).collect();
    assert_eq!(names, [(BUCKET, true), ("new", true)]);
    server.store().put("new", "k", "x");
    let e = remove_bucket(&client, "new").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Rejected);
    assert!(e.to_string().contains("not empty"), "{e}");
    server.store().remove("new", "k");
    remove_bucket(&client, "new").await.unwrap();
    let e = remove_bucket(&client, "new").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}
