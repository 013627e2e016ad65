//! The command line.
//!
//! Owns flags, their names, defaults and help texts. clap's types stay in here; the library gets
//! its own option types from [`crate::settings`]. Environment variables and values of the
//! configuration file become clap defaults in [`command`], so that precedence is in one place.

mod filter;
mod object;
mod peers;
mod places;
mod small;
mod store;
mod transfer;
mod verbs;

use std::path::PathBuf;

use clap::{Arg, Args, CommandFactory as _, Parser, Subcommand, ValueEnum, ValueHint};

pub(crate) use filter::{FilterArgs, LinkArgs, Rule};
pub(crate) use object::ObjectArgs;
pub(crate) use peers::{NetArgs, ReceiveArgs, SendArgs, parse_relay};
pub(crate) use small::{
    AbortArgs, BucketRef, CatArgs, CompletionsArgs, ConfigArgs, ConfigCommand, DemoArgs,
    DoctorArgs, DuArgs, LsArgs, Method, PresignArgs, RunArgs, ServeArgs, StatArgs, UploadsArgs,
    UploadsCommand, UploadsRef,
};
pub(crate) use store::{Addressing, OtherStoreArgs, StoreArgs};
pub(crate) use transfer::{DedupeArgs, PaceArgs, ShareArgs, TransferArgs, parse_jobs};
pub(crate) use verbs::{CheckArgs, CpArgs, PublishArgs, RmArgs, SyncArgs};

use crate::config::Config;

/// Move files between disks, S3 stores, web servers and people: copy, sync, share by link or ticket.
#[derive(Debug, Parser)]
#[command(
    name = "haul",
    version,
    propagate_version = true,
    after_help = "Try it:\n  haul demo                             a tour on this machine, with real bytes\n  \
                  haul cp big.iso s3://backup/          upload\n  \
                  haul cp s3://backup/big.iso .         download\n  \
                  haul cp -r photos s3://backup/        a folder\n  \
                  haul sync photos s3://backup/photos   only what changed\n  \
                  haul publish *.mp4 s3://media/        upload, and print a link for each\n  \
                  haul send photos                      to another machine: prints a ticket\n  \
                  haul receive TICKET                   on the other machine\n  \
                  haul cat s3://logs/a.gz | zcat        stream\n  \
                  tar c dir | haul cp - s3://b/dir.tar  upload a stream\n\n\
                  Locations: a path, - for standard input or output, s3://BUCKET/KEY, https://HOST/PATH.\n\
                  A trailing / or an existing folder means \"into\". Keys are raw text.\n\n\
                  Settings: flags, then HAUL_* variables, then haul.toml (haul config show).\n\n\
                  Exit codes: 0 done, 1 failed, or some of many failed, 2 usage, 3 verification failed\n\
                  or differences found, 4 not found, 5 access denied, 130 interrupted,\n\
                  141 standard output was closed, 143 ended by SIGTERM."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// The parser, with the values of the environment and of the configuration file as defaults.
pub(crate) fn command(config: &Config) -> clap::Command {
    fn settle(command: clap::Command, config: &Config) -> clap::Command {
        let command = command.mut_args(|arg| config.apply(completed(arg)));
        command.mut_subcommands(|sub| settle(sub, config))
    }
    settle(Cli::command(), config)
}

/// What shells complete the value of a flag by: names of files where it is one, else nothing.
fn completed(arg: Arg) -> Arg {
    let file = arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == "FILE"));
    let other = !file && arg.get_long().is_some() && arg.get_action().takes_values();
    if other { arg.value_hint(ValueHint::Other) } else { arg }
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Print nothing but errors and what a command is for: links, tickets, listings, data
    #[arg(short, long, alias = "only-show-errors", global = true)]
    pub(crate) quiet: bool,
    /// Show the causes of errors and what was skipped; -vv shows more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print results as JSON, one object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How to show progress, on stderr
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) progress: ProgressMode,
    /// Configuration file [HAUL_CONFIG] [default: haul.toml in ~/.config/haul]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ProgressMode {
    /// A bar on a terminal, plain lines otherwise
    #[default]
    Auto,
    /// A bar
    Bar,
    /// A line every few seconds
    Plain,
    /// JSON lines
    Json,
    /// Nothing
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copy files, folders and objects: up, down, between stores, from or to a stream
    #[command(after_help = "Examples:\n  haul cp video.mkv s3://archive/2026/\n  \
        haul cp s3://archive/2026/video.mkv .\n  \
        haul cp -r photos s3://archive/                   s3://archive/photos/...\n  \
        haul cp -r photos/ s3://archive/2026/             its contents\n  \
        haul cp -r --exclude '*' --include '*.jpg' photos s3://archive/\n  \
        haul cp 's3://logs/2026-*/*.gz' logs/\n  \
        haul cp s3://archive/a.bin s3://mirror/a.bin      made by the store itself\n  \
        haul cp --source-profile old --dest-profile new -r s3://a s3://b\n  \
        pg_dump db | haul cp - s3://backup/db.sql\n  \
        haul cp --limit-rate 5MB/s big.iso s3://backup/")]
    Cp(Box<CpArgs>),
    /// Move: copy, and remove each source once its destination is committed
    #[command(after_help = "Examples:\n  haul mv s3://archive/a.bin s3://archive/2025/\n  \
        haul mv -r incoming s3://archive/")]
    Mv(Box<CpArgs>),
    /// Make one tree like another: copy what differs; with --delete, remove the rest
    #[command(after_help = "Examples:\n  haul sync photos s3://backup/photos\n  \
        haul sync --delete --max-delete 100 photos s3://backup/photos\n  \
        haul sync --dry-run s3://backup/photos photos")]
    Sync(Box<SyncArgs>),
    /// Compare two trees by content; exits with 3 if they differ
    #[command(after_help = "Examples:\n  haul check photos s3://backup/photos\n  \
        haul check --one-way --size-only photos s3://backup/photos")]
    Check(Box<CheckArgs>),
    /// Upload what is new or changed, and print a link for each file
    #[command(after_help = "Examples:\n  haul publish talks/ -e mp4 s3://media/2026/\n  \
        haul publish talk.mp4 s3://media --expires-in 2d | xclip\n  \
        haul publish *.mp4 s3://media --public-url-base https://media.example.org\n  \
        haul publish --url-only talks/ s3://media/2026/   links to what is there already")]
    Publish(Box<PublishArgs>),
    /// Send files to another machine by ticket: directly, encrypted, without a server between
    #[command(
        after_help = "Examples:\n  haul send photos                      prints a ticket; Ctrl-C stops\n  \
        haul send --once report.pdf slides    until one receiver has everything\n  \
        haul send --qr film.mkv               with a code to photograph\n  \
        haul send --no-relay --lan photos     only the local network\n  \
        haul send s3://media/film.mkv         through this machine, not stored on it\n  \
        tar c src | haul send --once --name src.tar -\n\n\
        The ticket is alone on stdout. Whoever has it has the files: treat it like a password. It\n\
        holds this machine's addresses. The same command gives the same ticket again."
    )]
    Send(Box<SendArgs>),
    /// Receive files by ticket: verified as they arrive, resumed where they were interrupted
    #[command(
        after_help = "Examples:\n  haul receive TICKET                   into this folder\n  \
        haul receive TICKET photos/ --if-exists rename\n  \
        haul receive TICKET s3://backup/from-a-friend/\n  \
        haul receive TICKET - | tar x         a single file, to standard output\n  \
        haul receive --ticket-file - photos/  the ticket from standard input\n\n\
        Other users of this machine can see arguments (ps). --ticket-file or the variable HAUL_TICKET\n\
        keep the ticket to yourself."
    )]
    Receive(Box<ReceiveArgs>),
    /// Write an object to standard output: parallel ranges, strictly in order, flat memory
    #[command(after_help = "Examples:\n  haul cat s3://logs/2026.gz | zcat | grep ERROR\n  \
        haul cat s3://media/film.mkv | mpv -\n  \
        haul cat s3://b/k --version-id VERSION > file")]
    Cat(CatArgs),
    /// List buckets, objects and folders
    #[command(after_help = "Examples:\n  haul ls                            buckets\n  \
        haul ls s3://logs/2026/\n  haul ls -r --json s3://logs | jq .size\n  \
        haul ls --versions s3://docs/report.pdf")]
    Ls(LsArgs),
    /// Add up sizes
    #[command(after_help = "Examples:\n  haul du s3://logs\n  haul du --depth 1 s3://logs/2026/")]
    Du(DuArgs),
    /// Show size, time, type and checksum of an object or file
    Stat(StatArgs),
    /// Remove objects; with --version-id or --all-versions, for good
    #[command(after_help = "Examples:\n  haul rm s3://logs/old.gz\n  \
        haul rm -r --dry-run s3://logs/2024/\n  haul rm -r --older-than 90d s3://logs\n  \
        haul rm -r --all-versions s3://scratch")]
    Rm(Box<RmArgs>),
    /// Create a bucket
    Mb(BucketRef),
    /// Remove an empty bucket
    Rb(BucketRef),
    /// Print a signed link, for downloading or uploading without credentials
    #[command(after_help = "Examples:\n  haul presign s3://media/film.mkv --expires-in 2d\n  \
        curl -T film.mkv \"$(haul presign --method PUT s3://media/film.mkv)\"")]
    Presign(PresignArgs),
    /// List or abort uploads that were never finished
    #[command(after_help = "Examples:\n  haul uploads ls s3://backup\n  \
        haul uploads abort s3://backup --older-than 7d")]
    Uploads(UploadsArgs),
    /// Run many commands, one per line, that share connections and memory
    #[command(
        after_help = "Example:\n  haul run - <<'END'\n  # comments and empty lines are left out\n  \
        cp 'a b.txt' s3://docs/\n  rm s3://docs/old.txt\n  END"
    )]
    Run(RunArgs),
    /// Show the settings and where they come from, or the path of the configuration file
    Config(ConfigArgs),
    /// Check settings, credentials and connections
    #[command(after_help = "Example:\n  haul doctor --profile r2 --bucket s3://media")]
    Doctor(Box<DoctorArgs>),
    /// Serve a folder as an S3 endpoint, for development and tests
    #[command(
        after_help = "Example:\n  haul serve /tmp/store &      prints the environment to use\n\n\
        Each folder in DIR is a bucket. Keep it on loopback: this is not a production store."
    )]
    Serve(ServeArgs),
    /// A tour with real bytes: upload, download, copy and stream on this machine
    #[command(after_help = "Examples:\n  haul demo\n  haul demo ~/video.mkv")]
    Demo(DemoArgs),
    /// Print completions for a shell
    #[command(
        after_help = "Example:\n  haul completions bash > ~/.local/share/bash-completion/completions/haul"
    )]
    Completions(CompletionsArgs),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_consistent() {
        command(&Config::default()).debug_assert();
    }

    fn cp(args: &[&str]) -> Result<Box<CpArgs>, clap::Error> {
        let words = ["haul", "cp"].iter().chain(args);
        match Cli::try_parse_from(words)?.command {
            Command::Cp(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn several_sources_and_one_destination() {
        let args = cp(&["a", "b", "c", "d"]).unwrap();
        assert_eq!((args.places.sources.len(), args.places.to.to_str()), (3, Some("d")));
        let args = cp(&["a", "-r", "b"]).unwrap();
        assert_eq!((args.places.sources.len(), args.recursive), (1, true));
        let args = cp(&["--files-from", "list", "d"]).unwrap();
        assert_eq!((args.places.sources.len(), args.places.to.to_str()), (0, Some("d")));
        assert!(cp(&["a"]).unwrap_err().to_string().contains("missing DEST"));
        assert!(cp(&[]).is_err());
    }

    /// S0.13: the default is 4.
    #[test]
    fn concurrency_is_4_unless_said_otherwise() {
        use crate::size::Concurrency;
        assert_eq!(cp(&["a", "b"]).unwrap().transfer.concurrency, Concurrency::Fixed(4));
        assert_eq!(cp(&["-c9", "a", "b"]).unwrap().transfer.concurrency, Concurrency::Fixed(9));
        let long = cp(&["--max-concurrent", "auto", "a", "b"]).unwrap();
        assert_eq!(long.transfer.concurrency, Concurrency::Auto);
    }

    #[test]
    fn filters_keep_the_order_of_the_command_line() {
        let args = cp(&[
            "--exclude",
            "*",
            "--include",
            "*.jpg",
            "--exclude-from",
            "list",
            "--exclude=b*",
            "a",
            "b",
        ])
        .unwrap();
        assert_eq!(
            args.filter.rules.0,
            [
                Rule::Exclude("*".into()),
                Rule::Include("*.jpg".into()),
                Rule::ExcludeFrom("list".into()),
                Rule::Exclude("b*".into()),
            ]
        );
    }

    #[test]
    fn links_are_followed_unless_said_otherwise() {
        use haul::Symlinks;
        let mode = |args: &[&str]| cp(&[args, &["a", "b"]].concat()).unwrap().links.mode();
        assert_eq!(mode(&[]), Symlinks::Follow);
        assert_eq!(mode(&["--no-follow-symlinks"]), Symlinks::Skip);
        assert_eq!(mode(&["--symlinks", "keep"]), Symlinks::Keep);
    }
}
