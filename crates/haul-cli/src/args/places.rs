//! Where from and where to, in the way of `cp`: SOURCE... DEST.
//!
//! Owns the split of the words. By hand, because the parser cannot have flags between two lists of
//! words, and people put them there.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::filter::FILTER;

/// Where from and where to.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlaceArgs {
    pub(crate) sources: Vec<OsString>,
    pub(crate) to: OsString,
    /// A file with more sources.
    pub(crate) files_from: Option<PathBuf>,
}

impl FromArgMatches for PlaceArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let words = matches.get_many::<OsString>("places").into_iter().flatten();
        let mut sources: Vec<_> = words.cloned().collect();
        let files_from = matches.get_one::<PathBuf>("files_from").cloned();
        let to = sources.pop().unwrap_or_default();
        if sources.is_empty() && files_from.is_none() {
            let what = "missing DEST after SOURCE";
            return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, what));
        }
        Ok(Self { sources, to, files_from })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for PlaceArgs {
    fn augment_args(command: Command) -> Command {
        let name = command.get_name().to_owned();
        command
            .override_usage(format!("haul {name} [OPTIONS] SOURCE... DEST"))
            .arg(
                Arg::new("places")
                    .value_name("PLACE")
                    .value_parser(clap::value_parser!(OsString))
                    .num_args(1..)
                    .action(ArgAction::Append)
                    .required(true)
                    .help(
                        "Sources, and last the destination: a path, s3://BUCKET/KEY, https://HOST/PATH, \
                         a pattern in quotes, or - for standard input or output",
                    ),
            )
            .arg(
                Arg::new("files_from")
                    .long("files-from")
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help_heading(FILTER)
                    .help("Read more sources from FILE, one per line; - is standard input"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
