//! The arguments of the commands that ask, list and manage.
//!
//! Owns what each of them takes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::filter::FilterArgs;
use super::peers::PeerSettings;
use super::store::StoreArgs;
use super::transfer::{ShareArgs, TransferArgs, parse_jobs};
use super::verbs::PublishedArgs;
use crate::moment::{parse_duration, parse_life};
use crate::size::Size;

/// One object (or file), and the store that it is in.
#[derive(Debug, Clone, Args)]
pub(crate) struct ObjectRef {
    /// The object: s3://BUCKET/KEY
    #[arg(value_name = "OBJECT")]
    pub(crate) location: OsString,
    /// Version of the object
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `stat`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatArgs {
    /// What to look at: s3://BUCKET/KEY, a file or a folder
    #[arg(value_name = "OBJECT", required = true)]
    pub(crate) locations: Vec<OsString>,
    /// Version of the object
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CatArgs {
    #[command(flatten)]
    pub(crate) object: ObjectRef,
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
}

/// A bucket: `mb`, `rb`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BucketRef {
    /// The bucket: s3://BUCKET
    #[arg(value_name = "BUCKET")]
    pub(crate) location: OsString,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LsArgs {
    /// What to list: s3://BUCKET, s3://BUCKET/PREFIX/, a pattern in quotes or a folder [default: the
    /// buckets]
    #[arg(value_name = "LOCATION")]
    pub(crate) locations: Vec<OsString>,
    /// List all levels
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// List every version and delete marker, newest first
    #[arg(long)]
    pub(crate) versions: bool,
    /// Show sizes in bytes
    #[arg(long)]
    pub(crate) bytes: bool,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DuArgs {
    /// What to add up: s3://BUCKET, s3://BUCKET/PREFIX/ or a folder
    #[arg(value_name = "LOCATION", required = true)]
    pub(crate) locations: Vec<OsString>,
    /// Also show each folder down to N levels
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    pub(crate) depth: usize,
    /// Count every version
    #[arg(long)]
    pub(crate) versions: bool,
    /// Show sizes in bytes
    #[arg(long)]
    pub(crate) bytes: bool,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PresignArgs {
    /// The object: s3://BUCKET/KEY; a pattern in quotes or a / at the end gives a link for each
    #[arg(value_name = "OBJECT")]
    pub(crate) location: OsString,
    /// How long the link is valid: 90s, 12h, 2d; 7d at most
    #[arg(long = "expires-in", value_name = "TIME", default_value = "1h", value_parser = parse_life)]
    pub(crate) life: Duration,
    /// What the link allows
    #[arg(long, value_enum, ignore_case = true, default_value_t)]
    pub(crate) method: Method,
    /// Version of the object
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,
    /// With --method PUT: content type that the upload must have
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// What the holder of a link may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Method {
    /// Download
    #[default]
    #[value(name = "GET")]
    Get,
    /// Upload
    #[value(name = "PUT")]
    Put,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UploadsArgs {
    #[command(subcommand)]
    pub(crate) command: UploadsCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum UploadsCommand {
    /// List uploads that were never finished
    Ls(UploadsRef),
    /// Abort them, which frees the space of their parts
    #[command(
        after_help = "Examples:\n  haul uploads abort s3://backup --older-than 7d --dry-run\n  \
        haul uploads abort s3://backup/db.sql --older-than 0s\n  \
        haul uploads abort s3://backup/db.sql --upload-id ID"
    )]
    Abort(AbortArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UploadsRef {
    /// Where: s3://BUCKET or s3://BUCKET/PREFIX
    pub(crate) location: OsString,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AbortArgs {
    #[command(flatten)]
    pub(crate) uploads: UploadsRef,
    /// Only those that began at least this long ago: younger ones may be running
    #[arg(long = "older-than", value_name = "TIME", default_value = "1d", value_parser = parse_duration)]
    pub(crate) age: Duration,
    /// Only this one, whatever its age
    #[arg(long, value_name = "ID", conflicts_with = "age")]
    pub(crate) upload_id: Option<String>,
    /// Show what would be aborted, without doing it
    #[arg(long, alias = "dryrun")]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// A file with one command per line, or - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Commands to run at once
    #[arg(short = 'j', long = "jobs", value_name = "N", default_value = "4", value_parser = parse_jobs)]
    pub(crate) at_once: usize,
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting, and where its value comes from
    #[command(after_help = "Examples:\n  haul config show\n  haul config show --profile r2 -c 8")]
    Show(Box<ShowArgs>),
    /// Print the path of the configuration file
    Path,
}

/// Every flag that is a setting.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
    #[command(flatten)]
    pub(crate) share: ShareArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) published: PublishedArgs,
    #[command(flatten)]
    pub(crate) peers: PeerSettings,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArgs {
    /// Check this bucket: s3://BUCKET [default: the list of buckets]
    #[arg(long, value_name = "BUCKET")]
    pub(crate) bucket: Option<OsString>,
    #[command(flatten)]
    pub(crate) all: ShowArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// The folder; created if missing
    pub(crate) dir: PathBuf,
    /// Address to listen on; port 0 picks a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9000")]
    pub(crate) listen: std::net::SocketAddr,
    /// Access key; random unless set together with the secret
    #[arg(
        long,
        env = "HAUL_SERVE_ACCESS_KEY",
        hide_env_values = true,
        requires = "secret_key_file"
    )]
    pub(crate) access_key: Option<String>,
    /// File with the secret key (a secret in an argument would show in process lists)
    #[arg(
        long,
        value_name = "FILE",
        env = "HAUL_SERVE_SECRET_KEY_FILE",
        hide_env_values = true,
        requires = "access_key"
    )]
    pub(crate) secret_key_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Use this file instead of generated data
    pub(crate) path: Option<PathBuf>,
    /// Bytes to generate
    #[arg(long, value_name = "SIZE", default_value = "256MiB", conflicts_with = "path")]
    pub(crate) size: Size,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}
