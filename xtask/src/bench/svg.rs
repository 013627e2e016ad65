//! Owns the chart: for each job the clients' wall time, CPU time and peak memory as bars.
//!
//! Must never: need a script, a font or a colour scheme of the reader to be legible.

use super::report::Report;
use super::summary::{Row, jobs};
use bytesize::ByteSize;
use std::fmt::Write;

const WIDTH: usize = 960;
const LABELS: usize = 150;
const PANEL: usize = 262;
/// Kept free at the end of a bar for its figure.
const FIGURE: usize = 62;
const LINE: usize = 22;
const BAR: usize = 14;
const HEAD: usize = 62;

const STYLE: &str = "<style>
text { font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #57606a; }
.title { font-size: 15px; font-weight: 600; fill: #24292f; }
.job { font-size: 13px; font-weight: 600; fill: #24292f; }
.ours-name { font-weight: 600; fill: #24292f; }
.end { text-anchor: end; }
.ours { fill: #d9622b; }
.peer { fill: #8c9aa8; }
.axis { stroke: #8c9aa8; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
text { fill: #a8b3bf; }
.title, .job, .ours-name { fill: #f0f3f6; }
.ours { fill: #f08a55; }
.peer { fill: #6e7a87; }
}
</style>";

struct Panel {
    title: &'static str,
    decimals: usize,
    value: fn(&Row<'_>) -> f64,
}

const PANELS: [Panel; 3] = [
    Panel { title: "wall, s", decimals: 2, value: |row| row.wall },
    Panel { title: "CPU, s per GiB", decimals: 2, value: |row| row.cpu_per_gib },
    Panel { title: "peak RSS, MiB", decimals: 0, value: |row| row.peak_mib },
];

pub(super) fn draw(report: &Report) -> String {
    let jobs = jobs(report);
    let height = HEAD + jobs.iter().map(|(_, rows)| block_height(rows)).sum::<usize>();
    let mut out = String::new();
    let _ = writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">"#
    );
    let title = format!(
        "One object of {} on {}: lower is better",
        ByteSize::b(report.size).display().iec(),
        report.server
    );
    let _ = writeln!(out, "<title>{}</title>\n{STYLE}", escaped(&title));
    text(&mut out, "title", 10, 24, &title);
    text(&mut out, "", 10, 44, &format!("median of {}; {}", report.runs, report.machine.line()));
    let mut top = HEAD;
    for (job, rows) in &jobs {
        block(&mut out, top, job, rows);
        top += block_height(rows);
    }
    out.push_str("</svg>\n");
    out
}

fn block_height(rows: &[Row<'_>]) -> usize {
    (rows.len() + 1) * LINE + 20
}

fn block(out: &mut String, top: usize, job: &str, rows: &[Row<'_>]) {
    text(out, "job", 10, top + 16, job);
    for (index, row) in rows.iter().enumerate() {
        let class = if row.peer { "end" } else { "end ours-name" };
        text(out, class, LABELS - 8, top + (index + 1) * LINE + 16, row.client);
    }
    for (index, panel) in PANELS.iter().enumerate() {
        let left = LABELS + index * (PANEL + 8);
        text(out, "", left, top + 16, panel.title);
        bars(out, left, top + LINE, panel, rows);
    }
}

fn bars(out: &mut String, left: usize, top: usize, panel: &Panel, rows: &[Row<'_>]) {
    let longest = rows.iter().map(panel.value).fold(0.0, f64::max);
    let scale = if longest > 0.0 { (PANEL - FIGURE) as f64 / longest } else { 0.0 };
    for (index, row) in rows.iter().enumerate() {
        let value = (panel.value)(row);
        let (y, width) = (top + index * LINE + 5, value * scale);
        let class = if row.peer { "peer" } else { "ours" };
        let _ = writeln!(
            out,
            r#"<rect class="{class}" x="{left}" y="{y}" width="{width:.1}" height="{BAR}"/>"#
        );
        let figure = format!("{value:.*}", panel.decimals);
        text(out, "", left + width as usize + 6, y + 11, &figure);
    }
    let bottom = top + rows.len() * LINE;
    let _ =
        writeln!(out, r#"<line class="axis" x1="{left}" y1="{top}" x2="{left}" y2="{bottom}"/>"#);
}

fn text(out: &mut String, class: &str, x: usize, y: usize, content: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let _ = writeln!(out, r#"<text{class} x="{x}" y="{y}">{}</text>"#, escaped(content));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
