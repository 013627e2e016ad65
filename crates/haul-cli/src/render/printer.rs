//! Results on their way to stdout.
//!
//! Owns the lines that are not written yet. They are written in large pieces, but no line waits long;
//! beside the program, so that a reader that takes its time holds up the job and nothing else. Must
//! never hold more than a bound, or reorder.

use std::io::IsTerminal as _;
use std::time::Duration;

use haul::{Error, ErrorKind, Op};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::output;

/// Lines are written when there are so many bytes of them,
const PIECE: usize = 64 << 10;

/// or when the first of them has waited so long;
const WAIT: Duration = Duration::from_millis(100);

/// and while so many bytes wait for the reader, the job waits.
const ROOM: usize = 1 << 20;

pub(super) struct Printer {
    waiting: Vec<u8>,
    due: Instant,
    writing: Option<JoinHandle<haul::Result<()>>>,
    failure: Option<Error>,
    terminal: bool,
}

impl Printer {
    pub(super) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { waiting: Vec::new(), due: Instant::now(), writing: None, failure: None, terminal }
    }

    /// Takes whole lines.
    pub(super) fn push(&mut self, lines: &[u8]) {
        if self.failure.is_some() || lines.is_empty() {
            return; // nobody reads them
        }
        if self.waiting.is_empty() {
            self.due = Instant::now() + WAIT;
        }
        self.waiting.extend_from_slice(lines);
        if self.waiting.len() >= PIECE {
            self.hurry();
        }
    }

    /// Nothing more will come: what is there is written now.
    pub(super) fn hurry(&mut self) {
        self.due = Instant::now();
    }

    /// Whether more may come.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < ROOM
    }

    /// Whether [`turn`](Self::turn) would ever end.
    pub(super) fn has_work(&self) -> bool {
        self.writing.is_some() || !self.waiting.is_empty()
    }

    /// Whether all is written, or never will be.
    pub(super) fn is_done(&self) -> bool {
        !self.has_work()
    }

    /// Waits until lines are due or have been written. Dropping it loses nothing.
    pub(super) async fn turn(&mut self) {
        match &mut self.writing {
            None => tokio::time::sleep_until(self.due).await,
            Some(writing) => {
                let wrote = writing.await.unwrap_or_else(|e| {
                    let what = "it crashed";
                    Err(Error::new(ErrorKind::Io, Op::Write, "standard output", what)
                        .with_source(e))
                });
                self.writing = None;
                self.wrote(wrote);
            }
        }
    }

    /// Whether lines and bars share a screen.
    pub(super) fn on_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes what waits, here and now.
    pub(super) fn write(&mut self) {
        let lines = std::mem::take(&mut self.waiting);
        let wrote = output::results(&lines);
        self.wrote(wrote);
    }

    /// Starts to write what is due, on a thread that may wait for the reader.
    pub(super) fn start(&mut self) {
        if self.writing.is_none() && !self.waiting.is_empty() && self.due <= Instant::now() {
            let lines = std::mem::take(&mut self.waiting);
            self.writing = Some(tokio::task::spawn_blocking(move || output::results(&lines)));
        }
    }

    fn wrote(&mut self, wrote: haul::Result<()>) {
        if let Err(e) = wrote {
            self.failure = Some(e);
            self.waiting.clear();
        }
    }

    /// Whether nobody reads any more.
    pub(super) fn is_broken(&self) -> bool {
        self.failure.is_some()
    }

    /// Why results could not be written.
    pub(super) fn failure(&mut self) -> Option<Error> {
        self.failure.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_wait_a_moment_and_many_do_not() {
        let mut printer = Printer::new();
        assert!(printer.is_done() && printer.has_room());
        let before = Instant::now();
        printer.push(b"one\n");
        printer.turn().await;
        assert_eq!(before.elapsed(), WAIT);
        let before = Instant::now();
        printer.push(&vec![b'\n'; PIECE]);
        printer.turn().await;
        assert!(before.elapsed() < WAIT);
        printer.push(&vec![b'\n'; ROOM]);
        assert!(!printer.has_room());
        printer.wrote(Err(Error::new(ErrorKind::BrokenPipe, Op::Write, "standard output", "")));
        assert!(printer.is_done() && printer.is_broken() && printer.has_room());
    }
}
