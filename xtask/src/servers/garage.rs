//! Owns Garage: one node, from crates.io.
//!
//! Must never: share a cluster with anything; every start is a new one.

use super::endpoint::{REGION, free_port, random_hex};
use super::{Endpoint, Kind, Launch, Limit, Server};
use crate::process::{output_of, run_visibly};
use crate::tools::Tools;
use anyhow::{Context, Result};
use std::fs;
use std::process::Command;

/// Garage: <https://garagehq.deuxfleurs.fr>
#[derive(Debug)]
pub(crate) struct Garage;

impl Server for Garage {
    fn kind(&self) -> Kind {
        Kind::Garage
    }

    fn missing(&self, tools: &Tools) -> Option<String> {
        tools.find("garage").is_none().then(|| "no garage program".to_owned())
    }

    fn install(&self, tools: &Tools) -> Result<()> {
        // Built in a folder of its own: it shares nothing with the workspace but the registry.
        let build = tempfile::tempdir()?;
        let mut cargo = Command::new("cargo");
        cargo.current_dir(build.path()).env("CARGO_TARGET_DIR", build.path().join("target"));
        cargo.args(["install", "garage", "--locked", "--no-default-features"]);
        cargo.args(["--features", "bundled-libs,sqlite", "--root"]).arg(tools.root());
        run_visibly(&mut cargo)
    }

    fn version(&self, tools: &Tools) -> Result<String> {
        let text = output_of(tools.command("garage")?.arg("--version"))?;
        let version = text.split_whitespace().nth(1).unwrap_or("?").trim_start_matches("cargo:");
        Ok(format!("Garage {version}"))
    }

    fn launch(&self, launch: &mut Launch<'_>) -> Result<Endpoint> {
        let config = launch.data().join("garage.toml");
        fs::write(&config, configuration(launch)?)?;
        let garage = |arguments: &[&str]| -> Result<Command> {
            let mut command = launch.command("garage")?;
            command.env("GARAGE_CONFIG_FILE", &config).args(arguments);
            Ok(command)
        };
        let mut server = garage(&["server"])?;
        let node_command = garage(&["node", "id", "--quiet"])?;
        let base = garage(&[])?;
        launch.daemon("garage", server.env("RUST_LOG", "garage=warn"))?;
        launch.wait_for_http()?;
        let administer = |arguments: &[&str]| output_of(again(&base).args(arguments));

        let node = output_of(&mut again(&node_command))?;
        let node = node.trim().split('@').next().context("Garage has no node id")?;
        // A weight, not a quota: the disk may be smaller.
        administer(&["layout", "assign", "--zone", "local", "--capacity", "100GB", node])?;
        administer(&["layout", "apply", "--version", "1"])?;
        let (access, secret) = (format!("GK{}", random_hex(24)?), random_hex(64)?);
        administer(&["key", "import", "--yes", "-n", "haul", &access, &secret])?;
        administer(&["key", "allow", "--create-bucket", &access])?;
        Ok(Endpoint::local(launch.port(), access, secret))
    }

    fn limits(&self) -> &'static [Limit] {
        &[Limit {
            check: "copy of key with leading slash",
            reason: "Garage drops a key's leading slashes, but not those of a copy's source",
        }]
    }
}

/// The same program, environment and first arguments once more: `Command` cannot be cloned.
fn again(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    copy.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    copy
}

/// Everything on loopback, no flush per write, no compression: a benchmark's bytes are random.
fn configuration(launch: &Launch<'_>) -> Result<String> {
    let data = launch.data().display();
    Ok(format!(
        r#"metadata_dir = "{data}/meta"
data_dir = "{data}/blocks"
db_engine = "sqlite"
metadata_fsync = false
data_fsync = false
compression_level = "none"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"

[s3_api]
s3_region = "{REGION}"
api_bind_addr = "127.0.0.1:{port}"
"#,
        rpc = free_port()?,
        secret = random_hex(64)?,
        port = launch.port(),
    ))
}
