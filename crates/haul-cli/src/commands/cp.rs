//! `haul cp` and `haul mv`: copy or move one, or many.
//!
//! Owns the choice between the two: one source, named in full, is copied as itself; everything else
//! is a selection.

use haul::{CopyRequest, ErrorKind, Haul, Hint, Location, Op, Report, TreeRequest};
use serde_json::json;

use super::many;
use crate::args::CpArgs;
use crate::exit::Exit;
use crate::results::{self, Telling, Verb};
use crate::session::Session;
use crate::size::{human, human_rate};
use crate::{output, render, settings};

pub(crate) async fn run(args: Box<CpArgs>, session: &Session) -> anyhow::Result<Exit> {
    let mut sources = many::sources(&args.places.sources, args.places.files_from.as_deref())?;
    let to = settings::location(&args.places.to)?;
    let single = (sources.len() == 1 && !asks_for_many(&args)).then(|| sources.pop()).flatten();
    match single {
        Some(from) if !many::is_pattern(&from) => {
            let places = (from.clone(), to.clone());
            let done = Box::pin(one(&args, from, to, session)).await;
            if session.common.json {
                done.as_ref().err().map_or(Ok(()), |e| tell_failure(e, &places))?;
            }
            done
        }
        Some(from) => tree(&args, vec![from], to, Verb::Copy, session).await,
        None => tree(&args, sources, to, Verb::Copy, session).await,
    }
}

pub(crate) async fn move_them(args: Box<CpArgs>, session: &Session) -> anyhow::Result<Exit> {
    let sources = many::sources(&args.places.sources, args.places.files_from.as_deref())?;
    let to = settings::location(&args.places.to)?;
    tree(&args, sources, to, Verb::Move, session).await
}

/// Whether a flag says that more than one may be meant, or what only the way of many can do.
fn asks_for_many(args: &CpArgs) -> bool {
    args.recursive
        || args.dry_run
        || args.flatten
        || args.preserve_times
        || args.dedupe.dedupe
        || args.share.shard.is_some()
        || args.places.files_from.is_some()
        || !args.filter.is_empty()
}

fn haul_for(args: &CpArgs, requests: usize, session: &Session) -> Haul {
    session.haul(settings::moving(&args.transfer, &args.store, Some(&args.other), requests))
}

async fn one(
    args: &CpArgs,
    from: Location,
    to: Location,
    session: &Session,
) -> anyhow::Result<Exit> {
    refuse_folder(&from)?;
    let haul = haul_for(args, args.transfer.concurrency.for_one(), session);
    let to_stdout = to == Location::Stdio;
    let mut request = CopyRequest::new(from, to);
    request.version_id.clone_from(&args.version_id);
    request.attributes = settings::attributes(&args.object);
    request.overwrite = !args.no_clobber;
    request.expected_size = args.expected_size.map(|s| s.0);
    request.multipart_copy_above = args.multipart_copy_threshold.0;
    let job = haul.copy(request).await?;
    let followed = if to_stdout {
        render::follow_data(&haul, job, session).await
    } else {
        render::follow(&haul, job, session).await
    };
    let report = match followed {
        Err(e) if args.no_clobber && e.kind() == ErrorKind::AlreadyExists => {
            return skipped(&e, session);
        }
        done => done?,
    };
    if !to_stdout {
        tell(&report, session)?;
    }
    if session.tells() {
        output::note(&summary(&report));
    }
    Ok(Exit::Done)
}

fn refuse_folder(from: &Location) -> haul::Result<()> {
    match from {
        Location::Local(path) if path.is_dir() => {
            Err(haul::Error::new(ErrorKind::Invalid, Op::Open, from, "it is a folder")
                .with_hint(Hint::Recurse))
        }
        _ => Ok(()),
    }
}

async fn tree(
    args: &CpArgs,
    sources: Vec<Location>,
    to: Location,
    verb: Verb,
    session: &Session,
) -> anyhow::Result<Exit> {
    let haul = haul_for(args, args.transfer.concurrency.for_many(), session);
    if to == Location::Stdio {
        let what = if verb == Verb::Move {
            "nothing moved there would be kept: haul cat writes an object to standard output"
        } else {
            "it takes one file: name a single source, without -r"
        };
        return Err(haul::Error::new(ErrorKind::Invalid, Op::Begin, &to, what).into());
    }
    if args.version_id.is_some() {
        let what = "--version-id names a version of one object";
        return Err(haul::Error::new(ErrorKind::Invalid, Op::Parse, "the arguments", what).into());
    }
    let pattern = sources.iter().any(many::is_pattern);
    let mut request = TreeRequest::new(Vec::new(), to);
    request.select =
        many::selection(sources, args.recursive, &args.filter, Some(&args.links), &args.share)?;
    request.flatten = args.flatten;
    request.attributes = settings::attributes(&args.object);
    request.overwrite = !args.no_clobber;
    request.keep_times = args.preserve_times;
    request.remove_source = verb == Verb::Move;
    request.multipart_copy_above = args.multipart_copy_threshold.0;
    request.dedupe = settings::dedupe(&args.dedupe)?;
    request.dry_run = args.dry_run;
    request.jobs = settings::jobs(&args.share, args.transfer.concurrency);
    let job = haul.copy_tree(request).await?;
    let may_be_empty = args.share.shard.is_some() || args.filter.may_leave_nothing();
    let telling = Telling { dry_run: args.dry_run, may_be_empty, pattern, ..Telling::of(verb) };
    results::run(&haul, job, session, telling).await
}

/// One item that failed, for programs; people read the error.
fn tell_failure(e: &anyhow::Error, (from, to): &(Location, Location)) -> haul::Result<()> {
    match e.downcast_ref::<haul::Error>() {
        Some(e) if e.kind() != ErrorKind::BrokenPipe => {
            output::result(&results::failed(from, to, e).to_string())
        }
        _ => Ok(()),
    }
}

/// The result of one item, on stdout.
pub(crate) fn tell(report: &Report, session: &Session) -> Result<(), haul::Error> {
    let Report { from, to, .. } = report;
    if !session.common.json {
        return session.changed(&format!("{from} -> {to}"));
    }
    let mut line = json!({"type": "copied", "from": from.exact(), "to": to.exact()});
    results::facts(report, &mut line);
    session.changed(&line.to_string())
}

/// Bytes, time, rate, retries and proof, on one line.
pub(crate) fn summary(report: &Report) -> String {
    let rate = human_rate(report.bytes, report.elapsed);
    let retried = match report.retried {
        0 => String::new(),
        1 => ", 1 retry".to_owned(),
        n => format!(", {n} retries"),
    };
    format!(
        "{} in {:.1} s ({rate}){retried}, verified: {}",
        human(report.bytes),
        report.elapsed.as_secs_f64(),
        report.verified
    )
}

fn skipped(e: &haul::Error, session: &Session) -> anyhow::Result<Exit> {
    if session.common.json {
        output::result(&json!({"type": "skipped", "to": e.location()}).to_string())?;
    } else if !session.common.quiet {
        output::note(&format!("haul: skipped {}: {}", e.location(), e.detail()));
    }
    Ok(Exit::Done)
}
