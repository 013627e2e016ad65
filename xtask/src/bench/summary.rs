//! Owns the medians and ratios, and the table on the terminal.
//!
//! Must never: leave out a client that was measured.

use super::report::{ClientFacts, Report, Sample};
use std::fmt::Write;

/// The client whose ratio to the best peer is asked for.
const OURS: &str = "haul";

/// The medians of one client in one job.
#[derive(Debug, Clone)]
pub(super) struct Row<'a> {
    pub(super) client: &'a str,
    pub(super) peer: bool,
    pub(super) wall: f64,
    pub(super) mb_per_s: f64,
    pub(super) cpu: f64,
    pub(super) cpu_per_gib: f64,
    pub(super) peak_mib: f64,
}

/// haul against the best peer of a job, where lower is better.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ratio<'a> {
    pub(super) value: f64,
    pub(super) peer: &'a str,
}

/// The rows of each job, in the report's order.
pub(super) fn jobs(report: &Report) -> Vec<(&str, Vec<Row<'_>>)> {
    let mut names: Vec<&str> = Vec::new();
    for sample in &report.samples {
        if !names.contains(&sample.job.as_str()) {
            names.push(&sample.job);
        }
    }
    let rows = |job| report.clients.iter().filter_map(move |client| row(report, client, job));
    names.into_iter().map(|job| (job, rows(job).collect())).collect()
}

fn row<'a>(report: &'a Report, client: &'a ClientFacts, job: &str) -> Option<Row<'a>> {
    let mine = |sample: &&Sample| sample.client == client.name && sample.job == job;
    let of = |value: fn(&Sample) -> f64| median(report.samples.iter().filter(mine).map(value));
    let python = report.interpreter.filter(|_| is_interpreted(client));
    let wall = of(|sample| sample.wall)? - python.map_or(0.0, |cost| cost.wall);
    let cpu = of(|sample| sample.cpu)? - python.map_or(0.0, |cost| cost.cpu);
    let (wall, cpu) = (wall.max(0.0), cpu.max(0.0));
    Some(Row {
        client: &client.name,
        peer: client.peer,
        wall,
        mb_per_s: report.size as f64 / 1e6 / wall,
        cpu,
        cpu_per_gib: cpu / (report.size as f64 / f64::from(1 << 30)),
        peak_mib: of(|sample| sample.peak_kib as f64)? / 1024.0,
    })
}

/// Whether a client's figures hold an interpreter that is not the client.
pub(super) fn is_interpreted(client: &ClientFacts) -> bool {
    client.commands.values().any(|line| line.starts_with("python "))
}

pub(super) fn ratio<'a>(rows: &[Row<'a>], value: fn(&Row<'_>) -> f64) -> Option<Ratio<'a>> {
    let ours = rows.iter().find(|row| row.client == OURS)?;
    let peers = rows.iter().filter(|row| row.peer);
    let best = peers.min_by(|a, b| value(a).total_cmp(&value(b)))?;
    Some(Ratio { value: value(ours) / value(best), peer: best.client })
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let even = sorted.len().is_multiple_of(2);
    Some(if even { f64::midpoint(sorted[middle - 1], upper) } else { upper })
}

/// The table for the terminal.
pub(super) fn text(report: &Report) -> String {
    let mut out = format!("\n{}; {}\n", report.server, report.machine.line());
    for (job, rows) in jobs(report) {
        let _ = writeln!(
            out,
            "\n{job:<20} {:>8} {:>8} {:>8} {:>10} {:>9}",
            "wall s", "MB/s", "CPU s", "CPU s/GiB", "peak MiB"
        );
        for row in &rows {
            let Row { client, wall, mb_per_s, cpu, cpu_per_gib, peak_mib, .. } = row;
            let _ = writeln!(
                out,
                "  {client:<18} {wall:>8.3} {mb_per_s:>8.0} {cpu:>8.3} {cpu_per_gib:>10.2} {peak_mib:>9.1}"
            );
        }
        for (what, value) in MEASURES {
            if let Some(Ratio { value, peer }) = ratio(&rows, value) {
                let _ = writeln!(out, "  {what}: {value:.2}x the best peer ({peer})");
            }
        }
    }
    if let Some(cost) = report.interpreter {
        let _ = writeln!(
            out,
            "\nAWS CRT: less Python's own {:.3} s wall and {:.3} s CPU",
            cost.wall, cost.cpu
        );
    }
    out
}

type Measure = (&'static str, fn(&Row<'_>) -> f64);

/// What haul is compared by.
pub(super) const MEASURES: [Measure; 3] =
    [("wall", |row| row.wall), ("CPU", |row| row.cpu), ("peak memory", |row| row.peak_mib)];

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians_of_odd_even_and_none() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
