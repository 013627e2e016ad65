//! Owns the checks of transfers between two servers, each with its own address and keys.
//!
//! Must never: give haul keys in a way that serves both ends by accident.

use super::session::{Session, contents};
use super::tree::Tree;
use crate::probe::Probe;
use crate::servers::Endpoint;
use anyhow::{Result, ensure};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The profiles of both servers: address and region in one file, keys in the other.
struct Profiles {
    config: PathBuf,
    credentials: PathBuf,
}

impl Profiles {
    fn write(session: &Session<'_>, with_addresses: bool) -> Result<Self> {
        let (mut config, mut credentials) = (String::new(), String::new());
        for (name, endpoint) in [("here", session.endpoint()), ("there", session.companion())] {
            let Endpoint { url, access_key, secret_key, region } = endpoint;
            let _ = write!(config, "[profile {name}]\nregion = {region}\n");
            if with_addresses {
                let _ = writeln!(config, "endpoint_url = {url}");
            }
            let _ = write!(
                credentials,
                "[{name}]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"
            );
        }
        let files = Self { config: session.path("config"), credentials: session.path("keys") };
        fs::write(&files.config, config)?;
        fs::write(&files.credentials, credentials)?;
        Ok(files)
    }

    fn command(&self, session: &Session<'_>, arguments: &[&str]) -> Command {
        let mut command = session.lone_command(None, arguments);
        command.env("AWS_CONFIG_FILE", &self.config);
        command.env("AWS_SHARED_CREDENTIALS_FILE", &self.credentials);
        command
    }
}

/// There and back, with profiles that hold the addresses, and with addresses as flags.
pub(super) fn there_and_back(session: &Session<'_>) -> Result<()> {
    let tree = Tree::mixed();
    let (folder, first) = (session.folder_of(&tree)?, session.fresh("here"));
    session.succeed(&["cp", "-r", &contents(&folder), &session.uri(&first)])?;
    let (bucket, other) = (session.bucket(), session.fresh("there"));
    let companion = Probe::new(session.companion());
    companion.create_bucket(&bucket)?;
    let (from, to) = (session.uri(&format!("{first}/")), session.uri(&other));
    let whole = Profiles::write(session, true)?;
    let flags = ["--source-profile", "here", "--dest-profile", "there"];
    let arguments = [&["cp", "-r", &from, &to], &flags[..]].concat();
    session.ends_with(0, whole.command(session, &arguments))?;
    let listed = companion.list(&bucket, &format!("{other}/"))?.len();
    ensure!(listed == tree.len(), "{listed} objects arrived of {}", tree.len());
    // The same bucket name on both: what came back must come from there.
    let (from, back) = (session.uri(&format!("{other}/")), session.fresh("back"));
    let to = session.uri(&back);
    let keys = Profiles::write(session, false)?;
    let flags = [
        ["--source-profile", "there", "--source-endpoint-url", &session.companion().url],
        ["--dest-profile", "here", "--dest-endpoint-url", &session.endpoint().url],
    ];
    let arguments = [&["cp", "-r", &from, &to], flags.as_flattened()].concat();
    session.ends_with(0, keys.command(session, &arguments))?;
    tree.must_be_stored(session, &bucket, &back)?;
    let arguments = [&["check", &from, &to], flags.as_flattened()].concat();
    session.ends_with(0, keys.command(session, &arguments)).map(drop)
}
