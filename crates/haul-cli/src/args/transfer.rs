//! How bytes move, and how many items at once.
//!
//! Owns the flags for concurrency, memory, rate, retries and durability. Their environment
//! variables and their places in the configuration file are in [`crate::config`].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use haul::{FsyncPolicy, Shard};

use crate::moment::parse_timeout;
use crate::size::{Concurrency, Rate, Size};

pub(crate) const TRANSFER: &str = "Transfer";

/// How bytes move.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = TRANSFER)]
pub(crate) struct TransferArgs {
    /// Requests in flight: 1 to 16; auto means 8 for small files, 4 for large ones
    #[arg(short, long, visible_alias = "max-concurrent", value_name = "N", default_value = "4")]
    pub(crate) concurrency: Concurrency,
    /// Size of parts and ranges; grows if an object would need more than 10,000 [default: 8MiB]
    #[arg(long, visible_alias = "chunk-size", value_name = "SIZE")]
    pub(crate) part_size: Option<Size>,
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    /// When to flush files to the disk before reporting them as done
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub(crate) fsync: Fsync,
}

/// How much at once, how fast, how patiently.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = TRANSFER)]
pub(crate) struct PaceArgs {
    /// Memory for data in flight
    #[arg(long, value_name = "SIZE", default_value = "32MiB")]
    pub(crate) memory: Size,
    /// Most bytes per second, such as 5MB/s
    #[arg(long, alias = "bwlimit", value_name = "RATE")]
    pub(crate) limit_rate: Option<Rate>,
    /// How often to retry a failed request; below 7 also in an outage
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub(crate) retries: u32,
    /// Retry a request after this long without progress
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_timeout)]
    pub(crate) timeout: Duration,
}

/// When files are forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Fsync {
    /// Every file, small ones in groups
    #[default]
    Auto,
    /// Each file by itself
    Always,
    /// Leave it to the operating system
    Never,
}

impl From<Fsync> for FsyncPolicy {
    fn from(fsync: Fsync) -> Self {
        match fsync {
            Fsync::Auto => Self::Auto,
            Fsync::Always => Self::Always,
            Fsync::Never => Self::Never,
        }
    }
}

/// How many items at once, and which share of them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = TRANSFER)]
pub(crate) struct ShareArgs {
    /// Files at once [default: as many as requests in flight]
    #[arg(short, long, value_name = "N", value_parser = parse_jobs)]
    pub(crate) jobs: Option<usize>,
    /// Take share I of N, I from 0: run the same command on N machines, each with its own I
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    pub(crate) shard: Option<Shard>,
}

/// The most items in work at once: each holds a file open, and 1,024 is what a process may have.
const MOST_JOBS: usize = 256;

/// Understands `-j`.
pub(crate) fn parse_jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=MOST_JOBS) => Ok(n),
        _ => Err(format!("write a number from 1 to {MOST_JOBS}")),
    }
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let shard = text.split_once('/').and_then(|(index, count)| {
        let (index, count) = (index.parse().ok()?, count.parse().ok()?);
        Shard::new(index, count)
    });
    shard.ok_or_else(|| "write it I/N with I from 0 to N-1, say 0/4".to_owned())
}

/// What is already in the store need not be sent again.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = TRANSFER)]
pub(crate) struct DedupeArgs {
    /// Let the store copy content that it has already, found by an index
    #[arg(long)]
    pub(crate) dedupe: bool,
    /// The index [default: index.sqlite in the state folder]
    #[arg(long, value_name = "FILE", requires = "dedupe", hide = true)]
    pub(crate) dedupe_index: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_count_from_0() {
        assert_eq!(parse_shard("0/1"), Ok(Shard::new(0, 1).unwrap()));
        assert_eq!(parse_shard("3/4"), Ok(Shard::new(3, 4).unwrap()));
        for bad in ["", "1", "4/4", "-1/4", "0/0", "a/b", "1/2/3"] {
            assert!(parse_shard(bad).is_err(), "{bad}");
        }
    }
}
