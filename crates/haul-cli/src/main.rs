//! The `haul` command.
//!
//! Owns arguments, rendering, exit codes and signals. It must never move a byte itself: that is the
//! `haul` library's business. stdout carries data and results; everything else goes to stderr.

mod args;
mod commands;
mod exit;
mod output;
mod render;
mod settings;
mod signals;
mod size;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::exit::Exit;

/// Network buffers of some hundred KiB come and go all the time. glibc gives each back to the kernel
/// and takes page faults for the next one, a tenth of a download's CPU time and more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return exit::misused(&e),
    };
    output::start_log(cli.common.verbose);
    // One thread for signals, progress and small requests: bytes move on lanes of their own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            output::error(&format!("cannot start: {e}"));
            return Exit::Failed.into();
        }
    };
    let verbose = cli.common.verbose > 0;
    let exit = runtime.block_on(run(cli)).unwrap_or_else(|e| exit::explain(&e, verbose));
    // A thread may wait in a read of standard input for ever: do not wait for it.
    runtime.shutdown_background();
    exit.into()
}

async fn run(cli: Cli) -> anyhow::Result<Exit> {
    signals::outlive_file_limits();
    let Cli { command, common } = cli;
    match command {
        Command::Cp(args) => commands::cp::run(args, &common).await,
        Command::Cat(args) => commands::cat::run(args, &common).await,
        Command::Stat(args) => commands::stat::run(args, &common).await,
        Command::Rm(args) => commands::rm::run(args, &common).await,
        Command::Mb(args) => commands::mb::run(args, &common).await,
        Command::Serve(args) => commands::serve::run(args).await,
        Command::Demo(args) => commands::demo::run(args, &common).await,
        Command::Completions(args) => commands::completions::run(&args),
    }
}
