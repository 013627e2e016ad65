//! `haul serve`: the same client against a folder. Here, because the client is here.

use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use haul_testkit::{TestServer, sizes};

use crate::client::{BUCKET, code, refusal, unsigned};

#[tokio::test]
async fn a_folder_is_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let keys = haul_serve::Credentials::generate().unwrap();
    let addr = ([127, 0, 0, 1], 0).into();
    let server = haul_serve::serve_folder(dir.path(), addr, &keys).await.unwrap();
    // Only the builder's defaults are taken from the test server.
    let other = TestServer::start().await.unwrap();
    let provider = Credentials::new(&keys.access_key, &keys.secret_key, None, None, "haul-testkit");
    let config = unsigned(&other).endpoint_url(server.endpoint_url());
    let s3 = aws_sdk_s3::Client::from_conf(config.credentials_provider(provider).build());

    s3.create_bucket().bucket(BUCKET).send().await.unwrap();
    // Past the 20 MiB that s3s keeps for XML.
    let whole = sizes::pattern(24 << 20, 1);
    let put = s3.put_object().bucket(BUCKET).key("a/b c").body(ByteStream::from(whole.clone()));
    put.send().await.unwrap();
    assert!(std::fs::read(dir.path().join(BUCKET).join("a/b c")).unwrap() == whole);
    let get = s3.get_object().bucket(BUCKET).key("a/b c").range("bytes=100-199").send().await;
    assert_eq!(get.unwrap().body.collect().await.unwrap().into_bytes(), whole[100..200]);
    let none = s3.get_object().bucket(BUCKET).key("none").send().await;
    assert_eq!(refusal(none), code("NoSuchKey", 404));
    let folder = s3.get_object().bucket(BUCKET).key("a").send().await;
    assert_eq!(refusal(folder), code("NoSuchKey", 404), "a folder is no object");

    let created = s3.create_multipart_upload().bucket(BUCKET).key("m").send().await.unwrap();
    let id = created.upload_id().unwrap();
    let mut parts = Vec::new();
    for (n, chunk) in (1..).zip(whole.chunks(8 << 20)) {
        let body = ByteStream::from(chunk.to_vec());
        let part = s3.upload_part().bucket(BUCKET).key("m").upload_id(id).part_number(n);
        let etag = part.body(body).send().await.unwrap().e_tag;
        parts.push(CompletedPart::builder().part_number(n).set_e_tag(etag).build());
    }
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("m").upload_id(id);
    complete.multipart_upload(parts).send().await.unwrap();
    assert!(std::fs::read(dir.path().join(BUCKET).join("m")).unwrap() == whole);
    let list = s3.list_objects_v2().bucket(BUCKET).send().await.unwrap();
    let found: Vec<_> = list.contents().iter().map(|o| o.key().unwrap()).collect();
    assert_eq!(found, ["a/b c", "m"]);
    server.stop().await;
}
