//! Owns moto: AWS's services mocked in Python, in memory.
//!
//! Must never: be taken for a server that checks credentials; it does not.

use super::endpoint::random_hex;
use super::{Endpoint, Kind, Launch, Limit, Server, peers};
use crate::process::output_of;
use crate::tools::Tools;
use anyhow::Result;
use std::process::Command;

/// moto: <https://github.com/getmoto/moto>
#[derive(Debug)]
pub(crate) struct Moto;

impl Server for Moto {
    fn kind(&self) -> Kind {
        Kind::Moto
    }

    fn missing(&self, tools: &Tools) -> Option<String> {
        // Asked, not only looked for: version managers put stand-ins into PATH that end in an error.
        let asked = tools.command("moto_server").and_then(|mut it| output_of(it.arg("--help")));
        asked.is_err().then(|| "no moto_server program that works".to_owned())
    }

    fn install(&self, tools: &Tools) -> Result<()> {
        peers::pip_install(tools, &["moto[server]"])
    }

    fn version(&self, tools: &Tools) -> Result<String> {
        // It does not say by itself; its package does, of the tools directory or of the system.
        let ask = ["-c", "import importlib.metadata as m; print(m.version('moto'))"];
        let python = tools.python().or_else(|| tools.find("python3"));
        let told = python.and_then(|python| output_of(Command::new(python).args(ask)).ok());
        Ok(format!("moto {}", told.unwrap_or_default()).trim().to_owned())
    }

    fn launch(&self, launch: &mut Launch<'_>) -> Result<Endpoint> {
        let mut server = launch.command("moto_server")?;
        server.args(["-H", "127.0.0.1", "-p", &launch.port().to_string()]);
        launch.daemon("moto", &mut server)?;
        launch.wait_for_http()?;
        Ok(Endpoint::local(launch.port(), "haul".to_owned(), random_hex(32)?))
    }

    fn limits(&self) -> &'static [Limit] {
        &[
            Limit { check: "wrong credentials", reason: "moto accepts every key" },
            Limit { check: "presign: a link is for one thing", reason: "moto checks no signature" },
            Limit {
                check: "tree with control characters",
                reason: "moto's routes end at a line break in a key",
            },
        ]
    }
}
