//! Owns `cargo xtask bench-many`: many small files and many keys, by haul and its peers, interleaved.
//!
//! Must never: report a run whose result was not compared, or delete before a run: file systems pay
//! for a mass removal in whatever comes next.

mod clients;
mod report;
mod rounds;
mod stage;
mod tasks;
mod text;

use super::document;
use crate::servers::Kind;
use crate::workspace::{self, Profile};
use anyhow::{Result, ensure};
use bytesize::ByteSize;
use report::Report;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server to measure against
    #[arg(long, value_enum, default_value = "garage")]
    server: Kind,
    /// How many files to move; the most are also synchronised with nothing to do
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000])]
    files: Vec<usize>,
    /// Size of a file
    #[arg(long, default_value = "16KiB")]
    size: ByteSize,
    /// How many keys to list
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// Measured runs a client and task, after one warm-up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only rows whose "task/client" contains this, such as "upload 1000/" or "list"
    #[arg(long)]
    only: Option<String>,
    /// Folder for benchmarks-many.json and benchmarks.md [default: docs]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Folder for the server's data and the test files [default: .haul-servers]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Use this haul binary instead of building one
    #[arg(long)]
    haul: Option<PathBuf>,
    /// Print the tables only, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Write the document again from benchmarks-many.json
    #[arg(long)]
    render: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let out = args.out.clone().unwrap_or_else(|| workspace::root().join("docs"));
    let raw = out.join("benchmarks-many.json");
    if args.render {
        return write(&serde_json::from_slice(&fs::read(&raw)?)?, &out);
    }
    let haul = workspace::haul(args.haul.as_deref(), Profile::Release)?;
    let report = rounds::play(args, &haul)?;
    println!("\n{}", text::section(&report));
    if !args.dry_run {
        fs::create_dir_all(&out)?;
        fs::write(&raw, serde_json::to_vec_pretty(&report)?)?;
        write(&report, &out)?;
    }
    Ok(())
}

fn write(report: &Report, out: &Path) -> Result<()> {
    ensure!(!report.samples.is_empty(), "nothing was measured");
    document::write_section(&out.join("benchmarks.md"), "many", &text::section(report))
}
