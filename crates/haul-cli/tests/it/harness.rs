//! A store, a folder and the binary between them.
//!
//! Owns: the clean environment, what a run left on the streams and on the disk, and the guard that
//! turns a hang into a failure.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use haul_testkit::{StoreRules, TestServer};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

pub(crate) const BUCKET: &str = "bucket";
pub(crate) const MIB: usize = 1 << 20;

/// After this long a run hangs, and its test fails. No test depends on its value.
const HANGS: Duration = Duration::from_mins(1);

/// A store with one bucket, and a folder to work in.
pub(crate) struct World {
    pub(crate) server: TestServer,
    dir: TempDir,
    pub(crate) home: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(StoreRules::default()).await
    }

    pub(crate) async fn with(rules: StoreRules) -> Self {
        let server = TestServer::with_rules(rules).await.unwrap();
        server.store().create_bucket(BUCKET);
        let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Self { server, dir, home }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) -> String {
        self.server.store().put(BUCKET, key, bytes.into())
    }

    /// The bytes of an object.
    pub(crate) fn stored(&self, key: &str) -> Vec<u8> {
        let object = self.server.store().object(BUCKET, key);
        object.unwrap_or_else(|| panic!("no object {key:?}")).bytes().to_vec()
    }

    /// `haul ARGS`, in the folder, with the store's address and keys and nothing else.
    pub(crate) fn haul<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Run {
        self.program(env!("CARGO_BIN_EXE_haul"), args)
    }

    /// Another program, say a shell that runs `$HAUL`, in the same environment.
    pub(crate) fn program<A: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Run {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("HAUL", env!("CARGO_BIN_EXE_haul"))
            .env("AWS_ENDPOINT_URL", self.server.endpoint_url())
            .env("AWS_ACCESS_KEY_ID", self.server.access_key())
            .env("AWS_SECRET_ACCESS_KEY", self.server.secret_key())
            .env("AWS_REGION", self.server.region())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Run { command, input: None }
    }

    /// Everything below the folder.
    pub(crate) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        look(self.dir.path(), self.dir.path(), &mut tree);
        tree
    }

    /// Nothing half-done is left, here or in the store.
    pub(crate) fn assert_clean(&self) {
        let left: Vec<_> = self.tree().into_keys().filter(|p| p.contains(".haul")).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        let uploads = self.server.store().uploads(BUCKET);
        assert!(uploads.is_empty(), "left behind in the store: {uploads:?}");
    }

    /// Runs, and expects a failure with this code and this one line that changes nothing.
    pub(crate) async fn refuses<const N: usize>(&self, args: [&str; N], code: i32, line: &str) {
        let (tree, keys) = (self.tree(), self.server.store().keys(BUCKET));
        let done = self.haul(args).run().await;
        done.failed(code, line);
        assert!(self.tree() == tree, "{args:?} changed the folder: {:?}", self.tree().keys());
        assert_eq!(self.server.store().keys(BUCKET), keys, "{args:?} changed the store");
        self.assert_clean();
    }
}

/// What is below a folder: mode and content (of a link: its target) by path.
pub(crate) type Tree = BTreeMap<String, (u32, Vec<u8>)>;

fn look(root: &Path, folder: &Path, tree: &mut Tree) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let content = if meta.is_symlink() {
            std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else if meta.is_file() {
            std::fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        tree.insert(name, (meta.mode(), content));
        if meta.is_dir() {
            look(root, &path, tree);
        }
    }
}

/// A run that has not begun.
pub(crate) struct Run {
    command: Command,
    input: Option<Vec<u8>>,
}

impl Run {
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Bytes for standard input, which ends after them.
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.command.stdin(Stdio::piped());
        self.input = Some(bytes.into());
        self
    }

    /// Standard input that never brings a byte and never ends while the run is alive.
    pub(crate) fn open_input(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Standard output to something else than the test.
    pub(crate) fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stdout(to);
        self
    }

    /// Standard error to something else than the test.
    pub(crate) fn stderr(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stderr(to);
        self
    }

    pub(crate) fn uid(mut self, uid: u32) -> Self {
        self.command.uid(uid);
        self
    }

    pub(crate) fn spawn(self) -> Running {
        let mut running = self.start();
        running.out = collect(running.child.stdout.take());
        running.err = collect(running.child.stderr.take());
        running
    }

    /// The same, with stderr left to the test.
    pub(crate) fn spawn_watched(self) -> Running {
        let mut running = self.start();
        running.out = collect(running.child.stdout.take());
        running
    }

    /// The same, with stdout left to the test, which need not read it.
    pub(crate) fn spawn_unread(self) -> Running {
        let mut running = self.start();
        running.err = collect(running.child.stderr.take());
        running
    }

    /// The same, with both streams left to the test, which reads as much of them as it needs.
    pub(crate) fn spawn_open(self) -> Running {
        self.start()
    }

    fn start(mut self) -> Running {
        hear_signals();
        let mut child = self.command.spawn().unwrap();
        if let Some(bytes) = self.input {
            let mut stdin = child.stdin.take().unwrap();
            // A run that stops reading early has its reasons, and its own assertions.
            tokio::spawn(async move { drop(stdin.write_all(&bytes).await) });
        }
        let args = format!("{:?}", self.command.as_std());
        Running { child, out: nothing(), err: nothing(), args }
    }

    pub(crate) async fn run(self) -> Done {
        self.spawn().end().await
    }
}

/// Children begin with the usual meaning of signals, also where the tests were started with some of them
/// ignored, as `nohup` does and a shell for what runs in the background: what is caught here is reset in
/// whatever is started. Where nothing is ignored, nothing is caught.
fn hear_signals() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = ignored.map_or(0, |bits| u64::from_str_radix(bits.trim(), 16).unwrap());
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            if ignored >> (kind.as_raw_value() - 1) & 1 == 1 {
                drop(signal(kind).unwrap()); // the handler stays
            }
        }
    });
}

/// Reads a stream to its end, from now on: a full pipe must not hold up the run.
fn collect<S: AsyncRead + Send + Unpin + 'static>(stream: Option<S>) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut all = Vec::new();
        if let Some(mut stream) = stream {
            stream.read_to_end(&mut all).await.unwrap();
        }
        all
    })
}

fn nothing() -> JoinHandle<Vec<u8>> {
    tokio::spawn(async { Vec::new() })
}

/// A run under way.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// What comes on standard output, or what is left of it.
    pub(crate) out: JoinHandle<Vec<u8>>,
    pub(crate) err: JoinHandle<Vec<u8>>,
    args: String,
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) async fn end(self) -> Done {
        let Self { mut child, out, err, args } = self;
        let held_open = child.stdin.take(); // `wait` would close it
        let status = within(&args, child.wait()).await.unwrap();
        drop(held_open);
        // As a shell would put it.
        let code = status.code().or_else(|| status.signal().map(|s| 128 + s));
        Done {
            args,
            code: code.unwrap(),
            signalled: status.signal(),
            bytes: out.await.unwrap(),
            err: String::from_utf8(err.await.unwrap()).unwrap(),
        }
    }
}

/// Waits for something that must happen.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let guarded = tokio::time::timeout(HANGS, future).await;
    guarded.unwrap_or_else(|_| panic!("it hangs: {what}"))
}

/// What a run did.
pub(crate) struct Done {
    args: String,
    pub(crate) code: i32,
    pub(crate) signalled: Option<i32>,
    /// Standard output.
    pub(crate) bytes: Vec<u8>,
    /// Standard error.
    pub(crate) err: String,
}

impl Done {
    /// Standard output as text.
    pub(crate) fn out(&self) -> &str {
        str::from_utf8(&self.bytes).unwrap()
    }

    /// It succeeded.
    #[track_caller]
    pub(crate) fn ok(&self) -> &Self {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    /// Standard output as JSON, one value a line.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}: {self}"))
        };
        self.out().lines().map(parse).collect()
    }

    /// It ended with this code.
    #[track_caller]
    pub(crate) fn ended(&self, code: i32) -> &Self {
        assert_eq!((self.code, self.signalled), (code, None), "{self}");
        self
    }

    /// It succeeded and said nothing beside its results.
    #[track_caller]
    pub(crate) fn quiet(&self) -> &Self {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{self}");
        self
    }

    /// It failed with this code, and stderr is this one line after `haul: `. A `*` in the line
    /// stands for anything.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, line: &str) -> &Self {
        assert_eq!(self.code, code, "{self}");
        assert_eq!(self.signalled, None, "{self}");
        let lines: Vec<_> = self.err.lines().collect();
        assert_eq!(lines.len(), 1, "not one line: {self}");
        let said = lines[0].strip_prefix("haul: ");
        let said = said.unwrap_or_else(|| panic!("no `haul: ` in front: {self}"));
        assert!(matches(line, said), "expected {line:?}: {self}");
        self
    }

    /// A signal ended it, in the way that haul chose: it said so at once, and perhaps how it ended.
    #[track_caller]
    pub(crate) fn stopped(&self, code: i32) -> &Self {
        assert_eq!((self.code, self.signalled), (code, None), "{self}");
        let mut lines = self.err.lines();
        let first = "haul: interrupted, cleaning up (once more to quit at once)";
        assert_eq!(lines.next(), Some(first), "{self}");
        let rest: Vec<_> = lines.collect();
        assert!(rest.len() <= 1 && rest.iter().all(|l| l.starts_with("haul: stopped")), "{self}");
        self
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let cuts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            cuts.into_iter().any(|at| matches(rest, &text[at..]))
        }),
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let out = String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(2000)]);
        let Self { args, code, err, .. } = self;
        write!(f, "{args}\nexit {code}\nstdout ({} bytes): {out}\nstderr: {err}", self.bytes.len())
    }
}
