//! Owns the checks of haul between hosts that cannot reach each other, and over a line that is slow and
//! loses datagrams.
//!
//! Must never: let what is tried be reached in another way, or need a name to be resolved.

use super::apart::{Apart, FALSE_SENDER, Host, MIDDLE, Protocol, TRUE_SENDER, serve};
use super::p2p::{ONCE, Pair, Sides, TO_END, TO_TICKET, file, ticket_must_be_alone};
use super::tree::Tree;
use crate::p2p::{Kind, Sender};
use crate::process::{Supervised, capture};
use anyhow::{Context, Result, anyhow, ensure};
use std::fs;
use std::path::Path;
use std::time::Duration;

const RELAY_PORT: u16 = 3340;
const SENDER_PORT: u16 = 4433;
/// Of 100 datagrams, each way.
const LOSS: &str = "1";
/// Each way.
const DELAY: &str = "25ms";
const OVER_THE_LINE: usize = 4 << 20;
/// A sender that takes every loss for a sign of congestion needs two minutes.
const TO_CROSS: Duration = Duration::from_mins(5);

pub(super) fn only_a_relay(pair: &Pair) -> Result<()> {
    let apart = Apart::make()?;
    let program = pair.relay().map_err(|reason| anyhow!("{reason}"))?;
    let (sides, tree) = (pair.sides()?, Tree::mixed().with(Tree::small(300)).below("mixed"));
    tree.write(&sides.source)?;
    let _relay = start_relay(&apart, program, &sides.sending)?;
    let url = format!("http://{MIDDLE}:{RELAY_PORT}");
    let flags = ["--relay", url.as_str()];
    let said = exchange(pair, &apart, &sides, "mixed", [&flags, &flags])?;
    for said in &said {
        ensure!(said.contains(&format!("relay {url}")), "no word of the relay: {said}");
        ensure!(!said.contains("direct"), "not only through the relay: {said}");
    }
    tree.must_be_folder(&sides.arrived)
}

pub(super) fn lossy_line(pair: &Pair) -> Result<()> {
    over_the_line(pair, OVER_THE_LINE, "cubic")
}

pub(super) fn lossy_line_with_bbr(pair: &Pair) -> Result<()> {
    over_the_line(pair, 8 * OVER_THE_LINE, "bbr")
}

fn over_the_line(pair: &Pair, bytes: usize, congestion: &str) -> Result<()> {
    let apart = Apart::make()?;
    let (sides, tree) = (pair.sides()?, file("big.bin", bytes));
    tree.write(&sides.source)?;
    let _line = start_line(&apart, &sides.sending)?;
    let (bind, entry) = (format!("0.0.0.0:{SENDER_PORT}"), format!("{FALSE_SENDER}:{SENDER_PORT}"));
    let sending = ["--no-relay", "--bind", &bind, "--congestion", congestion];
    let flags: [&[&str]; 2] = [&sending, &["--no-relay"]];
    let [_, receiver] = exchange(pair, &apart, &sides, "big.bin", flags)?;
    ensure!(receiver.contains(&entry), "not over the line: {receiver}");
    tree.must_be_folder(&sides.arrived)
}

fn start_relay(apart: &Apart, program: &Path, home: &Path) -> Result<Supervised> {
    let address = format!("{MIDDLE}:{RELAY_PORT}");
    let config = home.join("relay.toml");
    let text = format!(
        "http_bind_addr = \"{address}\"\nenable_quic_addr_discovery = false\nenable_metrics = false\n"
    );
    fs::write(&config, text)?;
    let mut command = apart.command(Host::Middle, program, home);
    command.arg("--config-path").arg(&config);
    serve(&mut command, Protocol::Tcp, &address, home).context("iroh-relay")
}

fn start_line(apart: &Apart, home: &Path) -> Result<Supervised> {
    let (entry, exit) =
        (format!("{FALSE_SENDER}:{SENDER_PORT}"), format!("{TRUE_SENDER}:{SENDER_PORT}"));
    let mut command = apart.command(Host::Middle, std::env::current_exe()?, home);
    command.args(["line", "--listen", &entry, "--to", &exit, "--delay", DELAY, "--loss", LOSS]);
    serve(&mut command, Protocol::Udp, &entry, home).context("the line")
}

/// Sends what is called `top` from one host to the other. What both said, the sender first.
fn exchange(
    pair: &Pair,
    apart: &Apart,
    sides: &Sides,
    top: &str,
    [own_flags, other_flags]: [&[&str]; 2],
) -> Result<[String; 2]> {
    let mut command = apart.command(Host::Sender, pair.haul(), &sides.sending);
    command.arg("send").args(own_flags).arg(ONCE).arg(sides.source.join(top));
    let mut sender = Sender::start(Kind::Haul, &mut command)?;
    let ticket = sender.ticket(TO_TICKET).context("the sender")?;
    let mut command = apart.command(Host::Receiver, pair.haul(), &sides.receiving);
    command.arg("receive").args(other_flags).arg(&ticket).arg(&sides.arrived);
    let received = capture(&mut command, None, TO_CROSS).and_then(|done| {
        ensure!(done.status.success(), "{}", done.describe());
        Ok(done.stderr)
    });
    let received = match received {
        Ok(said) => said,
        Err(error) => {
            let sent = sender.stop().map_or_else(|error| format!("{error:#}"), |it| it.stderr);
            return Err(error.context(format!("the sender said {sent:?}; the receiver")));
        }
    };
    let sent = sender.wait(TO_END).context("the sender")?;
    ensure!(sent.status.success(), "the sender: {}", sent.describe());
    ticket_must_be_alone(&sent)?;
    Ok([sent.stderr, received])
}
