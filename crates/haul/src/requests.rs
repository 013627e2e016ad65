//! What can be asked for, for many files at once.
//!
//! Owns the requests and their defaults. What is done about them is in the module of each verb.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use haul_core::{Attributes, Filter, Location, Shard};
use haul_local::Symlinks;
use haul_p2p::{ReceiveOptions, ShareOptions, Ticket};
use haul_s3::COPY_OBJECT_LIMIT;

/// Items in work at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Jobs {
    /// As many as there are requests in flight; more where files wait for a disk.
    #[default]
    Requests,
    /// S0.15, S0.29: by the sizes found first: 8 for small files, 4 for large ones.
    Auto,
    /// So many.
    Fixed(usize),
}

/// Which files and objects.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Selection {
    /// Files, folders, objects, prefixes, buckets and patterns, each a location as typed.
    pub sources: Vec<Location>,
    /// Whether folders and prefixes are taken with all below them.
    pub recursive: bool,
    /// What is left out.
    pub filter: Filter,
    /// The share of this machine.
    pub shard: Option<Shard>,
    /// What becomes of symbolic links.
    pub symlinks: Symlinks,
    /// Whether folders with nothing in them are kept: always between disks, as a marker in a store
    /// only when asked for.
    pub empty_folders: bool,
}

/// Many files to copy or move: `cp -r`, `mv`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TreeRequest {
    /// What.
    pub select: Selection,
    /// Where to. A folder's name is kept when the destination is one to copy "into" (a slash at the
    /// end, a bucket, an existing folder); a slash at the end of a source means its contents.
    pub to: Location,
    /// Drop folders: every file by its name alone.
    pub flatten: bool,
    /// Attributes to set; gaps are filled from the source.
    pub attributes: Attributes,
    /// Whether something that exists may be replaced.
    pub overwrite: bool,
    /// Whether times of modification are kept.
    pub keep_times: bool,
    /// Whether each source is removed once its destination is committed.
    pub remove_source: bool,
    /// Copies within a store above this size are made in parts.
    pub multipart_copy_above: u64,
    /// The content index, to copy within the store what it has already (S1.27, S1.30).
    pub dedupe: Option<PathBuf>,
    /// Only tell.
    pub dry_run: bool,
    /// Items in work at once.
    pub jobs: Jobs,
}

impl TreeRequest {
    /// A plain copy that replaces what is there.
    pub fn new(sources: Vec<Location>, to: Location) -> Self {
        Self {
            select: Selection { sources, ..Selection::default() },
            to,
            flatten: false,
            attributes: Attributes::default(),
            overwrite: true,
            keep_times: false,
            remove_source: false,
            multipart_copy_above: COPY_OBJECT_LIMIT,
            dedupe: None,
            dry_run: false,
            jobs: Jobs::default(),
        }
    }
}

/// How to tell that two files are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compare {
    /// Same size, and the times say that it has not changed since: see `docs/sync.md`.
    #[default]
    Times,
    /// Same size.
    Size,
    /// Same content: by the checksum or the ETag that the store keeps.
    Content,
}

/// Two trees to make equal: `sync`; or to compare: `check`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SyncRequest {
    /// The tree that is right: a folder, a bucket or a prefix.
    pub from: Location,
    /// The tree to change.
    pub to: Location,
    /// What is looked at, on both sides.
    pub filter: Filter,
    /// The share of this machine, on both sides.
    pub shard: Option<Shard>,
    /// What becomes of symbolic links.
    pub symlinks: Symlinks,
    /// Whether folders with nothing in them are kept as markers in a store.
    pub empty_folders: bool,
    /// How to compare.
    pub compare: Compare,
    /// Remove from the destination what the source does not have.
    pub delete: bool,
    /// Remove nothing at all if more than so many would have to go.
    pub max_delete: Option<u64>,
    /// Remove although something failed. What is at or below what could not be listed stays even so.
    pub ignore_errors: bool,
    /// Attributes to set; gaps are filled from the source.
    pub attributes: Attributes,
    /// Copies within a store above this size are made in parts.
    pub multipart_copy_above: u64,
    /// The content index.
    pub dedupe: Option<PathBuf>,
    /// Only tell.
    pub dry_run: bool,
    /// For `check`: what only the destination has is no difference.
    pub one_way: bool,
    /// Items in work at once.
    pub jobs: Jobs,
}

impl SyncRequest {
    /// Two trees, compared by size and time, with nothing removed.
    pub fn new(from: Location, to: Location) -> Self {
        Self {
            from,
            to,
            filter: Filter::default(),
            shard: None,
            symlinks: Symlinks::default(),
            empty_folders: false,
            compare: Compare::default(),
            delete: false,
            max_delete: None,
            ignore_errors: false,
            attributes: Attributes::default(),
            multipart_copy_above: COPY_OBJECT_LIMIT,
            dedupe: None,
            dry_run: false,
            one_way: false,
            jobs: Jobs::default(),
        }
    }
}

/// What links look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkStyle {
    /// A GET that carries its own signature, for so long; at most 7 days.
    Presigned(Duration),
    /// The key below a base: for buckets that are public or behind a server.
    Below(String),
}

/// The longest life of a presigned link, and the default (S3 API reference, "X-Amz-Expires").
pub const MAX_LINK: Duration = haul_s3::LONGEST_LINK;

/// Files to upload where they differ, with a link for each: `publish`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PublishRequest {
    /// What; from this machine's disks.
    pub select: Selection,
    /// Where to: a bucket or a prefix.
    pub to: Location,
    /// Drop folders: every file by its name alone.
    pub flatten: bool,
    /// Attributes to set.
    pub attributes: Attributes,
    /// What links look like.
    pub link: LinkStyle,
    /// S0.2: only links, nothing is uploaded; what is not there is counted as missing.
    pub url_only: bool,
    /// The content index.
    pub dedupe: Option<PathBuf>,
    /// Only tell.
    pub dry_run: bool,
    /// Items in work at once.
    pub jobs: Jobs,
}

impl PublishRequest {
    /// Presigned links for 7 days.
    pub fn new(sources: Vec<Location>, to: Location) -> Self {
        Self {
            select: Selection { sources, recursive: true, ..Selection::default() },
            to,
            flatten: false,
            attributes: Attributes::default(),
            link: LinkStyle::Presigned(MAX_LINK),
            url_only: false,
            dedupe: None,
            dry_run: false,
            jobs: Jobs::default(),
        }
    }
}

/// What to remove: `rm`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RemoveRequest {
    /// Which; folders and prefixes with all below them only if `select.recursive`.
    pub select: Selection,
    /// Every version and delete marker, for good.
    pub all_versions: bool,
    /// Only tell.
    pub dry_run: bool,
    /// Requests in work at once.
    pub jobs: Jobs,
}

impl RemoveRequest {
    /// Removes these.
    pub fn new(sources: Vec<Location>) -> Self {
        Self {
            select: Selection { sources, ..Selection::default() },
            all_versions: false,
            dry_run: false,
            jobs: Jobs::default(),
        }
    }
}

/// What to list: `ls`, `du`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListRequest {
    /// A folder, bucket, prefix, object or pattern.
    pub location: Location,
    /// All levels instead of one.
    pub recursive: bool,
    /// Every version, newest first.
    pub versions: bool,
    /// What is left out.
    pub filter: Filter,
}

impl ListRequest {
    /// One level.
    pub fn new(location: Location) -> Self {
        Self { location, recursive: false, versions: false, filter: Filter::default() }
    }
}

/// What a presigned link lets its holder do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkMethod {
    /// Download, this version if one is named.
    Get {
        /// Version.
        version_id: Option<String>,
    },
    /// Upload, with this content type if one is named.
    Put {
        /// Content type that the upload must have.
        content_type: Option<String>,
    },
}

/// A multipart upload that was never finished.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PendingUpload {
    /// What it would become: `s3://bucket/key`.
    pub location: Location,
    /// The store's name for it.
    pub id: String,
    /// When it began.
    pub initiated: Option<SystemTime>,
}

/// A bucket.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// When it was created, if the store says.
    pub created: Option<SystemTime>,
}

/// Files for whoever has a ticket: `send`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShareRequest {
    /// What. Standard input must be the only source.
    pub select: Selection,
    /// What standard input is called at the receiver; `stdin` otherwise.
    pub stdin_name: Option<String>,
    /// How.
    pub options: ShareOptions,
}

impl ShareRequest {
    /// Shares `sources` with all below them, links and empty folders included.
    pub fn new(sources: Vec<Location>, options: ShareOptions) -> Self {
        let select = Selection {
            sources,
            recursive: true,
            symlinks: Symlinks::Keep,
            empty_folders: true,
            ..Selection::default()
        };
        Self { select, stdin_name: None, options }
    }
}

/// What somebody shares: `receive`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReceiveRequest {
    /// What the sender gave.
    pub ticket: Ticket,
    /// A folder, a prefix in a store, or standard output for a single file.
    pub to: Location,
    /// How.
    pub options: ReceiveOptions,
}

impl ReceiveRequest {
    /// Receives what `ticket` names.
    pub fn new(ticket: Ticket, to: Location, options: ReceiveOptions) -> Self {
        Self { ticket, to, options }
    }
}
