//! Owns the order of this benchmark: one warm-up and N rounds, another peer first in each.
//!
//! Must never: let two exchanges run at once.

use super::super::report::Machine;
use super::Args;
use super::field::{Exchange, Field};
use super::jobs::Job;
use super::report::{PeerFacts, Report, Sample, TaskFacts};
use crate::p2p::{Kind, Peer};
use crate::workspace;
use anyhow::{Result, ensure};
use std::fmt::Write;

/// A program with certain flags.
#[derive(Debug)]
pub(super) struct Contestant {
    pub(super) name: &'static str,
    pub(super) peer: Peer,
    pub(super) receive_flags: &'static [&'static str],
}

impl Contestant {
    /// At its defaults.
    pub(super) fn plain(peer: Peer) -> Self {
        Self { name: peer.kind().name(), peer, receive_flags: &[] }
    }

    /// At its defaults, and as little durable as sendme.
    pub(super) fn of_haul(haul: &Peer) -> [Self; 2] {
        let unsynced = Self {
            name: "haul --fsync never",
            peer: haul.clone(),
            receive_flags: &["--fsync", "never"],
        };
        [Self::plain(haul.clone()), unsynced]
    }
}

pub(super) fn play(args: &Args, contestants: &[Contestant]) -> Result<Report> {
    let of = |job: Job| contestants.iter().filter(move |it| wanted(args, it, job));
    let jobs: Vec<_> = Job::ALL.into_iter().filter(|job| of(*job).next().is_some()).collect();
    ensure!(!jobs.is_empty(), "nothing has such a name");
    let parent = args.data.clone().unwrap_or_else(workspace::scratch);
    let field = Field::set(&parent, &jobs)?;
    let mut samples = Vec::new();
    for round in 0..=args.rounds {
        for job in &jobs {
            let mut turn: Vec<_> = of(*job).collect();
            let first = round as usize % turn.len();
            turn.rotate_left(first);
            for contestant in turn {
                let done = field.run(contestant, *job, round)?;
                let sample = sample(&done, contestant, *job, round);
                eprintln!("{}", progress(&sample, args.rounds));
                samples.extend((round > 0).then_some(sample));
            }
        }
    }
    Ok(Report {
        command: command_line(args),
        machine: Machine::here()?,
        rounds: args.rounds,
        tasks: jobs.iter().map(|job| facts(*job)).collect(),
        peers: contestants.iter().map(peer_facts).collect(),
        samples,
    })
}

fn wanted(args: &Args, contestant: &Contestant, job: Job) -> bool {
    let row = format!("{}/{}", job.name, contestant.name);
    args.only.as_deref().is_none_or(|pattern| row.contains(pattern))
}

fn facts(job: Job) -> TaskFacts {
    TaskFacts { name: job.name.to_owned(), title: job.title(), files: job.files, size: job.size }
}

fn peer_facts(contestant: &Contestant) -> PeerFacts {
    let Contestant { name, peer, receive_flags } = contestant;
    PeerFacts {
        name: (*name).to_owned(),
        version: peer.version().to_owned(),
        ours: peer.kind() == Kind::Haul,
        commands: peer.shown(receive_flags),
    }
}

fn sample(done: &Exchange, contestant: &Contestant, job: Job, round: u32) -> Sample {
    let Exchange { wall, ticket, sender, receiver } = *done;
    Sample {
        job: job.name.to_owned(),
        peer: contestant.name.to_owned(),
        round,
        wall,
        ticket,
        sender_cpu: sender.cpu,
        receiver_cpu: receiver.cpu,
        sender_peak_kib: sender.peak_kib,
        receiver_peak_kib: receiver.peak_kib,
    }
}

fn progress(sample: &Sample, rounds: u32) -> String {
    let Sample { job, peer, round, wall, ticket, sender_cpu, receiver_cpu, .. } = sample;
    let round = if *round == 0 { "warm-up".to_owned() } else { format!("{round}/{rounds}") };
    let (sender, receiver) = (sample.sender_peak_kib / 1024, sample.receiver_peak_kib / 1024);
    format!(
        "{round:>7}  {job:<11} {peer:<18} {wall:7.3} s wall (ticket {ticket:6.3}) {sender_cpu:7.3} \
         + {receiver_cpu:7.3} s CPU {sender:5} + {receiver:5} MiB"
    )
}

fn command_line(args: &Args) -> String {
    let mut line = format!("cargo xtask bench-p2p --rounds {}", args.rounds);
    if let Some(only) = &args.only {
        let _ = write!(line, " --only {only:?}");
    }
    for peer in &args.peers {
        let _ = write!(line, " --peer {}", peer.name());
    }
    line
}
