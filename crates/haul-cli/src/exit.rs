//! Exit codes and the last words.
//!
//! Owns the mapping from what went wrong to the documented code and to one clear line.

use std::process::ExitCode;

use haul::ErrorKind;

use crate::output;

/// How a run ended, as documented in `haul --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All done.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// The bytes are not the right ones.
    Verification = 3,
    /// It does not exist.
    NotFound = 4,
    /// Not allowed.
    AccessDenied = 5,
    /// Interrupted by Ctrl-C (128 + SIGINT).
    Interrupted = 130,
    /// Asked to end (128 + SIGTERM).
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The code for a kind of error.
fn code(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Invalid | ErrorKind::WrongRegion => Exit::Usage,
        ErrorKind::Verification => Exit::Verification,
        ErrorKind::NotFound => Exit::NotFound,
        ErrorKind::AccessDenied => Exit::AccessDenied,
        ErrorKind::Cancelled if crate::signals::terminated() => Exit::Terminated,
        ErrorKind::Cancelled => Exit::Interrupted,
        ErrorKind::BrokenPipe => Exit::Done, // the reader has what it wanted
        _ => Exit::Failed,
    }
}

/// Says what went wrong on one line, with the way out; `verbose` adds the causes.
pub(crate) fn explain(error: &anyhow::Error, verbose: bool) -> Exit {
    let known = error.downcast_ref::<haul::Error>();
    let exit = known.map_or(Exit::Failed, |e| code(e.kind()));
    match known.map(haul::Error::kind) {
        Some(ErrorKind::BrokenPipe) => return exit, // ends quietly
        Some(ErrorKind::Cancelled) => {
            output::note("haul: stopped before it was complete");
            return exit;
        }
        _ => {}
    }
    let hint = known.and_then(haul::Error::hint);
    let line = match hint {
        Some(hint) => format!("{error} ({hint})"),
        None => format!("{error}"),
    };
    output::error(&line);
    if verbose {
        for cause in error.chain().skip(1) {
            output::note(&format!("  because: {}", haul::redact::for_display(&cause.to_string())));
        }
    }
    exit
}
