//! Which of the things found are taken.
//!
//! Owns the filter flags. `--include`, `--exclude` and `--exclude-from` are one list in the order
//! they were given in, because the last that matches decides.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum};

use crate::moment::Moment;
use crate::size::Bytes;

pub(crate) const FILTER: &str = "Which files";

/// Which entries are taken.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = FILTER)]
pub(crate) struct FilterArgs {
    #[command(flatten)]
    pub(crate) rules: Rules,
    /// Only files of at least this size
    #[arg(long, value_name = "SIZE", help_heading = FILTER)]
    pub(crate) min_size: Option<Bytes>,
    /// Only files of at most this size
    #[arg(long, value_name = "SIZE", help_heading = FILTER)]
    pub(crate) max_size: Option<Bytes>,
    /// Only files changed after this: an age (30m, 7d, 1M for a month) or a date (2026-01-31,
    /// 2026-01-31T12:00:00Z, 2026-01-31T12:00:00+02:00)
    #[arg(long, value_name = "WHEN", help_heading = FILTER)]
    pub(crate) newer_than: Option<Moment>,
    /// Only files changed before this
    #[arg(long, value_name = "WHEN", help_heading = FILTER)]
    pub(crate) older_than: Option<Moment>,
}

impl FilterArgs {
    /// Whether that nothing is left is a result like others: on a quiet day nothing is so new or so
    /// old. That a name matches nothing is a mistake more often than not.
    pub(crate) fn may_leave_nothing(&self) -> bool {
        self.min_size.or(self.max_size).is_some()
            || self.newer_than.as_ref().or(self.older_than.as_ref()).is_some()
    }

    /// Whether nothing is filtered.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.0.is_empty() && !self.may_leave_nothing()
    }
}

/// One flag with a pattern, or with a file of patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    Include(String),
    Exclude(String),
    ExcludeFrom(PathBuf),
}

/// The rules in the order of the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules(pub(crate) Vec<Rule>);

impl Rules {
    fn of(matches: &ArgMatches) -> Self {
        let mut found: Vec<(usize, Rule)> = Vec::new();
        for (id, rule) in
            [("include", Rule::Include as fn(String) -> Rule), ("exclude", Rule::Exclude)]
        {
            let places = matches.indices_of(id).into_iter().flatten();
            let patterns = matches.get_many::<String>(id).into_iter().flatten();
            found.extend(places.zip(patterns.cloned().map(rule)));
        }
        let places = matches.indices_of("exclude_from").into_iter().flatten();
        let files = matches.get_many::<PathBuf>("exclude_from").into_iter().flatten();
        found.extend(places.zip(files.cloned().map(Rule::ExcludeFrom)));
        found.sort_by_key(|(place, _)| *place);
        Self(found.into_iter().map(|(_, rule)| rule).collect())
    }
}

// By hand, because only the matches know the order across several flags.
impl FromArgMatches for Rules {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::of(matches))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::of(matches);
        Ok(())
    }
}

impl Args for Rules {
    fn augment_args(command: Command) -> Command {
        let flag = |id: &'static str, long: &'static str| {
            Arg::new(id).long(long).action(ArgAction::Append).help_heading(FILTER)
        };
        command
            .arg(flag("include", "include").value_name("PATTERN").help(
                "Take files that match; of --include and --exclude, the last match decides",
            ))
            .arg(
                flag("exclude", "exclude")
                    .value_name("PATTERN")
                    .help("Leave out files that match: a whole path, or a name if PATTERN has no slash"),
            )
            .arg(
                flag("exclude_from", "exclude-from")
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help("Leave out files that match a pattern in FILE, one per line; # starts a comment"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// What becomes of links and of empty folders.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = FILTER)]
pub(crate) struct LinkArgs {
    /// What to do with symbolic links
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub(crate) symlinks: SymlinkMode,
    /// The same as --symlinks skip
    #[arg(long, conflicts_with = "symlinks", hide_short_help = true)]
    pub(crate) no_follow_symlinks: bool,
    /// Keep empty folders; in a store, as keys that end in a slash
    #[arg(long)]
    pub(crate) empty_folders: bool,
}

impl LinkArgs {
    /// What becomes of symbolic links.
    pub(crate) fn mode(&self) -> haul::Symlinks {
        if self.no_follow_symlinks { haul::Symlinks::Skip } else { self.symlinks.into() }
    }
}

/// What becomes of symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum SymlinkMode {
    /// Copy what they point to
    #[default]
    Follow,
    /// Leave them out
    Skip,
    /// Keep them as links; between disks only
    Keep,
}

impl From<SymlinkMode> for haul::Symlinks {
    fn from(mode: SymlinkMode) -> Self {
        match mode {
            SymlinkMode::Follow => Self::Follow,
            SymlinkMode::Skip => Self::Skip,
            SymlinkMode::Keep => Self::Keep,
        }
    }
}
