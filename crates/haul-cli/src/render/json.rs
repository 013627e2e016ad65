//! Progress as JSON lines, for programs.
//!
//! Owns the schema: `type` is one of `started`, `progress`, `retrying`, `note`, `done`, `sharing`,
//! `peer`; sizes are bytes, times seconds.

use std::time::Duration;

use haul::{Event, Outcome};
use serde_json::json;

use super::peers::{self, Peers, Reach};
use super::{Pulse, Render};
use crate::{hints, output};

const EVERY: Duration = Duration::from_secs(1);

pub(super) struct Json {
    many: bool,
    last: Option<Pulse>,
    peers: Peers,
}

impl Json {
    pub(super) fn new(many: bool, peers: Peers) -> Self {
        Self { many, last: None, peers }
    }

    /// How far each peer is that is further than it was.
    fn draw_peers(&mut self) {
        for (number, peer) in self.peers.shown() {
            if let Some(Reach { landed, total, .. }) = peer.progress() {
                let line = json!({
                    "type": "peer", "peer": number, "name": peer.name, "event": "progress",
                    "landed": landed, "total": total,
                });
                output::note(&line.to_string());
            }
        }
    }
}

impl Render for Json {
    fn every(&self) -> Duration {
        EVERY
    }

    fn event(&mut self, event: &Event) {
        let line = match event {
            Event::ItemStarted { item, from, to, size, .. } => {
                let mut line = json!({
                    "type": "started", "from": from.exact(), "to": to.exact(), "size": size,
                });
                if self.many {
                    line["item"] = (*item).into();
                }
                line
            }
            Event::Retrying { error, attempt, wait } => json!({
                "type": "retrying", "error": error, "attempt": attempt, "wait": wait.as_secs_f64(),
            }),
            Event::Note { text, hint } => {
                json!({"type": "note", "text": hints::note(text, hint.as_ref()).exact()})
            }
            Event::ItemDone { report } => {
                json!({
                    "type": "done", "from": report.from.exact(), "to": report.to.exact(), "bytes": report.bytes,
                    "seconds": report.elapsed.as_secs_f64(), "retried": report.retried,
                    "verified": report.verified.to_string(),
                })
            }
            Event::Settled(settled) => json!({
                "type": "done", "item": settled.item, "from": settled.from.exact(), "to": settled.to.exact(),
                "bytes": settled.size, "ok": !matches!(settled.outcome, Outcome::Failed(_)),
            }),
            event => match self.peers.hear(event) {
                Some(news) => peers::object(&news),
                None => return,
            },
        };
        output::note(&line.to_string());
    }

    fn draw(&mut self, pulse: &Pulse) {
        self.draw_peers();
        if self.last.replace(*pulse) == Some(*pulse) {
            return;
        }
        let Pulse { meter, items } = pulse;
        let mut line = json!({
            "type": "progress", "landed": meter.landed, "total": meter.total,
            "wire": meter.wire, "retried": meter.retried, "checked": meter.checked,
        });
        if self.many {
            line["items"] = json!({
                "found": items.found, "over": items.settled(), "failed": items.failed,
                "complete": items.complete,
            });
        }
        output::note(&line.to_string());
    }

    fn finish(&mut self) {}
}
