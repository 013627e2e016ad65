//! Owns the clients that are compared, and the exact command line of each for each job.
//!
//! Must never: give one of them a setting that its user would not get by default.

use crate::process::output_of;
use crate::servers::Endpoint;
use crate::tools::Tools;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Upload,
    Download,
    Stdout,
}

impl Job {
    pub(crate) const ALL: [Self; 3] = [Self::Upload, Self::Download, Self::Stdout];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Stdout => "stdout",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Haul,
    /// Downloads as the peers do: without waiting for the disk.
    HaulUnsynced,
    S5cmd,
    Rclone,
    Crt,
}

/// The names that stand in a command line; for the document these are placeholders.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) file: String,
}

impl Places {
    /// What the document shows.
    pub(crate) fn shown() -> Self {
        Self {
            endpoint: "$AWS_ENDPOINT_URL".to_owned(),
            bucket: "bench".to_owned(),
            key: "KEY".to_owned(),
            file: "FILE".to_owned(),
        }
    }

    fn uri(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}

/// A client that is there.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) program: Program,
    path: PathBuf,
    pub(crate) version: String,
}

impl Client {
    /// Every client that is installed; haul when a binary is given.
    pub(crate) fn installed(tools: &Tools, haul: Option<&Path>) -> Result<Vec<Self>> {
        let mut clients = Vec::new();
        if let Some(haul) = haul {
            let version = last_word(&output_of(Command::new(haul).arg("--version"))?);
            for program in [Program::Haul, Program::HaulUnsynced] {
                clients.push(Self { program, path: haul.to_owned(), version: version.clone() });
            }
        }
        if let Some(path) = tools.find_s5cmd() {
            let text = output_of(Command::new(&path).arg("version"))?;
            let version = text.split(['-', '\n']).next().unwrap_or("?").trim_start_matches('v');
            clients.push(Self { program: Program::S5cmd, path, version: version.to_owned() });
        }
        if let Some(path) = tools.find("rclone") {
            let text = output_of(Command::new(&path).arg("version"))?;
            let version = last_word(text.lines().next().unwrap_or("?"));
            clients.push(Self { program: Program::Rclone, path, version });
        }
        clients.extend(crt(tools));
        Ok(clients)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.program {
            Program::Haul => "haul",
            Program::HaulUnsynced => "haul --fsync never",
            Program::S5cmd => "s5cmd",
            Program::Rclone => "rclone",
            Program::Crt => "AWS CRT",
        }
    }

    pub(crate) fn is_peer(&self) -> bool {
        !matches!(self.program, Program::Haul | Program::HaulUnsynced)
    }

    /// Whether it has its own row for this job.
    pub(crate) fn does(&self, job: Job) -> bool {
        self.program != Program::HaulUnsynced || job == Job::Download
    }

    /// The command without the program's own path.
    pub(crate) fn arguments(&self, job: Job, at: &Places) -> Vec<String> {
        let uri = at.uri();
        let (file, remote) = (at.file.as_str(), format!("x:{}/{}", at.bucket, at.key));
        let words: Vec<&str> = match (self.program, job) {
            (Program::Haul | Program::HaulUnsynced, Job::Upload) => vec!["cp", file, &uri],
            (Program::Haul, Job::Download) => vec!["cp", &uri, file],
            (Program::HaulUnsynced, Job::Download) => vec!["cp", "--fsync", "never", &uri, file],
            (Program::Haul | Program::HaulUnsynced, Job::Stdout) => vec!["cat", &uri],
            (Program::S5cmd, Job::Upload) => vec!["--endpoint-url", &at.endpoint, "cp", file, &uri],
            (Program::S5cmd, Job::Download) => {
                vec!["--endpoint-url", &at.endpoint, "cp", &uri, file]
            }
            (Program::S5cmd, Job::Stdout) => vec!["--endpoint-url", &at.endpoint, "cat", &uri],
            (Program::Rclone, Job::Upload) => vec!["copyto", file, &remote],
            (Program::Rclone, Job::Download) => vec!["copyto", &remote, file],
            (Program::Rclone, Job::Stdout) => vec!["cat", &remote],
            (Program::Crt, Job::Upload) => vec!["up", file, &at.bucket, &at.key],
            (Program::Crt, Job::Download) => vec!["down", &at.bucket, &at.key, file],
            (Program::Crt, Job::Stdout) => vec!["cat", &at.bucket, &at.key],
        };
        words.into_iter().map(str::to_owned).collect()
    }

    /// The line the document shows.
    pub(crate) fn shown(&self, job: Job) -> String {
        let program = match self.program {
            Program::Haul | Program::HaulUnsynced => "haul",
            Program::S5cmd => "s5cmd",
            Program::Rclone => "rclone",
            Program::Crt => "python xtask/crt_client.py",
        };
        let arguments = self.arguments(job, &Places::shown()).join(" ");
        let sink = if job == Job::Stdout { " | reader" } else { "" };
        format!("{program} {arguments}{sink}")
    }

    pub(crate) fn command(&self, job: Job, at: &Places, to: &Endpoint, home: &Path) -> Command {
        let mut command = self.bare_command(to, home);
        command.args(self.arguments(job, at));
        command
    }

    /// A run that moves nothing: what the interpreter costs. Only the CRT has one.
    pub(crate) fn idle_command(&self, to: &Endpoint, home: &Path) -> Option<Command> {
        let mut command = self.bare_command(to, home);
        command.arg("idle");
        (self.program == Program::Crt).then_some(command)
    }

    pub(super) fn bare_command(&self, to: &Endpoint, home: &Path) -> Command {
        let mut command = to.client(&self.path, home);
        match self.program {
            Program::Crt => {
                command.arg(crate::workspace::root().join("xtask/crt_client.py"));
            }
            Program::Rclone => {
                command.envs(rclone_remote(to));
            }
            Program::Haul | Program::HaulUnsynced | Program::S5cmd => {}
        }
        command
    }
}

fn rclone_remote(to: &Endpoint) -> [(&'static str, &str); 7] {
    [
        ("RCLONE_CONFIG_X_TYPE", "s3"),
        ("RCLONE_CONFIG_X_PROVIDER", "Other"),
        ("RCLONE_CONFIG_X_ENDPOINT", &to.url),
        ("RCLONE_CONFIG_X_REGION", &to.region),
        ("RCLONE_CONFIG_X_ACCESS_KEY_ID", &to.access_key),
        ("RCLONE_CONFIG_X_SECRET_ACCESS_KEY", &to.secret_key),
        ("RCLONE_CONFIG_X_FORCE_PATH_STYLE", "true"),
    ]
}

fn crt(tools: &Tools) -> Option<Client> {
    let path = tools.python()?;
    let mut ask = Command::new(&path);
    // A Python without the package is a client that is not installed.
    let version = output_of(ask.args(["-c", "import awscrt; print(awscrt.__version__)"])).ok()?;
    Some(Client { program: Program::Crt, path, version: version.trim().to_owned() })
}

fn last_word(text: &str) -> String {
    text.split_whitespace().last().unwrap_or("?").trim_start_matches('v').to_owned()
}
