//! Showing a job while it runs.
//!
//! Owns the choice of renderer and the loop that feeds it. Renderers draw on stderr only; they learn
//! of bytes by polling the meter, so that a slow terminal never slows a transfer.

mod bar;
mod json;
mod plain;

use std::io::IsTerminal as _;
use std::time::Duration;

use haul::{Event, Haul, MeterSnapshot, Report, TransferHandle};

use crate::args::{Common, ProgressMode};
use crate::{output, signals};

/// Draws one job.
trait Render {
    /// How often to draw.
    fn every(&self) -> Duration;
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// Time to draw.
    fn draw(&mut self, meter: MeterSnapshot);
    /// Something to tell beside the progress.
    fn note(&mut self, line: &str) {
        output::note(line);
    }
    /// The job is over; the terminal goes back to the caller.
    fn finish(&mut self);
}

fn renderer(common: &Common) -> Option<Box<dyn Render>> {
    let mode = if common.quiet { ProgressMode::None } else { common.progress };
    Some(match mode {
        ProgressMode::None => return None,
        ProgressMode::Json => Box::new(json::Json::default()),
        ProgressMode::Bar => Box::new(bar::Bar::new()),
        ProgressMode::Auto if std::io::stderr().is_terminal() => Box::new(bar::Bar::new()),
        ProgressMode::Auto | ProgressMode::Plain => Box::new(plain::Plain::default()),
    })
}

/// Watches a job until it ends, through signals.
pub(crate) async fn follow(
    haul: &Haul,
    mut job: TransferHandle,
    common: &Common,
) -> haul::Result<Report> {
    let mut renderer = renderer(common);
    let meter = job.meter();
    let mut events = job.take_events();
    let every = renderer.as_ref().map_or(Duration::from_hours(1), |r| r.every());
    let mut clock = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    let (mut stop, mut stopping) = (Box::pin(signals::stop_signal()), false);
    let result = loop {
        let event = async {
            match &mut events {
                Some(events) => events.recv().await,
                None => None,
            }
        };
        tokio::select! {
            biased;
            Some(event) = event => if let Some(r) = &mut renderer { r.event(&event) },
            result = &mut job => break result,
            terminated = &mut stop => {
                if stopping {
                    signals::quit();
                }
                stopping = true;
                signals::remember(terminated);
                stop = Box::pin(signals::stop_signal());
                let line = "haul: interrupted, cleaning up (once more to quit at once)";
                match &mut renderer {
                    Some(r) => r.note(line),
                    None => output::note(line),
                }
                haul.cancel();
            }
            _ = clock.tick() => match &mut renderer {
                Some(r) if !stopping => r.draw(meter.snapshot()),
                _ => {}
            },
        }
    };
    if let Some(r) = &mut renderer {
        while let Some(event) = events.as_mut().and_then(|e| e.try_recv().ok()) {
            r.event(&event);
        }
        if result.is_ok() {
            r.draw(meter.snapshot());
        }
        r.finish();
    }
    result
}

/// What a retry looks like on one line.
fn retry_line(error: &str, attempt: u32, wait: Duration) -> String {
    format!("haul: {error}; try {} follows in {:.1} s", attempt + 1, wait.as_secs_f64())
}

/// Draws nothing but what a person should know: for renderers that print lines.
fn note_event(event: &Event) {
    match event {
        Event::Retrying { error, attempt, wait } => {
            output::note(&retry_line(error, *attempt, *wait));
        }
        Event::Note { text } => output::note(&format!("haul: {text}")),
        _ => {}
    }
}
