//! Owns one measured exchange: a sender, a receiver, what both cost, and the check of the bytes.
//!
//! Must never: time a check, use a folder twice, or count anything but the two processes.

use super::super::measure::{children_cpu, with_peak};
use super::jobs::Job;
use super::rounds::Contestant;
use crate::files::{self, Folder};
use crate::p2p::{Peer, Sender};
use crate::process::Supervised;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// For the ticket, and again for the rest.
const LIMIT: Duration = Duration::from_mins(5);

/// What one process cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) cpu: f64,
    pub(super) peak_kib: u64,
}

/// What one exchange cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange {
    /// From the start of the sender to the end of the receiver.
    pub(super) wall: f64,
    /// From the start of the sender to its ticket.
    pub(super) ticket: f64,
    pub(super) sender: Cost,
    pub(super) receiver: Cost,
}

/// Where all exchanges take place.
#[derive(Debug)]
pub(super) struct Field {
    folder: Folder,
}

/// The folders of one exchange: what each program calls home, and where files arrive.
struct Sides {
    sending: PathBuf,
    receiving: PathBuf,
    arrived: PathBuf,
}

impl Field {
    pub(super) fn set(parent: &Path, jobs: &[Job]) -> Result<Self> {
        let folder = Folder::create(parent, "bench-p2p-")?;
        let field = Self { folder };
        fs::create_dir(field.source())?;
        jobs.iter().try_for_each(|job| job.make(&field.source()))?;
        Ok(field)
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn sides(&self, name: &str) -> Result<Sides> {
        let run = self.folder.path().join(name.replace(' ', "-"));
        let [sending, receiving, arrived] =
            ["sending", "receiving", "arrived"].map(|name| run.join(name));
        [&sending, &receiving, &arrived].into_iter().try_for_each(fs::create_dir_all)?;
        Ok(Sides { sending, receiving, arrived })
    }

    /// One exchange, from the same state of the page cache and the disk for everyone, then its check.
    pub(super) fn run(&self, contestant: &Contestant, job: Job, round: u32) -> Result<Exchange> {
        let name = format!("{}-{}-{round}", job.name, contestant.name);
        let sides = self.sides(&name)?;
        let (source, peer) = (self.source(), &contestant.peer);
        job.warm(&source)?;
        nix::unistd::sync();
        files::prime_memory(&self.folder.path().join("prime.bin"), 3 * job.bytes())?;
        let mut send = peer.send(&source.join(job.top()), &[], &sides.sending);
        let receive = |ticket: &str| {
            peer.receive(ticket, &sides.arrived, contestant.receive_flags, &sides.receiving)
        };
        let done = exchange(peer, &mut send, receive);
        let done = done.with_context(|| format!("{} by {}", job.name, contestant.name))?;
        job.must_equal(&source, &sides.arrived)
            .with_context(|| format!("{} by {}", job.name, contestant.name))?;
        // One file is removed in no time. A file system pays for many in whatever comes next.
        if job.files == 1 {
            fs::remove_dir_all(&sides.arrived)?;
        }
        Ok(done)
    }
}

/// Both processes are gone when this returns.
fn exchange(
    peer: &Peer,
    send: &mut Command,
    receive: impl FnOnce(&str) -> Command,
) -> Result<Exchange> {
    let cpu_at_first = children_cpu()?;
    let started = Instant::now();
    let mut sender = Sender::start(peer.kind(), send).context("the sender")?;
    let (done, sender_peak) = with_peak(sender.pid(), || -> Result<_> {
        let ticket = sender.ticket(LIMIT).context("the sender")?;
        let until_ticket = started.elapsed().as_secs_f64();
        let (wall, receiver_peak) =
            run_receiver(&mut receive(&ticket), started).context("the receiver")?;
        let cpu_between = children_cpu()?;
        sender.stop()?;
        Ok((until_ticket, wall, receiver_peak, cpu_between))
    });
    let (ticket, wall, receiver_peak, cpu_between) = done?;
    let cpu_at_last = children_cpu()?;
    Ok(Exchange {
        wall,
        ticket,
        sender: Cost { cpu: cpu_at_last - cpu_between, peak_kib: sender_peak },
        receiver: Cost { cpu: cpu_between - cpu_at_first, peak_kib: receiver_peak },
    })
}

/// Runs a receiver that must succeed; says how long after `started` it ended, and its peak memory.
fn run_receiver(command: &mut Command, started: Instant) -> Result<(f64, u64)> {
    let mut complaints = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints.try_clone()?);
    let child = Supervised::spawn(command)?;
    let ((status, wall), peak) =
        with_peak(child.pid(), || (child.wait_for(LIMIT), started.elapsed().as_secs_f64()));
    if matches!(&status, Ok(status) if status.success()) {
        return Ok((wall, peak));
    }
    let mut said = Vec::new();
    complaints.rewind()?;
    complaints.read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    match status {
        Ok(status) => bail!("{status}: {said}"),
        Err(error) => Err(error.context(said)),
    }
}
