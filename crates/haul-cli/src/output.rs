//! Writing to the two streams.
//!
//! Owns stdout (results) and stderr (everything else) of the commands. Must never panic because a
//! reader went away.

use std::io::Write as _;

use haul::{Error, Op};
use tracing_subscriber::EnvFilter;

tokio::task_local! {
    /// The line of the batch that the task runs.
    pub(crate) static LINE: usize;
}

/// Starts the log on stderr: warnings, with `-v` what haul does, with `-vv` what its libraries do.
pub(crate) fn start_log(verbose: u8) {
    // The SDK's own log can show headers; it stays off.
    let level = ["warn", "info", "debug"][usize::from(verbose.min(2))];
    let crates =
        ["haul", "haul_core", "haul_local", "haul_s3", "haul_http", "haul_p2p", "haul_state"];
    let filter = crates.map(|name| format!("{name}={level}")).join(",");
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::new(filter))
        .without_time()
        .with_target(false);
    log.init();
}

/// One line of results. An error means that nobody reads them any more.
pub(crate) fn result(line: &str) -> Result<(), Error> {
    results(format!("{line}\n").as_bytes())
}

/// One line of results about what was changed: that nobody reads it is worth a word.
pub(crate) fn changed(line: &str) -> Result<(), Error> {
    result(line).inspect_err(|e| error(&e.to_string()))
}

/// Whole lines of results.
pub(crate) fn results(lines: &[u8]) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(lines)
        .and_then(|()| stdout.flush())
        .map_err(|e| Error::io(Op::Write, "standard output", e))
}

/// One line for the user, beside the results.
pub(crate) fn note(line: &str) {
    let _nobody_reads = writeln!(std::io::stderr().lock(), "{line}");
}

/// One line about what went wrong.
pub(crate) fn error(line: &str) {
    note(&error_line(line));
}

/// The same, not yet written, and a single line whatever is in it. In a batch it says which line of it
/// failed.
pub(crate) fn error_line(line: &str) -> String {
    let line = haul::redact::escape_control(line);
    LINE.try_with(|n| format!("haul: line {n}: {line}")).unwrap_or_else(|_| format!("haul: {line}"))
}
