//! Owns `cargo xtask interop`: end-to-end suites through the haul binary, one on every server there is,
//! one with sendme as the peer.
//!
//! Must never: count a server that was not tried as passed, or know how haul works inside.

mod apart;
mod checks;
mod copies;
mod facts;
mod failures;
mod interrupts;
mod links;
mod manage;
mod moves;
mod p2p;
mod relayed;
mod session;
mod stores;
mod syncs;
mod table;
mod told;
mod transfers;
mod tree;
mod trees;

use crate::p2p::Peer;
use crate::p2p::program::RELAY;
use crate::servers::{Endpoint, Kind, Running, Server, StartOptions, start};
use crate::tools::Tools;
use crate::workspace::{self, Profile};
use anyhow::{Result, bail, ensure};
use checks::{Check, Outcome};
use clap::ValueEnum;
use session::Session;
use std::path::{Path, PathBuf};
use std::time::Instant;
use table::Table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to try haul on [default: all]
    #[arg(long = "server", value_enum, value_delimiter = ',')]
    servers: Vec<Partner>,
    /// What must be there: its absence is a failure
    #[arg(long, value_enum, value_delimiter = ',')]
    require: Vec<Partner>,
    /// Only checks whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Use this haul binary instead of building one
    #[arg(long)]
    haul: Option<PathBuf>,
}

/// What haul is tried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Partner {
    HaulServe,
    Garage,
    Minio,
    Ceph,
    Moto,
    /// sendme, and haul itself, as peers
    P2p,
}

const P2P: &str = "p2p";

impl Partner {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::HaulServe => Self::HaulServe,
            Kind::Garage => Self::Garage,
            Kind::Minio => Self::Minio,
            Kind::Ceph => Self::Ceph,
            Kind::Moto => Self::Moto,
        }
    }
}

impl Args {
    /// What is required is tried too, whatever else was chosen.
    fn chose(&self, partner: Partner) -> bool {
        let (servers, require) = (&self.servers, &self.require);
        servers.is_empty() || servers.contains(&partner) || require.contains(&partner)
    }

    fn wants(&self, check: &str) -> bool {
        self.only.as_deref().is_none_or(|pattern| check.contains(pattern))
    }
}

/// What came of one suite.
struct Tried {
    table: Table,
    problems: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let kinds: Vec<_> =
        Kind::ALL.into_iter().filter(|kind| args.chose(Partner::of(*kind))).collect();
    let server_checks = if kinds.is_empty() { Vec::new() } else { server_checks(args) };
    let mut peer_checks = p2p::all();
    peer_checks.retain(|check| args.chose(Partner::P2p) && args.wants(&check.name));
    ensure!(!server_checks.is_empty() || !peer_checks.is_empty(), "no check has such a name");
    let haul = workspace::haul(args.haul.as_deref(), Profile::Dev)?;
    let tools = Tools::locate();
    let mut suites = Vec::new();
    if !server_checks.is_empty() {
        suites.push(try_servers(args, &kinds, &server_checks, (&tools, &haul))?);
    }
    if !peer_checks.is_empty() {
        suites.push(try_peers(args, &peer_checks, (&tools, &haul))?);
    }
    let mut problems = Vec::new();
    for Tried { table, problems: more } in suites {
        print!("{}", table.render());
        problems.extend(more);
        problems.extend(table.failures());
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        bail!("interop: {} problem(s)", problems.len());
    }
    Ok(())
}

/// The buckets are made by the first check: whatever else is chosen, it runs.
fn server_checks(args: &Args) -> Vec<Check> {
    let mut checks = checks::all();
    if checks.iter().any(|check| args.wants(&check.name)) {
        checks.retain(|check| check.name == checks::FIRST || args.wants(&check.name));
        checks
    } else {
        Vec::new()
    }
}

fn try_servers(
    args: &Args,
    kinds: &[Kind],
    checks: &[Check],
    (tools, haul): (&Tools, &Path),
) -> Result<Tried> {
    let mut table = Table::new(checks.iter().map(|check| check.name.clone()).collect());
    let mut problems = Vec::new();
    let companion = start_companion(tools, haul)?;
    for kind in kinds.iter().copied() {
        let server = kind.server(Some(haul.to_owned()));
        if server.missing(tools).is_some() {
            let reason = format!("not installed (cargo xtask servers install {kind})");
            table.skip(kind.name(), reason);
            if args.require.contains(&Partner::of(kind)) {
                problems.push(format!("{kind} is required and not installed"));
            }
            continue;
        }
        let companion = companion.endpoint();
        match try_server(server.as_ref(), tools, Common { haul, companion }, checks) {
            Ok(outcomes) => table.add(kind.name(), outcomes),
            Err(error) => problems.push(format!("{kind}: {error:#}")),
        }
    }
    Ok(Tried { table, problems })
}

fn try_peers(args: &Args, checks: &[p2p::Check], (tools, haul): (&Tools, &Path)) -> Result<Tried> {
    let mut table = Table::new(checks.iter().map(|check| check.name.clone()).collect());
    let required = |reason: &str| {
        let required = args.require.contains(&Partner::P2p);
        required.then(|| format!("{P2P} is required: {reason}")).into_iter().collect()
    };
    let haul = match Peer::haul(haul) {
        Ok(haul) => haul,
        Err(error) => {
            let reason = format!("{error:#}");
            let problems = required(&reason);
            table.skip(P2P, reason);
            return Ok(Tried { table, problems });
        }
    };
    let pair = p2p::Pair::new(haul, Peer::sendme(tools), RELAY.find(tools))?;
    eprintln!("\n{P2P}");
    let outcomes = checks.iter().map(|check| noted(&check.name, || check.run(&pair)));
    table.add(P2P, outcomes.collect());
    Ok(Tried { table, problems: pair.lacks().map(required).unwrap_or_default() })
}

/// The other server of checks that need two: always there, and quick to start.
fn start_companion(tools: &Tools, haul: &Path) -> Result<Running> {
    let server = Kind::HaulServe.server(Some(haul.to_owned()));
    let name = Some("interop-companion".to_owned());
    start(server.as_ref(), tools, &StartOptions { name, ..StartOptions::default() })
}

/// What is the same for every server.
#[derive(Debug, Clone, Copy)]
struct Common<'a> {
    haul: &'a Path,
    companion: &'a Endpoint,
}

fn try_server(
    server: &dyn Server,
    tools: &Tools,
    common: Common<'_>,
    checks: &[Check],
) -> Result<Vec<Outcome>> {
    let name = Some(format!("interop-{}", server.kind()));
    let running = start(server, tools, &StartOptions { name, ..StartOptions::default() })?;
    let version = server.version(tools).unwrap_or_else(|_| server.kind().to_string());
    eprintln!("\n{version}");
    let session = Session::open(common.haul, running.endpoint(), common.companion)?;
    let outcomes = checks.iter().map(|check| {
        let limit = server.limits().iter().find(|limit| check.name.starts_with(limit.check));
        noted(&check.name, || match limit {
            Some(limit) => Outcome::NotApplicable(limit.reason.to_owned()),
            None => check.run(&session),
        })
    });
    Ok(outcomes.collect())
}

/// Says how a check ended, as soon as it has.
fn noted(name: &str, check: impl FnOnce() -> Outcome) -> Outcome {
    let began = Instant::now();
    let outcome = check();
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("  {:<4} {seconds:5.1} s  {name}{}", outcome.word(), outcome.because());
    outcome
}
