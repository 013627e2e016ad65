//! From flags to the library's options.
//!
//! Owns the translation, and with it the precedence: flags, then environment, then defaults.

use anyhow::Context as _;
use haul::{Attributes, Haul, Location, Options, PlanPolicy, RetryPolicy, S3Options, Throttle};

use crate::args::{Addressing, ObjectArgs, OtherStoreArgs, StoreArgs, TransferArgs};

/// Understands a location.
pub(crate) fn location(text: &std::ffi::OsStr) -> anyhow::Result<Location> {
    Location::parse(text).map_err(|e| {
        let place = text.to_string_lossy();
        haul::Error::new(haul::ErrorKind::Invalid, haul::Op::Parse, place, e).into()
    })
}

/// The library, for commands that move bytes.
pub(crate) fn mover(
    transfer: &TransferArgs,
    store: &StoreArgs,
    other: Option<&OtherStoreArgs>,
) -> Haul {
    let mut options = Options::default();
    let requests = transfer.concurrency.requests();
    options.engine.concurrency = requests;
    options.engine.lanes = haul::lanes_for(requests);
    options.engine.memory = transfer.memory.0;
    options.engine.retry = RetryPolicy::with_tries(transfer.retries.saturating_add(1));
    options.engine.stall = transfer.timeout;
    options.engine.throttle = transfer.limit_rate.map(|r| Throttle::new(r.0));
    if let Some(size) = transfer.part_size {
        options.engine.part = PlanPolicy { part_size: size.0, explicit: true };
    }
    options.fsync = transfer.fsync.into();
    let mut base = s3(store, requests);
    base.timeout = transfer.timeout;
    (options.source, options.dest) = (base.clone(), base);
    if let Some(other) = other {
        let set = |slot: &mut Option<String>, value: &Option<String>| {
            if value.is_some() {
                slot.clone_from(value);
            }
        };
        set(&mut options.source.endpoint_url, &other.source_endpoint_url);
        set(&mut options.source.region, &other.source_region);
        set(&mut options.source.profile, &other.source_profile);
        set(&mut options.dest.endpoint_url, &other.dest_endpoint_url);
        set(&mut options.dest.region, &other.dest_region);
        set(&mut options.dest.profile, &other.dest_profile);
    }
    Haul::new(options)
}

/// The library, for commands that only ask.
pub(crate) fn asker(store: &StoreArgs) -> Haul {
    let mut options = Options::default();
    options.engine.lanes = 0; // no bytes move
    let requests = options.engine.concurrency;
    Haul::new(options.with_s3(s3(store, requests)))
}

fn s3(store: &StoreArgs, requests: usize) -> S3Options {
    let mut s3 = S3Options::default();
    s3.endpoint_url.clone_from(&store.endpoint_url);
    s3.region.clone_from(&store.region);
    s3.profile.clone_from(&store.profile);
    s3.no_sign_request = store.no_sign_request;
    s3.sign_payload = store.sign_payload;
    s3.path_style = store.addressing.map(|a| a == Addressing::Path);
    s3.requests = requests;
    s3
}

/// Attributes from flags.
pub(crate) fn attributes(args: &ObjectArgs) -> Attributes {
    let mut a = Attributes::default();
    a.content_type.clone_from(&args.content_type);
    a.cache_control.clone_from(&args.cache_control);
    a.content_encoding.clone_from(&args.content_encoding);
    a.content_disposition.clone_from(&args.content_disposition);
    a.metadata = args.metadata.iter().cloned().collect();
    a.tags = args.tags.iter().cloned().collect();
    a.storage_class.clone_from(&args.storage_class);
    a.acl.clone_from(&args.acl);
    a.kms_key_id.clone_from(&args.sse_kms_key_id);
    a.encryption.clone_from(&args.sse);
    if a.kms_key_id.is_some() && a.encryption.is_none() {
        a.encryption = Some("aws:kms".to_owned());
    }
    a
}

/// Reads the secret key of `serve` from its file.
pub(crate) fn secret(path: &std::path::Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the secret key from {}", path.display()))?;
    Ok(text.trim().to_owned())
}
