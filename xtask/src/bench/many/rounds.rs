//! Owns the order of this benchmark: one warm-up and N rounds, another client first in each.
//!
//! Must never: let two clients run at once.

use super::super::measure::Measurement;
use super::super::report::{Machine, Sample};
use super::super::rounds::shown_size;
use super::Args;
use super::clients::Runner;
use super::report::{Report, TaskFacts};
use super::stage::Stage;
use super::tasks::{Task, Work};
use crate::servers::{StartOptions, start};
use crate::tools::Tools;
use anyhow::{Result, ensure};
use std::fmt::Write;
use std::path::Path;

pub(super) fn play(args: &Args, haul: &Path) -> Result<Report> {
    let tools = Tools::locate();
    let runners = Runner::installed(&tools, haul)?;
    let of = |task: Task| runners.iter().filter(move |runner| wanted(args, runner, task));
    let tasks: Vec<_> =
        Task::all(args).into_iter().filter(|task| of(*task).next().is_some()).collect();
    ensure!(!tasks.is_empty(), "nothing has such a name");
    let server = args.server.server(Some(haul.to_owned()));
    let name = Some(format!("bench-{}", args.server));
    let options = StartOptions { name, data: args.data.clone(), port: None };
    let version = server.version(&tools).unwrap_or_else(|_| args.server.to_string());
    let stage = Stage::set(start(server.as_ref(), &tools, &options)?, args, &tasks)?;

    for task in tasks.iter().filter(|task| task.work == Work::Sync) {
        let mut settled = Vec::new();
        for runner in of(*task) {
            if !settled.contains(&runner.family()) {
                stage.settle(runner, *task)?;
                settled.push(runner.family());
            }
        }
    }
    let mut samples = Vec::new();
    for round in 0..=args.runs {
        for task in &tasks {
            let mut turn: Vec<_> = of(*task).collect();
            let first = round as usize % turn.len();
            turn.rotate_left(first);
            for runner in turn {
                let sample = sample(stage.run(runner, *task, round)?, runner, *task, round);
                eprintln!("{}", progress(&sample, args.runs));
                samples.extend((round > 0).then_some(sample));
            }
        }
    }
    let mut works: Vec<_> = tasks.iter().map(|task| task.work).collect();
    works.dedup();
    Ok(Report {
        command: command_line(args),
        machine: Machine::here()?,
        server: version,
        size: args.size.as_u64(),
        runs: args.runs,
        tasks: tasks.iter().map(|task| facts(*task)).collect(),
        clients: runners.iter().map(|runner| runner.facts(&works)).collect(),
        samples,
    })
}

fn wanted(args: &Args, runner: &Runner, task: Task) -> bool {
    let row = format!("{}/{}", task.name(), runner.name());
    runner.does(task.work) && args.only.as_deref().is_none_or(|pattern| row.contains(pattern))
}

fn facts(task: Task) -> TaskFacts {
    TaskFacts { name: task.name(), work: task.work.name().to_owned(), items: task.items }
}

fn sample(done: Measurement, runner: &Runner, task: Task, round: u32) -> Sample {
    let Measurement { wall, cpu, peak_kib, .. } = done;
    Sample { job: task.name(), client: runner.name(), round, wall, cpu, peak_kib }
}

fn progress(sample: &Sample, runs: u32) -> String {
    let Sample { job, client, round, wall, cpu, peak_kib } = sample;
    let round = if *round == 0 { "warm-up".to_owned() } else { format!("{round}/{runs}") };
    let mib = peak_kib / 1024;
    format!("{round:>7}  {job:<15} {client:<34} {wall:7.3} s wall {cpu:7.3} s CPU {mib:5} MiB")
}

fn command_line(args: &Args) -> String {
    let files: Vec<_> = args.files.iter().map(usize::to_string).collect();
    let mut line = format!("cargo xtask bench-many --server {}", args.server);
    let (files, size) = (files.join(","), shown_size(args.size.as_u64()));
    let _ = write!(line, " --files {files} --size {size}");
    let _ = write!(line, " --keys {} --runs {}", args.keys, args.runs);
    if let Some(only) = &args.only {
        let _ = write!(line, " --only {only:?}");
    }
    line
}
