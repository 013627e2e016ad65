//! Owns sendme, the program of the iroh project: its version, from crates.io, and where it is.
//!
//! Must never: pass one version off as another.

use crate::process::{output_of, run_visibly};
use crate::tools::Tools;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::Command;

/// What haul is tried with and measured against.
pub(crate) const VERSION: &str = "0.37.1";
const INSTALL: &str = "cargo xtask servers install sendme";

/// Where it is, or why it cannot be used.
pub(crate) fn find(tools: &Tools) -> Result<PathBuf> {
    let path = tools.find("sendme");
    let path = path.with_context(|| format!("no sendme program ({INSTALL})"))?;
    let text = output_of(Command::new(&path).arg("--version"))?;
    let found = version_in(&text);
    ensure!(found == VERSION, "sendme is {found} instead of {VERSION} ({INSTALL})");
    Ok(path)
}

/// "sendme 0.37.1"
fn version_in(text: &str) -> &str {
    text.split_whitespace().nth(1).unwrap_or("?")
}

/// Does nothing when it is there.
pub(crate) fn install(tools: &Tools) -> Result<()> {
    if find(tools).is_ok() {
        return Ok(());
    }
    // Built in a folder of its own: it shares nothing with the workspace but the registry.
    let build = tempfile::tempdir()?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(build.path()).env("CARGO_TARGET_DIR", build.path().join("target"));
    cargo.args(["install", "sendme", "--version", VERSION, "--locked", "--root"]);
    run_visibly(cargo.arg(tools.root()))
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
