//! A bar on a terminal.
//!
//! Owns its look: name, bar, percentage, bytes, speed, time left. The speed counts bytes on the
//! wire, the bar bytes that have landed.

use std::time::Duration;

use haul::{Event, Foreign};
use indicatif::{ProgressBar, ProgressStyle};

use super::peers::Peers;
use super::speed::{Speed, time_left};
use super::{Pulse, Render, note_of, screen};
use crate::moment::whole_seconds;
use crate::output;
use crate::size::human;

/// S4.15: often enough to look smooth.
pub(super) const EVERY: Duration = Duration::from_millis(100);

pub(super) struct Bar {
    line: ProgressBar,
    speed: Speed,
    /// Nothing is drawn before there is something to show.
    started: bool,
    peers: Peers,
}

impl Bar {
    pub(super) fn new(peers: Peers) -> Self {
        let line = ProgressBar::with_draw_target(None, screen::target());
        Self { line, speed: Speed::default(), started: false, peers }
    }
}

/// The bar's layout for a terminal of some width. All are constant, so parsing cannot fail at run
/// time (a test sees to it).
fn style(known: bool, columns: u16) -> ProgressStyle {
    let template = match (known, columns) {
        (true, 80..) => {
            "{prefix:.bold} {wide_bar:.cyan/dim} {percent:>3}%  {binary_bytes}/{binary_total_bytes}  {msg}"
        }
        (true, 50..) => "{prefix:.bold} {wide_bar:.cyan/dim} {percent:>3}%  {msg}",
        (true, _) => "{prefix:.bold} {percent:>3}%",
        (false, _) => "{prefix:.bold} {spinner:.cyan} {binary_bytes}  {msg}",
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

pub(super) fn columns() -> u16 {
    terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(width, _)| width.0)
}

impl Render for Bar {
    fn every(&self) -> Duration {
        EVERY
    }

    fn event(&mut self, event: &Event) {
        if let Event::ItemStarted { from, size, .. } = event {
            self.started = true;
            self.line.set_style(style(size.is_some(), columns()));
            self.line.set_prefix(short(from, usize::from(columns()) / 3));
            if let Some(size) = size {
                self.line.set_length(*size);
            }
        }
        if let Some(line) = note_of(event, &mut self.peers) {
            self.aside(&mut || output::note(&line));
        }
    }

    fn draw(&mut self, pulse: &Pulse) {
        if !self.started {
            return;
        }
        let meter = &pulse.meter;
        if let Some(total) = meter.total {
            if self.line.length().is_none() {
                self.line.set_style(style(true, columns()));
            }
            self.line.set_length(total);
        }
        self.line.set_position(meter.landed);
        let speed = self.speed.at(meter.wire.max(meter.landed));
        let left = meter.total.map(|t| t.saturating_sub(meter.landed)).filter(|l| *l > 0);
        let left = left.and_then(|left| time_left(left, speed));
        let left = left.map(|left| format!("  {} left", whole_seconds(left)));
        let message = format!("{}/s{}", human(speed as u64), left.unwrap_or_default());
        self.line.set_message(message);
        self.line.tick();
    }

    fn aside(&mut self, write: &mut dyn FnMut()) {
        if self.started {
            self.line.suspend(write);
        } else {
            write();
        }
    }

    fn finish(&mut self) {
        if self.started {
            self.line.finish_and_clear();
        }
    }
}

/// The end of a name, where the difference is.
pub(super) fn short(name: &Foreign, most: usize) -> String {
    let (most, name) = (most.clamp(8, 28), name.to_string());
    let name = name.rsplit('/').find(|s| !s.is_empty()).unwrap_or(&name);
    let len = name.chars().count();
    if len <= most {
        return name.to_owned();
    }
    format!("…{}", name.chars().skip(len - most + 1).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_parse_and_names_are_cut_at_the_front() {
        for columns in [20, 60, 100] {
            drop((style(true, columns), style(false, columns)));
        }
        let short = |name: &str, most| short(&name.into(), most);
        assert_eq!(short("s3://b/dir/a.txt", 28), "a.txt");
        assert_eq!(short(&"x".repeat(40), 28).chars().count(), 28);
        assert!(short("an-extremely-long-name-of-a-file.tar.gz", 10).ends_with(".tar.gz"));
    }
}
