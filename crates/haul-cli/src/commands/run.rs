//! `haul run`: many commands that share connections, gates and memory.
//!
//! Owns the lines of a batch: each is a command line of its own, several run at once, and each says
//! how it ended. Must never let the failure of one stop another.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use clap::ArgMatches;
use clap::parser::ValueSource;
use futures::StreamExt as _;
use haul::{Error, ErrorKind, Haul, Op, Options};
use serde_json::json;

use crate::args::{Command, RunArgs};
use crate::config::Config;
use crate::exit::{self, Exit};
use crate::parse::{Parsed, Parser, profile_asked};
use crate::session::Session;
use crate::size::grouped;
use crate::{output, settings, signals};

/// Flags that all lines share: they belong to `haul run` itself.
const SHARED: [&str; 9] = [
    "concurrency",
    "part_size",
    "memory",
    "limit_rate",
    "retries",
    "timeout",
    "fsync",
    "progress",
    "config",
];

pub(crate) async fn run(args: RunArgs, session: &Session) -> anyhow::Result<Exit> {
    let text = read(&args.file)?;
    let mut options = Options::default();
    settings::engine(&args.transfer, args.transfer.concurrency.for_many(), &mut options);
    options.source.timeout = args.transfer.pace.timeout;
    let batch = Batch {
        haul: Haul::new(options),
        session,
        parsers: RefCell::default(),
        one_at_a_time: args.at_once == 1,
        from_stdin: args.file == Path::new("-"),
        stopped: Cell::new(false),
        unread: Cell::new(false),
    };
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let runs =
        futures::stream::iter(lines).map(|(n, line)| output::LINE.scope(n, batch.line(n, line)));
    let mut runs = std::pin::pin!(runs.buffer_unordered(args.at_once));
    let (started, mut done, mut failed) = (Instant::now(), 0, 0);
    let mut stop = Box::pin(signals::stop_signal());
    loop {
        tokio::select! {
            biased;
            terminated = &mut stop => {
                if batch.stopped.replace(true) {
                    signals::quit();
                }
                signals::remember(terminated);
                stop = Box::pin(signals::stop_signal());
                output::note("haul: interrupted, cleaning up (once more to quit at once)");
                batch.haul.close();
            }
            run = runs.next() => match run {
                Some(Exit::Done) => done += 1,
                Some(exit) => {
                    failed += 1;
                    // What no line can tell any more, the next ones could not either.
                    if exit == Exit::Unread && !batch.unread.replace(true) {
                        batch.haul.close();
                    }
                }
                None => break,
            },
        }
    }
    Ok(batch.end(started, done, failed))
}

/// The lines under way and what they share.
struct Batch<'a> {
    haul: Haul,
    session: &'a Session,
    /// One for each profile that a line asked for.
    parsers: RefCell<HashMap<Option<String>, Parser>>,
    one_at_a_time: bool,
    from_stdin: bool,
    stopped: Cell<bool>,
    /// Nobody reads the results.
    unread: Cell<bool>,
}

impl Batch<'_> {
    /// Runs one line and says how it ended.
    async fn line(&self, number: usize, line: &str) -> Exit {
        if self.stopped.get() || self.unread.get() {
            return exit::code(ErrorKind::Cancelled);
        }
        let (verb, exit) = match self.parse(line) {
            Ok(Some((verb, command, session))) => {
                let verbose = session.common.verbose > 0;
                let ended = Box::pin(super::transfer(command, &session)).await;
                (verb, ended.unwrap_or_else(|e| exit::explain(&e, verbose)))
            }
            Ok(None) => (String::new(), Exit::Done),
            Err(exit) => (String::new(), exit),
        };
        let common = &self.session.common;
        if common.json {
            let line = json!({"type": "line", "line": number, "command": verb, "exit": exit as u8});
            if output::result(&line.to_string()).is_err() {
                return Exit::Unread;
            }
        } else if exit == Exit::Done && common.verbose > 0 {
            output::error("done");
        }
        exit
    }

    /// Understands a line; `None` when it holds nothing but a comment.
    fn parse(&self, line: &str) -> Result<Option<(String, Command, Session)>, Exit> {
        let refused = |what: &str| {
            output::error(what);
            Exit::Usage
        };
        let Some(mut words) = shlex::split(line) else {
            return Err(refused("unbalanced quote or trailing backslash"));
        };
        if words.first().is_some_and(|word| word == "haul") {
            words.remove(0);
        }
        let Some(verb) = words.first().cloned() else { return Ok(None) };
        let stream = words.iter().any(|word| word == "-");
        let all = std::iter::once("haul".to_owned()).chain(words);
        let Parsed { cli, matches, config } =
            self.parsed(&all.map(Into::into).collect::<Vec<_>>())?;
        if let Err(e) = self.admits(&cli.command, &matches, stream) {
            return Err(refused(&e.to_string()));
        }
        let session = self.session.line(cli.common, config, &self.haul);
        Ok(Some((verb, cli.command, session)))
    }

    /// The parser of the batch reads a line, or, when that asks for another profile, one of its own.
    fn parsed(&self, words: &[OsString]) -> Result<Parsed, Exit> {
        let mut parsers = self.parsers.borrow_mut();
        let outer = parsers
            .entry(None)
            .or_insert_with(|| Parser::new(std::rc::Rc::clone(&self.session.config)));
        let parsed = outer.parse(words).map_err(|e| exit::misused(&e))?;
        let profile = profile_asked(&parsed.matches);
        if profile.is_none() || profile == outer.config.profile {
            return Ok(parsed);
        }
        let asked = self.session.common.config.as_deref();
        if !parsers.contains_key(&profile) {
            let config = Config::load(asked, profile.as_deref())
                .map_err(|e| exit::explain(&e.into(), false))?;
            parsers.insert(profile.clone(), Parser::new(config.into()));
        }
        match parsers.get_mut(&profile) {
            Some(parser) => parser.parse(words).map_err(|e| exit::misused(&e)),
            None => Ok(parsed),
        }
    }

    /// Whether a command may be a line.
    fn admits(&self, command: &Command, matches: &ArgMatches, stream: bool) -> anyhow::Result<()> {
        let alone = matches!(
            command,
            Command::Run(_)
                | Command::Send(_)
                | Command::Serve(_)
                | Command::Demo(_)
                | Command::Completions(_)
                | Command::Config(_)
                | Command::Doctor(_)
        );
        ensure!(!alone, "this command cannot be a line of a batch");
        for flag in SHARED {
            let known = matches.try_contains_id(flag).is_ok();
            if known && matches.value_source(flag) == Some(ValueSource::CommandLine) {
                let flag = flag.replace('_', "-");
                anyhow::bail!("all lines share --{flag}: give it to haul run");
            }
        }
        ensure!(!(stream && self.from_stdin), "standard input holds the commands");
        let writes = stream || matches!(command, Command::Cat(_));
        ensure!(!writes || self.one_at_a_time, "streams of several lines would mix (use -j 1)");
        Ok(())
    }

    fn end(&self, started: Instant, done: u64, failed: u64) -> Exit {
        if self.session.tells() {
            let bad =
                if failed == 0 { String::new() } else { format!(", {} failed", grouped(failed)) };
            let time = started.elapsed().as_secs_f64();
            let lines = if done == 1 { "line" } else { "lines" };
            output::note(&format!("{} {lines} done{bad} in {time:.1} s", grouped(done)));
        }
        match failed {
            _ if self.stopped.get() => exit::code(ErrorKind::Cancelled),
            _ if self.unread.get() => Exit::Unread,
            0 => Exit::Done,
            _ => Exit::Failed,
        }
    }
}

fn read(path: &Path) -> haul::Result<String> {
    let read = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin().lock())
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|e| Error::io(Op::Read, path.display(), e))
}
