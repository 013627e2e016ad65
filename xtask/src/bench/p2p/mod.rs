//! Owns `cargo xtask bench-p2p`: haul and sendme, one process to another on loopback, interleaved.
//!
//! Must never: report a run whose bytes were not compared.

mod field;
mod jobs;
mod report;
mod rounds;
mod text;

use super::document;
use crate::p2p::{Kind, Peer};
use crate::tools::Tools;
use crate::workspace::{self, Profile};
use anyhow::{Context, Result, anyhow, ensure};
use rounds::Contestant;
use std::fs;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only rows whose "job/peer" contains this, such as "10000x4KiB" or "x16KiB/sendme"
    #[arg(long)]
    only: Option<String>,
    /// Measured runs a peer and job, after one warm-up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Programs to measure [default: haul, and sendme where it is installed]
    #[arg(long = "peer", value_enum, value_delimiter = ',')]
    peers: Vec<Kind>,
    /// Write the raw figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the section into docs/benchmarks.md
    #[arg(long)]
    document: bool,
    /// Folder for the files on both sides [default: .haul-servers]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Use this haul binary instead of building one
    #[arg(long)]
    haul: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let contestants = contestants(args)?;
    let report = rounds::play(args, &contestants)?;
    let section = text::section(&report);
    println!("\n{section}");
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| path.display().to_string())?;
    }
    if args.document {
        document::write_section(&workspace::root().join("docs/benchmarks.md"), "p2p", &section)?;
    }
    Ok(())
}

fn contestants(args: &Args) -> Result<Vec<Contestant>> {
    let chosen = |kind| args.peers.is_empty() || args.peers.contains(&kind);
    let mut found = Vec::new();
    if chosen(Kind::Haul) {
        let path = workspace::haul(args.haul.as_deref(), Profile::Release)?;
        let haul = Peer::haul(&path)
            .map_err(|error| anyhow!("{error:#} (sendme alone: --peer sendme)"))?;
        found.extend(Contestant::of_haul(&haul));
    }
    if chosen(Kind::Sendme) {
        match Peer::sendme(&Tools::locate()) {
            Ok(sendme) => found.push(Contestant::plain(sendme)),
            Err(error) if args.peers.is_empty() => eprintln!("left out: {error:#}"),
            Err(error) => return Err(error),
        }
    }
    ensure!(!found.is_empty(), "nothing to measure");
    Ok(found)
}
