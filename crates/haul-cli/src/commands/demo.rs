//! `haul demo`: a tour with real bytes.
//!
//! Starts a store in a temporary folder, moves a file through every direction, compares hashes, and
//! prints what it took. Nothing stays behind.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use haul::{AccessKey, CopyRequest, Haul, Location, Options, S3Options};
use haul_serve::Credentials;
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use crate::args::{Common, DemoArgs};
use crate::config::SETTINGS;
use crate::exit::Exit;
use crate::session::Session;
use crate::size::human;
use crate::{output, render, signals};

struct Step {
    name: &'static str,
    bytes: u64,
    elapsed: Duration,
}

pub(crate) async fn run(args: DemoArgs, session: &Session) -> anyhow::Result<Exit> {
    let folder = tempfile::Builder::new()
        .prefix("haul-demo-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    let toured = tokio::select! {
        toured = tour(args, folder.path(), session) => toured,
        terminated = signals::stop_signal() => {
            let code = if terminated { Exit::Terminated } else { Exit::Interrupted };
            folder.close().context("cannot clean up")?;
            return Ok(code);
        }
    };
    folder.close().context("cannot clean up")?;
    print(&toured?, &session.common)?;
    Ok(Exit::Done)
}

async fn tour(args: DemoArgs, folder: &Path, session: &Session) -> anyhow::Result<Vec<Step>> {
    let place = folder.to_owned();
    let prepare = move || {
        let file = match args.path {
            Some(path) => regular(path)?,
            None => make_data(&place, args.size.0)?,
        };
        let hash = hash_file(&file)?;
        anyhow::Ok((file, hash))
    };
    let (file, hash) = tokio::task::spawn_blocking(prepare).await??;
    let store = folder.join("store");
    std::fs::create_dir(&store)?;
    let credentials = Credentials::generate()?;
    let server = haul_serve::serve_folder(&store, ([127, 0, 0, 1], 0).into(), &credentials).await?;
    let endpoint = server.endpoint_url();
    if !session.common.quiet && !session.common.json {
        output::note(&format!("haul: a store for this demo runs at {endpoint}"));
    }
    let tour = Tour { folder, file, hash, session, endpoint, credentials };
    let steps = Box::pin(tour.run()).await;
    server.stop().await;
    steps
}

struct Tour<'a> {
    folder: &'a Path,
    file: PathBuf,
    hash: blake3::Hash,
    session: &'a Session,
    endpoint: String,
    credentials: Credentials,
}

impl Tour<'_> {
    async fn run(&self) -> anyhow::Result<Vec<Step>> {
        let haul = Haul::new(Options::default().with_s3(self.store()));
        let s3 = |key: &str| Location::parse(format!("s3://demo/{key}"));
        haul.make_bucket(&Location::parse("s3://demo")?).await?;
        let back = self.folder.join("back");
        let local = Location::Local;
        let mut steps = Vec::new();

        steps.push(self.copy(&haul, "upload", local(self.file.clone()), s3("file")?).await?);
        steps.push(self.copy(&haul, "download", s3("file")?, local(back.clone())).await?);
        self.compare("download", hash_file(&back)?)?;
        steps.push(self.copy(&haul, "copy", s3("file")?, s3("copy")?).await?);
        steps.push(self.stream("s3://demo/copy").await?);
        Ok(steps)
    }

    fn store(&self) -> S3Options {
        let mut s3 = S3Options::default();
        s3.endpoint_url = Some(self.endpoint.clone());
        s3.region = Some("us-east-1".to_owned());
        s3.access_key = Some(AccessKey {
            id: self.credentials.access_key.clone(),
            secret: self.credentials.secret_key.clone(),
            session_token: None,
        });
        s3
    }

    async fn copy(
        &self,
        haul: &Haul,
        name: &'static str,
        from: Location,
        to: Location,
    ) -> anyhow::Result<Step> {
        let job = haul.copy(CopyRequest::new(from, to)).await?;
        let report = render::follow(haul, job, self.session).await?;
        Ok(Step { name, bytes: report.bytes, elapsed: report.elapsed })
    }

    /// Runs `haul cat` as a user would, and hashes what comes out of the pipe. It reads the copy,
    /// so that its hash proves the copy as well.
    async fn stream(&self, object: &str) -> anyhow::Result<Step> {
        let started = Instant::now();
        let mut cat = tokio::process::Command::new(std::env::current_exe()?);
        // What the user has set up for real stores must not matter.
        for name in SETTINGS.iter().filter_map(|s| s.env) {
            cat.env_remove(name);
        }
        let mut cat = cat
            .args(["cat", object, "--config", "/dev/null"])
            .args(self.session.common.quiet.then_some("--quiet"))
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", &self.credentials.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.credentials.secret_key)
            .env("AWS_REGION", "us-east-1")
            .env_remove("AWS_SESSION_TOKEN")
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_ENDPOINT_URL_S3")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start haul cat")?;
        let mut stdout = cat.stdout.take().context("haul cat has no output")?;
        let (mut hasher, mut buffer, mut bytes) = (blake3::Hasher::new(), vec![0; 1 << 20], 0);
        loop {
            let n = stdout.read(&mut buffer).await?;
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
            bytes += n as u64;
        }
        let status = cat.wait().await?;
        ensure!(status.success(), "haul cat failed: {status}");
        let elapsed = started.elapsed();
        self.compare("copy and stream", hasher.finalize())?;
        Ok(Step { name: "stream", bytes, elapsed })
    }

    fn compare(&self, what: &str, hash: blake3::Hash) -> anyhow::Result<()> {
        if hash == self.hash {
            return Ok(());
        }
        let detail = "the BLAKE3 hash is not that of the original";
        Err(haul::Error::new(haul::ErrorKind::Verification, haul::Op::Verify, what, detail).into())
    }
}

/// The demo reads its file more than once.
fn regular(path: PathBuf) -> Result<PathBuf, haul::Error> {
    let metadata =
        std::fs::metadata(&path).map_err(|e| haul::Error::io(haul::Op::Open, path.display(), e))?;
    if metadata.is_file() {
        return Ok(path);
    }
    let what = "it is not a regular file";
    Err(haul::Error::new(haul::ErrorKind::Invalid, haul::Op::Open, path.display(), what))
}

fn make_data(folder: &Path, size: u64) -> anyhow::Result<PathBuf> {
    use std::io::Write as _;
    let path = folder.join("data.bin");
    let mut file = std::fs::File::create(&path)?;
    let mut random = fastrand::Rng::new();
    let mut block = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        random.fill(&mut block);
        let n = left.min(block.len() as u64);
        file.write_all(&block[..n as usize]).context("cannot make up data")?;
        left -= n;
    }
    Ok(path)
}

fn hash_file(path: &Path) -> anyhow::Result<blake3::Hash> {
    let io = |e| haul::Error::io(haul::Op::Open, path.display(), e);
    let mut hasher = blake3::Hasher::new();
    std::fs::File::open(path)
        .and_then(|mut file| std::io::copy(&mut file, &mut hasher))
        .map_err(io)?;
    Ok(hasher.finalize())
}

/// The table. Every row is there only because its hash was compared.
fn print(steps: &[Step], common: &Common) -> Result<(), haul::Error> {
    let rate = |s: &Step| s.bytes as f64 / 1e6 / s.elapsed.as_secs_f64().max(0.001);
    if common.json {
        return steps.iter().try_for_each(|s| {
            let line = json!({
                "operation": s.name, "bytes": s.bytes, "seconds": s.elapsed.as_secs_f64(),
                "mb_per_second": rate(s), "verified": true,
            });
            output::result(&line.to_string())
        });
    }
    output::result(&format!(
        "{:<10}{:>12}{:>10}{:>10}  verified",
        "operation", "bytes", "seconds", "MB/s"
    ))?;
    for s in steps {
        let size = human(s.bytes).to_string();
        let seconds = s.elapsed.as_secs_f64();
        output::result(&format!(
            "{:<10}{size:>12}{seconds:>10.2}{:>10.0}  yes, BLAKE3",
            s.name,
            rate(s)
        ))?;
    }
    Ok(())
}
