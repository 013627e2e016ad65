//! `haul ls`: what is there.

use std::ffi::OsStr;
use std::time::SystemTime;

use haul::redact::escape_control as show;
use haul::{Entry, EntryKind, Foreign, Haul, ListRequest, Listed, Location};
use serde_json::{Value, json};

use super::many;
use crate::args::LsArgs;
use crate::exit::{self, Exit};
use crate::moment::rfc3339;
use crate::session::Session;
use crate::size::human;
use crate::{output, settings};

/// As wide as a time, for entries that have none.
pub(super) const NO_TIME: &str = "                    ";

pub(crate) async fn run(args: LsArgs, session: &Session) -> anyhow::Result<Exit> {
    let haul = session.haul(settings::asking(&args.store));
    if args.locations.is_empty() {
        return buckets(&haul, session).await;
    }
    let several = args.locations.len() > 1 && !session.common.json;
    let mut first = true;
    many::each(&args.locations, session, async |place| {
        if several {
            let gap = if std::mem::take(&mut first) { "" } else { "\n" };
            output::result(&format!("{gap}{}:", Foreign::from(place.as_os_str())))?;
        }
        list(&haul, place, &args, session).await
    })
    .await
}

async fn list(
    haul: &Haul,
    location: &OsStr,
    args: &LsArgs,
    session: &Session,
) -> anyhow::Result<Exit> {
    let location = settings::location(location)?;
    let local = matches!(location, Location::Local(_));
    let mut request = ListRequest::new(location);
    request.recursive = args.recursive;
    request.versions = args.versions;
    request.filter = settings::filter(&args.filter)?;
    let mut listed = haul.list(request).await?;
    let (mut exit, mut ids) = (Exit::Done, 0);
    while let Some(page) = listed.next().await {
        let page = page?;
        let mut lines = String::new();
        if args.versions {
            let all = page.entries.iter().filter_map(|e| e.version_id.as_deref());
            ids = all.map(str::len).fold(ids, usize::max);
        }
        for entry in &page.entries {
            lines += &if session.common.json {
                object(&listed, entry, local).to_string()
            } else {
                line(entry, args.bytes, ids)
            };
            lines.push('\n');
        }
        output::results(lines.as_bytes())?;
        for problem in &page.problems {
            output::error(&exit::line(problem));
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

async fn buckets(haul: &Haul, session: &Session) -> anyhow::Result<Exit> {
    for bucket in haul.buckets().await? {
        let created = bucket.created.map(rfc3339);
        output::result(&if session.common.json {
            let location = format!("s3://{}", bucket.name);
            json!({"type": "bucket", "location": location, "created": created}).to_string()
        } else {
            let created = created.as_deref().unwrap_or(NO_TIME);
            format!("{created}  s3://{}", show(&bucket.name))
        })?;
    }
    Ok(Exit::Done)
}

/// Date, size, name; before the name a column for ids of versions, if it has a width.
fn line(entry: &Entry, bytes: bool, ids: usize) -> String {
    let time = entry.modified.map(rfc3339);
    let size = match entry.kind {
        EntryKind::Prefix => String::new(),
        EntryKind::DeleteMarker => "deleted".to_owned(),
        _ if bytes => entry.size.to_string(),
        _ => human(entry.size).to_string(),
    };
    // A name that was asked for in full is the whole of what is left of it.
    let name = if entry.path.is_root() { ".".to_owned() } else { entry.path.shown().to_string() };
    let target = match &entry.kind {
        EntryKind::Symlink(target) => format!(" -> {}", Foreign::from(target.as_path())),
        _ => String::new(),
    };
    let version = entry.version_id.as_deref().unwrap_or_default();
    let version = if ids > 0 { format!("{:<ids$}  ", show(version)) } else { String::new() };
    let time = time.as_deref().filter(|_| entry.kind != EntryKind::Prefix).unwrap_or(NO_TIME);
    format!("{time} {size:>11}  {version}{name}{target}")
}

fn object(listed: &Listed, entry: &Entry, local: bool) -> Value {
    let kind = match entry.kind {
        EntryKind::File => "file",
        EntryKind::Folder => "folder",
        EntryKind::Symlink(_) => "symlink",
        EntryKind::DeleteMarker => "delete_marker",
        EntryKind::Prefix if local => "folder",
        EntryKind::Prefix => "prefix",
        _ => "other",
    };
    let time = |t: Option<SystemTime>| t.map(rfc3339);
    let mut line = json!({
        "type": kind, "location": listed.location_of(entry).exact(), "size": entry.size,
        "last_modified": time(entry.modified), "etag": entry.etag,
        "storage_class": entry.storage_class,
    });
    if entry.version_id.is_some() {
        line["version_id"] = json!(entry.version_id);
        line["latest"] = json!(entry.latest);
    }
    line
}
