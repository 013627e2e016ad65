//! Owns the raw figures: what `benchmarks.json` holds, and where they were taken.
//!
//! Must never: hold a path, a host name or a user's name.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

/// Everything the table, the document and the chart are made from.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) command: String,
    pub(crate) machine: Machine,
    pub(crate) server: String,
    pub(crate) size: u64,
    pub(crate) runs: u32,
    pub(crate) clients: Vec<ClientFacts>,
    /// What the CRT's Python costs before the first request; taken off its figures when shown.
    pub(crate) interpreter: Option<Cost>,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClientFacts {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) peer: bool,
    /// By job.
    pub(crate) commands: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

/// One measured run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) job: String,
    pub(crate) client: String,
    pub(crate) round: u32,
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
    pub(crate) peak_kib: u64,
}

/// Where the figures were taken.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) system: String,
    pub(crate) processor: String,
}

impl Machine {
    pub(crate) fn here() -> Result<Self> {
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let memory = fs::read_to_string("/proc/meminfo")?;
        let kib =
            field(&memory, "MemTotal").and_then(|value| value.split(' ').next()?.parse().ok());
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        // What follows the version is the builder's own label.
        let version = release.trim().split(['-', '+']).next().unwrap_or_default().to_owned();
        let processor = fs::read_to_string("/proc/cpuinfo")?;
        Ok(Self {
            date: date.chars().take(10).collect(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: kib.unwrap_or(0.0_f64) / f64::from(1 << 20),
            system: format!("Linux {version}, {}", std::env::consts::ARCH),
            processor: field(&processor, "model name").unwrap_or("unknown processor").to_owned(),
        })
    }

    pub(crate) fn line(&self) -> String {
        let Self { date, cores, memory_gib, system, processor } = self;
        format!("{cores} cores ({processor}), {memory_gib:.0} GiB, {system}, {date}")
    }
}

/// The value of "name : value" in a file of /proc.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}
