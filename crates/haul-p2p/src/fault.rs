//! What goes wrong between peers, as haul's errors.
//!
//! Owns the codes that connections and streams are closed with, and which failures are worth
//! another try. It must never put a ticket or a key into an error.

use std::io;
use std::time::Duration;

use haul_core::error::causes;
use haul_core::{Error, ErrorKind, Hint, Op, Retry};
use iroh::endpoint::{ConnectionError, ReadError, VarInt, WriteError};
use iroh_blobs::get::fsm::DecodeError;

/// Why a connection is closed, for the other side to tell its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// All is said.
    Done,
    /// The ticket is not, or no longer, that of this share.
    WrongTicket,
    /// As many receivers as are allowed are being served, or were.
    Full,
    /// The sender is stopping.
    Stopping,
    /// What was sent made no sense.
    Malformed,
    /// The share is over: enough receivers have everything, or its time has come.
    Over,
}

impl Close {
    const ALL: [Self; 6] =
        [Self::Done, Self::WrongTicket, Self::Full, Self::Stopping, Self::Malformed, Self::Over];

    pub(crate) fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    fn of(code: VarInt) -> Option<Self> {
        Self::ALL.into_iter().find(|close| close.code() == code)
    }
}

/// When one that was turned away may ask again.
pub(crate) const FULL_WAIT: Duration = Duration::from_secs(5);

/// When one whose content is still being hashed may ask again.
const HASHING_WAIT: Duration = Duration::from_secs(1);

/// A stream was reset because the content is not what it was when it was shared.
pub(crate) const CHANGED: VarInt = VarInt::from_u32(17);

/// A stream was reset because the content could not be read just now.
pub(crate) const NOT_NOW: VarInt = VarInt::from_u32(19);

/// A stream was reset because nothing of that name is shared.
pub(crate) const UNKNOWN: VarInt = VarInt::from_u32(18);

/// A stream was reset because not everything is hashed, and what was asked for may still come. Only
/// for receivers that say that they know it.
pub(crate) const NOT_YET: VarInt = VarInt::from_u32(20);

/// No connection, which may come back.
pub(crate) fn lost(peer: &str, cause: &ConnectionError) -> Error {
    let refused = |kind, what, hint| Error::new(kind, Op::Connect, peer, what).with_hint(hint);
    match said(cause) {
        Some(Close::WrongTicket) => refused(
            ErrorKind::AccessDenied,
            "the sender does not know this ticket",
            Hint::AskForTicket,
        ),
        Some(Close::Full) => refused(
            ErrorKind::Rejected,
            "the sender serves as many receivers as it wants to",
            Hint::AskForMoreReceivers,
        )
        // One that was cut off counts until its connection has timed out, half a minute later.
        .with_retry(Retry::After(FULL_WAIT)),
        Some(Close::Over) => refused(
            ErrorKind::Rejected,
            "the share is over: others have it, or its time has come",
            Hint::AskForShare,
        ),
        Some(Close::Malformed) => {
            refused(ErrorKind::Protocol, "the sender did not understand", Hint::CheckVersion)
        }
        Some(Close::Stopping) => stopped(peer),
        _ => Error::new(ErrorKind::Connect, Op::Connect, peer, describe(cause))
            .with_retry(Retry::Backoff)
            .with_hint(Hint::ReceiveAgain),
    }
}

/// The sender was stopped, and may be started again.
pub(crate) fn stopped(peer: &str) -> Error {
    Error::new(ErrorKind::Connect, Op::Connect, peer, "it was stopped")
        .with_retry(Retry::Backoff)
        .with_hint(Hint::StartBothAgain)
}

/// What the sender closed a connection with.
pub(crate) fn said(cause: &ConnectionError) -> Option<Close> {
    match cause {
        ConnectionError::ApplicationClosed(close) => Close::of(close.error_code),
        _ => None,
    }
}

/// Why a sender that `said` something, and does not answer since, cannot be reached.
pub(crate) fn since(peer: &str, said: Close, unreachable: Error) -> Error {
    match said {
        Close::Stopping => stopped(peer),
        Close::Full => {
            let what = "it served as many receivers as it wanted to, and is gone";
            Error::new(ErrorKind::Rejected, Op::Connect, peer, what).with_hint(Hint::AskForShare)
        }
        Close::Done | Close::WrongTicket | Close::Malformed | Close::Over => unreachable,
    }
}

fn describe(cause: &ConnectionError) -> String {
    match cause {
        ConnectionError::TimedOut => "it does not answer any more".to_owned(),
        ConnectionError::Reset => "it was started anew".to_owned(),
        ConnectionError::LocallyClosed => "the connection was closed here".to_owned(),
        cause => cause.to_string(),
    }
}

/// A read that failed.
pub(crate) fn of_read(peer: &str, cause: &ReadError) -> Error {
    match cause {
        ReadError::ConnectionLost(cause) => lost(peer, cause),
        ReadError::Reset(code) => reset(peer, *code),
        cause => {
            Error::new(ErrorKind::Connect, Op::Receive, peer, cause).with_retry(Retry::Backoff)
        }
    }
}

/// A write that failed.
pub(crate) fn of_write(peer: &str, cause: &WriteError) -> Error {
    match cause {
        WriteError::ConnectionLost(cause) => lost(peer, cause),
        WriteError::Stopped(_) => {
            Error::new(ErrorKind::Connect, Op::Share, peer, "it does not want the rest")
        }
        cause => Error::new(ErrorKind::Connect, Op::Share, peer, cause).with_retry(Retry::Backoff),
    }
}

fn reset(peer: &str, code: VarInt) -> Error {
    match code {
        CHANGED => {
            let what = "the file was changed at the sender since it was shared";
            Error::new(ErrorKind::SourceChanged, Op::Receive, peer, what)
                .with_hint(Hint::AskForShare)
        }
        UNKNOWN => Error::new(ErrorKind::NotFound, Op::Receive, peer, "it is not shared any more"),
        NOT_NOW => {
            Error::new(ErrorKind::Stalled, Op::Receive, peer, "the sender cannot read it now")
                .with_retry(Retry::Backoff)
        }
        NOT_YET => {
            let what = "the sender is still hashing it";
            Error::new(ErrorKind::Stalled, Op::Receive, peer, what)
                .with_retry(Retry::Wait(HASHING_WAIT))
        }
        code => {
            let what = format!("the sender gave up (code {code})");
            Error::new(ErrorKind::Rejected, Op::Receive, peer, what)
        }
    }
}

/// An I/O error that may carry one of QUIC's.
pub(crate) fn of_io(peer: &str, cause: &io::Error) -> Error {
    for e in causes(cause) {
        if let Some(e) = e.downcast_ref::<ReadError>() {
            return of_read(peer, e);
        }
        if let Some(e) = e.downcast_ref::<WriteError>() {
            return of_write(peer, e);
        }
        if let Some(e) = e.downcast_ref::<ConnectionError>() {
            return lost(peer, e);
        }
    }
    if matches!(cause.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) {
        return Error::new(ErrorKind::Protocol, Op::Receive, peer, "its answer ends too early");
    }
    Error::new(ErrorKind::Connect, Op::Receive, peer, cause).with_retry(Retry::Backoff)
}

/// A response that is not what was asked for.
pub(crate) fn of_decode(peer: &str, cause: DecodeError) -> Error {
    match &cause {
        DecodeError::ParentHashMismatch { .. } | DecodeError::LeafHashMismatch { .. } => {
            let what = "what came is not what its hash names";
            Error::new(ErrorKind::Verification, Op::Receive, peer, what)
        }
        DecodeError::ChunkNotFound { .. }
        | DecodeError::ParentNotFound { .. }
        | DecodeError::LeafNotFound { .. } => {
            let what = "the sender has not got all of it";
            Error::new(ErrorKind::NotFound, Op::Receive, peer, what)
        }
        DecodeError::Read { source, .. } => return of_io(peer, source),
        other => Error::new(ErrorKind::Io, Op::Receive, peer, other),
    }
    .with_source(cause)
}
