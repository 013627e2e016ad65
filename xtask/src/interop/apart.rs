//! Owns two hosts that cannot reach each other, and one between them that both reach: Linux network
//! namespaces, with addresses that are reserved for examples.
//!
//! Must never: touch the network of the machine itself, or leave a namespace.

use crate::interrupt::OnExit;
use crate::process::{Supervised, capture, output_of};
use crate::servers::endpoint::isolated;
use anyhow::{Context, Result, bail, ensure};
use nix::unistd::Uid;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Of the host between, one that both others reach.
pub(super) const MIDDLE: &str = "203.0.113.1";
/// Another such one. The sender thinks that it has it, too: it is in the sender's tickets, and who
/// connects to it gets to the host between.
pub(super) const FALSE_SENDER: &str = "203.0.113.2";
/// The sender, as only the host between reaches it.
pub(super) const TRUE_SENDER: &str = "192.0.2.2";

const SOON: Duration = Duration::from_secs(10);

/// A host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    Sender,
    Middle,
    Receiver,
}

impl Host {
    fn name(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Middle => "middle",
            Self::Receiver => "receiver",
        }
    }
}

/// The three hosts. They go with this value.
#[derive(Debug)]
pub(super) struct Apart {
    sender: Namespace,
    middle: Namespace,
    receiver: Namespace,
}

impl Apart {
    /// Fails where such hosts cannot be made.
    pub(super) fn can_be_made() -> Result<()> {
        ensure!(Uid::effective().is_root(), "network namespaces need root");
        output_of(Command::new("ip").arg("-V")).context("iproute2 is needed")?;
        Namespace::add(Host::Middle).map(drop)
    }

    pub(super) fn make() -> Result<Self> {
        let [sender, middle, receiver] =
            [Host::Sender, Host::Middle, Host::Receiver].map(Namespace::add);
        let apart = Self { sender: sender?, middle: middle?, receiver: receiver? };
        apart.connect(Host::Sender, TRUE_SENDER, "192.0.2.1")?;
        apart.connect(Host::Receiver, "198.51.100.2", "198.51.100.1")?;
        for address in [MIDDLE, FALSE_SENDER] {
            apart.middle.ip(&format!("address add {address}/32 dev lo"))?;
        }
        apart.sender.ip(&format!("address add {FALSE_SENDER}/32 dev wire"))?;
        // It may be on in new namespaces.
        let mut tee = apart.command(Host::Middle, "tee", Path::new("/"));
        let off = capture(tee.arg("/proc/sys/net/ipv4/ip_forward"), Some(b"0"), SOON)?;
        ensure!(off.status.success(), "forwarding cannot be switched off: {}", off.describe());
        Ok(apart)
    }

    fn namespace(&self, host: Host) -> &Namespace {
        match host {
            Host::Sender => &self.sender,
            Host::Middle => &self.middle,
            Host::Receiver => &self.receiver,
        }
    }

    /// The host's network card is called "wire", that of the host between as the host.
    fn connect(&self, host: Host, address: &str, middle: &str) -> Result<()> {
        let (card, host) = (host.name(), self.namespace(host));
        let peer = format!("type veth peer name {card} netns {}", self.middle.name);
        host.ip(&format!("link add name wire {peer}"))?;
        for (host, address, card) in [(host, address, "wire"), (&self.middle, middle, card)] {
            host.ip(&format!("address add {address}/24 dev {card}"))?;
            host.ip("link set lo up")?;
            host.ip(&format!("link set {card} up"))?;
        }
        host.ip(&format!("route add default via {middle}"))
    }

    /// A program on a host, without the caller's own settings.
    pub(super) fn command(&self, host: Host, program: impl AsRef<OsStr>, home: &Path) -> Command {
        let mut command = isolated("ip", home);
        command.current_dir(home);
        command.args(["netns", "exec", &self.namespace(host).name]).arg(program);
        command
    }
}

#[derive(Debug)]
struct Namespace {
    name: String,
    _guard: OnExit,
}

impl Namespace {
    fn add(host: Host) -> Result<Self> {
        let name = format!("haul-{}-{}", std::process::id(), host.name());
        let ((), guard) = OnExit::arm(|| {
            // Not by `output_of`: that arms a guard of its own.
            let done = Command::new("ip").args(["netns", "add", &name]).output()?;
            let said = String::from_utf8_lossy(&done.stderr);
            ensure!(done.status.success(), "no network namespaces here: {}", said.trim());
            let name = name.clone();
            Ok(((), Box::new(move || remove(&name)) as _))
        })?;
        Ok(Self { name, _guard: guard })
    }

    fn ip(&self, words: &str) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name]).args(words.split(' '));
        output_of(&mut command).map(drop).with_context(|| words.to_owned())
    }
}

fn remove(namespace: &str) {
    let done = Command::new("ip").args(["netns", "delete", namespace]).status();
    if !done.is_ok_and(|status| status.success()) {
        eprintln!("could not remove the network namespace {namespace}");
    }
}

/// Starts what listens at an address, and waits until it does. `home` gets what it says.
pub(super) fn serve(
    command: &mut Command,
    protocol: Protocol,
    address: &str,
    home: &Path,
) -> Result<Supervised> {
    let port = address.parse::<SocketAddr>()?.port();
    let log = home.join("served.log");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
    let mut server = Supervised::spawn(command)?;
    let deadline = Instant::now() + SOON;
    while !listens(server.pid(), protocol, port) {
        if !server.is_running()? || Instant::now() > deadline {
            let said = fs::read_to_string(&log)?;
            bail!("nobody listens at {address}: {}", said.trim());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}

/// What somebody listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// Whether anybody does, in the network that the process is in.
fn listens(pid: u32, protocol: Protocol, port: u16) -> bool {
    // The state of a TCP socket that listens, and of a UDP socket that is not connected.
    let (name, state) = match protocol {
        Protocol::Tcp => ("tcp", "0A"),
        Protocol::Udp => ("udp", "07"),
    };
    let table = fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    has_listener(&table, port, state)
}

/// "  0: 0100007F:0D0C 00000000:0000 0A 00000000:00000000 ..."
fn has_listener(table: &str, port: u16, state: &str) -> bool {
    let port = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next();
        local.is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some(state)
    })
}

#[cfg(test)]
mod tests {
    use super::has_listener;

    #[test]
    fn listeners_are_found_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n   \
                     0: 017100CB:0D0C 00000000:0000 0A 00000000:00000000 00:00000000\n   \
                     1: 017100CB:0050 027100CB:0D0D 01 00000000:00000000 00:00000000\n";
        assert!(has_listener(table, 3340, "0A"));
        assert!(!has_listener(table, 3341, "0A"));
        assert!(!has_listener(table, 80, "0A"));
    }
}
