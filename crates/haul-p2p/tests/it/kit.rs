//! Shares and receives of test data.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use haul_core::handle::{JobContext, TransferHandle};
use haul_core::pool::Pool;
use haul_core::{
    Engine, EngineOptions, Error, Event, InOrder, Meter, Outcome, PeerEvent, RelPath, Result,
    RetryPolicy, Settled, Source, Summary,
};
use haul_local::{DestinationRoot, Durability, FsyncPolicy, LocalSource};
use haul_p2p::{
    Net, Offer, ReceiveOptions, Receiver, Relay, ShareKey, ShareOptions, Shared, Ticket, What,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// Says that a test cannot run here, and why, so that it is seen: what a test prints that passes is
/// not.
pub(crate) fn skipped(why: &str) {
    use std::io::Write as _;
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    // Nobody has to listen.
    let _nobody_listens = writeln!(std::io::stderr(), "\nSKIPPED {test}: {why}");
}

/// The loopback and nothing else.
pub(crate) fn loopback() -> Net {
    let mut net = Net::default();
    (net.relay, net.bind) = (Relay::None, Some(([127, 0, 0, 1], 0).into()));
    net
}

/// Everything below a folder, as it is to be shared: in the order of paths.
pub(crate) fn offers(root: &Path) -> Vec<Result<Offer>> {
    let mut all = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries: Vec<_> = std::fs::read_dir(&folder).unwrap().map(Result::unwrap).collect();
        let rel = |path: &Path| RelPath::new(path.strip_prefix(root).unwrap());
        if entries.is_empty() && folder != root {
            all.push(Ok(Offer { path: rel(&folder), what: What::Folder }));
        }
        for entry in entries {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let what = if kind.is_symlink() {
                What::Symlink(std::fs::read_link(&path).unwrap())
            } else {
                let metadata = entry.metadata().unwrap();
                let source: Arc<dyn Source> =
                    Arc::new(LocalSource::new(path.clone(), Pool::new(1 << 20)));
                What::File {
                    source,
                    size: metadata.len(),
                    mode: Some(metadata.permissions().mode() & 0o777),
                    modified: None,
                }
            };
            all.push(Ok(Offer { path: rel(&path), what }));
        }
    }
    all.sort_by(|a, b| match (a, b) {
        (Ok(a), Ok(b)) => a.path.cmp(&b.path),
        _ => std::cmp::Ordering::Equal,
    });
    all
}

/// What is below a folder: content, target or nothing, by path.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let rel = path.strip_prefix(root).unwrap().to_owned();
            let content = if kind.is_dir() {
                folders.push(path);
                b"folder".to_vec()
            } else if kind.is_symlink() {
                format!("-> {}", std::fs::read_link(path).unwrap().display()).into_bytes()
            } else {
                std::fs::read(path).unwrap()
            };
            all.insert(rel, content);
        }
    }
    all
}

/// Bytes that differ from place to place and from seed to seed.
pub(crate) fn bytes(size: usize, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; size];
    rng.fill(&mut bytes);
    bytes
}

pub(crate) fn write(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// The same events for those who keep them: an item that is settled holds the job up as long as it
/// is kept as it comes.
fn kept(mut events: UnboundedReceiver<Event>) -> UnboundedReceiver<Event> {
    let (keep, kept) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let event = match event {
                Event::Settled(one) => Event::Settled(Box::new(without_credit(*one))),
                other => other,
            };
            // Nobody has to listen.
            let _nobody_listens = keep.send(event);
        }
    });
    kept
}

fn without_credit(mut one: Settled) -> Settled {
    // Whoever puts items in order gives their credits back.
    let item = std::mem::replace(&mut one.item, 0);
    let mut one = InOrder::default().push(one).pop().unwrap();
    one.item = item;
    one
}

/// A share that runs.
pub(crate) struct Sending {
    pub(crate) ticket: Ticket,
    pub(crate) handle: TransferHandle<Shared>,
    pub(crate) events: UnboundedReceiver<Event>,
    /// What was heard before the ticket.
    pub(crate) heard: Vec<Event>,
}

pub(crate) fn options() -> ShareOptions {
    let mut options = ShareOptions::new(ShareKey::random());
    options.net = loopback();
    options
}

pub(crate) fn engine() -> Engine {
    engine_with(|_| ())
}

/// An engine with something changed.
pub(crate) fn engine_with(change: impl FnOnce(&mut EngineOptions)) -> Engine {
    let mut options = EngineOptions::default();
    options.lanes = 2;
    change(&mut options);
    Engine::new(options)
}

/// An engine that gives up soon: nobody here comes back by itself.
pub(crate) fn impatient() -> Engine {
    engine_with(|options| {
        options.retry = RetryPolicy::with_tries(2);
        options.stall = Duration::from_millis(1200);
    })
}

/// What nothing here may take: whatever takes longer hangs.
const HANGS: Duration = Duration::from_secs(100);

/// Waits for something that must come.
pub(crate) async fn must<T>(what: &str, work: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(HANGS, work).await;
    waited.unwrap_or_else(|_| panic!("it hangs: {what}"))
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let look = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    must(what, look).await;
}

/// Shares a folder, and waits for the ticket.
pub(crate) async fn send(root: &Path, options: ShareOptions) -> Sending {
    send_these(offers(root), options, engine()).await
}

pub(crate) async fn send_these(
    offers: Vec<Result<Offer>>,
    options: ShareOptions,
    engine: Engine,
) -> Sending {
    let offers = futures::stream::iter(offers);
    let start = move |cx: JobContext| haul_p2p::share(engine, cx, offers, options);
    let mut handle = TransferHandle::start(&CancellationToken::new(), start);
    let mut events = kept(handle.take_events().unwrap());
    let mut heard = Vec::new();
    loop {
        match events.recv().await {
            Some(Event::Ticket(ticket)) => {
                let ticket = ticket.0.parse().unwrap();
                return Sending { ticket, handle, events, heard };
            }
            Some(event) => heard.push(event),
            None => panic!("no ticket: {:?}", handle.await.map(|_| ())),
        }
    }
}

impl Sending {
    /// Waits until everything is hashed.
    pub(crate) async fn offered(&mut self) -> Summary {
        loop {
            match must("hashing", self.events.recv()).await {
                Some(Event::AllOffered(summary)) => return summary,
                Some(event) => self.heard.push(event),
                None => panic!("the share ended"),
            }
        }
    }

    /// Waits for something about a peer.
    pub(crate) async fn peer(&mut self, wanted: impl Fn(&PeerEvent) -> bool) -> PeerEvent {
        loop {
            match must("a peer", self.events.recv()).await {
                Some(Event::Peer { event, .. }) if wanted(&event) => return event,
                Some(event) => self.heard.push(event),
                None => panic!("the share ended"),
            }
        }
    }

    /// Ends the share.
    pub(crate) async fn stop(self) -> Shared {
        self.handle.cancel();
        must("the end of the share", self.handle).await.unwrap()
    }

    /// Waits for the end of the share.
    pub(crate) async fn end(self) -> Shared {
        must("the end of the share", self.handle).await.unwrap()
    }
}

/// A file from a source.
#[expect(clippy::unnecessary_wraps, reason = "what is offered are results")]
pub(crate) fn file(path: &str, source: Arc<dyn Source>, size: u64) -> Result<Offer> {
    let what = What::File { source, size, mode: None, modified: None };
    Ok(Offer { path: RelPath::new(path), what })
}

/// What a receive came to.
pub(crate) struct Got {
    pub(crate) result: Result<Summary>,
    pub(crate) settled: Vec<Settled>,
    /// All other events, and where among them items were settled.
    pub(crate) events: Vec<Event>,
    pub(crate) meter: haul_core::MeterSnapshot,
}

impl Got {
    /// The outcome of the item whose source this is.
    pub(crate) fn outcome(&self, from: &str) -> &Outcome {
        let settled = self.settled.iter().find(|settled| settled.from == from);
        &settled.unwrap_or_else(|| panic!("no item {from}: {:?}", self.settled)).outcome
    }

    /// What the item failed with.
    pub(crate) fn error(&self, from: &str) -> &Error {
        match self.outcome(from) {
            Outcome::Failed(e) => e,
            other => panic!("{from} did not fail: {other:?}"),
        }
    }

    /// What the whole receive did, and how many of its items failed.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let summary = self.result.as_ref().unwrap_or_else(|e| panic!("{e}"));
        (summary.copied, summary.skipped, summary.failed)
    }

    /// Tries beyond the first that were told of.
    pub(crate) fn retries(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Retrying { .. })).count()
    }
}

/// A receive that runs.
pub(crate) struct Receiving {
    pub(crate) handle: TransferHandle<Summary>,
    pub(crate) events: UnboundedReceiver<Event>,
    pub(crate) meter: Arc<Meter>,
}

impl Receiving {
    /// Waits until so many bytes are there.
    pub(crate) async fn landed(&self, bytes: u64) {
        let landed = || self.meter.snapshot().landed >= bytes || self.handle_is_over();
        until("bytes that land", landed).await;
    }

    fn handle_is_over(&self) -> bool {
        self.events.is_closed()
    }

    pub(crate) async fn end(self) -> Got {
        let Self { handle, mut events, meter } = self;
        let (mut settled, mut others) = (Vec::new(), Vec::new());
        let listening = async {
            while let Some(event) = events.recv().await {
                match event {
                    Event::Settled(one) => settled.push(*one),
                    other => others.push(other),
                }
            }
        };
        must("the end of the receive", listening).await;
        let result = must("the result of the receive", handle).await;
        Got { result, settled, events: others, meter: meter.snapshot() }
    }

    /// Ends it in the middle.
    pub(crate) async fn cancel(self) -> Got {
        self.handle.cancel();
        self.end().await
    }
}

pub(crate) fn receiving() -> ReceiveOptions {
    let mut options = ReceiveOptions::default();
    options.net = loopback();
    options
}

/// Receives everything into a folder.
pub(crate) async fn receive(ticket: &Ticket, into: &Path, options: ReceiveOptions) -> Got {
    start(ticket, into, options, engine()).await.end().await
}

/// Begins to receive everything into a folder.
pub(crate) async fn start(
    ticket: &Ticket,
    into: &Path,
    options: ReceiveOptions,
    engine: Engine,
) -> Receiving {
    let (handle, events) = start_deaf(ticket, into, options, engine).await;
    let meter = handle.meter();
    Receiving { handle, events: kept(events), meter }
}

/// The same, for those who do not listen at once.
pub(crate) async fn start_deaf(
    ticket: &Ticket,
    into: &Path,
    options: ReceiveOptions,
    engine: Engine,
) -> (TransferHandle<Summary>, UnboundedReceiver<Event>) {
    let root = DestinationRoot::open(into, true).await.unwrap();
    let ticket = ticket.clone();
    let job = move |cx| async move {
        let receiver = Receiver::open(engine, cx, ticket, &options.net).await?;
        receiver.take(root, Durability::new(FsyncPolicy::Never), &options).await
    };
    let mut handle = TransferHandle::start(&CancellationToken::new(), job);
    let events = handle.take_events().unwrap();
    (handle, events)
}
