//! Owns `cargo xtask bench`: haul and its peers, interleaved, on one server, checked and written down.
//!
//! Must never: report a run whose bytes were not compared, or measure the server.

mod clients;
mod document;
pub(crate) mod many;
mod markdown;
mod measure;
pub(crate) mod memory;
pub(crate) mod p2p;
mod report;
mod rounds;
mod summary;
mod svg;
pub(crate) mod waves;

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
    /// Size of the object
    #[arg(long, default_value = "512MiB")]
    size: ByteSize,
    /// Measured runs a client and job, after one warm-up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only rows whose "job/client" contains this, such as "download" or "upload/haul"
    #[arg(long)]
    only: Option<String>,
    /// Folder for benchmarks.json, benchmarks.md and benchmarks.svg [default: docs]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Folder for the server's data and the test files [default: .haul-servers]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Measure the peers only
    #[arg(long, conflicts_with = "haul")]
    without_haul: bool,
    /// Use this haul binary instead of building one
    #[arg(long)]
    haul: Option<PathBuf>,
    /// Print the table only, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Draw the document and the chart again from benchmarks.json
    #[arg(long)]
    render: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let out = args.out.clone().unwrap_or_else(|| workspace::root().join("docs"));
    let raw = out.join("benchmarks.json");
    if args.render {
        let report: Report = serde_json::from_slice(&fs::read(&raw)?)?;
        return render(&report, &out);
    }
    let built = || workspace::haul(args.haul.as_deref(), Profile::Release);
    let haul = (!args.without_haul).then(built).transpose()?;
    let report = rounds::play(args, haul)?;
    print!("{}", summary::text(&report));
    if !args.dry_run {
        ensure!(!report.samples.is_empty(), "nothing was measured");
        fs::create_dir_all(&out)?;
        fs::write(&raw, serde_json::to_vec_pretty(&report)?)?;
        render(&report, &out)?;
    }
    Ok(())
}

fn render(report: &Report, out: &Path) -> Result<()> {
    fs::write(out.join("benchmarks.svg"), svg::draw(report))?;
    document::write_section(&out.join("benchmarks.md"), "bench", &markdown::section(report))
}
