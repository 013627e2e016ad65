//! What somebody shares, to a folder, a store or a pipe: `receive`.
//!
//! Owns what a destination means. A folder is filled by `haul-p2p` itself, which can go on where it
//! was interrupted; everything else gets the files as sources like any other.

use std::sync::Arc;
use std::time::Instant;

use haul_core::handle::JobContext;
use haul_core::{
    Attributes, Engine, Error, ErrorKind, Foreign, Hint, Job, Location, Op, Outcome, Report,
    Result, Settled, Skip, Source, Summary, Target, TransferHandle, Verified,
};
use haul_local::{DestinationRoot, PipeTarget};
use haul_p2p::{IfExists, Look, ReceiveOptions, Received, ReceivedKind, Receiver, Ticket};
use haul_s3::S3Target;

use crate::place::{Place, folder_marker};
use crate::{Haul, ReceiveRequest};

impl Haul {
    /// Looks at what a ticket names, and takes nothing.
    ///
    /// # Errors
    ///
    /// `Connect` where the sender cannot be reached, `AccessDenied` where it does not know the
    /// ticket, `Rejected` where the share is over or takes no more receivers, and what [requests
    /// and disks](crate#errors) may end with.
    pub async fn look(&self, ticket: Ticket, options: &ReceiveOptions) -> Result<Look> {
        let cx = JobContext::unwatched(self.stop.token());
        let receiver = Receiver::open(self.engine.clone(), cx, ticket, &options.net).await?;
        Ok(receiver.look(options))
    }

    /// Starts to receive what a ticket names.
    ///
    /// # Errors
    ///
    /// From the call: `Invalid` or `Unsupported` where the destination cannot take what is shared.
    /// From the handle: `Connect` where the sender cannot be reached, `AccessDenied` where it does
    /// not know the ticket, `Rejected` where the share is over or takes no more receivers, and what
    /// [requests and disks](crate#errors) may end with where that ends the job. What goes wrong
    /// with one file is an event.
    pub async fn receive(&self, request: ReceiveRequest) -> Result<TransferHandle<Summary>> {
        let this = self.begin();
        let ReceiveRequest { ticket, to, options } = request;
        let (engine, durability) = (this.engine.clone(), this.durability.clone());
        match to {
            Location::Local(folder) => {
                let root = DestinationRoot::open(folder, true).await?;
                Ok(TransferHandle::start(&this.stop.token(), |cx| async move {
                    let receiver = Receiver::open(engine, cx, ticket, &options.net).await?;
                    receiver.take(root, durability, &options).await
                }))
            }
            Location::Stdio => {
                let target = PipeTarget::stdout()?;
                Ok(TransferHandle::start(&this.stop.token(), |cx| async move {
                    let open = Receiver::open(engine.clone(), cx.clone(), ticket, &options.net);
                    let receiver = open.await?;
                    let only = match receiver.only(&options).await {
                        Ok(only) => only,
                        Err(e) => {
                            receiver.give_up().await;
                            return Err(e);
                        }
                    };
                    let done = pipe(engine, only, target, &cx).await;
                    receiver.end(u64::from(done.is_ok()), u64::from(done.is_err())).await;
                    done
                }))
            }
            Location::S3 { .. } => {
                if options.if_exists == IfExists::Rename {
                    let what = "objects are not given other names";
                    return Err(Error::new(ErrorKind::Unsupported, Op::Receive, &to, what)
                        .with_hint(Hint::ChooseIfExistsInStore));
                }
                let (place, if_exists) = (this.place(to).await?, options.if_exists);
                Ok(TransferHandle::start(&this.stop.token(), |cx| async move {
                    let open = Receiver::open(engine.clone(), cx, ticket, &options.net);
                    let receiver = open.await?;
                    let store = Arc::new(Store { engine, place, if_exists });
                    let work = move |received, cx| {
                        let store = Arc::clone(&store);
                        async move { store.settle(received, cx).await }
                    };
                    receiver.hand_over(&options, work).await
                }))
            }
            to => {
                let what = "what is shared goes to a folder, a prefix or a pipe";
                Err(Error::new(ErrorKind::Invalid, Op::Receive, to, what))
            }
        }
    }
}

/// Writes the only file to standard output, in order and proven.
async fn pipe(
    engine: Engine,
    received: Received,
    target: PipeTarget,
    cx: &JobContext,
) -> Result<Summary> {
    let started = Instant::now();
    let ReceivedKind::File { source, size, .. } = received.what else {
        let what = "it is no file";
        return Err(Error::new(ErrorKind::Invalid, Op::Receive, received.path.shown(), what));
    };
    cx.meter.set_total(size);
    let job = job(source, Arc::new(target), true);
    let report = Box::pin(engine.run(job, cx.clone())).await?;
    let mut summary = Summary::default();
    (summary.found, summary.copied, summary.complete) = (1, 1, true);
    (summary.bytes, summary.retried) = (report.bytes, report.retried);
    summary.elapsed = started.elapsed();
    Ok(summary)
}

fn job(source: Arc<dyn Source>, target: Arc<dyn Target>, overwrite: bool) -> Job {
    let attributes = Attributes::default();
    Job { source, target, attributes, overwrite, expected_size: None, keep_times: true }
}

/// Puts things into a store.
struct Store {
    engine: Engine,
    place: Place,
    if_exists: IfExists,
}

impl Store {
    async fn settle(&self, received: Received, cx: JobContext) -> Settled {
        let (from, to) = (Foreign::from(&received.path), self.place.name(&received.path));
        let size = match &received.what {
            ReceivedKind::File { size, .. } => *size,
            _ => 0,
        };
        let outcome = self.put(received, &cx).await.unwrap_or_else(Outcome::Failed);
        Settled::new(from, to, outcome).sized(size)
    }

    async fn put(&self, received: Received, cx: &JobContext) -> Result<Outcome> {
        let Received { path, what } = received;
        let refuse =
            |what: &str| Error::new(ErrorKind::Unsupported, Op::Receive, path.shown(), what);
        // Names that no folder could have are no keys to make either.
        path.beneath().map_err(|e| refuse(&e.to_string()))?;
        let source = match what {
            ReceivedKind::File { source, .. } => source,
            ReceivedKind::Folder => Arc::new(folder_marker()),
            ReceivedKind::Failed(e) => return Err(e),
            _ => return Err(refuse("it is a symbolic link, and a store has none")),
        };
        let Place::Store { client, .. } = &self.place else {
            return Err(refuse("it goes to no store"));
        };
        let target = S3Target::new(client.clone(), self.place.object(&path)?);
        let overwrite = self.if_exists == IfExists::Overwrite;
        let job = job(source, Arc::new(target), overwrite);
        let report = match Box::pin(self.engine.clone().run(job, cx.clone())).await {
            Err(e) if e.kind() == ErrorKind::AlreadyExists && self.if_exists == IfExists::Skip => {
                return Ok(Outcome::Skipped(Skip::Exists));
            }
            moved => moved?,
        };
        // Every byte was proven on its way in; what the store says of its own comes first.
        let verified = match report.verified {
            Verified::Size => Verified::Blake3,
            by => by,
        };
        Ok(Outcome::Copied(Box::new(Report { verified, ..report })))
    }
}
