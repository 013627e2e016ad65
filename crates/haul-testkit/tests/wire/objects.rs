//! Put, get, head, copy, delete, versions, tags.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, MetadataDirective, StorageClass,
};
use haul_testkit::memory::Algorithm;
use haul_testkit::{
    ChecksumSupport, Fault, Op, Rule, StoreRules, TestServer, sizes, synthetic_bytes,
};

use crate::client::{BUCKET, code, config, refusal, start, start_with, unsigned};

#[tokio::test]
async fn an_object_keeps_what_it_was_given() {
    let (server, s3) = start().await;
    let put = s3
        .put_object()
        .bucket(BUCKET)
        .key("k")
        .body(ByteStream::from_static(b"hello"))
        .content_type("text/plain")
        .cache_control("max-age=60")
        .content_disposition("attachment")
        .metadata("colour", "grün")
        .storage_class(StorageClass::StandardIa)
        .tagging("a=1&b=x%20y")
        .send()
        .await
        .unwrap();
    // md5("hello"), as any tool prints it.
    assert_eq!(put.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    let stored = server.store().object(BUCKET, "k").unwrap();
    assert_eq!(stored.bytes(), "hello");
    assert_eq!(stored.tags, [("a".into(), "1".into()), ("b".into(), "x y".into())]);

    let head = s3.head_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(head.content_length(), Some(5));
    assert_eq!(head.content_type(), Some("text/plain"));
    assert_eq!(head.cache_control(), Some("max-age=60"));
    assert_eq!(head.content_disposition(), Some("attachment"));
    assert_eq!(head.storage_class(), Some(&StorageClass::StandardIa));
    assert_eq!(stored.metadata("colour"), Some("grün"));
    assert!(head.checksum_crc64_nvme().is_none(), "only with checksum-mode");

    let get = s3
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap();
    assert_eq!(get.checksum_crc64_nvme(), Some(Algorithm::Crc64Nvme.of(b"hello").as_str()));
    assert_eq!(get.checksum_type(), Some(&ChecksumType::FullObject));
    assert_eq!(get.tag_count(), Some(2));
    assert_eq!(get.body.collect().await.unwrap().into_bytes(), "hello");
    assert_eq!(server.calls().summary().values().sum::<usize>(), 3);
}

#[tokio::test]
async fn a_wrong_checksum_is_a_bad_digest() {
    let (server, s3) = start().await;
    let put = || s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"data"));
    let wrong = |a: Algorithm| a.of(b"other");
    let bad = code("BadDigest", 400);
    assert_eq!(refusal(put().checksum_crc64_nvme(wrong(Algorithm::Crc64Nvme)).send().await), bad);
    assert_eq!(refusal(put().checksum_crc32(wrong(Algorithm::Crc32)).send().await), bad);
    assert_eq!(refusal(put().checksum_crc32_c(wrong(Algorithm::Crc32c)).send().await), bad);
    assert_eq!(refusal(put().checksum_sha256(wrong(Algorithm::Sha256)).send().await), bad);
    assert_eq!(refusal(put().checksum_sha1(wrong(Algorithm::Sha1)).send().await), bad);
    // md5("hello"), not of "data".
    assert_eq!(refusal(put().content_md5("XUFAKrxLKna5cZ2REBfFkg==").send().await), bad);
    assert_eq!(refusal(put().content_md5("short").send().await), code("InvalidDigest", 400));
    assert_eq!(refusal(put().checksum_crc32("AAAA").send().await), code("InvalidRequest", 400));
    assert!(server.store().object(BUCKET, "k").is_none());

    let right = Algorithm::Crc32c.of(b"data");
    let put = put().checksum_crc32_c(&right).send().await.unwrap();
    assert_eq!(put.checksum_crc32_c(), Some(right.as_str()));
    let stored = server.store().object(BUCKET, "k").unwrap();
    assert_eq!(stored.checksums.get(Algorithm::Crc32c), Some(right.as_str()));
}

#[tokio::test]
async fn a_trailing_checksum_is_checked_too() {
    let (server, _) = start().await;
    let when = aws_sdk_s3::config::RequestChecksumCalculation::WhenSupported;
    let s3 = config(&server).request_checksum_calculation(when).build();
    let s3 = aws_sdk_s3::Client::from_conf(s3);
    // Only a body that is not in memory is sent with a trailer.
    let bytes = sizes::pattern(100_000, 1);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let put = async || {
        let body = ByteStream::from_path(file.path()).await.unwrap();
        let put = s3.put_object().bucket(BUCKET).key("k").body(body);
        put.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).send().await
    };
    let expected = Algorithm::Crc64Nvme.of(&bytes);
    assert_eq!(put().await.unwrap().checksum_crc64_nvme(), Some(expected.as_str()));
    assert_eq!(server.store().object(BUCKET, "k").unwrap().bytes(), bytes);
    let call = &server.calls().of(Op::PutObject)[0];
    assert_eq!(call.header("x-amz-trailer"), Some("x-amz-checksum-crc64nvme"));
    assert_eq!(call.header("content-length"), Some(call.request_bytes.to_string().as_str()));
    assert!(call.request_bytes > 100_000, "the framing counts");
    // Over plain HTTP the SDK signs every chunk, whatever it is told about payload signing.
    server.faults().add(Rule::on(Op::PutObject).then(Fault::FlipRequestBit(50_000)));
    assert_eq!(refusal(put().await), code("SignatureDoesNotMatch", 403));
}

/// What the SDK sends when told both to use an algorithm and to compute only what is required.
#[tokio::test]
async fn an_announced_checksum_must_come() {
    let (_server, s3) = start().await;
    let put = s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"data"));
    let put = put.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).send().await;
    assert_eq!(refusal(put), code("InvalidRequest", 400));
}

#[tokio::test]
async fn ranges_of_every_form() {
    let (server, s3) = start().await;
    server.store().put(BUCKET, "k", "0123456789");
    let get = |range: &str| s3.get_object().bucket(BUCKET).key("k").range(range).send();
    for (range, body, label) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ] {
        let got = get(range).await.unwrap();
        assert_eq!(got.content_range(), Some(label), "{range}");
        assert!(got.checksum_crc64_nvme().is_none());
        assert_eq!(got.body.collect().await.unwrap().into_bytes(), body, "{range}");
    }
    assert_eq!(refusal(get("bytes=10-").await), code("InvalidRange", 416));
    server.store().put(BUCKET, "k", "");
    assert_eq!(refusal(get("bytes=0-").await), code("InvalidRange", 416));
    assert_eq!(refusal(get("bytes=-1").await), code("InvalidRange", 416));
    let statuses: Vec<_> = server.calls().list().iter().filter_map(|c| c.status).collect();
    assert_eq!(statuses[..6], [206; 6]);
}

#[tokio::test]
async fn conditions_hold_reads_and_writes() {
    let (server, s3) = start().await;
    let etag = server.store().put(BUCKET, "k", "one");
    let failed = code("PreconditionFailed", 412);
    let get = || s3.get_object().bucket(BUCKET).key("k");
    assert!(get().if_match(&etag).send().await.is_ok());
    assert_eq!(refusal(get().if_match("\"other\"").send().await), failed);
    assert_eq!(refusal(get().if_none_match(&etag).send().await).1, 304);

    let put = || s3.put_object().bucket(BUCKET).body(ByteStream::from_static(b"two"));
    assert_eq!(refusal(put().key("k").if_none_match("*").send().await), failed);
    assert!(put().key("new").if_none_match("*").send().await.is_ok());
    assert_eq!(refusal(put().key("k").if_match("\"other\"").send().await), failed);
    assert_eq!(refusal(put().key("none").if_match(&etag).send().await), code("NoSuchKey", 404));
    assert!(put().key("k").if_match(&etag).send().await.is_ok());
    assert_eq!(server.store().object(BUCKET, "k").unwrap().bytes(), "two");
}

#[tokio::test]
async fn versions_and_markers() {
    let (server, s3) = start().await;
    server.store().set_versioning(BUCKET, true);
    let mut ids = Vec::new();
    for body in ["one", "two"] {
        let body = ByteStream::from(body.as_bytes().to_vec());
        let put = s3.put_object().bucket(BUCKET).key("k").body(body).send().await.unwrap();
        ids.push(put.version_id().unwrap().to_owned());
    }
    let get = |id: &str| s3.get_object().bucket(BUCKET).key("k").version_id(id).send();
    let old = get(&ids[0]).await.unwrap();
    assert_eq!(old.body.collect().await.unwrap().into_bytes(), "one");
    assert_eq!(refusal(get("none").await), code("NoSuchVersion", 404));

    let gone = s3.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(gone.delete_marker(), Some(true));
    let marker = gone.version_id().unwrap();
    let plain = s3.get_object().bucket(BUCKET).key("k").send().await;
    assert_eq!(refusal(plain), code("NoSuchKey", 404));
    assert_eq!(refusal(get(marker).await), code("MethodNotAllowed", 405));

    let list = s3.list_object_versions().bucket(BUCKET).send().await.unwrap();
    let found: Vec<_> = list.versions().iter().map(|v| v.version_id().unwrap()).collect();
    assert_eq!(found, [&ids[1], &ids[0]], "newest first");
    assert_eq!(list.delete_markers()[0].is_latest(), Some(true));
    s3.delete_object().bucket(BUCKET).key("k").version_id(marker).send().await.unwrap();
    assert_eq!(server.store().object(BUCKET, "k").unwrap().bytes(), "two");
    assert_eq!(server.store().versions(BUCKET, "k").len(), 2);
}

#[tokio::test]
async fn copies_keep_or_replace_metadata() {
    let (server, s3) = start().await;
    let put = s3.put_object().bucket(BUCKET).key("a b").body(ByteStream::from_static(b"data"));
    let put = put.content_type("text/plain").metadata("m", "1").send().await.unwrap();
    let copy =
        |to: &str| s3.copy_object().bucket(BUCKET).key(to).copy_source(format!("{BUCKET}/a%20b"));
    let done = copy("kept").copy_source_if_match(put.e_tag().unwrap()).send().await.unwrap();
    assert_eq!(done.copy_object_result().unwrap().e_tag(), put.e_tag());
    let kept = server.store().object(BUCKET, "kept").unwrap();
    assert_eq!(
        (kept.attributes.content_type.as_deref(), kept.metadata("m")),
        (Some("text/plain"), Some("1"))
    );

    let new = copy("new").metadata_directive(MetadataDirective::Replace).metadata("n", "2");
    new.send().await.unwrap();
    let new = server.store().object(BUCKET, "new").unwrap();
    assert_eq!((new.attributes.content_type.as_deref(), new.metadata("m")), (None, None));
    assert_eq!(new.metadata("n"), Some("2"));

    let wrong = copy("x").copy_source_if_match("\"other\"").send().await;
    assert_eq!(refusal(wrong), code("PreconditionFailed", 412));
    assert_eq!(refusal(copy("a b").send().await), code("InvalidRequest", 400));
    let missing = s3.copy_object().bucket(BUCKET).key("x").copy_source("bucket/none");
    assert_eq!(refusal(missing.send().await), code("NoSuchKey", 404));
}

#[tokio::test]
async fn rules_change_the_store() {
    let rules = StoreRules {
        checksums: ChecksumSupport::NotImplemented,
        conditional_put: false,
        conditional_get: false,
        anonymous: true,
        ..StoreRules::default()
    };
    let (server, s3) = start_with(rules).await;
    let put = || s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"data"));
    let sum = Algorithm::Crc32.of(b"data");
    assert_eq!(refusal(put().checksum_crc32(sum).send().await), code("NotImplemented", 501));
    assert_eq!(refusal(put().if_none_match("*").send().await), code("NotImplemented", 501));
    put().send().await.unwrap();
    assert!(server.store().object(BUCKET, "k").unwrap().checksums.is_empty());
    let any = s3.get_object().bucket(BUCKET).key("k").if_match("\"other\"").send().await;
    assert!(any.is_ok());
    let unsigned = aws_sdk_s3::Client::from_conf(unsigned(&server).build());
    assert!(unsigned.get_object().bucket(BUCKET).key("k").send().await.is_ok());
}

#[tokio::test]
async fn a_sink_hashes_and_forgets() {
    let (server, s3) = start_with(StoreRules { sink: true, ..StoreRules::default() }).await;
    let bytes = synthetic_bytes(0, 300_000);
    let put = || s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from(bytes.clone()));
    let wrong = put().checksum_crc32(Algorithm::Crc32.of(b"x")).send().await;
    assert_eq!(refusal(wrong), code("BadDigest", 400));
    put().send().await.unwrap();
    assert_eq!(server.store().object(BUCKET, "k").unwrap().size(), 300_000);
    let get = s3.get_object().bucket(BUCKET).key("k").range("bytes=1000-2999").send().await;
    let body = get.unwrap().body.collect().await.unwrap().into_bytes();
    assert_eq!(body, bytes[1000..3000]);

    server.store().put_synthetic(BUCKET, "big", 5 << 40);
    let head = s3.head_object().bucket(BUCKET).key("big").send().await.unwrap();
    assert_eq!(head.content_length(), Some(5 << 40));
    assert!(head.e_tag().unwrap().ends_with("-1\""), "no MD5");
    let get = s3.get_object().bucket(BUCKET).key("big").range("bytes=-7").send().await.unwrap();
    assert_eq!(get.body.collect().await.unwrap().into_bytes(), synthetic_bytes((5 << 40) - 7, 7));
}

#[tokio::test]
async fn an_unsigned_or_wrongly_signed_request_is_refused() {
    let server = TestServer::start().await.unwrap();
    let unsigned = aws_sdk_s3::Client::from_conf(unsigned(&server).build());
    let refused = unsigned.list_buckets().send().await;
    assert_eq!(refusal(refused), code("AccessDenied", 403));
    let wrong = aws_sdk_s3::config::Credentials::new(
        server.access_key(),
        "wrong",
        None,
        None,
        "haul-testkit",
    );
    let wrong = config(&server).credentials_provider(wrong).build();
    let refused = aws_sdk_s3::Client::from_conf(wrong).list_buckets().send().await;
    assert_eq!(refusal(refused), code("SignatureDoesNotMatch", 403));
    assert!(server.calls().list()[1].header("authorization").is_none(), "never recorded");
    server.stop().await;
}
