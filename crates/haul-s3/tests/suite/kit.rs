//! A store, and a client for it.

use std::time::Duration;

use std::sync::{Arc, Mutex};

use haul_core::checksum::Hasher;
use haul_core::meter::{ChunkMeter, Meter};
use haul_core::payload::Tracker;
use haul_core::stall::Pulse;
use haul_core::{
    Attributes, ChunkSpec, Entry, Lister, Payload, PlanPolicy, Receipt, Result, Sums, Target as _,
    UploadSpec, Verified,
};
use haul_s3::{AccessKey, ListSpec, ObjectId, S3Client, S3Lister, S3Options, S3Target};
use haul_testkit::{StoreRules, TestServer, sizes};

pub(crate) const BUCKET: &str = "bucket";

pub(crate) fn options(server: &TestServer) -> S3Options {
    let mut options = S3Options::default();
    options.endpoint_url = Some(server.endpoint_url());
    options.region = Some(server.region().to_owned());
    options.access_key = Some(AccessKey {
        id: server.access_key().to_owned(),
        secret: server.secret_key().to_owned(),
        session_token: None,
    });
    options.timeout = Duration::from_secs(5);
    options
}

/// A server with one empty bucket, and a client for it.
pub(crate) async fn start() -> (TestServer, S3Client) {
    start_with(StoreRules::default()).await
}

pub(crate) async fn start_with(rules: StoreRules) -> (TestServer, S3Client) {
    let server = TestServer::with_rules(rules).await.unwrap();
    server.store().create_bucket(BUCKET);
    let client = S3Client::connect(&options(&server)).await.unwrap();
    (server, client)
}

/// Lists to the end.
pub(crate) async fn list(client: &S3Client, spec: ListSpec) -> Result<Vec<Entry>> {
    let mut lister = S3Lister::new(client.clone(), spec);
    let mut entries = Vec::new();
    while let Some(page) = lister.next_page().await? {
        assert!(page.problems.is_empty(), "{:?}", page.problems);
        entries.extend(page.entries);
    }
    assert!(lister.next_page().await.unwrap().is_none(), "an end is an end");
    Ok(entries)
}

/// Everything below `prefix`, in order.
pub(crate) fn spec(prefix: &str) -> ListSpec {
    ListSpec { require_order: true, ..ListSpec::new(BUCKET, prefix) }
}

pub(crate) fn paths(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|e| e.path.to_str().unwrap()).collect()
}

fn payload(chunk: ChunkSpec, bytes: Vec<u8>, sums: Sums) -> Payload {
    let tracker = Tracker {
        chunk: ChunkMeter::new(Meter::new()),
        pulse: Pulse::default(),
        wire: None,
        throttle: None,
        sums: Mutex::default(),
    };
    Payload::memory(chunk, vec![bytes.into()], sums, Arc::new(tracker))
}

/// Puts `len` bytes in parts of `part`; each request that fails is made once more, as something may
/// have been learned from it.
pub(crate) async fn put(
    client: &S3Client,
    key: &str,
    len: u64,
    part: u64,
    attributes: Attributes,
) -> Result<Option<Verified>> {
    let content = sizes::pattern(usize::try_from(len).unwrap(), 9);
    let target = S3Target::new(client.clone(), ObjectId::new(BUCKET, key));
    let policy = PlanPolicy { part_size: part, explicit: true };
    let plan = haul_core::plan::plan(len, &target.limits(), policy).unwrap();
    let spec = UploadSpec { plan: Some(plan.clone()), attributes, overwrite: true, read: None };
    let upload = match target.begin(&spec).await {
        Ok(upload) => upload,
        Err(_) => target.begin(&spec).await?,
    };
    let algorithms = target.limits().checksum.into_iter().collect();
    let (mut receipts, mut whole): (Vec<Receipt>, Vec<Sums>) = (Vec::new(), Vec::new());
    for chunk in plan.iter() {
        let (from, to) = (chunk.range.start, chunk.range.end);
        let bytes = &content[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
        let mut hasher = Hasher::new(algorithms);
        hasher.update(bytes);
        let again = || payload(chunk, bytes.to_vec(), hasher.sums());
        let receipt = match upload.put(chunk, again()).await {
            Ok(receipt) => receipt,
            Err(_) => upload.put(chunk, again()).await?,
        };
        whole.push(hasher.sums());
        receipts.push(receipt);
    }
    let whole = Sums::combine(&whole).unwrap();
    upload.commit(&receipts, &whole).await.map(|committed| committed.verified)
}
