//! `haul receive`: what somebody shares, to a folder, a store or a pipe.
//!
//! Owns where the ticket comes from. Must never repeat it: whoever has it has the files.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;

use haul::{
    Error, ErrorKind, Foreign, Haul, Hint, Location, Look, Op, ReceiveOptions, ReceiveRequest,
    Received, ReceivedKind, Ticket,
};
use serde_json::json;

use crate::args::ReceiveArgs;
use crate::commands::ls::NO_TIME;
use crate::exit::{self, Exit};
use crate::moment::rfc3339;
use crate::results::{self, Telling, Verb};
use crate::session::Session;
use crate::size::{human, human_rate};
use crate::{config, output, render, settings};

pub(crate) async fn run(args: ReceiveArgs, session: &Session) -> anyhow::Result<Exit> {
    let (ticket, named) = words(&args)?;
    let mut library = settings::with_peers(&args.pace, &args.store);
    library.fsync = args.fsync.into();
    let haul = session.haul(library);
    let mut options = ReceiveOptions::default();
    options.net = settings::net(&args.net);
    options.jobs = args.download_jobs;
    options.if_exists = args.if_exists.into();
    options.most = args.max_files;
    options.hidden = args.hidden || args.list || named.is_some();
    if args.list {
        if named.is_some() {
            return Err(misused("--list takes nothing, and needs no DEST").into());
        }
        return list(haul.look(ticket, &options).await?, session).await;
    }
    let to = named.unwrap_or_else(|| Location::Local(".".into()));
    let to_stdout = to == Location::Stdio;
    let request = ReceiveRequest::new(ticket, to, options);
    if to_stdout {
        return to_pipe(&haul, request, session).await;
    }
    let job = haul.receive(request).await?;
    let telling = Telling { may_be_empty: true, ..Telling::of(Verb::Receive) };
    results::run(&haul, job, session, telling).await
}

/// A single file to standard output, which holds nothing else.
async fn to_pipe(haul: &Haul, request: ReceiveRequest, session: &Session) -> anyhow::Result<Exit> {
    let job = haul.receive(request).await?;
    let summary = render::follow_data(haul, job, session).await?;
    if session.tells() {
        let (bytes, time) = (summary.bytes, summary.elapsed);
        let rate = human_rate(bytes, time);
        let time = time.as_secs_f64();
        output::note(&format!("{} in {time:.1} s ({rate}), verified: BLAKE3", human(bytes)));
    }
    Ok(Exit::Done)
}

/// What the sender has.
async fn list(mut look: Look, session: &Session) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    loop {
        let page = match look.next().await {
            Ok(page) => page,
            Err(e) => {
                look.end().await;
                return Err(e.into());
            }
        };
        if page.is_empty() {
            break;
        }
        let mut lines = String::new();
        for received in &page {
            if let ReceivedKind::Failed(problem) = &received.what {
                output::error(&exit::line(problem));
                exit = Exit::Failed;
                continue;
            }
            lines += &if session.common.json { object(received) } else { line(received) };
            lines.push('\n');
        }
        output::results(lines.as_bytes())?;
    }
    look.end().await;
    Ok(exit)
}

/// Date, size, name, as `haul ls` has them.
fn line(received: &Received) -> String {
    let (modified, size, rest) = match &received.what {
        ReceivedKind::File { size, modified, .. } => {
            (*modified, human(*size).to_string(), String::new())
        }
        ReceivedKind::Symlink(target) => {
            (None, String::new(), format!(" -> {}", Foreign::from(target.as_path())))
        }
        // The name of a folder ends in a slash.
        _ => (None, String::new(), String::new()),
    };
    let time = modified.map_or_else(|| NO_TIME.to_owned(), rfc3339);
    format!("{time} {size:>11}  {}{rest}", received.path.shown())
}

fn object(received: &Received) -> String {
    let path = received.path.exact();
    match &received.what {
        ReceivedKind::File { size, modified, .. } => json!({
            "type": "file", "path": path, "size": size, "last_modified": modified.map(rfc3339),
        }),
        ReceivedKind::Symlink(target) => {
            json!({"type": "symlink", "path": path, "target": target.to_string_lossy()})
        }
        _ => json!({"type": "folder", "path": path}),
    }
    .to_string()
}

/// The ticket, and where to, if that was said.
fn words(args: &ReceiveArgs) -> anyhow::Result<(Ticket, Option<Location>)> {
    let words: Vec<_> = args.ticket.iter().chain(&args.dest).chain(&args.rest).collect();
    let (ticket, to) = match (&args.ticket_file, words.as_slice()) {
        (Some(file), []) => (from_file(file)?, None),
        (Some(file), [to]) => (from_file(file)?, Some(*to)),
        (Some(_), _) => {
            let what = "the ticket comes from --ticket-file, or is the first argument";
            return Err(misused(what).with_hint(Hint::own("keep one of the two")).into());
        }
        (None, []) => (from_environment()?, None),
        // One word is the ticket, unless that is known already.
        (None, [word]) => match (word.to_str(), config::variable("HAUL_TICKET")) {
            (typed, Some(ticket)) if !typed.is_some_and(Ticket::looks_like) => {
                (ticket, Some(*word))
            }
            _ => (text(word), None),
        },
        (None, [ticket, to]) => (text(ticket), Some(*to)),
        (None, _) => {
            let what = "there are more of them than TICKET and DEST";
            return Err(misused(what).with_hint(Hint::own("haul receive TICKET [DEST]")).into());
        }
    };
    let to = to.map(|to| settings::location(to)).transpose()?;
    Ok((ticket.parse()?, to))
}

fn misused(what: &str) -> Error {
    Error::new(ErrorKind::Invalid, Op::Parse, "the arguments", what)
}

fn text(word: &OsString) -> String {
    word.to_string_lossy().into_owned()
}

fn from_environment() -> haul::Result<String> {
    config::variable("HAUL_TICKET").ok_or_else(|| {
        misused("the ticket is missing").with_hint(Hint::own(
            "haul receive TICKET [DEST], or --ticket-file FILE, or HAUL_TICKET",
        ))
    })
}

/// The longest file that is looked at: tickets are far shorter.
const LONGEST: u64 = 64 << 10;

fn from_file(path: &Path) -> haul::Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LONGEST).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text))
    };
    read.map_err(|e| Error::io(Op::Read, path.display(), e))?;
    Ok(text)
}
