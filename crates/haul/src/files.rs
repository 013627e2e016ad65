//! Sharing and downloading with an event for whatever happens to each file: for programs that draw
//! for themselves.
//!
//! Owns the translation of a job's meters and events into steps (S4.7-S4.10): what moved since the
//! last step, never a snapshot of everything (X4.5), at most every 100 ms for each file (S4.15, X4.6),
//! and in any case when a file is over (S4.16). The work itself is that of [`Haul::share`] and
//! [`Haul::receive`]: there is one path.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use haul_core::{
    Error, ErrorKind, Event, Location, Meter, Op, Outcome, PeerEvent, Result, Settled, Summary,
    TransferHandle,
};
use haul_p2p::{ReceiveOptions, ShareOptions, Shared, Ticket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Interval, MissedTickBehavior};

use crate::{Haul, ReceiveRequest, ShareRequest};

/// S4.15: how often a file's progress is told.
const EVERY: Duration = Duration::from_millis(100);

/// Takes events. A sink is called from one task, in order, and should return at once.
pub trait EventSink<E>: Send + 'static {
    /// Takes one.
    fn take(&self, event: E);
}

impl<E, F: Fn(E) + Send + 'static> EventSink<E> for F {
    fn take(&self, event: E) {
        self(event);
    }
}

/// A channel as a sink; events that nobody listens to are dropped.
#[derive(Debug, Clone)]
pub struct Channel<E>(pub UnboundedSender<E>);

impl<E: Send + 'static> EventSink<E> for Channel<E> {
    fn take(&self, event: E) {
        let _nobody_listens = self.0.send(event);
    }
}

/// S4.8: what happens to a file that is being offered. `file` is its number, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShareEvent {
    /// First: what it is called, and its size.
    Size {
        /// Its number.
        file: u64,
        /// What it is called.
        name: String,
        /// Bytes.
        size: u64,
    },
    /// Its bytes are where they will be read from. Files are read where they are, so it follows
    /// `Size` at once (X4.3).
    CopyDone {
        /// Its number.
        file: u64,
    },
    /// So many more bytes are hashed.
    OutboardProgress {
        /// Its number.
        file: u64,
        /// Bytes since the last of these events.
        bytes: u64,
    },
    /// Last, for a file that can be had.
    Done {
        /// Its number.
        file: u64,
        /// The BLAKE3 hash of its content; `None` for links and empty folders.
        hash: Option<[u8; 32]>,
    },
    /// Last, for a file that cannot; the others go on (S4.24, S4.26).
    Error {
        /// Its number.
        file: u64,
        /// What it is called.
        name: String,
        /// Why, on one line.
        error: String,
    },
}

/// S4.10: what happens to a file that is being downloaded. `file` is its number, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownloadEvent {
    /// First: who is asked for it.
    TryProvider {
        /// Its number.
        file: u64,
        /// What it is called.
        name: String,
        /// Bytes.
        size: u64,
        /// Who is asked, as messages call peers.
        provider: String,
    },
    /// So many more bytes are proven and written.
    Progress {
        /// Its number.
        file: u64,
        /// Bytes since the last of these events.
        bytes: u64,
    },
    /// Last, for a file that is in its place (S4.11), now or already.
    PartComplete {
        /// Its number.
        file: u64,
    },
    /// Last, for a file that is not; the others go on (S4.24, S4.26).
    Error {
        /// Its number.
        file: u64,
        /// What it is called.
        name: String,
        /// Why, on one line.
        error: String,
    },
}

/// A share that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Sharing {
    ticket: Ticket,
    handle: TransferHandle<Shared>,
    telling: tokio::task::JoinHandle<()>,
}

impl Sharing {
    /// What a receiver has to know.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Ends it; await [`ended`](Self::ended) to see it done.
    pub fn stop(&self) {
        self.handle.cancel();
    }

    /// Waits until it is over.
    ///
    /// # Errors
    ///
    /// Those of [`Haul::share`].
    pub async fn ended(mut self) -> Result<Shared> {
        let ended = (&mut self.handle).await;
        let _told = (&mut self.telling).await;
        ended
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        self.telling.abort();
    }
}

impl Haul {
    /// S4.19: shares files and folders, hashing several at once, and gives the ticket as soon as it
    /// is known. `sink` hears of every file.
    ///
    /// # Errors
    ///
    /// Those of [`Haul::share`]; `Cancelled` where the share was stopped before there was a ticket.
    pub async fn share_files_parallel(
        &self,
        sink: impl EventSink<ShareEvent>,
        paths: Vec<PathBuf>,
        options: ShareOptions,
    ) -> Result<Sharing> {
        let sources = paths.into_iter().map(Location::Local).collect();
        let mut handle = self.share(ShareRequest::new(sources, options)).await?;
        let (told, ticket) = tokio::sync::oneshot::channel();
        let mut told = Some(told);
        let events = handle.take_events();
        let telling = tokio::spawn(follow(events, Steps::default(), move |step| match step {
            Step::Heard(Event::Ticket(ticket)) => {
                if let Some(told) = told.take() {
                    drop(told.send(ticket.0.clone()));
                }
            }
            Step::Heard(_) => {}
            Step::Begun { file, name, size } => {
                sink.take(ShareEvent::Size { file, name, size });
                sink.take(ShareEvent::CopyDone { file });
            }
            Step::Moved { file, bytes } => sink.take(ShareEvent::OutboardProgress { file, bytes }),
            Step::Over { file, hash } => sink.take(ShareEvent::Done { file, hash }),
            Step::Failed { file, name, error } => {
                sink.take(ShareEvent::Error { file, name, error });
            }
        }));
        if let Ok(ticket) = ticket.await {
            return Ok(Sharing { ticket: ticket.parse()?, handle, telling });
        }
        // It has ended before there was one: the handle knows why.
        handle.await?;
        Err(Error::new(ErrorKind::Cancelled, Op::Share, "the files", "it was stopped"))
    }

    /// S4.20: downloads what `ticket` names into a folder, several files at once. `sink` hears of
    /// every file.
    ///
    /// # Errors
    ///
    /// Those of [`Haul::receive`].
    pub async fn download_files_parallel(
        &self,
        sink: impl EventSink<DownloadEvent>,
        ticket: &Ticket,
        into: PathBuf,
        options: ReceiveOptions,
    ) -> Result<Summary> {
        let request = ReceiveRequest::new(ticket.clone(), Location::Local(into), options);
        let mut handle = self.receive(request).await?;
        let mut provider = ticket.sender();
        let telling = follow(handle.take_events(), Steps::default(), |step| match step {
            Step::Heard(Event::Peer { event: PeerEvent::Joined { name, .. }, .. }) => {
                provider.clone_from(name);
            }
            Step::Heard(_) => {}
            Step::Begun { file, name, size } => {
                let provider = provider.clone();
                sink.take(DownloadEvent::TryProvider { file, name, size, provider });
            }
            Step::Moved { file, bytes } => sink.take(DownloadEvent::Progress { file, bytes }),
            Step::Over { file, .. } => sink.take(DownloadEvent::PartComplete { file }),
            Step::Failed { file, name, error } => {
                sink.take(DownloadEvent::Error { file, name, error });
            }
        });
        let ((), ended) = futures::join!(telling, handle);
        ended
    }
}

/// One step of a job.
enum Step<'a> {
    /// Something that is about no file.
    Heard(&'a Event),
    Begun {
        file: u64,
        name: String,
        size: u64,
    },
    Moved {
        file: u64,
        bytes: u64,
    },
    Over {
        file: u64,
        hash: Option<[u8; 32]>,
    },
    Failed {
        file: u64,
        name: String,
        error: String,
    },
}

/// The files that are under way, by number.
#[derive(Debug, Default)]
struct Steps(HashMap<u64, Live>);

#[derive(Debug)]
struct Live {
    meter: Arc<Meter>,
    size: u64,
    told: u64,
}

/// Follows a job to its end.
async fn follow(
    events: Option<UnboundedReceiver<Event>>,
    mut steps: Steps,
    mut tell: impl FnMut(Step<'_>),
) {
    let Some(mut events) = events else { return };
    let mut clock: Interval = tokio::time::interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => steps.hear(event, &mut tell),
                None => return,
            },
            _ = clock.tick() => steps.look(&mut tell),
        }
    }
}

impl Steps {
    fn hear(&mut self, event: Event, tell: &mut impl FnMut(Step<'_>)) {
        match event {
            Event::ItemStarted { item, from, size, meter, .. } => {
                let size = size.unwrap_or(0);
                self.0.insert(item, Live { meter, size, told: 0 });
                tell(Step::Begun { file: item, name: from.exact().into_owned(), size });
            }
            Event::Settled(settled) => self.end(*settled, tell),
            event => tell(Step::Heard(&event)),
        }
    }

    /// S4.15: one look at every file under way.
    fn look(&mut self, tell: &mut impl FnMut(Step<'_>)) {
        for (file, live) in &mut self.0 {
            let landed = live.meter.snapshot().landed;
            live.advance(*file, landed, tell);
        }
    }

    /// S4.16: the last of a file is told, however soon it comes after the one before.
    fn end(&mut self, settled: Settled, tell: &mut impl FnMut(Step<'_>)) {
        let Settled { item: file, ref from, size, .. } = settled;
        let size = size.unwrap_or(0);
        let mut live = self.0.remove(&file).unwrap_or_else(|| {
            // It was one of many in a request.
            tell(Step::Begun { file, name: from.exact().into_owned(), size });
            Live { meter: Meter::new(), size, told: 0 }
        });
        let hash = match settled.outcome {
            Outcome::Failed(e) => {
                let (name, error) = (from.exact().into_owned(), e.to_string());
                return tell(Step::Failed { file, name, error });
            }
            Outcome::Offered(hash) => hash,
            _ => None,
        };
        live.advance(file, live.size, tell);
        tell(Step::Over { file, hash });
    }
}

impl Live {
    /// S4.13, S4.14: never backwards, never past the size.
    fn advance(&mut self, file: u64, landed: u64, tell: &mut impl FnMut(Step<'_>)) {
        let landed = landed.min(self.size);
        if landed > self.told {
            tell(Step::Moved { file, bytes: landed - self.told });
            self.told = landed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S4.15, S4.16, X4.6: however often a file moves, it is told every 100 ms and at its end, and all
    /// of it.
    #[tokio::test(start_paused = true)]
    async fn progress_is_told_ten_times_a_second() {
        const MILLIS: u64 = 1050;
        let (events, heard) = tokio::sync::mpsc::unbounded_channel();
        let (meter, started) = (Meter::new(), tokio::time::Instant::now());
        let moving = Arc::clone(&meter);
        let file = async move {
            let started = Event::ItemStarted {
                item: 0,
                from: "a".into(),
                to: "a".into(),
                size: Some(MILLIS),
                meter,
            };
            events.send(started).unwrap();
            for _ in 0..MILLIS {
                tokio::time::sleep(Duration::from_millis(1)).await;
                moving.add_landed(1);
            }
            let over = Settled::new("a", "a", Outcome::Offered(Some([7; 32]))).sized(MILLIS);
            events.send(Event::Settled(Box::new(over))).unwrap();
        };
        let mut told = Vec::new();
        let telling = follow(Some(heard), Steps::default(), |step| match step {
            Step::Moved { bytes, .. } => told.push((started.elapsed().as_millis(), bytes)),
            Step::Over { hash, .. } => assert_eq!(hash, Some([7; 32])),
            _ => {}
        });
        futures::join!(telling, file);
        assert_eq!(told.iter().map(|(_, bytes)| bytes).sum::<u64>(), MILLIS);
        assert_eq!(told.len(), 11, "{told:?}");
        for pair in told[..10].windows(2) {
            assert!((90..=110).contains(&(pair[1].0 - pair[0].0)), "{told:?}");
        }
    }
}
