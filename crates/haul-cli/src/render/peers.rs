//! The peers of a job that sends or receives.
//!
//! Owns who is there, and what is told of them: lines for people, objects for programs, numbers to
//! draw. Must never tell the ticket: that is a result.

use std::collections::BTreeMap;
use std::sync::Arc;

use haul::{Event, Meter, MeterSnapshot, PeerEnd, PeerEvent, Route, Summary};
use serde_json::{Value, json};

use super::speed::Speed;
use crate::output;
use crate::size::{grouped, human};

/// The peers that are there.
#[derive(Debug)]
pub(super) struct Peers {
    /// Whether this side is the sender.
    sender: bool,
    /// Whether everything is offered: what is left to do is what peers do.
    offered: bool,
    /// Whether nothing can move before a peer is there.
    awaited: bool,
    all: BTreeMap<u64, Peer>,
}

/// A peer that is there.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    route: Route,
    meter: Arc<Meter>,
    speed: Speed,
    /// What was told last of how far it is.
    told: Option<MeterSnapshot>,
}

/// How far a peer is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    pub(super) landed: u64,
    pub(super) total: u64,
    /// Bytes a second.
    pub(super) speed: f64,
}

impl Peer {
    /// How far it is, if it says so.
    pub(super) fn reach(&mut self) -> Option<Reach> {
        let MeterSnapshot { total, landed, .. } = self.meter.snapshot();
        let speed = self.speed.at(landed);
        Some(Reach { landed, total: total?, speed })
    }

    /// The same, if it is further than when this was asked last.
    pub(super) fn progress(&mut self) -> Option<Reach> {
        let now = self.meter.snapshot();
        if self.told.replace(now) == Some(now) { None } else { self.reach() }
    }
}

/// Something to tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Everything is offered.
    Sharing(Summary),
    /// A peer is connected.
    Joined { peer: u64, name: String, route: Route },
    /// The way to a peer is another.
    Moved { peer: u64, name: String, route: Route },
    /// A peer is gone.
    Left { peer: u64, name: String, end: PeerEnd },
}

impl Peers {
    pub(super) fn new(sender: bool) -> Self {
        Self { sender, offered: false, awaited: false, all: BTreeMap::new() }
    }

    /// The peers of a receiver: nothing moves before the sender is there.
    pub(super) fn awaited() -> Self {
        Self { awaited: true, ..Self::new(false) }
    }

    /// What is waited for, while nothing can move.
    pub(super) fn waiting(&self) -> Option<&'static str> {
        (self.awaited && self.all.is_empty()).then_some("waiting for the sender")
    }

    /// Whether peers are all there is to show.
    pub(super) fn offered(&self) -> bool {
        self.offered
    }

    /// The peers to show, those that came first before others; a receiver's own progress is that of
    /// the job.
    pub(super) fn shown(&mut self) -> impl Iterator<Item = (u64, &mut Peer)> {
        let shown = if self.sender { usize::MAX } else { 0 };
        self.all.iter_mut().map(|(number, peer)| (*number, peer)).take(shown)
    }

    /// Hears of something; what is to be told, if anything is.
    pub(super) fn hear(&mut self, event: &Event) -> Option<News> {
        match event {
            Event::AllOffered(summary) => {
                self.offered = true;
                Some(News::Sharing(*summary))
            }
            Event::Peer { peer, event } => self.peer(*peer, event),
            _ => None,
        }
    }

    fn peer(&mut self, number: u64, event: &PeerEvent) -> Option<News> {
        match event {
            PeerEvent::Joined { name, route, meter } => {
                let (name, route) = (name.clone(), route.clone());
                let known = Peer {
                    name: name.clone(),
                    route: route.clone(),
                    meter: Arc::clone(meter),
                    speed: Speed::default(),
                    told: None,
                };
                self.all.insert(number, known);
                Some(News::Joined { peer: number, name, route })
            }
            PeerEvent::Moved(route) => {
                let peer = self.all.get_mut(&number)?;
                // A way that is the same again is no news.
                let before = std::mem::replace(&mut peer.route, route.clone());
                let (name, route) = (peer.name.clone(), route.clone());
                (before != route).then_some(News::Moved { peer: number, name, route })
            }
            PeerEvent::Left(end) => {
                let Peer { name, .. } = self.all.remove(&number)?;
                Some(News::Left { peer: number, name, end: end.clone() })
            }
            _ => None,
        }
    }

    /// The line about an event for a person, if there is one.
    pub(super) fn line(&mut self, event: &Event) -> Option<String> {
        let news = self.hear(event)?;
        Some(output::error_line(&self.told(&news)?))
    }

    fn told(&self, news: &News) -> Option<String> {
        Some(match news {
            News::Sharing(summary) => sharing(summary),
            News::Joined { name, route, .. } if self.sender => {
                format!("{name} connected{}", way(route))
            }
            News::Joined { name, route, .. } => format!("connected to {name}{}", way(route)),
            News::Moved { route: Route::Unknown, .. } => return None,
            News::Moved { name, route, .. } => format!("{name}: now {route}"),
            // A receiver's summary says how it ended.
            News::Left { .. } if !self.sender => return None,
            News::Left { name, end, .. } => match end {
                PeerEnd::Finished { files } => format!("{name} has everything ({})", count(*files)),
                PeerEnd::Partial { failed } => format!("{name} could not take {}", count(*failed)),
                _ => format!("{name} went away"),
            },
        })
    }
}

fn count(files: u64) -> String {
    let s = if files == 1 { "" } else { "s" };
    format!("{} file{s}", grouped(files))
}

/// The way to a peer, if it is known.
fn way(route: &Route) -> String {
    match route {
        Route::Unknown => String::new(),
        route => format!(" ({route})"),
    }
}

fn sharing(summary: &Summary) -> String {
    let failed = match summary.failed {
        0 => String::new(),
        n => format!(", {} could not be read", grouped(n)),
    };
    format!(
        "sharing {}, {} (hashed in {:.1} s){failed}; Ctrl-C stops",
        count(summary.copied),
        human(summary.bytes),
        summary.elapsed.as_secs_f64()
    )
}

/// News for programs.
pub(super) fn object(news: &News) -> Value {
    match news {
        News::Sharing(s) => json!({
            "type": "sharing", "files": s.copied, "bytes": s.bytes, "failed": s.failed,
            "seconds": s.elapsed.as_secs_f64(),
        }),
        News::Joined { peer, name, route } => with_route(*peer, name, "joined", route),
        News::Moved { peer, name, route } => with_route(*peer, name, "moved", route),
        News::Left { peer, name, end } => {
            let mut line = json!({"type": "peer", "peer": peer, "name": name, "event": "left"});
            match end {
                PeerEnd::Finished { files } => {
                    (line["end"], line["files"]) = ("finished".into(), (*files).into());
                }
                PeerEnd::Partial { failed } => {
                    (line["end"], line["failed"]) = ("partial".into(), (*failed).into());
                }
                _ => line["end"] = "gone".into(),
            }
            line
        }
    }
}

fn with_route(peer: u64, name: &str, event: &str, route: &Route) -> Value {
    let (route, address) = match route {
        Route::Direct(address) => ("direct", Some(address)),
        Route::Relay(url) => ("relay", Some(url)),
        _ => ("unknown", None),
    };
    json!({
        "type": "peer", "peer": peer, "name": name, "event": event, "route": route,
        "address": address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn joined(peer: u64, route: Route) -> Event {
        let event = PeerEvent::Joined { name: "peer 1a2b".into(), route, meter: Meter::new() };
        Event::Peer { peer, event }
    }

    fn of(event: PeerEvent) -> Event {
        Event::Peer { peer: 0, event }
    }

    /// U4.2: the sender shows its peers.
    #[test]
    fn a_visit_is_told_once() {
        let mut peers = Peers::new(true);
        let direct = || Route::Direct("192.0.2.7:4433".into());
        let line = peers.line(&joined(0, Route::Relay("https://r/".into()))).unwrap();
        assert_eq!(line, "haul: peer 1a2b connected (through relay https://r/)");
        let line = peers.line(&of(PeerEvent::Moved(direct()))).unwrap();
        assert_eq!(line, "haul: peer 1a2b: now direct, 192.0.2.7:4433");
        assert_eq!(peers.line(&of(PeerEvent::Moved(direct()))), None);
        assert_eq!(peers.shown().count(), 1);
        let line = peers.line(&of(PeerEvent::Left(PeerEnd::Finished { files: 1200 }))).unwrap();
        assert_eq!(line, "haul: peer 1a2b has everything (1,200 files)");
        assert_eq!(peers.line(&of(PeerEvent::Left(PeerEnd::Gone))), None);
        assert_eq!(peers.shown().count(), 0);
    }

    #[test]
    fn a_receiver_has_one_peer_and_no_bar_for_it() {
        let mut peers = Peers::new(false);
        let line = peers.line(&joined(0, Route::Unknown)).unwrap();
        assert_eq!(line, "haul: connected to peer 1a2b");
        assert_eq!(peers.shown().count(), 0);
        assert_eq!(peers.line(&of(PeerEvent::Left(PeerEnd::Gone))), None);
    }

    /// Without its sender a receiver has nothing to count.
    #[test]
    fn a_sender_is_waited_for() {
        let mut peers = Peers::awaited();
        assert!(peers.waiting().is_some());
        peers.line(&joined(0, Route::Unknown)).unwrap();
        assert_eq!(peers.waiting(), None);
        assert_eq!(peers.line(&of(PeerEvent::Left(PeerEnd::Gone))), None);
        assert!(peers.waiting().is_some(), "it may come back");
        assert_eq!(Peers::new(true).waiting(), None);
    }

    #[test]
    fn all_is_offered() {
        let mut summary = Summary::default();
        (summary.copied, summary.bytes, summary.failed) = (12, 3 << 30, 1);
        summary.elapsed = Duration::from_millis(2100);
        let line = Peers::new(true).line(&Event::AllOffered(summary)).unwrap();
        assert_eq!(
            line,
            "haul: sharing 12 files, 3.0 GiB (hashed in 2.1 s), 1 could not be read; Ctrl-C stops"
        );
    }
}
