//! Owns child processes: each in a process group of its own, none left behind.
//!
//! Must never: go through a shell, or signal a process it did not start.

use crate::interrupt::OnExit;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Short, as it is part of what `wait_for` takes.
const POLL: Duration = Duration::from_millis(1);
const GRACE: Duration = Duration::from_secs(10);

/// A process that is recognised later, also by another run of xtask and after its number was reused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pid: i32,
    /// Start time in clock ticks since boot: with the number it names one process.
    started: u64,
}

impl ProcessId {
    pub(crate) fn of(child: &Child) -> Result<Self> {
        let pid = i32::try_from(child.id())?;
        let (_, started) = state_and_start(pid).context("the process ended at once")?;
        Ok(Self { pid, started })
    }

    /// Running, and not a zombie.
    pub(crate) fn is_alive(&self) -> bool {
        state_and_start(self.pid)
            .is_some_and(|(state, started)| started == self.started && !matches!(state, 'Z' | 'X'))
    }

    /// SIGTERM to its group, SIGKILL when that did not do.
    pub(crate) fn terminate(&self) {
        if !self.is_alive() {
            return;
        }
        signal_group(self.pid, Signal::SIGTERM);
        let deadline = Instant::now() + GRACE;
        while self.is_alive() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        if self.is_alive() {
            signal_group(self.pid, Signal::SIGKILL);
        }
    }
}

fn state_and_start(pid: i32) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets and may hold anything: what counts starts after the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

fn signal_group(pid: i32, signal: Signal) {
    // The group may be gone already: nothing to do then.
    let _gone = killpg(Pid::from_raw(pid), signal);
}

/// A child that dies with this value.
#[derive(Debug)]
pub(crate) struct Supervised {
    child: Child,
    guard: Option<OnExit>,
}

impl Supervised {
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let (child, guard) = OnExit::arm(|| {
            let name = command.get_program().to_string_lossy().into_owned();
            let child = command
                .process_group(0)
                .spawn()
                .with_context(|| format!("could not start {name}"))?;
            let pid = i32::try_from(child.id())?;
            Ok((child, Box::new(move || signal_group(pid, Signal::SIGKILL)) as _))
        })?;
        Ok(Self { child, guard: Some(guard) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    pub(crate) fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    pub(crate) fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id())?;
        killpg(Pid::from_raw(pid), signal).context("could not signal the process")
    }

    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    pub(crate) fn wait(mut self) -> Result<ExitStatus> {
        let status = self.child.wait()?;
        self.forget();
        Ok(status)
    }

    /// Kills it and fails when it has not ended by then.
    pub(crate) fn wait_for(mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.forget();
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("did not end within {} s", limit.as_secs());
            }
            thread::sleep(POLL);
        }
    }

    fn forget(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take() {
            drop(guard);
            let _reaped = self.child.wait();
        }
    }
}

/// What a finished process left.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Captured {
    /// "exit 4" or "signal 9", with the last line it wrote to stderr.
    pub(crate) fn describe(&self) -> String {
        let end = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "no exit status".to_owned(),
        };
        match self.stderr.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => format!("{end}: {}", line.trim()),
            None => end,
        }
    }
}

/// Runs a command to its end, feeding `input` to it, within `limit`.
pub(crate) fn capture(
    command: &mut Command,
    input: Option<&[u8]>,
    limit: Duration,
) -> Result<Captured> {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Supervised::spawn(command)?;
    let (stdin, stdout, stderr) = (child.stdin(), child.stdout(), child.stderr());
    thread::scope(|scope| {
        let feeder = scope.spawn(|| feed(stdin, input));
        let out = scope.spawn(|| drain(stdout));
        let err = scope.spawn(|| drain(stderr));
        // On a time-out the child is dropped, hence killed, and the threads see the end of its pipes.
        let status = child.wait_for(limit);
        let (_, stdout, stderr) = (joined(feeder), joined(out)?, joined(err)?);
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        let status = status.with_context(|| stderr.clone())?;
        Ok(Captured { status, stdout, stderr })
    })
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a reader thread failed"))
}

fn feed(stdin: Option<ChildStdin>, input: Option<&[u8]>) {
    if let (Some(mut stdin), Some(input)) = (stdin, input) {
        // A child that stops reading says why by its exit status.
        let _ignored = stdin.write_all(input);
    }
}

fn drain(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ignored = pipe.read_to_end(&mut bytes);
    }
    bytes
}

/// Runs a command that must succeed; its output is returned, its stderr is in the error.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = capture(command, None, Duration::from_mins(3)).with_context(|| name.clone())?;
    if !done.status.success() {
        bail!("{name} failed: {}\n{}", done.describe(), done.stderr.trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Runs a command that must succeed and may talk to the user all along.
pub(crate) fn run_visibly(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    eprintln!("$ {name} {}", shown_arguments(command));
    let status = Supervised::spawn(command.stdin(Stdio::null()))?.wait()?;
    if !status.success() {
        bail!("{name} failed: {status}");
    }
    Ok(())
}

fn shown_arguments(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    words.join(" ")
}
