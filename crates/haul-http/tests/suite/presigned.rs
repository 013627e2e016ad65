//! Links that a store has signed, at the test kit's store.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_s3::presigning::PresigningConfig;
use haul_core::{ErrorKind, Hint};
use haul_testkit::TestServer;
use haul_testkit::conformance::{MemorySource, job};

use crate::kit::{MIB, copy, engine, fails, pattern, read, run, target};

const BUCKET: &str = "bucket";

async fn start() -> (TestServer, Client) {
    let server = TestServer::start().await.unwrap();
    server.store().create_bucket(BUCKET);
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(server.region()))
        .credentials_provider(Credentials::new(
            server.access_key(),
            server.secret_key(),
            None,
            None,
            "test",
        ))
        .endpoint_url(server.endpoint_url())
        .force_path_style(true)
        .build();
    (server, Client::from_conf(config))
}

fn for_a_while() -> PresigningConfig {
    PresigningConfig::expires_in(Duration::from_mins(10)).unwrap()
}

#[tokio::test]
async fn get() {
    let (server, client) = start().await;
    for len in [0, 5, 3 * MIB + 1] {
        server.store().put(BUCKET, "a b", pattern(len));
        let link = client.get_object().bucket(BUCKET).key("a b").presigned(for_a_while()).await;
        let link = link.unwrap().uri().to_owned();
        assert!(read(&link).await.unwrap() == pattern(len), "{len} bytes");
        // Signed for GET: anything else is refused, and so is another key.
        let e = copy(Arc::new(MemorySource::new("x")), target(&link)).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::AccessDenied, "{e}");
        let e = fails(&link.replace("a%20b", "c")).await;
        assert_eq!(e.kind(), ErrorKind::AccessDenied, "{e}");
        assert_eq!(e.hint(), Some(&Hint::CheckLink));
    }
}

#[tokio::test]
async fn put() {
    let (server, client) = start().await;
    for len in [0, 5, 3 * MIB + 1] {
        let link = client.put_object().bucket(BUCKET).key("b").presigned(for_a_while()).await;
        let to = target(link.unwrap().uri());
        copy(Arc::new(MemorySource::new(pattern(len))), to.clone()).await.unwrap();
        assert!(server.store().object(BUCKET, "b").unwrap().bytes() == pattern(len), "{len} bytes");

        let mut job = job(Arc::new(MemorySource::new("other")), to);
        job.overwrite = false;
        let e = run(&engine(MIB, 0), job).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}");
    }
}
