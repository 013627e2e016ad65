//! `haul publish`: upload what is new or changed, and print a link for each file (S0).

use std::time::{Duration, SystemTime};

use haul::{
    ErrorKind, FilterRule, Haul, Hint, LinkMethod, LinkStyle, Location, Op, PublishRequest,
};

use super::many;
use crate::args::PublishArgs;
use crate::exit::Exit;
use crate::moment::rfc3339;
use crate::output;
use crate::results::{self, Telling, Verb};
use crate::session::Session;
use crate::settings;

pub(crate) async fn run(args: Box<PublishArgs>, session: &Session) -> anyhow::Result<Exit> {
    let requests = args.transfer.concurrency.for_many();
    let haul = session.haul(settings::moving(&args.transfer, &args.store, None, requests));
    let sources = many::sources(&args.places.sources, args.places.files_from.as_deref())?;
    let pattern = sources.iter().any(many::is_pattern);
    let to = settings::location(&args.places.to)?;
    let mut request = PublishRequest::new(Vec::new(), below(to, args.published.prefix.as_deref())?);
    request.select = many::selection(sources, true, &args.filter, Some(&args.links), &args.share)?;
    let extensions = &args.published.extensions;
    let undotted = extensions.iter().map(|e| e.trim_start_matches('.').to_owned());
    request.select.filter.extensions = undotted.filter(|e| !e.is_empty()).collect();
    request.select.filter.rules.extend(without_litter(&args)?);
    request.flatten = args.flatten;
    request.attributes = settings::attributes(&args.object);
    request.link = match &args.published.public_url_base {
        Some(base) => LinkStyle::Below(base_url(base)?),
        None => LinkStyle::Presigned(args.published.expires_in),
    };
    request.url_only = args.url_only;
    request.dedupe = settings::dedupe(&args.dedupe)?;
    request.dry_run = args.dry_run;
    request.jobs = settings::jobs(&args.share, args.transfer.concurrency);
    if let (LinkStyle::Presigned(life), Location::S3 { bucket, .. }) = (&request.link, &request.to)
    {
        warn_of_short_credentials(&haul, bucket, *life, session).await?;
    }
    let job = haul.publish(request).await?;
    let may_be_empty = args.share.shard.is_some() || args.filter.may_leave_nothing();
    let telling =
        Telling { dry_run: args.dry_run, may_be_empty, pattern, ..Telling::of(Verb::Publish) };
    results::run(&haul, job, session, telling).await
}

/// What desktops leave in folders: nobody wants a link to it.
const LITTER: [&str; 3] = [".DS_Store", "Thumbs.db", "desktop.ini"];

/// Rules against litter, unless somebody names it. They come last, because the last that matches
/// decides, and the first says what becomes of the rest.
fn without_litter(args: &PublishArgs) -> anyhow::Result<Vec<FilterRule>> {
    let typed = args.places.sources.iter().map(|source| source.to_string_lossy().into_owned());
    let patterns = settings::patterns(&args.filter)?.into_iter().map(|pattern| pattern.text);
    let named: Vec<_> = typed.chain(patterns).collect();
    let unnamed = LITTER.iter().filter(|name| !named.iter().any(|text| text.ends_with(**name)));
    Ok(unnamed.filter_map(|name| FilterRule::new(false, name).ok()).collect())
}

/// The destination with the prefix of the settings behind it: `[s3] prefix`, raw as keys are.
fn below(to: Location, prefix: Option<&str>) -> anyhow::Result<Location> {
    match (to, prefix) {
        (Location::S3 { bucket, key }, Some(prefix)) if !prefix.is_empty() => {
            let slash = if key.is_empty() || key.ends_with('/') { "" } else { "/" };
            settings::location(format!("s3://{bucket}/{key}{slash}{prefix}").as_ref())
        }
        (to, _) => Ok(to),
    }
}

fn base_url(base: &str) -> haul::Result<String> {
    if let Ok(Location::Http(url)) = Location::parse(base) {
        return Ok(url);
    }
    let what = "links start with the address of a server";
    Err(haul::Error::new(ErrorKind::Invalid, Op::Parse, base, what)
        .with_hint(Hint::own("--public-url-base https://HOST/PATH")))
}

/// U0.4: a link dies with the credentials that it was signed with.
async fn warn_of_short_credentials(
    haul: &Haul,
    bucket: &str,
    life: Duration,
    session: &Session,
) -> haul::Result<()> {
    if session.common.quiet {
        return Ok(());
    }
    // Signing needs no request, so looking at one link costs nothing.
    let probe = Location::S3 { bucket: bucket.to_owned(), key: "x".to_owned() };
    let link = haul.presign(&probe, LinkMethod::Get { version_id: None }, life).await?;
    warn(life, link.credentials_expire);
    Ok(())
}

/// Tells that credentials end before the links made with them.
pub(crate) fn warn(life: Duration, credentials_expire: Option<SystemTime>) {
    if let Some(end) = credentials_expire
        && SystemTime::now().checked_add(life).is_some_and(|wanted| end < wanted)
    {
        let text = format!(
            "the link ends with the credentials at {}, before its own time; long-lived keys make \
             links that last",
            rfc3339(end)
        );
        output::error(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// U0.3: the prefix acts.
    #[test]
    fn prefixes_go_behind_the_destination() {
        let of = |to: &str, prefix| {
            below(Location::parse(to).unwrap(), prefix).map(|l| l.to_string()).unwrap()
        };
        assert_eq!(of("s3://b", Some("p/")), "s3://b/p/");
        assert_eq!(of("s3://b/d", Some("p/")), "s3://b/d/p/");
        assert_eq!(of("s3://b/d/", Some("p/")), "s3://b/d/p/");
        assert_eq!(of("s3://b/d", None), "s3://b/d");
        assert!(base_url("media").is_err() && base_url("https://h/p").is_ok());
    }
}
