//! Progress as JSON lines, for programs.
//!
//! Owns the schema: `type` is one of `started`, `progress`, `retrying`, `note`, `done`; sizes are
//! bytes, times seconds.

use std::time::Duration;

use haul::{Event, MeterSnapshot};
use serde_json::json;

use super::Render;
use crate::output;

const EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Json {
    last: Option<MeterSnapshot>,
}

impl Render for Json {
    fn every(&self) -> Duration {
        EVERY
    }

    fn event(&mut self, event: &Event) {
        let line = match event {
            Event::ItemStarted { from, to, size } => {
                json!({"type": "started", "from": from, "to": to, "size": size})
            }
            Event::Retrying { error, attempt, wait } => json!({
                "type": "retrying", "error": error, "attempt": attempt, "wait": wait.as_secs_f64(),
            }),
            Event::Note { text } => json!({"type": "note", "text": text}),
            Event::ItemDone { report } => {
                json!({
                    "type": "done", "from": report.from, "to": report.to, "bytes": report.bytes,
                    "seconds": report.elapsed.as_secs_f64(), "retried": report.retried,
                    "verified": report.verified.to_string(),
                })
            }
            _ => return,
        };
        output::note(&line.to_string());
    }

    fn draw(&mut self, meter: MeterSnapshot) {
        if self.last.replace(meter) == Some(meter) {
            return;
        }
        let line = json!({
            "type": "progress", "landed": meter.landed, "total": meter.total,
            "wire": meter.wire, "retried": meter.retried,
        });
        output::note(&line.to_string());
    }

    fn finish(&mut self) {}
}
