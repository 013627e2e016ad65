//! Owns `cargo xtask servers install|start|stop|status`.
//!
//! Must never: stop or overwrite what another tool started.

use super::{Instance, Kind, Server, StartOptions, peers, start};
use crate::p2p::program::{RELAY, SENDME};
use crate::tools::Tools;
use anyhow::{Result, bail};
use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Install servers into the tools directory (Ceph: Debian packages)
    Install {
        #[arg(required = true)]
        names: Vec<Name>,
    },
    /// Start servers on loopback and print the environment to use
    Start {
        #[arg(required = true)]
        names: Vec<Name>,
        /// Folder under which the data folder is made [default: .haul-servers]
        #[arg(long)]
        data: Option<PathBuf>,
        /// Port to listen on [default: a free one]
        #[arg(long)]
        port: Option<u16>,
    },
    /// Stop servers and remove their data
    Stop {
        #[arg(required = true)]
        names: Vec<Name>,
    },
    /// Show what is installed and what runs
    Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Garage,
    Minio,
    Ceph,
    Moto,
    /// The programs that haul is measured against, s5cmd, rclone, AWS CRT, sendme, and iroh-relay
    /// (install only)
    Peers,
    /// Of the peers, the one that interop needs (install only)
    Sendme,
    /// The relay through which interop lets haul send and receive (install only)
    IrohRelay,
    All,
}

const INSTALLABLE: [Kind; 4] = [Kind::Garage, Kind::Minio, Kind::Ceph, Kind::Moto];

impl Name {
    fn kinds(self) -> Vec<Kind> {
        match self {
            Self::Garage => vec![Kind::Garage],
            Self::Minio => vec![Kind::Minio],
            Self::Ceph => vec![Kind::Ceph],
            Self::Moto => vec![Kind::Moto],
            Self::Peers | Self::Sendme | Self::IrohRelay => Vec::new(),
            Self::All => INSTALLABLE.to_vec(),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let tools = Tools::locate();
    match &args.action {
        Action::Install { names } => install(&tools, names),
        Action::Start { names, data, port } => {
            let options = StartOptions { name: None, data: data.clone(), port: *port };
            start_all(&tools, names, &options)
        }
        Action::Stop { names } => stop(names),
        Action::Status => status(&tools),
    }
}

fn install(tools: &Tools, names: &[Name]) -> Result<()> {
    for name in names {
        for kind in name.kinds() {
            let server = kind.server(None);
            if server.missing(tools).is_some() {
                server.install(tools)?;
            }
            println!("{}", version(server.as_ref(), tools));
        }
        if matches!(name, Name::Peers | Name::All) {
            peers::install_peers(tools)?;
        }
        for (program, own_name) in [(SENDME, Name::Sendme), (RELAY, Name::IrohRelay)] {
            if [own_name, Name::Peers, Name::All].contains(name) {
                program.install(tools)?;
                println!("{} {}", program.name, program.version);
            }
        }
    }
    Ok(())
}

/// With `all`, what is not installed is left out; a server that is named must start.
fn start_all(tools: &Tools, names: &[Name], options: &StartOptions) -> Result<()> {
    for name in names {
        for kind in name.kinds() {
            let server = kind.server(None);
            if *name == Name::All && server.missing(tools).is_some() {
                eprintln!("{kind}: not installed (cargo xtask servers install {kind})");
                continue;
            }
            if let Some(running) = Instance::load(kind.name())?.filter(Instance::is_alive) {
                eprintln!("{kind} is running already");
                println!("{}", running.endpoint.exports());
                continue;
            }
            let instance = start(server.as_ref(), tools, options)?.keep();
            eprintln!("{kind} is running; stop it with: cargo xtask servers stop {kind}");
            println!("{}", instance.endpoint.exports());
        }
    }
    Ok(())
}

fn stop(names: &[Name]) -> Result<()> {
    let everything = names.contains(&Name::All);
    let wanted: Vec<Kind> = names.iter().flat_map(|name| name.kinds()).collect();
    let mut stopped = 0;
    for instance in Instance::all()? {
        if everything || (wanted.contains(&instance.kind) && instance.name == instance.kind.name())
        {
            instance.stop();
            println!("stopped {}", instance.name);
            stopped += 1;
        }
    }
    if stopped == 0 && !everything {
        bail!("not running");
    }
    Ok(())
}

fn version(server: &dyn Server, tools: &Tools) -> String {
    server.version(tools).unwrap_or_else(|error| format!("version unknown: {error:#}"))
}

fn status(tools: &Tools) -> Result<()> {
    for kind in INSTALLABLE {
        let server = kind.server(None);
        match server.missing(tools) {
            Some(lacking) => println!("{kind:<8} not installed: {lacking}"),
            None => println!("{kind:<8} installed: {}", version(server.as_ref(), tools)),
        }
    }
    for program in [SENDME, RELAY] {
        match program.find(tools) {
            Ok(_) => println!("{} installed: {}", program.name, program.version),
            Err(error) => println!("{} not installed: {error:#}", program.name),
        }
    }
    for instance in Instance::all()? {
        let state = if instance.is_alive() { "running" } else { "dead" };
        println!("{} {state}: {}", instance.name, instance.endpoint.exports());
    }
    Ok(())
}
