//! A bar on a terminal.
//!
//! Owns its look: name, bar, percentage, bytes, speed, time left. The speed counts bytes on the
//! wire, the bar bytes that have landed.

use std::time::{Duration, Instant};

use haul::{Event, MeterSnapshot};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Render, retry_line};
use crate::size::human;

/// S4.15: often enough to look smooth.
const EVERY: Duration = Duration::from_millis(100);

/// How long a burst echoes in the speed that is shown.
const SMOOTHING: f64 = 2.0;

pub(super) struct Bar {
    line: ProgressBar,
    last: Option<(Instant, u64)>,
    speed: f64,
    /// Nothing is drawn before there is something to show.
    started: bool,
}

impl Bar {
    pub(super) fn new() -> Self {
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(15));
        Self { line, last: None, speed: 0.0, started: false }
    }

    /// A line above the bar, if there is one.
    fn aside(&self, line: &str) {
        if self.started {
            self.line.suspend(|| crate::output::note(line));
        } else {
            crate::output::note(line);
        }
    }

    fn speed(&mut self, moved: u64) -> f64 {
        let now = Instant::now();
        if let Some((then, before)) = self.last {
            let time = (now - then).as_secs_f64().max(0.001);
            let current = moved.saturating_sub(before) as f64 / time;
            let weight = 1.0 - (-time / SMOOTHING).exp();
            self.speed += (current - self.speed) * if self.speed == 0.0 { 1.0 } else { weight };
        }
        self.last = Some((now, moved));
        self.speed
    }
}

/// The bar's layout for a terminal of some width. The cursor goes back to the start of the line: what
/// the terminal echoes for Ctrl-C would start a new line behind a bar of full width. All are constant, so parsing cannot fail at run time
/// (a test sees to it).
fn style(known: bool, columns: u16) -> ProgressStyle {
    let template = match (known, columns) {
        (true, 80..) => {
            "{prefix:.bold} {wide_bar:.cyan/dim} {percent:>3}%  {binary_bytes}/{binary_total_bytes}  {msg}\r"
        }
        (true, 50..) => "{prefix:.bold} {wide_bar:.cyan/dim} {percent:>3}%  {msg}\r",
        (true, _) => "{prefix:.bold} {percent:>3}%\r",
        (false, _) => "{prefix:.bold} {spinner:.cyan} {binary_bytes}  {msg}\r",
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

fn columns() -> u16 {
    terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(width, _)| width.0)
}

impl Render for Bar {
    fn every(&self) -> Duration {
        EVERY
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::ItemStarted { from, size, .. } => {
                self.started = true;
                self.line.set_style(style(size.is_some(), columns()));
                self.line.set_prefix(short(from, usize::from(columns()) / 3));
                if let Some(size) = size {
                    self.line.set_length(*size);
                }
            }
            Event::Retrying { error, attempt, wait } => {
                self.aside(&retry_line(error, *attempt, *wait));
            }
            Event::Note { text } => {
                self.aside(&format!("haul: {text}"));
            }
            _ => {}
        }
    }

    fn draw(&mut self, meter: MeterSnapshot) {
        if !self.started {
            return;
        }
        if let Some(total) = meter.total {
            if self.line.length().is_none() {
                self.line.set_style(style(true, columns()));
            }
            self.line.set_length(total);
        }
        self.line.set_position(meter.landed);
        let speed = self.speed(meter.wire.max(meter.landed));
        let left = meter.total.map(|t| t.saturating_sub(meter.landed)).filter(|l| *l > 0);
        let left = left.filter(|_| speed > 0.0).map(|left| {
            let time = Duration::from_secs((left as f64 / speed).ceil() as u64);
            format!("  {} left", humantime::format_duration(time))
        });
        let message = format!("{}/s{}", human(speed as u64), left.unwrap_or_default());
        self.line.set_message(message);
        self.line.tick();
    }

    fn note(&mut self, line: &str) {
        self.finish();
        crate::output::note(line);
    }

    fn finish(&mut self) {
        if self.started {
            self.line.finish_and_clear();
        }
    }
}

/// The end of a name, where the difference is.
fn short(name: &str, most: usize) -> String {
    let most = most.clamp(8, 28);
    let name = name.rsplit('/').find(|s| !s.is_empty()).unwrap_or(name);
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
        assert_eq!(short("s3://b/dir/a.txt", 28), "a.txt");
        assert_eq!(short(&"x".repeat(40), 28).chars().count(), 28);
        assert!(short("an-extremely-long-name-of-a-file.tar.gz", 10).ends_with(".tar.gz"));
    }
}
