//! Owns `cargo xtask bench-memory`: the peak memory of haul for one big file up, down and to stdout.
//!
//! Must never: call a run good whose bytes were not compared.

use super::clients::{Client, Job, Places, Program};
use super::document;
use super::measure::{Fingerprint, Measurement, Stdout, measure};
use super::report::Machine;
use crate::files::{self, Folder};
use crate::probe::Probe;
use crate::servers::{Kind, Running, StartOptions, start};
use crate::tools::Tools;
use crate::workspace::{self, Profile};
use anyhow::{Context, Result, ensure};
use bytesize::ByteSize;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::PathBuf;

const BUCKET: &str = "memory";
const KEY: &str = "big.bin";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Size of the file
    #[arg(long, default_value = "10GiB")]
    size: ByteSize,
    /// The server to measure against
    #[arg(long, value_enum, default_value = "garage")]
    server: Kind,
    /// A file of zeros that takes no space, instead of random bytes
    #[arg(long)]
    sparse: bool,
    /// Folder for the server's data and the files [default: .haul-servers]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Use this haul binary instead of building one
    #[arg(long)]
    haul: Option<PathBuf>,
    /// Print the table only
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let haul = workspace::haul(args.haul.as_deref(), Profile::Release)?;
    let tools = Tools::locate();
    let clients = Client::installed(&tools, Some(&haul))?;
    let client = clients.iter().find(|client| client.program == Program::Haul);
    let client = client.context("no haul binary")?;
    let server = args.server.server(Some(haul.clone()));
    let name = Some(format!("bench-{}", args.server));
    let options = StartOptions { name, data: args.data.clone(), port: None };
    let running = start(server.as_ref(), &tools, &options)?;
    let rows = transfers(args, client, &running)?;
    let section = section(args, &server.version(&tools)?, client, &rows)?;
    println!("\n{section}");
    if !args.dry_run {
        let path = workspace::root().join("docs/benchmarks.md");
        document::write_section(&path, "memory", &section)?;
    }
    Ok(())
}

fn transfers(args: &Args, client: &Client, running: &Running) -> Result<Vec<(Job, Measurement)>> {
    let parent = args.data.clone().unwrap_or_else(workspace::scratch);
    let folder = Folder::create(&parent, "memory-files-")?;
    let (source, target) = (folder.path().join("big.bin"), folder.path().join("back.bin"));
    if args.sparse {
        files::make_sparse(&source, args.size.as_u64())?;
    } else {
        files::make_random(&source, args.size.as_u64())?;
    }
    let original = Fingerprint::of(File::open(&source)?)?;
    let endpoint = running.endpoint();
    Probe::new(endpoint).create_bucket(BUCKET)?;
    let mut rows = Vec::new();
    for job in Job::ALL {
        let file = if job == Job::Upload { &source } else { &target };
        let places = Places {
            endpoint: endpoint.url.clone(),
            bucket: BUCKET.to_owned(),
            key: KEY.to_owned(),
            file: file.to_string_lossy().into_owned(),
        };
        let stdout = if job == Job::Stdout { Stdout::Read } else { Stdout::Null };
        let mut command = client.command(job, &places, endpoint, folder.path());
        let done = measure(&mut command, stdout).with_context(|| job.name())?;
        let (seconds, mib) = (done.wall, done.peak_kib / 1024);
        eprintln!("{:<8} {seconds:8.1} s, peak {mib} MiB", job.name());
        match job {
            Job::Upload => {}
            Job::Download => {
                files::must_equal(&source, &target)?;
                fs::remove_file(&target)?;
            }
            Job::Stdout => ensure!(done.output == Some(original), "stdout: other bytes"),
        }
        rows.push((job, done));
    }
    Ok(rows)
}

fn section(
    args: &Args,
    server: &str,
    client: &Client,
    rows: &[(Job, Measurement)],
) -> Result<String> {
    let size = args.size.display().iec();
    let bytes = if args.sparse { "zeros" } else { "random bytes" };
    let mut out = format!("## Memory: one file of {size}, on {server}\n\n");
    let _ = writeln!(
        out,
        "haul {} at its defaults; {bytes}; {}. Made with `cargo xtask bench-memory`. The downloaded \
         file and the stream are equal to the source; the peak is VmHWM, sampled every 10 ms.\n",
        client.version,
        Machine::here()?.line()
    );
    let _ = writeln!(out, "| job | wall s | MB/s | CPU s | peak RSS MiB |");
    let _ = writeln!(out, "|---|---:|---:|---:|---:|");
    for (job, Measurement { wall, cpu, peak_kib, .. }) in rows {
        let speed = args.size.as_u64() as f64 / 1e6 / wall;
        let peak = *peak_kib as f64 / 1024.0;
        let _ = writeln!(out, "| {} | {wall:.1} | {speed:.0} | {cpu:.1} | {peak:.1} |", job.name());
    }
    Ok(out)
}
