//! Plain lines, for logs and pipes.
//!
//! Owns one line every few seconds, so that a log shows life without drowning.

use std::time::{Duration, Instant};

use haul::{Event, MeterSnapshot};

use super::{Render, note_event};
use crate::output;
use crate::size::{human, human_rate};

const EVERY: Duration = Duration::from_secs(5);

pub(super) struct Plain {
    name: String,
    started: Instant,
    drew: bool,
}

impl Default for Plain {
    fn default() -> Self {
        Self { name: String::new(), started: Instant::now(), drew: false }
    }
}

impl Render for Plain {
    fn every(&self) -> Duration {
        EVERY
    }

    fn event(&mut self, event: &Event) {
        if let Event::ItemStarted { from, .. } = event {
            self.name.clone_from(from);
        }
        note_event(event);
    }

    fn draw(&mut self, meter: MeterSnapshot) {
        let elapsed = self.started.elapsed();
        if !self.drew && elapsed < EVERY {
            return; // short jobs need no line but the summary
        }
        self.drew = true;
        let done = human(meter.landed);
        let of = meter.total.map(|total| {
            let percent = (meter.landed * 100).checked_div(total).unwrap_or(100);
            format!(" of {} ({percent}%)", human(total))
        });
        let rate = human_rate(meter.wire.max(meter.landed), elapsed);
        output::note(&format!("{}: {done}{} at {rate}", self.name, of.unwrap_or_default()));
    }

    fn finish(&mut self) {}
}
