//! Owns this benchmark's section of the document, and what haul aims at.
//!
//! Must never: show a figure that is not in the report, or leave out how it was taken.

use super::report::{Report, Row, TaskFacts};
use bytesize::ByteSize;
use std::fmt::Write;

/// Of the CPU time of the peer that is written in a compiled language for just this.
const CPU_TARGET: f64 = 0.5;
const CPU_PEER: &str = "s5cmd";
const WALL_TARGET: f64 = 1.0;
const PEAK_TARGET_MB: f64 = 100.0;

pub(super) fn section(report: &Report) -> String {
    let mut out = String::new();
    let size = ByteSize::b(report.size).display().iec();
    let _ = writeln!(out, "## Many files of {size}, on {}\n", report.server);
    let _ = writeln!(out, "{}. Made with `{}`.\n", report.machine.line(), report.command);
    targets(&mut out, report);
    for task in &report.tasks {
        table(&mut out, &report.rows(task), task);
    }
    method(&mut out, report);
    out
}

fn title(task: &TaskFacts) -> String {
    let items = grouped(task.items);
    match task.work.as_str() {
        "sync" => format!("sync of {items} files, nothing to do"),
        "list" => format!("list of {items} keys"),
        work => format!("{work} of {items} files"),
    }
}

fn targets(out: &mut String, report: &Report) {
    let _ = writeln!(
        out,
        "Aims: CPU at most {CPU_TARGET}x of {CPU_PEER}'s at its defaults, wall not above the best \
         peer's, peak memory under {PEAK_TARGET_MB:.0} MB.\n"
    );
    let _ =
        writeln!(out, "| task | client | CPU | wall | peak MB | |\n|---|---|---:|---:|---:|---|");
    for task in &report.tasks {
        let rows = report.rows(task);
        let peer = rows.iter().find(|row| row.client.name == CPU_PEER);
        let best =
            rows.iter().filter(|row| row.client.peer).min_by(|a, b| a.wall.total_cmp(&b.wall));
        let (Some(peer), Some(best)) = (peer, best) else { continue };
        for row in rows.iter().filter(|row| !row.client.peer) {
            let (cpu, wall, peak) = (row.cpu / peer.cpu, row.wall / best.wall, row.peak_mb);
            let missed: Vec<_> = [
                (cpu > CPU_TARGET, "CPU"),
                (wall > WALL_TARGET, "wall"),
                (peak >= PEAK_TARGET_MB, "memory"),
            ]
            .into_iter()
            .filter_map(|(missed, what)| missed.then_some(what))
            .collect();
            let verdict = match missed.as_slice() {
                [] => "met".to_owned(),
                some => format!("missed: {}", some.join(", ")),
            };
            let (title, client, rival) = (title(task), &row.client.name, &best.client.name);
            let _ = writeln!(
                out,
                "| {title} | {client} | {cpu:.2}x | {wall:.2}x ({rival}) | {peak:.0} | {verdict} |"
            );
        }
    }
    out.push('\n');
}

fn table(out: &mut String, rows: &[Row<'_>], task: &TaskFacts) {
    let _ = writeln!(out, "### {}\n", title(task));
    let _ = writeln!(out, "| client | wall s | a second | CPU s | CPU s per 1,000 | peak RSS MB |");
    let _ = writeln!(out, "|---|---:|---:|---:|---:|---:|");
    for Row { client, wall, cpu, peak_mb } in rows {
        let bold = if client.peer { "" } else { "**" };
        let (name, version) = (&client.name, &client.version);
        let (speed, thousands) = (task.items as f64 / wall, task.items as f64 / 1000.0);
        let _ = writeln!(
            out,
            "| {bold}{name}{bold} {version} | {wall:.3} | {} | {cpu:.3} | {:.3} | {peak_mb:.1} |",
            grouped(speed as usize),
            cpu / thousands
        );
    }
    out.push('\n');
}

fn method(out: &mut String, report: &Report) {
    let _ = writeln!(
        out,
        "### How many files were measured\n\n\
         - Medians of {} runs a client and task after one warm-up; the clients take turns, and \
         another one begins in each round. The rest is as for one object above.\n\
         - Random bytes, a hundred files a folder. Every upload goes to a new prefix and every \
         download to a new folder; nothing is removed before the end, because a file system pays \
         for a mass removal in whatever comes next.\n\
         - Uploads are compared by names, sizes and entity tags with what the harness stored itself, \
         downloads byte by byte. A sync must leave the listing as it was, times included; each \
         program first made its own copy, since programs differ in when they take two files for the \
         same. Of a listing the lines are counted; its keys hold no bytes and are in one folder.\n\
         - haul has 4 requests in flight at its defaults, s5cmd 256 workers, rclone 4 transfers and \
         8 checkers: the peers are measured at their defaults and with haul's number.",
        report.runs
    );
    if report.server.starts_with("Garage") {
        let _ = writeln!(
            out,
            "- Garage stores equal blocks once: all clients upload what it has seen before."
        );
    }
    let _ = writeln!(out, "\n```text");
    for line in report.clients.iter().flat_map(|client| client.commands.values()) {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "```");
}

/// 10,000
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([1, 999, 1000, 100_000].map(grouped), ["1", "999", "1,000", "100,000"]);
    }
}
