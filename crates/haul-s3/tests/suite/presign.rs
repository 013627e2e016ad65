//! Links, used as anybody would who has nothing but the link.

use std::time::Duration;

use haul_core::{ErrorKind, Hint};
use haul_s3::{LONGEST_LINK, ObjectId, Presigned, S3Client, presign_get, presign_put};
use haul_testkit::sizes::ODD_KEYS;
use haul_testkit::{Op, StoreRules, TestServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::kit::{BUCKET, options, start};

const HOUR: Duration = Duration::from_hours(1);

/// A plain request: status and body.
async fn send(server: &TestServer, link: &Presigned, body: &str) -> (u16, String) {
    let target = link.url.strip_prefix(&server.endpoint_url()).unwrap();
    let (method, host, length) = (&link.method, server.addr(), body.len());
    let headers: Vec<_> = link.headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: {host}\r\n{}content-length: {length}\r\n\
         connection: close\r\n\r\n",
        headers.concat()
    );
    let mut socket = TcpStream::connect(server.addr()).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}

#[tokio::test]
async fn links_download() {
    let (server, client) = start().await;
    server.store().set_versioning(BUCKET, true);
    for key in ODD_KEYS.iter().filter(|key| key.len() < 255) {
        server.store().put(BUCKET, key, "hello");
        let link = presign_get(&client, &ObjectId::new(BUCKET, *key), HOUR).await.unwrap();
        let (status, body) = send(&server, &link, "").await;
        assert_eq!(status, 200, "{key:?}: {body}");
        assert!(body.contains("hello"));
        assert_eq!((link.expires_in, link.credentials_expire), (HOUR, None));
        assert!(link.url.contains("X-Amz-Expires=3600") && !format!("{link:?}").contains("X-Amz"));
    }
    // An older version is what the link says.
    server.store().put(BUCKET, "k", "old");
    let old = server.store().object(BUCKET, "k").unwrap().version_id;
    server.store().put(BUCKET, "k", "new");
    let object = ObjectId { version_id: Some(old), ..ObjectId::new(BUCKET, "k") };
    let link = presign_get(&client, &object, HOUR).await.unwrap();
    assert!(send(&server, &link, "").await.1.contains("old"));
}

/// X1.6: a signed PUT asks for no checksum.
#[tokio::test]
async fn links_upload_without_a_checksum_of_nothing() {
    let (server, client) = start().await;
    for content_type in [None, Some("text/x-test")] {
        let object = ObjectId::new(BUCKET, "dir/a b+c");
        let link = presign_put(&client, &object, HOUR, content_type).await.unwrap();
        assert!(!link.url.to_ascii_lowercase().contains("checksum"), "{}", link.url);
        let (status, body) = send(&server, &link, "hello").await;
        assert_eq!(status, 200, "{body}");
        let stored = server.store().object(BUCKET, "dir/a b+c").unwrap();
        assert_eq!(stored.bytes(), "hello");
        assert_eq!(stored.attributes.content_type.as_deref(), content_type);
    }
}

#[tokio::test]
async fn signing_asks_nobody() {
    let (server, client) = start().await;
    for i in 0..200 {
        let object = ObjectId::new(BUCKET, format!("k{i}"));
        presign_get(&client, &object, LONGEST_LINK).await.unwrap();
    }
    assert_eq!(server.calls().count(Op::Any), 0);
}

#[tokio::test]
async fn what_cannot_be_signed_is_refused() {
    let server = TestServer::with_rules(StoreRules::default()).await.unwrap();
    let mut options = options(&server);
    let signed = S3Client::connect(&options).await.unwrap();
    let object = ObjectId::new(BUCKET, "k");
    for (life, hint) in [
        (LONGEST_LINK + Duration::from_secs(1), Hint::ShorterLife),
        (Duration::ZERO, Hint::LongerLife),
    ] {
        let e = presign_get(&signed, &object, life).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
        assert_eq!(e.hint(), Some(&hint));
    }
    options.no_sign_request = true;
    options.access_key = None;
    let unsigned = S3Client::connect(&options).await.unwrap();
    let e = presign_put(&unsigned, &object, HOUR, None).await.unwrap_err();
    assert_eq!((e.kind(), e.hint()), (ErrorKind::Invalid, Some(&Hint::SignRequests)), "{e}");
}

#[tokio::test]
async fn google_gets_a_link_without_the_operation_s_name() {
    let (server, _) = start().await;
    let mut options = options(&server);
    options.provider = Some(haul_s3::Provider::Gcs);
    server.store().put(BUCKET, "k", "hello");
    let client = S3Client::connect(&options).await.unwrap();
    let link = presign_get(&client, &ObjectId::new(BUCKET, "k"), HOUR).await.unwrap();
    assert!(!link.url.contains("x-id"), "{}", link.url);
    assert_eq!(send(&server, &link, "").await.0, 200);
    haul_s3::stat(&client, &ObjectId::new(BUCKET, "k"), haul_core::Op::Stat).await.unwrap();
    assert_eq!(server.calls().list()[1].header("accept-encoding"), Some("gzip"));
}

/// A.26: keys of a session come with their token.
#[tokio::test]
async fn the_token_of_a_session_is_sent_along() {
    let (server, _) = start().await;
    server.store().put(BUCKET, "k", "hello");
    let mut options = options(&server);
    let key = options.access_key.as_mut().unwrap();
    key.session_token = Some("a/token".into());
    assert!(!format!("{key:?}").contains("token\""), "{key:?}");
    let client = S3Client::connect(&options).await.unwrap();
    let link = presign_get(&client, &ObjectId::new(BUCKET, "k"), HOUR).await.unwrap();
    assert!(link.url.contains("X-Amz-Security-Token=a%2Ftoken"), "{}", link.url);
    haul_s3::stat(&client, &ObjectId::new(BUCKET, "k"), haul_core::Op::Stat).await.unwrap();
}
