//! Owns the server, what is on it, and the files next to it; and the check of each run.
//!
//! Must never: use a place twice, or trust a client about what it did.

use super::super::measure::{Measurement, Stdout, measure};
use super::Args;
use super::clients::{Places, Runner};
use super::tasks::{Task, Work};
use crate::files::{self, Folder};
use crate::probe::{Listed, Probe};
use crate::servers::{Endpoint, Running};
use crate::workspace;
use anyhow::{Context, Result, anyhow, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

const BUCKET: &str = "bench";
const KEYS: &str = "keys";
/// Requests at once while the stage is set.
const AT_ONCE: usize = 8;

pub(super) struct Stage {
    running: Running,
    folder: Folder,
    size: u64,
}

/// Where one run reads and writes.
struct Scene {
    /// On this machine.
    here: PathBuf,
    /// In the store.
    there: String,
}

impl Stage {
    pub(super) fn set(running: Running, args: &Args, tasks: &[Task]) -> Result<Self> {
        let parent = args.data.clone().unwrap_or_else(workspace::scratch);
        let folder = Folder::create(&parent, "bench-files-")?;
        let stage = Self { running, folder, size: args.size.as_u64() };
        stage.probe().create_bucket(BUCKET)?;
        let mut counts: Vec<_> =
            tasks.iter().filter(|task| task.work != Work::List).map(|task| task.items).collect();
        counts.sort_unstable();
        counts.dedup();
        for count in counts {
            stage.make_files(count)?;
        }
        for task in tasks.iter().filter(|task| task.work == Work::List) {
            let began = Instant::now();
            let put = |n| stage.probe().put(BUCKET, &format!("{KEYS}/{n:07}"), &[]);
            at_once(task.items, put).context("making keys")?;
            eprintln!("made {} keys in {:.0} s", task.items, began.elapsed().as_secs_f64());
        }
        Ok(stage)
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        self.running.endpoint()
    }

    fn probe(&self) -> Probe<'_> {
        Probe::new(self.endpoint())
    }

    fn source(&self, count: usize) -> PathBuf {
        self.folder.path().join(format!("source-{count}"))
    }

    /// Random files here, and the same in the store as clients store small ones.
    fn make_files(&self, count: usize) -> Result<()> {
        let source = self.source(count);
        for n in 0..count.div_ceil(100) {
            fs::create_dir_all(source.join(format!("{n:04}")))?;
        }
        at_once(count, |n| {
            let path = source.join(name_of(n));
            let bytes: Vec<u8> =
                std::iter::repeat_with(|| fastrand::u8(..)).take(self.bytes()).collect();
            fs::write(&path, &bytes)?;
            self.probe().put(BUCKET, &format!("source-{count}/{}", name_of(n)), &bytes)
        })
        .context("making files")
    }

    fn bytes(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }

    /// Lets a client make its two trees the same, by its own rules.
    pub(super) fn settle(&self, runner: &Runner, task: Task) -> Result<()> {
        let scene = self.scene(runner, task, 0);
        self.measured(runner, task, &scene).with_context(|| runner.name()).map(drop)
    }

    fn scene(&self, runner: &Runner, task: Task, round: u32) -> Scene {
        let (source, count) = (self.source(task.items), task.items);
        let run = format!("{}-{}-{round}", task.name(), runner.name()).replace(' ', "-");
        match task.work {
            Work::Upload => Scene { here: source, there: run },
            Work::Download => {
                Scene { here: self.folder.path().join(run), there: format!("source-{count}") }
            }
            Work::Sync => Scene { here: source, there: format!("synced-{}", runner.family()) },
            Work::List => Scene { here: source, there: KEYS.to_owned() },
        }
    }

    /// One run, from the same state of the page cache and the disk for everyone, then its check.
    pub(super) fn run(&self, runner: &Runner, task: Task, round: u32) -> Result<Measurement> {
        let scene = self.scene(runner, task, round);
        let before = match task.work {
            Work::Sync => self.probe().list(BUCKET, &format!("{}/", scene.there))?,
            _ => Vec::new(),
        };
        if task.work != Work::List {
            for n in 0..task.items {
                files::warm(&self.source(task.items).join(name_of(n)))?;
            }
            nix::unistd::sync();
            let bytes = 3 * self.size * task.items as u64;
            files::prime_memory(&self.folder.path().join("prime.bin"), bytes)?;
        }
        let done = self.measured(runner, task, &scene);
        let what = || format!("{} by {}", task.name(), runner.name());
        let done = done.with_context(what)?;
        self.check(task, &scene, &before).with_context(what)?;
        if task.work == Work::List {
            let lines = done.lines.unwrap_or(0);
            ensure!(lines == task.items, "{}: {lines} lines instead of {}", what(), task.items);
        }
        Ok(done)
    }

    fn measured(&self, runner: &Runner, task: Task, scene: &Scene) -> Result<Measurement> {
        let places = Places {
            endpoint: self.endpoint().url.clone(),
            bucket: BUCKET.to_owned(),
            prefix: scene.there.clone(),
            folder: scene.here.to_string_lossy().into_owned(),
        };
        let stdout = if task.work == Work::List { Stdout::Lines } else { Stdout::Null };
        let home = self.folder.path();
        measure(&mut runner.command(task.work, &places, self.endpoint(), home), stdout)
    }

    fn check(&self, task: Task, scene: &Scene, before: &[Listed]) -> Result<()> {
        match task.work {
            Work::Upload => {
                // The harness stored the same files: names, sizes and entity tags must agree.
                let ours = self.facts_below(&format!("source-{}/", task.items))?;
                let theirs = self.facts_below(&format!("{}/", scene.there))?;
                ensure!(ours == theirs, "what is stored differs from the source");
            }
            Work::Download => {
                let count = count_files(&scene.here)?;
                ensure!(count == task.items, "{count} files instead of {}", task.items);
                for n in 0..task.items {
                    let name = name_of(n);
                    files::must_equal(
                        &self.source(task.items).join(&name),
                        &scene.here.join(&name),
                    )?;
                }
            }
            Work::Sync => {
                let after = self.probe().list(BUCKET, &format!("{}/", scene.there))?;
                ensure!(after.len() == task.items, "{} objects", after.len());
                ensure!(after == before, "objects were written, although nothing had changed");
            }
            Work::List => {}
        }
        Ok(())
    }

    /// Names, sizes and entity tags.
    fn facts_below(&self, prefix: &str) -> Result<Vec<(String, u64, String)>> {
        let listed = self.probe().list(BUCKET, prefix)?.into_iter();
        let mut facts: Vec<_> =
            listed.map(|it| (it.key.replacen(prefix, "", 1), it.size, it.entity_tag)).collect();
        facts.sort();
        Ok(facts)
    }
}

/// A hundred files a folder.
fn name_of(n: usize) -> String {
    format!("{:04}/{n:06}.bin", n / 100)
}

fn count_files(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

/// Does `work` for 0..count on several threads; the first failure ends it.
fn at_once(count: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let take = || -> Result<()> {
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                n if n < count => work(n).inspect_err(|_| next.store(count, Ordering::Relaxed))?,
                _ => return Ok(()),
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(take)).collect();
        let ended =
            threads.into_iter().map(|it| it.join().map_err(|_| anyhow!("a thread failed"))?);
        ended.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::at_once;
    use anyhow::bail;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn everything_is_done_once_and_failures_are_told() {
        let sum = AtomicUsize::new(0);
        at_once(100, |n| {
            sum.fetch_add(n, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        assert_eq!(sum.into_inner(), 4950);
        at_once(100, |n| if n == 50 { bail!("no") } else { Ok(()) }).unwrap_err();
    }
}
