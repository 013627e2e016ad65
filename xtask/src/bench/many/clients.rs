//! Owns the clients of this benchmark, and the exact command line of each for each work.
//!
//! Must never: give a client a setting that its row does not name.

use super::super::clients::{Client, Program};
use super::super::report::ClientFacts;
use super::tasks::Work;
use crate::servers::Endpoint;
use crate::tools::Tools;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// What haul has in flight at its defaults: peers are measured with as many, too.
const EQUAL: &str = "4";

/// A client with certain flags.
#[derive(Debug)]
pub(super) struct Runner {
    client: Client,
    flags: Vec<&'static str>,
}

/// The names that stand in a command line; for the document these are placeholders.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) endpoint: String,
    pub(super) bucket: String,
    pub(super) prefix: String,
    pub(super) folder: String,
}

impl Runner {
    /// Every client that is installed: at its defaults, and with haul's number of requests.
    pub(super) fn installed(tools: &Tools, haul: &Path) -> Result<Vec<Self>> {
        let mut runners = Vec::new();
        for client in Client::installed(tools, Some(haul))? {
            let variants: &[&[&'static str]] = match client.program {
                Program::Haul => &[&[], &["-c", "16"]],
                Program::HaulUnsynced => &[&["--fsync", "never"]],
                Program::S5cmd => &[&[], &["--numworkers", EQUAL]],
                Program::Rclone => &[&[], &["--transfers", EQUAL, "--checkers", EQUAL]],
                // It has no command for trees.
                Program::Crt => &[],
            };
            let with =
                |flags: &&[&'static str]| Self { client: client.clone(), flags: flags.to_vec() };
            runners.extend(variants.iter().map(with));
        }
        Ok(runners)
    }

    fn program_name(&self) -> &'static str {
        match self.client.program {
            Program::Haul | Program::HaulUnsynced => "haul",
            Program::S5cmd => "s5cmd",
            Program::Rclone => "rclone",
            Program::Crt => "crt",
        }
    }

    /// The program and its flags.
    pub(super) fn name(&self) -> String {
        [&[self.program_name()], self.flags.as_slice()].concat().join(" ")
    }

    /// Those that agree on when two trees are the same.
    pub(super) fn family(&self) -> &'static str {
        self.program_name()
    }

    /// Whether its flags mean anything for this work.
    pub(super) fn does(&self, work: Work) -> bool {
        match (self.client.program, work) {
            (Program::HaulUnsynced, _) => work == Work::Download,
            (Program::Haul, Work::List) => self.flags.is_empty(),
            _ => true,
        }
    }

    fn arguments(&self, work: Work, at: &Places) -> Vec<String> {
        let uri = format!("s3://{}/{}", at.bucket, at.prefix);
        let remote = format!("x:{}/{}", at.bucket, at.prefix);
        let (below, all) = (format!("{uri}/"), format!("{uri}/*"));
        let (folder, inside) = (at.folder.as_str(), format!("{}/", at.folder));
        let haul = matches!(self.client.program, Program::Haul | Program::HaulUnsynced);
        let s5cmd = self.client.program == Program::S5cmd;
        let verb: &[&str] = match work {
            Work::Upload | Work::Download if haul => &["cp", "-r"],
            Work::Upload | Work::Download if s5cmd => &["cp"],
            Work::Upload | Work::Download => &["copy"],
            Work::Sync => &["sync"],
            Work::List if haul => &["ls", "-r"],
            Work::List => &["ls"],
        };
        let places: Vec<&str> = match work {
            Work::Upload | Work::Sync if haul || s5cmd => vec![&inside, &below],
            Work::Upload | Work::Sync => vec![folder, &remote],
            Work::Download if haul => vec![&below, folder],
            Work::Download if s5cmd => vec![&all, &inside],
            Work::Download => vec![&remote, folder],
            Work::List if haul => vec![&below],
            Work::List if s5cmd => vec![&all],
            Work::List => vec![&remote],
        };
        let words = if s5cmd {
            let before =
                [&["--endpoint-url", at.endpoint.as_str()], self.flags.as_slice()].concat();
            [before.as_slice(), verb, &places].concat()
        } else {
            [verb, &self.flags, &places].concat()
        };
        words.into_iter().map(str::to_owned).collect()
    }

    pub(super) fn command(&self, work: Work, at: &Places, to: &Endpoint, home: &Path) -> Command {
        let mut command = self.client.bare_command(to, home);
        command.args(self.arguments(work, at));
        command
    }

    pub(super) fn facts(&self, works: &[Work]) -> ClientFacts {
        let shown = Places {
            endpoint: "$AWS_ENDPOINT_URL".to_owned(),
            bucket: "bench".to_owned(),
            prefix: "PREFIX".to_owned(),
            folder: "FOLDER".to_owned(),
        };
        let line = |work: &Work| {
            let arguments = self.arguments(*work, &shown).join(" ");
            (work.name().to_owned(), format!("{} {arguments}", self.program_name()))
        };
        ClientFacts {
            name: self.name(),
            version: self.client.version.clone(),
            peer: self.client.is_peer(),
            commands: works.iter().filter(|work| self.does(**work)).map(line).collect(),
        }
    }
}
