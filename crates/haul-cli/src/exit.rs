//! Exit codes and the last words.
//!
//! Owns the mapping from what went wrong to the documented code and to one clear line.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use haul::ErrorKind;

use crate::config::{SETTINGS, variable};
use crate::{habits, hints, output};

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
    /// The bytes are not the right ones, or two trees differ.
    Verification = 3,
    /// It does not exist.
    NotFound = 4,
    /// Not allowed.
    AccessDenied = 5,
    /// Interrupted by Ctrl-C (128 + SIGINT).
    Interrupted = 130,
    /// Nobody reads standard output any more (128 + SIGPIPE).
    Unread = 141,
    /// Asked to end (128 + SIGTERM).
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The code for a kind of error.
pub(crate) fn code(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Invalid | ErrorKind::WrongRegion => Exit::Usage,
        ErrorKind::Verification => Exit::Verification,
        ErrorKind::NotFound => Exit::NotFound,
        ErrorKind::AccessDenied => Exit::AccessDenied,
        ErrorKind::Cancelled if crate::signals::terminated() => Exit::Terminated,
        ErrorKind::Cancelled => Exit::Interrupted,
        // As `cat` ends, so that `pipefail` can tell.
        ErrorKind::BrokenPipe => Exit::Unread,
        _ => Exit::Failed,
    }
}

/// One line about an error of the library, with the way out.
pub(crate) fn line(error: &haul::Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error} ({})", hints::words(hint)),
        None => format!("{error}"),
    }
}

/// The causes of an error, for those who asked for them.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let chain = std::iter::successors(error.source(), |e| e.source());
    chain.map(|c| format!("  because: {}", haul::redact::for_display(&c.to_string()))).collect()
}

/// Says what went wrong on one line, with the way out; `verbose` adds the causes.
pub(crate) fn explain(error: &anyhow::Error, verbose: bool) -> Exit {
    let known = error.downcast_ref::<haul::Error>();
    let exit = known.map_or(Exit::Failed, |e| code(e.kind()));
    if known.is_some_and(|e| matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::Cancelled)) {
        return exit; // signals say what they did; a broken pipe ends quietly
    }
    let text = match known {
        Some(known) => line(known),
        // Errors of the command itself: the cause is part of the message.
        None => format!("{error:#}").split(" (os error").next().unwrap_or_default().to_owned(),
    };
    output::error(&text);
    if verbose {
        let error: &(dyn std::error::Error + 'static) = error.as_ref();
        for cause in causes(error) {
            output::note(&cause);
        }
    }
    exit
}

/// A command line that was not understood, in the dress of all other errors; or the help that was
/// asked for.
pub(crate) fn misused(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        let text = error.render().to_string();
        return match output::result(text.trim_end()) {
            Ok(()) => Exit::Done,
            Err(e) => code(e.kind()),
        };
    }
    let text = error.to_string();
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        output::note(text.trim_end()); // `haul` alone: the help is the answer
        return Exit::Usage;
    }
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let first = lines.next().unwrap_or_default();
    let mut said = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    if said.ends_with(':') {
        // A list follows, of arguments that are missing.
        let list = lines.clone().take_while(|l| !l.starts_with("Usage")).collect::<Vec<_>>();
        let usage = lines.clone().find_map(|l| l.strip_prefix("Usage: "));
        let usage = usage.map(|u| format!(" ({u})")).unwrap_or_default();
        said = format!("{said} {}{usage}", list.join(", "));
    }
    if let Some(name) = variable_at_fault(error) {
        said = format!("{said} (from the environment: {name})");
    }
    if let Some(way) = habits::way(error, &text) {
        said = format!("{said} ({way})");
    }
    let said = said.replace("invalid digit found in string", "write a number");
    output::error(&format!("{said}; see --help"));
    Exit::Usage
}

/// The environment variable that a bad value came from: its user did not type the flag.
fn variable_at_fault(error: &clap::Error) -> Option<&'static str> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg)?.split(' ').next()?;
    let value = text(ContextKind::InvalidValue)?;
    let typed = std::env::args().any(|word| word.starts_with(flag));
    // Flags of two commands may have one name.
    let names = SETTINGS.iter().filter(|s| s.flag() == flag).filter_map(|s| s.env);
    let mut at_fault = names.filter(|name| !typed && variable(name).as_deref() == Some(value));
    at_fault.next()
}
