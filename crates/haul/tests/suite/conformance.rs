//! The conformance suite on every backend, on the caller's threads and on lanes.
//!
//! Owns: the three backends as the suite sees them. Must never check anything itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use haul::{AccessKey, S3Options};
use haul_core::pool::Pool;
use haul_core::{Attributes, Result, Source, Target, TargetLimits, Upload, UploadSpec};
use haul_local::{Durability, FsyncPolicy, LocalSource, LocalTarget};
use haul_s3::{ObjectId, S3Client, S3Source, S3Target};
use haul_serve::{Credentials, Server, serve_folder};
use haul_testkit::conformance::{self, Backend};
use haul_testkit::{StoreRules, TestServer};

use crate::kit::{self, BUCKET, PART};

/// A folder.
struct Folder(tempfile::TempDir);

impl Backend for Folder {
    fn source(&self, name: &str) -> Arc<dyn Source> {
        Arc::new(LocalSource::new(self.0.path().join(name), Pool::new(1 << 20)))
    }

    fn target(&self, name: &str) -> Arc<dyn Target> {
        let durability = Durability::new(FsyncPolicy::Auto);
        Arc::new(LocalTarget::new(self.0.path().join(name), durability))
    }

    fn put<'a>(&'a self, name: &'a str, content: &'a [u8]) -> BoxFuture<'a, ()> {
        // By rename, as careful programs do: an edit in place has tests of its own.
        let beside = self.0.path().join("beside");
        std::fs::write(&beside, content).unwrap();
        std::fs::rename(beside, self.0.path().join(name)).unwrap();
        std::future::ready(()).boxed()
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Option<Vec<u8>>> {
        std::future::ready(std::fs::read(self.0.path().join(name)).ok()).boxed()
    }

    fn leftovers(&self) -> BoxFuture<'_, Vec<String>> {
        std::future::ready(kit::staged(self.0.path())).boxed()
    }

    fn keeps(&self, _: &Attributes) -> Option<Attributes> {
        None
    }

    fn drops_clean(&self) -> bool {
        true
    }

    fn refuses_existing(&self) -> bool {
        true
    }
}

/// A target that takes parts of any size, so that every edge is cheap to try.
#[derive(Debug)]
struct AnyPart(S3Target);

impl Target for AnyPart {
    fn location(&self) -> String {
        self.0.location()
    }

    fn limits(&self) -> TargetLimits {
        let limits = self.0.limits();
        TargetLimits { part: 1..=*limits.part.end(), ..limits }
    }

    fn begin<'a>(&'a self, spec: &'a UploadSpec) -> BoxFuture<'a, Result<Arc<dyn Upload>>> {
        self.0.begin(spec)
    }
}

/// The store of the test kit, with a memory like AWS's.
struct Store {
    server: TestServer,
    client: S3Client,
}

impl Store {
    async fn new(versions: bool, min_part_size: u64) -> Self {
        let rules = StoreRules { min_part_size, ..StoreRules::default() };
        let server = TestServer::with_rules(rules).await.unwrap();
        server.store().create_bucket(BUCKET);
        if versions {
            server.store().set_versioning(BUCKET, true);
        }
        let client = kit::client(&server).await;
        Self { server, client }
    }
}

impl Backend for Store {
    fn source(&self, name: &str) -> Arc<dyn Source> {
        Arc::new(S3Source::new(self.client.clone(), ObjectId::new(BUCKET, name)))
    }

    fn target(&self, name: &str) -> Arc<dyn Target> {
        let target = S3Target::new(self.client.clone(), ObjectId::new(BUCKET, name));
        let any_part = self.server.store().rules().min_part_size == 1;
        if any_part { Arc::new(AnyPart(target)) } else { Arc::new(target) }
    }

    fn put<'a>(&'a self, name: &'a str, content: &'a [u8]) -> BoxFuture<'a, ()> {
        self.server.store().put(BUCKET, name, content.to_vec());
        std::future::ready(()).boxed()
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Option<Vec<u8>>> {
        let object = self.server.store().object(BUCKET, name);
        std::future::ready(object.map(|o| o.bytes().to_vec())).boxed()
    }

    fn leftovers(&self) -> BoxFuture<'_, Vec<String>> {
        let uploads = self.server.store().uploads(BUCKET);
        std::future::ready(uploads.iter().map(|u| u.key.clone()).collect()).boxed()
    }

    fn keeps(&self, attributes: &Attributes) -> Option<Attributes> {
        Some(attributes.clone())
    }

    fn drops_clean(&self) -> bool {
        false
    }

    fn refuses_existing(&self) -> bool {
        true
    }
}

/// What `haul serve` runs.
struct Served {
    dir: tempfile::TempDir,
    client: S3Client,
    _server: Server,
}

impl Served {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let keys = Credentials::generate().unwrap();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = serve_folder(dir.path(), addr, &keys).await.unwrap();
        let mut options = S3Options::default();
        options.endpoint_url = Some(server.endpoint_url());
        options.region = Some("us-east-1".to_owned());
        options.access_key =
            Some(AccessKey { id: keys.access_key, secret: keys.secret_key, session_token: None });
        let client = S3Client::connect(&options).await.unwrap();
        Self { dir, client, _server: server }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(BUCKET).join(name)
    }
}

impl Backend for Served {
    fn source(&self, name: &str) -> Arc<dyn Source> {
        Arc::new(S3Source::new(self.client.clone(), ObjectId::new(BUCKET, name)))
    }

    fn target(&self, name: &str) -> Arc<dyn Target> {
        Arc::new(S3Target::new(self.client.clone(), ObjectId::new(BUCKET, name)))
    }

    fn put<'a>(&'a self, name: &'a str, content: &'a [u8]) -> BoxFuture<'a, ()> {
        // The server keeps an object's ETag beside it: what it did not write has no stale one.
        forget_sidecars(self.dir.path(), name);
        std::fs::write(self.file(name), content).unwrap();
        std::future::ready(()).boxed()
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Option<Vec<u8>>> {
        std::future::ready(std::fs::read(self.file(name)).ok()).boxed()
    }

    fn leftovers(&self) -> BoxFuture<'_, Vec<String>> {
        let names = std::fs::read_dir(self.dir.path()).unwrap();
        let names = names.map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
        // A part that was on its way when its upload was aborted stays (s3s-fs), without an upload.
        std::future::ready(names.filter(|n| n.contains(".upload-")).collect()).boxed()
    }

    fn keeps(&self, attributes: &Attributes) -> Option<Attributes> {
        Some(attributes.clone())
    }

    fn drops_clean(&self) -> bool {
        false
    }

    fn refuses_existing(&self) -> bool {
        true
    }
}

fn forget_sidecars(root: &Path, name: &str) {
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_file() && file.contains(name) {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[tokio::test]
async fn a_folder() {
    conformance::all(&Folder(tempfile::tempdir().unwrap()), 0).await;
}

#[tokio::test]
async fn a_folder_on_lanes() {
    conformance::all(&Folder(tempfile::tempdir().unwrap()), 2).await;
}

#[tokio::test]
async fn a_store() {
    conformance::all(&Store::new(false, 1).await, 0).await;
}

#[tokio::test]
async fn a_store_on_lanes() {
    conformance::all(&Store::new(false, 1).await, 2).await;
}

#[tokio::test]
async fn a_store_with_versions() {
    conformance::all(&Store::new(true, 1).await, 2).await;
}

#[tokio::test]
async fn a_served_folder() {
    conformance::all(&Served::new().await, 0).await;
}

#[tokio::test]
async fn a_served_folder_on_lanes() {
    conformance::all(&Served::new().await, 2).await;
}

/// The part sizes that real stores allow (S1.18).
#[tokio::test]
async fn a_store_that_wants_large_parts() {
    let store = Store::new(false, PART).await;
    conformance::round_trips(&store, PART, 2).await;
}
