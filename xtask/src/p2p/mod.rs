//! Owns the programs that move files from one process to another: their command lines and tickets.
//!
//! Must never: use a relay, or let a ticket depend on a lookup: it holds addresses of loopback.

pub(crate) mod program;
mod sender;

pub(crate) use sender::Sender;

use crate::process::{capture, output_of};
use crate::servers::endpoint::isolated;
use crate::tools::Tools;
use anyhow::{Result, ensure};
use program::SENDME;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LOOPBACK: &str = "127.0.0.1:0";
const TO_ANSWER: Duration = Duration::from_secs(20);

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Haul,
    Sendme,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Haul => "haul",
            Self::Sendme => "sendme",
        }
    }

    /// The ticket, if this line of the sender's stdout has it.
    fn ticket_in(self, line: &str) -> Option<&str> {
        let ticket = match self {
            Self::Haul => line.trim(),
            Self::Sendme => line.trim().strip_prefix("sendme receive ")?.trim(),
        };
        (!ticket.is_empty()).then_some(ticket)
    }
}

/// A program that sends and receives.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    kind: Kind,
    path: PathBuf,
    version: String,
}

impl Peer {
    /// Fails when this binary cannot send and receive.
    pub(crate) fn haul(path: &Path) -> Result<Self> {
        for verb in ["send", "receive"] {
            let asked = capture(Command::new(path).args([verb, "--help"]), None, TO_ANSWER)?;
            ensure!(asked.status.success(), "this haul binary has no `haul {verb}`");
        }
        let text = output_of(Command::new(path).arg("--version"))?;
        let version = text.split_whitespace().last().unwrap_or("?").to_owned();
        Ok(Self { kind: Kind::Haul, path: path.to_owned(), version })
    }

    /// Fails when it is not installed in the version that is compared with.
    pub(crate) fn sendme(tools: &Tools) -> Result<Self> {
        let path = SENDME.find(tools)?;
        Ok(Self { kind: Kind::Sendme, path, version: SENDME.version.to_owned() })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// A sender. It writes into `home`, if anywhere.
    pub(crate) fn send(&self, path: &Path, flags: &[&str], home: &Path) -> Command {
        let mut command = isolated(&self.path, home);
        command.current_dir(home).args(self.send_words()).args(flags).arg(path);
        command
    }

    /// A receiver into `folder`, which must be there.
    pub(crate) fn receive(
        &self,
        ticket: &str,
        folder: &Path,
        flags: &[&str],
        home: &Path,
    ) -> Command {
        let mut command = isolated(&self.path, home);
        command.args(self.receive_words()).args(flags).arg(ticket);
        match self.kind {
            Kind::Haul => command.current_dir(home).arg(folder),
            // It knows no other place than the current folder.
            Kind::Sendme => command.current_dir(folder),
        };
        command
    }

    fn send_words(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Haul => &["send", "--no-relay", "--bind", LOOPBACK],
            Kind::Sendme => &[
                "send",
                "--relay",
                "disabled",
                "--ticket-type",
                "addresses",
                "--no-progress",
                "--magic-ipv4-addr",
                LOOPBACK,
            ],
        }
    }

    fn receive_words(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Haul => &["receive", "--no-relay"],
            Kind::Sendme => &["receive", "--relay", "disabled", "--no-progress"],
        }
    }

    /// The lines a document shows: sender, then receiver.
    pub(crate) fn shown(&self, receive_flags: &[&str]) -> [String; 2] {
        let place: &[&str] = if self.kind == Kind::Haul { &["FOLDER"] } else { &[] };
        let words = [self.receive_words(), receive_flags, &["TICKET"], place].concat();
        let name = self.kind.name();
        [
            format!("{name} {} PATH", self.send_words().join(" ")),
            format!("{name} {}", words.join(" ")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn tickets_are_found_in_what_senders_print() {
        assert_eq!(Kind::Sendme.ticket_in("imported file x, 1 B, hash 00"), None);
        assert_eq!(Kind::Sendme.ticket_in("to get this data, use"), None);
        assert_eq!(Kind::Sendme.ticket_in("sendme receive blobabc"), Some("blobabc"));
        assert_eq!(Kind::Haul.ticket_in("haulabc"), Some("haulabc"));
        assert_eq!(Kind::Haul.ticket_in(" "), None);
    }
}
