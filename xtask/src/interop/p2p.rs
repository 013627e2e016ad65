//! Owns the checks of haul and sendme as peers: each way, for one tree after the other.
//!
//! Must never: accept a tree in which a name or a byte is missing or too much, or leave a sender.

use super::apart::Apart;
use super::checks::{KEYS, Outcome};
use super::session::content;
use super::tree::Tree;
use super::{facts, relayed};
use crate::files::Folder;
use crate::p2p::{Peer, Sender};
use crate::process::{Captured, capture};
use crate::workspace;
use anyhow::{Context, Result, anyhow, ensure};
use std::cell::Cell;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const TO_TICKET: Duration = Duration::from_secs(30);
const TO_RECEIVE: Duration = Duration::from_mins(2);
pub(super) const TO_END: Duration = Duration::from_secs(20);

/// Who sends to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToSendme,
    FromSendme,
    ToHaul,
}

impl Way {
    const ALL: [Self; 3] = [Self::ToSendme, Self::FromSendme, Self::ToHaul];

    fn name(self) -> &'static str {
        match self {
            Self::ToSendme => "haul to sendme",
            Self::FromSendme => "sendme to haul",
            Self::ToHaul => "haul to haul",
        }
    }
}

/// What is sent: everything is below `top`, or is the file `top`.
struct Case {
    name: &'static str,
    top: &'static str,
    tree: fn() -> Tree,
}

const CASES: [Case; 6] = [
    Case { name: "one file", top: "one.bin", tree: || file("one.bin", 100_000) },
    Case { name: "an empty file", top: "empty", tree: || file("empty", 0) },
    Case { name: "a file of 20 MiB", top: "big.bin", tree: || file("big.bin", 20 << 20) },
    Case { name: "a folder with folders", top: "mixed", tree: || Tree::mixed().below("mixed") },
    Case { name: "odd names", top: "o dd é", tree: || odd_names().below("o dd é") },
    Case { name: "300 small files", top: "many", tree: || Tree::small(300).below("many") },
];

pub(super) fn file(name: &str, size: usize) -> Tree {
    Tree::of([(name, content(size).as_slice())])
}

fn odd_names() -> Tree {
    let mut tree = Tree::default();
    for (_, name) in KEYS.iter().filter(|(_, name)| !name.contains('/')) {
        tree.set(name, name.as_bytes());
        tree.set(&format!("in {name}/{name}"), b"inner");
    }
    tree
}

/// Both programs, and a folder of their own.
#[derive(Debug)]
pub(super) struct Pair {
    haul: Peer,
    /// Or why it cannot take part.
    sendme: Result<Peer, String>,
    /// iroh-relay, or why it cannot take part.
    relay: Result<PathBuf, String>,
    folder: Folder,
    serial: Cell<u32>,
}

/// The folders of one exchange: what is sent, where it arrives, what each program calls home.
pub(super) struct Sides {
    pub(super) source: PathBuf,
    pub(super) arrived: PathBuf,
    pub(super) sending: PathBuf,
    pub(super) receiving: PathBuf,
}

impl Pair {
    pub(super) fn new(haul: Peer, sendme: Result<Peer>, relay: Result<PathBuf>) -> Result<Self> {
        let folder = Folder::create(&workspace::scratch(), "interop-p2p-")?;
        let sendme = sendme.map_err(|error| format!("{error:#}"));
        let relay = relay.map_err(|error| format!("{error:#}"));
        Ok(Self { haul, sendme, relay, folder, serial: Cell::new(0) })
    }

    pub(super) fn haul(&self) -> &Path {
        self.haul.path()
    }

    pub(super) fn relay(&self) -> Result<&Path, &str> {
        self.relay.as_deref().map_err(String::as_str)
    }

    /// What is missing, if anything.
    fn has(&self, needs: Needs) -> Result<()> {
        let said = |reason: &str| anyhow!("{reason}");
        match needs {
            Needs::Programs(way) => self.sender_and_receiver(way).map(drop).map_err(said),
            Needs::Apart => Apart::can_be_made(),
            Needs::Relay => self.relay().map_err(said).and_then(|_| Apart::can_be_made()),
        }
    }

    /// Why sendme cannot take part, if so.
    pub(super) fn lacks(&self) -> Option<&str> {
        self.sendme.as_ref().err().map(String::as_str)
    }

    /// Folders that no other check has.
    pub(super) fn sides(&self) -> Result<Sides> {
        self.serial.set(self.serial.get() + 1);
        let here = self.folder.path().join(format!("{:03}", self.serial.get()));
        let [source, arrived, sending, receiving] =
            ["source", "arrived", "sending", "receiving"].map(|name| here.join(name));
        [&source, &arrived, &sending, &receiving].into_iter().try_for_each(fs::create_dir_all)?;
        Ok(Sides { source, arrived, sending, receiving })
    }

    fn sender_and_receiver(&self, way: Way) -> Result<(&Peer, &Peer), &str> {
        let (haul, sendme) = (&self.haul, self.sendme.as_ref().map_err(String::as_str));
        match way {
            Way::ToSendme => Ok((haul, sendme?)),
            Way::FromSendme => Ok((sendme?, haul)),
            Way::ToHaul => Ok((haul, haul)),
        }
    }

    /// Sends what is called `top`, receives it, and says how the sender ended. `flags` are its own.
    pub(super) fn exchange(
        &self,
        way: Way,
        sides: &Sides,
        top: &str,
        flags: &[&str],
    ) -> Result<Captured> {
        let ends = self.sender_and_receiver(way);
        let (from, to) = ends.map_err(|reason| anyhow!("{reason}"))?;
        let mut command = from.send(&sides.source.join(top), flags, &sides.sending);
        let mut sender = Sender::start(from.kind(), &mut command)?;
        let ticket = sender.ticket(TO_TICKET).context("the sender")?;
        let mut command = to.receive(&ticket, &sides.arrived, &[], &sides.receiving);
        let received = capture(&mut command, None, TO_RECEIVE).and_then(|done| {
            ensure!(done.status.success(), "{}", done.describe());
            Ok(())
        });
        if let Err(error) = received {
            let sent = sender.stop().map_or_else(|error| format!("{error:#}"), |it| it.stderr);
            return Err(error.context("the receiver").context(format!("the sender said {sent:?}")));
        }
        if flags.contains(&ONCE) {
            sender.wait(TO_END).context("the sender")
        } else {
            sender.stop()
        }
    }
}

/// Ends the sender after its first receiver.
pub(super) const ONCE: &str = "--once";

/// What a check cannot do without.
#[derive(Debug, Clone, Copy)]
enum Needs {
    Programs(Way),
    /// Network namespaces.
    Apart,
    /// Those, and a relay.
    Relay,
}

type Body = Box<dyn Fn(&Pair) -> Result<()>>;

/// One thing haul promises about its peers.
pub(super) struct Check {
    pub(super) name: String,
    needs: Needs,
    body: Body,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Check {
    pub(super) fn run(&self, pair: &Pair) -> Outcome {
        if let Err(reason) = pair.has(self.needs) {
            return Outcome::NotApplicable(format!("{reason:#}").replace('\n', " "));
        }
        match (self.body)(pair) {
            Ok(()) => Outcome::Pass,
            Err(error) => Outcome::Fail(format!("{error:#}").replace('\n', " ")),
        }
    }
}

/// All checks, in the order they run in.
pub(super) fn all() -> Vec<Check> {
    let mut checks = Vec::new();
    for way in Way::ALL {
        for case in &CASES {
            let body = move |pair: &Pair| one_way(pair, way, case);
            let name = format!("{}: {}", way.name(), case.name);
            checks.push(Check { name, needs: Needs::Programs(way), body: Box::new(body) });
        }
    }
    let both = Needs::Programs(Way::ToHaul);
    checks.push(own("links, empty folders, modes, times", both, facts::are_kept));
    checks.push(own("--once ends the sender", both, once_ends_the_sender));
    checks.push(own("only a relay between them", Needs::Relay, relayed::only_a_relay));
    checks.push(own("a slow and lossy line", Needs::Apart, relayed::lossy_line));
    let bbr =
        own("a slow and lossy line, --congestion bbr", Needs::Apart, relayed::lossy_line_with_bbr);
    checks.push(bbr);
    checks
}

/// A check of what only haul has.
fn own(what: &str, needs: Needs, body: impl Fn(&Pair) -> Result<()> + 'static) -> Check {
    Check { name: format!("{}: {what}", Way::ToHaul.name()), needs, body: Box::new(body) }
}

fn one_way(pair: &Pair, way: Way, case: &Case) -> Result<()> {
    let (sides, tree) = (pair.sides()?, (case.tree)());
    tree.write(&sides.source)?;
    let flags: &[&str] = if way == Way::ToSendme { &["--format", "sendme"] } else { &[] };
    let sent = pair.exchange(way, &sides, case.top, flags)?;
    if way != Way::FromSendme {
        ticket_must_be_alone(&sent)?;
    }
    tree.must_be_folder(&sides.arrived)
}

pub(super) fn ticket_must_be_alone(sent: &Captured) -> Result<()> {
    let text = String::from_utf8_lossy(&sent.stdout);
    let lines = text.lines().count();
    ensure!(lines == 1, "the sender's stdout has {lines} lines, not the ticket alone");
    Ok(())
}

fn once_ends_the_sender(pair: &Pair) -> Result<()> {
    let (sides, tree) = (pair.sides()?, Tree::small(20).below("few"));
    tree.write(&sides.source)?;
    let sent = pair.exchange(Way::ToHaul, &sides, "few", &[ONCE])?;
    ensure!(sent.status.success(), "the sender: {}", sent.describe());
    ticket_must_be_alone(&sent)?;
    tree.must_be_folder(&sides.arrived)
}
