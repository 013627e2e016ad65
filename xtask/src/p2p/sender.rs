//! Owns a sender that runs: its ticket, and its end.
//!
//! Must never: wait for ever, or let a sender live longer than this value.

use super::Kind;
use crate::process::{Captured, Supervised};
use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender as Tell, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A first Ctrl-C has to be obeyed within this time.
const TO_STOP: Duration = Duration::from_secs(20);
/// What a program may end with after Ctrl-C.
const STOPPED: [i32; 2] = [0, 130];

/// A sender that dies with this value.
#[derive(Debug)]
pub(crate) struct Sender {
    kind: Kind,
    child: Supervised,
    /// The lines of its stdout, until that is closed.
    lines: Receiver<String>,
    stdout: String,
    stderr: File,
}

impl Sender {
    pub(crate) fn start(kind: Kind, command: &mut Command) -> Result<Self> {
        let stderr = tempfile::tempfile()?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr.try_clone()?);
        let mut child = Supervised::spawn(command)?;
        let stdout = child.stdout().context("no stdout")?;
        let (tell, lines) = channel();
        thread::spawn(move || read_lines(stdout, &tell));
        Ok(Self { kind, child, lines, stdout: String::new(), stderr })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits for the ticket.
    pub(crate) fn ticket(&mut self, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.stdout.push_str(&line);
                    self.stdout.push('\n');
                    if let Some(ticket) = self.kind.ticket_in(&line) {
                        return Ok(ticket.to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no ticket within {} s: {}", limit.as_secs(), self.words()?)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("it ended without a ticket: {}", self.words()?)
                }
            }
        }
    }

    /// Stops it as a user does, with Ctrl-C.
    pub(crate) fn stop(self) -> Result<Captured> {
        self.child.signal(Signal::SIGINT)?;
        let done = self.wait(TO_STOP).context("the sender, after SIGINT")?;
        let code = done.status.code().unwrap_or(-1);
        ensure!(STOPPED.contains(&code), "the sender, after SIGINT: {}", done.describe());
        Ok(done)
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self, limit: Duration) -> Result<Captured> {
        let status = self.child.wait_for(limit);
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(1)) {
            self.stdout.push_str(&line);
            self.stdout.push('\n');
        }
        let stderr = text_of(&mut self.stderr)?;
        let status = status.map_err(|error| anyhow!("{error:#}; {}", said(&stderr)))?;
        Ok(Captured { status, stdout: self.stdout.into_bytes(), stderr })
    }

    fn words(&mut self) -> Result<String> {
        Ok(said(&text_of(&mut self.stderr)?).to_owned())
    }
}

fn said(stderr: &str) -> &str {
    if stderr.is_empty() { "it says nothing" } else { stderr }
}

fn text_of(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// To the end, so that the sender is never held up by a full pipe.
fn read_lines(stdout: ChildStdout, tell: &Tell<String>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        // Nobody may be left who wants to know.
        let _unheard = tell.send(line);
    }
}

#[cfg(test)]
mod tests {
    use super::Sender;
    use crate::p2p::Kind;
    use std::process::Command;
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_ticket_is_read_and_the_sender_stopped() {
        let mut command = Command::new("sh");
        command.args(["-c", "trap 'exit 130' INT; echo ticket; while :; do sleep 0.05; done"]);
        let mut sender = Sender::start(Kind::Haul, &mut command).unwrap();
        assert_eq!(sender.ticket(SOON).unwrap(), "ticket");
        let done = sender.stop().unwrap();
        assert_eq!((done.status.code(), done.stdout.as_slice()), (Some(130), &b"ticket\n"[..]));
    }

    #[test]
    fn a_sender_without_a_ticket_is_an_error_with_its_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo cannot >&2; exit 3"]);
        let mut sender = Sender::start(Kind::Haul, &mut command).unwrap();
        let error = sender.ticket(SOON).unwrap_err().to_string();
        assert!(error.contains("cannot"), "{error}");
        let mut command = Command::new("sleep");
        let mut sender = Sender::start(Kind::Haul, command.arg("60")).unwrap();
        sender.ticket(Duration::from_millis(50)).unwrap_err();
    }
}
