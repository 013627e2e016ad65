//! Owns `haul serve` as a server to test against: always there, nothing to install.
//!
//! Must never: know more of it than its command line and the environment it prints.

use super::{Endpoint, Kind, Launch, Limit, Server, endpoint};
use crate::process::output_of;
use crate::tools::Tools;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// `haul serve DIR`.
#[derive(Debug)]
pub(crate) struct HaulServe {
    pub(crate) haul: Option<PathBuf>,
}

impl HaulServe {
    fn binary(&self) -> Result<&PathBuf> {
        self.haul.as_ref().context("haul is not built")
    }
}

impl Server for HaulServe {
    fn kind(&self) -> Kind {
        Kind::HaulServe
    }

    fn missing(&self, _tools: &Tools) -> Option<String> {
        self.haul.is_none().then(|| "haul is not built".to_owned())
    }

    fn install(&self, _tools: &Tools) -> Result<()> {
        Ok(())
    }

    fn version(&self, _tools: &Tools) -> Result<String> {
        let text = output_of(Command::new(self.binary()?).arg("--version"))?;
        Ok(format!("{} (haul serve)", text.trim()))
    }

    fn launch(&self, launch: &mut Launch<'_>) -> Result<Endpoint> {
        let folder = launch.data().join("folder");
        fs::create_dir(&folder)?;
        let mut server = endpoint::isolated(self.binary()?, launch.data());
        server.arg("serve").arg(&folder);
        server.args(["--listen", &format!("127.0.0.1:{}", launch.port())]);
        launch.daemon("serve", &mut server)?;
        launch.wait_for_http()?;
        let log = launch.data().join("serve.log");
        let printed = || fs::read_to_string(&log).unwrap_or_default();
        launch.wait_until("the credentials in its output", || {
            value_of(&printed(), "AWS_SECRET_ACCESS_KEY").is_some()
        })?;
        let text = printed();
        let read = |name| value_of(&text, name).with_context(|| format!("it printed no {name}"));
        let (access, secret) = (read("AWS_ACCESS_KEY_ID")?, read("AWS_SECRET_ACCESS_KEY")?);
        Ok(Endpoint::local(launch.port(), access, secret))
    }

    fn limits(&self) -> &'static [Limit] {
        &[
            Limit {
                check: "interrupted upload leaves no parts",
                reason: "haul serve cannot list multipart uploads",
            },
            Limit {
                check: "uploads ls and abort after SIGKILL",
                reason: "haul serve cannot list multipart uploads",
            },
            Limit {
                check: "tree with keys that no file can have",
                reason: "haul serve keeps keys as paths, and refuses them",
            },
            Limit {
                check: "key with leading slash",
                reason: "haul serve keeps keys as paths, and refuses this one",
            },
            Limit {
                check: "copy of key with leading slash",
                reason: "haul serve keeps keys as paths, and refuses this one",
            },
            Limit {
                check: "key with double slash",
                reason: "haul serve keeps keys as paths, and refuses this one",
            },
            Limit {
                check: "copy of key with double slash",
                reason: "haul serve keeps keys as paths, and refuses this one",
            },
            Limit {
                check: "tree with a key of almost 1,024 bytes",
                reason: "haul serve names a file of attributes after the key, and refuses long ones",
            },
        ]
    }
}

/// The value of the last `NAME=value` in a text, whatever surrounds it.
fn value_of(text: &str, name: &str) -> Option<String> {
    let assignment = format!("{name}=");
    let (_, after) = text.rsplit_once(assignment.as_str())?;
    // Only a whole line is read: the rest of it may not be written yet.
    let line = after.split_once('\n')?.0;
    let value = line.split_whitespace().next()?.trim_matches(|c| matches!(c, '"' | '\'' | ';'));
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::value_of;

    #[test]
    fn reads_exports_in_any_dress() {
        let text = "  export AWS_ACCESS_KEY_ID=abc AWS_SECRET_ACCESS_KEY='x/y=z'\n";
        assert_eq!(value_of(text, "AWS_ACCESS_KEY_ID").as_deref(), Some("abc"));
        assert_eq!(value_of(text, "AWS_SECRET_ACCESS_KEY").as_deref(), Some("x/y=z"));
        assert_eq!(value_of("AWS_ACCESS_KEY_ID=unfinished", "AWS_ACCESS_KEY_ID"), None);
    }
}
