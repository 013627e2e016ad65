//! `haul serve`: the same client against a folder. Here, because the client is here.

use std::path::PathBuf;

use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::operation::copy_object::builders::CopyObjectFluentBuilder;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    CompletedMultipartUpload, CompletedPart, Delete, EncodingType, ObjectIdentifier,
};
use haul_testkit::{TestServer, sizes};

use crate::client::{BUCKET, code, refusal, unsigned};

/// A folder behind an endpoint, with one empty bucket.
struct Served {
    dir: tempfile::TempDir,
    server: haul_serve::Server,
    s3: aws_sdk_s3::Client,
}

async fn serve() -> Served {
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
    Served { dir, server, s3 }
}

impl Served {
    fn put(&self, key: &str) -> PutObjectFluentBuilder {
        self.s3.put_object().bucket(BUCKET).key(key)
    }

    fn copy(&self, from: &str, to: &str) -> CopyObjectFluentBuilder {
        self.s3.copy_object().copy_source(format!("{BUCKET}/{from}")).bucket(BUCKET).key(to)
    }

    async fn holds(&self, key: &str) {
        self.put(key).body(ByteStream::from_static(b"it")).send().await.unwrap();
    }

    /// Every file and folder of the bucket.
    fn on_disk(&self) -> Vec<PathBuf> {
        let mut found = vec![self.dir.path().join(BUCKET)];
        let mut next = 0;
        while let Some(path) = found.get(next).cloned() {
            if path.is_dir() {
                found.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
            }
            next += 1;
        }
        found.sort();
        found
    }
}

#[tokio::test]
async fn a_folder_is_a_store() {
    let Served { dir, server, s3 } = serve().await;
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

#[tokio::test]
async fn a_listing_encodes_names_only_if_asked() {
    let served = serve().await;
    let s3 = &served.s3;
    for key in ["d é/a\u{1b}b", "d é/c+d%/e~_-.", "d é/z&<"] {
        served.holds(key).await;
    }
    let list =
        || s3.list_objects_v2().bucket(BUCKET).prefix("d é/").encoding_type(EncodingType::Url);
    let page = list().delimiter("/").start_after("a b").send().await.unwrap();
    let keys: Vec<_> = page.contents().iter().map(|o| o.key().unwrap()).collect();
    assert_eq!(keys, ["d%20%C3%A9/a%1Bb", "d%20%C3%A9/z%26%3C"]);
    assert_eq!(page.common_prefixes()[0].prefix(), Some("d%20%C3%A9/c%2Bd%25/"));
    assert_eq!(page.prefix(), Some("d%20%C3%A9/"));
    assert_eq!(page.start_after(), Some("a%20b"));
    assert_eq!(page.delimiter(), Some("/"));
    assert_eq!(page.encoding_type(), Some(&EncodingType::Url));

    // Page by page: a token may name a key that XML cannot hold.
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let page = list().max_keys(1).set_continuation_token(token.clone()).send().await.unwrap();
        assert_eq!(page.continuation_token, token);
        seen.extend(page.contents().iter().map(|o| o.key().unwrap().to_owned()));
        token = page.next_continuation_token;
        if token.is_none() {
            break;
        }
    }
    let all = ["d%20%C3%A9/a%1Bb", "d%20%C3%A9/c%2Bd%25/e~_-.", "d%20%C3%A9/z%26%3C"];
    assert_eq!(seen, all);
    let bad = list().continuation_token("%FF").send().await;
    assert_eq!(refusal(bad), code("InvalidArgument", 400));

    let v1 = s3.list_objects().bucket(BUCKET).encoding_type(EncodingType::Url).max_keys(1);
    let page = v1.marker("d é/A").send().await.unwrap();
    assert_eq!(page.contents()[0].key(), Some(all[0]));
    assert_eq!(page.marker(), Some("d%20%C3%A9/A"));
    assert_eq!(page.next_marker(), Some(all[0]));

    let raw = s3.list_objects_v2().bucket(BUCKET).prefix("d é/c").send().await.unwrap();
    assert_eq!(raw.contents()[0].key(), Some("d é/c+d%/e~_-."));
    assert_eq!((raw.prefix(), raw.encoding_type()), (Some("d é/c"), None));
}

#[tokio::test]
async fn a_bucket_with_a_file_is_not_deleted() {
    let served = serve().await;
    let delete = || served.s3.delete_bucket().bucket(BUCKET).send();
    served.holds("a/b/c").await;
    assert_eq!(refusal(delete().await), code("BucketNotEmpty", 409));
    assert!(served.dir.path().join(BUCKET).join("a/b/c").is_file());
    served.s3.delete_object().bucket(BUCKET).key("a/b/c").send().await.unwrap();
    assert!(served.dir.path().join(BUCKET).join("a/b").is_dir(), "folders are left over");
    delete().await.unwrap();
    assert!(!served.dir.path().join(BUCKET).exists());
    assert_eq!(refusal(delete().await), code("NoSuchBucket", 404));
}

#[tokio::test]
async fn keys_that_cannot_be_paths_are_refused_and_change_nothing() {
    let served = serve().await;
    served.holds("file").await;
    served.holds("folder/in").await;
    let before = served.on_disk();
    let long = format!("a/{}", "x".repeat(256));
    let notes = format!("a/{0}/{0}", "x".repeat(100));
    let s3 = &served.s3;
    let bad = code("InvalidArgument", 400);
    for key in [&long, &notes, "double//slash", "slash//", "file/in", "file/a/b", "file/", "folder"]
    {
        assert_eq!(refusal(served.put(key).send().await), bad, "{key}");
        assert_eq!(refusal(served.copy("file", key).send().await), bad, "{key}");
        let create = s3.create_multipart_upload().bucket(BUCKET).key(key).send().await;
        assert_eq!(refusal(create), bad, "{key}");
    }
    // These would be stored without the slash.
    assert_eq!(refusal(served.copy("file", "new/").send().await), bad);
    let create = s3.create_multipart_upload().bucket(BUCKET).key("new/").send().await;
    assert_eq!(refusal(create), bad);
    assert_eq!(served.on_disk(), before);

    let longest = "x".repeat(150);
    served.holds(&longest).await;
    served.copy("file", &format!("{longest}y")).send().await.unwrap();
    served.put("marker/").send().await.unwrap();
    served.put("marker/").send().await.unwrap();
    assert!(served.dir.path().join(BUCKET).join("marker").is_dir());
    s3.delete_object().bucket(BUCKET).key("marker/").send().await.unwrap();
    assert!(!served.dir.path().join(BUCKET).join("marker").exists());
}

#[tokio::test]
async fn an_upload_whose_path_was_taken_is_refused_and_stays() {
    let served = serve().await;
    let s3 = &served.s3;
    let created = s3.create_multipart_upload().bucket(BUCKET).key("m").send().await.unwrap();
    let id = created.upload_id().unwrap();
    let part = s3.upload_part().bucket(BUCKET).key("m").upload_id(id).part_number(1);
    let etag = part.body(ByteStream::from_static(b"part")).send().await.unwrap().e_tag;
    let part = CompletedPart::builder().part_number(1).set_e_tag(etag).build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("m").upload_id(id);
    let complete = complete.multipart_upload(parts);
    served.holds("m/in").await;
    assert_eq!(refusal(complete.clone().send().await), code("InvalidArgument", 400));
    std::fs::remove_dir_all(served.dir.path().join(BUCKET).join("m")).unwrap();
    complete.send().await.unwrap();
    assert_eq!(std::fs::read(served.dir.path().join(BUCKET).join("m")).unwrap(), b"part");
}

#[tokio::test]
async fn what_no_file_can_be_is_not_found_and_deletes_nothing() {
    let served = serve().await;
    let s3 = &served.s3;
    served.holds("file").await;
    served.holds("folder/in").await;
    let before = served.on_disk();
    let long = "x".repeat(256);
    let keys = ["none", "file/in", "file/a/b", "file/", "folder", "folder/", "folder//in", &long];
    for key in keys {
        let get = s3.get_object().bucket(BUCKET).key(key).send().await;
        assert_eq!(refusal(get), code("NoSuchKey", 404), "{key}");
        let head = s3.head_object().bucket(BUCKET).key(key).send().await;
        assert_eq!(refusal(head), code("NotFound", 404), "{key}");
        let copy = served.copy(key, "to").send().await;
        assert_eq!(refusal(copy), code("NoSuchKey", 404), "{key}");
        s3.delete_object().bucket(BUCKET).key(key).send().await.unwrap();
    }
    let ids = keys.iter().chain(&["../bucket/file"]);
    let ids = ids.map(|key| ObjectIdentifier::builder().key(*key).build().unwrap()).collect();
    let delete = Delete::builder().set_objects(Some(ids)).build().unwrap();
    let deleted = s3.delete_objects().bucket(BUCKET).delete(delete).send().await.unwrap();
    assert_eq!((deleted.deleted().len(), deleted.errors().len()), (keys.len() + 1, 0));
    assert_eq!(served.on_disk(), before);
}
