//! Listings, buckets, deletes in bulk, tags.

use aws_sdk_s3::types::{Delete, EncodingType, ObjectIdentifier, Tag, Tagging};
use haul_testkit::StoreRules;

use crate::client::{BUCKET, code, refusal, start, start_with};

const KEYS: [&str; 8] = ["a", "a/1", "a/2", "a/b/3", "a0", "b/1", "c", "d/"];

async fn filled(max_keys: u32) -> (haul_testkit::TestServer, aws_sdk_s3::Client) {
    let (server, s3) = start_with(StoreRules { max_keys, ..StoreRules::default() }).await;
    for key in KEYS {
        server.store().put(BUCKET, key, key);
    }
    (server, s3)
}

#[tokio::test]
async fn pages_add_up_whatever_their_size() {
    for max in 1..=9 {
        let (_server, s3) = filled(max).await;
        for (prefix, delimiter, keys, prefixes) in [
            ("", None, &KEYS[..], &[][..]),
            ("", Some("/"), &["a", "a0", "c"][..], &["a/", "b/", "d/"][..]),
            ("a/", Some("/"), &["a/1", "a/2"][..], &["a/b/"][..]),
            ("a", None, &["a", "a/1", "a/2", "a/b/3", "a0"][..], &[][..]),
            ("x", Some("/"), &[][..], &[][..]),
        ] {
            let (mut found, mut common, mut token) = (Vec::new(), Vec::new(), None);
            loop {
                let page = s3
                    .list_objects_v2()
                    .bucket(BUCKET)
                    .prefix(prefix)
                    .set_delimiter(delimiter.map(str::to_owned))
                    .set_continuation_token(token)
                    .send()
                    .await
                    .unwrap();
                found.extend(page.contents().iter().map(|o| o.key().unwrap().to_owned()));
                common
                    .extend(page.common_prefixes().iter().map(|p| p.prefix().unwrap().to_owned()));
                token = page.next_continuation_token().map(str::to_owned);
                assert_eq!(page.is_truncated(), Some(token.is_some()));
                if token.is_none() {
                    break;
                }
            }
            assert_eq!(found, keys, "{prefix:?} {delimiter:?} by {max}");
            assert_eq!(common, prefixes, "{prefix:?} {delimiter:?} by {max}");
        }
    }
}

#[tokio::test]
async fn version_one_pages_by_marker() {
    let (_server, s3) = filled(2).await;
    let (mut found, mut marker) = (Vec::new(), None);
    loop {
        let page = s3
            .list_objects()
            .bucket(BUCKET)
            .delimiter("/")
            .set_marker(marker)
            .send()
            .await
            .unwrap();
        found.extend(page.contents().iter().map(|o| o.key().unwrap().to_owned()));
        found.extend(page.common_prefixes().iter().map(|p| p.prefix().unwrap().to_owned()));
        marker = page.next_marker().map(str::to_owned);
        if marker.is_none() {
            break;
        }
    }
    found.sort_unstable();
    assert_eq!(found, ["a", "a/", "a0", "b/", "c", "d/"]);
}

#[tokio::test]
async fn versions_page_too() {
    let (server, s3) = filled(2).await;
    server.store().set_versioning(BUCKET, true);
    server.store().put(BUCKET, "a", "second");
    server.store().put(BUCKET, "a", "third");
    let (mut found, mut markers) = (Vec::new(), (None, None));
    loop {
        let page = s3
            .list_object_versions()
            .bucket(BUCKET)
            .set_key_marker(markers.0)
            .set_version_id_marker(markers.1)
            .send()
            .await
            .unwrap();
        found.extend(page.versions().iter().map(|v| (v.key().unwrap().to_owned(), v.size())));
        if page.is_truncated() != Some(true) {
            break;
        }
        markers = (page.next_key_marker.clone(), page.next_version_id_marker.clone());
    }
    let sizes: Vec<_> = found.iter().filter(|(k, _)| k == "a").map(|(_, s)| s.unwrap()).collect();
    assert_eq!(sizes, [5, 6, 1], "newest first");
    assert_eq!(found.len(), KEYS.len() + 2);
}

#[tokio::test]
async fn start_after_and_url_encoding() {
    let (server, s3) = filled(1000).await;
    let page = s3.list_objects_v2().bucket(BUCKET).start_after("b/1").send().await.unwrap();
    let found: Vec<_> = page.contents().iter().map(|o| o.key().unwrap()).collect();
    assert_eq!(found, ["c", "d/"]);
    server.store().put(BUCKET, "z +\u{1}é/x", "");
    let list = s3.list_objects_v2().bucket(BUCKET).prefix("z").encoding_type(EncodingType::Url);
    let page = list.send().await.unwrap();
    assert_eq!(page.contents()[0].key(), Some("z%20%2B%01%C3%A9/x"));
}

#[tokio::test]
async fn buckets_come_and_go() {
    let (server, s3) = start().await;
    s3.create_bucket().bucket("second").send().await.unwrap();
    let again = s3.create_bucket().bucket("second").send().await;
    assert_eq!(refusal(again), code("BucketAlreadyOwnedByYou", 409));
    let names = s3.list_buckets().send().await.unwrap();
    let names: Vec<_> = names.buckets().iter().map(|b| b.name().unwrap()).collect();
    assert_eq!(names, [BUCKET, "second"]);
    s3.head_bucket().bucket("second").send().await.unwrap();
    let location = s3.get_bucket_location().bucket("second").send().await.unwrap();
    assert!(location.location_constraint().is_none_or(|l| l.as_str().is_empty()));
    server.store().put("second", "k", "");
    let full = s3.delete_bucket().bucket("second").send().await;
    assert_eq!(refusal(full), code("BucketNotEmpty", 409));
    server.store().remove("second", "k");
    s3.delete_bucket().bucket("second").send().await.unwrap();
    assert_eq!(refusal(s3.head_bucket().bucket("second").send().await).1, 404);
    let gone = s3.list_objects_v2().bucket("second").send().await;
    assert_eq!(refusal(gone), code("NoSuchBucket", 404));
}

#[tokio::test]
async fn many_are_deleted_at_once() {
    let (server, s3) = filled(1000).await;
    let objects = ["a", "a/1", "none"]
        .map(|key| ObjectIdentifier::builder().key(key).build().unwrap())
        .to_vec();
    let delete = Delete::builder().set_objects(Some(objects)).build().unwrap();
    let done = s3.delete_objects().bucket(BUCKET).delete(delete).send().await.unwrap();
    assert_eq!((done.deleted().len(), done.errors().len()), (3, 0));
    assert_eq!(server.store().keys(BUCKET).len(), KEYS.len() - 2);
}

#[tokio::test]
async fn tags_and_uploads_are_listed() {
    let (server, s3) = filled(2).await;
    let tag = Tag::builder().key("k").value("v").build().unwrap();
    let tagging = Tagging::builder().tag_set(tag.clone()).build().unwrap();
    s3.put_object_tagging().bucket(BUCKET).key("a").tagging(tagging).send().await.unwrap();
    let tags = s3.get_object_tagging().bucket(BUCKET).key("a").send().await.unwrap();
    assert_eq!(tags.tag_set(), [tag]);

    for key in ["x", "x", "y/1", "y/2", "z"] {
        s3.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
    }
    let (mut found, mut markers) = (Vec::new(), (None, None));
    loop {
        let page = s3
            .list_multipart_uploads()
            .bucket(BUCKET)
            .delimiter("/")
            .set_key_marker(markers.0)
            .set_upload_id_marker(markers.1)
            .send()
            .await
            .unwrap();
        found.extend(page.uploads().iter().map(|u| u.key().unwrap().to_owned()));
        found.extend(page.common_prefixes().iter().map(|p| p.prefix().unwrap().to_owned()));
        if page.is_truncated() != Some(true) {
            break;
        }
        markers = (page.next_key_marker.clone(), page.next_upload_id_marker.clone());
    }
    assert_eq!(found, ["x", "x", "z", "y/"], "a page lists its prefixes last");
    assert_eq!(server.store().uploads(BUCKET).len(), 5);
}
