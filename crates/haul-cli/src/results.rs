//! What a job of many items did, on both streams and in the exit code.
//!
//! Owns the lines and the JSON objects of items, in the order of the listing; the summary; and the
//! exit code. Failures are told at once, on stderr. Must never put anything but results on stdout.

use std::time::Instant;

use haul::{
    Change, Difference, ErrorKind, Foreign, Haul, InOrder, Location, Outcome, Report, Settled,
    Skip, Summary, TransferHandle,
};
use serde_json::{Value, json};

use crate::exit::{self, Exit};
use crate::render::{self, Listener, Say};
use crate::session::Session;
use crate::size::{grouped, human, human_rate};
use crate::{hints, output};

/// What is done to many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Copy,
    Move,
    Publish,
    Remove,
    Check,
    /// To be had by peers.
    Share,
    /// From a peer.
    Receive,
}

/// How to tell what was done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Telling {
    pub(crate) verb: Verb,
    /// Only what would be done.
    pub(crate) dry_run: bool,
    /// Nothing to do is an answer, not a mistake: for trees that are equal, and for shares.
    pub(crate) may_be_empty: bool,
    /// Whether a source was a pattern, which may not mean what it seems to.
    pub(crate) pattern: bool,
}

/// What is said of a pair that nothing tells about.
const UNKNOWN: &str =
    "unknown: the size is the same, and nothing is kept to compare the contents by";

impl Telling {
    /// How to tell of a job that does what it says and has something to do.
    pub(crate) const fn of(verb: Verb) -> Self {
        Self { verb, dry_run: false, may_be_empty: false, pattern: false }
    }

    /// Whether its lines are what the command is for: the links of `publish`.
    fn is_asked_for(self) -> bool {
        self.verb == Verb::Publish
    }

    /// Whether the job changes anything: `check` and dry runs only tell.
    fn changes(self) -> bool {
        !self.dry_run && self.verb != Verb::Check
    }
}

/// Runs a job of many to its end and tells what it did.
pub(crate) async fn run(
    haul: &Haul,
    job: TransferHandle<Summary>,
    session: &Session,
    telling: Telling,
) -> anyhow::Result<Exit> {
    let (tally, meter, started) = (job.tally(), job.meter(), Instant::now());
    let mut results = Results::new(telling, session);
    let result = match telling.verb {
        Verb::Receive => render::follow_receive(haul, job, session, &mut results).await,
        _ => render::follow_many(haul, job, session, &mut results).await,
    };
    let summary = result.as_ref().copied().unwrap_or_else(|_| {
        // A job that was cut short has done what it has done.
        let mut summary = tally.snapshot();
        (summary.retried, summary.elapsed) = (meter.snapshot().retried, started.elapsed());
        summary
    });
    let resumed = meter.snapshot().resumed;
    if let Err(e) = &result
        && e.kind() == ErrorKind::BrokenPipe
    {
        if telling.changes() {
            let line = line_of(&summary, resumed, telling);
            output::error(&format!("standard output was closed: stopped with {line}"));
        }
        return Ok(exit::code(e.kind()));
    }
    let ended = result.as_ref().map(drop).map_err(haul::Error::kind);
    tell_end(&summary, resumed, ended, (telling, session))?;
    result?;
    Ok(results.exit(&summary))
}

/// The last line, which adds everything up.
fn tell_end(
    summary: &Summary,
    resumed: u64,
    ended: Result<(), ErrorKind>,
    (telling, session): (Telling, &Session),
) -> haul::Result<()> {
    if session.common.json {
        let mut object = object_of(summary);
        if telling.verb == Verb::Receive {
            object["resumed"] = resumed.into();
        }
        if telling.dry_run {
            object["dry_run"] = true.into();
        }
        return output::result(&object.to_string());
    }
    if !session.tells() {
        return Ok(());
    }
    let line = line_of(summary, resumed, telling);
    match (ended, telling.verb) {
        (Err(ErrorKind::Cancelled), Verb::Receive) => output::note(&format!(
            "haul: stopped with {line}; the same command goes on where this stopped"
        )),
        (Err(_), _) if summary.settled() == 0 => {}
        (Err(ErrorKind::Cancelled), _) => output::note(&format!("haul: stopped with {line}")),
        _ => output::note(&line),
    }
    Ok(())
}

/// Turns items that are over into lines.
#[derive(Debug)]
pub(crate) struct Results {
    telling: Telling,
    json: bool,
    verbose: bool,
    /// Whether items that were changed have no lines.
    hushed: bool,
    order: InOrder,
    failure: Option<ErrorKind>,
}

impl Default for Results {
    fn default() -> Self {
        let telling = Telling::of(Verb::Copy);
        let (json, verbose, hushed) = (false, false, false);
        Self { telling, json, verbose, hushed, order: InOrder::default(), failure: None }
    }
}

impl Listener for Results {
    fn settled(&mut self, settled: Settled, say: &mut Say) {
        if let Outcome::Failed(e) = &settled.outcome {
            self.failure = Some(e.kind());
            say.asides.push(output::error_line(&exit::line(e)));
            if self.verbose {
                say.asides.extend(exit::causes(e));
            }
        }
        for settled in self.order.push(settled) {
            self.tell(&settled, say);
        }
    }

    fn ended(&mut self, say: &mut Say) {
        for settled in self.order.rest() {
            self.tell(&settled, say);
        }
    }
}

impl Results {
    pub(crate) fn new(telling: Telling, session: &Session) -> Self {
        let hushed = telling.changes() && !telling.is_asked_for() && !session.tells_changes();
        let (json, verbose) = (session.common.json, session.common.verbose > 0);
        Self { telling, json, verbose, hushed, ..Self::default() }
    }

    fn tell(&self, settled: &Settled, say: &mut Say) {
        if self.json {
            say.result(&self.object(settled).to_string());
            return;
        }
        if let Some(line) = self.line(settled).filter(|_| !self.hushed) {
            say.result(&line);
        }
        if let Some(line) = self.aside(settled).filter(|_| self.verbose) {
            say.asides.push(line);
        }
    }

    /// What `-v` says of an item beside its result, where the result is something else.
    fn aside(&self, settled: &Settled) -> Option<String> {
        let Settled { from, to, outcome, link, .. } = settled;
        match (outcome, self.telling.verb) {
            (Outcome::Offered(_), _) => Some(format!("offered {from} as {to}")),
            (Outcome::Copied(_), Verb::Publish) => Some(format!("uploaded {from} -> {to}")),
            (Outcome::Skipped(why), Verb::Publish) if link.is_some() => {
                Some(format!("skipped {from}: {why}"))
            }
            _ => None,
        }
    }

    /// The line of an item, if it is worth one. Links go out raw: they are what was asked for.
    fn line(&self, settled: &Settled) -> Option<String> {
        let Settled { from, to, link, outcome, .. } = settled;
        let publishes = self.telling.verb == Verb::Publish;
        match (outcome, link) {
            (Outcome::Copied(_) | Outcome::Skipped(_) | Outcome::Linked, Some(link))
                if publishes =>
            {
                Some(link.0.clone())
            }
            // What was received may have got another name.
            (Outcome::Copied(report), _) if self.telling.verb == Verb::Receive => {
                Some(format!("{from} -> {}", report.to))
            }
            (Outcome::Copied(_) | Outcome::Linked, _) => Some(format!("{from} -> {to}")),
            (Outcome::Removed, _) => Some(format!("removed {from}")),
            (Outcome::Would(Change::Copy), _) => Some(format!("would copy {from} -> {to}")),
            (Outcome::Would(Change::Move), _) => Some(format!("would move {from} -> {to}")),
            (Outcome::Would(Change::Remove), _) => Some(format!("would remove {from}")),
            (Outcome::Skipped(why), _) => self.verbose.then(|| format!("skipped {from}: {why}")),
            (Outcome::Same(how), _) => self.verbose.then(|| format!("same {from} ({how})")),
            (Outcome::Differs(how), _) => {
                let place = if settled.from.is_empty() { to } else { from };
                Some(format!("{place}: {how}"))
            }
            (Outcome::Unknown, _) => Some(format!("{from}: {UNKNOWN}")),
            _ => None,
        }
    }

    /// The JSON object of an item.
    fn object(&self, settled: &Settled) -> Value {
        let Settled { from, to, size, link, outcome, .. } = settled;
        let mut line = json!({"type": self.kind(outcome)});
        match outcome {
            Outcome::Removed | Outcome::Would(Change::Remove) => {
                line["location"] = json!(from.exact());
            }
            _ => {
                line["from"] = json!(from.exact());
                line["to"] = json!(to.exact());
            }
        }
        if let Some(size) = size {
            line["bytes"] = json!(size);
        }
        if let Some(link) = link {
            line["url"] = json!(link.0);
        }
        match outcome {
            Outcome::Copied(report) => {
                if self.telling.verb == Verb::Receive {
                    line["to"] = json!(report.to.exact());
                }
                facts(report, &mut line);
            }
            Outcome::Skipped(why) => line["reason"] = json!(reason(*why)),
            Outcome::Same(how) => line["verified"] = json!(how.to_string()),
            Outcome::Differs(how) => line["difference"] = json!(difference(*how)),
            Outcome::Failed(e) => line["error"] = error_of(e),
            _ => {}
        }
        line
    }

    fn kind(&self, outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Copied(_) if self.telling.verb == Verb::Move => "moved",
            Outcome::Copied(_) if self.telling.verb == Verb::Receive => "received",
            Outcome::Copied(_) => "copied",
            Outcome::Offered(_) => "offered",
            Outcome::Skipped(_) => "skipped",
            Outcome::Removed => "removed",
            Outcome::Would(Change::Copy) => "would_copy",
            Outcome::Would(Change::Move) => "would_move",
            Outcome::Would(Change::Remove) => "would_remove",
            Outcome::Same(_) => "same",
            Outcome::Differs(_) => "differs",
            Outcome::Unknown => "unknown",
            Outcome::Linked => "link",
            Outcome::Failed(_) => "failed",
            _ => "other",
        }
    }

    /// U0.1: an item that failed is never a success.
    fn exit(&self, summary: &Summary) -> Exit {
        match (summary.found, summary.failed, self.failure) {
            _ if summary.differing + summary.unknown > 0 => Exit::Verification,
            (1, 1, Some(kind)) => exit::code(kind),
            (_, 1.., _) => Exit::Failed,
            (0, ..) if !self.telling.may_be_empty => {
                let pattern =
                    if self.telling.pattern { "; * stops at a slash, ** does not" } else { "" };
                output::error(&format!(
                    "nothing matched (run haul ls to see what is there{pattern})"
                ));
                Exit::NotFound
            }
            _ => Exit::Done,
        }
    }
}

/// The JSON object of one item that failed, alone or among many.
pub(crate) fn failed(from: &Location, to: &Location, e: &haul::Error) -> Value {
    let (from, to) = (Foreign::from(from), Foreign::from(to));
    json!({"type": "failed", "from": from.exact(), "to": to.exact(), "error": error_of(e)})
}

fn error_of(e: &haul::Error) -> Value {
    json!({
        "kind": snake(&format!("{:?}", e.kind())), "message": e.to_string(),
        "hint": e.hint().map(hints::words),
    })
}

/// What is known about a finished copy.
pub(crate) fn facts(report: &Report, line: &mut Value) {
    line["bytes"] = json!(report.bytes);
    line["seconds"] = json!(report.elapsed.as_secs_f64());
    line["retried"] = json!(report.retried);
    line["verified"] = json!(report.verified.to_string());
    line["etag"] = json!(report.etag.as_deref().map(|e| e.trim_matches('"')));
    line["version_id"] = json!(report.version_id);
}

fn reason(skip: Skip) -> &'static str {
    match skip {
        Skip::Exists => "exists",
        Skip::Same(_) => "same",
        _ => "other",
    }
}

fn difference(difference: Difference) -> &'static str {
    match difference {
        Difference::MissingAtDestination => "missing_at_destination",
        Difference::MissingAtSource => "missing_at_source",
        Difference::Size => "size",
        Difference::Content => "content",
        _ => "other",
    }
}

/// `AccessDenied` as JSON spells it: `access_denied`.
fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

pub(crate) fn object_of(s: &Summary) -> Value {
    json!({
        "type": "summary", "found": s.found, "copied": s.copied, "skipped": s.skipped,
        "removed": s.removed, "same": s.same, "differing": s.differing, "unknown": s.unknown,
        "missing": s.missing, "failed": s.failed, "bytes": s.bytes, "seconds": s.elapsed.as_secs_f64(),
        "retried": s.retried, "complete": s.complete,
    })
}

/// S0.12: the summary for people.
fn line_of(s: &Summary, resumed: u64, telling: Telling) -> String {
    let would = if telling.dry_run { "would be " } else { "" };
    let mut parts = Vec::new();
    let mut part = |n: u64, what: &str, always: bool| {
        if n > 0 || always {
            parts.push(format!("{} {what}", grouped(n)));
        }
    };
    let copied = match telling.verb {
        Verb::Move => format!("{would}moved"),
        Verb::Publish if s.copied > 0 && s.bytes == 0 && s.skipped == 0 => "linked".to_owned(),
        Verb::Publish => format!("{would}uploaded"),
        Verb::Receive => "received".to_owned(),
        _ => format!("{would}copied"),
    };
    let copied = if s.bytes > 0 { format!("{copied} ({})", human(s.bytes)) } else { copied };
    match telling.verb {
        Verb::Check => {
            part(s.same, "the same", true);
            part(s.differing, "different", true);
            part(s.unknown, "unknown", false);
        }
        Verb::Remove => part(s.removed, &format!("{would}removed"), true),
        _ => {
            part(s.copied, &copied, true);
            part(s.skipped, "skipped", false);
            part(s.removed, &format!("{would}removed"), false);
        }
    }
    part(s.missing, "not found", false);
    part(s.failed.saturating_sub(s.missing), "failed", false);
    let time = s.elapsed.as_secs_f64();
    let rate = match s.bytes {
        bytes if bytes > 0 && !telling.dry_run => {
            format!(" ({})", human_rate(bytes.saturating_sub(resumed), s.elapsed))
        }
        _ => String::new(), // nothing moved
    };
    let retried = match s.retried {
        0 => String::new(),
        1 => ", 1 retry".to_owned(),
        n => format!(", {} retries", grouped(n)),
    };
    let resumed = match resumed {
        0 => String::new(),
        bytes => format!(", {} of it earlier", human(bytes)),
    };
    let verified = match telling.verb {
        Verb::Receive if s.copied > 0 => ", verified: BLAKE3",
        _ => "",
    };
    format!("{} in {time:.1} s{rate}{resumed}{retried}{verified}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn telling(verb: Verb) -> Telling {
        Telling::of(verb)
    }

    /// S0.12.
    #[test]
    fn the_summary_adds_up() {
        let mut s = Summary::default();
        (s.found, s.copied, s.skipped, s.failed) = (1004, 1000, 3, 1);
        (s.bytes, s.retried, s.elapsed) = (1000 << 14, 2, Duration::from_millis(2100));
        assert_eq!(
            line_of(&s, 0, telling(Verb::Copy)),
            "1,000 copied (15.6 MiB), 3 skipped, 1 failed in 2.1 s (7.4 MiB/s), 2 retries"
        );
        let dry = Telling { dry_run: true, ..telling(Verb::Copy) };
        assert!(line_of(&s, 0, dry).starts_with("1,000 would be copied (15.6 MiB), 3 skipped"));
        assert!(
            line_of(&s, 0, telling(Verb::Publish)).starts_with("1,000 uploaded (15.6 MiB), 3 s")
        );
        (s.missing, s.failed) = (1, 2);
        assert!(line_of(&s, 0, telling(Verb::Copy)).contains("1 not found, 1 failed"));
    }

    /// U0.1.
    #[test]
    fn exit_codes() {
        let mut results = Results { telling: telling(Verb::Copy), ..Results::default() };
        let of = |found, failed| {
            let mut s = Summary::default();
            (s.found, s.failed) = (found, failed);
            s
        };
        assert_eq!(results.exit(&of(2, 0)), Exit::Done);
        assert_eq!(results.exit(&of(0, 0)), Exit::NotFound);
        results.failure = Some(ErrorKind::AccessDenied);
        assert_eq!(results.exit(&of(1, 1)), Exit::AccessDenied);
        assert_eq!(results.exit(&of(2, 1)), Exit::Failed);
        results.telling.may_be_empty = true;
        assert_eq!(results.exit(&of(0, 0)), Exit::Done);
        // A.8: what nobody knows to be the same is not the same.
        let mut s = of(2, 0);
        (s.same, s.unknown) = (1, 1);
        assert_eq!(results.exit(&s), Exit::Verification);
        assert!(
            line_of(&s, 0, telling(Verb::Check)).starts_with("1 the same, 0 different, 1 unknown")
        );
    }

    #[test]
    fn kinds_of_errors_in_json() {
        assert_eq!(snake("AccessDenied"), "access_denied");
        assert_eq!(snake("Io"), "io");
    }
}
