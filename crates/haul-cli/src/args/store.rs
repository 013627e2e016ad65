//! Which store, and as whom.
//!
//! Owns the flags that name endpoints and profiles. Must never take a secret: arguments show in
//! process lists.

use clap::{Args, ValueEnum};
use haul::Provider;

use crate::config::ProfileRef;

const STORE: &str = "Store";

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
    /// Profile: [profiles.NAME] of haul.toml, else one of the AWS configuration files [AWS_PROFILE]
    #[arg(long, value_parser = ProfileRef::of_aws)]
    pub(crate) profile: Option<ProfileRef>,
    /// Kind of store: aws, minio, r2, garage, ceph, gcs, b2, wasabi, generic [default: told by the
    /// endpoint]
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Option<Provider>,
    /// Do not sign requests, for public objects
    #[arg(long)]
    pub(crate) no_sign_request: bool,
    /// Pay for requests and traffic if the owner of the bucket does not
    #[arg(long)]
    pub(crate) requester_pays: bool,
    /// Sign bodies too, for plain HTTP on a network you do not trust
    #[arg(long)]
    pub(crate) sign_payload: bool,
    /// Where the bucket's name goes; a custom endpoint gets path
    #[arg(long, value_enum, value_name = "STYLE")]
    pub(crate) addressing: Option<Addressing>,
    /// Most parts per upload, for a store that takes fewer than 10,000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) max_parts: Option<u64>,
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
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = STORE)]
pub(crate) struct OtherStoreArgs {
    /// Endpoint of the source, if it is another store
    #[arg(long, value_name = "URL")]
    pub(crate) source_endpoint_url: Option<String>,
    /// Region of the source
    #[arg(long, value_name = "REGION")]
    pub(crate) source_region: Option<String>,
    /// Profile for the source
    #[arg(long, value_name = "PROFILE", value_parser = ProfileRef::of_aws)]
    pub(crate) source_profile: Option<ProfileRef>,
    /// Endpoint of the destination, if it is another store
    #[arg(long, value_name = "URL")]
    pub(crate) dest_endpoint_url: Option<String>,
    /// Region of the destination
    #[arg(long, value_name = "REGION")]
    pub(crate) dest_region: Option<String>,
    /// Profile for the destination
    #[arg(long, value_name = "PROFILE", value_parser = ProfileRef::of_aws)]
    pub(crate) dest_profile: Option<ProfileRef>,
}
