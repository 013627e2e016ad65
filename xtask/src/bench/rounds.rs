//! Owns the order of a benchmark: one warm-up and N rounds, the first client another in each round.
//!
//! Must never: let two clients run at once, or time a check.

use super::Args;
use super::clients::{Client, Job, Places};
use super::measure::{Fingerprint, Stdout, measure};
use super::report::{ClientFacts, Cost, Machine, Report, Sample};
use super::summary::median;
use crate::files::{self, Folder};
use crate::probe::Probe;
use crate::servers::{Running, StartOptions, start};
use crate::tools::Tools;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const BUCKET: &str = "bench";
const OBJECT: &str = "object.bin";

pub(super) fn play(args: &Args, haul: Option<PathBuf>) -> Result<Report> {
    let tools = Tools::locate();
    let clients = Client::installed(&tools, haul.as_deref())?;
    let server = args.server.server(haul);
    let name = format!("bench-{}", args.server);
    let options = StartOptions { name: Some(name), data: args.data.clone(), port: None };
    let version = server.version(&tools).unwrap_or_else(|_| args.server.to_string());
    let stage = Stage::set(start(server.as_ref(), &tools, &options)?, args)?;

    let mut samples = Vec::new();
    let mut idle = Vec::new();
    for round in 0..=args.runs {
        for job in Job::ALL {
            for client in in_turn(&clients, round).filter(|client| wanted(args, client, job)) {
                let sample = stage.run(client, job, round)?;
                eprintln!("{}", progress(&sample, args.runs));
                samples.extend((round > 0).then_some(sample));
            }
        }
        for mut command in clients.iter().filter_map(|client| stage.idle(client)) {
            let done = measure(&mut command, Stdout::Null)?;
            idle.extend((round > 0).then_some(Cost { wall: done.wall, cpu: done.cpu }));
        }
    }
    Ok(Report {
        command: command_line(args),
        machine: Machine::here()?,
        server: version,
        size: args.size.as_u64(),
        runs: args.runs,
        clients: clients.iter().map(facts).collect(),
        interpreter: typical(&idle),
        samples,
    })
}

fn wanted(args: &Args, client: &Client, job: Job) -> bool {
    let row = format!("{}/{}", job.name(), client.name());
    client.does(job) && args.only.as_deref().is_none_or(|pattern| row.contains(pattern))
}

/// The clients, starting with another one in each round.
fn in_turn(clients: &[Client], round: u32) -> impl Iterator<Item = &Client> {
    let first = round as usize % clients.len().max(1);
    clients.iter().cycle().skip(first).take(clients.len())
}

fn typical(idle: &[Cost]) -> Option<Cost> {
    let wall = median(idle.iter().map(|cost| cost.wall))?;
    let cpu = median(idle.iter().map(|cost| cost.cpu))?;
    Some(Cost { wall, cpu })
}

fn facts(client: &Client) -> ClientFacts {
    let jobs = Job::ALL.into_iter().filter(|job| client.does(*job));
    ClientFacts {
        name: client.name().to_owned(),
        version: client.version.clone(),
        peer: client.is_peer(),
        commands: jobs.map(|job| (job.name().to_owned(), client.shown(job))).collect(),
    }
}

fn progress(sample: &Sample, runs: u32) -> String {
    let Sample { job, client, round, wall, cpu, peak_kib } = sample;
    let round = if *round == 0 { "warm-up".to_owned() } else { format!("{round}/{runs}") };
    let mib = peak_kib / 1024;
    format!("{round:>7}  {job:<8} {client:<18} {wall:7.3} s wall {cpu:7.3} s CPU {mib:5} MiB")
}

fn command_line(args: &Args) -> String {
    let mut line = format!("cargo xtask bench --server {}", args.server);
    let _ = write!(line, " --size {} --runs {}", shown_size(args.size.as_u64()), args.runs);
    if let Some(only) = &args.only {
        let _ = write!(line, " --only {only:?}");
    }
    if args.without_haul {
        line.push_str(" --without-haul");
    }
    line
}

/// "512MiB" where that is exact.
pub(super) fn shown_size(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// The server, the object on it, and the files next to it.
struct Stage {
    running: Running,
    folder: Folder,
    source: PathBuf,
    original: Fingerprint,
}

impl Stage {
    fn set(running: Running, args: &Args) -> Result<Self> {
        let parent = args.data.clone().unwrap_or_else(workspace::scratch);
        let folder = Folder::create(&parent, "bench-files-")?;
        let source = folder.path().join("source.bin");
        files::make_random(&source, args.size.as_u64())?;
        let original = Fingerprint::of(File::open(&source)?)?;
        let probe = Probe::new(running.endpoint());
        probe.create_bucket(BUCKET)?;
        probe.put_in_parts(BUCKET, OBJECT, &source)?;
        Ok(Self { running, folder, source, original })
    }

    fn home(&self) -> &Path {
        self.folder.path()
    }

    fn idle(&self, client: &Client) -> Option<std::process::Command> {
        client.idle_command(self.running.endpoint(), self.home())
    }

    /// One run, from the same state of the page cache and the disk for everyone, then its check.
    fn run(&self, client: &Client, job: Job, round: u32) -> Result<Sample> {
        let target = self.folder.path().join("target.bin");
        let upload_key = format!("up-{}", client.name().replace(' ', "-"));
        let (key, file) = match job {
            Job::Upload => (upload_key.as_str(), &self.source),
            Job::Download | Job::Stdout => (OBJECT, &target),
        };
        let endpoint = self.running.endpoint();
        let places = Places {
            endpoint: endpoint.url.clone(),
            bucket: BUCKET.to_owned(),
            key: key.to_owned(),
            file: file.to_string_lossy().into_owned(),
        };
        files::warm(&self.source)?;
        nix::unistd::sync();
        files::prime_memory(&self.folder.path().join("prime.bin"), 3 * self.original.bytes)?;
        let stdout = if job == Job::Stdout { Stdout::Read } else { Stdout::Null };
        let mut command = client.command(job, &places, endpoint, self.home());
        let done = measure(&mut command, stdout)
            .with_context(|| format!("{} by {}", job.name(), client.name()))?;
        let seen = match job {
            Job::Upload => self.take_back(&upload_key)?,
            Job::Download => {
                files::must_equal(&self.source, &target)?;
                fs::remove_file(&target)?;
                self.original
            }
            Job::Stdout => done.output.context("nothing was read")?,
        };
        ensure!(seen == self.original, "{} by {}: other bytes", job.name(), client.name());
        Ok(Sample {
            job: job.name().to_owned(),
            client: client.name().to_owned(),
            round,
            wall: done.wall,
            cpu: done.cpu,
            peak_kib: done.peak_kib,
        })
    }

    /// Reads an uploaded object without any of the clients, and removes it.
    fn take_back(&self, key: &str) -> Result<Fingerprint> {
        let probe = Probe::new(self.running.endpoint());
        let seen = Fingerprint::of(probe.get(BUCKET, key)?)?;
        probe.delete(BUCKET, key)?;
        Ok(seen)
    }
}
