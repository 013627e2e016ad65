//! From flags to the library's options.
//!
//! Owns the translation. Where a flag's value comes from is [`crate::config`]'s business. Must never
//! show a secret that it reads.

use anyhow::Context as _;
use haul::{
    Attributes, Filter, FilterRule, Hint, Jobs, Location, Net, Options, PlanPolicy, RetryPolicy,
    S3Options, Throttle, Ticket,
};

use crate::args::{
    Addressing, DedupeArgs, FilterArgs, NetArgs, ObjectArgs, OtherStoreArgs, PaceArgs, Rule,
    ShareArgs, StoreArgs, TransferArgs,
};
use crate::config::{self, ProfileRef};
use crate::size::Concurrency;

/// Understands a location.
pub(crate) fn location(text: &std::ffi::OsStr) -> anyhow::Result<Location> {
    if let Some(word) = text.to_str()
        && Ticket::looks_like(word)
        && std::fs::symlink_metadata(text).is_err()
    {
        // Not repeated: it is a secret.
        let what = "a ticket is not a file or folder";
        let e = haul::Error::new(haul::ErrorKind::Invalid, haul::Op::Open, "the ticket", what);
        return Err(e.with_hint(Hint::own("haul receive TICKET takes what it names")).into());
    }
    if let Some(word) = text.to_str().filter(|word| is_remote(word)) {
        let what = format!(
            "nothing here is called so: write s3://BUCKET/KEY for a store, ./{word} for a new file"
        );
        return Err(haul::Error::new(haul::ErrorKind::Invalid, haul::Op::Parse, word, what).into());
    }
    Location::parse(text).map_err(|e| {
        let (place, hint) = (text.to_string_lossy(), e.hint());
        let e = haul::Error::new(haul::ErrorKind::Invalid, haul::Op::Parse, place, e);
        match hint {
            Some(hint) => e.with_hint(hint).into(),
            None => e.into(),
        }
    })
}

/// Whether a word is what rclone (`remote:bucket/key`) and scp (`user@host:path`) take for a place
/// elsewhere, and nothing here has such a name.
fn is_remote(word: &str) -> bool {
    let Some((name, path)) = word.split_once(':') else { return false };
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    let named = name.len() > 1 && name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !named || !name.chars().all(known) || path.starts_with("//") {
        return false;
    }
    let elsewhere = path.is_empty() || path.contains('/') || name.contains('@');
    let folder = word.split('/').next().unwrap_or(word);
    elsewhere && std::fs::symlink_metadata(folder).is_err()
}

/// Settings for commands that move bytes; `requests` in flight.
pub(crate) fn moving(
    transfer: &TransferArgs,
    store: &StoreArgs,
    other: Option<&OtherStoreArgs>,
    requests: usize,
) -> Options {
    let mut options = Options::default();
    engine(transfer, requests, &mut options);
    let mut base = s3(store, requests);
    base.timeout = transfer.pace.timeout;
    (options.source, options.dest) = (base.clone(), base);
    if let Some(other) = other {
        other_store(&mut options.source, other.source_profile.as_ref());
        set(&mut options.source.endpoint_url, other.source_endpoint_url.as_deref());
        set(&mut options.source.region, other.source_region.as_deref());
        other_store(&mut options.dest, other.dest_profile.as_ref());
        set(&mut options.dest.endpoint_url, other.dest_endpoint_url.as_deref());
        set(&mut options.dest.region, other.dest_region.as_deref());
    }
    options
}

/// Settings of the engine, for a batch that brings its stores line by line.
pub(crate) fn engine(transfer: &TransferArgs, requests: usize, options: &mut Options) {
    options.engine.concurrency = requests;
    options.engine.lanes = haul::lanes_for(requests);
    pace(&transfer.pace, options);
    if let Some(size) = transfer.part_size {
        options.engine.part = PlanPolicy { part_size: size.0, explicit: true };
    }
    options.fsync = transfer.fsync.into();
}

fn pace(pace: &PaceArgs, options: &mut Options) {
    options.engine.memory = pace.memory.0;
    options.engine.retry = RetryPolicy::asked_for(pace.retries.saturating_add(1));
    options.engine.stall = pace.timeout;
    options.engine.throttle = pace.limit_rate.map(|r| Throttle::new(r.0));
}

/// Settings for commands that talk to peers.
pub(crate) fn with_peers(args: &PaceArgs, store: &StoreArgs) -> Options {
    let mut options = Options::default();
    pace(args, &mut options);
    let mut base = s3(store, options.engine.concurrency);
    base.timeout = args.timeout;
    options.with_s3(base)
}

/// How peers are reached.
pub(crate) fn net(args: &NetArgs) -> Net {
    let mut net = Net::default();
    net.relay = args.relay();
    (net.lan, net.bind) = (args.0.lan, args.0.bind);
    net
}

/// Settings for commands that only ask.
pub(crate) fn asking(store: &StoreArgs) -> Options {
    let mut options = Options::default();
    options.engine.lanes = 0; // no bytes move
    let requests = options.engine.concurrency;
    options.with_s3(s3(store, requests))
}

fn s3(store: &StoreArgs, requests: usize) -> S3Options {
    let mut s3 = S3Options::default();
    s3.endpoint_url.clone_from(&store.endpoint_url);
    s3.region.clone_from(&store.region);
    s3.profile = store.profile.as_ref().and_then(ProfileRef::aws).map(str::to_owned);
    s3.provider = store.provider;
    s3.no_sign_request = store.no_sign_request;
    s3.requester_pays = store.requester_pays;
    s3.sign_payload = store.sign_payload;
    s3.path_style = store.addressing.map(|a| a == Addressing::Path);
    s3.max_parts = store.max_parts;
    s3.requests = requests;
    s3.ca_bundle = config::variable("AWS_CA_BUNDLE").map(Into::into);
    s3
}

fn set(slot: &mut Option<String>, value: Option<&str>) {
    if let Some(value) = value {
        *slot = Some(value.to_owned());
    }
}

/// Makes a store the one that a profile describes.
fn other_store(s3: &mut S3Options, profile: Option<&ProfileRef>) {
    let Some(profile) = profile else { return };
    s3.profile = profile.aws().map(str::to_owned);
    set(&mut s3.endpoint_url, profile.value("endpoint_url"));
    set(&mut s3.region, profile.value("region"));
    // Checked when the file was read.
    let on = |arg| profile.value(arg).map(|value| value == "true");
    s3.no_sign_request = on("no_sign_request").unwrap_or(s3.no_sign_request);
    s3.sign_payload = on("sign_payload").unwrap_or(s3.sign_payload);
    if let Some(name) = profile.value("provider") {
        s3.provider = name.parse().ok();
    }
    if let Some(style) = profile.value("addressing") {
        s3.path_style = Some(style == "path");
    }
    if let Some(parts) = profile.value("max_parts") {
        s3.max_parts = parts.parse().ok();
    }
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

/// One pattern, wherever it is written.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) include: bool,
    pub(crate) text: String,
    /// Where it is written.
    place: String,
}

/// The patterns from flags and from the files that they name, in order.
pub(crate) fn patterns(args: &FilterArgs) -> haul::Result<Vec<Pattern>> {
    let mut all = Vec::new();
    let mut add = |include, text: &str, place: String| {
        all.push(Pattern { include, text: text.to_owned(), place });
    };
    for rule in &args.rules.0 {
        match rule {
            Rule::Include(pattern) => add(true, pattern, "--include".to_owned()),
            Rule::Exclude(pattern) => add(false, pattern, "--exclude".to_owned()),
            Rule::ExcludeFrom(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| haul::Error::io(haul::Op::Open, path.display(), e))?;
                for (i, line) in text.lines().enumerate() {
                    let pattern = line.trim();
                    if !pattern.is_empty() && !pattern.starts_with('#') {
                        add(false, pattern, format!("{} line {}", path.display(), i + 1));
                    }
                }
            }
        }
    }
    Ok(all)
}

/// The filter from flags and from the files that they name.
pub(crate) fn filter(args: &FilterArgs) -> anyhow::Result<Filter> {
    let mut filter = Filter::default();
    for Pattern { include, text, place } in patterns(args)? {
        filter.rules.push(pattern_rule(include, &text, &place)?);
    }
    filter.min_size = args.min_size.map(|s| s.0);
    filter.max_size = args.max_size.map(|s| s.0);
    filter.newer_than = args.newer_than.as_ref().map(|moment| moment.at);
    filter.older_than = args.older_than.as_ref().map(|moment| moment.at);
    Ok(filter)
}

fn pattern_rule(include: bool, pattern: &str, place: &str) -> haul::Result<FilterRule> {
    FilterRule::new(include, pattern)
        .map_err(|e| haul::Error::new(haul::ErrorKind::Invalid, haul::Op::Parse, place, e))
}

/// Items in work at once.
pub(crate) fn jobs(share: &ShareArgs, concurrency: Concurrency) -> Jobs {
    match (share.jobs, concurrency) {
        (Some(n), _) => Jobs::Fixed(n),
        (None, Concurrency::Auto) => Jobs::Auto,
        (None, Concurrency::Fixed(_)) => Jobs::Requests,
    }
}

/// The content index, where it is wanted; its folder is made.
pub(crate) fn dedupe(args: &DedupeArgs) -> anyhow::Result<Option<std::path::PathBuf>> {
    if !args.dedupe {
        return Ok(None);
    }
    if let Some(path) = &args.dedupe_index {
        return Ok(Some(path.clone()));
    }
    let folder = config::state_dir();
    std::fs::create_dir_all(&folder)
        .map_err(|e| haul::Error::io(haul::Op::Begin, folder.display(), e))?;
    Ok(Some(folder.join("index.sqlite")))
}

/// Reads the secret key of `serve` from its file.
pub(crate) fn secret(path: &std::path::Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the secret key from {}", path.display()))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_tools_for_places_elsewhere() {
        for word in ["old:bucket/x", "old:", "host.example.org:dir/a", "me@host:a"] {
            assert!(is_remote(word), "{word}");
        }
        for word in
            ["s3://b/k", "12:30.log", "2026-01-31T12:30:00/x", "notes:draft", "./old:b/x", "a:/"]
        {
            assert!(!is_remote(word), "{word}");
        }
    }
}
