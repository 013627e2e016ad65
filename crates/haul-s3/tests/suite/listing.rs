//! Listings: pages, prefixes, versions, odd keys, and stores that go round in circles.

use haul_core::{EntryKind, ErrorKind, Lister as _, Retry};
use haul_s3::{ListSpec, Provider, S3Client, S3Lister};
use haul_testkit::sizes::ODD_KEYS;
use haul_testkit::{Fault, Op, Rule, StoreRules};

use crate::kit::{BUCKET, list, options, paths, spec, start, start_with};

#[tokio::test]
async fn every_key_is_listed_once_whatever_their_number() {
    for (count, pages) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (2500, 3)] {
        let (server, client) = start().await;
        let keys: Vec<_> = (0..count).map(|i| format!("k{i:06}")).collect();
        for key in &keys {
            server.store().put(BUCKET, key, key.clone());
        }
        let entries = list(&client, spec("")).await.unwrap();
        assert_eq!(paths(&entries), keys);
        assert_eq!(server.calls().count(Op::ListObjects), pages, "{count}");
        assert!(entries.iter().all(|e| e.size == 7 && e.kind == EntryKind::File && e.latest));
    }
}

#[tokio::test]
async fn an_entry_tells_what_the_store_told() {
    let (server, client) = start().await;
    let etag = server.store().put(BUCKET, "dir/k", "hello");
    let entries = list(&client, spec("dir/")).await.unwrap();
    assert_eq!(paths(&entries), ["k"]);
    assert_eq!(entries[0].etag.as_ref(), Some(&etag));
    let object = server.store().object(BUCKET, "dir/k").unwrap();
    assert_eq!(entries[0].modified, Some(object.modified));
    assert_eq!((entries[0].size, entries[0].storage_class.as_deref()), (5, None));
}

#[tokio::test]
async fn odd_keys_survive_by_either_version() {
    for list_v2 in [true, false] {
        let (server, client) = start_with(StoreRules { list_v2, ..StoreRules::default() }).await;
        for key in ODD_KEYS {
            server.store().put(BUCKET, key, "x");
        }
        let mut sorted = ODD_KEYS.to_vec();
        sorted.sort_unstable();
        assert_eq!(paths(&list(&client, spec("")).await.unwrap()), sorted);
        let versions = ListSpec { versions: true, ..spec("") };
        assert_eq!(paths(&list(&client, versions).await.unwrap()), sorted);
    }
}

/// What is asked for is not always done; the answer says which.
#[tokio::test]
async fn keys_that_were_not_encoded_are_not_decoded() {
    let rules = StoreRules { url_encoding: false, ..StoreRules::default() };
    let (server, client) = start_with(rules).await;
    for key in ["%41", "a+b", "100%"] {
        server.store().put(BUCKET, key, "x");
    }
    assert_eq!(paths(&list(&client, spec("")).await.unwrap()), ["%41", "100%", "a+b"]);
    assert!(server.calls().list()[0].target.query.iter().any(|(k, _)| k == "encoding-type"));
}

#[tokio::test]
async fn prefixes_and_levels() {
    for list_v2 in [true, false] {
        for max_keys in [1, 2, 3, 1000] {
            let rules = StoreRules { list_v2, max_keys, ..StoreRules::default() };
            let (server, client) = start_with(rules).await;
            for key in ["a", "a!", "a/", "a/1", "a/2", "a/b/3", "a0", "b/1", "c"] {
                server.store().put(BUCKET, key, if key.ends_with('/') { "" } else { key });
            }
            let level = |prefix| ListSpec { delimiter: true, ..spec(prefix) };
            let entries = list(&client, level("")).await.unwrap();
            assert_eq!(paths(&entries), ["a", "a!", "a/", "a0", "b/", "c"], "{max_keys}");
            let prefixes: Vec<_> = entries.iter().filter(|e| e.kind == EntryKind::Prefix).collect();
            assert_eq!(prefixes.len(), 2);
            // The marker of the folder itself is its root.
            let entries = list(&client, level("a/")).await.unwrap();
            assert_eq!(paths(&entries), ["", "1", "2", "b/"]);
            assert!(entries[0].path.is_root() && entries[0].kind == EntryKind::Folder);
            assert_eq!(paths(&list(&client, spec("a/b")).await.unwrap()), ["/3"]);
            let entries = list(&client, spec("c")).await.unwrap();
            assert_eq!((paths(&entries), &entries[0].kind), (vec![""], &EntryKind::File));
            assert_eq!(paths(&list(&client, spec("nothing")).await.unwrap()), [""; 0]);
        }
    }
}

#[tokio::test]
async fn versions_come_newest_first_with_their_markers() {
    for max_keys in [1, 2, 1000] {
        let rules = StoreRules { max_keys, ..StoreRules::default() };
        let (server, client) = start_with(rules).await;
        server.store().set_versioning(BUCKET, true);
        for (key, text) in [("a", "1"), ("b", "1"), ("a", "22"), ("c/d", "1")] {
            server.store().put(BUCKET, key, text);
        }
        haul_s3::remove(&client, &haul_s3::ObjectId::new(BUCKET, "b")).await.unwrap();
        let versions = ListSpec { versions: true, ..spec("") };
        let entries = list(&client, versions.clone()).await.unwrap();
        let seen: Vec<_> = entries
            .iter()
            .map(|e| (e.path.to_str().unwrap(), e.size, e.latest, e.kind.clone()))
            .collect();
        let (file, marker) = (EntryKind::File, EntryKind::DeleteMarker);
        let expected = [
            ("a", 2, true, file.clone()),
            ("a", 1, false, file.clone()),
            ("b", 0, true, marker),
            ("b", 1, false, file.clone()),
            ("c/d", 1, true, file),
        ];
        assert_eq!(seen, expected, "{max_keys}");
        assert!(entries.iter().all(|e| e.version_id.is_some()));
        let level = ListSpec { delimiter: true, ..versions };
        let entries = list(&client, level).await.unwrap();
        assert_eq!(paths(&entries), ["a", "a", "b", "b", "c/"]);
    }
}

#[tokio::test]
async fn a_page_that_failed_is_asked_for_again() {
    for list_v2 in [true, false] {
        let rules = StoreRules { max_keys: 2, list_v2, ..StoreRules::default() };
        let (server, client) = start_with(rules).await;
        for key in ["a", "b", "c", "d", "e"] {
            server.store().put(BUCKET, key, "x");
        }
        let mut lister = S3Lister::new(client, spec(""));
        let first = lister.next_page().await.unwrap().unwrap();
        let fail = Rule::on(Op::ListObjects).then(Fault::status(503));
        server.faults().add(fail);
        let e = lister.next_page().await.unwrap_err();
        assert_eq!((e.kind(), e.retry()), (ErrorKind::Throttled, Retry::Backoff));
        let mut all = first.entries;
        while let Some(page) = lister.next_page().await.unwrap() {
            all.extend(page.entries);
        }
        assert_eq!(paths(&all), ["a", "b", "c", "d", "e"]);
    }
}

/// A store without ListObjectsV2 is asked once.
#[tokio::test]
async fn version_one_is_learned() {
    let rules = StoreRules { list_v2: false, max_keys: 2, ..StoreRules::default() };
    let (server, client) = start_with(rules).await;
    for key in ["a", "b", "c"] {
        server.store().put(BUCKET, key, "x");
    }
    for requests in [3, 5] {
        assert_eq!(paths(&list(&client, spec("")).await.unwrap()), ["a", "b", "c"]);
        assert_eq!(server.calls().count(Op::ListObjects), requests);
    }
}

#[tokio::test]
async fn ceph_gets_version_one_at_once_and_no_encoding() {
    let (server, _) = start().await;
    server.store().put(BUCKET, "a%41", "x");
    let mut options = options(&server);
    options.provider = Some(Provider::Ceph);
    let client = S3Client::connect(&options).await.unwrap();
    assert_eq!(paths(&list(&client, spec("")).await.unwrap()), ["a%41"]);
    let calls = server.calls().list();
    let asked = |name: &str| calls[0].target.query.iter().any(|(k, _)| k == name);
    assert_eq!((calls.len(), asked("list-type"), asked("encoding-type")), (1, false, false));
}

#[tokio::test]
async fn a_store_that_repeats_itself_is_an_error() {
    let rules = StoreRules { max_keys: 2, repeat_page: true, ..StoreRules::default() };
    let (server, client) = start_with(rules).await;
    for key in ["a", "b", "c"] {
        server.store().put(BUCKET, key, "x");
    }
    for require_order in [true, false] {
        let spec = ListSpec { require_order, ..spec("") };
        let e = list(&client, spec).await.unwrap_err();
        assert_eq!((e.kind(), e.retry()), (ErrorKind::Protocol, Retry::Never), "{e}");
    }
    assert_eq!(server.calls().count(Op::ListObjects), 4);
}

#[tokio::test]
async fn disorder_is_an_error_only_where_order_is_needed() {
    for list_v2 in [true, false] {
        let rules = StoreRules { unordered: true, list_v2, ..StoreRules::default() };
        let (server, client) = start_with(rules).await;
        for key in ["a", "b", "c"] {
            server.store().put(BUCKET, key, "x");
        }
        let e = list(&client, spec("")).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Protocol, "{e}");
        let entries = list(&client, ListSpec::new(BUCKET, "")).await.unwrap();
        assert_eq!(paths(&entries), ["c", "b", "a"]);
    }
}

#[tokio::test]
async fn a_missing_bucket_is_said_to_be_missing() {
    let (_server, client) = start().await;
    let e = list(&client, ListSpec::new("nowhere", "")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
}

/// The listing of three keys, as a store sends it.
fn three(keys: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>bucket</Name>\
         <KeyCount>3</KeyCount><IsTruncated>false</IsTruncated>{keys}</ListBucketResult>"
    )
}

fn key(name: &str) -> String {
    format!("<Contents><Key>{name}</Key><Size>1</Size></Contents>")
}

fn page(body: impl Into<String>) -> Fault {
    Fault::Page { content_type: "application/xml".into(), body: body.into() }
}

/// A.7, F.6: what is well framed and cut off is an error that another try may help, whichever listing.
#[tokio::test]
async fn a_page_that_is_cut_off_is_an_error() {
    let (server, client) = start().await;
    for name in ["a", "b", "c"] {
        server.store().put(BUCKET, name, "x");
    }
    let versions = ListSpec { versions: true, ..spec("") };
    let old = StoreRules { list_v2: false, ..StoreRules::default() };
    let (older, old_client) = start_with(old).await;
    older.store().put(BUCKET, "a", "x");
    for (server, client, spec, op) in [
        (&server, &client, spec(""), Op::ListObjects),
        (&server, &client, versions, Op::ListObjectVersions),
        (&older, &old_client, spec(""), Op::ListObjects),
    ] {
        assert!(!list(client, spec.clone()).await.unwrap().is_empty());
        for less in [1, 5, 20, 60, 150] {
            server.faults().add(Rule::on(op).then(Fault::ShortBody(less)));
            let e = list(client, spec.clone()).await.unwrap_err();
            assert_eq!((e.kind(), e.retry()), (ErrorKind::Protocol, Retry::Backoff), "{e}");
            assert!(!e.to_string().contains("200"), "{e}");
        }
    }
}

/// A.7: a page that has fewer keys than it says, or does not say whether there is more.
#[tokio::test]
async fn a_page_has_what_it_counts() {
    let (server, client) = start().await;
    let all = [key("a"), key("b"), key("c")].concat();
    for (body, right) in [
        (three(&all), true),
        (three(&[key("a"), key("b")].concat()), false),
        (three(&all).replace("<IsTruncated>false</IsTruncated>", ""), false),
        (three(&all).replace("<Size>1</Size>", ""), false),
        ("<html><body>Sign in</body></html>".into(), false),
        (String::new(), false),
    ] {
        server.faults().add(Rule::on(Op::ListObjects).then(page(&*body)));
        let listed = list(&client, spec("")).await;
        match listed {
            Ok(entries) => assert!(right && paths(&entries) == ["a", "b", "c"], "{body}"),
            Err(e) => {
                assert!(!right, "{e}");
                assert_eq!((e.kind(), e.retry()), (ErrorKind::Protocol, Retry::Backoff), "{e}");
            }
        }
    }
}

/// An error with status 200 says what it says.
#[tokio::test]
async fn an_error_in_place_of_a_page_is_that_error() {
    let (server, client) = start().await;
    let fault = Fault::OkWithError("SlowDown".into());
    server.faults().add(Rule::on(Op::ListObjects).then(fault));
    let e = list(&client, spec("")).await.unwrap_err();
    assert_eq!((e.kind(), e.retry()), (ErrorKind::Throttled, Retry::Backoff), "{e}");
}

/// E.30: what is larger than any page is not read.
#[tokio::test]
async fn a_page_has_a_bound() {
    let (server, client) = start().await;
    let keys: String = (0..100).map(|i| key(&format!("{i:03}{}", "x".repeat(200_000)))).collect();
    server.faults().add(Rule::on(Op::ListObjects).then(page(three(&keys))));
    let e = list(&client, spec("")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Protocol, "{e}");
    assert!(e.to_string().contains("longer than 16 MiB"), "{e}");
}
