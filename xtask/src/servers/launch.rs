//! Owns the start of a server: data folder, ports, daemons, and the wait until it answers.
//!
//! Must never: leave a daemon or data behind when a start fails.

use super::{Endpoint, Instance, Kind, Running, Server, endpoint, instance};
use crate::interrupt::OnExit;
use crate::process::ProcessId;
use crate::tools::Tools;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_mins(2);

/// What the caller may choose.
#[derive(Debug, Clone, Default)]
pub(crate) struct StartOptions {
    /// Tells instances of one server apart; the server's own name when absent.
    pub(crate) name: Option<String>,
    /// The folder under which the data folder is made.
    pub(crate) data: Option<PathBuf>,
    pub(crate) port: Option<u16>,
}

/// Starts a server that is stopped when the result goes.
pub(crate) fn start(server: &dyn Server, tools: &Tools, options: &StartOptions) -> Result<Running> {
    let kind = server.kind();
    let name = options.name.clone().unwrap_or_else(|| kind.name().to_owned());
    if let Some(lacking) = server.missing(tools) {
        bail!("{kind} is not installed ({lacking}); run: cargo xtask servers install {kind}");
    }
    fs::create_dir_all(workspace::scratch())?;
    if let Some(left) = Instance::load(&name)? {
        if left.is_alive() {
            bail!("{name} is running already; stop it with: cargo xtask servers stop {kind}");
        }
        left.stop();
    }
    let parent = options.data.clone().unwrap_or_else(workspace::scratch);
    let data = std::path::absolute(parent)?.join(&name);
    let attempt = || {
        let mut launch = Launch::prepare(kind, tools, data.clone(), options.port)?;
        match server.launch(&mut launch) {
            Ok(endpoint) => launch.finish(name.clone(), endpoint),
            Err(error) => Err(error.context(format!("{kind} did not start{}", launch.logs()))),
        }
    };
    // Between the choice of a port and its use somebody else may have taken it.
    attempt().or_else(|error| {
        eprintln!("{error:#}\ntrying once more");
        attempt()
    })
}

/// A server on its way up.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    kind: Kind,
    tools: &'a Tools,
    data: PathBuf,
    port: u16,
    processes: Vec<ProcessId>,
    guards: Vec<OnExit>,
}

impl<'a> Launch<'a> {
    fn prepare(kind: Kind, tools: &'a Tools, data: PathBuf, port: Option<u16>) -> Result<Self> {
        let port = port.map_or_else(endpoint::free_port, Ok)?;
        TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("port {port} is taken"))?;
        let (data, guard) = OnExit::arm(|| {
            instance::create_data(&data)?;
            let copy = data.clone();
            Ok((data, Box::new(move || instance::remove_data(&copy)) as _))
        })?;
        Ok(Self { kind, tools, data, port, processes: Vec::new(), guards: vec![guard] })
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The port of loopback its S3 interface shall listen on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A program of the server that sees nothing of the user's own settings.
    pub(crate) fn command(&self, program: &str) -> Result<Command> {
        let found = self.tools.find(program);
        let found = found.with_context(|| format!("{program} is not installed"))?;
        Ok(endpoint::isolated(found, &self.data))
    }

    /// Starts a program that runs until the server is stopped; its output goes to `NAME.log`.
    pub(crate) fn daemon(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let log = File::create(self.data.join(format!("{name}.log")))?;
        let (process, guard) = OnExit::arm(|| {
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
            let child = command.spawn().with_context(|| format!("could not start {name}"))?;
            let process = ProcessId::of(&child)?;
            let copy = process.clone();
            Ok((process, Box::new(move || copy.terminate()) as _))
        })?;
        self.processes.push(process);
        self.guards.push(guard);
        Ok(())
    }

    /// Waits until `ready` says yes, as long as every daemon lives.
    pub(crate) fn wait_until(&self, what: &str, ready: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !ready() {
            if !self.processes.iter().all(ProcessId::is_alive) {
                bail!("a process ended while waiting for {what}");
            }
            if Instant::now() > deadline {
                bail!("{what} was not there after {} s", READY_WITHIN.as_secs());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until something answers HTTP on the server's port.
    pub(crate) fn wait_for_http(&self) -> Result<()> {
        self.wait_until("an answer to HTTP", || answers_http(self.port))
    }

    fn logs(&self) -> String {
        let entries = fs::read_dir(&self.data).into_iter().flatten().flatten();
        let logs = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "log"));
        let mut text = String::new();
        for path in logs {
            let content = fs::read(&path).unwrap_or_default();
            let content = String::from_utf8_lossy(&content);
            let lines: Vec<_> = content.lines().rev().take(5).collect();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for line in lines.into_iter().rev() {
                let _ = write!(text, "\n  {name}: {line}");
            }
        }
        text
    }

    fn finish(mut self, name: String, endpoint: Endpoint) -> Result<Running> {
        let (data, processes) = (self.data.clone(), std::mem::take(&mut self.processes));
        let instance = Instance { name, kind: self.kind, endpoint, data, processes };
        let running = Running::guard(instance)?;
        self.guards.drain(..).for_each(OnExit::dismiss);
        Ok(running)
    }
}

impl Drop for Launch<'_> {
    fn drop(&mut self) {
        // Daemons first, their data last.
        while let Some(guard) = self.guards.pop() {
            drop(guard);
        }
    }
}

fn answers_http(port: u16) -> bool {
    let exchange = || -> std::io::Result<[u8; 5]> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut start = [0; 5];
        stream.read_exact(&mut start)?;
        Ok(start)
    };
    exchange().is_ok_and(|start| &start == b"HTTP/")
}
