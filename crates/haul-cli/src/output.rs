//! Writing to the two streams.
//!
//! Owns stdout (results) and stderr (everything else) of the commands. Must never panic because a
//! reader went away.

use std::io::Write as _;

use haul::{Error, Op};
use tracing_subscriber::EnvFilter;

/// Starts the log on stderr: warnings, with `-v` what haul does, with `-vv` what its libraries do.
pub(crate) fn start_log(verbose: u8) {
    // The SDK's own log can show headers; it stays off.
    let filter = match verbose {
        0 => "haul=warn,haul_core=warn,haul_local=warn,haul_s3=warn",
        1 => "haul=info,haul_core=info,haul_local=info,haul_s3=info",
        _ => "haul=debug,haul_core=debug,haul_local=debug,haul_s3=debug",
    };
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::new(filter))
        .without_time()
        .with_target(false);
    log.init();
}

/// One line of results. An error means that nobody reads them any more.
pub(crate) fn result(line: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|e| Error::io(Op::Write, "standard output", e))
}

/// One line for the user, beside the results.
pub(crate) fn note(line: &str) {
    let _nobody_reads = writeln!(std::io::stderr().lock(), "{line}");
}

/// One line about what went wrong.
pub(crate) fn error(line: &str) {
    note(&format!("haul: {line}"));
}
