//! `haul stat`: what is known about an object or file.

use std::ffi::OsStr;
use std::time::SystemTime;

use haul::{ErrorKind, Foreign, Haul, ObjectInfo, Op, Stat};
use serde_json::json;

use super::many;
use crate::args::StatArgs;
use crate::exit::Exit;
use crate::moment::rfc3339;
use crate::session::Session;
use crate::size::human;
use crate::{output, settings};

pub(crate) async fn run(args: StatArgs, session: &Session) -> anyhow::Result<Exit> {
    let haul = session.haul(settings::asking(&args.store));
    if args.version_id.is_some() && args.locations.len() > 1 {
        let what = "--version-id names a version of one object";
        return Err(haul::Error::new(ErrorKind::Invalid, Op::Parse, "the arguments", what).into());
    }
    let version = args.version_id.as_deref();
    many::each(&args.locations, session, async |place| look(&haul, place, version, session).await)
        .await
}

async fn look(
    haul: &Haul,
    location: &OsStr,
    version: Option<&str>,
    session: &Session,
) -> anyhow::Result<Exit> {
    let location = settings::location(location)?;
    let stat = haul.stat(&location, version.map(str::to_owned)).await?;
    let place = Foreign::from(&location);
    let text = match (&stat, session.common.json) {
        (Stat::Object(info), false) => object(&place, info),
        (Stat::Object(info), true) => object_json(&place, info).to_string(),
        (Stat::File { size, modified, folder }, false) => {
            let kind = if *folder { "folder" } else { "file" };
            let rows = [("Kind", Some(kind.to_owned())), ("Modified", time(*modified))];
            table(&place, *size, &rows)
        }
        (Stat::File { size, modified, folder }, true) => json!({
            "type": if *folder { "folder" } else { "file" }, "location": place.exact(),
            "size": size, "last_modified": time(*modified), "folder": folder,
        })
        .to_string(),
        _ => place.to_string(),
    };
    output::result(&text)?;
    Ok(Exit::Done)
}

fn object(place: &Foreign, info: &ObjectInfo) -> String {
    let checksum =
        info.checksum.zip(info.checksum_base64()).map(|(c, v)| format!("{} {v}", c.algorithm));
    let mut rows = vec![
        ("Modified", time(info.modified)),
        ("Type", info.content_type.clone()),
        ("ETag", info.etag.clone()),
        ("Checksum", checksum),
        ("Version", info.version_id.clone()),
        ("Class", info.storage_class.clone()),
    ];
    let metadata = info.metadata.iter().map(|(k, v)| format!("{k}={v}"));
    rows.extend(metadata.map(|pair| ("Metadata", Some(pair))));
    table(place, info.size, &rows)
}

fn table(place: &Foreign, size: u64, rows: &[(&str, Option<String>)]) -> String {
    let mut lines =
        vec![place.to_string(), format!("  {:<10}{size} bytes ({})", "Size", human(size))];
    for (name, value) in rows {
        if let Some(value) = value {
            lines.push(format!("  {name:<10}{}", haul::redact::escape_control(value)));
        }
    }
    lines.join("\n")
}

fn object_json(place: &Foreign, info: &ObjectInfo) -> serde_json::Value {
    let checksums: serde_json::Map<_, _> = info
        .checksum
        .zip(info.checksum_base64())
        .map(|(c, v)| (c.algorithm.to_string(), v.into()))
        .into_iter()
        .collect();
    json!({
        "type": "object", "location": place.exact(), "size": info.size, "etag": info.etag,
        "content_type": info.content_type, "last_modified": time(info.modified),
        "metadata": info.metadata, "version_id": info.version_id,
        "storage_class": info.storage_class, "checksums": checksums,
    })
}

/// RFC 3339, in UTC.
fn time(time: Option<SystemTime>) -> Option<String> {
    time.map(rfc3339)
}
