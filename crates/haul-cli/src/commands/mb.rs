//! `haul mb` and `haul rb`: create and remove buckets.

use haul::{Foreign, Location};
use serde_json::json;

use crate::args::BucketRef;
use crate::exit::Exit;
use crate::session::Session;
use crate::{output, settings};

pub(crate) async fn run(args: BucketRef, session: &Session) -> anyhow::Result<Exit> {
    let haul = session.haul(settings::asking(&args.store));
    let location = settings::location(&args.location)?;
    haul.make_bucket(&location).await?;
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

fn tell(what: &str, location: &Location, session: &Session) -> haul::Result<()> {
    let place = Foreign::from(location);
    if session.common.json {
        output::changed(&json!({"type": what, "location": place.exact()}).to_string())
    } else {
        output::changed(&format!("{what} {place}"))
    }
}
