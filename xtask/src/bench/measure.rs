//! Owns one measured run of a client: wall time, CPU time, peak memory, and what it printed.
//!
//! Must never: count anything but the client. Peak memory is the kernel's VmHWM, sampled while the
//! program runs: the `ru_maxrss` of a forked child starts at its parent's size and cannot be used.

use crate::process::Supervised;
use anyhow::{Context, Result, bail};
use crc_fast::{CrcAlgorithm, Digest};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use std::fs;
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SAMPLE_EVERY: Duration = Duration::from_millis(10);
const BUFFER: usize = 1 << 20;

/// Size and checksum of a stream of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) bytes: u64,
    crc64: u64,
}

impl Fingerprint {
    /// Reads to the end. CRC-64/NVME, as it costs next to nothing while a client is measured.
    pub(crate) fn of(mut reader: impl Read) -> Result<Self> {
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        let (mut buffer, mut bytes) = (vec![0; BUFFER], 0);
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(Self { bytes, crc64: digest.finalize() }),
                read => {
                    digest.update(&buffer[..read]);
                    bytes += read as u64;
                }
            }
        }
    }
}

/// What one run cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measurement {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
    pub(crate) peak_kib: u64,
    /// Of its stdout, when that was asked for.
    pub(crate) output: Option<Fingerprint>,
    /// Of its stdout, when that was asked for.
    pub(crate) lines: Option<usize>,
}

/// Where a client's stdout goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdout {
    Null,
    /// A pipe, read and fingerprinted here.
    Read,
    /// A pipe, whose lines are counted.
    Lines,
}

/// Runs a client that must succeed.
pub(crate) fn measure(command: &mut Command, stdout: Stdout) -> Result<Measurement> {
    let mut complaints = tempfile::tempfile()?;
    let sink = if stdout == Stdout::Null { Stdio::null() } else { Stdio::piped() };
    command.stdin(Stdio::null()).stdout(sink).stderr(complaints.try_clone()?);
    let cpu_before = children_cpu()?;
    let started = Instant::now();
    let mut child = Supervised::spawn(command)?;
    let pipe = child.stdout();
    let ((status, output, lines, wall), peak_kib) = with_peak(child.pid(), || {
        let (output, lines) = match (pipe, stdout) {
            (Some(pipe), Stdout::Lines) => (Ok(None), count_lines(pipe).map(Some)),
            (pipe, _) => (pipe.map(Fingerprint::of).transpose(), Ok(None)),
        };
        let status = child.wait();
        (status, output, lines, started.elapsed())
    });
    let cpu = children_cpu()? - cpu_before;
    if !status?.success() {
        let mut text = String::new();
        complaints.rewind()?;
        complaints.read_to_string(&mut text)?;
        bail!("{} failed:\n{}", command.get_program().to_string_lossy(), text.trim());
    }
    Ok(Measurement { wall: wall.as_secs_f64(), cpu, peak_kib, output: output?, lines: lines? })
}

fn count_lines(mut reader: impl Read) -> Result<usize> {
    let (mut buffer, mut lines) = (vec![0; BUFFER], 0);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(lines),
            read => lines += buffer[..read].split(|byte| *byte == b'\n').count() - 1,
        }
    }
}

/// CPU seconds, user and system, of all children waited for. Clients run one at a time, and a
/// server is never waited for, so that a difference is one client's.
pub(super) fn children_cpu() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn seconds(time: TimeVal) -> f64 {
    time.num_microseconds() as f64 / 1e6
}

/// Runs something while a process lives; says how many KiB that process had at most.
pub(super) fn with_peak<T>(pid: u32, work: impl FnOnce() -> T) -> (T, u64) {
    let (peak, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let done = thread::scope(|scope| {
        scope.spawn(|| watch_memory(pid, &peak, &ended));
        let done = work();
        ended.store(true, Ordering::Relaxed);
        done
    });
    (done, peak.into_inner())
}

fn watch_memory(pid: u32, peak: &AtomicU64, ended: &AtomicBool) {
    let path = format!("/proc/{pid}/status");
    while !ended.load(Ordering::Relaxed) {
        if let Some(kib) = fs::read_to_string(&path).ok().as_deref().and_then(high_water_mark) {
            peak.fetch_max(kib, Ordering::Relaxed);
        }
        thread::sleep(SAMPLE_EVERY);
    }
}

/// "VmHWM:     1234 kB". A process that has ended has no such line.
fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Fingerprint, Stdout, high_water_mark, measure};
    use std::process::Command;

    #[test]
    fn reads_the_high_water_mark() {
        assert_eq!(high_water_mark("Name:\tx\nVmHWM:\t   71234 kB\nVmRSS:\t 1 kB\n"), Some(71234));
        assert_eq!(high_water_mark("Name:\tx\nState:\tZ\n"), None);
    }

    #[test]
    fn fingerprints_what_a_child_prints() {
        let done = measure(Command::new("printf").arg("abc"), Stdout::Read).unwrap();
        assert_eq!(done.output.unwrap(), Fingerprint::of(b"abc".as_slice()).unwrap());
    }

    #[test]
    fn counts_lines() {
        let done = measure(Command::new("printf").arg("a\\nb\\n"), Stdout::Lines).unwrap();
        assert_eq!((done.lines, done.output), (Some(2), None));
    }

    #[test]
    fn a_failing_child_is_an_error_with_its_words() {
        let error = measure(Command::new("cat").arg("/no/such/file"), Stdout::Null).unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
    }
}
