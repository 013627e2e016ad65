//! Owns the raw figures of this benchmark, and the medians made from them.
//!
//! Must never: hold a path, or leave out a client that was measured.

use super::super::report::{ClientFacts, Machine, Sample};
use super::super::summary::median;
use serde::{Deserialize, Serialize};

/// Everything the document is made from.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) command: String,
    pub(super) machine: Machine,
    pub(super) server: String,
    /// Of one file.
    pub(super) size: u64,
    pub(super) runs: u32,
    pub(super) tasks: Vec<TaskFacts>,
    pub(super) clients: Vec<ClientFacts>,
    pub(super) samples: Vec<Sample>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TaskFacts {
    pub(super) name: String,
    pub(super) work: String,
    pub(super) items: usize,
}

/// The medians of one client in one task.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) client: &'a ClientFacts,
    pub(super) wall: f64,
    pub(super) cpu: f64,
    pub(super) peak_mb: f64,
}

impl Report {
    pub(super) fn rows(&self, task: &TaskFacts) -> Vec<Row<'_>> {
        self.clients.iter().filter_map(|client| self.row(task, client)).collect()
    }

    fn row<'a>(&self, task: &TaskFacts, client: &'a ClientFacts) -> Option<Row<'a>> {
        let mine = |sample: &&Sample| sample.job == task.name && sample.client == client.name;
        let of = |value: fn(&Sample) -> f64| median(self.samples.iter().filter(mine).map(value));
        let peak_mb = of(|sample| sample.peak_kib as f64)? * 1024.0 / 1e6;
        Some(Row {
            client,
            wall: of(|sample| sample.wall)?,
            cpu: of(|sample| sample.cpu)?,
            peak_mb,
        })
    }
}
