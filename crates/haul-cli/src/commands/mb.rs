//! `haul mb` and `haul rb`: create and remove buckets.

use haul::{Error, ErrorKind, Foreign, Location, Op};
use serde_json::json;

use crate::args::BucketRef;
use crate::exit::Exit;
use crate::session::Session;
use crate::settings;

pub(crate) async fn run(args: BucketRef, session: &Session) -> anyhow::Result<Exit> {
    let haul = session.haul(settings::asking(&args.store));
    let location = settings::location(&args.location)?;
    haul.make_bucket(&location).await.map_err(|e| with_rule(e, &location))?;
    tell("created", &location, session)?;
    Ok(Exit::Done)
}

pub(crate) async fn remove(args: BucketRef, session: &Session) -> anyhow::Result<Exit> {
    let haul = session.haul(settings::asking(&args.store));
    let location = settings::location(&args.location)?;
    haul.remove_bucket(&location).await?;
    tell("removed", &location, session)?;
    Ok(Exit::Done)
}

/// Says how buckets may be called, where that is what the store refuses.
fn with_rule(e: Error, location: &Location) -> Error {
    let Location::S3 { bucket, .. } = location else { return e };
    let refused = matches!(e.kind(), ErrorKind::Invalid | ErrorKind::Rejected);
    if !refused || is_usual(bucket) {
        return e;
    }
    let rule = "a bucket's name has 3 to 63 lowercase letters, digits, dots and hyphens";
    Error::new(e.kind(), Op::MakeBucket, location, format!("{}: {rule}", e.detail()))
}

/// Whether every store takes a name for a bucket, as far as its characters tell.
fn is_usual(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.bytes().all(|b| plain(b) || b == b'.' || b == b'-')
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain)
}

fn tell(what: &str, location: &Location, session: &Session) -> haul::Result<()> {
    let place = Foreign::from(location);
    if session.common.json {
        session.changed(&json!({"type": what, "location": place.exact()}).to_string())
    } else {
        session.changed(&format!("{what} {place}"))
    }
}
