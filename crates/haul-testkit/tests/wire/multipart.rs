//! Multipart uploads.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use haul_testkit::memory::Algorithm;
use haul_testkit::{StoreRules, sizes};

use crate::client::{BUCKET, code, refusal, start, start_with};

const KEY: &str = "big";

/// A store whose parts may be small, so that tests are quick.
fn small_parts() -> StoreRules {
    StoreRules { min_part_size: 1000, ..StoreRules::default() }
}

async fn create(s3: &Client) -> String {
    let created = s3.create_multipart_upload().bucket(BUCKET).key(KEY).send().await.unwrap();
    created.upload_id().unwrap().to_owned()
}

async fn part(s3: &Client, id: &str, number: i32, bytes: Vec<u8>) -> CompletedPart {
    let sent = s3
        .upload_part()
        .bucket(BUCKET)
        .key(KEY)
        .upload_id(id)
        .part_number(number)
        .body(ByteStream::from(bytes))
        .send()
        .await
        .unwrap();
    CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build()
}

fn complete(
    s3: &Client,
    id: &str,
    parts: &[CompletedPart],
) -> aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder
{
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec())).build();
    s3.complete_multipart_upload().bucket(BUCKET).key(KEY).upload_id(id).multipart_upload(parts)
}

#[tokio::test]
async fn parts_become_an_object() {
    let (server, s3) = start_with(small_parts()).await;
    let whole = sizes::pattern(2500, 3);
    let id = create(&s3).await;
    let mut parts = Vec::new();
    for (n, chunk) in (1..).zip(whole.chunks(1000)) {
        parts.push(part(&s3, &id, n, chunk.to_vec()).await);
    }
    let listed = s3.list_parts().bucket(BUCKET).key(KEY).upload_id(&id).max_parts(2);
    let listed = listed.send().await.unwrap();
    assert_eq!((listed.parts().len(), listed.is_truncated()), (2, Some(true)));
    assert_eq!(server.store().uploads(BUCKET)[0].parts.len(), 3);

    let done = complete(&s3, &id, &parts).send().await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-3\""));
    let expected = Algorithm::Crc64Nvme.of(&whole);
    assert_eq!(done.checksum_crc64_nvme(), Some(expected.as_str()), "of the whole object");
    let stored = server.store().object(BUCKET, KEY).unwrap();
    assert_eq!(stored.bytes(), whole);
    assert_eq!(stored.part_sizes, [1000, 1000, 500]);
    assert!(server.store().uploads(BUCKET).is_empty());

    let second = s3.get_object().bucket(BUCKET).key(KEY).part_number(2).send().await.unwrap();
    assert_eq!(second.parts_count(), Some(3));
    assert_eq!(second.body.collect().await.unwrap().into_bytes(), whole[1000..2000]);
    let again = complete(&s3, &id, &parts).send().await;
    assert_eq!(refusal(again), code("NoSuchUpload", 404));
}

#[tokio::test]
async fn the_etag_is_the_md5_of_the_md5s() {
    let (_server, s3) = start_with(StoreRules { min_part_size: 1, ..StoreRules::default() }).await;
    let id = create(&s3).await;
    let parts = [part(&s3, &id, 1, b"a".to_vec()).await, part(&s3, &id, 2, b"b".to_vec()).await];
    let done = complete(&s3, &id, &parts).send().await.unwrap();
    // python3: md5(md5(b"a").digest() + md5(b"b").digest()).hexdigest()
    assert_eq!(done.e_tag(), Some("\"96e024ba2074fe77e8e965ba43a704be-2\""));
}

#[tokio::test]
async fn a_wrong_list_of_parts_is_refused_and_changes_nothing() {
    let (server, s3) = start_with(small_parts()).await;
    let id = create(&s3).await;
    let one = part(&s3, &id, 1, vec![1; 1000]).await;
    let two = part(&s3, &id, 2, vec![2; 999]).await;
    let three = part(&s3, &id, 3, vec![3; 1]).await;
    let list = |parts: &[CompletedPart]| complete(&s3, &id, parts).send();
    let order = list(&[two.clone(), one.clone()]).await;
    assert_eq!(refusal(order), code("InvalidPartOrder", 400));
    let small = list(&[one.clone(), two.clone(), three.clone()]).await;
    assert_eq!(refusal(small), code("EntityTooSmall", 400));
    let etag = CompletedPart::builder().part_number(1).e_tag("\"no\"").build();
    assert_eq!(refusal(list(&[etag]).await), code("InvalidPart", 400));
    let number = CompletedPart::builder().part_number(9).set_e_tag(one.e_tag.clone()).build();
    assert_eq!(refusal(list(&[number]).await), code("InvalidPart", 400));
    assert_eq!(refusal(list(&[]).await), code("MalformedXML", 400));
    let wrong = complete(&s3, &id, &[one.clone(), two.clone()]).mpu_object_size(5).send().await;
    assert_eq!(refusal(wrong), code("InvalidRequest", 400));
    server.store().put(BUCKET, KEY, "there");
    let exists = complete(&s3, &id, &[one.clone(), two.clone()]).if_none_match("*").send().await;
    assert_eq!(refusal(exists), code("PreconditionFailed", 412));
    assert_eq!(server.store().object(BUCKET, KEY).unwrap().bytes(), "there");

    list(&[one, two]).await.unwrap();
    assert_eq!(server.store().object(BUCKET, KEY).unwrap().size(), 1999);
}

#[tokio::test]
async fn the_real_minimum_is_five_mebibytes() {
    let (_server, s3) = start().await;
    let id = create(&s3).await;
    let parts = [part(&s3, &id, 1, vec![1; 1000]).await, part(&s3, &id, 2, vec![2; 10]).await];
    let small = complete(&s3, &id, &parts).send().await;
    assert_eq!(refusal(small), code("EntityTooSmall", 400));
    let abort = || s3.abort_multipart_upload().bucket(BUCKET).key(KEY).upload_id(&id).send();
    abort().await.unwrap();
    assert_eq!(refusal(abort().await), code("NoSuchUpload", 404));
    let high = s3.upload_part().bucket(BUCKET).key(KEY).upload_id(&id).part_number(10_001);
    assert_eq!(refusal(high.send().await), code("InvalidArgument", 400));
}

#[tokio::test]
async fn full_object_checksums_are_combined_and_checked() {
    let (server, s3) = start_with(small_parts()).await;
    let whole = sizes::pattern(2100, 4);
    for algorithm in
        [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc32C, ChecksumAlgorithm::Crc64Nvme]
    {
        let created = s3
            .create_multipart_upload()
            .bucket(BUCKET)
            .key(KEY)
            .checksum_algorithm(algorithm.clone())
            .checksum_type(ChecksumType::FullObject)
            .send()
            .await
            .unwrap();
        let id = created.upload_id().unwrap();
        assert_eq!(created.checksum_type(), Some(&ChecksumType::FullObject));
        let parts = [
            part(&s3, id, 1, whole[..1000].to_vec()).await,
            part(&s3, id, 2, whole[1000..].to_vec()).await,
        ];
        let kind = Algorithm::parse(algorithm.as_str()).unwrap();
        let claim = |value: String| {
            let request = complete(&s3, id, &parts).checksum_type(ChecksumType::FullObject);
            match kind {
                Algorithm::Crc32 => request.checksum_crc32(value),
                Algorithm::Crc32c => request.checksum_crc32_c(value),
                _ => request.checksum_crc64_nvme(value),
            }
        };
        let wrong = claim(kind.of(b"other")).send().await;
        assert_eq!(refusal(wrong), code("BadDigest", 400), "{algorithm:?}");
        claim(kind.of(&whole)).send().await.unwrap();
        let stored = server.store().object(BUCKET, KEY).unwrap();
        assert_eq!(stored.checksums.get(kind), Some(kind.of(&whole).as_str()));
    }
}

#[tokio::test]
async fn composite_checksums_need_every_part() {
    let (server, s3) = start_with(small_parts()).await;
    let created = s3
        .create_multipart_upload()
        .bucket(BUCKET)
        .key(KEY)
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .send()
        .await
        .unwrap();
    let id = created.upload_id().unwrap();
    let upload = || s3.upload_part().bucket(BUCKET).key(KEY).upload_id(id).part_number(1);
    let bare = upload().body(ByteStream::from_static(b"data")).send().await;
    assert_eq!(refusal(bare), code("InvalidRequest", 400));
    let sum = Algorithm::Sha256.of(b"data");
    let sent = upload().body(ByteStream::from_static(b"data")).checksum_sha256(&sum);
    let sent = sent.send().await.unwrap();
    assert_eq!(sent.checksum_sha256(), Some(sum.as_str()));
    let part = CompletedPart::builder().part_number(1).set_e_tag(sent.e_tag);
    let bare = complete(&s3, id, &[part.clone().build()]).send().await;
    assert_eq!(refusal(bare), code("InvalidRequest", 400));
    complete(&s3, id, &[part.checksum_sha256(&sum).build()]).send().await.unwrap();
    let stored = server.store().object(BUCKET, KEY).unwrap();
    assert!(stored.checksums.composite);
    assert!(stored.checksums.get(Algorithm::Sha256).unwrap().ends_with("-1"));
}

#[tokio::test]
async fn parts_can_be_copied_by_range() {
    let (server, s3) = start_with(small_parts()).await;
    let whole = sizes::pattern(3000, 5);
    let etag = server.store().put(BUCKET, "source", whole.clone());
    let id = create(&s3).await;
    let copy = |number: i32, range: &str| {
        s3.upload_part_copy()
            .bucket(BUCKET)
            .key(KEY)
            .upload_id(&id)
            .part_number(number)
            .copy_source(format!("{BUCKET}/source"))
            .copy_source_if_match(&etag)
            .copy_source_range(range)
            .send()
    };
    assert_eq!(refusal(copy(1, "bytes=0-3000").await), code("InvalidArgument", 400));
    let mut parts = Vec::new();
    for (n, range) in [(1, "bytes=0-1499"), (2, "bytes=1500-2999")] {
        let done = copy(n, range).await.unwrap();
        let etag = done.copy_part_result().unwrap().e_tag().unwrap();
        parts.push(CompletedPart::builder().part_number(n).e_tag(etag).build());
    }
    complete(&s3, &id, &parts).send().await.unwrap();
    let stored = server.store().object(BUCKET, KEY).unwrap();
    assert_eq!(stored.bytes(), whole);
    assert_eq!(
        stored.checksums.get(Algorithm::Crc64Nvme),
        Some(Algorithm::Crc64Nvme.of(&whole).as_str())
    );
}

#[tokio::test]
async fn rules_change_multipart() {
    let rules = StoreRules {
        equal_parts: true,
        upload_part_copy: false,
        complete_again: true,
        max_parts: 3,
        ..small_parts()
    };
    let (server, s3) = start_with(rules).await;
    let id = create(&s3).await;
    let one = part(&s3, &id, 1, vec![1; 1000]).await;
    let two = part(&s3, &id, 2, vec![2; 1001]).await;
    let three = part(&s3, &id, 3, vec![3; 10]).await;
    let unequal = complete(&s3, &id, &[one.clone(), two, three.clone()]).send().await;
    assert_eq!(refusal(unequal), code("InvalidPart", 400));
    let parts = [one, part(&s3, &id, 2, vec![2; 1000]).await, three];
    let first = complete(&s3, &id, &parts).send().await.unwrap();
    let again = complete(&s3, &id, &parts).send().await.unwrap();
    assert_eq!(first.e_tag(), again.e_tag());
    let copy = s3.upload_part_copy().bucket(BUCKET).key(KEY).upload_id(&id).part_number(1);
    let copy = copy.copy_source(format!("{BUCKET}/{KEY}")).send().await;
    assert_eq!(refusal(copy), code("NotImplemented", 501));
    let high = s3.upload_part().bucket(BUCKET).key(KEY).upload_id(&id).part_number(4);
    assert_eq!(refusal(high.send().await), code("InvalidArgument", 400));
    assert_eq!(server.calls().peak_in_flight(), 1);
}
