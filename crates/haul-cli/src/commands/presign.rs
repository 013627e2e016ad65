//! `haul presign`: links that carry their own signature.
//!
//! Owns what a location stands for: one object, or with a pattern or a slash at its end all that it
//! names. A link is a result: it goes to stdout and nowhere else.

use std::ffi::OsStr;
use std::time::SystemTime;

use haul::{EntryKind, ErrorKind, Foreign, Haul, LinkMethod, ListRequest, Location, Op};
use serde_json::json;

use super::{many, publish};
use crate::args::{Method, PresignArgs};
use crate::exit::{self, Exit};
use crate::moment::rfc3339;
use crate::session::Session;
use crate::{output, settings};

pub(crate) async fn run(args: PresignArgs, session: &Session) -> anyhow::Result<Exit> {
    let haul = session.haul(settings::asking(&args.store));
    let location = settings::location(&args.location)?;
    let method = match args.method {
        Method::Get => LinkMethod::Get { version_id: args.version_id.clone() },
        Method::Put => LinkMethod::Put { content_type: args.content_type.clone() },
    };
    let stray = match args.method {
        Method::Get => args.content_type.as_ref().map(|_| "--content-type is for --method PUT"),
        Method::Put => args.version_id.as_ref().map(|_| "--version-id is for --method GET"),
    };
    if let Some(what) = stray {
        let e = haul::Error::new(ErrorKind::Invalid, Op::Presign, &location, what);
        return Err(e.into());
    }
    let mut links = Links { haul: &haul, session, args: &args, warned: session.common.quiet };
    if args.method == Method::Get && args.version_id.is_none() && names_many(&location) {
        return links.all(&location).await;
    }
    links.print(&location, method).await?;
    Ok(Exit::Done)
}

/// Whether a location stands for all that is found by it. A link to the location itself would lead
/// nowhere.
fn names_many(location: &Location) -> bool {
    let folder = matches!(location, Location::S3 { key, .. } if key.ends_with('/'));
    folder || many::is_pattern(location)
}

/// Links of one kind.
struct Links<'a> {
    haul: &'a Haul,
    session: &'a Session,
    args: &'a PresignArgs,
    /// Whether it was told how long the credentials last.
    warned: bool,
}

impl Links<'_> {
    /// A link to each object that is found.
    async fn all(&mut self, location: &Location) -> anyhow::Result<Exit> {
        let mut request = ListRequest::new(location.clone());
        request.recursive = true;
        let mut listed = self.haul.list(request).await?;
        let mut exit = Exit::Done;
        while let Some(page) = listed.next().await {
            let page = page?;
            for entry in page.entries.iter().filter(|entry| entry.kind == EntryKind::File) {
                let name = listed.location_of(entry);
                let object = settings::location(OsStr::new(&*name.exact()))?;
                self.print(&object, LinkMethod::Get { version_id: None }).await?;
            }
            for problem in &page.problems {
                output::error(&exit::line(problem));
                exit = Exit::Failed;
            }
        }
        Ok(exit)
    }

    async fn print(&mut self, location: &Location, method: LinkMethod) -> anyhow::Result<()> {
        let name = if matches!(method, LinkMethod::Get { .. }) { "GET" } else { "PUT" };
        let link = self.haul.presign(location, method, self.args.life).await?;
        if !std::mem::replace(&mut self.warned, true) {
            publish::warn(self.args.life, link.credentials_expire);
        }
        if !self.session.common.json {
            return Ok(output::result(&link.url)?);
        }
        let end = SystemTime::now().checked_add(link.expires_in);
        let object = json!({
            "type": "link", "location": Foreign::from(location).exact(), "url": link.url, "method": name,
            "expires_in": link.expires_in.as_secs(), "expires": end.map(rfc3339),
            "credentials_expire": link.credentials_expire.map(rfc3339),
        });
        Ok(output::result(&object.to_string())?)
    }
}
