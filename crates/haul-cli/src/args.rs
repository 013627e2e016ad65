//! The command line.
//!
//! Owns flags, their names, defaults and help texts. clap's types stay in here; the library gets
//! its own option types from [`crate::settings`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use haul::FsyncPolicy;

use crate::size::{Concurrency, Rate, Size};

const TRANSFER: &str = "Transfer";
const STORE: &str = "Store";
const OBJECT: &str = "What travels with the object";

/// Move files between disks, streams and S3-compatible stores: fast, flat in memory, verified.
#[derive(Debug, Parser)]
#[command(
    name = "haul",
    version,
    propagate_version = true,
    after_help = "Try it:\n  haul demo                             a tour on this machine, with real bytes\n  \
                  haul cp big.iso s3://backup/          upload\n  \
                  haul cp s3://backup/big.iso .         download\n  \
                  haul cat s3://logs/a.gz | zcat        stream\n  \
                  tar c dir | haul cp - s3://b/dir.tar  upload a stream\n\n\
                  Locations: a path, - for standard input or output, s3://BUCKET/KEY.\n\
                  A trailing / or an existing folder means \"into\". Keys are raw text.\n\n\
                  Exit codes: 0 done, 1 failed, 2 usage, 3 verification failed, 4 not found,\n\
                  5 access denied, 130 interrupted, 143 ended by SIGTERM."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// No progress and no notes; results and errors stay
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Show causes of errors and what goes on; -vv shows more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Results as JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How to show progress on stderr
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "HAUL_PROGRESS",
        hide_env_values = true
    )]
    pub(crate) progress: ProgressMode,
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
    /// Copy one file or object: up, down, between stores, from or to a stream
    #[command(after_help = "Examples:\n  haul cp video.mkv s3://archive/2026/\n  \
        haul cp s3://archive/2026/video.mkv .\n  \
        haul cp s3://archive/a.bin s3://mirror/a.bin      made by the store itself\n  \
        pg_dump db | haul cp - s3://backup/db.sql\n  \
        haul cp --limit-rate 5MB/s big.iso s3://backup/")]
    Cp(Box<CpArgs>),
    /// Write an object to standard output: parallel ranges, strictly in order, flat memory
    #[command(after_help = "Examples:\n  haul cat s3://logs/2026.gz | zcat | grep ERROR\n  \
        haul cat s3://media/film.mkv | mpv -\n  \
        haul cat s3://b/k --version-id VERSION > file")]
    Cat(CatArgs),
    /// Show what is known about an object or file
    Stat(ObjectRef),
    /// Remove one object; with --version-id, that version for good
    Rm(ObjectRef),
    /// Create a bucket
    Mb(MbArgs),
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

/// How bytes move.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = TRANSFER)]
pub(crate) struct TransferArgs {
    /// Requests in flight: 1 to 16, or auto
    #[arg(
        short,
        long,
        alias = "max-concurrent",
        value_name = "N",
        default_value = "auto",
        env = "HAUL_CONCURRENCY",
        hide_env_values = true
    )]
    pub(crate) concurrency: Concurrency,
    /// Size of parts and ranges; grows where an object needs more than 10,000 parts [default: 8MiB]
    #[arg(
        long,
        alias = "chunk-size",
        value_name = "SIZE",
        env = "HAUL_PART_SIZE",
        hide_env_values = true
    )]
    pub(crate) part_size: Option<Size>,
    /// Data in memory at once
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "32MiB",
        env = "HAUL_MEMORY",
        hide_env_values = true
    )]
    pub(crate) memory: Size,
    /// Bytes a second at most
    #[arg(
        long,
        alias = "bwlimit",
        value_name = "RATE",
        env = "HAUL_LIMIT_RATE",
        hide_env_values = true
    )]
    pub(crate) limit_rate: Option<Rate>,
    /// Tries after the first, for what can be tried again
    #[arg(
        long,
        value_name = "N",
        default_value_t = 7,
        env = "HAUL_RETRIES",
        hide_env_values = true
    )]
    pub(crate) retries: u32,
    /// How long nothing may move before a request is made anew
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_timeout, env = "HAUL_TIMEOUT", hide_env_values = true)]
    pub(crate) timeout: Duration,
    /// When to force files to the disk before they are reported as done
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        env = "HAUL_FSYNC",
        hide_env_values = true
    )]
    pub(crate) fsync: Fsync,
}

/// When files are forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Fsync {
    /// Every file, small ones in groups
    #[default]
    Auto,
    /// Every file by itself
    Always,
    /// Leave it to the operating system
    Never,
}

impl From<Fsync> for FsyncPolicy {
    fn from(fsync: Fsync) -> Self {
        match fsync {
            Fsync::Auto => Self::Auto,
            Fsync::Always => Self::Always,
            Fsync::Never => Self::Never,
        }
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let bare = text.parse().map(Duration::from_secs);
    let time = bare.or_else(|_| humantime::parse_duration(text)).map_err(|e| e.to_string())?;
    if (Duration::from_secs(1)..=Duration::from_hours(24)).contains(&time) {
        Ok(time)
    } else {
        Err("from 1s to 24h".to_owned())
    }
}

/// Which store, and as whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = STORE)]
pub(crate) struct StoreArgs {
    /// Endpoint of an S3-compatible store [AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// Region [AWS_REGION]
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Profile of the AWS configuration files [AWS_PROFILE]
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Do not sign requests, for public objects
    #[arg(long)]
    pub(crate) no_sign_request: bool,
    /// Sign the bytes of bodies too, for plain HTTP on a network you do not trust
    #[arg(long)]
    pub(crate) sign_payload: bool,
    /// Bucket in the path or in the host name; a custom endpoint gets path
    #[arg(long, value_enum, value_name = "STYLE")]
    pub(crate) addressing: Option<Addressing>,
}

/// Where the bucket's name goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Addressing {
    /// https://host/bucket/key
    Path,
    /// https://bucket.host/key
    Virtual,
}

/// The other store of a copy between stores.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = STORE)]
pub(crate) struct OtherStoreArgs {
    /// Endpoint of the source, where it is another store
    #[arg(long, value_name = "URL")]
    pub(crate) source_endpoint_url: Option<String>,
    /// Region of the source
    #[arg(long, value_name = "REGION")]
    pub(crate) source_region: Option<String>,
    /// Profile for the source
    #[arg(long, value_name = "PROFILE")]
    pub(crate) source_profile: Option<String>,
    /// Endpoint of the destination, where it is another store
    #[arg(long, value_name = "URL")]
    pub(crate) dest_endpoint_url: Option<String>,
    /// Region of the destination
    #[arg(long, value_name = "REGION")]
    pub(crate) dest_region: Option<String>,
    /// Profile for the destination
    #[arg(long, value_name = "PROFILE")]
    pub(crate) dest_profile: Option<String>,
}

/// Attributes of a new object.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = OBJECT)]
pub(crate) struct ObjectArgs {
    /// Content type [default: the source's, or by the name]
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Cache-Control header
    #[arg(long, value_name = "VALUE")]
    pub(crate) cache_control: Option<String>,
    /// Content-Encoding header
    #[arg(long, value_name = "VALUE")]
    pub(crate) content_encoding: Option<String>,
    /// Content-Disposition header
    #[arg(long, value_name = "VALUE")]
    pub(crate) content_disposition: Option<String>,
    /// Metadata; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Tags; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub(crate) tags: Vec<(String, String)>,
    /// Storage class, as the store names it
    #[arg(long, value_name = "CLASS")]
    pub(crate) storage_class: Option<String>,
    /// Encryption by the store: AES256, aws:kms
    #[arg(long, value_name = "KIND")]
    pub(crate) sse: Option<String>,
    /// Key of the key service to encrypt with; implies --sse aws:kms
    #[arg(long, value_name = "ID")]
    pub(crate) sse_kms_key_id: Option<String>,
    /// Canned ACL, as the store names it
    #[arg(long, value_name = "ACL")]
    pub(crate) acl: Option<String>,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it KEY=VALUE".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct CpArgs {
    /// Where from: a path, s3://BUCKET/KEY, or -
    #[arg(value_name = "SOURCE")]
    pub(crate) from: OsString,
    /// Where to: a path, s3://BUCKET/KEY, or -
    #[arg(value_name = "DEST")]
    pub(crate) to: OsString,
    /// Leave alone what exists at the destination
    #[arg(short, long, alias = "no-overwrite")]
    pub(crate) no_clobber: bool,
    /// Understood only to be answered well: cp copies one file or object
    #[arg(short, long, hide = true)]
    pub(crate) recursive: bool,
    /// Version of the source object
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,
    /// Length of a stream from standard input, where it is known
    #[arg(long, value_name = "SIZE")]
    pub(crate) expected_size: Option<Size>,
    /// Copies within a store above this size are made in parts
    #[arg(long, value_name = "SIZE", default_value = "5GiB", hide = true)]
    pub(crate) multipart_copy_threshold: Size,
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) other: OtherStoreArgs,
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
}

/// One object (or file), and the store that it is in.
#[derive(Debug, Args)]
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

#[derive(Debug, Args)]
pub(crate) struct CatArgs {
    #[command(flatten)]
    pub(crate) object: ObjectRef,
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MbArgs {
    /// The bucket: s3://BUCKET
    pub(crate) location: OsString,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
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

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// A file to use instead of made-up data
    pub(crate) path: Option<PathBuf>,
    /// Bytes to make up
    #[arg(long, value_name = "SIZE", default_value = "256MiB", conflicts_with = "path")]
    pub(crate) size: Size,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn timeouts() {
        assert_eq!(parse_timeout("30").unwrap(), Duration::from_secs(30));
        assert_eq!(parse_timeout("2m").unwrap(), Duration::from_mins(2));
        assert!(parse_timeout("0").is_err());
    }
}
