//! Owns `cargo xtask bench-waves`: whether n files take ceil(n/c) waves when every PUT takes a while.
//!
//! Must never: let the server's own speed decide; the delay is long beside it.

use super::document;
use super::measure::{Stdout, measure};
use super::report::Machine;
use super::summary::median;
use crate::files::{self, Folder};
use crate::probe::Probe;
use crate::process::output_of;
use crate::proxy::Proxy;
use crate::servers::{Kind, StartOptions, start};
use crate::tools::Tools;
use crate::workspace::{self, Profile};
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const BUCKET: &str = "waves";
/// Small: a file is one PUT.
const FILE: u64 = 16 << 10;
const VERBS: [&str; 2] = ["publish", "cp"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long every PUT is held back, in milliseconds
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    delay: u64,
    /// How many files
    #[arg(long, value_delimiter = ',', default_values_t = [10, 16])]
    files: Vec<u32>,
    /// Values of -c
    #[arg(long, short, value_delimiter = ',', default_values_t = [1, 4, 8])]
    concurrency: Vec<u32>,
    /// Measured runs of each
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The server behind the delay
    #[arg(long, value_enum, default_value = "haul-serve")]
    server: Kind,
    /// Use this haul binary instead of building one
    #[arg(long)]
    haul: Option<PathBuf>,
    /// Print the table only
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let haul = workspace::haul(args.haul.as_deref(), Profile::Release)?;
    let tools = Tools::locate();
    let server = args.server.server(Some(haul.clone()));
    let name = Some(format!("bench-{}", args.server));
    let running =
        start(server.as_ref(), &tools, &StartOptions { name, ..StartOptions::default() })?;
    Probe::new(running.endpoint()).create_bucket(BUCKET)?;
    let delay = Duration::from_millis(args.delay);
    let proxy = Proxy::start(running.endpoint(), delay)?;
    let folder = Folder::create(&workspace::scratch(), "waves-files-")?;
    let field = Field { proxy, folder, haul, delay };
    let mut rows = Vec::new();
    for files in &args.files {
        let source = field.make(*files)?;
        for concurrency in &args.concurrency {
            for verb in VERBS {
                let row = Row { files: *files, concurrency: *concurrency, verb, walls: Vec::new() };
                rows.push(field.row(row, &source, args.runs)?);
            }
        }
    }
    let section = section(args, &server.version(&tools)?, &field.version()?, &rows)?;
    println!("\n{section}");
    if !args.dry_run {
        document::write_section(&workspace::root().join("docs/benchmarks.md"), "waves", &section)?;
    }
    Ok(())
}

/// One line of the table.
struct Row {
    files: u32,
    concurrency: u32,
    verb: &'static str,
    walls: Vec<f64>,
}

impl Row {
    fn waves(&self) -> u32 {
        self.files.div_ceil(self.concurrency)
    }

    fn wall(&self) -> f64 {
        median(self.walls.iter().copied()).unwrap_or(0.0)
    }
}

struct Field {
    proxy: Proxy,
    folder: Folder,
    haul: PathBuf,
    delay: Duration,
}

impl Field {
    fn version(&self) -> Result<String> {
        Ok(output_of(Command::new(&self.haul).arg("--version"))?.trim().to_owned())
    }

    fn make(&self, files: u32) -> Result<String> {
        let folder = self.folder.path().join(format!("{files}-files"));
        fs::create_dir(&folder)?;
        for number in 0..files {
            files::make_random(&folder.join(format!("{number:03}.bin")), FILE)?;
        }
        Ok(format!("{}/", folder.display()))
    }

    fn row(&self, mut row: Row, source: &str, runs: u32) -> Result<Row> {
        let Row { files, concurrency, verb, .. } = row;
        for run in 0..runs {
            let target = format!("s3://{BUCKET}/{verb}-{files}-{concurrency}-{run}/");
            let at_once = concurrency.to_string();
            let mut command = self.proxy.endpoint().client(&self.haul, self.folder.path());
            command.arg(verb).args((verb == "cp").then_some("-r"));
            command.args(["-c", &at_once, source, &target]);
            let done = measure(&mut command, Stdout::Null).with_context(|| verb.to_owned())?;
            let puts = self.proxy.take_seen().iter().filter(|seen| seen.method == "PUT").count();
            ensure!(puts == files as usize, "{puts} PUT requests for {files} files");
            let held = self.proxy.take_most_held();
            ensure!(held <= concurrency as usize, "{held} PUTs at once with -c {concurrency}");
            let least = self.delay.as_secs_f64() * f64::from(row.waves());
            ensure!(done.wall >= least, "{:.3} s is less than the waves take", done.wall);
            row.walls.push(done.wall);
        }
        let (wall, waves) = (row.wall(), row.waves());
        eprintln!("{verb:<8} {files:3} files  -c {concurrency:2}  {waves:2} waves  {wall:7.3} s");
        Ok(row)
    }
}

fn section(args: &Args, server: &str, haul: &str, rows: &[Row]) -> Result<String> {
    let delay = Duration::from_millis(args.delay).as_secs_f64();
    let mut out = format!("## Waves: files that take {} ms each\n\n", args.delay);
    let _ = writeln!(
        out,
        "With -c requests in flight, n files that take t each are done after ceil(n/c) x t, not after \
         n/c x t. {haul} against {server} behind a proxy that holds back every PUT for {} ms; files \
         of 16 KiB; {}; medians of {} runs. Never more than -c PUTs were held at once. Made with \
         `cargo xtask bench-waves`.\n",
        args.delay,
        Machine::here()?.line(),
        args.runs,
    );
    let _ = writeln!(
        out,
        "| verb | files | -c | waves | formula s | measured s | ratio | one by one |"
    );
    let _ = writeln!(out, "|---|---:|---:|---:|---:|---:|---:|---:|");
    for row in rows {
        let Row { files, concurrency, verb, .. } = row;
        let (waves, wall) = (row.waves(), row.wall());
        let formula = delay * f64::from(waves);
        let alone = delay * f64::from(*files);
        let _ = writeln!(
            out,
            "| {verb} | {files} | {concurrency} | {waves} | {formula:.1} | {wall:.3} | {:.2}x | {alone:.1} s: {:.1}x |",
            wall / formula,
            alone / wall,
        );
    }
    Ok(out)
}
