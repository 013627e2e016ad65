//! Owns how a client reaches a server: address, key, region, and the environment that carries them.
//!
//! Must never: hold anything but throw-away credentials of a server on loopback.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// The region every server is told to be in.
pub(crate) const REGION: &str = "us-east-1";

/// How a client reaches a server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) region: String,
}

impl Endpoint {
    /// On loopback, in the usual region.
    pub(crate) fn local(port: u16, access_key: String, secret_key: String) -> Self {
        let url = format!("http://127.0.0.1:{port}");
        Self { url, access_key, secret_key, region: REGION.to_owned() }
    }

    /// "127.0.0.1:3900"
    pub(crate) fn authority(&self) -> &str {
        self.url.strip_prefix("http://").unwrap_or(&self.url).trim_end_matches('/')
    }

    pub(crate) fn variables(&self) -> [(&'static str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL", &self.url),
            ("AWS_ACCESS_KEY_ID", &self.access_key),
            ("AWS_SECRET_ACCESS_KEY", &self.secret_key),
            ("AWS_REGION", &self.region),
        ]
    }

    /// The line to paste into a shell.
    pub(crate) fn exports(&self) -> String {
        let pairs = self.variables().map(|(name, value)| format!("{name}={value}"));
        format!("export {}", pairs.join(" "))
    }

    /// A client that sees this server and nothing of the user's own settings.
    pub(crate) fn client(&self, program: impl AsRef<OsStr>, home: &Path) -> Command {
        let mut command = isolated(program, home);
        command.envs(self.variables());
        command
    }
}

/// A command without the caller's credentials, profiles, proxies or configuration files.
pub(crate) fn isolated(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).env("LC_ALL", "C.UTF-8");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// A port of loopback that nobody listens on now.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on loopback")?;
    Ok(listener.local_addr()?.port())
}

/// Hex digits for throw-away keys.
pub(crate) fn random_hex(digits: usize) -> Result<String> {
    let mut bytes = vec![0; digits];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| char::from(b"0123456789abcdef"[usize::from(byte % 16)])).collect())
}
