//! The arguments of each command that moves or removes many things.
//!
//! Owns what each of them takes; what they share is in the modules beside this one.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::filter::{FILTER, FilterArgs, LinkArgs};
use super::object::ObjectArgs;
use super::places::PlaceArgs;
use super::store::{OtherStoreArgs, StoreArgs};
use super::transfer::{DedupeArgs, ShareArgs, TransferArgs};
use crate::moment::parse_life;
use crate::size::Size;

/// `cp` and `mv`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CpArgs {
    #[command(flatten)]
    pub(crate) places: PlaceArgs,
    /// Copy folders and prefixes recursively
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Skip what exists at the destination
    #[arg(short, long, alias = "no-overwrite")]
    pub(crate) no_clobber: bool,
    /// Show what would be done, without doing it
    #[arg(long, alias = "dryrun")]
    pub(crate) dry_run: bool,
    /// Keep modification times
    #[arg(short, long)]
    pub(crate) preserve_times: bool,
    /// Put all files into one folder, by their names alone
    #[arg(long)]
    pub(crate) flatten: bool,
    /// Version of the source object
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,
    /// Size of a stream from standard input, if you know it
    #[arg(long, value_name = "SIZE")]
    pub(crate) expected_size: Option<Size>,
    /// Copies within a store above this size are made in parts
    #[arg(long, value_name = "SIZE", default_value = "5GiB", hide = true)]
    pub(crate) multipart_copy_threshold: Size,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) links: LinkArgs,
    #[command(flatten)]
    pub(crate) share: ShareArgs,
    #[command(flatten)]
    pub(crate) dedupe: DedupeArgs,
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) other: OtherStoreArgs,
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
}

/// `sync`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SyncArgs {
    /// Source tree: a folder, s3://BUCKET or s3://BUCKET/PREFIX
    #[arg(value_name = "SOURCE")]
    pub(crate) from: OsString,
    /// Destination tree, which is made like it
    #[arg(value_name = "DEST")]
    pub(crate) to: OsString,
    /// Remove from the destination what the source does not have
    #[arg(long)]
    pub(crate) delete: bool,
    /// Folders are always taken with everything in them
    #[arg(short, long, hide = true)]
    pub(crate) recursive: bool,
    /// With --delete: remove nothing if more than N files would be removed
    #[arg(long, value_name = "N", requires = "delete")]
    pub(crate) max_delete: Option<u64>,
    /// With --delete: remove even if something failed
    #[arg(long, requires = "delete")]
    pub(crate) ignore_errors: bool,
    /// Treat files of equal size as identical
    #[arg(long)]
    pub(crate) size_only: bool,
    /// Compare content, by the checksums that the store keeps, instead of times
    #[arg(long, conflicts_with = "size_only")]
    pub(crate) checksum: bool,
    /// Show what would be done, without doing it
    #[arg(long, alias = "dryrun")]
    pub(crate) dry_run: bool,
    /// Copies within a store above this size are made in parts
    #[arg(long, value_name = "SIZE", default_value = "5GiB", hide = true)]
    pub(crate) multipart_copy_threshold: Size,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) links: LinkArgs,
    #[command(flatten)]
    pub(crate) share: ShareArgs,
    #[command(flatten)]
    pub(crate) dedupe: DedupeArgs,
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) other: OtherStoreArgs,
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
}

/// `check`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    /// Source tree: a folder, s3://BUCKET or s3://BUCKET/PREFIX
    #[arg(value_name = "SOURCE")]
    pub(crate) from: OsString,
    /// Destination tree
    #[arg(value_name = "DEST")]
    pub(crate) to: OsString,
    /// Ignore files that exist only at the destination
    #[arg(long)]
    pub(crate) one_way: bool,
    /// Compare sizes only
    #[arg(long)]
    pub(crate) size_only: bool,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) links: LinkArgs,
    #[command(flatten)]
    pub(crate) share: ShareArgs,
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) other: OtherStoreArgs,
}

/// What published files are called and how long their links live.
#[derive(Debug, Clone, Args)]
pub(crate) struct PublishedArgs {
    /// Only files with this extension; may be repeated
    #[arg(short = 'e', long = "extension", value_name = "EXT", value_delimiter = ',')]
    pub(crate) extensions: Vec<String>,
    /// How long links are valid: 90s, 12h, 2d; 7d at most
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_life)]
    pub(crate) expires_in: Duration,
    /// Print links below this address instead of signed ones, for buckets that are public
    #[arg(long, value_name = "URL")]
    pub(crate) public_url_base: Option<String>,
    /// Put this between DEST and every name
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
}

/// `publish`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    pub(crate) places: PlaceArgs,
    #[command(flatten)]
    pub(crate) published: PublishedArgs,
    /// Upload nothing; print links to what is there
    #[arg(long)]
    pub(crate) url_only: bool,
    /// Put all files into one folder, by their names alone
    #[arg(long)]
    pub(crate) flatten: bool,
    /// Show what would be done, without doing it
    #[arg(long, alias = "dryrun")]
    pub(crate) dry_run: bool,
    /// Folders are always taken with everything in them
    #[arg(short, long, hide = true)]
    pub(crate) recursive: bool,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) links: LinkArgs,
    #[command(flatten)]
    pub(crate) share: ShareArgs,
    #[command(flatten)]
    pub(crate) dedupe: DedupeArgs,
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
}

/// `rm`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RmArgs {
    /// What to remove: s3://BUCKET/KEY, a pattern in quotes, or with -r s3://BUCKET/PREFIX
    #[arg(value_name = "OBJECT", num_args = 1.., required_unless_present = "files_from")]
    pub(crate) locations: Vec<OsString>,
    /// Remove prefixes recursively
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Show what would be removed, without removing it
    #[arg(long, alias = "dryrun")]
    pub(crate) dry_run: bool,
    /// Remove this version of the object, for good
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,
    /// Remove every version and delete marker, for good
    #[arg(long, conflicts_with = "version_id")]
    pub(crate) all_versions: bool,
    /// Read more objects from FILE, one per line; - is standard input
    #[arg(long, value_name = "FILE", help_heading = FILTER)]
    pub(crate) files_from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) share: ShareArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}
