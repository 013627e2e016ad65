//! `haul rm`: remove objects.

use haul::{ErrorKind, Foreign, Jobs, Location, Op, RemoveRequest};
use serde_json::json;

use super::many;
use crate::args::RmArgs;
use crate::exit::Exit;
use crate::results::{self, Telling, Verb};
use crate::session::Session;
use crate::settings;

pub(crate) async fn run(args: RmArgs, session: &Session) -> anyhow::Result<Exit> {
    let haul = session.haul(settings::asking(&args.store));
    let sources = many::sources(&args.locations, args.files_from.as_deref())?;
    let pattern = sources.iter().any(many::is_pattern);
    let many = args.recursive
        || args.dry_run
        || args.all_versions
        || args.files_from.is_some()
        || args.share.shard.is_some()
        || !args.filter.is_empty()
        || pattern;
    match sources.as_slice() {
        [location] if !many => {
            haul.remove(location, args.version_id.clone()).await?;
            told(location, args.version_id.as_deref(), session)?;
            return Ok(Exit::Done);
        }
        _ if args.version_id.is_some() => {
            let what = "--version-id names a version of one object";
            let e = haul::Error::new(ErrorKind::Invalid, Op::Parse, "the arguments", what);
            return Err(e.into());
        }
        _ => {}
    }
    let mut request = RemoveRequest::new(Vec::new());
    request.select = many::selection(sources, args.recursive, &args.filter, None, &args.share)?;
    request.all_versions = args.all_versions;
    request.dry_run = args.dry_run;
    request.jobs = args.share.jobs.map_or(Jobs::Requests, Jobs::Fixed);
    let job = haul.remove_tree(request).await?;
    let may_be_empty = args.share.shard.is_some() || args.filter.may_leave_nothing();
    let telling =
        Telling { dry_run: args.dry_run, may_be_empty, pattern, ..Telling::of(Verb::Remove) };
    results::run(&haul, job, session, telling).await
}

fn told(location: &Location, version: Option<&str>, session: &Session) -> haul::Result<()> {
    if session.common.json {
        let line = json!({
            "type": "removed", "location": Foreign::from(location).exact(), "version_id": version,
        });
        session.changed(&line.to_string())
    } else {
        session.changed(&format!("removed {location}"))
    }
}
