//! Owns one started server: what it is made of, its state file, and how it ends.
//!
//! Must never: remove a folder it did not make, or signal a process it did not start.

use super::{Endpoint, Kind};
use crate::interrupt::OnExit;
use crate::process::ProcessId;
use crate::workspace;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Present in every data folder made here; only such a folder is ever removed.
const MARKER: &str = ".haul-server-data";

/// A started server, as the state file holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) endpoint: Endpoint,
    pub(crate) data: PathBuf,
    pub(crate) processes: Vec<ProcessId>,
}

impl Instance {
    pub(crate) fn load(name: &str) -> Result<Option<Self>> {
        let path = state_file(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).context("damaged state file")?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
        }
    }

    /// Every instance that has a state file, in the order of their names.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let Ok(entries) = fs::read_dir(workspace::scratch()) else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".state.json").map(str::to_owned));
        }
        names.sort();
        names.iter().filter_map(|name| Self::load(name).transpose()).collect()
    }

    pub(crate) fn save(&self) -> Result<()> {
        fs::write(state_file(&self.name), serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.processes.is_empty() && self.processes.iter().all(ProcessId::is_alive)
    }

    /// Ends its processes, the last started first, and removes its data and state.
    pub(crate) fn stop(&self) {
        for process in self.processes.iter().rev() {
            process.terminate();
        }
        remove_data(&self.data);
        let _absent = fs::remove_file(state_file(&self.name));
    }
}

fn state_file(name: &str) -> PathBuf {
    workspace::scratch().join(format!("{name}.state.json"))
}

/// Makes an empty data folder; one left by an earlier run is replaced.
pub(crate) fn create_data(data: &Path) -> Result<()> {
    if data.exists() {
        if !data.join(MARKER).exists() {
            bail!("{} exists and was not made by this tool", data.display());
        }
        remove_data(data);
    }
    fs::create_dir_all(data).with_context(|| format!("could not create {}", data.display()))?;
    fs::write(data.join(MARKER), "cargo xtask servers: removed when the server is stopped\n")?;
    Ok(())
}

pub(crate) fn remove_data(data: &Path) {
    if data.join(MARKER).exists()
        && let Err(error) = fs::remove_dir_all(data)
    {
        eprintln!("could not remove {}: {error}", data.display());
    }
}

/// A server that is stopped when this value goes.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) instance: Instance,
    guard: OnExit,
}

impl Running {
    pub(crate) fn guard(instance: Instance) -> Result<Self> {
        let (instance, guard) = OnExit::arm(|| {
            instance.save()?;
            let copy = instance.clone();
            Ok((instance, Box::new(move || copy.stop()) as _))
        })?;
        Ok(Self { instance, guard })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.instance.endpoint
    }

    /// Lets it run on after this process.
    pub(crate) fn keep(self) -> Instance {
        self.guard.dismiss();
        self.instance
    }
}
