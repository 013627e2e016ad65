//! Owns the raw figures of this benchmark, and the medians made from them.
//!
//! Must never: hold a path, or leave out a peer that was measured.

use super::super::report::Machine;
use super::super::summary::median;
use serde::{Deserialize, Serialize};

/// Everything the document is made from.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) command: String,
    pub(super) machine: Machine,
    pub(super) rounds: u32,
    pub(super) tasks: Vec<TaskFacts>,
    pub(super) peers: Vec<PeerFacts>,
    pub(super) samples: Vec<Sample>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TaskFacts {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) files: usize,
    /// Of one file.
    pub(super) size: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PeerFacts {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) ours: bool,
    /// The sender's, then the receiver's.
    pub(super) commands: [String; 2],
}

/// One measured exchange.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) job: String,
    pub(super) peer: String,
    pub(super) round: u32,
    pub(super) wall: f64,
    /// Until the sender printed its ticket: a part of `wall`.
    pub(super) ticket: f64,
    pub(super) sender_cpu: f64,
    pub(super) receiver_cpu: f64,
    pub(super) sender_peak_kib: u64,
    pub(super) receiver_peak_kib: u64,
}

/// The medians of one peer in one job.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) peer: &'a PeerFacts,
    pub(super) wall: f64,
    pub(super) ticket: f64,
    pub(super) sender_cpu: f64,
    pub(super) receiver_cpu: f64,
    /// Of the sums, which is not the sum of the medians.
    pub(super) cpu: f64,
    pub(super) sender_peak_mib: f64,
    pub(super) receiver_peak_mib: f64,
    /// Of the sums.
    pub(super) peak_mib: f64,
}

impl Report {
    pub(super) fn rows(&self, task: &TaskFacts) -> Vec<Row<'_>> {
        self.peers.iter().filter_map(|peer| self.row(task, peer)).collect()
    }

    fn row<'a>(&self, task: &TaskFacts, peer: &'a PeerFacts) -> Option<Row<'a>> {
        let mine = |sample: &&Sample| sample.job == task.name && sample.peer == peer.name;
        let of = |value: fn(&Sample) -> f64| median(self.samples.iter().filter(mine).map(value));
        Some(Row {
            peer,
            wall: of(|sample| sample.wall)?,
            ticket: of(|sample| sample.ticket)?,
            sender_cpu: of(|sample| sample.sender_cpu)?,
            receiver_cpu: of(|sample| sample.receiver_cpu)?,
            cpu: of(|sample| sample.sender_cpu + sample.receiver_cpu)?,
            sender_peak_mib: of(|sample| mib(sample.sender_peak_kib))?,
            receiver_peak_mib: of(|sample| mib(sample.receiver_peak_kib))?,
            peak_mib: of(|sample| mib(sample.sender_peak_kib + sample.receiver_peak_kib))?,
        })
    }
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
