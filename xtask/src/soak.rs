//! Owns `cargo xtask soak`: the reference model of the verbs, for as many steps as one has time for.
//!
//! Must never: know what a step is. That is the business of the test `model` of the crate `haul`.

use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Steps in all
    #[arg(long, default_value_t = 200_000)]
    steps: u64,
    /// Histories from so many seeds
    #[arg(long, default_value_t = 50)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Compile with optimisations: worth it from some 100,000 steps on
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace::root()).args(["test", "--workspace", "--test", "model"]);
    if args.release {
        command.arg("--release");
    }
    command.args(["--", "--nocapture"]);
    command.env("HAUL_MODEL_STEPS", args.steps.to_string());
    command.env("HAUL_MODEL_SEEDS", args.seeds.to_string());
    command.env("HAUL_MODEL_SEED", args.seed.to_string());
    let status = command.status().context("cargo cannot be started")?;
    ensure!(status.success(), "a difference was found: its seed and its steps are above");
    Ok(())
}
