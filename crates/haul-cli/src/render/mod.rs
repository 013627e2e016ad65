//! Showing a job while it runs.
//!
//! Owns the choice of renderer and the loop that feeds it. Renderers draw on stderr only; they learn
//! of bytes by polling meters, so that a slow terminal never slows a transfer. Results go to stdout
//! through [`printer`], which a slow reader may hold up without holding up signals.

mod bar;
mod bars;
mod json;
mod peers;
mod plain;
mod printer;
mod screen;
mod speed;

use std::collections::HashSet;
use std::future::Future;
use std::io::IsTerminal as _;
use std::pin::Pin;
use std::time::{Duration, Instant};

use haul::{Event, Foreign, Haul, MeterSnapshot, Settled, Summary, TransferHandle};

use crate::args::{Common, ProgressMode};
use crate::session::Session;
use crate::size::human;
use crate::{hints, output, signals};
use peers::Peers;
use printer::Printer;

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pulse {
    meter: MeterSnapshot,
    /// The items; all zero for a job of one.
    items: Summary,
}

/// Draws one job.
trait Render {
    /// How often to draw.
    fn every(&self) -> Duration;
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// Time to draw.
    fn draw(&mut self, pulse: &Pulse);
    /// Writes something with the terminal out of the way.
    fn aside(&mut self, write: &mut dyn FnMut()) {
        write();
    }
    /// The job is over, or about to be; the terminal goes back to the caller.
    fn finish(&mut self);
}

/// Nothing to see.
struct Silent;

impl Render for Silent {
    fn every(&self) -> Duration {
        Duration::from_hours(1)
    }
    fn event(&mut self, _: &Event) {}
    fn draw(&mut self, _: &Pulse) {}
    fn finish(&mut self) {}
}

/// Nothing to draw, for data on the terminal that bars would be drawn on: only what a person should
/// know of.
struct Notes(Peers);

impl Render for Notes {
    fn every(&self) -> Duration {
        Duration::from_hours(1)
    }
    fn event(&mut self, event: &Event) {
        if let Some(line) = note_of(event, &mut self.0) {
            output::note(&line);
        }
    }
    fn draw(&mut self, _: &Pulse) {}
    fn finish(&mut self) {}
}

/// Learns of the items that are over, and says what there is to say about them.
pub(crate) trait Listener {
    /// One item is over. It is dropped soon: it holds a credit of the job's.
    fn settled(&mut self, settled: Settled, say: &mut Say);
    /// Something else happened.
    fn heard(&mut self, _event: &Event, _say: &mut Say) {}
    /// The first signal came: what to say about it.
    fn interrupted(&mut self) -> Option<&'static str> {
        Some("haul: interrupted, cleaning up (once more to quit at once)")
    }
    /// There will be no more.
    fn ended(&mut self, _: &mut Say) {}
}

/// What there is to say: whole lines for stdout, and lines for stderr.
#[derive(Debug, Default)]
pub(crate) struct Say {
    pub(crate) results: Vec<u8>,
    pub(crate) asides: Vec<String>,
    /// Whether somebody waits for the results: they are written at once, before the lines beside
    /// them.
    pub(crate) urgent: bool,
}

impl Say {
    /// A line of results.
    pub(crate) fn result(&mut self, line: &str) {
        self.results.extend_from_slice(line.as_bytes());
        self.results.push(b'\n');
    }
}

/// For jobs of one, whose result is the report.
pub(crate) struct Nobody;

impl Listener for Nobody {
    fn settled(&mut self, _: Settled, _: &mut Say) {}
}

/// What a job is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One item.
    One,
    /// One item, whose bytes go to standard output.
    Data,
    /// Many items.
    Many,
    /// Many items, from a peer.
    Receive,
    /// Many items, and then whoever wants them.
    Share,
}

fn renderer(common: &Common, shape: Shape) -> Box<dyn Render> {
    let many = !matches!(shape, Shape::One | Shape::Data);
    let peers = match shape {
        Shape::Receive => Peers::awaited(),
        _ => Peers::new(shape == Shape::Share),
    };
    let mode = if common.quiet { ProgressMode::None } else { common.progress };
    let beside_data = shape == Shape::Data && std::io::stdout().is_terminal();
    match mode {
        ProgressMode::None => Box::new(Silent),
        ProgressMode::Auto | ProgressMode::Bar if beside_data => Box::new(Notes(peers)),
        ProgressMode::Json => Box::new(json::Json::new(many, peers)),
        ProgressMode::Auto if !can_draw() => Box::new(plain::Plain::new(many, peers)),
        ProgressMode::Plain => Box::new(plain::Plain::new(many, peers)),
        ProgressMode::Auto | ProgressMode::Bar if many => Box::new(bars::Bars::new(peers)),
        ProgressMode::Auto | ProgressMode::Bar => Box::new(bar::Bar::new(peers)),
    }
}

/// Whether stderr is a terminal that can take lines back.
pub(crate) fn can_draw() -> bool {
    let kind = std::env::var_os("TERM").unwrap_or_default();
    std::io::stderr().is_terminal() && !kind.is_empty() && kind != "dumb"
}

/// Watches a job of one until it ends, through signals.
pub(crate) async fn follow<T>(
    haul: &Haul,
    job: TransferHandle<T>,
    session: &Session,
) -> haul::Result<T> {
    watch(haul, job, session, &mut Nobody, Shape::One).await
}

/// Watches a job of one whose bytes go to standard output until it ends, through signals.
pub(crate) async fn follow_data<T>(
    haul: &Haul,
    job: TransferHandle<T>,
    session: &Session,
) -> haul::Result<T> {
    watch(haul, job, session, &mut Nobody, Shape::Data).await
}

/// Watches a job of many until it ends and its results are written, through signals.
pub(crate) async fn follow_many<T>(
    haul: &Haul,
    job: TransferHandle<T>,
    session: &Session,
    listener: &mut dyn Listener,
) -> haul::Result<T> {
    watch(haul, job, session, listener, Shape::Many).await
}

/// Watches a job that receives many from a peer, in the same way.
pub(crate) async fn follow_receive<T>(
    haul: &Haul,
    job: TransferHandle<T>,
    session: &Session,
    listener: &mut dyn Listener,
) -> haul::Result<T> {
    watch(haul, job, session, listener, Shape::Receive).await
}

/// Watches a job that shares with peers until it ends, through signals.
pub(crate) async fn follow_share<T>(
    haul: &Haul,
    job: TransferHandle<T>,
    session: &Session,
    listener: &mut dyn Listener,
) -> haul::Result<T> {
    watch(haul, job, session, listener, Shape::Share).await
}

type Signal = Pin<Box<dyn Future<Output = bool>>>;

/// The next signal; a line of a batch leaves them to the batch.
fn signal(session: &Session) -> Signal {
    if session.in_batch() {
        Box::pin(std::future::pending())
    } else {
        Box::pin(signals::stop_signal())
    }
}

async fn watch<T>(
    haul: &Haul,
    mut job: TransferHandle<T>,
    session: &Session,
    listener: &mut dyn Listener,
    shape: Shape,
) -> haul::Result<T> {
    let (meter, tally) = (job.meter(), job.tally());
    let pulse = || Pulse { meter: meter.snapshot(), items: tally.snapshot() };
    let mut events = job.take_events();
    let mut show = Show::new(renderer(&session.common, shape), listener);
    show.sparing = !matches!(shape, Shape::One | Shape::Data) && session.common.verbose == 0;
    let every = show.renderer.every();
    let mut clock = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stop = signal(session);
    let mut result = None;
    loop {
        let event = async { events.as_mut()?.recv().await };
        tokio::select! {
            biased;
            terminated = &mut stop => {
                stop = signal(session);
                show.interrupted(terminated);
                haul.close();
            }
            Some(event) = event, if show.printer.has_room() => show.hear(event),
            ended = &mut job, if result.is_none() => {
                while let Some(event) = events.as_mut().and_then(|e| e.try_recv().ok()) {
                    show.hear(event);
                }
                show.ended(ended.is_ok().then(&pulse));
                result = Some(ended);
            }
            () = show.printer.turn(), if show.printer.has_work() => show.print(haul),
            _ = clock.tick(), if result.is_none() => show.draw(&pulse()),
        }
        if show.printer.is_done()
            && let Some(result) = result.take()
        {
            // Nobody reads the results: what stopped the job matters less than that.
            return show.printer.failure().map_or(result, Err);
        }
    }
}

/// The three ends of a job's output.
struct Show<'a> {
    renderer: Box<dyn Render>,
    printer: Printer,
    listener: &'a mut dyn Listener,
    stopping: bool,
    /// Whether items say the same thing over and over: what was said once is enough.
    sparing: bool,
    told: HashSet<Foreign>,
    last_retry: Option<Instant>,
}

/// With many items, retries are told so often at most; the summary counts them all.
const BETWEEN_RETRIES: Duration = Duration::from_secs(1);

/// Notes that are remembered, so as not to be told twice.
const NOTES: usize = 64;

impl<'a> Show<'a> {
    fn new(renderer: Box<dyn Render>, listener: &'a mut dyn Listener) -> Self {
        Self {
            renderer,
            printer: Printer::new(),
            listener,
            stopping: false,
            sparing: false,
            told: HashSet::new(),
            last_retry: None,
        }
    }

    fn hear(&mut self, event: Event) {
        if self.sparing && self.is_old_news(&event) {
            return;
        }
        self.renderer.event(&event);
        let mut say = Say::default();
        match event {
            Event::Settled(settled) => self.listener.settled(*settled, &mut say),
            event => self.listener.heard(&event, &mut say),
        }
        self.say(say);
    }

    fn is_old_news(&mut self, event: &Event) -> bool {
        match event {
            Event::Note { text, .. } if self.told.len() < NOTES => !self.told.insert(text.clone()),
            Event::Note { text, .. } => self.told.contains(text),
            Event::Retrying { .. } => {
                let soon = self.last_retry.is_some_and(|told| told.elapsed() < BETWEEN_RETRIES);
                if !soon {
                    self.last_retry = Some(Instant::now());
                }
                soon
            }
            _ => false,
        }
    }

    fn say(&mut self, say: Say) {
        self.printer.push(&say.results);
        if say.urgent {
            self.printer.hurry();
            self.write();
        }
        if !say.asides.is_empty() {
            self.renderer.aside(&mut || say.asides.iter().for_each(|line| output::note(line)));
        }
    }

    fn interrupted(&mut self, terminated: bool) {
        if self.stopping {
            signals::quit();
        }
        self.stopping = true;
        signals::remember(terminated);
        self.renderer.finish();
        if let Some(line) = self.listener.interrupted() {
            output::note(line);
        }
    }

    fn draw(&mut self, pulse: &Pulse) {
        if !self.stopping {
            self.renderer.draw(pulse);
        }
    }

    fn ended(&mut self, last: Option<Pulse>) {
        let mut say = Say::default();
        self.listener.ended(&mut say);
        self.say(say);
        if let Some(pulse) = last {
            self.draw(&pulse);
        }
        self.renderer.finish();
        self.printer.hurry();
    }

    /// It is time to write results; or they were written, perhaps to nobody.
    fn print(&mut self, haul: &Haul) {
        self.write();
        if self.printer.is_broken() {
            haul.close();
        }
    }

    fn write(&mut self) {
        let Self { renderer, printer, .. } = self;
        if printer.on_terminal() {
            renderer.aside(&mut || printer.write());
        } else {
            printer.start();
        }
    }
}

/// What a retry looks like on one line.
fn retry_line(error: &str, attempt: u32, wait: Duration) -> String {
    let line = format!("{error}; try {} follows in {:.1} s", attempt + 1, wait.as_secs_f64());
    output::error_line(&line)
}

/// How much of what is there was looked at, if anything.
fn checked(meter: &MeterSnapshot) -> String {
    match meter.checked {
        0 => String::new(),
        bytes => format!(", {} checked", human(bytes)),
    }
}

/// The line about an event that a person should know of, if it is one.
fn note_of(event: &Event, peers: &mut Peers) -> Option<String> {
    match event {
        Event::Retrying { error, attempt, wait } => Some(retry_line(error, *attempt, *wait)),
        Event::Note { text, hint } => {
            Some(output::error_line(&hints::note(text, hint.as_ref()).to_string()))
        }
        event => peers.line(event),
    }
}
