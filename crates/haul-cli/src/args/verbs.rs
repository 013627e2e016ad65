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
    /// Take folders and prefixes with all below them
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Leave alone what exists at the destination
    #[arg(short, long, alias = "no-overwrite")]
    pub(crate) no_clobber: bool,
    /// Only tell what would be done
    #[arg(long, alias = "dryrun")]
    pub(crate) dry_run: bool,
    /// Keep times of modification
    #[arg(short, long)]
    pub(crate) preserve_times: bool,
    /// Leave out folders: every file by its name alone
    #[arg(long)]
    pub(crate) flatten: bool,
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
    /// The tree that is right: a folder, s3://BUCKET or s3://BUCKET/PREFIX
    #[arg(value_name = "SOURCE")]
    pub(crate) from: OsString,
    /// The tree to make like it
    #[arg(value_name = "DEST")]
    pub(crate) to: OsString,
    /// Remove from the destination what the source does not have
    #[arg(long)]
    pub(crate) delete: bool,
    /// With --delete: remove nothing at all if more than N would have to go
    #[arg(long, value_name = "N", requires = "delete")]
    pub(crate) max_delete: Option<u64>,
    /// With --delete: remove although something failed
    #[arg(long, requires = "delete")]
    pub(crate) ignore_errors: bool,
    /// Files of one size are the same
    #[arg(long)]
    pub(crate) size_only: bool,
    /// Compare contents by the checksums that the store keeps, not by time
    #[arg(long, conflicts_with = "size_only")]
    pub(crate) checksum: bool,
    /// Only tell what would be done
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
    /// One tree: a folder, s3://BUCKET or s3://BUCKET/PREFIX
    #[arg(value_name = "SOURCE")]
    pub(crate) from: OsString,
    /// The other
    #[arg(value_name = "DEST")]
    pub(crate) to: OsString,
    /// What only the destination has is no difference
    #[arg(long)]
    pub(crate) one_way: bool,
    /// Compare sizes, not contents
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
    /// How long links live, 7d at most
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_life)]
    pub(crate) expires_in: Duration,
    /// Print links below this address instead of signed ones, for buckets that are public
    #[arg(long, value_name = "URL")]
    pub(crate) public_url_base: Option<String>,
    /// What to put before every key, behind DEST
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
    /// Upload nothing: only print links to what is there
    #[arg(long)]
    pub(crate) url_only: bool,
    /// Leave out folders: every file by its name alone
    #[arg(long)]
    pub(crate) flatten: bool,
    /// Only tell what would be done
    #[arg(long, alias = "dryrun")]
    pub(crate) dry_run: bool,
    /// Folders are always taken with all below them
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
    /// What: s3://BUCKET/KEY, a pattern in quotes, or with -r s3://BUCKET/PREFIX
    #[arg(value_name = "OBJECT", num_args = 1.., required_unless_present = "files_from")]
    pub(crate) locations: Vec<OsString>,
    /// Take prefixes with all below them
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Only tell what would be removed
    #[arg(long, alias = "dryrun")]
    pub(crate) dry_run: bool,
    /// Version of the object, to remove for good
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,
    /// Every version and delete marker, for good
    #[arg(long, conflicts_with = "version_id")]
    pub(crate) all_versions: bool,
    /// Take objects from a file, one a line, or with - from standard input
    #[arg(long, value_name = "FILE", help_heading = FILTER)]
    pub(crate) files_from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) share: ShareArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}
