//! haul's automation: real S3 servers on loopback, the interop suite, the benchmarks.
//!
//! Owns: the command line of `cargo xtask`. Must never: be needed to build or use haul, or leave a
//! process running that the user did not ask to keep.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool: its output is its purpose"
)]

mod bench;
mod files;
mod interop;
mod interrupt;
mod line;
mod p2p;
mod probe;
mod process;
mod proxy;
mod servers;
mod soak;
mod tools;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "haul's automation", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install, start and stop real S3 servers on loopback
    Servers(servers::commands::Args),
    /// Run the end-to-end suite through the haul binary against every server that is available
    Interop(interop::Args),
    /// Measure haul and its peers on one server, and write docs/benchmarks.*
    Bench(bench::Args),
    /// Measure haul and its peers with many files and many keys
    BenchMany(bench::many::Args),
    /// Measure how the time of many uploads follows from -c, when every PUT takes a while
    BenchWaves(bench::waves::Args),
    /// Measure the peak memory of one big file up, down and to stdout
    BenchMemory(bench::memory::Args),
    /// Measure haul and sendme, from one process to another
    BenchP2p(bench::p2p::Args),
    /// Run random commands beside a model of the documents, and shrink what differs
    Soak(soak::Args),
    /// Be a slow and lossy line of datagrams; interop starts this by itself
    #[command(hide = true)]
    Line(line::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    interrupt::install()?;
    match task {
        Task::Servers(args) => servers::commands::run(&args),
        Task::Interop(args) => interop::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::BenchMany(args) => bench::many::run(&args),
        Task::BenchWaves(args) => bench::waves::run(&args),
        Task::BenchMemory(args) => bench::memory::run(&args),
        Task::BenchP2p(args) => bench::p2p::run(&args),
        Task::Soak(args) => soak::run(&args),
        Task::Line(args) => line::run(&args),
    }
}
