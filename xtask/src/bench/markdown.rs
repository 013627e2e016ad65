//! Owns the benchmark's section of the document.
//!
//! Must never: show a figure that is not in the report, or leave out how it was taken.

use super::report::{ClientFacts, Report};
use super::summary::{MEASURES, Row, is_interpreted, jobs, ratio};
use bytesize::ByteSize;
use std::fmt::Write;

pub(super) fn section(report: &Report) -> String {
    let mut out = String::new();
    let size = ByteSize::b(report.size).display().iec();
    let _ = writeln!(out, "## One object of {size}, on {}\n", report.server);
    let _ = writeln!(out, "{}. Made with `{}`.\n", report.machine.line(), report.command);
    let _ = writeln!(out, "![The same figures as bars](benchmarks.svg)\n");
    for (job, rows) in jobs(report) {
        table(&mut out, report, job, &rows);
    }
    method(&mut out, report);
    commands(&mut out, &report.clients);
    out
}

fn table(out: &mut String, report: &Report, job: &str, rows: &[Row<'_>]) {
    let _ = writeln!(out, "### {job}\n");
    let _ = writeln!(out, "| client | wall s | MB/s | CPU s | CPU s/GiB | peak RSS MiB |");
    let _ = writeln!(out, "|---|---:|---:|---:|---:|---:|");
    for row in rows {
        let client = report.clients.iter().find(|client| client.name == row.client);
        let version = client.map_or("", |client| client.version.as_str());
        let bold = if row.peer { "" } else { "**" };
        let Row { client, wall, mb_per_s, cpu, cpu_per_gib, peak_mib, .. } = row;
        let _ = writeln!(
            out,
            "| {bold}{client}{bold} {version} | {wall:.3} | {mb_per_s:.0} | {cpu:.3} | {cpu_per_gib:.2} | {peak_mib:.1} |"
        );
    }
    let ratios: Vec<_> = MEASURES
        .iter()
        .filter_map(|(what, value)| Some((what, ratio(rows, *value)?)))
        .map(|(what, ratio)| format!("{what} {:.2}x ({})", ratio.value, ratio.peer))
        .collect();
    if !ratios.is_empty() {
        let _ = writeln!(out, "\nhaul against the best peer: {}.", ratios.join(", "));
    }
    out.push('\n');
}

fn method(out: &mut String, report: &Report) {
    let _ = writeln!(out, "### How\n");
    let _ = writeln!(
        out,
        "- Medians of {} runs a client and job after one warm-up; the clients take turns, and \
         another one begins in each round.\n\
         - The server, the client and the harness share the machine and talk over loopback without \
         TLS; the object is random bytes.\n\
         - Before each run the source file is read once, dirty pages are written out, and three \
         times the object's size of page cache is taken and given back: a virtual machine else pays \
         its host for fresh memory in whichever run comes next. Files are on the same disk as the \
         server's data. The object to download was stored in parts of 8 MiB.\n\
         - Every upload is read back by a client of its own and compared; every downloaded file is \
         compared byte by byte; what goes to stdout is counted and checksummed by the reader of \
         the pipe.\n\
         - Wall time is from the start of the process to its end; CPU is user plus system time of \
         the client's process; peak RSS is the kernel's high-water mark (VmHWM), sampled every \
         10 ms.\n\
         - Every client runs at its defaults. haul's default is to flush a downloaded file to the \
         disk before it says done, which no peer does: `haul --fsync never` is the comparison \
         without it.",
        report.runs
    );
    if report.server.starts_with("Garage") {
        let _ =
            writeln!(out, "- Garage stores equal blocks once, and is set not to compress them.");
    }
    if let (Some(cost), true) = (report.interpreter, report.clients.iter().any(is_interpreted)) {
        let _ = writeln!(
            out,
            "- AWS CRT runs in Python: what the interpreter and its imports cost ({:.3} s wall, \
             {:.3} s CPU, measured in the same rounds) is taken off its times, but not off its \
             memory.",
            cost.wall, cost.cpu
        );
    }
    out.push('\n');
}

fn commands(out: &mut String, clients: &[ClientFacts]) {
    let _ = writeln!(out, "### Command lines\n");
    let _ = writeln!(
        out,
        "Endpoint, region and keys come from the `AWS_*` variables; rclone's remote `x` from \
         `RCLONE_CONFIG_X_*` (type s3, provider Other, path style).\n\n```text"
    );
    for line in clients.iter().flat_map(|client| client.commands.values()) {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "```");
}
