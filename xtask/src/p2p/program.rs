//! Owns the programs of the iroh project that haul is tried with: their versions, from crates.io, and
//! where they are.
//!
//! Must never: pass one version off as another.

use crate::process::{output_of, run_visibly};
use crate::tools::Tools;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::Command;

/// A program that cargo installs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    features: &'static str,
}

/// Sends and receives: what haul is tried with and measured against.
pub(crate) const SENDME: Program = Program { name: "sendme", version: "0.37.1", features: "" };

/// A relay, of the version of iroh that haul has.
pub(crate) const RELAY: Program =
    Program { name: "iroh-relay", version: "1.4.1", features: "server" };

impl Program {
    /// Where it is, or why it cannot be used.
    pub(crate) fn find(&self, tools: &Tools) -> Result<PathBuf> {
        let (name, expected) = (self.name, self.version);
        let install = format!("cargo xtask servers install {name}");
        let path = tools.find(name).with_context(|| format!("no {name} program ({install})"))?;
        let text = output_of(Command::new(&path).arg("--version"))?;
        let found = version_in(&text);
        ensure!(found == expected, "{name} is {found} instead of {expected} ({install})");
        Ok(path)
    }

    /// Does nothing when it is there.
    pub(crate) fn install(&self, tools: &Tools) -> Result<()> {
        if self.find(tools).is_ok() {
            return Ok(());
        }
        // Built in a folder of its own: it shares nothing with the workspace but the registry.
        let build = tempfile::tempdir()?;
        let mut cargo = Command::new("cargo");
        cargo.current_dir(build.path()).env("CARGO_TARGET_DIR", build.path().join("target"));
        cargo.args(["install", self.name, "--version", self.version, "--locked"]);
        cargo.args(["--features", self.features, "--root"]);
        run_visibly(cargo.arg(tools.root()))
    }
}

/// "sendme 0.37.1"
fn version_in(text: &str) -> &str {
    text.split_whitespace().nth(1).unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn reads_the_version() {
        assert_eq!(version_in("sendme 0.37.1\n"), "0.37.1");
        assert_eq!(version_in(""), "?");
    }
}
