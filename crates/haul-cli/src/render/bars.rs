//! A bar for each item in flight, one for all (S0.10, S0.31, S0.32), and one for each peer (U4.2).
//!
//! Owns their look and their number. Bars are made when it is time to draw, never when an item
//! starts: an item that is over before gets none, so that ten thousand small ones a second cost
//! nothing but a place in a map.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use haul::{Event, Foreign, Meter};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::bar::{EVERY, columns, short};
use super::peers::{Peer, Peers, Reach};
use super::speed::{Speed, time_left};
use super::{Pulse, Render, checked, note_of, screen};
use crate::moment::whole_seconds;
use crate::output;
use crate::size::{grouped, human};

/// The most bars beside the total: one for each file in flight, of which there are so many at most.
const MOST: usize = 16;

pub(super) struct Bars {
    screen: MultiProgress,
    total: ProgressBar,
    live: HashMap<u64, Live>,
    peers: Peers,
    visitors: HashMap<u64, ProgressBar>,
    bytes: Speed,
    items: Speed,
    /// Whether anything was drawn.
    drawn: bool,
    /// Whether items are shown no more.
    hidden: bool,
}

/// An item in flight.
struct Live {
    since: Instant,
    from: Foreign,
    size: Option<u64>,
    meter: Arc<Meter>,
    bar: Option<ProgressBar>,
}

impl Bars {
    pub(super) fn new(peers: Peers) -> Self {
        let screen = MultiProgress::with_draw_target(screen::target());
        let total = ProgressBar::hidden();
        // Before it has a place on the screen: a change there is a draw.
        total.set_style(total_style(columns(), false));
        Self {
            screen,
            total,
            live: HashMap::new(),
            peers,
            visitors: HashMap::new(),
            bytes: Speed::default(),
            items: Speed::default(),
            drawn: false,
            hidden: false,
        }
    }

    /// The items that get a bar: those that run longest, as many as fit.
    fn shown(&self, now: Instant) -> Vec<u64> {
        let old = |live: &Live| now.duration_since(live.since) >= EVERY;
        let mut items: Vec<_> = self.live.iter().filter(|(_, live)| old(live)).collect();
        items.sort_by_key(|(item, live)| (live.since, **item));
        items.into_iter().take(self.room()).map(|(item, _)| *item).collect()
    }

    /// How many items get a bar: peers have theirs.
    fn room(&self) -> usize {
        room().saturating_sub(self.visitors.len())
    }

    /// A bar for each peer that says how far it is, beneath all others.
    fn draw_peers(&mut self) {
        let Self { screen, peers, visitors, .. } = self;
        let mut there = HashSet::new();
        for (number, peer) in peers.shown() {
            if there.len() == room() {
                break;
            }
            let Some(reach) = peer.reach() else { continue };
            there.insert(number);
            let bar = visitors.entry(number).or_insert_with(|| {
                let bar = ProgressBar::hidden();
                bar.set_style(peer_style(columns()));
                screen.add(bar)
            });
            draw_peer(bar, peer, reach);
        }
        let before = visitors.len();
        visitors.retain(|number, bar| {
            let stays = there.contains(number);
            if !stays {
                screen.remove(bar);
            }
            stays
        });
        if visitors.len() < before {
            redraw(screen);
        }
    }

    /// Takes away what tells of items.
    fn hide_items(&mut self) {
        if std::mem::replace(&mut self.hidden, true) {
            return;
        }
        for bar in self.live.values_mut().filter_map(|live| live.bar.take()) {
            self.screen.remove(&bar);
        }
        self.screen.remove(&self.total);
        redraw(&self.screen);
    }

    fn draw_items(&mut self) {
        let shown = self.shown(Instant::now());
        let kept: HashSet<_> = shown.iter().copied().collect();
        for (item, live) in &mut self.live {
            if !kept.contains(item)
                && let Some(bar) = live.bar.take()
            {
                self.screen.remove(&bar);
            }
        }
        for item in shown {
            let Some(live) = self.live.get_mut(&item) else { continue };
            let meter = live.meter.snapshot();
            let total = meter.total.or(live.size);
            let bar = live.bar.get_or_insert_with(|| {
                let bar = ProgressBar::hidden();
                bar.set_style(style(columns()));
                self.screen.insert_from_back(1, bar)
            });
            // Bytes that are there already are looked at before others come.
            let checking = meter.landed == 0 && meter.checked > 0;
            bar.set_prefix(if checking {
                format!("checking {}", short(&live.from, usize::from(columns()) / 5))
            } else {
                short(&live.from, usize::from(columns()) / 3)
            });
            bar.set_length(total.unwrap_or(0));
            bar.set_position(if checking { meter.checked } else { meter.landed });
            bar.tick();
        }
    }

    fn draw_total(&mut self, pulse: &Pulse) {
        let Pulse { meter, items } = pulse;
        let over = items.settled();
        let bytes = self.bytes.at(meter.wire.max(meter.landed));
        let rate = self.items.at(over);
        self.total.set_length(items.found);
        self.total.set_position(over);
        let more = if items.complete { "" } else { "+" };
        let failed = match items.failed {
            0 => String::new(),
            n => format!(", {} failed", grouped(n)),
        };
        // Before the listing is complete nobody knows what is left. Then: by bytes or by items,
        // whichever takes longer.
        let left = items.complete.then(|| {
            let left = meter.total.map_or(0, |total| total.saturating_sub(meter.landed));
            let by_bytes = time_left(left, bytes).unwrap_or(0.0);
            let by_items = time_left(items.found.saturating_sub(over), rate).unwrap_or(0.0);
            by_bytes.max(by_items)
        });
        let left = left.filter(|left| *left > 0.0).map(|l| format!("  {} left", whole_seconds(l)));
        self.total.set_style(total_style(columns(), items.complete));
        if let Some(what) = self.peers.waiting().filter(|_| over == 0) {
            self.total.set_prefix(what);
            self.total.set_message("");
            self.total.tick();
            return;
        }
        self.total.set_prefix(format!("{}/{}{more}{failed}", grouped(over), grouped(items.found)));
        let total = meter.total.filter(|total| items.complete && *total > 0);
        let of = total.map(|total| format!(" of {}", human(total))).unwrap_or_default();
        let message = format!(
            "{}{of}{}  {}/s{}",
            human(meter.landed),
            checked(meter),
            human(bytes as u64),
            left.unwrap_or_default()
        );
        self.total.set_message(message);
        self.total.tick();
    }
}

/// Takes lines off the screen whose bars were removed: there may be no other bar to draw.
fn redraw(screen: &MultiProgress) {
    screen.suspend(|| ());
}

fn draw_peer(bar: &ProgressBar, peer: &Peer, reach: Reach) {
    let Reach { landed, total, speed } = reach;
    bar.set_prefix(short(&peer.name.as_str().into(), usize::from(columns()) / 3));
    bar.set_length(total);
    bar.set_position(landed);
    let left = time_left(total.saturating_sub(landed), speed).filter(|left| *left > 0.0);
    let left = left.map(|left| format!("  {} left", whole_seconds(left))).unwrap_or_default();
    bar.set_message(format!("{}/s{left}", human(speed as u64)));
    bar.tick();
}

/// How many bars fit: a line for the total and one for the prompt stay free.
fn room() -> usize {
    let rows = terminal_size::terminal_size_of(std::io::stderr()).map_or(24, |(_, rows)| rows.0);
    usize::from(rows.saturating_sub(2)).min(MOST)
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

/// A line narrower than the terminal: one that is cut in two could not be taken back.
fn style(columns: u16) -> ProgressStyle {
    template(match columns {
        60.. => "{prefix:28!} {wide_bar:.cyan/dim} {percent:>3}%  {binary_bytes:>11}",
        _ => "{prefix} {percent:>3}%",
    })
}

fn peer_style(columns: u16) -> ProgressStyle {
    template(match columns {
        80.. => "{prefix:16} {wide_bar:.green/dim} {percent:>3}%  {binary_bytes:>11}  {msg}",
        60.. => "{prefix:16} {wide_bar:.green/dim} {percent:>3}%  {binary_bytes:>11}",
        _ => "{prefix} {percent:>3}%",
    })
}

fn total_style(columns: u16, complete: bool) -> ProgressStyle {
    template(match (columns, complete) {
        (60.., true) => "{prefix:.bold} {wide_bar:.green/dim} {msg}",
        (60.., false) => "{prefix:.bold} {spinner:.green} {msg}",
        _ => "{prefix:.bold} {msg}",
    })
}

impl Render for Bars {
    fn every(&self) -> Duration {
        EVERY
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::ItemStarted { item, from, size, meter, .. } => {
                let (from, size, meter) = (from.clone(), *size, Arc::clone(meter));
                let live = Live { since: Instant::now(), from, size, meter, bar: None };
                self.live.insert(*item, live);
            }
            Event::Settled(settled) => {
                if let Some(bar) = self.live.remove(&settled.item).and_then(|live| live.bar) {
                    self.screen.remove(&bar);
                }
            }
            event => {
                if let Some(line) = note_of(event, &mut self.peers) {
                    self.aside(&mut || output::note(&line));
                }
            }
        }
    }

    fn draw(&mut self, pulse: &Pulse) {
        if !self.drawn {
            self.drawn = true;
            self.total = self.screen.add(std::mem::replace(&mut self.total, ProgressBar::hidden()));
        }
        if self.peers.offered() {
            self.hide_items();
        } else {
            self.draw_items();
            self.draw_total(pulse);
        }
        self.draw_peers();
    }

    fn aside(&mut self, write: &mut dyn FnMut()) {
        if self.drawn { self.screen.suspend(write) } else { write() }
    }

    fn finish(&mut self) {
        let items = self.live.values_mut().filter_map(|live| live.bar.take());
        for bar in items.chain(self.visitors.drain().map(|(_, bar)| bar)) {
            self.screen.remove(&bar);
        }
        if self.drawn {
            self.total.finish_and_clear();
            let _terminal_gone = self.screen.clear();
            self.drawn = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(item: u64, size: u64) -> Event {
        let (from, to) = (format!("s3://b/{item}").into(), Foreign::default());
        Event::ItemStarted { item, from, to, size: Some(size), meter: Meter::new() }
    }

    /// S0.10: only items that last get a bar, and only so many, the longest running first.
    #[test]
    fn items_that_last_get_a_bar() {
        let mut bars = Bars::new(Peers::new(false));
        for item in 0..24 {
            bars.event(&started(item, 10));
        }
        let now = Instant::now();
        assert!(bars.shown(now).is_empty(), "none has lasted");
        assert_eq!(bars.shown(now + EVERY), (0..16).collect::<Vec<_>>());
        let done = haul::Settled::new("", "", haul::Outcome::Removed);
        bars.event(&Event::Settled(Box::new(done)));
        assert_eq!(bars.shown(now + EVERY), (1..17).collect::<Vec<_>>());
    }

    #[test]
    fn templates_parse() {
        for columns in [20, 60, 100] {
            drop((style(columns), total_style(columns, true), total_style(columns, false)));
            drop(peer_style(columns));
        }
    }
}
