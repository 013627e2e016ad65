//! What travels with an object.
//!
//! Owns the flags for attributes of new objects.

use clap::Args;

const OBJECT: &str = "New objects";

/// Attributes of a new object.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = OBJECT)]
pub(crate) struct ObjectArgs {
    /// Content type [default: the source's, or guessed from the name]
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
    /// Encryption by the store: AES256 or aws:kms
    #[arg(long, value_name = "KIND")]
    pub(crate) sse: Option<String>,
    /// KMS key to encrypt with; implies --sse aws:kms
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
