//! A sender and its receivers, on the loopback.
//!
//! Owns: the flags that keep peers on this machine, and a sender whose words are read one by one.
//! Nobody here may reach a relay, a name server or another machine.

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{ChildStderr, ChildStdout};

use crate::harness::{Done, Run, Running, World, within};
use crate::memory::high_water;

/// Flags of both sides.
pub(crate) const LOCAL: [&str; 3] = ["--no-relay", "--bind", "127.0.0.1:0"];

/// `haul send ARGS` on the loopback.
pub(crate) fn send(world: &World, args: &[&str]) -> Run {
    world.haul([&["send"], &LOCAL[..], args].concat())
}

/// `haul receive ARGS` on the loopback.
pub(crate) fn receive(world: &World, args: &[&str]) -> Run {
    world.haul([&["receive"], &LOCAL[..], args].concat())
}

/// A sender under way.
pub(crate) struct Sender {
    pub(crate) ticket: String,
    run: Running,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
    said: Vec<String>,
}

impl Sender {
    /// Waits for the ticket, which is the first line.
    pub(crate) async fn start(run: Run) -> Self {
        let mut run = run.spawn_open();
        let mut out = BufReader::new(run.child.stdout.take().unwrap()).lines();
        let err = BufReader::new(run.child.stderr.take().unwrap()).lines();
        let ticket = within("a ticket", out.next_line()).await.unwrap().unwrap_or_default();
        Self { ticket, run, out, err, said: Vec::new() }
    }

    /// Waits for a line on stderr with `part` in it.
    pub(crate) async fn says(&mut self, part: &str) -> String {
        loop {
            let line = within(part, self.err.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("never said {part:?}: {:?}", self.said));
            self.said.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The most memory that it has had so far, in KiB.
    pub(crate) fn peak(&self) -> Option<u64> {
        high_water(&format!("/proc/{}/status", self.run.child.id()?))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.run.signal(signal);
    }

    /// Waits for the end. What it says then is all that it said; what is on stdout is all but the
    /// ticket.
    pub(crate) async fn end(self) -> Done {
        let Self { mut run, out, err, said, .. } = self;
        run.out = tokio::spawn(rest(out, Vec::new()));
        run.err = tokio::spawn(rest(err, said));
        run.end().await
    }

    /// Ctrl-C, and the end.
    pub(crate) async fn stop(self) -> Done {
        self.signal(Signal::INT);
        self.end().await
    }
}

async fn rest<S: AsyncRead + Unpin>(
    mut lines: Lines<BufReader<S>>,
    before: Vec<String>,
) -> Vec<u8> {
    let mut all = before;
    while let Some(line) = lines.next_line().await.unwrap() {
        all.push(line);
    }
    all.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}
