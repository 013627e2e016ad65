//! Owns the checks of Ctrl-C in the middle of a transfer.
//!
//! Must never: send the signal before the transfer has begun or after it has ended.

use super::failures::must_be_old;
use super::session::{Session, argument};
use crate::process::Supervised;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{ChildStderr, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// At this rate the transfer takes about twenty seconds.
pub(super) const SLOW: [&str; 2] = ["--limit-rate", "2MB/s"];
const SIZE: usize = 40 << 20;
const TO_BEGIN: Duration = Duration::from_secs(15);
/// A first Ctrl-C has to be obeyed within this time.
const TO_END: Duration = Duration::from_secs(10);

pub(super) fn upload(session: &Session<'_>) -> Result<()> {
    let (source, _) = session.file(SIZE)?;
    let key = session.fresh("interrupted");
    let uri = session.uri(&key);
    let (probe, bucket) = (session.probe(), session.bucket());
    let before = probe.open_uploads(&bucket)?;
    let mut arguments = vec!["cp", argument(&source), &uri, "--part-size", "5MiB"];
    arguments.extend(SLOW);
    interrupt(session, &arguments, || Ok(probe.open_uploads(&bucket)? > before))?;
    let after = probe.open_uploads(&bucket)?;
    ensure!(after == before, "{} multipart upload(s) left behind", after - before);
    session.fail(4, &["stat", &uri]).map(drop)
}

pub(super) fn download(session: &Session<'_>) -> Result<()> {
    let (source, _) = session.file(SIZE)?;
    let uri = session.uri(&session.fresh("long"));
    session.succeed(&["cp", argument(&source), &uri])?;
    let folder = session.path("folder");
    fs::create_dir(&folder)?;
    let target = folder.join("kept");
    fs::write(&target, "old")?;
    let mut arguments = vec!["cp", &uri, argument(&target)];
    arguments.extend(SLOW);
    // It has begun when something beside the old file takes space.
    interrupt(session, &arguments, || Ok(entries(&folder)? > 1))?;
    must_be_old(&target)
}

fn entries(folder: &Path) -> Result<usize> {
    Ok(fs::read_dir(folder)?.count())
}

/// Starts haul, and returns once `begun` says yes.
pub(super) fn begin(
    session: &Session<'_>,
    arguments: &[&str],
    begun: impl Fn() -> Result<bool>,
) -> Result<(Supervised, ChildStderr)> {
    let mut command = session.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Supervised::spawn(&mut command)?;
    let stderr = child.stderr().context("no stderr")?;
    let deadline = Instant::now() + TO_BEGIN;
    while !begun()? {
        ensure!(child.is_running()?, "it ended before it could be interrupted");
        ensure!(Instant::now() < deadline, "it has not begun after {} s", TO_BEGIN.as_secs());
        thread::sleep(Duration::from_millis(100));
    }
    Ok((child, stderr))
}

/// Runs haul, sends SIGINT once `begun` says yes and a second later, and wants exit 130.
fn interrupt(
    session: &Session<'_>,
    arguments: &[&str],
    begun: impl Fn() -> Result<bool>,
) -> Result<()> {
    let (mut child, mut stderr) = begin(session, arguments, begun)?;
    thread::sleep(Duration::from_secs(1));
    ensure!(child.is_running()?, "it ended before it could be interrupted");
    child.signal(Signal::SIGINT)?;
    let status = child.wait_for(TO_END).context("after SIGINT")?;
    let mut words = String::new();
    stderr.read_to_string(&mut words)?;
    ensure!(status.code() == Some(130), "expected exit 130, got {status}: {}", words.trim());
    ensure!(!words.trim().is_empty(), "it does not say how to go on");
    Ok(())
}
