//! Owns MinIO: one drive, built from its Go module.
//!
//! Must never: call home or open a console.

use super::endpoint::{free_port, random_hex};
use super::{Endpoint, Kind, Launch, Limit, Server};
use crate::process::{output_of, run_visibly};
use crate::tools::Tools;
use anyhow::{Context, Result};
use std::fs;
use std::process::Command;

const NO_DOUBLE_SLASH: &str = "MinIO refuses such names (XMinioInvalidObjectName)";

/// MinIO: <https://github.com/minio/minio>
#[derive(Debug)]
pub(crate) struct Minio;

impl Server for Minio {
    fn kind(&self) -> Kind {
        Kind::Minio
    }

    fn missing(&self, tools: &Tools) -> Option<String> {
        tools.find("minio").is_none().then(|| "no minio program".to_owned())
    }

    fn install(&self, tools: &Tools) -> Result<()> {
        let go = tools.find("go").context("Go is not installed: MinIO is built from source")?;
        fs::create_dir_all(tools.bin())?;
        let gobin = fs::canonicalize(tools.bin())?;
        let mut install = Command::new(go);
        install.env("GOBIN", gobin).args(["install", "github.com/minio/minio@latest"]);
        run_visibly(&mut install)
    }

    fn version(&self, tools: &Tools) -> Result<String> {
        // Built from the module it calls itself "DEVELOPMENT": the module's version says more.
        let program = tools.find("minio").context("minio is not installed")?;
        let built_from = tools
            .command("go")
            .and_then(|mut go| output_of(go.args(["version", "-m"]).arg(&program)))
            .unwrap_or_default();
        let module = built_from.lines().map(str::trim).find_map(|line| line.strip_prefix("mod\t"));
        if let Some(version) = module.and_then(|words| words.split_whitespace().nth(1)) {
            return Ok(format!("MinIO {version}"));
        }
        let text = output_of(Command::new(program).arg("--version"))?;
        Ok(format!("MinIO {}", text.split_whitespace().nth(2).unwrap_or("?")))
    }

    fn launch(&self, launch: &mut Launch<'_>) -> Result<Endpoint> {
        let (access, secret) = (format!("haul{}", random_hex(12)?), random_hex(32)?);
        let mut server = launch.command("minio")?;
        server.env("MINIO_ROOT_USER", &access).env("MINIO_ROOT_PASSWORD", &secret);
        server.env("MINIO_BROWSER", "off").env("MINIO_UPDATE", "off");
        server.args(["server", "--quiet", "--address", &format!("127.0.0.1:{}", launch.port())]);
        server.args(["--console-address", &format!("127.0.0.1:{}", free_port()?)]);
        server.arg(launch.data().join("drive"));
        launch.daemon("minio", &mut server)?;
        launch.wait_for_http()?;
        Ok(Endpoint::local(launch.port(), access, secret))
    }

    fn limits(&self) -> &'static [Limit] {
        &[
            Limit { check: "key with double slash", reason: NO_DOUBLE_SLASH },
            Limit { check: "copy of key with double slash", reason: NO_DOUBLE_SLASH },
            Limit {
                check: "tree with keys that no file can have",
                reason: "MinIO keeps keys as paths, and refuses them",
            },
        ]
    }
}
