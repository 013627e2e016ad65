//! Owns haul's surroundings in a suite: the binary, the server, two buckets, a folder of its own.
//!
//! Must never: let haul see the user's settings, or wait for ever.

use super::told::Told;
use super::tree::Tree;
use crate::files::Folder;
use crate::probe::Probe;
use crate::process::{Captured, capture};
use crate::servers::Endpoint;
use crate::servers::endpoint::isolated;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(3);

/// What `haul stat --json` says, as far as it is checked.
#[derive(Debug, Deserialize)]
pub(super) struct Stat {
    pub(super) size: u64,
    pub(super) content_type: Option<String>,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
}

/// One suite on one server.
#[derive(Debug)]
pub(super) struct Session<'a> {
    haul: &'a Path,
    endpoint: &'a Endpoint,
    /// Another server, for what goes from one to the other.
    companion: &'a Endpoint,
    folder: Folder,
    run: String,
    serial: Cell<u32>,
}

impl<'a> Session<'a> {
    pub(super) fn open(
        haul: &'a Path,
        endpoint: &'a Endpoint,
        companion: &'a Endpoint,
    ) -> Result<Self> {
        let folder = Folder::create(&workspace::scratch(), "interop-files-")?;
        let run = format!("{:08x}", fastrand::u32(..));
        Ok(Self { haul, endpoint, companion, folder, run, serial: Cell::new(0) })
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        self.endpoint
    }

    pub(super) fn companion(&self) -> &Endpoint {
        self.companion
    }

    pub(super) fn probe(&self) -> Probe<'_> {
        Probe::new(self.endpoint)
    }

    pub(super) fn bucket(&self) -> String {
        format!("haul-{}", self.run)
    }

    pub(super) fn other_bucket(&self) -> String {
        format!("haul-{}-other", self.run)
    }

    pub(super) fn uri(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket())
    }

    /// A name no other check has.
    pub(super) fn fresh(&self, name: &str) -> String {
        self.serial.set(self.serial.get() + 1);
        format!("{:03}-{name}", self.serial.get())
    }

    /// A path no other check has; nothing is there.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(self.fresh(name))
    }

    /// A file of that many random bytes, always the same for one size.
    pub(super) fn file(&self, size: usize) -> Result<(PathBuf, Vec<u8>)> {
        let bytes = content(size);
        let path = self.path("source");
        fs::write(&path, &bytes)?;
        Ok((path, bytes))
    }

    /// A folder with these files.
    pub(super) fn folder_of(&self, tree: &Tree) -> Result<PathBuf> {
        let folder = self.path("tree");
        fs::create_dir(&folder)?;
        tree.write(&folder)?;
        Ok(folder)
    }

    /// haul, pointed at this server.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        self.command_for(self.endpoint, arguments)
    }

    /// haul, pointed at any server.
    pub(super) fn command_for(&self, endpoint: &Endpoint, arguments: &[&str]) -> Command {
        let mut command = endpoint.client(self.haul, self.folder.path());
        command.current_dir(self.folder.path()).args(arguments);
        command
    }

    /// A program that knows of no server; haul where none is named.
    pub(super) fn lone_command(&self, program: Option<&str>, arguments: &[&str]) -> Command {
        let haul = self.haul.as_os_str();
        let mut command = isolated(program.map_or(haul, OsStr::new), self.folder.path());
        command.current_dir(self.folder.path()).args(arguments);
        command
    }

    /// Runs a command made here, which must end with this code.
    pub(super) fn ends_with(&self, code: i32, mut command: Command) -> Result<Captured> {
        let done = self.finish(&mut command, None)?;
        let words: Vec<_> = command.get_args().filter_map(OsStr::to_str).collect();
        self.must_exit(&done, code, &words)?;
        Ok(done)
    }

    /// Runs haul, which must succeed, and reads what it says.
    pub(super) fn told(&self, arguments: &[&str]) -> Result<Told> {
        self.told_with(0, arguments)
    }

    /// Runs haul, which must end with this code, and reads what it says.
    pub(super) fn told_with(&self, code: i32, arguments: &[&str]) -> Result<Told> {
        // Without progress the last line on stderr is an error, if there is one.
        let arguments = [arguments, &["--json", "--progress", "none"]].concat();
        let done = self.haul(&arguments)?;
        self.must_exit(&done, code, &arguments)?;
        Told::read(&done.stdout)
    }

    /// Runs haul, however it ends.
    pub(super) fn haul(&self, arguments: &[&str]) -> Result<Captured> {
        self.finish(&mut self.command(arguments), None)
    }

    pub(super) fn finish(&self, command: &mut Command, input: Option<&[u8]>) -> Result<Captured> {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        let shown = format!("haul {}", words.join(" ").replace(&*self.folder_name(), "."));
        capture(command, input, LIMIT).context(shown)
    }

    /// Runs haul, which must succeed.
    pub(super) fn succeed(&self, arguments: &[&str]) -> Result<Captured> {
        let done = self.haul(arguments)?;
        self.must_exit(&done, 0, arguments)?;
        Ok(done)
    }

    /// Runs haul, which must end with this code and say why.
    pub(super) fn fail(&self, code: i32, arguments: &[&str]) -> Result<Captured> {
        let done = self.haul(arguments)?;
        self.must_exit(&done, code, arguments)?;
        ensure!(!done.stderr.trim().is_empty(), "exit {code} without a word on stderr");
        Ok(done)
    }

    pub(super) fn must_exit(&self, done: &Captured, code: i32, arguments: &[&str]) -> Result<()> {
        let shown = arguments.join(" ").replace(&*self.folder_name(), ".");
        let said = done.describe();
        ensure!(done.status.code() == Some(code), "haul {shown}: expected exit {code}, got {said}");
        Ok(())
    }

    fn folder_name(&self) -> String {
        self.folder.path().to_string_lossy().into_owned()
    }

    pub(super) fn stat(&self, uri: &str) -> Result<Stat> {
        let done = self.succeed(&["stat", uri, "--json"])?;
        serde_json::from_slice(&done.stdout)
            .with_context(|| format!("not JSON: {}", String::from_utf8_lossy(&done.stdout).trim()))
    }

    /// The object as another client sees it.
    pub(super) fn stored(&self, bucket: &str, key: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.probe().get(bucket, key)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Random bytes, always the same for one size.
pub(super) fn content(size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(size as u64);
    let mut bytes = vec![0; size];
    random.fill(&mut bytes);
    bytes
}

/// Fails with sizes and the first difference; the bytes themselves tell nobody anything.
pub(super) fn must_match(what: &str, seen: &[u8], expected: &[u8]) -> Result<()> {
    let (is, should) = (seen.len(), expected.len());
    ensure!(is == should, "{what}: {is} bytes instead of {should}");
    let first = seen.iter().zip(expected).position(|(a, b)| a != b);
    ensure!(first.is_none(), "{what}: differs at byte {}", first.unwrap_or(0));
    Ok(())
}

/// "What is in the folder", as an argument.
pub(super) fn contents(folder: &Path) -> String {
    format!("{}/", argument(folder))
}

/// A path as an argument. Those of a suite are plain.
pub(super) fn argument(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{content, must_match};

    #[test]
    fn content_is_the_same_for_one_size() {
        assert_eq!(content(1000), content(1000));
        assert_ne!(content(1001)[..1000], content(1000)[..]);
    }

    #[test]
    fn a_difference_is_named_by_its_place() {
        must_match("x", b"abc", b"abc").unwrap();
        let error = must_match("x", b"abd", b"abc").unwrap_err();
        assert_eq!(error.to_string(), "x: differs at byte 2");
    }
}
