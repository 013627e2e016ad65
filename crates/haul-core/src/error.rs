//! The one error type of the library crates.
//!
//! Owns what went wrong ([`ErrorKind`]), what was being done ([`Op`]), where (a redacted location),
//! whether trying again can help ([`Retry`]) and the way out ([`Hint`]). `Display` is one line and
//! never includes the source: walk [`std::error::Error::source`] for the chain. It must never hold
//! a secret.

use std::fmt;
use std::time::Duration;

use crate::hint::Hint;
use crate::redact;

/// Result with haul's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarse enough to choose an exit code by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself makes no sense: bad option, bad size, a folder where a file is needed.
    Invalid,
    /// The object, file or bucket does not exist.
    NotFound,
    /// Credentials are missing, wrong or not allowed to do this.
    AccessDenied,
    /// The destination exists and may not be replaced.
    AlreadyExists,
    /// The source is no longer what it was when it was opened.
    SourceChanged,
    /// The bytes arrived but are not the right ones.
    Verification,
    /// No connection: refused, unknown host, TLS failure.
    Connect,
    /// No bytes moved for the stall time-out.
    Stalled,
    /// The server asks for fewer requests (429, 503 SlowDown).
    Throttled,
    /// The server failed (5xx).
    Server,
    /// The server understood and refuses (4xx), for a reason of its own.
    Rejected,
    /// The server answered something other than what was asked: another range, a short body.
    Protocol,
    /// The bucket lives in another region.
    WrongRegion,
    /// The server cannot do this at all.
    Unsupported,
    /// The local operating system said no.
    Io,
    /// No space left on the destination.
    NoSpace,
    /// The reader of our output went away.
    BrokenPipe,
    /// The caller cancelled.
    Cancelled,
}

/// Whether trying the same operation again can help. Set where the status is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It cannot.
    Never,
    /// For a few seconds: nobody was ever heard there, and perhaps the name is wrong.
    Briefly,
    /// After the usual back-off.
    Backoff,
    /// After this long, because the server said so (`Retry-After`).
    After(Duration),
    /// After this long, as often as it takes: nothing failed. The other side works on it, and says so
    /// each time.
    Wait(Duration),
}

/// What was being done when an error happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// Understanding an argument.
    Parse,
    /// Finding credentials, region and endpoint.
    Configure,
    /// Looking at a source or target before moving bytes.
    Open,
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Starting an upload.
    Begin,
    /// Making the result visible.
    Commit,
    /// Discarding an unfinished upload.
    Abort,
    /// Copying on the server.
    Copy,
    /// Looking at metadata.
    Stat,
    /// Removing.
    Remove,
    /// Creating a bucket.
    MakeBucket,
    /// Comparing checksums.
    Verify,
    /// Serving.
    Serve,
    /// Listing what is there.
    List,
    /// Removing a bucket.
    RemoveBucket,
    /// Making a link that carries its own signature.
    Presign,
    /// Comparing two things.
    Compare,
    /// Moving.
    Move,
    /// Offering something to peers.
    Share,
    /// Taking something from a peer.
    Receive,
    /// Reaching a peer.
    Connect,
}

impl Op {
    const fn verb(self) -> &'static str {
        match self {
            Self::Parse => "understand",
            Self::Configure => "connect to",
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Begin => "start writing",
            Self::Commit => "finish",
            Self::Abort => "discard the unfinished upload of",
            Self::Copy => "copy",
            Self::Stat => "look at",
            Self::Remove | Self::RemoveBucket => "remove",
            Self::MakeBucket => "create",
            Self::Verify => "verify",
            Self::Serve => "serve",
            Self::List => "list",
            Self::Presign => "make a link to",
            Self::Compare => "compare",
            Self::Move => "move",
            Self::Share => "share",
            Self::Receive => "receive",
            Self::Connect => "reach",
        }
    }
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    op: Op,
    location: String,
    detail: String,
    retry: Retry,
    hint: Option<Hint>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What went wrong, during which operation, where, and whether to try again.
///
/// ```
/// use haul_core::{Error, ErrorKind, Op, Retry};
/// let e = Error::new(ErrorKind::NotFound, Op::Open, "s3://bucket/key", "no such object");
/// assert_eq!(e.to_string(), "cannot open s3://bucket/key: no such object");
/// assert_eq!(e.retry(), Retry::Never);
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

impl Error {
    /// An error that is not worth a retry. `location` and `detail` are redacted and stripped of
    /// control characters here, so callers may pass what a server said.
    pub fn new(
        kind: ErrorKind,
        op: Op,
        location: impl fmt::Display,
        detail: impl fmt::Display,
    ) -> Self {
        Self(Box::new(Inner {
            kind,
            op,
            location: redact::for_display(&location.to_string()),
            detail: redact::for_display(&detail.to_string()),
            retry: Retry::Never,
            hint: None,
            source: None,
        }))
    }

    /// The caller asked to stop.
    pub fn cancelled(op: Op, location: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Cancelled, op, location, "interrupted")
    }

    /// A local I/O error, with the kind worked out from the operating system's code.
    pub fn io(op: Op, location: impl fmt::Display, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, detail) = match source.kind() {
            Io::NotFound => (ErrorKind::NotFound, "no such file or folder".to_owned()),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => {
                (ErrorKind::AccessDenied, os_text(&source))
            }
            Io::AlreadyExists => (ErrorKind::AlreadyExists, "it exists already".to_owned()),
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
                (ErrorKind::NoSpace, os_text(&source))
            }
            Io::BrokenPipe => (ErrorKind::BrokenPipe, "the reader went away".to_owned()),
            Io::IsADirectory => (ErrorKind::Invalid, "it is a folder".to_owned()),
            Io::NotADirectory => {
                (ErrorKind::Invalid, "part of the path is not a folder".to_owned())
            }
            _ => (ErrorKind::Io, os_text(&source)),
        };
        Self::new(kind, op, location, detail).with_source(source)
    }

    /// Says whether a retry can help.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Adds the way out.
    #[must_use]
    pub fn with_hint(mut self, hint: Hint) -> Self {
        self.0.hint = Some(hint);
        self
    }

    /// Adds the cause, shown only when the chain is asked for.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error once its retries are used up, so that no outer layer multiplies them.
    #[must_use]
    pub fn exhausted(self, tries: u32) -> Self {
        let mut inner = self.0;
        if inner.retry != Retry::Never && tries > 1 {
            inner.detail = format!("{} (gave up after {tries} tries)", inner.detail);
        }
        inner.retry = Retry::Never;
        Self(inner)
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done.
    pub fn op(&self) -> Op {
        self.0.op
    }

    /// Where, redacted.
    pub fn location(&self) -> &str {
        &self.0.location
    }

    /// The message without operation and location.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Whether a retry can help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The way out, if one is known.
    pub fn hint(&self) -> Option<&Hint> {
        self.0.hint.as_ref()
    }
}

/// The operating system's words without Rust's "(os error N)".
fn os_text(e: &std::io::Error) -> String {
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.0.op.verb(), self.0.location, self.0.detail)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

/// An error and what caused it. What stands inside an I/O error is one of them, which
/// [`std::error::Error::source`] leaves out.
pub fn causes<'a>(
    e: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    let mut next = Some(e);
    std::iter::from_fn(move || {
        let e = next?;
        let inner = e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inner
            .map_or_else(|| e.source(), |inner| Some(inner as &(dyn std::error::Error + 'static)));
        Some(e)
    })
}

/// The innermost cause, without "(os error N)".
pub fn root_cause(e: &(dyn std::error::Error + 'static)) -> String {
    let text = causes(e).last().map(ToString::to_string).unwrap_or_default();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S3.35: errors have a kind and their context.
    #[test]
    fn display_is_one_line_without_the_source() {
        let e = Error::io(Op::Write, "a\nb", std::io::Error::from_raw_os_error(28));
        assert_eq!(e.kind(), ErrorKind::NoSpace);
        assert_eq!(e.to_string(), "cannot write a\\nb: no space left on device");
        assert!(std::error::Error::source(&e).is_some());
    }

    /// X1.8: one layer retries, and no other on top of it.
    #[test]
    fn exhausted_is_never_retried_again() {
        let e = Error::new(ErrorKind::Server, Op::Read, "s3://b/k", "500 InternalError")
            .with_retry(Retry::Backoff)
            .exhausted(8);
        assert_eq!(e.retry(), Retry::Never);
        assert_eq!(
            e.to_string(),
            "cannot read s3://b/k: 500 InternalError (gave up after 8 tries)"
        );
    }
}
