//! What the tests stand on: a store, a folder and a [`Haul`] between them.
//!
//! Owns: set-up, and the questions asked after every test. Must never decide what is right.

use std::future::Future;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haul::{
    AccessKey, CopyRequest, Error, Event, Haul, Location, Options, PlanPolicy, Report, Result,
    RetryPolicy, S3Options, TransferHandle,
};
use haul_testkit::{Fault, Op, Rule, RuleHandle, StoreRules, StoredObject, TestServer, sizes};
use tokio::sync::oneshot;

pub(crate) const BUCKET: &str = "bucket";
pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
/// The smallest part a store takes.
pub(crate) const PART: u64 = 5 * MIB;

/// A hang must end as a failure. Far beyond what any test takes: not a measure of anything.
const HANG: Duration = Duration::from_secs(30);

/// A store, a folder and a [`Haul`] between them.
pub(crate) struct Kit {
    pub(crate) server: TestServer,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) haul: Haul,
}

/// Three tries, one second of silence, parts of 5 MiB, four at once.
pub(crate) fn options(server: &TestServer) -> Options {
    let mut options = Options::default().with_s3(s3_options(server));
    options.engine.retry = RetryPolicy::with_tries(3);
    options.engine.stall = Duration::from_secs(1);
    options.engine.part = PlanPolicy { part_size: PART, explicit: true };
    options
}

pub(crate) fn s3_options(server: &TestServer) -> S3Options {
    let mut s3 = S3Options::default();
    s3.endpoint_url = Some(server.endpoint_url());
    s3.region = Some(server.region().to_owned());
    s3.access_key = Some(AccessKey {
        id: server.access_key().to_owned(),
        secret: server.secret_key().to_owned(),
        session_token: None,
    });
    s3.timeout = Duration::from_secs(1);
    s3
}

impl Kit {
    pub(crate) async fn new() -> Self {
        Self::with(StoreRules::default(), |_| ()).await
    }

    /// With a store of its own kind and other settings.
    pub(crate) async fn with(rules: StoreRules, change: impl FnOnce(&mut Options)) -> Self {
        let server = TestServer::with_rules(rules).await.unwrap();
        server.store().create_bucket(BUCKET);
        let mut options = options(&server);
        change(&mut options);
        Self { server, dir: tempfile::tempdir().unwrap(), haul: Haul::new(options) }
    }

    /// With parts of `part` bytes.
    pub(crate) async fn with_parts(part: u64) -> Self {
        let policy = PlanPolicy { part_size: part, explicit: true };
        Self::with(StoreRules::default(), |o| o.engine.part = policy).await
    }

    /// With `concurrency` chunks, and requests, at once.
    pub(crate) async fn with_concurrency(concurrency: usize) -> Self {
        Self::with(StoreRules::default(), |o| set_concurrency(o, concurrency)).await
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn local(&self, name: &str) -> Location {
        Location::Local(self.path(name))
    }

    /// A file of `len` bytes.
    pub(crate) fn file(&self, name: &str, len: u64) -> (Location, Vec<u8>) {
        let content = pattern(len);
        std::fs::write(self.path(name), &content).unwrap();
        // Old enough that any change shows, however coarse the clock of the file system.
        let file = std::fs::File::options().write(true).open(self.path(name)).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.set_modified(long_ago).unwrap();
        (self.local(name), content)
    }

    /// An object of `len` bytes.
    pub(crate) fn object(&self, key: &str, len: u64) -> (Location, Vec<u8>) {
        let content = pattern(len);
        self.server.store().put(BUCKET, key, content.clone());
        (s3(key), content)
    }

    pub(crate) fn stored(&self, key: &str) -> Option<StoredObject> {
        self.server.store().object(BUCKET, key)
    }

    pub(crate) fn fault(&self, op: Op, fault: Fault) -> RuleHandle {
        self.server.faults().add(Rule::on(op).then(fault))
    }

    pub(crate) fn count(&self, op: Op) -> usize {
        self.server.calls().count(op)
    }

    pub(crate) async fn start(&self, from: &Location, to: &Location) -> Result<TransferHandle> {
        Box::pin(self.haul.copy(CopyRequest::new(from.clone(), to.clone()))).await
    }

    pub(crate) async fn copy(&self, from: &Location, to: &Location) -> Result<Report> {
        self.request(CopyRequest::new(from.clone(), to.clone())).await
    }

    pub(crate) async fn request(&self, request: CopyRequest) -> Result<Report> {
        or_hang("the copy", Box::pin(async { self.haul.copy(request).await?.await })).await
    }

    /// No upload in progress, no staged file.
    pub(crate) fn assert_nothing_left(&self) {
        let uploads = self.server.store().uploads(BUCKET);
        assert!(uploads.is_empty(), "uploads left: {uploads:?}");
        let staged = staged(self.dir.path());
        assert!(staged.is_empty(), "files left: {staged:?}");
    }
}

pub(crate) fn set_concurrency(options: &mut Options, concurrency: usize) {
    options.engine.concurrency = concurrency;
    options.source.requests = concurrency;
    options.dest.requests = concurrency;
}

/// The names of staged files in a folder.
pub(crate) fn staged(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
    names.map(|n| n.to_string_lossy().into_owned()).filter(|n| n.starts_with(".haul")).collect()
}

pub(crate) fn s3(key: &str) -> Location {
    Location::S3 { bucket: BUCKET.to_owned(), key: key.to_owned() }
}

pub(crate) fn pattern(len: u64) -> Vec<u8> {
    sizes::pattern(usize::try_from(len).unwrap(), len)
}

/// Waits for what must come; a hang becomes a failure.
pub(crate) async fn or_hang<F: Future>(what: &str, work: F) -> F::Output {
    let Ok(output) = tokio::time::timeout(HANG, work).await else {
        unreachable!("{what} hangs");
    };
    output
}

/// Waits until `done`, which must come about by itself.
pub(crate) async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let look = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    or_hang(what, look).await;
}

/// What is compared when bytes are: a difference of megabytes is nothing to print.
#[track_caller]
pub(crate) fn assert_same(got: &[u8], want: &[u8]) {
    assert_eq!(got.len(), want.len(), "length");
    let differs = got.iter().zip(want).position(|(a, b)| a != b);
    assert_eq!(differs, None, "first difference");
}

/// Everything a job said, once it is over.
pub(crate) async fn finish(mut handle: TransferHandle) -> (Result<Report>, Vec<Event>) {
    let mut events = handle.take_events().unwrap();
    let result = or_hang("the job", handle).await;
    let mut said = Vec::new();
    while let Ok(event) = events.try_recv() {
        said.push(event);
    }
    (result, said)
}

/// An error with its hint, in the library's words.
pub(crate) fn words(e: &Error) -> String {
    format!("{e} ({})", e.hint().map(ToString::to_string).unwrap_or_default())
}

/// A FIFO with a reader that takes everything: what standard output is to `haul cat`.
pub(crate) struct Fifo {
    pub(crate) location: Location,
    read: oneshot::Receiver<Vec<u8>>,
}

impl Fifo {
    pub(crate) fn new(kit: &Kit, name: &str) -> Self {
        let path = make_fifo(kit, name);
        let (sender, read) = oneshot::channel();
        let location = Location::Local(path.clone());
        // A thread and not a task: nobody waits for it if the writer never comes.
        std::thread::spawn(move || {
            let mut all = Vec::new();
            std::fs::File::open(path).unwrap().read_to_end(&mut all).unwrap();
            drop(sender.send(all));
        });
        Self { location, read }
    }

    /// All that came, once the writer is gone.
    pub(crate) async fn content(self) -> Vec<u8> {
        or_hang("the reader of the FIFO", self.read).await.unwrap()
    }
}

pub(crate) fn make_fifo(kit: &Kit, name: &str) -> PathBuf {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let path = kit.path(name);
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    path
}

/// The client that haul would use, for tests of the engine itself.
pub(crate) async fn client(server: &TestServer) -> haul_s3::S3Client {
    haul_s3::S3Client::connect(&s3_options(server)).await.unwrap()
}

/// What a job of many did: its items in order, each as `outcome from -> to`.
pub(crate) struct Many {
    pub(crate) result: Result<haul::Summary>,
    pub(crate) items: Vec<haul::Settled>,
}

/// Everything a job of many said, once it is over.
pub(crate) async fn all(mut handle: TransferHandle<haul::Summary>) -> Many {
    let mut events = handle.take_events().unwrap();
    let listening = async {
        let (mut order, mut items) = (haul::InOrder::default(), Vec::new());
        while let Some(event) = events.recv().await {
            if let Event::Settled(settled) = event {
                items.extend(order.push(*settled));
            }
        }
        items.extend(order.rest());
        items
    };
    let (result, items) = or_hang("the job", async { futures::join!(handle, listening) }).await;
    Many { result, items }
}

impl Many {
    #[track_caller]
    pub(crate) fn summary(&self) -> haul::Summary {
        *self.result.as_ref().unwrap()
    }

    /// The items that failed, in words.
    pub(crate) fn failures(&self) -> Vec<String> {
        let failed = |s: &haul::Settled| match &s.outcome {
            haul::Outcome::Failed(e) => Some(words(e)),
            _ => None,
        };
        self.items.iter().filter_map(failed).collect()
    }

    /// Copied, skipped, removed, failed.
    #[track_caller]
    pub(crate) fn counts(&self) -> (u64, u64, u64, u64) {
        let s = self.summary();
        for failure in self.failures() {
            println!("failed: {failure}");
        }
        (s.copied, s.skipped, s.removed, s.failed)
    }
}

impl Kit {
    /// A file in a folder, with its parents.
    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Makes every file below a folder older than any object: a file of the second in which it was
    /// uploaded is looked at more closely.
    pub(crate) fn age(&self, root: &str) {
        for (name, _) in self.tree(root) {
            let path = self.path(root).join(name);
            let file = std::fs::File::options().write(true).open(path).unwrap();
            let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            file.set_modified(long_ago).unwrap();
        }
    }

    /// Every file below a folder with its content, by path.
    pub(crate) fn tree(&self, root: &str) -> Vec<(String, Vec<u8>)> {
        let root = self.path(root);
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else {
                    let name = entry.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                    found.push((name, std::fs::read(&entry).unwrap()));
                }
            }
        }
        found.sort();
        found
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.server.store().keys(BUCKET)
    }

    pub(crate) async fn copy_tree(&self, request: haul::TreeRequest) -> Many {
        all(Box::pin(self.haul.copy_tree(request)).await.unwrap()).await
    }
}
