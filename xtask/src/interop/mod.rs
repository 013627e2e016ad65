//! Owns `cargo xtask interop`: one end-to-end suite through the haul binary, on every server there is.
//!
//! Must never: count a server that was not tried as passed, or know how haul works inside.

mod checks;
mod copies;
mod failures;
mod interrupts;
mod links;
mod manage;
mod moves;
mod session;
mod stores;
mod syncs;
mod table;
mod told;
mod transfers;
mod tree;
mod trees;

use crate::servers::{Endpoint, Kind, Running, Server, StartOptions, start};
use crate::tools::Tools;
use crate::workspace::{self, Profile};
use anyhow::{Result, bail, ensure};
use checks::{Check, Outcome};
use session::Session;
use std::path::{Path, PathBuf};
use std::time::Instant;
use table::Table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Servers to try [default: all]
    #[arg(long = "server", value_enum, value_delimiter = ',')]
    servers: Vec<Kind>,
    /// Servers whose absence is a failure
    #[arg(long, value_enum, value_delimiter = ',')]
    require: Vec<Kind>,
    /// Only checks whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Use this haul binary instead of building one
    #[arg(long)]
    haul: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let haul = match &args.haul {
        Some(path) => std::fs::canonicalize(path)?,
        None => workspace::build_haul(Profile::Dev)?,
    };
    let tools = Tools::locate();
    let checks: Vec<Check> =
        checks::all().into_iter().filter(|check| wanted(args, check)).collect();
    ensure!(!checks.is_empty(), "no check has such a name");
    let mut table = Table::new(checks.iter().map(|check| check.name.clone()).collect());
    let mut problems = Vec::new();
    let companion = start_companion(&tools, &haul)?;
    for kind in selected(args) {
        let server = kind.server(Some(haul.clone()));
        if server.missing(&tools).is_some() {
            table.skip(kind, format!("not installed (cargo xtask servers install {kind})"));
            if args.require.contains(&kind) {
                problems.push(format!("{kind} is required and not installed"));
            }
            continue;
        }
        let companion = companion.endpoint();
        match try_server(server.as_ref(), &tools, Common { haul: &haul, companion }, &checks) {
            Ok(outcomes) => table.add(kind, outcomes),
            Err(error) => problems.push(format!("{kind}: {error:#}")),
        }
    }
    print!("{}", table.render());
    problems.extend(table.failures());
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        bail!("interop: {} problem(s)", problems.len());
    }
    Ok(())
}

/// A required server is tried too, whatever else was chosen.
fn selected(args: &Args) -> Vec<Kind> {
    let chosen = |kind: &Kind| args.servers.is_empty() || args.servers.contains(kind);
    let all = Kind::ALL.into_iter();
    all.filter(|kind| chosen(kind) || args.require.contains(kind)).collect()
}

/// The buckets are made by the first check: whatever else is chosen, it runs.
fn wanted(args: &Args, check: &Check) -> bool {
    let pattern = args.only.as_deref();
    check.name == checks::FIRST || pattern.is_none_or(|pattern| check.name.contains(pattern))
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
        let began = Instant::now();
        let outcome = match limit {
            Some(limit) => Outcome::NotApplicable(limit.reason.to_owned()),
            None => check.run(&session),
        };
        let seconds = began.elapsed().as_secs_f64();
        eprintln!("  {:<4} {seconds:5.1} s  {}{}", outcome.word(), check.name, outcome.because());
        outcome
    });
    Ok(outcomes.collect())
}
