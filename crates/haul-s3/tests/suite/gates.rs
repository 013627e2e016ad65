//! Many objects at once: no more requests than the gate allows, and no wait that never ends.
//!
//! Owns: what the engine makes of listed sources. Must never look at a clock, but to end a hang.

use std::sync::Arc;
use std::time::Duration;

use haul_core::handle::JobContext;
use haul_core::many::Item;
use haul_core::{
    Attributes, Engine, EngineOptions, Gate, Job, Order, Outcome, PlanPolicy, Settled, Source as _,
    Target, TargetLimits,
};
use haul_s3::{ObjectId, S3Client, S3Source, S3Target};
use haul_testkit::conformance::MemoryTarget;
use haul_testkit::{Fault, Op, Rule, TestServer, sizes};
use tokio_util::sync::CancellationToken;

use crate::kit::{BUCKET, options, start};

/// A hang must end as a failure. Far beyond what any test takes.
const HANG: Duration = Duration::from_mins(1);
const KIB: u64 = 1 << 10;

async fn client(server: &TestServer, requests: usize) -> S3Client {
    let mut options = options(server);
    options.requests = requests;
    S3Client::connect(&options).await.unwrap()
}

fn engine(lanes: usize, memory: u64, part: u64) -> Engine {
    let mut options = EngineOptions::default();
    options.memory = memory;
    options.lanes = lanes;
    options.part = PlanPolicy { part_size: part, explicit: true };
    Engine::new(options)
}

/// Copies objects, 16 at once; they are named by their size and number.
struct Copies {
    engine: Engine,
    client: S3Client,
    sizes: Vec<u64>,
    overwrite: bool,
    cancel: CancellationToken,
}

impl Copies {
    fn new(engine: Engine, client: S3Client, server: &TestServer, sizes: Vec<u64>) -> Self {
        for (i, size) in sizes.iter().enumerate() {
            let content = sizes::pattern(usize::try_from(*size).unwrap(), i as u64);
            server.store().put(BUCKET, &i.to_string(), content);
        }
        Self { engine, client, sizes, overwrite: true, cancel: CancellationToken::new() }
    }

    fn source(&self, i: usize) -> S3Source {
        let object = ObjectId::new(BUCKET, i.to_string());
        S3Source::listed(self.client.clone(), object, self.sizes[i], None)
    }

    /// How many failed.
    async fn run(&self, targets: &[Arc<dyn Target>]) -> usize {
        let cx = JobContext::unwatched(self.cancel.clone());
        let job = |i: usize| Job {
            source: Arc::new(self.source(i)),
            target: Arc::clone(&targets[i]),
            attributes: Attributes::default(),
            overwrite: self.overwrite,
            expected_size: None,
            keep_times: false,
        };
        let items = self.sizes.iter().enumerate().map(|(i, size)| Item::one(*size, job(i)));
        let engine = self.engine.clone();
        let failed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let failures = Arc::clone(&failed);
        let work = move |job: Job, cx: JobContext| {
            let (engine, failures) = (engine.clone(), Arc::clone(&failures));
            async move {
                let moved = Box::pin(engine.run(job, cx)).await;
                let outcome = match moved {
                    Ok(report) => Outcome::Copied(Box::new(report)),
                    Err(e) => {
                        failures.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        Outcome::Failed(e)
                    }
                };
                vec![Settled::new("", "", outcome)]
            }
        };
        let items = futures::stream::iter(items);
        let all = Box::pin(self.engine.many(16, &cx, items, work));
        let ended = tokio::time::timeout(HANG, all).await.unwrap();
        assert_eq!(ended.is_err(), self.cancel.is_cancelled(), "{ended:?}");
        failed.load(std::sync::atomic::Ordering::SeqCst)
    }
}

fn memory(count: usize, order: Order) -> Vec<MemoryTarget> {
    let limits = TargetLimits { order, ..TargetLimits::default() };
    (0..count).map(|_| MemoryTarget::new(limits.clone())).collect()
}

fn dynamic(targets: &[MemoryTarget]) -> Vec<Arc<dyn Target>> {
    targets.iter().map(|t| Arc::new(t.clone()) as Arc<dyn Target>).collect()
}

fn is_shut(gate: &Gate) -> bool {
    futures::FutureExt::now_or_never(gate.enter()).is_none()
}

/// A request is over when its body has been read, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_objects_keep_to_the_gate() {
    for lanes in [0, 2] {
        let (server, other) = start().await;
        let client = client(&server, 2).await;
        let copies =
            Copies::new(engine(lanes, 32 << 20, 8 << 20), client, &server, vec![64 * KIB; 48]);
        let held = server.faults().add(Rule::on(Op::GetObject).times(2).then(Fault::StallAfter(1)));
        let targets = memory(48, Order::Any);
        let targets = dynamic(&targets);
        let watch = async {
            server.calls().wait_in_flight(Op::GetObject, 2).await;
            let object = ObjectId::new(BUCKET, "0");
            // Time enough for those 14 who wait, were they let through.
            for _ in 0..50 {
                haul_s3::stat(&other, &object, haul_core::Op::Stat).await.unwrap();
            }
            assert!(is_shut(&copies.source(0).limits().gate.unwrap()));
            assert_eq!(server.calls().count(Op::GetObject), 2);
            held.release();
        };
        let (failed, ()) = futures::join!(copies.run(&targets), watch);
        assert_eq!(failed, 0);
        assert_eq!(server.calls().count(Op::GetObject), 48);
        assert_eq!(server.calls().peak_of(Op::GetObject), 2);
        assert_eq!(copies.engine.budget().in_use(), 0);
    }
}

/// Small objects, objects of several parts, and some of which the listing knows too little, on a
/// budget that holds next to none of them.
fn mixed() -> Vec<u64> {
    let mut sizes = vec![1, 1000, 0, 70 * KIB, 900 * KIB, 256 * KIB, 5];
    sizes.extend([3, 200 * KIB, 700 * KIB].repeat(5));
    sizes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_and_large_objects_do_not_wait_for_each_other_for_ever() {
    for (lanes, order) in [(0, Order::Any), (2, Order::Any), (2, Order::Sequential)] {
        for (memory_kib, requests) in [(64, 1), (64, 2), (1024, 1), (1024, 2), (3000, 1)] {
            let (server, _) = start().await;
            let client = client(&server, requests).await;
            let engine = engine(lanes, memory_kib * KIB, 256 * KIB);
            let copies = Copies::new(engine, client, &server, mixed());
            let targets = memory(copies.sizes.len(), order);
            assert_eq!(copies.run(&dynamic(&targets)).await, 0);
            for (i, target) in targets.iter().enumerate() {
                let stored = server.store().object(BUCKET, &i.to_string()).unwrap();
                assert_eq!(target.content().unwrap(), stored.bytes().to_vec());
            }
            assert_eq!(copies.engine.budget().in_use(), 0);
            assert!(server.calls().peak_of(Op::GetObject) <= requests);
        }
    }
}

/// Both sides have a gate: nobody holds the one and waits for the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_stores_neither() {
    const MIB: u64 = 1 << 20;
    for (lanes, memory, overwrite) in [(0, 6 * MIB, true), (2, 12 * MIB, true), (2, MIB, false)] {
        let (server, _) = start().await;
        let client = client(&server, 1).await;
        server.store().create_bucket("there");
        let sizes = [100 * KIB, 5 * MIB, 6 * MIB, 3].repeat(4);
        let engine = engine(lanes, memory, 5 * MIB);
        let copies = Copies::new(engine, client.clone(), &server, sizes);
        let copies = Copies { overwrite, ..copies };
        let to = client.with_own_gate();
        let target = |i: usize| S3Target::new(to.clone(), ObjectId::new("there", i.to_string()));
        let targets = (0..copies.sizes.len()).map(|i| Arc::new(target(i)) as Arc<dyn Target>);
        let targets: Vec<_> = targets.collect();
        assert_eq!(copies.run(&targets).await, 0);
        for (i, size) in copies.sizes.iter().enumerate() {
            let stored = server.store().object("there", &i.to_string()).unwrap();
            assert_eq!(stored.bytes().len() as u64, *size);
        }
        assert!(server.calls().peak_of(Op::GetObject) <= 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_in_the_middle_it_leaves_nothing() {
    for lanes in [0, 2] {
        let (server, _) = start().await;
        let client = client(&server, 2).await;
        let gate = client_gate(&client);
        // Room for four chunks, or one alone could keep the others from being asked for.
        let engine = engine(lanes, 1024 * KIB, 256 * KIB);
        let copies = Copies::new(engine, client, &server, mixed());
        server.faults().add(Rule::on(Op::GetObject).always().then(Fault::StallAfter(1)));
        let targets = memory(copies.sizes.len(), Order::Any);
        let dynamic = dynamic(&targets);
        let cancel = async {
            server.calls().wait_in_flight(Op::GetObject, 2).await;
            copies.cancel.cancel();
        };
        futures::join!(copies.run(&dynamic), cancel);
        tokio::time::timeout(HANG, server.calls().wait_idle()).await.unwrap();
        let two = async { (gate.enter().await, gate.enter().await) };
        drop(tokio::time::timeout(HANG, two).await.unwrap());
        assert_eq!(copies.engine.budget().in_use(), 0);
        // One byte and nothing could come before, and whatever was begun was given up.
        let landed = targets.iter().filter(|t| t.content().is_some_and(|c| c.len() > 1));
        assert_eq!(landed.count(), 0);
    }
}

pub(crate) fn client_gate(client: &S3Client) -> Gate {
    S3Source::new(client.clone(), ObjectId::new(BUCKET, "k")).limits().gate.unwrap()
}

/// What is asked of a store, and by what.
const ASKED: [Op; 19] = [
    Op::HeadObject,
    Op::ListObjects,
    Op::ListMultipartUploads,
    Op::ListBuckets,
    Op::HeadBucket,
    Op::CreateBucket,
    Op::DeleteBucket,
    Op::DeleteObject,
    Op::DeleteObjects,
    Op::GetObject,
    Op::PutObject,
    Op::CopyObject,
    Op::ObjectTagging,
    Op::CreateMultipartUpload,
    Op::UploadPart,
    Op::UploadPartCopy,
    Op::CompleteMultipartUpload,
    Op::AbortMultipartUpload,
    Op::ListParts,
];

/// Makes a request of every kind; what comes of it is not asked.
async fn ask_for_everything(client: &S3Client) {
    const MIB: u64 = 1 << 20;
    let object = ObjectId::new(BUCKET, "k");
    let engine = engine(0, 32 * MIB, 5 * MIB);
    let run = async |source: Arc<dyn haul_core::Source>, target: Arc<dyn Target>| {
        let cx = JobContext::unwatched(CancellationToken::new());
        let attributes = Attributes::default();
        let job = Job {
            source,
            target,
            attributes,
            overwrite: true,
            expected_size: None,
            keep_times: false,
        };
        drop(engine.clone().run(job, cx).await);
    };
    let memory = |len: u64| {
        let content = sizes::pattern(usize::try_from(len).unwrap(), 1);
        Arc::new(haul_testkit::conformance::MemorySource::new(content))
    };
    let target = |key: &str| Arc::new(S3Target::new(client.clone(), ObjectId::new(BUCKET, key)));
    run(memory(1000), target("k")).await;
    run(memory(11 * MIB), target("larger")).await;
    let sink = || Arc::new(MemoryTarget::new(TargetLimits::default()));
    run(Arc::new(S3Source::new(client.clone(), object.clone())), sink()).await;
    run(Arc::new(S3Source::listed(client.clone(), object.clone(), 1000, None)), sink()).await;
    for from in ["k", "large"] {
        let spec = haul_s3::CopySpec {
            from: ObjectId::new(BUCKET, from),
            to: ObjectId::new(BUCKET, "copy"),
            attributes: Attributes::default(),
            overwrite: true,
            multipart_above: MIB,
            expected_etag: None,
            keep_class: false,
        };
        let cx = JobContext::unwatched(CancellationToken::new());
        drop(haul_s3::copy(&engine, client.clone(), spec, cx).await);
    }
    drop(crate::kit::list(client, crate::kit::spec("")).await);
    drop(haul_s3::list_uploads(client.clone(), BUCKET, "").next_page().await);
    drop(haul_s3::abort_upload(client, &object, "no-such-upload").await);
    drop(haul_s3::list_buckets(client).await);
    drop(haul_s3::bucket_exists(client, BUCKET).await);
    drop(haul_s3::make_bucket(client, "another").await);
    drop(haul_s3::remove_bucket(client, "another").await);
    drop(haul_s3::remove_many(client, BUCKET, &["x", "y"].map(haul_s3::Doomed::key)).await);
    drop(haul_s3::remove(client, &object).await);
}

/// A.18, S0.21, S0.30: whatever is asked of a store that wants to be asked less, the gate hears of it.
#[tokio::test]
async fn every_request_reports_to_its_gate() {
    for op in ASKED {
        let (server, _) = start().await;
        let client = client(&server, 16).await;
        let mut attributes = Attributes::default();
        attributes.tags.insert("a".into(), "b".into());
        crate::kit::put(&client, "large", 11 << 20, 64 << 20, attributes).await.unwrap();
        // Of an upload that is gone, nobody lists the parts.
        if op == Op::ListParts {
            let gone = Fault::Page { content_type: "text/plain".into(), body: String::new() };
            server.faults().add(Rule::on(Op::AbortMultipartUpload).then(gone));
        }
        let busy = server.faults().add(Rule::on(op).then(Fault::status(503)));
        let gate = client_gate(&client);
        assert_eq!(gate.limit(), 16);
        let all = async { ask_for_everything(&client).await };
        tokio::time::timeout(HANG, all).await.unwrap();
        assert_eq!(busy.hits(), 1, "{op:?}");
        // Too few requests follow for the limit to come all the way back.
        assert!(gate.limit() < 16, "{op:?} does not report");
    }
}

/// A.18: with one request at a time nothing waits for itself: a write whose answer was lost, and a copy
/// that finds something there.
#[tokio::test]
async fn nothing_waits_for_itself_at_a_limit_of_one() {
    let (server, _) = start().await;
    let client = client(&server, 1).await;
    let content = sizes::pattern(1000, 1);
    let hook = |server: &TestServer, key: &'static str| {
        let (store, bytes) = (server.store().clone(), sizes::pattern(10, 2));
        Fault::hook(move |_| drop(store.put(BUCKET, key, bytes.clone())))
    };
    let upload = async |key: &str| {
        let job = Job {
            source: Arc::new(haul_testkit::conformance::MemorySource::new(content.clone())),
            target: Arc::new(S3Target::new(client.clone(), ObjectId::new(BUCKET, key))),
            attributes: Attributes::default(),
            overwrite: false,
            expected_size: None,
            keep_times: false,
        };
        let cx = JobContext::unwatched(CancellationToken::new());
        let done = engine(0, 32 << 20, 5 << 20).run(job, cx);
        tokio::time::timeout(HANG, Box::pin(done)).await.unwrap()
    };
    // Ours, and the answer was lost.
    server.faults().add(Rule::on(Op::PutObject).key("a").then(Fault::LoseAnswer));
    let report = upload("a").await.unwrap();
    assert!(matches!(report.verified, haul_core::Verified::Checksum(_)), "{report:?}");
    // The answer was lost, and then somebody else's is there.
    server.faults().add(Rule::on(Op::PutObject).key("b").then(Fault::Reset));
    server.faults().add(Rule::on(Op::PutObject).key("b").nth(2).then(hook(&server, "b")));
    let e = upload("b").await.unwrap_err();
    assert_eq!(e.kind(), haul_core::ErrorKind::AlreadyExists, "{e}");
    // Copies within the store.
    let copy = async |to: &str| {
        let spec = haul_s3::CopySpec {
            from: ObjectId::new(BUCKET, "a"),
            to: ObjectId::new(BUCKET, to),
            attributes: Attributes::default(),
            overwrite: false,
            multipart_above: 1 << 30,
            expected_etag: None,
            keep_class: false,
        };
        let cx = JobContext::unwatched(CancellationToken::new());
        let engine = Engine::new(EngineOptions::default());
        let done = haul_s3::copy(&engine, client.clone(), spec, cx);
        tokio::time::timeout(HANG, Box::pin(done)).await.unwrap()
    };
    server.faults().add(Rule::on(Op::CopyObject).key("c").then(Fault::LoseAnswer));
    copy("c").await.unwrap();
    server.faults().add(Rule::on(Op::CopyObject).key("d").then(hook(&server, "d")));
    let e = copy("d").await.unwrap_err();
    assert_eq!(e.kind(), haul_core::ErrorKind::AlreadyExists, "{e}");
    assert_eq!(server.store().object(BUCKET, "d").unwrap().bytes().len(), 10);
}
