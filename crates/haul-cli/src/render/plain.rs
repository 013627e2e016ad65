//! Plain lines, for logs and pipes.
//!
//! Owns one line every few seconds, so that a log shows life without drowning.

use std::time::{Duration, Instant};

use haul::{Event, Foreign, Summary};

use super::peers::{Peers, Reach};
use super::{Pulse, Render, checked, note_of};
use crate::output;
use crate::size::{grouped, human, human_rate};

const EVERY: Duration = Duration::from_secs(5);

pub(super) struct Plain {
    name: Option<Foreign>,
    many: bool,
    started: Instant,
    drew: bool,
    peers: Peers,
}

impl Plain {
    pub(super) fn new(many: bool, peers: Peers) -> Self {
        Self { name: None, many, started: Instant::now(), drew: false, peers }
    }

    /// A line for each peer that is further than it was.
    fn draw_peers(&mut self) {
        for (_, peer) in self.peers.shown() {
            if let Some(Reach { landed, total, speed }) = peer.progress() {
                let (done, of, rate) = (human(landed), of(landed, total), human(speed as u64));
                output::note(&format!("{}: {done}{of} at {rate}/s", peer.name));
            }
        }
    }
}

fn of(landed: u64, total: u64) -> String {
    let percent = landed.saturating_mul(100).checked_div(total).unwrap_or(100);
    format!(" of {} ({percent}%)", human(total))
}

/// Items that are over, and those that are known.
fn counted(items: &Summary) -> String {
    let more = if items.complete { "" } else { "+" };
    let failed = match items.failed {
        0 => String::new(),
        n => format!(", {} failed", grouped(n)),
    };
    let (over, found) = (grouped(items.settled()), grouped(items.found));
    format!("{over} of {found}{more} items{failed}")
}

impl Render for Plain {
    fn every(&self) -> Duration {
        EVERY
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::ItemStarted { from, .. } if !self.many => self.name = Some(from.clone()),
            event => {
                if let Some(line) = note_of(event, &mut self.peers) {
                    output::note(&line);
                }
            }
        }
    }

    fn draw(&mut self, pulse: &Pulse) {
        let elapsed = self.started.elapsed();
        if !self.drew && elapsed < EVERY {
            return; // short jobs need no line but the summary
        }
        self.drew = true;
        self.draw_peers();
        if self.peers.offered() {
            return;
        }
        if let Some(what) = self.peers.waiting() {
            output::note(&output::error_line(what));
            return;
        }
        let Pulse { meter, items } = pulse;
        let done = human(meter.landed);
        let total = meter.total.filter(|_| !self.many || items.complete);
        let of = total.map(|total| of(meter.landed, total)).unwrap_or_default();
        let rate = human_rate(meter.wire.max(meter.landed), elapsed);
        let what = self.name.as_ref().map_or_else(|| counted(items), ToString::to_string);
        output::note(&format!("{what}: {done}{of} at {rate}{}", checked(meter)));
    }

    fn finish(&mut self) {}
}
