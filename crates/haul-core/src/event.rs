//! What happened, losslessly: the life of items, not their bytes.
//!
//! Owns the event types. Bytes are the [`Meter`]'s; the number of events is in the order of items
//! plus retries, never of bytes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::foreign::Foreign;
use crate::hint::Hint;
use crate::meter::Meter;
use crate::outcome::{Link, Settled, Summary};
use crate::report::Report;

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Guaranteed once the source was found; only `Retrying` may come before it, and a `Note` about a
    /// detour may be followed by another: an item begins. The size is unknown for streams.
    ItemStarted {
        /// The item's number in its job, from 0.
        item: u64,
        /// The source, redacted.
        from: Foreign,
        /// The destination, redacted.
        to: Foreign,
        /// Bytes to move, when known.
        size: Option<u64>,
        /// The item's own counters, to poll.
        meter: Arc<Meter>,
    },
    /// Ephemeral, any number: something failed and is tried again.
    Retrying {
        /// What failed, on one line, escaped as every error is.
        error: String,
        /// The try that failed, from 1.
        attempt: u32,
        /// How long until the next.
        wait: Duration,
    },
    /// Ephemeral: something the user should know, such as a detour.
    Note {
        /// One line, which may hold names.
        text: Foreign,
        /// What can be done about it, if anything.
        hint: Option<Hint>,
    },
    /// Guaranteed, last, for a job of one item, unless it failed: it is complete, verified as the
    /// report says.
    ItemDone {
        /// What was done.
        report: Box<Report>,
    },
    /// Guaranteed for every item of a job of many, in no order of items: it is over.
    Settled(Box<Settled>),
    /// Guaranteed, once, for a job that shares: whoever has the ticket can have what is shared. A
    /// secret, so `Debug` hides it.
    Ticket(Link),
    /// Guaranteed, once, for a job that shares: everything is looked at, and offered or failed.
    AllOffered(Summary),
    /// Something about a peer, by its number in the job, from 0. `Joined` is its first event and
    /// `Left` its last, both guaranteed.
    Peer {
        /// The peer's number in the job.
        peer: u64,
        /// What happened.
        event: PeerEvent,
    },
}

impl Event {
    /// A [`Note`](Self::Note) about which nothing has to be done.
    pub fn note(text: impl Into<Foreign>) -> Self {
        Self::Note { text: text.into(), hint: None }
    }
}

/// Something about a peer of a job that shares or receives.
#[derive(Debug)]
#[non_exhaustive]
pub enum PeerEvent {
    /// It is connected.
    Joined {
        /// The beginning of its key, as messages call it.
        name: String,
        /// The way to it.
        route: Route,
        /// What it has, of what it wants: `landed` is what it says it has verified and written.
        meter: Arc<Meter>,
    },
    /// Ephemeral: the way to it is another now.
    Moved(Route),
    /// It is gone.
    Left(PeerEnd),
}

/// The way to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// Not known yet.
    Unknown,
    /// Straight to an address.
    Direct(String),
    /// Through a relay, which sees who talks to whom and how much, and nothing of what.
    Relay(String),
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("connecting"),
            Self::Direct(address) => write!(f, "direct, {address}"),
            Self::Relay(url) => write!(f, "through relay {url}"),
        }
    }
}

/// How a peer's visit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerEnd {
    /// It has everything, verified and written.
    Finished {
        /// Files that it took or had.
        files: u64,
    },
    /// It said that some of it failed on its side.
    Partial {
        /// Files that failed.
        failed: u64,
    },
    /// It went away before it had everything.
    Gone,
}

/// Where events go. Sending never waits and never fails: nobody has to listen.
#[derive(Debug, Clone)]
pub struct EventSender(Option<mpsc::UnboundedSender<Event>>);

impl EventSender {
    /// A sender and what it feeds. The queue has no bound because the number of events is bounded
    /// by items and retries, and because a slow listener may not hold up a transfer. A job of many
    /// items is held up before the queue grows: each item that is settled carries a credit, of which
    /// there are so many (see [`many`](crate::many)).
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (tx, rx) = mpsc::unbounded_channel();
        (Self(Some(tx)), rx)
    }

    /// A sender that nobody listens to.
    pub fn void() -> Self {
        Self(None)
    }

    /// Tells who listens, if anybody does.
    pub fn send(&self, event: Event) {
        if let Some(tx) = &self.0 {
            let _nobody_listens = tx.send(event);
        }
    }
}
