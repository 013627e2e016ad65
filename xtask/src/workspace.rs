//! Owns where things are: the workspace, the scratch folder, the haul binary that cargo builds.
//!
//! Must never: write outside the scratch folder and `docs/`, or assume where cargo puts its output.

use crate::process::Supervised;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where servers, their state and test files live; ignored by git.
pub(crate) fn scratch() -> PathBuf {
    root().join(".haul-servers")
}

/// How haul shall be compiled.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Profile {
    Dev,
    Release,
}

#[derive(Deserialize)]
struct Artifact {
    reason: String,
    executable: Option<PathBuf>,
    target: Option<ArtifactTarget>,
}

#[derive(Deserialize)]
struct ArtifactTarget {
    name: String,
}

/// The haul binary that was named, or else a new one.
pub(crate) fn haul(named: Option<&Path>, profile: Profile) -> Result<PathBuf> {
    match named {
        Some(path) => Ok(std::fs::canonicalize(path)?),
        None => build_haul(profile),
    }
}

/// Builds the haul binary and says where it is.
fn build_haul(profile: Profile) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command.args(["build", "-p", "haul-cli", "--message-format", "json-render-diagnostics"]);
    if matches!(profile, Profile::Release) {
        command.arg("--release");
    }
    eprintln!("building haul ({profile:?})");
    let mut child = Supervised::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let stdout = child.stdout().context("cargo has no stdout")?;
    let mut found = None;
    for line in BufReader::new(stdout).lines() {
        found = executable_in(&line?).or(found);
    }
    if !child.wait()?.success() {
        bail!("haul does not build");
    }
    found.context("cargo named no haul binary")
}

fn executable_in(line: &str) -> Option<PathBuf> {
    let artifact: Artifact = serde_json::from_str(line).ok()?;
    let is_haul = artifact.target.is_some_and(|target| target.name == "haul");
    if artifact.reason == "compiler-artifact" && is_haul { artifact.executable } else { None }
}
