//! The `haul` command.
//!
//! Owns arguments, rendering, exit codes and signals. It must never move a byte itself: that is the
//! `haul` library's business. stdout carries data and results; everything else goes to stderr.

mod args;
mod commands;
mod config;
mod exit;
mod habits;
mod hints;
mod identity;
mod moment;
mod output;
mod parse;
mod render;
mod results;
mod session;
mod settings;
mod signals;
mod size;
mod tickets;

use crate::exit::Exit;
use crate::parse::{NotParsed, Parsed};
use crate::session::Session;

/// Network buffers of some hundred KiB come and go all the time. glibc gives each back to the kernel
/// and takes page faults for the next one, a tenth of a download's CPU time and more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let parsed = match parse::parse(&words) {
        Ok(parsed) => parsed,
        Err(NotParsed::Misused(e)) => return exit::misused(&e).into(),
        Err(NotParsed::Config(e)) => return exit::explain(&e.into(), false).into(),
    };
    let verbose = parsed.cli.common.verbose;
    output::start_log(verbose);
    // One thread for signals, progress and small requests: bytes move on lanes of their own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            output::error(&format!("cannot start: {e}"));
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(run(parsed)).unwrap_or_else(|e| exit::explain(&e, verbose > 0));
    // A thread may wait in a read of standard input for ever: do not wait for it.
    runtime.shutdown_background();
    exit.into()
}

async fn run(parsed: Parsed) -> anyhow::Result<Exit> {
    signals::outlive_file_limits();
    let Parsed { cli, matches, config } = parsed;
    let session = Session::new(cli.common, config);
    Box::pin(commands::run(cli.command, &matches, &session)).await
}
