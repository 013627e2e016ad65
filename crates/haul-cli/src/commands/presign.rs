//! `haul presign`: a link that carries its own signature.
//!
//! The link is a result: it goes to stdout and nowhere else.

use std::time::SystemTime;

use haul::{ErrorKind, Foreign, LinkMethod, Op};
use serde_json::json;

use super::publish;
use crate::args::{Method, PresignArgs};
use crate::exit::Exit;
use crate::moment::rfc3339;
use crate::session::Session;
use crate::{output, settings};

pub(crate) async fn run(args: PresignArgs, session: &Session) -> anyhow::Result<Exit> {
    let haul = session.haul(settings::asking(&args.store));
    let location = settings::location(&args.location)?;
    let (name, method) = match args.method {
        Method::Get => ("GET", LinkMethod::Get { version_id: args.version_id.clone() }),
        Method::Put => ("PUT", LinkMethod::Put { content_type: args.content_type.clone() }),
    };
    let stray = match args.method {
        Method::Get => args.content_type.as_ref().map(|_| "--content-type is for --method PUT"),
        Method::Put => args.version_id.as_ref().map(|_| "--version-id is for --method GET"),
    };
    if let Some(what) = stray {
        let e = haul::Error::new(ErrorKind::Invalid, Op::Presign, &location, what);
        return Err(e.into());
    }
    let link = haul.presign(&location, method, args.life).await?;
    if !session.common.quiet {
        publish::warn(args.life, link.credentials_expire);
    }
    if session.common.json {
        let end = SystemTime::now().checked_add(link.expires_in);
        let object = json!({
            "type": "link", "location": Foreign::from(&location).exact(), "url": link.url, "method": name,
            "expires_in": link.expires_in.as_secs(), "expires": end.map(rfc3339),
            "credentials_expire": link.credentials_expire.map(rfc3339),
        });
        output::result(&object.to_string())?;
    } else {
        output::result(&link.url)?;
    }
    Ok(Exit::Done)
}
