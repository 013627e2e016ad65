//! Stores that are told to differ from AWS.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Region;
use aws_sdk_s3::types::{ChecksumMode, EncodingType};
use haul_testkit::memory::RegionCheck;
use haul_testkit::{ChecksumSupport, StoreRules};

use crate::client::{BUCKET, code, config, refusal, start_with};

#[tokio::test]
async fn operations_can_be_missing() {
    let rules = StoreRules { list_v2: false, delete_objects: false, ..StoreRules::default() };
    let (_server, s3) = start_with(rules).await;
    let v2 = s3.list_objects_v2().bucket(BUCKET).send().await;
    assert_eq!(refusal(v2), code("NotImplemented", 501));
    s3.list_objects().bucket(BUCKET).send().await.unwrap();
    let id = aws_sdk_s3::types::ObjectIdentifier::builder().key("k").build().unwrap();
    let delete = aws_sdk_s3::types::Delete::builder().objects(id).build().unwrap();
    let deleted = s3.delete_objects().bucket(BUCKET).delete(delete).send().await;
    assert_eq!(refusal(deleted), code("NotImplemented", 501));
}

#[tokio::test]
async fn listings_can_go_wrong() {
    let rules = StoreRules {
        max_keys: 2,
        repeat_page: true,
        unordered: true,
        url_encoding: false,
        ..StoreRules::default()
    };
    let (server, s3) = start_with(rules).await;
    for key in ["a b", "b", "c"] {
        server.store().put(BUCKET, key, "x");
    }
    let mut token = None;
    for _ in 0..2 {
        let page = s3
            .list_objects_v2()
            .bucket(BUCKET)
            .encoding_type(EncodingType::Url)
            .set_continuation_token(token)
            .send()
            .await
            .unwrap();
        let keys: Vec<_> = page.contents().iter().filter_map(|o| o.key()).collect();
        assert_eq!((keys, page.encoding_type()), (vec!["b", "a b"], None));
        token = page.next_continuation_token().map(str::to_owned);
    }
}

#[tokio::test]
async fn regions_can_matter() {
    for (check, status, named) in [
        (RegionCheck::Redirect, 301, true),
        (RegionCheck::SilentRedirect, 301, false),
        (RegionCheck::Malformed, 400, false),
    ] {
        let (server, s3) = start_with(StoreRules { regions: check, ..StoreRules::default() }).await;
        server.store().create_bucket_in("far", "eu-north-1");
        s3.list_objects_v2().bucket(BUCKET).send().await.unwrap();
        let error = s3.list_objects_v2().bucket("far").send().await.unwrap_err();
        let raw = error.raw_response().unwrap();
        let region = raw.headers().get("x-amz-bucket-region");
        assert_eq!(raw.status().as_u16(), status);
        assert_eq!(region, named.then_some("eu-north-1"), "{check:?}");
        let words = std::str::from_utf8(raw.body().bytes().unwrap()).unwrap();
        assert_eq!(words.contains("eu-north-1"), check == RegionCheck::Malformed, "{words}");
        let head = s3.head_bucket().bucket("far").send().await.unwrap_err();
        let region = head.raw_response().unwrap().headers().get("x-amz-bucket-region");
        assert_eq!(region, Some("eu-north-1").filter(|_| check != RegionCheck::Off));
        let there = config(&server).region(Region::new("eu-north-1")).build();
        Client::from_conf(there).list_objects_v2().bucket("far").send().await.unwrap();
    }
}

#[tokio::test]
async fn even_the_question_for_a_checksum_can_be_refused() {
    let checksums = ChecksumSupport::NotEvenAskedFor;
    let (server, s3) = start_with(StoreRules { checksums, ..StoreRules::default() }).await;
    server.store().put(BUCKET, "k", "x");
    let get = s3.get_object().bucket(BUCKET).key("k");
    get.clone().send().await.unwrap();
    let asked = get.checksum_mode(ChecksumMode::Enabled).send().await;
    assert_eq!(refusal(asked), code("InvalidArgument", 400));
}

#[tokio::test]
async fn head_counts_tags() {
    let (server, s3) = start_with(StoreRules::default()).await;
    server.store().put(BUCKET, "k", "x");
    let head = s3.head_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(head.tag_count(), None);
    let tag = aws_sdk_s3::types::Tag::builder().key("a").value("b").build().unwrap();
    let tags = aws_sdk_s3::types::Tagging::builder().tag_set(tag).build().unwrap();
    s3.put_object_tagging().bucket(BUCKET).key("k").tagging(tags).send().await.unwrap();
    let head = s3.head_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(head.tag_count(), Some(1));
}
