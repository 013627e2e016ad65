//! From words to a command with its settings.
//!
//! Owns the two passes: the first finds out which configuration file and which profile are meant,
//! the second reads the same words with what they say as defaults.

use std::ffi::OsString;
use std::rc::Rc;

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches as _};

use crate::args::{self, Cli, Command, ConfigCommand};
use crate::config::{Config, ProfileRef};
use crate::habits;

/// A command, the settings it was read with, and what the parser knows about them.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) cli: Cli,
    /// Of the command itself, below those of `haul`.
    pub(crate) matches: ArgMatches,
    pub(crate) config: Rc<Config>,
}

/// Why words are no command.
#[derive(Debug)]
pub(crate) enum NotParsed {
    Misused(clap::Error),
    Config(haul::Error),
}

impl From<clap::Error> for NotParsed {
    fn from(e: clap::Error) -> Self {
        Self::Misused(e)
    }
}

/// A parser with the settings of one configuration; good for many lines.
#[derive(Debug)]
pub(crate) struct Parser {
    command: clap::Command,
    pub(crate) config: Rc<Config>,
}

impl Parser {
    pub(crate) fn new(config: Rc<Config>) -> Self {
        Self { command: args::command(&config), config }
    }

    pub(crate) fn parse(&mut self, words: &[OsString]) -> Result<Parsed, clap::Error> {
        let words = habits::command_first(words, &self.command);
        let matches = self.command.try_get_matches_from_mut(words)?;
        let cli = Cli::from_arg_matches(&matches)?;
        let matches = innermost(matches);
        Ok(Parsed { cli, matches, config: Rc::clone(&self.config) })
    }
}

/// Understands the command line.
pub(crate) fn parse(words: &[OsString]) -> Result<Parsed, NotParsed> {
    let parsed = Parser::new(Rc::default()).parse(words)?;
    let asked = parsed.cli.common.config.as_deref();
    if !has_settings(&parsed.cli.command) {
        return Ok(parsed);
    }
    let profile = profile_asked(&parsed.matches);
    let config = Config::load(asked, profile.as_deref()).map_err(NotParsed::Config)?;
    if config.is_empty() {
        return Ok(Parsed { config: Rc::new(config), ..parsed });
    }
    Ok(Parser::new(Rc::new(config)).parse(words)?)
}

/// The profile that the words or the environment ask for.
pub(crate) fn profile_asked(matches: &ArgMatches) -> Option<String> {
    let asked = [ValueSource::CommandLine, ValueSource::EnvVariable];
    let profile = matches.try_get_one::<ProfileRef>("profile").ok().flatten()?;
    let source = matches.value_source("profile")?;
    asked.contains(&source).then(|| profile.name.clone())
}

/// What needs no settings works when they are broken.
fn has_settings(command: &Command) -> bool {
    match command {
        Command::Serve(_) | Command::Demo(_) | Command::Completions(_) => false,
        Command::Config(args) => !matches!(args.command, ConfigCommand::Path),
        _ => true,
    }
}

fn innermost(mut matches: ArgMatches) -> ArgMatches {
    while let Some((_, inner)) = matches.remove_subcommand() {
        matches = inner;
    }
    matches
}
