//! Owns this benchmark's section of the document.
//!
//! Must never: show a figure that is not in the report, or leave out how it was taken.

use super::report::{Report, Row, TaskFacts};
use crate::p2p::Kind;
use std::fmt::Write;

type Measure = (&'static str, fn(&Row<'_>) -> f64);

/// What haul is compared by; lower is better.
const MEASURES: [Measure; 3] =
    [("wall", |row| row.wall), ("CPU", |row| row.cpu), ("peak memory", |row| row.peak_mib)];

pub(super) fn section(report: &Report) -> String {
    let mut out = String::from("## Peer to peer, on loopback\n\n");
    let _ = writeln!(out, "{}. Made with `{}`.\n", report.machine.line(), report.command);
    for task in &report.tasks {
        table(&mut out, &report.rows(task), task);
    }
    method(&mut out, report);
    out
}

fn table(out: &mut String, rows: &[Row<'_>], task: &TaskFacts) {
    let _ = writeln!(out, "### peer to peer: {}\n", task.title);
    let _ = writeln!(
        out,
        "| peer | wall s | {} | ticket after s | CPU s send + receive | CPU s | peak RSS MiB send, receive |",
        if task.files == 1 { "MB/s" } else { "files/s" }
    );
    let _ = writeln!(out, "|---|---:|---:|---:|---:|---:|---:|");
    for row in rows {
        let bold = if row.peer.ours { "**" } else { "" };
        let (name, version) = (&row.peer.name, &row.peer.version);
        let amount = if task.files == 1 { task.size as f64 / 1e6 } else { task.files as f64 };
        let Row { wall, ticket, sender_cpu, receiver_cpu, cpu, .. } = row;
        let _ = writeln!(
            out,
            "| {bold}{name}{bold} {version} | {wall:.3} | {:.0} | {ticket:.3} | {sender_cpu:.3} + \
             {receiver_cpu:.3} | {cpu:.3} | {:.1}, {:.1} |",
            amount / wall,
            row.sender_peak_mib,
            row.receiver_peak_mib,
        );
    }
    ratios(out, rows);
    out.push('\n');
}

fn ratios(out: &mut String, rows: &[Row<'_>]) {
    let sendme = Kind::Sendme.name();
    let Some(rival) = rows.iter().find(|row| row.peer.name == sendme) else { return };
    for row in rows.iter().filter(|row| row.peer.ours) {
        let against =
            MEASURES.map(|(what, value)| format!("{what} {:.2}x", value(row) / value(rival)));
        let _ = writeln!(out, "\n{} against {sendme}: {}.", row.peer.name, against.join(", "));
    }
}

fn method(out: &mut String, report: &Report) {
    let _ = writeln!(
        out,
        "### How exchanges were measured\n\n\
         - Medians of {} exchanges a peer and job after one warm-up; the peers take turns, and \
         another one begins in each round. Sender, receiver and harness share the machine; both \
         sides' files are on one file system, in folders that nobody used before.\n\
         - Random bytes, a hundred files a folder. Before each exchange the source is read once, \
         dirty pages are written out, and three times its size of page cache is taken and given \
         back.\n\
         - Wall time is from the start of the sender to the end of the receiver, which is started \
         when the ticket is on the sender's stdout. Both programs verify what they receive; what \
         arrived is compared byte by byte afterwards.\n\
         - CPU is user plus system time of both processes to their ends; the sender gets Ctrl-C \
         when the receiver is done. Peak RSS is VmHWM of each process, sampled every 10 ms.\n\
         - Relays are off, and tickets hold addresses of loopback. Both run at their defaults. haul's default is to flush the \
         files it received to the disk before it says done; sendme flushes parts of its temporary \
         store, but not the files it leaves: `haul --fsync never` is the comparison without it.",
        report.rounds
    );
    let _ = writeln!(out, "\n```text");
    for line in report.peers.iter().flat_map(|peer| &peer.commands) {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "```");
}

#[cfg(test)]
mod tests {
    use super::super::report::{PeerFacts, Row};
    use super::ratios;

    fn facts(name: &str, ours: bool) -> PeerFacts {
        let commands = [String::new(), String::new()];
        PeerFacts { name: name.to_owned(), version: String::new(), ours, commands }
    }

    fn row(peer: &PeerFacts, all: f64) -> Row<'_> {
        Row {
            peer,
            wall: all,
            ticket: all,
            sender_cpu: all,
            receiver_cpu: all,
            cpu: all,
            sender_peak_mib: all,
            receiver_peak_mib: all,
            peak_mib: all,
        }
    }

    #[test]
    fn ratios_are_told_where_there_is_something_to_compare() {
        let (haul, sendme) = (facts("haul", true), facts("sendme", false));
        let mut out = String::new();
        ratios(&mut out, &[row(&haul, 1.0)]);
        assert_eq!(out, "");
        ratios(&mut out, &[row(&haul, 1.0), row(&sendme, 2.0)]);
        assert_eq!(out, "\nhaul against sendme: wall 0.50x, CPU 0.50x, peak memory 0.50x.\n");
    }
}
